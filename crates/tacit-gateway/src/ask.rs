//! One question, from its words to its answer.

use core::time::Duration;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_verify::VerifyingModel;
use tacit_wire::{
    Amount, JobHeader, JobId,
    job::{Payload, ReturnPath},
    ledger::unix_time_s,
    message::{GuestKey, JobRequest},
};

use crate::{
    attested::Wanted,
    channel::Delivery,
    deliver::{Sending, Undelivered},
    dispute::{Audited, is_traced},
    encrypted::EncryptedQuestion,
    error::GatewayError,
    gateway::Gateway,
    input::Input,
    keys::EncryptedTerms,
    market::Offer,
    page::stages::{self, StageEvent},
    store::{JobRecord, JobState, Purpose},
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
    /// Why the answer is believed; when left out, the most that one job can give: proved, signed under encryption, attested in a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Most to pay; the gateway's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Amount>,
    /// Name of the job: asking again with it pays once. Random when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Ask this worker only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Address>,
    /// Asks through the relay, and pays with tokens, so that nobody can tell whose question it is.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unlinkable: bool,
    /// How long to wait for the receipt's place on the ledger once the answer is there, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_wait_ms: Option<u64>,
}

/// Workers asked before a question is given up.
pub(crate) const WORKERS_TRIED_MAX: usize = 5;

/// Accounts that are to be brought together once, and keys that are to be sent once.
const ATTEMPTS_PER_WORKER: u32 = 3;
const ANCHOR_WAIT_MAX: Duration = Duration::from_secs(30);
const FINGERPRINT_CONTEXT: &str = "tacit 2026 question fingerprint v1";

const fn sealed() -> Privacy {
    Privacy::Sealed
}

impl AskRequest {
    /// A question with the default modes: sealed and proved.
    #[must_use]
    pub fn new(model: &str, input: Input) -> Self {
        Self {
            model: model.to_owned(),
            input,
            privacy: sealed(),
            evidence: None,
            max_price: None,
            job_id: None,
            worker: None,
            unlinkable: false,
            anchor_wait_ms: None,
        }
    }

    /// Why the answer will be believed.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let most = match self.privacy {
            Privacy::Encrypted => Evidence::Signed,
            Privacy::Enclave => Evidence::Attested,
            Privacy::Clear | Privacy::Sealed | Privacy::Shared => Evidence::Proved,
        };
        self.evidence.unwrap_or(most)
    }

    /// Refuses what no worker could do.
    fn check_mode(&self) -> Result<(), GatewayError> {
        match (self.privacy, self.evidence()) {
            (Privacy::Clear | Privacy::Sealed, Evidence::Signed | Evidence::Audited | Evidence::Proved)
            | (Privacy::Encrypted, Evidence::Signed | Evidence::Audited)
            | (Privacy::Enclave, Evidence::Attested) => Ok(()),
            (Privacy::Encrypted, Evidence::Proved) => Err(GatewayError::Unprovable),
            (privacy, evidence) => Err(GatewayError::Unsupported { privacy, evidence }),
        }
    }
}

/// Tells a question from another one under the same id.
pub(crate) fn fingerprint(model: &str, privacy: Privacy, evidence: Evidence, input: &Input) -> B256 {
    let mut hasher = blake3::Hasher::new_derive_key(FINGERPRINT_CONTEXT);
    let named = u8::from(matches!(input, Input::Row(_)));
    hasher.update(model.as_bytes()).update(&[named, privacy as u8, evidence as u8]);
    input.hash_into(&mut hasher);
    B256::from(*hasher.finalize().as_bytes())
}

