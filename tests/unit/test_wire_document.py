"""`docs/wire-format.md` shows what the code reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tweeling.wire import senml, topics
from tweeling.wire.ack import Ack, State
from tweeling.wire.envelope import MAX_BYTES, MAX_RECORDS, Envelope, decode

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
NOW = 1_750_000_200_000


def block(name: str) -> bytes:
    (found,) = re.findall(rf"^```json {name}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found).encode()


def test_the_envelope_shown_means_what_the_page_says() -> None:
    decoded = decode(topics.parse("tweeling/v1/H1/gw1/up"), block("up"), now_ms=NOW, skew_ms=0)
    assert decoded.refused == ()
    assert decoded.accepted.ranges == ((41, 42), (57, 57))
    assert decoded.values == (0.41, 0.42, 0.37)
    assert decoded.times == (1_750_000_000_000, 1_750_000_060_000, 1_750_000_120_000)
    (movement,) = decoded.movements
    assert (movement.net_g, movement.identity.seq, movement.identity.index) == (1_840_000, 57, 1)


def test_ack_and_state_shown_are_read_and_complete() -> None:
    assert set(json.loads(block("ack"))) == set(Ack.model_fields)
    assert Ack.decode(block("ack")).want == ((50, 51),)
    assert set(json.loads(block("state"))) == set(State.model_fields)
    assert State.decode(block("state")).queued == 17


def test_every_field_label_and_limit_is_on_the_page() -> None:
    for name in (*Envelope.model_fields, *Ack.model_fields, *topics.Channel, *sorted(senml.WEIGHING)):
        assert f"`{name}`" in PAGE or f'"{name}"' in PAGE, name
    assert MAX_BYTES == 1 << 20
    assert f"at most {MAX_RECORDS:,}" in PAGE
