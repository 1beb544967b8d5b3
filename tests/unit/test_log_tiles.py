from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_custody import Bench, shipping
from support_tlog import path_of

from tweeling.adapters.memory_log import MemoryLogStore
from tweeling.domain import tile
from tweeling.domain.tile import Tile
from tweeling.errors import VerificationError
from tweeling.services.publishing import PublishedLog


@given(st.none() | st.integers(0, 63), st.integers(0, 2**63), st.integers(1, 256))
def test_a_tile_is_named_in_one_way(level: int | None, number: int, width: int) -> None:
    named = Tile(level, number, width)
    assert f"tile/{named.path}" == path_of("entries" if level is None else level, number, width)
    assert tile.parse(named.path) == named


def test_the_pages_own_example() -> None:
    assert tile.parse("0/x001/x234/067") == Tile(0, 1_234_067)
    assert tile.parse("entries/x001/x234/067.p/8") == Tile(None, 1_234_067, 8)


@pytest.mark.parametrize(
    "path",
    [
        *("", "0", "0/", "/0/000", "0/000/", "0//000", "0/0", "0/00", "0/0000", "0/x000", "0/x000/000", "0/x1/000"),
        *("0/001/000", "0/X001/000", "0/x001/x000", "00/000", "01/000", "64/000", "100/000", "-1/000", "+1/000"),
        *("0/000.p/0", "0/000.p/256", "0/000.p/999", "0/000.p/01", "0/000.p/", "0/000.p", "0/000.p/-1", "0/000.p/1 "),
        *(
            "entries",
            "entries/0",
            "leaves/000",
            "ENTRIES/000",
            "0/\u0660\u0660\u0660",
            "0/000\n",
            "0/-01",
            "0/../0/000",
            "0/000?x",
        ),
        *("0/" + "x999/" * 7 + "999", "0/" + "x000/" * 6 + "000", "1e0/000", "0x0/000"),
    ],
)
def test_any_other_spelling_names_nothing(path: str) -> None:
    assert tile.parse(path) is None


@given(st.integers(0, 2**40), st.integers(0, 5), st.integers(0, 2**12), st.integers(1, 256))
def test_a_tile_is_covered_by_a_tree_that_has_every_one_of_its_subtrees_whole(
    size: int, level: int, number: int, width: int
) -> None:
    last = number * 256 + width  # subtrees of 256**level entries each
    assert Tile(level, number, width).is_covered_by(size) == (last * 256**level <= size)
    assert Tile(None, number, width).is_covered_by(size) == (last <= size)


def _published() -> tuple[Bench, PublishedLog]:
    bench = Bench()
    return bench, PublishedLog(bench.store)


def test_nothing_is_shown_that_no_signed_checkpoint_covers() -> None:
    bench, log = _published()
    bench.capture(shipping(1), shipping(2))
    assert log.checkpoint() is None
    assert log.read(Tile(0, 0, 1)) is log.read(Tile(None, 0, 1)) is None
    bench.integrate()
    bench.capture(shipping(3))
    assert log.read(Tile(0, 0, 2)) is not None
    assert log.read(Tile(0, 0, 3)) is log.read(Tile(None, 0, 3)) is log.read(Tile(0, 0)) is None
    bench.integrate()
    third = log.read(Tile(0, 0, 3))
    assert third is not None
    assert log.read(Tile(0, 0, 2)) == third[:64], "of the earlier checkpoint, which somebody may hold"
    note = log.checkpoint()
    assert note is not None
    assert note.splitlines()[1] == b"3"


def test_reading_signs_and_writes_nothing() -> None:
    class ReadOnly(MemoryLogStore):
        def save_checkpoint(self, checkpoint: object) -> None:
            del checkpoint
            raise AssertionError("nobody who reads has the log written to")

    bench = Bench(ReadOnly())
    bench.capture(shipping(1))
    log = PublishedLog(bench.store)
    assert log.checkpoint() is None
    assert log.read(Tile(0, 0, 1)) is None


def test_a_bundle_that_has_lost_an_entry_is_not_served_shortened() -> None:
    class Lossy(MemoryLogStore):
        def entries(self, start: int, stop: int) -> list[object]:  # type: ignore[override]  # a store that is damaged
            return list(super().entries(start, stop))[1:]

    bench = Bench(Lossy())
    bench.capture(shipping(1), shipping(2))
    bench.integrate()
    with pytest.raises(VerificationError, match=r"lost entries of \[0, 2\)"):
        PublishedLog(bench.store).read(Tile(None, 0, 2))
