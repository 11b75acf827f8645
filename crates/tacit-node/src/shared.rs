//! What the writer and the readers share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_consensus::{Header, Sealed, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256};
use tacit_ledger::Chain;
use tokio::sync::{broadcast, watch};

use crate::{
    pool::Pool,
    rpc,
    store::{MadeBy, Store},
    writer::Clock,
};

pub(crate) struct Shared {
    pub(crate) chain: Chain,
    pub(crate) beneficiary: Address,
    pub(crate) store: Box<dyn Store>,
    pool: Mutex<Pool>,
    clock: Mutex<Clock>,
    head: watch::Sender<Arc<Sealed<Header>>>,
    /// Hashes of what the pool takes.
    admitted: broadcast::Sender<B256>,
    /// What clients of this node sent, once it is durable.
    taken: broadcast::Sender<Arc<[Recovered<TxEnvelope>]>>,
    /// Senders of transactions in proposed blocks, until those are final.
    senders: Mutex<Senders>,
    /// When the head was set.
    moved: Mutex<Instant>,
    /// This node has the final blocks that its network had when it joined.
    caught_up: AtomicBool,
    /// The newest block that others were heard to have.
    heard_of: AtomicU64,
    /// The store failed: what it holds is known again only after it is opened anew.
    halted: AtomicBool,
}

/// What signatures were checked lately: two generations, of which the older goes when the newer is full.
#[derive(Default)]
struct Senders {
    new: HashMap<B256, Address>,
    old: HashMap<B256, Address>,
}

impl Shared {
    pub(crate) fn new(
        chain: Chain,
        beneficiary: Address,
        store: Box<dyn Store>,
        pool: Pool,
        head: Sealed<Header>,
    ) -> Self {
        let caught_up = AtomicBool::new(store.identity().made_by == MadeBy::Development);
        let head = watch::Sender::new(Arc::new(head));
        Self {
            chain,
            beneficiary,
            store,
            pool: Mutex::new(pool),
            clock: Mutex::default(),
            head,
            admitted: rpc::admitted(),
            taken: broadcast::Sender::new(TAKEN_MAX),
            senders: Mutex::default(),
            moved: Mutex::new(Instant::now()),
            caught_up,
            heard_of: AtomicU64::new(0),
            halted: AtomicBool::new(false),
        }
    }

    /// The pool. Its methods leave it whole even if a holder of the lock panicked.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn head(&self) -> Arc<Sealed<Header>> {
        Arc::clone(&self.head.borrow())
    }

    /// Whether this process makes its blocks itself.
    pub(crate) fn makes_blocks(&self) -> bool {
        self.store.identity().made_by == MadeBy::Development
    }

    /// The sender of a transaction whose signature was checked here.
    pub(crate) fn sender(&self, hash: &B256) -> Option<Address> {
        if let Some(waiting) = self.pool().transaction(hash) {
            return Some(waiting.signer());
        }
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.new.get(hash).or_else(|| senders.old.get(hash)).copied()
    }

    /// A block was proposed whose signatures were checked: its transactions are in flight.
    pub(crate) fn seen(&self, number: u64, transactions: &[Recovered<TxEnvelope>]) {
        self.pool().in_flight(number, transactions);
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        for transaction in transactions {
            if senders.new.len() >= SENDERS_MAX {
                senders.old = std::mem::take(&mut senders.new);
            }
            senders.new.insert(*transaction.tx_hash(), transaction.signer());
        }
    }

    /// How long ago the head was set, or the node opened.
    pub(crate) fn silent(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether this node has all final blocks that were known when it joined.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    pub(crate) fn catch_up(&self) {
        self.caught_up.store(true, Ordering::Release);
    }

    pub(crate) fn heard_of(&self) -> u64 {
        self.heard_of.load(Ordering::Relaxed)
    }

    pub(crate) fn hear_of(&self, number: u64) {
        self.heard_of.store(number, Ordering::Relaxed);
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(crate) fn set_head(&self, head: Arc<Sealed<Header>>) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.head.send_replace(head);
    }

    /// The pool took a transaction.
    pub(crate) fn tell_admitted(&self, hash: B256) {
        // Nobody may be listening.
        let _ = self.admitted.send(hash);
    }

    pub(crate) fn admitted(&self) -> broadcast::Receiver<B256> {
        self.admitted.subscribe()
    }

    /// A client's transactions wait and are durable.
    pub(crate) fn tell_taken(&self, transactions: Arc<[Recovered<TxEnvelope>]>) {
        // Nobody may be listening.
        let _ = self.taken.send(transactions);
    }

    pub(crate) fn taken(&self) -> broadcast::Receiver<Arc<[Recovered<TxEnvelope>]>> {
        self.taken.subscribe()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Sealed<Header>>> {
        self.head.subscribe()
    }
}

/// Senders in one generation: more than a block holds.
const SENDERS_MAX: usize = 16_384;
/// Batches of clients' transactions that a listener may be behind.
const TAKEN_MAX: usize = 256;
