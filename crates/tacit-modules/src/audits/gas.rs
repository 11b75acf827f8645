//! What work on traces is charged.
//!
//! Graphs cost what the `proofs` module charges for them ([`crate::proofs::gas`]), twice, since they are laid out as well as read. A hash of this
//! module is BLAKE3 and charged like one of Keccak of the same length. An element read is [`READ`]: it is found twice, once to say which
//! tiles are needed and once to be read from them.
//!
//! One gas stands for 10 ns of one core. Measured (EPYC with AVX2, others busy), 64 001 reads of one dense element take 1.8 ms in all, 2.8 gas each; views
//! over more axes, and tiles that are far apart, cost several times that, so the price is fourteen times. `cargo test -p tacit-ledger --test it audits
//! -- --nocapture` prints what convictions of the shipped models cost.

use crate::{host::keccak_gas, proofs};
use tacit_graph::{
    Graph,
    trace::{TILE_BYTES_MAX, reads},
};

/// Gas for reading a graph of `bytes` bytes and so many features, and for laying out its trace.
#[must_use]
pub fn graph(bytes: usize, features: u64) -> u64 {
    proofs::gas::reading(bytes).saturating_add(proofs::gas::decoding(features)).saturating_mul(2)
}

/// Gas for finding and reading what an element of a node is made of.
#[must_use]
pub fn element(graph: &Graph, node: u32) -> u64 {
    let node = usize::try_from(node).ok().and_then(|node| graph.nodes.get(node));
    READ.saturating_mul(node.map_or(0, reads))
}

/// Gas for so many hashes of leaves and nodes.
#[must_use]
pub fn hashes(count: u64) -> u64 {
    count.saturating_mul(keccak_gas(TILE_BYTES_MAX.saturating_add(8)))
}

/// Each element that is read.
pub const READ: u64 = 40;
/// Building the EIP-712 digest of a receipt: nine hashes over forty words in all.
pub const DIGEST: u64 = 9 * 30 + 6 * 40;
/// Building that of a verdict: seven hashes over twenty-six words in all.
pub const VERDICT: u64 = 7 * 30 + 6 * 26;
/// A probability, a dozen operations of 256 bits, and the draw, a hash of three words.
pub const SELECTION: u64 = 300;
