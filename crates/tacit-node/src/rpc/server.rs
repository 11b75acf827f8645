//! HTTP, batches, and which method runs where.
//!
//! Reads run on the blocking pool, a bounded number at a time. Consecutive transactions of a batch are decoded
//! together and handed to the writer before the first is awaited, so that they share a block. Members of a batch
//! otherwise run in order.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use axum::{
    Router,
    body::{Body as HttpBody, Bytes, HttpBody as _},
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    dev,
    error::RpcError,
    filters::Filters,
    frame::{self, Body, Encoded, Member, Request, encode, response},
    light,
    listen::Bounded,
    params::Params,
    read, snapshot, socket, status,
};
use crate::{admission, node::Node, shared::Shared, writer::Command};

/// The RPC side of a node.
pub(super) struct Service {
    pub(super) node: Node,
    filters: Mutex<Filters>,
    permits: Semaphore,
    /// Places for what takes a processor for long.
    executions: Semaphore,
    /// Kibibytes of long bodies.
    bodies: Semaphore,
    /// Places for long answers, until they are taken.
    answers: Arc<Semaphore>,
    /// A place for each WebSocket connection.
    pub(super) sockets: Arc<Semaphore>,
    /// A place for each snapshot on its way.
    pub(super) snapshots: Arc<Semaphore>,
    /// Whether connections are to end.
    pub(super) closing: watch::Receiver<bool>,
    subscriptions: AtomicU64,
}

impl Service {
    pub(super) fn shared(&self) -> &Shared {
        self.node.shared()
    }

    /// An id that no other subscription of this node has.
    pub(super) fn subscription_id(&self) -> u64 {
        // Counts up; wrapping takes longer than any process lives.
        self.subscriptions.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn filters(&self) -> MutexGuard<'_, Filters> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) async fn serve(
    node: Node,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let filters = Mutex::new(Filters::new(node.limits().filters_max));
    let limits = *node.limits();
    let permits = Semaphore::new(limits.concurrent_requests_max);
    let executions = Semaphore::new(limits.concurrent_executions_max);
    // A body that is as long as it may be always fits.
    let bodies = Semaphore::new(limits.bodies_bytes_max.max(limits.body_bytes_max) >> 10);
    let answers = Arc::new(Semaphore::new(limits.long_answers_max));
    let sockets_max = node.limits().sockets_max;
    let sockets = Arc::new(Semaphore::new(sockets_max.try_into().unwrap_or(usize::MAX)));
    let (close, closing) = watch::channel(false);
    let subscriptions = AtomicU64::new(1);
    let snapshots = Arc::new(Semaphore::new(limits.snapshots_max));
    let service = Service {
        node,
        filters,
        permits,
        executions,
        bodies,
        answers,
        sockets: Arc::clone(&sockets),
        snapshots,
        closing,
        subscriptions,
    };
    let routes = post(handle).get(socket::upgrade).options(preflight);
    let router = Router::new()
        .route("/", routes)
        .route("/health", get(status::health))
        .route("/snapshot", get(snapshot::snapshot))
        .route("/metrics", get(status::metrics))
        .with_state(Arc::new(service));
    let shutdown = async move {
        shutdown.await;
        close.send_replace(true);
    };
    let listener = Bounded::new(listener, limits.connections_max);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
    // Connections that were upgraded are nobody's but their own: wait until the last has ended.
    let _ = timeout(socket::SEND_MAX, sockets.acquire_many(sockets_max)).await;
    Ok(())
}

async fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn handle(State(service): State<Arc<Service>>, body: HttpBody) -> Response {
    let (status, text) = match service.body(body).await {
        Ok(body) => (StatusCode::OK, service.answer(body).await),
        Err((status, error)) => (status, response(&Value::Null, &Err(error))),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    (status, headers, service.parcel(text)).into_response()
}

/// Where a request runs.
enum Work {
    /// Nowhere: it is malformed.
    Answered(Value, RpcError),
    /// On the blocking pool, reading.
    Read(Request),
    /// The same, for as long as it takes: one at a time, so that those of others get their turn.
    Execute(Request),
    /// Decoded on the blocking pool, then handed to the writer.
    Send(Request),
    /// Here, waiting for the writer.
    Wait(Request),
}

impl From<Member> for Work {
    fn from(member: Member) -> Self {
        match member {
            Err(refused) => {
                let (id, error) = *refused;
                Self::Answered(id, error)
            }
            Ok(request) => match request.method.as_str() {
                "eth_sendRawTransaction" => Self::Send(request),
                "eth_sendRawTransactionSync" => Self::Wait(request),
                light::METHOD | light::FINALITY | light::VOTES => Self::Wait(request),
                method if dev::is_dev(method) => Self::Wait(request),
                method if is_execution(method) => Self::Execute(request),
                _ => Self::Read(request),
            },
        }
    }
}

/// Whether a method takes a processor for as long as its caller likes.
fn is_execution(method: &str) -> bool {
    matches!(method, "eth_call" | "eth_createAccessList" | "eth_estimateGas" | "eth_simulateV1")
        || method.starts_with("debug_trace")
}

/// Answers so far.
struct Answers {
    texts: Vec<String>,
    bytes: usize,
    limit: usize,
}

impl Answers {
    const fn full(&self) -> bool {
        self.bytes > self.limit
    }

    fn push(&mut self, id: Option<&Value>, result: Result<Encoded, RpcError>) {
        let Some(id) = id else { return };
        let result = if self.full() { Err(RpcError::ResponseTooLarge { limit: self.limit }) } else { result };
        let text = response(id, &result);
        self.bytes = self.bytes.saturating_add(text.len());
        self.texts.push(text);
    }
}

impl Service {
    /// The body of a request. Long ones wait until there is memory for them.
    async fn body(&self, body: HttpBody) -> Result<Bytes, (StatusCode, RpcError)> {
        let limit = self.node.limits().body_bytes_max;
        let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
        let length = length.unwrap_or(limit).min(limit);
        let kibibytes = if length > INLINE_BYTES_MAX { length >> 10 } else { 0 };
        let read = async {
            // Nobody closes the semaphore.
            let _memory = self.bodies.acquire_many(kibibytes.try_into().unwrap_or(u32::MAX)).await;
            axum::body::to_bytes(body, limit).await
        };
        match timeout(BODY_WAIT_MAX, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, RpcError::BodyTooLarge { limit })),
            Err(_) => {
                let error = RpcError::LimitExceeded("the request takes too long to arrive".into());
                Err((StatusCode::REQUEST_TIMEOUT, error))
            }
        }
    }

