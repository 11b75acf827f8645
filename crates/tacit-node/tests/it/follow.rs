//! The node of a validator: blocks come from elsewhere.

use std::{path::Path, sync::Mutex, time::Duration};

use alloy_consensus::{Header, Sealed, TxEip1559, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bloom, TxKind, U256, b256, hex};
use serde_json::json;
use tacit_ledger::{
    Attributes, Entry, Founder, Genesis, GenesisAccount, LtHash, MemoryState,
    StakingParameters as Parameters, build,
};
use tacit_node::{
    FinalBlock, FirstBlock, Node, NodeConfig, NodeError, StoreError, WriteError, export,
    store::{At, MadeBy, RedbStore, Store},
};

use crate::signers::group;
use crate::support::{Running, address, config, deployment, hash_of, message, sign, transfer};

/// The validators, who agree with themselves at once. Their state root is none that a node could check.
struct Council {
    genesis: Genesis,
    first: FirstBlock,
    parent: Mutex<(Sealed<Header>, MemoryState)>,
}

impl Council {
    fn new(genesis: Genesis) -> Self {
        let built = genesis.build(LtHash::default()).unwrap();
        let mut state = MemoryState::default();
        state.apply(&built.changes);
        let earlier = genesis.origin.iter().flat_map(tacit_ledger::Origin::blocks);
        state.block_hashes.extend(earlier);
        let first = Header { state_root: ROOT, extra_data: [7; 32].into(), ..built.block.header.clone() };
        let hash = first.hash_slow();
        state.block_hashes.insert(first.number, hash);
        let parent = Mutex::new((Sealed::new_unchecked(first.clone(), hash), state));
        let first = FirstBlock { header: first, state: built.first_state, group: group() };
        Self { genesis, first, parent }
    }

    fn config(&self, data_dir: &Path) -> NodeConfig {
        NodeConfig::network(self.genesis.clone(), self.first.clone()).with_data_dir(Some(data_dir.to_owned()))
    }

    /// Makes a block of what the node offers, or of nothing.
    fn make(&self, transactions: Vec<alloy_consensus::transaction::Recovered<TxEnvelope>>) -> FinalBlock {
        let mut parent = self.parent.lock().unwrap();
        let attributes = Attributes {
            timestamp: parent.0.timestamp + 1,
            beneficiary: Address::repeat_byte(0xbe),
            extra_data: vec![9; 32].into(),
            ..Attributes::default()
        };
        let chain = self.genesis.chain;
        let built =
            build(&chain, &parent.0, &attributes, &parent.1, &LtHash::default(), transactions).unwrap();
        assert!(built.executed.rejected.is_empty());
        parent.1.apply(&built.executed.changes);
        let block = built.executed.seal(&parent.0, &attributes, ROOT);
        let (block, hash) = block.into_parts();
        parent.1.block_hashes.insert(block.header.number, hash);
        parent.0 = Sealed::new_unchecked(block.header.clone(), hash);
        let transactions = block.body.transactions;
        FinalBlock { header: parent.0.clone(), transactions, seal: None, certificate: None }
    }

    fn offered(&self, node: &Node) -> Vec<alloy_consensus::transaction::Recovered<TxEnvelope>> {
        node.propose(&self.parent.lock().unwrap().0, 60_000_000, 1 << 20)
    }
}

const ROOT: B256 = B256::repeat_byte(0x55);

/// An export in memory: the directory is free again.
fn exported(home: &Path) -> Genesis {
    let genesis = export(home).unwrap();
    let mut held: Vec<(Address, GenesisAccount)> = Vec::new();
    for entry in genesis.alloc.entries() {
        match entry.unwrap() {
            Entry::Account { address, balance, nonce, code } => {
                held.push((address, GenesisAccount { balance, nonce, code, ..GenesisAccount::default() }));
            }
            Entry::Slot { slot, value } => {
                held.last_mut().unwrap().1.storage.insert(slot, value);
            }
        }
    }
    Genesis { alloc: held.into_iter().collect(), ..genesis }
}

fn genesis() -> Genesis {
    Genesis { extra_data: Default::default(), ..config(None).genesis }
}

async fn submit(node: &Node, raw: &str) -> Result<(), WriteError> {
    node.catch_up();
    let envelope = TxEnvelope::decode_2718(&mut hex::decode(raw).unwrap().as_slice()).unwrap();
    node.submit(envelope.try_into_recovered().unwrap()).await
}

