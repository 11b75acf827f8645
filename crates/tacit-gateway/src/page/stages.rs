//! How far a question is, told while it is asked.
//!
//! With `accept: text/event-stream`, `POST /tacit/v1/ask` answers with events: `stage` ([`StageEvent`]) each time that the question gets
//! further, `retry` ([`Retried`]) when another worker is asked instead and the stages begin again, and `answer` (the plain answer) or `error` (the
//! plain error). The answer comes as soon as it is paid; if the request says how long to wait for its place on the ledger, the stage `anchored` may
//! follow it.
//!
//! Between two retries each stage is told at most once, in the order of [`Stage`]. `proved` is told of answers with a proof only, `paid` once the
//! worker has acknowledged the voucher. `run` and `proved` are known, and told, when the answer is opened; the time that the engine took is the
//! worker's word. Questions that the gateway hides among the user's are not told of.
//!
//! The watcher is a value of the task that asks, so that the road of a question does not carry it from hand to hand.

use core::{convert::Infallible, time::Duration};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256};
use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tacit_wire::{
    Amount, Answer,
    message::{ErrorBody, ErrorReply},
};
use tokio::{sync::mpsc, time::Instant};

use crate::{ask::AskRequest, error::GatewayError, gateway::Gateway, store::Purpose, view::AskAnswer};

/// How far a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A worker was chosen, and its model has the id that it should.
    Found,
    /// A channel with room for the price is there.
    Channel,
    /// The job is encoded, sealed or encrypted where that was asked, signed and on disk.
    Sealed,
    /// The job leaves.
    Sent,
    /// The worker ran the model.
    Run,
    /// The worker proved the run.
    Proved,
    /// The answer came and opens.
    Received,
    /// Every check passed.
    Verified,
    /// The worker has the voucher.
    Paid,
    /// A block anchors the receipt.
    Anchored,
}

/// A question got further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageEvent {
    /// How far it is.
    pub stage: Stage,
    /// Since the question came, as measured here.
    pub at_ms: f64,
    /// Who was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Address>,
    /// What it asks, or what was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// Which channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<B256>,
    /// Length of what was sealed, of the proof, or of what came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What the stage took by itself: the engine's time as the worker says, or processor time of our checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Which block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
}

/// Another worker is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Who is given up.
    pub worker: Address,
    /// Why.
    pub error: ErrorBody,
}

tokio::task_local! {
    static WATCHER: Watcher;
}

/// Questions that are watched at once.
pub(crate) const WATCHED_MAX: usize = 16;
/// More events than a question can have: ten stages and a retry for each worker, its end, and its place on the ledger.
const EVENTS_MAX: usize = 64;
const ANCHOR_WAIT_MAX: Duration = Duration::from_secs(30);
const EVENT_STREAM: &str = "text/event-stream";
const ERROR_EVENT: &[u8] = b"event: error\n";

/// Whoever watches a question.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    events: mpsc::Sender<Bytes>,
    begun: Instant,
    last: Arc<Mutex<Option<Stage>>>,
}

impl StageEvent {
    const fn of(stage: Stage) -> Self {
        let (worker, price, channel_id, bytes, took_ms, block) = (None, None, None, None, None, None);
        Self { stage, at_ms: 0.0, worker, price, channel_id, bytes, took_ms, block }
    }

    pub(crate) fn found(worker: Address, price: Amount) -> Self {
        Self { worker: Some(worker), price: Some(price), ..Self::of(Stage::Found) }
    }

    pub(crate) fn channel(channel_id: B256) -> Self {
        Self { channel_id: Some(channel_id), ..Self::of(Stage::Channel) }
    }

    pub(crate) fn sealed(body: &[u8]) -> Self {
        Self { bytes: Some(length(body)), ..Self::of(Stage::Sealed) }
    }

    pub(crate) const fn sent() -> Self {
        Self::of(Stage::Sent)
    }

    pub(crate) fn verified(cpu_us: u64) -> Self {
        Self { took_ms: Some(milliseconds(cpu_us)), ..Self::of(Stage::Verified) }
    }

    pub(crate) fn paid(price: Amount) -> Self {
        Self { price: Some(price), ..Self::of(Stage::Paid) }
    }

    fn anchored(block: u64) -> Self {
        Self { block: Some(block), ..Self::of(Stage::Anchored) }
    }
}

/// Tells whoever watches this task's question that it got further.
pub(crate) fn reached(purpose: Purpose, event: StageEvent) {
    if let Some(watcher) = watcher(purpose) {
        watcher.reached(event);
    }
}

/// Whoever watches this task's question, to be taken along where work goes on elsewhere. Nobody watches the gateway's own.
pub(crate) fn watcher(purpose: Purpose) -> Option<Watcher> {
    let watched = matches!(purpose, Purpose::Question { .. });
    if watched { WATCHER.try_with(Clone::clone).ok() } else { None }
}

/// Tells that a worker is given up and the next one asked.
pub(crate) fn retried(worker: Address, error: &GatewayError) {
    let _ = WATCHER.try_with(|watcher| {
        *watcher.last() = None;
        watcher.tell("retry", &Retried { worker, error: error.body() });
    });
}

