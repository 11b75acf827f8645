//! Raw forms hash to what the node says, and read back as what it tells.

use alloy_consensus::{Block, ReceiptEnvelope, TxEnvelope, TxReceipt, proofs::calculate_receipt_root};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use serde_json::{Value, json};

use crate::support::{Running, address, deployment, hash_of, sign, transfer};

fn bytes(value: Value) -> Bytes {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn raw_blocks_receipts_and_transactions_are_those_of_the_header() {
    let node = Running::memory().await;
    let client = &node.client;
    client.rpc("evm_setAutomine", json!([false])).await;
    let raws = [sign(deployment(0), 0), sign(transfer(1), 0), sign(transfer(0), 1)];
    for raw in &raws {
        client.send(raw).await;
    }
    client.rpc("evm_mine", json!([])).await;
    let told = client.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    for block in [told["hash"].clone(), told["number"].clone(), json!("latest")] {
        let header = bytes(client.rpc("debug_getRawHeader", json!([block])).await);
        assert_eq!(json!(keccak256(&header)), told["hash"]);
        let raw = bytes(client.rpc("debug_getRawBlock", json!([block])).await);
        let decoded = Block::<TxEnvelope>::decode(&mut &raw[..]).unwrap();
        assert_eq!(json!(decoded.header.hash_slow()), told["hash"]);
        let hashes: Vec<B256> = decoded.body.transactions.iter().map(|mined| *mined.tx_hash()).collect();
        assert_eq!(json!(hashes), told["transactions"]);
        assert_eq!(json!(U256::from(raw.len())), told["size"]);
        let receipts = client.rpc("debug_getRawReceipts", json!([block])).await;
        let receipts: Vec<Bytes> = serde_json::from_value(receipts).unwrap();
        let receipts: Vec<ReceiptEnvelope> =
            receipts.iter().map(|raw| ReceiptEnvelope::decode_2718(&mut &raw[..]).unwrap()).collect();
        assert_eq!(json!(calculate_receipt_root(&receipts)), told["receiptsRoot"]);
        assert!(receipts.iter().all(TxReceipt::status));
    }
    for raw in &raws {
        assert_eq!(client.rpc("debug_getRawTransaction", json!([hash_of(raw)])).await, json!(raw));
    }
    for method in ["debug_getRawHeader", "debug_getRawBlock", "debug_getRawReceipts"] {
        assert_eq!(client.error(method, json!(["0x9"])).await.0, -32001);
        assert_eq!(client.error(method, json!([])).await.0, -32602);
    }
    assert_eq!(client.rpc("debug_getBadBlocks", json!([])).await, json!([]));
}

#[tokio::test]
async fn storage_and_fees_and_what_is_kept() {
    let node = Running::memory().await;
    let client = &node.client;
    let receipt = client.mine(&sign(deployment(0), 0)).await;
    let contract = receipt["contractAddress"].as_str().unwrap();
    client.mine(&sign(crate::support::message(1, contract.parse().unwrap(), &[]), 0)).await;
    let wanted = json!({ contract: ["0x0", B256::with_last_byte(1)], address(3).to_string(): ["0x5"] });
    let values = client.rpc("eth_getStorageValues", json!([wanted])).await;
    assert_eq!(values[contract], json!([B256::with_last_byte(7), B256::ZERO]));
    assert_eq!(values[address(3).to_string().to_lowercase()], json!([B256::ZERO]));
    let before = client.rpc("eth_getStorageValues", json!([wanted, "0x1"])).await;
    assert_eq!(before[contract], json!([B256::ZERO, B256::ZERO]));
    assert_eq!(client.error("eth_getStorageValues", json!([{}])).await.0, -32602);
    assert_eq!(client.error("eth_getStorageValues", json!([{ contract: ["0xzz"] }])).await.0, -32602);
    let many = json!({ contract: vec![json!("0x0"); 1025] });
    assert_eq!(client.error("eth_getStorageValues", json!([many])).await.0, -32005);
    assert_eq!(client.error("eth_getStorageValues", json!([wanted, "0x9"])).await.0, -32001);
    let pending = client.rpc("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!(client.rpc("eth_baseFee", json!([])).await, pending["baseFeePerGas"]);
    let kept = client.rpc("eth_capabilities", json!([])).await;
    let head = client.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(kept["head"], json!({ "number": head["number"], "hash": head["hash"] }));
    assert_eq!(kept["stateproofs"], json!({ "disabled": true }));
    assert_eq!(kept["state"], json!({ "disabled": false, "oldestBlock": "0x0" }));
}
