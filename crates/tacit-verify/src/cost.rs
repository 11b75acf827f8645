//! What checking one proof takes, counted from public sizes before any of it is done.
//!
//! A ledger that verifies proofs inside transactions charges for the work first, and a hostile proof must not cost
//! more than it paid for. Every loop of the verifier is bounded by the graph, the number of rows or the bytes of the
//! proof; [`verification_cost`] adds those bounds up in four counters, and whoever charges gives each counter a price.
//! The counters are upper bounds: a proof that fails early has done less.
//!
//! Two steps, since laying out a proof is work too: [`planning_steps`] is read off the graph, [`verification_cost`] off
//! the plan.

use tacit_graph::Graph;

use crate::plan::{LeafKind, MAX_RANGE_BITS, Plan, PlanError, TableKind};

/// Upper bounds on the work of [`crate::verify`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerificationCost {
    /// Inputs and outputs: each is range-checked or encoded, and hashed.
    pub statement_values: u64,
    /// Products in the extension field outside the openings, products with small integers counted like them.
    pub products: u64,
    /// Challenges drawn outside the openings.
    pub challenges: u64,
    /// Bytes of the proof: each is parsed and hashed at most a few times, and the openings do work in proportion.
    pub proof_bytes: u64,
}

/// Steps of laying out a proof for `graph`: a few for each combination of node and table.
#[must_use]
pub fn planning_steps(graph: &Graph) -> u64 {
    let tables = graph.tables.len().saturating_add(MAX_RANGE_BITS);
    count(graph.nodes.len()).saturating_mul(count(tables)).saturating_add(count(graph.features.len()))
}

/// The work of checking a proof of `proof_bytes` bytes that `graph` was run on `rows` rows.
///
/// # Errors
/// Refuses what cannot be proved.
pub fn verification_cost(
    graph: &Graph,
    rows: usize,
    proof_bytes: usize,
) -> Result<VerificationCost, PlanError> {
    let plan = Plan::new(graph, rows)?;
    let mut cost = VerificationCost { proof_bytes: count(proof_bytes), ..VerificationCost::default() };
    let padded_rows = power(plan.log_rows);

    let outputs = plan.weights.layers.last().map_or(0, |layer| layer.outputs);
    let width = count(graph.features.len()).saturating_add(count(outputs));
    cost.statement_values = count(rows).saturating_mul(width);

    // Claims about the outputs and, for each layer that reads them, about the inputs.
    let evaluation = |values: usize, vars: usize| {
        count(rows).saturating_mul(count(values)).saturating_add(power(vars)).saturating_add(padded_rows)
    };
    let last = plan.weights.layers.last().map_or(0, |layer| layer.log_outputs);
    cost.products(evaluation(outputs, last));
    cost.challenges(plan.log_rows.saturating_add(last));
    for layer in &plan.weights.layers {
        if layer.input == 0 {
            cost.products(evaluation(layer.inputs, layer.log_inputs));
        }
        cost.rounds(layer.log_inputs);
        // `eq` on the rows of the stack and on those of the layer, and their product.
        let vars = plan.weights.vars.saturating_add(layer.log_inputs).saturating_add(layer.log_outputs);
        cost.products(count(layer.inputs).saturating_mul(8).saturating_add(count(vars).saturating_mul(4)));
    }
    cost.rounds(plan.weights.vars);

    if let Some(vars) = plan.leaf_vars {
        // Layer `k` of the tree has `k` rounds.
        for layer in 1..=vars {
            cost.rounds(layer.saturating_add(2));
        }
        for block in &plan.leaves {
            cost.products(count(vars).saturating_add(4));
            let activation = plan
                .tables
                .get(block.table)
                .is_some_and(|table| matches!(table.kind, TableKind::Activation(_)));
            if activation && block.kind == LeafKind::Rows {
                cost.products(power(block.vars));
            }
        }
    }
    if let Some(vars) = plan.witness_vars {
        cost.rounds(vars);
        // Every column is claimed by the look-ups, and an image again by each layer that reads it.
        let claims = plan.columns.len().saturating_add(plan.weights.layers.len());
        cost.products(count(claims).saturating_mul(count(vars)).saturating_mul(3));
    }
    Ok(cost)
}

