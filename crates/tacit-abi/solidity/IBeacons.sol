// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Random values that nobody chooses and nobody knows beforehand, at 0x7ac170000000000000000000000000000000000b.
///
/// Where validators keep the ledger, the beacon of a block is the hash of their threshold signature over it: one key, one possible signature, which nobody has before more than
/// two thirds of them have signed, and they sign what is final. On a development ledger it is made of the block's hash, and whoever runs that ledger chooses it.
interface IBeacons {
    event Posted(uint64 indexed number, bytes32 beacon);

    error AlreadyPosted(uint64 number);
    /// A threshold signature has 48 bytes; on a development ledger there is none.
    error SignatureLength(uint32 expected);
    /// The validators did not sign that block `number` has this hash.
    error NotCertified(uint64 number);
    /// On a development ledger: not one of the last 256 blocks.
    error UnknownBlock(uint64 number);
    /// On a development ledger: the block has another hash.
    error WrongHash(bytes32 expected);

    /// Keeps the beacon of a final block, once and for ever. Anyone may.
    function post(uint64 number, bytes32 blockHash, bytes calldata signature) external returns (bytes32 beacon);
    /// Zero while it is not posted.
    function beaconOf(uint64 number) external view returns (bytes32 beacon);
}
