"""Serial ports, opened for one reader alone; every failure is an OSError."""

from __future__ import annotations

import termios
from typing import Any, Literal

from tweeling_edge.drivers import registry

Parity = Literal["none", "even", "odd"]

_WRITE_S = 2.0


def open_port(
    port: str, *, baud: int, parity: Parity, stop_bits: int, timeout_s: float, extra: str, data_bits: int = 8
) -> Any:
    """Open a device or a serial server; raise OSError where that fails, ConfigError where pyserial is not installed.

    timeout_s: how long a read may wait. extra: the one that installs pyserial for this driver.
    """
    serial = registry.library("serial", extra=extra)
    try:
        return serial.serial_for_url(
            port,
            baudrate=baud,
            bytesize=data_bits,
            parity=parity[0].upper(),
            stopbits=stop_bits,
            timeout=timeout_s,
            write_timeout=None if port.startswith("rfc2217://") else _WRITE_S,  # which pyserial refuses there
            exclusive=True,  # a second reader would take every other byte
        )
    except termios.error as exc:  # what a port says that vanishes meanwhile
        raise OSError(f"{port}: {exc}") from exc
