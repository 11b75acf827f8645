//! Answers: no panic, and one encoding for each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_wire::Answer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = Answer::decode(bytes) {
        assert_eq!(answer.encode().expect("what was decoded encodes"), bytes);
    }
});
