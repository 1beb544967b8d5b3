"""Real brokers on loopback, and a small MQTT client that waits for what it expects."""

from __future__ import annotations

import queue
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from support_servers import free_port, need

from tweeling.adapters import nats

DEADLINE = 20.0


def until(condition: Callable[[], object], what: str, *, seconds: float = DEADLINE) -> None:
    """Poll a real condition until it holds, or fail by name."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        pause.wait(0.01)


class Server:
    """A child process, its output and its end."""

    def __init__(
        self, argv: list[str], *, ready: str, cwd: Path | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self.argv = argv
        self.ready = ready
        self._where: dict[str, Any] = {"cwd": cwd, "env": environment}
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        seen = threading.Event()
        process = subprocess.Popen(
            self.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self._where
        )
        assert process.stdout is not None
        stream = process.stdout

        def read() -> None:
            for line in stream:
                self.lines.append(line.rstrip())
                if self.ready in line:
                    seen.set()
            stream.close()
            seen.set()

        self._process = process
        self._reader = threading.Thread(target=read)
        self._reader.start()
        assert seen.wait(DEADLINE), f"{self.argv[0]} is silent"
        if process.poll() is not None:
            self.stop()
            raise AssertionError("\n".join(self.lines))

    def kill(self) -> None:
        """As a power cut would."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        self._end(lambda process: process.terminate())

    def _end(self, how: Callable[[subprocess.Popen[str]], None]) -> None:
        if self._process is None or self._reader is None:
            return
        how(self._process)
        self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        self._process = self._reader = None


class Broker:
    """A broker with credentials for a hub and for nodes; empty ones where it asks none."""

    def __init__(self, server: Server, port: int, config: nats.BrokerConfig | None, directory: Path) -> None:
        self.server = server
        self.host = "127.0.0.1"
        self.port = port
        self.protocol = "auto"  # what a hub is told to speak
        self.config = config
        self.directory = directory
        self._client_id = f"hub-{secrets.token_hex(8)}"

    def hub(self) -> nats.Credentials:
        if self.config is None:
            return nats.Credentials(username="", password="", client_id=self._client_id)
        return nats.Credentials.load(self.config.hub)

    def node(self, hub: str, node: str) -> nats.Credentials:
        if self.config is None:
            return nats.Credentials(username="", password="")
        return nats.Credentials.load(self.config.nodes[nats.NodeName(hub, node)])

    def native_port(self) -> int:
        line = next(line for line in self.server.lines if "Listening for client connections on" in line)
        return int(line.rsplit(":", 1)[1])

    def rename(self, nodes: Iterable[tuple[str, str]]) -> None:
        """Let exactly these nodes in from now on, without a restart."""
        before = sum("Reloaded server configuration" in line for line in self.server.lines)
        self.config = nats.write_config(self.directory, _names(nodes), port=self.port)
        nats.reload(self.server.pid)
        until(
            lambda: sum("Reloaded server configuration" in line for line in self.server.lines) > before,
            "the broker has read its configuration again",
        )


@contextmanager
def nats_broker(directory: Path, nodes: Iterable[tuple[str, str]], **limits: int) -> Iterator[Broker]:
    need("nats-server")
    port = free_port()
    config = nats.write_config(directory, _names(nodes), port=port, limits=nats.Limits(**limits))
    server = Server(nats.command(config.conf), ready="Server is ready")
    server.start()
    try:
        yield Broker(server, port, config, directory)
    finally:
        server.stop()


@contextmanager
def mosquitto_broker(directory: Path) -> Iterator[Broker]:
    """Debian's stock settings, but for the port."""
    program = need("mosquitto")
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    store = directory / "store"
    store.mkdir()
    store.chmod(0o777)  # mosquitto drops root for its own user
    conf = directory / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {store}/\n"
    )
    server = Server([program, "-c", str(conf)], ready="running")
    server.start()
    try:
        yield Broker(server, port, None, directory)
    finally:
        server.stop()


