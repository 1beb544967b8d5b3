"""Looks at each sensor once, and at the broker, for whoever stands at the gateway: nothing is kept, no reading sent."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from tweeling.errors import ConfigError, TweelingError, UnavailableError, WireError
from tweeling.wire.ack import Ack
from tweeling.wire.envelope import Envelope
from tweeling.wire.topics import Channel, Topic
from tweeling_edge.clock import Clock
from tweeling_edge.config import Config
from tweeling_edge.drivers import Driver, Look, Site, registry
from tweeling_edge.line import tls_context
from tweeling_edge.session import Session, Terms
from tweeling_edge.settings import credentials

_BROKER_S, _HUB_S = 10.0, 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at. part: a driver's name, or broker."""

    part: str
    look: Look

    @property
    def ok(self) -> bool:
        """Whether it says what it should."""
        return not self.look.wrong


def sensors(config: Config, *, patience_s: float) -> list[Row]:
    """Look at every sensor of every driver, side by side, or raise ConfigError.

    patience_s: how long to wait for those that speak unasked.
    """
    clock = Clock() if config.clock is None else Clock(**config.clock.model_dump())
    drivers = registry.drivers(config.drivers, Site(config.hub, config.node, clock, patience_s))
    if not drivers:
        return [Row("drivers", Look("", wrong="there are none", remedy="Write [[drivers]], see edge.example.toml"))]
    with ThreadPoolExecutor(max_workers=len(drivers)) as pool:
        return [row for rows in pool.map(_looked, drivers) for row in rows]


def _looked(driver: Driver) -> list[Row]:
    rows: list[Row] = []
    try:
        rows += (Row(driver.name, look) for look in driver.look())
    except ConfigError:
        raise
    except (OSError, TweelingError) as exc:
        rows.append(
            Row(driver.name, Look("", wrong=str(exc), remedy="See the settings of this driver, and the device"))
        )
    except Exception as exc:  # noqa: BLE001 -- a fault of one driver must not hide what the others say
        remedy = "This is a fault of the driver: report it, with the agent's log of `driver.broken`"
        rows.append(Row(driver.name, Look("", wrong=f"the driver is broken: {exc!r}", remedy=remedy)))
    return rows or [Row(driver.name, Look("", wrong="says nothing"))]


def broker(config: Config) -> Iterator[Row]:
    """See whether the broker lets this node in, takes what it publishes, and a hub answers; raise ConfigError.

    What is published is the agent's question after each connect, of an outbox that is empty and that nobody knows.
    """
    who = credentials(config.broker.credentials) if config.broker.credentials else None
    if config.broker.tls is not None:
        tls_context(config.broker.tls)
    up, ack = (str(Topic(config.hub, config.node, channel)) for channel in (Channel.UP, Channel.ACK))
    terms = Terms(client_id=secrets.token_hex(16), topics=(ack,), qos=0, patience_s=_BROKER_S)
    try:
        session = Session.opened(config.broker, who, terms, threading.Event())
    except UnavailableError as exc:
        yield _of_broker("connection", wrong=str(exc), remedy="See [broker]: host, port, tls and credentials")
        return
    with closing(session):
        line = "TLS" if config.broker.tls else "not encrypted"
        yield _of_broker("connection", f"MQTT {session.protocol}, {line}")
        # Always the same one for a node, so that a hub remembers one however often it is asked.
        epoch = hashlib.sha256(f"check {config.hub}/{config.node}".encode()).hexdigest()[:16]
        mid = session.publish(up, Envelope(node=config.node, epoch=epoch, ask=True).to_json())
        session.serve(lambda: mid in session.published, seconds=_BROKER_S)
        reason = None if mid is None else session.published.get(mid)
        if reason is None or reason.is_failure:
            told = str(session.unavailable("no confirmation")) if reason is None else f"the broker refuses: {reason}"
            yield _of_broker("publishing", wrong=told, remedy=f"Let this node write {up.removesuffix('up')}#")
            return
        yield _of_broker("publishing", up)
        began = time.monotonic()
        session.serve(lambda: _answered(session, epoch), seconds=_HUB_S)
        if _answered(session, epoch):
            yield _of_broker("hub", f"answers within {max(1, round((time.monotonic() - began) * 1000))} ms")
        else:
            yield _of_broker(
                "hub",
                wrong=f"no answer within {_HUB_S:g} s",
                remedy=f"It may be down (readings wait); or the broker keeps {up} from it, or {ack} from this node",
            )


def _answered(session: Session, epoch: str) -> bool:
    for message in session.inbox:
        try:
            if Ack.decode(message.payload).epoch == epoch:
                return True
        except WireError:
            continue  # whatever it is, it is not the answer
    return False


def _of_broker(what: str, raw: str = "", *, wrong: str = "", remedy: str = "") -> Row:
    return Row("broker", Look(what, raw, wrong=wrong, remedy=remedy))


def as_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Rows as a program reads them."""
    return [
        {
            "part": row.part,
            "what": row.look.sensor,
            "ok": row.ok,
            "raw": row.look.raw,
            "value": row.look.value,
            "unit": row.look.unit,
            "time_ms": row.look.time_ms,
            "wrong": row.look.wrong,
            "remedy": row.look.remedy,
        }
        for row in rows
    ]


def as_text(rows: Iterable[Row]) -> Iterator[str]:
    """Rows as a person reads them: a part, and below it what it says; what is wrong stands out, with its remedy."""
    for part, together in groupby(rows, key=lambda row: row.part):
        looks = [row.look for row in together]
        yield _printable(part)
        good = [_cells(look) for look in looks if not look.wrong]
        widths = [max(map(len, column)) for column in zip(*good, strict=True)]
        for look in looks:
            if not look.wrong:
                cells = (cell.ljust(width) for cell, width in zip(_cells(look), widths, strict=True))
                yield f"  ok     {'  '.join(cells)}".rstrip()
                continue
            yield _printable(f"  WRONG  {look.sensor}{': ' if look.sensor else ''}{look.wrong}")
            if look.raw:
                yield _printable(f"         it says: {look.raw}")
            if look.remedy:
                yield _printable(f"         {look.remedy}")


def _cells(look: Look) -> tuple[str, str, str, str]:
    if look.value is None:
        return _printable(look.sensor), _printable(look.raw), "", ""
    when = "now" if look.time_ms is None else datetime.fromtimestamp(look.time_ms / 1000, UTC).isoformat(" ", "seconds")
    return _printable(look.sensor), _printable(look.raw), f"→ {look.value:.12g} {look.unit}".rstrip(), when


def _printable(text: str) -> str:
    """What a stranger's device says must not speak to the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
