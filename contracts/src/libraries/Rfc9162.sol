// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle proofs after RFC 9162, with SHA-256
/// @dev The verdicts are those of sections 2.1.3.2 and 2.1.4.2, which shift two positions until they agree. Here the climb
/// is in two parts, told apart by the last entry's position: below the level where the two paths meet a node may have its
/// sibling on either side; from there on they are the tree's right edge, where only a sibling on the left exists.
/// For each question there is exactly one proof, and nothing else is accepted: no node missing, none too many.
library Rfc9162 {
    /// @dev SHA-256 of nothing: the root of a tree without entries.
    bytes32 internal constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @notice Whether the tree (size, root) begins with all entries of the tree (oldSize, oldRoot), given oldSize < size.
    function extendsTree(uint64 oldSize, bytes32 oldRoot, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        // From an empty tree there is nothing to prove, hence nothing to send.
        if (oldSize == 0) return proof.length == 0;

        unchecked {
            // Positions of the last entries, then of the largest subtree that ends with the old tree's last entry.
            uint256 oldLast = oldSize - 1;
            uint256 last = size - 1;
            while ((oldLast & 1) == 1) {
                oldLast >>= 1;
                last >>= 1;
            }

            // That subtree is the whole old tree if the old size is a power of two; else the proof brings its hash.
            uint256 used = 0;
            bytes32 oldHash = oldRoot;
            if (oldLast != 0) {
                if (proof.length == 0) return false;
                oldHash = proof[used++];
            }
            bytes32 newHash = oldHash;

            // Below the meeting point: what stands on the left is in both trees, what stands on the right in the new one.
            while (oldLast != last) {
                if (used == proof.length) return false;
                bytes32 sibling = proof[used++];
                if ((oldLast & 1) == 1) {
                    oldHash = _node(sibling, oldHash);
                    newHash = _node(sibling, newHash);
                } else {
                    newHash = _node(newHash, sibling);
                }
                oldLast >>= 1;
                last >>= 1;
            }
            // Along the right edge of both.
            for (; last != 0; last >>= 1) {
                if ((last & 1) == 0) continue;
                if (used == proof.length) return false;
                bytes32 sibling = proof[used++];
                oldHash = _node(sibling, oldHash);
                newHash = _node(sibling, newHash);
            }

            return used == proof.length && oldHash == oldRoot && newHash == root;
        }
    }

    /// @notice Whether the tree (size, root) holds `leaf`, the hash of an entry, at `index`.
    function includesLeaf(uint64 index, bytes32 leaf, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (index >= size) return false;

        unchecked {
            uint256 position = index;
            uint256 last = size - 1;
            uint256 used = 0;
            bytes32 hash = leaf;

            while (position != last) {
                if (used == proof.length) return false;
                bytes32 sibling = proof[used++];
                hash = (position & 1) == 1 ? _node(sibling, hash) : _node(hash, sibling);
                position >>= 1;
                last >>= 1;
            }
            for (; last != 0; last >>= 1) {
                if ((last & 1) == 0) continue;
                if (used == proof.length) return false;
                hash = _node(proof[used++], hash);
            }

            return used == proof.length && hash == root;
        }
    }

    /// @dev sha256(0x01 || left || right). In Solidity every call would set aside memory of its own: a tenth of the gas of a
    /// long proof (docs/contracts.md).
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
