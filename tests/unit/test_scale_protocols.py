"""What published indicator protocols say, frame by frame, as their makers' manuals show them."""

from __future__ import annotations

import pytest

from tweeling_edge.scale.frames import Frame, Framer, Noise
from tweeling_edge.scale.protocols import PUBLISHED, Pattern
from tweeling_edge.scale.reading import NotUnderstood, NoWeight, Reading, Said, grams


def said(protocol: str, raw: bytes) -> list[Said]:
    chosen = PUBLISHED[protocol]
    frames = list(Framer(chosen.framing).feed(raw))
    assert not any(isinstance(frame, Noise) for frame in frames), frames
    return [chosen.read(frame) for frame in frames if isinstance(frame, Frame)]


def toledo(a: int, b: int, c: int, shown: bytes, tare: bytes = b"000000", *, checksum: bool = False) -> bytes:
    sent = b"\x02" + bytes((a, b, c)) + shown + tare + b"\r"
    return sent + bytes((-sum(sent) & 0x7F,)) if checksum else sent


@pytest.mark.parametrize(
    ("protocol", "raw", "expected"),
    [
        ("mt-sics", b"S S     100.00 g\r\n", Reading(100, stable=True)),
        ("mt-sics", b"S D      12.34 kg\r\n", Reading(12_340, stable=False)),
        ("mt-sics", b"S S      -0.50 kg\r\n", Reading(-500, stable=True)),
        ("mt-sics", b"S I\r\n", NoWeight("I")),
        ("mt-sics", b"S +\r\n", NoWeight("+")),
        ("mt-sics", b"S -\r\n", NoWeight("-")),
        ("mt-sics", b"ES\r\n", NotUnderstood("does not look like the protocol")),
        ("st-gs", b"ST,GS,+0012345kg\r\n", Reading(12_345_000, True, "gross", 12_345_000)),
        ("st-gs", b"ST,NT,+0012.34kg\r\n", Reading(12_340, True, "net")),
        ("st-gs", b"US,GS,+01234.5kg\r\n", Reading(1_234_500, False, "gross", 1_234_500)),
        ("st-gs", b"ST,TR,+0002345kg\r\n", Reading(2_345_000, True, "tare")),
        ("st-gs", b"OL,GS,+    .  kg\r\n", NoWeight("OL")),
        ("st-gs", b"ST,+0001.234 kg\r\n", Reading(1234, True)),
        ("st-gs", b"01ST,GS,     0.5,kg\r\n", Reading(500, True, "gross", 500)),
        ("st-gs", b"ST,GS,    12,5,kg\r\n", Reading(12_500, True, "gross", 12_500)),
        ("st-gs", b"US,NT,-   12.5 t\r\n", Reading(-12_500_000, False, "net")),
        ("st-gs", b"ST,GS,+0012345  \r\n", NotUnderstood("no unit")),
        ("sma", b"\n 1G       5.025lb \r", Reading(2279, True, "gross", 2279)),
        ("sma", b"\n 1GM      7.650kg \r", Reading(7650, False, "gross", 7650)),
        ("sma", b"\nZ1N       0.000kg \r", Reading(0, True, "net")),
        ("sma", b"\nO1G      99.999kg \r", NoWeight("O")),
        ("rinstrum", b"\x02  1234.5G Z- kg\x03", Reading(1_234_500, True, "gross", 1_234_500)),
        ("rinstrum", b"\x02-   12.5N  1  t\x03", Reading(-12_500_000, True, "net")),
        ("rinstrum", b"\x02  1234.5GM -   \x03", NoWeight("moving")),
        ("rinstrum", b"\x02        O  - kg\x03", NoWeight("O")),
        ("toledo", toledo(0x2A, 0x30, 0x20, b" 12345"), Reading(12_345_000, True, "gross", 12_345_000)),
        ("toledo", toledo(0x2B, 0x38, 0x20, b"012345"), Reading(1_234_500, False, "gross", 1_234_500)),
        ("toledo", toledo(0x29, 0x31, 0x20, b"  1234", b"000100"), Reading(12_340_000, True, "net", 13_340_000, 10**6)),
        ("toledo", toledo(0x2A, 0x32, 0x20, b"000040"), Reading(-40_000, True, "gross", -40_000)),
        ("toledo", toledo(0x2A, 0x34, 0x20, b"000000"), NoWeight("out of range")),
        ("toledo", toledo(0x2A, 0x70, 0x20, b"000000"), NoWeight("not zeroed since power-up")),
        ("toledo", toledo(0x2A, 0x20, 0x21, b"000500"), Reading(500, True, "gross", 500)),
        ("toledo", toledo(0x2A, 0x20, 0x20, b"000100"), Reading(45_359, True, "gross", 45_359)),
        ("toledo", toledo(0x2A, 0x20, 0x26, b"000100"), NotUnderstood("unit code 6 is unknown")),
        ("toledo", toledo(0x2A, 0x30, 0x20, b"12 456"), NotUnderstood("'12 456' is no weight")),
        ("toledo", b"\x02ABC12345\r", NotUnderstood("has 8 bytes, not 15 or 9")),
        ("toledo-checksum", toledo(0x2A, 0x30, 0x20, b"000020", checksum=True), Reading(20_000, True, "gross", 20_000)),
        ("toledo-checksum", toledo(0x2A, 0x30, 0x20, b"000020") + b"\x00", NotUnderstood("wrong checksum")),
    ],
)
def test_a_published_protocol_is_understood(protocol: str, raw: bytes, expected: Said) -> None:
    assert said(protocol, raw) == [expected]


