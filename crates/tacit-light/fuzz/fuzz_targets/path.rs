//! Paths under a root that the fuzzer chooses, in a header that a validator signs: no panic.
#![no_main]

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, FixedBytes, keccak256};
use commonware_codec::Encode as _;
use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
use libfuzzer_sys::fuzz_target;
use tacit_light::{
    Certificate, Finality, LightProof, ReceiptBody, ReceiptPath, Trust, ValidatorKey, Votes, verify,
};

fuzz_target!(|input: (u64, u8, Vec<u8>, Vec<u8>)| {
    let (index, kind, upper, lower) = input;
    let signer = PrivateKey::from_seed(1);
    let key = ValidatorKey::new(B256::from_slice(&signer.public_key().encode())).expect("a point");
    // Where the upper node has a mark, the hash of the lower one goes, so that paths of two nodes are found.
    let mut upper = upper;
    if let Some(at) = upper.windows(2).position(|pair| pair == [0xa0, 0xa0]) {
        let end = (at + 33).min(upper.len());
        upper.splice(at + 1..end, keccak256(&lower).0);
    }
    let header = Header { receipts_root: keccak256(&upper), ..Header::default() };
    let namespace = [B256::ZERO.as_slice(), b"_FINALIZE"].concat();
    let message = [&[0, 1, 0], header.hash_slow().as_slice()].concat();
    let signature = FixedBytes::from_slice(&signer.sign(&namespace, &message).encode());
    let votes = Votes::new((0, 1, 0), 1, [(0, signature)]);
    let receipt = ReceiptBody { kind: kind % 5, succeeded: true, cumulative_gas_used: 0, logs: Vec::new() };
    let proof = LightProof {
        finality: Finality { headers: vec![header], certificate: Certificate::Votes(votes) },
        index,
        receipt: ReceiptPath { receipt, nodes: vec![Bytes::from(upper), Bytes::from(lower)] },
        transaction: None,
    };
    let trust = Trust::new(1, B256::ZERO).with_validators(B256::ZERO, [key]);
    let _ = verify(&trust, &proof);
});
