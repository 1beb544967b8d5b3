"""Seeds from names: what is drawn for one thing never depends on what was drawn for another."""

from __future__ import annotations

import hashlib


def seed_of(text: str) -> int:
    """Sixty-four bits from a name."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
