//! Language models asked so that nobody can tell who asked: a real ledger, worker, relay and gateway over HTTP, and an engine that says what a test wants. The recordings are as in `unlinkable`.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tacit_gateway::{
    BuyTokens, DoorConfig, Gateway, GatewayConfig, Spending, StreamBundle, UnlinkablePolicy,
    stream_receipt::Judgement, verify_stream, view::AnyBundle,
};
use tacit_wire::{
    Amount, LedgerClient, Payload, SealingKey,
    binary_http::BinaryRequest,
    blind::{Block, MODULUS_BYTES, SecretKey},
    language::{LanguageKind, TokenCount, TokenPrices},
    message::JobRequest,
    prepaid::{self, PrepaidStream},
    session::SessionKey,
    token,
};
use tacit_worker::{LanguageEngine, LanguageModel, Limits};

use crate::{
    disk::Disk,
    openai::{client, code, completion, header, hello, spending},
    reference::{PRICES, Script, byte_tokenizer, manifest},
    support::{Ledger, RunningWorker, Server, WorkerPlan, ledger, listen, wallet},
    unlinkable::{Heard, Sent, Tap, decoded, policy, requests, start_relay, windows, words},
};

/// What a token costs: a request for 64 tokens, with the slack for counting, may cost four.
pub(crate) const TOKEN: u128 = 30_000;
/// A request, a prompt of 4 and 2 tokens, and an answer of 4.
pub(crate) const FOUR: u128 = 1_000 + 600 + 4_000;

/// An engine that says what it is told to.
#[derive(Clone)]
pub(crate) struct Mouth {
    pub(crate) script: Arc<Mutex<Script>>,
    /// What it was asked.
    pub(crate) asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Mouth {
    pub(crate) async fn start(script: Script) -> (Self, Server) {
        let mouth = Self { script: Arc::new(Mutex::new(script)), asked: Arc::default() };
        let models = Json(json!({"object": "list", "data": [{"id": "talk"}, {"id": "vectors"}]}));
        let router = Router::new()
            .route("/v1/models", get(move || async move { models }))
            .route("/v1/{*door}", post(speak))
            .with_state(mouth.clone());
        let server = Server::spawn(listen(0).await, |listener| async move {
            axum::serve(listener, router).await.unwrap();
        });
        (mouth, server)
    }

    pub(crate) fn say(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn speak(
    State(mouth): State<Mouth>,
    axum::extract::Path(door): axum::extract::Path<String>,
    Json(body): Json<Value>,
) -> Response {
    mouth.asked.lock().unwrap().push((door, body));
    let Script { status, content_type, pieces, gate, dies_at, .. } = mouth.script.lock().unwrap().clone();
    let pieces = futures::stream::unfold(0, move |at| {
        let (pieces, gate) = (pieces.clone(), gate.clone());
        async move {
            if dies_at == Some(at) {
                return Some((Err(std::io::Error::other("told to")), at + 1));
            }
            let piece = pieces.get(at)?.clone();
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            Some((Ok(piece), at + 1))
        }
    });
    (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, content_type)], Body::from_stream(pieces))
        .into_response()
}

/// A worker of a language model that sells tokens, and a relay.
pub(crate) struct Chats {
    pub(crate) ledger: Ledger,
    pub(crate) mouth: Mouth,
    engine: Server,
    pub(crate) worker: RunningWorker,
    pub(crate) keys: Arc<tempfile::TempDir>,
    pub(crate) disk: Disk,
    pub(crate) relay: Server,
}

/// A gateway and its door.
pub(crate) struct Door {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) server: Server,
}

pub(crate) fn four() -> Script {
    Script::json(200, &completion("four"))
}

/// A worker of the language models, under keys in this folder.
pub(crate) fn plan(keys: &Arc<tempfile::TempDir>, disk: &Disk, engine: &str) -> WorkerPlan {
    plan_with(keys, disk, engine, &byte_tokenizer())
}

