//! The HTTP of the OpenAI interface.
//!
//! Answers carry `x-request-id`, `x-tacit-worker`, and, where the whole answer is there before its head is sent, `x-tacit-price` and `x-tacit-receipt`. A stream says those in
//! a comment line at its end: `: tacit {"worker":…,"price":…,"prompt_tokens":…,"completion_tokens":…,"receipt":…}`.
//!
//! A stream that breaks off ends with an event that SDKs raise as an error; half an event is never given out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::StreamExt;
use serde_json::{Value, json};
use tacit_market::routing::MILLION;
use tacit_wire::{JobId, meter::Route, stream::BODY_BYTES_MAX};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    added::Watch,
    api_key::Found,
    attempt::{ANSWER_BYTES_MAX, Asker, Outcome, PIECES_MAX, Piece},
    caps::Caps,
    error::ApiError,
    link::now_s,
    market::Offered,
    request::ApiRequest,
};
use crate::{gateway::Gateway, http::is_local};

type Shared = State<Arc<Gateway>>;

/// Requests that are answered at once.
pub(crate) const ANSWERS_MAX: usize = 4_096;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const WORKER: HeaderName = HeaderName::from_static("x-tacit-worker");
const PRICE: HeaderName = HeaderName::from_static("x-tacit-price");
const RECEIPT: HeaderName = HeaderName::from_static("x-tacit-receipt");
/// A part of an event that is held back until the rest comes.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Longest that a request's body may be on its way.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const DRAINED_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;
/// A day of the caps, seconds.
pub(crate) const DAY_S: u64 = 24 * 3600;

/// Routes below `/v1`.
pub(crate) fn router(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/{*rest}", axum::routing::any(|| async { ApiError::NotFound }))
        .method_not_allowed_fallback(|| async { ApiError::NotFound })
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), guard))
}

/// A request that was let in.
#[derive(Clone)]
struct Admitted {
    asker: Asker,
    watch: Arc<Watch>,
}

/// Only programs on this machine, with a key where one is needed. Each answer has a name.
async fn guard(State(gateway): Shared, mut request: Request, next: Next) -> Response {
    let watch = Watch::begin();
    let id = JobId::random();
    let mut response = match admit(&gateway, request.headers()) {
        Err(error) => error.into_response(),
        Ok(asker) => {
            request.extensions_mut().insert(Admitted { asker, watch });
            next.run(request).await
        }
    };
    if let Ok(id) = HeaderValue::from_str(&format!("req_{:x}", id.0)) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn admit(gateway: &Gateway, headers: &HeaderMap) -> Result<Asker, ApiError> {
    if !is_local(headers) {
        return Err(ApiError::ForeignOrigin);
    }
    asker(gateway, headers)
}

/// Who asks, and what that may cost.
fn asker(gateway: &Gateway, headers: &HeaderMap) -> Result<Asker, ApiError> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    let spending = gateway.spending;
    let mut caps =
        Caps { request: spending.max_price_default, key_day: spending.key_day_max, day: spending.day_max };
    let found = match &gateway.api_keys {
        None => Found::NotNeeded,
        Some(keys) => keys.find(token).map_err(|error| {
            tracing::error!(%error, "nobody may ask");
            ApiError::Internal
        })?,
    };
    let key = match found {
        Found::NotNeeded => B256::ZERO,
        Found::Missing => return Err(ApiError::Key { given: false }),
        Found::Unknown => return Err(ApiError::Key { given: true }),
        Found::Key(key) => {
            caps.request = key.per_request.unwrap_or(caps.request);
            caps.key_day = key.per_day.unwrap_or(caps.key_day);
            key.hash
        }
    };
    Ok(Asker { key, caps, day: now_s() / DAY_S })
}

