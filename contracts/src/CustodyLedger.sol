// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "./interfaces/ICustodyLedger.sol";
import {Rfc9162} from "./libraries/Rfc9162.sol";
import {LogId, logIdOf} from "./types/LogId.sol";
import {Successor} from "./types/Successor.sol";

/// @dev Without constructor, immutables, owner or proxy: the code at an address is this source or it is not.
contract CustodyLedger is ICustodyLedger {
    /// @dev Two slots, both opened by `create`, so that no anchor ever opens one. All that an anchor must know is in here.
    struct Log {
        uint64 size;
        address operator;
        bool retired;
        bytes32 root;
    }

    mapping(LogId => Log) private _logs;
    mapping(LogId => address) private _proposed;
    mapping(LogId => Successor) private _successors;

    /// @inheritdoc ICustodyLedger
    function create(bytes32 originHash) external returns (LogId log) {
        log = logIdOf(msg.sender, originHash);
        if (_logs[log].operator != address(0)) revert CustodyLedgerLogExists(log);
        _logs[log] = Log({size: 0, operator: msg.sender, retired: false, root: Rfc9162.EMPTY_ROOT});
        emit LogCreated(log, msg.sender, originHash);
    }

    /// @inheritdoc ICustodyLedger
    function anchor(LogId log, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage stored = _operated(log);
        uint64 oldSize = stored.size;
        if (size <= oldSize) revert CustodyLedgerNotAppended(log, oldSize, size);
        if (!Rfc9162.extendsTree(oldSize, stored.root, size, root, proof)) {
            revert CustodyLedgerInconsistent(log, oldSize, size);
        }
        stored.size = size;
        stored.root = root;
        emit CheckpointAnchored(log, size, root);
    }

    /// @inheritdoc ICustodyLedger
    function proposeOperator(LogId log, address proposed) external {
        _operated(log);
        _proposed[log] = proposed;
        emit OperatorProposed(log, msg.sender, proposed);
    }

    /// @inheritdoc ICustodyLedger
    function acceptOperator(LogId log) external {
        Log storage stored = _begun(log);
        if (stored.retired) revert CustodyLedgerRetired(log);
        address proposed = _proposed[log];
        if (msg.sender != proposed) revert CustodyLedgerNotProposed(log, proposed, msg.sender);
        address previous = stored.operator;
        stored.operator = proposed;
        delete _proposed[log];
        emit OperatorChanged(log, previous, proposed);
    }

    /// @inheritdoc ICustodyLedger
    function retire(LogId log, Successor calldata successor) external {
        Log storage stored = _operated(log);
        if (!_canContinue(log, successor)) revert CustodyLedgerNoSuccessor(log);
        stored.retired = true;
        delete _proposed[log];
        _successors[log] = successor;
        emit LogRetired(log, stored.size, stored.root, successor);
    }

    /// @inheritdoc ICustodyLedger
    function head(LogId log) external view returns (uint64 size, bytes32 root, address operator) {
        Log storage stored = _begun(log);
        return (stored.size, stored.root, stored.operator);
    }

    /// @inheritdoc ICustodyLedger
    function proposedOperator(LogId log) external view returns (address) {
        _begun(log);
        return _proposed[log];
    }

    /// @inheritdoc ICustodyLedger
    function successorOf(LogId log) external view returns (Successor memory) {
        _begun(log);
        return _successors[log];
    }

    /// @inheritdoc ICustodyLedger
    function verifyInclusion(LogId log, uint64 index, bytes32 leaf, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        Log storage stored = _begun(log);
        return Rfc9162.includesLeaf(index, leaf, stored.size, stored.root, proof);
    }

    /// @dev The log, if somebody has begun it.
    function _begun(LogId log) private view returns (Log storage stored) {
        stored = _logs[log];
        if (stored.operator == address(0)) revert CustodyLedgerUnknownLog(log);
    }

    /// @dev The log, if the caller is its operator and it goes on here.
    function _operated(LogId log) private view returns (Log storage stored) {
        stored = _logs[log];
        address operator = stored.operator;
        if (msg.sender != operator) {
            if (operator == address(0)) revert CustodyLedgerUnknownLog(log);
            revert CustodyLedgerNotOperator(log, operator, msg.sender);
        }
        if (stored.retired) revert CustodyLedgerRetired(log);
    }

    /// @dev Whether this names another log. A field left empty would be a dead end for ever.
    function _canContinue(LogId log, Successor calldata successor) private view returns (bool) {
        if (successor.chainId == 0 || successor.ledger == address(0) || LogId.unwrap(successor.log) == 0) return false;
        return successor.chainId != block.chainid || successor.ledger != address(this)
            || LogId.unwrap(successor.log) != LogId.unwrap(log);
    }
}
