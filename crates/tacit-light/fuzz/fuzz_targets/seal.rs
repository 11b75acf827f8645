//! Seals that a header commits to: no panic, and no checkpoint of a block that is not earlier.
#![no_main]

use alloy_consensus::Header;
use commonware_cryptography::{Hasher as _, Sha256};
use libfuzzer_sys::fuzz_target;
use tacit_light::checkpoint;

fuzz_target!(|input: (u64, &[u8])| {
    let (number, seal) = input;
    let commitment = Sha256::hash(&[b"tacit/seal/2".as_slice(), seal]).0;
    let header = Header { number, extra_data: commitment.to_vec().into(), ..Header::default() };
    if let Ok(Some(found)) = checkpoint(&header, seal) {
        assert!(found.number < number);
    }
});
