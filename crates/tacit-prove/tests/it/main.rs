//! Proved output is executed output, for graphs of every small shape.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod batches;
mod operators;
#[path = "../support/mod.rs"]
mod support;
mod trees;
mod vectors;
mod zero_knowledge;

use proptest::prelude::*;
use support::{Random, dense_model, random_rows, unit_rows};
use tacit_graph::{Model, execute, random_model, reference, synthetic_mlp};
use tacit_prove::{CommittedModel, ProveError, prove};
use tacit_verify::{
    Bits, PlanError, SecurityBits, Statement, security::BudgetError, security_report, verify,
};

/// Proves a run of the model on these rows, compares the outputs with the executor and the reference, and verifies.
fn check(model: Model, inputs: Vec<Vec<i64>>) {
    let rows = inputs.len();
    let encoded: Vec<i16> = inputs.iter().flat_map(|row| model.graph().encode_input(row).unwrap()).collect();
    let executed = execute(&model, &encoded, rows).unwrap().logits();
    assert_eq!(executed, reference::execute(&model, &encoded, rows).unwrap().logits());
    let committed = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    let proved = prove(&committed, &inputs).unwrap();
    assert_eq!(proved.outputs.concat(), executed);
    let statement = Statement { inputs, outputs: proved.outputs };
    let verified = verify(committed.verifying_model(), &statement, &proved.proof).unwrap();
    assert_eq!(verified.model(), committed.model_id());
    assert_eq!(verified.security_bits(), 100);
}

fn check_dense(widths: &[u32], table_bits: u32, rows: usize, seed: u64) {
    let mut random = Random(seed);
    let model = dense_model(widths, table_bits, &mut random);
    let inputs = random_rows(&model, rows, &mut random);
    check(model, inputs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn dense_networks_are_proved(
        widths in proptest::collection::vec(1u32..20, 2..=5),
        table_bits in 3u32..11,
        rows in 1usize..=5,
        seed: u64,
    ) {
        check_dense(&widths, table_bits, rows, seed);
    }
}

/// Whether a random model is one that a proof covers: its tables and maxima may be too wide for one.
fn provable(seed: u64) -> Option<Model> {
    let model = random_model(seed).unwrap();
    match security_report(model.graph(), 1, SecurityBits::DEFAULT) {
        Ok(_) => Some(model),
        Err(BudgetError::Plan(PlanError::TableTooWide { .. } | PlanError::MaximumTooWide { .. })) => None,
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

#[test]
fn random_graphs_are_proved() {
    let count = std::env::var("TACIT_RANDOM_GRAPHS").map_or(200, |count| count.parse().unwrap());
    let mut proved = 0;
    let mut failed = Vec::new();
    for seed in 0..count {
        let Some(model) = provable(seed) else { continue };
        let inputs = unit_rows(&model, 1 + seed as usize % 5, seed);
        proved += 1;
        if std::panic::catch_unwind(|| check(model, inputs)).is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
    assert!(proved * 3 > count * 2, "only {proved} of {count} are provable");
}

#[test]
fn smallest_graphs_are_proved() {
    for widths in [&[1, 1][..], &[1, 1, 1], &[30, 1], &[1, 9], &[2, 1, 1, 1, 2]] {
        for rows in [1, 2, 3] {
            check_dense(widths, 3, rows, 11);
        }
    }
}

#[test]
fn wide_layers_and_large_tables_are_proved() {
    check_dense(&[300, 70, 33, 5], 13, 2, 3);
    check_dense(&[17, 130, 1], 8, 33, 4);
}

#[test]
fn the_same_model_has_the_same_root_and_proof() {
    let model = synthetic_mlp(&[20, 9, 4], 5).unwrap();
    let commit = || CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    let (one, two) = (commit(), commit());
    assert_eq!(one.weight_root(), two.weight_root());
    assert_eq!(one.model_id(), two.model_id());
    let inputs = vec![vec![3 << 24; 20]];
    assert_eq!(prove(&one, &inputs).unwrap(), prove(&two, &inputs).unwrap());
    let other = synthetic_mlp(&[20, 9, 4], 6).unwrap();
    let other = CommittedModel::commit(other, SecurityBits::DEFAULT).unwrap();
    assert_ne!(one.weight_root(), other.weight_root());
}

#[test]
fn the_budget_is_kept_from_the_smallest_to_large_models() {
    for widths in
        [&[1, 1][..], &[30, 1], &[64, 32, 10], &[784, 128, 10], &[1000, 1000, 1000, 10], &[3000, 2000, 10]]
    {
        let model = synthetic_mlp(widths, 1).unwrap();
        for rows in [1, 64, 1000] {
            let report = security_report(model.graph(), rows, SecurityBits::DEFAULT).unwrap();
            assert!(report.total >= Bits::whole(100), "{widths:?} {rows}: {report:?}");
            assert!(report.terms.iter().all(|term| term.bits >= report.total));
        }
    }
}

#[test]
fn an_unreachable_level_is_refused() {
    let model = synthetic_mlp(&[784, 128, 10], 1).unwrap();
    assert!(security_report(model.graph(), 1, SecurityBits::new(128)).is_err());
    assert!(CommittedModel::commit(model, SecurityBits::new(128)).is_err());
}

#[test]
fn what_cannot_be_proved_cannot_be_committed() {
    let model = dense_model(&[3, 2, 1], 5, &mut Random(3));
    let (mut graph, weights) = (model.graph().clone(), model.weights().clone());
    graph.tables[0] = tacit_graph::Table { bits: 16, values: vec![0; 1 << 16] };
    graph.nodes[1] =
        tacit_graph::Operator::Requantise { input: tacit_graph::TensorId(1), shift: 15, table: 0 };
    let model = tacit_graph::Model::new(graph, weights).unwrap();
    let refused = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap_err();
    assert_eq!(refused, tacit_prove::CommitError::Plan(PlanError::TableTooWide { node: 1, got: 31 }));
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let model = dense_model(&[3, 2], 5, &mut Random(3));
    let committed = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    assert!(matches!(prove(&committed, &[vec![0; 3], vec![0; 2]]), Err(ProveError::Input { row: 1, .. })));
    assert!(matches!(prove(&committed, &[]), Err(ProveError::Plan(PlanError::Rows { got: 0 }))));
}

#[test]
fn committed_models_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<CommittedModel>();
    shared::<tacit_verify::VerifyingModel>();
}
