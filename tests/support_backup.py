"""Backups made, and archives as others would make them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from tweeling import bootstrap, config
from tweeling.bootstrap.backup import Made


def _nobody() -> None:
    raise AssertionError("no hub runs, so none is asked")


def make(folder: Path, target: Path, *, files_only: bool = False, ask: Callable[[], object] = _nobody) -> Made:
    """Back an installation up."""
    path = folder / "tweeling.toml"
    return bootstrap.make_backup(config.load(path), path, target, ask=ask, files_only=files_only)


def contents(archive: Path) -> dict[str, bytes]:
    """Every file of an archive, as a tool of others reads it."""
    raw = pa.input_stream(str(archive), compression="zstd").read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {entry.name: (tar.extractfile(entry) or io.BytesIO()).read() for entry in tar}


def packed(target: Path, files: Mapping[str, bytes], *, second: tarfile.TarInfo | None = None) -> Path:
    """An archive of these files, with an entry more behind the first."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number, (name, content) in enumerate(files.items()):
            if number == 1 and second is not None:
                tar.addfile(second)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with pa.output_stream(str(target), compression="zstd") as out:
        out.write(plain.getvalue())
    return target
