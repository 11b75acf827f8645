// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Anchors of receipt batches, at 0x7ac1700000000000000000000000000000000003.
interface IReceipts {
    struct Anchor {
        address worker;
        uint64 block;
        uint32 count;
    }

    event Anchored(bytes32 indexed root, address indexed worker, uint32 count);

    error AlreadyAnchored(bytes32 root);
    error EmptyBatch();
    error UnknownRoot(bytes32 root);
    error ProofTooLong();

    /// Anchors a Merkle root over `count` receipt leaves.
    function anchor(bytes32 root, uint32 count) external;
    function anchorOf(bytes32 root) external view returns (Anchor memory);
    /// Whether `leaf` is in the anchored batch `root`: sorted-pair keccak Merkle proof, at most 32 siblings.
    function included(bytes32 root, bytes32 leaf, bytes32[] calldata proof) external view returns (bool);
}
