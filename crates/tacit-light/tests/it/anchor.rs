//! Job receipts: anchored is what the `receipts` module said in a verified transaction, nothing else.

use crate::network::{Block, Network, batch, job};
use alloy_primitives::{Address, B256};
use tacit_abi::receipts;
use tacit_light::{AnchorError, SIBLINGS_MAX, VerifiedReceipt, anchored, prove_receipt, verify};

fn verified(block: &Block, index: usize) -> VerifiedReceipt {
    let network = Network::new(11, 4);
    verify(&network.trust(), &network.prove(block, index)).unwrap()
}

#[test]
fn every_receipt_of_an_anchored_batch() {
    let verified = verified(&Block::new(12, B256::ZERO, 2), 1);
    for j in 0..4 {
        let siblings = receipts::proof(&batch(1), usize::from(j)).unwrap();
        let anchored = anchored(&verified, &job(1, j), &siblings).unwrap();
        assert_eq!(anchored.root(), receipts::root(&batch(1)).unwrap());
        assert_eq!(anchored.by(), Address::repeat_byte(2));
        assert_eq!(anchored.count(), 4);
        assert_eq!((anchored.block_number(), anchored.timestamp()), (12, verified.timestamp()));
    }
}

#[test]
fn another_receipt_another_path_another_transaction() {
    let block = Block::new(12, B256::ZERO, 3);
    let transaction = verified(&block, 1);
    let siblings = receipts::proof(&batch(1), 0).unwrap();
    assert!(anchored(&transaction, &job(1, 0), &siblings).is_ok());
    assert_eq!(anchored(&transaction, &job(1, 1), &siblings), Err(AnchorError::NotAnchored));
    assert_eq!(anchored(&transaction, &job(1, 0), &siblings[1..]), Err(AnchorError::NotAnchored));
    assert_eq!(anchored(&verified(&block, 0), &job(1, 0), &siblings), Err(AnchorError::NotAnchored));
    // One that failed has no logs.
    let siblings = receipts::proof(&batch(2), 0).unwrap();
    assert_eq!(anchored(&verified(&block, 2), &job(2, 0), &siblings), Err(AnchorError::NotAnchored));
    let long = vec![B256::ZERO; SIBLINGS_MAX + 1];
    let refused = AnchorError::Siblings { limit: SIBLINGS_MAX, got: SIBLINGS_MAX + 1 };
    assert_eq!(anchored(&transaction, &job(1, 0), &long), Err(refused));
}

/// A contract that emits the module's event.
#[test]
fn the_event_counts_from_the_module_alone() {
    let network = Network::new(11, 4);
    let mut block = Block::new(12, B256::ZERO, 1);
    block.receipts = block
        .receipts
        .into_iter()
        .map(|receipt| {
            let kind = receipt.tx_type();
            let mut receipt = receipt.as_receipt().unwrap().clone();
            receipt.logs[0].address = Address::repeat_byte(0xbb);
            alloy_consensus::ReceiptEnvelope::from_typed(kind, receipt.with_bloom())
        })
        .collect();
    block.header.receipts_root = alloy_consensus::proofs::calculate_receipt_root(&block.receipts);
    let proof = prove_receipt(network.finality(&block), &block.receipts, 0).unwrap();
    let verified = verify(&network.trust(), &proof).unwrap();
    let siblings = receipts::proof(&batch(0), 0).unwrap();
    assert_eq!(anchored(&verified, &job(0, 0), &siblings), Err(AnchorError::NotAnchored));
}