fn plan_with(keys: &Arc<tempfile::TempDir>, disk: &Disk, engine: &str, tokenizer: &[u8]) -> WorkerPlan {
    let model = |kind, prices: TokenPrices| {
        let manifest = manifest(kind, tokenizer);
        let engine = LanguageEngine::new(engine, &manifest.name).unwrap();
        LanguageModel::new(manifest.write().unwrap().0, tokenizer.to_vec(), prices, 16, engine).unwrap()
    };
    let vectors = TokenPrices { completion: Amount(0), ..PRICES };
    WorkerPlan {
        models: Vec::new(),
        languages: vec![model(LanguageKind::Language, PRICES), model(LanguageKind::Embedding, vectors)],
        token_price: Some(Amount(TOKEN)),
        keys: Arc::clone(keys),
        disk: disk.clone(),
        sealing: SealingKey::load_or_create(&keys.path().join("sealing.key")).unwrap(),
        ..WorkerPlan::honest(1)
    }
}

impl Chats {
    pub(crate) async fn new(script: Script) -> Self {
        Self::with(script, &byte_tokenizer()).await
    }

    async fn with(script: Script, tokenizer: &[u8]) -> Self {
        let everyone: Vec<_> = (1..=9).map(|key| wallet(key).address()).collect();
        let ledger = ledger(&everyone).await;
        let (mouth, engine) = Mouth::start(script).await;
        let (keys, disk) = (Arc::new(tempfile::tempdir().unwrap()), Disk::default());
        let worker = plan_with(&keys, &disk, &engine.url, tokenizer).start(&ledger.client).await;
        let relay = start_relay(&ledger.client).await;
        Self { ledger, mouth, engine, worker, keys, disk, relay }
    }

    /// Kills the worker and starts it again, where it was, on what it had written.
    pub(crate) async fn restart(&mut self) {
        let port = self.worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
        let parked = Server::spawn(listen(0).await, |_| async {});
        drop(core::mem::replace(&mut self.worker.server, parked));
        let plan = WorkerPlan { port, ..plan(&self.keys, &self.disk, &self.engine.url) };
        self.worker = plan.start_quietly(&self.ledger.client).await;
    }

    pub(crate) async fn gateway(&self, key: u8) -> Door {
        self.gateway_on(key, &Disk::default(), spending(), &self.relay.url).await
    }

    pub(crate) async fn gateway_on(&self, key: u8, disk: &Disk, spending: Spending, relay: &str) -> Door {
        open(&self.ledger.client, key, disk, spending, policy(relay)).await
    }

    pub(crate) fn session_key(&self) -> SessionKey {
        SessionKey::load_or_create(&self.keys.path().join("session.key")).unwrap()
    }

    pub(crate) fn signer(&self) -> SecretKey {
        SecretKey::load(&self.keys.path().join("tokens.key")).unwrap()
    }
}

pub(crate) async fn open(
    ledger: &LedgerClient,
    key: u8,
    disk: &Disk,
    spending: Spending,
    unlinkable: UnlinkablePolicy,
) -> Door {
    let gateway = Gateway::open(GatewayConfig {
        attestation: None,
        wallet: wallet(key),
        ledger: ledger.clone(),
        store: tacit_gateway::Store::with_backend(disk.open()).unwrap(),
        spending,
        canaries: tacit_gateway::CanaryPolicy::default(),
        audits: tacit_gateway::AuditPolicy::default(),
        unlinkable,
        door: DoorConfig::default(),
    })
    .unwrap();
    let serving = Arc::clone(&gateway);
    let server = Server::spawn(listen(0).await, |listener| async move {
        let _ = serving.serve(listener, core::future::pending()).await;
    });
    Door { gateway, server }
}

pub(crate) fn some(count: u32) -> BuyTokens {
    BuyTokens { model: "talk".to_owned(), count, worker: None, max_price: None }
}

