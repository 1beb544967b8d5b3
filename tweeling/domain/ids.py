"""Names, checked once at the border."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

# MQTT wildcards, the NATS separators and path characters can never be part of a name.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

HubId = Annotated[str, StringConstraints(pattern=NAME)]
"""A hub, unique per installation, as in `H1`."""

NodeId = Annotated[str, StringConstraints(pattern=NAME)]
"""An edge node (gateway), unique per hub."""

ZoneId = Annotated[str, StringConstraints(pattern=NAME)]
"""A storage zone, unique per installation, as in `H1-A`."""

EPOCH = r"^[0-9a-f]{16}$"

Epoch = Annotated[str, StringConstraints(pattern=EPOCH)]
"""Sixty-four random bits in hexadecimal that name one outbox; a new outbox has a new epoch."""

Grams = int
"""Mass, exact. Nothing that is weighed, summed or hashed is a float."""
