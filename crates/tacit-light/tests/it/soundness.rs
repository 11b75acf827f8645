//! One attack per test: what is not true in a network cannot be proved to whoever knows its keys.

use crate::network::{Block, CHAIN_ID, NAMESPACE, Network};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, FixedBytes, keccak256};
use alloy_rlp::Encodable as _;
use proptest::prelude::*;
use tacit_light::{
    Certificate, DecodeError, Finality, HEADERS_MAX, LightError, LightProof, NODES_MAX, PROOF_BYTES_MAX,
    Trie, TrieError, Trust, Votes, prove_receipt, verify,
};

fn block() -> Block {
    Block::new(20, B256::repeat_byte(7), 20)
}

fn network() -> Network {
    Network::new(31, 4)
}

fn refused(proof: &LightProof) -> LightError {
    verify(&network().trust(), proof).unwrap_err()
}

/// Under this certificate, the proof is refused.
fn refused_under(certificate: Certificate) -> LightError {
    let headers = vec![block().header];
    refused(&prove_receipt(Finality { headers, certificate }, &block().receipts, 3).unwrap())
}

fn votes(change: impl FnOnce(&mut Votes)) -> LightError {
    let mut votes = network().votes(&block().header, [0, 1, 3]);
    change(&mut votes);
    refused_under(Certificate::Votes(votes))
}

fn flip_everything(proof: &LightProof) {
    let bytes = proof.encode();
    let trust = network().trust();
    let accepted = |bytes: &[u8]| LightProof::decode(bytes).is_ok_and(|proof| verify(&trust, &proof).is_ok());
    assert!(accepted(&bytes));
    for at in 0..bytes.len() {
        assert!(!accepted(&bytes[..at]), "cut off at {at}");
        // All bits would take minutes; each byte gets one of its own, and all of them.
        for mask in [1 << (at % 8), 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            assert!(!accepted(&changed), "byte {at} ^ {mask}");
        }
    }
    for more in [&[0][..], &[0x80], &[0xc0], &bytes[1..]] {
        assert!(!accepted(&[&bytes, more].concat()), "more bytes");
    }
}

#[test]
fn no_byte_of_a_threshold_proof_can_be_changed() {
    let proof = network().prove(&block(), 17).with_transaction(&block().transactions).unwrap();
    flip_everything(&proof);
}

#[test]
fn no_byte_of_a_voted_proof_can_be_changed() {
    let mut finality = network().voted(&block());
    finality.certificate = Certificate::Votes(network().votes(&block().header, [0, 2, 3]));
    flip_everything(&prove_receipt(finality, &block().receipts, 17).unwrap());
}

#[test]
fn no_byte_of_a_chain_of_headers_can_be_changed() {
    let child = Block::new(21, block().header.hash_slow(), 0).header;
    let certificate = network().threshold(&child);
    let finality = Finality { headers: vec![block().header, child], certificate };
    flip_everything(&prove_receipt(finality, &block().receipts, 17).unwrap());
}

#[test]
fn bytes_of_another_format() {
    let mut bytes = network().prove(&block(), 0).encode();
    bytes[0] = 2;
    assert_eq!(LightProof::decode(&bytes), Err(DecodeError::Format { expected: 1, got: Some(2) }));
    assert_eq!(LightProof::decode(&[]), Err(DecodeError::Format { expected: 1, got: None }));
    let long = vec![1; PROOF_BYTES_MAX + 1];
    let refused = DecodeError::Length { limit: PROOF_BYTES_MAX, got: PROOF_BYTES_MAX + 1 };
    assert_eq!(LightProof::decode(&long), Err(refused));
}

#[test]
fn bytes_of_no_proof() {
    assert!(matches!(LightProof::decode(&[1, 0x80]), Err(DecodeError::Rlp(_))));
    // A certificate of a byte too few.
    let mut bytes = vec![1];
    let proof = network().prove(&block(), 0);
    let inner: Vec<u8> = alloy_rlp::encode((0..3).map(|_| Bytes::new()).collect::<Vec<_>>());
    bytes.extend(inner);
    assert!(matches!(LightProof::decode(&bytes), Err(DecodeError::Rlp(_))));
    let trailing = [proof.encode(), vec![0x80]].concat();
    assert_eq!(LightProof::decode(&trailing), Err(DecodeError::NotCanonical));
}

#[test]
fn no_header_and_too_many() {
    let proof = network().prove(&block(), 0);
    let with = |headers: Vec<Header>| {
        let finality = Finality { headers, certificate: proof.finality.certificate.clone() };
        refused(&LightProof { finality, ..proof.clone() })
    };
    assert_eq!(with(Vec::new()), LightError::Headers { limit: HEADERS_MAX, got: 0 });
    let got = HEADERS_MAX + 1;
    assert_eq!(with(vec![block().header; got]), LightError::Headers { limit: HEADERS_MAX, got });
}

