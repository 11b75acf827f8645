//! Whatever is said of a run: no panic, and what decodes is encoded as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_wire::{WalkAnswer, WalkQuestion};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = WalkAnswer::decode(bytes) {
        assert_eq!(answer.encode().as_deref(), Some(bytes));
    }
    if let Ok(question) = WalkQuestion::decode(bytes) {
        assert_eq!(question.encode(), bytes);
    }
});
