"""Which files belong to a hub beside its databases: settings, secrets, partners, trust, the broker's users."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import BaseModel

from tweeling.bootstrap.readings import journal_path, records_url
from tweeling.config import Settings

# Children's logs; a chain, which is a ledger and never set back; what gateways hold; what the broker holds for the hub,
# and the nodes too; codes of the moment; what a restore set aside; and drafts.
_OTHERS = re.compile(r"log|chain|edge|broker/jetstream|.*\.lock|secrets/login-code|set-aside-.*|(.*/)?\..*")


class Belongings(NamedTuple):
    """Files; and what is not among them, and why."""

    files: list[Path]
    left_out: list[str]


def belongings(settings: Settings, folder: Path) -> Belongings:
    """What is in an installation's folder and what its settings name; logs, edges and the like are not even told."""
    left_out: list[str] = []
    files = list(_walk(folder, str(folder), _stores(settings), left_out))
    named = {Path(os.path.abspath(path)) for path in _paths(settings)}  # noqa: PTH100  # `..` goes, links stay
    return Belongings(files + sorted(path for path in named.difference(files) if path.is_file()), left_out)


def _paths(settings: Settings) -> list[Path]:
    """Every file and folder that settings name."""

    def named(value: object) -> list[Path]:
        if isinstance(value, Path):
            return [value]
        if isinstance(value, BaseModel):
            return [path for name in type(value).model_fields for path in named(getattr(value, name))]
        return []

    return named(settings)


def records_path(settings: Settings) -> Path | None:
    """The record store's file, None for a server."""
    url = sa.make_url(records_url(settings))
    return Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None


def _stores(settings: Settings) -> tuple[str, ...]:
    """How the whole paths begin of databases, which are copied by those who know them or are none of this hub's."""
    usual = (journal_path(settings), settings.data / "points", settings.data / "records.db")
    return tuple(str(path) for path in (*usual, records_path(settings) or usual[0]))


def _walk(folder: Path, top: str, stores: tuple[str, ...], left_out: list[str]) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = os.path.relpath(entry.path, top)
        if _OTHERS.fullmatch(name) or entry.path.startswith(stores):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), top, stores, left_out)
        elif entry.is_file():
            yield Path(entry.path)
        else:
            left_out.append(f"{name}: a link to a folder, or no file")
