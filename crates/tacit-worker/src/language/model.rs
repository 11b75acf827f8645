//! A language model that a worker serves: what it is, what it costs, and which engine answers.

use core::time::Duration;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    language::{
        GUEST_MODE, LanguageInfo, LanguageManifest, MODE, ManifestReject, TOKENIZER_BYTES_MAX, TokenPrices,
        TokenTerms, language_model_id,
    },
    message::LanguageStatus,
    meter::{Meter, MeterReject},
};
use tokio::sync::Semaphore;

use super::engine::{EngineFault, LanguageEngine};
use crate::counters::Usage;

/// A model with its engine.
#[expect(missing_debug_implementations, reason = "a tokenizer is long and says nothing")]
pub struct LanguageModel {
    model_id: B256,
    manifest: LanguageManifest,
    manifest_bytes: Vec<u8>,
    tokenizer: axum::body::Bytes,
    meter: Meter,
    prices: TokenPrices,
    capacity: u32,
    pub(super) places: Arc<Semaphore>,
    pub(crate) usage: Usage,
    engine: LanguageEngine,
    in_guest: bool,
}

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LanguageError {
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestReject),
    /// The tokenizer is another than the manifest names.
    #[error("the tokenizer's file has the hash {got}, the manifest names {expected}")]
    OtherTokenizer {
        /// In the manifest.
        expected: B256,
        /// Of the file.
        got: B256,
    },
    /// The tokenizer's file is longer than any.
    #[error("a tokenizer has at most {TOKENIZER_BYTES_MAX} bytes")]
    TokenizerTooLong,
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] MeterReject),
    /// The engine cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineFault),
    /// The weights cannot be read.
    #[error("the weights in {} cannot be read: {source}", path.display())]
    Weights {
        /// Their file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The weights are others than the manifest names.
    #[error("the file of weights has the hash {got}, the manifest names {expected}")]
    OtherWeights {
        /// In the manifest.
        expected: B256,
        /// Of the file.
        got: B256,
    },
    /// The engine may be outside of the guest.
    #[error("the engine at {engine} is not in this guest: only an address such as 127.0.0.1 is")]
    EngineElsewhere {
        /// Its address.
        engine: String,
    },
}

impl LanguageModel {
    /// A model that `engine` answers for, `capacity` requests at once. Takes as long as its tokenizer takes to be read. The engine is not asked
    /// anything yet.
    ///
    /// # Errors
    /// [`LanguageError`], save [`LanguageError::Engine`].
    pub fn new(
        manifest_bytes: Vec<u8>,
        tokenizer: Vec<u8>,
        prices: TokenPrices,
        capacity: u32,
        engine: LanguageEngine,
    ) -> Result<Self, LanguageError> {
        let model_id = language_model_id(&manifest_bytes);
        let manifest = LanguageManifest::read(&manifest_bytes, model_id)?;
        if tokenizer.len() > TOKENIZER_BYTES_MAX {
            return Err(LanguageError::TokenizerTooLong);
        }
        let (expected, got) = (manifest.tokenizer, B256::from(*blake3::hash(&tokenizer).as_bytes()));
        if expected != got {
            return Err(LanguageError::OtherTokenizer { expected, got });
        }
        let meter = Meter::new(&tokenizer, manifest.message_tokens)?;
        let places = Arc::new(Semaphore::new(usize::try_from(capacity).unwrap_or(usize::MAX)));
        let tokenizer = tokenizer.into();
        let usage = Usage::default();
        Ok(Self {
            model_id,
            manifest,
            manifest_bytes,
            tokenizer,
            meter,
            prices,
            capacity,
            places,
            usage,
            engine,
            in_guest: false,
        })
    }

    /// Also for a guest to vouch for: hashes the file of its weights, which takes as long as reading it. That the engine has loaded this file and no other is for the
    /// guest's image to see to (`specs/0012-attestation.md`, *Binding*). It is asked for so only by a worker with an [`Attester`](crate::Attester).
    ///
    /// # Errors
    /// [`LanguageError::EngineElsewhere`], [`LanguageError::Weights`], [`LanguageError::OtherWeights`].
    pub fn in_guest(self, weights: &Path) -> Result<Self, LanguageError> {
        if !self.engine.is_here() {
            return Err(LanguageError::EngineElsewhere { engine: self.engine.url().to_owned() });
        }
        let unreadable = |source| LanguageError::Weights { path: weights.to_owned(), source };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(weights).map_err(unreadable)?).map_err(unreadable)?;
        let (expected, got) = (self.manifest.weights, B256::from(*hasher.finalize().as_bytes()));
        if expected != got {
            return Err(LanguageError::OtherWeights { expected, got });
        }
        Ok(Self { in_guest: true, ..self })
    }

    /// Not asked for in modes that only hardware can vouch for.
    pub(crate) fn unattested(self) -> Self {
        Self { in_guest: false, ..self }
    }

    pub(crate) fn is_in_guest(&self) -> bool {
        self.in_guest
    }

    /// How it is asked for.
    pub(crate) fn modes(&self) -> impl Iterator<Item = (Privacy, Evidence)> + use<> {
        core::iter::once(MODE).chain(self.in_guest.then_some(GUEST_MODE))
    }

    /// Whether the engine serves it and gives a token.
    ///
    /// # Errors
    /// [`LanguageError::Engine`].
    pub async fn check(&self) -> Result<(), LanguageError> {
        Ok(self.engine.prove(self.manifest.kind).await?)
    }

    /// For an engine that is away: the model is asked for on the ledger, and answered, once it has given a token.
    #[must_use]
    pub fn awaiting_its_engine(self) -> Self {
        self.engine.set_awaited();
        self
    }

    /// Whether its engine was away when the worker began, and has given no token since.
    pub(crate) fn is_awaiting(&self) -> bool {
        self.engine.is_awaited()
    }

    /// The model's id.
    #[must_use]
    pub fn model_id(&self) -> B256 {
        self.model_id
    }

    /// What it is made of.
    #[must_use]
    pub fn manifest(&self) -> &LanguageManifest {
        &self.manifest
    }

    /// What requests cost.
    #[must_use]
    pub fn prices(&self) -> TokenPrices {
        self.prices
    }

    /// Requests at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn engine(&self) -> &LanguageEngine {
        &self.engine
    }

    /// Returns once the engine has given a token.
    pub(super) async fn wait_for_engine(&self, period: Duration) {
        self.engine.wait_for_it(&self.manifest.name, self.manifest.kind, period).await;
    }

    /// Watches the engine until dropped.
    pub(super) async fn watch(&self, period: Duration) {
        self.engine.watch(&self.manifest.name, period).await;
    }

    pub(super) fn tokenizer(&self) -> axum::body::Bytes {
        self.tokenizer.clone()
    }

    pub(super) fn info(&self, worker: Address, session_key: &[u8]) -> LanguageInfo {
        let terms = |(privacy, evidence)| TokenTerms { privacy, evidence, prices: self.prices };
        LanguageInfo {
            model_id: self.model_id,
            manifest: self.manifest_bytes.clone(),
            worker,
            session_key: session_key.to_vec(),
            asks: self.modes().map(terms).collect(),
        }
    }

    pub(crate) fn status(&self) -> LanguageStatus {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        LanguageStatus {
            model_id: self.model_id,
            name: self.manifest.name.clone(),
            prices: self.prices,
            capacity: self.capacity,
            running: self.capacity.saturating_sub(free),
            available: self.engine.is_available(),
        }
    }
}
