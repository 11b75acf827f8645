//! The worker: its keys, models, limits and memory.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256};
use tacit_abi::{
    Evidence,
    IAsks::{self, IAsksErrors},
    IModels, Privacy,
    asks::{ASK_LIFE_S, ASK_STAKE},
};
use tacit_wire::{
    Amount, AuditKey, JobId, LedgerClient, LedgerError, Revert, SealingKey, Wallet,
    ledger::ask_end_s,
    message::{ModelTerms, WorkerInfo},
    session::{SessionKey, session_key_hash},
};
use tokio::sync::{Notify, Semaphore};

use crate::{
    attest::{Attester, Sessions},
    beats::Beats,
    billing::Billing,
    clock::Clock,
    counters::Refused,
    engine::EngineError,
    keys::{KEY_BYTES_DEFAULT, KeyMeter, KeyShelf},
    language::{LanguageModel, Languages},
    owner::Owner,
    prepaid::TokenSale,
    quota::{Day, Question},
    served::{ServedModel, may_be_disputed},
    settle::SettlementPolicy,
    store::{Store, StoreError},
    together::Queues,
};

/// What a worker is made of.
#[expect(missing_debug_implementations, reason = "it holds secret keys")]
pub struct WorkerConfig {
    /// Key that signs receipts and is paid.
    pub wallet: Wallet,
    /// Key that jobs are sealed to.
    pub sealing: SealingKey,
    /// Key from which the seeds of encrypted answers are derived.
    pub audit: AuditKey,
    /// The operator's ledger.
    pub ledger: LedgerClient,
    /// Where jobs, vouchers and receipts are kept.
    pub store: Store,
    /// Where clients' evaluation keys are kept.
    pub keys: KeyShelf,
    /// What is served.
    pub models: Vec<ServedModel>,
    /// What is served by the token.
    pub languages: Vec<LanguageModel>,
    /// Key that sessions are agreed with.
    pub session: SessionKey,
    /// Has hardware vouch for this guest; without it, nothing is served in `enclave`.
    pub attester: Option<Arc<dyn Attester>>,
    /// Where tokens are sold: what they are sold under.
    pub tokens: Option<TokenSale>,
    /// What receipts charge.
    pub billing: Arc<dyn Billing>,
    /// When to settle and anchor.
    pub settlement: SettlementPolicy,
    /// How much to take on.
    pub limits: Limits,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// What a worker's data folder holds.
#[expect(missing_debug_implementations, reason = "it holds secret keys")]
pub struct WorkerFolder {
    /// Key that jobs are sealed to.
    pub sealing: SealingKey,
    /// Key from which the seeds of encrypted answers are derived.
    pub audit: AuditKey,
    /// Key that sessions are agreed with.
    pub session: SessionKey,
    /// Jobs, accounts, vouchers and receipts.
    pub store: Store,
    /// Clients' evaluation keys.
    pub keys: KeyShelf,
}

/// How much a worker takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Computations at once, each with memory of its own; one may answer several jobs.
    pub running_max: usize,
    /// Jobs that wait beside them.
    pub waiting_max: usize,
    /// Connections at once, beside one for each stream that the engines take; more wait to be accepted.
    pub connections_max: usize,
    /// Requests in any state at once.
    pub requests_max: usize,
    /// Longest that a request may take, body and waiting included; a stream begins within it.
    pub request_timeout: core::time::Duration,
    /// Streams at once, of all models.
    pub streams_max: u32,
    /// How long a stream waits for a voucher.
    pub unpaid_wait: core::time::Duration,
    /// How long streams may go on when the worker closes down.
    pub stream_grace: core::time::Duration,
    /// How often an engine is asked whether it is there.
    pub engine_poll: core::time::Duration,
    /// How long what the ledger said of a channel is believed: far below the time that a closing channel stays open.
    pub listed_for: core::time::Duration,
    /// What is kept at stake, at least: more is bonded where asks, or audited answers, need it.
    pub stake_min: Amount,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running_max: 1,
            waiting_max: 128,
            connections_max: 512,
            requests_max: 256,
            request_timeout: core::time::Duration::from_secs(120),
            streams_max: 4096,
            unpaid_wait: core::time::Duration::from_secs(30),
            stream_grace: core::time::Duration::from_secs(30),
            engine_poll: core::time::Duration::from_secs(15),
            listed_for: core::time::Duration::from_secs(30),
            stake_min: Amount::ZERO,
        }
    }
}

