"""A backup of a hub: one file with all that another machine needs to go on, or none."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tweeling.adapters import archive
from tweeling.adapters.folders import locked, sync
from tweeling.adapters.journal_audit import at_rest
from tweeling.bootstrap.belongings import belongings, records_path
from tweeling.bootstrap.readings import journal_path
from tweeling.bootstrap.snapshot import STAGING, copy_points_at_rest, copy_stores
from tweeling.config import Settings, refuse_environment
from tweeling.domain.backup import Manifest, place
from tweeling.errors import ConfigError, UnavailableError

_PARTIAL = ".tweeling-partial"


class Made(NamedTuple):
    """A backup that is whole and on the disk."""

    size: int
    manifest: Manifest


def make_backup(
    settings: Settings, config: Path, target: Path, *, ask: Callable[[], object], files_only: bool = False
) -> Made:
    """Back up the hub of these settings into a new file.

    config: the settings' file; its folder is the installation's. ask: has a running hub copy its points.
    files_only: leave out what database servers keep. Raises ConfigError for a target that cannot be, or for places that
    only the environment names; UnavailableError where a disk or the hub does not do its part; then nothing is left of
    the attempt.
    """
    refuse_environment("data", "and no backup holds that")
    if records_path(settings) is not None:
        refuse_environment("records", "and no backup holds that")
    folder = config.parent.resolve()
    target = target.absolute()
    _check_servers(settings, files_only=files_only)
    _check_target(target, folder)
    try:
        with _one_at_a_time(settings.data), _staging(target) as staging, at_rest(journal_path(settings)) as rests:
            stores = copy_stores(settings, staging, (lambda: copy_points_at_rest(settings.data)) if rests else ask)
            plain, left_out = belongings(settings, folder)
            copied = {**_frozen(plain, staging / "plain"), **stores.files}
            files = {place(os.path.abspath(path), str(folder)): copy for path, copy in copied.items()}  # noqa: PTH100
            manifest = Manifest(
                tweeling=version("tweeling"),
                made_ms=time.time_ns() // 1_000_000,
                folder=str(folder),
                schemas=stores.schemas,
                through=stores.through,
                log_size=stores.log_size,
                left_out=[*stores.left_out, *left_out],
                files=[archive.digest(path, name) for name, path in files.items()],
            )
            archive.write(staging / "archive", manifest, files.values())
            (staging / "archive").rename(target)
            sync(target.parent)
    except OSError as exc:
        raise UnavailableError(f"{target}: {exc.strerror or exc}; nothing is kept of this backup") from exc
    return Made(target.stat().st_size, manifest)


def _frozen(plain: list[Path], staging: Path) -> Mapping[Path, Path]:
    """Copies of small files, which may change while they are read again."""
    staging.mkdir()
    copied = {path: staging / str(number) for number, path in enumerate(plain)}
    for path, copy in copied.items():
        shutil.copyfile(path, copy)
    return copied


def _check_servers(settings: Settings, *, files_only: bool) -> None:
    if files_only:
        return
    remedy = "Back the server up with its own tools, then take this backup with --files-only"
    if records_path(settings) is None:
        raise ConfigError("a database server keeps the records", field="records", remedy=remedy)
    if settings.store.kind not in {"duckdb", "memory"}:
        raise ConfigError(f"{settings.store.kind} keeps the points", field="store.kind", remedy=remedy)


def _check_target(target: Path, folder: Path) -> None:
    if target.exists() or target.is_symlink():
        raise ConfigError("exists already", source=str(target), remedy="Name a new file: no backup is written over")
    if not target.parent.is_dir():
        raise ConfigError("no such folder", source=str(target.parent), remedy="Make it, or name another")
    if target.resolve().is_relative_to(folder):
        raise ConfigError(
            "lies in the folder that is backed up", source=str(target), remedy="Name a file on another disk"
        )


@contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    try:
        with locked(data):
            try:
                yield
            finally:
                shutil.rmtree(data / STAGING, ignore_errors=True)
    except BlockingIOError as exc:
        raise ConfigError("is being backed up already", source=str(data), remedy="Wait for it to end") from exc


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A private folder beside the target; those that killed backups left here are removed."""
    for left in target.parent.glob(f".*{_PARTIAL}"):
        with suppress(OSError), locked(left):  # held where that backup is still being made
            shutil.rmtree(left, ignore_errors=True)
    made = target.with_name(f".{target.name}{_PARTIAL}")
    made.mkdir(mode=0o700)
    try:
        with locked(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
