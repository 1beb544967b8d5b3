"""A backup becomes an installation again: judged before anything is touched, and whole before a hub could start on it.

Everything is unpacked and checked in a folder beside its place. Then it is moved in, the settings last: a hub finds
either all of it, or no settings.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tweeling import config
from tweeling.adapters import archive, copies, secretfile
from tweeling.adapters.folders import locked, sync
from tweeling.adapters.journal_audit import at_rest
from tweeling.adapters.journal_file import VERSION
from tweeling.adapters.sql.engine import migrations
from tweeling.bootstrap.readings import journal_path
from tweeling.domain.backup import Manifest, Schemas
from tweeling.errors import ConfigError, UnavailableError
from tweeling.services.confirming import AGAIN
from tweeling.services.relocation import relocate, rename_log

RESTORED = "restored.json"
"""Beside the journal, until the custody log was compared with its ledger."""

_SETTINGS = "tweeling.toml"
_UNPACKED = ".restoring"
_NO_MATTER = frozenset({_UNPACKED, "lost+found"})


class Restored(NamedTuple):
    """What was restored. aside: where the folder's former content is, None where there was none."""

    manifest: Manifest
    aside: Path | None


def known() -> Schemas:
    """The newest schema of each database that this program knows."""
    return Schemas(journal=VERSION, records=migrations()[-1][0])


def verify_backup(file: Path) -> Manifest:
    """Read a backup through; raises ConfigError for what is none, VerificationError where it is damaged."""
    with _opened(file) as backup:
        backup.verify()
        return backup.manifest


def restore(file: Path, folder: Path, *, force: bool = False, new_log: str | None = None) -> Restored:
    """Restore a backup into a folder.

    force: set aside what is in the folder. new_log: the name under which the custody log goes on, where it is behind
    its ledger and may not go on under its own. Raises ConfigError for what cannot be restored here, VerificationError
    for a backup that is damaged, UnavailableError where the disk does not take it; then the folder is as it was.
    """
    folder = folder.absolute()
    with _opened(file) as backup:
        _check(backup.manifest, folder, source=str(file))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(folder):
                aside = _restore(backup, folder.resolve(), force=force, new_log=new_log)
        except BlockingIOError as exc:
            raise ConfigError("is being restored already", source=str(folder), remedy="Wait for it to end") from exc
        except OSError as exc:
            if exc.errno is None:
                raise
            raise UnavailableError(f"{folder}: {exc.strerror}; nothing is restored") from exc
        return Restored(backup.manifest, aside)


def _restore(backup: archive.Archive, folder: Path, *, force: bool, new_log: str | None) -> Path | None:
    there = [entry for entry in folder.iterdir() if entry.name not in _NO_MATTER]
    if there and not force:
        raise ConfigError(
            "is not empty",
            field="--data",
            source=str(folder),
            remedy="Name an empty folder, or add --force: what is there is set aside, and not removed",
        )
    unpacked = folder / _UNPACKED
    shutil.rmtree(unpacked, ignore_errors=True)  # of a restore that was killed
    unpacked.mkdir(mode=0o700)
    try:
        backup.unpack(unpacked)
        _settle_in(backup.manifest, unpacked, folder)
        if new_log is not None:
            _begin_log(unpacked, new_log)
        for path, _, _ in os.walk(unpacked):
            sync(Path(path))
        with _no_hub(folder):
            aside = _set_aside(there, folder) if there else None
            _move_in(unpacked, folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return aside


def _settle_in(manifest: Manifest, unpacked: Path, folder: Path) -> None:
    """Make what was unpacked at home here."""
    names = [held.name for held in manifest.files]
    settings = unpacked / _SETTINGS
    try:
        text = relocate(settings.read_text("utf-8"), before=manifest.folder, now=str(folder), names=names)
    except ValueError as exc:  # of its encoding, or of TOML
        raise ConfigError(f"cannot be read: {exc}", source=_SETTINGS, remedy="Take another backup") from exc
    secretfile.write(settings, text)
    data = config.load(settings).data
    if not (data.is_relative_to(unpacked) and (data / "journal.db").is_file()):
        raise ConfigError("names no folder of the backup that holds a journal", field="data", source=_SETTINGS)
    told = {
        "made_ms": manifest.made_ms,
        "restored_ms": time.time_ns() // 1_000_000,
        "through": manifest.through,
        "log_size": manifest.log_size,
    }
    secretfile.write(data / RESTORED, json.dumps(told, indent=1) + "\n")


def _begin_log(unpacked: Path, origin: str) -> None:
    """Let the entries of the log be the first ones of another, under whose name nothing is signed yet."""
    path = unpacked / _SETTINGS
    before = config.load(path)
    if origin == before.custody.origin:
        raise ConfigError("is this log's name already", field="--new-log", remedy="Name another")
    try:
        secretfile.write(path, rename_log(path.read_text("utf-8"), origin))
    except ValueError as exc:
        raise ConfigError(
            f"cannot be changed: {exc}",
            field="custody.origin",
            source=_SETTINGS,
            remedy="Write it on a line of its own",
        ) from exc
    if config.load(path).custody.origin != origin:
        raise ConfigError("is set by the environment", field="custody.origin", remedy="Unset it there, or change it")
    records = before.data / "records.db"
    if before.records is not None or not records.is_file():
        raise ConfigError("the log is not in records.db", field="--new-log", remedy="Set custody.origin anew yourself")
    copies.forget_heads(records, owed=AGAIN)


def _set_aside(there: list[Path], folder: Path) -> Path:
    aside = folder / f"set-aside-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    aside.mkdir(mode=0o700)
    for entry in sorted(there, key=lambda entry: entry.name != _SETTINGS):  # without them no hub starts on the rest
        if not entry.name.startswith("set-aside-"):
            entry.rename(aside / entry.name)
    return aside


def _move_in(unpacked: Path, folder: Path) -> None:
    for entry in sorted(unpacked.iterdir(), key=lambda entry: entry.name == _SETTINGS):
        if entry.name == _SETTINGS:
            sync(folder)
        entry.rename(folder / entry.name)
    sync(folder)


@contextmanager
def _no_hub(folder: Path) -> Iterator[None]:
    """Keep hubs away from what is in the folder, or raise ConfigError where one has it."""
    journals = {folder / "journal.db"}
    with suppress(ConfigError):
        journals.add(journal_path(config.load(folder / _SETTINGS)))
    with ExitStack() as held:
        for journal in filter(Path.is_file, journals):
            if not held.enter_context(at_rest(journal)):
                raise ConfigError("a hub runs here", field="--data", source=str(folder), remedy="Stop it first")
        yield


def _check(manifest: Manifest, folder: Path, *, source: str) -> None:
    config.refuse_environment("data", "so what is restored would not be found")
    if manifest.schemas.records is not None:
        config.refuse_environment("records", "so the restored ones would not be found")
    manifest.check_known(known(), source=source)
    names = {held.name for held in manifest.files}
    if _SETTINGS not in names or not any(PurePosixPath(name).name == "journal.db" for name in names):
        raise ConfigError(f"holds no {_SETTINGS} or no journal", source=source, remedy="Take another backup")
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if manifest.size > free:
        raise ConfigError(
            f"{manifest.size:,} bytes do not fit, {free:,} are free",
            field="--data",
            source=str(folder),
            remedy="Name a folder on another disk",
        )


@contextmanager
def _opened(file: Path) -> Iterator[archive.Archive]:
    if not file.is_file():
        raise ConfigError("no such file", source=str(file), remedy="Name what `tweeling backup` wrote")
    with archive.opened(file) as backup:
        yield backup