def test_a_checksum_that_looks_like_a_start_or_an_end_is_only_a_checksum() -> None:
    shown = [b"%06d" % number for number in (*range(0, 10**6, 37), 999_997)]
    sent = [toledo(0x2A, 0x31, 0x20, digits, checksum=True) for digits in shown]
    tricky = {frame: digits for frame, digits in zip(sent, shown, strict=True) if frame[-1] in b"\x02\r\n"}
    assert {frame[-1] for frame in tricky} == set(b"\x02\r\n")
    told = said("toledo-checksum", b"".join(tricky))
    assert [answer[0] for answer in told] == [int(digits) * 1000 for digits in tricky.values()]


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        ("0.1", "kg", 100),
        ("25.06", "t", 25_060_000),
        ("+ 12,5", "KG", 12_500),
        ("1", "lb", 454),
        ("20000", "lb", 9_071_847),
        ("0.0005", "kg", 0),  # half to even
        ("0.0015", "kg", 2),
        (".5", "g", 0),
    ],
)
def test_grams_are_exact_to_the_last_digit(number: str, unit: str, expected: int) -> None:
    assert grams(number, unit) == expected


@pytest.mark.parametrize(
    ("number", "unit", "reason"),
    [
        ("", "kg", "'' is no weight"),
        ("1.2.3", "kg", "is no weight"),
        ("1e5", "kg", "is no weight"),
        ("12", "stone", "unit 'stone' is unknown"),
        ("12", "", "no unit"),
        ("999999999999", "t", "more than a scale can carry"),
    ],
)
def test_what_is_no_weight_is_named(number: str, unit: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        grams(number, unit)


def test_a_ticket_of_several_lines_keeps_gross_tare_and_net() -> None:
    pattern = Pattern(
        r"TICKET (?P<ticket>\d+)\sGROSS +(?P<gross>[\d.]+) KG\sTARE +(?P<tare>[\d.]+) KG\sNET +(?P<net>[\d.]+) KG",
        unit="kg",
    )
    text = b"TICKET 0042\nGROSS   25.00 KG\nTARE     1.48 KG\nNET     %s KG"
    assert pattern(Frame(text % b"23.52")) == Reading(23_520, None, "net", 25_000, 1480, "0042")
    wrong = pattern(Frame(text % b"23.50"))
    assert wrong == NotUnderstood("gross 25000 g - tare 1480 g is not net 23500 g")


def test_two_of_gross_tare_and_net_give_the_third() -> None:
    assert Pattern("(?P<gross>\\d+)-(?P<tare>\\d+)", unit="kg")(Frame(b"30-12")) == Reading(
        18_000, None, "net", 30_000, 12_000
    )
    assert Pattern("(?P<net>\\d+)\\+(?P<tare>\\d+)", unit="kg")(Frame(b"18+12")) == Reading(
        18_000, None, "net", 30_000, 12_000
    )


@pytest.mark.parametrize("name", ["weight", "net", "gross"])
def test_a_sign_that_stands_apart_is_that_of_the_weight_displayed(name: str) -> None:
    told = Pattern(rf"(?P<sign>[ -])(?P<{name}>\d+)kg N", unit="kg")(Frame(b"-14540kg N"))
    assert isinstance(told, Reading)
    assert told.weight_g == -14_540_000


def test_a_ticket_in_pounds_is_compared_before_it_is_rounded() -> None:
    pattern = Pattern(r"(?P<gross>\d+) (?P<tare>\d+) (?P<net>\d+)", unit="lb")
    for gross, tare in ((50_001, 20_002), (3, 2), (1001, 500)):
        told = pattern(Frame(b"%d %d %d" % (gross, tare, gross - tare)))
        assert isinstance(told, Reading), told
        assert told[3:5] == (grams(f"{gross}", "lb"), grams(f"{tare}", "lb"))
        assert told.gross_g is not None
        assert told.tare_g is not None
        assert told.weight_g == told.gross_g - told.tare_g
    assert isinstance(pattern(Frame(b"50001 20002 30000")), NotUnderstood)


def test_a_tare_in_the_frame_is_taken_off_a_gross_weight_and_not_off_a_net_one() -> None:
    pattern = Pattern(r"(?P<mode>[GNT ]) (?P<weight>\d+) (?P<tare>\d* ?)", unit="kg")
    assert pattern(Frame(b"G 30 12")) == Reading(18_000, None, "net", 30_000, 12_000)
    assert pattern(Frame(b"N 18 12")) == Reading(18_000, None, "net", 30_000, 12_000)
    assert pattern(Frame(b"G 30  ")) == Reading(30_000, None, "gross", 30_000)
    assert pattern(Frame(b"T 12 12")) == Reading(12_000, None, "tare")
    assert pattern(Frame(b"  30 12")) == NotUnderstood("a tare, and not whether the weight is gross or net")


@pytest.mark.parametrize("checksum", ["xor", "sum"])
def test_a_checksum_of_two_digits_guards_a_pattern(checksum: str) -> None:
    pattern = Pattern(r"(?P<weight>\d+)kg(?P<checksum>..)", unit="kg", checksum=checksum)  # type: ignore[arg-type]  # parametrised
    value = (ord("1") ^ ord("5") ^ ord("k") ^ ord("g")) if checksum == "xor" else sum(b"15kg") % 256
    assert pattern(Frame(b"15kg%02x" % value)) == Reading(15_000)
    assert pattern(Frame(b"16kg%02x" % value)) == NotUnderstood("wrong checksum")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?P<weight>", "is no regular expression"),
        (r"(?P<mass>\d+)", "has a group 'mass'; known are checksum, gross"),
        (r"(?P<tare>\d+)", "has no group weight, gross or net"),
        (r"(?P<sign>-)(?P<gross>\d+)(?P<net>\d+)", "a group sign for several numbers"),
        (r"(?P<weight>\d+) (?P<tare>\d+)", "name the weight gross or net, or add a group mode"),
        (r"(?P<weight>\d+)(?P<checksum>..)", "exactly where a checksum is chosen"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^has|^is") as caught:
        Pattern(pattern)
    assert reason in str(caught.value)


def test_bytes_beyond_ascii_are_not_understood_and_do_no_harm() -> None:
    assert all(
        isinstance(protocol.read(Frame(bytes(range(128, 256)), b"\xff")), NotUnderstood)
        for protocol in PUBLISHED.values()
    )
