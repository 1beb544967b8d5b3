"""`tweeling backup`, `restore` and `migrate`: what keeps a hub for years."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console

from tweeling import bootstrap, config
from tweeling.cli.client import HubClient
from tweeling.cli.fsck import run_fsck
from tweeling.cli.installation import MAINTAINER, Installation
from tweeling.cli.moments import moment
from tweeling.domain.backup import Manifest
from tweeling.errors import ConfigError

_GONE = "what was acknowledged after that moment is gone from this hub; `tweeling fsck` counts it as nodes come back"
_COMPARED = "the custody log takes nothing in before it has been compared with its ledger"
_ALONE = "without a ledger only partners can tell whether the custody log was longer"


def run_backup(folder: Path, target: Path, *, files_only: bool, as_json: bool, out: Console) -> None:
    """Back up an installation, and tell what is in it."""
    installation = Installation(folder)
    installation.check_owner()
    settings = config.load(installation.config)

    def ask() -> None:
        with HubClient(folder, bearer=MAINTAINER) as hub:
            hub.copy_points()

    with Console(stderr=True).status(f"backing up {folder}"):
        made = bootstrap.make_backup(settings, installation.config, target, ask=ask, files_only=files_only)
    if as_json:
        out.print_json(json.dumps({"file": str(target), "size": made.size, **_as_json(made.manifest)}))
    else:
        out.print(f"{target}: {_bytes(made.size)}, {_sum(made.manifest)}", markup=False)
        _tell_left_out(made.manifest, out)


def run_restore(file: Path, folder: Path, *, force: bool, new_log: str | None, as_json: bool, out: Console) -> int:
    """Restore a backup and audit what it has become; return 0, or the exit code of evidence that does not agree."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if there == folder.absolute() or os.geteuid() == 0:  # whoever is not root owns what it makes, in anybody's folder
        Installation(there).check_owner()
    with Console(stderr=True).status(f"restoring {folder}"):
        done = bootstrap.restore(file, folder, force=force, new_log=new_log)
    told = Console(stderr=True, highlight=False, soft_wrap=True) if as_json else out
    told.print(f"{folder}: {_sum(done.manifest)}", markup=False)
    if done.aside is not None:
        told.print(f"  set aside  {done.aside}", markup=False)
    _tell_left_out(done.manifest, told)
    ledger = config.load(Installation(folder).config).ledger
    for line in (_GONE, _COMPARED if ledger.contract else _ALONE):
        told.print(f"  {line}", markup=False)
    if done.manifest.log_size is not None and new_log is None:
        told.print(f"  {_later(done.manifest.log_size)}", markup=False)
    if done.manifest.schemas.journal < bootstrap.known().journal:
        told.print("  its schema is an older one: run `tweeling migrate`, then `tweeling fsck`", markup=False)
        return 0
    return run_fsck(folder, as_json=as_json, out=out)


def _later(size: int) -> str:
    return (
        f"a checkpoint later than size {size:,} may have been public, and not anchored yet: neither backup nor ledger "
        "knows it, and this log would sign another in its place. If there can have been one, restore with --new-log"
    )


def run_migrate(folder: Path, *, backup: Path | None, no_backup: bool, dry_run: bool, out: Console) -> None:
    """Migrate an installation, and tell what was done."""
    installation = Installation(folder)
    installation.check_owner()
    settings = config.load(installation.config)
    steps = bootstrap.migration(settings)
    if not steps or dry_run:
        for what in [step.what for step in steps] or ["nothing to migrate"]:
            out.print(what, markup=False)
        return
    if (backup is None) != no_backup and any(step.changes for step in steps):
        raise ConfigError(
            "say where the hub is backed up before", field="--backup", remedy="Name a new file, or say --no-backup"
        )
    for what in bootstrap.migrate(settings, installation.config, backup=backup) or ["nothing to migrate"]:
        out.print(what, markup=False)


def run_verify(file: Path, *, as_json: bool, out: Console) -> None:
    """Read a backup through, and tell what is in it."""
    manifest = bootstrap.verify_backup(file)
    if as_json:
        out.print_json(json.dumps({"file": str(file), **_as_json(manifest)}))
    else:
        out.print(f"{file}: whole, {_sum(manifest)}", markup=False)
        _tell_left_out(manifest, out)


def _tell_left_out(manifest: Manifest, out: Console) -> None:
    for line in manifest.left_out:
        out.print(f"  left out  {line}", markup=False)


def _sum(manifest: Manifest) -> str:
    made = moment(manifest.made_ms)
    entries = "" if manifest.log_size is None else f", {manifest.log_size:,} custody entries"
    return (
        f"{len(manifest.files)} files of {_bytes(manifest.size)}, journal through batch {manifest.through:,}"
        f"{entries}, of {made}"
    )


def _as_json(manifest: Manifest) -> dict[str, object]:
    return manifest.model_dump(exclude={"files"}) | {"files": len(manifest.files), "bytes": manifest.size}


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
