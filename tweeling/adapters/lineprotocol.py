"""Points as line protocol, built in columns, and names that are never syntax, whatever they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_AT_ONCE = 1_000_000  # bytes in one request: what a proxy takes that nobody has told to take more

BODY_LIMIT = (
    "What stands before the server takes no body of a megabyte: raise its limit (of nginx, client_max_body_size 2m), "
    "or name the server itself in store.url"
)
"""The remedy where a body is refused as too large."""
PASSING = (408, 429)
"""What a server says for the moment only, though it sounds like a no."""


def encoded(name: str) -> str:
    """A name as it stands in a server: percent-encoded (RFC 3986), so letters, digits and `/-._~%` are all there is.

    What begins with a prefix begins with it encoded, too.
    """
    return quote(name, safe="/")


def decoded(text: str) -> str:
    """The name that was encoded."""
    return unquote(text)


def pattern(name: str) -> str:
    """A regular expression that is this name, encoded, and nothing else."""
    return encoded(name).replace(".", "[.]")


def column(texts: Sequence[str], codes: NDArray[Any]) -> pa.Array:
    """`texts[code]` for every code."""
    return pa.array(texts, pa.string()).take(pa.array(codes))


def printed(numbers: NDArray[Any]) -> pa.Array:
    """Numbers in the fewest digits that read back as the same."""
    return pa.array(numbers).cast(pa.string())


def requests(*parts: pa.Array | str) -> Iterator[bytes]:
    """Lines, each the parts of its row together and a line end; as bodies of requests."""
    lines = pc.binary_join_element_wise(*parts, "\n", "")
    if not len(lines):
        return
    _, offsets, text = lines.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    start = 0
    while start < len(lines):
        end = max(int(np.searchsorted(ends, int(ends[start]) + _AT_ONCE, "right")) - 1, start + 1)
        yield memoryview(text)[ends[start] : ends[end]].tobytes()
        start = end


def groups(names: Iterable[str], letters: int) -> Iterator[list[str]]:
    """Names in groups whose patterns, with a sign between them, have at most so many letters together."""
    group: list[str] = []
    length = 0
    for name in names:
        more = len(pattern(name)) + 1
        if group and length + more > letters:
            yield group
            group, length = [], 0
        group.append(name)
        length += more
    if group:
        yield group
