//! What reading a policy is charged.
//!
//! Decoding, comparing and naming a policy each walk its hashes, which stand in order. The price is set like those of
//! [`proofs::gas`](crate::proofs::gas): no more than 10 ns of one core a gas, measured by
//!
//! ```text
//! cargo run --release -p tacit-modules --example policy_gas
//! ```
//!
//! On one core of a busy EPYC, optimised, least of 500 runs: 2.1 ns a gas for the shortest policy, 0.4 for the longest.

use crate::host::{keccak_gas, words};

/// Gas for reading a policy of so many bytes, naming it and comparing it with another.
#[must_use]
pub fn reading(bytes: usize) -> u64 {
    keccak_gas(bytes).saturating_add(WORD.saturating_mul(words(bytes)))
}

/// Each word that is read and compared.
pub const WORD: u64 = 60;
