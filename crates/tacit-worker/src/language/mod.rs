//! Language models of other people's engines, metered and paid as they stream (`specs/0010-streams.md`).
//!
//! An owner runs any engine that speaks OpenAI's HTTP interface; a [`LanguageModel`] names it, with manifest, tokenizer and prices. A client opens a session,
//! asks, and gets the engine's bytes, as far as its account has room for their tokens.
//!
//! A guest whose hardware vouches for it ([`crate::attest`]) also answers for models whose weights it hashed and whose engine is in it ([`LanguageModel::in_guest`]): sessions then
//! are agreed with a key of the guest's, about one model, and last no longer than it.
//!
//! # What the worker risks
//! A chunk of 32 tokens on each channel: nothing is sent that would leave more owed than promised and a chunk.
//!
//! # What survives a crash
//! What was owed and promised, as of a tenth of a second before; every receipt that a client has.

mod account;
mod admission;
mod engine;
mod http;
mod journal;
mod model;
mod payment;
mod pieces;
mod prepaid;
mod refusal;
mod session;
mod stream;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::B256;
use tacit_wire::{JobId, session::SessionKey};
use tokio::sync::{Semaphore, watch};

use crate::worker::Worker;

pub use engine::{EngineFault, LanguageEngine};
pub use model::{LanguageError, LanguageModel};
pub use refusal::StreamRefusal;

pub(crate) use http::{describe, prepaid, routes, tokenizer_part};

use account::Accounts;
use journal::Journal;
use session::Sessions;

/// How far a worker is with closing down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not at all.
    Serving,
    /// It begins nothing new.
    Draining,
    /// It ends what still runs.
    Cut,
}

/// What a worker keeps for its streams.
pub(crate) struct Languages {
    models: HashMap<B256, Arc<LanguageModel>>,
    key: SessionKey,
    public_key: Vec<u8>,
    sessions: Sessions,
    accounts: Accounts,
    journal: Journal,
    /// Requests that are being answered, by name.
    jobs: Mutex<HashSet<JobId>>,
    streams: Arc<Semaphore>,
    streams_max: u32,
    phase: watch::Sender<Phase>,
}

impl Languages {
    pub(crate) fn new(models: Vec<LanguageModel>, key: SessionKey, streams_max: u32) -> Self {
        Self {
            models: models.into_iter().map(|model| (model.model_id(), Arc::new(model))).collect(),
            public_key: key.public(),
            key,
            sessions: Sessions::default(),
            accounts: Accounts::default(),
            journal: Journal::default(),
            jobs: Mutex::default(),
            streams: Arc::new(Semaphore::new(usize::try_from(streams_max).unwrap_or(usize::MAX))),
            streams_max,
            phase: watch::Sender::new(Phase::Serving),
        }
    }

    /// Every model, by name.
    pub(crate) fn models(&self) -> Vec<&Arc<LanguageModel>> {
        let mut models: Vec<_> = self.models.values().collect();
        models.sort_by(|a, b| a.manifest().name.cmp(&b.manifest().name));
        models
    }

    /// Most streams that can run at once.
    pub(crate) fn streams_max(&self) -> usize {
        let engines = self.models.values().map(|model| model.capacity()).fold(0, u32::saturating_add);
        usize::try_from(engines.min(self.streams_max)).unwrap_or(usize::MAX)
    }

    /// Whether a model is asked for as a guest; `None` where it is not served.
    pub(crate) fn is_in_guest(&self, model_id: B256) -> Option<bool> {
        self.models.get(&model_id).map(|model| model.is_in_guest())
    }

    /// Session key.
    pub(crate) fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Public session key, whose hash the asks name.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Begins nothing new from now on, and gives what runs this long to end; what is left then is ended.
    pub(crate) async fn drain(&self, grace: core::time::Duration) {
        self.phase.send_replace(Phase::Draining);
        let idle = self.streams.acquire_many(self.streams_max);
        if tokio::time::timeout(grace, idle).await.is_err() {
            self.phase.send_replace(Phase::Cut);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashSet<JobId>> {
        // The set is whole after every operation on it, so a panic elsewhere leaves nothing to repair.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Watches a model's engine until dropped. One that was away when the worker began is asked for once it has given a token.
    pub(crate) async fn watch_language(self: Arc<Self>, model: Arc<LanguageModel>) {
        let period = self.limits.engine_poll;
        if model.is_awaiting() {
            model.wait_for_engine(period).await;
            while let Err(error) = self.renew_asks().await {
                tracing::warn!(model = model.manifest().name, %error, "the model is not asked for yet");
                tokio::time::sleep(period).await;
            }
        }
        model.watch(period).await;
    }
}
