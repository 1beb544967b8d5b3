"""What a process of the hub logs: events with their fields."""

from __future__ import annotations

import logging


class _Events(logging.Formatter):
    """An event and its fields on one line."""

    _KNOWN = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        extra = {key: value for key, value in vars(record).items() if key not in self._KNOWN and key != "message"}
        fields = "".join(f" {key}={value!r}" for key, value in extra.items())
        line = f"{self.formatTime(record)} {record.levelname.lower()} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to_stderr() -> None:
    """Log from here on to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Events())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "urllib3", "web3", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
