//! Blocks of a source, under a certificate of whatever the last header is: no panic, and none that does not follow the head.
#![no_main]

use alloy_consensus::{Header, Sealed};
use libfuzzer_sys::fuzz_target;
use tacit_light::{Certificate, Finality};
use tacit_node::{RawBlock, follower::check_blocks};

fuzz_target!(|input: Vec<(Vec<u8>, Vec<u8>)>| {
    let blocks: Vec<RawBlock> =
        input.into_iter().map(|(block, seal)| RawBlock { block: block.into(), seal: seal.into() }).collect();
    let head = Header::default();
    let head = Sealed::new_unchecked(head.clone(), head.hash_slow());
    let finality =
        Finality { headers: vec![head.inner().clone()], certificate: Certificate::Threshold([0; 48].into()) };
    // The certified block is the head itself: nothing leads there.
    assert!(check_blocks(&head, finality, blocks).is_err());
});
