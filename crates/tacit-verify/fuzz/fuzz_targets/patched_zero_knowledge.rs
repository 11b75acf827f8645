//! An honest proof in zero knowledge with some bytes replaced is refused, however deep the verifier gets before it notices.
//!
//! Input: patches of three bytes of position and one byte to put there; a last odd byte cuts the proof.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tacit_prove::{CommittedModel, Hiding, Seed, prove_zk};
use tacit_verify::{SecurityBits, Statement, VerifyingModel};

struct Hidden {
    model: VerifyingModel,
    statement: Statement,
    proof: Vec<u8>,
}

static HIDDEN: LazyLock<Hidden> = LazyLock::new(|| {
    let model = tacit_graph::synthetic_mlp(&[6, 5, 4, 3], 1).expect("valid widths");
    let hiding = Hiding { openings_max: 1, openings_used: 0, seed: Seed::new([1; 32]) };
    let model =
        CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).expect("a small model");
    let inputs = vec![vec![3 << 24; 6], vec![90 << 24; 6]];
    let proved = prove_zk(&model, &inputs, &Seed::new([2; 32])).expect("two rows");
    let statement = Statement { inputs, outputs: proved.outputs };
    Hidden { model: model.verifying_model().clone(), statement, proof: proved.proof }
});

fuzz_target!(|patches: &[u8]| {
    let mut proof = HIDDEN.proof.clone();
    let (chunks, rest) = patches.as_chunks::<4>();
    for [a, b, c, value] in chunks {
        let length = proof.len();
        proof[u32::from_le_bytes([*a, *b, *c, 0]) as usize % length] = *value;
    }
    if let [cut] = rest {
        proof.truncate(proof.len().saturating_sub(usize::from(*cut)));
    }
    let accepted = tacit_verify::verify(&HIDDEN.model, &HIDDEN.statement, &proof).is_ok();
    assert_eq!(accepted, proof == HIDDEN.proof);
});
