//! Transactions that are refused, each for one reason, and those that must wait.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip7702, TxLegacy};
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256, hex, uint};
use alloy_signer::SignerSync;
use serde_json::{Value, json};
use tacit_node::DEV_CHAIN_ID;

use crate::support::{Running, address, config, deployment, hash_of, raw, sign, signer, transfer};

/// Sends what must be refused; the chain must not move.
async fn refused(raw: &str, with: &str) {
    let node = Running::memory().await;
    let (code, said) = node.client.error("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(code, -32000, "{said}");
    assert!(said.contains(with), "{said:?} lacks {with:?}");
    assert_eq!(node.client.number("eth_blockNumber", json!([])).await, 0);
}

#[tokio::test]
async fn garbage() {
    refused("0x", "failed to decode").await;
    refused("0x02c0", "failed to decode").await;
    refused("0xdeadbeef", "failed to decode").await;
}

#[tokio::test]
async fn trailing_bytes() {
    refused(&format!("{}00", sign(transfer(0), 0)), "failed to decode").await;
}

#[tokio::test]
async fn a_blob() {
    refused("0x03f84c", "type not supported").await;
}

#[tokio::test]
async fn too_many_bytes() {
    let transaction =
        TxEip1559 { input: Bytes::from(vec![0; 530_000]), gas_limit: 10_000_000, ..transfer(0) };
    refused(&sign(transaction, 0), "oversized data").await;
}

#[tokio::test]
async fn another_chain() {
    let transaction = TxEip1559 { chain_id: 1, ..transfer(0) };
    refused(&sign(transaction, 0), &format!("invalid chain id for signer: have 1 want {DEV_CHAIN_ID}")).await;
}

#[tokio::test]
async fn no_chain() {
    let transaction = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(address(1)),
        value: U256::ZERO,
        input: Bytes::new(),
    };
    refused(&sign(transaction, 0), "replay-protected").await;
}

#[tokio::test]
async fn a_broken_signature_never_spends_the_account() {
    let mut bytes = hex::decode(sign(transfer(0), 0)).unwrap();
    // The last 32 bytes are s. Zero is no signature; another value is the signature of some penniless account.
    let at = bytes.len() - 32;
    bytes[at..].fill(0);
    bytes[at - 1] = 0xa0;
    let node = Running::memory().await;
    assert_eq!(
        node.client.error("eth_sendRawTransaction", json!([hex::encode_prefixed(&bytes)])).await.0,
        -32000
    );
    for flip in 0..32 {
        let mut bytes = hex::decode(sign(transfer(0), 0)).unwrap();
        let last = bytes.len() - 1;
        bytes[last - flip] ^= 1;
        let (code, _) =
            node.client.error("eth_sendRawTransaction", json!([hex::encode_prefixed(&bytes)])).await;
        assert_eq!(code, -32000);
    }
    assert_eq!(node.client.number("eth_getTransactionCount", json!([address(0), "latest"])).await, 0);
}

#[tokio::test]
async fn the_mirrored_twin_of_a_signature() {
    /// Order of secp256k1.
    const ORDER: U256 = uint!(0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141_U256);
    let good = signer(0).sign_hash_sync(&transfer(0).signature_hash()).unwrap();
    let twin = Signature::new(good.r(), ORDER - good.s(), !good.v());
    refused(&raw(&transfer(0).into_signed(twin).into()), "invalid sender").await;
}

#[tokio::test]
async fn a_contract_as_sender() {
    let mut config = config(None);
    config.genesis.alloc.held().unwrap().get_mut(&address(0)).unwrap().code = Bytes::from_static(&[0]);
    let node = Running::start(config).await;
    let (_, said) = node.client.error("eth_sendRawTransaction", json!([sign(transfer(0), 0)])).await;
    assert_eq!(said, "sender not an eoa");
}

#[tokio::test]
async fn a_delegation_of_nothing() {
    let transaction = TxEip7702 {
        chain_id: DEV_CHAIN_ID,
        nonce: 0,
        gas_limit: 100_000,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: address(1),
        value: U256::ZERO,
        access_list: Default::default(),
        authorization_list: Vec::new(),
        input: Bytes::new(),
    };
    refused(&sign(transaction, 0), "empty auth list").await;
}

#[tokio::test]
async fn a_used_nonce() {
    let node = Running::memory().await;
    node.client.mine(&sign(transfer(0), 0)).await;
    let again = TxEip1559 { value: U256::from(2), ..transfer(0) };
    let (_, said) = node.client.error("eth_sendRawTransaction", json!([sign(again, 0)])).await;
    assert!(said.starts_with("nonce too low: next nonce 1, tx nonce 0"), "{said}");
}

#[tokio::test]
async fn the_last_nonce() {
    refused(&sign(transfer(u64::MAX), 0), "nonce has max value").await;
}

