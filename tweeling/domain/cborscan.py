"""A look at CBOR bytes before a library builds anything of them: shape and size, in one pass that is linear and flat.

A decoder makes values as it reads, so a few bytes can cost much: map keys that all hash alike, tags that become huge
numbers, nests of empty arrays. What passes here holds only integers of 64 bits, strings, arrays, maps of few and plain
keys, the named tags, false, true, null and, where allowed, floats. Whether text is UTF-8 is left to the decoder.
"""

from __future__ import annotations

_MAX_KEY = 64  # bytes of a text key
_MAX_OPENED = 1 << 15  # arrays, maps and tags; the fullest envelope has 21,004
_WIDTH = {24: 1, 25: 2, 26: 4, 27: 8}  # bytes of the argument behind a head, by its low five bits
_ARRAY, _MAP, _TAG, _SIMPLE = 4, 5, 6, 7


def check(data: bytes, *, tags: frozenset[int] = frozenset(), max_depth: int, max_keys: int, floats: bool) -> None:
    """Raise ValueError unless `data` is exactly one item of definite lengths, and of the kinds named above."""
    try:
        at = _scan(data, tags, max_depth, max_keys, _STEP_FLOATS if floats else _STEP)
    except IndexError:
        raise ValueError("CBOR ends too early") from None
    if at != len(data):
        raise ValueError("CBOR ends too early" if at > len(data) else "bytes behind the CBOR item")


def _scan(data: bytes, tags: frozenset[int], max_depth: int, max_keys: int, step: bytes) -> int:
    """Walk one item and return where it ends; a string that reaches past the end is found by what reads behind it."""
    at, left, keyed, opened = 0, 1, False, 0
    above: list[tuple[int, bool]] = []  # what is left of the containers around this one
    while True:
        while not left:
            if not above:
                return at
            left, keyed = above.pop()
        left -= 1
        if keyed:
            at += _KEY_STEP[data[at]] or _long_key(data, at)
        head = data[at]
        if size := step[head]:
            at += size
            continue
        count, at = _argument(data, at)
        major = head >> 5
        if major < _ARRAY:  # a string longer than 23 bytes
            at += count
            continue
        opened += 1
        above.append((left, keyed))
        if len(above) > max_depth or opened > _MAX_OPENED:
            raise ValueError("CBOR is nested too deeply, or of too many arrays and maps")
        left, keyed = _open(major, count, tags, max_keys)


def _open(major: int, count: int, tags: frozenset[int], max_keys: int) -> tuple[int, bool]:
    """How many items, or pairs, a container holds."""
    if major == _MAP and count > max_keys:
        raise ValueError(f"CBOR map of more than {max_keys} keys")
    if major != _TAG:
        return count, major == _MAP
    if count not in tags:
        raise ValueError(f"CBOR tag {count} is not allowed")
    return 1, False


def _argument(data: bytes, at: int) -> tuple[int, int]:
    """The number in the head of a string, array, map or tag, and where its content begins."""
    head = data[at]
    low = head & 31
    if head >> 5 == _SIMPLE:
        raise ValueError(f"CBOR value {head:#04x} is not allowed")
    if low < 24:
        return low, at + 1
    if low not in _WIDTH:
        raise ValueError("CBOR of indefinite length")
    behind = at + 1 + _WIDTH[low]
    count = int.from_bytes(data[at + 1 : behind])
    if head >> 5 < _TAG and count > len(data) - behind:
        raise ValueError("CBOR ends too early")
    return count, behind


def _long_key(data: bytes, at: int) -> int:
    """The bytes of a text key longer than 23 bytes."""
    if data[at] >> 5 != 3:
        raise ValueError("CBOR map key is neither an integer nor text")
    size, start = _argument(data, at)
    if size > _MAX_KEY:
        raise ValueError(f"CBOR map key of more than {_MAX_KEY} bytes")
    return start - at + size


def _table(*, majors: tuple[int, ...], simple: tuple[tuple[int, int], ...] = ()) -> bytes:
    """For each head, the bytes of an item that ends without further reading; 0 for all others."""
    step = bytearray(256)
    for major in majors:
        for low in range(24):
            step[major << 5 | low] = 1 + low if major in {2, 3} else 1
        if major < 2:
            for low, width in _WIDTH.items():
                step[major << 5 | low] = 1 + width
    for head, size in simple:
        step[head] = size
    return bytes(step)


_FALSE_TRUE_NULL = ((0xF4, 1), (0xF5, 1), (0xF6, 1))
_STEP = _table(majors=(0, 1, 2, 3), simple=_FALSE_TRUE_NULL)
_STEP_FLOATS = _table(majors=(0, 1, 2, 3), simple=(*_FALSE_TRUE_NULL, (0xF9, 3), (0xFA, 5), (0xFB, 9)))
_KEY_STEP = _table(majors=(0, 1, 3))
