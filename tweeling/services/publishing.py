"""The custody log as anyone may read it: signed heads, tiles and entry bundles (C2SP tlog-tiles)."""

from __future__ import annotations

from tweeling.domain.tile import Tile
from tweeling.errors import VerificationError
from tweeling.ports.logstore import LogStore


class PublishedLog:
    """Nothing of it is more than its newest signed checkpoint covers. Reads only; safe from any thread."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._size = 0  # of the newest checkpoint seen; there may be a newer one

    def checkpoint(self) -> bytes | None:
        """The newest signed note; None before the first."""
        newest = self._store.checkpoint()
        return None if newest is None else newest.note.encode()

    def read(self, tile: Tile) -> bytes | None:
        """The bytes of a tile or bundle; None where no signed checkpoint covers all of it.

        A partial one stays readable when there are more: it belongs to an earlier checkpoint that somebody may hold.
        """
        if not self._covers(tile):
            return None
        if tile.level is not None:
            return b"".join(self._store.nodes(tile.subtrees()))
        entries = [item.entry for item in self._store.entries(tile.start, tile.stop)]
        if len(entries) != tile.width:
            raise VerificationError(f"the log has lost entries of [{tile.start}, {tile.stop})", field="entry")
        return b"".join(len(entry).to_bytes(2) + entry for entry in entries)

    def _covers(self, tile: Tile) -> bool:
        if not tile.is_covered_by(self._size):
            newest = self._store.checkpoint()
            self._size = 0 if newest is None else newest.size
        return tile.is_covered_by(self._size)
