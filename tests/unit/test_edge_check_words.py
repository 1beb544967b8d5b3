from __future__ import annotations

import re
from pathlib import Path

from tweeling_edge.check import Row, as_text
from tweeling_edge.drivers import Look

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "drivers.md").read_text()


def test_a_check_looks_as_the_page_on_drivers_shows_it() -> None:
    wrong = "$ has 'level', 't', no 'temp'"
    rows = [
        Row("http-poll:192.168.1.20/state", Look("H1-A/fillingLevel", "420", 42.0, "%")),
        Row(
            "http-poll:192.168.1.20/state",
            Look("H1-A/temperature", wrong=wrong, remedy="See `path` and `time` beside what the device answers"),
        ),
        Row("broker", Look("connection", "MQTT 5, TLS")),
        Row("broker", Look("publishing", "tweeling/v1/H1/gateway-1/up")),
        Row("broker", Look("hub", "answers within 14 ms")),
    ]
    (shown,) = re.findall(r"```text\n\$ tweeling-edge check edge.toml\n(.*?)```", PAGE, re.DOTALL)
    assert shown.splitlines() == list(as_text(rows))


def test_what_a_device_says_never_speaks_to_the_terminal() -> None:
    rows = [
        Row("a\x1b", Look("b\x1b/c", "d\x1b", 1.0, "%", 1_772_362_800_000)),
        Row("a\x1b", Look("e\x1b", "f\x1b", wrong="g\x1b", remedy="h\x1b")),
    ]
    text = list(as_text(rows))
    assert all(line.isprintable() for line in text)
    assert text[1] == "  ok     b?/c  d?  → 1 %  2026-03-01 11:00:00+00:00"
