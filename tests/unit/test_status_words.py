from __future__ import annotations

from typing import Any

import pytest

from tweeling.cli.status import _ledger

SIGNS: dict[str, Any] = {"unconfirmed": 0, "confirmations": None, "wanted": 64}


@pytest.mark.parametrize(
    ("age", "left", "ledger", "words"),
    [
        (None, None, None, "3 of 7 events pending; nothing anchored yet"),
        (4.0, None, SIGNS, "3 of 7 events pending; anchored as of 4.0 s ago"),
        (
            7300.0,
            1200,
            SIGNS | {"unconfirmed": 2, "confirmations": 3},
            (
                "3 of 7 events pending; anchored as of 2 h ago; 2 seen, 3 of 64 confirmations; "
                "the account can pay 1,200 more"
            ),
        ),
    ],
)
def test_the_ledger_stands_in_one_line(
    age: float | None, left: int | None, ledger: dict[str, Any] | None, words: str
) -> None:
    vitals = {"pending": 3, "anchor_age_s": age, "anchors_left": left, "ledger": ledger}
    assert _ledger(vitals, {"events_captured": 7}) == words
