"""Waiting until a chain is unlikely to take a block back."""

from __future__ import annotations

import time
from typing import Final

from tweeling.adapters.evm.chain import Chain
from tweeling.errors import LedgerError, Trouble, UnavailableError

_PAUSE_S: Final = 1.0


def await_depth(chain: Chain, block: int, block_hash: bytes, confirmations: int) -> None:
    """Return when a block is so deep, its own counted; raises LedgerError where the chain has taken it back.

    A node that is silent is waited for: what was sent is sent, and a person may interrupt.
    """
    while True:
        try:
            with chain.answers():
                deep = chain.height() - block + 1
                held = chain.block(block).hash
        except UnavailableError:
            deep, held = 0, block_hash
        if held != block_hash:
            raise LedgerError(
                f"{chain.name} has taken block {block} back, and what was done in it",
                trouble=Trouble.BEHIND,
                remedy="It may be mined again: look with `tweeling ledger status`, then run the command again",
            )
        if deep >= confirmations:
            return
        time.sleep(_PAUSE_S)
