//! The OpenAI interface against a worker that keeps the page, and against ones that do not.

use core::time::Duration;
use std::sync::{Arc, atomic::Ordering};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tacit_gateway::{Attestation, DoorConfig, Gateway, GatewayConfig, Spending, openai::ApiKeys};
use tacit_wire::{
    Amount, LedgerClient,
    language::{LanguageKind, TokenPrices},
};

use crate::{
    disk::Disk,
    reference::{PRICES, Reference, Script, Vice, event},
    support::{Ledger, Server, ledger, listen, wallet},
};

/// Price of 32 tokens of a completion.
const CHUNK: u128 = 32_000;
/// A request, a prompt of 4 and 2 tokens.
const HELLO: u128 = 1_000 + 6 * 100;

pub(crate) struct Cast {
    pub(crate) ledger: Ledger,
    pub(crate) worker: Reference,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) server: Server,
    disk: Disk,
}

pub(crate) fn spending() -> Spending {
    Spending { max_price_default: Amount(10_000_000), deposit: Amount(10_000_000), ..Spending::default() }
}

pub(crate) async fn open(
    ledger: &LedgerClient,
    disk: &Disk,
    spending: Spending,
    door: DoorConfig,
) -> (Arc<Gateway>, Server) {
    open_judging(ledger, 2, disk, spending, door, None).await
}

/// A gateway with its door, under this key, that judges guests so.
pub(crate) async fn open_judging(
    ledger: &LedgerClient,
    key: u8,
    disk: &Disk,
    spending: Spending,
    door: DoorConfig,
    attestation: Option<Attestation>,
) -> (Arc<Gateway>, Server) {
    let gateway = Gateway::open(GatewayConfig {
        attestation,
        wallet: wallet(key),
        ledger: ledger.clone(),
        store: tacit_gateway::Store::with_backend(disk.open()).unwrap(),
        spending,
        canaries: tacit_gateway::CanaryPolicy::default(),
        audits: tacit_gateway::AuditPolicy::default(),
        unlinkable: tacit_gateway::UnlinkablePolicy::default(),
        door,
    })
    .unwrap();
    let serving = Arc::clone(&gateway);
    let server = Server::spawn(listen(0).await, |listener| async move {
        let _ = serving.serve(listener, core::future::pending()).await;
    });
    (gateway, server)
}

pub(crate) async fn cast_with(script: Script, spending: Spending, door: DoorConfig) -> Cast {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address(), wallet(3).address()]).await;
    let worker = Reference::start(&ledger.client, 1, LanguageKind::Language, PRICES, script).await;
    let disk = Disk::default();
    let (gateway, server) = open(&ledger.client, &disk, spending, door).await;
    Cast { ledger, worker, gateway, server, disk }
}

pub(crate) async fn cast(script: Script) -> Cast {
    cast_with(script, spending(), DoorConfig::default()).await
}

pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

impl Cast {
    async fn post(&self, path: &str, body: &Value) -> Response {
        client().post(format!("{}{path}", self.server.url)).json(body).send().await.unwrap()
    }

    pub(crate) async fn chat(&self, extra: Value) -> Response {
        self.post("/v1/chat/completions", &hello(extra)).await
    }

    /// Until the receipts that were made are on disk.
    pub(crate) async fn receipts(&self, count: usize) -> Vec<tacit_gateway::store::StreamRecord> {
        loop {
            let records = self.gateway.store().streams(100).unwrap();
            if records.len() >= count {
                return records;
            }
            tokio::task::yield_now().await;
        }
    }

    fn distrust(&self) -> Option<String> {
        self.gateway.store().distrust(wallet(1).address()).unwrap().map(|distrust| distrust.code)
    }
}

