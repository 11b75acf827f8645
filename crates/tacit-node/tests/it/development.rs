//! Blocks and time on request, and the way back.

use serde_json::{Value, json};

use crate::support::{Running, address, sign, transfer};

async fn head(node: &Running) -> Value {
    node.client.rpc("eth_getBlockByNumber", json!(["latest", false])).await
}

fn time(block: &Value) -> u64 {
    u64::from_str_radix(&block["timestamp"].as_str().unwrap()[2..], 16).unwrap()
}

#[tokio::test]
async fn time_moves_forward_only() {
    let node = Running::memory().await;
    let client = &node.client;
    client.mine(&sign(transfer(0), 0)).await;
    let start = time(&head(&node).await);
    client.rpc("evm_increaseTime", json!([86_400])).await;
    client.rpc("evm_mine", json!([])).await;
    let later = time(&head(&node).await);
    assert!((start + 86_400..start + 86_500).contains(&later));
    client.rpc("evm_setNextBlockTimestamp", json!([later + 1000])).await;
    client.mine(&sign(transfer(1), 0)).await;
    assert_eq!(time(&head(&node).await), later + 1000);
    client.mine(&sign(transfer(2), 0)).await;
    assert!(time(&head(&node).await) >= later + 1000);
    assert_eq!(client.error("evm_setNextBlockTimestamp", json!([later])).await.0, -32602);
    assert_eq!(client.error("evm_mine", json!([later])).await.0, -32602);
}

#[tokio::test]
async fn estimates_see_the_time_to_come() {
    let node = Running::memory().await;
    let client = &node.client;
    client.rpc("evm_increaseTime", json!([1_000_000])).await;
    // Reverts unless TIMESTAMP is above the head's by the million seconds: TIMESTAMP PUSH5 limit LT JUMPI.
    let limit = time(&head(&node).await) + 1_000_000;
    let code = format!("0x4264{limit:010x}1060105760006000fd5b00");
    let target = address(8);
    let overrides = json!({ target.to_string(): { "code": code } });
    let request = json!({ "to": target });
    client.rpc("eth_call", json!([request, "pending", overrides])).await;
    assert_eq!(client.error("eth_call", json!([request, "latest", overrides])).await.0, 3);
    client.rpc("eth_estimateGas", json!([request, null, overrides])).await;
}

#[tokio::test]
async fn a_snapshot_is_a_way_back() {
    let node = Running::memory().await;
    let client = &node.client;
    client.mine(&sign(transfer(0), 0)).await;
    let before = head(&node).await;
    let first = client.rpc("evm_snapshot", json!([])).await;
    let lost = client.mine(&sign(transfer(1), 0)).await;
    let second = client.rpc("evm_snapshot", json!([])).await;
    client.mine(&sign(transfer(2), 0)).await;
    assert_eq!(client.rpc("evm_revert", json!([first])).await, true);
    assert_eq!(head(&node).await, before);
    assert_eq!(client.rpc("eth_getTransactionReceipt", json!([lost["transactionHash"]])).await, Value::Null);
    assert_eq!(client.rpc("evm_revert", json!([second])).await, false, "later snapshots are gone");
    assert_eq!(client.rpc("evm_revert", json!([first])).await, false, "and so is the one used");
    let receipt = client.mine(&sign(transfer(1), 0)).await;
    assert_eq!(receipt["blockNumber"], "0x2");
}

#[tokio::test]
async fn without_automine_transactions_wait_for_a_block() {
    let node = Running::memory().await;
    let client = &node.client;
    client.rpc("evm_setAutomine", json!([false])).await;
    for nonce in 0..3 {
        client.send(&sign(transfer(nonce), 0)).await;
    }
    assert_eq!(client.number("eth_blockNumber", json!([])).await, 0);
    assert_eq!(client.number("eth_getTransactionCount", json!([address(0), "pending"])).await, 3);
    let pending = client.rpc("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!(pending["transactions"].as_array().unwrap().len(), 3);
    client.rpc("evm_mine", json!([])).await;
    assert_eq!(client.number("eth_blockNumber", json!([])).await, 1);
    assert_eq!(client.rpc("eth_getBlockTransactionCountByNumber", json!(["latest"])).await, "0x3");
}

#[tokio::test]
async fn filters_tell_once() {
    let node = Running::memory().await;
    let client = &node.client;
    let blocks = client.rpc("eth_newBlockFilter", json!([])).await;
    let hashes = client.rpc("eth_newPendingTransactionFilter", json!([])).await;
    let receipt = client.mine(&sign(transfer(0), 0)).await;
    let told = client.rpc("eth_getFilterChanges", json!([blocks])).await;
    assert_eq!(told, json!([receipt["blockHash"]]));
    assert_eq!(client.rpc("eth_getFilterChanges", json!([blocks])).await, json!([]));
    let told = client.rpc("eth_getFilterChanges", json!([hashes])).await;
    assert_eq!(told, json!([receipt["transactionHash"]]));
    assert_eq!(client.rpc("eth_uninstallFilter", json!([blocks])).await, true);
    assert_eq!(client.error("eth_getFilterChanges", json!([blocks])).await.0, -32001);
}
