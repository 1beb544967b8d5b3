from __future__ import annotations

import base64
import json
from contextlib import closing

from support_chain import DevChain
from support_contracts import Callers
from support_rfc9162 import EMPTY_ROOT
from support_shared import shared

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.errors import InvariantError, RejectedError


def test_the_contract_agrees_with_the_public_consistency_vectors(chain: DevChain) -> None:
    account = chain.funded()
    contract = deploy(chain.rpc, account, chain_id=chain.chain_id)
    verdicts = {}
    expected = {}
    for path in sorted(shared("data/vectors/merkle/consistency").rglob("*.json")):
        vector = json.loads(path.read_text())
        first, second = _hash(vector["root1"]), _hash(vector["root2"])
        # Not growth, so not the contract's business: it refuses these before it looks at a proof.
        if not 0 < vector["size1"] < vector["size2"] or len(first) != 32:
            continue
        name = f"{path.parent.name}/{path.stem}"
        expected[name] = vector["wantErr"]
        with closing(
            EvmLedger(rpc=chain.rpc, chain_id=chain.chain_id, contract=contract, account=account, origin=name)
        ) as ledger:
            ledger.anchor(vector["size1"], first, [])
            try:
                ledger.anchor(vector["size2"], second, [_hash(node) for node in vector["proof"] or []])
                verdicts[name] = False
            except (RejectedError, InvariantError):
                verdicts[name] = True
    assert verdicts == expected
    assert len(expected) > 30
    assert not all(expected.values())


def test_the_contract_agrees_with_the_public_inclusion_vectors(chain: DevChain) -> None:
    verdicts = {}
    expected = {}
    with Callers(chain, "CustodyLedger", count=1) as callers:
        operator = callers.accounts[0]
        for number, path in enumerate(sorted(shared("data/vectors/merkle/inclusion").rglob("*.json"))):
            vector = json.loads(path.read_text())
            size, root, proof = (
                vector["treeSize"],
                _hash(vector["root"]),
                [_hash(node) for node in vector["proof"] or []],
            )
            hashes = [root, _hash(vector["leafHash"]), *proof]
            # Of other lengths no hash can be said to a contract, nor can a root be anchored at size 0, which has one.
            if any(len(given) != 32 for given in hashes) or (not size and root != EMPTY_ROOT):
                assert vector["wantErr"]
                continue
            name = f"{path.parent.name}/{path.stem}"
            expected[name] = not vector["wantErr"]
            origin = number.to_bytes(32)
            log = callers.ask_as(operator, "create", origin)
            assert callers.attempt(operator, "create", origin) is None
            if size:
                assert callers.attempt(operator, "anchor", log, size, root, []) is None
            verdicts[name] = callers.ask("verifyInclusion", log, vector["leafIdx"], hashes[1], proof)
    assert verdicts == expected
    assert len(expected) > 30
    assert any(expected.values())


def _hash(text: str | None) -> bytes:
    return base64.b64decode(text or "")
