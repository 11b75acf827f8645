//! A chain outlives its process, and a directory keeps to its chain.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};
use serde_json::json;
use tacit_ledger::StateChanges;
use tacit_node::{
    Node, NodeConfig, NodeError, StoreError,
    store::{First, FromConsensus, Identity, MadeBy, NewBlock, RedbStore, Store},
};

use crate::support::{Running, address, config, deployment, message, sign, transfer};

#[tokio::test]
async fn a_restart_keeps_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let config = || config(Some(directory.path().join("chain")));
    let node = Running::start(config()).await;
    let contract = node.client.mine(&sign(deployment(0), 0)).await["contractAddress"].clone();
    let to = serde_json::from_value(contract).unwrap();
    let receipt = node.client.mine(&sign(message(1, to, &[]), 0)).await;
    let block = node.client.rpc("eth_getBlockByNumber", json!(["latest", true])).await;
    node.stop().await;

    let node = Running::start(config()).await;
    assert_eq!(node.client.rpc("eth_getBlockByNumber", json!(["latest", true])).await, block);
    let hash = &receipt["transactionHash"];
    assert_eq!(node.client.rpc("eth_getTransactionReceipt", json!([hash])).await, receipt);
    let logs = node.client.rpc("eth_getLogs", json!([{ "fromBlock": "0x0", "address": to }])).await;
    assert_eq!(logs, receipt["logs"]);
    assert_eq!(node.client.number("eth_getTransactionCount", json!([address(0), "pending"])).await, 2);
    let next = node.client.mine(&sign(transfer(2), 0)).await;
    assert_eq!(next["blockNumber"], "0x3");
    node.stop().await;
}

fn error(config: NodeConfig) -> StoreError {
    match Node::open(config) {
        Err(NodeError::Store(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_serves_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let config = || config(Some(directory.path().to_owned()));
    let node = Node::open(config()).unwrap();
    assert!(matches!(error(config()), StoreError::Locked { .. }));
    drop(node);
    Node::open(config()).unwrap();
}

#[test]
fn a_directory_keeps_to_its_chain_and_genesis() {
    let directory = tempfile::tempdir().unwrap();
    let config = || config(Some(directory.path().to_owned()));
    drop(Node::open(config()).unwrap());
    let other = error(config().with_chain_id(5));
    assert!(matches!(other, StoreError::OtherChain { expected: 5, got: tacit_node::DEV_CHAIN_ID }));
    let other = error(NodeConfig::dev([]).with_data_dir(Some(directory.path().to_owned())));
    assert!(matches!(other, StoreError::OtherGenesis { .. }));
    Node::open(config()).unwrap();
}

#[test]
fn a_first_start_that_was_cut_short_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("chain.redb.unfinished"), "half a database").unwrap();
    std::fs::write(directory.path().join("lock"), "").unwrap();
    let node = Node::open(config(Some(directory.path().to_owned()))).unwrap();
    assert_eq!(node.head().hash(), node.genesis_hash());
    assert!(!directory.path().join("chain.redb.unfinished").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(error(config(Some(file.join("chain")))), StoreError::Directory { .. }));
    std::fs::write(directory.path().join("chain.redb"), "not a database, but something else entirely")
        .unwrap();
    assert!(matches!(error(config(Some(directory.path().to_owned()))), StoreError::Database(_)));
}

/// Changes one fact in a closed store, as a damaged disk or another version might.
fn tamper(directory: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
    let database = Database::open(directory.join("chain.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(META).unwrap();
        let mut value = meta.get(name).unwrap().unwrap().value().to_vec();
        change(&mut value);
        meta.insert(name, value.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = || config(Some(directory.path().to_owned()));
    drop(Node::open(config()).unwrap());
    tamper(directory.path(), "format", |value| value[3] = 9);
    assert!(matches!(error(config()), StoreError::Format { got: 9 }));
}

#[test]
fn a_state_that_is_not_the_heads_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = || config(Some(directory.path().to_owned()));
    drop(Node::open(config()).unwrap());
    tamper(directory.path(), "accumulator", |value| value[100] ^= 1);
    assert!(matches!(error(config()), StoreError::StateRoot { .. }));
}

#[test]
fn a_damaged_head_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = || config(Some(directory.path().to_owned()));
    drop(Node::open(config()).unwrap());
    tamper(directory.path(), "head", |value| value.truncate(3));
    assert!(matches!(error(config()), StoreError::Corrupt(_)));
    tamper(directory.path(), "head", |value| *value = 7_u64.to_be_bytes().to_vec());
    assert!(matches!(error(config()), StoreError::Corrupt("head")));
}

#[test]
fn a_store_takes_the_next_block_only() {
    let genesis = config(None).genesis;
    let founded = genesis.found().finish().unwrap();
    let (hash, header) = (founded.block.hash(), &founded.block.header);
    let identity = Identity { chain: genesis.chain, genesis: hash, made_by: MadeBy::Development };
    let block = NewBlock {
        hash,
        header,
        transactions: &[],
        receipts: &[],
        changes: &StateChanges::default(),
        accumulator: &founded.commitment,
        consensus: FromConsensus::default(),
    };
    let first = First { genesis: &genesis, hash, header };
    let store = RedbStore::open(None, identity, &first).unwrap();
    assert!(matches!(store.commit(&block), Err(StoreError::NotNext { expected: 1, got: 0 })));
    store.audit().unwrap();
}
