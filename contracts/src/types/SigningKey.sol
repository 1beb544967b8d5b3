// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The algorithms of signing keys (RFC 8032; RFC 8812, a compressed point).
uint8 constant ED25519 = 1;
uint8 constant ES256K = 2;

/// @dev What a key may sign: events that its partner brings, what it received, checkpoints it has seen.
uint8 constant CAPTURE = 1;
uint8 constant RECEIVE = 2;
uint8 constant WITNESS = 4;
uint8 constant ALL_ROLES = CAPTURE | RECEIVE | WITNESS;

/// @dev In one slot, written when the key is added and once or more to shorten it.
struct SigningKey {
    /// First block in which the key is valid; zero if there is no such key.
    uint64 from;
    /// First block in which it is no longer; NO_END if none is known.
    uint64 until;
    uint8 roles;
}

uint64 constant NO_END = type(uint64).max;
