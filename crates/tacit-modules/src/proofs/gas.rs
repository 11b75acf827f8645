//! What work on graphs and proofs is charged.
//!
//! ```text
//! reading  = GRAPH + GRAPH_BYTE * graph bytes
//! decoding = FEATURE * features
//! planning = PLANNING_STEP * planning steps
//! checking = PROOF + STATEMENT_VALUE * values + PRODUCT * products + CHALLENGE * challenges + PROOF_BYTE * proof bytes
//! hiding   = HIDING + (HIDING_FACTOR - 1) * checking       more, for a proof in zero knowledge
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
//! which prints every step over shapes that stretch one counter each. On one core of an EPYC with AVX2 (others busy), least of 15
//! runs, `checking`:
//!
//! | network, rows | proof | time | gas | ns a gas |
//! |---|---|---|---|---|
//! | 30-16-1, 1 | 32 kB | 0.53 ms | 162 534 | 3.2 |
//! | 30-1, 4096 | 8 kB | 3.82 ms | 1 089 854 | 3.5 |
//! | 784-128-10, 1 | 90 kB | 1.13 ms | 425 696 | 2.6 |
//! | 784-128-10, 64 | 130 kB | 2.21 ms | 994 934 | 2.2 |
//! | 1024-1024-1024-10, 1 | 157 kB | 1.90 ms | 750 914 | 2.5 |
//! | LeNet-5, 1 | 134 kB | 1.68 ms | 630 986 | 2.6 |
//! | ResNet-8, 1 | 169 kB | 2.20 ms | 842 184 | 2.6 |
//!
//! A proof in zero knowledge is checked as often as the plain one would be to count its masks, once more over masked values, and has
//! openings of its own: 4 to 7 ms more, measured on networks from 784-128-10 to ResNet-8 (`network --openings 64` of `tacit-prove`),
//! which the flat part and the factor cover threefold.
//!
//! Worst of reading and decoding is a chain of 4000 tiny nodes (96 kB, 4.1 ms), whose planning (69 ms) costs more than a transaction
//! has.
//!
//! Calldata is the larger part: a transaction pays 40 gas for each of its bytes that is not zero, or 16 and its execution, whichever
//! is more (EIP-7623), so 3.6 million for the third of these whatever the check costs. A block of 60 million gas
//! holds at most 0.3 s of checks, and a transaction of 16.7 million a proof of up to 400 kB.

use tacit_graph::Graph;
use tacit_verify::{VerificationCost, planning_steps};

/// Gas for reading how many features a graph of `bytes` bytes has, and then for everything else that its length bounds.
#[must_use]
pub fn reading(bytes: usize) -> u64 {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    GRAPH.saturating_add(GRAPH_BYTE.saturating_mul(bytes))
}

/// Gas for decoding, validating and hashing a graph of `features` features, which runs make cheap to write.
#[must_use]
pub fn decoding(features: u64) -> u64 {
    FEATURE.saturating_mul(features)
}

/// Gas for laying out what is proved, twice: to count the work and to do it.
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

/// What checking a proof in zero knowledge costs on top.
#[must_use]
pub fn hiding(cost: &VerificationCost) -> u64 {
    HIDING.saturating_add(checking(cost).saturating_mul(HIDING_FACTOR.saturating_sub(1)))
}

/// A proof in zero knowledge of any size.
pub const HIDING: u64 = 1_500_000;
/// How many plain checks one in zero knowledge counts for.
pub const HIDING_FACTOR: u64 = 4;
/// A graph of any size.
pub const GRAPH: u64 = 1_000;
/// Each byte of a graph.
pub const GRAPH_BYTE: u64 = 10;
/// Each feature of a graph.
pub const FEATURE: u64 = 20;
/// Each step of [`planning_steps`], which counts one lay-out.
pub const PLANNING_STEP: u64 = 4;
/// A proof of any size.
pub const PROOF: u64 = 20_000;
/// Each value of the statement.
pub const STATEMENT_VALUE: u64 = 6;
/// Each product.
pub const PRODUCT: u64 = 2;
/// Each challenge.
pub const CHALLENGE: u64 = 80;
/// Each byte of a proof.
pub const PROOF_BYTE: u64 = 4;
