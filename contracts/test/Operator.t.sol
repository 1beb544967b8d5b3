// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../src/interfaces/ICustodyLedger.sol";
import {LogId} from "../src/types/LogId.sol";
import {LedgerBase} from "./LedgerBase.sol";

contract OperatorTest is LedgerBase {
    address private constant _NEXT = address(0xbeef);

    function test_nobodyIsProposedAtFirst() public view {
        assertEq(_ledger.proposedOperator(_log), address(0));
    }

    function test_aProposalIsToldAndChangesNothingYet() public {
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit ICustodyLedger.OperatorProposed(_log, address(this), _NEXT);
        _ledger.proposeOperator(_log, _NEXT);
        assertEq(_ledger.proposedOperator(_log), _NEXT);
        _assertHead(0, sha256(""));
        _expectNotOperator(_NEXT);
        vm.prank(_NEXT);
        _ledger.anchor(_log, 1, "root", new bytes32[](0));
        _ledger.anchor(_log, 1, "root", new bytes32[](0));
    }

    function test_whoAcceptsIsTheOperatorAndTheOldOneIsNot() public {
        _ledger.anchor(_log, 1, "root", new bytes32[](0));
        _ledger.proposeOperator(_log, _NEXT);
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit ICustodyLedger.OperatorChanged(_log, address(this), _NEXT);
        vm.prank(_NEXT);
        _ledger.acceptOperator(_log);

        _assertHead(1, "root", _NEXT);
        assertEq(_ledger.proposedOperator(_log), address(0));
        vm.expectRevert(
            abi.encodeWithSelector(ICustodyLedger.CustodyLedgerNotOperator.selector, _log, _NEXT, address(this))
        );
        _ledger.proposeOperator(_log, address(this));
        bytes32 root = sha256(abi.encodePacked(uint8(1), bytes32("root"), bytes32("leaf")));
        vm.prank(_NEXT);
        _ledger.anchor(_log, 2, root, _one("leaf"));
    }

    function test_theLogStaysItsCreatorsByName() public {
        _handOver();
        _expect(ICustodyLedger.CustodyLedgerLogExists.selector);
        _ledger.create(_ORIGIN);
    }

    function test_anAcceptanceHoldsOnce() public {
        _handOver();
        vm.prank(_NEXT);
        _ledger.proposeOperator(_log, address(this));
        _ledger.acceptOperator(_log);
        _expectNotProposed(address(0), _NEXT);
        vm.prank(_NEXT);
        _ledger.acceptOperator(_log);
    }

    function testFuzz_onlyTheProposedAccepts(address other) public {
        if (other == _NEXT) return;
        _ledger.proposeOperator(_log, _NEXT);
        _expectNotProposed(_NEXT, other);
        vm.prank(other);
        _ledger.acceptOperator(_log);
    }

    function testFuzz_whereNobodyIsProposedNobodyAccepts(address other) public {
        if (other == address(0)) return; // nobody calls from address zero
        _expectNotProposed(address(0), other);
        vm.prank(other);
        _ledger.acceptOperator(_log);
    }

    function test_aProposalIsReplacedOrWithdrawn() public {
        _ledger.proposeOperator(_log, _NEXT);
        _ledger.proposeOperator(_log, address(0xcafe));
        _expectNotProposed(address(0xcafe), _NEXT);
        vm.prank(_NEXT);
        _ledger.acceptOperator(_log);
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit ICustodyLedger.OperatorProposed(_log, address(this), address(0));
        _ledger.proposeOperator(_log, address(0));
        _expectNotProposed(address(0), address(0xcafe));
        vm.prank(address(0xcafe));
        _ledger.acceptOperator(_log);
    }

    function testFuzz_onlyTheOperatorProposes(address other) public {
        if (other == address(this)) return;
        _expectNotOperator(other);
        vm.prank(other);
        _ledger.proposeOperator(_log, other);
    }

    function testFuzz_aLogThatNobodyBeganHasNoOperatorToChange(LogId log) public {
        if (_isOurs(log)) return;
        bytes memory unknown = abi.encodeWithSelector(ICustodyLedger.CustodyLedgerUnknownLog.selector, log);
        vm.expectRevert(unknown);
        _ledger.proposeOperator(log, _NEXT);
        vm.expectRevert(unknown);
        _ledger.acceptOperator(log);
        vm.expectRevert(unknown);
        _ledger.proposedOperator(log);
    }

    function _handOver() private {
        _ledger.proposeOperator(_log, _NEXT);
        vm.prank(_NEXT);
        _ledger.acceptOperator(_log);
    }

    function _expectNotProposed(address proposed, address caller) private {
        vm.expectRevert(
            abi.encodeWithSelector(ICustodyLedger.CustodyLedgerNotProposed.selector, _log, proposed, caller)
        );
    }

    function _one(bytes32 node) private pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[](1);
        nodes[0] = node;
    }
}