/// Serves models, keeps vouchers, settles. Shared by all requests.
#[expect(missing_debug_implementations, reason = "it holds secret keys")]
pub struct Worker {
    pub(crate) wallet: Wallet,
    pub(crate) sealing: SealingKey,
    pub(crate) audit: AuditKey,
    pub(crate) ledger: LedgerClient,
    pub(crate) store: Store,
    pub(crate) keys: Arc<KeyShelf>,
    pub(crate) models: HashMap<B256, ServedModel>,
    pub(crate) sessions: Option<Sessions>,
    pub(crate) tokens: Option<TokenSale>,
    pub(crate) billing: Arc<dyn Billing>,
    pub(crate) settlement: SettlementPolicy,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    /// Jobs admitted, running or waiting.
    pub(crate) admitted: Arc<Semaphore>,
    pub(crate) running: Semaphore,
    /// Keys that are being sent.
    pub(crate) receiving: Semaphore,
    /// Runs that are done again for whoever asks about them.
    pub(crate) walking: Arc<Semaphore>,
    pub(crate) queues: Queues,
    pub(crate) languages: Languages,
    /// The job that each busy channel pays for, and each token that is shown.
    pub(crate) busy: Mutex<HashMap<B256, JobId>>,
    /// Questions that are being answered, each of which counts.
    counting: Mutex<Vec<Question>>,
    /// Told after each payment.
    pub(crate) paid: Notify,
    /// Where clients find it, as its asks say; nothing before they are set.
    pub(crate) endpoint: Mutex<Option<String>>,
    /// Models whose registered weights are ours, and whose challenges are looked for.
    pub(crate) disputable: Mutex<HashSet<B256>>,
    /// One at a time answers challenges.
    pub(crate) disputing: tokio::sync::Mutex<()>,
    /// One at a time is covered.
    pub(crate) covering: tokio::sync::Mutex<()>,
    pub(crate) owner: Owner,
    pub(crate) beats: Beats,
    pub(crate) refused: Refused,
}

/// Why a worker cannot start or publish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// Its file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread that used its file ended early.
    #[error("work on the worker's database was cut off")]
    Interrupted,
    /// The ledger refused or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The name belongs to another model.
    #[error("the name {name:?} belongs to another model, {model_id}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        model_id: B256,
    },
    /// The model is published with another weight root.
    #[error("model {model_id} is published with another weight root")]
    WeightRoot {
        /// The model.
        model_id: B256,
    },
    /// Tokens of one key have one price.
    #[error(
        "tokens of this key cost {listed}, and {wanted} needs another key: rename tokens.key to tokens.previous.key"
    )]
    TokenPrice {
        /// On the ledger.
        listed: Amount,
        /// In this worker's configuration.
        wanted: Amount,
    },
    /// Clients would not follow this endpoint.
    #[error("{endpoint:?} is not an endpoint: use http://host:port and nothing after it")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// A challenged run cannot be done again.
    #[error("the run that challenge {challenge} is about is not kept here")]
    NoRun {
        /// The challenge.
        challenge: B256,
    },
    /// A challenged run could not be done again.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The listening socket failed.
    #[error("cannot listen: {0}")]
    Listen(#[source] std::io::Error),
}

