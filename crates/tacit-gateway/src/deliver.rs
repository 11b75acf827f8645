//! Sends a job, believes or rejects what comes back, pays.
//!
//! Everything here starts from a job record on disk, so that it may run again after any interruption: the same bytes
//! are sent, the same answer comes back, the same voucher is signed.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use tacit_wire::{
    Answer, AnswerEvidence, JobId, Output, ResponseKey,
    http::HttpError,
    job::{Payload, ReturnPath},
    ledger::unix_time_s,
    message::{ErrorBody, JobResponse, PrepaidRequest},
    unlinked::UnlinkedWorker,
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::{
    attested::AttestedMessages,
    channel::Delivery,
    check::{self, AnswerReject, Asked, CheckedAnswer},
    dispute::is_traced,
    encrypted::EncryptedAnswer,
    error::GatewayError,
    gateway::Gateway,
    page::stages::{self, StageEvent},
    store::{AnswerRecord, ChannelRecord, JobRecord, JobState, Purpose},
};

/// Whether this is the first time that a job leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    First,
    Again,
}

/// What to do after a refusal.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The two sides' accounts agree again: make the job anew.
    Retry,
    /// Give up.
    Failed(GatewayError),
}

impl<E: Into<GatewayError>> From<E> for Undelivered {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Base64 of the largest answer, and its envelope.
const RESPONSE_BYTES_MAX: usize = tacit_wire::answer::ANSWER_BYTES_MAX / 3 * 4 + 4096;
/// By how much a worker's clock may differ from ours.
const CLOCKS_DIFFER_S: u64 = 300;
const IN_PROGRESS_RETRIES: u32 = 100;
const IN_PROGRESS_PAUSE: Duration = Duration::from_millis(200);
/// More workers than this must stall before they hold up another's voucher.
const RESUMED_AT_ONCE_MAX: usize = 64;
/// A worker that is slow to say that it is still working holds its lane, and the housekeeping, no longer than this.
const IN_PROGRESS_MAX: Duration = Duration::from_secs(150);

impl Gateway {
    /// Finishes every job that was sent and has no end yet, and hands over vouchers that did not arrive, on retired
    /// channels too until the ledger has closed them. Problems with one worker do not keep others waiting; they are
    /// logged.
    ///
    /// # Errors
    /// [`GatewayError`]: of the disk, or of a ledger that cannot be asked about a retired channel.
    pub async fn resume(self: &Arc<Self>) -> Result<(), GatewayError> {
        let (mut resuming, mut result) = (JoinSet::new(), Ok(()));
        let places = Arc::new(Semaphore::new(RESUMED_AT_ONCE_MAX));
        for (channel_id, channel) in self.store.channels()? {
            let (gateway, places) = (Arc::clone(self), Arc::clone(&places));
            resuming.spawn(async move {
                let _place = places.acquire().await.map_err(|_| GatewayError::Internal)?;
                gateway.resume_channel(channel_id, channel.worker).await
            });
        }
        while let Some(resumed) = resuming.join_next().await {
            result = result.and(resumed.map_err(|_| GatewayError::Internal).flatten());
        }
        result.and(self.resume_prepaid().await).and(self.resume_unlinked().await)
    }

    async fn resume_channel(&self, channel_id: B256, worker: Address) -> Result<(), GatewayError> {
        let lane = self.lane(worker);
        let _alone = lane.lock().await;
        let Some(channel) = self.store.channel(channel_id)? else { return Ok(()) };
        if channel.in_flight.is_none() && channel.delivered >= channel.signed {
            return Ok(());
        }
        if channel.retired && self.listed(channel_id).await?.is_none_or(|listed| !listed.open) {
            // Whatever is owed can no longer be settled.
            return Ok(());
        }
        if let Err(error) = self.finish_in_flight(&channel).await {
            tracing::warn!(%error, %worker, "an interrupted job is not finished yet");
        }
        let Some(channel) = self.store.channel(channel_id)? else { return Ok(()) };
        let last = channel.last_job.map(|job_id| self.store.job(job_id)).transpose()?.flatten();
        if let Some(job) = last {
            self.deliver_voucher(&self.whereabouts(&job).await, channel_id, &channel).await?;
        }
        Ok(())
    }