/// A chat that nobody is to know of, with what a test adds.
pub(crate) fn chat(extra: Value) -> Value {
    let mut body = hello(json!({"max_tokens": 64, "provider": {"unlinkable": true}}));
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

impl Door {
    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        client().post(format!("{}{path}", self.server.url)).json(body).send().await.unwrap()
    }

    pub(crate) async fn chat(&self, extra: Value) -> reqwest::Response {
        self.post("/v1/chat/completions", &chat(extra)).await
    }

    /// Asks and is answered at this price.
    pub(crate) async fn answered(&self, extra: Value, price: u128) -> Vec<u8> {
        let response = self.chat(extra).await;
        if response.status() != 200 {
            panic!("{}", response.text().await.unwrap());
        }
        assert_eq!(header(&response, "x-tacit-price"), Amount(price).to_string());
        response.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn refused(&self, extra: Value) -> (u16, String) {
        code(self.chat(extra).await).await
    }

    /// Tokens that nobody saw, and those that were shown with a question.
    pub(crate) async fn held(&self) -> (u64, u64) {
        let tokens = self.gateway.tokens().await.unwrap();
        tokens.iter().fold((0, 0), |(fresh, shown), entry| (fresh + entry.count, shown + entry.shown))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_paid_with_tokens_and_gets_change() {
    let chats = Chats::new(four()).await;
    let door = chats.gateway(2).await;
    let bought = door.gateway.buy_tokens(some(8)).await.unwrap();
    assert_eq!((bought.count, bought.price), (8, Amount(8 * TOKEN)));
    let response = door.chat(json!({"temperature": 0.50})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-tacit-worker"), wallet(1).address().to_string());
    assert_eq!(header(&response, "x-tacit-price"), Amount(FOUR).to_string());
    let receipt = header(&response, "x-tacit-receipt").to_owned();
    assert_eq!(response.bytes().await.unwrap(), serde_json::to_vec_pretty(&completion("four")).unwrap());
    // Four were shown, three came back.
    assert_eq!(door.held().await, (7, 0));
    let (route, asked) = chats.mouth.asked.lock().unwrap().remove(0);
    assert_eq!(
        (route.as_str(), asked),
        ("chat/completions", hello(json!({"max_tokens": 64, "temperature": 0.5})))
    );

    // The receipt is in the list, on the ledger, and is counted again by whoever has the file.
    let entry = door.gateway.receipts().unwrap().remove(0);
    assert_eq!((entry.receipt.to_string(), entry.price), (receipt.clone(), Amount(FOUR)));
    assert_eq!(entry.stream.as_ref().unwrap().counted, TokenCount { prompt: 6, completion: 4 });
    let bundle = loop {
        let AnyBundle::Stream(bundle) = door.gateway.find_bundle(&receipt).await.unwrap() else { panic!() };
        if bundle.anchor.is_some() {
            break StreamBundle::from_json(&serde_json::to_vec(&bundle).unwrap()).unwrap();
        }
        tokio::time::sleep(core::time::Duration::from_millis(50)).await;
    };
    let verified = verify_stream(&bundle, Some(&byte_tokenizer())).unwrap();
    assert!(matches!(verified.judgement(), Judgement::True { .. }));
    let _ = verified.check_anchor(&bundle, &chats.ledger.client).await.unwrap();
    assert_ne!(verified.receipt().client, door.gateway.address());
    // Another change is another receipt.
    for change in [None, Some(prepaid::change_hash(b""))] {
        assert!(verify_stream(&StreamBundle { change, ..bundle.clone() }, None).is_err());
    }

    // The worker earned what it sold, and gave two answers: tokens, and one for them.
    let earnings = chats.worker.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.vouchered, earnings.unpaid_jobs), (2, Amount(8 * TOKEN), 0));
    // Change pays as what was bought does, until less than a request's limit is left.
    for held in [6, 5, 4, 3] {
        door.answered(json!({}), FOUR).await;
        assert_eq!(door.held().await, (held, 0));
    }
    assert_eq!(door.refused(json!({})).await, (402, "no_tokens".to_owned()));
    assert!(door.gateway.store().prepaid_streams_in_flight().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_comes_whole_and_unchanged() {
    let script = Script::stream(&["Hello", " there"]);
    let engines: Vec<u8> = script.pieces.concat();
    let chats = Chats::new(script).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    let response = door.chat(json!({"stream": true})).await;
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    let body = response.text().await.unwrap();
    let comment = body.strip_prefix(core::str::from_utf8(&engines).unwrap()).unwrap();
    let said: Value = serde_json::from_str(comment.strip_prefix(": tacit ").unwrap()).unwrap();
    assert_eq!(said["price"], Amount(1_600 + 11_000).to_string());
    assert_eq!((&said["prompt_tokens"], &said["completion_tokens"]), (&json!(6), &json!(11)));
    assert_eq!(door.held().await, (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_embeddings_go_the_same_way() {
    let chats = Chats::new(Script::json(200, &json!({"choices": [{"index": 0, "text": "abc"}]}))).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(8)).await.unwrap();
    let unlinkable = json!({"unlinkable": true});
    let body = json!({"model": "talk", "prompt": "hi", "max_tokens": 64, "provider": unlinkable});
    let response = door.post("/v1/completions", &body).await;
    assert_eq!(header(&response, "x-tacit-price"), Amount(1_000 + 200 + 3_000).to_string());
    let answer = json!({"data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]});
    chats.mouth.say(Script::json(200, &answer));
    // Tokens are a worker's, whatever it is asked.
    let body = json!({"model": "vectors", "input": ["abc", "d"], "provider": unlinkable});
    let response = door.post("/v1/embeddings", &body).await;
    assert_eq!(header(&response, "x-tacit-price"), Amount(1_400).to_string());
    assert_eq!(response.json::<Value>().await.unwrap(), answer);
    assert_eq!(door.held().await, (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ends_at_its_limit() {
    let long = "x".repeat(500);
    let chats = Chats::new(Script::stream(&["aa", &long, "b"])).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(8)).await.unwrap();
    let body = door.chat(json!({"stream": true})).await.text().await.unwrap();
    assert!(body.contains("limit_reached") && body.contains("aa") && !body.contains("[DONE]"), "{body}");
    let receipt = door.gateway.receipts().unwrap().remove(0);
    // A hundred tokens of an answer are the limit.
    assert!(receipt.price <= Amount(1_600 + 100_000) && receipt.price > Amount(1_600 + 50_000));
    let kept = receipt.price.0.div_ceil(TOKEN);
    assert_eq!(door.held().await, (8 - u64::try_from(kept).unwrap(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tokens_are_shown_than_needed_only_where_they_make_a_rounder_number() {
    let chats = Chats::new(four()).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(9)).await.unwrap();
    let shown = || async {
        let (mouth, gateway) = (&chats.mouth, &door.gateway);
        let (pause, gate) = four().gated();
        mouth.say(pause);
        let asking = door.chat(json!({"max_tokens": 96}));
        let watching = async {
            loop {
                if let Some(job_id) = gateway.store().prepaid_streams_in_flight().unwrap().first() {
                    let record = gateway.store().prepaid_stream(*job_id).unwrap().unwrap();
                    gate.add_permits(1);
                    return PrepaidStream::read(&record.request).unwrap().head.tokens.len();
                }
                tokio::task::yield_now().await;
            }
        };
        let (response, shown) = tokio::join!(asking, watching);
        assert_eq!(response.status(), 200);
        shown
    };
    // Five are needed, and eight are there until the third question.
    assert_eq!([shown().await, shown().await, shown().await, shown().await], [8, 8, 5, 5]);
    assert_eq!(door.held().await, (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_refuses_or_fails_costs_nothing() {
    let refusal = json!({"error": {"message": "no such parameter", "type": "invalid_request_error"}});
    let chats = Chats::new(Script::json(400, &refusal)).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(8)).await.unwrap();
    let response = door.chat(json!({"stream": true})).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-tacit-price")), (400, "0"));
    assert_eq!(response.json::<Value>().await.unwrap(), refusal);
    // What was shown is kept for this question alone.
    assert_eq!(door.held().await, (4, 4));
    // An engine that breaks off, one that says nothing, and one that is not there.
    chats.mouth.say(Script { dies_at: Some(1), ..Script::stream(&["a", "b"]) });
    assert_eq!(door.refused(json!({"stream": true})).await, (429, "workers_busy".to_owned()));
    chats.mouth.say(Script { pieces: Vec::new(), ..four() });
    assert_eq!(header(&door.chat(json!({"stream": true})).await, "x-tacit-price"), "0");
    assert_eq!(door.held().await, (4, 4));
    let mut chats = chats;
    let parked = Server::spawn(listen(0).await, |_| async {});
    drop(core::mem::replace(&mut chats.engine, parked));
    assert_eq!(door.refused(json!({"stream": true})).await, (429, "workers_busy".to_owned()));
    assert_eq!(door.held().await, (4, 4));
    // Another question pays with others.
    let (mouth, engine) = Mouth::start(four()).await;
    (chats.mouth, chats.engine) = (mouth, engine);
    chats.restart().await;
    door.answered(json!({}), FOUR).await;
    assert_eq!(door.held().await, (3, 4));
    assert_eq!(door.refused(json!({"temperature": 1})).await, (402, "no_tokens".to_owned()));
    // And the same one with the same.
    let response = door.chat(json!({"stream": true})).await;
    assert_eq!(header(&response, "x-tacit-price"), Amount(FOUR).to_string());
    assert_eq!(door.held().await, (6, 0));
    let earnings = chats.worker.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.unpaid_jobs), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_tokenizer_comes_in_parts() {
    // White space behind JSON is JSON: two parts to the byte, and an empty one that says that these are all.
    let mut tokenizer = byte_tokenizer();
    tokenizer.resize(2 * prepaid::TOKENIZER_PART_BYTES, b' ');
    let chats = Chats::with(four(), &tokenizer).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    door.answered(json!({}), FOUR).await;
    let model_id = door.gateway.receipts().unwrap().remove(0).model_id;
    assert!(door.gateway.kept_tokenizer(model_id).unwrap() == tokenizer);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_longer_than_a_request_may_comes_all_the_same() {
    let (script, gate) = four().gated();
    let mut chats = Chats::new(script).await;
    let limits = Limits { request_timeout: core::time::Duration::from_millis(700), ..Limits::default() };
    let plan = WorkerPlan { limits, ..plan(&chats.keys, &chats.disk, &chats.engine.url) };
    chats.worker = plan.start(&chats.ledger.client).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    let late = async {
        tokio::time::sleep(core::time::Duration::from_secs(2)).await;
        gate.add_permits(1);
    };
    tokio::join!(door.answered(json!({}), FOUR), late);
    // It was asked again and again, and the engine once.
    assert_eq!((chats.mouth.asked(), door.held().await), (1, (3, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_count_the_tokens_that_left() {
    let chats = Chats::new(four()).await;
    // Room for what may leave, and then for less than that beside what left.
    let spending = Spending { day_max: Amount(5 * TOKEN), ..spending() };
    let door = chats.gateway_on(2, &Disk::default(), spending, &chats.relay.url).await;
    door.gateway.buy_tokens(some(16)).await.unwrap();
    door.answered(json!({}), FOUR).await;
    door.answered(json!({}), FOUR).await;
    assert_eq!(door.refused(json!({})).await, (402, "cap_reached".to_owned()));
    // Nothing of it left the wallet.
    assert_eq!(door.held().await, (14, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_pay_with_tokens_of_their_own() {
    let chats = Chats::new(four()).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(32)).await.unwrap();
    let asked = (0..8).map(|seed| door.answered(json!({ "seed": seed }), FOUR));
    futures::future::join_all(asked).await;
    assert_eq!(door.held().await, (24, 0));
}

/// What a client did, and what came of it at the worker and at the relay.
struct Step {
    client: u8,
    to_worker: Vec<Heard>,
    to_relay: Vec<Heard>,
}

impl Step {
    fn requests(&self) -> Vec<Sent> {
        self.to_worker.iter().flat_map(|heard| requests(&heard.sent)).collect()
    }

    /// What was encapsulated, as the worker reads it.
    fn inner(&self, key: &SessionKey) -> Vec<BinaryRequest> {
        let opened = |request: &Sent| {
            let (plain, _) = key.decapsulate(&request.body).unwrap();
            BinaryRequest::decode(&plain).unwrap()
        };
        self.requests()
            .iter()
            .filter(|request| request.head.starts_with("POST /v1/ohttp "))
            .map(opened)
            .collect()
    }

    fn asked(&self, key: &SessionKey) -> PrepaidStream {
        let inner = self.inner(key);
        let asked = inner.iter().find(|inner| inner.path == prepaid::PATH).unwrap();
        PrepaidStream::read(&asked.content).unwrap()
    }
}

/// A request with what is drawn anew for each left out.
fn shape(request: &PrepaidStream) -> Value {
    let mut head = serde_json::to_value(&request.head).unwrap();
    assert!(head.as_object_mut().unwrap().remove("client").is_some());
    assert!(head["stream"].as_object_mut().unwrap().remove("job_id").is_some());
    head["tokens"] = Value::from(request.head.tokens.len());
    head["change"] = Value::from(request.head.change.len());
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_tell_whose_chat_it_is() {
    let chats = Chats::new(four()).await;
    let worker_tap = Tap::before(&chats.worker.server.url).await;
    chats.worker.worker.publish_and_ask(&worker_tap.url).await.unwrap();
    let relay = start_relay(&chats.ledger.client).await;
    let relay_tap = Tap::before(&relay.url).await;
    let mut doors = HashMap::new();
    for client in [2, 3, 4] {
        let door = chats.gateway_on(client, &Disk::default(), spending(), &relay_tap.url).await;
        doors.insert(client, door);
    }
    let order = [
        (2, true),
        (3, true),
        (2, false),
        (4, true),
        (4, false),
        (3, false),
        (3, false),
        (2, false),
        (4, false),
    ];
    let (mut bought, mut asked) = (Vec::new(), Vec::new());
    for (turn, (client, buys)) in (10..).zip(order) {
        let door = &doors[&client];
        if buys {
            door.gateway.buy_tokens(some(6)).await.unwrap();
        } else {
            // The second question of each is paid with change too: five are left of six, and four are shown.
            let question = json!([{"role": "user", "content": format!("question {turn}")}]);
            let response = door.chat(json!({ "messages": question })).await;
            assert_eq!(response.status(), 200);
        }
        let step = Step { client, to_worker: worker_tap.take(), to_relay: relay_tap.take() };
        if buys { &mut bought } else { &mut asked }.push(step);
    }
    let key = chats.session_key();
    check_the_relays_record(&bought, &asked, &key);
    check_the_shape(&bought, &asked, &key);
    check_that_nothing_comes_back(&bought, &asked, &key, &chats.signer());
    check_that_every_assignment_explains_it(&bought, &asked, &key, &chats.signer());
}

/// The relay is not there when tokens are bought, and of what it passes on it can read neither model nor question nor token nor account.
fn check_the_relays_record(bought: &[Step], asked: &[Step], key: &SessionKey) {
    assert!(bought.iter().all(|step| step.to_relay.is_empty()));
    for step in asked {
        let seen: Vec<u8> = step
            .to_relay
            .iter()
            .flat_map(|heard| [heard.sent.clone(), heard.answered.clone()].concat())
            .collect();
        assert!(!seen.is_empty());
        let (seen, request) = (windows(&seen), step.asked(key));
        let PrepaidStream { head, body, .. } = &request;
        let mut secrets = vec![
            head.stream.model_id.to_vec(),
            head.stream.model_id.to_string().into_bytes(),
            head.stream.job_id.to_string().into_bytes(),
            head.client.to_string().to_lowercase().into_bytes(),
            prepaid::PATH.as_bytes().to_vec(),
            body.clone(),
            head.change.clone(),
            BASE64_STANDARD.encode(&head.change).into_bytes(),
            b"four, or what else was answered".to_vec(),
        ];
        for token in &head.tokens {
            secrets.push(token.to_bytes());
            secrets.push(BASE64_STANDARD.encode(token.to_bytes()).into_bytes());
        }
        for secret in secrets {
            assert!(windows(&secret).is_disjoint(&seen));
        }
    }
}

/// Requests of all clients are the same in everything that is not drawn anew for each: address, header, terms, lengths, number of tokens.
fn check_the_shape(bought: &[Step], asked: &[Step], key: &SessionKey) {
    let direct: HashSet<SocketAddr> =
        bought.iter().flat_map(|step| &step.to_worker).filter_map(|heard| heard.peer).collect();
    let (mut shapes, mut lengths, mut first) = (Vec::new(), Vec::new(), HashMap::<u8, Vec<String>>::new());
    for step in asked {
        // Connections on which tokens were bought are not those of questions: the worker sees the relay.
        assert!(step.to_worker.iter().all(|heard| !direct.contains(&heard.peer.unwrap())));
        let mut fetched = Vec::new();
        for request in step.requests() {
            if request.head.starts_with("GET ") {
                fetched.push(request.head.lines().next().unwrap().to_owned());
                continue;
            }
            let (plain, _) = key.decapsulate(&request.body).unwrap();
            let inner = BinaryRequest::decode(&plain).unwrap();
            if inner.path == prepaid::PATH {
                let read = PrepaidStream::read(&inner.content).unwrap();
                let head: Vec<&str> =
                    request.head.lines().filter(|line| !line.starts_with("content-length")).collect();
                shapes.push((head.join("\n"), shape(&read)));
                lengths.push(request.body.len());
            } else {
                fetched.push(inner.path);
            }
        }
        first.entry(step.client).or_default().extend(fetched);
    }
    assert_eq!(shapes.len(), asked.len());
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    // The first question of each, whoever it is, fetches the same: key, manifest, tokenizer.
    assert_eq!(first[&2].len(), 3, "{first:?}");
    assert!(first.values().all(|fetched| *fetched == first[&2]), "{first:?}");
}

/// No eight bytes of a purchase come again when anybody asks, but for those that everybody sends; nor any that was drawn for one question, or that answered its requests for change, when
/// another is asked.
fn check_that_nothing_comes_back(bought: &[Step], asked: &[Step], key: &SessionKey, signer: &SecretKey) {
    let purchases: Vec<HashSet<Vec<u8>>> = bought
        .iter()
        .map(|step| {
            let raw: Vec<u8> = step.to_worker.iter().flat_map(|heard| heard.sent.clone()).collect();
            let mut pieces = words(&raw);
            let values = step.requests();
            let values = values.iter().flat_map(|request| decoded(&request.body));
            pieces.extend(values.flat_map(|value| windows(&value)));
            pieces
        })
        .collect();
    let mut constant = purchases[0].clone();
    constant.retain(|piece| purchases.iter().all(|purchase| purchase.contains(piece)));
    assert!(purchases.iter().all(|purchase| purchase.len() > constant.len() + 1_000));

    let (mut drawn, mut known) = (Vec::new(), Vec::new());
    for step in asked {
        let request = step.asked(key);
        let head = serde_json::to_vec(&request.head).unwrap();
        let mut all = words(&head);
        all.extend(decoded(&head).iter().flat_map(|value| windows(value)));
        for purchase in &purchases {
            let again: Vec<_> =
                purchase.intersection(&all).filter(|piece| !constant.contains(*piece)).collect();
            assert!(again.is_empty(), "client {}: {again:?}", step.client);
        }
        let blinded = token::decode_requests(&request.head.change, signer.public()).unwrap();
        let mut values = vec![
            request.head.client.to_vec(),
            request.head.stream.job_id.0.to_vec(),
            request.signature.to_vec(),
        ];
        for token in &request.head.tokens {
            // Between the two stand what all tokens are about, and their key.
            values.extend([token.to_bytes()[2..34].to_vec(), token.authenticator().to_vec()]);
        }
        values.extend(blinded.iter().map(|blinded| blinded.to_vec()));
        let pieces: HashSet<Vec<u8>> = values.iter().flat_map(|value| windows(value)).collect();
        // What is looked for is there to be found.
        assert!(pieces.len() > 1_000 && pieces.len() > all.len() / 4);
        let signed = blinded.iter().flat_map(|blinded| windows(&signer.sign(blinded).unwrap()));
        known.push(pieces.iter().cloned().chain(signed).collect::<HashSet<_>>());
        drawn.push(pieces);
    }
    for (at, pieces) in drawn.iter().enumerate() {
        for (_, known) in known.iter().enumerate().filter(|(other, _)| *other != at) {
            assert!(known.is_disjoint(pieces), "question {at}");
        }
    }
}

/// For every blinded message, bought or change, and every token that was shown there is exactly one blinding factor that makes the one of the other. A factor of one, or one that comes twice
/// for a token, would be a link.
fn check_that_every_assignment_explains_it(
    bought: &[Step],
    asked: &[Step],
    key: &SessionKey,
    signer: &SecretKey,
) {
    let mut blinded: Vec<Block> = Vec::new();
    for request in bought.iter().flat_map(Step::requests) {
        if request.head.starts_with("POST /v1/jobs ") {
            let job: JobRequest = serde_json::from_slice(&request.body).unwrap();
            let Payload::Encrypted { body } = &job.payload else { panic!("a purchase is not readable") };
            blinded.extend(token::decode_requests(body, signer.public()).unwrap());
        }
    }
    let mut shown = Vec::new();
    for step in asked {
        let request = step.asked(key);
        blinded.extend(token::decode_requests(&request.head.change, signer.public()).unwrap());
        shown.extend(request.head.tokens);
    }
    assert_eq!((blinded.len(), shown.len()), (3 * 6 + 6 * 4, 6 * 4));
    let signed: Vec<Block> = blinded.iter().map(|blinded| signer.sign(blinded).unwrap()).collect();
    let mut one = [0; MODULUS_BYTES];
    one[MODULUS_BYTES - 1] = 1;
    for token in &shown {
        let mut factors = HashSet::new();
        for (blinded, signed) in blinded.iter().zip(&signed) {
            let factor = signer.public().factor_between(token.authenticator(), signed).unwrap();
            assert!(signer.public().explains(&factor, token.authenticator(), blinded));
            assert_ne!(factor, one);
            factors.insert(factor);
        }
        assert_eq!(factors.len(), blinded.len());
    }
}
