// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../src/interfaces/ICustodyLedger.sol";
import {LogId} from "../src/types/LogId.sol";
import {Base} from "./Base.sol";
import {NaiveTree} from "./NaiveTree.sol";

/// @dev A ledger with a log that these tests operate.
abstract contract LedgerBase is Base {
    uint256 internal constant _MOST = 70;
    bytes32 internal constant _ORIGIN = "SHA-256 of an origin line";

    ICustodyLedger internal _ledger;
    LogId internal _log;

    function setUp() public virtual {
        _ledger = ICustodyLedger(vm.deployCode("CustodyLedger.sol"));
        _log = _ledger.create(_ORIGIN);
    }

    function _leaves(bytes32 seed) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](_MOST);
        for (uint256 i = 0; i < _MOST; ++i) {
            leaves[i] = sha256(abi.encode(seed, i));
        }
    }

    /// @dev Starts a fresh ledger and log at a size.
    function _begin(bytes32[] memory leaves, uint256 size) internal {
        setUp();
        if (size > 0) _ledger.anchor(_log, uint64(size), NaiveTree.root(leaves, 0, size), new bytes32[](0));
    }

    /// @dev Fuzzing tries values that it has seen in storage too.
    function _isOurs(LogId log) internal view returns (bool) {
        return LogId.unwrap(log) == LogId.unwrap(_log);
    }

    function _expect(bytes4 refusal) internal {
        vm.expectRevert(abi.encodeWithSelector(refusal, _log));
    }

    function _expectNotOperator(address caller) internal {
        vm.expectRevert(
            abi.encodeWithSelector(ICustodyLedger.CustodyLedgerNotOperator.selector, _log, address(this), caller)
        );
    }

    function _assertHead(uint256 size, bytes32 root) internal view {
        _assertHead(size, root, address(this));
    }

    function _assertHead(uint256 size, bytes32 root, address operator) internal view {
        (uint64 atSize, bytes32 atRoot, address by) = _ledger.head(_log);
        assertEq(atSize, size);
        assertEq(atRoot, root);
        assertEq(by, operator);
    }
}
