// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "../../src/interfaces/ICustodyLedger.sol";
import {LogId} from "../../src/types/LogId.sol";
import {Successor} from "../../src/types/Successor.sol";
import {Base} from "../Base.sol";
import {NaiveTree} from "../NaiveTree.sol";

/// @title Callers of a log, right and wrong, and a model of what the ledger should say to each
/// @dev Every call is foretold: that it succeeds, or by which error it is refused. Two histories, which part at one entry,
/// are offered by turns, with proofs that are right, cut, lengthened or for another step.
contract LedgerHandler is Base {
    struct Anchored {
        uint256 size;
        bytes32 root;
    }

    error Foretold(bytes4 expected, bytes4 found);

    uint256 public constant MOST = 24;
    uint256 private constant _PARTING = 3;

    ICustodyLedger private immutable _ledger;
    LogId private immutable _log;
    address[3] private _actors = [address(0xa1), address(0xa2), address(0xa3)];
    bytes32[][2] private _leaves;

    bytes32[MOST + 1][2] private _roots;
    Anchored[] private _history;
    mapping(bytes32 slot => bool) private _written;

    address public operator = _actors[0];
    address public proposed;
    bool public retired;
    Successor private _successor;
    uint256 public slotsWrittenByAnchors;

    constructor(ICustodyLedger ledger) {
        _ledger = ledger;
        vm.prank(operator);
        _log = ledger.create("origin");
        for (uint256 tree = 0; tree < 2; ++tree) {
            for (uint256 i = 0; i < MOST; ++i) {
                _leaves[tree].push(sha256(abi.encode(i, i == _PARTING ? tree : 0)));
            }
            for (uint256 size = 0; size <= MOST; ++size) {
                _roots[tree][size] = NaiveTree.root(_leaves[tree], 0, size);
            }
        }
        _history.push(Anchored(0, _roots[0][0]));
    }

    // ------------------------------------------------------------------ what callers do

    function anchor(uint256 actor, uint256 tree, uint256 size, uint256 from, uint256 shape) external {
        // Mostly its operator, and mostly a growth by the true proof, or nothing would ever come of it.
        address caller = actor % 4 == 0 ? _actor(actor / 4) : operator;
        tree = tree % 2;
        (uint256 oldSize, bytes32 oldRoot) = newest();
        size = shape % 8 == 0 ? bound(size, 0, MOST) : bound(size, oldSize, oldSize + 4);
        if (size > MOST) size = MOST;
        from = shape % 8 == 1 && size > 0 ? bound(from, 0, size) : oldSize < size ? oldSize : size;
        bytes32[] memory proof = _bent(NaiveTree.consistency(_leaves[tree], from, size), shape % 8);

        bytes4 expected = _refusalOfOperator(caller);
        if (expected == 0) {
            if (size <= oldSize) {
                expected = ICustodyLedger.CustodyLedgerNotAppended.selector;
            } else if (!_extends(tree, oldSize, oldRoot, size, proof)) {
                expected = ICustodyLedger.CustodyLedgerInconsistent.selector;
            }
        }
        vm.record();
        vm.prank(caller);
        try _ledger.anchor(_log, uint64(size), _roots[tree][size], proof) {
            _foretell(expected, 0);
            _history.push(Anchored(size, _roots[tree][size]));
            _countWrites();
        } catch (bytes memory refusal) {
            _foretell(expected, bytes4(refusal));
        }
    }

    function propose(uint256 actor, uint256 next) external {
        address caller = _actor(actor);
        address offered = next % 4 == 3 ? address(0) : _actor(next);
        vm.prank(caller);
        try _ledger.proposeOperator(_log, offered) {
            _foretell(_refusalOfOperator(caller), 0);
            proposed = offered;
        } catch (bytes memory refusal) {
            _foretell(_refusalOfOperator(caller), bytes4(refusal));
        }
    }

    function accept(uint256 actor) external {
        address caller = _actor(actor);
        bytes4 expected = retired
            ? ICustodyLedger.CustodyLedgerRetired.selector
            : caller != proposed ? ICustodyLedger.CustodyLedgerNotProposed.selector : bytes4(0);
        vm.prank(caller);
        try _ledger.acceptOperator(_log) {
            _foretell(expected, 0);
            (operator, proposed) = (caller, address(0));
        } catch (bytes memory refusal) {
            _foretell(expected, bytes4(refusal));
        }
    }

    function retire(uint256 actor, uint256 chance, Successor memory successor) external {
        if (chance % 16 != 0) return; // seldom, for nothing follows it
        address caller = _actor(actor);
        if (chance % 32 == 0) successor = Successor(block.chainid, address(_ledger), _log);
        bool dead = successor.chainId == 0 || successor.ledger == address(0) || LogId.unwrap(successor.log) == 0
            || chance % 32 == 0;
        bytes4 expected = _refusalOfOperator(caller);
        if (expected == 0 && dead) expected = ICustodyLedger.CustodyLedgerNoSuccessor.selector;
        vm.prank(caller);
        try _ledger.retire(_log, successor) {
            _foretell(expected, 0);
            (retired, proposed, _successor) = (true, address(0), successor);
        } catch (bytes memory refusal) {
            _foretell(expected, bytes4(refusal));
        }
    }

    function beginAgain(uint256 actor) external {
        if (_actor(actor) != _actors[0]) return; // another's log is another log
        vm.prank(_actors[0]);
        try _ledger.create("origin") {
            _foretell(ICustodyLedger.CustodyLedgerLogExists.selector, 0);
        } catch (bytes memory refusal) {
            _foretell(ICustodyLedger.CustodyLedgerLogExists.selector, bytes4(refusal));
        }
    }

    // ------------------------------------------------------------------ what the model holds

    function log() external view returns (LogId) {
        return _log;
    }

    function newest() public view returns (uint256 size, bytes32 root) {
        Anchored storage last = _history[_history.length - 1];
        return (last.size, last.root);
    }

    function namedSuccessor() external view returns (Successor memory) {
        return _successor;
    }

    /// @dev Whether all that was ever anchored is a beginning of the newest head's tree, each larger than the one before.
    function isOneHistory() external view returns (bool) {
        (uint256 size, bytes32 root) = newest();
        uint256 tree = _roots[0][size] == root ? 0 : 1;
        for (uint256 i = 0; i < _history.length; ++i) {
            if (_history[i].root != _roots[tree][_history[i].size]) return false;
            if (i > 0 && _history[i].size <= _history[i - 1].size) return false;
        }
        return true;
    }

    // ------------------------------------------------------------------ helpers

    function _actor(uint256 seed) private view returns (address) {
        return _actors[seed % 3];
    }

    function _refusalOfOperator(address caller) private view returns (bytes4) {
        if (caller != operator) return ICustodyLedger.CustodyLedgerNotOperator.selector;
        return retired ? ICustodyLedger.CustodyLedgerRetired.selector : bytes4(0);
    }

    /// @dev By definition: the same entries in front, and the one proof that there is.
    function _extends(uint256 tree, uint256 m, bytes32 root, uint256 n, bytes32[] memory proof)
        private
        view
        returns (bool)
    {
        bytes32[] memory right = NaiveTree.consistency(_leaves[tree], m, n);
        return _roots[tree][m] == root && keccak256(abi.encode(proof)) == keccak256(abi.encode(right));
    }

    function _bent(bytes32[] memory proof, uint256 shape) private pure returns (bytes32[] memory) {
        if (shape == 2) return _with(proof, proof.length, "one too many");
        if (proof.length == 0) return proof;
        if (shape == 3) return _without(proof, proof.length - 1);
        if (shape == 4) proof[0] ^= bytes32(uint256(1));
        return proof;
    }

    function _countWrites() private {
        (, bytes32[] memory writes) = vm.accesses(address(_ledger));
        for (uint256 i = 0; i < writes.length; ++i) {
            if (_written[writes[i]]) continue;
            _written[writes[i]] = true;
            ++slotsWrittenByAnchors;
        }
    }

    function _foretell(bytes4 expected, bytes4 found) private pure {
        if (expected != found) revert Foretold(expected, found);
    }
}