    /// An answer on its way. A long one has a place until its client has taken it, or is refused.
    fn parcel(&self, text: String) -> HttpBody {
        if text.len() <= LONG_ANSWER_BYTES {
            return text.into();
        }
        let Ok(place) = Arc::clone(&self.answers).try_acquire_owned() else {
            let error = RpcError::LimitExceeded("too many long answers are on their way".into());
            return response(&Value::Null, &Err(error)).into();
        };
        let parts =
            futures_util::stream::unfold((Bytes::from(text), place), |(mut rest, place)| async move {
                let part = rest.split_to(rest.len().min(PART_BYTES));
                (!part.is_empty()).then_some((Ok::<_, Infallible>(part), (rest, place)))
            });
        HttpBody::from_stream(parts)
    }

    async fn answer(self: &Arc<Self>, body: Bytes) -> String {
        let batch_max = self.node.limits().batch_requests_max;
        let parsed = if body.len() > INLINE_BYTES_MAX {
            let task = tokio::task::spawn_blocking(move || frame::parse(&body, batch_max));
            task.await.unwrap_or(Err(RpcError::Internal("a task ended early")))
        } else {
            frame::parse(&body, batch_max)
        };
        match parsed {
            Err(error) => response(&Value::Null, &Err(error)),
            Ok(body) => self.answer_parsed(body).await,
        }
    }

    pub(super) async fn answer_parsed(self: &Arc<Self>, body: Body) -> String {
        match body {
            Body::Single(member) => self.members(vec![member]).await.concat(),
            Body::Batch(members) => {
                let texts = self.members(members).await;
                if texts.is_empty() { String::new() } else { format!("[{}]", texts.join(",")) }
            }
        }
    }

    async fn members(self: &Arc<Self>, members: Vec<Member>) -> Vec<String> {
        let mut answers =
            Answers { texts: Vec::new(), bytes: 0, limit: self.node.limits().response_bytes_max };
        let mut work = members.into_iter().map(Work::from).peekable();
        while let Some(next) = work.next() {
            match next {
                Work::Answered(id, error) => answers.push(Some(&id), Err(error)),
                Work::Wait(request) => {
                    let result = self.wait(&request.method, request.params).await;
                    answers.push(request.id.as_ref(), result);
                }
                Work::Execute(request) => {
                    // Nobody closes the semaphore.
                    let _turn = self.executions.acquire().await;
                    self.read_run(vec![request], &mut answers).await;
                }
                Work::Read(first) => {
                    let mut run = vec![first];
                    while let Some(Work::Read(request)) = work.next_if(|next| matches!(next, Work::Read(_))) {
                        run.push(request);
                    }
                    self.read_run(run, &mut answers).await;
                }
                Work::Send(first) => {
                    let mut run = vec![first];
                    while let Some(Work::Send(request)) = work.next_if(|next| matches!(next, Work::Send(_))) {
                        run.push(request);
                    }
                    self.send_run(run, &mut answers).await;
                }
            }
        }
        answers.texts
    }

