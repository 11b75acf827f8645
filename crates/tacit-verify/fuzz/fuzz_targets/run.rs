//! Any graph that can be proved is proved, and the proof is accepted.
//!
//! Input: a seed of eight bytes and the number of rows.

#![no_main]

#[expect(dead_code, reason = "shared by the targets")]
mod honest;

use libfuzzer_sys::fuzz_target;
use tacit_graph::random_model;

fuzz_target!(|data: (u64, u8)| {
    let (seed, rows) = data;
    let model = random_model(seed).expect("every seed gives a model");
    let Some(honest) = honest::honest(model, 1 + usize::from(rows % 6)) else { return };
    assert!(tacit_verify::verify(&honest.model, &honest.statement, &honest.proof).is_ok());
});
