//! Ensembles of trees are proved like any other model.

use tacit_graph::import::{ImportOptions, import};
use tacit_prove::{CommittedModel, Hiding, Seed, prove_zk};
use tacit_verify::{SecurityBits, Statement, verify};

use crate::check;

/// An export of `tacit-graph`'s fixtures: gates, several classes, functions of single features.
fn model(name: &str) -> tacit_graph::Model {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tacit-graph/tests/fixtures/trees");
    let onnx = std::fs::read(format!("{path}/{name}.onnx")).unwrap();
    import(&onnx, &[], None, &ImportOptions::default()).unwrap().model
}

/// Rows at steps of the encoders, just below them, and far away.
fn rows(model: &tacit_graph::Model) -> Vec<Vec<i64>> {
    let at = |row: usize, steps: &[i64]| match (row, steps) {
        (_, []) | (0, _) => 0,
        (1, [.., last]) => last.saturating_add(1 << 24),
        (row, steps) => steps[row * 7 % steps.len()] - (row % 2) as i64,
    };
    let features = &model.graph().features;
    (0..4).map(|row| features.iter().map(|feature| at(row, &feature.steps)).collect()).collect()
}

#[test]
fn ensembles_are_proved() {
    for name in ["cat_deep", "lgb", "sk_extra", "xgb_three", "sk_boosted_stumps"] {
        let model = model(name);
        let rows = rows(&model);
        check(model, rows);
    }
}

#[test]
fn ensembles_are_proved_in_zero_knowledge() {
    let model = model("sk_forest");
    let inputs = rows(&model);
    let hiding = Hiding { openings_max: 4, openings_used: 0, seed: Seed::new([1; 32]) };
    let committed = CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).unwrap();
    let proved = prove_zk(&committed, &inputs, &Seed::new([2; 32])).unwrap();
    let statement = Statement { inputs, outputs: proved.outputs };
    let verified = verify(committed.verifying_model(), &statement, &proved.proof).unwrap();
    assert!(verified.zero_knowledge());
    // The step that an input has passed is public: one more, and the proof is of another statement.
    let mut other = statement.clone();
    other.inputs[0][27] = i64::MAX;
    assert!(verify(committed.verifying_model(), &other, &proved.proof).is_err());
}
