//! Asks a worker through a relay: requests as in [`crate::http`], inside encapsulated ones ([`crate::oblivious`]).
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
    oblivious::{self, KEYS_BYTES_MAX, REQUEST_TYPE, RESPONSE_TYPE, Recipient},
};

/// A worker behind a relay.
#[derive(Debug, Clone)]
pub struct UnlinkedWorker {
    http: JsonClient,
    url: String,
    recipient: Recipient,
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

/// The session key of a worker as the relay at `relay` hands it on, if it has the hash that the worker's asks name.
///
/// # Errors
/// [`HttpError::BadUrl`], [`HttpError::Setup`]; [`HttpError::Relay`] where no such key is there.
pub async fn fetch_session_key(relay: &str, worker: Address, hash: B256) -> Result<Recipient, HttpError> {
    let bad = || HttpError::BadUrl { url: relay.to_owned() };
    let origin = crate::http::origin(relay).ok_or_else(bad)?;
    let url = format!("{origin}{}/keys", relay_path(worker));
    let mut list = JsonClient::new(KEYS_PATIENCE)?.download(&url, KEYS_PATIENCE).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = list.next().await? {
        if bytes.len().saturating_add(chunk.len()) > KEYS_BYTES_MAX {
            return Err(HttpError::TooLong { url, limit_bytes: KEYS_BYTES_MAX });
        }
        bytes.extend_from_slice(&chunk);
    }
    let missing = || HttpError::Relay { url, detail: "it has no key that the worker's asks name".to_owned() };
    oblivious::find_session_key(&bytes, hash).map(Recipient::Streams).ok_or_else(missing)
}

const KEYS_PATIENCE: Duration = Duration::from_secs(20);

impl UnlinkedWorker {
    /// The worker whose key this is, behind the relay at `relay` (`http://host:port`).
    ///
    /// # Errors
    /// [`HttpError::BadUrl`], [`HttpError::Setup`].
    pub fn new(relay: &str, worker: Address, recipient: impl Into<Recipient>) -> Result<Self, HttpError> {
        let bad = || HttpError::BadUrl { url: relay.to_owned() };
        let origin = crate::http::origin(relay).ok_or_else(bad)?;
        // Each has connections of its own: what one is used for twice tells the relay no more than its client's address does.
        let http = JsonClient::new(PATIENCE)?;
        Ok(Self { http, url: format!("{origin}{}", relay_path(worker)), recipient: recipient.into() })
    }

    /// Reads `path` of the worker.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str, limit_bytes: usize) -> Result<R, HttpError> {
        self.read(&self.get_bytes(path, limit_bytes).await?)
    }

    /// The same for what is no JSON.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get_bytes(&self, path: &str, limit_bytes: usize) -> Result<Vec<u8>, HttpError> {
        self.exchange("GET", path, "", Vec::new(), limit_bytes).await
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
        self.read(&self.exchange("POST", path, "application/json", body, limit_bytes).await?)
    }

    /// The same for what is no JSON.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post_bytes(
        &self,
        path: &str,
        body: Vec<u8>,
        limit_bytes: usize,
    ) -> Result<Vec<u8>, HttpError> {
        self.exchange("POST", path, "application/octet-stream", body, limit_bytes).await
    }

    fn read<R: DeserializeOwned>(&self, content: &[u8]) -> Result<R, HttpError> {
        serde_json::from_slice(content)
            .map_err(|source| HttpError::Malformed { url: self.url.clone(), source })
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        content: Vec<u8>,
        limit_bytes: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let url = || self.url.clone();
        let (method, path, content_type) = (method.to_owned(), path.to_owned(), content_type.to_owned());
        let request = BinaryRequest { method, path, content_type, content };
        let sealed = oblivious::encapsulate(&self.recipient, &request.encode());
        let (message, awaited) =
            sealed.map_err(|reject| HttpError::Relay { url: url(), detail: reject.to_string() })?;
        let mut relayed = self.http.relay(&self.url, REQUEST_TYPE, message, PATIENCE).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = relayed.body.next().await? {
            if bytes.len().saturating_add(chunk.len()) > ENCAPSULATED_RESPONSE_BYTES_MAX {
                // The relay's doing, or the worker's: nobody knows before it opens.
                let detail = "what it brings has no end".to_owned();
                return Err(HttpError::Relay { url: url(), detail });
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
        Ok(response.content)
    }
}
