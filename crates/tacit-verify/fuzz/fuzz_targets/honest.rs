//! Honest proofs of a small model, one of each kind, shared by the targets.

#![allow(dead_code, reason = "not every target uses both")]

use std::sync::LazyLock;

use tacit_prove::{CommittedModel, Hiding, Seed, prove, prove_zk};
use tacit_verify::{SecurityBits, Statement, VerifyingModel};

/// Model, true statement and its proof.
pub struct Honest {
    pub model: VerifyingModel,
    pub statement: Statement,
    pub proof: Vec<u8>,
}

pub static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let model = tacit_graph::synthetic_mlp(&[6, 5, 4, 3], 1).expect("valid widths");
    let model = CommittedModel::commit(model, SecurityBits::DEFAULT).expect("a small model");
    let inputs = vec![vec![3 << 24; 6], vec![90 << 24; 6]];
    let proved = prove(&model, &inputs).expect("two rows");
    let statement = Statement { inputs, outputs: proved.outputs };
    Honest { model: model.verifying_model().clone(), statement, proof: proved.proof }
});

pub static HIDDEN: LazyLock<Honest> = LazyLock::new(|| {
    let model = tacit_graph::synthetic_mlp(&[6, 5, 4, 3], 1).expect("valid widths");
    let hiding = Hiding { openings_max: 1, openings_used: 0, seed: Seed::new([1; 32]) };
    let model =
        CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).expect("a small model");
    let inputs = vec![vec![3 << 24; 6], vec![90 << 24; 6]];
    let proved = prove_zk(&model, &inputs, &Seed::new([2; 32])).expect("two rows");
    let statement = Statement { inputs, outputs: proved.outputs };
    Honest { model: model.verifying_model().clone(), statement, proof: proved.proof }
});
