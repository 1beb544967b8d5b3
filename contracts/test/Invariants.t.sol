// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../src/interfaces/ICustodyLedger.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {LogId} from "../src/types/LogId.sol";
import {Successor} from "../src/types/Successor.sol";
import {Base} from "./Base.sol";
import {LedgerHandler} from "./handlers/LedgerHandler.sol";
import {RegistryHandler} from "./handlers/RegistryHandler.sol";

contract LedgerInvariants is Base {
    ICustodyLedger private _ledger;
    LedgerHandler private _handler;

    function setUp() public {
        _ledger = ICustodyLedger(vm.deployCode("CustodyLedger.sol"));
        _handler = new LedgerHandler(_ledger);
    }

    function targetContracts() public view returns (address[] memory) {
        return _only(address(_handler));
    }

    function invariant_theHeadIsTheModelsAndOnlyTwoStepsChangeItsOperator() public view {
        (uint64 size, bytes32 root, address operator) = _ledger.head(_handler.log());
        (uint256 expectedSize, bytes32 expectedRoot) = _handler.newest();
        assertEq(size, expectedSize);
        assertEq(root, expectedRoot);
        assertEq(operator, _handler.operator());
        assertEq(_ledger.proposedOperator(_handler.log()), _handler.proposed());
    }

    function invariant_allThatWasEverAnchoredIsOneGrowingHistory() public view {
        assertEq(_handler.isOneHistory(), true);
    }

    function invariant_whatIsRetiredStaysSo() public view {
        Successor memory successor = _ledger.successorOf(_handler.log());
        Successor memory expected = _handler.namedSuccessor();
        assertEq(successor.ledger != address(0), _handler.retired());
        assertEq(successor.ledger, expected.ledger);
        assertEq(successor.chainId, expected.chainId);
        assertEq(LogId.unwrap(successor.log), LogId.unwrap(expected.log));
    }

    function invariant_anchorsWriteTwoSlotsHoweverManyThereAre() public view {
        assertEq(_handler.slotsWrittenByAnchors() <= 2, true);
    }
}

contract RegistryInvariants is Base {
    RegistryHandler private _handler;

    function setUp() public {
        vm.roll(100);
        _handler = new RegistryHandler(IPartnerRegistry(vm.deployCode("PartnerRegistry.sol")));
    }

    function targetContracts() public view returns (address[] memory) {
        return _only(address(_handler));
    }

    function test_whoMayIsNotRefused() public {
        _handler.add(1, 0, 0, 1, 0, 0);
        assertEq(_handler.added(), 1);
        _handler.mine(3);
        _handler.revoke(1, 0, 0, 5);
        _handler.revoke(1, 0, 0, 0);
        assertEq(_handler.revoked(), 2);
    }

    function invariant_whatWasValidInABlockStaysSo() public view {
        assertEq(_handler.isPastUnchanged(), true);
    }
}
