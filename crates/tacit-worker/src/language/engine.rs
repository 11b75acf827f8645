//! An engine that speaks OpenAI's HTTP interface, on the owner's own machine or beside it.

use core::time::Duration;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::Deserialize;
use serde_json::json;
use tacit_wire::{
    http::{HttpError, JsonClient, Relayed, is_loopback},
    language::LanguageKind,
    meter::Route,
    splice::{SpliceReject, with_model},
};
use tokio::sync::Notify;

/// An engine, and the name under which it serves one model.
#[derive(Debug, Clone)]
pub struct LanguageEngine {
    base: String,
    model: String,
    stall: Duration,
    streams: JsonClient,
    questions: JsonClient,
    health: Arc<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// It was away when the worker began: until it gives a token the model is not asked for on the ledger.
    awaited: AtomicBool,
    failing: AtomicBool,
    suspected: Notify,
}

/// Why an engine cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFault {
    /// It does not answer, or not as such an engine does.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It does not serve the model.
    #[error("the engine at {base} does not serve {model:?}; it serves {}", known.join(", "))]
    UnknownModel {
        /// The engine.
        base: String,
        /// What was looked for.
        model: String,
        /// What it serves.
        known: Vec<String>,
    },
    /// It failed a request for one token.
    #[error("the engine at {base} refused a request for one token with status {status}: {text}")]
    Probe {
        /// The engine.
        base: String,
        /// What it said.
        status: u16,
        /// And how.
        text: String,
    },
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<ListedModel>,
}

#[derive(Deserialize)]
struct ListedModel {
    id: String,
}

const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
const LIST_BYTES_MAX: usize = 1 << 20;
const PROBE_TEXT_BYTES_MAX: usize = 500;
/// How long an engine may take to the next part of an answer.
const STALL: Duration = Duration::from_secs(120);
/// Shortest pause between two questions to an engine that is down, however many ask for it.
const WATCH_MIN: Duration = Duration::from_secs(1);

impl LanguageEngine {
    /// The engine at `url` (`http://host:port`, with or without `/v1`), which serves the model as `model`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`EngineFault::Http`] when HTTP is not available.
    pub fn new(url: &str, model: &str) -> Result<Self, EngineFault> {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        Ok(Self {
            base,
            model: model.to_owned(),
            stall: STALL,
            streams: JsonClient::unhurried()?,
            questions: JsonClient::new(QUESTION_TIMEOUT)?,
            health: Arc::default(),
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// Whether it is on this machine, and nowhere else: nothing follows a redirection or asks a proxy.
    pub(super) fn is_here(&self) -> bool {
        is_loopback(&self.base)
    }

    /// Its name for the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether it serves the model, by its own list.
    ///
    /// # Errors
    /// [`EngineFault`].
    pub async fn check(&self) -> Result<(), EngineFault> {
        let url = format!("{}/v1/models", self.base);
        let listed: Listed = self.questions.get(&url, LIST_BYTES_MAX).await?;
        if listed.data.iter().any(|model| model.id == self.model) {
            return Ok(());
        }
        let known = listed.data.into_iter().map(|model| tacit_wire::http::printable(&model.id)).take(16);
        let (base, model) = (self.base.clone(), self.model.clone());
        Err(EngineFault::UnknownModel { base, model, known: known.collect() })
    }

    /// Whether it gives one token, or the vectors of one.
    ///
    /// # Errors
    /// [`EngineFault`].
    pub async fn probe(&self, kind: LanguageKind) -> Result<(), EngineFault> {
        let message = json!({ "role": "user", "content": "1" });
        let tries = match kind {
            // Some engines have one of the two doors.
            LanguageKind::Language => vec![
                (Route::Completions, json!({ "model": self.model, "prompt": "1", "max_tokens": 1 })),
                (
                    Route::ChatCompletions,
                    json!({ "model": self.model, "messages": [message], "max_tokens": 1 }),
                ),
            ],
            LanguageKind::Embedding => {
                vec![(Route::Embeddings, json!({ "model": self.model, "input": "1" }))]
            }
        };
        let mut fault = None;
        for (route, body) in tries {
            let mut answer = self.ask(route, body.to_string().into_bytes()).await?;
            if answer.status < 400 {
                while answer.body.next().await?.is_some() {}
                return Ok(());
            }
            let mut text = Vec::new();
            while let Some(bytes) = answer.body.next().await?.filter(|_| text.len() < PROBE_TEXT_BYTES_MAX) {
                text.extend(bytes);
            }
            let text = tacit_wire::http::printable(&String::from_utf8_lossy(&text));
            fault = Some(EngineFault::Probe { base: self.base.clone(), status: answer.status, text });
        }
        fault.map_or(Ok(()), Err)
    }

    /// A client's request as the engine is given it: under the name that the engine has for the model. Every other byte stays.
    pub(super) fn request(&self, body: &[u8]) -> Result<Vec<u8>, SpliceReject> {
        with_model(body, &self.model, &[])
    }

    /// Begins an answer to a body that names the engine's model. Dropping it tells the engine to stop.
    ///
    /// # Errors
    /// [`HttpError`]; a refusal of the engine's is an answer.
    pub async fn ask(&self, route: Route, body: Vec<u8>) -> Result<Relayed, HttpError> {
        let url = format!("{}/v1/{route}", self.base);
        let asked = self.streams.relay(&url, "application/json", body, self.stall).await;
        if asked.is_err() {
            self.health.suspected.notify_one();
        }
        asked
    }

    /// Whether it answered when it was asked last.
    pub(super) fn is_available(&self) -> bool {
        !self.is_awaited() && !self.health.failing.load(Ordering::Relaxed)
    }

    /// Whether it was away when the worker began, and has given no token since.
    pub(super) fn is_awaited(&self) -> bool {
        self.health.awaited.load(Ordering::Acquire)
    }

    /// Notes that it is away.
    pub(super) fn set_awaited(&self) {
        self.health.awaited.store(true, Ordering::Release);
    }

    /// Asks whether it serves the model and gives a token.
    pub(super) async fn prove(&self, kind: LanguageKind) -> Result<(), EngineFault> {
        self.check().await?;
        self.probe(kind).await?;
        self.health.awaited.store(false, Ordering::Release);
        Ok(())
    }

    /// Returns once it has given a token.
    pub(super) async fn wait_for_it(&self, name: &str, kind: LanguageKind, period: Duration) {
        while self.is_awaited() {
            match self.prove(kind).await {
                Ok(()) => tracing::info!(model = name, "the engine answers: the model is asked for"),
                Err(error) => {
                    tracing::debug!(model = name, %error, "the engine does not answer yet");
                    tokio::time::sleep(period).await;
                }
            }
        }
    }

    /// Asks now and then whether it is there, and at once after it failed a request. Each change is told once.
    pub(super) async fn watch(&self, name: &str, period: Duration) {
        loop {
            let fault = self.check().await.err();
            let failing = fault.is_some();
            if self.health.failing.swap(failing, Ordering::Relaxed) != failing {
                match fault {
                    Some(error) => {
                        tracing::warn!(model = name, %error, "the engine does not answer: requests are refused")
                    }
                    None => tracing::info!(model = name, "the engine answers again"),
                }
            }
            let _ = tokio::time::timeout(period, self.health.suspected.notified()).await;
            if failing {
                tokio::time::sleep(WATCH_MIN.min(period)).await;
            }
        }
    }
}
