//! Reference files: no panic, and none is accepted but one that NVIDIA signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tacit_nvidia::{Anchors, Rim};

static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| Anchors::reference_values().expect("built in"));
const SIGNED: [&str; 2] = [
    include_str!("../../tests/data/driver-550.144.03.swidtag"),
    include_str!("../../tests/data/vbios-96.00.5E.00.01.swidtag"),
];

fuzz_target!(|text: &str| {
    if Rim::verify(text, &ANCHORS, 1_737_000_000).is_ok() {
        assert!(SIGNED.iter().any(|signed| signed.trim() == text.trim()));
    }
});
