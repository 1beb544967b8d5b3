// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {DirectoryId} from "../src/types/DirectoryId.sol";
import {CAPTURE, ED25519, NO_END} from "../src/types/SigningKey.sol";
import {Base} from "./Base.sol";

/// @dev A directory that these tests keep, with a partner that somebody else controls, at block 1000.
abstract contract RegistryBase is Base {
    bytes32 internal constant _NAME = "SHA-256 of a name";
    bytes32 internal constant _PARTNER = "SHA-256 of a GLN";
    address internal constant _CONTROLLER = address(0xc0);
    uint64 internal constant _NOW = 1000;

    IPartnerRegistry internal _registry;
    DirectoryId internal _directory;

    function setUp() public virtual {
        vm.roll(_NOW);
        _registry = IPartnerRegistry(vm.deployCode("PartnerRegistry.sol"));
        _directory = _registry.begin(_NAME);
        _registry.admit(_directory, _PARTNER, _CONTROLLER);
    }

    /// @dev Adds an Ed25519 key of the partner to capture with, as its controller.
    function _add(bytes32 publicKey, uint64 from, uint64 until) internal returns (bytes32 keyId) {
        vm.prank(_CONTROLLER);
        return _registry.addKey(_directory, _PARTNER, ED25519, abi.encode(publicKey), CAPTURE, from, until);
    }

    function _add(bytes32 publicKey) internal returns (bytes32 keyId) {
        return _add(publicKey, 0, NO_END);
    }

    function _revoke(bytes32 keyId, uint64 from) internal {
        vm.prank(_CONTROLLER);
        _registry.revokeKey(_directory, _PARTNER, keyId, from);
    }

    function _valid(bytes32 keyId, uint64 atBlock) internal view returns (bool) {
        return _registry.isValid(_directory, _PARTNER, keyId, CAPTURE, atBlock);
    }

    function _expectNotRegistrar(address caller) internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IPartnerRegistry.PartnerRegistryNotRegistrar.selector, _directory, address(this), caller
            )
        );
    }

    function _expectPartner(bytes4 refusal, bytes32 partner) internal {
        vm.expectRevert(abi.encodeWithSelector(refusal, _directory, partner));
    }

    function _expectKey(bytes4 refusal, bytes32 keyId) internal {
        vm.expectRevert(abi.encodeWithSelector(refusal, _directory, _PARTNER, keyId));
    }
}
