//! JSON-RPC over HTTP, whatever the method.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::hex;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json};

use crate::{
    Revert,
    http::{HttpError, JsonClient, printable},
    ledger::LedgerError,
};

/// A node's JSON-RPC. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct RpcClient {
    http: JsonClient,
    url: Arc<str>,
}

#[derive(Deserialize)]
struct Reply {
    result: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
    data: Option<Value>,
}

impl RpcClient {
    /// The JSON-RPC at `url`, whose requests end after `timeout`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub fn new(url: &str, timeout: Duration) -> Result<Self, HttpError> {
        Ok(Self { http: JsonClient::new(timeout)?, url: url.into() })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends one request for each of `params`, together. What each gave is not said.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn tell(
        &self,
        method: &'static str,
        params: impl IntoIterator<Item = Value>,
        limit_bytes: usize,
    ) -> Result<(), HttpError> {
        let requests = (1..).zip(params);
        let requests = requests
            .map(|(id, params)| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let requests: Vec<Value> = requests.collect();
        self.http.post(&self.url, &requests, limit_bytes).await.map(|_: IgnoredAny| ())
    }

    /// Asks; an answer of null is `None`, one of more than `limit_bytes` is refused.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn ask<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        limit_bytes: usize,
    ) -> Result<Option<R>, LedgerError> {
        // Of a call: the first parameter.
        let callee = params.get(0).and_then(|call| call.get("to")?.as_str()?.parse().ok());
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply: Reply = self.http.post(&self.url, &body, limit_bytes).await?;
        if let Some(error) = reply.error {
            let data = error.data.as_ref().and_then(Value::as_str);
            return Err(match data.and_then(|data| hex::decode(data).ok()) {
                Some(data) => LedgerError::Reverted(Revert::decode(callee, &data.into())),
                None if error.code == REVERT_CODE => LedgerError::Reverted(Revert::Text(error.message)),
                None => LedgerError::Rpc { code: error.code, message: printable(&error.message) },
            });
        }
        match reply.result {
            None | Some(Value::Null) => Ok(None),
            Some(result) => {
                serde_json::from_value(result).map(Some).map_err(|_| LedgerError::Malformed { method })
            }
        }
    }
}

const REVERT_CODE: i64 = 3;