async fn models(State(gateway): Shared) -> Result<Json<Value>, ApiError> {
    let offered = gateway.all_offered().await?;
    let data: Vec<Value> = offered.iter().map(|offered| entry(offered)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

async fn model(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let offered = gateway.offered(&id).await?;
    if offered.asks.is_empty() {
        return Err(ApiError::UnknownModel { model: id });
    }
    Ok(Json(entry(&offered)))
}

/// OpenAI's fields, and the lowest prices of a million tokens as OpenRouter shows them. The ledger keeps no time of publication.
fn entry(offered: &Offered) -> Value {
    let million = |price: Option<u128>| {
        price.and_then(|price| price.checked_mul(MILLION)).map(|price| tacit_wire::Amount(price).to_string())
    };
    let workers: BTreeSet<Address> = offered.asks.iter().map(|ask| ask.worker).collect();
    let guests = offered.asks.iter().filter(|ask| ask.is_guests()).count();
    let prompt = million(offered.asks.iter().map(|ask| ask.prices.prompt.0).min());
    let completion = million(offered.asks.iter().map(|ask| ask.prices.completion.0).min());
    json!({
        "id": offered.name, "object": "model", "created": 0, "owned_by": offered.owner,
        "tacit": {
            "model_id": offered.model_id, "workers": workers.len(), "guests": guests,
            "prompt_price_per_million": prompt, "completion_price_per_million": completion,
        },
    })
}

async fn chat(
    State(gateway): Shared,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    ask(gateway, Route::ChatCompletions, admitted, &headers, body)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn completions(
    State(gateway): Shared,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    ask(gateway, Route::Completions, admitted, &headers, body)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn embeddings(
    State(gateway): Shared,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    ask(gateway, Route::Embeddings, admitted, &headers, body)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn ask(
    gateway: Arc<Gateway>,
    route: Route,
    admitted: Admitted,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Admitted { asker, watch } = admitted;
    let place = Arc::clone(&gateway.answers).try_acquire_owned().map_err(|_| ApiError::Busy)?;
    let body = read(headers, body).await?;
    let request = ApiRequest::read(route, body)?;
    let request = if gateway.likeness.is_on() { request.audited() } else { request };
    let wants_stream = request.stream;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(Arc::clone(&gateway).answer(request, asker, sender, Arc::clone(&watch)));
    let mut answer = Pieces { gateway, watch, pieces, _place: place };
    match answer.next().await {
        Piece::Begun { status, content_type, worker } => {
            let mut head = Response::builder()
                .status(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))
                .header(WORKER, worker.to_string())
                .body(())
                .map_err(|_| ApiError::Internal)?;
            let content_type = HeaderValue::from_str(&content_type).map_err(|_| ApiError::Internal)?;
            let is_events = content_type.as_bytes().starts_with(b"text/event-stream");
            head.headers_mut().insert(CONTENT_TYPE, content_type);
            if wants_stream && status < 400 && is_events {
                head.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                return Ok(head.map(|()| Events::new(answer).into_body()));
            }
            let (bytes, outcome) = answer.collect().await?;
            for (name, value) in [(PRICE, outcome.price.to_string()), (RECEIPT, outcome.receipt.to_string())]
            {
                let value = HeaderValue::from_str(&value).map_err(|_| ApiError::Internal)?;
                head.headers_mut().insert(name, value);
            }
            Ok(head.map(|()| Body::from(bytes)))
        }
        Piece::Failed(error) => Err(error),
        Piece::Data(_) | Piece::Done(_) => Err(ApiError::Internal),
    }
}

/// The body of a request that is declared as JSON.
async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, ApiError> {
    let json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(ApiError::NotJson);
    }
    tokio::time::timeout(BODY_TIMEOUT, read_all(body)).await.unwrap_or(Err(ApiError::Broken))
}

/// What is too long is read and let go, up to a limit: whoever is still sending does not read why it is refused.
async fn read_all(body: Body) -> Result<Vec<u8>, ApiError> {
    let (mut body, mut kept, mut length) = (body.into_data_stream(), Vec::new(), 0_usize);
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| ApiError::Broken)?;
        length = length.saturating_add(bytes.len());
        if length <= BODY_BYTES_MAX {
            kept.extend_from_slice(&bytes);
        } else if length > DRAINED_BYTES_MAX {
            break;
        }
    }
    if length > BODY_BYTES_MAX { Err(ApiError::TooLong { limit: BODY_BYTES_MAX }) } else { Ok(kept) }
}

/// An answer on its way. Dropping it is leaving.
struct Pieces {
    gateway: Arc<Gateway>,
    watch: Arc<Watch>,
    pieces: mpsc::Receiver<Piece>,
    _place: OwnedSemaphorePermit,
}

impl Pieces {
    async fn next(&mut self) -> Piece {
        // A task that fails says nothing.
        self.pieces.recv().await.unwrap_or(Piece::Failed(ApiError::Internal))
    }

    /// The end is next on the connection of whoever asked.
    fn given(&self) {
        self.gateway.added.ended(&self.watch);
    }

    async fn collect(mut self) -> Result<(Vec<u8>, Outcome), ApiError> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Piece::Data(bytes) if all.len() <= ANSWER_BYTES_MAX => all.extend_from_slice(&bytes),
                Piece::Done(outcome) => {
                    self.given();
                    return Ok((all, outcome));
                }
                Piece::Failed(error) => return Err(error),
                Piece::Data(_) | Piece::Begun { .. } => return Err(ApiError::Internal),
            }
        }
    }
}

