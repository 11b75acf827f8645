//! A pool and a journal for one validator, each with the duties of the real one.

use crate::people::CHAIN;
use alloy_consensus::{
    Header, Transaction as _, TxEnvelope,
    transaction::{Recovered, SignerRecoverable as _},
};
use alloy_primitives::{Address, B256, TxHash};
use bytes::Bytes;
use futures::channel::oneshot;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tacit_consensus::{BlockSink, CandidateLimits, ChainBlock, EvidenceSink, TransactionSource};
use tacit_ledger::{
    BlockContext, Evidence, Fault, Genesis, LtHash, MemoryState, StateCommitment as _, execute,
};

/// Transactions that everybody has heard of; what is final is forgotten.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    waiting: Arc<Mutex<Waiting>>,
}

/// By sender and nonce.
type Waiting = BTreeMap<(Address, u64), Recovered<TxEnvelope>>;

impl Pool {
    pub(crate) fn add(&self, transaction: Recovered<TxEnvelope>) {
        let key = (transaction.signer(), transaction.nonce());
        self.waiting.lock().unwrap().insert(key, transaction);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap().is_empty()
    }

    fn forget(&self, hashes: &BTreeSet<B256>) {
        self.waiting.lock().unwrap().retain(|_, transaction| !hashes.contains(transaction.tx_hash()));
    }
}

/// One validator's view of the pool. It vouches for no sender, so that every foreign block is checked in full.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) pool: Pool,
    /// Transactions of others' blocks that this validator checked.
    pub(crate) checked: Arc<AtomicUsize>,
    /// A thief's: everything it offers claims to come from this address.
    pub(crate) forged: Option<Address>,
}

impl TransactionSource for Source {
    async fn ready(&self) {
        if self.pool.is_empty() { pending().await } else { ready(()).await }
    }

    async fn candidates(&self, _: &Header, limits: CandidateLimits) -> Vec<Recovered<TxEnvelope>> {
        assert_eq!(limits.gas_max, CHAIN.gas_limit);
        let waiting = self.pool.waiting.lock().unwrap();
        let offer = waiting.values().take(200).cloned();
        match self.forged {
            None => offer.collect(),
            Some(victim) => offer.map(|sent| Recovered::new_unchecked(sent.into_inner(), victim)).collect(),
        }
    }

    fn sender(&self, _: &TxHash) -> Option<Address> {
        self.checked.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// What a validator was handed as final. It survives the validator, as a disk would.
#[derive(Clone)]
pub(crate) struct Journal {
    pool: Pool,
    blocks: Arc<Mutex<BTreeMap<u64, ChainBlock>>>,
    state: Arc<Mutex<FlatState>>,
    /// From this height on it takes nothing.
    pub(crate) full_at: Option<u64>,
}

/// What a node keeps: the state after the newest block, and the root after each.
#[derive(Default)]
struct FlatState {
    state: MemoryState,
    commitment: LtHash,
    roots: BTreeMap<u64, B256>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl FlatState {
    fn execute(&mut self, block: &ChainBlock) {
        let header = &block.block().header;
        self.state.block_hashes.insert(header.number - 1, header.parent_hash);
        let sent = block.block().body.transactions.iter();
        let sent = sent.map(|sent| sent.clone().try_into_recovered().unwrap());
        let executed = execute(&CHAIN, BlockContext::of(header), &self.state, sent).unwrap();
        self.state.apply(&executed.changes);
        self.commitment.apply(&executed.changes);
        self.roots.insert(header.number, self.commitment.root());
        self.waiting.clear();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the journal is full")]
pub(crate) struct Full;

impl Journal {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, blocks: Arc::default(), state: Arc::default(), full_at: None }
    }

    /// The same on top of a first state, unless it has one.
    pub(crate) fn begun(self, genesis: &Genesis) -> Self {
        let mut state = self.state.lock().unwrap();
        if state.roots.is_empty() {
            let first = genesis.build(LtHash::default()).unwrap();
            state.state.apply(&first.changes);
            state.roots.insert(first.block.header.number, first.commitment.root());
            state.commitment = first.commitment;
            state.waiting.clear();
        }
        drop(state);
        self
    }

    pub(crate) fn height(&self) -> u64 {
        self.blocks.lock().unwrap().last_key_value().map_or(0, |(number, _)| *number)
    }

    pub(crate) fn blocks(&self) -> BTreeMap<u64, ChainBlock> {
        self.blocks.lock().unwrap().clone()
    }

    /// Takes another's blocks up to this one, each executed, as a node does that follows.
    pub(crate) fn follow(&self, other: &Self, last: u64) {
        let first = self.height() + 1;
        for (number, block) in other.blocks().range(first..).take_while(|(number, _)| **number <= last) {
            self.state.lock().unwrap().execute(block);
            self.blocks.lock().unwrap().insert(*number, block.clone());
        }
    }
}

impl BlockSink for Journal {
    type Error = Full;

    fn head(&self) -> u64 {
        self.height()
    }

    async fn finalized(&self, block: &ChainBlock) -> Result<(), Full> {
        let number = block.block().header.number;
        if self.full_at.is_some_and(|full| number >= full) {
            return Err(Full);
        }
        let mut blocks = self.blocks.lock().unwrap();
        let height = blocks.last_key_value().map_or(0, |(number, _)| *number);
        assert!(number <= height + 1, "block {number} came after {height}: a gap");
        if let Some(known) = blocks.insert(number, block.clone()) {
            assert_eq!(known.hash(), block.hash(), "two final blocks at {number}");
        } else {
            self.state.lock().unwrap().execute(block);
        }
        let hashes = block.block().body.transactions.iter().map(|sent| *sent.tx_hash()).collect();
        self.pool.forget(&hashes);
        Ok(())
    }

    async fn state_root(&self, number: u64) -> Result<B256, Full> {
        loop {
            let (sender, receiver) = oneshot::channel();
            {
                let mut state = self.state.lock().unwrap();
                if let Some(root) = state.roots.get(&number) {
                    return Ok(*root);
                }
                state.waiting.push(sender);
            }
            // The sender goes when there is another block.
            let _ = receiver.await;
        }
    }
}

/// Evidence that a validator found. It survives the validator.
#[derive(Clone, Default)]
pub(crate) struct Court(Arc<Mutex<Vec<(B256, Fault, Bytes)>>>);

impl Court {
    /// Who was reported, once for each report.
    pub(crate) fn accused(&self) -> Vec<B256> {
        self.0.lock().unwrap().iter().map(|(key, ..)| *key).collect()
    }

    /// Whether the module of a network with this namespace would take everything that was reported.
    pub(crate) fn holds(&self, namespace: B256) -> bool {
        let reported = self.0.lock().unwrap();
        reported.iter().all(|(key, fault, evidence)| {
            Evidence::decode(evidence).is_ok_and(|read| read.check(namespace, *key).as_ref() == Ok(fault))
        })
    }
}

impl EvidenceSink for Court {
    fn report(&self, key: B256, fault: Fault, evidence: Bytes) {
        self.0.lock().unwrap().push((key, fault, evidence));
    }
}
