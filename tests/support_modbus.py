"""A real Modbus server as a process of its own, over TCP, or over a serial line made of two pseudo terminals.

Run as a program: `tcp PORT` or `rtu DEVICE`. Devices 1 and 2 answer, device 7 hears and is silent.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Self

from support_broker import Server

SHELF = {
    0: [0xFF85],  # int16 -123
    1: [0xFFFF],
    2: [0x4144, 0xCCCD],  # float32 12.3, ABCD
    4: [0xCCCD, 0x4144],  # CDAB
    6: [0x4441, 0xCDCC],  # BADC
    8: [0xCDCC, 0x4441],  # DCBA
    10: [0x7FC0, 0x0000],  # not a number
    12: [0x0001, 0x86A0],  # uint32 100,000
    14: [0x0000, 0x0000, 0x0001, 0x0000],  # int64 65,536
    200: [421],
}
INPUTS = {number: [number] for number in range(300)}
BITS = (False, True, True, False, False, False, False, False)


async def _never(*_: object) -> None:
    await asyncio.Event().wait()


async def _serve(kind: str, where: str) -> None:
    from pymodbus.server import ModbusSerialServer, ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    def block(words: dict[int, list[int]]) -> list[SimData]:
        return [SimData(at, values=list(values), datatype=DataType.REGISTERS) for at, values in words.items()]

    bits = [SimData(0, values=list(BITS) * 2, datatype=DataType.BITS)]
    devices = [SimDevice(number, (bits, bits, block(SHELF), block(INPUTS))) for number in (1, 2)]
    devices.append(SimDevice(7, block(SHELF), action=_never))
    if kind == "tcp":
        server = ModbusTcpServer(devices, address=("127.0.0.1", int(where)))
    else:
        server = ModbusSerialServer(devices, port=where, baudrate=19_200)
    await server.serve_forever(background=True)
    sys.stderr.write("ready\n")
    await asyncio.Event().wait()


def modbus_server(kind: str, where: int | Path) -> Server:
    """Make a server; start it to have it run."""
    return Server([sys.executable, __file__, kind, str(where)], ready="ready")


@contextmanager
def line() -> Iterator[tuple[Path, Path]]:
    """The two ends of a serial line."""
    ends = [os.openpty() for _ in range(2)]
    for _, slave in ends:
        tty.setraw(slave)
    (left, _), (right, _) = ends
    ending, wake = os.pipe()

    def pump() -> None:
        while ending not in (ready := select.select([left, right, ending], [], [])[0]):
            for fd in ready:
                os.write(right if fd == left else left, os.read(fd, 4096))

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield Path(os.ttyname(ends[0][1])), Path(os.ttyname(ends[1][1]))
    finally:
        os.write(wake, b".")
        thread.join()
        for fd in (ending, wake, *(fd for end in ends for fd in end)):
            os.close(fd)


class Slow:
    """A device on a serial line that answers every question, with the address as the value, but late."""

    def __init__(self, port: Path, late_s: float) -> None:
        self.late_s = late_s
        self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        os.close(self._fd)

    def _run(self) -> None:
        from pymodbus.framer.rtu import FramerRTU

        due: list[tuple[float, bytes]] = []
        heard = b""
        while not self._ending.wait(0.005):
            if select.select([self._fd], [], [], 0)[0]:
                heard += os.read(self._fd, 4096)
            while len(heard) >= 8:
                question, heard = heard[:8], heard[8:]
                answer = question[:2] + b"\x02" + question[2:4]
                due.append((monotonic() + self.late_s, answer + FramerRTU.compute_CRC(answer).to_bytes(2, "big")))
            while due and due[0][0] <= monotonic():
                os.write(self._fd, due.pop(0)[1])


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:3]))
