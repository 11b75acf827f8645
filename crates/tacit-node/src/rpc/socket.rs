//! WebSocket: the same methods over one connection, and subscriptions.
//!
//! `eth_subscribe` with `newHeads`, `logs` and `newPendingTransactions` (with `true`: whole transactions), `eth_unsubscribe`. Every block is told once, in order;
//! logs of a block come in order and after its header, if both are subscribed to. Transactions are told when the pool takes them; a client that falls
//! thousands behind misses some.
//!
//! # Order
//! Requests of one connection run side by side and are answered when they are done, subscriptions at once: no notification precedes the
//! answer that names it.
//!
//! # Limits
//! Connections, requests in work and subscriptions of a connection, and the size of a message are bounded by [`crate::RpcLimits`]. What waits for a
//! client is not queued: blocks are read from the store when it takes them. Whoever takes nothing for [`SEND_MAX`], or says nothing for
//! [`SILENCE_MAX`], pings included, is disconnected.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{Filter, FilterBlockOption};
use axum::{
    body::Bytes,
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    error::RpcError,
    frame::{self, Body, Encoded, Request, encode, response},
    logs,
    params::Params,
    server::Service,
    shape,
};
use crate::config::RpcLimits;

/// Longest wait for a client to take a message.
pub(super) const SEND_MAX: Duration = Duration::from_secs(30);
/// Longest silence of a client.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How often a client is pinged.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Takes a connection if there is room for it.
pub(super) async fn upgrade(
    State(service): State<Arc<Service>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::METHOD_NOT_ALLOWED, "send POST, or upgrade to WebSocket").into_response();
    };
    let Ok(place) = Arc::clone(&service.sockets).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many WebSocket connections").into_response();
    };
    let limit = service.node.limits().socket_bytes_max;
    upgrade.max_message_size(limit).max_frame_size(limit).on_upgrade(move |socket| async move {
        Connection::new(service).run(socket).await;
        drop(place);
    })
}

/// What a subscription tells.
#[derive(Debug, Clone)]
enum Topic {
    Heads,
    Logs(Box<Filter>),
    Transactions { whole: bool },
}

struct Connection {
    service: Arc<Service>,
    topics: BTreeMap<u64, Topic>,
    /// First height not told yet.
    next: u64,
    /// Transactions since the first subscription to them.
    admitted: broadcast::Receiver<B256>,
}

/// The client is gone, or is to go.
struct Gone;

impl Connection {
    fn new(service: Arc<Service>) -> Self {
        let admitted = service.shared().admitted();
        Self { service, topics: BTreeMap::new(), next: 0, admitted }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let reason = match self.serve(&mut socket).await {
            Ok(reason) => reason,
            Err(Gone) => return,
        };
        let frame = CloseFrame { code: close_code::AWAY, reason: reason.into() };
        // Whoever does not take the last word goes without.
        let _ = timeout(SEND_MAX, socket.send(Message::Close(Some(frame)))).await;
    }