impl Gateway {
    /// Answers a question: everything that can be refused is refused before anything is sent or paid.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn ask(&self, request: AskRequest) -> Result<AskAnswer, GatewayError> {
        request.input.check()?;
        if request.unlinkable {
            return self.ask_unlinkably(request).await;
        }
        let (privacy, evidence) = (request.privacy, request.evidence());
        let mut question = Question::of(&request, self.spending.max_price_default);
        let _turn = self.job_turn(question.job_id).await;
        if let Some(asked) = self.ask_again(&mut question).await? {
            return self.answered_audited(&request, question.job_id, asked).await;
        }
        request.check_mode()?;
        question.model_id = self.resolve(&request.model).await?;
        let model_id = question.model_id;
        if is_traced(privacy, evidence) {
            self.check_auditable(model_id).await?;
        }
        let offers = match self.affordable(&question, request.worker).await {
            Err(GatewayError::NoAsk { privacy: Privacy::Encrypted, evidence }) => {
                let no_ask = GatewayError::NoAsk { privacy, evidence };
                return Err(self.why_not_encrypted(model_id).await.unwrap_or(no_ask));
            }
            offers => offers?,
        };
        let asked = self.ask_someone(&question, &request.input, &offers).await?;
        self.answered_audited(&request, question.job_id, asked).await
    }

    /// Audits an answer, and gives out the one that is left.
    async fn answered_audited(
        &self,
        request: &AskRequest,
        job_id: JobId,
        mut asked: Asked,
    ) -> Result<AskAnswer, GatewayError> {
        let Audited { told, spent } = self.audit(job_id).await?;
        asked.spent = asked.spent.checked_add(spent).ok_or(GatewayError::Overflow)?;
        if told != job_id {
            let job = self.store.job(told)?.ok_or(GatewayError::Internal)?;
            asked.delivery = self.delivery_of(&job)?;
        }
        self.answered(request, told, asked).await
    }

    /// What became of the voucher of a job that was answered.
    fn delivery_of(&self, job: &JobRecord) -> Result<Delivery, GatewayError> {
        let channel = self.store.channel(job.request.header.channel_id)?.ok_or(GatewayError::Internal)?;
        let delivered = job.request.header.cumulative <= channel.delivered;
        Ok(if delivered { Delivery::Acknowledged } else { Delivery::Pending })
    }

    /// Takes a question that was asked before to its end. `None` when it may be asked anew.
    async fn ask_again(&self, question: &mut Question<'_>) -> Result<Option<Asked>, GatewayError> {
        let Some(job) = self.store.job(question.job_id)? else { return Ok(None) };
        let Some(delivery) = self.finish(&job, question.fingerprint).await? else { return Ok(None) };
        let mut asked = Asked { delivery, spent: Amount::ZERO };
        if question.evidence == Evidence::Audited && question.privacy == Privacy::Encrypted {
            question.model_id = job.request.header.model_id;
            asked.spent = self.settle_audit(question, &job).await?;
        }
        Ok(Some(asked))
    }

    /// Asks one worker after another until one answers.
    async fn ask_someone(
        &self,
        question: &Question<'_>,
        input: &Input,
        offers: &[Offer],
    ) -> Result<Asked, GatewayError> {
        let (privacy, evidence) = (question.privacy, question.evidence);
        let mut failure = GatewayError::NoAsk { privacy, evidence };
        let mut given_up = None;
        for offer in offers.iter().take(WORKERS_TRIED_MAX) {
            if let Some(worker) = given_up {
                stages::retried(worker, &failure);
            }
            match self.ask_worker(question, input, offer).await {
                Ok(asked) => return Ok(asked),
                Err(error) if error.may_ask_another() => {
                    given_up = Some(offer.worker);
                    failure = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Asks a question of the gateway's own, which has no canaries, and takes it to its end if it was asked before.
    pub(crate) async fn ask_plainly(
        &self,
        question: &Question<'_>,
        values: &[i64],
        offers: &[Offer],
    ) -> Result<(), GatewayError> {
        let _turn = self.job_turn(question.job_id).await;
        if let Some(job) = self.store.job(question.job_id)?
            && self.finish(&job, question.fingerprint).await?.is_some()
        {
            return Ok(());
        }
        let mut failure = GatewayError::NobodyProves;
        for offer in offers.iter().take(WORKERS_TRIED_MAX) {
            let model = self.known_model(question.model_id, offer).await?;
            match self.ask_over_channel(question, offer, &model, values, None).await {
                Ok(_) => return Ok(()),
                Err(error) if error.may_ask_another() => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Takes a job that was sent before to its end. `None` when it may be sent anew.
    pub(crate) async fn finish(
        &self,
        job: &JobRecord,
        fingerprint: B256,
    ) -> Result<Option<Delivery>, GatewayError> {
        let job_id = job.request.header.job_id;
        // Over a channel is another question than with tokens.
        if job.fingerprint != fingerprint || job.prepaid.is_some() || job.purchase.is_some() {
            return Err(GatewayError::JobIdReused { job_id });
        }
        let lane = self.lane(job.request.header.worker);
        let _alone = lane.lock().await;
        // Read again: whoever held the lane may have finished it.
        let job = self.store.job(job_id)?.ok_or(GatewayError::Internal)?;
        match &job.state {
            JobState::Signed => Ok(Some(self.delivery_of(&job)?)),
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
    pub(crate) async fn affordable(
        &self,
        question: &Question<'_>,
        only: Option<Address>,
    ) -> Result<Vec<Offer>, GatewayError> {
        let Question { model, model_id, privacy, evidence, max_price, .. } = *question;
        let (_, offers) = self.offers(model, model_id, privacy, evidence).await?;
        let (mut affordable, mut cheapest, mut distrusted) = (Vec::new(), None, None);
        for offer in offers {
            if only.is_some_and(|worker| worker != offer.worker) {
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

    async fn ask_worker(
        &self,
        question: &Question<'_>,
        input: &Input,
        offer: &Offer,
    ) -> Result<Asked, GatewayError> {
        let model = self.known_model(question.model_id, offer).await?;
        let values = input.values(model.graph())?;
        stages::reached(question.purpose, StageEvent::found(offer.worker, offer.price));
        if question.privacy == Privacy::Enclave {
            let delivery = self.ask_guest(question, offer, &model, &values).await?;
            return Ok(Asked { delivery, spent: Amount::ZERO });
        }
        if question.privacy != Privacy::Encrypted {
            let delivery = self.ask_over_channel(question, offer, &model, &values, None).await?;
            return Ok(Asked { delivery, spent: Amount::ZERO });
        }
        tacit_encrypt::fits(model.graph()).map_err(GatewayError::DoesNotFit)?;
        let terms = self.encrypted_terms(question.model_id, &model, offer).await?;
        let asked = if question.evidence == Evidence::Audited {
            self.ask_audited(question, offer, &model, &values, &terms).await
        } else {
            let delivery = self.ask_over_channel(question, offer, &model, &values, Some(&terms)).await;
            delivery.map(|delivery| Asked { delivery, spent: Amount::ZERO })
        };
        if asked.is_err() {
            // The worker's offer may have changed: it is asked for it again.
            self.forget_encrypted_offer(offer.worker, question.model_id);
        }
        asked
    }

    /// Asks a guest: judges it first, and seals to the key that its hardware vouches for. A worker that was restarted has forgotten its sessions: it
    /// is asked for another one, once.
    async fn ask_guest(
        &self,
        question: &Question<'_>,
        offer: &Offer,
        model: &VerifyingModel,
        values: &[i64],
    ) -> Result<Delivery, GatewayError> {
        let mut again = true;
        loop {
            let Offer { worker, endpoint, .. } = offer;
            let wanted =
                Wanted { worker: *worker, endpoint, model_id: question.model_id, kind: GuestKey::Jobs };
            let session = self.guest_session(wanted).await?;
            let key = B256::try_from(&session.messages.key[..]);
            let sealing_key = key.map_err(|_| GatewayError::Internal)?;
            let attested = Some(session.attested.evidence());
            let judged = Offer { sealing_key, attested, ..offer.clone() };
            match self.ask_over_channel(question, &judged, model, values, None).await {
                Err(GatewayError::Refused { code, .. }) if code == "no_session" && again => again = false,
                asked => return asked,
            }
            self.forget_guest(&session);
        }
    }

    /// Asks over the channel to a worker, which is opened first where there is none.
    pub(crate) async fn ask_over_channel(
        &self,
        question: &Question<'_>,
        offer: &Offer,
        model: &VerifyingModel,
        values: &[i64],
        encrypted: Option<&EncryptedTerms>,
    ) -> Result<Delivery, GatewayError> {
        let lane = self.lane(offer.worker);
        let _alone = lane.lock().await;
        for _ in 0..ATTEMPTS_PER_WORKER {
            let (channel_id, channel) = self.ready_channel(offer, offer.price).await?;
            stages::reached(question.purpose, StageEvent::channel(channel_id));
            if is_traced(question.privacy, question.evidence) {
                self.ensure_cover(offer, channel_id, &channel).await?;
            }
            let cumulative = channel.signed.checked_add(offer.price).ok_or(GatewayError::Overflow)?;
            let header = self.make_header(question, offer, channel_id, cumulative);
            let job = self.make_job(question, offer, header, model, values, encrypted)?;
            self.store.put_sent(&job)?;
            stages::reached(job.purpose, StageEvent::sealed(job.request.payload.body()));
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
            opens_at: None,
        })
    }

    fn make_header(
        &self,
        question: &Question<'_>,
        offer: &Offer,
        channel_id: B256,
        cumulative: Amount,
    ) -> JobHeader {
        JobHeader {
            chain_id: self.ledger.chain_id(),
            job_id: question.job_id,
            model_id: question.model_id,
            channel_id,
            client: self.address(),
            worker: offer.worker,
            privacy: question.privacy,
            evidence: question.evidence,
            price: offer.price,
            cumulative,
        }
    }

    fn make_job(
        &self,
        question: &Question<'_>,
        offer: &Offer,
        header: JobHeader,
        model: &VerifyingModel,
        values: &[i64],
        terms: Option<&EncryptedTerms>,
    ) -> Result<JobRecord, GatewayError> {
        let keys = terms.and_then(|terms| terms.keys.as_deref());
        let encrypted = terms.map(EncryptedQuestion::fresh).transpose()?;
        let (payload, path) = match &encrypted {
            // Each time with randomness of its own: one secret never hides two rows, nor answers two workers.
            Some(encrypted) => {
                let made = encrypted.encrypt(model.graph(), values, keys);
                let (_, query) = made.map_err(|_| GatewayError::Internal)?;
                Payload::encrypted(query)?
            }
            None => Payload::make(&header, offer.sealing_key, values)?,
        };
        let response_key = match &path {
            ReturnPath::Clear => None,
            ReturnPath::Sealed { key, .. } => Some(B256::from(*key.to_bytes())),
        };
        let signature = self.wallet.sign_digest(header.digest(&payload));
        Ok(JobRecord {
            fingerprint: question.fingerprint,
            model: question.model.to_owned(),
            endpoint: offer.endpoint.clone(),
            request: JobRequest { header, payload, signature },
            values: values.to_vec(),
            response_key,
            encrypted,
            purpose: question.purpose,
            sent_at: unix_time_s(),
            max_price: Some(question.max_price),
            attested: offer.attested,
            purchase: None,
            prepaid: None,
            state: JobState::Sent,
        })
    }

    pub(crate) async fn answered(
        &self,
        request: &AskRequest,
        job_id: JobId,
        asked: Asked,
    ) -> Result<AskAnswer, GatewayError> {
        if let Some(wait_ms) = request.anchor_wait_ms {
            let wait = Duration::from_millis(wait_ms).min(ANCHOR_WAIT_MAX);
            // The answer is checked and paid: a ledger that cannot be asked now does not take it away.
            if let Err(error) = self.wait_for_anchor(job_id, wait).await {
                tracing::warn!(%error, "the receipt's place is not known yet");
            }
        }
        self.view_answer(job_id, &asked)
    }
}

/// What stays the same whoever is asked.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) model: &'a str,
    pub(crate) privacy: Privacy,
    pub(crate) evidence: Evidence,
    pub(crate) max_price: Amount,
    pub(crate) fingerprint: B256,
    pub(crate) job_id: JobId,
    pub(crate) model_id: B256,
    pub(crate) purpose: Purpose,
}

impl<'a> Question<'a> {
    /// What a user asks, of a model that is not looked up yet.
    pub(crate) fn of(request: &'a AskRequest, max_price_default: Amount) -> Self {
        let (model, privacy, evidence) = (&request.model, request.privacy, request.evidence());
        Self {
            model,
            privacy,
            evidence,
            max_price: request.max_price.unwrap_or(max_price_default),
            fingerprint: fingerprint(model, privacy, evidence, &request.input),
            job_id: request.job_id.unwrap_or_else(JobId::random),
            model_id: B256::ZERO,
            purpose: Purpose::default(),
        }
    }
}

/// What became of a question that was answered.
pub(crate) struct Asked {
    pub(crate) delivery: Delivery,
    /// Paid beside it, for canaries and proofs.
    pub(crate) spent: Amount,
}
