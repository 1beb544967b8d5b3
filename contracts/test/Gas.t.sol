// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CAPTURE, ED25519, NO_END} from "../src/types/SigningKey.sol";
import {Successor} from "../src/types/Successor.sol";
import {LedgerBase} from "./LedgerBase.sol";
import {RegistryBase} from "./RegistryBase.sol";
import {UniformTree} from "./UniformTree.sol";

/// @dev Writes snapshots/*.json; with FORGE_SNAPSHOT_CHECK=true forge compares instead, and fails where a call costs
/// another amount. What whole transactions cost stands in docs/contracts.md.
/// forge-config: default.isolate = true
contract LedgerGas is LedgerBase {
    uint256 private constant _MILLION = 1 << 20;

    function test_anchors() public {
        _anchor("anchor, the first", 0, _MILLION);
        _anchor("anchor, batch of 1 at 700001", 700_001, 700_002);
        _anchor("anchor, batch of 100 at 700001", 700_001, 700_101);
        _anchor("anchor, batch of 10000 at 700001", 700_001, 710_001);
        _anchor("anchor, the dearest at 2^20", _MILLION - 1, _MILLION + 1);
    }

    function test_theRest() public {
        _ledger.create("another");
        vm.snapshotGasLastCall("CustodyLedger", "create");
        _ledger.proposeOperator(_log, address(this));
        vm.snapshotGasLastCall("CustodyLedger", "proposeOperator");
        _ledger.acceptOperator(_log);
        vm.snapshotGasLastCall("CustodyLedger", "acceptOperator");
        _ledger.anchor(_log, uint64(_MILLION), UniformTree.root(_MILLION), new bytes32[](0));
        _ledger.verifyInclusion(_log, 700_001, UniformTree.LEAF, UniformTree.inclusion(700_001, _MILLION));
        vm.snapshotGasLastCall("CustodyLedger", "verifyInclusion at 2^20");
        _ledger.retire(_log, Successor(1, address(this), _log));
        vm.snapshotGasLastCall("CustodyLedger", "retire");
    }

    function _anchor(string memory name, uint256 m, uint256 n) private {
        setUp();
        if (m > 0) _ledger.anchor(_log, uint64(m), UniformTree.root(m), new bytes32[](0));
        bytes32 root = UniformTree.root(n);
        bytes32[] memory proof = UniformTree.consistency(m, n);
        _ledger.anchor(_log, uint64(n), root, proof);
        vm.snapshotGasLastCall("CustodyLedger", name);
    }
}

/// forge-config: default.isolate = true
contract RegistryGas is RegistryBase {
    function test_all() public {
        _registry.begin("another");
        vm.snapshotGasLastCall("PartnerRegistry", "begin");
        _registry.admit(_directory, "another", _CONTROLLER);
        vm.snapshotGasLastCall("PartnerRegistry", "admit");
        bytes32 keyId = _registry.addKey(_directory, _PARTNER, ED25519, abi.encode(_NAME), CAPTURE, 0, NO_END);
        vm.snapshotGasLastCall("PartnerRegistry", "addKey");
        _valid(keyId, _NOW);
        vm.snapshotGasLastCall("PartnerRegistry", "isValid");
        _registry.revokeKey(_directory, _PARTNER, keyId, 0);
        vm.snapshotGasLastCall("PartnerRegistry", "revokeKey");
    }
}
