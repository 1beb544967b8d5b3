"""The ledger on an EVM chain. Only this package knows web3."""

from tweeling.adapters.evm.ledger import EvmLedger, deploy

__all__ = ["EvmLedger", "deploy"]
