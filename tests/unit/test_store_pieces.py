from __future__ import annotations

from tweeling.adapters.duckdb.pieces import Part, Piece, month_of, name, plan, start_of


def _piece(start: int, end: int, points: int) -> Piece:
    return Piece(f"raw-1970-01.{start:06}.parquet", "raw", start, end, points, 1)


def test_a_month_begins_where_its_name_says() -> None:
    assert month_of(start_of(673)) == 673
    assert month_of(start_of(673) - 1) == 672
    assert name("raw", start_of(673), 12) == "raw-2026-02.000012.parquet"


def test_new_points_take_along_the_pieces_before_them_that_are_not_much_larger() -> None:
    pieces = [_piece(0, 10, 1000), _piece(10, 20, 100), _piece(20, 30, 30)]
    parts = plan(pieces, [0, 0, 0], new=10, start_ms=30, end_ms=40, whole=False)
    assert parts == [Part(tuple(pieces[1:]), 10, 40)]
    assert plan(pieces, [0, 0, 0], new=1, start_ms=30, end_ms=40, whole=False) == [Part((), 30, 40)]


def test_late_points_have_just_their_piece_written_again() -> None:
    pieces = [_piece(0, 10, 1000), _piece(10, 20, 100)]
    assert plan(pieces, [3, 0], new=0, start_ms=20, end_ms=20, whole=False) == [Part((pieces[0],), 0, 10)]


def test_a_month_that_is_over_becomes_one_file_and_then_stays() -> None:
    pieces = [_piece(0, 10, 1000), _piece(10, 20, 1)]
    assert plan(pieces, [0, 0], new=0, start_ms=20, end_ms=20, whole=True) == [Part(tuple(pieces), 0, 20)]
    assert plan(pieces[:1], [0], new=0, start_ms=10, end_ms=10, whole=True) == []
    assert plan(pieces[:1], [1], new=0, start_ms=10, end_ms=10, whole=True) == [Part((pieces[0],), 0, 10)]
