//! What an operator's tools ask: is the node well, and what does it measure.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::server::Service;

/// `GET /health`: 200 while the node takes blocks and transactions, 503 when its store has failed, when validators have made no
/// block for [`STALLED_S`], or while it catches up with them.
pub(super) async fn health(State(service): State<Arc<Service>>) -> Response {
    let shared = service.node.shared();
    let (head, silent_s) = (shared.head(), shared.silent().as_secs());
    let status = if shared.is_halted() {
        "halted"
    } else if !shared.makes_blocks() && silent_s > STALLED_S {
        "stalled"
    } else if !shared.has_caught_up() {
        "catching_up"
    } else {
        "ok"
    };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": status, "head": head.number, "timestamp_s": head.timestamp, "last_block_s_ago": silent_s,
        "waiting": shared.pool().len(),
    });
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let shared = service.node.shared();
    let head = shared.head();
    let (waiting, waiting_bytes) = {
        let pool = shared.pool();
        (pool.len(), pool.bytes())
    };
    let gauges: [(&str, &str, u64); 6] = [
        ("tacit_head_number", "Number of the newest block.", head.number),
        ("tacit_head_timestamp_seconds", "Its timestamp.", head.timestamp),
        ("tacit_head_gas_used", "Gas that it used.", head.gas_used),
        ("tacit_waiting_transactions", "Transactions that wait for a block.", waiting as u64),
        ("tacit_waiting_bytes", "Their bytes.", waiting_bytes as u64),
        ("tacit_halted", "1 when the store failed and nothing more is taken.", shared.is_halted().into()),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    text.push_str(&service.node.extra_metrics());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Seconds without a block after which a network counts as stalled.
const STALLED_S: u64 = 60;
