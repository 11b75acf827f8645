//! Takes, passes on, brings back.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/relay/{worker}` | `message/ohttp-req` | `message/ohttp-res`, as the worker gave it |
//! | `GET /v1/relay/{worker}/keys` | | `application/ohttp-keys`, as the worker gave them |
//!
//! The second is for language models, of whose workers' keys the ledger has hashes: whoever asks compares, and the relay can hand out no other key.

use core::time::Duration;
use std::{net::SocketAddr, sync::Arc};

use alloy_primitives::Address;
use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tacit_wire::{
    LedgerClient, LedgerError,
    http::{HttpError, JsonClient, Relayed},
    message::{ErrorBody, ErrorReply},
    oblivious::{KEYS_BYTES_MAX, KEYS_PATH, KEYS_TYPE, PATH, REQUEST_TYPE, RESPONSE_TYPE},
    unlinked::{ENCAPSULATED_REQUEST_BYTES_MAX, ENCAPSULATED_RESPONSE_BYTES_MAX},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    address::reachable,
    directory::Directory,
    rate::{Meter, Rate},
};

/// What a relay is made of.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// The operator's ledger.
    pub ledger: LedgerClient,
    /// Whether workers may be on this machine or a private network.
    pub private_networks: bool,
    /// How much one address may ask for.
    pub rate: Rate,
    /// Requests at once, of all addresses.
    pub requests_max: usize,
    /// Longest that a request may take.
    pub timeout: Duration,
}

/// Passes requests on. It writes nothing down.
#[expect(missing_debug_implementations, reason = "it knows who asks")]
pub struct Relay {
    directory: Directory,
    http: JsonClient,
    meter: Meter,
    places: Semaphore,
    private_networks: bool,
    timeout: Duration,
}

/// Why a request is not passed on, or what came back is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayReject {
    /// Nothing is at this address.
    #[error("there is nothing here")]
    NotFound,
    /// Not an encapsulated request.
    #[error("the content type is not message/ohttp-req")]
    NotOblivious,
    /// Longer than any.
    #[error("the request is too long or broken")]
    Body,
    /// More than one address may ask for.
    #[error("too many requests from one address")]
    TooMany,
    /// More than this relay does at once.
    #[error("the relay is busy")]
    Busy,
    /// Not on the ledger, or where this relay does not go.
    #[error("no ask of worker {worker} is on the ledger, or its endpoint is not one that this relay goes to")]
    UnknownWorker {
        /// Who was asked for.
        worker: Address,
    },
    /// The worker does not answer, or not with an encapsulated response.
    #[error("the worker gave no encapsulated answer")]
    Worker,
    /// It took too long.
    #[error("the worker took too long")]
    Timeout,
    /// Our own ledger failed.
    #[error("the relay cannot reach its ledger")]
    Ledger(#[source] LedgerError),
}

impl RelayConfig {
    /// The usual limits.
    #[must_use]
    pub fn new(ledger: LedgerClient) -> Self {
        Self {
            ledger,
            private_networks: false,
            rate: Rate::default(),
            requests_max: 128,
            timeout: Duration::from_secs(140),
        }
    }
}

impl Relay {
    /// A relay; it works once [`Self::serve`] runs.
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub fn new(config: RelayConfig) -> Result<Arc<Self>, HttpError> {
        let RelayConfig { ledger, private_networks, rate, requests_max, timeout } = config;
        Ok(Arc::new(Self {
            directory: Directory::new(ledger),
            http: JsonClient::new(timeout)?,
            meter: Meter::new(rate),
            places: Semaphore::new(requests_max),
            private_networks,
            timeout,
        }))
    }

