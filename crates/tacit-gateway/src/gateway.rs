//! The gateway: its key, its ledger, its memory.

use core::time::Duration;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256};
use tacit_encrypt::{Offer, client::ClientKeys};
use tacit_market::Ratio;
use tacit_verify::VerifyingModel;
use tacit_wire::{Amount, JobId, LedgerClient, Wallet, http::JsonClient};

use tokio::sync::Semaphore;

use crate::{
    attested::{Attestation, Attesting},
    canary::CanaryPolicy,
    dispute::AuditPolicy,
    error::GatewayError,
    openai::{
        ApiKeys, added::Added, caps::Budget, door::ANSWERS_MAX, health::Health, language::Languages,
        likeness::LanguageAudits, link::Links, market::Market, receipts::Unwritten,
    },
    page::stages::WATCHED_MAX,
    reputations::Reputations,
    store::Store,
    tokens::UnlinkablePolicy,
};

/// What a gateway is made of.
#[expect(missing_debug_implementations, reason = "it holds a secret key")]
pub struct GatewayConfig {
    /// Key that owns channels and signs vouchers.
    pub wallet: Wallet,
    /// The ledger.
    pub ledger: LedgerClient,
    /// Where jobs, vouchers and receipts are kept.
    pub store: Store,
    /// How much may be spent.
    pub spending: Spending,
    /// How questions are hidden among the user's where answers are audited.
    pub canaries: CanaryPolicy,
    /// Which audited answers are done again that were not encrypted, and with what.
    pub audits: AuditPolicy,
    /// How questions are asked that nobody can join to a payment.
    pub unlinkable: UnlinkablePolicy,
    /// Who may ask at the OpenAI interface, and how patiently.
    pub door: DoorConfig,
    /// What evidence of hardware is judged by; without it, nothing is asked in `enclave`.
    pub attestation: Option<Attestation>,
}

/// The OpenAI interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorConfig {
    /// File of keys ([`crate::openai::ApiKeys`]); none: any program on this machine may ask.
    pub api_keys: Option<PathBuf>,
    /// Longest that a worker may say nothing.
    pub patience: Duration,
    /// Bytes of requests and answers that are kept with their receipts, so that those can be shown to others; the oldest are forgotten first.
    pub kept_bytes: u64,
    /// How many answers of language models are computed again by another worker ([`crate::openai::likeness`]); [`Ratio::ZERO`] changes no request.
    pub audit_language: Ratio,
    /// How many of these by asking another worker the same, so that it cannot tell that it audits; of the others it computes a few places again.
    pub audit_whole: Ratio,
}

/// As many requests and answers are kept where nobody says.
pub const KEPT_BYTES_DEFAULT: u64 = 256 << 20;

impl Default for DoorConfig {
    fn default() -> Self {
        Self {
            api_keys: None,
            patience: Duration::from_secs(120),
            kept_bytes: KEPT_BYTES_DEFAULT,
            audit_language: Ratio::ZERO,
            audit_whole: Ratio::percent(50),
        }
    }
}

/// How much a gateway may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// Most for one answer, when neither the question nor the key of whoever asks says.
    pub max_price_default: Amount,
    /// Most for all answers at the OpenAI interface of one day (UTC) to whoever has a key that does not say, or needs none.
    pub key_day_max: Amount,
    /// Most for all answers at the OpenAI interface of one day (UTC).
    pub day_max: Amount,
    /// Deposit of a new channel, and what a top-up adds; more when one answer costs more.
    pub deposit: Amount,
}

impl Default for Spending {
    /// A hundredth of a coin for one answer, a coin for those of a day, a tenth for a channel.
    fn default() -> Self {
        Self {
            max_price_default: Amount(10_u128.pow(16)),
            key_day_max: Amount::coins(1),
            day_max: Amount::coins(1),
            deposit: Amount(10_u128.pow(17)),
        }
    }
}

