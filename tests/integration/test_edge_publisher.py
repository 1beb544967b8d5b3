"""The publisher against brokers that do what real ones do rarely."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from support_mqtt import CONNECT, HANG_UP, PINGREQ, PUBACK, PUBLISH, Packet, ScriptedBroker, packet, usual

from tweeling.wire.ack import State
from tweeling_edge import publisher
from tweeling_edge.config import Broker
from tweeling_edge.publisher import Confirmed, Declined, LineDown, LineEvent, LineUp, Publisher

UP = "tweeling/v1/H1/n1/up"


class Running:
    """A publisher, and what it told."""

    def __init__(self, port: int, **settings: Any) -> None:
        self.events: queue.SimpleQueue[LineEvent] = queue.SimpleQueue()
        self.publisher = Publisher(
            Broker(port=port).model_copy(update=settings),
            None,
            hub="H1",
            node="n1",
            presence=lambda online, since: State(online=online, since_ms=since, epoch="a" * 16).encode(),
            listen=self.events.put,
            now_ms=lambda: 1,
            rng=Random(1),
        )

    def next(self, kind: type[LineEvent]) -> LineEvent:
        """The next event that is of this kind; others are passed over."""
        while True:
            event = self.events.get(timeout=20)
            if isinstance(event, kind):
                return event


@contextmanager
def running(port: int, **settings: Any) -> Iterator[Running]:
    run = Running(port, **settings)
    run.publisher.start()
    try:
        yield run
    finally:
        run.publisher.stop()


def noted(monkeypatch: pytest.MonkeyPatch, wait: Callable[[float], float]) -> queue.SimpleQueue[int]:
    """For what reasons the publisher waits, and let it wait as long as a test wants."""
    codes: queue.SimpleQueue[int] = queue.SimpleQueue()

    class Noted:
        def __init__(self, rng: Random) -> None:
            pass

        def seconds(self, *, code: int, lived_s: float) -> float:
            codes.put(code)
            return wait(lived_s)

    monkeypatch.setattr(publisher, "Backoff", Noted)
    return codes


def envelopes(broker: ScriptedBroker) -> list[Packet]:
    return [each for each in broker.came(PUBLISH) if each.topic == UP]


def test_version_5_asks_for_a_clean_start_no_lasting_session_and_few_messages_at_once() -> None:
    with ScriptedBroker(usual) as broker, running(broker.port, protocol="5") as run:
        run.next(LineUp)
        (connect,) = broker.came(CONNECT)
    assert connect.version == 5
    assert connect.body[7] & 0x02, "clean start"
    properties = connect.body[11 : 11 + connect.body[10]]
    assert properties == b"\x11\x00\x00\x00\x00\x21\x00\x14"  # session expiry 0, receive maximum 20


@pytest.mark.parametrize("silent", [False, True])
def test_a_broker_that_does_not_speak_version_5_is_spoken_to_in_3_1_1_ever_after(silent: bool) -> None:
    def old(came: Packet) -> bytes | None:
        if came.kind == CONNECT and came.version == 5:
            return HANG_UP if silent else packet(2, b"\0\1")
        if came.kind == PUBLISH and came.topic == UP:
            return HANG_UP
        return usual(came, v5=False)

    with ScriptedBroker(old) as broker, running(broker.port) as run:
        run.next(LineUp)
        assert run.publisher.protocol == "3.1.1"
        run.publisher.publish(b"{}")
        run.next(LineDown)
        run.next(LineUp)
        assert [each.version for each in broker.came(CONNECT)] == [5, 4, 4]


def test_no_more_messages_are_under_way_than_a_version_5_broker_takes() -> None:
    gate = threading.Event()
    held: list[Packet] = []

    def narrow(came: Packet) -> bytes | None:
        if came.kind == PUBLISH and came.topic == UP and not gate.is_set():
            held.append(came)
            return None
        return usual(came, properties=b"\x21\x00\x03")  # receive maximum 3

    with ScriptedBroker(narrow) as broker, running(broker.port, protocol="5") as run:
        run.next(LineUp)
        broker.wait(lambda: broker.came(PUBLISH), "the state message, confirmed at once")
        for number in range(10):
            assert run.publisher.publish(b"%d" % number) is not None
        broker.wait(lambda: len(held) == 3, "as many as it takes")
        gate.set()
        broker._peers[0].sendall(b"".join(packet(PUBACK, each.mid) for each in held))
        broker.wait(lambda: len(envelopes(broker)) == 10, "the others, when there is room")
        assert len({each.mid for each in envelopes(broker)}) == 10


def test_a_puback_with_an_error_is_no_confirmation() -> None:
    def full(came: Packet) -> bytes | None:
        if came.kind == PUBLISH and came.topic == UP:
            return packet(PUBACK, came.mid + (b"\x97\0" if came.body.endswith(b"one") else b"\x10\0"))
        return usual(came)

    with ScriptedBroker(full) as broker, running(broker.port, protocol="5") as run:
        run.next(LineUp)
        one, two = run.publisher.publish(b"one"), run.publisher.publish(b"two")
        assert run.next(Declined) == Declined(one or 0, "Quota exceeded")
        assert run.next(Confirmed) == Confirmed(two or 0), "nobody listens: that is for the hub's word to tell"


def refuse(code: int) -> Callable[[Packet], bytes | None]:
    return lambda came: packet(2, bytes([0, code, 0])) if came.kind == CONNECT else usual(came)


def test_a_broker_s_reasons_are_told_once_and_decide_how_long_to_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits = noted(monkeypatch, lambda lived_s: 0.0 if lived_s == 0 else 1e6)
    codes = [0x89, 0x87, 0x97]

    def moody(came: Packet) -> bytes | None:
        if came.kind == CONNECT and came.connection < len(codes):
            return refuse(codes[came.connection])(came)
        if came.kind == PUBLISH and came.topic == UP:
            return packet(PUBACK, came.mid + b"\x87\0")
        return usual(came)

    with ScriptedBroker(moody) as broker, running(broker.port, protocol="5") as run:
        run.next(LineUp)
        run.publisher.publish(b"{}")
        run.next(LineDown)
        assert [waits.get(timeout=20) for _ in range(4)] == [*codes, 0x87]
    told = [(record.message, record.reason) for record in caplog.records if record.message == "broker.lost"]  # type: ignore[attr-defined]  # ours
    assert told == [("broker.lost", "Server busy"), ("broker.lost", "publish refused: Not authorized")]


def test_a_refused_subscription_is_a_denial_in_either_version(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = noted(monkeypatch, lambda _: 1e6)
    for protocol in ("3.1.1", "5"):

        def strict(came: Packet, *, v5: bool = protocol == "5") -> bytes | None:
            if came.kind == 8:
                return packet(9, came.mid + (b"\0" if v5 else b"") + b"\0\x80")
            return usual(came, v5=v5)

        with ScriptedBroker(strict) as broker, running(broker.port, protocol=protocol):
            assert codes.get(timeout=20) == 0x87


def test_the_broker_s_own_goodbye_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def leaving(came: Packet) -> bytes | None:
        if came.kind == PUBLISH and came.topic == UP:
            return packet(14, b"\x8b\0")
        return usual(came)

    with ScriptedBroker(leaving) as broker, running(broker.port, protocol="5") as run:
        run.next(LineUp)
        run.publisher.publish(b"{}")
        run.next(LineDown)
        run.next(LineUp)
    assert ("broker.lost", "Server shutting down") in [
        (record.message, getattr(record, "reason", None)) for record in caplog.records
    ]


def test_a_broker_that_falls_silent_is_asked_and_then_left_within_one_and_a_half_keep_alives() -> None:
    def deaf(came: Packet) -> bytes | None:
        return usual(came) if came.kind != PINGREQ else None

    with ScriptedBroker(deaf) as broker, running(broker.port, keepalive_s=4) as run:  # less than settings allow
        run.next(LineUp)
        began = time.monotonic()
        run.next(LineDown)
        assert 4 <= time.monotonic() - began <= 1.5 * 4 + 1
        assert len(broker.came(PINGREQ)) >= 2


def test_an_idle_line_says_something_in_each_keep_alive_and_a_busy_one_asks_when_it_hears_nothing() -> None:
    told: list[tuple[float, int]] = []

    def noted(came: Packet) -> bytes | None:
        told.append((time.monotonic(), came.kind))
        return None if came.kind == PUBLISH and came.topic == UP else usual(came)

    with ScriptedBroker(noted) as broker, running(broker.port, keepalive_s=8) as run:
        run.next(LineUp)
        broker.wait(lambda: len(broker.came(PINGREQ)) >= 2, "it is idle")
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(told)]
        (connect,) = broker.came(CONNECT)
        assert int.from_bytes(connect.body[8:10]) == 4, "less is asked of the broker, which is slow to look"
        assert max(gaps) <= 4.5
        asked = len(broker.came(PINGREQ))
        stop = threading.Event()

        def chatter() -> None:
            while not stop.wait(0.2):
                run.publisher.publish(b"{}")

        talker = threading.Thread(target=chatter)
        talker.start()
        broker.wait(lambda: len(broker.came(PINGREQ)) > asked, "it talks, and hears nothing")
        stop.set()
        talker.join()
