"""JSON-RPC over HTTP that ends: no answer takes longer than its time, and none is larger than its limit.

A node is a stranger. It may hang, drip, lie about lengths, answer with a page, or send us elsewhere; and its address
may hold a key, which nothing that goes wrong here may show.
"""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from threading import Timer
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from tweeling.domain.canonical import check_nesting
from tweeling.errors import InvariantError, Trouble

MAX_ANSWER: Final = 8 << 20  # bytes; the largest we ask for are events of a few thousand blocks
_LONGEST_REST_S: Final = 3600.0
_ANOTHER_OR: Final = "{}, or name another node in ledger.rpc"
_MEND: Final = "Mend ledger.rpc: something else answers there"
_PIECE: Final = 1 << 16


class NodeError(Exception):
    """A node did not answer as one; the text holds nothing of its address."""

    def __init__(self, text: str, trouble: Trouble, *, remedy: str = "", retry_after_s: float = 0) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.remedy = remedy
        self.retry_after_s = retry_after_s


class TooLargeError(NodeError):
    """An answer is larger than any that is read: a narrower question may have a smaller one."""


class Transport(JSONBaseProvider):
    """Asks one node. No redirect is followed, and no retries are its own: whoever calls knows when to ask again."""

    global_ccip_read_enabled = False  # else a contract's answer could have us call any address there is

    def __init__(self, url: str, *, timeout_s: float) -> None:
        super().__init__()
        self._url = url
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy named there would see the key, and everything that is said
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _TimedAdapter(timeout_s))

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask; raises NodeError for whatever is no JSON object that came whole and in time."""
        answer = self._post(self.encode_rpc_request(method, params))
        try:
            check_nesting(answer.decode())
            told = self.decode_rpc_response(answer)
        except (ValueError, InvariantError):
            raise NodeError("answers something that is no JSON", Trouble.NONSENSE, remedy=_MEND) from None
        if not isinstance(told, dict):
            raise NodeError("answers JSON that is no JSON-RPC", Trouble.NONSENSE, remedy=_MEND)
        return told

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _post(self, body: bytes) -> bytes:
        until = time.monotonic() + self._timeout_s
        try:
            with self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                timeout=self._timeout_s,
                stream=True,
                allow_redirects=False,
            ) as response:
                _check_status(response)
                return self._read(response, until)
        except (requests.Timeout, TimeoutError):
            raise self._slow() from None
        except (requests.RequestException, HTTPError, OSError, ValueError) as exc:
            # Without the cause, here and above: its text holds the address.
            if time.monotonic() >= until:
                raise self._slow() from None
            raise NodeError(
                f"gave no answer ({type(exc).__name__})", Trouble.DOWN, remedy=_ANOTHER_OR.format("Start it")
            ) from None

    def _read(self, response: requests.Response, until: float) -> bytes:
        pieces, size = [], 0
        while piece := response.raw.read1(_PIECE):
            size += len(piece)
            if size > MAX_ANSWER:
                raise TooLargeError(f"answers more than {MAX_ANSWER >> 20} MB", Trouble.NONSENSE, remedy=_MEND)
            if time.monotonic() >= until:
                break
            pieces.append(piece)
        if time.monotonic() >= until:
            raise self._slow()
        return b"".join(pieces)

    def _slow(self) -> NodeError:
        return NodeError(
            f"gave no whole answer within {self._timeout_s:g} s", Trouble.SLOW, remedy=_ANOTHER_OR.format("Wait")
        )


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status in {401, 403}:
        raise NodeError(
            f"does not let us in (HTTP {status})", Trouble.REFUSED, remedy="Mend ledger.rpc, or the key in it"
        )
    if status == 429:
        raise NodeError(
            "wants to be asked less often (HTTP 429)",
            Trouble.BUSY,
            remedy="It is left alone for as long as it says; a node of your own, or a larger plan, ends this",
            retry_after_s=_rest(response.headers.get("Retry-After", "")),
        )
    if 300 <= status < 400:
        raise NodeError(f"sends us elsewhere (HTTP {status})", Trouble.NONSENSE, remedy="Name that address itself")
    if status >= 500:
        raise NodeError(f"is in trouble itself (HTTP {status})", Trouble.DOWN, remedy=_ANOTHER_OR.format("Wait"))


def _rest(text: str) -> float:
    """Seconds of a Retry-After, which is a number or a date; 0 for what is neither."""
    rest = 0.0
    with suppress(ValueError, OverflowError):
        rest = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    return min(max(rest, 0.0), _LONGEST_REST_S)


class _TimedAdapter(HTTPAdapter):
    """Cuts a connection whose answer's head is not whole in time: a socket's own timeout begins anew with each byte."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool: HTTPConnectionPool = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _TimedHttps if isinstance(pool, HTTPSConnectionPool) else _TimedHttp
        pool.ConnectionCls = kind
        pool.conn_kw["limit_s"] = self._timeout_s
        return pool


class _Timed:
    """What both kinds of connection have in common."""

    sock: Any
    limit_s: float

    def __init__(self, *args: Any, limit_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limit_s = limit_s

    def getresponse(self) -> Any:
        watch = Timer(self.limit_s, _cut, [self.sock])
        watch.daemon = True
        watch.start()
        try:
            return super().getresponse()  # type: ignore[misc]  # of the connection that this is mixed into
        finally:
            watch.cancel()


class _TimedHttp(_Timed, HTTPConnection):
    pass


class _TimedHttps(_Timed, HTTPSConnection):
    pass


def _cut(sock: Any) -> None:
    with suppress(OSError):
        sock.shutdown(2)