    async fn read_run(self: &Arc<Self>, run: Vec<Request>, answers: &mut Answers) {
        let ids: Vec<Option<Value>> = run.iter().map(|request| request.id.clone()).collect();
        let mut own =
            Answers { texts: Vec::with_capacity(run.len()), bytes: answers.bytes, limit: answers.limit };
        let service = Arc::clone(self);
        let Ok(_permit) = self.permits.acquire().await else { return };
        let task = tokio::task::spawn_blocking(move || {
            for request in run {
                let result = if own.full() {
                    Err(RpcError::ResponseTooLarge { limit: own.limit })
                } else {
                    read::dispatch(&service, &request.method, request.params)
                };
                own.push(request.id.as_ref(), result);
            }
            own
        });
        match task.await {
            Ok(own) => {
                answers.texts.extend(own.texts);
                answers.bytes = own.bytes;
            }
            Err(_) => {
                tracing::error!("a request panicked");
                for id in ids {
                    answers.push(id.as_ref(), Err(RpcError::Internal("a task ended early")));
                }
            }
        }
    }

    async fn send_run(self: &Arc<Self>, run: Vec<Request>, answers: &mut Answers) {
        let (ids, params): (Vec<_>, Vec<_>) =
            run.into_iter().map(|request| (request.id, request.params)).unzip();
        let decoded = self.decode_all(params).await;
        let mut sent = Vec::with_capacity(ids.len());
        for transaction in decoded {
            sent.push(match transaction {
                Err(error) => Err(error),
                Ok(transaction) => {
                    let hash = *transaction.tx_hash();
                    let transaction = Box::new(transaction);
                    let answer = self.node.enqueue(|reply| Command::Submit { transaction, reply }).await;
                    answer.map(|answer| (hash, answer)).map_err(RpcError::from)
                }
            });
        }
        for (id, sent) in ids.into_iter().zip(sent) {
            let result = match sent {
                Err(error) => Err(error),
                Ok((hash, answer)) => match answer.await {
                    Ok(Ok(())) => encode(&hash),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_) => Err(RpcError::Closing),
                },
            };
            answers.push(id.as_ref(), result);
        }
    }

    /// Decodes transactions and recovers their senders, the costliest step of all, off the async threads.
    async fn decode_all(
        self: &Arc<Self>,
        params: Vec<Params>,
    ) -> Vec<Result<Recovered<TxEnvelope>, RpcError>> {
        let count = params.len();
        let service = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let decode = |mut params: Params| {
                let bytes = params.bytes()?;
                params.end()?;
                Ok(admission::decode(&bytes, &service.shared().chain)?)
            };
            params.into_iter().map(decode).collect()
        });
        let early = |_| (0..count).map(|_| Err(RpcError::Internal("a task ended early"))).collect();
        task.await.unwrap_or_else(early)
    }

    async fn wait(self: &Arc<Self>, method: &str, params: Params) -> Result<Encoded, RpcError> {
        match method {
            "eth_sendRawTransactionSync" => self.send_sync(params).await,
            light::METHOD => light::receipt_proof(self, params).await,
            light::FINALITY => light::finality(self, params).await,
            light::VOTES => light::votes(self, params).await,
            _ => dev::dispatch(self, method, params).await,
        }
    }

    /// EIP-7966: sends and gives the receipt, or error 4 with the hash when the time is over.
    async fn send_sync(self: &Arc<Self>, mut params: Params) -> Result<Encoded, RpcError> {
        let bytes = params.bytes()?;
        let wait = params.timeout(SYNC_WAIT_DEFAULT, SYNC_WAIT_MAX)?;
        params.end()?;
        let params = Params::new(Some(Value::Array(vec![Value::String(bytes.to_string())])))?;
        let decoded = self.decode_all(vec![params]).await.pop();
        let transaction = decoded.unwrap_or(Err(RpcError::Internal("a task ended early")))?;
        let hash = *transaction.tx_hash();
        let mut heads = self.shared().watch();
        self.node.submit(transaction).await?;
        let mined = async {
            loop {
                let service = Arc::clone(self);
                let task = tokio::task::spawn_blocking(move || read::receipt_of(&service, hash));
                let receipt = task.await.unwrap_or(Err(RpcError::Internal("a task ended early")))?;
                if let Some(receipt) = receipt {
                    return encode(&receipt);
                }
                heads.changed().await.map_err(|_| RpcError::Closing)?;
            }
        };
        timeout(wait, mined).await.unwrap_or(Err(RpcError::Timeout { hash }))
    }
}

/// Bodies up to this size are parsed where they arrive.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Answers up to this size need no place.
const LONG_ANSWER_BYTES: usize = 1 << 20;
/// Bytes of a long answer that are handed on at a time.
const PART_BYTES: usize = 64 << 10;
/// How long a body may take to arrive, with the wait for memory.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long `eth_sendRawTransactionSync` waits unless told.
const SYNC_WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// How long it waits at most.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(30);
