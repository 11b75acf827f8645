//! Honest proofs of small models, shared by the targets.

use std::sync::LazyLock;

use tacit_graph::{Model, random_inputs, random_model};
use tacit_prove::{CommittedModel, prove};
use tacit_verify::{SecurityBits, Statement, VerifyingModel};

/// Model, true statement and its proof.
pub struct Honest {
    pub model: VerifyingModel,
    pub statement: Statement,
    pub proof: Vec<u8>,
}

/// A dense network and graphs of all operators.
pub static HONEST: LazyLock<Vec<Honest>> = LazyLock::new(|| {
    let dense = tacit_graph::synthetic_mlp(&[6, 5, 4, 3], 1).expect("valid widths");
    let others = (0..40).filter_map(|seed| random_model(seed).ok()).filter_map(|model| honest(model, 3));
    honest(dense, 2).into_iter().chain(others).take(8).collect()
});

/// `None` for a model that a proof does not cover.
pub fn honest(model: Model, rows: usize) -> Option<Honest> {
    let width = model.shapes().inputs();
    let encoded = random_inputs(&model, rows, 7);
    let inputs: Vec<Vec<i64>> =
        encoded.chunks(width).map(|row| row.iter().map(|value| i64::from(*value) << 24).collect()).collect();
    let model = CommittedModel::commit(model, SecurityBits::DEFAULT).ok()?;
    let proved = prove(&model, &inputs).expect("what can be committed can be proved");
    let statement = Statement { inputs, outputs: proved.outputs };
    Some(Honest { model: model.verifying_model().clone(), statement, proof: proved.proof })
}

/// One of them, chosen by the first byte, and the rest.
pub fn chosen(data: &[u8]) -> Option<(&'static Honest, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((HONEST.get(usize::from(*first) % HONEST.len())?, rest))
}

/// Replaces bytes: three bytes of position and one byte to put there, over and over.
pub fn patch(bytes: &mut [u8], patches: &[[u8; 4]]) {
    for [a, b, c, value] in patches {
        let length = bytes.len();
        bytes[u32::from_le_bytes([*a, *b, *c, 0]) as usize % length] = *value;
    }
}
