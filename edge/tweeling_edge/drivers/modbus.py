"""Sensors and controllers behind Modbus, TCP or RTU: registers that are read in an even beat."""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

from pydantic import Field, model_validator

from tweeling.errors import UnavailableError
from tweeling_edge.drivers import Batch, Look, Site, registry
from tweeling_edge.drivers.polling import Polled, PollSettings
from tweeling_edge.drivers.ports import Parity, open_port
from tweeling_edge.drivers.registers import Question, Register, alone, exception, questions

logging.getLogger("pymodbus").addHandler(logging.NullHandler())  # we tell what is lost, once; it tells each try

_ASK = {
    "holding": "read_holding_registers",
    "input": "read_input_registers",
    "coil": "read_coils",
    "discrete": "read_discrete_inputs",
}
_FORBIDDEN = frozenset({1, 2, 3})  # exceptions that one register may cause for its neighbours
_BEHIND_GATEWAY = frozenset({10, 11})  # exceptions that say that the device is silent
_AGAIN = 1  # over TCP, where an answer says which question it belongs to, one is asked once more
_SEE_ADDRESS = "See `table`, `address` and `type`"
_SEE_DEVICE = "See cable, `device`, `baud` and `parity`"


class ModbusSettings(PollSettings):
    """A device, or a bus of them, and the registers to read."""

    kind: Literal["modbus"] = "modbus"
    host: str = Field("", max_length=255, description="a host name or address (Modbus TCP)")
    tcp_port: int = Field(502, ge=1, le=65_535, description="its port, 1..65535")
    port: str = Field("", max_length=255, description="a serial device such as /dev/serial/by-id/… (Modbus RTU)")
    baud: int = Field(9600, ge=50, le=4_000_000, description="bits a second on a serial line, such as 9600")
    parity: Parity = Field("even", description="none, even or odd; the standard's is even")
    stop_bits: Literal[1, 2] = Field(1, description="1, or 2 (the standard's where there is no parity)")
    timeout_s: float = Field(2, ge=0.05, le=60, description="seconds to wait for an answer, 0.05..60")
    registers: tuple[Register, ...] = Field(min_length=1, max_length=1000, description="tables [[drivers.registers]]")

    @model_validator(mode="after")
    def _makes_sense(self) -> ModbusSettings:
        if bool(self.host) == bool(self.port):
            raise ValueError("a host (Modbus TCP) or a port (Modbus RTU), exactly one of them")
        names = [register.name for register in self.registers]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two registers are both {twice[0]}")
        return self


class _SilentError(Exception):
    """A device does not answer; others on its bus may."""


