//! Proofs in zero knowledge prove what plain ones prove.

use proptest::prelude::*;
use tacit_graph::synthetic_mlp;
use tacit_prove::{CommitError, CommittedModel, Hiding, ProveError, Seed, prove, prove_batch_zk, prove_zk};
use tacit_verify::{
    Bits, BudgetError, Row, RowSalt, SecurityBits, Statement, commitment::SetupError, security_report,
    verify, verify_batch, zero_knowledge::MAX_OPENINGS, zero_knowledge_report,
};

use crate::support::{Random, dense_model, random_rows, unit_rows};

fn hiding(openings_max: u32, openings_used: u32, seed: u8) -> Hiding {
    Hiding { openings_max, openings_used, seed: Seed::new([seed; 32]) }
}

fn check(widths: &[u32], table_bits: u32, rows: usize, openings: u32, seed: u64) {
    let mut random = Random(seed);
    let model = dense_model(widths, table_bits, &mut random);
    let inputs = random_rows(&model, rows, &mut random);
    let plain = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    let expected = prove(&plain, &inputs).unwrap().outputs;
    let committed =
        CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding(openings, 0, 1)).unwrap();
    let proved = prove_zk(&committed, &inputs, &Seed::new([2; 32])).unwrap();
    assert_eq!(proved.outputs, expected);
    let statement = Statement { inputs, outputs: proved.outputs };
    let verified = verify(committed.verifying_model(), &statement, &proved.proof).unwrap();
    assert!(verified.zero_knowledge());
    assert_eq!(verified.model(), committed.model_id());
    assert_eq!(verified.security_bits(), 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_are_proved(
        widths in proptest::collection::vec(1u32..20, 2..=5),
        table_bits in 3u32..11,
        rows in 1usize..=5,
        openings in 1u32..20,
        seed: u64,
    ) {
        check(&widths, table_bits, rows, openings, seed);
    }
}

#[test]
fn smallest_graphs_are_proved() {
    for widths in [&[1, 1][..], &[1, 1, 1], &[30, 1], &[1, 9], &[2, 1, 1, 1, 2]] {
        check(widths, 3, 2, 3, 11);
    }
}

#[test]
fn wide_layers_and_large_tables_are_proved() {
    check(&[300, 70, 33, 5], 13, 2, 8, 3);
    check(&[17, 130, 1], 8, 33, 4, 4);
}

#[test]
fn openings_are_counted_and_refused_when_spent() {
    let model = dense_model(&[3, 4, 2], 5, &mut Random(3));
    let inputs = random_rows(&model, 1, &mut Random(4));
    let committed = CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding(3, 1, 1)).unwrap();
    assert_eq!((committed.openings_left(), committed.openings_used()), (Some(2), Some(1)));
    let mut proofs = Vec::new();
    for left in [1, 0] {
        let proved = prove_zk(&committed, &inputs, &Seed::new([2; 32])).unwrap();
        assert_eq!(committed.openings_left(), Some(left));
        let statement = Statement { inputs: inputs.clone(), outputs: proved.outputs };
        assert!(verify(committed.verifying_model(), &statement, &proved.proof).unwrap().zero_knowledge());
        proofs.push(proved.proof);
    }
    // The same seed and statement, another opening: nothing is used twice.
    assert_ne!(proofs[0][50..], proofs[1][50..]);
    let refused = prove_zk(&committed, &inputs, &Seed::new([2; 32])).unwrap_err();
    assert_eq!(refused, ProveError::OpeningsSpent { openings: 3 });
    assert_eq!(committed.openings_left(), Some(0));
}

#[test]
fn committing_again_gives_another_root_and_all_openings() {
    let model = dense_model(&[3, 4, 2], 5, &mut Random(3));
    let commit = |openings, seed| {
        CommittedModel::commit_hiding(model.clone(), SecurityBits::DEFAULT, hiding(openings, 0, seed))
            .unwrap()
    };
    let one = commit(3, 1);
    assert_eq!(one.weight_root(), commit(3, 1).weight_root());
    assert_ne!(one.weight_root(), commit(3, 2).weight_root());
    assert_ne!(one.weight_root(), commit(4, 1).weight_root());
    let plain = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    assert_ne!(one.weight_root(), plain.weight_root());
    assert_eq!(plain.openings_left(), None);
}

