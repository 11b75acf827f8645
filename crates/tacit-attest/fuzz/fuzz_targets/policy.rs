//! Policies: no panic, and one encoding for each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tacit_attest::Policy;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(policy) = Policy::decode(bytes) {
        assert_eq!(policy.encode(), bytes);
    }
});
