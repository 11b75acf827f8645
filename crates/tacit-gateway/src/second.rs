//! Asks a second worker the same, where a gateway without the weights is to audit an answer.
//!
//! # Whom
//! Another account than the first's, of those that ask for the model in the same mode for no more than the first question was allowed to cost, and that were not caught before. Which of
//! them is drawn as requests are routed ([`tacit_market::routing`]): by chance, cheaper ones more often. The second question is one like any other: its own
//! job, sealed anew, on a channel to its worker, checked and paid as any answer is. Its worker is not told what it is for, and the one that it is compared with is not told either.
//!
//! # What survives a crash
//! The id under which the second worker is asked is on disk before the question leaves. A question that was sent and is not answered is not waited for: the same is asked of
//! another one under another id, a few times at most, and what the late one answers is paid all the same when it comes.

use alloy_primitives::{Address, B256};
use rand::TryRngCore;
use tacit_abi::receipts;
use tacit_market::{
    health::Seen,
    routing::{Candidate, Wishes, order},
};
use tacit_wire::{Amount, JobId, ledger::unix_time_s};

use crate::{
    ask::{Question, WORKERS_TRIED_MAX},
    error::GatewayError,
    gateway::Gateway,
    market::Offer,
    store::{AnswerRecord, Audit, JobRecord, JobState, Other, Purpose},
};

/// Ids under which a second worker is asked before an answer is left unaudited.
const SECONDS_MAX: usize = 3;
const TURN_CONTEXT: &str = "tacit 2026 turn of a pair v1";

impl Gateway {
    /// Asks a second worker the same as a job did, and compares what both committed to: what was paid now.
    ///
    /// # Errors
    /// [`GatewayError`]; the audit is then still open.
    pub(crate) async fn ask_second(&self, first: JobId) -> Result<Amount, GatewayError> {
        let _turn = self.job_turn(turn_of(first)).await;
        let (job, _) = self.answered_job(first)?;
        let (mut reason, mut tried) = (None, vec![job.request.header.worker, self.address()]);
        for _ in 0..=WORKERS_TRIED_MAX {
            let Some(Audit::Asking { mut seconds }) = self.store.audit(first)? else {
                return Ok(Amount::ZERO);
            };
            if let Some(second) = seconds.last().copied()
                && let Some(asked) = self.take_up(second).await?
            {
                return self.compare_roots(first, asked).await;
            }
            let Some(offer) = self.draw_second(&job, &seconds, &tried).await? else { break };
            // A job that was refused is made anew under its id; one that was sent is another's.
            let free = match seconds.last().copied() {
                Some(second) => self.store.job(second)?.is_none_or(|job| is_refused(&job)).then_some(second),
                None => None,
            };
            let second = match free {
                Some(second) => second,
                None if seconds.len() >= SECONDS_MAX => break,
                None => {
                    let second = JobId::random();
                    seconds.push(second);
                    self.store.put_audit(first, &Audit::Asking { seconds })?;
                    second
                }
            };
            tried.push(offer.worker);
            if let Err(error) = self.ask_this_second(&job, second, &offer).await {
                tracing::info!(%error, worker = %offer.worker, "a second worker does not answer");
                match error {
                    GatewayError::Ledger(_) | GatewayError::Store(_) => return Err(error),
                    error => reason = Some(error.to_string()),
                }
            }
        }
        let reason = reason.unwrap_or_else(|| "nobody else asks for it at that price".to_owned());
        self.store.put_audit(first, &Audit::NoSecondWorker { reason })?;
        Ok(Amount::ZERO)
    }

    /// Takes a question that was sent to its end: the job, if it is answered.
    async fn take_up(&self, second: JobId) -> Result<Option<JobRecord>, GatewayError> {
        let Some(job) = self.store.job(second)? else { return Ok(None) };
        if job.state == JobState::Sent
            && let Err(error) = self.finish(&job, job.fingerprint).await
        {
            match error {
                GatewayError::Ledger(_) | GatewayError::Store(_) => return Err(error),
                error => tracing::info!(%error, %second, "a second worker does not answer"),
            }
        }
        Ok(self.store.job(second)?.filter(|job| job.state == JobState::Signed))
    }

