"""A weighbridge or scale behind a serial line: each load that rests on it, or each ticket it prints, is a weighing."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tweeling.errors import UnavailableError
from tweeling.wire.senml import Resolved
from tweeling_edge.drivers import Batch, Look, Site, registry
from tweeling_edge.drivers.ports import Parity, open_port
from tweeling_edge.logs import TELL_EVERY_S, Seldom
from tweeling_edge.sample import Sample
from tweeling_edge.scale.frames import Framer, Framing, Noise
from tweeling_edge.scale.protocols import PUBLISHED, Checksum, Pattern, Protocol
from tweeling_edge.scale.reading import GRAMS, NotUnderstood, Reading, Said, known_unit
from tweeling_edge.scale.weighing import Counts, Memory, Rules, Tickets, Watch, Weighing
from tweeling_edge.settings import DriverSettings

log = logging.getLogger("tweeling_edge.drivers")

_LOOK_S = 0.2  # how long a read waits, and so how long a stop may take
_SILENT_S = 30.0
_SHOWN = 60
_PUBLISHED = tuple(PUBLISHED)


class SerialSettings(DriverSettings):
    """A scale's indicator, what it says, and what its weighings mean."""

    kind: Literal["serial"] = "serial"
    port: str = Field(
        pattern=r"^(/|socket://|rfc2217://)",
        description="a device such as /dev/serial/by-id/…, or socket://host:port of a serial server",
    )
    baud: int = Field(9600, ge=50, le=4_000_000, description="bits a second, such as 9600")
    data_bits: Literal[7, 8] = Field(8, description="7 or 8")
    parity: Parity = Field("none", description="none, even or odd")
    stop_bits: Literal[1, 2] = Field(1, description="1 or 2")

    protocol: str = Field(description=f"one of {', '.join((*_PUBLISHED, 'pattern'))}")
    pattern: str = Field("", max_length=1000, description='with protocol = "pattern": a regular expression of a frame')
    start: str = Field("", max_length=1, description='with protocol = "pattern": the character each frame begins with')
    end: tuple[str, ...] = Field(
        ("\r", "\n"), min_length=1, description='with protocol = "pattern": what ends a frame, such as ["\\r\\n\\r\\n"]'
    )
    checksum: Checksum = Field("none", description='with protocol = "pattern": none, xor or sum')
    unit: str = Field("", description="the unit of frames that name none: g, kg, t or lb")
    ask: str | None = Field(
        None, max_length=64, description="what makes the indicator speak, where it waits to be asked"
    )
    ask_every_s: float = Field(0.5, ge=0.1, le=3600, description="seconds between two asks, 0.1..3600")
    silent_s: float | None = Field(
        None,
        gt=0,
        description="seconds after which silence means that the line is lost; without it, 30, or never for tickets",
    )

    weigh: Literal["rest", "ticket"] = Field(
        "rest", description="rest (a load that rests is a weighing) or ticket (each frame is one, printed on demand)"
    )
    above_kg: float = Field(gt=0, le=1e6, description="kilograms from which on a load is one")
    below_kg: float | None = Field(
        None, ge=0, le=1e6, description="kilograms up to which the scale is empty, below above_kg; without it, a tenth"
    )
    hold_s: float = Field(3, ge=0, le=600, description="seconds a load must rest unchanged, 0..600")
    counts: Counts = Field("any", description="which weights may be a load: any, gross or net")
    tare_kg: float = Field(0, ge=0, description="a known tare that the indicator does not take off, below above_kg")

    zone: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}$",
        description="the zone the load goes into or comes from, such as H1-A",
    )
    direction: Literal["in", "out"] = Field(description="in or out, seen from the hub")
    material: str = Field(min_length=1, max_length=64, description="what is weighed here, such as beton_puin")
    partner: str = Field("", max_length=64, description="who brings or takes it, if it is always the same")

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, name: str) -> str:
        if name != "pattern" and name not in PUBLISHED:
            raise ValueError(f"no protocol {name[:40]!r}")
        return name

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str) -> str:
        if unit and known_unit(unit) not in GRAMS:
            raise ValueError(f"no unit of mass {unit[:20]!r}")
        return unit

    @field_validator("start", "end", "ask")
    @classmethod
    def _sent_as_it_is(cls, text: Any) -> Any:
        for part in (text,) if isinstance(text, str) else text or ():
            if not part.isascii():
                raise ValueError(f"{part!r} is more than ASCII")
        return text

    @model_validator(mode="after")
    def _makes_sense(self) -> SerialSettings:
        own = self.model_fields_set & {"pattern", "start", "end", "checksum"}
        if self.protocol != "pattern" and own:
            raise ValueError(f'{", ".join(sorted(own))} belong to protocol = "pattern", not {self.protocol!r}')
        if self.empty_kg >= self.above_kg or self.tare_kg >= self.above_kg:
            raise ValueError("below_kg and tare_kg are less than above_kg, or an empty scale would be a load")
        if self.unit and self.protocol.startswith("toledo"):
            raise ValueError(f"every frame of {self.protocol} names its unit: leave `unit` out")
        if "" in self.end:
            raise ValueError("an end is at least one character")
        if self.protocol == "pattern":
            try:
                Pattern(self.pattern, unit=self.unit, checksum=self.checksum)
            except ValueError as exc:
                raise ValueError(f"pattern {exc}") from exc
        self._fits(self.spoken())
        return self

    def _fits(self, protocol: Protocol) -> None:
        if self.counts != "any" and self.counts not in protocol.modes:
            raise ValueError(
                f'counts = "{self.counts}" would count nothing: no frame of {self.protocol} says that it is '
                f"{self.counts}. Leave `counts` out, with `above_kg` above the weight of an empty container"
            )
        repeats = protocol.ask or self.protocol.startswith("toledo")
        if self.weigh == "ticket" and repeats and not protocol.tells_ticket:
            raise ValueError(
                f'weigh = "ticket" would count a load at each frame of {self.protocol}, which is asked for or comes by '
                'itself. Use weigh = "rest", or a pattern with a group `ticket`'
            )

    @property
    def empty_kg(self) -> float:
        """Up to which weight the scale is empty."""
        return self.above_kg / 10 if self.below_kg is None else self.below_kg

    def spoken(self) -> Protocol:
        """The protocol that these settings describe."""
        if self.protocol == "pattern":
            framing = Framing(self.start.encode(), tuple(end.encode() for end in self.end))
            protocol = Protocol(framing, Pattern(self.pattern, unit=self.unit, checksum=self.checksum))
        else:
            protocol = PUBLISHED[self.protocol].of_unit(self.unit)
        return protocol if self.ask is None else replace(protocol, ask=self.ask.encode())

    def rules(self) -> Rules:
        """What is a load."""
        return Rules(
            above_g=_grams(self.above_kg),
            below_g=_grams(self.empty_kg),
            hold_ms=self.hold_s * 1000,
            counts=self.counts,
            tare_g=_grams(self.tare_kg),
        )


