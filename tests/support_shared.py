"""Reference data that stands beside the checkout; tests that need it skip by name where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(path: str) -> Path:
    """Return a reference file or folder; without it skip by name, or fail where CI=true."""
    place = SHARED / path
    if not place.exists():
        text = f"reference data is not beside the checkout: shared/{path}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return place
