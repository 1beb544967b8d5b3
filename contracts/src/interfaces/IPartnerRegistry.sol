// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DirectoryId} from "../types/DirectoryId.sol";
import {SigningKey} from "../types/SigningKey.sol";

/// @title Partners' signing keys, and in which blocks each was valid
/// @notice Holds directories. A directory's registrar says who is a partner and who controls it; a partner's controller
/// (or the registrar) adds its keys and revokes them. Every change of a key holds from the next block on at the earliest:
/// what was valid in a block that is mined stays so for ever, whoever asks and whenever. So a signature is judged by the
/// block that anchors it, not by a time its signer states.
///
/// A partner is the SHA-256 hash of its GLN (its 13 digits and nothing else) or of its DID (the text `did:…` without path,
/// query and fragment), in ASCII. Nothing else about a partner is kept; a name or an address has no place here.
///
/// The registrar is trusted with the future of its directory, for it may replace every controller; with the past it is not.
interface IPartnerRegistry {
    /// @notice Emitted once, when a directory begins, without partners.
    /// @param directory keccak256(abi.encode(registrar, nameHash))
    /// @param registrar Who called.
    /// @param nameHash SHA-256 of the directory's name.
    event DirectoryBegun(DirectoryId indexed directory, address indexed registrar, bytes32 nameHash);

    /// @notice Emitted when a registrar offers the directory to another account, or to none, which withdraws the offer.
    event RegistrarProposed(DirectoryId indexed directory, address indexed registrar, address indexed proposed);

    /// @notice Emitted when the account that was proposed has taken the directory over.
    event RegistrarChanged(DirectoryId indexed directory, address indexed previous, address indexed registrar);

    /// @notice Emitted once for each partner of a directory.
    event PartnerAdmitted(DirectoryId indexed directory, bytes32 indexed partner, address indexed controller);

    /// @notice Emitted when the registrar has put another account in control of a partner.
    event ControllerReplaced(
        DirectoryId indexed directory, bytes32 indexed partner, address previous, address indexed controller
    );

    /// @notice Emitted once for each key of a partner.
    /// @param keyId SHA-256 of the algorithm's byte and the public key.
    /// @param from First block in which the key is valid.
    /// @param until First block in which it is no longer; 2^64 - 1 if no end is planned.
    event KeyAdded(
        DirectoryId indexed directory,
        bytes32 indexed partner,
        bytes32 indexed keyId,
        uint8 algorithm,
        bytes publicKey,
        uint8 roles,
        uint64 from,
        uint64 until
    );

    /// @notice Emitted when a key's end has come nearer.
    /// @param until First block in which the key is no longer valid; if that is not after its first one, it never is.
    event KeyRevoked(DirectoryId indexed directory, bytes32 indexed partner, bytes32 indexed keyId, uint64 until);

    /// @notice The caller has begun a directory of this name before.
    error PartnerRegistryDirectoryExists(DirectoryId directory);

    /// @notice No such directory was begun.
    error PartnerRegistryUnknownDirectory(DirectoryId directory);

    /// @notice Only the directory's registrar may do this.
    error PartnerRegistryNotRegistrar(DirectoryId directory, address registrar, address caller);

    /// @notice Only the account that the registrar proposed may take the directory over.
    error PartnerRegistryNotProposed(DirectoryId directory, address proposed, address caller);

    /// @notice The partner is in the directory already.
    error PartnerRegistryPartnerExists(DirectoryId directory, bytes32 partner);

    /// @notice The directory has no such partner.
    error PartnerRegistryUnknownPartner(DirectoryId directory, bytes32 partner);

    /// @notice Somebody must control a partner: the controller may not be zero.
    error PartnerRegistryNoController(DirectoryId directory, bytes32 partner);

    /// @notice Only the partner's controller or the registrar may change its keys.
    error PartnerRegistryNotController(DirectoryId directory, bytes32 partner, address controller, address caller);

