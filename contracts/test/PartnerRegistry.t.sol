// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {DirectoryId} from "../src/types/DirectoryId.sol";
import {CAPTURE, ED25519, NO_END} from "../src/types/SigningKey.sol";
import {RegistryBase} from "./RegistryBase.sol";

contract PartnerRegistryTest is RegistryBase {
    address private constant _NEXT = address(0xbeef);

    // ------------------------------------------------------------------ directories

    function test_aDirectoryIsItsRegistrarsByName() public {
        assertEq(DirectoryId.unwrap(_directory), keccak256(abi.encode(address(this), _NAME)));
        assertEq(_registry.registrarOf(_directory), address(this));
        assertEq(_registry.proposedRegistrar(_directory), address(0));
        bytes32 id = keccak256(abi.encode(_NEXT, _NAME));
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.DirectoryBegun(DirectoryId.wrap(id), _NEXT, _NAME);
        vm.prank(_NEXT);
        assertEq(DirectoryId.unwrap(_registry.begin(_NAME)), id);
    }

    function test_aDirectoryBeginsOnce() public {
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryDirectoryExists.selector, _directory));
        _registry.begin(_NAME);
    }

    function testFuzz_aDirectoryThatNobodyBeganAnswersNothing(DirectoryId directory) public {
        if (DirectoryId.unwrap(directory) == DirectoryId.unwrap(_directory)) return;
        bytes memory unknown =
            abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryUnknownDirectory.selector, directory);
        vm.expectRevert(unknown);
        _registry.registrarOf(directory);
        vm.expectRevert(unknown);
        _registry.proposedRegistrar(directory);
        vm.expectRevert(unknown);
        _registry.controllerOf(directory, _PARTNER);
        vm.expectRevert(unknown);
        _registry.keyOf(directory, _PARTNER, "key");
        vm.expectRevert(unknown);
        _registry.isValid(directory, _PARTNER, "key", CAPTURE, 1);
        vm.expectRevert(unknown);
        _registry.proposeRegistrar(directory, _NEXT);
        vm.expectRevert(unknown);
        _registry.acceptRegistrar(directory);
        vm.expectRevert(unknown);
        _registry.admit(directory, _PARTNER, _CONTROLLER);
        vm.expectRevert(unknown);
        _registry.replaceController(directory, _PARTNER, _CONTROLLER);
        vm.expectRevert(unknown);
        _registry.addKey(directory, _PARTNER, ED25519, new bytes(32), CAPTURE, 0, NO_END);
        vm.expectRevert(unknown);
        _registry.revokeKey(directory, _PARTNER, "key", 0);
    }

    function test_aDirectoryChangesHandsInTwoSteps() public {
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.RegistrarProposed(_directory, address(this), _NEXT);
        _registry.proposeRegistrar(_directory, _NEXT);
        assertEq(_registry.proposedRegistrar(_directory), _NEXT);
        assertEq(_registry.registrarOf(_directory), address(this));

        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.RegistrarChanged(_directory, address(this), _NEXT);
        vm.prank(_NEXT);
        _registry.acceptRegistrar(_directory);
        assertEq(_registry.registrarOf(_directory), _NEXT);
        assertEq(_registry.proposedRegistrar(_directory), address(0));
        vm.expectRevert(
            abi.encodeWithSelector(
                IPartnerRegistry.PartnerRegistryNotRegistrar.selector, _directory, _NEXT, address(this)
            )
        );
        _registry.admit(_directory, "another", _CONTROLLER);
        vm.prank(_NEXT);
        _registry.admit(_directory, "another", _CONTROLLER);
    }

    function testFuzz_onlyTheProposedTakesADirectoryOver(address other) public {
        if (other == _NEXT || other == address(0)) return;
        _registry.proposeRegistrar(_directory, _NEXT);
        _expectNotProposed(_NEXT, other);
        vm.prank(other);
        _registry.acceptRegistrar(_directory);
        _registry.proposeRegistrar(_directory, address(0)); // withdrawn
        _expectNotProposed(address(0), _NEXT);
        vm.prank(_NEXT);
        _registry.acceptRegistrar(_directory);
    }

    // ------------------------------------------------------------------ partners

    function test_aPartnerIsAdmittedOnceAndToldWithItsController() public {
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.PartnerAdmitted(_directory, "another", _NEXT);
        _registry.admit(_directory, "another", _NEXT);
        assertEq(_registry.controllerOf(_directory, "another"), _NEXT);
        _expectPartner(IPartnerRegistry.PartnerRegistryPartnerExists.selector, "another");
        _registry.admit(_directory, "another", _CONTROLLER);
    }

    function test_aLostControllerIsReplacedAndSpeaksNoMore() public {
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.ControllerReplaced(_directory, _PARTNER, _CONTROLLER, _NEXT);
        _registry.replaceController(_directory, _PARTNER, _NEXT);
        assertEq(_registry.controllerOf(_directory, _PARTNER), _NEXT);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPartnerRegistry.PartnerRegistryNotController.selector, _directory, _PARTNER, _NEXT, _CONTROLLER
            )
        );
        _add("key");
        vm.prank(_NEXT);
        _registry.addKey(_directory, _PARTNER, ED25519, new bytes(32), CAPTURE, 0, NO_END);
    }

    function test_somebodyControlsEveryPartner() public {
        _expectPartner(IPartnerRegistry.PartnerRegistryNoController.selector, "another");
        _registry.admit(_directory, "another", address(0));
        _expectPartner(IPartnerRegistry.PartnerRegistryNoController.selector, _PARTNER);
        _registry.replaceController(_directory, _PARTNER, address(0));
    }

    function testFuzz_whoWasNotAdmittedIsNoPartner(bytes32 partner) public {
        if (partner == _PARTNER) return;
        bytes4 unknown = IPartnerRegistry.PartnerRegistryUnknownPartner.selector;
        _expectPartner(unknown, partner);
        _registry.controllerOf(_directory, partner);
        _expectPartner(unknown, partner);
        _registry.replaceController(_directory, partner, _NEXT);
        _expectPartner(unknown, partner);
        _registry.addKey(_directory, partner, ED25519, new bytes(32), CAPTURE, 0, NO_END);
        _expectPartner(unknown, partner);
        _registry.revokeKey(_directory, partner, "key", 0);
        assertEq(_registry.isValid(_directory, partner, "key", CAPTURE, _NOW), false);
    }

    function testFuzz_onlyTheRegistrarKeepsTheDirectory(address other) public {
        if (other == address(this)) return;
        _expectNotRegistrar(other);
        vm.prank(other);
        _registry.proposeRegistrar(_directory, other);
        _expectNotRegistrar(other);
        vm.prank(other);
        _registry.admit(_directory, "another", other);
        _expectNotRegistrar(other);
        vm.prank(other);
        _registry.replaceController(_directory, _PARTNER, other);
    }

    function _expectNotProposed(address proposed, address caller) private {
        vm.expectRevert(
            abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryNotProposed.selector, _directory, proposed, caller)
        );
    }
}
