//! What the gateway adds to an answer: how long a question is in its hands.
//!
//! **Before**: from when the head of a request was read until a connection to the worker takes the sealed request. **After**: from when the worker's last frame was read until the
//! end of the answer is given to the connection of whoever asked. Waiting is part of both, whether for a lock, the disk or a turn on a core. What the worker and its
//! engine take is not, nor what becomes of a byte outside: before it is read, and after it is written.
//!
//! Answers that came to their end are counted, in buckets whose bounds grow by a quarter of an octave: a quantile is told as the bound above it, at most 19 % too high.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// How long questions were in the gateway's hands, since it began: `GET /tacit/v1/added`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedTimes {
    /// Until the request was sent.
    pub before: Times,
    /// From the last frame on.
    pub after: Times,
    /// Both, of each answer.
    pub both: Times,
}

/// How many answers took how long, shortest first; what nothing took is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times(pub Vec<Bucket>);

/// Answers that took about as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// They took at most this long, microseconds.
    pub at_most_us: u64,
    /// How many.
    pub answers: u64,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Added {
    before: Histogram,
    after: Histogram,
    both: Histogram,
}

/// One question while it is in the gateway's hands.
#[derive(Debug)]
pub(crate) struct Watch {
    arrived: Instant,
    /// Microseconds after `arrived`.
    sent_us: AtomicU64,
    last_us: AtomicU64,
}

#[derive(Debug)]
struct Histogram([AtomicU64; BUCKETS]);

/// From 16 microseconds to over a quarter of an hour.
const BUCKETS: usize = 104;
/// `2^(n/4)`, in thousandths.
const QUARTERS: [u64; 4] = [1000, 1189, 1414, 1682];
/// Thousandths of the first bound, in microseconds, are one of these.
const SCALE: u64 = 62;
/// Nothing was noted.
const NEVER: u64 = u64::MAX;

impl AddedTimes {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            before: self.before.since(&earlier.before),
            after: self.after.since(&earlier.after),
            both: self.both.since(&earlier.both),
        }
    }
}

impl Times {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound: u64| {
            earlier.0.iter().find(|bucket| bucket.at_most_us == bound).map_or(0, |bucket| bucket.answers)
        };
        let buckets = self.0.iter().map(|bucket| Bucket {
            answers: bucket.answers.saturating_sub(before(bucket.at_most_us)),
            ..*bucket
        });
        Self(buckets.filter(|bucket| bucket.answers > 0).collect())
    }

    /// How long so many in a hundred took at most, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, percent: u64) -> Option<f64> {
        let all = self.0.iter().fold(0_u64, |sum, bucket| sum.saturating_add(bucket.answers));
        let needed = all.saturating_mul(percent).div_ceil(100);
        let mut sum = 0_u64;
        let found = self.0.iter().find(|bucket| {
            sum = sum.saturating_add(bucket.answers);
            sum >= needed
        });
        found.map(|bucket| Duration::from_micros(bucket.at_most_us).as_secs_f64() * 1_000.0)
    }
}

impl Watch {
    /// A question whose head was just read.
    pub(crate) fn begin() -> Arc<Self> {
        let never = || AtomicU64::new(NEVER);
        Arc::new(Self { arrived: Instant::now(), sent_us: never(), last_us: never() })
    }

    /// A connection to a worker takes the request; of several times the last one counts.
    pub(crate) fn sent(&self) {
        self.sent_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// Something came from the worker; of several times the last one counts.
    pub(crate) fn came(&self) {
        self.last_us.store(self.now_us(), Ordering::Relaxed);
    }

    fn now_us(&self) -> u64 {
        us(self.arrived.elapsed())
    }
}

impl Added {
    /// The end of an answer is given to whoever asked.
    pub(crate) fn ended(&self, watch: &Watch) {
        let (sent, last) = (watch.sent_us.load(Ordering::Relaxed), watch.last_us.load(Ordering::Relaxed));
        if sent == NEVER || last == NEVER {
            return;
        }
        let after = watch.now_us().saturating_sub(last);
        self.before.count(sent);
        self.after.count(after);
        self.both.count(sent.saturating_add(after));
    }

    pub(crate) fn times(&self) -> AddedTimes {
        AddedTimes { before: self.before.times(), after: self.after.times(), both: self.both.times() }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    fn count(&self, us: u64) {
        let at = (0..BUCKETS).find(|at| us <= bound_us(*at)).unwrap_or(BUCKETS.saturating_sub(1));
        if let Some(bucket) = self.0.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn times(&self) -> Times {
        let buckets = self
            .0
            .iter()
            .enumerate()
            .map(|(at, bucket)| Bucket { at_most_us: bound_us(at), answers: bucket.load(Ordering::Relaxed) });
        Times(buckets.filter(|bucket| bucket.answers > 0).collect())
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn bound_us(at: usize) -> u64 {
    let quarter = QUARTERS.get(at % 4).copied().unwrap_or(1000);
    let octave = u32::try_from(at / 4).unwrap_or(u32::MAX);
    quarter.checked_shl(octave).unwrap_or(u64::MAX) / SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_by_quarters_of_an_octave() {
        assert_eq!([0, 1, 2, 3, 4].map(bound_us), [16, 19, 22, 27, 32]);
        assert!((1..BUCKETS).all(|at| bound_us(at) > bound_us(at - 1)));
        assert!(bound_us(BUCKETS - 1) > 900_000_000);
    }

    #[test]
    fn a_quantile_is_the_bound_above_it_and_counts_from_an_earlier_time() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times().quantile_ms(50), None);
        for us in 1..=1_000 {
            histogram.count(us * 10);
        }
        let earlier = histogram.times();
        for (percent, exact) in [(50, 5.0), (99, 9.9), (100, 10.0)] {
            let told = earlier.quantile_ms(percent).unwrap();
            assert!(told >= exact && told <= exact * 1.2, "{percent}: {told}");
        }
        assert_eq!(earlier.since(&earlier), Times::default());
        histogram.count(u64::MAX);
        let since = histogram.times().since(&earlier);
        assert_eq!(since.0.len(), 1);
        assert!(since.quantile_ms(1) > earlier.quantile_ms(100));
    }

    #[test]
    fn only_what_was_sent_and_answered_is_counted() {
        let (added, watch) = (Added::default(), Watch::begin());
        added.ended(&watch);
        watch.sent();
        added.ended(&watch);
        assert_eq!(added.times(), AddedTimes::default());
        watch.came();
        added.ended(&watch);
        let times = added.times();
        for times in [times.before, times.after, times.both] {
            assert_eq!(times.0.iter().map(|bucket| bucket.answers).sum::<u64>(), 1);
        }
    }
}