/// A chat whose prompt has 4 and 2 tokens.
pub(crate) fn hello(extra: Value) -> Value {
    let mut body = json!({"model": "talk", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

pub(crate) fn completion(text: &str) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "talk", "unheard_of": [1.50],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
}

pub(crate) async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

/// What the comment at a stream's end says.
fn said(body: &str) -> Value {
    let line = body.lines().find_map(|line| line.strip_prefix(": tacit ")).unwrap();
    serde_json::from_str(line).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_comes_byte_for_byte_and_is_paid_to_the_last_token() {
    let texts = ["Hello", " there", ", friend", " of mine", " and", " of", " everybody", " else", "!"];
    let script = Script::stream(&texts);
    let engines: Vec<u8> = script.pieces.concat();
    let cast = cast(script).await;
    let response = cast.chat(json!({"stream": true, "temperature": 0.50})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    assert_eq!(header(&response, "x-tacit-worker"), wallet(1).address().to_string());
    assert!(header(&response, "x-request-id").starts_with("req_"));
    let body = response.text().await.unwrap();
    let tokens: usize = texts.iter().map(|text| text.len()).sum();
    let price = HELLO + 1_000 * u128::try_from(tokens).unwrap();
    assert!(body.as_bytes().starts_with(&engines));
    let said = said(&body);
    assert_eq!(said["price"], Amount(price).to_string());
    assert_eq!((&said["prompt_tokens"], &said["completion_tokens"]), (&json!(6), &json!(tokens)));

    // All of it is promised, and nothing else; the worker never had more than a chunk unpaid.
    assert_eq!(cast.worker.promised(price).await, price);
    let (owed, promised, unpaid) = cast.worker.books();
    assert_eq!((owed, promised), (price, price));
    assert!(unpaid <= CHUNK, "{unpaid}");
    let record = cast.receipts(1).await.remove(0);
    assert_eq!(
        said["receipt"],
        json!(tacit_abi::receipts::leaf(&record.receipt.receipt, cast.ledger.client.chain_id()))
    );
    assert_eq!(record.receipt.receipt.price, price);
    assert_eq!(record.fault, None);
    // What was asked reached the engine as it was written.
    assert_eq!(
        cast.worker.state.asked.lock().unwrap()[0],
        hello(json!({"stream": true, "temperature": 0.50}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_streamed_says_its_price_in_its_head() {
    let cast = cast(Script::json(200, &completion("four"))).await;
    let response = cast.chat(json!({})).await;
    assert_eq!(header(&response, "x-tacit-price"), Amount(HELLO + 4_000).to_string());
    assert!(header(&response, "x-tacit-receipt").starts_with("0x"));
    let bytes = response.bytes().await.unwrap();
    assert_eq!(bytes, serde_json::to_vec_pretty(&completion("four")).unwrap());
    assert_eq!(cast.worker.promised(HELLO + 4_000).await, HELLO + 4_000);
    assert_eq!(cast.worker.state.opened.load(Ordering::SeqCst), 1);
    // One session, one channel.
    for _ in 0..3 {
        assert_eq!(cast.chat(json!({})).await.status(), 200);
    }
    assert_eq!(cast.worker.state.opened.load(Ordering::SeqCst), 1);
    assert_eq!(cast.worker.promised(4 * (HELLO + 4_000)).await, 4 * (HELLO + 4_000));
    assert_eq!(cast.gateway.channels().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_the_gateway_does_not_travel() {
    let cast = cast(Script::json(200, &completion("x"))).await;
    let address = wallet(1).address().to_string();
    let wishes = json!({"model": "talk:floor", "models": ["nobody"], "provider": {"only": [address], "sort": "price"}});
    assert_eq!(cast.chat(wishes).await.status(), 200);
    assert_eq!(cast.worker.state.asked.lock().unwrap()[0], hello(json!({})));
    let by_id = json!({"model": cast.worker.model_id.to_string()});
    assert_eq!(cast.chat(by_id).await.status(), 200);
    assert_eq!(cast.worker.state.asked.lock().unwrap()[1], hello(json!({})));
    let fallback = json!({"model": "nobody", "models": ["talk"]});
    assert_eq!(cast.chat(fallback).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_as_openai_does() {
    let cast = cast(Script::json(200, &completion("x"))).await;
    let url = format!("{}/v1/models", cast.server.url);
    let list: Value = client().get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("talk")));
    assert_eq!(list["data"][0]["object"], "model");
    assert_eq!(
        list["data"][0]["tacit"]["completion_price_per_million"],
        Amount(1_000 * 1_000_000).to_string()
    );
    let one: Value = client().get(format!("{url}/talk")).send().await.unwrap().json().await.unwrap();
    assert_eq!(one, list["data"][0]);
    assert_eq!(
        code(client().get(format!("{url}/no")).send().await.unwrap()).await,
        (404, "model_not_found".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_are_paid_by_their_input() {
    let cast = cast(Script::json(200, &completion("x"))).await;
    let prices = TokenPrices { completion: Amount(0), ..PRICES };
    let answer =
        json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]});
    let worker =
        Reference::start(&cast.ledger.client, 3, LanguageKind::Embedding, prices, Script::json(200, &answer))
            .await;
    let response = cast.post("/v1/embeddings", &json!({"model": "vectors", "input": ["abc", "d"]})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-tacit-price"), Amount(1_400).to_string());
    assert_eq!(response.json::<Value>().await.unwrap(), answer);
    assert_eq!(worker.promised(1_400).await, 1_400);
    let wrong = cast.post("/v1/embeddings", &json!({"model": "talk", "input": "abc"})).await;
    assert_eq!(code(wrong).await, (400, "invalid_value".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engines_refusal_is_passed_on_and_costs_nothing() {
    let refusal = json!({"error": {"message": "no such parameter", "type": "invalid_request_error", "param": "x", "code": null}});
    let cast = cast(Script::json(400, &refusal)).await;
    let response = cast.chat(json!({"stream": true})).await;
    assert_eq!(response.status(), 400);
    assert_eq!(header(&response, "x-tacit-price"), "0");
    assert_eq!(response.json::<Value>().await.unwrap(), refusal);
    assert_eq!(cast.worker.books().0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_refused_in_openais_words() {
    let cast = cast(Script::json(200, &completion("x"))).await;
    let url = &cast.server.url;
    let chat = format!("{url}/v1/chat/completions");
    let post =
        |body: String| client().post(&chat).header("content-type", "application/json").body(body).send();
    let plain = client().post(&chat).body("{}").send().await.unwrap();
    assert_eq!(code(plain).await, (415, "not_json".to_owned()));
    assert_eq!(code(post("{".to_owned()).await.unwrap()).await, (400, "invalid_value".to_owned()));
    assert_eq!(code(post("1".repeat(5 << 20)).await.unwrap()).await, (413, "body_too_long".to_owned()));
    assert_eq!(code(cast.chat(json!({"model": "no"})).await).await, (404, "model_not_found".to_owned()));
    let nobody = json!({"provider": {"ignore": [wallet(1).address()]}});
    assert_eq!(code(cast.chat(nobody).await).await, (404, "no_worker".to_owned()));
    let nothing = client().get(format!("{url}/v1/nothing")).send().await.unwrap();
    assert_eq!(code(nothing).await, (404, "not_found".to_owned()));
    let foreign =
        client().get(format!("{url}/v1/models")).header("origin", "http://evil.example").send().await;
    assert_eq!(code(foreign.unwrap()).await, (403, "foreign_origin".to_owned()));
    let dear = json!({"max_tokens": 4_000, "n": 100});
    assert_eq!(code(cast.chat(dear).await).await, (402, "cap_reached".to_owned()));
    assert!(cast.worker.state.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_needed_once_there_is_one_and_its_caps_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let door = DoorConfig { api_keys: Some(path.clone()), ..DoorConfig::default() };
    let cast = cast_with(Script::json(200, &completion("four")), spending(), door).await;
    assert_eq!(cast.chat(json!({})).await.status(), 200);
    let keys = ApiKeys::at(&path);
    // Four tokens and the slack for counting are reserved, and four are paid.
    let key = keys.create("mine", None, Some(Amount(HELLO + 40_000 - 1))).unwrap();
    assert_eq!(code(cast.chat(json!({})).await).await, (401, "invalid_api_key".to_owned()));
    let ask = |token: &str| {
        let request = client().post(format!("{}/v1/chat/completions", cast.server.url)).bearer_auth(token);
        request.json(&hello(json!({"max_tokens": 4}))).send()
    };
    assert_eq!(code(ask("tk-other").await.unwrap()).await, (401, "invalid_api_key".to_owned()));
    assert_eq!(ask(&key).await.unwrap().status(), 200);
    assert_eq!(code(ask(&key).await.unwrap()).await, (402, "cap_reached".to_owned()));
    keys.revoke("mine").unwrap();
    assert_eq!(code(ask(&key).await.unwrap()).await, (401, "invalid_api_key".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_days_cap_holds_for_many_at_once_and_over_a_crash() {
    let cap = 5 * (HELLO + 60_000);
    let spending = Spending { day_max: Amount(cap), ..spending() };
    let cast = cast_with(Script::json(200, &completion("four")), spending, DoorConfig::default()).await;
    // Eight tokens and the slack for counting: 40 tokens each.
    let asked = (0..16).map(|_| cast.chat(json!({"max_tokens": 8})));
    let statuses: Vec<_> = futures::future::join_all(asked).await.iter().map(Response::status).collect();
    let answered = statuses.iter().filter(|status| **status == StatusCode::OK).count();
    assert!((7..=16).contains(&answered), "{statuses:?}");
    let mut spent = 0;
    for record in cast.receipts(answered).await {
        spent += record.receipt.receipt.price;
    }
    assert!(spent <= cap);
    // Killed: what may have been spent counts as spent.
    let Cast { ledger, worker, gateway, server, disk } = cast;
    drop((gateway, server));
    let (_gateway, server) = open(&ledger.client, &disk, spending, DoorConfig::default()).await;
    let mut more = 0;
    loop {
        let url = format!("{}/v1/chat/completions", server.url);
        let response = client().post(url).json(&hello(json!({"max_tokens": 8}))).send().await.unwrap();
        if response.status() != StatusCode::OK {
            assert_eq!(code(response).await, (402, "cap_reached".to_owned()));
            break;
        }
        more += HELLO + 4_000;
    }
    assert!(spent + more <= cap, "{spent} and {more} of {cap}");
    assert!(worker.books().0 <= cap);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_on_one_account_keep_both_bounds() {
    let texts = vec!["four"; 40];
    let cast = cast(Script::stream(&texts)).await;
    let one = || async {
        let response = cast.chat(json!({"stream": true})).await;
        let status = response.status();
        (status, response.text().await.unwrap())
    };
    let price = HELLO + 160_000;
    let answers = futures::future::join_all((0..24).map(|_| one())).await;
    for (status, body) in &answers {
        assert_eq!(*status, 200, "{body}");
        assert_eq!(said(body)["price"], Amount(price).to_string());
    }
    let promised = cast.worker.promised(24 * price).await;
    let (owed, _, unpaid) = cast.worker.books();
    assert_eq!(owed, 24 * price);
    assert!(unpaid <= CHUNK, "the worker's risk: {unpaid}");
    assert!(promised <= owed + 24 * CHUNK, "the client's risk: {promised}");
    assert_eq!(cast.gateway.channels().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_stops_the_engine_and_pays_for_what_came() {
    let (script, gate) = Script::stream(&["four"; 100]).gated();
    let cast = cast(script).await;
    let mut response = cast.chat(json!({"stream": true})).await;
    gate.add_permits(1);
    assert_eq!(response.chunk().await.unwrap().unwrap(), event("four"));
    drop(response);
    while cast.worker.state.left.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (owed, promised, _) = cast.worker.books();
    assert_eq!(owed, HELLO + 4_000);
    assert!(promised <= owed);
    // The next one asks for the account, and goes on over the same channel.
    cast.worker.say(Script::json(200, &completion("x")));
    assert_eq!(cast.chat(json!({})).await.status(), 200);
    assert_eq!(cast.worker.promised(owed + HELLO + 1_000).await, owed + HELLO + 1_000);
    assert_eq!(cast.distrust(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_ends_an_answer_where_it_is_reached() {
    let spending = Spending { max_price_default: Amount(HELLO + 50_000), ..spending() };
    let cast = cast_with(Script::stream(&["four"; 100]), spending, DoorConfig::default()).await;
    let body = cast.chat(json!({"stream": true})).await.text().await.unwrap();
    let last = body.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["error"]["code"], "limit_reached");
    assert_eq!(last["choices"][0]["finish_reason"], "error");
    assert_eq!(body.matches("four").count(), 12);
    let record = cast.receipts(1).await.remove(0);
    assert_eq!(record.receipt.receipt.price, HELLO + 48_000);
    assert_eq!(cast.worker.promised(HELLO + 48_000).await, HELLO + 48_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_forgot_its_sessions_is_asked_in_a_new_one() {
    let cast = cast(Script::json(200, &completion("four"))).await;
    assert_eq!(cast.chat(json!({})).await.status(), 200);
    cast.worker.promised(HELLO + 4_000).await;
    cast.worker.crash();
    assert_eq!(cast.chat(json!({})).await.status(), 200);
    assert_eq!(cast.worker.state.opened.load(Ordering::SeqCst), 2);
    assert_eq!(cast.worker.promised(2 * (HELLO + 4_000)).await, 2 * (HELLO + 4_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_in_a_stream_goes_on_where_it_was() {
    let (script, gate) = Script::stream(&["four"; 100]).gated();
    let cast = cast(script).await;
    let mut response = cast.chat(json!({"stream": true})).await;
    gate.add_permits(20);
    let mut read = 0;
    while read < 20 {
        let chunk = response.chunk().await.unwrap().unwrap();
        read += String::from_utf8(chunk.to_vec()).unwrap().matches("four").count();
    }
    let Cast { ledger, worker, gateway, server, disk } = cast;
    drop((gateway, server));
    while worker.state.left.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (owed, promised, unpaid) = worker.books();
    assert!(owed <= promised + CHUNK && unpaid <= CHUNK);
    worker.say(Script::json(200, &completion("x")));
    let (gateway, server) = open(&ledger.client, &disk, spending(), DoorConfig::default()).await;
    let url = format!("{}/v1/chat/completions", server.url);
    let response = client().post(url).json(&hello(json!({}))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(worker.promised(owed + HELLO + 1_000).await, owed + HELLO + 1_000);
    assert_eq!(gateway.channels().unwrap().len(), 1, "the same channel");
}

/// What a dishonest worker costs, and what becomes of it.
struct Judged {
    status: u16,
    code: String,
    promised: u128,
    distrust: Option<String>,
}

/// Asks a worker with a vice, with half of each answer before it.
async fn judge(vice: Vice, stream: bool) -> Judged {
    let door = DoorConfig { patience: Duration::from_millis(700), ..DoorConfig::default() };
    let cast = cast_with(Script::stream(&["four"; 30]), spending(), door).await;
    cast.worker.turn(vice);
    let response = cast.chat(json!({"stream": stream})).await;
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    let last = body.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{body}"));
    let code = last["error"]["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    let (_, promised, _) = cast.worker.books();
    let distrust = cast.distrust();
    if distrust.is_some() {
        // It is not asked again, and its channel is on its way home.
        assert_eq!(cast.chat(json!({})).await.status(), 502);
        assert!(cast.gateway.channels().unwrap().iter().all(|channel| channel.retired));
    }
    Judged { status, code, promised, distrust }
}

/// Thirty words of four tokens.
const ALL: u128 = HELLO + 120_000;

#[tokio::test(flavor = "multi_thread")]
async fn false_receipts_convict_and_cost_at_most_what_came() {
    for (vice, code) in [
        (Vice::CountsMoreInReceipts, "stream_price"),
        (Vice::OverMeters, "stream_price"),
        (Vice::ChargesAtOtherPrices, "stream_evidence"),
        (Vice::CommitsToAnotherAnswer, "stream_answer"),
        (Vice::CommitsToAnotherRequest, "stream_request"),
        (Vice::SignsWithAnotherKey, "stream_signature"),
    ] {
        let judged = judge(vice, true).await;
        assert_eq!((judged.status, judged.code.as_str()), (200, "dishonest_worker"), "{vice:?}");
        assert_eq!(judged.distrust.as_deref(), Some(code));
        assert!(judged.promised <= ALL, "{vice:?}: {}", judged.promised);
        assert_eq!(judge(vice, false).await.status, 502, "{vice:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_receipt_is_kept_with_what_shows_it() {
    let cast = cast(Script::json(200, &completion("four"))).await;
    cast.worker.turn(Vice::CountsMoreInReceipts);
    assert_eq!(cast.chat(json!({})).await.status(), 502);
    let record = cast.receipts(1).await.remove(0);
    let fault = record.fault.unwrap();
    assert_eq!(fault.code, "stream_price");
    assert_eq!(fault.request, cast.worker.state.bodies.lock().unwrap()[0]);
    assert_eq!(fault.answer, serde_json::to_vec_pretty(&completion("four")).unwrap());
    assert_eq!((record.counted.completion, record.receipt.receipt.price), (4, HELLO + 4_000 + CHUNK));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_counted_too_high_is_not_paid() {
    let judged = judge(Vice::CountsMoreInPrompts, true).await;
    assert_eq!((judged.status, judged.code.as_str()), (502, "dishonest_worker"));
    assert_eq!(judged.distrust.as_deref(), Some("stream_prompt"));
    assert_eq!(judged.promised, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_and_tokenizers_are_noticed_before_anything_is_sent() {
    for vice in [Vice::HasAnotherSessionKey, Vice::HasAnotherTokenizer] {
        let judged = judge(vice, true).await;
        assert_eq!((judged.status, judged.code.as_str(), judged.promised), (502, "no_answer", 0), "{vice:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_or_stalls_costs_what_came() {
    let before = judge(Vice::DiesBeforeTheAnswer, true).await;
    assert_eq!((before.status, before.code.as_str(), before.promised), (502, "no_answer", 0));
    for (vice, code) in [
        (Vice::DiesInTheAnswer, "broke_off"),
        (Vice::SaysNothingMore, "timeout"),
        (Vice::RepeatsAFrame, "broke_off"),
    ] {
        let judged = judge(vice, true).await;
        assert_eq!((judged.status, judged.code.as_str()), (200, code), "{vice:?}");
        assert!(judged.promised <= HELLO + 8_000 + CHUNK, "{vice:?}: {}", judged.promised);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn demands_that_nothing_explains_are_not_met() {
    let judged = judge(Vice::WantsMorePromised, true).await;
    assert_eq!((judged.code.as_str(), judged.distrust.as_deref()), ("dishonest_worker", Some("account")));
    assert!(judged.promised <= HELLO + 8_000 + CHUNK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_costs_at_most_its_limit() {
    let judged = judge(Vice::SendsAndSends, true).await;
    assert_eq!(judged.code, "broke_off");
    assert!(judged.promised <= HELLO);
    let spending = Spending { max_price_default: Amount(HELLO + 50_000), ..spending() };
    let cast = cast_with(Script::stream(&["four"; 100]), spending, DoorConfig::default()).await;
    cast.worker.turn(Vice::SendsBeyondTheLimit);
    let body = cast.chat(json!({"stream": true})).await.text().await.unwrap();
    assert!(body.contains("dishonest_worker"));
    assert_eq!(cast.distrust().as_deref(), Some("stream_limit"));
    assert!(cast.worker.books().1 <= HELLO + 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn debts_that_nothing_explains_are_not_taken_over() {
    let (script, gate) = Script::stream(&["four"; 100]).gated();
    let cast = cast(script).await;
    let mut response = cast.chat(json!({"stream": true})).await;
    gate.add_permits(1);
    response.chunk().await.unwrap().unwrap();
    drop(response);
    while cast.worker.state.left.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    cast.worker.turn(Vice::InventsDebts);
    assert_eq!(code(cast.chat(json!({})).await).await, (502, "dishonest_worker".to_owned()));
    assert_eq!(cast.distrust().as_deref(), Some("account"));
    assert!(cast.worker.books().1 <= HELLO + 4_000 + CHUNK);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_is_asked_before_the_first_byte_only() {
    let cast = cast(Script::stream(&["one"; 10])).await;
    let other = Reference::start(
        &cast.ledger.client,
        3,
        LanguageKind::Language,
        PRICES,
        Script::stream(&["two"; 10]),
    )
    .await;
    cast.worker.turn(Vice::DiesBeforeTheAnswer);
    let first = json!({"stream": true, "provider": {"order": [wallet(1).address()]}});
    let body = cast.chat(first.clone()).await.text().await.unwrap();
    assert_eq!((body.matches("one").count(), body.matches("two").count()), (0, 10));
    // Whoever failed a moment ago is not asked first, whatever the order says of equals.
    let body = cast.chat(json!({"stream": true})).await.text().await.unwrap();
    assert_eq!(body.matches("two").count(), 10);
    let alone = json!({"provider": {"order": [wallet(1).address()], "allow_fallbacks": false}});
    assert_eq!(code(cast.chat(alone).await).await, (502, "no_answer".to_owned()));
    cast.worker.turn(Vice::DiesInTheAnswer);
    let body = cast.chat(first).await.text().await.unwrap();
    assert_eq!((body.matches("one").count(), body.matches("two").count()), (2, 0));
    assert!(body.contains("broke_off"));
    assert!(other.books().0 > 0);
}