    /// Serves until `shutdown` resolves.
    ///
    /// # Errors
    /// The listening socket failed.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/v1/relay/{worker}", post(pass_on))
            .route("/v1/relay/{worker}/keys", get(keys))
            .fallback(|| async { RelayReject::NotFound })
            .method_not_allowed_fallback(|| async { RelayReject::NotFound })
            .with_state(self)
            .into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }

    async fn send(
        &self,
        worker: Address,
        endpoint: Option<String>,
        message: Vec<u8>,
    ) -> Result<Result<Relayed, HttpError>, RelayReject> {
        let unknown = || RelayReject::UnknownWorker { worker };
        let place = reachable(&endpoint.ok_or_else(unknown)?, self.private_networks).await;
        let url = format!("http://{}{PATH}", place.ok_or_else(unknown)?);
        Ok(self.http.relay(&url, REQUEST_TYPE, message, self.timeout).await)
    }

    /// A worker's key configurations.
    async fn keys(&self, worker: Address) -> Result<Vec<u8>, RelayReject> {
        let endpoint = self.directory.endpoint(worker).await.map_err(RelayReject::Ledger)?;
        match self.keys_at(worker, endpoint.clone()).await {
            // It may have moved.
            Err(RelayReject::Worker) => {
                let moved = self.directory.moved(worker).await.map_err(RelayReject::Ledger)?;
                if moved == endpoint { Err(RelayReject::Worker) } else { self.keys_at(worker, moved).await }
            }
            keys => keys,
        }
    }

    async fn keys_at(&self, worker: Address, endpoint: Option<String>) -> Result<Vec<u8>, RelayReject> {
        let unknown = || RelayReject::UnknownWorker { worker };
        let place = reachable(&endpoint.ok_or_else(unknown)?, self.private_networks).await;
        let url = format!("http://{}{KEYS_PATH}", place.ok_or_else(unknown)?);
        let mut list = self.http.download(&url, self.timeout).await.map_err(|_| RelayReject::Worker)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = list.next().await.map_err(|_| RelayReject::Worker)? {
            if bytes.len().saturating_add(chunk.len()) > KEYS_BYTES_MAX {
                return Err(RelayReject::Worker);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn carry(&self, worker: Address, message: Vec<u8>) -> Result<Vec<u8>, RelayReject> {
        let endpoint = self.directory.endpoint(worker).await.map_err(RelayReject::Ledger)?;
        let sent = match self.send(worker, endpoint.clone(), message.clone()).await? {
            // Nobody is there: it may have moved.
            Err(error) if !error.outcome_unknown() => {
                let moved = self.directory.moved(worker).await.map_err(RelayReject::Ledger)?;
                if moved == endpoint {
                    return Err(RelayReject::Worker);
                }
                self.send(worker, moved, message).await?
            }
            sent => sent,
        };
        let mut relayed = sent.map_err(|_| RelayReject::Worker)?;
        if relayed.status != 200 || relayed.content_type != RESPONSE_TYPE {
            return Err(RelayReject::Worker);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = relayed.body.next().await.map_err(|_| RelayReject::Worker)? {
            if bytes.len().saturating_add(chunk.len()) > ENCAPSULATED_RESPONSE_BYTES_MAX {
                return Err(RelayReject::Worker);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

async fn pass_on(
    State(relay): State<Arc<Relay>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(worker): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RelayReject> {
    if !relay.meter.admit(client.ip()) {
        return Err(RelayReject::TooMany);
    }
    let Ok(_place) = relay.places.try_acquire() else { return Err(RelayReject::Busy) };
    let worker = worker.parse::<Address>().map_err(|_| RelayReject::NotFound)?;
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != REQUEST_TYPE.as_bytes()) {
        return Err(RelayReject::NotOblivious);
    }
    let carrying = async {
        let message = axum::body::to_bytes(body, ENCAPSULATED_REQUEST_BYTES_MAX).await;
        relay.carry(worker, message.map_err(|_| RelayReject::Body)?.into()).await
    };
    let carried = tokio::time::timeout(relay.timeout, carrying).await;
    let answer = carried.map_err(|_| RelayReject::Timeout)??;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(RESPONSE_TYPE))], answer).into_response())
}

async fn keys(
    State(relay): State<Arc<Relay>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(worker): Path<String>,
) -> Result<Response, RelayReject> {
    if !relay.meter.admit(client.ip()) {
        return Err(RelayReject::TooMany);
    }
    let Ok(_place) = relay.places.try_acquire() else { return Err(RelayReject::Busy) };
    let worker = worker.parse::<Address>().map_err(|_| RelayReject::NotFound)?;
    let fetched = tokio::time::timeout(relay.timeout, relay.keys(worker)).await;
    let keys = fetched.map_err(|_| RelayReject::Timeout)??;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(KEYS_TYPE))], keys).into_response())
}

impl RelayReject {
    fn describe(&self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, ""),
            Self::NotOblivious => {
                ("not_oblivious", StatusCode::UNSUPPORTED_MEDIA_TYPE, "send an encapsulated request")
            }
            Self::Body => ("body_too_long", StatusCode::PAYLOAD_TOO_LARGE, "send a smaller request"),
            Self::TooMany => ("too_many", StatusCode::TOO_MANY_REQUESTS, "try again in a moment"),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "try again, or use another relay"),
            Self::UnknownWorker { .. } => {
                ("unknown_worker", StatusCode::NOT_FOUND, "read the asks on the ledger again")
            }
            Self::Worker => ("worker_failed", StatusCode::BAD_GATEWAY, "try again, or ask another worker"),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT, "try again"),
            Self::Ledger(_) => ("ledger_failed", StatusCode::SERVICE_UNAVAILABLE, "try again later"),
        }
    }
}

impl IntoResponse for RelayReject {
    fn into_response(self) -> Response {
        if let Self::Ledger(error) = &self {
            tracing::error!(%error, "the ledger cannot be read");
        }
        let (code, status, hint) = self.describe();
        let (code, hint, message) = (code.to_owned(), hint.to_owned(), self.to_string());
        let error = ErrorBody { code, message, hint, demand: None, opens_at: None };
        (status, Json(ErrorReply { error })).into_response()
    }
}