#[tokio::test]
async fn transactions_wait_for_validators_and_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let council = Council::new(genesis());
    let config = council.config(directory.path());
    let node = Node::open(config.clone()).unwrap();
    let envelope =
        TxEnvelope::decode_2718(&mut hex::decode(sign(transfer(0), 0)).unwrap().as_slice()).unwrap();
    let early = node.submit(envelope.try_into_recovered().unwrap()).await;
    assert!(matches!(early, Err(WriteError::CatchingUp)), "its nonces may be old");
    let hungry = node.clone();
    let ready = tokio::spawn(async move { hungry.ready().await });
    submit(&node, &sign(transfer(0), 0)).await.unwrap();
    ready.await.unwrap();
    assert_eq!(node.head().number, 0, "the node makes no block itself");
    drop(node);

    let node = Node::open(config.clone()).unwrap();
    let offered = council.offered(&node);
    assert_eq!(offered.len(), 1, "what was acknowledged is there again");
    let block = council.make(offered);
    node.append(block.clone()).await.unwrap();
    assert_eq!(node.head().hash(), block.header.hash());
    node.append(block.clone()).await.unwrap();
    assert_eq!(node.head().number, 1, "the same block again changes nothing");
    tokio::time::timeout(Duration::from_millis(50), node.ready()).await.unwrap_err();
    drop(node);
    let node = Node::open(config).unwrap();
    assert_eq!((node.head().number, council.offered(&node).len()), (1, 0));
}

#[tokio::test]
async fn what_can_be_in_no_block_leaves_the_disk_and_what_comes_back_stays() {
    let directory = tempfile::tempdir().unwrap();
    let council = Council::new(genesis());
    let config = council.config(directory.path());
    let stored = |node: Node| {
        drop(node);
        let store = RedbStore::resume(directory.path(), MadeBy::Validators).unwrap();
        let mut waiting: Vec<B256> = store
            .view()
            .unwrap()
            .waiting()
            .unwrap()
            .iter()
            .map(|transaction| *transaction.tx_hash())
            .collect();
        waiting.sort_unstable();
        waiting
    };
    let dearer = |factor: u128| {
        let mut transaction = transfer(0);
        transaction.max_fee_per_gas *= factor;
        transaction.max_priority_fee_per_gas = factor;
        sign(transaction, 0)
    };
    let node = Node::open(config.clone()).unwrap();
    submit(&node, &dearer(1)).await.unwrap();
    submit(&node, &dearer(2)).await.unwrap();
    assert_eq!(stored(node), [hash_of(&dearer(2))], "what was outbid is gone");

    // Another of its nonce is in a block: the one that waits never can be.
    let node = Node::open(config.clone()).unwrap();
    submit(&node, &sign(transfer(1), 0)).await.unwrap();
    let envelope = TxEnvelope::decode_2718(&mut hex::decode(dearer(5)).unwrap().as_slice()).unwrap();
    let block = council.make(vec![envelope.try_into_recovered().unwrap()]);
    node.append(block).await.unwrap();
    // Answered after what came before it is on disk.
    submit(&node, &sign(transfer(2), 0)).await.unwrap();
    let mut left = vec![hash_of(&sign(transfer(1), 0)), hash_of(&sign(transfer(2), 0))];
    left.sort_unstable();
    assert_eq!(stored(node), left);
}

