"""The numbers that the core goes by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be under way, and how long to wait. Seconds; readings are counted by seq."""

    pack: int = 100  # readings in an envelope
    messages: int = 20  # envelopes that the hub has not answered
    reserve: int = 4  # of the messages, kept for live readings
    live: int = 500  # live readings that wait; older ones join the backlog
    drops: int = 200  # announcements in an envelope
    ask_s: float = 3.0
    wait_s: float = 5.0  # at least, for the hub's word
    wait_max_s: float = 60.0
    declined_s: float = 1.0  # after the broker would not take a message; longer each time
    pause_max_s: float = 3600.0  # a hub may not silence a node for longer
    doubt_s: float = 1.0  # a `want` younger than this crossed with the reading it wants
    burst_s: float = 0.05  # the granted rate may lag behind by so much
    stuck_s: float = 60.0  # without any confirmation of the broker
