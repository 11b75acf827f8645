//! One question, from its words to its answer.

use core::time::Duration;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    Amount, JobHeader, JobId,
    job::{Payload, ReturnPath},
    message::JobRequest,
};

use crate::{
    channel::Delivery,
    deliver::{Sending, Undelivered},
    error::GatewayError,
    gateway::Gateway,
    input::Input,
    market::Offer,
    store::{JobRecord, JobState},
    view::AskAnswer,
};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// Name or id of a published model.
    pub model: String,
    /// One row.
    pub input: Input,
    /// Who can see the input.
    #[serde(default = "sealed")]
    pub privacy: Privacy,
    /// Why the answer is believed.
    #[serde(default = "proved")]
    pub evidence: Evidence,
    /// Most to pay; the gateway's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Amount>,
    /// Name of the job: asking again with it pays once. Random when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Ask this worker only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Address>,
    /// How long to wait for the receipt's place on the ledger once the answer is there, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_wait_ms: Option<u64>,
}

const ATTEMPTS_PER_WORKER: u32 = 2;
const WORKERS_TRIED_MAX: usize = 5;
const ANCHOR_WAIT_MAX: Duration = Duration::from_secs(30);
const FINGERPRINT_CONTEXT: &str = "tacit 2026 question fingerprint v1";

const fn sealed() -> Privacy {
    Privacy::Sealed
}

const fn proved() -> Evidence {
    Evidence::Proved
}

impl AskRequest {
    /// A question with the default modes: sealed and proved.
    #[must_use]
    pub fn new(model: &str, input: Input) -> Self {
        Self {
            model: model.to_owned(),
            input,
            privacy: sealed(),
            evidence: proved(),
            max_price: None,
            job_id: None,
            worker: None,
            anchor_wait_ms: None,
        }
    }

    fn fingerprint(&self) -> B256 {
        let mut hasher = blake3::Hasher::new_derive_key(FINGERPRINT_CONTEXT);
        let named = u8::from(matches!(self.input, Input::Row(_)));
        hasher.update(self.model.as_bytes()).update(&[named, self.privacy as u8, self.evidence as u8]);
        self.input.hash_into(&mut hasher);
        B256::from(*hasher.finalize().as_bytes())
    }
}

