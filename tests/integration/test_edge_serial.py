"""Scales on real ports: pseudo terminals and a serial server, through the agent to a hub."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
import serial
from serial.rfc2217 import PortManager
from support_broker import mosquitto_broker, until
from support_edge import Hub, Process, write_config
from support_serial import Indicator

from tweeling.errors import UnavailableError
from tweeling.wire.ranges import SeqSet
from tweeling.wire.senml import Resolved
from tweeling_edge import outbox_file, outbox_store
from tweeling_edge.clock import Clock, system_ms
from tweeling_edge.drivers import Look, Site
from tweeling_edge.drivers.serial import Serial, SerialSettings
from tweeling_edge.feeder import Feeder
from tweeling_edge.outbox import Outbox
from tweeling_edge.sample import from_body

EMPTY = b"ST,GS,+0000000kg\r\n"
TRUCK = b"ST,GS,+0014540kg\r\n"
OTHER = b"ST,GS,+0039980kg\r\n"
BASE: dict[str, Any] = {
    "protocol": "st-gs",
    "above_kg": 500,
    "hold_s": 0.1,
    "zone": "H1-A",
    "direction": "in",
    "material": "beton_puin",
}
SITE = Site("H1", "gw1", Clock(), patience_s=1.0)


def scale(port: Path | str, **settings: Any) -> Serial:
    return Serial(SerialSettings.model_validate({**BASE, "port": str(port), **settings}), SITE)


@pytest.fixture
def indicator(tmp_path: Path) -> Iterator[Indicator]:
    with Indicator(tmp_path / "ttyScale", EMPTY) as made:
        yield made


class Kept:
    """Follows a driver through a feeder into a real outbox."""

    def __init__(self, driver: Serial, path: Path) -> None:
        self.driver = driver
        self.outbox = Outbox(path, now_ms=system_ms, new_epoch=lambda: "00")
        self._stop = threading.Event()
        self._feeder = Feeder(driver, self.outbox, backlog=100, stop=self._stop, tell=lambda _: None)
        self._feeder.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.outbox.wake()
        self._feeder.join()
        self.outbox.close()

    def wait_ready(self) -> None:
        """Wait until it is durable that the scale was seen empty."""
        until(lambda: self.cursor()[1], "seen empty")

    def wait_there(self) -> None:
        """Wait until the line is there."""
        until(lambda: self.outbox.source(self.driver.name).cursor, "the line is there")

    def weighed(self, count: int) -> list[Resolved]:
        """Wait for so many weighings, and tell them."""
        until(lambda: len(self._bodies()) >= count, f"{count} weighings")
        return [from_body(body)[0] for _, body in sorted(self._bodies().items())]

    def _bodies(self) -> dict[int, str]:
        return self.outbox.page(SeqSet(((1, 1000),)))

    def cursor(self) -> list[Any]:
        """What the driver remembers: how many were weighed, whether the scale was seen empty, and more."""
        return json.loads(self.outbox.source(self.driver.name).cursor or "[0, false]")  # type: ignore[no-any-return]


def grams(records: list[Resolved]) -> list[float]:
    return [record.value for record in records]


def test_each_truck_is_a_weighing_exact_in_grams_with_what_the_configuration_says_of_it(
    indicator: Indicator, tmp_path: Path
) -> None:
    with Kept(scale(indicator.port, partner="P01"), tmp_path / "o.sqlite3") as kept:
        for count, truck in ((1, TRUCK), (2, OTHER), (3, OTHER)):
            kept.wait_ready()
            indicator.show(truck)
            kept.weighed(count)
            indicator.show(EMPTY)
        records = kept.weighed(3)
    assert grams(records) == [14_540_000, 39_980_000, 39_980_000]
    assert all(type(record.value) is int for record in records)
    assert {(record.name, record.unit) for record in records} == {("H1-A/scale", "g")}
    assert records[0].weighing == {
        "mv_": "in",
        "mat": "beton_puin",
        "par": "P01",
        "grs": 14_540_000,
        "tar": 0,
    }


def test_a_pulled_cable_is_told_once_and_the_truck_that_stands_there_is_weighed_once(
    indicator: Indicator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tweeling_edge")
    with Kept(scale(indicator.port), tmp_path / "o.sqlite3") as kept:
        kept.wait_ready()
        indicator.show(TRUCK)
        kept.weighed(1)
        indicator.unplug()
        until(lambda: "driver.lost" in messages(caplog), "lost")
        indicator.plug()
        until(lambda: "driver.back" in messages(caplog), "back")
        indicator.show(EMPTY)
        kept.wait_ready()
        indicator.show(TRUCK)
        assert grams(kept.weighed(2)) == [14_540_000] * 2
    assert [event for event in messages(caplog) if event.startswith("driver.")] == ["driver.lost", "driver.back"]


def test_another_truck_that_came_while_the_cable_was_out_is_weighed(indicator: Indicator, tmp_path: Path) -> None:
    with Kept(scale(indicator.port), tmp_path / "o.sqlite3") as kept:
        kept.wait_ready()
        indicator.show(TRUCK)
        kept.weighed(1)
        indicator.unplug()
        indicator.show(OTHER)
        indicator.plug()
        assert grams(kept.weighed(2)) == [14_540_000, 39_980_000]


def test_a_silent_line_is_a_lost_one(tmp_path: Path) -> None:
    with Indicator(tmp_path / "tty", b"") as mute, pytest.raises(UnavailableError, match=r"nothing heard for 0\.3 s"):
        list(scale(mute.port, silent_s=0.3).batches(None, threading.Event()))


def test_an_indicator_that_waits_to_be_asked_is_asked(tmp_path: Path) -> None:
    with (
        Indicator(tmp_path / "tty", b"S S       0.00 kg\r\n", question=b"SI\r\n") as polled,
        Kept(scale(polled.port, protocol="mt-sics", ask_every_s=0.1, above_kg=2), tmp_path / "o.sqlite3") as kept,
    ):
        kept.wait_ready()
        polled.show(b"S S      12.34 kg\r\n")
        assert grams(kept.weighed(1)) == [12_340]
        assert polled.asked >= 4


def test_a_printed_ticket_is_a_weighing_with_gross_tare_and_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pattern = r"NR (?P<ticket>\d+)\sG (?P<gross>[\d.]+) kg\sT (?P<tare>[\d.]+) kg"
    settings = {"protocol": "pattern", "pattern": pattern, "end": ["\f"], "unit": "kg", "weigh": "ticket"}
    with (
        Indicator(tmp_path / "tty") as printer,
        Kept(scale(printer.port, **settings), tmp_path / "o.sqlite3") as kept,
    ):
        ticket = b"NR %s\nG 25060 kg\nT 14500.5 kg\f"
        until(lambda: printer.print(ticket % b"0041") or kept.outbox.rows, "the first, and copies of it")
        for number in (b"0042", b"0042", b"0043"):
            printer.print(ticket % number)
        records = kept.weighed(3)
    assert [(record.weighing or {}).get("tkt") for record in records] == ["0041", "0042", "0043"]
    assert records[0].value == 10_559_500
    assert records[0].weighing is not None
    assert (records[0].weighing["grs"], records[0].weighing["tar"]) == (25_060_000, 14_500_500)
    assert messages(caplog) == ["scale.ticket_left_out"]


def test_a_line_that_brings_only_noise_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tweeling_edge.drivers.serial.TELL_EVERY_S", 0.2)
    with (
        Indicator(tmp_path / "tty", b"garbage\r\n") as noisy,
        Kept(scale(noisy.port), tmp_path / "o.sqlite3") as kept,
    ):
        until(lambda: kept.outbox.stats().tallies.get("unread"), "told")
        assert kept.outbox.rows == 0


def test_a_weighing_that_the_outbox_could_not_take_is_offered_again(indicator: Indicator) -> None:
    driver, stop = scale(indicator.port), threading.Event()
    first = driver.batches(None, stop)
    cursor = next(batch.cursor for batch in first if json.loads(batch.cursor or "")[1])
    indicator.show(TRUCK)
    refused = next(first)
    first.close()  # as when the disk is full
    indicator.show(EMPTY)
    again = driver.batches(cursor, stop)
    assert next(again) == refused, "although the truck is gone"
    assert next(again).samples == ()
    again.close()


def test_noise_is_counted_and_told_once_and_hides_no_weighing(
    indicator: Indicator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Kept(scale(indicator.port), tmp_path / "o.sqlite3") as kept:
        for _ in range(20):
            indicator.print(b"\xff\x00garbage\r\n" + b"garbage" * 100 + b"\r\n")
        kept.wait_ready()
        indicator.show(TRUCK)
        kept.weighed(1)
        unread = kept.outbox.stats().tallies["unread"]
    assert unread[f"serial:{indicator.port}: frames not understood"] >= 20
    told = [record for record in caplog.records if record.message == "scale.not_understood"]
    assert len(told) == 1
    assert "garbage" in told[0].__dict__["said"]


def test_a_serial_server_in_the_network_is_a_port_too(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Kept(scale(f"socket://127.0.0.1:{server.getsockname()[1]}"), tmp_path / "o.sqlite3") as kept,
    ):
        connection, _ = server.accept()
        with connection:
            # What is there when a port is opened is old, and thrown away: so an indicator sends again and again.
            until(lambda: connection.sendall(EMPTY) or kept.cursor()[1], "seen empty")
            until(lambda: connection.sendall(TRUCK) or kept.outbox.rows == 1, "weighed")


@pytest.mark.filterwarnings("ignore:set(Daemon|Name)\\(\\) is deprecated")  # pyserial's own
def test_a_serial_server_that_is_told_the_baud_is_a_port_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answers = PortManager(serial.serial_for_url("loop://"), SimpleNamespace(write=connection.sendall))
                while raw := connection.recv(1024):
                    list(answers.filter(raw))
                    connection.sendall(TRUCK)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            (look,) = scale(f"rfc2217://127.0.0.1:{server.getsockname()[1]}").look()
        finally:
            thread.join()
    assert look == Look("H1-A/scale", "ST,GS,+0014540kg", 14_540_000, "g")


def test_a_look_shows_what_the_indicator_says(indicator: Indicator) -> None:
    indicator.show(TRUCK)
    assert list(scale(indicator.port).look()) == [Look("H1-A/scale", "ST,GS,+0014540kg", 14_540_000, "g")]


@pytest.mark.parametrize(
    ("shown", "wrong", "remedy"),
    [
        (b"", "nothing is heard", "cable"),
        (b"\xa5\x5a\xa5\r\n", "does not look like the protocol", "protocol"),
        (b"OL,GS,+    .  kg\r\n", "tells no weight: OL", "protocol"),
    ],
)
def test_a_look_at_what_is_no_weight_says_what_to_see_to(tmp_path: Path, shown: bytes, wrong: str, remedy: str) -> None:
    with Indicator(tmp_path / "tty", shown) as made:
        (look,) = scale(made.port).look()
    assert look.wrong == wrong
    assert remedy in look.remedy


def test_a_port_that_the_agent_reads_is_not_read_by_a_second(indicator: Indicator, tmp_path: Path) -> None:
    with Kept(scale(indicator.port), tmp_path / "o.sqlite3") as kept:
        kept.wait_there()
        with pytest.raises(OSError, match="exclusively lock"):
            list(scale(indicator.port).look())


def test_the_agent_killed_with_a_truck_on_the_scale_weighs_it_once(indicator: Indicator, tmp_path: Path) -> None:
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in BASE.items())
    driver = f'[[drivers]]\nkind = "serial"\nport = "{indicator.port}"\n{settings}\n'
    with mosquitto_broker(tmp_path) as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, extra=driver)
        with Process("run", config) as agent:
            wait_ready(agent, config)
            indicator.show(TRUCK)
            hub.wait(lambda: hub.movements, "the truck")
            agent.kill()
        with Process("run", config) as agent:
            agent.wait_line("broker.connected")
            indicator.show(EMPTY)
            wait_ready(agent, config)
            indicator.show(OTHER)
            hub.wait(lambda: len(hub.movements) == 2, "the other truck")
            assert agent.terminate() == 0
    assert [(each.zone, each.direction, each.net_g) for each in hub.movements] == [
        ("H1-A", "in", 14_540_000),
        ("H1-A", "in", 39_980_000),
    ]


def wait_ready(agent: Process, config: Path) -> None:
    """Wait until it is durable that the scale was seen empty."""
    agent.wait_line("agent.started")
    until(lambda: seen_empty(config.parent / "outbox.sqlite3"), "seen empty")


def seen_empty(path: Path) -> bool:
    connection = outbox_file.connect(path)
    try:
        sources = outbox_store.sources(connection)
    finally:
        connection.close()
    return any(json.loads(source.cursor or "[0, false]")[1] for source in sources.values())


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]
