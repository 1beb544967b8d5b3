"""An archive of files: tar, compressed by Zstandard, its manifest first, as `tar --zstd -tf` lists it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tweeling.domain.backup import MANIFEST, MAX_MANIFEST, Held, Manifest
from tweeling.errors import ConfigError, VerificationError

_CHUNK = 1 << 20
_MAX_HEADER = 64 << 10
_TAKE_ANOTHER = "Take another backup"


def digest(path: Path, name: str) -> Held:
    """A file as it is now, by its name in an archive."""
    with path.open("rb") as file:
        return Held(
            name=name, size=os.fstat(file.fileno()).st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest()
        )


def write(target: Path, manifest: Manifest, paths: Iterable[Path]) -> None:
    """Write a new archive, durably; the paths are those of the manifest's files, in its order. Raises OSError."""
    with (
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw,
        pa.CompressedOutputStream(pa.PythonFile(raw), "zstd") as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT, bufsize=_CHUNK) as tar,
    ):
        content = manifest.model_dump_json(indent=1).encode() + b"\n"
        tar.addfile(_header(MANIFEST, len(content), manifest), io.BytesIO(content))
        for held, path in zip(manifest.files, paths, strict=True):
            with path.open("rb") as file:
                tar.addfile(_header(held.name, held.size, manifest), file)
    with target.open("rb") as written:  # closed by the compressor, which knows no disk
        os.fsync(written.fileno())


class Archive:
    """An archive that is read once, from its front; its `manifest` is known before anything else."""

    def __init__(self, tar: tarfile.TarFile, source: str) -> None:
        self._tar = tar
        self._source = source
        self.manifest = Manifest.parse(self._first(), source=source)

    def verify(self) -> None:
        """Read it to its end, and raise VerificationError where it is not what its manifest says."""
        for _, chunks in self._files():
            for _ in chunks:
                pass

    def unpack(self, folder: Path) -> None:
        """Write every file into an empty folder, for its owner alone, durably; raises VerificationError, OSError."""
        for held, chunks in self._files():
            path = folder / held.name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())

    def _first(self) -> bytes:
        first = self._tar.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST:
            raise ConfigError(f"does not begin with {MANIFEST}", source=self._source, remedy="It is no backup of a hub")
        return b"".join(self._chunks(first))

    def _files(self) -> Iterator[tuple[Held, Iterator[bytes]]]:
        for held in self.manifest.files:
            entry = self._tar.next()
            if entry is None:
                raise self._wrong("ends before this file", held.name)
            # Nothing but this file of this size is ever read: an archive can name no other place, and grow no larger.
            if (entry.name, entry.size) != (held.name, held.size) or not entry.isreg():
                raise self._wrong(f"stands where {entry.name[:200]!r} is, of {entry.size} bytes", held.name)
            yield held, self._checked(held, entry)
        if self._tar.next() is not None:
            raise self._wrong("does not name every file", MANIFEST)

    def _checked(self, held: Held, entry: tarfile.TarInfo) -> Iterator[bytes]:
        found = hashlib.sha256()
        for chunk in self._chunks(entry):
            found.update(chunk)
            yield chunk
        if found.hexdigest() != held.sha256:
            raise self._wrong("is not what was backed up", held.name)

    def _chunks(self, entry: tarfile.TarInfo) -> Iterator[bytes]:
        file = self._tar.extractfile(entry)
        left = entry.size
        while file is not None and left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise self._wrong("is cut short", entry.name)
            left -= len(chunk)
            yield chunk

    def _wrong(self, what: str, field: str) -> VerificationError:
        return VerificationError(f"{what}. {_TAKE_ANOTHER}", field=f"{self._source}: {field}")


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Read an archive; raises ConfigError for what is none, VerificationError for one that is damaged."""
    try:
        with (
            path.open("rb") as raw,
            pa.CompressedInputStream(pa.PythonFile(raw), "zstd") as packed,
            tarfile.open(fileobj=packed, mode="r|", bufsize=_CHUNK, tarinfo=_Header) as tar,
        ):
            yield Archive(tar, str(path))
    except (tarfile.TarError, EOFError) as exc:
        raise _damaged(path, exc) from exc
    except OSError as exc:
        if exc.errno is None:  # the decompressor's; what the disk says has a number
            raise _damaged(path, exc) from exc
        raise


class _Header(tarfile.TarInfo):
    """A header that needs little memory; tarfile would read the longest extension of one whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in tarfile.REGULAR_TYPES and self.size > _MAX_HEADER:
            raise tarfile.ReadError("a header is too long")
        made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # made to be overridden
        return made


def _header(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, manifest.made_ms // 1000
    return header


def _damaged(path: Path, exc: Exception) -> VerificationError:
    return VerificationError(f"is damaged or no backup: {exc}. {_TAKE_ANOTHER}", field=str(path))
