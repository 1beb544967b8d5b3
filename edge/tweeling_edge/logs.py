"""Log lines are events: a name, then what is known as key=value."""

from __future__ import annotations

import json
import logging
import time

TELL_EVERY_S = 60.0
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    """`2026-03-02T07:00:00+0100 warning broker.lost host=127.0.0.1 reason="refused"`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(lowername)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        """Write a record on one line; a traceback follows where there is one."""
        record.lowername = record.levelname.lower()
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's own name
        """Add the extras behind the event."""
        extras = {key: value for key, value in record.__dict__.items() if key not in _PLAIN and key != "lowername"}
        fields = (f"{key}={_shown(value)}" for key, value in extras.items())
        return " ".join((super().formatMessage(record), *fields))


class Seldom:
    """Tells of what may happen very often: at once, and then once a minute, with how much there was since."""

    def __init__(self, log: logging.Logger, event: str, counted: str) -> None:
        """counted: the name of the number."""
        self._log = log
        self._event = event
        self._counted = counted
        self._count = 0
        self._tell_at = 0.0

    def note(self, count: int, **known: object) -> None:
        """It happened to so many; `known` is told with them."""
        self._count += count
        if self._count and time.monotonic() >= self._tell_at:
            self._log.warning(self._event, extra={self._counted: self._count, **known})
            self._count, self._tell_at = 0, time.monotonic() + TELL_EVERY_S


def to_stderr(level: int = logging.INFO) -> None:
    """Send every event to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(EventFormatter())
    root = logging.getLogger("tweeling_edge")
    root.handlers[:] = [handler]
    root.setLevel(level)


def _shown(value: object) -> str:
    text = str(value)
    return text if text.replace(".", "").replace("-", "").isalnum() else json.dumps(text, ensure_ascii=False)
