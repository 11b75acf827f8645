//! Evidence: no panic, and one encoding for each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_attest::Evidence;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(evidence.encode(), bytes);
    }
});