/// A stream of events, whole ones only.
struct Events {
    pieces: Option<Pieces>,
    /// Begun, and not at its end.
    half: Vec<u8>,
}

impl Events {
    fn new(pieces: Pieces) -> Self {
        Self { pieces: Some(pieces), half: Vec::new() }
    }

    fn into_body(self) -> Body {
        Body::from_stream(futures::stream::unfold(self, |mut events| async move {
            let bytes = events.next().await?;
            Some((Ok::<_, core::convert::Infallible>(Bytes::from(bytes)), events))
        }))
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let last = match self.pieces.as_mut()?.next().await {
                Piece::Data(bytes) => {
                    if let Some(whole) = self.push(&bytes) {
                        return Some(whole);
                    }
                    continue;
                }
                Piece::Done(outcome) => {
                    let mut rest = core::mem::take(&mut self.half);
                    rest.extend_from_slice(comment(&outcome).as_bytes());
                    if let Some(pieces) = &self.pieces {
                        pieces.given();
                    }
                    rest
                }
                Piece::Failed(error) => error.event(),
                Piece::Begun { .. } => ApiError::Internal.event(),
            };
            self.pieces = None;
            return Some(last);
        }
    }

    /// What is whole now.
    fn push(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let from = self.half.len();
        self.half.extend_from_slice(bytes);
        let end = end_of_events(&self.half, from)
            .or((self.half.len() > EVENT_BYTES_MAX).then_some(self.half.len()))?;
        let rest = self.half.split_off(end);
        Some(core::mem::replace(&mut self.half, rest))
    }
}

/// Where the last whole event ends, if one ends at or after `from`.
fn end_of_events(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = bytes.len();
    while at > from {
        let before = bytes.get(..at)?;
        if before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n") || before.ends_with(b"\r\r") {
            return Some(at);
        }
        at = at.checked_sub(1)?;
    }
    None
}

fn comment(outcome: &Outcome) -> String {
    let said = json!({
        "worker": outcome.worker, "price": outcome.price,
        "prompt_tokens": outcome.tokens.prompt, "completion_tokens": outcome.tokens.completion,
        "receipt": outcome.receipt,
    });
    format!(": tacit {said}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        Events { pieces: None, half: Vec::new() }
    }

    #[test]
    fn half_an_event_is_held_back() {
        let mut events = events();
        assert_eq!(events.push(b"data: {\"a\""), None);
        assert_eq!(events.push(b":1}\n"), None);
        assert_eq!(events.push(b"\ndata: x").as_deref(), Some(b"data: {\"a\":1}\n\n".as_slice()));
        assert_eq!(events.push(b"\r\n\r\ny").as_deref(), Some(b"data: x\r\n\r\n".as_slice()));
        assert_eq!(events.half, b"y");
        let long = vec![b'z'; EVENT_BYTES_MAX];
        assert_eq!(events.push(&long).map(|bytes| bytes.len()), Some(EVENT_BYTES_MAX + 1));
    }
}
