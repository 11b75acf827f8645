//! An honest proof with some bytes replaced is refused, however deep the verifier gets before it notices.
//!
//! Input: which proof; patches; a last odd byte cuts the proof.

#![no_main]

mod honest;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((honest, patches)) = honest::chosen(data) else { return };
    let mut proof = honest.proof.clone();
    let (patches, rest) = patches.as_chunks::<4>();
    honest::patch(&mut proof, patches);
    if let [cut] = rest {
        proof.truncate(proof.len().saturating_sub(usize::from(*cut)));
    }
    let accepted = tacit_verify::verify(&honest.model, &honest.statement, &proof).is_ok();
    assert_eq!(accepted, proof == honest.proof);
});