    /// Until the connection ends; the reason when it is this side that ends it.
    async fn serve(&mut self, socket: &mut WebSocket) -> Result<&'static str, Gone> {
        let shared = self.service.shared();
        let mut heads = shared.watch();
        let mut closing = self.service.closing.clone();
        let mut work: JoinSet<String> = JoinSet::new();
        let work_max = self.service.node.limits().socket_requests_max;
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let (blocks, transactions) = (self.wants_blocks(), self.wants_transactions());
            tokio::select! {
                biased;
                _ = closing.changed() => return Ok("the node is shutting down"),
                Some(answer) = work.join_next() => {
                    let answer = answer.unwrap_or_else(|_| {
                        response(&Value::Null, &Err(RpcError::Internal("a task ended early")))
                    });
                    if !answer.is_empty() {
                        send(socket, answer).await?;
                    }
                }
                message = socket.recv(), if work.len() < work_max => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.take(socket, &mut work, text.into()).await?,
                        Some(Ok(Message::Binary(bytes))) => self.take(socket, &mut work, bytes).await?,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    }
                }
                changed = heads.changed(), if blocks => match changed {
                    Ok(()) => {
                        let head = heads.borrow_and_update().number;
                        self.tell_blocks(socket, head).await?;
                    }
                    Err(_) => return Ok("the node is shutting down"),
                },
                told = self.admitted.recv(), if transactions => self.tell_transaction(socket, told).await?,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return Ok("nothing was heard for too long");
                    }
                    send(socket, Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Answers subscriptions at once; other requests get a task.
    async fn take(
        &mut self,
        socket: &mut WebSocket,
        work: &mut JoinSet<String>,
        message: Bytes,
    ) -> Result<(), Gone> {
        let parsed = frame::parse(&message, self.service.node.limits().batch_requests_max);
        match parsed {
            Err(error) => send(socket, response(&Value::Null, &Err(error))).await,
            Ok(Body::Single(Ok(Request { id, method, params }))) if is_own(&method) => {
                let result = match method.as_str() {
                    "eth_subscribe" => self.subscribe(params),
                    _ => self.unsubscribe(params),
                };
                match id {
                    Some(id) => send(socket, response(&id, &result)).await,
                    None => Ok(()),
                }
            }
            Ok(body) => {
                let service = Arc::clone(&self.service);
                work.spawn(async move { service.answer_parsed(body).await });
                Ok(())
            }
        }
    }

    fn subscribe(&mut self, mut params: Params) -> Result<Encoded, RpcError> {
        let limit = self.service.node.limits().socket_subscriptions_max;
        if self.topics.len() >= limit {
            return Err(RpcError::LimitExceeded(format!("at most {limit} subscriptions on a connection")));
        }
        let name: String = params.object()?;
        let topic = match name.as_str() {
            "newHeads" => Topic::Heads,
            "newPendingTransactions" => Topic::Transactions { whole: params.flag()? },
            "logs" => {
                let mut filter = logs::parse_or_all(&mut params)?;
                // What is told is decided by what is new.
                filter.block_option = FilterBlockOption::default();
                Topic::Logs(Box::new(filter))
            }
            _ => {
                let known = "newHeads, logs and newPendingTransactions";
                return Err(RpcError::InvalidParams(format!(
                    "no subscription of this name: there are {known}"
                )));
            }
        };
        params.end()?;
        if !self.wants_blocks() {
            self.next = self.service.shared().head().number.saturating_add(1);
        }
        if !self.wants_transactions() {
            // What came before nobody asked for.
            self.admitted = self.service.shared().admitted();
        }
        let id = self.service.subscription_id();
        self.topics.insert(id, topic);
        encode(&U64::from(id))
    }

    fn unsubscribe(&mut self, mut params: Params) -> Result<Encoded, RpcError> {
        let id = params.quantity()?;
        params.end()?;
        encode(&self.topics.remove(&id).is_some())
    }

    fn wants_blocks(&self) -> bool {
        self.topics.values().any(|topic| !matches!(topic, Topic::Transactions { .. }))
    }

    fn wants_transactions(&self) -> bool {
        self.topics.values().any(|topic| matches!(topic, Topic::Transactions { .. }))
    }

    /// Tells every block up to `head` that was not told yet.
    async fn tell_blocks(&mut self, socket: &mut WebSocket, head: u64) -> Result<(), Gone> {
        // After going back to a snapshot the head can be below what was told.
        self.next = self.next.min(head.saturating_add(1));
        while self.next <= head && !*self.service.closing.borrow() {
            let (service, height) = (Arc::clone(&self.service), self.next);
            let topics: Vec<(u64, Topic)> =
                self.topics.iter().map(|(id, topic)| (*id, topic.clone())).collect();
            let task = tokio::task::spawn_blocking(move || block(&service, height, &topics));
            let told = task.await.unwrap_or(Err(RpcError::Internal("a task ended early")));
            let told = told.inspect_err(|error| tracing::error!(%error, height, "a block cannot be told"));
            for text in told.map_err(|_| Gone)? {
                send(socket, text).await?;
            }
            self.next = self.next.saturating_add(1);
        }
        Ok(())
    }

    async fn tell_transaction(
        &self,
        socket: &mut WebSocket,
        told: Result<B256, RecvError>,
    ) -> Result<(), Gone> {
        let hash = match told {
            Ok(hash) => hash,
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "a client missed pending transactions");
                return Ok(());
            }
            Err(RecvError::Closed) => return Err(Gone),
        };
        for (id, topic) in &self.topics {
            let Topic::Transactions { whole } = topic else { continue };
            let result = if *whole {
                let waiting = self.service.shared().pool().transaction(&hash).cloned();
                // Mined or dropped since: there is nothing pending to show.
                let Some(waiting) = waiting else { continue };
                encode(&shape::waiting(waiting))
            } else {
                encode(&hash)
            };
            if let Ok(result) = result {
                send(socket, notification(*id, &result)).await?;
            }
        }
        Ok(())
    }
}

/// What a block tells each subscription.
fn block(service: &Service, height: u64, topics: &[(u64, Topic)]) -> Result<Vec<String>, RpcError> {
    let view = service.shared().store.view()?;
    // Gone, after going back to a snapshot.
    let Some((hash, header)) = view.header(height)? else { return Ok(Vec::new()) };
    // A block is bounded by its gas, and a part of its logs would be a lie.
    let limits =
        RpcLimits { log_results_max: usize::MAX, log_candidates_max: usize::MAX, ..*service.node.limits() };
    let mut told = Vec::new();
    for (id, topic) in topics {
        if matches!(topic, Topic::Heads) {
            told.push(notification(*id, &shape::header(hash, &header)?));
        }
    }
    for (id, topic) in topics {
        let Topic::Logs(filter) = topic else { continue };
        for log in logs::find(view.as_ref(), &limits, filter, height, height)? {
            told.push(notification(*id, &encode(&log)?));
        }
    }
    Ok(told)
}

fn is_own(method: &str) -> bool {
    matches!(method, "eth_subscribe" | "eth_unsubscribe")
}

fn notification(id: u64, result: &Encoded) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{id:#x}","result":{}}}}}"#,
        result.get()
    )
}

async fn send(socket: &mut WebSocket, message: impl Into<Message>) -> Result<(), Gone> {
    match timeout(SEND_MAX, socket.send(message.into())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

/// Transactions told at once that a client may be behind.
pub(crate) const ADMITTED_MAX: usize = 4096;

/// A channel for what the pool takes.
pub(crate) fn admitted() -> broadcast::Sender<B256> {
    broadcast::Sender::new(ADMITTED_MAX)
}
