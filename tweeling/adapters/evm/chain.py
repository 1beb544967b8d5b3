"""A chain's JSON-RPC node, whose every failure is told in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractCustomError, ContractLogicError, Web3Exception, Web3RPCError

from tweeling.adapters.evm.artifact import refusal
from tweeling.errors import ConfigError, RejectedError, UnavailableError

# JSON-RPC 2.0: the node does not know the request, so asking again is no use.
_NEVER = {-32600, -32601, -32602}


class Chain:
    """One node of one chain; close it, or use it as a context manager."""

    def __init__(self, rpc: str, *, chain_id: int, timeout_s: float) -> None:
        parts = urlsplit(rpc)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError("no address of a node", field="ledger.rpc", remedy="It should be an http or https URL")
        # A URL may hold a key in its path, so people see host and port alone.
        self._name = f"chain {chain_id} at {parts.hostname}{f':{parts.port}' if parts.port else ''}"
        self._session = requests.Session()
        # One session for all threads, and no retries of its own: whoever calls knows when to ask again.
        provider = HTTPProvider(
            rpc,
            request_kwargs={"timeout": timeout_s},
            session=self._session,
            exception_retry_configuration=None,
        )
        self.web3 = Web3(provider)
        self.id = chain_id

    def check(self) -> None:
        """Raise ConfigError if the node serves another chain."""
        if (found := self.web3.eth.chain_id) != self.id:
            raise ConfigError(
                f"the node serves chain {found}, not {self.id}",
                field="ledger.chain_id",
                remedy="Choose the node of that chain, or the chain of that node",
            )

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Turn whatever goes wrong with the node inside the block into an error of ours."""
        try:
            yield
        except ContractCustomError as exc:
            raise refusal(str(exc.data)) from exc
        except ContractLogicError as exc:
            raise RejectedError(f"{self._name}: {exc.message}") from exc
        except Web3RPCError as exc:
            code, message = rpc_error(exc)
            kind = RejectedError if code in _NEVER else UnavailableError
            raise kind(f"{self._name}: {message}") from exc
        except (Web3Exception, OSError, ValueError, KeyError, TypeError) as exc:
            # requests' errors are OSError; the last three are how web3 stumbles over an answer that makes no sense.
            raise UnavailableError(f"{self._name} gave no answer ({type(exc).__name__})") from exc

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def rpc_error(exc: Web3RPCError) -> tuple[int | None, str]:
    """The code and message in which a node refused a request."""
    error = exc.rpc_response.get("error") if exc.rpc_response else None
    if not isinstance(error, dict):
        return None, exc.message
    return error.get("code"), str(error.get("message"))
