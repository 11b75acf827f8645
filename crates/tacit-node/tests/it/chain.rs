//! What happens on the chain, as told over RPC.

use alloy_consensus::{Header, TxEip7702};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::Block;
use alloy_signer::SignerSync;
use serde_json::{Value, json};
use tacit_node::DEV_CHAIN_ID;

use crate::support::{Client, Running, address, deployment, message, sign, signer, transfer};

fn quantity(value: &Value) -> U256 {
    serde_json::from_value(value.clone()).unwrap()
}

async fn echo(client: &Client) -> Address {
    let receipt = client.mine(&sign(deployment(0), 0)).await;
    assert_eq!(receipt["status"], "0x1");
    serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
}

#[tokio::test]
async fn a_transfer_moves_coin_and_pays_the_fee() {
    let node = Running::memory().await;
    let (client, before, receiver) = (&node.client, node.client.balance(address(0)).await, address(9));
    let had = client.balance(receiver).await;
    let receipt = client.mine(&sign(transfer(0), 0)).await;
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x2")));
    let fee = quantity(&receipt["gasUsed"]) * quantity(&receipt["effectiveGasPrice"]);
    assert_eq!(client.balance(address(0)).await, before - U256::from(1) - fee);
    assert_eq!(client.balance(receiver).await, had + U256::from(1));
    assert_eq!(client.number("eth_blockNumber", json!([])).await, 1);
}

#[tokio::test]
async fn block_hashes_are_those_of_standard_headers() {
    let node = Running::memory().await;
    for nonce in 0..3 {
        node.client.mine(&sign(transfer(nonce), 0)).await;
    }
    let mut parent = B256::ZERO;
    for height in 0..=3_u64 {
        let block = node.client.rpc("eth_getBlockByNumber", json!([format!("0x{height:x}"), true])).await;
        let block: Block = serde_json::from_value(block).unwrap();
        let header: &Header = &block.header.inner;
        assert_eq!(header.hash_slow(), block.header.hash);
        assert_eq!(header.parent_hash, parent);
        assert!(header.extra_data.len() <= 32);
        let root = header.transactions_root;
        parent = block.header.hash;
        assert_eq!(
            block.map_transactions(|transaction| transaction.into_inner()).calculate_transactions_root(),
            Some(root)
        );
    }
}

#[tokio::test]
async fn contracts_are_created_called_and_read() {
    let node = Running::memory().await;
    let client = &node.client;
    let to = echo(client).await;
    let called = client.rpc("eth_call", json!([{ "to": to, "from": address(1) }, "latest"])).await;
    assert_eq!(called, json!(B256::from(U256::from(7))));
    let slot = json!([to, "0x0", "latest"]);
    assert_eq!(client.rpc("eth_getStorageAt", slot.clone()).await, json!(B256::ZERO));
    let gas = client.number("eth_estimateGas", json!([{ "to": to, "from": address(0) }])).await;
    let receipt = client.mine(&sign(message(1, to, &[]), 0)).await;
    assert!(U256::from(gas) >= quantity(&receipt["gasUsed"]));
    assert_eq!(client.rpc("eth_getStorageAt", slot).await, json!(B256::from(U256::from(7))));
}

#[tokio::test]
async fn a_revert_has_code_3_and_its_data() {
    let node = Running::memory().await;
    let to = echo(&node.client).await;
    for method in ["eth_call", "eth_estimateGas"] {
        let response =
            node.client.exchange(method, json!([{ "to": to, "data": "0xdeadbeef" }])).await.unwrap();
        assert_eq!(response["error"]["code"], 3);
        assert_eq!(response["error"]["data"], "0xdeadbeef");
        assert_eq!(response["error"]["message"], "execution reverted");
    }
    // Error(string) with "no" is decoded for people.
    let mut text = keccak256("Error(string)")[..4].to_vec();
    text.extend_from_slice(&U256::from(32).to_be_bytes::<32>());
    text.extend_from_slice(&U256::from(2).to_be_bytes::<32>());
    text.extend_from_slice(b"no");
    text.extend_from_slice(&[0; 30]);
    let (code, said) = node.client.error("eth_call", json!([{ "to": to, "data": Bytes::from(text) }])).await;
    assert_eq!((code, said.as_str()), (3, "execution reverted: no"));
    let receipt = node.client.mine(&sign(message(1, to, &[1]), 0)).await;
    assert_eq!((&receipt["status"], &receipt["logs"]), (&json!("0x0"), &json!([])));
}

