//! Strangers' rows in one proof.

use tacit_graph::{SyntheticNetwork, synthetic_mlp, synthetic_network};
use tacit_prove::{CommittedModel, ProveError, prove, prove_batch};
use tacit_verify::{Reject, Row, RowSalt, SecurityBits, Statement, verify, verify_batch};

fn salts(rows: usize) -> Vec<RowSalt> {
    (0..rows).map(|row| RowSalt::new(core::array::from_fn(|i| (row * 97 + i * 31 + 7) as u8))).collect()
}

fn rows(features: usize, rows: usize) -> Vec<Vec<i64>> {
    (0..rows).map(|row| (0..features).map(|i| (((row * 31 + i * 7) % 128) as i64) << 24).collect()).collect()
}

#[test]
fn rows_longer_than_the_look_up_tree_are_proved() {
    // The column of committed rows was claimed at a suffix of the tree's point, although nothing looks it up: with more
    // inputs than look-ups there is no such suffix, and the prover panicked.
    let model = synthetic_mlp(&[300, 2, 3], 5).unwrap();
    let graph = model.graph().clone();
    let model = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    let (inputs, salts) = (rows(300, 64), salts(64));
    let plan = tacit_verify::plan::Plan::committed(&graph, 64).unwrap();
    assert!(plan.columns[0].vars > plan.leaf_vars.unwrap());
    let proved = prove_batch(&model, &inputs, &salts).unwrap();
    let batch = verify_batch(model.verifying_model(), 64, &proved.proof).unwrap();
    let row = Row { input: &inputs[63], output: &proved.outputs[63], salt: salts[63] };
    assert_eq!(batch.row(63, row).unwrap().model(), model.model_id());
    let other = Row { input: &inputs[62], ..row };
    assert_eq!(batch.row(63, other), Err(Reject::Fingerprint { row: 63 }));
}

#[test]
fn every_row_of_a_batch_is_checked_alone() {
    let models = [
        synthetic_mlp(&[20, 9, 4], 5).unwrap(),
        synthetic_mlp(&[3, 2], 5).unwrap(),
        synthetic_network(SyntheticNetwork::LeNet5Max, 5).unwrap(),
    ];
    for model in models {
        let features = model.graph().features.len();
        let model = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
        for count in [1, 3, 4] {
            let (inputs, salts) = (rows(features, count), salts(count));
            let proved = prove_batch(&model, &inputs, &salts).unwrap();
            let plain = prove(&model, &inputs).unwrap();
            assert_eq!(proved.outputs, plain.outputs);
            let batch = verify_batch(model.verifying_model(), count, &proved.proof).unwrap();
            assert_eq!(batch.rows(), count);
            let row = |index: usize| Row {
                input: &inputs[index],
                output: &proved.outputs[index],
                salt: salts[index],
            };
            for (index, salt) in salts.iter().copied().enumerate() {
                assert_eq!(batch.row(index, row(index)).unwrap().model(), model.model_id());
                if count > 1 {
                    let other = (index + 1) % count;
                    assert_eq!(batch.row(index, row(other)), Err(Reject::Salt { row: index }));
                    let salted = Row { salt, ..row(other) };
                    assert_eq!(batch.row(index, salted), Err(Reject::Fingerprint { row: index }));
                }
            }
            let mut output = proved.outputs[0].clone();
            output[0] ^= 1;
            let altered = Row { output: &output, ..row(0) };
            assert_eq!(batch.row(0, altered), Err(Reject::Fingerprint { row: 0 }));
            let mut input = inputs[0].clone();
            input[1] ^= 1 << 24;
            assert_eq!(batch.row(0, Row { input: &input, ..row(0) }), Err(Reject::Fingerprint { row: 0 }));
            let salted = Row { salt: RowSalt::new([9; 32]), ..row(0) };
            assert_eq!(batch.row(0, salted), Err(Reject::Salt { row: 0 }));
            assert_eq!(batch.row(count, row(0)), Err(Reject::Salt { row: count }));
        }
    }
}

#[test]
fn rows_that_cannot_be_are_refused() {
    let model = CommittedModel::commit(synthetic_mlp(&[3, 2], 5).unwrap(), SecurityBits::DEFAULT).unwrap();
    let (inputs, salts) = (rows(3, 1), salts(1));
    let proved = prove_batch(&model, &inputs, &salts).unwrap();
    let batch = verify_batch(model.verifying_model(), 1, &proved.proof).unwrap();
    let honest = Row { input: &inputs[0], output: &proved.outputs[0], salt: salts[0] };
    let short = Row { output: &[], ..honest };
    assert_eq!(batch.row(0, short), Err(Reject::OutputLength { row: 0, expected: 2, got: 0 }));
    let short = Row { input: &[1], ..honest };
    assert_eq!(batch.row(0, short), Err(Reject::InputLength { row: 0, expected: 3, got: 1 }));
    let wide = Row { output: &[i32::MAX, 0], ..honest };
    assert_eq!(batch.row(0, wide), Err(Reject::OutputRange { row: 0, got: i32::MAX }));
    assert_eq!(prove_batch(&model, &inputs, &[]), Err(ProveError::Salts { expected: 1, got: 0 }));
}

#[test]
fn a_proof_is_of_one_kind() {
    let model = CommittedModel::commit(synthetic_mlp(&[3, 2], 5).unwrap(), SecurityBits::DEFAULT).unwrap();
    let (inputs, salts) = (rows(3, 2), salts(2));
    let batch = prove_batch(&model, &inputs, &salts).unwrap();
    let plain = prove(&model, &inputs).unwrap();
    let verifying = model.verifying_model();
    let statement = Statement { inputs, outputs: plain.outputs };
    assert_eq!(verify(verifying, &statement, &batch.proof), Err(Reject::Kind { committed: true }));
    assert_eq!(verify_batch(verifying, 2, &plain.proof).unwrap_err(), Reject::Kind { committed: false });
    // The number of rows is part of what is proved.
    assert!(verify_batch(verifying, 1, &batch.proof).is_err());
    assert!(verify_batch(verifying, 3, &batch.proof).is_err());
    let mut unknown = batch.proof;
    unknown[2] = 7;
    assert_eq!(verify_batch(verifying, 2, &unknown).unwrap_err(), Reject::UnknownKind { got: 7 });
}

#[test]
fn a_row_says_what_was_asked() {
    let model = CommittedModel::commit(synthetic_mlp(&[3, 2], 5).unwrap(), SecurityBits::DEFAULT).unwrap();
    let (inputs, salts) = (rows(3, 2), salts(2));
    let proved = prove_batch(&model, &inputs, &salts).unwrap();
    let batch = verify_batch(model.verifying_model(), 2, &proved.proof).unwrap();
    let row =
        |index: usize| Row { input: &inputs[index], output: &proved.outputs[index], salt: salts[index] };
    let (one, two) = (batch.row(0, row(0)).unwrap(), batch.row(1, row(1)).unwrap());
    assert_ne!(one.statement_digest(), two.statement_digest());
    // The same token as that of a proof of this row alone.
    let proved = prove(&model, &inputs[..1]).unwrap();
    let statement = Statement { inputs: inputs[..1].to_vec(), outputs: proved.outputs };
    assert_eq!(verify(model.verifying_model(), &statement, &proved.proof).unwrap(), one);
}

#[test]
fn salts_are_not_shown() {
    let salt = salts(1)[0];
    assert_eq!(RowSalt::new(salt.to_bytes()), salt);
    assert_ne!(salt.digest(), salt.to_bytes());
    assert_eq!(format!("{salt:?}"), "RowSalt");
}
