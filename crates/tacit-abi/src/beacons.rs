//! `beacons`: random values that nobody chooses.

use alloy_primitives::{Address, B256, address, keccak256};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac170000000000000000000000000000000000b");

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IBeacons.sol");

/// The beacon that a threshold signature over a block gives.
#[must_use]
pub fn of_signature(signature: &[u8; 48]) -> B256 {
    keccak256(signature)
}

/// The beacon of a block with this hash on a development ledger.
#[must_use]
pub fn of_development(block_hash: B256) -> B256 {
    keccak256([DEVELOPMENT, block_hash.as_slice()].concat())
}

const DEVELOPMENT: &[u8] = b"tacit 2026 development beacon v1";
