//! The way to a gateway.

use crate::failure::Failure;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tacit_wire::http::{HttpError, JsonClient};

/// A gateway's HTTP interface.
#[derive(Debug, Clone)]
pub(crate) struct GatewayClient {
    http: JsonClient,
    url: String,
}

impl GatewayClient {
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let http = JsonClient::new(TIMEOUT).map_err(|error| refused(&error))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.http.get(&format!("{}{path}", self.url), REPLY_BYTES_MAX).await.map_err(|error| refused(&error))
    }

    /// A file as it is, of at most so many bytes.
    pub(crate) async fn file(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let url = format!("{}{path}", self.url);
        let mut download = self.http.download(&url, TIMEOUT).await.map_err(|error| refused(&error))?;
        let mut bytes = Vec::new();
        while let Some(more) = download.next().await.map_err(|error| refused(&error))? {
            bytes.extend_from_slice(&more);
            if bytes.len() > bytes_max {
                let hint = "is it another version?";
                return Err(Failure::new("gateway", "the gateway's answer is too long", hint));
            }
        }
        Ok(bytes)
    }

    pub(crate) async fn post(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<Value, Failure> {
        self.http
            .post(&format!("{}{path}", self.url), body, REPLY_BYTES_MAX)
            .await
            .map_err(|error| refused(&error))
    }
}

fn refused(error: &HttpError) -> Failure {
    match error {
        HttpError::Refused { body, .. } => Failure::new(&body.code, &body.message, &body.hint),
        HttpError::Unreachable { .. } => Failure::new(
            "no_gateway",
            "no gateway answers there",
            "start a local network with `tacit up`, or name a gateway with --gateway",
        ),
        other => Failure::new(
            "gateway",
            other,
            "a gateway's address looks like http://127.0.0.1:8547: is this one, and of this version?",
        ),
    }
}

/// Longer than the longest job the gateway waits for.
const TIMEOUT: Duration = Duration::from_secs(300);
const REPLY_BYTES_MAX: usize = 64 << 20;
