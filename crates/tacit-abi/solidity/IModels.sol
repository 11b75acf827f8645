// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Registry of models, at 0x7ac1700000000000000000000000000000000001.
interface IModels {
    /// A published model. `weightRoot` is the commitment to the weights; the id is
    /// BLAKE3(graph encoding || weightRoot), which readers check against the graph a worker serves.
    struct Model {
        bytes32 modelId;
        address owner;
        bytes32 weightRoot;
        uint64 block;
        string name;
    }

    event Published(bytes32 indexed modelId, address indexed owner, bytes32 weightRoot, string name);
    event OwnerChanged(bytes32 indexed modelId, address indexed previous, address indexed next);

    error AlreadyPublished(bytes32 modelId);
    error NameTaken(string name);
    error BadName(string name);
    error UnknownModel(bytes32 modelId);
    error NotOwner(address caller);
    error ZeroOwner();
    error ZeroModel();
    error NoSuchIndex(uint64 index);

    /// Names are 1 to 32 of `a-z 0-9 - . _`, first come, first served.
    function publish(bytes32 modelId, bytes32 weightRoot, string calldata name) external;
    function transferOwnership(bytes32 modelId, address next) external;

    function count() external view returns (uint64);
    function modelAt(uint64 index) external view returns (Model memory);
    function model(bytes32 modelId) external view returns (Model memory);
    /// The id published under a name; reverts with UnknownModel(0) when none is.
    function byName(string calldata name) external view returns (bytes32 modelId);
}
