//! Any bytes that decode to a block get a verdict; one that is accepted hashes and encodes to itself.

#![no_main]

mod chain;

use alloy_consensus::Sealed;
use alloy_rlp::Decodable;
use chain::FRESH;
use libfuzzer_sys::fuzz_target;
use tacit_ledger::{Block, verify};

fuzz_target!(|bytes: &[u8]| {
    let Ok(block) = Block::decode(&mut &*bytes) else { return };
    let first = &FRESH.first;
    let parent = Sealed::new_unchecked(first.block.header.clone(), first.block.hash());
    if let Ok(built) = verify(&FRESH.chain, &parent, &block, &FRESH.state, &first.commitment) {
        assert_eq!(built.block.inner(), &block);
        assert_eq!(built.block.hash(), block.header.hash_slow());
    }
});
