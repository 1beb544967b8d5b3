"""The ledger on an EVM chain. web3 is imported in here and nowhere else."""

import sys

# py_ecc, which web3's packages import, raises the recursion limit of the whole process a hundredfold. Deeply nested
# input would then overflow the stack, where Python's own limit makes it an error.
_limit = sys.getrecursionlimit()
import py_ecc  # noqa: E402, F401  for what it does to the limit, once and now

sys.setrecursionlimit(_limit)

from tweeling.adapters.evm.deploying import deploy  # noqa: E402  after the limit is mended
from tweeling.adapters.evm.ledger import EvmLedger  # noqa: E402

__all__ = ["EvmLedger", "deploy"]
