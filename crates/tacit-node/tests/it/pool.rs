//! What waits, by sender and nonce.

use alloy_consensus::TxEip1559;
use alloy_primitives::hex;
use serde_json::{Value, json};
use tacit_node::{NodeConfig, dev_accounts};
use tacit_wire::{Amount, LedgerClient, LedgerError, Wallet};

use crate::support::{Running, address, config, hash_of, sign, transfer};

fn key(index: usize) -> String {
    address(index).to_string().to_lowercase()
}

#[tokio::test]
async fn what_waits_is_told_by_sender_and_nonce() {
    let node = Running::memory().await;
    let client = &node.client;
    let nothing = json!({ "pending": {}, "queued": {} });
    assert_eq!(client.rpc("txpool_content", json!([])).await, nothing);
    client.rpc("evm_setAutomine", json!([false])).await;
    let (next, second, late) = (sign(transfer(0), 0), sign(transfer(1), 0), sign(transfer(12), 0));
    let other = sign(transfer(3), 1);
    for raw in [&next, &second, &late, &other] {
        client.send(raw).await;
    }
    let content = client.rpc("txpool_content", json!([])).await;
    let hashes = |side: &Value| -> Vec<(String, String, String)> {
        let senders = side.as_object().unwrap().iter();
        let flat = senders.flat_map(|(sender, nonces)| {
            nonces.as_object().unwrap().iter().map(move |(nonce, transaction)| {
                (sender.to_lowercase(), nonce.clone(), transaction["hash"].as_str().unwrap().to_owned())
            })
        });
        flat.collect()
    };
    let entry =
        |sender: usize, nonce: &str, raw: &str| (key(sender), nonce.to_owned(), hash_of(raw).to_string());
    assert_eq!(hashes(&content["pending"]), [entry(0, "0", &next), entry(0, "1", &second)]);
    let mut queued = hashes(&content["queued"]);
    queued.sort();
    let mut want = [entry(0, "12", &late), entry(1, "3", &other)];
    want.sort();
    assert_eq!(queued, want);
    let from = client.rpc("txpool_contentFrom", json!([address(0)])).await;
    assert_eq!(from["pending"].as_object().unwrap().keys().collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(from["queued"].as_object().unwrap().keys().collect::<Vec<_>>(), ["12"]);
    assert_eq!(from["queued"]["12"]["from"], json!(address(0)));
    assert_eq!(from["queued"]["12"]["blockHash"], Value::Null);
    assert_eq!(client.rpc("txpool_contentFrom", json!([address(5)])).await, nothing);
    let inspected = client.rpc("txpool_inspect", json!([])).await;
    let (_, summaries) = inspected["pending"].as_object().unwrap().iter().next().unwrap();
    let summary = summaries["0"].as_str().unwrap();
    assert!(summary.to_lowercase().starts_with(&format!("{}: 1 wei + 21000 gas", key(9))), "{summary}");
    assert_eq!(client.rpc("txpool_status", json!([])).await, json!({ "pending": "0x2", "queued": "0x2" }));
    // Mined, nothing of it waits.
    client.rpc("evm_mine", json!([])).await;
    let content = client.rpc("txpool_content", json!([])).await;
    assert_eq!(content["pending"], json!({}));
    assert_eq!(client.error("txpool_contentFrom", json!([])).await.0, -32602);
    assert_eq!(client.error("txpool_content", json!([1])).await.0, -32602);
}

#[tokio::test]
async fn a_pool_too_large_to_tell_is_refused_before_it_is_copied() {
    let mut config: NodeConfig = config(None);
    config.rpc.response_bytes_max = 20_000;
    let node = Running::start(config).await;
    let client = &node.client;
    let waiting = |nonce| TxEip1559 { input: vec![1; 2000].into(), gas_limit: 200_000, ..transfer(nonce) };
    for nonce in 1..8 {
        client.send(&sign(waiting(nonce), 0)).await;
    }
    client.send(&sign(transfer(1), 1)).await;
    let (code, said) = client.error("txpool_content", json!([])).await;
    assert_eq!(code, -32005);
    assert!(said.contains("txpool_contentFrom"), "{said}");
    assert_eq!(client.error("txpool_contentFrom", json!([address(0)])).await.0, -32005);
    let small = client.rpc("txpool_contentFrom", json!([address(1)])).await;
    assert!(small["queued"]["1"].is_object());
    assert!(client.rpc("txpool_inspect", json!([])).await["queued"].is_object());
    assert_eq!(client.rpc("txpool_status", json!([])).await, json!({ "pending": "0x0", "queued": "0x8" }));
}

fn wallet(index: usize) -> Wallet {
    Wallet::from_hex(&hex::encode(dev_accounts()[index].public_secret)).unwrap()
}

/// A node that is a block behind gives out a nonce that is used already.
#[tokio::test]
async fn whose_place_another_transaction_took_is_told() {
    let node = Running::memory().await;
    let client = &node.client;
    client.rpc("evm_setAutomine", json!([false])).await;
    let ledger = LedgerClient::connect(&client.url).await.unwrap();
    let sending = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.transfer(&wallet(0), address(9), Amount(1)).await })
    };
    while client.rpc("txpool_status", json!([])).await["pending"] != "0x1" {
        tokio::task::yield_now().await;
    }
    let dearer = TxEip1559 {
        max_fee_per_gas: 1_000_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000_000,
        ..transfer(0)
    };
    client.send(&sign(dearer, 0)).await;
    client.rpc("evm_mine", json!([])).await;
    let told = sending.await.unwrap();
    assert!(matches!(told, Err(LedgerError::Displaced { .. })), "{told:?}");
    // Tried again, it gets in.
    client.rpc("evm_setAutomine", json!([true])).await;
    ledger.transfer(&wallet(0), address(9), Amount(1)).await.unwrap();
}

/// Two equal payments with one nonce, through a node that does not know of the first when it takes the second, were one transaction, and both
/// were reported as sent.
#[tokio::test]
async fn equal_payments_are_different_transactions() {
    let node = Running::memory().await;
    let client = &node.client;
    let ledger = LedgerClient::connect(&client.url).await.unwrap();
    let mut hashes = std::collections::HashSet::new();
    for _ in 0..8 {
        let snapshot = client.rpc("evm_snapshot", json!([])).await;
        hashes.insert(ledger.transfer(&wallet(0), address(9), Amount(1)).await.unwrap().hash);
        client.rpc("evm_revert", json!([snapshot])).await;
    }
    assert!(hashes.len() > 1, "eight of eight drew the same of a thousand limits");
}