class Modbus(Polled):
    """One connection. A device that does not answer hinders no other on its bus; nor does a register it forbids."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings, site: Site) -> None:
        """Raise ConfigError where pymodbus is not installed."""
        place = f"{settings.host}:{settings.tcp_port}" if settings.host else settings.port
        super().__init__(f"modbus:{place}", settings, site)
        self._settings = settings
        self._errors = registry.library("pymodbus.exceptions", extra="modbus")
        self._client = _client(settings)
        self._unread: Counter[str] = Counter()  # since the last durable batch
        asked = questions(settings.registers)
        self._devices = [list(group) for _, group in groupby(asked, attrgetter("device"))]

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Yield what each look brought, and how often a register had no value."""
        for batch in super().batches(cursor, stop):
            counted = dict(+self._unread)
            yield replace(batch, unread=counted)
            self._unread.subtract(counted)

    def look(self) -> Iterator[Look]:
        """Read every register once. Raises OSError when nobody is there, UnavailableError when no device answers."""
        unheard: list[Look] = []
        try:
            self._connect()
            for asked in self._devices:
                unheard += yield from self._device(asked)
                if self._stop.is_set():
                    return
        finally:
            self._client.close()  # a controller has few connections, and a line perhaps another reader
        if len(unheard) == len(self._settings.registers):
            raise UnavailableError(f"{self.name}: {unheard[0].wrong}")
        yield from unheard

    def _device(self, asked: list[Question]) -> Generator[Look, None, list[Look]]:
        """Ask one device all its questions; return what it left unanswered, so that silence costs one wait."""
        waiting = list(asked)
        while waiting and not self._stop.is_set():
            question = waiting[0]
            try:
                answer = self._ask(question)
            except _SilentError as exc:
                return [
                    Look(each.name, wrong=str(exc), remedy=_SEE_DEVICE) for left in waiting for each in left.registers
                ]
            del waiting[0]
            if answer.isError() and answer.exception_code in _FORBIDDEN and len(question.registers) > 1:
                apart = alone(question)  # from now on: it does not change by itself
                asked[asked.index(question) : asked.index(question) + 1] = apart
                waiting[:0] = apart
                continue
            yield from self._looks(question, answer)
        return []

    def _looks(self, question: Question, answer: Any) -> Iterator[Look]:
        if answer.isError():
            wrong = f"{exception(answer.exception_code)} (exception {answer.exception_code})"
            yield from (Look(each.name, wrong=wrong, remedy=_SEE_ADDRESS) for each in question.registers)
            return
        bits = question.table in {"coil", "discrete"}  # which come by eight
        words = answer.bits if bits else answer.registers
        if len(words) != question.size and not (bits and len(words) > question.size):
            wrong = f"answered {len(words)} of {question.size}"
            yield from (Look(each.name, wrong=wrong, remedy=_SEE_ADDRESS) for each in question.registers)
            return
        for register, own in question.answers(words):
            look = _look(register, register.value(own))
            if look.wrong:
                self._unread[f"{self.name}: {register.name} {look.wrong}"] += 1
            yield look

    def _ask(self, question: Question) -> Any:
        self._connect()
        ask = getattr(self._client, _ASK[question.table])
        try:
            answer = ask(question.address, count=question.size, device_id=question.device)
        except (self._errors.ConnectionException, OSError) as exc:
            self._client.close()
            raise _SilentError("the other end hung up") from exc  # as some gateways do for a device that is silent
        except self._errors.ModbusException as exc:
            self._let_pass()
            twice = ", asked twice" if self._settings.host else ""
            raise _SilentError(f"no answer within {self._settings.timeout_s:g} s{twice}") from exc
        if answer.isError() and answer.exception_code in _BEHIND_GATEWAY:
            raise _SilentError(exception(answer.exception_code))
        return answer

    def _let_pass(self) -> None:
        """See to it that an answer that comes too late is not taken for the next one's.

        On a serial line nothing says which question an answer belongs to. So nothing is asked there until one that is
        on its way has come.
        """
        if not self._settings.host:
            self._stop.wait(self._settings.timeout_s)
        self._client.close()  # and opened empty

    def _connect(self) -> None:
        # By ourselves, since pymodbus would swallow the reason why it fails.
        settings = self._settings
        if self._client.socket is not None:
            return
        if settings.host:
            self._client.socket = socket.create_connection((settings.host, settings.tcp_port), settings.timeout_s)
            return
        line = open_port(
            settings.port,
            baud=settings.baud,
            parity=settings.parity,
            stop_bits=settings.stop_bits,
            timeout_s=settings.timeout_s,
            extra="modbus",
        )
        line.inter_byte_timeout = self._client.inter_byte_timeout
        self._client.socket = line


def _client(settings: ModbusSettings) -> Any:
    clients = registry.library("pymodbus.client", extra="modbus")
    if settings.host:
        return clients.ModbusTcpClient(
            settings.host, port=settings.tcp_port, timeout=settings.timeout_s, retries=_AGAIN
        )
    registry.library("serial", extra="modbus")
    return clients.ModbusSerialClient(
        settings.port,
        baudrate=settings.baud,
        parity=settings.parity[0].upper(),
        stopbits=settings.stop_bits,
        timeout=settings.timeout_s,
        retries=0,
    )


def _look(register: Register, raw: float) -> Look:
    if raw in register.invalid:
        return Look(register.name, str(raw), wrong="says that it has no value", remedy="See `invalid`")
    return register.look(register.name, raw)
