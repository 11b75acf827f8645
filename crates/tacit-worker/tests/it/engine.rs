//! An engine that says what a test tells it to, byte for byte and when.

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream::poll_fn;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot},
};

/// The name under which it has the model.
pub(crate) const ENGINE_MODEL: &str = "engine's name";

/// The engine. Dropping it is its end.
pub(crate) struct ScriptedEngine {
    pub(crate) url: String,
    asked: Mutex<mpsc::UnboundedReceiver<Asked>>,
    serving: tokio::task::JoinHandle<()>,
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) route: String,
    pub(crate) body: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

struct Answer {
    status: u16,
    content_type: &'static str,
    parts: mpsc::Receiver<Result<Bytes, io::Error>>,
}

/// An answer that has begun. Dropping it ends it in good order.
pub(crate) struct Talk(mpsc::Sender<Result<Bytes, io::Error>>);

impl ScriptedEngine {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let (requests, asked) = mpsc::unbounded_channel();
        let models = Json(json!({ "object": "list", "data": [{ "id": ENGINE_MODEL }] }));
        let router = Router::new()
            .route("/v1/models", get(move || async move { models }))
            .route("/v1/{*route}", post(answer))
            .with_state(Arc::new(requests));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked: Mutex::new(asked), serving }
    }

    /// The next request.
    pub(crate) async fn asked(&self) -> Asked {
        self.asked.lock().await.recv().await.unwrap()
    }

    /// The next request, whose answer begins as a good stream of events does.
    pub(crate) async fn begins(&self) -> Talk {
        self.asked().await.begin(200, "text/event-stream")
    }

    /// Whether nobody asked.
    pub(crate) async fn is_unasked(&self) -> bool {
        self.asked.lock().await.try_recv().is_err()
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Asked {
    pub(crate) fn begin(self, status: u16, content_type: &'static str) -> Talk {
        let (talk, parts) = mpsc::channel(64);
        assert!(self.answer.send(Answer { status, content_type, parts }).is_ok(), "the worker hung up");
        Talk(talk)
    }
}

impl Talk {
    pub(crate) async fn say(&self, bytes: impl Into<Bytes>) {
        self.0.send(Ok(bytes.into())).await.unwrap();
    }

    /// An event with so much text.
    pub(crate) async fn event(&self, text: &str) {
        self.say(event(text)).await;
    }

    /// Breaks the connection.
    pub(crate) async fn die(self) {
        self.0.send(Err(io::Error::other("told to"))).await.unwrap();
        self.0.closed().await;
    }

    /// Resolves when the worker hung up.
    pub(crate) async fn hung_up(&self) {
        self.0.closed().await;
    }
}

/// One event of an answer.
pub(crate) fn event(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

async fn answer(
    State(requests): State<Arc<mpsc::UnboundedSender<Asked>>>,
    Path(route): Path<String>,
    body: Bytes,
) -> Response {
    let (answer, told) = oneshot::channel();
    requests.send(Asked { route, body: body.to_vec(), answer }).unwrap();
    let Ok(Answer { status, content_type, mut parts }) = told.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = Body::from_stream(poll_fn(move |context| parts.poll_recv(context)));
    (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, content_type)], body).into_response()
}
