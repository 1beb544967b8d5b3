"""What a backup says of itself, and what its names may be."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, ValidationError, model_validator

from tweeling.errors import ConfigError

MANIFEST = "manifest.json"
"""The first file of an archive."""

MAX_MANIFEST = 4 << 20
"""Bytes; some forty thousand files."""

ELSEWHERE = "elsewhere"
"""Where files stand in an archive that did not lie in the installation's folder, under their whole path."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Held(BaseModel, frozen=True, extra="forbid", strict=True):
    """One file: its path under the installation's folder, its bytes, their SHA-256."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    size: int = Field(ge=0)
    sha256: Digest


class Schemas(BaseModel, frozen=True, extra="forbid", strict=True):
    """The version of each database; None for one that is not in the backup."""

    journal: int = Field(ge=1)
    records: int | None = Field(default=None, ge=1)


class Manifest(BaseModel, frozen=True, extra="forbid", strict=True):
    """What is in a backup. through: the journal's newest batch. log_size: entries of the custody log, if it is here.

    folder: where the installation was. left_out: what is not here, and why.
    """

    format: Literal[1] = 1
    tweeling: str
    made_ms: int
    folder: str
    schemas: Schemas
    through: int = Field(ge=0)
    log_size: int | None = Field(default=None, ge=0)
    left_out: list[str] = Field(default_factory=list)
    files: list[Held]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [held.name for held in self.files]
        for name in names:
            check_name(name)
        if len(set(names)) != len(names):
            raise ValueError("a file stands twice in it")
        return self

    @classmethod
    def parse(cls, content: bytes, *, source: str) -> Manifest:
        """Read a manifest, or raise ConfigError."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as exc:
            problem = exc.errors(include_url=False)[0]
            field = ".".join(str(part) for part in problem["loc"])
            remedy = "A newer Tweeling may have made it" if field == "format" else "Take another backup"
            raise ConfigError(f"{MANIFEST}: {problem['msg']}", field=field, source=source, remedy=remedy) from exc

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(held.size for held in self.files)

    def check_known(self, known: Schemas, *, source: str) -> None:
        """Raise ConfigError for a backup with a database of a schema that this program does not know."""
        for part, here in known:
            there = getattr(self.schemas, part)
            if there is not None and there > here:
                raise ConfigError(
                    f"holds {part} of schema {there}, this program knows {here}",
                    source=source,
                    remedy=f"Restore it with Tweeling {self.tweeling}, or a later one",
                )


def check_name(name: str) -> None:
    """Raise ValueError for a name that could lead out of a folder, or that a terminal would not show as it is."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or str(path) != name or ".." in path.parts or _CONTROL.search(name):
        raise ValueError(f"{name[:200]!r} is no path in a folder")


def place(path: str, folder: str) -> str:
    """The name in an archive of a file with this whole path; `folder` is the installation's."""
    whole = PurePosixPath(path)
    if whole.is_relative_to(folder):
        return str(whole.relative_to(folder))
    return f"{ELSEWHERE}{whole}"


def moved(value: str, folder: str, names: Collection[str]) -> str | None:
    """How a path in the settings reads after a restore, relative to the folder; None for what stays as it is.

    folder: where the installation was. names: of every file and folder in the archive.
    """
    name = place(posixpath.normpath(posixpath.join(folder, value)), folder)
    if name.startswith(f"{ELSEWHERE}/"):
        return name if name in names else None
    return name if value.startswith("/") else None
