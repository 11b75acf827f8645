//! A language model that a worker serves: what it is, what it costs, and which engine answers.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    language::{
        LanguageInfo, LanguageManifest, ManifestReject, TOKENIZER_BYTES_MAX, TokenPrices, TokenTerms,
        language_model_id,
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
}

/// How requests to language models travel and why answers are believed: sealed, on the worker's word.
pub(crate) const MODE: (Privacy, Evidence) = (Privacy::Sealed, Evidence::Signed);

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
        })
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
        let (privacy, evidence) = MODE;
        LanguageInfo {
            model_id: self.model_id,
            manifest: self.manifest_bytes.clone(),
            worker,
            session_key: session_key.to_vec(),
            asks: vec![TokenTerms { privacy, evidence, prices: self.prices }],
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