#[tokio::test]
async fn logs_are_found_by_every_filter() {
    let node = Running::memory().await;
    let client = &node.client;
    let to = echo(client).await;
    let receipt = client.mine(&sign(message(1, to, &[]), 0)).await;
    client.mine(&sign(transfer(2), 0)).await;
    let topic = B256::from(U256::from(0x2a));
    let log = receipt["logs"][0].clone();
    assert_eq!((&log["logIndex"], &log["blockHash"]), (&json!("0x0"), &receipt["blockHash"]));
    for filter in [
        json!({ "fromBlock": "earliest", "address": to }),
        json!({ "fromBlock": "0x0", "toBlock": "latest", "topics": [topic] }),
        json!({ "fromBlock": "0x0", "topics": [[B256::ZERO, topic]] }),
        json!({ "fromBlock": "0x0" }),
        json!({ "blockHash": receipt["blockHash"] }),
        json!({ "fromBlock": "0x2", "toBlock": "0x2", "address": [to, address(1)], "topics": [] }),
    ] {
        let found = client.rpc("eth_getLogs", json!([filter])).await;
        assert_eq!(found, json!([log.clone()]), "{filter}");
    }
    for filter in [
        json!({ "address": to }),
        json!({ "fromBlock": "0x0", "toBlock": "0x1" }),
        json!({ "fromBlock": "0x0", "address": address(1) }),
        json!({ "fromBlock": "0x0", "topics": [B256::ZERO] }),
        json!({ "fromBlock": "0x0", "topics": [topic, topic] }),
        json!({ "fromBlock": "0x10" }),
    ] {
        assert_eq!(client.rpc("eth_getLogs", json!([filter])).await, json!([]), "{filter}");
    }
    for (from, to) in [("0x2", "0x1"), ("0x0", "0x4")] {
        let (code, _) = client.error("eth_getLogs", json!([{ "fromBlock": from, "toBlock": to }])).await;
        assert_eq!(code, -32602, "{from} {to}");
    }
    let (code, _) = client.error("eth_getLogs", json!([{ "blockHash": topic }])).await;
    assert_eq!(code, -32001);
}

#[tokio::test]
async fn the_past_can_be_asked() {
    let node = Running::memory().await;
    let client = &node.client;
    let to = echo(client).await;
    client.mine(&sign(message(1, to, &[]), 0)).await;
    for (height, slot, nonce) in [("0x0", 0, "0x0"), ("0x1", 0, "0x1"), ("0x2", 7, "0x2")] {
        let value = client.rpc("eth_getStorageAt", json!([to, "0x0", height])).await;
        assert_eq!(value, json!(B256::from(U256::from(slot))), "{height}");
        assert_eq!(client.rpc("eth_getTransactionCount", json!([address(0), height])).await, nonce);
    }
    assert_eq!(client.rpc("eth_getCode", json!([to, "0x0"])).await, "0x");
    let (code, said) = client.error("eth_getBalance", json!([to, "0x3"])).await;
    assert_eq!((code, said.as_str()), (-32001, "header not found"));
}

#[tokio::test]
async fn calls_take_overrides() {
    let node = Running::memory().await;
    let client = &node.client;
    let poor = Address::repeat_byte(0x77);
    let call = json!({ "from": poor, "to": address(1), "value": "0x5" });
    assert_eq!(client.error("eth_call", json!([call, "latest"])).await.0, -32000);
    client.rpc("eth_call", json!([call, "latest", { poor.to_string(): { "balance": "0x5" } }])).await;
    // TIMESTAMP, NUMBER: code given for this call only.
    let code = json!({ poor.to_string(): { "code": "0x426000524360205260406000f3" } });
    let block = json!({ "time": "0x1234", "number": "0x99" });
    let out = client.rpc("eth_call", json!([{ "to": poor }, "latest", code, block])).await;
    let words = [U256::from(0x1234), U256::from(0x99)].map(B256::from);
    assert_eq!(out, json!(Bytes::from(words.concat())));
}