    /// Finishes what is in flight with a worker, as far as that can be done.
    pub(crate) async fn finish_with(&self, worker: Address) -> Result<(), GatewayError> {
        for (channel_id, channel) in self.store.channels()? {
            if channel.worker == worker && channel.in_flight.is_some() {
                self.resume_channel(channel_id, worker).await?;
            }
        }
        Ok(())
    }

    /// Finishes the job that a channel awaits. The caller holds the lane.
    pub(crate) async fn finish_in_flight(&self, channel: &ChannelRecord) -> Result<(), GatewayError> {
        let Some(job_id) = channel.in_flight else { return Ok(()) };
        let job = self.store.job(job_id)?.ok_or(GatewayError::Internal)?;
        match self.deliver(&job, Sending::Again).await {
            Ok(_)
            | Err(
                Undelivered::Retry
                | Undelivered::Failed(
                    GatewayError::Rejected { .. }
                    | GatewayError::Refused { .. }
                    | GatewayError::StalePrice { .. },
                ),
            ) => Ok(()),
            Err(Undelivered::Failed(error)) => Err(error),
        }
    }

    /// Sends a job that is on disk and takes it to its end. The caller holds the lane.
    pub(crate) async fn deliver(&self, job: &JobRecord, sending: Sending) -> Result<Delivery, Undelivered> {
        if job.state != JobState::Sent {
            return Err(GatewayError::Internal.into());
        }
        let moved;
        let job = match sending {
            Sending::First => job,
            Sending::Again => {
                moved = JobRecord { endpoint: self.whereabouts(job).await, ..job.clone() };
                &moved
            }
        };
        let unlinked = match job.prepaid {
            Some(_) => Some(self.unlinked_worker(job).await?),
            None => None,
        };
        let (worker, job_id) = (job.request.header.worker, job.request.header.job_id);
        let start = Instant::now();
        stages::reached(job.purpose, StageEvent::sent());
        // Once the worker may be at work, only what it says about this very job tells that it is not.
        let mut begun = sending == Sending::Again;
        for _ in 0..IN_PROGRESS_RETRIES {
            match self.send_job(job, unlinked.as_ref()).await {
                Ok(response) => return Ok(self.receive(job, response).await?),
                Err(HttpError::Refused { body, .. }) if body.code == "in_progress" => {
                    if start.elapsed() > IN_PROGRESS_MAX {
                        break;
                    }
                    begun = true;
                    tokio::time::sleep(IN_PROGRESS_PAUSE).await;
                }
                Err(HttpError::Refused { status, body }) if refused_for_good(status, &body, begun) => {
                    return Err(self.refused(job, &body).await);
                }
                Err(HttpError::TooLong { .. } | HttpError::Malformed { .. }) => {
                    return Err(self.reject(job, AnswerReject::Response)?.into());
                }
                Err(source) if !begun && !source.outcome_unknown() => {
                    self.store.put_refused(job, "unreachable", "the worker could not be reached")?;
                    return Err(unreachable(worker, None, source).into());
                }
                Err(source) => return Err(unreachable(worker, Some(job_id), source).into()),
            }
        }
        Err(GatewayError::Timeout.into())
    }

    async fn send_job(
        &self,
        job: &JobRecord,
        unlinked: Option<&UnlinkedWorker>,
    ) -> Result<JobResponse, HttpError> {
        match (unlinked, &job.prepaid) {
            (Some(worker), Some(prepaid)) => {
                let request = PrepaidRequest { job: job.request.clone(), tokens: prepaid.tokens.clone() };
                worker.post("/v1/prepaid", &request, RESPONSE_BYTES_MAX).await
            }
            _ => {
                let url = format!("{}/v1/jobs", job.endpoint);
                self.http.post(&url, &job.request, RESPONSE_BYTES_MAX).await
            }
        }
    }

