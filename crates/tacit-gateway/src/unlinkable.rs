//! Questions that nobody can join to a payment: paid with tokens, asked through a relay, by an account that is made for each (`specs/0013-unlinkable.md`).
//!
//! The worker is asked for nothing but the answer and what belongs to it, all of it through the relay: the model, the job, the receipt's place. What names the asker elsewhere (a channel,
//! evaluation keys, walks through an audited run) has no place here, so that privacy is `clear` or `sealed`, and evidence `signed` or `proved`.
//!
//! # What the client risks
//! The tokens that were bought and not used, if their worker goes away; and the tokens of one question, if it answers falsely or not at all: they are shown before the answer is seen. A false
//! answer is kept with the worker's receipt, and the worker is not asked again.
//!
//! # What survives a crash
//! Tokens leave the wallet in the write that keeps the job, before anything is sent, and the same bytes are sent again after a restart. The tokens of a job that was refused go back, for that
//! question alone: shown with another one they would say that both are of one asker.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_verify::VerifyingModel;
use tacit_wire::{
    Amount, JobHeader, JobId, Wallet,
    job::{Payload, ReturnPath},
    ledger::unix_time_s,
    message::{ErrorBody, JobRequest, ModelInfo},
    token::{self, Token},
    unlinked::UnlinkedWorker,
};

use crate::{
    ask::{AskRequest, Asked, Question, WORKERS_TRIED_MAX},
    channel::Delivery,
    deliver::{Sending, Undelivered},
    error::GatewayError,
    gateway::Gateway,
    market::{MODEL_BYTES_MAX, Offer, recompute},
    page::stages::{self, StageEvent},
    store::{Distrust, JobRecord, JobState, UNUSABLE_CODES},
    view::AskAnswer,
};

/// What pays for a job, and how its worker is reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepaid {
    /// What was shown, or is about to be.
    pub tokens: Vec<Token>,
    /// The worker's key when it was made.
    pub sealing_key: B256,
}

const DISTRUST_CODE: &str = "tokens_refused";

impl core::fmt::Debug for Prepaid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Prepaid({} tokens)", self.tokens.len())
    }
}