/// Asks, checks, pays. Shared by all requests.
#[expect(missing_debug_implementations, reason = "it holds a secret key")]
pub struct Gateway {
    pub(crate) wallet: Wallet,
    pub(crate) ledger: LedgerClient,
    pub(crate) store: Store,
    pub(crate) spending: Spending,
    pub(crate) canaries: CanaryPolicy,
    pub(crate) audits: AuditPolicy,
    pub(crate) attesting: Option<Attesting>,
    pub(crate) unlinkable: UnlinkablePolicy,
    /// One at a time takes tokens out of the wallet for a language model.
    pub(crate) paying: tokio::sync::Mutex<()>,
    /// One at a time decides whether an answer is audited: a coin is tossed once.
    pub(crate) deciding: tokio::sync::Mutex<()>,
    /// One at a time takes steps of disputes.
    pub(crate) disputing: tokio::sync::Mutex<()>,
    pub(crate) http: JsonClient,
    /// One job at a time for each worker: a channel owes for one at most.
    lanes: Mutex<HashMap<Address, Arc<tokio::sync::Mutex<()>>>>,
    /// One audited question at a time for each worker, with its canaries. Whoever holds one may wait for a lane, and nobody the other way round.
    audit_turns: Mutex<HashMap<Address, Arc<tokio::sync::Mutex<()>>>>,
    /// One at a time closes channels: each step is taken once.
    pub(crate) closing: tokio::sync::Mutex<()>,
    /// One caller at a time for each job id: asking twice at once is asking once.
    jobs: Mutex<HashMap<JobId, Arc<tokio::sync::Mutex<()>>>>,
    /// Models whose id was recomputed.
    models: Mutex<HashMap<B256, Arc<VerifyingModel>>>,
    /// What each worker said that it takes to ask a model under encryption, checked against the model.
    encrypted_offers: Mutex<HashMap<(Address, B256), Offer>>,
    /// Secret keys in use.
    keys: Mutex<HashMap<B256, Arc<ClientKeys>>>,
    /// One at a time makes keys.
    pub(crate) making_keys: tokio::sync::Mutex<()>,
    /// For answers that take as long as they take.
    pub(crate) streams: JsonClient,
    /// For what a worker knows without work: another one may be asked instead.
    pub(crate) quick: JsonClient,
    pub(crate) patience: Duration,
    pub(crate) kept_bytes: u64,
    pub(crate) api_keys: Option<ApiKeys>,
    /// Places for requests to the OpenAI interface.
    pub(crate) answers: Arc<Semaphore>,
    /// Places for questions that are watched.
    pub(crate) watched: Arc<Semaphore>,
    pub(crate) market: Market,
    pub(crate) languages: Languages,
    pub(crate) links: Links,
    pub(crate) health: Health,
    pub(crate) reputations: Reputations,
    pub(crate) likeness: LanguageAudits,
    pub(crate) added: Added,
    pub(crate) budget: Budget,
    pub(crate) unwritten: Unwritten,
}

/// The right to ask under a job id. Dropping it lets the next caller in.
pub(crate) struct JobTurn<'a> {
    gateway: &'a Gateway,
    job_id: JobId,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for JobTurn<'_> {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut jobs = self.gateway.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits holds a clone.
        if jobs.get(&self.job_id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            jobs.remove(&self.job_id);
        }
    }
}

/// Longest answer at the OpenAI interface.
const STREAM_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
const QUICK_TIMEOUT: Duration = Duration::from_secs(10);
const WORKER_TIMEOUT: Duration = Duration::from_secs(150);
const MODELS_KEPT_MAX: usize = 64;

