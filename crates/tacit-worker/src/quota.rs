//! How many questions a model answers in a day.
//!
//! Answers tell what a model is, whoever cannot read what: a linear model is known to the last bit after as many questions as it has inputs,
//! in any mode. So its owner counts questions, all modes together, by UTC day: those of one client, and those of all clients.
//!
//! # What it holds against
//! A client is an account, and accounts are free. Whoever has many gets as many quotas, and pays a channel's gas for each; the total
//! alone bounds what all of them learn in a day, and it is used up by honest clients as well. Neither bounds what is learned in the end.
//!
//! # Invariants
//! An answer and its count are one write, so that no answer leaves uncounted and none is counted twice. Questions that are being
//! answered count as well, so that many at once get no further than one after another. A question that gets no answer does not count.

use core::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use tacit_wire::{JobHeader, JobId};

use crate::{reject::JobReject, served::ServedModel, worker::Worker};

/// Most questions that a model answers in a UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Quota {
    /// To one client.
    pub per_client: Option<NonZeroU64>,
    /// To all clients together.
    pub total: Option<NonZeroU64>,
}

/// Whose questions were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Those of one client.
    Client,
    /// Those of all.
    All,
}

/// Answers that were given about a model in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayCount {
    /// To one client.
    pub client: u64,
    /// To all clients.
    pub total: u64,
}

/// A UTC day, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u64);

/// A question that is being answered, and counted meanwhile. Dropping it ends that: by then its answer is counted on disk, or there is none.
pub(crate) struct Counting {
    worker: Arc<Worker>,
    question: Question,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) day: Day,
    pub(crate) model_id: B256,
    pub(crate) client: Address,
    pub(crate) job_id: JobId,
}

const DAY_S: u64 = 86_400;

impl Day {
    /// The day of a time in seconds since 1970.
    #[must_use]
    pub const fn of(unix_time_s: u64) -> Self {
        Self(unix_time_s / DAY_S)
    }

    /// Its first second.
    #[must_use]
    pub const fn start_s(self) -> u64 {
        self.0.saturating_mul(DAY_S)
    }

    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// The date, `2026-01-31`.
impl core::fmt::Display for Day {
    /// Howard Hinnant, *chrono-compatible low-level date algorithms* (2013), `civil_from_days`: years begin in March, eras have 400.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Years beyond this have no four digits.
        let shifted = self.0.min(2_932_896) + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.worker.counting().retain(|question| *question != self.question);
    }
}

impl Counting {
    /// The day that the question counts for.
    pub(crate) fn day(&self) -> Day {
        self.question.day
    }
}

impl Worker {
    /// Counts a question from now on, if the quota of its model has room for it. The job is on no other way through this worker.
    pub(crate) fn count(
        self: &Arc<Self>,
        header: &JobHeader,
        model: &ServedModel,
    ) -> Result<Counting, JobReject> {
        let JobHeader { model_id, client, job_id, .. } = *header;
        let day = Day::of(self.clock.unix_time_s());
        let question = Question { day, model_id, client, job_id };
        let mut counting = self.counting();
        let beside: Vec<Question> =
            counting.iter().filter(|other| (other.day, other.model_id) == (day, model_id)).copied().collect();
        // In one snapshot: a question that is answered meanwhile is neither missed nor counted twice.
        let count = self.store.day_count(day, model_id, client, &beside)?;
        let Quota { per_client, total } = model.quota();
        for (counted, limit, count) in
            [(Counted::Client, per_client, count.client), (Counted::All, total, count.total)]
        {
            if let Some(limit) = limit.map(NonZeroU64::get).filter(|limit| count >= *limit) {
                return Err(JobReject::QuotaExceeded { counted, limit, opens: day.next() });
            }
        }
        counting.push(question);
        Ok(Counting { worker: Arc::clone(self), question })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dates by `date -u -d @N +%F`.
    #[test]
    fn days_have_dates() {
        for (second, date) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(Day::of(second).to_string(), date);
        }
        assert_eq!(Day(u64::MAX).to_string(), "9999-12-31");
        assert_eq!((Day::of(86_400 * 3 - 1), Day(3).start_s()), (Day(2), 86_400 * 3));
    }
}
