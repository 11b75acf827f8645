//! The gateway's HTTP interface, for programs on the user's own machine.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page (`tacit-web`), which asks for what is below and in [`page`] |
//! | `POST /tacit/v1/ask` | [`AskRequest`] in, [`AskAnswer`] out, or events ([`page::stages`]) |
//! | `POST /tacit/v1/tokens` | [`BuyTokens`] in, [`TokensBought`] out |
//! | `GET /tacit/v1/tokens` | [`TokensEntry`] of each worker and key |
//! | `GET /tacit/v1/models` | models on the ledger, with asks |
//! | `GET /tacit/v1/receipts` | receipts of jobs and streams, newest first |
//! | `GET /tacit/v1/receipts/{id}` | one receipt, by hash or job id, with its block once anchored |
//! | `GET /tacit/v1/receipts/{id}/bundle` | everything needed to check it elsewhere: [`Bundle`], [`StreamBundle`](crate::StreamBundle) |
//! | `GET /tacit/v1/tokenizers/{model id}` | the tokenizer of a language model that was asked |
//! | `GET /tacit/v1/receipts/{id}/bundle/keys` | the same with the secret keys of a job that is under some |
//! | `GET /tacit/v1/keys/{id}` | public evaluation keys, for whoever does a job again |
//! | `GET /tacit/v1/evidence` | [`FraudEntries`]: hidden questions that were answered falsely |
//! | `GET /tacit/v1/evidence/{job id}` | [`FraudBundle`]: what convicts the worker, elsewhere |
//! | `GET /tacit/v1/status` | address, balance, channels |
//! | `POST /tacit/v1/close` | `{}` in, [`Channels`] out: every channel is retired, and its deposit on its way home |
//! | `POST /tacit/v1/forgive` | [`Forgive`] in and out: a worker that was caught may be asked again |
//! | `GET /tacit/v1/workers` | [`WorkerHealth`] of each worker that a language model was asked of |
//! | `GET /tacit/v1/likeness` | [`LikenessView`]: whether workers of a language model answer alike, as far as that was audited |
//! | `GET /tacit/v1/added` | [`AddedTimes`]: how long questions to language models were in the gateway's hands |
//! | `GET /tacit/v1/streams`, `GET /tacit/v1/streams/{job id}` | [`StreamRecord`]: receipts of language models, newest first, or one |
//!
//! What is below `/v1` is OpenAI's: [`crate::openai`].
//!
//! # Web pages
//! The gateway can spend money, so that no web page may use it by accident: a request whose `Host` is not this machine
//! (DNS rebinding) or whose `Origin` is another site is refused, and a body must be declared as JSON, which a page
//! cannot do across origins without being asked.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HOST, ORIGIN},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tacit_wire::{
    JobId,
    message::{ErrorReply, base64_bytes},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    ask::AskRequest,
    error::GatewayError,
    fraud::{FraudBundle, FraudEntry},
    gateway::Gateway,
    openai::{AddedTimes, LikenessView, WorkerHealth},
    page,
    receipt::Bundle,
    store::StreamRecord,
    tokens::{BuyTokens, TokensBought, TokensEntry},
    view::{AnyBundle, AskAnswer, Channels, ModelEntry, ReceiptEntry, Status},
};

/// A worker to ask again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgive {
    /// Who.
    pub worker: Address,
}

/// False answers to hidden questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudEntries {
    /// Each with the job that [`FraudBundle`] is to be had for.
    pub false_answers: Vec<FraudEntry>,
}

/// Evaluation keys as workers have them: public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentKeys {
    /// Their hash.
    pub key_id: B256,
    /// Their bytes.
    #[serde(with = "base64_bytes")]
    pub keys: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {}

const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const REQUESTS_MAX: usize = 64;
const STREAMS_LISTED_MAX: usize = 1_000;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);
const HOUSEKEEPING: Duration = Duration::from_secs(60);
const AUDITING: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(5);

type Shared = State<Arc<Gateway>>;

