//! How much memory a proof takes, before it is begun.

use tacit_graph::Graph;
use tacit_verify::{
    SecurityBits, hiding_shape::HidingShape, oracle::OracleShape, plan::Plan, security::BudgetError,
    zero_knowledge::HidingPlan,
};

/// Largest memory, in bytes, of a process that commits to the weights of `graph` and makes the proof that `plan` lays out; in
/// zero knowledge, against a commitment for so many `openings`.
///
/// From above: what is held at once of codewords, trees and folded polynomials follows from their shapes, bytes per
/// value of a plain commitment and per look-up are as measured on networks from 2 thousand to 15 million weights, rounded up
/// (`examples/network.rs` prints what it states beside what it takes).
///
/// # Errors
/// Refuses what cannot be proved.
pub fn peak_bytes(
    graph: &Graph,
    plan: Plan,
    openings: Option<u32>,
    security: SecurityBits,
) -> Result<u64, BudgetError> {
    let lookups = plan.leaf_vars.max(plan.witness_vars).unwrap_or(0);
    let bytes = match openings {
        None => (PLAIN_WEIGHT_BYTES << plan.weights.vars) + (PLAIN_LOOKUP_BYTES << lookups),
        Some(openings) => {
            let hiding = HidingPlan::new(graph, plan, openings, security)?;
            // The model itself, as small integers, before and after it is committed to.
            let model = 2 << hiding.weights.vars;
            let witness = hiding.witness.as_ref().map_or(0, opened_bytes);
            let committed = opened_bytes(&hiding.weights) + witness + 2 * oracle_bytes(hiding.inner.oracle());
            model + committed + (HIDING_LOOKUP_BYTES << lookups)
        }
    };
    Ok(BASE_BYTES + bytes)
}

/// A polynomial behind a hiding commitment while it is opened.
fn opened_bytes(shape: &HidingShape) -> u64 {
    let oracles: u64 = (0..shape.rounds.len()).map(|round| oracle_bytes(shape.oracle(round))).sum();
    let fold = shape.rounds.first().map_or(0, |round| round.fold);
    // The values twice, since they become the codeword; then two folded polynomials, each beside its half.
    ((2 * VALUE_BYTES) << shape.vars) + oracles + ((4 * EXTENSION_BYTES) << shape.vars.saturating_sub(fold))
}

/// A codeword and its tree.
fn oracle_bytes(shape: OracleShape) -> u64 {
    (VALUE_BYTES * shape.width as u64 + 2 * DIGEST_BYTES) << shape.log_height
}

const BASE_BYTES: u64 = 16 << 20;
const PLAIN_WEIGHT_BYTES: u64 = 72;
/// The commitment to the witness included.
const PLAIN_LOOKUP_BYTES: u64 = 88;
const HIDING_LOOKUP_BYTES: u64 = 32;
const VALUE_BYTES: u64 = 4;
const EXTENSION_BYTES: u64 = 20;
const DIGEST_BYTES: u64 = 32;
