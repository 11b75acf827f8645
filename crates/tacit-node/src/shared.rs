//! What the writer and the readers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_consensus::{Header, Sealed};
use alloy_primitives::Address;
use tacit_ledger::Chain;
use tokio::sync::watch;

use crate::{pool::Pool, store::Store, writer::Clock};

pub(crate) struct Shared {
    pub(crate) chain: Chain,
    pub(crate) beneficiary: Address,
    pub(crate) store: Box<dyn Store>,
    pool: Mutex<Pool>,
    clock: Mutex<Clock>,
    head: watch::Sender<Arc<Sealed<Header>>>,
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
        Self { chain, beneficiary, store, pool: Mutex::new(pool), clock: Mutex::default(), head }
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

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Sealed<Header>>> {
        self.head.subscribe()
    }
}
