// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Trees and proofs as RFC 9162 defines them, recursively and without thought for cost
/// @dev The tree's entries are known by their leaf hashes. An oracle shares no code with what it judges.
library NaiveTree {
    /// @dev Section 2.1.1: MTH(leaves[start:stop]).
    function root(bytes32[] memory leaves, uint256 start, uint256 stop) internal pure returns (bytes32) {
        if (stop == start) return sha256("");
        if (stop - start == 1) return leaves[start];
        uint256 middle = start + split(stop - start);
        return sha256(abi.encodePacked(uint8(1), root(leaves, start, middle), root(leaves, middle, stop)));
    }

    /// @dev Section 2.1.3.1: PATH(index, leaves[start:stop]).
    function inclusion(bytes32[] memory leaves, uint256 index, uint256 start, uint256 stop)
        internal
        pure
        returns (bytes32[] memory)
    {
        if (stop - start == 1) return new bytes32[](0);
        uint256 middle = start + split(stop - start);
        if (index < middle) {
            return _appended(inclusion(leaves, index, start, middle), root(leaves, middle, stop));
        }
        return _appended(inclusion(leaves, index, middle, stop), root(leaves, start, middle));
    }

    /// @dev Section 2.1.4.1: PROOF(m, leaves[0:n]).
    function consistency(bytes32[] memory leaves, uint256 m, uint256 n) internal pure returns (bytes32[] memory) {
        return m == 0 ? new bytes32[](0) : _subproof(leaves, m, 0, n, true);
    }

    /// @dev The largest power of two below n.
    function split(uint256 n) internal pure returns (uint256 k) {
        for (k = 1; 2 * k < n; k *= 2) {}
    }

    function _subproof(bytes32[] memory leaves, uint256 m, uint256 start, uint256 stop, bool whole)
        private
        pure
        returns (bytes32[] memory)
    {
        if (m == stop - start) {
            return whole ? new bytes32[](0) : _appended(new bytes32[](0), root(leaves, start, stop));
        }
        uint256 k = split(stop - start);
        if (m <= k) {
            return _appended(_subproof(leaves, m, start, start + k, whole), root(leaves, start + k, stop));
        }
        return _appended(_subproof(leaves, m - k, start + k, stop, false), root(leaves, start, start + k));
    }

    function _appended(bytes32[] memory nodes, bytes32 node) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](nodes.length + 1);
        for (uint256 i = 0; i < nodes.length; ++i) {
            longer[i] = nodes[i];
        }
        longer[nodes.length] = node;
    }
}
