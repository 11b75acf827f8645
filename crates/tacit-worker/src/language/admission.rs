//! What is checked of a request before anything is done for it.

use std::sync::Arc;

use alloy_primitives::B256;
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    Amount, JobId,
    language::TokenCount,
    session::FrameSealer,
    stream::{Envelope, StreamHead, open_request, read_envelope},
};
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use super::{
    Languages, Phase,
    account::{Charge, Demand},
    model::LanguageModel,
    refusal::StreamRefusal,
    session::{Guest, Session},
};
use crate::{reject::JobReject, worker::Worker};

/// A request whose seal was opened: what is refused from here on is refused under the seal.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) sealer: FrameSealer,
    pub(super) head: StreamHead,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// A request that passed every check. Only an admitted one reaches an engine.
pub(super) struct Admitted {
    pub(super) head: StreamHead,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// The body as the engine is given it.
    pub(super) asked: Vec<u8>,
    pub(super) model: Arc<LanguageModel>,
    pub(super) charge: Charge,
    pub(super) prompt_tokens: u64,
    /// Id of the evidence of the guest's session that it came over, where it came over one.
    pub(super) attested: Option<B256>,
    pub(super) places: Places,
}

/// What a request occupies; free when dropped.
pub(super) struct Places {
    worker: Arc<Worker>,
    job_id: JobId,
    model: Arc<LanguageModel>,
    _model: OwnedSemaphorePermit,
    _stream: OwnedSemaphorePermit,
}

impl Drop for Places {
    fn drop(&mut self) {
        self.worker.languages.jobs().remove(&self.job_id);
        self.model.usage.free();
    }
}

/// Bodies longer than this are counted beside the other work.
const INLINE_BYTES_MAX: usize = 8 * 1024;

impl Worker {
    /// Opens a request, and uses its number up.
    pub(super) fn open_stream_request(&self, bytes: &[u8]) -> Result<Opened, StreamRefusal> {
        let (envelope, sealed, session) = self.check_envelope(bytes)?;
        let (head, body) = open_request(&session.secret, envelope.sequence, sealed)?;
        session.take_number(envelope.sequence)?;
        let sealer = session.secret.sealer(envelope.sequence);
        Ok(Opened { session, sealer, head, body })
    }

    /// Finds the session of a request, of which only the beginning need be there.
    pub(super) fn check_envelope<'a>(
        &self,
        bytes: &'a [u8],
    ) -> Result<(Envelope, &'a [u8], Arc<Session>), StreamRefusal> {
        let (envelope, sealed) = read_envelope(bytes)?;
        let session = self.languages.sessions.find(envelope.session_id, self.clock.unix_time_s())?;
        session.check_number(envelope.sequence)?;
        Ok((envelope, sealed, session))
    }

    /// Checks everything else, in the order of the specification.
    pub(super) async fn admit_stream(
        self: &Arc<Self>,
        session: &Session,
        head: StreamHead,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Admitted, StreamRefusal> {
        if *self.languages.phase.borrow() != Phase::Serving || self.is_drained() {
            return Err(StreamRefusal::Draining);
        }
        let model = self.languages.offered(&head, session)?;
        let job = self.claim(head.job_id)?;
        let account = &session.account;
        if let Some(voucher) = &head.voucher {
            self.take_voucher(account, voucher).await?;
        }
        self.listed(account, |listed| listed.is_open).await?;
        let (prompt_tokens, body) = count_prompt(&model, body).await?;
        let asked = model.engine().request(&body)?;
        let prices = model.prices();
        let count = TokenCount { prompt: prompt_tokens, completion: 0 };
        // More than any amount is more than any limit.
        let cost = prices.cost(count).unwrap_or(Amount(u128::MAX));
        if cost > head.limit {
            return Err(StreamRefusal::OverLimit { cost, limit: head.limit });
        }
        let room = account.begin(cost, prices.chunk());
        let charge = room.map_err(|Demand(demand)| StreamRefusal::PaymentRequired { demand })?;
        if !model.engine().is_available() {
            return Err(StreamRefusal::EngineUnavailable);
        }
        let places = job.take_places(&model)?;
        self.languages.journal.note(account);
        let attested = session.guest.map(|guest| guest.evidence);
        Ok(Admitted { head, body, asked, model, charge, prompt_tokens, attested, places })
    }

    /// Nobody else uses the name meanwhile.
    pub(super) fn claim(self: &Arc<Self>, job_id: JobId) -> Result<Claim, StreamRefusal> {
        let reused = || JobReject::JobIdReused { job_id };
        if !self.languages.jobs().insert(job_id) {
            return Err(reused().into());
        }
        let claim = Claim { worker: Arc::clone(self), job_id, kept: false };
        // A job or a stream that was answered before.
        if self.store.job(job_id)?.is_some() || self.busy().values().any(|running| *running == job_id) {
            return Err(reused().into());
        }
        Ok(claim)
    }
}

/// A name that is taken until the request is refused or ends.
pub(super) struct Claim {
    worker: Arc<Worker>,
    job_id: JobId,
    kept: bool,
}

impl Claim {
    pub(super) fn take_places(mut self, model: &Arc<LanguageModel>) -> Result<Places, StreamRefusal> {
        let place = |places: &Arc<tokio::sync::Semaphore>| {
            Arc::clone(places).try_acquire_owned().map_err(|_| StreamRefusal::Busy)
        };
        let (_model, _stream) = (place(&model.places)?, place(&self.worker.languages.streams)?);
        self.kept = true;
        model.usage.take();
        let (worker, model) = (Arc::clone(&self.worker), Arc::clone(model));
        Ok(Places { worker, job_id: self.job_id, model, _model, _stream })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            self.worker.languages.jobs().remove(&self.job_id);
        }
    }
}

impl Languages {
    /// The model, if it is offered on these terms, over this session.
    fn offered(&self, head: &StreamHead, session: &Session) -> Result<Arc<LanguageModel>, StreamRefusal> {
        let model = self.offered_in(head, session.mode())?;
        if let Some(Guest { key, .. }) = session.guest.filter(|guest| guest.model != head.model_id) {
            return Err(JobReject::NoSession { key }.into());
        }
        Ok(model)
    }

    /// The model, if it is offered on these terms, asked in this mode.
    pub(super) fn offered_in(
        &self,
        head: &StreamHead,
        mode: (Privacy, Evidence),
    ) -> Result<Arc<LanguageModel>, StreamRefusal> {
        let model_id = head.model_id;
        let model = self.models.get(&model_id).ok_or(JobReject::UnknownModel { model_id })?;
        let StreamHead { privacy, evidence, .. } = *head;
        if (privacy, evidence) != mode {
            return Err(JobReject::UnsupportedMode { privacy, evidence }.into());
        }
        if head.prices != model.prices() {
            return Err(StreamRefusal::StalePrices { expected: model.prices() });
        }
        Ok(Arc::clone(model))
    }
}

/// Counts a prompt; a long one on another thread.
pub(super) async fn count_prompt(
    model: &Arc<LanguageModel>,
    body: Zeroizing<Vec<u8>>,
) -> Result<(u64, Zeroizing<Vec<u8>>), StreamRefusal> {
    if body.len() <= INLINE_BYTES_MAX {
        return Ok((model.meter().prompt(&body)?, body));
    }
    let model = Arc::clone(model);
    let counted = tokio::task::spawn_blocking(move || (model.meter().prompt(&body), body)).await;
    let (tokens, body) = counted.map_err(|_| JobReject::Internal)?;
    Ok((tokens?, body))
}