#[test]
fn the_same_seed_gives_the_same_proof() {
    let model = dense_model(&[3, 4, 2], 5, &mut Random(3));
    let inputs = random_rows(&model, 1, &mut Random(4));
    let proof = |seed| {
        let committed =
            CommittedModel::commit_hiding(model.clone(), SecurityBits::DEFAULT, hiding(3, 0, 1)).unwrap();
        prove_zk(&committed, &inputs, &Seed::new([seed; 32])).unwrap().proof
    };
    assert_eq!(proof(2), proof(2));
    assert_ne!(proof(2), proof(3));
}

#[test]
fn commitments_for_no_openings_or_too_many_are_refused() {
    let model = dense_model(&[3, 4, 2], 5, &mut Random(3));
    for got in [0, MAX_OPENINGS + 1] {
        let refused = CommittedModel::commit_hiding(model.clone(), SecurityBits::DEFAULT, hiding(got, 0, 1))
            .unwrap_err();
        assert_eq!(refused, CommitError::Setup(SetupError::Openings { got }));
    }
    let refused = zero_knowledge_report(model.graph(), 1, 3, SecurityBits::new(150)).unwrap_err();
    assert!(matches!(refused, BudgetError::Setup(SetupError::NoParameters { bits: 150, .. })));
}

#[test]
fn the_budget_is_kept_from_the_smallest_to_large_models() {
    for widths in [&[1, 1][..], &[30, 1], &[784, 128, 10], &[1000, 1000, 1000, 10]] {
        let model = synthetic_mlp(widths, 1).unwrap();
        for (rows, openings) in [(1, 1), (64, 30), (1000, 100)] {
            for bits in [80, 100, 110] {
                let report =
                    zero_knowledge_report(model.graph(), rows, openings, SecurityBits::new(bits)).unwrap();
                assert!(report.total >= Bits::whole(bits), "{widths:?} {rows}: {report:?}");
            }
        }
    }
}

#[test]
fn each_kind_of_commitment_serves_its_kind_of_proof() {
    let model = dense_model(&[3, 4, 2], 5, &mut Random(3));
    let inputs = random_rows(&model, 1, &mut Random(4));
    let plain = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    let hidden = CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding(3, 0, 1)).unwrap();
    assert_eq!(prove_zk(&plain, &inputs, &Seed::new([2; 32])).unwrap_err(), ProveError::NotHiding);
    assert_eq!(prove(&hidden, &inputs).unwrap_err(), ProveError::Hiding);
}

#[test]
fn graphs_of_all_operators_are_proved() {
    use tacit_graph::random_model;
    let mut proved = 0;
    for seed in 0..40 {
        let model = random_model(seed).unwrap();
        if security_report(model.graph(), 1, SecurityBits::DEFAULT).is_err() {
            continue;
        }
        let rows = 1 + seed as usize % 3;
        let inputs = unit_rows(&model, rows, seed);
        let model = CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding(2, 0, 1)).unwrap();
        let alone = prove_zk(&model, &inputs, &Seed::new([2; 32])).unwrap();
        let statement = Statement { inputs: inputs.clone(), outputs: alone.outputs.clone() };
        assert!(verify(model.verifying_model(), &statement, &alone.proof).unwrap().zero_knowledge());
        let salts: Vec<RowSalt> = (0..rows).map(|row| RowSalt::new([row as u8 + 1; 32])).collect();
        let batch = prove_batch_zk(&model, &inputs, &salts, &Seed::new([3; 32])).unwrap();
        assert_eq!(batch.outputs, alone.outputs);
        let verified = verify_batch(model.verifying_model(), rows, &batch.proof).unwrap();
        for (index, salt) in salts.into_iter().enumerate() {
            let row = Row { input: &inputs[index], output: &batch.outputs[index], salt };
            assert!(verified.row(index, row).unwrap().zero_knowledge());
        }
        proved += 1;
    }
    assert!(proved > 20, "{proved}");
}
