"""A log in a contract of an earlier version: it goes on there, and what that code cannot do is said."""

from __future__ import annotations

from contextlib import closing

import pytest
from support_chain import DevChain
from support_contracts import deploy_first_version
from support_rfc9162 import leaf, tree_of

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.adapters.evm.audit import EvmChainAudit
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.operating import Contract, Keeper, Successor
from tweeling.adapters.evm.reader import AnchorReader
from tweeling.domain.log import Head
from tweeling.errors import ConfigError
from tweeling.verify import TrustedContract, TrustedLog

ORIGIN = "tweeling.test/log"
TREE = tree_of([leaf(b"entry %d" % number) for number in range(10)])


def test_a_log_in_the_first_contract_is_anchored_audited_and_verified_as_before(chain: DevChain) -> None:
    account = chain.funded()
    first = deploy_first_version(chain, account)
    with closing(
        EvmLedger(rpc=chain.rpc, chain_id=chain.chain_id, contract=first, account=account, origin=ORIGIN)
    ) as ledger:
        ledger.anchor(5, TREE.root(5), [])
        anchor = ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
        log = ledger.log_id
    place = TrustedContract(chain_id=chain.chain_id, contract=first, log_id=f"0x{log.hex()}")
    trusted, reader = TrustedLog.of(ORIGIN, bytes(32), place), AnchorReader(chain.rpc)
    assert reader(trusted, 9) == anchor
    assert list(reader.successors(trusted)) == []
    with Chain(chain.rpc, chain_id=chain.chain_id, timeout_s=10) as opened:
        audit = EvmChainAudit(opened, first, log)
        assert audit.look().size == 9
        assert [row.size for row in audit.anchored()] == [5, 9]
        state = Contract(opened, first).state(log)
        assert state == (Head(9, TREE.root(9)), account.address, None, None, 1)
        keeper = Keeper(Contract(opened, first), log, account, receipt_s=30)
        new = Successor(chain.chain_id, deploy(chain.rpc, account, chain_id=chain.chain_id), log)
        for attempt in (lambda: keeper.propose(account.address), keeper.accept, lambda: keeper.retire(new)):
            with pytest.raises(ConfigError, match="is of version 1, which can neither hand over nor retire a log"):
                attempt()
