// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The name of a directory on this contract. It holds its creator, so nobody can take another's name first.
type DirectoryId is bytes32;

/// @dev nameHash: SHA-256 of the directory's name, a text of its registrar's choice.
function directoryIdOf(address creator, bytes32 nameHash) pure returns (DirectoryId) {
    return DirectoryId.wrap(keccak256(abi.encode(creator, nameHash)));
}
