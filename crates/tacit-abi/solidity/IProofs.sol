// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Verifier of proofs that a committed model, run on these inputs, gives those outputs, at
/// 0x7ac1700000000000000000000000000000000004.
///
/// Inputs are raw values in units of 2^-24, outputs are logits; both row by row, inputs.length / features rows.
interface IProofs {
    /// What a registered model is. `decoder`: 0 the label of the largest logit, 1 the second label when the one logit
    /// is above zero and else the first, 2 values. Logits are in units of 2^-fractionBits.
    struct Description {
        bytes32 weightRoot;
        uint32 graphBytes;
        uint32 features;
        uint32 outputs;
        uint8 decoder;
        int8 fractionBits;
        string[] labels;
    }

    event Stored(bytes32 indexed part, uint32 length);
    event Registered(bytes32 indexed modelId, bytes32 weightRoot, uint32 graphBytes);

    error PartLength(uint64 length, uint32 limit);
    error PartCount(uint64 count, uint32 limit);
    error UnknownPart(bytes32 part);
    error NotAGraph();
    error AlreadyRegistered(bytes32 modelId);
    error UnknownModel(bytes32 modelId);
    error InputCount(uint64 values, uint32 features);
    error OutputCount(uint64 values, uint64 expected);
    /// The proof is refused by the check of this name.
    error Rejected(string check);
    error NoLabels();

    /// Stores up to 24 575 bytes of a graph's encoding under their hash. Anyone may; storing again changes nothing.
    function store(bytes calldata part) external returns (bytes32 partId);
    /// Puts stored parts together to a graph and names the model BLAKE3(graph || weightRoot).
    function register(bytes32[] calldata parts, bytes32 weightRoot) external returns (bytes32 modelId);

    function isRegistered(bytes32 modelId) external view returns (bool);
    function describe(bytes32 modelId) external view returns (Description memory);
    /// The canonical encoding of a registered model's graph.
    function graph(bytes32 modelId) external view returns (bytes memory);
    /// Gas that checking a proof of this size is charged, calldata and storage not included.
    function verificationGas(bytes32 modelId, uint32 rows, uint32 proofBytes) external view returns (uint64);

    /// Returns the digest of (model, inputs, outputs), or reverts.
    function verify(bytes32 modelId, int64[] calldata inputs, int32[] calldata outputs, bytes calldata proof) external view returns (bytes32 statement);
    /// As `verify`, and returns the index of each row's label.
    function answer(bytes32 modelId, int64[] calldata inputs, int32[] calldata outputs, bytes calldata proof) external view returns (uint32[] memory labels);
}
