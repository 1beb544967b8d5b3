// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {ALL_ROLES, CAPTURE, ED25519, ES256K, NO_END, SigningKey, WITNESS} from "../src/types/SigningKey.sol";
import {RegistryBase} from "./RegistryBase.sol";

contract SigningKeysTest is RegistryBase {
    bytes private _point = abi.encodePacked(uint8(3), bytes32("x of a point"));

    // ------------------------------------------------------------------ adding

    function test_aKeyIsToldWithAllThatVerifiersNeed() public {
        bytes32 keyId = sha256(abi.encodePacked(ES256K, _point));
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.KeyAdded(_directory, _PARTNER, keyId, ES256K, _point, ALL_ROLES, 1200, 1300);
        vm.prank(_CONTROLLER);
        assertEq(_registry.addKey(_directory, _PARTNER, ES256K, _point, ALL_ROLES, 1200, 1300), keyId);
        SigningKey memory key = _registry.keyOf(_directory, _PARTNER, keyId);
        assertEq(key.from, 1200);
        assertEq(key.until, 1300);
        assertEq(key.roles, ALL_ROLES);
    }

    function testFuzz_aKeyHoldsFromTheNextBlockOrALaterOne(uint64 from) public {
        from = uint64(bound(from, 0, NO_END - 1));
        bytes32 keyId = _add("key", from, NO_END);
        uint64 first = from > _NOW ? from : _NOW + 1;
        assertEq(_valid(keyId, _NOW), false);
        vm.roll(NO_END);
        assertEq(_valid(keyId, first - 1), false);
        assertEq(_valid(keyId, first), true);
    }

    function testFuzz_aPlannedEndIsTheFirstBlockWithoutTheKey(uint64 until) public {
        until = uint64(bound(until, _NOW + 2, NO_END));
        bytes32 keyId = _add("key", 0, until);
        vm.roll(NO_END);
        assertEq(_valid(keyId, until - 1), true);
        assertEq(_valid(keyId, until), false);
    }

    function testFuzz_aKeyThatWouldNeverHoldIsRefused(uint64 from, uint64 until) public {
        until = uint64(bound(until, 0, from > _NOW ? from : _NOW + 1));
        vm.expectRevert(
            abi.encodeWithSelector(
                IPartnerRegistry.PartnerRegistryNeverValid.selector, from > _NOW ? from : _NOW + 1, until
            )
        );
        _add("key", from, until);
    }

    function testFuzz_aKeyHoldsInItsRolesAlone(uint8 roles, uint8 asked) public {
        roles = uint8(bound(roles, 1, ALL_ROLES));
        asked = uint8(bound(asked, 1, ALL_ROLES));
        bytes32 keyId = _registry.addKey(_directory, _PARTNER, ED25519, new bytes(32), roles, 0, NO_END);
        vm.roll(_NOW + 1);
        assertEq(_registry.isValid(_directory, _PARTNER, keyId, asked, _NOW + 1), asked & ~roles == 0);
    }

    function testFuzz_whatIsNoSetOfRolesIsRefused(uint8 roles) public {
        if (roles != 0 && roles <= ALL_ROLES) return;
        bytes memory none = abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryNoRoles.selector, roles);
        vm.expectRevert(none);
        _registry.addKey(_directory, _PARTNER, ED25519, new bytes(32), roles, 0, NO_END);
        vm.expectRevert(none);
        _registry.isValid(_directory, _PARTNER, "key", roles, _NOW);
    }

    function testFuzz_bytesThatAreNoKeyOfTheAlgorithmAreRefused(uint8 algorithm, bytes memory publicKey) public {
        if (algorithm == ED25519 && publicKey.length == 32) return;
        if (algorithm == ES256K && publicKey.length == 33 && (publicKey[0] == 0x02 || publicKey[0] == 0x03)) return;
        _refuse(algorithm, publicKey);
    }

    function test_keysOfAnotherLengthPrefixOrAlgorithmAreRefused() public {
        _refuse(ED25519, new bytes(31));
        _refuse(ED25519, new bytes(33));
        _refuse(ED25519, "");
        _refuse(ES256K, new bytes(33));
        _refuse(ES256K, abi.encodePacked(uint8(4), bytes32("x of a point")));
        _refuse(ES256K, abi.encodePacked(uint8(2), bytes32("x of a point"), uint8(0)));
        _refuse(0, new bytes(32));
        _refuse(3, _point);
        _registry.addKey(_directory, _PARTNER, ES256K, abi.encodePacked(uint8(2), bytes32("x")), WITNESS, 0, NO_END);
    }

    function test_aRevokedKeyNeverComesBack() public {
        bytes32 keyId = _add("key");
        _expectKey(IPartnerRegistry.PartnerRegistryKeyExists.selector, keyId);
        _add("key");
        _revoke(keyId, 0);
        _expectKey(IPartnerRegistry.PartnerRegistryKeyExists.selector, keyId);
        _add("key");
        vm.roll(2000);
        _expectKey(IPartnerRegistry.PartnerRegistryKeyExists.selector, keyId);
        _add("key");
    }

    // ------------------------------------------------------------------ revoking

    function testFuzz_aRevocationHoldsFromTheNextBlockOrALaterOne(uint64 lived, uint64 from) public {
        bytes32 keyId = _add("key");
        lived = uint64(bound(lived, 1, 1 << 40));
        from = uint64(bound(from, 0, NO_END - 1));
        vm.roll(_NOW + lived);
        uint64 end = from > _NOW + lived ? from : _NOW + lived + 1;
        vm.expectEmit(true, true, true, true, address(_registry));
        emit IPartnerRegistry.KeyRevoked(_directory, _PARTNER, keyId, end);
        _revoke(keyId, from);
        assertEq(_valid(keyId, _NOW + 1), true);
        assertEq(_valid(keyId, _NOW + lived), true);
        vm.roll(NO_END);
        assertEq(_valid(keyId, end - 1), true);
        assertEq(_valid(keyId, end), false);
    }

    function testFuzz_aRevocationOnlyShortens(uint64 until, uint64 from) public {
        until = uint64(bound(until, _NOW + 2, NO_END));
        from = uint64(bound(from, until, NO_END));
        bytes32 keyId = _add("key", 0, until);
        _expectNotShortened(keyId, until, from);
        _revoke(keyId, from);
        vm.roll(until);
        if (until == NO_END) return;
        _expectNotShortened(keyId, until, until + 1);
        _revoke(keyId, 0); // ended already: there is no future to take
    }

    function test_aKeyRevokedBeforeItBeganNeverHolds() public {
        bytes32 keyId = _add("key", 1100, 1200);
        _revoke(keyId, 0);
        vm.roll(1300);
        for (uint64 number = _NOW; number <= 1300; ++number) {
            assertEq(_valid(keyId, number), false);
        }
    }

    function test_aRevocationIsBroughtForward() public {
        bytes32 keyId = _add("key");
        _revoke(keyId, 3000);
        _revoke(keyId, 2000);
        _expectNotShortened(keyId, 2000, 2500);
        _revoke(keyId, 2500);
        assertEq(_registry.keyOf(_directory, _PARTNER, keyId).until, 2000);
    }

    function testFuzz_aKeyThatNeverWasCannotBeRevoked(bytes32 keyId) public {
        _expectKey(IPartnerRegistry.PartnerRegistryUnknownKey.selector, keyId);
        _revoke(keyId, 0);
    }

    // ------------------------------------------------------------------ by whom, and when to ask

    function test_theRegistrarMayAddAndRevokeToo() public {
        bytes32 keyId = _registry.addKey(_directory, _PARTNER, ED25519, new bytes(32), CAPTURE, 0, NO_END);
        _registry.revokeKey(_directory, _PARTNER, keyId, 0);
        assertEq(_registry.keyOf(_directory, _PARTNER, keyId).until, _NOW + 1);
    }

    function testFuzz_nobodyElseMay(address other) public {
        if (other == address(this) || other == _CONTROLLER) return;
        bytes32 keyId = _add("key");
        bytes memory refusal = abi.encodeWithSelector(
            IPartnerRegistry.PartnerRegistryNotController.selector, _directory, _PARTNER, _CONTROLLER, other
        );
        vm.expectRevert(refusal);
        vm.prank(other);
        _registry.addKey(_directory, _PARTNER, ED25519, new bytes(32), CAPTURE, 0, NO_END);
        vm.expectRevert(refusal);
        vm.prank(other);
        _registry.revokeKey(_directory, _PARTNER, keyId, 0);
    }

    function test_aKeyHoldsForItsPartnerAndDirectoryAlone() public {
        bytes32 keyId = _add("key");
        _registry.admit(_directory, "another", _CONTROLLER);
        vm.prank(_CONTROLLER);
        _registry.begin(_NAME);
        vm.roll(_NOW + 1);
        assertEq(_valid(keyId, _NOW + 1), true);
        assertEq(_registry.isValid(_directory, "another", keyId, CAPTURE, _NOW + 1), false);
    }

    function testFuzz_ofABlockThatIsNotThereNothingIsSaid(uint64 atBlock) public {
        bytes32 keyId = _add("key");
        assertEq(_valid(keyId, _NOW), false);
        _expectFutureBlock(_NOW + 1);
        _valid(keyId, _NOW + 1);
        if (atBlock <= _NOW) return;
        _expectFutureBlock(atBlock);
        _valid(keyId, atBlock);
    }

    function _expectFutureBlock(uint64 atBlock) private {
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryFutureBlock.selector, atBlock, _NOW));
    }

    function _refuse(uint8 algorithm, bytes memory publicKey) private {
        vm.expectRevert(
            abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryMalformedKey.selector, algorithm, publicKey)
        );
        _registry.addKey(_directory, _PARTNER, algorithm, publicKey, CAPTURE, 0, NO_END);
    }

    function _expectNotShortened(bytes32 keyId, uint64 until, uint64 offered) private {
        vm.expectRevert(
            abi.encodeWithSelector(IPartnerRegistry.PartnerRegistryNotShortened.selector, keyId, until, offered)
        );
    }
}