#[tokio::test]
async fn an_account_delegates_and_its_authorization_is_estimated() {
    let node = Running::memory().await;
    let client = &node.client;
    let to = echo(client).await;
    let authorization = Authorization { chain_id: U256::from(DEV_CHAIN_ID), address: to, nonce: 0 };
    let signature = signer(5).sign_hash_sync(&authorization.signature_hash()).unwrap();
    let authorization = authorization.into_signed(signature);
    let request = json!({ "from": address(0), "to": address(5), "authorizationList": [authorization] });
    let gas_limit = client.number("eth_estimateGas", json!([request])).await;
    let transaction = TxEip7702 {
        chain_id: DEV_CHAIN_ID,
        nonce: 1,
        gas_limit,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: address(5),
        value: U256::ZERO,
        access_list: Default::default(),
        authorization_list: vec![authorization],
        input: Bytes::new(),
    };
    let receipt = client.mine(&sign(transaction, 0)).await;
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x4")));
    assert_eq!(receipt["logs"][0]["address"], json!(address(5).to_string().to_lowercase()));
    let code = client.rpc("eth_getCode", json!([address(5), "latest"])).await;
    assert_eq!(code, format!("0xef0100{}", alloy_primitives::hex::encode(to)));
    // A delegating account still sends transactions.
    client.mine(&sign(transfer(1), 5)).await;
}

#[tokio::test]
async fn modules_answer_at_their_addresses() {
    let node = Running::memory().await;
    let code = node.client.rpc("eth_getCode", json!([tacit_abi::models::ADDRESS, "latest"])).await;
    assert_eq!(code, "0xef");
    let call = json!([{ "to": tacit_abi::models::ADDRESS, "data": "0xffffffff" }]);
    assert_eq!(node.client.error("eth_call", call).await.0, 3, "an unknown selector reverts");
}

#[tokio::test]
async fn blocks_transactions_and_receipts_agree() {
    let node = Running::memory().await;
    let client = &node.client;
    let receipt = client.mine(&sign(transfer(0), 0)).await;
    let (block_hash, hash) = (&receipt["blockHash"], &receipt["transactionHash"]);
    let transaction = client.rpc("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(transaction["from"], json!(address(0).to_string().to_lowercase()));
    assert_eq!(
        client.rpc("eth_getTransactionByBlockHashAndIndex", json!([block_hash, "0x0"])).await,
        transaction
    );
    assert_eq!(
        client.rpc("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])).await,
        transaction
    );
    assert_eq!(
        client.rpc("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x1"])).await,
        Value::Null
    );
    assert_eq!(client.rpc("eth_getBlockReceipts", json!([block_hash])).await, json!([receipt]));
    assert_eq!(client.rpc("eth_getBlockTransactionCountByHash", json!([block_hash])).await, "0x1");
    assert_eq!(client.rpc("eth_getUncleCountByBlockNumber", json!(["latest"])).await, "0x0");
    assert_eq!(client.rpc("eth_getBlockByHash", json!([B256::ZERO, false])).await, Value::Null);
    let pending = client.rpc("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&pending["number"], &pending["parentHash"]), (&json!("0x2"), block_hash));
    let history = client.rpc("eth_feeHistory", json!(["0x5", "latest", [0, 50, 100]])).await;
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["reward"][1], json!(["0x1", "0x1", "0x1"]));
    assert_eq!(client.error("eth_feeHistory", json!([1, "latest", [50, 10]])).await.0, -32602);
}

#[tokio::test]
async fn every_past_balance_is_the_one_it_was() {
    let node = Running::memory().await;
    let client = &node.client;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut nonces = [0; 4];
    let mut seen = Vec::new();
    for _ in 0..40 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (from, to) = ((random % 4) as usize, (random / 4 % 4) as usize);
        let paid = alloy_consensus::TxEip1559 {
            to: address(to).into(),
            value: U256::from(random % 1000),
            ..transfer(nonces[from])
        };
        client.mine(&sign(paid, from)).await;
        nonces[from] += 1;
        let mut balances = Vec::new();
        for index in 0..4 {
            balances.push(client.balance(address(index)).await);
        }
        seen.push(balances);
    }
    for (height, balances) in (1..).zip(seen) {
        for (index, balance) in balances.into_iter().enumerate() {
            let was = client.rpc("eth_getBalance", json!([address(index), format!("0x{height:x}")])).await;
            assert_eq!(quantity(&was), balance, "account {index} at {height}");
        }
    }
}
