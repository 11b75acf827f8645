//! A worker says each hour that it is there.
//!
//! Clients leave out asks whose worker has been silent for [`LIVE_S`](tacit_abi::asks::LIVE_S). So a worker beats when it starts and then once in each hour of the clock, at a second of the hour that is its
//! own: not at its turn, where its clock and the ledger's may disagree about the hour and everybody would pay for the same block. One that could not reach the ledger beats as soon as it does. Drained
//! workers, and those without asks, are silent.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloy_primitives::{Address, U256, keccak256};
use tacit_abi::{IAsks::IAsksErrors, asks::HOUR_S};
use tacit_wire::{LedgerError, Revert};

use crate::worker::{Worker, WorkerError};

/// When a worker beats.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    /// Whether it has asks that live by it.
    asking: AtomicBool,
    /// When the next one is due, on the worker's clock; 0: now.
    due_s: AtomicU64,
}

impl Beats {
    /// Says whether there are asks.
    pub(crate) fn set_asking(&self, asking: bool) {
        self.asking.store(asking, Ordering::Release);
    }
}

impl Worker {
    /// Beats, if that is due.
    ///
    /// # Errors
    /// [`WorkerError`]; it stays due.
    pub async fn beat_if_due(&self) -> Result<(), WorkerError> {
        let now_s = self.clock.unix_time_s();
        let is_due = now_s >= self.beats.due_s.load(Ordering::Acquire);
        if !is_due || self.is_drained() || !self.beats.asking.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.ledger.beat(&self.wallet).await {
            // An ask that was set in this hour was one, and so was that of before a restart.
            Ok(_) | Err(LedgerError::Reverted(Revert::Asks(IAsksErrors::BeatTooSoon(_)))) => {}
            Err(error) => return Err(error.into()),
        }
        self.beats.due_s.store(next_beat_s(self.address(), now_s), Ordering::Release);
        Ok(())
    }
}

/// The worker's second in the hour after that of `now_s`.
fn next_beat_s(worker: Address, now_s: u64) -> u64 {
    let next_hour = now_s.checked_div(HOUR_S).unwrap_or_default().saturating_add(1);
    let own = U256::from_be_bytes(keccak256(worker).0).wrapping_rem(U256::from(HOUR_S - 2 * MARGIN_S));
    next_hour.saturating_mul(HOUR_S).saturating_add(MARGIN_S).saturating_add(own.saturating_to())
}

/// As far from the turn of an hour as clocks may be apart.
const MARGIN_S: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_beats_once_in_each_hour_and_never_at_its_turn() {
        let mut seconds = std::collections::BTreeSet::new();
        for number in 0..50 {
            let worker = Address::repeat_byte(number);
            // Wherever in an hour it began.
            for began in [0, 1, 299, 3_599, 1_800_000_000, 1_800_003_599] {
                let first = next_beat_s(worker, began);
                assert_eq!(first / HOUR_S, began / HOUR_S + 1);
                assert!((MARGIN_S..HOUR_S - MARGIN_S).contains(&(first % HOUR_S)));
                // On time, or late by less than what is left of the hour.
                assert_eq!(next_beat_s(worker, first), first + HOUR_S);
                assert_eq!(next_beat_s(worker, first + MARGIN_S - 1), first + HOUR_S);
                seconds.insert(first % HOUR_S);
            }
        }
        assert!(seconds.len() > 45, "workers share a second");
        assert_eq!(next_beat_s(Address::ZERO, u64::MAX), u64::MAX);
    }
}
