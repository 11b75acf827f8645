//! How much memory a proof takes, before it is begun.

use tacit_graph::Graph;
use tacit_verify::{SecurityBits, plan::Plan, security::BudgetError, zero_knowledge::HidingPlan};

/// Largest memory, in bytes, of a process that commits to the weights of `graph` and makes the proof that `plan` lays out; in
/// zero knowledge, against a commitment for so many `openings`.
///
/// An estimate from above: bytes per committed value and per look-up as measured on networks from 6 thousand to 15 million
/// weights (`examples/network.rs` under `/usr/bin/time`), rounded up.
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
    let (weights, per_weight, witness) = match openings {
        None => (plan.weights.vars, PLAIN_WEIGHT_BYTES, 0),
        Some(openings) => {
            let hiding = HidingPlan::new(graph, plan, openings, security)?;
            (hiding.weights.vars, HIDING_WEIGHT_BYTES, hiding.witness.map_or(0, |shape| shape.vars))
        }
    };
    Ok(BASE_BYTES + (per_weight << weights) + (LOOKUP_BYTES << lookups.max(witness)))
}

const BASE_BYTES: u64 = 16 << 20;
const PLAIN_WEIGHT_BYTES: u64 = 56;
const HIDING_WEIGHT_BYTES: u64 = 96;
const LOOKUP_BYTES: u64 = 144;
