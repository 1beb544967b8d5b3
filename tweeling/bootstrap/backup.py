"""A backup of a hub that runs or has stopped: one file with all that another machine needs to go on.

The points first, the records next, the journal last, as an auditor looks at them: so the journal's copy is never behind
what followed it. Nor has it forgotten what they still need, which is looked at before anything is kept.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tweeling.adapters import archive, copies
from tweeling.adapters.folders import locked, sync
from tweeling.adapters.journal_audit import at_rest
from tweeling.bootstrap.belongings import belongings, records_path
from tweeling.bootstrap.readings import journal_path, points_of
from tweeling.config import Settings
from tweeling.domain.backup import Manifest, Schemas, place
from tweeling.errors import ConfigError, UnavailableError
from tweeling.ports.backup import Copied
from tweeling.services.backup import missed
from tweeling.services.projection import Projector

STAGING = ".backup"
"""Where in a hub's data folder a copy of its points is made; removed when it is in the backup."""

_TRIES = 3
_SPARED_S = 3600.0  # a copy that takes longer is looked at closely before it is kept
_LOOK_S = 60.0
_PARTIAL = ".tweeling-partial"


class Made(NamedTuple):
    """A backup that is whole and on the disk."""

    size: int
    manifest: Manifest


class _Stores(NamedTuple):
    files: dict[str, Path]
    schemas: Schemas
    through: int
    log_size: int | None
    left_out: list[str]


def make_backup(
    settings: Settings, config: Path, target: Path, *, ask: Callable[[], object], files_only: bool = False
) -> Made:
    """Back up the hub of these settings into a new file.

    config: the settings' file; its folder is the installation's. ask: has a running hub copy its points.
    files_only: leave out what database servers keep. Raises ConfigError for a target that cannot be, UnavailableError
    where a disk or the hub does not do its part; then nothing is left of the attempt.
    """
    folder = config.parent.resolve()
    target = target.absolute()
    _check_servers(settings, files_only=files_only)
    _check_target(target, folder)
    try:
        with _one_at_a_time(settings.data), _staging(target) as staging, at_rest(journal_path(settings)) as rests:
            stores = _copy_stores(settings, folder, staging, (lambda: _copy_points_at_rest(settings)) if rests else ask)
            plain, left_out = belongings(settings, folder)
            files = {**_frozen(plain, staging / "plain"), **stores.files}
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


class RunningCopy:
    """A `PointsCopy`: the journal is not trimmed meanwhile, nor until a backup had time to look at it."""

    def __init__(self, points: Copied, data: Path, projector: Projector) -> None:
        self._points = points
        self._data = data
        self._projector = projector
        self._one = threading.Lock()

    def make(self) -> None:
        """See `PointsCopy`."""
        with self._one:
            self._projector.spare(_SPARED_S)
            _copy_points(self._points, self._data)
            self._projector.spare(_LOOK_S)


def _copy_points(points: Copied, data: Path) -> None:
    """Copy a store to where a backup of this data folder looks for it."""
    place_ = data / STAGING
    shutil.rmtree(place_, ignore_errors=True)
    try:
        place_.mkdir(mode=0o700)
    except OSError as exc:
        raise UnavailableError(f"{place_}: {exc.strerror}") from exc
    try:
        points.copy_to(place_)
    except BaseException:
        shutil.rmtree(place_, ignore_errors=True)
        raise


def _copy_points_at_rest(settings: Settings) -> None:
    with closing(points_of(settings)) as points:
        if isinstance(points, Copied):
            _copy_points(points, settings.data)


def _copy_stores(settings: Settings, folder: Path, staging: Path, copy: Callable[[], object]) -> _Stores:
    """Copy every store, again where the journal has forgotten meanwhile what another needs."""
    for _ in range(_TRIES):
        if settings.store.kind == "duckdb":
            copy()
        found, why = _look(settings, folder, staging)
        if not why:
            return found
    raise UnavailableError(f"{why}, {_TRIES} times. Back up when less comes in, or stop the hub for it")


def _look(settings: Settings, folder: Path, staging: Path) -> tuple[_Stores, str]:
    journal, records = journal_path(settings), records_path(settings)
    sources = [path for path in (records, journal) if path is not None]
    files = {place(str(path.absolute()), str(folder)): staging / path.name for path in sources}
    with copies.moments(*sources) as moments:
        for db, path in zip(moments, files.values(), strict=True):
            path.unlink(missing_ok=True)
            copies.copy(db, path)
    told = copies.journal_copy(files[place(str(journal.absolute()), str(folder))])
    schemas = Schemas(journal=told.schema)
    places: dict[str, int] = {}
    log_size = None
    left_out = []
    if records is None:
        left_out.append("records: a database server keeps them")
    else:
        kept = copies.records_copy(staging / records.name)
        schemas = Schemas(journal=told.schema, records=kept.schema)
        places["records"] = kept.applied.get(told.source, 0)
        log_size = kept.log_size
    if settings.store.kind != "duckdb":
        left_out.append(f"points: {settings.store.kind} keeps them")
    else:
        copied = settings.data / STAGING
        with closing(points_of(settings.model_copy(update={"data": copied}), read_only=True)) as points:
            places["points"] = points.applied(told.source)
        for path in sorted(copied.rglob("*")):
            if path.is_file():
                files[place(str((settings.data / path.relative_to(copied)).absolute()), str(folder))] = path
    return (
        _Stores(files, schemas, told.last, log_size, left_out),
        missed(places, trimmed=told.trimmed, last=told.last),
    )


def _frozen(plain: Mapping[str, Path], staging: Path) -> dict[str, Path]:
    """Copies of small files, which may change while they are read again."""
    staging.mkdir()
    copied = {name: staging / str(number) for number, name in enumerate(plain)}
    for name, path in plain.items():
        shutil.copyfile(path, copied[name])
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
def _staging(target: Path) -> Iterator[Path]:
    """A private folder beside the target; those that killed backups left here are removed."""
    for left in target.parent.glob(f".*{_PARTIAL}"):
        with suppress(OSError), locked(left):  # another backup's own
            shutil.rmtree(left, ignore_errors=True)
    made = target.with_name(f".{target.name}{_PARTIAL}")
    made.mkdir(mode=0o700)
    try:
        with locked(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


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
