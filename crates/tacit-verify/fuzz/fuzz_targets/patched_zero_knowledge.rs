//! An honest proof in zero knowledge with some bytes replaced is refused, however deep the verifier gets before it notices.
//!
//! Input: patches of three bytes of position and one byte to put there; a last odd byte cuts the proof.

#![no_main]

mod honest;

use honest::HIDDEN;
use libfuzzer_sys::fuzz_target;

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
