from __future__ import annotations

import json

import pytest

from tweeling.errors import WireError
from tweeling.wire.ack import Ack, State

EPOCH = "00000000000000aa"


def test_an_ack_reads_back_as_it_was_written() -> None:
    ack = Ack(
        epoch=EPOCH, committed=((1, 4), (9, 9)), refused=((5, 5, "why"),), want=((6, 8),), rate=50, retry_after=1.5
    )
    assert Ack.decode(ack.encode()) == ack
    assert json.loads(ack.encode())["v"] == 1


def test_a_state_reads_back_as_it_was_written() -> None:
    state = State(online=True, since_ms=17, epoch=EPOCH, software="0.1.0", queued=3)
    assert State.decode(state.encode()) == state


def test_an_alarm_is_told_only_where_there_is_one() -> None:
    quiet = State(online=True, since_ms=17, epoch=EPOCH)
    assert "alarm" not in json.loads(quiet.encode())
    assert State.decode(quiet.encode()) == quiet
    loud = quiet.model_copy(update={"alarm": "outbox: the disk is full"})
    assert State.decode(loud.encode()) == loud


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[]", b"{}", b'{"v":2,"epoch":"00000000000000aa"}'])
def test_what_is_neither_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match=r"^ack: "):
        Ack.decode(payload)
    with pytest.raises(WireError, match=r"^state: "):
        State.decode(payload)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(WireError):
        State.decode(b'{"online":true,"since_ms":1,"epoch":"00000000000000aa","extra":1}')


@pytest.mark.parametrize("change", [{"since_ms": -1}, {"since_ms": 10**29}, {"since_ms": 253_402_300_800_000},
                                    {"queued": 2**53 + 1}, {"queued": -1}, {"software": "x" * 65},
                                    {"alarm": "x" * 201}])  # fmt: skip
def test_a_state_that_no_screen_could_show_is_refused(change: dict[str, object]) -> None:
    good = {"online": True, "since_ms": 1, "epoch": EPOCH}
    assert State.decode(json.dumps(good).encode()).online
    with pytest.raises(WireError, match=r"^state: "):
        State.decode(json.dumps(good | change).encode())


@pytest.mark.parametrize("field", ["rate", "retry_after"])
@pytest.mark.parametrize("value", [-1.0, 1e300, float("inf"), float("nan")])
def test_an_ack_that_would_stop_a_node_for_ever_is_refused(field: str, value: float) -> None:
    with pytest.raises(WireError, match=r"^ack: "):
        Ack.decode(json.dumps({"epoch": EPOCH, field: value}).encode())
