//! What was asked lately, as figures: how long answers took, what each day cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{Amount, JobId};

use crate::{
    error::GatewayError,
    gateway::Gateway,
    store::{JobState, Purpose},
};

/// What was asked lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Newest answers, newest first.
    pub answers: Vec<AnswerPoint>,
    /// Days on which something was spent, oldest first.
    pub days: Vec<DaySpent>,
    /// Whether all that was ever paid is counted; the oldest is not, when it is too much.
    pub whole: bool,
}

/// How long an answer took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerPoint {
    /// The job.
    pub job_id: JobId,
    /// Model as it was asked for.
    pub model: String,
    /// Who could see the input.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// When the worker says that it answered, seconds since 1970.
    pub completed_at: u64,
    /// How long the engine worked, as the worker says.
    pub engine_ms: f64,
    /// Processor time of all our checks.
    pub verify_cpu_ms: f64,
    /// What was paid.
    pub price: Amount,
}

/// What a day cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DaySpent {
    /// Days since 1970 (UTC).
    pub day: u64,
    /// Answers to the user's questions.
    pub answers: u64,
    /// Answers to the gateway's own, for audits.
    pub hidden: u64,
    /// Answers of language models.
    pub streams: u64,
    /// Paid for answers to questions, hidden ones too.
    pub spent_jobs: Amount,
    /// Paid by the token.
    pub spent_streams: Amount,
}

const POINTS_MAX: usize = 60;
const COUNTED_MAX: usize = 5_000;
const DAY_S: u64 = 24 * 3600;

impl Gateway {
    /// What was asked lately.
    ///
    /// # Errors
    /// [`GatewayError::Store`], [`GatewayError::Overflow`].
    pub fn history(&self) -> Result<History, GatewayError> {
        let mut days: BTreeMap<u64, DaySpent> = BTreeMap::new();
        let job_ids = self.store.answered(COUNTED_MAX)?;
        let mut answers = Vec::new();
        for job_id in &job_ids {
            let Some(job) = self.store.job(*job_id)?.filter(|job| job.state == JobState::Signed) else {
                continue;
            };
            let header = &job.request.header;
            let day = day_of(&mut days, job.sent_at);
            let is_question = matches!(job.purpose, Purpose::Question { .. });
            let count = if is_question { &mut day.answers } else { &mut day.hidden };
            *count = count.saturating_add(1);
            day.spent_jobs = day.spent_jobs.checked_add(header.price).ok_or(GatewayError::Overflow)?;
            if is_question
                && answers.len() < POINTS_MAX
                && let Some(answer) = self.store.answer(*job_id)?
            {
                answers.push(AnswerPoint {
                    job_id: *job_id,
                    model: job.model,
                    privacy: header.privacy,
                    evidence: header.evidence,
                    completed_at: answer.receipt.receipt.completedAt,
                    engine_ms: milliseconds(answer.time.wall_us),
                    verify_cpu_ms: milliseconds(answer.verify_cpu_us),
                    price: header.price,
                });
            }
        }
        let streams = self.store.streams(COUNTED_MAX)?;
        for stream in streams.iter().filter(|stream| stream.fault.is_none()) {
            let receipt = &stream.receipt.receipt;
            let day = day_of(&mut days, receipt.completedAt);
            day.streams = day.streams.saturating_add(1);
            day.spent_streams =
                day.spent_streams.checked_add(Amount(receipt.price)).ok_or(GatewayError::Overflow)?;
        }
        let whole = job_ids.len() < COUNTED_MAX && streams.len() < COUNTED_MAX;
        Ok(History { answers, days: days.into_values().collect(), whole })
    }
}

fn day_of(days: &mut BTreeMap<u64, DaySpent>, time_s: u64) -> &mut DaySpent {
    let day = time_s / DAY_S;
    days.entry(day).or_insert(DaySpent { day, ..DaySpent::default() })
}

fn milliseconds(us: u64) -> f64 {
    core::time::Duration::from_micros(us).as_secs_f64() * 1_000.0
}
