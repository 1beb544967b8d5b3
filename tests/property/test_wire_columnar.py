"""The hub's hot path reads whatever it reads exactly as the reference does; the rest it leaves to the reference."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support_ingest import EPOCH, NOW, SKEW
from support_verdicts import check

from tweeling.wire.columnar import Decoder
from tweeling.wire.envelope import Envelope

UP = "tweeling/v1/H1/n1/up"
TOPICS = st.sampled_from(
    [UP, UP, UP, UP, "tweeling/v1/H1/n2/up", "tweeling/v1/H2/n1/up", "tweeling/v1/H1/n1/state",
     "tweeling/v1/H1/n1/ack", "tweeling/v1/H1/n1/down", "tweeling/v1/H1/n1", "tweeling/v1/H1/n1\n/up", "x", ""]
)  # fmt: skip

# ------------------------------------------------------------------ JSON by its text

_ODD = ["null", "true", "false", '"1"', "[]", "{}", "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "-", ""]
_INTEGERS = ["0", "-0", "1", "9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807",
             "9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
             "1" + "0" * 308, "1" + "0" * 309, "9" * 400]  # fmt: skip
_FLOATS = ["0.0", "-0.0", "0.5", "1e0", "1E5", "1e-400", "1e400", "-1e400", "5e-324", "2e-324",
           "1.7976931348623157e308", "1.7976931348623159e308",
           "0.1000000000000000055511151231257827021181583404541015625", "1.0",
           "0.30000000000000004", "2.4703282292062327208e-324", "8.5", "100000000000000016777215", "1e23"]  # fmt: skip
_MOMENTS = ["1750000000", "1750000000.0005", "1750000000.0015", "1750000000.001", "268435455", "268435455.9999999",
            "268435456", "-268435456", "-60", "0.0005", "299.9", "300", "300.001", "1750000300", "1750000300.0004",
            "1750000300.0006", "253402300799", "253402300799.9994", "253402300799.9996", "253402300800", "1e300",
            "-0.0", "0.0015", "0.0025"]  # fmt: skip
NUMBERS = st.sampled_from([*_INTEGERS, *_FLOATS]) | st.floats().map(repr) | st.integers().map(str)
SMALL = st.sampled_from(["0.25", "1", "0.5", "37"])
VALUES = SMALL | SMALL | NUMBERS | st.sampled_from(_ODD)
TIMES = st.sampled_from(_MOMENTS) | st.sampled_from(_MOMENTS) | NUMBERS | st.sampled_from(_ODD)
TEXT = st.text(max_size=6).map(json.dumps) | st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False))
_NAMES = ["H1-A/fillingLevel", "H1-B/fillingLevel", "H1-A/temperature", "/fillingLevel", "H1-A/", "H1-A", "", "a/b/c",
          "H1-A/filling\\u004cevel", "H1-A\\/x", "H1-A/x\\n", "H1-A/\\ud800", "H1-A/\\ud83d\\ude00", "H1-é/x",
          "H1-A/" + "x" * 64, "H1-A/" + "x" * 65]  # fmt: skip
NAMES = (
    st.sampled_from(_NAMES[:3]).map(lambda name: f'"{name}"') | st.sampled_from(_NAMES).map(lambda n: f'"{n}"') | TEXT
)
_UNITS = ["/", "%", "Cel", "K", "m", "cm", "kg", "g", "t", "", "furlong", "%RH", "dBm"]
UNITS = st.sampled_from(_UNITS).map(json.dumps) | st.sampled_from(["null", "1", '"\\u002f"', '"\\ud800"']) | TEXT
FIELDS = {
    "n": NAMES,
    "v": VALUES,
    "t": TIMES,
    "u": UNITS,
    "bn": st.sampled_from(['"H1-"', '""', '"H1-A/"', "null", '"H1-A/fillingLevel"']),
    "bt": TIMES,
    "bu": UNITS,
    "vb": st.sampled_from(["true", "false", "1", "null"]),
    "bv": VALUES,
    "bver": st.sampled_from(["10", "11", "5", "null", '"10"']),
    "s": VALUES,
    "mv_": st.sampled_from(['"in"', '"out"', '"up"', "null"]),
    "grs": st.sampled_from(["1", "1.0", "null"]),
    "zz": VALUES,
    "N": NAMES,
    "\\u006e": NAMES,
}
USUAL = st.fixed_dictionaries(
    {"n": st.sampled_from(_NAMES[:3]).map(json.dumps), "v": VALUES}, optional={"t": TIMES, "u": UNITS}
)
BASES = st.fixed_dictionaries({}, optional={name: FIELDS[name] for name in ("bn", "bt", "bu")})
SPACE = st.sampled_from(["", "", "", "", " ", "\n", "\t", "\r\n ", "\x0b", "\x00", "\ufeff", "//x\n"])


@st.composite
def objects(draw: st.DrawFn, pairs: list[tuple[str, str]]) -> str:
    """A JSON object of pairs in any order, now and then with a key twice and with spaces."""
    shuffled = draw(st.permutations(pairs)) if draw(st.integers(0, 3)) == 0 else pairs
    space = draw(SPACE) if draw(st.integers(0, 7)) == 0 else ""
    return "{" + f",{space}".join(f'"{name}":{space}{value}' for name, value in shuffled) + "}"


@st.composite
def records(draw: st.DrawFn, *, first: bool) -> str:
    pairs = list(draw(USUAL).items())
    if first or draw(st.integers(0, 9)) == 0:
        pairs = [*draw(BASES).items(), *pairs]
    while draw(st.integers(0, 9)) == 0:  # nearly valid
        name = draw(st.sampled_from(sorted(FIELDS)))
        pairs.append((name, draw(FIELDS[name])))
    if draw(st.integers(0, 9)) == 0 and pairs:
        pairs.pop(draw(st.integers(0, len(pairs) - 1)))
    return draw(objects(pairs))


SEQS = st.integers(1, 9) | st.sampled_from([0, -1, 2**53 - 2, 2**53 - 1, 2**53, 2**63, 2**64])
_RUNS = ["1.0", "true", "null", '"1"', "1e0", "-0", "10000", "10001"]


@st.composite
def packs(draw: st.DrawFn) -> tuple[str, str]:
    """Runs and the pack they own, or nearly."""
    runs: list[str] = []
    owned, seq = 0, 0
    for _ in range(draw(st.integers(0, 3))):
        first = seq + draw(st.integers(1, 3)) if draw(st.integers(0, 9)) else draw(SEQS)
        seq = first + draw(st.integers(0, 2))
        each = draw(st.integers(1, 2))
        owned += (seq - first + 1) * each
        numbers = [str(first), str(seq), str(each)]
        if draw(st.integers(0, 19)) == 0:
            numbers[draw(st.integers(0, 2))] = draw(st.sampled_from(_RUNS))
        if draw(st.integers(0, 39)) == 0:
            numbers.append("1")
        runs.append(f"[{','.join(numbers)}]")
    owned += draw(st.sampled_from([0] * 19 + [1]))
    pack = [draw(records(first=at == 0)) for at in range(min(owned, 12))]
    return f"[{','.join(runs)}]", f"[{','.join(pack)}]"


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    runs, pack = draw(packs())
    pairs = [
        ("v", draw(st.sampled_from(["1"] * 15 + ["1.0", "2", "true", '"1"', "null"]))),
        ("node", draw(st.sampled_from(['"n1"'] * 9 + ['"n\\u0031"', '"n2"', "null", '"n1\\n"']))),
        ("epoch", draw(st.sampled_from([f'"{EPOCH}"'] * 9 + ['"00000000000000AA"', '"00000000000000aa\\n"', '"0"']))),
        ("runs", runs),
        ("pack", pack),
    ]
    extra = {
        "low": st.sampled_from(["1", "0", "9", "1.0", "9007199254740991", "9007199254740992", "null", "true"]),
        "ask": st.sampled_from(["true", "false", "1", "null", '"true"']),
        "dropped": st.sampled_from(["[]", '[[1,2,"quota"]]', "[[1,2]]", "null"]),
        "zz": st.just("1"),
        "runs": st.just(runs),
        "pack": st.just(pack) | st.just("[]"),
        "v": st.just("1"),
    }
    names = draw(st.lists(st.sampled_from(sorted(extra)), max_size=2))
    pairs += [(name, draw(extra[name])) for name in names]
    text = draw(SPACE) + draw(objects(pairs)) + draw(SPACE)
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 19)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x1f", b",", b"}"])) + data[at:]
    return data


MESSAGES = st.lists(st.tuples(TOPICS, payloads() | st.binary(max_size=8)), max_size=4)


@given(MESSAGES, MESSAGES)
@settings(max_examples=400)
def test_the_hot_path_says_what_the_reference_says(
    first: list[tuple[str, bytes]], second: list[tuple[str, bytes]]
) -> None:
    decoder = Decoder(skew_ms=SKEW)
    check(decoder, first)
    check(decoder, second, now_ms=NOW + 1234)  # with what it has learned


def _one(record: str, **more: str) -> bytes:
    body = {"v": "1", "node": '"n1"', "epoch": f'"{EPOCH}"', "runs": "[[1,1,1]]", "pack": f"[{record}]"} | more
    return ("{" + ",".join(f'"{name}":{value}' for name, value in body.items()) + "}").encode()


@given(st.sampled_from(["v", "t", "bt", "u", "bu", "bn", "n"]), VALUES | TIMES | UNITS | NAMES)
@settings(max_examples=300)
@example("u", "null")
@example("bn", "null")
@example("bt", "null")
@example("v", "-0.0")
def test_one_field_of_one_record_is_read_alike(name: str, literal: str) -> None:
    fields = {"n": '"H1-A/fillingLevel"', "v": "0.5", "t": "-1"} | {name: literal}
    check(Decoder(skew_ms=SKEW), [(UP, _one("{" + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}"))])


@given(SPACE, SPACE)
def test_spaces_around_an_envelope_are_read_alike(before: str, after: str) -> None:
    sent = _one('{"n":"H1-A/fillingLevel","v":0.5,"t":-1}')
    check(Decoder(skew_ms=SKEW), [(UP, before.encode() + sent + after.encode())])


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(_UNITS), st.integers(-(2**54), 2**54))
@settings(max_examples=300)
def test_every_number_comes_out_bit_for_bit(value: float, unit: str, time_ms: int) -> None:
    name = "H1-A/fillingLevel" if unit in {"/", "%", ""} else "H1-A/x"
    for literal in (repr(value), f"{value:.25e}", f"{value:.17g}", str(int(value))):
        record = f'{{"n":"{name}","u":{json.dumps(unit)},"v":{literal},"t":{time_ms / 1000!r}}}'
        check(Decoder(skew_ms=SKEW), [(UP, _one(record))])


@given(st.lists(st.tuples(st.sampled_from(["n1", "n2"]), st.integers(1, 9), st.floats(0, 1)), max_size=9))
def test_plain_envelopes_of_several_nodes_are_all_usual(sent: list[tuple[str, int, float]]) -> None:
    messages = [
        (
            f"tweeling/v1/H1/{node}/up",
            Envelope(node=node, epoch=EPOCH, runs=((seq, seq, 1),), pack=[{"n": "H1-A/x", "v": value}]).to_json(),
        )
        for node, seq, value in sent
    ]
    verdicts = check(Decoder(skew_ms=SKEW), messages)
    assert all(verdict[0] == "envelope" for verdict in verdicts)
