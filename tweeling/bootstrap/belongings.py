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
from tweeling.domain.backup import Held, check_name, place

# Children's logs; a chain, which is a ledger and never set back; what gateways hold; what the broker holds for the hub,
# and the nodes too; codes of the moment; what a restore set aside; and drafts.
_OTHERS = re.compile(r"log|chain|edge|.*\.lock|secrets/login-code|set-aside-.*|(.*/)?\..*")


class Belongings(NamedTuple):
    """Files; and what is not among them, and why."""

    files: list[Path]
    left_out: list[str]


def belongings(settings: Settings, folder: Path) -> Belongings:
    """What is in an installation's folder and what its settings name; logs, edges and the like are not even told."""
    left_out: list[str] = []
    files = list(_walk(folder, str(folder), _stores(settings), left_out))
    broker = _whole(settings.broker.folder)
    if settings.broker.embedded and broker.is_dir() and not broker.is_relative_to(folder):
        files += _walk(broker, str(broker), _stores(settings), left_out)
    named = {_whole(path) for path in _paths(settings)}
    files += sorted(path for path in named.difference(files) if path.is_file())
    kept = [path for path in files if _can_be_held(place(str(path), str(folder)))]
    left_out += [f"{str(path)!a}: no name for an archive" for path in files if path not in kept]
    return Belongings(kept, left_out)


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # `..` goes, links stay


def _can_be_held(name: str) -> bool:
    try:
        Held(name=name, size=0, sha256="0" * 64)
        check_name(name)
        name.encode()
    except ValueError:
        return False
    return True


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
    broker = settings.broker.folder / "jetstream"
    usual = (journal_path(settings), settings.data / "points", settings.data / "records.db", broker)
    return tuple(str(_whole(path)) for path in (*usual, records_path(settings) or usual[0]))


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
            left_out.append(f"{name if _can_be_held(name) else ascii(name)}: a link to a folder, or no file")
