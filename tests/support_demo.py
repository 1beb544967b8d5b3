"""A demo that runs as its user would run it, and what a test may ask of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tweeling.cli.client import HubClient

TWEELING = [sys.executable, "-m", "tweeling"]
ANY_PORT = ["--port", "0", "--mqtt-port", "0", "--chain-port", "0"]


@dataclass(frozen=True)
class RunningDemo:
    """One that has said where its dashboard is."""

    folder: Path
    url: str
    password: str

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command beside it; return what it printed."""
        done = subprocess.run(
            [*TWEELING, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def client(self) -> HubClient:
        """Speak to its hub."""
        return HubClient(self.folder)


@contextmanager
def running_demo(folder: Path, *, within: float = 180) -> Iterator[RunningDemo]:
    """Start a demo, wait until it greets, and end it with Ctrl-C."""
    command = [*TWEELING, "demo", "--data", str(folder), *ANY_PORT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        guard = threading.Timer(within, process.kill)
        guard.start()
        try:
            greeted = _greeted(process, folder)
            guard.cancel()
            yield greeted
        finally:
            guard.cancel()
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=90)[0]
        assert process.returncode == 0, rest


def _greeted(process: subprocess.Popen[str], folder: Path) -> RunningDemo:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            url, password = re.search(r"Dashboard\s+(\S+)", said), re.search(r"Password\s+(\S+)", said)
            assert url is not None
            assert password is not None
            return RunningDemo(folder, url[1], password[1])
    raise AssertionError(f"the demo did not start:\n{said}")


def headless(folder: Path, seconds: int) -> subprocess.Popen[str]:
    """Start a demo that sums up by itself."""
    command = [*TWEELING, "demo", "--headless", "--for", f"{seconds}s", "--json", "--data", str(folder), *ANY_PORT]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def summary(process: subprocess.Popen[str]) -> dict[str, object]:
    """Wait for its end and read the summary."""
    stdout, stderr = process.communicate(timeout=240)
    assert stdout.strip(), stderr
    answer: dict[str, object] = json.loads(stdout.strip().splitlines()[-1])
    return {**answer, "exit_code": process.returncode}


def children(pid: int) -> dict[int, str]:
    """The processes that a process has started, with their command lines."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
    return found


def kill(pid: int) -> None:
    """End a process as a power cut would."""
    os.kill(pid, signal.SIGKILL)
