// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle proofs after RFC 9162, with SHA-256
library Rfc9162 {
    /// @dev SHA-256 of nothing: the root of a tree without entries.
    bytes32 internal constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @notice Whether the tree (size, root) begins with all entries of the tree (oldSize, oldRoot), given oldSize < size.
    /// @dev The steps of section 2.1.4.2. There is exactly one proof for two trees, and nothing else is accepted:
    /// a missing node leaves `last` above zero, a node too many meets it at zero.
    function extendsTree(uint64 oldSize, bytes32 oldRoot, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        // Section 2.1.4.1: from an empty tree there is nothing to prove, hence nothing to send.
        if (oldSize == 0) return proof.length == 0;

        // (1) an empty proof proves nothing
        if (proof.length == 0) return false;

        unchecked {
            // (3) positions of the last entry in the old and in the new tree
            uint256 oldLast = oldSize - 1;
            uint256 last = size - 1;

            // (4) up to the largest subtree that ends with the old tree's last entry
            while ((oldLast & 1) == 1) {
                oldLast >>= 1;
                last >>= 1;
            }

            // (2, 5) that subtree is the whole old tree if its size is a power of two; else the proof brings it
            uint256 i = oldLast == 0 ? 0 : 1;
            bytes32 oldHash = oldLast == 0 ? oldRoot : proof[0];
            bytes32 newHash = oldHash;

            // (6) climb, hashing every sibling into the trees that it belongs to
            for (; i < proof.length; ++i) {
                bytes32 sibling = proof[i];
                // (6a)
                if (last == 0) return false;
                // (6b)
                if ((oldLast & 1) == 1 || oldLast == last) {
                    oldHash = _node(sibling, oldHash);
                    newHash = _node(sibling, newHash);
                    while ((oldLast & 1) == 0 && oldLast != 0) {
                        oldLast >>= 1;
                        last >>= 1;
                    }
                } else {
                    newHash = _node(newHash, sibling);
                }
                // (6c)
                oldLast >>= 1;
                last >>= 1;
            }

            // (7)
            return oldHash == oldRoot && newHash == root && last == 0;
        }
    }

    /// @notice Whether the tree (size, root) holds `leaf`, the hash of an entry, at `index`.
    /// @dev The steps of section 2.1.3.2. Here too there is exactly one proof, and nothing else is accepted.
    function includesLeaf(uint64 index, bytes32 leaf, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        // (1)
        if (index >= size) return false;

        unchecked {
            // (2) positions of the entry and of the last one
            uint256 position = index;
            uint256 last = size - 1;

            // (3, 4) climb, hashing every sibling in
            bytes32 hash = leaf;
            for (uint256 i = 0; i < proof.length; ++i) {
                // (4a)
                if (last == 0) return false;
                // (4b)
                if ((position & 1) == 1 || position == last) {
                    hash = _node(proof[i], hash);
                    while ((position & 1) == 0 && position != 0) {
                        position >>= 1;
                        last >>= 1;
                    }
                } else {
                    hash = _node(hash, proof[i]);
                }
                // (4c)
                position >>= 1;
                last >>= 1;
            }

            // (5)
            return hash == root && last == 0;
        }
    }

    /// @dev sha256(0x01 || left || right). In Solidity every call would set aside memory of its own, which comes to a
    /// third of the gas of a long proof; see docs/contracts.md.
    function _node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            // 65 bytes, written where memory is free and left free.
            let preimage := mload(0x40)
            mstore8(preimage, 0x01)
            mstore(add(preimage, 0x01), left)
            mstore(add(preimage, 0x21), right)
            // The hash comes into scratch space. A precompile that ran out of gas failed; one that does not exist
            // succeeded, and returned nothing: either would leave there what was there before.
            let succeeded := staticcall(gas(), 0x02, preimage, 0x41, 0x00, 0x20)
            if iszero(and(succeeded, eq(returndatasize(), 0x20))) { revert(0x00, 0x00) }
            hash := mload(0x00)
        }
    }
}
