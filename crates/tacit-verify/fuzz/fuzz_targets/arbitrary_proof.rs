//! Arbitrary bytes are no proof, and nothing panics.

#![no_main]

#[expect(dead_code, reason = "shared by the targets")]
mod honest;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((honest, proof)) = honest::chosen(data) else { return };
    let accepted = tacit_verify::verify(&honest.model, &honest.statement, proof).is_ok();
    assert_eq!(accepted, proof == honest.proof);
    // As a proof about committed rows it is one neither.
    assert!(tacit_verify::verify_batch(&honest.model, 3, proof).is_err());
});
