"""A hub's ingest in a process of its own, which can be killed: `python support_hub.py BROKER JOURNAL [WHEN AT]`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.mqtt import Address, Subscriber
from tweeling.ports.inbox import Message, Outcome
from tweeling.services.ingest import Ingest


class WallClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Doomed(Ingest):
    """Kills its own process when the message numbered `at` has come: before the commit, or right after it."""

    when = ""
    at = 0
    seen = 0

    def handle(self, messages: Sequence[Message], *, load: float = 0.0) -> Outcome:
        self.seen += len(messages)
        if self.when == "before" and self.seen >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        outcome = super().handle(messages, load=load)
        if self.when == "after" and self.seen >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(broker: str, path: str, when: str = "", at: str = "0") -> None:
    journal = SqliteJournal(Path(path))
    ingest = Doomed(journal, WallClock())
    ingest.when, ingest.at = when, int(at)

    def tell(_: object) -> None:
        say(f"readings {journal.counts()['readings']}")

    subscriber = Subscriber(Address(**json.loads(Path(broker).read_text())), ingest, on_batch=tell)
    subscriber.start()
    if subscriber.wait(20):
        say("hub is ready")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    subscriber.close()
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