    /// Checks a response; only if every check passes is a voucher signed, kept, and handed over.
    async fn receive(&self, job: &JobRecord, response: JobResponse) -> Result<Delivery, GatewayError> {
        if let Some(purchase) = &job.purchase {
            return self.receive_tokens(job, purchase, response).await;
        }
        let answer_bytes = u64::try_from(response.body.len()).unwrap_or(u64::MAX);
        let checked = match self.open_and_check(job, response).await? {
            Ok(checked) => checked,
            Err(reject) => return Err(self.reject(job, reject)?),
        };
        let header = &job.request.header;
        let answer = checked.answer();
        if let Some(session) = self.session_of(job)? {
            let now_s = self.session_time_s();
            if let Err(reject) = check_between(answer.receipt.receipt.completedAt, session.begun_s, now_s) {
                return Err(self.reject(job, reject)?);
            }
        }
        if is_traced(header.privacy, header.evidence)
            && let Err(reject) = check_time(job, answer.receipt.receipt.completedAt)
        {
            return Err(self.reject(job, reject)?);
        }
        let encrypted = match (&answer.output, &answer.evidence) {
            (Output::Ciphertext(ciphertext), AnswerEvidence::Seed(commitment)) => {
                Some(EncryptedAnswer { ciphertext: ciphertext.clone(), seed_commitment: *commitment })
            }
            _ => None,
        };
        let record = AnswerRecord {
            output: checked.logits().to_vec(),
            encrypted,
            answer_bytes,
            salts: answer.salts.clone(),
            time: answer.time,
            proof: answer.evidence.proof().cloned(),
            trace: answer.evidence.trace().cloned(),
            receipt: answer.receipt.clone(),
            verify_cpu_us: checked.verify_cpu_us(),
            anchor: None,
        };
        if let Purpose::Canary { known: Some(truth) } = job.purpose
            && !self.agrees_with(truth, job, &record)?
        {
            let reject = AnswerReject::WrongCanary;
            self.store.put_false_canary(job, &record, truth, reject.code(), &reject.to_string())?;
            let (worker, job_id) = (header.worker, header.job_id);
            return Err(GatewayError::Rejected { worker, job_id, reject: Box::new(reject) });
        }
        stages::reached(job.purpose, StageEvent::verified(record.verify_cpu_us));
        if job.prepaid.is_some() {
            self.store.put_prepaid_answered(job, &record)?;
            stages::reached(job.purpose, StageEvent::paid(header.price));
            return Ok(Delivery::Acknowledged);
        }
        let voucher = checked.sign_voucher(&self.wallet);
        self.store.put_signed(job, &record, &voucher)?;
        let channel = self.store.channel(header.channel_id)?.ok_or(GatewayError::Internal)?;
        let delivery = self.deliver_voucher(&job.endpoint, header.channel_id, &channel).await?;
        if delivery == Delivery::Acknowledged {
            stages::reached(job.purpose, StageEvent::paid(header.price));
        }
        Ok(delivery)
    }

