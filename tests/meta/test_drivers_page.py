"""What the page on drivers shows of scales, registers and faults is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tweeling_edge.drivers import registry
from tweeling_edge.drivers.serial import SerialSettings
from tweeling_edge.scale.frames import Frame, Framer
from tweeling_edge.scale.protocols import GROUPS, PUBLISHED
from tweeling_edge.scale.reading import Reading

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "drivers.md").read_text()
BLOCKS = [re.sub(r"(?m)^ {3}", "", block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
ROWS = dict(re.findall(r"^ *\| `([a-z-]+)` \| `([^`]*)`[^|]*\|[^|]*\|$", PAGE, re.MULTILINE))
CARETS = {f"^{chr(64 + code)}": bytes((code,)) for code in (2, 3, 10, 13)}


@pytest.mark.parametrize("block", [block for block in BLOCKS if "[[drivers]]" in block])
def test_every_configuration_on_the_page_loads(block: str) -> None:
    for table in tomllib.loads(block)["drivers"]:
        registry.settings(table, source="docs/drivers.md", base=Path(), field="drivers[0]")


def test_every_published_protocol_is_on_the_page_with_a_frame_that_it_reads() -> None:
    assert set(ROWS) >= set(PUBLISHED)
    for name, protocol in PUBLISHED.items():
        raw = re.sub(r"\^[BCJM]", lambda caret: CARETS[caret[0]].decode(), ROWS[name]).encode()
        if protocol.framing.trailer:
            raw += bytes((-sum(raw) & 0x7F,))
        (frame,) = Framer(protocol.framing).feed(raw)
        assert isinstance(frame, Frame)
        said = protocol.read(frame)
        assert isinstance(said, Reading), (name, said)
        assert said.weight_g == (12_340 if name == "mt-sics" else 14_540_000)
        assert said.stable is True


def test_the_pattern_on_the_page_reads_the_weight_beside_it() -> None:
    (raw,) = re.findall(r"For a weight such as `([^`]*)`", PAGE)
    (table,) = (table for block in BLOCKS for table in tomllib.loads(block).get("drivers", ()) if "pattern" in table)
    read = SerialSettings.model_validate(table).spoken().read
    assert read(Frame(raw.encode())) == Reading(14_540_000, stable=True)
    assert read(Frame(raw.encode().replace(b"S", b"M"))) == Reading(14_540_000, stable=False)


def test_every_group_of_a_pattern_is_on_the_page() -> None:
    assert all(f"`{group}`" in PAGE for group in GROUPS)
