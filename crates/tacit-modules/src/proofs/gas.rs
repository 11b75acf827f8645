//! What work on graphs and proofs is charged.

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
