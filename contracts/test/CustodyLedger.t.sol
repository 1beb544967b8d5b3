// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../src/interfaces/ICustodyLedger.sol";
import {LogId} from "../src/types/LogId.sol";
import {LedgerBase} from "./LedgerBase.sol";
import {NaiveTree} from "./NaiveTree.sol";

contract CustodyLedgerTest is LedgerBase {
    // ------------------------------------------------------------------ beginning a log

    function test_aNewLogIsTheEmptyTreeOfItsCreator() public view {
        _assertHead(0, sha256(""));
        assertEq(LogId.unwrap(_log), keccak256(abi.encode(address(this), _ORIGIN)));
    }

    function test_creationIsTold() public {
        bytes32 origin = "SHA-256 of another";
        vm.expectEmit(true, true, true, true, address(_ledger));
        emit ICustodyLedger.LogCreated(LogId.wrap(keccak256(abi.encode(this, origin))), address(this), origin);
        _ledger.create(origin);
    }

    function test_aLogBeginsOnce() public {
        _expect(ICustodyLedger.CustodyLedgerLogExists.selector);
        _ledger.create(_ORIGIN);
    }

    function testFuzz_nobodyCanTakeAnothersLog(address other, bytes32 origin) public {
        if (other == address(this) || other == address(0)) return; // nobody calls from address zero
        vm.prank(other);
        LogId theirs = _ledger.create(origin);
        if (LogId.unwrap(theirs) == LogId.unwrap(_log)) revert("squatted");
        (,, address operator) = _ledger.head(theirs);
        assertEq(operator, other);
        if (origin != _ORIGIN) _ledger.create(origin); // still free for us
    }

    function testFuzz_aLogThatNobodyBeganHasNoHead(LogId log) public {
        if (_isOurs(log)) return;
        bytes memory unknown = abi.encodeWithSelector(ICustodyLedger.CustodyLedgerUnknownLog.selector, log);
        vm.expectRevert(unknown);
        _ledger.head(log);
        vm.expectRevert(unknown);
        _ledger.anchor(log, 1, bytes32(0), new bytes32[](0));
    }

    // ------------------------------------------------------------------ extending it

    function testFuzz_everyGrowthWithItsProofIsTakenAndTold(bytes32 seed, uint256 first, uint256 second, uint256 third)
        public
    {
        bytes32[] memory leaves = _leaves(seed);
        uint256 size;
        uint256[3] memory steps = [first, second, third];
        for (uint256 i = 0; i < steps.length && size < _MOST; ++i) {
            uint256 next = bound(steps[i], size + 1, _MOST);
            bytes32 root = NaiveTree.root(leaves, 0, next);
            bytes32[] memory proof = NaiveTree.consistency(leaves, size, next);
            vm.expectEmit(true, true, true, true, address(_ledger));
            emit ICustodyLedger.CheckpointAnchored(_log, uint64(next), root);
            _ledger.anchor(_log, uint64(next), root, proof);
            _assertHead(next, root);
            size = next;
        }
    }

    function test_everyPairOfSmallSizesHasItsProof() public {
        bytes32[] memory leaves = _leaves("pairs");
        for (uint256 n = 2; n <= 20; ++n) {
            for (uint256 m = 1; m < n; ++m) {
                _begin(leaves, m);
                _ledger.anchor(_log, uint64(n), NaiveTree.root(leaves, 0, n), NaiveTree.consistency(leaves, m, n));
            }
        }
    }

    function test_theLargestSizesNeitherOverflowNorHang() public {
        // A tree of 2^63 entries is a perfect one; its twin beside it makes 2^64, one more than a size can say.
        bytes32 half = sha256("half");
        bytes32 rest = sha256("the other 2^63 - 1");
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = rest;
        _ledger.anchor(_log, 1 << 63, half, new bytes32[](0));
        bytes32 root = sha256(abi.encodePacked(uint8(1), half, rest));
        _ledger.anchor(_log, type(uint64).max, root, proof);
        _assertHead(type(uint64).max, root);
    }

    function testFuzz_anAnchorWritesNoSlotBesideTheTwoOfItsLog(bytes32 seed, uint256 m, uint256 n) public {
        bytes32[] memory leaves = _leaves(seed);
        n = bound(n, 1, _MOST);
        m = bound(m, 0, n - 1);
        _begin(leaves, m);
        bytes32 root = NaiveTree.root(leaves, 0, n);
        bytes32[] memory proof = NaiveTree.consistency(leaves, m, n);
        vm.record();
        _ledger.anchor(_log, uint64(n), root, proof);
        (, bytes32[] memory writes) = vm.accesses(address(_ledger));
        assertEq(writes.length, 2);
        bytes32 slot = keccak256(abi.encode(_log, uint256(0)));
        assertEq(writes[0], slot);
        assertEq(uint256(writes[1]), uint256(slot) + 1);
    }

    // ------------------------------------------------------------------ and nothing else

    function testFuzz_onlyTheOperatorExtends(address other) public {
        if (other == address(this)) return;
        _expectNotOperator(other);
        vm.prank(other);
        _ledger.anchor(_log, 1, "root", new bytes32[](0));
    }

    function testFuzz_aLogNeverShrinksNorStandsStill(bytes32 seed, uint256 size, uint64 offered) public {
        bytes32[] memory leaves = _leaves(seed);
        size = bound(size, 1, _MOST);
        offered = uint64(bound(offered, 0, size));
        _begin(leaves, size);
        bytes32 root = NaiveTree.root(leaves, 0, offered);
        vm.expectRevert(
            abi.encodeWithSelector(ICustodyLedger.CustodyLedgerNotAppended.selector, _log, uint64(size), offered)
        );
        _ledger.anchor(_log, offered, root, new bytes32[](0));
    }

    function testFuzz_theFirstAnchorTakesNoProof(bytes32 node) public {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = node;
        _refuse(0, 1, "root", proof);
    }

    function testFuzz_aChangedBitIsRefused(bytes32 seed, uint256 m, uint256 n, uint256 where, uint8 bit) public {
        (uint64 size, bytes32 root, bytes32[] memory proof) = _growth(seed, m, n);
        where = bound(where, 0, proof.length);
        if (where == proof.length) root ^= bytes32(1 << uint256(bit));
        else proof[where] ^= bytes32(1 << uint256(bit));
        _refuse(_size(), size, root, proof);
    }

    function testFuzz_aMissingNodeIsRefused(bytes32 seed, uint256 m, uint256 n, uint256 where) public {
        (uint64 size, bytes32 root, bytes32[] memory proof) = _growth(seed, m, n);
        _refuse(_size(), size, root, _without(proof, bound(where, 0, proof.length - 1)));
    }

    function testFuzz_aNodeTooManyIsRefused(bytes32 seed, uint256 m, uint256 n, uint256 where, bytes32 node) public {
        (uint64 size, bytes32 root, bytes32[] memory proof) = _growth(seed, m, n);
        _refuse(_size(), size, root, _with(proof, bound(where, 0, proof.length), node));
    }

    function testFuzz_nodesInAnotherOrderAreRefused(bytes32 seed, uint256 m, uint256 n, uint256 a, uint256 b) public {
        (uint64 size, bytes32 root, bytes32[] memory proof) = _growth(seed, m, n);
        a = bound(a, 0, proof.length - 1);
        b = bound(b, 0, proof.length - 1);
        if (a == b) return;
        (proof[a], proof[b]) = (proof[b], proof[a]);
        _refuse(_size(), size, root, proof);
    }

    function testFuzz_anEntryChangedInThePastIsRefused(bytes32 seed, uint256 m, uint256 n, uint256 where) public {
        bytes32[] memory leaves = _leaves(seed);
        n = bound(n, 2, _MOST);
        m = bound(m, 1, n - 1);
        _begin(leaves, m);
        leaves[bound(where, 0, m - 1)] = sha256("forged");
        _refuse(uint64(m), uint64(n), NaiveTree.root(leaves, 0, n), NaiveTree.consistency(leaves, m, n));
    }

    function testFuzz_theProofOfAnotherStepIsRefused(bytes32 seed, uint256 m, uint256 n, uint256 other) public {
        bytes32[] memory leaves = _leaves(seed);
        n = bound(n, 3, _MOST);
        m = bound(m, 1, n - 1);
        other = bound(other, 1, n - 1);
        if (other == m) return;
        _begin(leaves, m);
        bytes32[] memory proof = NaiveTree.consistency(leaves, other, n);
        if (_same(proof, NaiveTree.consistency(leaves, m, n))) return;
        _refuse(uint64(m), uint64(n), NaiveTree.root(leaves, 0, n), proof);
    }

    // ------------------------------------------------------------------ helpers

    /// @dev Starts a log at some size, and returns a next checkpoint with a proof that would be taken.
    function _growth(bytes32 seed, uint256 m, uint256 n)
        private
        returns (uint64 size, bytes32 root, bytes32[] memory proof)
    {
        bytes32[] memory leaves = _leaves(seed);
        n = bound(n, 2, _MOST);
        m = bound(m, 1, n - 1);
        _begin(leaves, m);
        return (uint64(n), NaiveTree.root(leaves, 0, n), NaiveTree.consistency(leaves, m, n));
    }

    function _refuse(uint64 anchored, uint64 size, bytes32 root, bytes32[] memory proof) private {
        bytes32 before = _root();
        vm.expectRevert(abi.encodeWithSelector(ICustodyLedger.CustodyLedgerInconsistent.selector, _log, anchored, size));
        _ledger.anchor(_log, size, root, proof);
        _assertHead(anchored, before);
    }

    function _size() private view returns (uint64 size) {
        (size,,) = _ledger.head(_log);
    }

    function _root() private view returns (bytes32 root) {
        (, root,) = _ledger.head(_log);
    }

    function _same(bytes32[] memory a, bytes32[] memory b) private pure returns (bool) {
        return keccak256(abi.encode(a)) == keccak256(abi.encode(b));
    }
}
