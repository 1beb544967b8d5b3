// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The name of a log on this contract. It holds its creator, so nobody can take another's name first.
type LogId is bytes32;

/// @dev originHash: SHA-256 of the log's origin line (C2SP checkpoint), without its newline.
function logIdOf(address creator, bytes32 originHash) pure returns (LogId) {
    return LogId.wrap(keccak256(abi.encode(creator, originHash)));
}
