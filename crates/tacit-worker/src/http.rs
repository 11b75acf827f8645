//! The worker's HTTP interface.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | who this is and what it serves |
//! | `GET /v1/models`, `GET /v1/models/{id}` | models, with graph and weight root |
//! | `POST /v1/jobs` | one answer |
//! | `POST /v1/attest` | a session with a guest, and what vouches for it ([`crate::attest`]) |
//! | `POST /v1/prepaid` | one answer, which tokens pay for |
//! | `GET /v1/token-key` | the key that tokens are sold under |
//! | `POST /v1/ohttp` | an encapsulated request for a model, a job or a receipt, of either kind (RFC 9458) |
//! | `GET /v1/ohttp-keys` | its key configurations |
//! | `POST /v1/vouchers` | one payment |
//! | `POST /v1/covers` | has the stake speak for audited answers on a channel ([`CoverRequest`]) |
//! | `POST /v1/walks` | a part of an audited run, for whoever knows its receipt's salt ([`tacit_wire::walk`]) |
//! | `GET /v1/channels/{id}` | best voucher held, for a client that lost its disk |
//! | `PUT /v1/keys/{id}` | evaluation keys, under a [`KeyGrant`] in two headers |
//! | `GET /v1/receipts/{job id}` | receipt and its anchor, of a job or a stream |
//! | `POST /v1/owner` | an order signed with the worker's key ([`OwnerRequest`]); how the worker is |
//!
//! Language models have addresses of their own ([`crate::language`]).

use core::future::ready;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE},
    },
    middleware::{self, Next, map_response},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::de::DeserializeOwned;
use tacit_wire::{
    JobId, WalkRequest, WalkResponse,
    binary_http::{BinaryRequest, BinaryResponse},
    keys::{CHANNEL_HEADER, KeyGrant, KeyReply, SIGNATURE_HEADER},
    message::{
        AttestRequest, AttestResponse, ChannelInfo, CoverReply, CoverRequest, ErrorReply, JobRequest,
        JobResponse, ModelInfo, ModelTerms, PrepaidRequest, ReceiptInfo, TokenKeyInfo, VoucherReply,
        VoucherRequest, WorkerInfo,
    },
    oblivious::{self, ObliviousReject},
    owner::{OwnerReport, OwnerRequest},
    unlinked::{ENCAPSULATED_REQUEST_BYTES_MAX, ENCAPSULATED_RESPONSE_BYTES_MAX},
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use crate::{
    connection::{Bounded, Places},
    language,
    reject::JobReject,
    worker::{Worker, WorkerError},
};

const BODY_BYTES_MAX: usize = 1280 * 1024;
const IDLE_MARGIN: core::time::Duration = core::time::Duration::from_secs(30);
const DRAIN: core::time::Duration = core::time::Duration::from_secs(5);

#[derive(Clone)]
struct Gate {
    worker: Arc<Worker>,
    requests: Arc<Semaphore>,
}

impl Worker {
    /// Serves until `shutdown` resolves, then lets requests in progress end for a few seconds.
    ///
    /// # Errors
    /// [`WorkerError::Listen`].
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), WorkerError> {
        let requests = Arc::new(Semaphore::new(self.limits.requests_max));
        let gate = Gate { worker: Arc::clone(&self), requests };
        let router = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/models", get(models))
            .route("/v1/models/{id}", get(model))
            .route("/v1/jobs", post(job))
            .route("/v1/attest", post(attest))
            .route("/v1/prepaid", post(prepaid))
            .route("/v1/token-key", get(token_key))
            .route(oblivious::PATH, post(unlinked))
            .route(oblivious::KEYS_PATH, get(oblivious_keys))
            .route("/v1/vouchers", post(voucher))
            .route("/v1/covers", post(cover))
            .route("/v1/walks", post(walk))
            .route("/v1/channels/{id}", get(channel))
            .route("/v1/receipts/{id}", get(receipt))
            .route("/v1/keys/{id}", put(keys))
            .route("/v1/owner", post(owner))
            .merge(language::routes())
            .fallback(|| async { JobReject::NotFound })
            .method_not_allowed_fallback(|| async { JobReject::NotFound })
            .layer(middleware::from_fn_with_state(gate, limit))
            .with_state(Arc::clone(&self));
        let mut beside = JoinSet::new();
        beside.spawn(Arc::clone(&self).settle_forever());
        beside.spawn(Arc::clone(&self).respond_forever());
        beside.spawn(Arc::clone(&self).write_forever());
        for model in self.languages.models() {
            let model = Arc::clone(model);
            beside.spawn(Arc::clone(&self).watch_language(model));
        }
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        // Longer than any request may take: a client that waits for its answer is not idle.
        let idle = self.limits.request_timeout.saturating_add(IDLE_MARGIN);
        // Each stream has a connection for as long as it runs; what is asked beside them should not wait for one's end.
        let connections_max = self.limits.connections_max.saturating_add(self.languages.streams_max());
        let listener = Bounded::new(listener, connections_max, idle);
        let places = listener.places();
        let router = router.layer(map_response(move |reply| ready(end_if_scarce(&places, reply))));
        let (draining, grace) = (Arc::clone(&self), self.limits.stream_grace);
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
            shutdown.await;
            let _ = stopping.send(());
            draining.languages.drain(grace).await;
        });
        let late = async {
            // A sender that is gone means that the server ended by itself.
            if stopped.await.is_err() {
                core::future::pending::<()>().await;
            }
            tokio::time::sleep(grace.saturating_add(DRAIN)).await;
        };
        let result = tokio::select! {
            result = serving.into_future() => result,
            () = late => Ok(()),
        };
        beside.shutdown().await;
        self.write_pending().await;
        result.map_err(WorkerError::Listen)
    }
}

