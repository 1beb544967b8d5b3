"""Tiles and entry bundles of a log, named by their paths (C2SP tlog-tiles).

A tile of level L holds the hashes of up to 256 neighbouring complete subtrees, each over 256**L entries; a bundle holds
up to 256 neighbouring entries. What a path names never changes, so a reader may keep it for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tweeling.domain.merkle import NodeKey

WIDTH = 256
_HEIGHT = 8

# Level, whole groups of a thousand, the last three digits, the width of a partial one.
_PATH = re.compile(
    r"(entries|[0-9]|[1-5][0-9]|6[0-3])((?:/x[0-9]{3}){0,6})/([0-9]{3})"
    r"(?:\.p/([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """Some neighbours in the tree. level: None where they are entries; index: in whole tiles; width: 1 to 256."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def start(self) -> int:
        """The first of the neighbours, counted from the left of its level."""
        return self.index * WIDTH

    @property
    def stop(self) -> int:
        """One behind the last of them."""
        return self.start + self.width

    def is_covered_by(self, size: int) -> bool:
        """Whether a tree of this size has all of it."""
        return self.stop <= size >> _HEIGHT * (self.level or 0)

    def subtrees(self) -> list[NodeKey]:
        """Name the subtrees whose hashes it holds; those of a bundle are leaves."""
        level = _HEIGHT * (self.level or 0)
        return [(level, index) for index in range(self.start, self.stop)]

    @property
    def path(self) -> str:
        """The one spelling of its name, below `tile/`."""
        groups = f"{self.index % 1000:03}"
        rest = self.index // 1000
        while rest:
            groups = f"x{rest % 1000:03}/{groups}"
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"{'entries' if self.level is None else self.level}/{groups}{partial}"


def parse(path: str) -> Tile | None:
    """Read a path below `tile/`; None for whatever is not the one spelling of a tile's name."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level, groups, last, width = match.groups()
    tile = Tile(
        None if level == "entries" else int(level),
        int(groups.replace("/x", "") + last),
        WIDTH if width is None else int(width),
    )
    return tile if tile.path == path else None  # groups of zeros may not come before
