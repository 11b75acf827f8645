//! Any bytes get a verdict as evidence, the same twice; what decodes is no longer than evidence can be, and ends where it ends.

#![no_main]

use alloy_primitives::B256;
use libfuzzer_sys::fuzz_target;
use tacit_modules::validators::Evidence;

fuzz_target!(|input: ([u8; 32], Vec<u8>)| {
    let (key, bytes) = input;
    let Ok(evidence) = Evidence::decode(&bytes) else { return };
    assert!(bytes.len() <= 263);
    assert!(Evidence::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(Evidence::decode(&bytes[..bytes.len() - 1]).is_err());
    let check = || evidence.check(B256::repeat_byte(0xc0), key.into());
    assert_eq!(check(), check());
});
