//! What work on graphs and proofs is charged.
//!
//! ```text
//! decoding = GRAPH + GRAPH_BYTE * graph bytes
//! planning = PLANNING_STEP * planning steps (features, and nodes times tables)
//! checking = PROOF + STATEMENT_VALUE * values + PRODUCT * products + CHALLENGE * challenges + PROOF_BYTE * proof bytes
//! ```
//!
//! Values, products and challenges are the upper bounds of [`tacit_verify::cost`], functions of graph and rows alone: a hostile
//! proof can be long, which it pays for by the byte, and cannot make anything else larger. Every level of security is
//! [`tacit_verify::SecurityBits::DEFAULT`], so its share is in the bytes.
//!
//! # Calibration
//! One gas stands for 10 ns of one core. The prices are set so that no measured shape takes more than 5 ns a gas, so machines
//! half as fast as the one measured on still keep up with the EVM's own prices. A change of the verifier or of a price runs
//!
//! ```text
//! cargo run --release -p tacit-modules --example proof_gas
//! ```
//!
//! which prints every step over shapes that stretch one counter each. On one core of an EPYC with AVX2 (others busy), least of 30
//! runs, `checking`:
//!
//! | network, rows | proof | time | gas | ns a gas |
//! |---|---|---|---|---|
//! | 30-16-1, 1 | 31 kB | 0.51 ms | 160 054 | 3.1 |
//! | 30-1, 4096 | 8 kB | 3.15 ms | 834 194 | 3.7 |
//! | 784-128-10, 1 | 91 kB | 1.08 ms | 420 494 | 2.5 |
//! | 784-128-10, 64 | 130 kB | 2.05 ms | 884 470 | 2.3 |
//! | 1024-1024-1024-10, 1 | 160 kB | 1.76 ms | 738 514 | 2.3 |
//!
//! Calldata is the larger part: a transaction pays 40 gas for each of its bytes that is not zero, or 16 and its execution, whichever
//! is more (EIP-7623), so 3.6 million for the third of these whatever the check costs. A block of 60 million gas
//! holds at most 0.3 s of checks, and a transaction of 16.7 million a proof of up to 400 kB.

use tacit_graph::Graph;
use tacit_verify::{VerificationCost, planning_steps};

/// Gas for decoding, validating and hashing a graph of `bytes` bytes.
#[must_use]
pub fn decoding(bytes: usize) -> u64 {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    GRAPH.saturating_add(GRAPH_BYTE.saturating_mul(bytes))
}

/// Gas for laying out what is proved.
#[must_use]
pub fn planning(graph: &Graph) -> u64 {
    PLANNING_STEP.saturating_mul(planning_steps(graph))
}

/// Gas for checking a proof.
#[must_use]
pub fn checking(cost: &VerificationCost) -> u64 {
    let terms = [
        (STATEMENT_VALUE, cost.statement_values),
        (PRODUCT, cost.products),
        (CHALLENGE, cost.challenges),
        (PROOF_BYTE, cost.proof_bytes),
    ];
    terms.into_iter().fold(PROOF, |gas, (price, count)| gas.saturating_add(price.saturating_mul(count)))
}

/// A graph of any size.
pub const GRAPH: u64 = 1_000;
/// Each byte of a graph.
pub const GRAPH_BYTE: u64 = 2;
/// Each step of [`planning_steps`].
pub const PLANNING_STEP: u64 = 5;
/// A proof of any size.
pub const PROOF: u64 = 20_000;
/// Each value of the statement.
pub const STATEMENT_VALUE: u64 = 4;
/// Each product.
pub const PRODUCT: u64 = 2;
/// Each challenge.
pub const CHALLENGE: u64 = 80;
/// Each byte of a proof.
pub const PROOF_BYTE: u64 = 4;