/// While few places for connections are left, each ends with its answer.
pub(crate) fn end_if_scarce(places: &Places, mut reply: Response) -> Response {
    if places.are_scarce() {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

async fn limit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(_place) = gate.requests.try_acquire() else { return JobReject::Busy.into_response() };
    let timeout = gate.worker.limits.request_timeout;
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => JobReject::Timeout.into_response(),
    }
}

async fn status(State(worker): State<Arc<Worker>>) -> Result<Json<WorkerInfo>, JobReject> {
    Ok(Json(worker.info()?))
}

async fn models(State(worker): State<Arc<Worker>>) -> Json<Vec<ModelTerms>> {
    Json(worker.terms())
}

async fn model(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
) -> Result<Json<ModelInfo>, JobReject> {
    let model_id = id.parse::<B256>().map_err(|_| JobReject::NotFound)?;
    let model = worker.models.get(&model_id).ok_or(JobReject::UnknownModel { model_id })?;
    Ok(Json(model.info().clone()))
}

async fn job(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<JobResponse>, JobReject> {
    let request: JobRequest = read(&headers, body).await?;
    worker.answer(request).await.map(Json).inspect_err(|reject| worker.refused.count(reject.describe().0))
}

async fn attest(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AttestResponse>, JobReject> {
    let request: AttestRequest = read(&headers, body).await?;
    worker.attest(request).await.map(Json)
}

async fn prepaid(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<JobResponse>, JobReject> {
    let request: PrepaidRequest = read(&headers, body).await?;
    let answered = worker.answer_prepaid(request).await;
    answered.map(Json).inspect_err(|reject| worker.refused.count(reject.describe().0))
}

async fn token_key(State(worker): State<Arc<Worker>>) -> Result<Json<TokenKeyInfo>, JobReject> {
    worker.token_key().map(Json)
}

async fn oblivious_keys(State(worker): State<Arc<Worker>>) -> Response {
    let keys = oblivious::key_configurations(worker.sealing.public(), worker.languages.public_key());
    ([(CONTENT_TYPE, HeaderValue::from_static(oblivious::KEYS_TYPE))], keys).into_response()
}

/// Opens a request that came through a relay, and seals what answers it, whatever that is: the relay sees no refusal but of what does not open.
async fn unlinked(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, JobReject> {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != oblivious::REQUEST_TYPE.as_bytes()) {
        let detail = format!("the content type is not {}", oblivious::REQUEST_TYPE);
        return Err(JobReject::Malformed { detail });
    }
    let message = axum::body::to_bytes(body, ENCAPSULATED_REQUEST_BYTES_MAX).await;
    let message = message.map_err(|_| JobReject::Body)?;
    let (request, reply) = match worker.sealing.decapsulate(&message) {
        Err(ObliviousReject::Suite) => worker.languages.key().decapsulate(&message),
        opened => opened,
    }?;
    let response = match BinaryRequest::decode(&request) {
        Ok(request) => inner(worker, request).await,
        Err(reject) => JobReject::Malformed { detail: reject.to_string() }.into_response(),
    };
    let (parts, body) = response.into_parts();
    let content = axum::body::to_bytes(body, ENCAPSULATED_RESPONSE_BYTES_MAX).await;
    let content = content.map_err(|_| JobReject::Internal)?.to_vec();
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let response = BinaryResponse { status: parts.status.as_u16(), content_type, content };
    let sealed = reply.seal(&response.encode())?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(oblivious::RESPONSE_TYPE))], sealed).into_response())
}

