//! Blocks from the network: no panic, and one encoding for each.
#![no_main]

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use libfuzzer_sys::fuzz_target;
use tacit_consensus::ChainBlock;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(block) = ChainBlock::decode(Copying(bytes)) {
        assert_eq!(block.encode(), bytes);
        assert_eq!(block.hash(), block.block().header.hash_slow());
    }
});
