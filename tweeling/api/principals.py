"""Who is asking."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What someone may do."""

    OPERATOR = "operator"  # a person at the screens
    QUERY = "query"  # a machine that reads
    METRICS = "metrics"  # a machine that watches how the hub is; it reads no other thing
    CAPTURE = "capture"  # a machine that brings custody events
    MAINTAIN = "maintain"  # a machine that has a hub do what its keeper asks; it reads nothing else


class Principal(NamedTuple):
    """Someone known. A machine shows a token with every request; a person has a session."""

    name: str
    role: Role

    @property
    def machine(self) -> bool:
        """Whether this is a token's bearer, who has no business at the screens."""
        return self.role is not Role.OPERATOR
