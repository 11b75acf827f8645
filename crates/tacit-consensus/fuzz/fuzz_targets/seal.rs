//! A seal and an Ethereum block that a malicious leader ties together: what holds comes back as it was, and nothing panics.
#![no_main]

use alloy_consensus::proofs::calculate_transaction_root;
use alloy_rlp::Decodable as _;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use libfuzzer_sys::fuzz_target;
use tacit_consensus::{ChainBlock, Seal};
use tacit_ledger::Block;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (seal, block) = input;
    let Ok(seal) = Seal::decode(Copying(&seal)) else { return };
    assert!(Seal::decode(seal.encode()).is_ok_and(|back| back == seal));
    let Ok(mut block) = Block::decode(&mut &block[..]) else { return };
    block.header.extra_data = seal.commitment().to_vec().into();
    block.header.parent_hash.0 = seal.context.parent.1.0;
    block.header.transactions_root = calculate_transaction_root(&block.body.transactions);
    if let Ok(tied) = ChainBlock::new(seal, block) {
        assert!(ChainBlock::decode(tied.encode()).is_ok_and(|back| back == tied));
    }
});