/// What a worker has earned, in amounts that can be added up later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Earnings {
    /// Jobs answered.
    pub jobs: u64,
    /// Promised by vouchers in all.
    pub vouchered: Amount,
    /// Paid out by the ledger so far.
    pub settled: Amount,
    /// Answers not paid.
    pub unpaid_jobs: u64,
    /// Paid receipts not anchored yet.
    pub unanchored: u64,
    /// Evaluation keys that are kept for clients.
    pub keys: KeyMeter,
}

/// Keys that are received at once, each in memory meanwhile.
const RECEIVING_MAX: usize = 4;
/// Days before today of which a worker says what they brought.
const TALLIED_DAYS: u64 = 30;

impl Worker {
    /// Opens a worker; it serves once [`Self::serve`] runs.
    ///
    /// # Errors
    /// [`WorkerError::Store`] when the file holds what this program cannot read.
    pub fn open(config: WorkerConfig) -> Result<Arc<Self>, WorkerError> {
        let WorkerConfig {
            wallet,
            sealing,
            audit,
            ledger,
            store,
            keys,
            models,
            languages,
            session,
            attester,
            tokens,
            billing,
            settlement,
            limits,
            clock,
        } = config;
        // Reading once here turns an unreadable file into an error at start rather than at the first job.
        store.channels()?;
        let owner = Owner::new(store.drained_since_s()?, clock.unix_time_s());
        // What hardware is to vouch for is not asked for where none does.
        let is_guest = attester.is_some();
        let models = models.into_iter().map(|model| if is_guest { model } else { model.unattested() });
        let languages = languages.into_iter().map(|model| if is_guest { model } else { model.unattested() });
        let admitted = limits.running_max.saturating_add(limits.waiting_max);
        Ok(Arc::new(Self {
            wallet,
            sealing,
            audit,
            ledger,
            store,
            keys: Arc::new(keys),
            models: models.map(|model| (model.model_id(), model)).collect(),
            sessions: attester.map(Sessions::new),
            tokens,
            billing,
            settlement,
            limits,
            clock,
            admitted: Arc::new(Semaphore::new(admitted)),
            running: Semaphore::new(limits.running_max),
            receiving: Semaphore::new(RECEIVING_MAX),
            walking: Arc::new(Semaphore::new(1)),
            queues: Queues::default(),
            languages: Languages::new(languages.collect(), session, limits.streams_max),
            busy: Mutex::default(),
            counting: Mutex::default(),
            paid: Notify::new(),
            endpoint: Mutex::default(),
            disputable: Mutex::default(),
            disputing: tokio::sync::Mutex::default(),
            covering: tokio::sync::Mutex::default(),
            owner,
            beats: Beats::default(),
            refused: Refused::default(),
        }))
    }

    /// Opens the key files and the database of a data folder, making what is missing.
    ///
    /// # Errors
    /// A key file or the database cannot be used.
    pub fn open_folder(folder: &Path) -> Result<WorkerFolder, Box<dyn std::error::Error + Send + Sync>> {
        std::fs::create_dir_all(folder)?;
        Ok(WorkerFolder {
            sealing: SealingKey::load_or_create(&folder.join("sealing.key"))?,
            audit: AuditKey::load_or_create(&folder.join("audit.key"))?,
            session: SessionKey::load_or_create(&folder.join("session.key"))?,
            store: Store::open(&folder.join("worker.redb"))?,
            keys: KeyShelf::open(&folder.join("keys"), KEY_BYTES_DEFAULT)?,
        })
    }

    /// The account that signs receipts.
    #[must_use]
    pub fn address(&self) -> Address {
        self.wallet.address()
    }

