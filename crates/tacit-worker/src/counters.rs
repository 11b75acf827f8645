//! What a worker counts while it runs: how full its places are, how long clients wait for a first byte, what it refuses and why.

use core::time::Duration;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// How full the places of a model are, over time, and how long its clients waited.
pub(crate) struct Usage {
    state: Mutex<State>,
    waits: [AtomicU64; BUCKETS],
    waited_us: AtomicU64,
    requests: AtomicU64,
}

struct State {
    began: Instant,
    /// Until when `busy_us` counts.
    at: Instant,
    taken: u32,
    /// Microseconds of places taken.
    busy_us: u128,
}

/// Times to the first byte are counted in buckets whose bounds grow by a quarter of an octave, from 1 ms to over half an hour: a quantile is told as the bound above it, at most 19 % too high.
const BUCKETS: usize = 88;
/// `2^(n/4)`, in thousandths.
const QUARTERS: [u64; 4] = [1000, 1189, 1414, 1682];

/// Requests refused, by reason.
#[derive(Default)]
pub(crate) struct Refused(Mutex<BTreeMap<&'static str, u64>>);

/// What is to be told of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Used {
    pub(crate) taken: u32,
    /// Microseconds of places taken, and of the time.
    pub(crate) busy_us: u128,
    pub(crate) elapsed_us: u128,
    pub(crate) requests: u64,
    /// For each bound in microseconds, how many waited at most so long.
    pub(crate) waits: Vec<(u64, u64)>,
    pub(crate) waited_us: u64,
}

impl Default for Usage {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State { began: now, at: now, taken: 0, busy_us: 0 }),
            waits: core::array::from_fn(|_| AtomicU64::new(0)),
            waited_us: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }
}

impl Usage {
    /// A place is taken, for a request that is begun.
    pub(crate) fn take(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.advance(Instant::now());
        state.taken = state.taken.saturating_add(1);
    }

    /// A place is free again.
    pub(crate) fn free(&self) {
        let mut state = self.state();
        state.advance(Instant::now());
        state.taken = state.taken.saturating_sub(1);
    }

    /// A client got its first byte.
    pub(crate) fn waited(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let at = (0..BUCKETS).find(|at| us <= bound_us(*at)).unwrap_or(BUCKETS.saturating_sub(1));
        if let Some(bucket) = self.waits.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.waited_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How things are now.
    pub(crate) fn used(&self) -> Used {
        let mut state = self.state();
        state.advance(Instant::now());
        let (taken, busy_us) = (state.taken, state.busy_us);
        let elapsed_us = state.at.duration_since(state.began).as_micros();
        drop(state);
        let mut sum = 0_u64;
        let waits = self.waits.iter().enumerate().map(|(at, bucket)| {
            sum = sum.saturating_add(bucket.load(Ordering::Relaxed));
            (bound_us(at), sum)
        });
        Used {
            taken,
            busy_us,
            elapsed_us,
            requests: self.requests.load(Ordering::Relaxed),
            waits: waits.collect(),
            waited_us: self.waited_us.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every operation on it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self, now: Instant) {
        let more = now.saturating_duration_since(self.at).as_micros().saturating_mul(self.taken.into());
        self.busy_us = self.busy_us.saturating_add(more);
        self.at = now;
    }
}

impl Used {
    /// Share of so many places that was taken: 0 to 1.
    pub(crate) fn utilisation(&self, capacity: u32) -> f64 {
        let most = self.elapsed_us.saturating_mul(capacity.into()).max(1);
        (self.busy_us as f64 / most as f64).min(1.0)
    }

    /// How long so many in a hundred waited at most, in milliseconds.
    pub(crate) fn wait_ms(&self, percent: u64) -> Option<f64> {
        let all = self.waits.last().map_or(0, |(_, all)| *all);
        let needed = all.saturating_mul(percent).div_ceil(100);
        let (bound, _) = self.waits.iter().find(|(_, sum)| *sum >= needed && *sum > 0)?;
        Some(Duration::from_micros(*bound).as_secs_f64() * 1_000.0)
    }
}

fn bound_us(at: usize) -> u64 {
    let quarter = QUARTERS.get(at % 4).copied().unwrap_or(1000);
    let octave = u32::try_from(at / 4).unwrap_or(u32::MAX);
    quarter.checked_shl(octave).unwrap_or(u64::MAX)
}

impl Refused {
    /// One more.
    pub(crate) fn count(&self, code: &'static str) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = refused.entry(code).or_default();
        *count = count.saturating_add(1);
    }

    /// All.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_the_time_they_are_taken() {
        let began = Instant::now();
        let after = |s| began + Duration::from_secs(s);
        let mut state = State { began, at: began, taken: 1, busy_us: 0 };
        state.advance(after(1));
        state.taken = 2;
        state.advance(after(2));
        state.taken = 0;
        state.advance(after(4));
        assert_eq!((state.busy_us, state.at), (3_000_000, after(4)));
        let used = Used { busy_us: state.busy_us, elapsed_us: 4_000_000, ..Usage::default().used() };
        assert!((used.utilisation(2) - 0.375).abs() < 1e-9);
    }

    #[test]
    fn what_is_taken_is_free_again() {
        let usage = Usage::default();
        usage.take();
        usage.take();
        usage.free();
        let used = usage.used();
        assert_eq!((used.taken, used.requests), (1, 2));
    }

    #[test]
    fn a_quantile_is_the_bound_above_it() {
        let usage = Usage::default();
        assert_eq!(usage.used().wait_ms(50), None);
        for ms in 1..=100 {
            usage.waited(Duration::from_millis(ms));
        }
        let used = usage.used();
        for (percent, exact) in [(50, 50.0), (99, 99.0), (100, 100.0)] {
            let told = used.wait_ms(percent).unwrap();
            assert!(told >= exact && told <= exact * 1.19, "{percent}: {told}");
        }
        usage.waited(Duration::from_secs(1 << 20));
        assert_eq!(usage.used().waits.last().unwrap().1, 101);
    }

    #[test]
    fn bounds_grow_by_quarters_of_an_octave() {
        assert_eq!([0, 1, 2, 3, 4, 8].map(bound_us), [1000, 1189, 1414, 1682, 2000, 4000]);
        assert!((1..BUCKETS).all(|at| bound_us(at) > bound_us(at - 1)));
        assert!(bound_us(BUCKETS - 1) > 1_800_000_000);
    }
}
