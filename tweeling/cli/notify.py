"""Telling a service manager how it goes: sd_notify(3), by the socket that it names."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0


class Notifier:
    """Sends states to a service manager; without one it is silent."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take what systemd says out of the environment: it is not meant for our children."""
        self._address = environment.pop("NOTIFY_SOCKET", "")
        watchdog, watched = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        self._failed = False
        self._watched = bool(watchdog) and watched in {"", str(os.getpid())}

    def ready(self, status: str) -> None:
        """Readings are taken in and screens answer."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """What is under way is being finished."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Keep the watchdog quiet, where there is one."""
        if self._watched:
            self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE_S)
                sender.connect(name)
                sender.send(state.encode())
        except OSError as exc:
            if not self._failed:
                log.warning("notify.failed", extra={"reason": str(exc)})
            self._failed = True