impl Gateway {
    /// Answers a question that is not to be joined to a payment.
    pub(crate) async fn ask_unlinkably(&self, request: AskRequest) -> Result<AskAnswer, GatewayError> {
        let (privacy, evidence) = (request.privacy, request.evidence());
        if self.unlinkable.relay.is_none() {
            return Err(GatewayError::NoRelay);
        }
        if !matches!(
            (privacy, evidence),
            (Privacy::Clear | Privacy::Sealed, Evidence::Signed | Evidence::Proved)
        ) {
            return Err(GatewayError::NotUnlinkable { privacy, evidence });
        }
        let mut question = Question::of(&request, self.spending.max_price_default);
        let _turn = self.job_turn(question.job_id).await;
        let asked = Asked { delivery: Delivery::Acknowledged, spent: Amount::ZERO };
        if self.finish_prepaid(question.job_id, Some(question.fingerprint)).await? {
            return self.answered(&request, question.job_id, asked).await;
        }
        question.model_id = self.resolve(&request.model).await?;
        let offers = self.affordable(&question, request.worker).await?;
        let mut failure = GatewayError::NoAsk { privacy, evidence };
        for offer in offers.iter().take(WORKERS_TRIED_MAX) {
            match self.ask_prepaid(&question, &request, offer).await {
                Ok(()) => return self.answered(&request, question.job_id, asked).await,
                Err(error) if error.may_ask_another() => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Takes a job that tokens pay for to its end, if there is one. `false` where it may be made anew.
    async fn finish_prepaid(&self, job_id: JobId, asked: Option<B256>) -> Result<bool, GatewayError> {
        let Some(job) = self.store.job(job_id)? else { return Ok(false) };
        if job.prepaid.is_none() || asked.is_some_and(|asked| asked != job.fingerprint) {
            return Err(GatewayError::JobIdReused { job_id });
        }
        match &job.state {
            JobState::Signed => Ok(true),
            JobState::Refused { .. } => Ok(false),
            JobState::Rejected { code, message } => {
                Err(GatewayError::FailedBefore { job_id, code: code.clone(), message: message.clone() })
            }
            JobState::Sent => match self.deliver(&job, Sending::Again).await {
                Ok(_) => Ok(true),
                Err(Undelivered::Retry) => Ok(false),
                Err(Undelivered::Failed(error)) => Err(error),
            },
        }
    }

    /// Finishes jobs that tokens pay for and that were sent, as far as that can be done.
    pub(crate) async fn resume_prepaid(&self) -> Result<(), GatewayError> {
        for job_id in self.store.prepaid_in_flight()? {
            let _turn = self.job_turn(job_id).await;
            if let Err(error) = self.finish_prepaid(job_id, None).await {
                tracing::warn!(%error, "an interrupted job is not finished yet");
            }
        }
        Ok(())
    }

    async fn ask_prepaid(
        &self,
        question: &Question<'_>,
        request: &AskRequest,
        offer: &Offer,
    ) -> Result<(), GatewayError> {
        let tokens = self.choose_tokens(question, offer).await?;
        let model = self.unlinked_model(question.model_id, offer).await?;
        let values = request.input.values(model.graph())?;
        stages::reached(question.purpose, StageEvent::found(offer.worker, offer.price));
        let job = self.make_prepaid(question, offer, tokens, &values)?;
        self.store.put_prepaid_sent(&job)?;
        stages::reached(job.purpose, StageEvent::sealed(job.request.payload.body()));
        match self.deliver(&job, Sending::First).await {
            Ok(_) => Ok(()),
            Err(Undelivered::Retry) => Err(GatewayError::Internal),
            Err(Undelivered::Failed(error)) => Err(error),
        }
    }

    /// Tokens that pay for a question: those that were shown with it before, and then some that nobody saw. All of one key, whose price the ledger says.
    async fn choose_tokens(
        &self,
        question: &Question<'_>,
        offer: &Offer,
    ) -> Result<Vec<Token>, GatewayError> {
        let worker = offer.worker;
        let listed = self.ledger.tokens(worker).await?;
        let mut failure = GatewayError::NoTokens { worker, needed: None };
        // Older ones first: they are the first that are good no more.
        for key_id in [listed.previousKeyHash, listed.keyHash] {
            let Some(price) = listed.price_of(key_id, unix_time_s()) else { continue };
            let Some(needed) = token::tokens_for(offer.price.0, price) else { continue };
            let cost = u128::try_from(needed).ok().and_then(|needed| needed.checked_mul(price)).map(Amount);
            let cost = cost.ok_or(GatewayError::Overflow)?;
            if cost > question.max_price {
                failure = GatewayError::TooExpensive { cheapest: cost, max_price: question.max_price };
                continue;
            }
            let tokens = self.store.tokens_of(worker, key_id, question.fingerprint, needed)?;
            if tokens.len() == needed {
                return Ok(tokens);
            }
            failure = GatewayError::NoTokens { worker, needed: Some(needed) };
        }
        Err(failure)
    }

    /// The model behind an id: from memory or disk, or from the worker through the relay, in which case its id is recomputed.
    async fn unlinked_model(
        &self,
        model_id: B256,
        offer: &Offer,
    ) -> Result<Arc<VerifyingModel>, GatewayError> {
        if self.cached_model(model_id).is_some() || self.store.model(model_id)?.is_some() {
            return self.kept_model(model_id);
        }
        let worker = offer.worker;
        let path = format!("/v1/models/{model_id}");
        let unlinked = self.behind_relay(worker, offer.sealing_key)?;
        let fetched = unlinked.get::<ModelInfo>(&path, MODEL_BYTES_MAX).await;
        let info = fetched.map_err(|source| GatewayError::Unreachable {
            worker,
            job_id: None,
            source: Box::new(source),
        })?;
        let model =
            recompute(model_id, &info).ok_or(GatewayError::ModelMismatch { worker, expected: model_id });
        let model = Arc::new(model?);
        self.store.put_model(&ModelInfo { model_id, offer: None, misfit: None, ..info })?;
        self.cache_model(model_id, &model);
        Ok(model)
    }

    fn make_prepaid(
        &self,
        question: &Question<'_>,
        offer: &Offer,
        tokens: Vec<Token>,
        values: &[i64],
    ) -> Result<JobRecord, GatewayError> {
        // An account of this job alone: nobody needs its key again.
        let account = Wallet::random();
        let header = JobHeader {
            chain_id: self.ledger.chain_id(),
            job_id: question.job_id,
            model_id: question.model_id,
            channel_id: token::payment_id(&tokens),
            client: account.address(),
            worker: offer.worker,
            privacy: question.privacy,
            evidence: question.evidence,
            price: offer.price,
            cumulative: offer.price,
        };
        let (payload, path) = Payload::make(&header, offer.sealing_key, values)?;
        let response_key = match &path {
            ReturnPath::Clear => None,
            ReturnPath::Sealed { key, .. } => Some(B256::from(*key.to_bytes())),
        };
        let signature = account.sign_digest(header.digest(&payload));
        Ok(JobRecord {
            fingerprint: question.fingerprint,
            model: question.model.to_owned(),
            endpoint: offer.endpoint.clone(),
            request: JobRequest { header, payload, signature },
            values: values.to_vec(),
            response_key,
            encrypted: None,
            purpose: question.purpose,
            sent_at: unix_time_s(),
            max_price: Some(question.max_price),
            purchase: None,
            prepaid: Some(Prepaid { tokens, sealing_key: offer.sealing_key }),
            attested: None,
            state: JobState::Sent,
        })
    }

    /// A worker behind the relay.
    fn behind_relay(&self, worker: Address, sealing_key: B256) -> Result<UnlinkedWorker, GatewayError> {
        let relay = self.unlinkable.relay.as_deref().ok_or(GatewayError::NoRelay)?;
        UnlinkedWorker::new(relay, worker, sealing_key).map_err(GatewayError::Http)
    }

    /// The worker of a job behind the relay, under the key that its asks name now.
    pub(crate) async fn unlinked_worker(&self, job: &JobRecord) -> Result<UnlinkedWorker, GatewayError> {
        let prepaid = job.prepaid.as_ref().ok_or(GatewayError::Internal)?;
        let JobHeader { model_id, worker, .. } = job.request.header;
        let listing = self.ledger.listing(model_id).await;
        let asks = listing.map(|listing| listing.asks).unwrap_or_default();
        let current = asks.iter().find(|ask| ask.worker == worker).map(|ask| ask.terms.sealingKey);
        self.behind_relay(worker, current.unwrap_or(prepaid.sealing_key))
    }

    /// A worker refused tokens, or the job that they were to pay for.
    pub(crate) fn refused_prepaid(
        &self,
        job: &JobRecord,
        body: &ErrorBody,
    ) -> Result<GatewayError, GatewayError> {
        let JobHeader { worker, job_id, .. } = job.request.header;
        self.store.put_refused(job, &body.code, &body.message)?;
        if UNUSABLE_CODES.contains(&body.code.as_str()) {
            let message = format!("it does not take tokens that it sold: {}", body.message);
            let distrust = Distrust { code: DISTRUST_CODE.to_owned(), message, job_id };
            self.store.put_distrusted(worker, &distrust)?;
        }
        let ErrorBody { code, message, hint, opens_at, .. } = body.clone();
        Ok(GatewayError::Refused { worker, code, message, hint, opens_at })
    }
}
