//! Vectors made by `vectors/eip712/make.py` with eth-account and eth-abi.

use alloy_consensus::crypto::secp256k1::{recover_signer, sign_message};
use alloy_primitives::{Address, B256, Bytes, Signature};
use alloy_sol_types::{Eip712Domain, SolStruct};
use core::str::FromStr;
use serde_json::Value;
use tacit_abi::{Receipt, Verdict, Voucher, audits, channels, receipts};

/// Compares every stage of signing one message, then signs it ourselves and expects the same bytes.
fn check(case: &Value, domain: &Eip712Domain, message: &impl SolStruct) {
    assert_eq!(domain.separator(), field::<B256>(case, "domain_separator"));
    assert_eq!(message.eip712_hash_struct(), field::<B256>(case, "struct_hash"));
    let digest = message.eip712_signing_hash(domain);
    assert_eq!(digest, field::<B256>(case, "digest"));

    let theirs = field::<Bytes>(case, "signature");
    let signature = Signature::try_from(theirs.as_ref()).unwrap();
    assert_eq!(recover_signer(&signature, digest).unwrap(), field::<Address>(case, "signer"));

    // Both sides derive the nonce from key and digest (RFC 6979), so even the bytes agree.
    let ours = sign_message(field(case, "key"), digest).unwrap();
    assert_eq!(ours.as_bytes().as_slice(), theirs.as_ref());
}

#[test]
fn vouchers_agree() {
    for case in cases(include_str!("../../../../vectors/eip712/voucher.json")) {
        let message = &case["message"];
        let voucher =
            Voucher { channelId: field(message, "channelId"), cumulative: field(message, "cumulative") };
        check(&case, &channels::domain(field(&case, "chain_id")), &voucher);
    }
}

#[test]
fn receipts_agree() {
    for case in cases(include_str!("../../../../vectors/eip712/receipt.json")) {
        let message = &case["message"];
        let receipt = Receipt {
            jobId: field(message, "jobId"),
            modelId: field(message, "modelId"),
            channelId: field(message, "channelId"),
            client: field(message, "client"),
            worker: field(message, "worker"),
            privacy: field(message, "privacy"),
            evidence: field(message, "evidence"),
            inputCommitment: field(message, "inputCommitment"),
            outputCommitment: field(message, "outputCommitment"),
            evidenceHash: field(message, "evidenceHash"),
            price: field(message, "price"),
            cumulative: field(message, "cumulative"),
            completedAt: field(message, "completedAt"),
        };
        check(&case, &receipts::domain(field(&case, "chain_id")), &receipt);
    }
}

#[test]
fn verdicts_agree() {
    for case in cases(include_str!("../../../../vectors/eip712/verdict.json")) {
        let message = &case["message"];
        let verdict = Verdict { receipt: field(message, "receipt"), own: field(message, "own") };
        check(&case, &audits::domain(field(&case, "chain_id")), &verdict);
    }
}

#[test]
fn channel_ids_agree() {
    for case in cases(include_str!("../../../../vectors/eip712/channel_id.json")) {
        let id = channels::channel_id(
            field(&case, "chain_id"),
            field(&case, "client"),
            field(&case, "worker"),
            field(&case, "signer"),
            field(&case, "salt"),
        );
        assert_eq!(id, field::<B256>(&case, "channel_id"));
    }
}

#[test]
fn a_voucher_is_bound_to_chain_channel_and_module() {
    let voucher = Voucher { channelId: B256::repeat_byte(1), cumulative: 7 };
    let digest = voucher.eip712_signing_hash(&channels::domain(1));
    let others = [
        voucher.eip712_signing_hash(&channels::domain(2)),
        voucher.eip712_signing_hash(&receipts::domain(1)),
        Voucher { channelId: B256::repeat_byte(2), cumulative: 7 }.eip712_signing_hash(&channels::domain(1)),
        Voucher { channelId: B256::repeat_byte(1), cumulative: 8 }.eip712_signing_hash(&channels::domain(1)),
    ];
    assert!(others.iter().all(|other| *other != digest));
}

fn cases(document: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(document).unwrap();
    let cases = document["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn field<T: FromStr<Err: core::fmt::Debug>>(object: &Value, name: &str) -> T {
    object[name].as_str().unwrap().parse().unwrap()
}
