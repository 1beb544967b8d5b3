// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle consistency after RFC 9162
library Rfc9162 {
    /// @dev SHA-256 of nothing: the root of a tree without entries.
    bytes32 internal constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @notice Whether the tree (size, root) begins with all entries of the tree (oldSize, oldRoot), given oldSize < size.
    /// @dev The steps of section 2.1.4.2. There is exactly one proof for two trees, and nothing else is accepted:
    /// a missing node leaves `last` above zero, a node too many meets it at zero.
    function extendsTree(uint64 oldSize, bytes32 oldRoot, uint64 size, bytes32 root, bytes32[] calldata proof)
        internal
        pure
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

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