impl Gateway {
    /// Answers a question: everything that can be refused is refused before anything is sent or paid.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn ask(&self, request: AskRequest) -> Result<AskAnswer, GatewayError> {
        request.input.check()?;
        let job_id = request.job_id.unwrap_or_else(JobId::random);
        let fingerprint = request.fingerprint();
        let _turn = self.job_turn(job_id).await;
        if let Some(job) = self.store.job(job_id)?
            && let Some(delivery) = self.ask_again(job, fingerprint).await?
        {
            return self.answered(&request, job_id, delivery).await;
        }
        let (privacy, evidence) = (request.privacy, request.evidence);
        if !matches!(privacy, Privacy::Clear | Privacy::Sealed)
            || !matches!(evidence, Evidence::Signed | Evidence::Proved)
        {
            return Err(GatewayError::Unsupported { privacy, evidence });
        }
        let model_id = self.resolve(&request.model).await?;
        let offers = self.affordable(&request, model_id).await?;
        let mut failure = GatewayError::NoAsk { privacy, evidence };
        for offer in offers.into_iter().take(WORKERS_TRIED_MAX) {
            let question = Question { request: &request, fingerprint, job_id, model_id };
            match self.ask_worker(&question, &offer).await {
                Ok(delivery) => return self.answered(&request, job_id, delivery).await,
                Err(error) if error.may_ask_another() => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Takes a job that was asked before to its end. `None` when it may be asked anew.
    async fn ask_again(&self, job: JobRecord, fingerprint: B256) -> Result<Option<Delivery>, GatewayError> {
        let job_id = job.request.header.job_id;
        if job.fingerprint != fingerprint {
            return Err(GatewayError::JobIdReused { job_id });
        }
        let lane = self.lane(job.request.header.worker);
        let _alone = lane.lock().await;
        // Read again: whoever held the lane may have finished it.
        let job = self.store.job(job_id)?.ok_or(GatewayError::Internal)?;
        match &job.state {
            JobState::Signed => {
                let channel_id = job.request.header.channel_id;
                let channel = self.store.channel(channel_id)?.ok_or(GatewayError::Internal)?;
                let delivered = job.request.header.cumulative <= channel.delivered;
                Ok(Some(if delivered { Delivery::Acknowledged } else { Delivery::Pending }))
            }
            JobState::Refused { .. } => Ok(None),
            JobState::Rejected { code, message } => {
                Err(GatewayError::FailedBefore { job_id, code: code.clone(), message: message.clone() })
            }
            JobState::Sent => match self.deliver(&job, Sending::Again).await {
                Ok(delivery) => Ok(Some(delivery)),
                Err(Undelivered::Retry) => Ok(None),
                Err(Undelivered::Failed(error)) => Err(error),
            },
        }
    }

    /// Offers within the price, from workers not caught before, cheapest first.
    async fn affordable(&self, request: &AskRequest, model_id: B256) -> Result<Vec<Offer>, GatewayError> {
        let AskRequest { privacy, evidence, .. } = *request;
        let max_price = request.max_price.unwrap_or(self.spending.max_price_default);
        let (_, offers) = self.offers(&request.model, model_id, privacy, evidence).await?;
        let (mut affordable, mut cheapest, mut distrusted) = (Vec::new(), None, None);
        for offer in offers {
            if request.worker.is_some_and(|worker| worker != offer.worker) {
                continue;
            }
            if let Some(distrust) = self.store.distrust(offer.worker)? {
                distrusted =
                    Some(GatewayError::Distrusted { worker: offer.worker, reason: distrust.message });
            } else if offer.price > max_price {
                cheapest = cheapest.or(Some(offer.price));
            } else {
                affordable.push(offer);
            }
        }
        match (affordable.is_empty(), cheapest, distrusted) {
            (false, _, _) => Ok(affordable),
            (true, Some(cheapest), _) => Err(GatewayError::TooExpensive { cheapest, max_price }),
            (true, None, Some(distrusted)) => Err(distrusted),
            (true, None, None) => Err(GatewayError::NoAsk { privacy, evidence }),
        }
    }

    async fn ask_worker(&self, question: &Question<'_>, offer: &Offer) -> Result<Delivery, GatewayError> {
        let model = self.known_model(question.model_id, offer).await?;
        let values = question.request.input.values(model.graph())?;
        let lane = self.lane(offer.worker);
        let _alone = lane.lock().await;
        for _ in 0..ATTEMPTS_PER_WORKER {
            let (channel_id, channel) = self.ready_channel(offer, offer.price).await?;
            let cumulative = channel.signed.checked_add(offer.price).ok_or(GatewayError::Overflow)?;
            let job = self.make_job(question, &values, offer, channel_id, cumulative)?;
            self.store.put_sent(&job)?;
            match self.deliver(&job, Sending::First).await {
                Ok(delivery) => return Ok(delivery),
                Err(Undelivered::Retry) => {}
                Err(Undelivered::Failed(error)) => return Err(error),
            }
        }
        Err(GatewayError::Refused {
            worker: offer.worker,
            code: "wrong_cumulative".to_owned(),
            message: "the accounts of the channel cannot be brought together".to_owned(),
            hint: "ask another worker".to_owned(),
        })
    }

    fn make_job(
        &self,
        question: &Question<'_>,
        values: &[i64],
        offer: &Offer,
        channel_id: B256,
        cumulative: Amount,
    ) -> Result<JobRecord, GatewayError> {
        let request = question.request;
        let header = JobHeader {
            chain_id: self.ledger.chain_id(),
            job_id: question.job_id,
            model_id: question.model_id,
            channel_id,
            client: self.address(),
            worker: offer.worker,
            privacy: request.privacy,
            evidence: request.evidence,
            price: offer.price,
            cumulative,
        };
        let (payload, path) = Payload::make(&header, offer.sealing_key, values)?;
        let response_key = match &path {
            ReturnPath::Clear => None,
            ReturnPath::Sealed { key, .. } => Some(B256::from(*key.to_bytes())),
        };
        let signature = self.wallet.sign_digest(header.digest(&payload))?;
        Ok(JobRecord {
            fingerprint: question.fingerprint,
            model: request.model.clone(),
            endpoint: offer.endpoint.clone(),
            request: JobRequest { header, payload, signature },
            values: values.to_vec(),
            response_key,
            state: JobState::Sent,
        })
    }

    async fn answered(
        &self,
        request: &AskRequest,
        job_id: JobId,
        delivery: Delivery,
    ) -> Result<AskAnswer, GatewayError> {
        if let Some(wait_ms) = request.anchor_wait_ms {
            let wait = Duration::from_millis(wait_ms).min(ANCHOR_WAIT_MAX);
            // The answer is checked and paid: a ledger that cannot be asked now does not take it away.
            if let Err(error) = self.wait_for_anchor(job_id, wait).await {
                tracing::warn!(%error, "the receipt's place is not known yet");
            }
        }
        self.view_answer(job_id, delivery)
    }
}

/// What stays the same whoever is asked.
struct Question<'a> {
    request: &'a AskRequest,
    fingerprint: B256,
    job_id: JobId,
    model_id: B256,
}
