//! One block executed by somebody else's EVM (`vectors/ledger/make.js`, ethereumjs), compared in every part that is Ethereum's.

use crate::support::{Net, genesis};
use alloy_consensus::{
    Header, TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, U256};
use core::str::FromStr;
use serde_json::Value;

#[test]
fn a_block_means_what_it_means_elsewhere() {
    let document: Value =
        serde_json::from_str(include_str!("../../../../vectors/ledger/block.json")).unwrap();
    let mut net = Net::from(&genesis());
    let candidates: Vec<_> = document["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|raw| {
            let raw: Bytes = raw.as_str().unwrap().parse().unwrap();
            let transaction = TxEnvelope::decode_2718_exact(&raw).unwrap();
            assert_eq!(transaction.encoded_2718(), raw);
            let sender = transaction.recover_signer().unwrap();
            Recovered::new_unchecked(transaction, sender)
        })
        .collect();
    let built = net.mine(candidates);
    assert!(built.executed.rejected.is_empty(), "{:?}", built.executed.rejected);

    let results = document["results"].as_array().unwrap();
    assert_eq!(built.executed.outcomes.len(), results.len());
    for (index, (outcome, result)) in built.executed.outcomes.iter().zip(results).enumerate() {
        assert_eq!(outcome.gas_used, field::<u64>(result, "gas_used"), "gas of {index}");
        let receipt: Bytes = field(result, "receipt");
        assert_eq!(outcome.receipt.encoded_2718(), receipt, "receipt of {index}");
        let created = result["created"].as_str().map(|address| address.parse::<Address>().unwrap());
        assert_eq!(outcome.created, created, "creation by {index}");
        assert_eq!(outcome.output, field::<Bytes>(result, "output"), "output of {index}");
    }

    for (address, expected) in document["accounts"].as_object().unwrap() {
        let account = net.state.accounts[&address.parse::<Address>().unwrap()];
        assert_eq!(account.nonce, field::<u64>(expected, "nonce"), "nonce of {address}");
        assert_eq!(account.balance, field::<U256>(expected, "balance"), "balance of {address}");
        assert_eq!(account.code_hash, field::<B256>(expected, "code_hash"), "code of {address}");
    }

    let header = &document["header"];
    assert_eq!(built.block.header.gas_used, field::<u64>(header, "gas_used"));
    assert_eq!(built.block.header.transactions_root, field::<B256>(header, "transactions_root"));
    assert_eq!(built.block.header.receipts_root, field::<B256>(header, "receipts_root"));
    // The state root is ours and so is the parent that has one: with theirs in place, the header hashes alike.
    let theirs = Header {
        parent_hash: field(header, "parent_hash"),
        state_root: field(header, "state_root"),
        ..built.block.header.clone()
    };
    assert_eq!(theirs.hash_slow(), field::<B256>(header, "hash"));
}

fn field<T: FromStr<Err: core::fmt::Debug>>(object: &Value, name: &str) -> T {
    object[name].as_str().unwrap().parse().unwrap()
}
