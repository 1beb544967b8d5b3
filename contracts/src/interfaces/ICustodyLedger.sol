// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LogId} from "../types/LogId.sol";

/// @title The heads of append-only logs, each only ever extended
/// @notice Holds one head (size, root) per log. A new head is taken only from the log's operator and only with a proof
/// (RFC 9162, section 2.1.4.2) that it keeps every entry of the head before it, in place. So nobody, the operator
/// included, can rewrite or fork a log here. Heads that came before are in the event log; storage does not grow.
/// Hashes are SHA-256 with the prefixes of RFC 9162.
interface ICustodyLedger {
    /// @notice Emitted once, when a log begins, empty.
    /// @param log keccak256(abi.encode(creator, originHash))
    /// @param creator Who called, and is the log's operator now.
    /// @param originHash SHA-256 of the log's origin line.
    event LogCreated(LogId indexed log, address indexed creator, bytes32 originHash);

    /// @notice Emitted after every new head. These events, in order, are the log's history.
    event CheckpointAnchored(LogId indexed log, uint64 indexed size, bytes32 root);

    /// @notice The caller has begun a log with this origin before.
    error CustodyLedgerLogExists(LogId log);

    /// @notice No such log was begun.
    error CustodyLedgerUnknownLog(LogId log);

    /// @notice Only the log's operator may extend it.
    error CustodyLedgerNotOperator(LogId log, address operator, address caller);

    /// @notice A checkpoint may not shrink the log, nor stand still, even at the same root.
    error CustodyLedgerNotAppended(LogId log, uint64 anchoredSize, uint64 offeredSize);

    /// @notice The proof does not show that the offered tree extends the anchored one: a wrong root, or a node of the
    /// proof that is wrong, missing, or too many.
    error CustodyLedgerInconsistent(LogId log, uint64 anchoredSize, uint64 offeredSize);

    /// @notice Begin an empty log. The caller becomes its operator.
    function create(bytes32 originHash) external returns (LogId log);

    /// @notice Extend a log to a new head.
    /// @dev A root does not carry its size, and some proofs fit two sizes: that `size` counts the entries rightly is seen
    /// only by who derives the root from them. What was anchored stays in the log either way.
    /// @param size Number of entries, greater than the anchored one.
    /// @param root Root of the Merkle tree over these entries.
    /// @param proof Consistency proof from the anchored size to `size`; empty from size 0.
    function anchor(LogId log, uint64 size, bytes32 root, bytes32[] calldata proof) external;

    /// @notice The newest head of a log, and who may extend it. At size 0 the root is that of the empty tree.
    function head(LogId log) external view returns (uint64 size, bytes32 root, address operator);
}