    /// What `GET /v1/status` says.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn info(&self) -> Result<WorkerInfo, StoreError> {
        let models = self.terms();
        let languages = self.languages.models().into_iter().map(|model| model.status()).collect();
        let today = Day::of(self.clock.unix_time_s());
        let tallies = self.store.tallies(Day(today.0.saturating_sub(TALLIED_DAYS)))?;
        Ok(WorkerInfo {
            worker: self.address(),
            chain_id: self.ledger.chain_id(),
            models,
            languages,
            tallies,
        })
    }

    /// What is served by the job, and on which terms.
    #[must_use]
    pub fn terms(&self) -> Vec<ModelTerms> {
        let mut models: Vec<_> = self.models.values().map(ServedModel::terms).collect();
        let disputable = self.disputable.lock().unwrap_or_else(PoisonError::into_inner);
        for ModelTerms { model_id, asks, .. } in &mut models {
            asks.retain(|ask| disputable.contains(&*model_id) || !may_be_disputed(ask.privacy, ask.evidence));
        }
        drop(disputable);
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// Publishes every served model that is not published yet, and sets this worker's asks with `endpoint`; those of a language model once its engine
    /// was seen to answer. Doing it again changes nothing. A drained worker takes its asks back instead.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn publish_and_ask(&self, endpoint: &str) -> Result<(), WorkerError> {
        if tacit_wire::http::origin(endpoint).is_none() {
            return Err(WorkerError::Endpoint { endpoint: endpoint.to_owned() });
        }
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.to_owned());
        if self.is_drained() {
            self.beats.set_asking(false);
            return self.withdraw_asks().await;
        }
        let asks = self.back_asks().await?;
        self.beats.set_asking(asks > 0);
        self.list_tokens().await?;
        for model in self.models.values() {
            let info = model.info();
            self.publish(info.model_id, info.weight_root, &info.name).await?;
            let disputable = model.is_disputable() && self.register_weights(model).await?;
            let offered =
                model.asks().iter().filter(|ask| disputable || !may_be_disputed(ask.privacy, ask.evidence));
            let asked = offered.map(|ask| IAsks::Terms {
                price: ask.price.0,
                capacity: u32::try_from(self.limits.running_max).unwrap_or(u32::MAX),
                sealingKey: self.sealing.public(),
                ..Self::unpriced(ask.privacy, ask.evidence, endpoint)
            });
            self.ask(info.model_id, asked.collect()).await?;
        }
        for model in self.languages.models().into_iter().filter(|model| !model.is_awaiting()) {
            let prices = model.prices();
            self.publish(model.model_id(), model.manifest().weights, &model.manifest().name).await?;
            let asked = model.modes().map(|(privacy, evidence)| IAsks::Terms {
                price: prices.request.0,
                promptPrice: prices.prompt.0,
                completionPrice: prices.completion.0,
                capacity: model.capacity(),
                sealingKey: session_key_hash(self.languages.public_key()),
                ..Self::unpriced(privacy, evidence, endpoint)
            });
            self.ask(model.model_id(), asked.collect()).await?;
        }
        Ok(())
    }

    fn unpriced(privacy: Privacy, evidence: Evidence, endpoint: &str) -> IAsks::Terms {
        IAsks::Terms {
            privacy: privacy as u8,
            evidence: evidence as u8,
            price: 0,
            promptPrice: 0,
            completionPrice: 0,
            capacity: 0,
            validUntil: 0,
            sealingKey: B256::ZERO,
            endpoint: endpoint.to_owned(),
        }
    }

    /// Sets those asks for a model that are not listed, or not for much longer.
    async fn ask(&self, model_id: B256, asked: Vec<IAsks::Terms>) -> Result<(), WorkerError> {
        // An ask is set again when half of its life is over.
        let valid_until = ask_end_s();
        let renew_at = valid_until.saturating_sub(ASK_LIFE_S / 2);
        // One that a silence made stale needs a beat and nothing else.
        let listed = self.ledger.every_ask(model_id).await?;
        for terms in asked {
            let terms = IAsks::Terms { validUntil: valid_until, ..terms };
            let is_listed = listed.iter().any(|listed| {
                let fresh = listed.terms.validUntil >= renew_at;
                let same = IAsks::Terms { validUntil: valid_until, ..listed.terms.clone() } == terms;
                listed.worker == self.address() && fresh && same
            });
            if !is_listed {
                self.set_ask(model_id, terms).await?;
            }
        }
        Ok(())
    }

    /// Sets asks again whose time is half over.
    pub(crate) async fn renew_asks(&self) -> Result<(), WorkerError> {
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match endpoint {
            Some(endpoint) => self.publish_and_ask(&endpoint).await,
            None => Ok(()),
        }
    }

    /// Sets one ask. What else this account asks, for models that are not served here, needs stake too.
    async fn set_ask(&self, model_id: B256, terms: IAsks::Terms) -> Result<(), WorkerError> {
        match self.ledger.set_ask(&self.wallet, model_id, terms.clone()).await {
            Err(LedgerError::Reverted(Revert::Asks(IAsksErrors::TooLittleStake(short)))) => {
                let missing = Amount(short.needed.saturating_sub(short.bonded));
                self.ledger.bond(&self.wallet, missing).await?;
                self.ledger.set_ask(&self.wallet, model_id, terms).await?;
            }
            done => {
                done?;
            }
        }
        Ok(())
    }

    /// Bonds what is missing for the asks of every served model, and to speak for audited answers; how many asks these are.
    async fn back_asks(&self) -> Result<usize, WorkerError> {
        let asks: usize = self.models.values().map(|model| model.asks().len()).sum();
        let ready = self.languages.models().into_iter().filter(|model| !model.is_awaiting());
        let asks = asks.saturating_add(ready.map(|model| model.modes().count()).sum());
        let asked = ASK_STAKE.saturating_mul(u128::try_from(asks).unwrap_or(u128::MAX));
        let needed = asked.max(self.stake_for_covers()).max(self.limits.stake_min.0);
        let bonded = self.ledger.stake_of(self.address()).await?.bonded;
        if let Some(missing) = needed.checked_sub(bonded).filter(|missing| *missing > 0) {
            self.ledger.bond(&self.wallet, Amount(missing)).await?;
        }
        Ok(asks)
    }

    async fn publish(&self, model_id: B256, weight_root: B256, name: &str) -> Result<(), WorkerError> {
        match self.ledger.listing(model_id).await {
            Ok(listing) if listing.model.weightRoot == weight_root => return Ok(()),
            Ok(_) => return Err(WorkerError::WeightRoot { model_id }),
            Err(LedgerError::Reverted(Revert::Models(IModels::IModelsErrors::UnknownModel(_)))) => {}
            Err(error) => return Err(error.into()),
        }
        match self.ledger.model_by_name(name).await {
            Ok(model_id) => return Err(WorkerError::NameTaken { name: name.to_owned(), model_id }),
            Err(LedgerError::Reverted(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.ledger.publish(&self.wallet, model_id, weight_root, name).await?;
        Ok(())
    }

    /// What the worker has earned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn earnings(&self) -> Result<Earnings, StoreError> {
        let mut earnings = Earnings {
            jobs: self.store.jobs_count()?,
            unanchored: self.store.unanchored_count()?,
            keys: self.keys.meter()?,
            ..Earnings::default()
        };
        for promise in self.store.promises()? {
            let sum = |total: Amount, more: Amount| total.checked_add(more).ok_or(StoreError::Overflow);
            earnings.vouchered = sum(earnings.vouchered, promise.promised())?;
            earnings.settled = sum(earnings.settled, promise.settled)?;
        }
        for (_, channel) in self.store.channels()? {
            earnings.unpaid_jobs += u64::from(channel.unpaid.is_some());
        }
        Ok(earnings)
    }

    pub(crate) fn busy(&self) -> std::sync::MutexGuard<'_, HashMap<B256, JobId>> {
        // The map is whole after every operation on it, so a panic elsewhere leaves nothing to repair.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counting(&self) -> std::sync::MutexGuard<'_, Vec<Question>> {
        // As with `busy`.
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