impl Watcher {
    fn reached(&self, event: StageEvent) {
        {
            let mut last = self.last();
            if last.is_some_and(|last| last >= event.stage) {
                return;
            }
            *last = Some(event.stage);
        }
        let at_ms = self.begun.elapsed().as_secs_f64() * 1_000.0;
        self.tell("stage", &StageEvent { at_ms, ..event });
    }

    /// What an answer that was just opened tells. Nothing of it is checked yet.
    pub(crate) fn opened(&self, answer: &Answer, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let took_ms = Some(milliseconds(answer.time.wall_us));
        self.reached(StageEvent { took_ms, ..StageEvent::of(Stage::Run) });
        if let Some(proof) = answer.evidence.proof() {
            self.reached(StageEvent { bytes: Some(length(&proof.proof)), ..StageEvent::of(Stage::Proved) });
        }
        self.reached(StageEvent { bytes: Some(bytes), ..StageEvent::of(Stage::Received) });
    }

    /// Never waits: there is room for all that can be told, and whoever left is told nothing.
    fn tell(&self, name: &str, data: &impl Serialize) {
        let Ok(json) = serde_json::to_string(data) else { return };
        let _ = self.events.try_send(format!("event: {name}\ndata: {json}\n\n").into());
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Stage>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request wants to be told.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    kinds
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM)))
}

/// Asks, and tells. A caller that hangs up does not leave a job half done.
pub(crate) fn ask(gateway: &Arc<Gateway>, mut request: AskRequest, most: Duration) -> Response {
    let Ok(place) = Arc::clone(&gateway.watched).try_acquire_owned() else {
        return GatewayError::Busy.into_response();
    };
    let (events, told) = mpsc::channel(EVENTS_MAX);
    let watcher = Watcher { events, begun: Instant::now(), last: Arc::default() };
    let wait = request.anchor_wait_ms.take().map(Duration::from_millis);
    let asking = {
        let gateway = Arc::clone(gateway);
        let asked = async move { gateway.ask(request).await };
        tokio::spawn(WATCHER.scope(watcher.clone(), async move {
            let _place = place;
            asked.await
        }))
    };
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        let answer = match tokio::time::timeout(most, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(GatewayError::Internal),
            Err(_) => Err(GatewayError::Timeout),
        };
        match answer {
            Ok(answer) => tell_answer(&gateway, &watcher, &answer, wait).await,
            Err(error) => watcher.tell("error", &ErrorReply { error: error.body() }),
        }
    });
    let body = futures::stream::unfold(Some(told), |told| async move {
        let mut told = told?;
        let event = told.recv().await?;
        // Nothing follows an error, whatever a question that goes on without its watcher still does.
        let rest = (!event.starts_with(ERROR_EVENT)).then_some(told);
        Some((Ok::<_, Infallible>(event), rest))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(body)).into_response()
}

async fn tell_answer(gateway: &Gateway, watcher: &Watcher, answer: &AskAnswer, wait: Option<Duration>) {
    watcher.tell("answer", answer);
    let Some(wait) = wait else { return };
    match gateway.wait_for_anchor(answer.job_id, wait.min(ANCHOR_WAIT_MAX)).await {
        Ok(Some(block)) => watcher.reached(StageEvent::anchored(block)),
        Ok(None) => {}
        // The answer is checked and paid: a ledger that cannot be asked now does not take it away.
        Err(error) => {
            tracing::warn!(%error, job_id = %answer.job_id, "the receipt's place is not known yet")
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn milliseconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher() -> (Watcher, mpsc::Receiver<Bytes>) {
        let (events, told) = mpsc::channel(EVENTS_MAX);
        (Watcher { events, begun: Instant::now(), last: Arc::default() }, told)
    }

    #[tokio::test]
    async fn a_stage_is_told_once_in_order_and_again_after_a_retry() {
        let (watcher, mut told) = watcher();
        let question = Purpose::default();
        WATCHER
            .scope(watcher, async {
                reached(question, StageEvent::sent());
                reached(question, StageEvent::channel(B256::ZERO));
                reached(question, StageEvent::sent());
                reached(Purpose::Canary { known: None }, StageEvent::verified(1));
                retried(Address::ZERO, &GatewayError::Busy);
                reached(question, StageEvent::channel(B256::ZERO));
            })
            .await;
        let mut names = Vec::new();
        while let Some(event) = told.recv().await {
            let event = String::from_utf8(event.to_vec()).unwrap();
            let (name, data) = event.trim_end().split_once('\n').unwrap();
            let json: serde_json::Value = serde_json::from_str(data.trim_start_matches("data: ")).unwrap();
            names.push(format!(
                "{} {}",
                name.trim_start_matches("event: "),
                json["stage"].as_str().unwrap_or("")
            ));
        }
        assert_eq!(names, ["stage sent", "retry ", "stage channel"]);
    }

    #[test]
    fn events_are_sent_to_whoever_accepts_them() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            wanted(&headers)
        };
        assert!(accepts("text/event-stream"));
        assert!(accepts("application/json;q=0.5, Text/Event-Stream;q=1"));
        for value in ["application/json", "*/*", "text/event-streams"] {
            assert!(!accepts(value), "{value}");
        }
        assert!(!wanted(&HeaderMap::new()));
    }
}