impl Gateway {
    /// Serves until `shutdown` resolves, then lets requests in progress end for a few seconds. Interrupted jobs are
    /// taken up again first, beside the requests; retired channels are closed now and then.
    ///
    /// The caller chooses the listener's address: anything but a loopback address lets others spend the user's money.
    ///
    /// # Errors
    /// [`GatewayError::Listen`].
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), GatewayError> {
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        let router = Router::new()
            .route("/tacit/v1/ask", post(ask))
            .route("/tacit/v1/tokens", get(tokens).post(buy_tokens))
            .route("/tacit/v1/models", get(models))
            .route("/tacit/v1/receipts", get(receipts))
            .route("/tacit/v1/receipts/{id}", get(receipt))
            .route("/tacit/v1/receipts/{id}/bundle", get(bundle))
            .route("/tacit/v1/receipts/{id}/bundle/keys", get(bundle_with_keys))
            .route("/tacit/v1/tokenizers/{id}", get(tokenizer))
            .route("/tacit/v1/keys/{id}", get(evaluation_keys))
            .route("/tacit/v1/evidence", get(evidence))
            .route("/tacit/v1/evidence/{id}", get(fraud))
            .route("/tacit/v1/status", get(status))
            .route("/tacit/v1/close", post(close))
            .route("/tacit/v1/forgive", post(forgive))
            .route("/tacit/v1/workers", get(workers))
            .route("/tacit/v1/likeness", get(likeness))
            .route("/tacit/v1/added", get(added))
            .route("/tacit/v1/streams", get(streams))
            .route("/tacit/v1/streams/{id}", get(stream))
            .merge(page::routes())
            .merge(tacit_web::router())
            .fallback(|| async { GatewayError::NotFound })
            .method_not_allowed_fallback(|| async { GatewayError::NotFound })
            .layer(middleware::from_fn_with_state(requests, guard))
            .merge(crate::openai::door::router(&self))
            .with_state(Arc::clone(&self));
        let housekeeping = tokio::spawn(Arc::clone(&self).keep_house());
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        // Each token of a stream goes out at once, whether or not the one before was acknowledged.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
            shutdown.await;
            let _ = stopping.send(());
        });
        let late = async {
            // A sender that is gone means that the server ended by itself.
            if stopped.await.is_err() {
                core::future::pending::<()>().await;
            }
            tokio::time::sleep(DRAIN).await;
        };
        let result = tokio::select! {
            result = serving.into_future() => result,
            () = late => Ok(()),
        };
        housekeeping.abort();
        self.write_streams();
        // What was reserved by answers that were cut counts as spent.
        self.budget.write_down(&self.store)?;
        result.map_err(GatewayError::Listen)
    }

    /// Rounds side by side: a worker that stalls does not keep the deposits, nor lets a deadline of a dispute pass.
    async fn keep_house(self: Arc<Self>) {
        tokio::join!(
            self.keep_resuming(),
            self.keep_closing(),
            self.keep_auditing(),
            self.keep_reputations()
        );
    }

    async fn keep_auditing(&self) {
        loop {
            if let Err(error) = self.pursue_audits().await {
                tracing::warn!(%error, "audits are not finished yet");
            }
            if let Err(error) = self.show_audits().await {
                tracing::warn!(%error, "passed audits are not on the ledger yet");
            }
            tokio::time::sleep(AUDITING).await;
        }
    }

    async fn keep_resuming(self: &Arc<Self>) {
        loop {
            if let Err(error) = self.resume().await {
                tracing::warn!(%error, "interrupted jobs are not finished yet");
            }
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    }

    async fn keep_closing(&self) {
        loop {
            if let Err(error) = self.close_retired().await {
                tracing::warn!(%error, "retired channels are not closed yet");
            }
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    }
}

async fn guard(State(requests): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    if !is_local(request.headers()) {
        return GatewayError::ForeignOrigin.into_response();
    }
    let Ok(_place) = requests.try_acquire() else { return GatewayError::Busy.into_response() };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => GatewayError::Timeout.into_response(),
    }
}

/// Whether a request is addressed to this machine by a local name, and not sent by another site's page.
pub(crate) fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(local_authority);
    let mut origins = headers.get_all(ORIGIN).iter();
    host && origins.all(local_origin)
}

fn local_origin(origin: &HeaderValue) -> bool {
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    authority.is_some_and(local_authority)
}

pub(crate) fn local_authority(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// The body of a request that is declared as JSON.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, GatewayError> {
    let json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(GatewayError::NotJson);
    }
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| GatewayError::Body)?;
    serde_json::from_slice(&bytes).map_err(|error| GatewayError::Malformed { detail: error.to_string() })
}

async fn ask(State(gateway): Shared, headers: HeaderMap, body: Body) -> Result<Response, GatewayError> {
    let request: AskRequest = read_json(&headers, body).await?;
    if page::stages::wanted(&headers) {
        return Ok(page::stages::ask(&gateway, request, REQUEST_TIMEOUT));
    }
    // On its own task: a caller that hangs up does not leave a job half done.
    let answer = tokio::spawn(async move { gateway.ask(request).await });
    answer.await.map_err(|_| GatewayError::Internal)?.map(|answer: AskAnswer| Json(answer).into_response())
}

