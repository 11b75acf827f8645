//! Honest proofs say what happened, in blocks of any size, under both kinds of certificate.

use crate::network::{Block, CHAIN_ID, Network};
use alloy_primitives::B256;
use proptest::{prelude::*, test_runner::TestCaseError};
use tacit_light::{
    Certificate, Finality, HEADERS_MAX, LightProof, ProveError, Trie, Trust, prove_receipt, verify,
};

fn agrees(network: &Network, block: &Block, proof: &LightProof, index: usize) {
    let decoded = LightProof::decode(&proof.encode()).unwrap();
    assert_eq!(decoded, *proof);
    let verified = verify(&network.trust(), &decoded).unwrap();
    let receipt = &block.receipts[index];
    assert_eq!(verified.chain_id(), CHAIN_ID);
    assert_eq!(verified.block_number(), block.header.number);
    assert_eq!(verified.block_hash(), block.header.hash_slow());
    assert_eq!(verified.header().inner(), &block.header);
    assert_eq!(verified.timestamp(), block.header.timestamp);
    assert_eq!(verified.index(), u64::try_from(index).unwrap());
    assert_eq!(verified.succeeded(), receipt.status());
    assert_eq!(verified.cumulative_gas_used(), receipt.cumulative_gas_used());
    assert_eq!(verified.logs(), receipt.logs());
    let hash = proof.transaction.as_ref().map(|_| *block.transactions[index].tx_hash());
    assert_eq!(verified.transaction(), hash);
}

#[test]
fn every_receipt_of_blocks_of_all_shapes() {
    let network = Network::new(1, 4);
    // One leaf; one branch; keys of one and of two bytes; of three.
    for count in [1, 2, 15, 16, 17, 127, 128, 129, 256, 257, 700] {
        let block = Block::new(5, B256::ZERO, count);
        let indices = (0..count).filter(|i| i.is_multiple_of(37) || i + 2 > count || (126..130).contains(i));
        for index in indices {
            let proof = network.prove(&block, index);
            agrees(&network, &block, &proof, index);
            agrees(&network, &block, &proof.with_transaction(&block.transactions).unwrap(), index);
        }
    }
}

#[test]
fn votes_of_a_quorum() {
    for (validators, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (7, 5), (10, 7), (50, 34)] {
        let network = Network::new(2, validators);
        let block = Block::new(300, B256::ZERO, 3);
        let last = network.validators.len();
        for who in [(0..last).collect::<Vec<_>>(), (last - quorum..last).collect()] {
            let certificate = Certificate::Votes(network.votes(&block.header, who));
            let finality = Finality { headers: vec![block.header.clone()], certificate };
            agrees(&network, &block, &prove_receipt(finality, &block.receipts, 1).unwrap(), 1);
        }
    }
}

#[test]
fn a_descendants_certificate_is_enough() {
    let network = Network::new(3, 4);
    let block = Block::new(7, B256::ZERO, 2);
    let mut headers = vec![block.header.clone()];
    for number in 8..7 + u64::try_from(HEADERS_MAX).unwrap() {
        let parent = headers.last().unwrap().hash_slow();
        headers.push(Block::new(number, parent, 0).header);
        let last = headers.last().unwrap();
        let votes = Certificate::Votes(network.votes(last, 0..3));
        for certificate in [network.threshold(last), votes] {
            let finality = Finality { headers: headers.clone(), certificate };
            agrees(&network, &block, &prove_receipt(finality, &block.receipts, 0).unwrap(), 0);
        }
    }
    assert_eq!(headers.len(), HEADERS_MAX);
}

/// What the specification promises.
#[test]
fn proofs_are_small() {
    let network = Network::new(4, 4);
    let largest = |count: usize| {
        let block = Block::new(1_000_000, B256::ZERO, count);
        let sizes = (0..count).step_by(count.div_ceil(50)).map(|index| {
            let proof = network.prove(&block, index);
            let plain = proof.encode().len();
            (plain, proof.with_transaction(&block.transactions).unwrap().encode().len())
        });
        sizes.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))).unwrap()
    };
    assert!(largest(1).1 <= 1_200);
    assert!(largest(128).1 <= 3_000, "{:?}", largest(128));
    assert!(largest(2_000).0 <= 3_000, "{:?}", largest(2_000));
}

#[test]
fn a_proof_is_not_made_of_another_blocks_parts() {
    let network = Network::new(5, 4);
    let (block, other) = (Block::new(7, B256::ZERO, 2), Block::new(7, B256::ZERO, 3));
    let finality = network.finality(&block);
    let refused = |finality: &Finality, block: &Block, index| {
        prove_receipt(finality.clone(), &block.receipts, index).unwrap_err()
    };
    assert_eq!(refused(&finality, &other, 0), ProveError::Root(Trie::Receipts));
    assert_eq!(refused(&finality, &block, 2), ProveError::Index { index: 2, count: 2 });
    let headless = Finality { headers: Vec::new(), ..finality };
    assert_eq!(refused(&headless, &block, 0), ProveError::NoHeader);
    let refused = network.prove(&block, 1).with_transaction(&other.transactions).unwrap_err();
    assert_eq!(refused, ProveError::Root(Trie::Transactions));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_receipt_of_any_block(count in 1_usize..400, at in 0_usize..400) {
        let network = Network::new(6, 1);
        let index = at % count;
        let block = Block::new(9, B256::repeat_byte(9), count);
        let proof = network.prove(&block, index).with_transaction(&block.transactions).unwrap();
        let trust = Trust::new(CHAIN_ID, network.genesis).with_group(network.group());
        let verified = verify(&trust, &proof).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(verified.transaction(), Some(*block.transactions[index].tx_hash()));
        // The same proof at any other index is refused.
        let elsewhere = LightProof { index: u64::try_from((index + 1) % 400).unwrap(), ..proof };
        prop_assert!(verify(&trust, &elsewhere).is_err());
    }
}
