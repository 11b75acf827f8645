//! Certificates by themselves: no panic, one encoding for each, and none that a client of an unknown network accepts.
#![no_main]

use alloy_primitives::B256;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tacit_light::{Finality, Trust, ValidatorKey};

/// A key whose secret the fuzzer does not have.
static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let key: ValidatorKey =
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse().expect("a point");
    Trust::new(1337, B256::ZERO).with_validators(B256::ZERO, [key])
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(finality) = Finality::decode(bytes) {
        assert_eq!(finality.encode(), bytes);
        assert!(finality.verify(&TRUST).is_err());
    }
});
