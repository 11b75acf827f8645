//! Chains, of a real report: no panic, and none is accepted but its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tacit_nvidia::{Anchors, verify};

const CHAIN: &str = include_str!("../../tests/data/h100-550.90.07.pem");
static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| Anchors::device_identity().expect("built in"));
static REPORT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let digits = include_str!("../../tests/data/h100-550.90.07.hex").trim_end();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(byte).collect()
});

fuzz_target!(|chain: &str| {
    let nonce = REPORT[4..36].try_into().expect("32 bytes");
    if verify(&REPORT, chain, &nonce, &ANCHORS, 1_737_000_000).is_ok() {
        assert_eq!(chain.trim_end(), CHAIN.trim_end());
    }
});