    /// @notice No public key of this algorithm: 1 (Ed25519) has 32 bytes, 2 (ES256K) 33 of which the first is 2 or 3.
    error PartnerRegistryMalformedKey(uint8 algorithm, bytes publicKey);

    /// @notice No set of roles: at least one of 1 (capture), 2 (receive) and 4 (witness), and no other bit.
    error PartnerRegistryNoRoles(uint8 roles);

    /// @notice The key would never be valid: its end is not after its beginning.
    error PartnerRegistryNeverValid(uint64 from, uint64 until);

    /// @notice The partner has, or had, this key. A key that was revoked does not come back.
    error PartnerRegistryKeyExists(DirectoryId directory, bytes32 partner, bytes32 keyId);

    /// @notice The partner never had this key.
    error PartnerRegistryUnknownKey(DirectoryId directory, bytes32 partner, bytes32 keyId);

    /// @notice A revocation brings a key's end nearer; the end is now `until`, which this would not.
    error PartnerRegistryNotShortened(bytes32 keyId, uint64 until, uint64 offered);

    /// @notice The block is not there yet, and what is valid in it can still change.
    error PartnerRegistryFutureBlock(uint64 atBlock, uint64 newest);

    /// @notice Begin a directory. The caller becomes its registrar.
    function begin(bytes32 nameHash) external returns (DirectoryId directory);

    /// @notice Offer a directory to another account, which becomes its registrar when it accepts; zero withdraws the offer.
    function proposeRegistrar(DirectoryId directory, address proposed) external;

    /// @notice Take over a directory that was offered to the caller.
    function acceptRegistrar(DirectoryId directory) external;

    /// @notice Let a partner into a directory. For the registrar.
    /// @param controller Who adds and revokes the partner's keys.
    function admit(DirectoryId directory, bytes32 partner, address controller) external;

    /// @notice Put another account in control of a partner, as when its controller's key is lost. For the registrar.
    function replaceController(DirectoryId directory, bytes32 partner, address controller) external;

    /// @notice Add a key of a partner. For its controller and the registrar.
    /// @dev That the key is a point of its curve, and that the caller holds its private half, is not seen here.
    /// @param algorithm 1 for Ed25519, 2 for ES256K (secp256k1, a compressed point).
    /// @param roles The sum of what it may sign: 1 capture, 2 receive, 4 witness.
    /// @param from First block in which it is valid; the next block if that is later.
    /// @param until First block in which it is no longer; 2^64 - 1 if no end is planned.
    function addKey(
        DirectoryId directory,
        bytes32 partner,
        uint8 algorithm,
        bytes calldata publicKey,
        uint8 roles,
        uint64 from,
        uint64 until
    ) external returns (bytes32 keyId);

    /// @notice End a key's validity, for ever. For the partner's controller and the registrar.
    /// @param from First block in which it is no longer valid; the next block if that is later.
    function revokeKey(DirectoryId directory, bytes32 partner, bytes32 keyId, uint64 from) external;

    /// @notice Whether a key may sign for a partner in a role, as of a block. An answer, once given, never changes.
    /// @dev An unknown partner or key is not valid.
    /// @param role One role, or several of which the key must have every one.
    /// @param atBlock A block that is there: not above the newest.
    function isValid(DirectoryId directory, bytes32 partner, bytes32 keyId, uint8 role, uint64 atBlock)
        external
        view
        returns (bool);

    /// @notice A key's window and roles; all zero if the partner never had it.
    function keyOf(DirectoryId directory, bytes32 partner, bytes32 keyId) external view returns (SigningKey memory);

    /// @notice Who adds and revokes a partner's keys.
    function controllerOf(DirectoryId directory, bytes32 partner) external view returns (address);

    /// @notice Who admits partners.
    function registrarOf(DirectoryId directory) external view returns (address);

    /// @notice Who may take the directory over; zero if nobody.
    function proposedRegistrar(DirectoryId directory) external view returns (address);
}
