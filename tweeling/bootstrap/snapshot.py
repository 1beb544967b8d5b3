"""Copies of a hub's stores that belong together, taken while it runs or when it has stopped.

The points first, the records next, the journal last, as an auditor looks at them: so the journal's copy is never behind
what followed it. Nor has it forgotten what they still need: a running hub trims nothing meanwhile, and what was copied
is looked at before it is kept.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tweeling.adapters import copies
from tweeling.adapters.folders import link
from tweeling.bootstrap.belongings import records_path
from tweeling.bootstrap.readings import journal_path
from tweeling.config import Settings
from tweeling.domain.backup import Schemas
from tweeling.errors import UnavailableError
from tweeling.ports.backup import Copied
from tweeling.services.backup import missed
from tweeling.services.projection import Projector

STAGING = ".backup"
"""Where in a hub's data folder its points are copied to; a service may write nowhere else."""

_TRIES = 3
_SPARED_S = 3600.0  # for a copy that takes longer, the look at the end has to do
_LOOK_S = 60.0


class Stores(NamedTuple):
    """Copies by the paths of what they are copies of; through: the journal's newest batch."""

    files: dict[Path, Path]
    schemas: Schemas
    through: int
    log_size: int | None
    left_out: list[str]


class RunningCopy:
    """A `PointsCopy` of a running hub."""

    def __init__(self, points: Copied, data: Path, projector: Projector) -> None:
        self._points = points
        self._data = data
        self._projector = projector
        self._one = threading.Lock()

    def make(self) -> None:
        """See `PointsCopy`."""
        with self._one:
            self._projector.spare(_SPARED_S)
            try:
                self._points.copy_to(_emptied(self._data))
            except BaseException:
                shutil.rmtree(self._data / STAGING, ignore_errors=True)
                raise
            finally:
                self._projector.spare(_LOOK_S)


def copy_points_at_rest(data: Path) -> None:
    """Copy the files of a store that nobody has open, whatever version wrote them; raises OSError."""
    staging = _emptied(data)
    for path in data.glob("points.*"):
        if path.is_dir():
            shutil.copytree(path, staging / path.name, copy_function=link)  # sealed files never change
        else:
            shutil.copyfile(path, staging / path.name)


def copy_stores(settings: Settings, staging: Path, copy_points: Callable[[], object]) -> Stores:
    """Copy every store that is in files, again where the journal has forgotten meanwhile what another needs.

    staging: where records and journal go. Raises UnavailableError where that does not end, or a disk does not take it.
    """
    for _ in range(_TRIES):
        if settings.store.kind == "duckdb":
            copy_points()
        copied, why = _copied(settings, staging)
        if not why:
            return copied
    raise UnavailableError(f"{why}, {_TRIES} times. Back up when less comes in, or stop the hub for it")


def _copied(settings: Settings, staging: Path) -> tuple[Stores, str]:
    """Copies of all stores, the points' being there already; and why these cannot be taken."""
    journal, records = journal_path(settings), records_path(settings)
    files = {path: staging / path.name for path in (records, journal) if path is not None}
    with copies.moments(*files) as moments:
        for db, path in zip(moments, files.values(), strict=True):
            path.unlink(missing_ok=True)
            copies.copy(db, path)
    told = copies.journal_copy(files[journal])
    schemas, log_size, left_out = Schemas(journal=told.schema), None, []
    places: dict[str, int] = {}
    if records is None:
        left_out.append("records: a database server keeps them")
    else:
        kept = copies.records_copy(files[records])
        schemas, log_size = Schemas(journal=told.schema, records=kept.schema), kept.log_size
        places["records"] = kept.applied.get(told.source, 0)
    if settings.store.kind != "duckdb":
        left_out.append(f"points: {settings.store.kind} keeps them")
    else:
        points = settings.data / STAGING
        places["points"] = copies.points_copy(points / "points.duckdb").get(told.source, 0)
        files |= {settings.data / path.relative_to(points): path for path in points.rglob("*") if path.is_file()}
    return (
        Stores(files, schemas, told.last, log_size, left_out),
        missed(places, trimmed=told.trimmed, last=told.last),
    )


def _emptied(data: Path) -> Path:
    staging = data / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=0o700)
    except OSError as exc:
        raise UnavailableError(f"{staging}: {exc.strerror}") from exc
    return staging
