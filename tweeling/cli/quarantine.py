"""`tweeling quarantine`: see and replay what had no meaning, in a running hub or in the files of a stopped one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from tweeling import bootstrap, config
from tweeling.api import models
from tweeling.cli.client import HubClient
from tweeling.cli.installation import MAINTAINER, Installation
from tweeling.cli.moments import moment
from tweeling.errors import ConfigError, RejectedError
from tweeling.services.quarantine import ANY, Progress, Quarantine, Words
from tweeling.verify.plain import plain


class Reached(Protocol):
    """A quarantine, wherever it is."""

    def messages(self, limit: int, *, before: int | None, words: Words) -> list[dict[str, Any]]:
        """The newest messages first; fewer where they are large."""
        ...

    def message(self, id_: int) -> dict[str, Any]:
        """One message with its bytes in base64; RejectedError where there is none."""
        ...

    def replay(self, id_: int | None = None, *, before: int | None = None, words: Words = ANY) -> Progress:
        """Replay one message, or a page of those below an id."""
        ...


class _Files:
    """The quarantine of a hub that is stopped."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine

    def messages(self, limit: int, *, before: int | None, words: Words) -> list[dict[str, Any]]:
        """See `Reached`."""
        kept = self._quarantine.page(limit, before=before, words=words)
        return [models.Message.of(each).model_dump() for each in kept]

    def message(self, id_: int) -> dict[str, Any]:
        """See `Reached`."""
        found = self._quarantine.find(id_)
        if found is None:
            raise _absent(id_)
        return models.WholeMessage.of(found).model_dump()

    def replay(self, id_: int | None = None, *, before: int | None = None, words: Words = ANY) -> Progress:
        """See `Reached`."""
        if id_ is None:
            return self._quarantine.replay_page(before=before, words=words)
        done = self._quarantine.replay(id_)
        if done is None:
            raise _absent(id_)
        return done


def list_messages(folder: Path, *, limit: int, before: int | None, words: Words, as_json: bool, out: Console) -> None:
    """Print messages in quarantine, the newest first, each in a line."""
    left = limit
    with _reach(folder, bearer="cli") as quarantine:
        while left and (page := quarantine.messages(min(left, 500), before=before, words=words)):
            left, before = left - len(page), page[-1]["id"]
            for row in page:
                if as_json:
                    out.print_json(json.dumps(row), indent=None, ensure_ascii=True)
                else:
                    out.print(plain(_line(row)), markup=False)


def show_message(folder: Path, id_: int, *, as_json: bool, out: Console) -> None:
    """Print one message and its bytes."""
    with _reach(folder, bearer="cli") as quarantine:
        row = quarantine.message(id_)
    if as_json:
        out.print_json(json.dumps(row), ensure_ascii=True)
        return
    payload = base64.b64decode(row.pop("payload")).decode("utf-8", "backslashreplace")
    told = {**row, "recorded": moment(row.pop("recorded_ms")), "payload": payload}
    for name in ("id", "recorded", "topic", "reason", "seen", "size", "payload"):
        out.print(f"{name:9} {plain(str(told[name]))}", markup=False)


def replay_messages(
    folder: Path, ids: Sequence[int], *, every: bool, words: Words, as_json: bool, out: Console
) -> None:
    """Replay some messages, or all that match, and sum up."""
    if bool(ids) == (every or any(words)):
        raise ConfigError(
            "say which messages", field="ID", remedy="Name ids, or say --all, or which by --reason and --topic"
        )
    total = Progress()
    with _reach(folder, bearer=MAINTAINER) as quarantine, Console(stderr=True).status("") as line:
        for id_ in ids:
            total = total.then(quarantine.replay(id_))
        before: int | None = None
        while not ids and (done := quarantine.replay(before=before, words=words)).replayed:
            total, before = total.then(done), done.before
            line.update(_sum(total))
    if as_json:
        told = {name: value for name, value in total._asdict().items() if name != "before"}
        out.print_json(json.dumps(told))
    else:
        out.print(_sum(total), markup=False)


@contextmanager
def _reach(folder: Path, *, bearer: str) -> Iterator[Reached]:
    settings = config.load(Installation(folder).config)
    if bootstrap.is_running(settings):
        with HubClient(folder, bearer=bearer) as hub:
            yield hub
    else:
        Installation(folder).check_owner()
        with bootstrap.quarantine_alone(settings) as quarantine:
            yield _Files(quarantine)


def _absent(id_: int) -> RejectedError:
    return RejectedError(f"message {id_} is not in quarantine")


def _line(row: dict[str, Any]) -> str:
    often = f", {row['seen']:,} times" if row["seen"] > 1 else ""
    size = f"{row['size']:,} bytes{often}"
    return f"{row['id']:>7}  {moment(row['recorded_ms'])}  {row['topic'][:80]}  {size}  {row['reason']}"


def _sum(total: Progress) -> str:
    committed = f"committed {total.readings:,} readings and {total.movements:,} weighings"
    return f"replayed {total.replayed:,} messages: {committed}; {total.suspect:,} are suspect still"
