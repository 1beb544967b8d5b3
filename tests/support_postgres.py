"""A PostgreSQL of one's own: on loopback, with a password, in a folder that goes with it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from support_servers import lasting_port, need

_USER = "tweeling"
_READY = "database system is ready to accept connections"


@dataclass
class Postgres:
    """A server that can be killed and started again on the same files."""

    folder: Path
    port: int = field(default_factory=lasting_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _process: subprocess.Popen[str] | None = None
    _reader: Thread | None = None

    def url(self, database: str = "postgres", **query: str) -> str:
        made = sa.URL.create("postgresql+pg8000", _USER, self.password, "127.0.0.1", self.port, database, query=query)
        return made.render_as_string(hide_password=False)

    def new_database(self) -> str:
        """The URL of a database that nobody has seen yet."""
        name = f"hub_{secrets.token_hex(4)}"
        self.query(f"CREATE DATABASE {name}")
        return self.url(name)

    def query(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Ask as its administrator, outside any transaction."""
        engine = sa.create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                found = connection.exec_driver_sql(statement)
                return [tuple(row) for row in found] if found.returns_rows else []
        finally:
            engine.dispose()

    def prepare(self) -> None:
        """Make the files, with a collation that is not that of bytes."""
        owned = self.folder / "password"
        owned.write_text(self.password)
        if os.getuid() == 0:
            for path in (self.folder, owned):
                shutil.chown(path, "postgres", "postgres")
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu")
        more = ("--icu-locale=en", "--username", _USER, "--pwfile", str(owned))
        made = subprocess.run(
            [*_as_nobody_special(), need("initdb"), "-D", str(self.folder / "data"), *options, *more],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr

    def certificate(self, files: tuple[Path, Path] | None) -> tuple[str, ...]:
        """Settings of a server that speaks TLS, if there are files for it, which become its own."""
        if files is None:
            return ()
        mine = [Path(shutil.copy(path, self.folder)) for path in files]
        for path in mine:
            path.chmod(0o600)
            if os.getuid() == 0:
                shutil.chown(path, "postgres", "postgres")
        return ("ssl=on", f"ssl_cert_file={mine[0]}", f"ssl_key_file={mine[1]}")

    def start(self, *settings: str) -> None:
        options = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}"]
        flags = [word for option in (*options, *settings) for word in ("-c", option)]
        self._process = subprocess.Popen(
            [*_as_nobody_special(), need("postgres"), "-D", str(self.folder / "data"), *flags],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        pipe = self._process.stderr
        assert pipe is not None
        told: list[str] = []
        while not (told and _READY in told[-1]):
            told.append(pipe.readline())
            assert told[-1], "".join(told)
        self._reader = Thread(target=pipe.read)  # a full pipe would stop the server
        self._reader.start()

    @property
    def running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """End it and all its sessions at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an administrator would who does not wait for sessions."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or self._reader is None:
            return
        if how is signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        process.wait(30)
        self._reader.join()
        assert process.stderr is not None
        process.stderr.close()
        self._process = None


@contextmanager
def postgres(*, certified: tuple[Path, Path] | None = None) -> Iterator[Postgres]:
    """Run a server while the block runs. certified: its certificate and the key to it."""
    need("postgres")
    # Not in pytest's own folder, which the server's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="tweeling-pg-"))
    server = Postgres(folder)
    try:
        server.prepare()
        server.start(*server.certificate(certified))
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


def records_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty record store: `sqlite` in a folder, or `postgresql` in the tests' own server."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'records.db'}"
    server: Postgres = request.getfixturevalue("database_server")
    return server.new_database()


def _as_nobody_special() -> list[str]:
    """PostgreSQL refuses to run as root; Debian made it a user."""
    if os.getuid() != 0:
        return []
    return [need("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
