//! Where workers are, as the ledger's asks say.

use core::time::Duration;
use std::collections::HashMap;

use alloy_primitives::Address;
use tacit_wire::{LedgerClient, LedgerError, http::origin};
use tokio::{sync::Mutex, time::Instant};

/// Endpoints of asks, read again now and then; one reader at a time, whoever else waits for it.
pub(crate) struct Directory {
    ledger: LedgerClient,
    read: Mutex<Option<(Instant, HashMap<Address, String>)>>,
}

/// How long what the ledger said is believed.
const LISTED_FOR: Duration = Duration::from_secs(60);
/// A worker that is not there yet is looked for again no sooner than this, so that unknown names cost the ledger nothing.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);
/// Least time between two readings for workers that do not answer.
const MOVED_FOR: Duration = Duration::from_millis(100);

impl Directory {
    pub(crate) fn new(ledger: LedgerClient) -> Self {
        Self { ledger, read: Mutex::default() }
    }

    /// Where a worker is.
    pub(crate) async fn endpoint(&self, worker: Address) -> Result<Option<String>, LedgerError> {
        let mut read = self.read.lock().await;
        if let Some((at, endpoints)) = read.as_ref() {
            let found = endpoints.get(&worker).cloned();
            if at.elapsed() < if found.is_some() { LISTED_FOR } else { UNKNOWN_FOR } {
                return Ok(found);
            }
        }
        self.read_again(&mut read, worker).await
    }

    /// Where a worker is that is not where it was: what was read before it was missed says nothing.
    pub(crate) async fn moved(&self, worker: Address) -> Result<Option<String>, LedgerError> {
        let missed = Instant::now();
        loop {
            let mut read = self.read.lock().await;
            let until = match read.as_ref() {
                Some((at, endpoints)) if *at > missed => return Ok(endpoints.get(&worker).cloned()),
                Some((at, _)) if at.elapsed() < MOVED_FOR => *at + MOVED_FOR,
                _ => return self.read_again(&mut read, worker).await,
            };
            // Others are not kept waiting.
            drop(read);
            tokio::time::sleep_until(until).await;
        }
    }

    async fn read_again(
        &self,
        read: &mut Option<(Instant, HashMap<Address, String>)>,
        worker: Address,
    ) -> Result<Option<String>, LedgerError> {
        let mut endpoints = HashMap::new();
        for listing in self.ledger.listings().await? {
            for ask in listing.asks {
                if let Some(endpoint) = origin(&ask.terms.endpoint) {
                    endpoints.insert(ask.worker, endpoint);
                }
            }
        }
        let found = endpoints.get(&worker).cloned();
        *read = Some((Instant::now(), endpoints));
        Ok(found)
    }
}
