//! One honest proof of a small model, shared by the targets.

use std::sync::LazyLock;

use tacit_prove::{CommittedModel, prove};
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