/// A certified block is no descendant of the one that the proof is about.
#[test]
fn a_header_beside_the_chain() {
    let mut forged = block();
    forged.header.timestamp += 1;
    let child = Block::new(21, block().header.hash_slow(), 0).header;
    let certificate = network().threshold(&child);
    let finality = Finality { headers: vec![forged.header, child], certificate };
    let proof = prove_receipt(finality, &block().receipts, 3).unwrap();
    assert_eq!(refused(&proof), LightError::Unlinked { index: 1 });
}

/// The certificate is one block's, the headers end at another's.
#[test]
fn a_certificate_of_an_ancestor() {
    let child = Block::new(21, block().header.hash_slow(), 2);
    let finality =
        Finality { headers: vec![child.header], certificate: network().threshold(&block().header) };
    let proof = prove_receipt(finality, &child.receipts, 0).unwrap();
    assert_eq!(refused(&proof), LightError::GroupSignature);
}

#[test]
fn a_signature_of_another_group() {
    let other = Network { genesis: network().genesis, ..Network::new(32, 4) };
    assert_eq!(refused_under(other.threshold(&block().header)), LightError::GroupSignature);
}

/// The same keys in another network: its block 0, or its chain id, is another.
#[test]
fn a_signature_for_another_network() {
    let other = Network { genesis: B256::ZERO, ..network() };
    assert_eq!(refused_under(other.threshold(&block().header)), LightError::GroupSignature);
    let trust = Trust::new(CHAIN_ID + 1, network().genesis).with_group(network().group());
    let proof = network().prove(&block(), 0);
    assert_eq!(verify(&trust, &proof), Err(LightError::GroupSignature));
}

#[test]
fn a_signature_that_is_no_point() {
    let mut infinity = FixedBytes::ZERO;
    infinity[0] = 0xc0;
    for bytes in [infinity, FixedBytes::ZERO, FixedBytes::repeat_byte(0xff)] {
        assert_eq!(refused_under(Certificate::Threshold(bytes)), LightError::MalformedGroupSignature);
    }
}

#[test]
fn a_certificate_of_a_kind_that_the_client_cannot_check() {
    let trust = Trust::new(CHAIN_ID, network().genesis);
    let proof = network().prove(&block(), 0);
    let only_votes = trust.clone().with_validators(NAMESPACE, network().keys());
    assert_eq!(verify(&only_votes, &proof), Err(LightError::NoGroup));
    let only_group = trust.with_group(network().group());
    let proof = prove_receipt(network().voted(&block()), &block().receipts, 0).unwrap();
    assert_eq!(verify(&only_group, &proof), Err(LightError::NoValidators));
}

#[test]
fn votes_and_certificates_of_another_network_or_place() {
    let proof = network().prove(&block(), 0);
    let elsewhere = network().trust().with_first_number(1);
    assert_eq!(
        verify(&elsewhere, &proof),
        Err(LightError::GroupSignature),
        "heights count from the first block"
    );
    let later = network().trust().with_first_number(u64::MAX);
    assert_eq!(verify(&later, &proof), Err(LightError::GroupSignature));
    let proof = prove_receipt(network().voted(&block()), &block().receipts, 0).unwrap();
    let other = network().trust().with_validators(B256::ZERO, network().keys());
    assert_eq!(verify(&other, &proof), Err(LightError::Vote { validator: 0 }));
}

#[test]
fn too_few_votes() {
    let votes = network().votes(&block().header, [0, 1]);
    assert_eq!(refused_under(Certificate::Votes(votes)), LightError::Quorum { required: 3, got: 2 });
}

#[test]
fn one_vote_counted_twice() {
    let refused = votes(|votes| {
        votes.signers = vec![0b0011].into();
        votes.signatures = vec![votes.signatures[0], votes.signatures[0], votes.signatures[1]];
    });
    assert_eq!(refused, LightError::SignersCount { signers: 2, signatures: 3 });
}

#[test]
fn a_vote_in_anothers_name() {
    let refused = votes(|votes| votes.signatures.swap(1, 2));
    assert_eq!(refused, LightError::Vote { validator: 1 });
}

#[test]
fn a_vote_for_another_view() {
    assert_eq!(votes(|votes| votes.view += 1), LightError::Vote { validator: 0 });
    assert_eq!(votes(|votes| votes.parent_view -= 1), LightError::Vote { validator: 0 });
    assert_eq!(votes(|votes| votes.epoch += 1), LightError::Vote { validator: 0 });
}

#[test]
fn votes_of_nobody() {
    let expected = LightError::SignersLength { expected: 1, got: 2 };
    assert_eq!(votes(|votes| votes.signers = vec![0b1011, 0].into()), expected);
    assert_eq!(votes(|votes| votes.signers = vec![0b11_1011].into()), LightError::SignersPadding);
}

