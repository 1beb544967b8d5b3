"""What a process of the hub logs: events with their fields, as text or as JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Events(logging.Formatter):
    """An event and its fields on one line, for people; a traceback follows where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        fields = "".join(f" {key}={value!r}" for key, value in _fields(record).items())
        line = f"{self.formatTime(record)} {record.levelname.lower()} {_event(record)}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonEvents(logging.Formatter):
    """One JSON object a line: time, level and event, then the event's fields; a traceback in `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": time, "level": record.levelname.lower(), "event": _event(record)}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**_fields(record), **told}, default=str, ensure_ascii=False)


def log_to_stderr(form: str = "text", level: str = "info") -> None:
    """Log to standard error from here on. form: text or json. level: the least of ours that is said."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonEvents() if form == "json" else Events())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)  # libraries have little to tell
    for ours in ("tweeling", "tweeling_dashboards"):
        logging.getLogger(ours).setLevel(level.upper())


def _event(record: logging.LogRecord) -> str:
    # What is logged may quote what a stranger sent; a line stays a line.
    return record.getMessage().replace("\r", "\\r").replace("\n", "\\n")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _KNOWN}