async fn buy_tokens(
    State(gateway): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TokensBought>, GatewayError> {
    let request: BuyTokens = read_json(&headers, body).await?;
    // On its own task, as a question.
    let bought = tokio::spawn(async move { gateway.buy_tokens(request).await });
    bought.await.map_err(|_| GatewayError::Internal)?.map(Json)
}

async fn tokens(State(gateway): Shared) -> Result<Json<Vec<TokensEntry>>, GatewayError> {
    gateway.tokens().await.map(Json)
}

async fn models(State(gateway): Shared) -> Result<Json<Vec<ModelEntry>>, GatewayError> {
    gateway.models().await.map(Json)
}

async fn receipts(State(gateway): Shared) -> Result<Json<Vec<ReceiptEntry>>, GatewayError> {
    gateway.receipts().map(Json)
}

async fn receipt(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<ReceiptEntry>, GatewayError> {
    gateway.find_entry(&id).await.map(Json)
}

async fn bundle(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<AnyBundle>, GatewayError> {
    gateway.find_bundle(&id).await.map(Json)
}

async fn tokenizer(State(gateway): Shared, Path(id): Path<String>) -> Result<Vec<u8>, GatewayError> {
    let unknown = |_| GatewayError::UnknownModel { model: id.chars().take(80).collect() };
    gateway.kept_tokenizer(id.parse().map_err(unknown)?)
}

async fn bundle_with_keys(
    State(gateway): Shared,
    Path(id): Path<String>,
) -> Result<Json<Bundle>, GatewayError> {
    let job_id = gateway.find_receipt(&id)?;
    gateway.fetch_anchor(job_id).await?;
    gateway.bundle_with_keys(job_id).map(Json)
}

async fn evaluation_keys(
    State(gateway): Shared,
    Path(id): Path<String>,
) -> Result<Json<SentKeys>, GatewayError> {
    let unknown = |_| GatewayError::UnknownReceipt { id: id.chars().take(80).collect() };
    let key_id = id.parse().map_err(unknown)?;
    Ok(Json(SentKeys { key_id, keys: gateway.evaluation_keys(key_id)? }))
}

async fn evidence(State(gateway): Shared) -> Result<Json<FraudEntries>, GatewayError> {
    Ok(Json(FraudEntries { false_answers: gateway.false_answers()? }))
}

async fn fraud(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<FraudBundle>, GatewayError> {
    let job_id = id.parse::<JobId>();
    let unknown = |_| GatewayError::UnknownReceipt { id: id.chars().take(80).collect() };
    gateway.false_answer(job_id.map_err(unknown)?).map(Json)
}

async fn status(State(gateway): Shared) -> Result<Json<Status>, GatewayError> {
    gateway.status().await.map(Json)
}

async fn workers(State(gateway): Shared) -> Json<Vec<WorkerHealth>> {
    Json(gateway.health.list())
}

async fn likeness(State(gateway): Shared) -> Json<LikenessView> {
    Json(gateway.likeness.view())
}

async fn added(State(gateway): Shared) -> Json<AddedTimes> {
    Json(gateway.added.times())
}

async fn streams(State(gateway): Shared) -> Result<Json<Vec<StreamRecord>>, GatewayError> {
    Ok(Json(gateway.store().streams(STREAMS_LISTED_MAX)?))
}

async fn stream(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<StreamRecord>, GatewayError> {
    let unknown = || GatewayError::UnknownReceipt { id: id.chars().take(80).collect() };
    let job_id = id.parse::<JobId>().map_err(|_| unknown())?;
    gateway.store().stream(job_id)?.map(Json).ok_or_else(unknown)
}

async fn close(
    State(gateway): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Channels>, GatewayError> {
    let Close {} = read_json(&headers, body).await?;
    gateway.close_all().await.map(|channels| Json(Channels { channels }))
}

async fn forgive(
    State(gateway): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Forgive>, GatewayError> {
    let request: Forgive = read_json(&headers, body).await?;
    gateway.forgive(request.worker).map(|()| Json(request))
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let (_, status, _) = self.describe();
        if status == 500 {
            tracing::error!(error = ?self, "a request failed");
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorReply { error: self.body() })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_local_names_and_origins_pass() {
        for host in ["localhost", "localhost:8547", "127.0.0.1:1", "[::1]:8547", "[::1]"] {
            assert!(is_local(&headers(host, None)), "{host}");
            assert!(is_local(&headers(host, Some("http://localhost:3000"))), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8547", "localhost.evil.example", "127.0.0.1.evil.example", ""]
        {
            assert!(!is_local(&headers(host, None)), "{host}");
        }
        for origin in ["http://evil.example", "null", "http://localhost.evil.example", "file://", "localhost"]
        {
            assert!(!is_local(&headers("localhost", Some(origin))), "{origin}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }
}
