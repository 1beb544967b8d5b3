// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NaiveTree} from "./NaiveTree.sol";

/// @title Trees of any size whose entries are all alike, so that only the length of a span counts
library UniformTree {
    bytes32 internal constant LEAF = "the hash of every entry";

    function root(uint256 size) internal pure returns (bytes32) {
        if (size == 1) return LEAF;
        uint256 k = NaiveTree.split(size);
        bytes32 left = root(k);
        return sha256(abi.encodePacked(uint8(1), left, size == 2 * k ? left : root(size - k)));
    }

    /// @dev PROOF(m, n), from the leaf's end of the path up to the root's.
    function consistency(uint256 m, uint256 n) internal pure returns (bytes32[] memory proof) {
        if (m == 0) return new bytes32[](0);
        bytes32[] memory nodes = new bytes32[](65);
        uint256 count = 0;
        bool whole = true;
        while (m != n) {
            uint256 k = NaiveTree.split(n);
            nodes[count++] = root(m <= k ? n - k : k);
            if (m <= k) n = k;
            else (m, n, whole) = (m - k, n - k, false);
        }
        if (!whole) nodes[count++] = root(m);
        return _turned(nodes, count);
    }

    /// @dev PATH(index, size), likewise.
    function inclusion(uint256 index, uint256 size) internal pure returns (bytes32[] memory proof) {
        bytes32[] memory nodes = new bytes32[](64);
        uint256 count = 0;
        while (size > 1) {
            uint256 k = NaiveTree.split(size);
            nodes[count++] = root(index < k ? size - k : k);
            if (index < k) size = k;
            else (index, size) = (index - k, size - k);
        }
        return _turned(nodes, count);
    }

    function _turned(bytes32[] memory nodes, uint256 count) private pure returns (bytes32[] memory turned) {
        turned = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            turned[i] = nodes[count - 1 - i];
        }
    }
}
