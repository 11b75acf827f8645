//! Arbitrary bytes are no proof, and nothing panics.

#![no_main]

mod honest;

use honest::HONEST;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|proof: &[u8]| {
    let accepted = tacit_verify::verify(&HONEST.model, &HONEST.statement, proof).is_ok();
    assert_eq!(accepted, proof == HONEST.proof);
});