/// What an encapsulated request may ask for: what a question needs, and nothing that names a channel.
async fn inner(worker: Arc<Worker>, request: BinaryRequest) -> Response {
    let BinaryRequest { method, path, content_type, content } = request;
    let mut headers = HeaderMap::new();
    if let Ok(kind) = HeaderValue::from_str(&content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    let segments: Vec<&str> = path.split('/').collect();
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["", "v1", "prepaid"]) => {
            prepaid(State(worker), headers, Body::from(content)).await.into_response()
        }
        ("POST", _) if path == tacit_wire::prepaid::PATH => language::prepaid(&worker, &content).await,
        ("GET", ["", "v1", "models", id]) => {
            model(State(worker), Path((*id).to_owned())).await.into_response()
        }
        ("GET", ["", "v1", "receipts", id]) => {
            receipt(State(worker), Path((*id).to_owned())).await.into_response()
        }
        ("GET", ["", "v1", "languages", id]) => language::describe(&worker, id),
        ("GET", ["", "v1", "languages", id, "tokenizer", part]) => {
            language::tokenizer_part(&worker, id, part)
        }
        _ => JobReject::NotFound.into_response(),
    }
}

async fn voucher(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<VoucherReply>, JobReject> {
    let request: VoucherRequest = read(&headers, body).await?;
    worker.accept_voucher(request).await.map(Json)
}

async fn cover(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CoverReply>, JobReject> {
    let request: CoverRequest = read(&headers, body).await?;
    worker.cover(request).await.map(Json)
}

async fn walk(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WalkResponse>, JobReject> {
    let request: WalkRequest = read(&headers, body).await?;
    worker.walk(request).await.map(Json)
}

async fn channel(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
) -> Result<Json<ChannelInfo>, JobReject> {
    worker.channel(id.parse().map_err(|_| JobReject::NotFound)?).map(Json)
}

async fn receipt(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
) -> Result<Json<ReceiptInfo>, JobReject> {
    worker.receipt(id.parse::<JobId>().map_err(|_| JobReject::NotFound)?).map(Json)
}

async fn keys(
    State(worker): State<Arc<Worker>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<KeyReply>, JobReject> {
    let key_id = id.parse::<B256>().map_err(|_| JobReject::NotFound)?;
    let detail =
        |name: &str| JobReject::Malformed { detail: format!("the header {name} is missing or none") };
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(|| detail(name));
    let channel_id = text(CHANNEL_HEADER)?.parse::<B256>().map_err(|_| detail(CHANNEL_HEADER))?;
    let signature = text(SIGNATURE_HEADER)?.parse::<Bytes>().map_err(|_| detail(SIGNATURE_HEADER))?;
    let Ok(_place) = worker.receiving.try_acquire() else { return Err(JobReject::Busy) };
    let grant = KeyGrant { key_id, channel_id, worker: worker.address() };
    let client = worker.key_client(&grant, &signature).await?;
    let bytes = axum::body::to_bytes(body, tacit_encrypt::MAX_KEY_BYTES).await;
    worker.keep_keys(client, key_id, bytes.map_err(|_| JobReject::Body)?.into()).await.map(Json)
}

async fn owner(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<OwnerReport>, JobReject> {
    let request: OwnerRequest = read(&headers, body).await?;
    worker.obey(&request).await.map(Json)
}

pub(crate) async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, JobReject> {
    let json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(JobReject::NotJson);
    }
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| JobReject::Body)?;
    serde_json::from_slice(&bytes).map_err(|error| JobReject::Malformed { detail: error.to_string() })
}

impl IntoResponse for JobReject {
    fn into_response(self) -> Response {
        let (_, status, _) = self.describe();
        if status == 500 || matches!(self, Self::Ledger(_) | Self::Attest(_)) {
            tracing::error!(error = ?self, "a request failed");
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorReply { error: self.body() })).into_response()
    }
}
