"""A program as its user starts it: its log in a file, killed as a power cut would, started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from support_broker import until

_TAIL, _WIDTH = 25, 240


class Program:
    """One process at a time, in a session of its own; every life writes to the same log file."""

    def __init__(
        self, name: str, argv: Sequence[str | Path], *, ready: str, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.argv = [str(part) for part in argv]
        self.ready = ready
        self.log = log
        self.lives = 0
        self.startup_calls = 0  # read and write calls up to the moment when it was ready
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: list[int] = []
        self._began = 0  # where in the log this life starts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it; wait until it says that it is ready."""
        assert not self.running, f"{self.name} runs already"
        self.lives += 1
        with self.log.open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                self.argv, stdout=log, stderr=subprocess.STDOUT, env=self._env, start_new_session=True
            )
        self._sessions.append(self._process.pid)
        if wait:
            self.wait_line(self.ready)
            self.startup_calls = self.startup_calls or self.calls()

    def kill(self) -> None:
        """Kill the process with -9, as a power cut would; whatever it had started must follow it."""
        self._signal(signal.SIGKILL)
        until(lambda: not self.remains(), f"no process that the killed {self.name} had started is left")

    def terminate(self, *, seconds: float = 30.0) -> int:
        """Ask for the end as a service manager does; return the exit code."""
        return self._signal(signal.SIGTERM, seconds=seconds)

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.running:
            self._signal(signal.SIGKILL)
        for pid in self.remains():
            os.kill(pid, signal.SIGKILL)

    def lines(self, *, all_lives: bool = False) -> list[str]:
        """What it said in this life."""
        with self.log.open("rb") as log:
            log.seek(0 if all_lives else self._began)
            return log.read().decode(errors="replace").splitlines()

    def wait_line(self, part: str, *, seconds: float = 60.0) -> str:
        """Wait until this life's log has a line with this."""

        def found() -> str | None:
            return next((line for line in self.lines() if part in line), None)

        until(lambda: found() or not self.running, f"{self.name} says {part!r}", seconds=seconds)
        assert found(), f"{self.name} ended before it said {part!r}"
        return found() or ""

    def said(self, part: str) -> int:
        """How many lines of all its lives hold this."""
        return sum(part in line for line in self.lines(all_lives=True))

    def tail(self) -> str:
        """The end of its log."""
        shown = [line[:_WIDTH] for line in self.lines(all_lives=True)[-_TAIL:]] if self.log.exists() else []
        return "\n".join([f"--- {self.name}, life {self.lives}, {'up' if self.running else 'down'}", *shown])

    def calls(self) -> int:
        """How many read and write calls it has made: progress that needs no word of its own."""
        try:
            text = Path(f"/proc/{self.pid}/io").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return 2**63
        return sum(int(count) for count in re.findall(r"sysc[rw]: (\d+)", text))

    def resident_mb(self) -> float:
        """Resident memory of the process and of whatever it has started."""
        return sum(_resident_kb(pid) for pid in _members(self.pid)) / 1024

    def children(self) -> list[int]:
        """Processes that it has started and that live."""
        return [pid for pid in _members(self.pid) if pid != self.pid]

    def remains(self) -> list[int]:
        """Processes of its sessions that live though it does not."""
        alive = {self.pid} if self.running else set()
        return [pid for session in self._sessions for pid in _members(session) if pid not in alive]

    def _signal(self, number: int, *, seconds: float = 30.0) -> int:
        assert self._process is not None, f"{self.name} does not run"
        self._process.send_signal(number)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:.0f} s") from None


class Guard:
    """Ends programs, and tells on failure what each said last."""

    def __init__(self, programs: Callable[[], Sequence[Program]]) -> None:
        self._programs = programs
        self.story: list[str] = []

    def tell(self, line: str) -> None:
        """Note what is done to them."""
        self.story.append(line)

    def explain(self, exc: BaseException) -> None:
        """Add the story so far and the ends of all logs."""
        exc.add_note("\n".join(["what was done:", *self.story, *(each.tail() for each in self._programs())]))

    def end(self) -> None:
        """End them all, by their own ids."""
        for each in self._programs():
            each.end()


def _members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[3]) == session and stat[0] != "Z":
                found.append(int(entry.name))
    return found


def _resident_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    match = re.search(r"VmRSS:\s+(\d+)", text)
    return int(match[1]) if match else 0
