//! Asks a worker through a relay: JSON as in [`crate::http`], inside an encapsulated request ([`crate::oblivious`]).
//!
//! What the relay itself says is believed to be nothing but a failure of the relay: only what opens under the worker's key comes from the worker. So a relay cannot make a
//! client think that a worker refused, or answered.

use core::time::Duration;

use alloy_primitives::{Address, B256};
use reqwest::StatusCode;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    binary_http::{BinaryRequest, BinaryResponse},
    http::{HttpError, JsonClient, refusal},
    oblivious::{self, REQUEST_TYPE, RESPONSE_TYPE},
};

/// A worker behind a relay.
#[derive(Debug, Clone)]
pub struct UnlinkedWorker {
    http: JsonClient,
    url: String,
    sealing_key: B256,
}

/// Largest encapsulated request that a relay or worker takes.
pub const ENCAPSULATED_REQUEST_BYTES_MAX: usize = 1536 * 1024;
/// Largest encapsulated response: the largest answer in base64, padded.
pub const ENCAPSULATED_RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longer than a worker takes for any request.
const PATIENCE: Duration = Duration::from_secs(150);

/// Where a relay takes requests to a worker.
#[must_use]
pub fn relay_path(worker: Address) -> String {
    format!("/v1/relay/{worker:#x}")
}

impl UnlinkedWorker {
    /// The worker whose ask names this sealing key, behind the relay at `relay` (`http://host:port`).
    ///
    /// # Errors
    /// [`HttpError::BadUrl`], [`HttpError::Setup`].
    pub fn new(relay: &str, worker: Address, sealing_key: B256) -> Result<Self, HttpError> {
        let bad = || HttpError::BadUrl { url: relay.to_owned() };
        let origin = crate::http::origin(relay).ok_or_else(bad)?;
        // Each has connections of its own: what one is used for twice tells the relay no more than its client's address does.
        let http = JsonClient::new(PATIENCE)?;
        Ok(Self { http, url: format!("{origin}{}", relay_path(worker)), sealing_key })
    }

    /// Reads `path` of the worker.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str, limit_bytes: usize) -> Result<R, HttpError> {
        self.exchange("GET", path, Vec::new(), limit_bytes).await
    }

    /// Sends `body` to `path` of the worker.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post<B: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        limit_bytes: usize,
    ) -> Result<R, HttpError> {
        let malformed = |source| HttpError::Malformed { url: self.url.clone(), source };
        let body = serde_json::to_vec(body).map_err(malformed)?;
        self.exchange("POST", path, body, limit_bytes).await
    }

    async fn exchange<R: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        content: Vec<u8>,
        limit_bytes: usize,
    ) -> Result<R, HttpError> {
        let url = || self.url.clone();
        let content_type = if content.is_empty() { "" } else { "application/json" }.to_owned();
        let request =
            BinaryRequest { method: method.to_owned(), path: path.to_owned(), content_type, content };
        let sealed = oblivious::encapsulate(self.sealing_key, &request.encode());
        let (message, awaited) =
            sealed.map_err(|reject| HttpError::Relay { url: url(), detail: reject.to_string() })?;
        let mut relayed = self.http.relay(&self.url, REQUEST_TYPE, message, PATIENCE).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = relayed.body.next().await? {
            if bytes.len().saturating_add(chunk.len()) > ENCAPSULATED_RESPONSE_BYTES_MAX {
                return Err(HttpError::TooLong { url: url(), limit_bytes: ENCAPSULATED_RESPONSE_BYTES_MAX });
            }
            bytes.extend_from_slice(&chunk);
        }
        if relayed.status != 200 || relayed.content_type != RESPONSE_TYPE {
            let detail = crate::http::printable(&String::from_utf8_lossy(&bytes));
            return Err(HttpError::Relay { url: url(), detail });
        }
        let failed = |detail: String| HttpError::Relay { url: url(), detail };
        let opened = awaited.open(&bytes).map_err(|reject| failed(reject.to_string()))?;
        let response = BinaryResponse::decode(&opened).map_err(|reject| failed(reject.to_string()))?;
        if !(200..300).contains(&response.status) {
            let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
            return Err(refusal(&self.url, status, &response.content));
        }
        if response.content.len() > limit_bytes {
            return Err(HttpError::TooLong { url: url(), limit_bytes });
        }
        serde_json::from_slice(&response.content)
            .map_err(|source| HttpError::Malformed { url: url(), source })
    }
}