impl Gateway {
    /// Opens a gateway. Jobs that a crash interrupted go on with [`Self::resume`], or when their worker is asked again.
    ///
    /// # Errors
    /// [`GatewayError`] when the file is unreadable or HTTP is not available.
    pub fn open(config: GatewayConfig) -> Result<Arc<Self>, GatewayError> {
        let GatewayConfig {
            wallet,
            ledger,
            store,
            spending,
            canaries,
            audits,
            unlinkable,
            door,
            attestation,
        } = config;
        store.channels()?;
        Ok(Arc::new(Self {
            wallet,
            ledger,
            store,
            spending,
            canaries,
            audits,
            attesting: attestation.map(Attesting::new),
            unlinkable,
            paying: tokio::sync::Mutex::default(),
            deciding: tokio::sync::Mutex::default(),
            disputing: tokio::sync::Mutex::default(),
            http: JsonClient::new(WORKER_TIMEOUT).map_err(GatewayError::Http)?,
            lanes: Mutex::default(),
            audit_turns: Mutex::default(),
            closing: tokio::sync::Mutex::default(),
            jobs: Mutex::default(),
            models: Mutex::default(),
            encrypted_offers: Mutex::default(),
            keys: Mutex::default(),
            making_keys: tokio::sync::Mutex::default(),
            streams: JsonClient::new(STREAM_TIMEOUT).map_err(GatewayError::Http)?,
            quick: JsonClient::new(QUICK_TIMEOUT).map_err(GatewayError::Http)?,
            patience: door.patience,
            kept_bytes: door.kept_bytes,
            api_keys: door.api_keys.as_deref().map(ApiKeys::at),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
            watched: Arc::new(Semaphore::new(WATCHED_MAX)),
            market: Market::default(),
            languages: Languages::default(),
            links: Links::default(),
            health: Health::new(),
            reputations: Reputations::default(),
            likeness: LanguageAudits::new(door.audit_language, door.audit_whole),
            added: Added::default(),
            budget: Budget::default(),
            unwritten: Unwritten::default(),
        }))
    }

    /// The account that pays.
    #[must_use]
    pub fn address(&self) -> Address {
        self.wallet.address()
    }

    /// The ledger in use.
    #[must_use]
    pub fn ledger(&self) -> &LedgerClient {
        &self.ledger
    }

    /// The gateway's memory.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn lane(&self, worker: Address) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(worker).or_default())
    }

    pub(crate) fn audit_turn(&self, worker: Address) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.audit_turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(worker).or_default())
    }

    /// Waits until nobody else asks under this id.
    pub(crate) async fn job_turn(&self, job_id: JobId) -> JobTurn<'_> {
        let lock = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(jobs.entry(job_id).or_default())
        };
        JobTurn { gateway: self, job_id, held: Some(lock.lock_owned().await) }
    }

    /// The same, if nobody else does now.
    pub(crate) fn free_job_turn(&self, job_id: JobId) -> Option<JobTurn<'_>> {
        let lock = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(jobs.entry(job_id).or_default())
        };
        Some(JobTurn { gateway: self, job_id, held: Some(lock.try_lock_owned().ok()?) })
    }

    pub(crate) fn cached_model(&self, model_id: B256) -> Option<Arc<VerifyingModel>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).get(&model_id).cloned()
    }

    pub(crate) fn cache_model(&self, model_id: B256, model: &Arc<VerifyingModel>) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= MODELS_KEPT_MAX {
            models.clear();
        }
        models.insert(model_id, Arc::clone(model));
    }

    pub(crate) fn kept_encrypted_offer(&self, worker: Address, model_id: B256) -> Option<Offer> {
        self.encrypted_offers().get(&(worker, model_id)).cloned()
    }

    pub(crate) fn keep_encrypted_offer(&self, worker: Address, model_id: B256, offer: Offer) {
        let mut offers = self.encrypted_offers();
        if offers.len() >= MODELS_KEPT_MAX {
            offers.clear();
        }
        offers.insert((worker, model_id), offer);
    }

    /// Has the worker say it again next time.
    pub(crate) fn forget_encrypted_offer(&self, worker: Address, model_id: B256) {
        self.encrypted_offers().remove(&(worker, model_id));
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, HashMap<B256, Arc<ClientKeys>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encrypted_offers(&self) -> MutexGuard<'_, HashMap<(Address, B256), Offer>> {
        self.encrypted_offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
