"""Settings that were written for one folder, read in another."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from tweeling.domain.backup import moved
from tweeling.services.editing import edit

_SQLITE = "sqlite:///"


def relocate(text: str, *, before: str, now: str, names: Collection[str]) -> str:
    """Let every path that names something of an archive name it in the restored folder; all else stays, comments too.

    before, now: the installation's folder then and now, whole. names: of the files in the archive.
    """
    known = {str(parent) for name in names for parent in (PurePosixPath(name), *PurePosixPath(name).parents)}
    for value in set(_strings(tomllib.loads(text))):
        url = value.startswith(f"{_SQLITE}/")
        if (name := moved(value.removeprefix(_SQLITE) if url else value, before, known)) is None:
            continue
        # SQLAlchemy knows no folder that an URL would be relative to.
        new = f"{_SQLITE}{PurePosixPath(now, name)}" if url else name
        for quoted in (json.dumps(value, ensure_ascii=False), f"'{value}'"):
            text = text.replace(quoted, json.dumps(new, ensure_ascii=False))
    return text


def rename_log(text: str, origin: str) -> str:
    """Give the custody log of some settings another name; what belongs to the old one's ledger goes with it."""
    return edit(edit(text, "custody", {"origin": origin}), "ledger", {"log_id": None, "continues": None})


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
