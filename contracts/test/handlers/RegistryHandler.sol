// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPartnerRegistry} from "../../src/interfaces/IPartnerRegistry.sol";
import {DirectoryId} from "../../src/types/DirectoryId.sol";
import {ALL_ROLES, CAPTURE, ED25519, NO_END} from "../../src/types/SigningKey.sol";
import {Base} from "../Base.sol";

/// @title Callers of a registry over many blocks, who write down each answer that they get
contract RegistryHandler is Base {
    struct Answer {
        bytes32 partner;
        bytes32 keyId;
        uint8 role;
        uint64 atBlock;
        bool valid;
    }

    uint256 private constant _KEYS = 2;

    IPartnerRegistry private immutable _registry;
    DirectoryId private immutable _directory;
    address[3] private _actors = [address(0xa1), address(0xa2), address(0xa3)];
    bytes32[2] private _partners = [bytes32("partner"), bytes32("another")];
    Answer[] private _answers;

    uint256 public added;
    uint256 public revoked;

    /// @dev Before a change, writes down what holds in this very block.
    modifier written() {
        for (uint256 i = 0; i < _partners.length * _KEYS; ++i) {
            _ask(_partners[i / _KEYS], _keyId(i), CAPTURE, uint64(block.number));
        }
        _;
    }

    constructor(IPartnerRegistry registry) {
        _registry = registry;
        vm.prank(_actors[0]);
        _directory = registry.begin("name");
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(_actors[0]);
            registry.admit(_directory, _partners[i], _actors[1 + i]);
        }
    }

    // ------------------------------------------------------------------ what callers do; who may not is refused

    function add(uint256 actor, uint256 partner, uint256 key, uint8 roles, uint64 from, uint64 until) external written {
        address caller = _mostlyRegistrar(actor);
        vm.prank(caller);
        try _registry.addKey(
            _directory,
            _partners[partner % 2],
            ED25519,
            abi.encode(key % _KEYS),
            uint8(bound(roles, 1, ALL_ROLES)) | CAPTURE,
            uint64(block.number + from % 8),
            until % 2 == 0 ? NO_END : uint64(block.number + until % 32)
        ) {
            ++added;
        } catch {}
    }

    function revoke(uint256 actor, uint256 partner, uint256 key, uint64 from) external written {
        address caller = _mostlyRegistrar(actor);
        bytes32 keyId = _keyId(key); // first, for hashing is a call, and a prank holds for one
        vm.prank(caller);
        try _registry.revokeKey(_directory, _partners[partner % 2], keyId, uint64(block.number + from % 16)) {
            ++revoked;
        } catch {}
    }

    function replaceController(uint256 actor, uint256 partner, uint256 next) external {
        vm.prank(_actor(actor));
        try _registry.replaceController(_directory, _partners[partner % 2], _actor(next)) {} catch {}
    }

    function proposeRegistrar(uint256 actor, uint256 next) external {
        vm.prank(_actor(actor));
        try _registry.proposeRegistrar(_directory, _actor(next)) {} catch {}
    }

    function acceptRegistrar(uint256 actor) external {
        vm.prank(_actor(actor));
        try _registry.acceptRegistrar(_directory) {} catch {}
    }

    function mine(uint256 blocks) external {
        vm.roll(block.number + 1 + blocks % 8);
    }

    function ask(uint256 partner, uint256 key, uint8 role, uint64 atBlock) external {
        atBlock = uint64(bound(atBlock, block.number - 20, block.number));
        _ask(_partners[partner % 2], _keyId(key), uint8(bound(role, 1, ALL_ROLES)), atBlock);
    }

    // ------------------------------------------------------------------ what was answered

    /// @dev Whether every answer would be given again.
    function isPastUnchanged() external view returns (bool) {
        for (uint256 i = 0; i < _answers.length; ++i) {
            if (_now(_answers[i]) != _answers[i].valid) return false;
        }
        return true;
    }

    function _ask(bytes32 partner, bytes32 keyId, uint8 role, uint64 atBlock) private {
        Answer memory answer = Answer(partner, keyId, role, atBlock, false);
        answer.valid = _now(answer);
        _answers.push(answer);
    }

    function _now(Answer memory answer) private view returns (bool) {
        return _registry.isValid(_directory, answer.partner, answer.keyId, answer.role, answer.atBlock);
    }

    function _keyId(uint256 key) private pure returns (bytes32) {
        return sha256(abi.encodePacked(ED25519, abi.encode(key % _KEYS)));
    }

    /// @dev Mostly one who may, or nothing would ever come of it.
    function _mostlyRegistrar(uint256 seed) private view returns (address) {
        return seed % 4 == 0 ? _actor(seed / 4) : _registry.registrarOf(_directory);
    }

    function _actor(uint256 seed) private view returns (address) {
        return _actors[seed % 3];
    }
}
