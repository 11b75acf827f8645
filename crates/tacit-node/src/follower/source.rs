//! Nodes that a follower asks, and how it stands with each.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Bytes;
use thiserror::Error;

use crate::follow::RawBlock;

/// What an asked node answers, in its own time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unanswered>> + Send + 'a>>;

/// Another node of the network: a validator or a follower. Nothing that it says is believed unchecked; it must bound how long an
/// answer may take and how long it may be.
pub trait Source: Send + Sync + 'static {
    /// What to call it.
    fn name(&self) -> &str;

    /// Number of its newest block.
    fn head(&self) -> Answer<'_, u64>;

    /// Final blocks from `first` on, at most `count`; fewer where an answer would be too long, none that it does not have.
    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>>;

    /// Bytes of a `tacit_light::Finality` of this block.
    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>>;

    /// Bytes of a `tacit_light::Finality` of this block, or one of its next descendants, with votes. Followers have none.
    fn votes(&self, _number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }

    /// Hands transactions on. Whether each is taken is not said.
    fn send(&self, transactions: Vec<Bytes>) -> Answer<'_, ()>;

    /// The newest snapshot that it has.
    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>>;
}

/// Bytes as they come.
pub trait Chunks: Send {
    /// The next ones; `None` at the end.
    fn next(&mut self) -> Answer<'_, Option<Bytes>>;
}

/// Why a source gave no answer: it cannot be reached, does not have what it was asked for, or refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unanswered(
    /// One sentence.
    pub String,
);

/// All sources, in order.
pub(crate) struct Sources {
    sources: Vec<Arc<dyn Source>>,
    standings: Mutex<Vec<Standing>>,
}

/// How a source stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Not asked before.
    rests_until: Instant,
    failures: u32,
    /// All that it had when it was last asked is here.
    has_no_more: bool,
}

impl Sources {
    pub(crate) fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let standing = Standing { rests_until: Instant::now(), failures: 0, has_no_more: false };
        let standings = Mutex::new(vec![standing; sources.len()]);
        Self { sources, standings }
    }

    fn standings(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Arc<dyn Source>> {
        self.sources.get(index)
    }

    /// Sources that may be asked now, from the one at `first` on.
    pub(crate) fn usable(&self, first: usize) -> Vec<usize> {
        let (now, standings) = (Instant::now(), self.standings());
        let all = standings.iter().enumerate();
        let mut usable: Vec<usize> =
            all.filter(|(_, standing)| standing.rests_until <= now).map(|(index, _)| index).collect();
        let before = usable.iter().take_while(|index| **index < first).count();
        usable.rotate_left(before);
        usable
    }

    /// It answered; whether all that it has is here now.
    pub(crate) fn answered(&self, index: usize, has_no_more: bool) {
        if let Some(standing) = self.standings().get_mut(index) {
            (standing.failures, standing.has_no_more) = (0, has_no_more);
        }
    }

    /// Whether all that is to be had is here: some source has no more, and none that may be asked has.
    pub(crate) fn have_no_more(&self) -> bool {
        let (now, standings) = (Instant::now(), self.standings());
        standings.iter().any(|standing| standing.has_no_more)
            && standings.iter().all(|standing| standing.has_no_more || standing.rests_until > now)
    }

    /// It is not asked for a while: the longer, the more often in a row, up to `most`.
    pub(crate) fn rests(&self, index: usize, least: Duration, most: Duration) {
        if let Some(standing) = self.standings().get_mut(index) {
            let pause = least.saturating_mul(1 << standing.failures.min(16)).min(most);
            standing.failures = standing.failures.saturating_add(1);
            standing.rests_until = Instant::now() + pause;
            standing.has_no_more = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Source for Nobody {
        fn name(&self) -> &str {
            "nobody"
        }
        fn head(&self) -> Answer<'_, u64> {
            refuse()
        }
        fn blocks(&self, _: u64, _: u64) -> Answer<'_, Vec<RawBlock>> {
            refuse()
        }
        fn finality(&self, _: u64) -> Answer<'_, Option<Bytes>> {
            refuse()
        }
        fn send(&self, _: Vec<Bytes>) -> Answer<'_, ()> {
            refuse()
        }
        fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
            refuse()
        }
    }

    fn refuse<'a, T: Send + 'a>() -> Answer<'a, T> {
        Box::pin(async { Err(Unanswered("nobody is there".into())) })
    }

    #[test]
    fn sources_take_turns_and_rest_longer_each_time() {
        let sources = Sources::new((0..3).map(|_| Arc::new(Nobody) as Arc<dyn Source>).collect());
        assert_eq!(sources.usable(0), [0, 1, 2]);
        assert_eq!(sources.usable(2), [2, 0, 1]);
        assert_eq!(sources.usable(3), [0, 1, 2]);
        let (least, most) = (Duration::from_secs(10), Duration::from_secs(25));
        sources.rests(1, least, most);
        assert_eq!(sources.usable(1), [2, 0]);
        let rest = |index: usize| sources.standings()[index].rests_until - Instant::now();
        for (times, expected) in [(1, 20), (2, 25), (3, 25)] {
            sources.rests(1, least, most);
            assert_eq!(rest(1).as_secs() + 1, expected, "after {times} more");
        }
        assert!(!sources.have_no_more());
        sources.answered(0, true);
        assert!(!sources.have_no_more(), "the third may have more");
        sources.answered(2, true);
        assert!(sources.have_no_more(), "the second cannot be asked");
        sources.answered(0, false);
        assert!(!sources.have_no_more());
        sources.answered(1, true);
        sources.rests(1, Duration::ZERO, most);
        assert_eq!(sources.usable(0), [0, 1, 2]);
        sources.answered(0, true);
        assert!(!sources.have_no_more(), "the second rests no more");
    }
}
