"""An installation of one's own, made and run by its commands as an administrator would."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from support_broker import DEADLINE
from support_servers import free_port, need

from tweeling.cli.client import HubClient
from tweeling.cli.installation import Installation

TWEELING = [sys.executable, "-m", "tweeling"]


def tweeling(*arguments: str | Path, code: int = 0) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run([*TWEELING, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@dataclass
class RunningHub:
    """`tweeling up`, and every line that it says."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()

    def wait_line(self, part: str, *, seconds: float = 60) -> str:
        """Wait for a line that holds `part`; return it."""

        def found() -> str | None:
            return next((line for line in self.lines if part in line), None)

        with self.changed:
            assert self.changed.wait_for(lambda: found() or self.process.poll() is not None, seconds), self.lines
            line = found()
        assert line is not None, self.lines
        return line

    def terminate(self) -> int:
        """Stop it as a service manager does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@dataclass
class Made:
    """What `tweeling init` made."""

    installation: Installation
    http_port: int
    mqtt_port: int

    @property
    def folder(self) -> Path:
        return self.installation.folder

    def client(self) -> HubClient:
        return HubClient(self.folder)

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command on this installation."""
        return tweeling(*arguments, "--data", self.folder, code=code)

    def configure(self, old: str, new: str) -> None:
        """Change a line of the settings, which must be there."""
        text = self.installation.config.read_text()
        assert old in text
        self.installation.config.write_text(text.replace(old, new))

    @contextmanager
    def up(self, environment: Mapping[str, str] | None = None) -> Iterator[RunningHub]:
        """Run the hub while the block runs, from when it says that it is ready."""
        process = subprocess.Popen(
            [*TWEELING, "up", "--data", str(self.folder)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        hub = RunningHub(process)
        reader = threading.Thread(target=hub.read)
        reader.start()
        try:
            hub.wait_line("hub.ready")
            yield hub
        finally:
            process.kill()
            process.wait()
            reader.join()
            assert process.stderr is not None
            process.stderr.close()


def init(folder: Path, *options: str) -> Made:
    """Make an installation on free ports."""
    need("nats-server")
    http_port, mqtt_port = free_port(), free_port()
    ports = ["--port", str(http_port), "--mqtt-port", str(mqtt_port)]
    tweeling("init", "--data", folder, *ports, *options)
    return Made(Installation(folder), http_port, mqtt_port)


def copied(made: Made, folder: Path) -> Made:
    """The same installation elsewhere: its paths are relative."""
    shutil.copytree(made.folder, folder)
    return replace(made, installation=Installation(folder))


@contextmanager
def notify_socket(path: Path) -> Iterator[socket.socket]:
    """What a service manager listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(DEADLINE)
        yield listener
