// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../src/interfaces/ICustodyLedger.sol";
import {LogId} from "../src/types/LogId.sol";
import {Successor} from "../src/types/Successor.sol";
import {LedgerBase} from "./LedgerBase.sol";
import {NaiveTree} from "./NaiveTree.sol";

contract InclusionTest is LedgerBase {
    function test_everyEntryOfASmallLogIsInItAndNowhereElse() public {
        bytes32[] memory leaves = _leaves("entries");
        for (uint256 size = 1; size <= 17; ++size) {
            _begin(leaves, size);
            for (uint256 index = 0; index < size; ++index) {
                bytes32[] memory proof = NaiveTree.inclusion(leaves, index, 0, size);
                for (uint256 told = 0; told <= size; ++told) {
                    assertEq(_ledger.verifyInclusion(_log, uint64(told), leaves[index], proof), told == index);
                }
            }
        }
    }

    function testFuzz_anEntryOfTheHeadIsInTheLog(bytes32 seed, uint256 size, uint256 index) public {
        (bytes32 leaf, uint64 place, bytes32[] memory proof) = _entry(seed, size, index);
        assertEq(_ledger.verifyInclusion(_log, place, leaf, proof), true);
    }

    function testFuzz_alsoOfARetiredLog(bytes32 seed, uint256 size, uint256 index) public {
        (bytes32 leaf, uint64 place, bytes32[] memory proof) = _entry(seed, size, index);
        _ledger.retire(_log, Successor(1, address(0xbeef), _log));
        assertEq(_ledger.verifyInclusion(_log, place, leaf, proof), true);
    }

    function testFuzz_aChangedBitIsRefused(bytes32 seed, uint256 size, uint256 index, uint256 where, uint8 bit) public {
        (bytes32 leaf, uint64 place, bytes32[] memory proof) = _entry(seed, size, index);
        where = bound(where, 0, proof.length);
        if (where == proof.length) leaf ^= bytes32(1 << uint256(bit));
        else proof[where] ^= bytes32(1 << uint256(bit));
        assertEq(_ledger.verifyInclusion(_log, place, leaf, proof), false);
    }

    function testFuzz_aMissingNodeIsRefused(bytes32 seed, uint256 size, uint256 index, uint256 where) public {
        (bytes32 leaf, uint64 place, bytes32[] memory proof) = _entry(seed, size, index);
        if (proof.length == 0) return;
        assertEq(_ledger.verifyInclusion(_log, place, leaf, _without(proof, bound(where, 0, proof.length - 1))), false);
    }

    function testFuzz_aNodeTooManyIsRefused(bytes32 seed, uint256 size, uint256 index, uint256 where, bytes32 node)
        public
    {
        (bytes32 leaf, uint64 place, bytes32[] memory proof) = _entry(seed, size, index);
        assertEq(_ledger.verifyInclusion(_log, place, leaf, _with(proof, bound(where, 0, proof.length), node)), false);
    }

    function testFuzz_aProofForAnEarlierHeadIsRefused(bytes32 seed, uint256 m, uint256 n, uint256 index) public {
        bytes32[] memory leaves = _leaves(seed);
        n = bound(n, 2, _MOST);
        m = bound(m, 1, n - 1);
        index = bound(index, 0, m - 1);
        bytes32[] memory proof = NaiveTree.inclusion(leaves, index, 0, m);
        _begin(leaves, m);
        assertEq(_ledger.verifyInclusion(_log, uint64(index), leaves[index], proof), true);
        _ledger.anchor(_log, uint64(n), NaiveTree.root(leaves, 0, n), NaiveTree.consistency(leaves, m, n));
        assertEq(_ledger.verifyInclusion(_log, uint64(index), leaves[index], proof), false);
    }

    function testFuzz_anEmptyLogHoldsNothing(uint64 index, bytes32 leaf) public view {
        assertEq(_ledger.verifyInclusion(_log, index, leaf, new bytes32[](0)), false);
        assertEq(_ledger.verifyInclusion(_log, index, sha256(""), new bytes32[](0)), false);
    }

    function test_theLastPlaceThereIsNeitherOverflowsNorHangs() public {
        // 2^64 - 1 entries: a proof of 63 nodes to the left of the last, if every one is there.
        bytes32 hash = sha256("last");
        bytes32[] memory proof = new bytes32[](63);
        for (uint256 i = 0; i < 63; ++i) {
            proof[i] = sha256(abi.encode("left", i));
            hash = sha256(abi.encodePacked(uint8(1), proof[i], hash));
        }
        _ledger.anchor(_log, type(uint64).max, hash, new bytes32[](0));
        assertEq(_ledger.verifyInclusion(_log, type(uint64).max - 1, sha256("last"), proof), true);
        assertEq(_ledger.verifyInclusion(_log, type(uint64).max, sha256("last"), proof), false);
    }

    function testFuzz_aLogThatNobodyBeganHoldsNothingToAskFor(LogId log) public {
        if (_isOurs(log)) return;
        vm.expectRevert(abi.encodeWithSelector(ICustodyLedger.CustodyLedgerUnknownLog.selector, log));
        _ledger.verifyInclusion(log, 0, "leaf", new bytes32[](0));
    }

    function test_whereHashingFailsOrIsUnknownNothingIsAnswered() public {
        // The hash that was made last lies in scratch space, and must not be taken for the next one.
        (bytes32 leaf, uint64 place, bytes32[] memory proof) = _entry("entries", 8, 3);
        vm.mockCall(address(2), "", "");
        vm.expectRevert("");
        _ledger.verifyInclusion(_log, place, leaf, proof);
        vm.clearMockedCalls();
        vm.mockCallRevert(address(2), "", abi.encode(leaf));
        vm.expectRevert("");
        _ledger.verifyInclusion(_log, place, leaf, proof);
        vm.clearMockedCalls();
        assertEq(_ledger.verifyInclusion(_log, place, leaf, proof), true);
    }

    function _entry(bytes32 seed, uint256 size, uint256 index)
        private
        returns (bytes32 leaf, uint64 place, bytes32[] memory proof)
    {
        bytes32[] memory leaves = _leaves(seed);
        size = bound(size, 1, _MOST);
        index = bound(index, 0, size - 1);
        _begin(leaves, size);
        return (leaves[index], uint64(index), NaiveTree.inclusion(leaves, index, 0, size));
    }
}