#[test]
fn a_receipt_that_was_embellished() {
    let fault = |error| LightError::Trie { trie: Trie::Receipts, error };
    let mut proof = network().prove(&block(), 17);
    proof.receipt.receipt.cumulative_gas_used += 1;
    assert_eq!(refused(&proof), fault(TrieError::Value));
    let mut proof = network().prove(&block(), 17);
    proof.receipt.receipt.succeeded = true;
    assert_eq!(refused(&proof), fault(TrieError::Value));
    let mut proof = network().prove(&block(), 17);
    proof.receipt.receipt.kind = 5;
    assert_eq!(refused(&proof), LightError::ReceiptType { got: 5 });
}

/// A true receipt under a transaction that it is not of.
#[test]
fn a_transaction_with_anothers_receipt() {
    let (mine, other) = (network().prove(&block(), 17), network().prove(&block(), 18));
    let with = |proof: LightProof| proof.with_transaction(&block().transactions).unwrap();
    let proof = LightProof { transaction: with(other).transaction, ..with(mine) };
    assert!(matches!(refused(&proof), LightError::Trie { trie: Trie::Transactions, .. }));
}

/// A receipt of one index under the name of another.
#[test]
fn another_index() {
    let mut proof = network().prove(&block(), 17);
    proof.index = 18;
    assert!(matches!(refused(&proof), LightError::Trie { trie: Trie::Receipts, error: TrieError::Value }));
    // Beyond the block: no node leads there.
    proof.index = 48;
    let error = TrieError::Path { index: 0 };
    assert_eq!(refused(&proof), LightError::Trie { trie: Trie::Receipts, error });
}

#[test]
fn paths_that_are_no_paths() {
    let fault = |nodes: Vec<Bytes>| {
        let mut proof = network().prove(&block(), 17);
        proof.receipt.nodes = nodes;
        match refused(&proof) {
            LightError::Trie { trie: Trie::Receipts, error } => error,
            other => panic!("{other}"),
        }
    };
    let honest = network().prove(&block(), 17).receipt.nodes;
    assert_eq!(honest.len(), 2);
    let (limit, got) = (NODES_MAX, NODES_MAX + 1);
    assert_eq!(fault(vec![honest[0].clone(); got]), TrieError::Length { limit, got });
    assert_eq!(fault(Vec::new()), TrieError::Value);
    assert_eq!(fault(honest[..1].to_vec()), TrieError::Value);
    assert_eq!(fault(honest[1..].to_vec()), TrieError::Hash { index: 0 });
    let swapped = vec![honest[0].clone(), honest[0].clone()];
    assert_eq!(fault(swapped), TrieError::Hash { index: 1 });
    // The leaf itself as a node: it is computed, not given.
    let single = Block::new(20, B256::repeat_byte(7), 1);
    let mut proof = network().prove(&single, 0);
    let mut leaf = Vec::new();
    let path = alloy_trie::Nibbles::unpack([0x80]);
    alloy_trie::nodes::LeafNodeRef::new(
        &path,
        &alloy_eips::eip2718::Encodable2718::encoded_2718(&single.receipts[0]),
    )
    .encode(&mut leaf);
    assert_eq!(keccak256(&leaf), single.header.receipts_root);
    proof.receipt.nodes = vec![leaf.into()];
    let error = TrieError::Node { index: 0 };
    assert_eq!(refused(&proof), LightError::Trie { trie: Trie::Receipts, error });
}

/// Whoever holds the group's key may sign any header; even then, nothing makes a verifier panic.
#[test]
fn roots_that_a_dishonest_group_signs() {
    let hostile: [&[u8]; 7] =
        [&[], &[0x80], &[0xc0], &[0xc2, 0x20, 0x80], &[0xc4, 0x82, 0, 0x11, 0x80], &[0xff; 9], &[0xc1, 0xff]];
    for node in hostile {
        let mut block = block();
        let mut proof = network().prove(&block, 17);
        block.header.receipts_root = keccak256(node);
        proof.finality = network().finality(&block);
        proof.receipt.nodes = vec![Bytes::copy_from_slice(node)];
        assert!(matches!(
            refused(&proof),
            LightError::Trie { error: TrieError::Node { .. } | TrieError::Path { .. }, .. }
        ));
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(proof) = LightProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
        }
    }

    #[test]
    fn a_few_bytes_changed(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let honest = network().prove(&block(), 17).encode();
        let mut bytes = honest.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let verified = LightProof::decode(&bytes).map(|proof| verify(&network().trust(), &proof).is_ok());
        prop_assert!(bytes == honest || verified != Ok(true));
    }
}
