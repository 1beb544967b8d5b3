// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPartnerRegistry} from "./interfaces/IPartnerRegistry.sol";
import {DirectoryId, directoryIdOf} from "./types/DirectoryId.sol";
import {ALL_ROLES, ED25519, ES256K, SigningKey} from "./types/SigningKey.sol";

/// @dev Without constructor, immutables, owner or proxy: the code at an address is this source or it is not.
contract PartnerRegistry is IPartnerRegistry {
    struct Directory {
        address registrar;
        address proposed;
        mapping(bytes32 partner => Partner) partners;
    }

    struct Partner {
        address controller;
        mapping(bytes32 keyId => SigningKey) keys;
    }

    mapping(DirectoryId => Directory) private _directories;

    /// @inheritdoc IPartnerRegistry
    function begin(bytes32 nameHash) external returns (DirectoryId directory) {
        directory = directoryIdOf(msg.sender, nameHash);
        if (_directories[directory].registrar != address(0)) revert PartnerRegistryDirectoryExists(directory);
        _directories[directory].registrar = msg.sender;
        emit DirectoryBegun(directory, msg.sender, nameHash);
    }

    /// @inheritdoc IPartnerRegistry
    function proposeRegistrar(DirectoryId directory, address proposed) external {
        _kept(directory).proposed = proposed;
        emit RegistrarProposed(directory, msg.sender, proposed);
    }

    /// @inheritdoc IPartnerRegistry
    function acceptRegistrar(DirectoryId directory) external {
        Directory storage stored = _begun(directory);
        address proposed = stored.proposed;
        if (msg.sender != proposed) revert PartnerRegistryNotProposed(directory, proposed, msg.sender);
        address previous = stored.registrar;
        stored.registrar = proposed;
        delete stored.proposed;
        emit RegistrarChanged(directory, previous, proposed);
    }

    /// @inheritdoc IPartnerRegistry
    function admit(DirectoryId directory, bytes32 partner, address controller) external {
        Partner storage stored = _kept(directory).partners[partner];
        if (stored.controller != address(0)) revert PartnerRegistryPartnerExists(directory, partner);
        if (controller == address(0)) revert PartnerRegistryNoController(directory, partner);
        stored.controller = controller;
        emit PartnerAdmitted(directory, partner, controller);
    }

    /// @inheritdoc IPartnerRegistry
    function replaceController(DirectoryId directory, bytes32 partner, address controller) external {
        Partner storage stored = _kept(directory).partners[partner];
        address previous = stored.controller;
        if (previous == address(0)) revert PartnerRegistryUnknownPartner(directory, partner);
        if (controller == address(0)) revert PartnerRegistryNoController(directory, partner);
        stored.controller = controller;
        emit ControllerReplaced(directory, partner, previous, controller);
    }

    /// @inheritdoc IPartnerRegistry
    function addKey(
        DirectoryId directory,
        bytes32 partner,
        uint8 algorithm,
        bytes calldata publicKey,
        uint8 roles,
        uint64 from,
        uint64 until
    ) external returns (bytes32 keyId) {
        Partner storage stored = _controlled(directory, partner);
        if (!_isPublicKey(algorithm, publicKey)) revert PartnerRegistryMalformedKey(algorithm, publicKey);
        _requireRoles(roles);
        from = _notBeforeNextBlock(from);
        if (until <= from) revert PartnerRegistryNeverValid(from, until);
        keyId = sha256(abi.encodePacked(algorithm, publicKey));
        if (stored.keys[keyId].from != 0) revert PartnerRegistryKeyExists(directory, partner, keyId);
        stored.keys[keyId] = SigningKey({from: from, until: until, roles: roles});
        emit KeyAdded(directory, partner, keyId, algorithm, publicKey, roles, from, until);
    }

    /// @inheritdoc IPartnerRegistry
    function revokeKey(DirectoryId directory, bytes32 partner, bytes32 keyId, uint64 from) external {
        SigningKey storage key = _controlled(directory, partner).keys[keyId];
        if (key.from == 0) revert PartnerRegistryUnknownKey(directory, partner, keyId);
        from = _notBeforeNextBlock(from);
        if (from >= key.until) revert PartnerRegistryNotShortened(keyId, key.until, from);
        key.until = from;
        emit KeyRevoked(directory, partner, keyId, from);
    }

    /// @inheritdoc IPartnerRegistry
    function isValid(DirectoryId directory, bytes32 partner, bytes32 keyId, uint8 role, uint64 atBlock)
        external
        view
        returns (bool)
    {
        _requireRoles(role);
        // Changes made in this very block hold from the next one, so the answer for this one is settled.
        if (atBlock > block.number) revert PartnerRegistryFutureBlock(atBlock, uint64(block.number));
        SigningKey memory key = _begun(directory).partners[partner].keys[keyId];
        return key.from <= atBlock && atBlock < key.until && (key.roles & role) == role;
    }

    /// @inheritdoc IPartnerRegistry
    function keyOf(DirectoryId directory, bytes32 partner, bytes32 keyId) external view returns (SigningKey memory) {
        return _begun(directory).partners[partner].keys[keyId];
    }

    /// @inheritdoc IPartnerRegistry
    function controllerOf(DirectoryId directory, bytes32 partner) external view returns (address controller) {
        controller = _begun(directory).partners[partner].controller;
        if (controller == address(0)) revert PartnerRegistryUnknownPartner(directory, partner);
    }

    /// @inheritdoc IPartnerRegistry
    function registrarOf(DirectoryId directory) external view returns (address) {
        return _begun(directory).registrar;
    }

    /// @inheritdoc IPartnerRegistry
    function proposedRegistrar(DirectoryId directory) external view returns (address) {
        return _begun(directory).proposed;
    }

    /// @dev The directory, if somebody has begun it.
    function _begun(DirectoryId directory) private view returns (Directory storage stored) {
        stored = _directories[directory];
        if (stored.registrar == address(0)) revert PartnerRegistryUnknownDirectory(directory);
    }

    /// @dev The directory, if the caller is its registrar.
    function _kept(DirectoryId directory) private view returns (Directory storage stored) {
        stored = _begun(directory);
        if (msg.sender != stored.registrar) {
            revert PartnerRegistryNotRegistrar(directory, stored.registrar, msg.sender);
        }
    }

    /// @dev The partner, if the caller may speak for it.
    function _controlled(DirectoryId directory, bytes32 partner) private view returns (Partner storage stored) {
        Directory storage within = _begun(directory);
        stored = within.partners[partner];
        address controller = stored.controller;
        if (controller == address(0)) revert PartnerRegistryUnknownPartner(directory, partner);
        if (msg.sender != controller && msg.sender != within.registrar) {
            revert PartnerRegistryNotController(directory, partner, controller, msg.sender);
        }
    }

    function _notBeforeNextBlock(uint64 from) private view returns (uint64) {
        uint64 next = uint64(block.number) + 1;
        return from < next ? next : from;
    }

    function _requireRoles(uint8 roles) private pure {
        if (roles == 0 || (roles & ~ALL_ROLES) != 0) revert PartnerRegistryNoRoles(roles);
    }

    function _isPublicKey(uint8 algorithm, bytes calldata key) private pure returns (bool) {
        if (algorithm == ED25519) return key.length == 32;
        return algorithm == ES256K && key.length == 33 && (key[0] == 0x02 || key[0] == 0x03);
    }
}
