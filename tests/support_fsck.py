"""A small installation with everything in it that an auditor looks at, and the auditor's answer."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from rich.console import Console
from support_custody import Bench, shipping
from support_ingest import NOW, HandClock, message, reading, weighing

from tweeling import bootstrap, config
from tweeling.adapters.intake import KEEP
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.cli.fsck import run_fsck
from tweeling.ports.inbox import Message
from tweeling.services.ingest import Ingest
from tweeling.services.projection import Projector

FURLONG = {"n": "H1-B/distance", "u": "furlong", "v": 2, "t": NOW / 1000}


class Opened(NamedTuple):
    """The parts of a hub that write."""

    journal: SqliteJournal
    clock: HandClock
    ingest: Ingest
    projector: Projector
    log: Bench


@contextmanager
def opened(folder: Path, *, trimmed_bytes: int = 1 << 20) -> Iterator[Opened]:
    """A hub's stores with a hub's services, without its threads."""
    settings = config.load(folder / "tweeling.toml")
    keep = KEEP._replace(trimmed_bytes=trimmed_bytes)
    with (
        bootstrap.stores(settings) as (points, records, facts),
        closing(SqliteJournal(folder / "journal.db", keep=keep)) as journal,
    ):
        clock = HandClock()
        projector = Projector(journal, points, facts, stride=10**9)
        yield Opened(journal, clock, Ingest(journal, clock), projector, Bench(SqlLogStore(records)))


def deliveries() -> Iterable[list[Message]]:
    """Commits of two nodes: repeats, late ones, refused ones, dropped ones, junk, and a point that is overwritten."""
    for first in range(1, 40, 4):
        seqs = range(first, first + 4)
        yield [message({seq: [reading(seq / 100, at=NOW - seq), weighing(seq * 1000)] for seq in seqs})]
    yield [message({1: [reading(0.9)]}, node="n2"), message({3: [reading(0.1, at=NOW - 3)]}, node="n2")]
    yield [message({1: [reading(0.9)], 2: [reading(9.9, at=NOW - 10**8)]}, node="n2", dropped=((7, 9, "quota"),))]
    yield [message({50: [FURLONG], 51: [reading(0.5, at=NOW - 51)]}), Message("tweeling/v1/H1/n1/up", b"junk")]
    yield [Message("tweeling/v1/H1/n1/up", b"junk"), Message("elsewhere", b"\x00\xff")]


def install(folder: Path, settings: str = "") -> None:
    """Make an installation whose hub has stopped."""
    folder.mkdir(exist_ok=True)
    (folder / "tweeling.toml").write_text(settings)
    with opened(folder) as hub:
        for messages in deliveries():
            hub.ingest.handle(messages)
        assert hub.projector.drain() == hub.journal.last() > 10
        for number in range(1, 12):
            hub.log.capture(shipping(number, lot=f"urn:epc:class:lgtin:4012345.011111.{number % 3}"))
            if number % 4 == 0:
                hub.log.integrate()
        newest = hub.log.store.checkpoint()
        assert newest is not None
        hub.log.store.save_anchor(hub.log.ledger.anchor(newest.size, newest.root, []))
        (folder / "trust.json").write_bytes(hub.log.trust.encode())


def fsck(folder: Path, *, ask_chain: bool = True) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and every check by its name."""
    told = io.StringIO()
    code = run_fsck(folder, as_json=True, out=Console(file=told, soft_wrap=True), ask_chain=ask_chain)
    answer = json.loads(told.getvalue())
    assert answer["ok"] == all(check["ok"] for check in answer["checks"]) == (code == 0)
    return code, {check["check"]: check for check in answer["checks"]}


def found(check: dict[str, Any]) -> list[str]:
    """The disagreements of a check, each in a line."""
    return [f"{each['what']}, {each['where']}: {each['expected']} / {each['found']}" for each in check["disagreements"]]


def sqlite(path: Path, *statements: str | Callable[[sqlite3.Connection], object]) -> None:
    """Change a SQLite file as no program of ours would."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            if isinstance(statement, str):
                assert db.execute(statement).rowcount, statement
            else:
                statement(db)
        db.commit()


def points(folder: Path, statement: str) -> None:
    """Change the points as no program of ours would."""
    with closing(duckdb.connect(folder / "points.duckdb")) as db:
        changed = db.execute(statement).fetchone()
        assert changed is not None
        assert changed[0] > 0
