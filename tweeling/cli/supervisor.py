"""Child processes with one owner: started in order, watched, and ended in reverse."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from tweeling.errors import ConfigError, UnavailableError

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    # When the owner is killed nobody is left to ask a second time, and no child may hold ports and files behind it.
    # Each of them is made to survive that.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(slots=True)
class Child:
    """One process: what it is called, how it was started, where it logs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    sink: IO[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def ended(self) -> str | None:
        """How it ended, or None while it runs."""
        code = self.process.poll()
        return None if code is None else how_it_ended(code)

    def tail(self, lines: int = 5) -> str:
        """The last lines it logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Supervisor:
    """Owns children; use as a context manager, and none outlives the block."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self.children: dict[str, Child] = {}

    def start(
        self, name: str, argv: Sequence[str | Path], *, ready: Callable[[], bool] | None = None, within: float = 30
    ) -> Child:
        """Start a child and wait until it is ready; raise UnavailableError with its last words when it is not."""
        log = self._logs / f"{name}.log"
        # A log may name what a stranger should not know, such as the client ids on a broker.
        sink = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the owner alone, which stops the children in order
            preexec_fn=_die_with_parent,  # noqa: PLW1509  no thread runs yet when children start
        )
        child = Child(name, process, log, sink)
        self.children[name] = child
        deadline = time.monotonic() + within
        while ready is not None and not ready():
            if (how := child.ended()) is not None:
                raise UnavailableError(f"{name} {how} before it was ready:\n{child.tail()}")
            if time.monotonic() > deadline:
                raise UnavailableError(f"{name} was not ready within {within:.0f} s:\n{child.tail()}")
            time.sleep(0.05)
        return child

    def stop(self, name: str, *, within: float = 15) -> str:
        """End one child politely, then firmly; return how it ended."""
        child = self.children[name]
        if child.process.poll() is None:
            child.process.terminate()
            try:
                child.process.wait(within)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        child.sink.close()
        return child.ended() or ""

    def stop_all(self) -> None:
        """End every child, the last started first."""
        for name in reversed(self.children):
            self.stop(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop_all()


def how_it_ended(code: int) -> str:
    """What an exit code says, in words."""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def free_port() -> int:
    """Find a loopback port that nobody holds at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def claim(port: int, purpose: str, option: str, *, host: str = "127.0.0.1") -> None:
    """Raise ConfigError if a port is taken, and say by whom where that can be known."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                what = f"{host}:{port} ({purpose}) is no place to listen: {exc.strerror}"
                raise ConfigError(what, field=option, remedy="Choose an address of this machine") from exc
            holder = _holder(port)
            by = f" by {holder}" if holder else ""
            raise ConfigError(
                f"port {port} ({purpose}) is taken{by}", field=option, remedy="Free it or choose another"
            ) from exc


def _holder(port: int) -> str | None:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if any(str(fd.readlink()) in inodes for fd in (entry / "fd").iterdir()):
                return f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
        except OSError:  # another user's process, or one that has just ended: it stays unknown
            continue
    return None
