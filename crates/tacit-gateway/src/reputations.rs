//! What workers' pasts are worth, as this gateway's node tells it ([`tacit_wire::ledger::WorkerHistory`]): read in the background for whoever looked, and remembered. No request waits for it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use tacit_wire::{Amount, ledger::WorkerHistory};
use tokio::sync::Notify;

use crate::gateway::Gateway;

/// What a worker's past is worth at a block; `tacit worker reputation` says of what it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its reputation.
    pub reputation: Amount,
    /// What its settlements burnt, as it counts at that block.
    pub burnt: Amount,
    /// Audits that it passed.
    pub passed: u32,
    /// Hours of which it is known whether it was there.
    pub hours_covered: u32,
    /// And in which it said so.
    pub hours_beaten: u32,
    /// As of which block.
    pub block: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reputations {
    known: Mutex<HashMap<Address, Known>>,
    wanted: Mutex<BTreeSet<Address>>,
    looked: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// Nothing where it could not be read.
    standing: Option<Standing>,
    read_at: Instant,
}

/// It is read anew after this, if somebody looks.
const FRESH: Duration = Duration::from_secs(600);
/// Workers that are remembered.
const KNOWN_MAX: usize = 4_096;
/// Workers that wait to be read about; others are, once somebody looks again.
const WANTED_MAX: usize = 1_024;

impl Reputations {
    /// What is known of a worker. It is read about soon, if that is nothing or old.
    pub(crate) fn of(&self, worker: Address) -> Option<Standing> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&worker).copied();
        if known.is_none_or(|known| known.read_at.elapsed() >= FRESH) {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted.len() < WANTED_MAX && wanted.insert(worker) {
                self.looked.notify_one();
            }
        }
        known.and_then(|known| known.standing)
    }

    fn next(&self) -> Option<Address> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    fn keep(&self, worker: Address, standing: Option<Standing>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX && !known.contains_key(&worker) {
            known.clear();
        }
        let before = known.get(&worker).and_then(|known| known.standing);
        known.insert(worker, Known { standing: standing.or(before), read_at: Instant::now() });
    }
}

impl Gateway {
    /// Reads about workers that somebody looked at, one after another, until dropped.
    pub(crate) async fn keep_reputations(&self) {
        loop {
            let Some(worker) = self.reputations.next() else {
                self.reputations.looked.notified().await;
                continue;
            };
            let read = self.ledger.history_of(worker, None).await;
            if let Err(error) = &read {
                tracing::debug!(%error, %worker, "what the worker's past is worth is not known");
            }
            self.reputations.keep(worker, read.ok().map(|history| Standing::of(&history)));
        }
    }
}

impl Standing {
    fn of(history: &WorkerHistory) -> Self {
        let worth = history.reputation();
        Self {
            reputation: Amount(worth.coins),
            burnt: Amount(worth.history),
            passed: worth.passed,
            hours_covered: history.facts.hours_covered,
            hours_beaten: history.facts.hours_beaten,
            block: history.block,
        }
    }
}