    /// Somebody else who may be asked.
    async fn draw_second(
        &self,
        job: &JobRecord,
        seconds: &[JobId],
        tried: &[Address],
    ) -> Result<Option<Offer>, GatewayError> {
        let header = &job.request.header;
        let mut asked = tried.to_vec();
        for second in seconds {
            asked.extend(self.store.job(*second)?.map(|job| job.request.header.worker));
        }
        let max_price = job.max_price.unwrap_or(header.price);
        let (_, offers) = self.offers(&job.model, header.model_id, header.privacy, header.evidence).await?;
        let mut candidates = Vec::new();
        for offer in offers {
            let known = asked.contains(&offer.worker) || self.store.distrust(offer.worker)?.is_some();
            if !known && offer.price <= max_price {
                let (worker, cost, seen) = (offer.worker, offer.price.0, Seen::default());
                candidates.push(Candidate { offer, worker, cost, seen, reputation: 0 });
            }
        }
        let draw = rand::rngs::OsRng.try_next_u64().map_err(|_| GatewayError::Internal)?;
        let now_ms = unix_time_s().saturating_mul(1_000);
        let drawn = order(candidates, &Wishes::default(), None, now_ms, draw).into_iter().next();
        Ok(drawn.map(|drawn| drawn.offer))
    }

    async fn ask_this_second(
        &self,
        job: &JobRecord,
        second: JobId,
        offer: &Offer,
    ) -> Result<(), GatewayError> {
        let header = &job.request.header;
        let question = Question {
            model: &job.model,
            privacy: header.privacy,
            evidence: header.evidence,
            max_price: job.max_price.unwrap_or(header.price),
            fingerprint: job.fingerprint,
            job_id: second,
            model_id: header.model_id,
            purpose: Purpose::Second { of: header.job_id },
        };
        let _turn = self.job_turn(second).await;
        let model = self.known_model(header.model_id, offer).await?;
        self.ask_over_channel(&question, offer, &model, &job.values, None).await.map(|_| ())
    }

    /// Compares what two workers committed to for one row.
    async fn compare_roots(&self, first: JobId, second: JobRecord) -> Result<Amount, GatewayError> {
        let second = second.request.header.job_id;
        let answered = [self.answered_job(first)?, self.answered_job(second)?];
        let root = |(_, answer): &(JobRecord, AnswerRecord)| answer.trace.as_ref().map(|trace| trace.root);
        let [one, other] = answered.each_ref().map(root);
        let [first_is, second_is] = answered.each_ref().map(|(job, answer)| other_of(job, answer));
        let paid = answered.map(|(job, _)| job.request.header.price);
        if one.is_none() || other.is_none() {
            return Err(GatewayError::Internal);
        }
        let audits = if one == other {
            [Audit::Agreed { with: second_is }, Audit::Agreed { with: first_is }]
        } else {
            let from_block = self.ledger.block_number().await?;
            let since_s = unix_time_s();
            [Audit::Differs { with: second_is, from_block, since_s }, Audit::Second { of: first }]
        };
        let [first_audit, second_audit] = &audits;
        self.store.put_pair([(first, first_audit), (second, second_audit)], &[])?;
        let [_, paid] = paid;
        Ok(paid)
    }
}

/// One at a time audits an answer. No job has this id.
pub(crate) fn turn_of(first: JobId) -> JobId {
    let mut hasher = blake3::Hasher::new_derive_key(TURN_CONTEXT);
    hasher.update(first.0.as_slice());
    JobId(B256::from(*hasher.finalize().as_bytes()))
}

pub(crate) fn other_of(job: &JobRecord, answer: &AnswerRecord) -> Other {
    let header = &job.request.header;
    let receipt = receipts::leaf(&answer.receipt.receipt, header.chain_id);
    Other { worker: header.worker, job_id: header.job_id, receipt }
}

fn is_refused(job: &JobRecord) -> bool {
    matches!(job.state, JobState::Refused { .. })
}
