"""Modbus against a real server in a process of its own: TCP on loopback, RTU over a serial line."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support_broker import mosquitto_broker, until
from support_edge import Hub, Process, write_config
from support_modbus import Slow, line, modbus_server
from support_servers import free_port

from tweeling.errors import ConfigError, UnavailableError
from tweeling_edge.clock import Clock
from tweeling_edge.drivers import Look, Site
from tweeling_edge.drivers.modbus import Modbus, ModbusSettings
from tweeling_edge.settings import validated

SITE = Site("H1", "gw1", Clock())
SHELF: list[dict[str, Any]] = [
    {"name": "H1-A/temperature", "address": 0, "type": "int16", "scale": 0.1, "unit": "Cel"},
    {"name": "H1-A/battery", "address": 1, "invalid": [65535]},
    *(
        {"name": f"H1-A/{order}", "address": at, "type": "float32", "order": order}
        for at, order in ((2, "ABCD"), (4, "CDAB"), (6, "BADC"), (8, "DCBA"))
    ),
    {"name": "H1-A/broken", "address": 10, "type": "float32"},
    {"name": "H1-A/count", "address": 12, "type": "uint32", "unit": "count"},
    {"name": "H1-A/total", "address": 14, "type": "int64"},
    {"name": "H1-A/fillingLevel", "address": 200, "scale": 0.1, "unit": "%"},
    {"name": "H1-A/input", "table": "input", "address": 299},
    {"name": "H1-A/door", "table": "discrete", "address": 1},
    {"name": "H1-A/lid", "table": "coil", "address": 3},
]
TOLD = {
    "H1-A/temperature": -12.3,
    "H1-A/ABCD": 12.3,
    "H1-A/CDAB": 12.3,
    "H1-A/BADC": 12.3,
    "H1-A/DCBA": 12.3,
    "H1-A/count": 100_000,
    "H1-A/total": 65_536,
    "H1-A/fillingLevel": 42.1,
    "H1-A/input": 299,
    "H1-A/door": 1,
    "H1-A/lid": 0,
}


def bus(registers: list[dict[str, Any]], **settings: Any) -> Modbus:
    told = {"kind": "modbus", "timeout_s": 0.3, "registers": registers, **settings}
    return Modbus(validated(ModbusSettings, told, source="edge.toml", base=Path(), field="drivers[0]"), SITE)


@pytest.fixture
def port() -> Iterator[int]:
    number = free_port()
    server = modbus_server("tcp", number)
    server.start()
    try:
        yield number
    finally:
        server.stop()


def test_every_type_order_and_table_is_read_over_tcp(port: int) -> None:
    looks = list(bus(SHELF, host="127.0.0.1", tcp_port=port).look())
    assert {look.sensor: look.value for look in looks if not look.wrong} == TOLD
    wrong = {look.sensor: (look.raw, look.wrong) for look in looks if look.wrong}
    assert wrong == {
        "H1-A/battery": ("65535", "says that it has no value"),
        "H1-A/broken": ("nan", "is no number"),
    }


def test_every_type_order_and_table_is_read_over_a_serial_line() -> None:
    with line() as (ours, theirs):
        server = modbus_server("rtu", theirs)
        server.start()
        try:
            driver = bus(SHELF, port=str(ours), baud=19_200, parity="none", timeout_s=1)
            for _ in range(2):
                assert {look.sensor: look.value for look in driver.look() if not look.wrong} == TOLD
        finally:
            server.stop()


def test_a_forbidden_register_is_told_by_name_and_hinders_no_neighbour(port: int) -> None:
    registers = [{"name": f"a/r{at}", "address": at, "type": "int16"} for at in (0, 1, 17, 18, 19)]
    driver = bus(registers, host="127.0.0.1", tcp_port=port)
    for _ in range(2):
        looks = {look.sensor: look for look in driver.look()}
        assert looks["a/r0"] == Look("a/r0", "-123", -123)
        assert looks["a/r17"].value == 0
        assert looks["a/r18"].wrong == "illegal data address (exception 2)"
        assert looks["a/r19"].wrong == "illegal data address (exception 2)"
        assert "address" in looks["a/r18"].remedy


def test_a_silent_device_hinders_no_other_on_its_bus(port: int) -> None:
    registers = [
        {"name": f"d{device}/{table}", "device": device, "table": table, "address": 0}
        for device in (1, 7, 2)
        for table in ("holding", "input")
    ]
    looks = {look.sensor: look for look in bus(registers, host="127.0.0.1", tcp_port=port).look()}
    assert [looks[f"d{device}/input"].value for device in (1, 2)] == [0, 0]
    assert {looks[f"d7/{table}"].wrong for table in ("holding", "input")} == {"no answer within 0.3 s, asked twice"}


def test_an_answer_that_comes_late_on_a_serial_line_is_no_other_registers_value() -> None:
    registers = [{"name": f"a/r{at}", "address": at} for at in (100, 300, 500)]
    with line() as (ours, theirs), Slow(theirs, late_s=0.3) as device:
        driver = bus(registers, port=str(ours), parity="none", timeout_s=0.2)
        with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s$"):
            list(driver.look())
        device.late_s = 0
        assert [look.value for look in driver.look()] == [100, 300, 500]


def test_a_stop_waits_for_no_more_than_the_device_that_is_being_asked() -> None:
    stop = threading.Event()
    registers = [{"name": f"d{device}/a", "device": device, "address": 0} for device in range(1, 13)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        driver = bus(registers, host="127.0.0.1", tcp_port=server.getsockname()[1], timeout_s=0.1)
        thread = threading.Thread(target=lambda: list(driver.batches(None, stop)))
        thread.start()
        connections = [server.accept()[0]]  # each question that is not answered costs one
        stop.set()
        thread.join()
        server.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                connections.append(server.accept()[0])
        for connection in connections:
            connection.close()
    assert len(connections) <= 2


def test_when_no_device_answers_the_driver_is_lost(port: int) -> None:
    driver = bus([{"name": "a/b", "device": 7, "address": 0}], host="127.0.0.1", tcp_port=port)
    with pytest.raises(UnavailableError, match="no answer"):
        list(driver.look())


def test_a_server_that_goes_and_comes_is_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tweeling_edge")
    number, stop = free_port(), threading.Event()
    server = modbus_server("tcp", number)
    driver = bus([{"name": "a/b", "address": 0, "type": "int16"}], host="127.0.0.1", tcp_port=number, every_s=0.05)
    got: list[float] = []

    def follow() -> None:
        for batch in driver.batches(None, stop):
            got.extend(record.value for sample in batch.samples for record in sample)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        until(lambda: caplog.records, "lost")
        server.start()
        until(lambda: got, "a reading")
        server.kill()
        until(lambda: len(caplog.records) == 3, "lost again")
        seen = len(got)
        server.start()
        until(lambda: len(got) > seen, "a reading after that")
    finally:
        stop.set()
        thread.join()
        server.stop()
    assert [record.message for record in caplog.records] == ["driver.lost", "driver.back"] * 2
    assert "refused" in caplog.records[0].__dict__["reason"]
    assert set(got) == {-123}


def test_a_server_that_hangs_up_is_lost_not_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnavailableError, match="hung up"):
            list(bus([{"name": "a/b", "address": 0}], host="127.0.0.1", tcp_port=server.getsockname()[1]).look())
        thread.join()


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="ttyNone"):
        list(bus([{"name": "a/b", "address": 0}], port="/dev/ttyNone").look())


@pytest.mark.parametrize(
    ("settings", "field", "said"),
    [
        ({}, "drivers[0]", "exactly one of them"),
        ({"host": "plc", "port": "/dev/ttyS0"}, "drivers[0]", "exactly one of them"),
        ({"host": "plc", "registers": []}, "drivers[0].registers", "[[drivers.registers]]"),
        ({"host": "plc", "registers": [{"name": "a/b"}]}, "drivers[0].registers[0].address", "40101 is holding 100"),
        ({"host": "plc", "registers": [{"name": "a/b", "address": 0}] * 2}, "drivers[0]", "two registers are both a/b"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bus(settings.pop("registers", [{"name": "a/b", "address": 0}]), **settings)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_the_agent_brings_registers_to_the_hub(port: int, tmp_path: Path) -> None:
    registers = "\n".join(
        "[[drivers.registers]]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in each.items())
        for each in SHELF
    )
    driver = f'[[drivers]]\nkind = "modbus"\nhost = "127.0.0.1"\ntcp_port = {port}\nevery_s = 0.2\n{registers}\n'
    with mosquitto_broker(tmp_path) as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, extra=driver)
        with Process("run", config) as agent:
            hub.wait(lambda: len({name for name, *_ in hub.readings}) == len(TOLD), "every register")
            with Process("status", config, "--json") as status:
                assert status.wait() == 0
            unread = json.loads(status.out)["unread"]
            assert agent.terminate() == 0
        assert sum("sensor.lost" in told for told in agent.lines) == 2, agent.lines
    source = f"modbus:127.0.0.1:{port}"
    assert set(unread) == {
        f"{source}: H1-A/battery says that it has no value",
        f"{source}: H1-A/broken is no number",
    }
    levels = {round(value, 9) for name, _, value, _ in hub.readings if name == "H1-A/fillingLevel"}
    assert levels == {0.421}
