//! The part of the worker's HTTP interface that language models are asked through.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/languages`, `GET /v1/languages/{id}` | models, with manifest, session key and prices |
//! | `GET /v1/languages/{id}/tokenizer` | the tokenizer's file |
//! | `POST /v1/sessions` | opens a session |
//! | `POST /v1/streams` | frames, as they come |
//! | `POST /v1/payments` | takes a voucher |
//! | `GET /v1/accounts/{channel id}` | what is owed and promised |

use std::sync::Arc;

use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt as _, stream::poll_fn};
use tacit_wire::{
    language::LanguageInfo,
    message::ErrorReply,
    prepaid::TOKENIZER_PART_BYTES,
    session::{SessionReply, SessionRequest},
    stream::{Account, ENVELOPE_BYTES, Payment, REQUEST_BYTES_MAX},
};

use super::{LanguageModel, StreamRefusal};
use crate::{http::read, reject::JobReject, worker::Worker};

/// What is served beside the rest.
pub(crate) fn routes() -> Router<Arc<Worker>> {
    Router::new()
        .route("/v1/languages", get(languages))
        .route("/v1/languages/{id}", get(language))
        .route("/v1/languages/{id}/tokenizer", get(tokenizer))
        .route("/v1/sessions", post(session))
        .route("/v1/streams", post(stream))
        .route("/v1/payments", post(payment))
        .route("/v1/accounts/{id}", get(account))
}

async fn languages(State(worker): State<Arc<Worker>>) -> Json<Vec<LanguageInfo>> {
    let (address, key) = (worker.address(), worker.languages.public_key());
    Json(worker.languages.models().into_iter().map(|model| model.info(address, key)).collect())
}

async fn language(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
) -> Result<Json<LanguageInfo>, StreamRefusal> {
    let model = find(&worker, &id)?;
    Ok(Json(model.info(worker.address(), worker.languages.public_key())))
}

/// What a model is, to whoever asks through a relay.
pub(crate) fn describe(worker: &Worker, id: &str) -> Response {
    let found = find(worker, id).map(|model| model.info(worker.address(), worker.languages.public_key()));
    found.map(Json).into_response()
}

/// A part of a model's tokenizer, to whoever asks through a relay: what is encapsulated is bounded.
pub(crate) fn tokenizer_part(worker: &Worker, id: &str, part: &str) -> Response {
    let found = find(worker, id).and_then(|model| {
        let all = model.tokenizer();
        let from = part.parse::<usize>().ok().and_then(|part| part.checked_mul(TOKENIZER_PART_BYTES));
        let from = from.filter(|from| *from <= all.len()).ok_or(JobReject::NotFound)?;
        Ok(all.slice(from..all.len().min(from.saturating_add(TOKENIZER_PART_BYTES))))
    });
    found.map(|bytes| ([(CONTENT_TYPE, "application/octet-stream")], bytes)).into_response()
}

/// Answers a request that tokens pay for.
pub(crate) async fn prepaid(worker: &Arc<Worker>, body: &[u8]) -> Response {
    let answered = worker.answer_prepaid_stream(body).await;
    let answered = answered.inspect_err(|refusal| worker.refused.count(refusal.describe().0));
    answered.map(|body| ([(CONTENT_TYPE, "application/octet-stream")], body)).into_response()
}

async fn tokenizer(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, StreamRefusal> {
    let model = find(&worker, &id)?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], model.tokenizer()))
}

async fn session(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SessionReply>, StreamRefusal> {
    let request: SessionRequest = read(&headers, body).await?;
    let opened = worker.open_session(request).await;
    opened.map(Json).inspect_err(|refusal| worker.refused.count(refusal.describe().0))
}

async fn stream(State(worker): State<Arc<Worker>>, body: Body) -> Result<Response, StreamRefusal> {
    let count = |refusal: &StreamRefusal| worker.refused.count(refusal.describe().0);
    let bytes = read_request(&worker, body).await.inspect_err(count)?;
    let opened = worker.open_stream_request(&bytes).inspect_err(count)?;
    drop(bytes);
    let mut frames = worker.begin_stream(opened);
    // Dropped with the connection, which is how the rest of the worker learns that the client left.
    let frames = poll_fn(move |context| {
        frames.poll_recv(context).map(|frame| frame.map(Ok::<Bytes, core::convert::Infallible>))
    });
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::from_stream(frames)).into_response())
}

/// Nothing is kept of a request whose beginning names no session. The rest of it is read all the same: whoever is still sending does not read
/// why it is refused.
async fn read_request(worker: &Worker, body: Body) -> Result<Vec<u8>, StreamRefusal> {
    let (mut parts, mut bytes, mut length) = (body.into_data_stream(), Vec::new(), 0_usize);
    let mut admitted: Option<Result<(), StreamRefusal>> = None;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| JobReject::Body)?;
        length = length.saturating_add(part.len());
        if length > REQUEST_BYTES_MAX {
            return Err(JobReject::Body.into());
        }
        if !matches!(admitted, Some(Err(_))) {
            bytes.extend_from_slice(&part);
        }
        if admitted.is_none() && bytes.len() >= ENVELOPE_BYTES {
            admitted = Some(worker.check_envelope(&bytes).map(drop));
            if matches!(admitted, Some(Err(_))) {
                bytes = Vec::new();
            }
        }
    }
    admitted.unwrap_or(Ok(())).map(|()| bytes)
}

async fn payment(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Account>, StreamRefusal> {
    let Payment { voucher } = read(&headers, body).await?;
    worker.take_payment(&voucher).await.map(Json)
}

async fn account(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
) -> Result<Json<Account>, StreamRefusal> {
    worker.account_info(id.parse().map_err(|_| JobReject::NotFound)?).map(Json)
}

fn find<'a>(worker: &'a Worker, id: &str) -> Result<&'a Arc<LanguageModel>, StreamRefusal> {
    let model_id = id.parse::<B256>().map_err(|_| JobReject::NotFound)?;
    Ok(worker.languages.models.get(&model_id).ok_or(JobReject::UnknownModel { model_id })?)
}

impl IntoResponse for StreamRefusal {
    fn into_response(self) -> Response {
        if let Self::Job(reject) = self {
            return reject.into_response();
        }
        let (_, status, _) = self.describe();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorReply { error: self.body() })).into_response()
    }
}
