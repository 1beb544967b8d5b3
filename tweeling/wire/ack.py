"""What a hub answers a node, and what a node says of its own presence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from tweeling.domain.ids import Epoch
from tweeling.errors import WireError
from tweeling.wire.envelope import Reason, Seq
from tweeling.wire.senml import MAX_MS

_MAX = 1e9  # a finite number; a node waits no longer than its own limit anyway


class Ack(BaseModel, frozen=True, extra="forbid"):
    """The hub's word on seqs: committed and refused ones are settled and may be forgotten; `want` is asked again.

    rate: messages a second the node may send while it drains a backlog; 0 means no limit.
    retry_after: seconds to wait before the next message.
    """

    v: Literal[1] = 1
    epoch: Epoch
    committed: tuple[tuple[Seq, Seq], ...] = ()
    refused: tuple[tuple[Seq, Seq, Reason], ...] = ()
    want: tuple[tuple[Seq, Seq], ...] = ()
    known: Annotated[bool, Field(description="the answer to `ask`: committed holds every range of this epoch")] = False
    rate: Annotated[float, Field(ge=0, le=_MAX, allow_inf_nan=False)] = 0
    retry_after: Annotated[float, Field(ge=0, le=_MAX, allow_inf_nan=False)] = 0

    def encode(self) -> bytes:
        """Encode as JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, payload: bytes) -> Ack:
        """Read an ack, or raise WireError."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as exc:
            raise WireError(f"ack: {exc.error_count()} problem(s)") from exc


class State(BaseModel, frozen=True, extra="forbid"):
    """A node's presence, retained; its last will says `online: false`."""

    v: Literal[1] = 1
    online: bool
    since_ms: int = Field(ge=0, lt=MAX_MS)
    epoch: Epoch
    software: str = Field(default="", max_length=64)
    queued: int = Field(default=0, ge=0, le=2**53)
    alarm: Annotated[
        str, Field(max_length=200, description="what an operator should know; left out where all is well")
    ] = ""

    def encode(self) -> bytes:
        """Encode as JSON."""
        return self.model_dump_json(exclude=None if self.alarm else {"alarm"}).encode()

    @classmethod
    def decode(cls, payload: bytes) -> State:
        """Read a presence message, or raise WireError."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as exc:
            raise WireError(f"state: {exc.error_count()} problem(s)") from exc
