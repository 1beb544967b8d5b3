// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICustodyLedger} from "./interfaces/ICustodyLedger.sol";
import {Rfc9162} from "./libraries/Rfc9162.sol";
import {LogId, logIdOf} from "./types/LogId.sol";

/// @dev Without constructor, immutables, owner or proxy: the code at an address is this source or it is not.
contract CustodyLedger is ICustodyLedger {
    /// @dev Two slots, both opened by `create`, so that no anchor ever opens one.
    struct Log {
        uint64 size;
        address operator;
        bytes32 root;
    }

    mapping(LogId => Log) private _logs;

    /// @inheritdoc ICustodyLedger
    function create(bytes32 originHash) external returns (LogId log) {
        log = logIdOf(msg.sender, originHash);
        if (_logs[log].operator != address(0)) revert CustodyLedgerLogExists(log);
        _logs[log] = Log({size: 0, operator: msg.sender, root: Rfc9162.EMPTY_ROOT});
        emit LogCreated(log, msg.sender, originHash);
    }

    /// @inheritdoc ICustodyLedger
    function anchor(LogId log, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage stored = _logs[log];
        (uint64 oldSize, address operator) = (stored.size, stored.operator);
        if (msg.sender != operator) {
            if (operator == address(0)) revert CustodyLedgerUnknownLog(log);
            revert CustodyLedgerNotOperator(log, operator, msg.sender);
        }
        if (size <= oldSize) revert CustodyLedgerNotAppended(log, oldSize, size);
        if (!Rfc9162.extendsTree(oldSize, stored.root, size, root, proof)) {
            revert CustodyLedgerInconsistent(log, oldSize, size);
        }
        stored.size = size;
        stored.root = root;
        emit CheckpointAnchored(log, size, root);
    }

    /// @inheritdoc ICustodyLedger
    function head(LogId log) external view returns (uint64 size, bytes32 root, address operator) {
        Log storage stored = _logs[log];
        (size, root, operator) = (stored.size, stored.root, stored.operator);
        if (operator == address(0)) revert CustodyLedgerUnknownLog(log);
    }
}
