//! How workers did: in memory, weighted towards what was last.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<Address, Seen>>);

/// What is known of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) first_byte_ms: Option<f64>,
    pub(crate) tokens_per_s: Option<f64>,
    pub(crate) uptime: f64,
    pub(crate) failed_at: Option<Instant>,
    requests: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { first_byte_ms: None, tokens_per_s: None, uptime: 1.0, failed_at: None, requests: 0 }
    }
}

/// Weight of the latest observation.
const WEIGHT: f64 = 0.2;
/// A worker that failed is the last to be asked for so long.
pub(crate) const FAILED_FOR: Duration = Duration::from_secs(30);
/// Answers shorter than this say nothing of speed.
const TOKENS_MIN: u64 = 8;

impl Health {
    pub(crate) fn of(&self, worker: Address) -> Seen {
        self.all().get(&worker).copied().unwrap_or_default()
    }

    pub(crate) fn began(&self, worker: Address, after: Duration) {
        let mut all = self.all();
        let seen = all.entry(worker).or_default();
        mix(&mut seen.first_byte_ms, after.as_secs_f64() * 1_000.0);
        seen.uptime += WEIGHT * (1.0 - seen.uptime);
        seen.failed_at = None;
        seen.requests = seen.requests.saturating_add(1);
    }

    pub(crate) fn ended(&self, worker: Address, tokens: u64, took: Duration) {
        if tokens < TOKENS_MIN || took.is_zero() {
            return;
        }
        // Counts of one answer are exact in a double.
        let tokens = u32::try_from(tokens).map_or(f64::from(u32::MAX), f64::from);
        mix(&mut self.all().entry(worker).or_default().tokens_per_s, tokens / took.as_secs_f64());
    }

    pub(crate) fn failed(&self, worker: Address) {
        let mut all = self.all();
        let seen = all.entry(worker).or_default();
        seen.uptime -= WEIGHT * seen.uptime;
        seen.failed_at = Some(Instant::now());
        seen.requests = seen.requests.saturating_add(1);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether it failed a moment ago, and has not answered since.
    pub(crate) fn is_failing(&self, now: Instant) -> bool {
        self.failed_at.is_some_and(|at| now.saturating_duration_since(at) < FAILED_FOR)
    }
}

fn mix(mean: &mut Option<f64>, latest: f64) {
    *mean = Some(mean.map_or(latest, |mean| mean + WEIGHT * (latest - mean)));
}
