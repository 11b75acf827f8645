//! What a page shows that nothing else asks for, on top of what is there for programs (`http.rs`).
//!
//! | request | answer |
//! |---|---|
//! | `POST /tacit/v1/ask`, `accept: text/event-stream` | [`stages`]: how far the question is, then its answer |
//! | `POST /tacit/v1/receipts/{id}/verify` | `{}` in, [`Verification`] out: everything is checked again |
//! | `GET /tacit/v1/receipts/{id}/detail` | [`ReceiptDetail`]: every field, with what it is about |
//! | `GET /tacit/v1/models/{id}` | [`ModelDetail`]: what a question to it looks like |
//! | `GET /tacit/v1/market` | [`WorkerView`] of each worker with an ask |
//! | `GET /tacit/v1/money` | [`Money`]: wallet, channels, caps |
//! | `GET /tacit/v1/history` | [`History`]: how long recent answers took, and what was spent by day |
//! | `GET /tacit/v1/blocks?before=N&limit=N`, `GET /tacit/v1/blocks/{number}` | [`Blocks`], [`BlockDetail`] |
//!
//! A browser reaches neither ledger nor workers: what it may see of them is read here and given out as these types. Nothing is passed through.

pub mod history;
pub mod market;
pub mod model;
pub mod money;
pub mod stages;
pub mod verify;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::HeaderMap,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    error::GatewayError,
    explorer::{BLOCKS_MAX, BlockDetail, Blocks},
    gateway::Gateway,
    http::read_json,
};

pub use history::{AnswerPoint, DaySpent, History};
pub use market::WorkerView;
pub use model::{ColumnView, GraphView, ModelDetail, ReceiptDetail};
pub use money::{CapsView, ChannelState, Money};
pub use stages::{Retried, Stage, StageEvent};
pub use verify::{Check, CheckName, CheckOutcome, Verification};

type Shared = State<Arc<Gateway>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    before: Option<u64>,
    limit: Option<u64>,
}

pub(crate) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/tacit/v1/receipts/{id}/verify", post(verify_again))
        .route("/tacit/v1/receipts/{id}/detail", get(detail))
        .route("/tacit/v1/models/{id}", get(model))
        .route("/tacit/v1/market", get(market))
        .route("/tacit/v1/money", get(money))
        .route("/tacit/v1/history", get(history))
        .route("/tacit/v1/blocks", get(blocks))
        .route("/tacit/v1/blocks/{number}", get(block))
}

/// Work, so that another site's page cannot have it done: a body must be declared as JSON.
async fn verify_again(
    State(gateway): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Verification>, GatewayError> {
    let Nothing {} = read_json(&headers, body).await?;
    gateway.verify_any(&id).await.map(Json)
}

async fn detail(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<ReceiptDetail>, GatewayError> {
    let job_id = gateway.find_receipt(&id)?;
    gateway.fetch_anchor(job_id).await?;
    gateway.receipt_detail(job_id).map(Json)
}

async fn model(State(gateway): Shared, Path(id): Path<String>) -> Result<Json<ModelDetail>, GatewayError> {
    gateway.model_detail(&id).await.map(Json)
}

async fn market(State(gateway): Shared) -> Result<Json<Vec<WorkerView>>, GatewayError> {
    gateway.market_view().await.map(Json)
}

async fn money(State(gateway): Shared) -> Result<Json<Money>, GatewayError> {
    gateway.money().await.map(Json)
}

async fn history(State(gateway): Shared) -> Result<Json<History>, GatewayError> {
    let read = tokio::task::spawn_blocking(move || gateway.history());
    read.await.map_err(|_| GatewayError::Internal)?.map(Json)
}

async fn blocks(
    State(gateway): Shared,
    range: Result<Query<Range>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Blocks>, GatewayError> {
    let Query(Range { before, limit }) =
        range.map_err(|error| GatewayError::Malformed { detail: error.body_text() })?;
    gateway.blocks(before, limit.unwrap_or(BLOCKS_MAX)).await.map(Json)
}

async fn block(
    State(gateway): Shared,
    Path(number): Path<String>,
) -> Result<Json<BlockDetail>, GatewayError> {
    let number = number.parse().map_err(|_| GatewayError::NotFound)?;
    gateway.block(number).await.map(Json)
}