#[tokio::test]
async fn validators_blocks_are_served_like_the_node_s_own() {
    let directory = tempfile::tempdir().unwrap();
    let council = Council::new(genesis());
    let node = Node::open(council.config(directory.path())).unwrap();
    let contract = address(0).create(0);
    for raw in [sign(deployment(0), 0), sign(message(1, contract, &[]), 0)] {
        submit(&node, &raw).await.unwrap();
        node.append(council.make(council.offered(&node))).await.unwrap();
    }
    drop(node);
    let running = Running::start(council.config(directory.path())).await;
    let logs = running.client.rpc("eth_getLogs", json!([{ "fromBlock": "0x0", "address": contract }])).await;
    assert_eq!(logs.as_array().unwrap().len(), 1);
    let block = running.client.rpc("eth_getBlockByNumber", json!(["finalized", true])).await;
    assert_eq!(block["stateRoot"], json!(ROOT));
    assert_eq!(block["transactions"][0]["nonce"], "0x1");
    let standing = running.client.rpc("eth_syncing", json!([])).await;
    assert_eq!(standing["currentBlock"], "0x2", "it has met no validator yet");
    for method in ["evm_mine", "evm_snapshot", "evm_increaseTime"] {
        assert_eq!(running.client.error(method, json!([])).await.0, -32601, "{method} in a network");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_block_that_is_not_what_it_says_stops_the_node() {
    type Change = fn(&mut FinalBlock);
    let lies: [(&str, Change); 4] = [
        ("another receipts root", |block| reseal(block, |header| header.receipts_root = ROOT)),
        ("other gas", |block| reseal(block, |header| header.gas_used += 1)),
        ("a transaction missing", |block| block.transactions.clear()),
        ("another bloom", |block| reseal(block, |header| header.logs_bloom = Bloom::repeat_byte(1))),
    ];
    for (name, lie) in lies {
        let directory = tempfile::tempdir().unwrap();
        let council = Council::new(genesis());
        let node = Node::open(council.config(directory.path())).unwrap();
        submit(&node, &sign(transfer(0), 0)).await.unwrap();
        let mut block = council.make(council.offered(&node));
        let honest = block.clone();
        lie(&mut block);
        let refused = node.append(block).await.unwrap_err();
        assert!(matches!(refused, WriteError::Differs { number: 1, .. }), "{name}: {refused}");
        assert_eq!(node.head().number, 0, "{name}");
        assert!(matches!(node.append(honest).await, Err(WriteError::Halted)), "{name}");
        assert!(matches!(submit(&node, &sign(transfer(1), 0)).await, Err(WriteError::Halted)), "{name}");
    }
}

fn reseal(block: &mut FinalBlock, change: impl FnOnce(&mut Header)) {
    let mut header = block.header.inner().clone();
    change(&mut header);
    let hash = header.hash_slow();
    block.header = Sealed::new_unchecked(header, hash);
}

#[tokio::test]
async fn gaps_and_forks_are_told_apart_from_repetition() {
    let directory = tempfile::tempdir().unwrap();
    let council = Council::new(genesis());
    let node = Node::open(council.config(directory.path())).unwrap();
    let (one, two) = (council.make(Vec::new()), council.make(Vec::new()));
    assert!(matches!(node.append(two.clone()).await, Err(WriteError::Gap { head: 0, got: 2 })));
    node.append(one.clone()).await.unwrap();
    node.append(two).await.unwrap();
    let mut fork = one;
    reseal(&mut fork, |header| header.timestamp += 1);
    assert!(matches!(node.append(fork).await, Err(WriteError::Differs { number: 1, .. })));
}

fn refused(config: NodeConfig) -> NodeError {
    Node::open(config).map(|_| ()).unwrap_err()
}

/// Development, one network, development again, another network: one directory, one history.
#[tokio::test]
async fn one_directory_serves_development_and_validators_in_turn() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("chain");
    let node = Node::open(config(Some(home.clone()))).unwrap();
    submit(&node, &sign(deployment(0), 0)).await.unwrap();
    submit(&node, &sign(message(1, address(0).create(0), &[]), 0)).await.unwrap();
    let left = node.head().hash();
    drop(node);

    let genesis = exported(&home);
    assert_eq!(genesis.origin.as_ref().unwrap().number, 2);
    let council = Council::new(genesis.clone());
    let other = tempfile::tempdir().unwrap();
    let mut poorer = genesis.clone();
    poorer.alloc.held().unwrap().get_mut(&address(3)).unwrap().balance -= U256::ONE;
    let theft = refused(Council::new(poorer).config(&home));
    assert!(matches!(theft, NodeError::Store(StoreError::OtherState)), "{theft}");

    // One validator has the directory, another begins from the exported state.
    let network = council.config(&home);
    let nodes = [Node::open(network.clone()).unwrap(), Node::open(council.config(other.path())).unwrap()];
    for node in &nodes {
        assert_eq!((node.head().number, node.head().parent_hash), (3, left));
    }
    submit(&nodes[1], &sign(message(2, address(0).create(0), &[]), 0)).await.unwrap();
    let block = council.make(council.offered(&nodes[1]));
    for node in &nodes {
        node.append(block.clone()).await.unwrap();
    }
    drop(nodes);
    let mut exports = [exported(&home), exported(other.path())];
    let [one, two] = &mut exports;
    assert_eq!(one.alloc.held(), two.alloc.held());
    assert_eq!(exports[0].origin, exports[1].origin, "hashes from before the first block are known as well");
    Node::open(network.clone()).unwrap();

    let node = Node::resume(&home, &config(None)).unwrap();
    submit(&node, &sign(transfer(3), 0)).await.unwrap();
    assert_eq!(node.head().number, 5);
    assert!(node.head().state_root != ROOT);
    drop(node);
    let mixed = refused(network);
    assert!(matches!(mixed, NodeError::Store(StoreError::Development { number: 5 })), "{mixed}");
    let council = Council::new(exported(&home));
    assert_eq!(Node::open(council.config(&home)).unwrap().head().number, 6);
    drop(Node::resume(&home, &config(None)).unwrap());
    let store = RedbStore::resume(&home, MadeBy::Validators).unwrap();
    store.audit().unwrap();
}

/// Keys of RFC 8032's examples.
const KEYS: [B256; 2] = [
    b256!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    b256!("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
];

/// A payer that has nothing left, stakes that come and go: the directory's state becomes the one that everybody else begins with.
#[tokio::test]
async fn a_directory_goes_on_where_stakes_come_out_of_its_coin() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("chain");
    let node = Node::open(config(Some(home.clone()))).unwrap();
    let stake = Parameters::default().stake_min;
    let spent = Address::repeat_byte(0x77);
    let gift = TxEip1559 { to: TxKind::Call(spent), value: U256::from(stake), ..transfer(0) };
    submit(&node, &sign(gift, 0)).await.unwrap();
    drop(node);

    let founder =
        |key: usize, payer| Founder { key: KEYS[key], owner: address(key), stake, payer: Some(payer) };
    for (founders, first) in
        [(vec![founder(0, spent), founder(1, address(2))], 2), (vec![founder(1, address(1))], 3)]
    {
        let mut genesis = exported(&home);
        genesis.staking.founders = founders;
        let council = Council::new(genesis.clone());
        let other = tempfile::tempdir().unwrap();
        drop(Node::open(council.config(other.path())).unwrap());
        assert_eq!(Node::open(council.config(&home)).unwrap().head().number, first);
        let mut exports = [exported(&home), exported(other.path())];
        let [one, two] = &mut exports;
        assert_eq!(one.alloc.held(), two.alloc.held());
        assert!(!one.alloc.held().unwrap().contains_key(&spent));
        let store = RedbStore::resume(&home, MadeBy::Validators).unwrap();
        store.audit().unwrap();
        let view = store.view().unwrap();
        let before = view.account(spent, At::Height(1)).unwrap().unwrap();
        assert_eq!(before.balance, U256::from(stake), "what was is still known");
        assert_eq!(view.account(spent, At::Head).unwrap(), None);
    }

    // The rules are the same, but another pays than the directory's state would give.
    let mut genesis = exported(&home);
    genesis.staking.founders = vec![founder(0, address(0))];
    let council = Council::new(genesis);
    let mut config = council.config(&home);
    config.genesis.staking.founders = vec![founder(0, address(1))];
    let theft = refused(config);
    assert!(matches!(theft, NodeError::Store(StoreError::OtherState)), "{theft}");
}

#[test]
fn what_cannot_be_opened_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let absent = export(directory.path()).unwrap_err();
    assert!(matches!(absent, StoreError::Absent { .. }), "{absent}");
    let council = Council::new(genesis());
    let mut config = council.config(directory.path());
    config.validators.as_mut().unwrap().header.timestamp += 1;
    assert!(matches!(refused(config), NodeError::FirstBlock));
    let mut config = council.config(directory.path());
    config.genesis.alloc.held().unwrap().get_mut(&address(1)).unwrap().balance -= U256::ONE;
    assert!(matches!(refused(config), NodeError::FirstBlock), "a state that is not the first block's");
    drop(Node::open(council.config(directory.path())).unwrap());
    let other = Council::new(Genesis { timestamp: 1, ..genesis() });
    let other = refused(other.config(directory.path()));
    assert!(matches!(other, NodeError::Store(StoreError::OtherGenesis { .. })), "{other}");
}
