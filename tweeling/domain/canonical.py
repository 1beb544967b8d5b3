"""One encoding for each value: JSON by RFC 8785 (JCS), CBOR by RFC 8949 §4.2.1 (deterministic).

Two encodings of one value would be two leaves, two hashes or two signatures for it, so any other is refused.
"""

from __future__ import annotations

import json
import json.encoder
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Never

import cbor2
import rfc8785

from tweeling.domain import cborscan
from tweeling.errors import InvariantError, VerificationError

MAX_DEPTH = 64
_MAX_INT = 2**53 - 1  # I-JSON (RFC 7493): beyond this a double no longer tells neighbours apart
_MAX_LITERAL = 400  # longer than any double has to be written, and far from what int() refuses
_MAX_EXPONENT = 20
_TAGS = frozenset({18})  # COSE_Sign1
_CBOR_DEPTH = 16
_CBOR_KEYS = 64
_PLAIN = (int, bytes, str)
_WORDS = {True: "true", False: "false", None: "null"}
# A string that does not end is one token too: tried again from each quote in it, it would cost its length squared.
_BRACKETS = re.compile(r'[\[\]{}]|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

quoted = json.encoder.encode_basestring
"""Writes a text as RFC 8785 does; half a surrogate pair comes through, for whoever encodes it to refuse."""

# The way to a value, from within: written out only for one that is refused.
_Path = tuple["_Path", str | int] | tuple[()]


class _Inexact:
    """Stands for a number that JCS cannot keep, until its path is known."""

    def __init__(self, text: str) -> None:
        self.text = text


class _UnusualError(Exception):
    """Left to rfc8785, to write or to refuse."""


def jcs(value: object) -> bytes:
    """Encode a JSON value by RFC 8785, or raise InvariantError for one it has no form for."""
    try:
        try:
            return _plain(value).encode()
        except _UnusualError:
            return rfc8785.dumps(value)  # type: ignore[arg-type]  # its type is narrower than what it judges at run time
    except (rfc8785.CanonicalizationError, UnicodeError) as exc:
        raise InvariantError(f"no canonical form: {exc}") from exc
    except RecursionError:
        raise InvariantError("nested too deeply") from None


def compose(members: Mapping[str, str]) -> bytes:
    """Encode an object whose values are JCS text already."""
    names = sorted(members, key=None if all(map(str.isascii, members)) else _utf16)  # RFC 8785 §3.2.3
    return b"{" + b",".join([jcs(name) + b":" + members[name].encode() for name in names]) + b"}"


def parse_json(data: bytes | str) -> Any:
    """Read strict JSON (RFC 7493): UTF-8, no duplicate names, no number that changes when it is written by RFC 8785.

    Raises InvariantError whose field is the path of what cannot be.
    """
    inexact: list[_Inexact] = []

    def number(keep: Callable[[str], int | float | None]) -> Callable[[str], Any]:
        def read(text: str) -> Any:
            value = None if _is_endless(text) else keep(text)
            if value is None:
                inexact.append(_Inexact(text))
                return inexact[-1]
            return value

        return read

    try:
        text = data if isinstance(data, str) else data.decode()  # here, for json.loads would guess at UTF-16 and -32
        check_nesting(text)
        value = json.loads(
            text,
            parse_int=number(_int),
            parse_float=number(_float),
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as exc:
        raise InvariantError(f"not JSON: {exc.msg} at line {exc.lineno} column {exc.colno}") from exc
    except UnicodeDecodeError as exc:
        raise InvariantError("not UTF-8") from exc
    except (ValueError, RecursionError) as exc:
        raise InvariantError(f"not JSON that can be read: {exc}") from exc
    # Only an escape can bring half a surrogate pair into what was decoded; and nesting was judged before.
    if inexact or isinstance(data, str) or "\\u" in text:
        _check(value, (), 0)
    return value


def cbor(value: object) -> bytes:
    """Encode deterministically. Map keys are integers from 0 up or few enough to sort alike under every rule."""
    return cbor2.dumps(value, canonical=True)


def parse_cbor(data: bytes, *, field: str) -> Any:
    """Decode CBOR that is exactly its own deterministic encoding, or raise VerificationError naming `field`.

    Integers, bytes, text, null, lists and maps by integers; a tag stays a CBORTag.
    """
    try:
        # First, for what builds values may be kept busy for minutes by tags, huge numbers and keys that collide.
        cborscan.check(data, tags=_TAGS, max_depth=_CBOR_DEPTH, max_keys=_CBOR_KEYS, floats=False)
        value = cbor2.loads(data, allow_indefinite=False, allow_duplicate_keys=False, max_depth=_CBOR_DEPTH)
        again = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise VerificationError(f"not CBOR: {exc}", field=field) from exc
    if again != data:
        raise VerificationError("not in the one canonical encoding", field=field)
    _check_plain(value, field)
    return value


def check_nesting(text: str) -> None:
    """Raise InvariantError for JSON that is nested too deeply for anybody."""
    # Before the decoder: it recurses on the stack, and how far it may is for the whole process to say, not for us.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise InvariantError("nested too deeply")


def _check_plain(value: object, field: str) -> None:
    # By exact type: a simple value equals its number, and so does a float, and either would be a second encoding.
    if isinstance(value, cbor2.CBORTag):
        _check_plain(value.value, field)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, field)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if type(key) is not int:
                raise VerificationError("a map key that is no integer", field=field)
            _check_plain(item, field)
    elif value is not None and type(value) not in _PLAIN:
        raise VerificationError(f"holds a {type(value).__name__}", field=field)


def _plain(value: Any) -> str:
    """Write what nearly every event is made of, several times faster than rfc8785; a test holds both to the same bytes.

    By exact type. Names that are all ASCII sort alike by any rule; between these bounds `repr` writes a fraction as
    ECMAScript does. Raises _UnusualError for all else.
    """
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is dict:
        if not all(type(name) is str and name.isascii() for name in value):
            raise _UnusualError
        return f"{{{','.join([f'{quoted(name)}:{_plain(value[name])}' for name in sorted(value)])}}}"
    if kind is list:
        return f"[{','.join([_plain(item) for item in value])}]"
    if kind is bool or value is None:
        return _WORDS[value]
    if (kind is int and abs(value) <= _MAX_INT) or (
        kind is float and 1e-4 <= abs(value) < 1e15 and not value.is_integer()
    ):
        return repr(value)
    raise _UnusualError


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def _is_endless(text: str) -> bool:
    return len(text) > _MAX_LITERAL or len(text.lower().partition("e")[2].lstrip("+-")) > _MAX_EXPONENT


def _int(text: str) -> int | float | None:
    value = int(text) if len(text) < 20 else _MAX_INT + 1
    return value if -_MAX_INT <= value <= _MAX_INT else _float(text)


def _float(text: str) -> float | None:
    value = float(text)
    if not math.isfinite(value):
        return None
    # What JCS writes is the shortest text of this double; another number than the one that came would be a change.
    return value if _digits(text) == _digits(repr(value)) else None


def _digits(text: str) -> tuple[str, int]:
    """Significant digits and exponent of a decimal literal: equal exactly when the numbers are."""
    mantissa, _, exponent = text.lower().lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    scale = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return stripped, scale + len(digits) - len(stripped) if stripped else 0


def _refuse_constant(text: str) -> Never:
    raise InvariantError(f"{text} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add answers None
        raise InvariantError("stands twice in one object", field=twice[:80])
    return found


def _check(value: object, path: _Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvariantError(f"nested deeper than {MAX_DEPTH}", field=_written(path))
    match value:
        case dict():
            for name, item in value.items():
                _check_text(name, path)
                _check(item, (path, name), depth + 1)
        case list():
            for index, item in enumerate(value):
                _check(item, (path, index), depth + 1)
        case str():
            _check_text(value, path)
        case _Inexact():
            reason = f"{value.text[:40]} cannot be kept exactly as a JSON number (RFC 8785)"
            raise InvariantError(reason, field=_written(path))


def _check_text(text: str, path: _Path) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvariantError("half a surrogate pair is no text", field=_written(path)) from None


def _written(path: _Path) -> str:
    parts: list[str] = []
    while path:
        path, part = path
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part[:80]}")
    return "".join(reversed(parts)).removeprefix(".")
