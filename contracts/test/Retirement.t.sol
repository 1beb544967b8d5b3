// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../src/interfaces/ICustodyLedger.sol";
import {LogId} from "../src/types/LogId.sol";
import {Successor} from "../src/types/Successor.sol";
import {LedgerBase} from "./LedgerBase.sol";
import {NaiveTree} from "./NaiveTree.sol";

contract RetirementTest is LedgerBase {
    address private constant _NEXT = address(0xbeef);

    function test_aLogThatGoesOnHasNoSuccessor() public view {
        assertEq(_ledger.successorOf(_log).ledger, address(0));
    }

    function testFuzz_aRetirementIsToldWithTheLastHeadAndKept(bytes32 seed, uint256 size, Successor memory successor)
        public
    {
        bytes32[] memory leaves = _leaves(seed);
        size = bound(size, 0, _MOST);
        _begin(leaves, size);
        if (successor.chainId == 0) successor.chainId = 1;
        if (successor.ledger == address(0) || successor.ledger == address(_ledger)) successor.ledger = _NEXT;
        if (LogId.unwrap(successor.log) == 0) successor.log = _log;
        bytes32 root = NaiveTree.root(leaves, 0, size);
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit ICustodyLedger.LogRetired(_log, uint64(size), root, successor);
        _ledger.retire(_log, successor);
        _assertSuccessor(successor);
        _assertHead(size, root);
    }

    function test_nothingFollowsARetirement() public {
        bytes32[] memory leaves = _leaves("entries");
        _begin(leaves, 5);
        _ledger.proposeOperator(_log, _NEXT);
        Successor memory successor = _elsewhere();
        _ledger.retire(_log, successor);

        bytes32 root = NaiveTree.root(leaves, 0, 9);
        bytes32[] memory proof = NaiveTree.consistency(leaves, 5, 9);
        _expect(ICustodyLedger.CustodyLedgerRetired.selector);
        _ledger.anchor(_log, 9, root, proof);
        _expect(ICustodyLedger.CustodyLedgerRetired.selector);
        _ledger.proposeOperator(_log, _NEXT);
        _expect(ICustodyLedger.CustodyLedgerRetired.selector);
        vm.prank(_NEXT);
        _ledger.acceptOperator(_log);
        _expect(ICustodyLedger.CustodyLedgerRetired.selector);
        _ledger.retire(_log, Successor(1, _NEXT, _log));
        _expect(ICustodyLedger.CustodyLedgerLogExists.selector);
        _ledger.create(_ORIGIN);

        assertEq(_ledger.proposedOperator(_log), address(0));
        _assertSuccessor(successor);
        _assertHead(5, NaiveTree.root(leaves, 0, 5));
    }

    function testFuzz_onlyTheOperatorRetires(address other) public {
        if (other == address(this)) return;
        _ledger.proposeOperator(_log, other);
        _expectNotOperator(other);
        vm.prank(other);
        _ledger.retire(_log, _elsewhere());
    }

    function testFuzz_aLogThatNobodyBeganCannotBeRetired(LogId log) public {
        if (_isOurs(log)) return;
        bytes memory unknown = abi.encodeWithSelector(ICustodyLedger.CustodyLedgerUnknownLog.selector, log);
        vm.expectRevert(unknown);
        _ledger.retire(log, _elsewhere());
        vm.expectRevert(unknown);
        _ledger.successorOf(log);
    }

    function test_whatCannotContinueALogIsNoSuccessor() public {
        _refuse(Successor(0, _NEXT, _log));
        _refuse(Successor(block.chainid, address(0), _log));
        _refuse(Successor(block.chainid, _NEXT, LogId.wrap(0)));
        _refuse(Successor(block.chainid, address(_ledger), _log));
        assertEq(_ledger.successorOf(_log).ledger, address(0));
        _ledger.anchor(_log, 1, "root", new bytes32[](0)); // goes on as before
    }

    function test_theSameLogOfAnotherLedgerChainOrNameIsOne() public {
        _ledger.retire(_log, Successor(block.chainid, _NEXT, _log));
        setUp();
        _ledger.retire(_log, Successor(block.chainid + 1, address(_ledger), _log));
        setUp();
        _ledger.retire(_log, Successor(block.chainid, address(_ledger), _ledger.create("another")));
    }

    function testFuzz_aSuccessorBeginsWithTheRetiredHeadAndGoesOnByProofs(bytes32 seed, uint256 m, uint256 n) public {
        bytes32[] memory leaves = _leaves(seed);
        n = bound(n, 2, _MOST);
        m = bound(m, 1, n - 1);
        _begin(leaves, m);
        ICustodyLedger next = ICustodyLedger(vm.deployCode("CustodyLedger.sol"));
        LogId log = next.create(_ORIGIN);
        _ledger.retire(_log, Successor(block.chainid, address(next), log));
        next.anchor(log, uint64(m), NaiveTree.root(leaves, 0, m), new bytes32[](0));
        next.anchor(log, uint64(n), NaiveTree.root(leaves, 0, n), NaiveTree.consistency(leaves, m, n));
        (uint64 size, bytes32 root,) = next.head(log);
        assertEq(size, n);
        assertEq(root, NaiveTree.root(leaves, 0, n));
    }

    function _elsewhere() private view returns (Successor memory) {
        return Successor(block.chainid + 1, _NEXT, _log);
    }

    function _refuse(Successor memory successor) private {
        _expect(ICustodyLedger.CustodyLedgerNoSuccessor.selector);
        _ledger.retire(_log, successor);
    }

    function _assertSuccessor(Successor memory expected) private view {
        Successor memory successor = _ledger.successorOf(_log);
        assertEq(successor.chainId, expected.chainId);
        assertEq(successor.ledger, expected.ledger);
        assertEq(LogId.unwrap(successor.log), LogId.unwrap(expected.log));
    }
}
