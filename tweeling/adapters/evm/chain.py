"""A chain's JSON-RPC node, whose every failure is told in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from eth_abi.exceptions import DecodingError
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import (
    ContractCustomError,
    ContractLogicError,
    MethodUnavailable,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import AttributeDictMiddleware
from web3.types import RPCEndpoint

from tweeling.adapters.evm.artifact import refusal
from tweeling.adapters.evm.transport import NodeError, Transport
from tweeling.errors import ConfigError, LedgerError, RejectedError, Trouble

# JSON-RPC 2.0: the node does not know the request, so asking again is no use.
_NEVER: Final = {-32600, -32601, -32602}
_LIMIT: Final = {-32005, 429}
_KEY_LENGTH: Final = 6  # what is shorter, such as /v3, is no key
_STUMBLES: Final = (Web3Exception, DecodingError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""How web3 and eth-abi trip over an answer that makes no sense."""

_SETTING: Final = "ledger.rpc"
LAGS: Final = f"It lags: wait a minute, or name another node in {_SETTING}"


class Block(NamedTuple):
    """A block's place and name. base: what a unit of gas costs in it at least, in wei; None without EIP-1559."""

    number: int
    hash: bytes
    base: int | None


class Chain:
    """One node of one chain; close it, or use it as a context manager.

    named_by: what a person changes to have another node asked.
    """

    def __init__(self, rpc: str, *, chain_id: int, timeout_s: float, named_by: str = _SETTING) -> None:
        place, self._secrets = _place(rpc)
        self.name = f"chain {chain_id} at {place}"
        self._transport = Transport(rpc, timeout_s=timeout_s)
        # Of web3's own middleware only what makes answers readable: the rest asks more than we do.
        self.web3 = Web3(self._transport, middleware=[AttributeDictMiddleware])
        self.id = chain_id
        self._named_by = named_by

    def check(self) -> None:
        """Raise ConfigError if the node serves another chain."""
        if (found := self.web3.eth.chain_id) != self.id:
            raise ConfigError(
                f"the node serves chain {found}, not {self.id}",
                field="ledger.chain_id",
                remedy="Choose the node of that chain, or the chain of that node",
            )

    def height(self) -> int:
        """The number of the newest block."""
        return int(self.web3.eth.block_number)

    def block(self, number: int | None = None) -> Block:
        """A block of the chain as it is now, the newest without a number; LedgerError where the node has none such."""
        # As it comes: web3's reading refuses blocks that hold a consortium's signatures.
        name = "latest" if number is None else hex(number)
        found = self.web3.manager.request_blocking(RPCEndpoint("eth_getBlockByNumber"), [name, False])
        if found is None:
            raise LedgerError(
                f"{self.name} does not have block {name}", trouble=Trouble.BEHIND, remedy=self._mend(LAGS)
            )
        base = found.get("baseFeePerGas")
        return Block(int(found["number"], 16), bytes(HexBytes(found["hash"])), None if base is None else int(base, 16))

    def code(self, address: ChecksumAddress) -> bytes:
        """The code at an address, empty where there is none."""
        return bytes(self.web3.eth.get_code(address))

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Turn whatever goes wrong with the node inside the block into an error of ours."""
        try:
            yield
        except NodeError as exc:
            raise LedgerError(
                f"{self.name} {exc}",
                trouble=exc.trouble,
                remedy=self._mend(exc.remedy),
                retry_after_s=exc.retry_after_s,
            ) from None
        except ContractCustomError as exc:
            raise refusal(str(exc.data)) from exc
        except ContractLogicError as exc:
            raise RejectedError(f"{self.name}: {self._plain(exc.message)}") from None
        except Web3RPCError as exc:
            # Without its cause, as above: a node may quote the key by which we asked.
            raise self._refused(exc) from None
        except _STUMBLES as exc:
            raise LedgerError(
                f"{self.name} gave no answer that makes sense ({type(exc).__name__})",
                trouble=Trouble.NONSENSE,
                remedy=self._mend(f"Name another node in {_SETTING}, if it stays so"),
            ) from exc

    def _refused(self, exc: Web3RPCError) -> LedgerError | RejectedError:
        code, message = rpc_error(exc)
        told, lower = f"{self.name}: {self._plain(message)}", message.lower()
        if "insufficient funds" in lower:
            return LedgerError(told, trouble=Trouble.FUNDS, remedy="Send the account money for gas")
        if code in _LIMIT or "rate limit" in lower or "too many requests" in lower:
            return LedgerError(told, trouble=Trouble.BUSY)
        if code in _NEVER or isinstance(exc, MethodUnavailable):
            return RejectedError(told)
        return LedgerError(told, trouble=Trouble.REFUSED)

    def _mend(self, remedy: str) -> str:
        return remedy.replace(_SETTING, self._named_by)

    def _plain(self, message: object) -> str:
        """A stranger's words, on one line, not for ever, and without the key in our address."""
        text = " ".join(str(message).split())
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text[:300]

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def rpc_error(exc: Web3RPCError) -> tuple[int | None, str]:
    """The code and message in which a node refused a request."""
    error = exc.rpc_response.get("error") if exc.rpc_response else None
    if not isinstance(error, dict):
        return None, str(exc.message)
    return error.get("code"), str(error.get("message"))


def _place(rpc: str) -> tuple[str, list[str]]:
    """What people may see of a node's address, which is host and port; and the rest, which may hold keys."""
    try:
        parts = urlsplit(rpc)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"http", "https"}:
        raise ConfigError("no address of a node", field="ledger.rpc", remedy="It should be an http or https URL")
    hidden = [*parts.path.split("/"), parts.query, parts.username, parts.password]
    return f"{host}{f':{port}' if port else ''}", [each for each in hidden if each and len(each) >= _KEY_LENGTH]
