//! The counters that a ledger charges by are not below what the verifier does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use p3_field::PrimeCharacteristicRing;
use tacit_graph::{Graph, SyntheticNetwork, random_model, synthetic_mlp, synthetic_network};
use tacit_verify::{
    PlanError, Reject, VerificationCost,
    context::Context,
    field::{Ef, Fp},
    plan::{MAX_ROWS, Plan},
    planning_steps,
    protocol::{self, Public, Rows},
    verification_cost,
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

    fn receive_public(&mut self) -> Result<Ef, Reject> {
        self.receive()
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

fn check(name: &str, graph: &Graph, rows: usize) {
    let Ok(plan) = Plan::new(graph, rows) else { return };
    let cost = verification_cost(graph, rows, 0).unwrap();
    let inputs = vec![graph.encode_input(&vec![0; graph.features.len()]).unwrap(); rows];
    let outputs = vec![vec![0; graph.validate().unwrap().outputs()]; rows];
    let public = Public { graph, plan: &plan, rows: Rows::Public { inputs: &inputs, outputs: &outputs } };
    let mut context = Gullible::default();
    let _openings = protocol::verify(public, &mut context).unwrap();
    let drawn = context.challenges;
    assert!(drawn <= cost.challenges, "{name}, {rows} rows: {drawn} challenges, {cost:?}");
    assert!(cost.challenges <= drawn * 2 + 20, "{name}, {rows} rows: {drawn} challenges, {cost:?}");
    // Each value received takes part in one product at least.
    assert!(
        context.received <= cost.products,
        "{name}, {rows} rows: {} received, {cost:?}",
        context.received
    );
}

#[test]
fn the_counters_cover_the_longest_way_through_the_protocol() {
    for widths in [&[1, 1][..], &[30, 1], &[4, 3, 2], &[20, 9, 7, 5, 3], &[300, 70, 2]] {
        for rows in [1, 3, 64] {
            check("mlp", synthetic_mlp(widths, 1).unwrap().graph(), rows);
        }
    }
    for network in SyntheticNetwork::ALL {
        let Ok(model) = synthetic_network(network, 1) else { continue };
        check(network.name(), model.graph(), 1);
    }
    for seed in 0..200 {
        let Ok(model) = random_model(seed) else { continue };
        for rows in [1, 5] {
            check("random", model.graph(), rows);
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