    async fn open_and_check(
        &self,
        job: &JobRecord,
        response: JobResponse,
    ) -> Result<Result<CheckedAnswer, AnswerReject>, GatewayError> {
        let header = job.request.header;
        if response.job_id != header.job_id {
            return Ok(Err(AnswerReject::WrongJob));
        }
        let model = self.kept_model(header.model_id)?;
        let path = return_path(job).ok_or(GatewayError::Internal)?;
        let (values, encrypted) = (job.values.clone(), job.encrypted.clone());
        let keys = encrypted.as_ref().and_then(|question| question.keys);
        let keys = keys.map(|id| self.kept_keys(id)).transpose()?;
        let session = self.session_of(job)?;
        let trust = session.as_ref().map(|_| self.trust()).transpose()?;
        let watcher = stages::watcher(job.purpose);
        tokio::task::spawn_blocking(move || {
            let open = || -> Result<Answer, AnswerReject> {
                let opened = path.unwrap(&response.body)?;
                let answer = Answer::decode(&opened)?;
                if let Some(watcher) = &watcher {
                    watcher.opened(&answer, response.body.len());
                }
                Ok(answer)
            };
            let opened = |asked: Asked<'_>| check::check(&header, &model, asked, open()?);
            if let Some((session, trust)) = session.zip(trust) {
                return Ok(open().and_then(|answer| {
                    // Judged before the question was sealed, and again at the time of the answer, as whoever has the receipt does.
                    let at = answer.receipt.receipt.completedAt;
                    let judged = session.verify(header.chain_id, header.worker, header.model_id, &trust, at);
                    let attested = judged.map_err(|reject| AnswerReject::from(Box::new(reject)))?;
                    check::check(
                        &header,
                        &model,
                        Asked::Attested { values: &values, attested: &attested },
                        answer,
                    )
                }));
            }
            let Some(question) = encrypted else { return Ok(opened(Asked::Values(&values))) };
            // Made again from what was kept; it was made once already.
            let made = question.encrypt(model.graph(), &values, keys.as_deref());
            let (secret, query) = made.map_err(|_| GatewayError::Internal)?;
            Ok(opened(Asked::Encrypted { query: &query, secret: &secret }))
        })
        .await
        .map_err(|_| GatewayError::Internal)?
    }

    /// The session that a job was sealed to, where it was one's.
    fn session_of(&self, job: &JobRecord) -> Result<Option<AttestedMessages>, GatewayError> {
        let Some(evidence) = job.attested else { return Ok(None) };
        Ok(Some(self.store.session(evidence)?.ok_or(GatewayError::Internal)?))
    }

    /// Whether a canary is answered as the job that proved its row says.
    fn agrees_with(
        &self,
        truth: JobId,
        job: &JobRecord,
        answer: &AnswerRecord,
    ) -> Result<bool, GatewayError> {
        let truth = self.store.answer(truth)?.ok_or(GatewayError::Internal)?;
        let model = self.kept_model(job.request.header.model_id)?;
        let question = job.encrypted.as_ref().ok_or(GatewayError::Internal)?;
        let agrees = question.agrees(model.graph(), &truth.output, &answer.output);
        agrees.map_err(|_| GatewayError::Internal)
    }

    pub(crate) fn reject(&self, job: &JobRecord, reject: AnswerReject) -> Result<GatewayError, GatewayError> {
        self.store.put_rejected(job, reject.code(), &reject.to_string())?;
        let header = &job.request.header;
        Ok(GatewayError::Rejected { worker: header.worker, job_id: header.job_id, reject: Box::new(reject) })
    }

    /// A worker refused before working: find out whether the accounts differ honestly, or whether it wants more.
    async fn refused(&self, job: &JobRecord, body: &ErrorBody) -> Undelivered {
        match self.explain(job, body).await {
            Ok(undelivered) => undelivered,
            Err(error) => Undelivered::Failed(error),
        }
    }

