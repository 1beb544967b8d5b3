"""The log on its contract for an auditor: our own reading of raw answers, and no key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from eth_abi.abi import decode
from eth_typing import ChecksumAddress
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3 import Web3

from tweeling.adapters.evm.artifact import ContractRefusedError, version
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.events import TOO_WIDE
from tweeling.errors import VerificationError
from tweeling.ports.audit import AnchorRow, Look

_TIMEOUT_S: Final = 10.0
_ANCHORED: Final = keccak(text="CheckpointAnchored(bytes32,uint64,bytes32)")
_HEAD: Final = keccak(text="head(bytes32)")[:4]
# Nodes refuse a search that finds or spans too much, each at another limit.
_SPAN: Final = 10_000
_MANY: Final = 1_000


class EvmChainAudit:
    """A `ChainAudit` of one log."""

    def __init__(self, chain: Chain, contract: str, log_id: bytes, *, first_block: int = 0) -> None:
        """Ask about a log. first_block: the contract's own, before which there is nothing to look for."""
        self._chain = chain
        self._first_block = first_block
        self._address: ChecksumAddress = Web3.to_checksum_address(contract)
        self._log_id = log_id

    @property
    def chain_id(self) -> int:
        """See `ChainAudit`."""
        return self._chain.id

    def look(self) -> Look:
        """See `ChainAudit`."""
        eth = self._chain.web3.eth
        with self._chain.answers():
            self._chain.check()
            block = int(eth.block_number)
            code = bytes(eth.get_code(self._address, block))
        if version(code) is None:
            found = "other code than that of CustodyLedger" if code else "no contract"
            raise VerificationError(f"{found} at {self._address} on chain {self._chain.id}", field="contract")
        try:
            with self._chain.answers():
                raw = eth.call({"to": self._address, "data": HexBytes(_HEAD + self._log_id)}, block)
                size, root, _ = decode(["uint64", "bytes32", "address"], bytes(raw))
        except ContractRefusedError as exc:
            if exc.name != "CustodyLedgerUnknownLog":
                raise
            size, root = 0, b""
        return Look(block, size, root if size else b"")

    def anchored(self) -> Iterator[AnchorRow]:
        """See `ChainAudit`."""
        with self._chain.answers():
            last = int(self._chain.web3.eth.block_number)
        first, span = self._first_block, _SPAN
        while first <= last:
            with self._chain.answers():
                try:
                    rows = self._rows(first, min(first + span - 1, last))
                except TOO_WIDE:
                    if span == 1:
                        raise
                    span //= 2
                    continue
            yield from rows
            first += span
            span = 2 * span if len(rows) < _MANY else span

    def _rows(self, first: int, last: int) -> list[AnchorRow]:
        asked = [HexBytes(_ANCHORED), HexBytes(self._log_id)]
        events = self._chain.web3.eth.get_logs(
            {"address": self._address, "topics": asked, "fromBlock": first, "toBlock": last}
        )
        for event in events:
            told = (str(event["address"]).lower(), [bytes(topic) for topic in event["topics"][:2]])
            if told != (self._address.lower(), asked) or not first <= int(event["blockNumber"]) <= last:
                raise ValueError("an event that was not asked for")  # told as an answer without sense
        return [
            AnchorRow(
                size=int.from_bytes(event["topics"][2]),
                root=bytes(event["data"]),
                chain_id=self._chain.id,
                contract=str(event["address"]),
                log_id=bytes(event["topics"][1]),
                block=int(event["blockNumber"]),
                block_hash=bytes(event["blockHash"]),
                transaction=bytes(event["transactionHash"]),
            )
            for event in events
        ]


@contextmanager
def open_chain_audit(
    rpc: str, *, chain_id: int, contract: str, log_id: bytes, first_block: int = 0, timeout_s: float = _TIMEOUT_S
) -> Iterator[EvmChainAudit]:
    """Ask one node of a chain about one log; nobody is asked before the first question."""
    with Chain(rpc, chain_id=chain_id, timeout_s=timeout_s) as chain:
        yield EvmChainAudit(chain, contract, log_id, first_block=first_block)
