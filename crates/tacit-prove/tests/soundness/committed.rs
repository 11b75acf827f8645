//! Attacks on proofs about committed rows.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::synthetic_mlp;
use tacit_prove::{CommittedModel, Run, prove_run};
use tacit_verify::{
    Reject, Row, RowSalt, SecurityBits,
    field::{Fp, embed},
    plan::TensorKind,
    verify_batch,
};

use crate::{message_bytes, reason, signed};

fn salt(row: u8) -> RowSalt {
    RowSalt::new([row; 32])
}

fn honest() -> (CommittedModel, Run) {
    let model = CommittedModel::commit(synthetic_mlp(&[5, 4, 3], 3).unwrap(), SecurityBits::DEFAULT).unwrap();
    let inputs: Vec<Vec<i64>> =
        (0..3).map(|row| (0..5).map(|i| (row * 40 + i * 9) << 24).collect()).collect();
    let run = Run::committed(&model, &inputs, &[salt(1), salt(2), salt(3)]).unwrap();
    (model, run)
}

/// Checks the proof and then row `index` as the run has it.
fn checked(model: &CommittedModel, run: &Run, index: usize) -> Result<(), Reject> {
    let proof = prove_run(model, run).unwrap();
    let batch = verify_batch(model.verifying_model(), 3, &proof)?;
    let Run { statement, .. } = run;
    let row = Row {
        input: &statement.inputs[index],
        output: &statement.outputs[index],
        salt: salt(index as u8 + 1),
    };
    batch.row(index, row).map(|_| ())
}

#[test]
fn the_honest_batch_is_accepted() {
    let (model, run) = honest();
    for row in 0..3 {
        assert_eq!(checked(&model, &run, row), Ok(()));
    }
}

#[test]
fn an_altered_output_is_refused() {
    let (model, mut run) = honest();
    // The prover publishes fingerprints of outputs that the network did not make.
    run.output[0] += Fp::ONE;
    run.statement.outputs[0][0] = signed(run.output[0]);
    assert_eq!(checked(&model, &run, 0), Err(Reject::Product { node: 2 }));
}

#[test]
fn an_altered_input_is_refused() {
    let (model, mut run) = honest();
    let TensorKind::Column(column) = run.plan.tensors[0].kind else { panic!("rows are committed") };
    let value = &mut run.witness.columns[column][0];
    *value += Fp::ONE;
    run.statement.inputs[0][0] = i64::from(signed(*value)) << 24;
    assert_eq!(checked(&model, &run, 0), Err(Reject::Product { node: 0 }));
}

#[test]
fn a_salt_chosen_after_the_answer_is_refused() {
    // The fingerprint of a false answer can be made to fit by another salt element, but the element is not the one
    // that the published digest stands for.
    let (model, run) = honest();
    let proof = prove_run(&model, &run).unwrap();
    let batch = verify_batch(model.verifying_model(), 3, &proof).unwrap();
    let mut output = run.statement.outputs[0].clone();
    output[0] += 1;
    let input = &run.statement.inputs[0];
    for byte in 4..100 {
        let row = Row { input, output: &output, salt: salt(byte) };
        assert_eq!(batch.row(0, row), Err(Reject::Salt { row: 0 }));
    }
}

#[test]
fn a_committed_salt_other_than_the_published_one_is_refused() {
    let (model, mut run) = honest();
    let column = run.plan.salts[2];
    run.witness.columns[column][0] += Fp::ONE;
    assert_eq!(checked(&model, &run, 0), Err(Reject::Fingerprint { row: 0 }));
    // The others are not touched.
    assert_eq!(checked(&model, &run, 1), Ok(()));
}

#[test]
fn another_digest_of_a_salt_is_refused() {
    let (model, run) = honest();
    let mut proof = prove_run(&model, &run).unwrap();
    // Swapping digests changes every challenge.
    proof[3..3 + 64].rotate_left(32);
    assert!(verify_batch(model.verifying_model(), 3, &proof).is_err());
}

#[test]
fn a_padding_row_of_its_own_is_refused() {
    // Three rows are padded to four; the fourth repeats the third, in the input as in the salts.
    let (model, mut run) = honest();
    let column = run.plan.salts[0];
    run.witness.columns[column][3] += embed(7);
    assert!(checked(&model, &run, 0).is_err());
}

#[test]
fn every_message_is_checked() {
    let (model, run) = honest();
    let honest = prove_run(&model, &run).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for at in (3 + 96 + 32..message_bytes(&model, &run)).step_by(20) {
        let mut proof = honest.clone();
        proof[at] ^= 1;
        seen.insert(reason(&verify_batch(model.verifying_model(), 3, &proof).unwrap_err()));
    }
    assert!(seen.contains("Product") && seen.contains("WitnessBatch"), "{seen:?}");
}
