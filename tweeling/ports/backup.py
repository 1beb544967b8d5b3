"""Copying what a hub keeps while it lives on."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class Copied(Protocol):
    """A store in files of its own."""

    def copy_to(self, folder: Path) -> None:
        """Write into an empty folder what is applied now, laid out as in the store's own folder.

        All of it is of one moment; who applies and asks meanwhile is not kept waiting. UnavailableError where the disk
        does not take it; then nothing has happened to the store.
        """
        ...


class PointsCopy(Protocol):
    """What a running hub does for a backup, because its points' file belongs to it."""

    def make(self) -> None:
        """Copy the points to where a backup looks for them; what they need of the journal is kept for a minute more."""
        ...