impl VerificationCost {
    fn products(&mut self, more: u64) {
        self.products = self.products.saturating_add(more);
    }

    fn challenges(&mut self, more: usize) {
        self.challenges = self.challenges.saturating_add(count(more));
    }

    /// Rounds of a sumcheck: a challenge each, and the evaluation of a polynomial of low degree.
    fn rounds(&mut self, rounds: usize) {
        self.challenges(rounds);
        self.products(count(rounds).saturating_mul(8));
    }
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn power(exponent: usize) -> u64 {
    u32::try_from(exponent).ok().and_then(|exponent| 1u64.checked_shl(exponent)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing;
    use tacit_graph::synthetic_mlp;

    use super::*;
    use crate::{
        context::Context,
        field::{Ef, Fp},
        plan::MAX_ROWS,
        protocol::{self, Public},
        reject::Reject,
    };

    /// A prover that is believed everything, so that the verifier goes all the way.
    #[derive(Default)]
    struct Gullible {
        received: u64,
        challenges: u64,
    }

    impl Context for Gullible {
        type Value = Ef;

        fn receive(&mut self) -> Result<Ef, Reject> {
            self.received += 1;
            Ok(Ef::ONE)
        }

        fn challenge(&mut self) -> Ef {
            self.challenges += 1;
            Ef::new(core::array::from_fn(|i| Fp::from_u64(self.challenges * 7 + i as u64).exp_u64(5)))
        }

        fn multiply(&mut self, a: &Ef, b: &Ef) -> Ef {
            *a * *b
        }

        fn assert_zero(&mut self, _: &Ef, _: Reject) -> Result<(), Reject> {
            Ok(())
        }
    }

    #[test]
    fn the_counters_cover_the_longest_way_through_the_protocol() {
        for widths in [&[1, 1][..], &[30, 1], &[4, 3, 2], &[20, 9, 7, 5, 3], &[300, 70, 2]] {
            for rows in [1, 3, 64] {
                let model = synthetic_mlp(widths, 1).unwrap();
                let graph = model.graph();
                let cost = verification_cost(graph, rows, 0).unwrap();
                let plan = Plan::new(graph, rows).unwrap();
                let inputs = vec![graph.encode_input(&vec![0; widths[0] as usize]).unwrap(); rows];
                let outputs = vec![vec![0; *widths.last().unwrap() as usize]; rows];
                let public = Public { graph, plan: &plan, inputs: &inputs, outputs: &outputs };
                let mut context = Gullible::default();
                let _openings = protocol::verify(public, &mut context).unwrap();
                assert!(context.challenges <= cost.challenges, "{widths:?} {rows}: {}", context.challenges);
                assert!(cost.challenges <= context.challenges * 2 + 20, "{widths:?} {rows}: {cost:?}");
                // Each value received is one product at least.
                assert!(context.received <= cost.products);
            }
        }
    }

    #[test]
    fn more_rows_and_more_bytes_cost_more() {
        let model = synthetic_mlp(&[20, 9, 4], 1).unwrap();
        let cost = |rows, bytes| verification_cost(model.graph(), rows, bytes).unwrap();
        let mut before = cost(1, 0);
        for rows in 2..40 {
            let next = cost(rows, 0);
            assert!(next.statement_values > before.statement_values);
            assert!(next.products >= before.products && next.challenges >= before.challenges);
            before = next;
        }
        assert_eq!(cost(3, usize::MAX).proof_bytes, u64::MAX);
        assert_eq!(VerificationCost { proof_bytes: 0, ..cost(3, 5) }, cost(3, 0));
    }

    #[test]
    fn what_cannot_be_proved_has_no_cost() {
        let model = synthetic_mlp(&[4, 3, 2], 1).unwrap();
        for got in [0, MAX_ROWS + 1, usize::MAX] {
            assert_eq!(verification_cost(model.graph(), got, 1), Err(PlanError::Rows { got }));
        }
        assert!(planning_steps(model.graph()) > 0);
    }
}
