//! What the writer and the readers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{Address, B256};
use tacit_ledger::Chain;
use tokio::sync::{broadcast, watch};

use crate::{pool::Pool, rpc, store::Store, writer::Clock};

pub(crate) struct Shared {
    pub(crate) chain: Chain,
    pub(crate) beneficiary: Address,
    pub(crate) store: Box<dyn Store>,
    pool: Mutex<Pool>,
    clock: Mutex<Clock>,
    head: watch::Sender<Arc<Sealed<Header>>>,
    /// Hashes of what the pool takes.
    admitted: broadcast::Sender<B256>,
}

impl Shared {
    pub(crate) fn new(
        chain: Chain,
        beneficiary: Address,
        store: Box<dyn Store>,
        pool: Pool,
        head: Sealed<Header>,
    ) -> Self {
        let head = watch::Sender::new(Arc::new(head));
        Self {
            chain,
            beneficiary,
            store,
            pool: Mutex::new(pool),
            clock: Mutex::default(),
            head,
            admitted: rpc::admitted(),
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

    pub(crate) fn set_head(&self, head: Arc<Sealed<Header>>) {
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

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Sealed<Header>>> {
        self.head.subscribe()
    }
}