    async fn explain(&self, job: &JobRecord, body: &ErrorBody) -> Result<Undelivered, GatewayError> {
        let header = &job.request.header;
        if job.prepaid.is_some() {
            return Ok(Undelivered::Failed(self.refused_prepaid(job, body)?));
        }
        let demanded = body.demand.unwrap_or_default();
        match body.code.as_str() {
            "wrong_cumulative" | "payment_required" => {
                if self.reconcile(&job.endpoint, header.channel_id).await? {
                    self.store.put_refused(job, &body.code, &body.message)?;
                    return Ok(Undelivered::Retry);
                }
                let signed = self.store.channel(header.channel_id)?.map(|channel| channel.signed);
                if signed.is_some_and(|signed| demanded > signed) {
                    let reject = AnswerReject::Overcharge { agreed: header.cumulative, demanded };
                    return Ok(Undelivered::Failed(self.reject(job, reject)?));
                }
            }
            "stale_price" if job.purchase.is_some() => {
                self.store.put_refused(job, &body.code, &body.message)?;
                return Ok(Undelivered::Failed(GatewayError::StalePrice { worker: header.worker }));
            }
            "stale_price" => {
                let asked = self.asked_price(job).await?;
                if asked == Some(header.price) && demanded > header.price {
                    let reject = AnswerReject::Overcharge { agreed: header.price, demanded };
                    return Ok(Undelivered::Failed(self.reject(job, reject)?));
                }
                self.store.put_refused(job, &body.code, &body.message)?;
                return Ok(Undelivered::Failed(GatewayError::StalePrice { worker: header.worker }));
            }
            "unknown_keys" => {
                self.store.put_refused(job, &body.code, &body.message)?;
                // A worker that asks for keys and needs none is refused like any other.
                if let Some(key_id) = job.encrypted.as_ref().and_then(|question| question.keys) {
                    self.send_keys(job, key_id).await?;
                    return Ok(Undelivered::Retry);
                }
            }
            _ => {}
        }
        self.store.put_refused(job, &body.code, &body.message)?;
        let ErrorBody { code, message, hint, opens_at, .. } = body.clone();
        let worker = header.worker;
        Ok(Undelivered::Failed(GatewayError::Refused { worker, code, message, hint, opens_at }))
    }

    async fn asked_price(&self, job: &JobRecord) -> Result<Option<tacit_wire::Amount>, GatewayError> {
        let header = &job.request.header;
        let (_, offers) = self.offers(&job.model, header.model_id, header.privacy, header.evidence).await?;
        Ok(offers.into_iter().find(|offer| offer.worker == header.worker).map(|offer| offer.price))
    }
}

/// Whether the worker says that it did not, and will not, work on this job. A worker that is busy or without its ledger
/// turns requests away before it looks at them: that says nothing about a job that it may have `begun`.
pub(crate) fn refused_for_good(status: u16, body: &ErrorBody, begun: bool) -> bool {
    let unread = matches!(body.code.as_str(), "busy" | "ledger_failed");
    status < 500 || body.code == "engine_failed" || (unread && !begun)
}

/// Whether a receipt that may be disputed is of the time in which its question was asked. An answer that is fetched late, after a crash, is as old as it is.
fn check_time(job: &JobRecord, got: u64) -> Result<(), AnswerReject> {
    check_between(got, job.sent_at, unix_time_s())
}

/// Whether an answer is of this time, less or more what clocks may differ.
pub(crate) fn check_between(got: u64, from_s: u64, to_s: u64) -> Result<(), AnswerReject> {
    let (from, to) = (from_s.saturating_sub(CLOCKS_DIFFER_S), to_s.saturating_add(CLOCKS_DIFFER_S));
    if (from..=to).contains(&got) { Ok(()) } else { Err(AnswerReject::CompletedAt { got, from, to }) }
}

fn return_path(job: &JobRecord) -> Option<ReturnPath> {
    match (&job.request.payload, job.response_key) {
        (Payload::Clear { .. } | Payload::Encrypted { .. }, None) => Some(ReturnPath::Clear),
        (Payload::Sealed { enc, .. } | Payload::Enclave { enc, .. }, Some(key)) => {
            Some(ReturnPath::Sealed { enc: enc.0, key: ResponseKey::from_bytes(key.0) })
        }
        _ => None,
    }
}

fn unreachable(worker: Address, job_id: Option<JobId>, source: HttpError) -> GatewayError {
    GatewayError::Unreachable { worker, job_id, source: Box::new(source) }
}
