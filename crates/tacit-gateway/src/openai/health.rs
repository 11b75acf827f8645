//! How workers did: in memory, weighted towards what was last ([`tacit_market::health`]).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use tacit_market::health::Seen;

/// How one worker did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WorkerHealth {
    /// Who.
    pub worker: Address,
    /// From a request to the first byte of its answer, milliseconds; none before the first answer.
    pub first_byte_ms: Option<f64>,
    /// Tokens of a completion a second, of one answer.
    pub tokens_per_s: Option<f64>,
    /// Share of requests that were answered, 0 to 1.
    pub uptime: f64,
    /// Requests that were counted.
    pub requests: u64,
}

/// What is known of workers.
#[derive(Debug)]
pub(crate) struct Health {
    workers: Mutex<HashMap<Address, Seen>>,
    since: Instant,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { workers: Mutex::default(), since: Instant::now() }
    }

    pub(crate) fn of(&self, worker: Address) -> Seen {
        self.all().get(&worker).copied().unwrap_or_default()
    }

    pub(crate) fn began(&self, worker: Address, after: Duration) {
        self.all().entry(worker).or_default().began(after.as_secs_f64() * 1_000.0);
    }

    pub(crate) fn ended(&self, worker: Address, tokens: u64, took: Duration) {
        self.all().entry(worker).or_default().ended(tokens, took.as_secs_f64());
    }

    pub(crate) fn failed(&self, worker: Address) {
        let now_ms = self.now_ms();
        self.all().entry(worker).or_default().failed(now_ms);
    }

    /// On the clock by which failures are remembered.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn list(&self) -> Vec<WorkerHealth> {
        let entry = |(worker, seen): (&Address, &Seen)| WorkerHealth {
            worker: *worker,
            first_byte_ms: seen.first_byte_ms,
            tokens_per_s: seen.tokens_per_s,
            uptime: seen.uptime,
            requests: seen.requests,
        };
        let mut list: Vec<_> = self.all().iter().map(entry).collect();
        list.sort_by_key(|health| health.worker);
        list
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Address, Seen>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
