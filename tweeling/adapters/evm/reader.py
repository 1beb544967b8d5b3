"""Reading a log's anchors as a stranger does: no key, and nothing but what is pinned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eth_utils.crypto import keccak

from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.events import ANCHORED, EventSearch, anchor_at
from tweeling.adapters.evm.operating import Contract
from tweeling.domain.log import Anchor, Head
from tweeling.errors import ConfigError, UndecidedError, VerificationError
from tweeling.verify import TrustedContract, TrustedLog

_TIMEOUT_S: Final = 10.0
_MOST_MOVES: Final = 16
_NEAR: Final = 1_000  # blocks from the one in which a log began
_CREATED: Final = keccak(text="LogCreated(bytes32,address,bytes32)")


class AnchorReader:
    """Asks one node for the anchors of trusted logs."""

    def __init__(self, rpc: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._rpc = rpc
        self._timeout_s = timeout_s

    def __call__(self, log: TrustedLog, size: int, block: int = 0) -> Anchor | None:
        """The anchor of exactly this size, None if the chain holds none; the code at the address must be ours.

        block: where it is said to be; raises UndecidedError where the node has not seen that one yet.
        """
        pinned = _pinned(log)
        log_id = _bytes(pinned.log_id)
        with self._chain(pinned) as chain, chain.answers():
            contract = Contract(chain, pinned.contract)
            chain.check()
            if (height := chain.height()) < block:
                raise UndecidedError(
                    f"{chain.name} is at block {height}, before block {block}, where the receipt says it is anchored: "
                    "wait for it, or ask another node"
                )
            contract.check()
            search = EventSearch(chain, contract.address)
            event = next(search.newest_first([ANCHORED, log_id, size.to_bytes(32)], first=0), None)
            if event is None:
                return None
            root = bytes(event["data"])
            return anchor_at(event, size=size, root=root, chain=chain, contract=contract.address, log_id=log_id)

    def successors(self, log: TrustedLog) -> Iterator[TrustedContract]:
        """The contracts in which a retired log went on, one after another.

        Raises VerificationError where one does not continue the log, UndecidedError where it is on another chain.
        """
        pinned = _pinned(log)
        seen = {(*pinned.place, pinned.log_id)}
        with self._chain(pinned) as chain:
            for _ in range(_MOST_MOVES):
                state = Contract(chain, pinned.contract).state(_bytes(pinned.log_id))
                if state is None or (after := state.successor) is None:
                    return
                if after.chain_id != pinned.chain_id:
                    raise UndecidedError(
                        f"{log.origin} went on in contract {after.ledger} on chain {after.chain_id}: add its trust "
                        "file for that one, and pass a node of that chain with --rpc"
                    )
                first = self._first(chain, Contract(chain, after.ledger), after.log_id)
                if first is None:
                    return
                if state.head.size and first != state.head:  # of nothing, anything is a continuation
                    raise VerificationError(
                        f"the log was retired at size {state.head.size} and begins in contract {after.ledger} with "
                        f"size {first.size}, or another root: it is not continued there",
                        field="anchor.successor",
                    )
                pinned = TrustedContract(
                    chain_id=after.chain_id, contract=after.ledger, log_id=f"0x{after.log_id.hex()}"
                )
                if (place := (*pinned.place, pinned.log_id)) in seen:
                    return  # a circle, which leads nowhere
                seen.add(place)
                yield pinned

    def _chain(self, pinned: TrustedContract) -> Chain:
        return Chain(self._rpc, chain_id=pinned.chain_id, timeout_s=self._timeout_s, named_by="--rpc")

    def _first(self, chain: Chain, contract: Contract, log_id: bytes) -> Head | None:
        """The first head that a contract held of a log, None where it held none."""
        first = None
        with chain.answers():
            try:
                contract.check()
            except ConfigError as exc:
                raise VerificationError(
                    f"the log's successor is no ledger of ours: {exc}", field="anchor.successor"
                ) from exc
            search, newest, width = EventSearch(chain, contract.address), chain.height(), _NEAR
            created = next(search.newest_first([_CREATED, log_id], first=0), None)
            block = newest + 1 if created is None else int(created["blockNumber"])
            # Upwards from there: the first anchor comes soon, and many thousands may have come after it.
            while first is None and block <= newest:
                for event in search.newest_first([ANCHORED, log_id], first=block, last=min(block + width - 1, newest)):
                    first = Head(int.from_bytes(event["topics"][2]), bytes(event["data"]))
                block, width = block + width, 4 * width
        return first


def _pinned(log: TrustedLog) -> TrustedContract:
    if log.anchor is None:
        raise UndecidedError(f"no contract is pinned for {log.origin}")
    return log.anchor


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