@contextmanager
def mosquitto_with(directory: Path, settings: str) -> Iterator[Broker]:
    """A Mosquitto that lets anyone in; settings: what its file says beside, of this listener first."""
    program = need("mosquitto")
    port = free_port()
    conf = directory / "mosquitto.conf"
    conf.write_text(f"user root\nallow_anonymous true\nlistener {port} 127.0.0.1\n{settings}")
    server = Server([program, "-c", str(conf)], ready="running")
    server.start()
    try:
        yield Broker(server, port, None, directory)
    finally:
        server.stop()


@contextmanager
def read_only_mosquitto(directory: Path) -> Iterator[Broker]:
    """A Mosquitto at which nobody may publish."""
    (directory / "acl").write_text("topic read #\n")
    with mosquitto_with(directory, f"acl_file {directory}/acl\n") as broker:
        yield broker


def _names(nodes: Iterable[tuple[str, str]]) -> list[nats.NodeName]:
    return [nats.NodeName(*node) for node in nodes]


class Client:
    """One MQTT 3.1.1 client that remembers what happened to it."""

    def __init__(
        self,
        broker: Broker,
        who: nats.Credentials,
        *,
        client_id: str | None = None,
        clean: bool = True,
        will: tuple[str, bytes, bool] | None = None,
        port: int | None = None,
    ) -> None:
        self.inbox: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.lost = threading.Event()
        self.answer: str | None = None  # to CONNECT
        self._answered = threading.Event()
        self._granted: dict[int, list[int]] = {}
        self._taken: set[int] = set()
        self._changed = threading.Condition()
        self._paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"test-{secrets.token_hex(8)}",
            clean_session=clean,
            reconnect_on_failure=False,
        )
        if who.username:
            self._paho.username_pw_set(who.username, who.password)
        if will is not None:
            self._paho.will_set(will[0], will[1], qos=1, retain=will[2])
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = lambda *_: (self.lost.set(), self._answered.set())
        self._paho.on_message = lambda _client, _data, message: self.inbox.put((message.topic, message.payload))
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_publish = self._on_publish
        self._paho.connect(broker.host, port or broker.port, keepalive=30)
        self._paho.loop_start()
        assert self._answered.wait(DEADLINE), "no answer to CONNECT"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()
        # paho closes the two sockets by which it wakes its thread only when it is deleted. Its callbacks hold us, so
        # that would be left to the garbage collector, in whose order the sockets may well go first.
        del self._paho

    @property
    def connected(self) -> bool:
        return self.answer == "Success" and not self.lost.is_set()

    def subscribe(self, topic: str, qos: int = 0) -> int:
        """Subscribe and return the granted QoS; 128 for a refusal, -1 when the broker hung up instead."""
        _, mid = self._paho.subscribe(topic, qos)
        assert mid is not None
        with self._changed:
            assert self._changed.wait_for(lambda: mid in self._granted or self.lost.is_set(), DEADLINE)
            return self._granted.get(mid, [-1])[0]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._paho.publish(topic, payload, qos, retain)

    def published(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's PUBACK, or for its hanging up."""
        info = self._paho.publish(topic, payload, 1, retain)
        with self._changed:
            assert self._changed.wait_for(lambda: info.mid in self._taken or self.lost.is_set(), DEADLINE), "no PUBACK"

    def receive(self, seconds: float = DEADLINE) -> tuple[str, bytes]:
        return self.inbox.get(timeout=seconds)

    def vanish(self) -> None:
        """Close the socket without a word, so that the last will is executed."""
        sock = self._paho.socket()
        assert sock is not None
        sock.shutdown(2)
        assert self.lost.wait(DEADLINE)

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: object, _props: object) -> None:
        self.answer = str(reason)
        self._answered.set()

    def _on_subscribe(self, _client: object, _data: object, mid: int, reasons: list[object], _props: object) -> None:
        with self._changed:
            self._granted[mid] = [int(reason.value) for reason in reasons]  # type: ignore[attr-defined]  # paho's ReasonCode
            self._changed.notify_all()

    def _on_publish(self, _client: object, _data: object, mid: int, _reason: object, _props: object) -> None:
        with self._changed:
            self._taken.add(mid)
            self._changed.notify_all()
