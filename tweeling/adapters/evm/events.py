"""A contract's events of one log, searched in pieces that a public node answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from eth_utils.crypto import keccak
from web3.exceptions import Web3RPCError
from web3.types import LogReceipt

from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.transport import NodeError, TooLargeError
from tweeling.domain.log import Anchor
from tweeling.errors import Trouble

ANCHORED: Final = keccak(text="CheckpointAnchored(bytes32,uint64,bytes32)")
"""The topic of an anchor; its log and size are the next two, and its data is the root."""

TOO_WIDE: Final = (Web3RPCError, TooLargeError)
"""How a search is refused that spans or finds too much: by the node, in its own words, or here, for its size."""

_FIRST: Final = 10_000  # blocks that most public nodes search at once
_WIDEST: Final = 1 << 24
_FACTOR: Final = 4


Topic = bytes | Sequence[bytes] | None
"""What stands in a place of an event: these bytes, any of these, or anything."""


class EventSearch:
    """Looks backwards from the newest block, for what is wanted is seldom old; learns how many blocks a node takes."""

    def __init__(self, chain: Chain, address: str) -> None:
        self._chain = chain
        self._address = address
        self._span = _FIRST
        self._too_wide = _WIDEST + 1

    def newest_first(self, topics: Sequence[Topic], *, first: int, last: int | None = None) -> Iterator[LogReceipt]:
        """Events with these topics in blocks `first` to `last` (the newest), the latest first."""
        end = self._chain.height() if last is None else last
        refused = self._too_wide
        while end >= first:
            start = max(first, end - self._span + 1)
            try:
                found = self._chain.web3.eth.get_logs(
                    {"address": self._address, "topics": list(topics), "fromBlock": start, "toBlock": end}  # type: ignore[typeddict-item, arg-type]  # other names for the same
                )
            except TOO_WIDE:
                # Whatever else it was is still so for fewer blocks.
                if start == end:
                    raise
                refused = min(refused, end - start + 1)
                self._span = max(1, (end - start + 1) // _FACTOR)
                continue
            for event in reversed(found):
                _check_asked_for(event, topics)
                yield event
            end = start - 1
            self._too_wide = refused  # a narrower search was answered, so it was the width
            if self._span * _FACTOR < refused:
                self._span *= _FACTOR


def anchor_at(mined: Any, *, size: int, root: bytes, chain: Chain, contract: str, log_id: bytes) -> Anchor:
    """An anchor in the block and transaction that an event or a receipt names."""
    return Anchor(
        size=size,
        root=root,
        chain_id=chain.id,
        contract=contract,
        log_id=log_id,
        block=int(mined["blockNumber"]),
        block_hash=bytes(mined["blockHash"]),
        transaction=bytes(mined["transactionHash"]),
    )


def _check_asked_for(event: LogReceipt, topics: Sequence[Topic]) -> None:
    """A node that answers with other logs' events is no node."""
    for wanted, found in zip(topics, event["topics"], strict=False):
        allowed = [wanted] if isinstance(wanted, bytes) else wanted
        if allowed is not None and bytes(found) not in allowed:
            raise NodeError("answers with events that nobody asked for", Trouble.NONSENSE)
