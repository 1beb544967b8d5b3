"""Moments as the command line writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(time_ms: int) -> str:
    """A time in ISO 8601, to the second, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
