"""The custody log as interfaces offer it to partners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class DetachedSignature(NamedTuple):
    """A submitter's signature over the event's canonical bytes, beside the event."""

    key_id: str
    algorithm: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Captured:
    """Where an event stands in the log."""

    event_id: str
    index: int


class CustodyApi(Protocol):
    """Capture and receipts; safe from any thread; raises UnavailableError while the log does not answer."""

    def capture(self, body: bytes, *, token_id: str, signature: DetachedSignature | None) -> Captured:
        """Sequence one EPCIS event durably.

        Raises WireError or InvariantError when it is no valid event, RejectedError when the log has it already.
        """
        ...

    def receipt(self, event_id: str) -> bytes:
        """The receipt of an event, or raise InvariantError when the log does not know it."""
        ...
