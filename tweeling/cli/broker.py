"""The embedded broker beside its hub: configured from the hub's settings, kept running, ended after the hub."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tweeling.adapters import nats
from tweeling.adapters.tls import serving
from tweeling.cli import owned
from tweeling.cli.supervisor import claim, how_it_ended
from tweeling.config import BrokerSettings
from tweeling.errors import ConfigError, UnavailableError

log = logging.getLogger("tweeling.broker")

_READY = "Server is ready"
_START_S = 30.0
_STOP_S = 10.0
_RETRY_S = (0.5, 30.0)
_STEADY_S = 60.0  # one that lived so long starts the waiting anew


@contextmanager
def users_of(settings: BrokerSettings) -> Iterator[dict[nats.NodeName, Path]]:
    """Hold the broker's list of nodes, and the files of their credentials, against everyone who would change it."""
    try:
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (settings.folder / "lock").open("a+")
    except OSError as exc:
        raise ConfigError(
            f"cannot be written: {exc.strerror}",
            field="broker.folder",
            source=str(settings.folder),
            remedy="It should be a folder of the hub's user",
        ) from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield nats.known_nodes(settings.folder)


def configure(settings: BrokerSettings, nodes: Iterable[nats.NodeName]) -> nats.BrokerConfig:
    """Write the broker's configuration for these nodes; hold `users_of` meanwhile."""
    tls, shown = settings.tls, None
    if tls is not None and tls.cert_file is not None and tls.key_file is not None:
        serving(tls.cert_file, tls.key_file, field="broker.tls")  # the broker's own words for it name no setting
        shown = nats.Shown(tls.cert_file, tls.key_file)
    return nats.write_config(settings.folder, nodes, host=settings.host, port=settings.port, tls=shown)


class EmbeddedBroker:
    """A broker that is started again when it ends; use as a context manager.

    Raises ConfigError when its port is taken, UnavailableError with its last words when it does not start.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        claim(settings.port, "broker", "broker.port", host=settings.host)
        with users_of(settings) as nodes:
            made = configure(settings, nodes)
        # The launcher makes it end with us, even when we are killed: nobody else may hold its port and files.
        launcher = [sys.executable, "-I", "-S", owned.__file__, str(os.getpid())]
        self._command = [*launcher, *nats.command(made.conf)]
        self._voice = Voice(nats.Credentials.load(made.hub).client_id)
        self._stop = threading.Event()
        self._settled = threading.Event()  # it has been ready once, or will never be
        self._ready = False
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def reload(self) -> None:
        """Have it read its certificates and users again; one that is down reads them when it is back."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._settled.wait(_START_S) or not self._ready:
            self._end()
            raise UnavailableError(f"the embedded broker did not start: {self._voice.last_words}")
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        if (process := self._process) is not None:
            process.terminate()
        self._thread.join(_STOP_S)
        if self._thread.is_alive() and process is not None:
            process.kill()
            self._thread.join()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        pause, longest = _RETRY_S
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                how = self._live()
            except OSError as exc:  # no memory for another process, perhaps
                how = f"could not be started: {exc}"
            if self._stop.is_set():
                return
            if not self._settled.is_set():
                self._settled.set()
                return
            if self._ready:
                self._ready = False
                log.error("broker.ended", extra={"how": how, "last_words": self._voice.last_words})
            pause = _RETRY_S[0] if time.monotonic() - began > _STEADY_S else min(pause * 2, longest)
            self._stop.wait(pause)

    def _live(self) -> str:
        """One life of the broker; return how it ended."""
        with subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the hub alone, which ends its broker last
        ) as process:
            self._process = process
            if self._stop.is_set():  # told to end before there was anything to end
                process.terminate()
            for line in process.stdout or ():
                if self._voice.hear(line) and not self._ready:
                    self._ready = True
                    log.info(
                        "broker.restarted" if self._settled.is_set() else "broker.started", extra={"pid": process.pid}
                    )
                    self._settled.set()
        return how_it_ended(process.returncode)


class Voice:
    """What the broker says, as events of the hub's log: troubles as warnings, the rest for who debugs.

    A client id is a key to its session, so none is passed on. Strangers can make a broker talk; no more than `most`
    of its troubles are told in a minute, and then how many there were.
    """

    _LINE = re.compile(r"^\[\d+\] \S+ \S+ \[(\w+)\] ?(.*)$")
    _CLIENT = re.compile(r'(mid:\d+ - )"[^"]*"')
    _TROUBLE = frozenset({"WRN", "ERR", "FTL"})
    _INTENDED = ("Plaintext passwords detected",)  # random ones, in a file that is its owner's alone: see `nats`

    def __init__(self, client_id: str, *, most: int = 10) -> None:
        self._client_id = client_id
        self._most = most
        self._told = self._untold = 0
        self._minute = time.monotonic()
        self._last: deque[str] = deque(maxlen=3)

    @property
    def last_words(self) -> str:
        """Its last troubles, or whatever it said last."""
        return "; ".join(self._last)

    def hear(self, line: str) -> bool:
        """Pass a line on; say whether it was that the broker is ready."""
        match = self._LINE.match(line.rstrip())
        kind, text = match.groups() if match else ("ERR", line.strip())
        text = self._CLIENT.sub(r'\1"…"', text.replace(self._client_id or "\0", "…"))
        if kind in self._TROUBLE and not text.startswith(self._INTENDED):
            self._last.append(text)
            self._warn(text)
        elif text:
            log.debug("broker.says", extra={"text": text})
        return kind == "INF" and text == _READY

    def _warn(self, text: str) -> None:
        if time.monotonic() - self._minute >= 60:
            if self._untold:
                log.warning("broker.troubles", extra={"untold": self._untold})
            self._told = self._untold = 0
            self._minute = time.monotonic()
        if self._told < self._most:
            self._told += 1
            log.warning("broker.says", extra={"text": text})
        else:
            self._untold += 1