class Serial:
    """One indicator. After a restart, or on a line that is back, what still lies there is weighed no second time."""

    Settings = SerialSettings

    def __init__(
        self, settings: SerialSettings, site: Site, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Raise ConfigError where pyserial is not installed."""
        registry.library("serial", extra="serial")
        self._settings = settings
        self._site = site
        self._monotonic_s = monotonic_s
        self._protocol = settings.spoken()
        self._rules = settings.rules()
        self._ticket = settings.weigh == "ticket"
        self._silent_s = settings.silent_s or (float("inf") if self._ticket else _SILENT_S)
        self._watcher: type[Watch | Tickets] = Tickets if self._ticket else Watch
        self._refused = Seldom(log, "scale.not_understood", "frames")
        self._left_out = Seldom(log, "scale.ticket_left_out", "tickets")
        self._unread: Counter[str] = Counter()  # since the last durable batch
        self._unkept: Batch | None = None
        self.name = f"serial:{settings.port}"

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Yield each weighing at once; a batch without one says that the line is there, or that the scale is empty."""
        if self._unkept is not None and self._unkept.cursor != cursor:
            again = self._unkept  # weighed, and the outbox could not take it
            yield again
            self._unread.subtract(again.unread)
            cursor = again.cursor
        self._unkept = None
        count, memory = _read(cursor)
        watch = self._watcher(self._rules, memory)
        tell_at, told = self._monotonic_s() + TELL_EVERY_S, False
        with closing(self._listen(stop)) as heard:
            for said, raw in heard:
                weighing = self._see(watch, said, raw)
                there = not told and not isinstance(said, NotUnderstood)
                if weighing is None and watch.memory == memory and not there and not self._is_due(tell_at):
                    continue
                count, memory, told = count + (weighing is not None), watch.memory, told or there
                samples = () if weighing is None else (self._sample(weighing),)
                self._unkept = Batch(samples, _write(count, memory), unread=dict(+self._unread))
                yield self._unkept
                self._unread.subtract(self._unkept.unread)
                tell_at, self._unkept = self._monotonic_s() + TELL_EVERY_S, None

    def _see(self, watch: Watch | Tickets, said: Said, raw: bytes) -> Weighing | None:
        """Take in what was said; count and tell what is left out."""
        if isinstance(said, NotUnderstood):
            self._unread[f"{self.name}: frames not understood"] += 1
            self._refused.note(1, driver=self.name, reason=said.reason, said=_shown(raw))
            return None
        weighing = watch.see(said, self._monotonic_s() * 1000)
        if weighing is None and self._ticket:
            self._unread[f"{self.name}: tickets left out"] += 1
            self._left_out.note(1, driver=self.name, said=_shown(raw))
        return weighing

    def _is_due(self, tell_at: float) -> bool:
        return self._monotonic_s() >= tell_at and any(self._unread.values())

    def look(self) -> Iterator[Look]:
        """Show the first weight that comes within the patience, or what came instead of one."""
        stop = threading.Event()
        sensor = f"{self._settings.zone}/scale"
        end = self._monotonic_s() + self._site.patience_s
        wrong, raw = "nothing is heard", ""
        for said, frame in self._listen(stop, until_s=end):
            raw = _shown(frame)
            if isinstance(said, Reading):
                yield Look(sensor, raw, said.weight_g, "g")
                return
            wrong = said.reason if isinstance(said, NotUnderstood) else f"tells no weight: {said.why}"
        yield Look(sensor, raw, wrong=wrong, remedy=self._remedy(heard=bool(raw)))

    def _remedy(self, *, heard: bool) -> str:
        if heard:
            return "See `protocol` and `pattern`, `baud` and `parity`"
        if self._ticket:
            return "Print a ticket meanwhile; else see cable, `baud` and `parity`"
        return "See cable, `baud` and `parity`, and whether to `ask`"

    def _listen(self, stop: threading.Event, *, until_s: float = float("inf")) -> Generator[tuple[Said, bytes]]:
        """What the indicator says, and the frame it said it in, until stop or a moment."""
        framer = Framer(self._protocol.framing)
        with self._opened() as line:
            heard = ask_at = self._monotonic_s()
            while not stop.is_set() and (now := self._monotonic_s()) < until_s:
                if self._protocol.ask and now >= ask_at:
                    line.write(self._protocol.ask)
                    ask_at = now + self._settings.ask_every_s
                chunk = line.read(line.in_waiting or 1)
                if chunk:
                    heard = now
                elif now - heard > self._silent_s:
                    raise UnavailableError(f"{self._settings.port}: nothing heard for {self._silent_s:g} s")
                for found in framer.feed(chunk):
                    if isinstance(found, Noise):
                        yield NotUnderstood(found.reason), found.raw
                    else:
                        yield self._protocol.read(found), found.body

    def _opened(self) -> AbstractContextManager[Any]:
        settings = self._settings
        return closing(
            open_port(
                settings.port,
                baud=settings.baud,
                data_bits=settings.data_bits,
                parity=settings.parity,
                stop_bits=settings.stop_bits,
                timeout_s=_LOOK_S,
                extra="serial",
            )
        )

    def _sample(self, weighing: Weighing) -> Sample:
        settings = self._settings
        told: dict[str, Any] = {"mv_": settings.direction, "mat": settings.material}
        if weighing.gross_g is not None and weighing.tare_g is not None:
            told |= {"grs": weighing.gross_g, "tar": weighing.tare_g}
        told |= {key: text for key, text in (("par", settings.partner), ("tkt", weighing.ticket)) if text}
        return (Resolved(f"{settings.zone}/scale", self._site.clock.now_ms(), weighing.net_g, "g", told),)


def _grams(kilograms: float) -> int:
    return round(kilograms * 1000)


def _read(cursor: str | None) -> tuple[int, Memory]:
    if cursor is None:
        return 0, Memory()
    count, *memory = json.loads(cursor)
    return count, Memory(*memory)


def _write(count: int, memory: Memory) -> str:
    return json.dumps([count, memory.ready, memory.counted_g, memory.ticket])


def _shown(raw: bytes) -> str:
    return repr(raw[:_SHOWN])[2:-1]
