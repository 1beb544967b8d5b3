"""Reading a log's anchors as a stranger does: no key, and nothing but what is pinned."""

from __future__ import annotations

from typing import Final

from web3 import Web3

from tweeling.adapters.evm.artifact import artifact
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.ledger import check_code
from tweeling.domain.log import Anchor
from tweeling.errors import UndecidedError
from tweeling.verify import TrustedLog

_TIMEOUT_S: Final = 10.0


class AnchorReader:
    """Asks one node for the anchors of trusted logs."""

    def __init__(self, rpc: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._rpc = rpc
        self._timeout_s = timeout_s

    def __call__(self, log: TrustedLog, size: int) -> Anchor | None:
        """The anchor of exactly this size, None if the chain holds none; the code at the address must be ours."""
        if log.anchor is None:
            raise UndecidedError(f"no contract is pinned for {log.origin}")
        address = Web3.to_checksum_address(log.anchor.contract)
        log_id = bytes.fromhex(log.anchor.log_id.removeprefix("0x"))
        with Chain(self._rpc, chain_id=log.anchor.chain_id, timeout_s=self._timeout_s) as chain, chain.answers():
            chain.check()
            check_code(chain, address)
            anchored = chain.web3.eth.contract(address=address, abi=artifact().abi).events.CheckpointAnchored
            events = anchored.get_logs(argument_filters={"log": log_id, "size": size}, from_block=0, to_block="latest")
        if not events:
            return None
        event = events[0]
        return Anchor(
            size=size,
            root=bytes(event["args"]["root"]),
            chain_id=log.anchor.chain_id,
            contract=address,
            log_id=log_id,
            block=int(event["blockNumber"]),
            block_hash=bytes(event["blockHash"]),
            transaction=bytes(event["transactionHash"]),
        )
