// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LogId} from "../types/LogId.sol";
import {Successor} from "../types/Successor.sol";

/// @title The heads of append-only logs, each only ever extended
/// @notice Holds one head (size, root) per log. A new head is taken only from the log's operator and only with a proof
/// (RFC 9162, section 2.1.4.2) that it keeps every entry of the head before it, in place. So nobody, the operator
/// included, can rewrite or fork a log here. Heads that came before are in the event log; storage does not grow.
/// Hashes are SHA-256 with the prefixes of RFC 9162.
///
/// A log that moves is retired here, once and for all, in favour of a successor. A log *continues* a retired one if it
/// is the successor named there, and the first checkpoint ever anchored in it is the retired head: the same size, the
/// same root. From there on its own contract holds it to its proofs. A log retired at size 0 has nothing to keep, and its
/// successor may begin with any checkpoint. Who follows successors makes sure at each that the ledger's code is one that
/// enforces this, and remembers the logs it came through, for they can lead in a circle.
interface ICustodyLedger {
    /// @notice Emitted once, when a log begins, empty.
    /// @param log keccak256(abi.encode(creator, originHash))
    /// @param creator Who called, and is the log's operator now.
    /// @param originHash SHA-256 of the log's origin line.
    event LogCreated(LogId indexed log, address indexed creator, bytes32 originHash);

    /// @notice Emitted after every new head. These events, in order, are the log's history.
    event CheckpointAnchored(LogId indexed log, uint64 indexed size, bytes32 root);

    /// @notice Emitted when an operator offers a log to another account, or to none, which withdraws the offer.
    event OperatorProposed(LogId indexed log, address indexed operator, address indexed proposed);

    /// @notice Emitted when the account that was proposed has taken the log over.
    event OperatorChanged(LogId indexed log, address indexed previous, address indexed operator);

    /// @notice Emitted once, when a log ends here.
    /// @param size Its last size, for ever.
    /// @param root Its last root, for ever.
    /// @param successor The log that may continue it.
    event LogRetired(LogId indexed log, uint64 size, bytes32 root, Successor successor);

    /// @notice The caller has begun a log with this origin before.
    error CustodyLedgerLogExists(LogId log);

    /// @notice No such log was begun.
    error CustodyLedgerUnknownLog(LogId log);

    /// @notice Only the log's operator may extend it, hand it over or retire it.
    error CustodyLedgerNotOperator(LogId log, address operator, address caller);

    /// @notice Only the account that the operator proposed may take the log over.
    error CustodyLedgerNotProposed(LogId log, address proposed, address caller);

    /// @notice The log has ended here: see `successorOf`.
    error CustodyLedgerRetired(LogId log);

    /// @notice What is named as successor is no log (its chain, ledger or log is zero), or the log itself.
    error CustodyLedgerNoSuccessor(LogId log);

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

    /// @notice Offer a log to another account, which becomes its operator when it accepts; until then nothing changes.
    /// @param proposed The account, in place of any that was proposed before; zero withdraws the offer.
    function proposeOperator(LogId log, address proposed) external;

    /// @notice Take over a log that was offered to the caller. The log's id stays that of its creator.
    function acceptOperator(LogId log) external;

    /// @notice End a log here, for ever: no anchor and no change of operator follows, an offer included.
    /// @dev Nothing is asked of the successor, which may be on another chain. It continues the log only as this interface
    /// says; one that does not is seen by everybody, and one that was never begun is the log's end.
    function retire(LogId log, Successor calldata successor) external;

    /// @notice The newest head of a log, and who may extend it. At size 0 the root is that of the empty tree.
    function head(LogId log) external view returns (uint64 size, bytes32 root, address operator);

    /// @notice Who may take the log over; zero if nobody.
    function proposedOperator(LogId log) external view returns (address);

    /// @notice The log named to continue a retired one; its ledger is zero while the log goes on here.
    function successorOf(LogId log) external view returns (Successor memory);

    /// @notice Whether an entry is in the log: for a dispute that a contract, or a call to a node, is to decide.
    /// @dev The steps of RFC 9162, section 2.1.3.2, against the newest head, also of a retired log. A proof for an earlier
    /// head no longer fits: ask for one of today. A false answer says of the proof that it shows nothing, and nothing more.
    /// @param index The entry's place, from 0.
    /// @param leaf SHA-256 of 0x00 and the entry.
    /// @param proof Inclusion proof of `index` in the tree of the newest head.
    function verifyInclusion(LogId log, uint64 index, bytes32 leaf, bytes32[] calldata proof)
        external
        view
        returns (bool);
}
