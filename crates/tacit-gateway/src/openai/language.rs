//! Language models as a gateway knows them: manifest and meter, fetched once from whoever serves the model, believed because of their hashes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::B256;
use tacit_wire::{
    http::HttpError,
    language::{LanguageInfo, LanguageManifest, MANIFEST_BYTES_MAX, TOKENIZER_BYTES_MAX},
    meter::Meter,
    oblivious::Recipient,
    prepaid::{TOKENIZER_PART_BYTES, tokenizer_path},
    session::{SESSION_KEY_BYTES, session_key_hash},
    unlinked::UnlinkedWorker,
};

use super::market::TokenAsk;
use crate::{error::GatewayError, gateway::Gateway, store::LanguageRecord};

/// A model that can be asked and counted.
#[derive(Debug)]
pub(crate) struct Language {
    pub(crate) model_id: B256,
    pub(crate) manifest: LanguageManifest,
    pub(crate) meter: Meter,
}

/// Models that were checked.
#[derive(Debug, Default)]
pub(crate) struct Languages {
    known: Mutex<HashMap<B256, Arc<Language>>>,
    /// Session keys of workers behind the relay, by hash.
    session_keys: Mutex<HashMap<B256, Recipient>>,
    /// One at a time is fetched and built.
    fetching: tokio::sync::Mutex<()>,
}

/// How a worker is asked about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// At its endpoint.
    Direct,
    /// Through the relay.
    Relayed,
}

/// Why a worker's description of a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LanguageReject {
    /// It does not answer.
    #[error("its description of the model cannot be had: {0}")]
    Http(#[from] HttpError),
    /// Its manifest is not the model's.
    #[error("{0}")]
    Manifest(#[from] tacit_wire::language::ManifestReject),
    /// Its tokenizer is not the manifest's.
    #[error("its tokenizer is not the model's")]
    Tokenizer,
    /// Its session key is not its ask's.
    #[error("its session key is not the one on the ledger")]
    SessionKey,
    /// The tokenizer cannot be built.
    #[error("the model's tokenizer cannot be used: {0}")]
    Meter(String),
    /// It cannot be asked through a relay.
    #[error("{0}")]
    Relay(#[from] GatewayError),
    /// The disk failed.
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
}

const INFO_BYTES_MAX: usize = MANIFEST_BYTES_MAX * 2 + SESSION_KEY_BYTES * 2 + 64 * 1024;
const TOKENIZER_STALL: Duration = Duration::from_secs(30);
const KNOWN_MAX: usize = 64;

impl Gateway {
    /// The model behind an id: from memory, from disk, or from the worker, through the relay where nobody is to know who asks.
    pub(crate) async fn language(
        &self,
        model_id: B256,
        ask: &TokenAsk,
        way: Way,
    ) -> Result<Arc<Language>, LanguageReject> {
        if let Some(language) = self.languages.get(model_id) {
            return Ok(language);
        }
        let _alone = self.languages.fetching.lock().await;
        if let Some(language) = self.languages.get(model_id) {
            return Ok(language);
        }
        let unlinked = match way {
            Way::Direct => None,
            Way::Relayed => Some(self.unlinked_streams(ask.worker, ask.session_key_hash).await?),
        };
        let kept = self.store.language(model_id)?;
        let (manifest_bytes, manifest) = match kept {
            Some(record) => {
                let manifest = LanguageManifest::read(&record.manifest, model_id)?;
                (record.manifest, manifest)
            }
            None => {
                let info = match &unlinked {
                    None => self.language_info(model_id, ask).await?,
                    Some(worker) => worker.get(&format!("/v1/languages/{model_id}"), INFO_BYTES_MAX).await?,
                };
                let manifest = LanguageManifest::read(&info.manifest, model_id)?;
                (info.manifest, manifest)
            }
        };
        let tokenizer = match self.store.tokenizer(manifest.tokenizer)? {
            Some(bytes) => bytes,
            None => {
                let bytes = match &unlinked {
                    None => self.fetch_tokenizer(model_id, ask).await?,
                    Some(worker) => fetch_parts(model_id, worker).await?,
                };
                if blake3::hash(&bytes).as_bytes() != &manifest.tokenizer.0 {
                    return Err(LanguageReject::Tokenizer);
                }
                let record = LanguageRecord { manifest: manifest_bytes };
                self.store.put_language(model_id, &record, (manifest.tokenizer, &bytes))?;
                bytes
            }
        };
        let message_tokens = manifest.message_tokens;
        // Whoever published the model chose the tokenizer: building it may take long, or panic.
        let built = tokio::task::spawn_blocking(move || Meter::new(&tokenizer, message_tokens)).await;
        let meter = built
            .map_err(|_| LanguageReject::Meter("it makes its reader fail".to_owned()))?
            .map_err(|error| LanguageReject::Meter(error.to_string()))?;
        let language = Arc::new(Language { model_id, manifest, meter });
        self.languages.keep(&language);
        Ok(language)
    }

    /// What the worker says of the model, and the session key that its ask names.
    pub(crate) async fn language_info(
        &self,
        model_id: B256,
        ask: &TokenAsk,
    ) -> Result<LanguageInfo, LanguageReject> {
        let url = format!("{}/v1/languages/{model_id}", ask.endpoint);
        let info: LanguageInfo = self.quick.get(&url, INFO_BYTES_MAX).await?;
        if session_key_hash(&info.session_key) != ask.session_key_hash {
            return Err(LanguageReject::SessionKey);
        }
        Ok(info)
    }

    async fn fetch_tokenizer(&self, model_id: B256, ask: &TokenAsk) -> Result<Vec<u8>, LanguageReject> {
        let url = format!("{}/v1/languages/{model_id}/tokenizer", ask.endpoint);
        let mut download = self.streams.download(&url, TOKENIZER_STALL).await?;
        let mut bytes = Vec::new();
        while let Some(more) = download.next().await? {
            bytes.extend_from_slice(&more);
            if bytes.len() > TOKENIZER_BYTES_MAX {
                return Err(LanguageReject::Tokenizer);
            }
        }
        Ok(bytes)
    }
}

/// A tokenizer through a relay, part after part.
async fn fetch_parts(model_id: B256, worker: &UnlinkedWorker) -> Result<Vec<u8>, LanguageReject> {
    let mut bytes = Vec::new();
    for part in 0..=TOKENIZER_BYTES_MAX / TOKENIZER_PART_BYTES {
        let more = worker.get_bytes(&tokenizer_path(model_id, part), TOKENIZER_PART_BYTES).await?;
        bytes.extend_from_slice(&more);
        if more.len() < TOKENIZER_PART_BYTES {
            return Ok(bytes);
        }
    }
    Err(LanguageReject::Tokenizer)
}

impl Languages {
    /// A session key that was fetched through the relay and has this hash.
    pub(crate) fn session_key(&self, hash: B256) -> Option<Recipient> {
        self.session_keys.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// Keeps one.
    pub(crate) fn keep_session_key(&self, hash: B256, key: Recipient) {
        let mut known = self.session_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(hash, key);
    }

    fn get(&self, model_id: B256) -> Option<Arc<Language>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&model_id).cloned()
    }

    fn keep(&self, language: &Arc<Language>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(language.model_id, Arc::clone(language));
    }
}