#[tokio::test]
async fn more_than_the_balance() {
    let transaction = TxEip1559 { value: U256::from(10).pow(U256::from(22)), ..transfer(0) };
    refused(&sign(transaction, 0), "insufficient funds for gas * price + value").await;
    let transaction = TxEip1559 { value: U256::MAX, ..transfer(0) };
    refused(&sign(transaction, 0), "insufficient funds for gas * price + value").await;
}

#[tokio::test]
async fn a_fee_below_the_base_fee() {
    let transaction = TxEip1559 { max_fee_per_gas: 2, ..transfer(0) };
    refused(&sign(transaction, 0), "less than block base fee").await;
}

#[tokio::test]
async fn a_tip_above_the_fee() {
    let transaction = TxEip1559 { max_priority_fee_per_gas: 2_000_000_000, ..transfer(0) };
    refused(&sign(transaction, 0), "max priority fee per gas higher than max fee per gas").await;
}

#[tokio::test]
async fn too_little_gas_to_begin() {
    let transaction = TxEip1559 { gas_limit: 20_999, ..transfer(0) };
    refused(&sign(transaction, 0), "intrinsic gas too low").await;
}

#[tokio::test]
async fn more_gas_than_a_transaction_may_have() {
    let transaction = TxEip1559 { gas_limit: 16_777_217, ..transfer(0) };
    refused(&sign(transaction, 0), "exceeds block gas limit").await;
}

#[tokio::test]
async fn creation_code_too_long() {
    let transaction =
        TxEip1559 { input: Bytes::from(vec![0; 49_153]), gas_limit: 10_000_000, ..deployment(0) };
    refused(&sign(transaction, 0), "max initcode size exceeded").await;
}

#[tokio::test]
async fn a_gap_waits_and_closes() {
    let node = Running::memory().await;
    let client = &node.client;
    let late = client.send(&sign(transfer(1), 0)).await;
    assert_eq!(client.number("eth_blockNumber", json!([])).await, 0);
    assert_eq!(client.rpc("eth_getTransactionReceipt", json!([late])).await, Value::Null);
    assert_eq!(client.rpc("eth_getTransactionByHash", json!([late])).await["blockHash"], Value::Null);
    assert_eq!(client.number("eth_getTransactionCount", json!([address(0), "pending"])).await, 0);
    let status = client.rpc("txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x1" }));
    let (_, said) = client.error("eth_sendRawTransaction", json!([sign(transfer(1), 0)])).await;
    assert_eq!(said, "already known");
    client.mine(&sign(transfer(0), 0)).await;
    assert_eq!(client.rpc("eth_getTransactionReceipt", json!([late])).await["status"], "0x1");
    assert_eq!(client.number("eth_getTransactionCount", json!([address(0), "latest"])).await, 2);
}

#[tokio::test]
async fn replacing_must_pay_a_tenth_more() {
    let node = Running::memory().await;
    let client = &node.client;
    let with_fees =
        |fee, tip| TxEip1559 { max_fee_per_gas: fee, max_priority_fee_per_gas: tip, ..transfer(1) };
    let first = client.send(&sign(with_fees(1_000_000_000, 1000), 0)).await;
    for (fee, tip) in [(1_099_999_999, 2000), (2_000_000_000, 1099), (1_000_000_000, 1001)] {
        let (code, said) =
            client.error("eth_sendRawTransaction", json!([sign(with_fees(fee, tip), 0)])).await;
        assert_eq!((code, said.as_str()), (-32000, "replacement transaction underpriced"));
    }
    let second = client.send(&sign(with_fees(1_100_000_000, 1100), 0)).await;
    client.mine(&sign(transfer(0), 0)).await;
    assert_eq!(client.rpc("eth_getTransactionByHash", json!([first])).await, Value::Null);
    assert_eq!(client.rpc("eth_getTransactionReceipt", json!([second])).await["status"], "0x1");
}

#[tokio::test]
async fn a_transaction_that_became_unpayable_is_dropped() {
    let node = Running::memory().await;
    let client = &node.client;
    let half = U256::from(6) * U256::from(10).pow(U256::from(21));
    let spend = |nonce| TxEip1559 { value: half, ..transfer(nonce) };
    let late = client.send(&sign(spend(1), 0)).await;
    client.mine(&sign(spend(0), 0)).await;
    assert_eq!(client.rpc("eth_getTransactionByHash", json!([late])).await, Value::Null);
    client.mine(&sign(transfer(1), 0)).await;
}

#[tokio::test]
async fn sending_with_receipt_waits_no_longer_than_told() {
    let node = Running::memory().await;
    let raw = sign(transfer(1), 0);
    let response = node.client.exchange("eth_sendRawTransactionSync", json!([raw, 50])).await.unwrap();
    assert_eq!(response["error"]["code"], 4);
    assert_eq!(response["error"]["data"], json!(hash_of(&raw)));
    let receipt = node.client.rpc("eth_sendRawTransactionSync", json!([sign(transfer(0), 0)])).await;
    assert_eq!(receipt["status"], "0x1");
    assert_ne!(receipt["transactionHash"], json!(B256::ZERO));
}
