//! Audits of language models: real workers over toy engines, whose log-probabilities are a function of the model's seed and of all text before.

use core::time::Duration;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tacit_gateway::{
    DoorConfig, Gateway, Ratio, Spending,
    openai::{LikenessView, ModelLikeness, StreamAudit, Verdict, WorkerLikeness},
    store::StreamRecord,
};
use tacit_wire::{Amount, JobId, language::LanguageKind};
use tacit_worker::{LanguageEngine, LanguageModel};

use crate::{
    disk::Disk,
    openai::{client, header, hello, open, spending},
    reference::{PRICES, byte_tokenizer, manifest},
    support::{Ledger, RunningWorker, Server, WorkerPlan, ledger, listen, wallet},
};

/// A request, a prompt of 4 and 2 tokens.
const HELLO: u128 = 1_000 + 6 * 100;
/// Tokens of an answer, each of two letters.
const TOKENS: usize = 12;
const RIGHT: u64 = 1;
const WRONG: u64 = 2;

/// What an engine does besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// Says nothing of its tokens.
    Silent,
    /// Says log-probabilities of another text.
    OtherText,
    /// Answers with 400 to whoever wants log-probabilities.
    Refuses,
    /// Says the tokens that another model finds most likely, with log-probabilities of its own for them.
    Laundered,
    /// As mistral.rs: begins an answer anew where a text is to be gone on with, says log-probabilities at the temperature, names likely tokens by numbers and their bytes as text.
    Mistral,
}

/// An engine: a model by its seed, and how far its floats are off.
struct Toy {
    seed: u64,
    noise: f64,
    way: Way,
    drawn: AtomicU64,
    asked: Mutex<Vec<Vec<u8>>>,
}

impl Toy {
    fn new(noise: f64, way: Way) -> Self {
        Self { seed: RIGHT, noise, way, drawn: AtomicU64::new(0), asked: Mutex::default() }
    }

    /// Bodies that came.
    fn asked(&self) -> Vec<Vec<u8>> {
        self.asked.lock().unwrap().clone()
    }

    /// All tokens after such text, the likeliest first.
    fn next(&self, prompt: &str, before: &str) -> Vec<(String, f64)> {
        let uniform = |seed: u64, word: &str| {
            let hash = blake3::hash(format!("{seed} {prompt} {before} {word}").as_bytes());
            f64::from(u32::from_le_bytes(*hash.as_bytes().first_chunk().unwrap())) / f64::from(u32::MAX)
        };
        let words =
            "bcdfghjk".chars().flat_map(|first| "aeio".chars().map(move |last| format!("{first}{last}")));
        let logit = |word: &str| 8.0 * uniform(self.seed, word) + self.noise * uniform(9, word);
        let logits: Vec<(String, f64)> = words.map(|word| (word.clone(), logit(&word))).collect();
        let sum: f64 = logits.iter().map(|(_, logit)| logit.exp()).sum();
        let mut likely: Vec<_> = logits.into_iter().map(|(word, logit)| (word, logit - sum.ln())).collect();
        likely.sort_by(|one, other| other.1.total_cmp(&one.1));
        likely
    }

    fn entry(&self, likely: &[(String, f64)], (word, logprob): &(String, f64), top: usize) -> Value {
        let word = if self.way == Way::OtherText { "xx" } else { word.as_str() };
        let named =
            |word: &str, logprob: f64| json!({"token": word, "bytes": word.as_bytes(), "logprob": logprob});
        let listed = |word: &str, logprob: f64| match self.way {
            Way::Mistral => json!({"token": 7, "bytes": word, "logprob": logprob}),
            _ => named(word, logprob),
        };
        let mut entry = named(word, *logprob);
        entry["top_logprobs"] =
            likely.iter().take(top).map(|(word, logprob)| listed(word, *logprob)).collect();
        entry
    }

    /// What is said of tokens: some engines say it after the temperature.
    fn said(&self, likely: Vec<(String, f64)>, temperature: Option<f64>) -> Vec<(String, f64)> {
        let Some(temperature) = temperature.filter(|at| self.way == Way::Mistral && *at > 0.0) else {
            return likely;
        };
        let sum: f64 = likely.iter().map(|(_, logprob)| (logprob / temperature).exp()).sum();
        likely.into_iter().map(|(word, logprob)| (word, logprob / temperature - sum.ln())).collect()
    }

    /// Text that is continued, and tokens with what is said of them.
    fn answer(&self, request: &Value) -> (String, Vec<(String, Value)>) {
        let mut messages = request["messages"].as_array().unwrap().clone();
        let continued = match messages.last() {
            Some(last) if last["role"] == "assistant" && self.way != Way::Mistral => {
                messages.pop().unwrap()["content"].clone()
            }
            _ => json!(""),
        };
        let continued = continued.as_str().unwrap().to_owned();
        let (prompt, mut before) = (json!(messages).to_string(), continued.clone());
        let count = request["max_tokens"].as_u64().map_or(TOKENS, |most| (most as usize).min(TOKENS));
        let top = request["top_logprobs"].as_u64().unwrap_or(0) as usize;
        let mut said = Vec::new();
        for _ in 0..count {
            let likely = self.said(self.next(&prompt, &before), request["temperature"].as_f64());
            let is_greedy = request["temperature"] == 0 || request["temperature"] == 0.0;
            let at = if is_greedy { 0 } else { self.drawn.fetch_add(7, Ordering::SeqCst) as usize % 3 };
            let mut chosen = likely[at].clone();
            if self.way == Way::Laundered {
                let other = Self { seed: WRONG, ..Self::new(0.0, Way::Plain) }.next(&prompt, &before);
                chosen = likely.iter().find(|(word, _)| *word == other[at].0).unwrap().clone();
            }
            let is_asked = request["logprobs"] == true && self.way != Way::Silent;
            let logprobs =
                if is_asked { json!({"content": [self.entry(&likely, &chosen, top)]}) } else { Value::Null };
            before.push_str(&chosen.0);
            said.push((chosen.0, logprobs));
        }
        (continued, said)
    }
}

async fn answer(State(toy): State<Arc<Toy>>, body: Bytes) -> Response {
    toy.asked.lock().unwrap().push(body.to_vec());
    let request: Value = serde_json::from_slice(&body).unwrap();
    if toy.way == Way::Refuses && request.get("logprobs").is_some() {
        let error =
            json!({"error": {"message": "logprobs is not supported", "type": "invalid_request_error"}});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let (continued, said) = toy.answer(&request);
    if request["stream"] == true {
        let mut events = String::new();
        for (text, mut logprobs) in said {
            if toy.way == Way::Mistral {
                // Without a list around it.
                logprobs = logprobs["content"][0].take();
            }
            let choice = json!({"index": 0, "delta": {"content": text}, "logprobs": logprobs});
            events += &format!("data: {}\n\n", json!({"choices": [choice]}));
        }
        events += "data: [DONE]\n\n";
        return ([(CONTENT_TYPE, "text/event-stream")], events).into_response();
    }
    // As llama.cpp, it repeats what it continues.
    let text: String = said.iter().map(|(text, _)| text.as_str()).collect();
    let content: Vec<Value> =
        said.iter().filter_map(|(_, logprobs)| logprobs["content"].get(0).cloned()).collect();
    let logprobs = if content.is_empty() { Value::Null } else { json!({"content": content}) };
    let message = json!({"role": "assistant", "content": continued + &text});
    Json(json!({"choices": [{"index": 0, "message": message, "logprobs": logprobs}]})).into_response()
}

/// An engine and the worker before it.
struct Served {
    toy: Arc<Toy>,
    key: u8,
    _engine: Server,
    _worker: RunningWorker,
}

async fn serve(ledger: &Ledger, key: u8, seed: u64, noise: f64, way: Way) -> Served {
    let toy = Arc::new(Toy { seed, ..Toy::new(noise, way) });
    let (engine, model) = talking(&toy).await;
    let plan = WorkerPlan { models: Vec::new(), languages: vec![model], ..WorkerPlan::honest(key) };
    let worker = plan.start(&ledger.client).await;
    Served { toy, key, _engine: engine, _worker: worker }
}

/// An engine, and the model `talk` by it.
pub(crate) async fn talk() -> (Server, LanguageModel) {
    talking(&Arc::new(Toy::new(0.0, Way::Plain))).await
}

async fn talking(toy: &Arc<Toy>) -> (Server, LanguageModel) {
    let models = Json(json!({"object": "list", "data": [{"id": "talk"}]}));
    let router = Router::new()
        .route("/v1/models", get(move || async move { models }))
        .route("/v1/chat/completions", post(answer))
        .with_state(Arc::clone(toy));
    let engine = Server::spawn(listen(0).await, |listener| async move {
        axum::serve(listener, router).await.unwrap();
    });
    let tokenizer = byte_tokenizer();
    let manifest = manifest(LanguageKind::Language, &tokenizer);
    let upstream = LanguageEngine::new(&engine.url, "talk").unwrap();
    let bytes = manifest.write().unwrap().0;
    (engine, LanguageModel::new(bytes, tokenizer, PRICES, 16, upstream).unwrap())
}

struct Hall {
    _ledger: Ledger,
    workers: Vec<Served>,
    gateway: Arc<Gateway>,
    server: Server,
    asked: AtomicU64,
}

/// Workers of one model with these engines, and a gateway that audits every answer at some places.
async fn hall(engines: &[(u64, f64, Way)]) -> Hall {
    hall_with(engines, spending(), Ratio::ONE, Ratio::ZERO).await
}

/// Audits every answer by asking another worker the same.
async fn whole_hall(engines: &[(u64, f64, Way)]) -> Hall {
    hall_with(engines, spending(), Ratio::ONE, Ratio::ONE).await
}

async fn hall_with(
    engines: &[(u64, f64, Way)],
    spending: Spending,
    audit_language: Ratio,
    audit_whole: Ratio,
) -> Hall {
    let keys = [1, 2, 3, 4];
    let ledger = ledger(&keys.map(|key| wallet(key).address())).await;
    let mut workers = Vec::new();
    for ((seed, noise, way), key) in engines.iter().zip([1, 3, 4]) {
        workers.push(serve(&ledger, key, *seed, *noise, *way).await);
    }
    let door = DoorConfig { audit_language, audit_whole, ..DoorConfig::default() };
    let (gateway, server) = open(&ledger.client, &Disk::default(), spending, door).await;
    Hall { _ledger: ledger, workers, gateway, server, asked: AtomicU64::new(0) }
}

impl Hall {
    async fn chat(&self, extra: Value) -> reqwest::Response {
        let url = format!("{}/v1/chat/completions", self.server.url);
        let response = client().post(url).json(&hello(extra)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        response
    }

    async fn view(&self) -> LikenessView {
        let url = format!("{}/tacit/v1/likeness", self.server.url);
        client().get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Asks something new, and waits until that is audited.
    async fn ask(&self, temperature: f64) -> LikenessView {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let messages = json!([{"role": "user", "content": format!("question {number}")}]);
        let stream = number.is_multiple_of(2);
        let extra = json!({"messages": messages, "temperature": temperature, "stream": stream});
        self.chat(extra).await.bytes().await.unwrap();
        self.audited(number).await
    }

    /// What is known once so many audits have ended.
    async fn audited(&self, count: u64) -> LikenessView {
        for _ in 0..2_000 {
            let view = self.view().await;
            let own = |worker: &WorkerLikeness| worker.unsupported + worker.unlike;
            let refused: u64 = view.models.iter().flat_map(|model| &model.workers).map(own).sum();
            if view.compared + view.failed + view.dropped + refused >= count {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("an audit does not end: {:?}", self.view().await);
    }

    /// Asks until something is so.
    async fn ask_until(&self, temperature: f64, so: impl Fn(&ModelLikeness) -> bool) -> ModelLikeness {
        for _ in 0..200 {
            let view = self.ask(temperature).await;
            if let Some(model) = view.models.first().filter(|model| so(model)) {
                return model.clone();
            }
        }
        panic!("it does not come to that: {:?}", self.view().await);
    }
}

fn are_decided(model: &ModelLikeness, pairs: usize) -> bool {
    let decided = model.pairs.iter().filter(|pair| pair.verdict != Verdict::Undecided);
    decided.count() == pairs
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_workers_are_alike_whatever_their_floats() {
    let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.1, Way::Plain), (RIGHT, 0.0, Way::Plain)];
    let hall = hall(&engines).await;
    for temperature in [0.0, 1.0] {
        let model = hall.ask_until(temperature, |model| are_decided(model, 3)).await;
        assert_eq!((model.model.as_str(), model.workers.len()), ("talk", 3));
        assert!(model.workers.iter().all(|own| own.continues != Some(false) && !own.refuses));
        for pair in &model.pairs {
            assert!(pair.verdict == Verdict::Alike && pair.distance < 0.164, "{pair:?}");
            assert!(pair.gap.is_some_and(|gap| gap < 0.024), "{pair:?}");
        }
        assert!(model.workers.iter().all(|own| !own.outvoted && own.unlike == 0 && own.selected > 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_model_is_outvoted_and_not_asked_again() {
    let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.1, Way::Plain), (WRONG, 0.0, Way::Plain)];
    let hall = hall(&engines).await;
    let is_out = |model: &ModelLikeness| model.workers.iter().any(|own| own.outvoted);
    let model = hall.ask_until(0.7, is_out).await;
    let outvoted: Vec<_> = model.workers.iter().filter(|own| own.outvoted).collect();
    let wrong = wallet(hall.workers[2].key).address();
    assert_eq!(outvoted.iter().map(|own| own.worker).collect::<Vec<_>>(), [wrong]);
    for pair in &model.pairs {
        let expected = if pair.workers.contains(&wrong) { Verdict::Unlike } else { Verdict::Alike };
        assert_eq!(pair.verdict, expected, "{pair:?}");
    }
    let asked = hall.workers[2].toy.asked().len();
    for _ in 0..12 {
        hall.ask(0.7).await;
    }
    assert_eq!(hall.workers[2].toy.asked().len(), asked);
    let market = hall.gateway.market_view().await.unwrap();
    let distrust = |key: u8| {
        let found = market.iter().find(|view| view.worker == wallet(key).address()).unwrap();
        found.distrust.clone()
    };
    assert!(distrust(hall.workers[2].key).is_some_and(|why| why.contains("talk")));
    assert_eq!(distrust(hall.workers[0].key), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_are_unlike_both_are_asked_on() {
    let hall = hall(&[(RIGHT, 0.0, Way::Plain), (WRONG, 0.0, Way::Plain)]).await;
    let model = hall.ask_until(0.0, |model| are_decided(model, 1)).await;
    assert_eq!(model.pairs[0].verdict, Verdict::Unlike);
    assert!(model.workers.iter().all(|own| !own.outvoted));
    let before: Vec<_> = hall.workers.iter().map(|worker| worker.toy.asked().len()).collect();
    for _ in 0..3 {
        hall.ask(0.0).await;
    }
    let after = hall.workers.iter().map(|worker| worker.toy.asked().len());
    assert!(before.iter().zip(after).all(|(before, after)| after > *before));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_of_another_text_are_unlike_without_asking_anybody() {
    let hall = hall(&[(RIGHT, 0.0, Way::OtherText)]).await;
    let own = hall.ask(1.0).await.models[0].workers[0].clone();
    assert_eq!((own.selected, own.unlike, own.unsupported), (1, 1, 0));
    assert!(own.reason.is_some_and(|reason| reason.contains("another text")));
    assert_eq!(hall.workers[0].toy.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_log_probabilities_is_not_blamed() {
    let hall = hall(&[(RIGHT, 0.0, Way::Silent), (RIGHT, 0.0, Way::Silent)]).await;
    let view = hall.ask(1.0).await;
    let own = &view.models[0].workers[0];
    assert_eq!((own.unsupported, own.unlike, own.outvoted, view.compared), (1, 0, false, 0));
    let asked: usize = hall.workers.iter().map(|worker| worker.toy.asked().len()).sum();
    assert_eq!(asked, 1);
}

/// With audits on, every chat with such an engine failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_refuses_log_probabilities_is_asked_without_from_then_on() {
    let hall = hall(&[(RIGHT, 0.0, Way::Refuses)]).await;
    let own = hall.ask(1.0).await.models[0].workers[0].clone();
    assert_eq!((own.refuses, own.unsupported, own.unlike, own.outvoted), (true, 1, 0, false));
    assert!(own.reason.is_some_and(|reason| reason.contains("refuses")));
    let asks = |body: &[u8]| body.windows(10).any(|part| part == b"\"logprobs\"");
    let asked = |hall: &Hall| hall.workers[0].toy.asked().iter().map(|body| asks(body)).collect::<Vec<_>>();
    // It is found out once.
    assert_eq!(asked(&hall), [true, false]);
    let own = hall.ask(1.0).await.models[0].workers[0].clone();
    assert_eq!((asked(&hall), own.unsupported), (vec![true, false, false], 2));
    // Nobody paid for what was refused.
    let records = written(&hall, 2).await;
    assert!(records.iter().all(|record| record.receipt.receipt.price > 0 && record.fault.is_none()));
    assert!(matches!(audit_of(&hall, &records[0]).await, StreamAudit::Unsupported { .. }));

    // Who wants log-probabilities itself is told what the engine says.
    let url = format!("{}/v1/chat/completions", hall.server.url);
    let response = client().post(url).json(&hello(json!({"logprobs": true}))).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(response.text().await.unwrap().contains("logprobs is not supported"));
}

/// An honest worker under mistral.rs was blamed for its way to write, and as an auditor taken for another model.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_begins_anew_is_audited_and_audits_nobody() {
    let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.05, Way::Mistral), (RIGHT, 0.0, Way::Plain)];
    let hall = hall(&engines).await;
    for temperature in [0.0, 0.5] {
        let model = hall.ask_until(temperature, |model| are_decided(model, 3)).await;
        assert!(model.pairs.iter().all(|pair| pair.verdict == Verdict::Alike), "{:?}", model.pairs);
        let anew = wallet(hall.workers[1].key).address();
        for own in &model.workers {
            // None, where it was never drawn to audit others.
            assert_ne!(own.continues, Some(own.worker == anew), "{own:?}");
            assert!(own.selected > 0 && own.unlike == 0 && own.unsupported == 0 && !own.outvoted, "{own:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_else_goes_on_an_audit_comes_to_nothing() {
    let hall = hall(&[(RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::Mistral)]).await;
    let first = wallet(hall.workers[0].key).address();
    hall.chat(json!({"provider": {"order": [first]}})).await.bytes().await.unwrap();
    let view = hall.audited(1).await;
    assert_eq!((view.compared, view.failed), (0, 1));
    assert!(view.models[0].workers.iter().all(|own| !own.outvoted && own.unlike == 0));
    let other = view.models[0].workers.iter().find(|own| own.worker != first).unwrap();
    assert_eq!(other.continues, Some(false));
    let answered = |record: &StreamRecord| record.receipt.receipt.worker == first;
    let record = written(&hall, 4).await.into_iter().find(answered).unwrap();
    assert!(matches!(audit_of(&hall, &record).await, StreamAudit::Failed { .. }));
}

/// Receipts are written a moment behind.
async fn written(hall: &Hall, count: usize) -> Vec<StreamRecord> {
    for _ in 0..2_000 {
        let records = hall.gateway.store().streams(100).unwrap();
        if records.len() >= count {
            return records;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("receipts are not written");
}

/// So is what audits found.
async fn audit_of(hall: &Hall, record: &StreamRecord) -> StreamAudit {
    let job_id = JobId(record.receipt.receipt.jobId);
    for _ in 0..2_000 {
        if let Some(audit) = hall.gateway.store().stream_audit(job_id).unwrap() {
            return audit;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what an audit found is not written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_costs_six_prompts_and_tokens_and_shows_one_auditor_the_text_before() {
    let hall = hall(&[(RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::Plain)]).await;
    let response = hall.chat(json!({"temperature": 0})).await;
    // What an answer says of its tokens is not paid for.
    let price = HELLO + 1_000 * 2 * u128::try_from(TOKENS).unwrap();
    assert_eq!(header(&response, "x-tacit-price"), Amount(price).to_string());
    let first = header(&response, "x-tacit-worker").to_owned();
    let answer: Value = response.json().await.unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(answer["choices"][0]["logprobs"]["content"].as_array().unwrap().len(), TOKENS);
    let view = hall.audited(1).await;
    assert_eq!((view.compared, view.failed, view.rate), (1, 0, 1.0));
    let pair = view.models[0].pairs[0];
    assert_eq!((pair.steps, pair.distance, pair.gap, pair.verdict), (6, 0.0, Some(0.0), Verdict::Undecided));

    let is_first = |worker: &&Served| wallet(worker.key).address().to_string() == first;
    let auditor = hall.workers.iter().find(|worker| !is_first(worker)).unwrap();
    let mut expected = price;
    let asked = auditor.toy.asked();
    // Its second and third question show that it goes on where a text ends: an answer of its own, and the end of that.
    assert_eq!(asked.len(), 8);
    let control: Value = serde_json::from_slice(&asked[1]).unwrap();
    assert_eq!((&control["max_tokens"], control["messages"].as_array().unwrap().len()), (&json!(8), 1));
    for (at, body) in asked.iter().enumerate() {
        let body: Value = serde_json::from_slice(body).unwrap();
        let tokens = u128::from(body["max_tokens"].as_u64().unwrap());
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(messages[0], hello(json!({}))["messages"][0]);
        let before = messages.get(1).map_or("", |message| message["content"].as_str().unwrap());
        assert!(at == 2 || text.starts_with(before) && before.len() < text.len());
        // A token of two letters; another message is four tokens besides its text.
        let more = if before.is_empty() { 0 } else { 4 + u128::try_from(before.len()).unwrap() };
        expected += HELLO + 100 * more + 2 * tokens * 1_000;
    }
    let records = written(&hall, 9).await;
    assert_eq!(records.len(), 9);
    assert_eq!(records.iter().map(|record| record.receipt.receipt.price).sum::<u128>(), expected);
    // What was found stands with the answer's receipt, and with no auditor's.
    let with = wallet(auditor.key).address();
    let verdict = Verdict::Undecided;
    let found =
        StreamAudit::Compared { with, whole: false, places: 6, distance: 0.0, gap: Some(0.0), verdict };
    for record in &records {
        if record.receipt.receipt.worker == with {
            let job_id = JobId(record.receipt.receipt.jobId);
            assert_eq!(hall.gateway.store().stream_audit(job_id).unwrap(), None);
        } else {
            assert_eq!(audit_of(&hall, record).await, found);
        }
    }
}

/// Each of two engines has seen the same, to the byte, and neither can tell who of them audits.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_audit_is_the_same_request_again() {
    let hall = whole_hall(&[(RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::Plain)]).await;
    let plans = [json!({"temperature": 0}), json!({"temperature": 0.7, "stream": true, "max_tokens": 5})];
    for (at, extra) in plans.into_iter().enumerate() {
        hall.chat(extra).await.bytes().await.unwrap();
        let view = hall.audited(at as u64 + 1).await;
        assert_eq!((view.compared, view.failed), (at as u64 + 1, 0));
    }
    assert_eq!(hall.workers[0].toy.asked(), hall.workers[1].toy.asked());
    let records = written(&hall, 4).await;
    let prices: Vec<u128> = records.iter().map(|record| record.receipt.receipt.price).collect();
    let whole = |tokens: u128| HELLO + 1_000 * 2 * tokens;
    assert_eq!(prices.iter().sum::<u128>(), 2 * whole(TOKENS as u128) + 2 * whole(5));
    // The newest first: an audit's own answer is not audited.
    for answered in [&records[1], &records[3]] {
        let audit = audit_of(&hall, answered).await;
        let StreamAudit::Compared { with, whole, places, distance, .. } = audit else { panic!("{audit:?}") };
        assert!(whole && (1..=6).contains(&places) && distance == 0.0, "{places}, {distance}");
        assert_ne!(with, answered.receipt.receipt.worker);
    }
    for auditor in [&records[0], &records[2]] {
        let job_id = JobId(auditor.receipt.receipt.jobId);
        assert_eq!(hall.gateway.store().stream_audit(job_id).unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_workers_are_alike_over_whole_answers() {
    // One says log-probabilities at the temperature, and goes on with nothing: it audits all the same.
    let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.1, Way::Plain), (RIGHT, 0.05, Way::Mistral)];
    let hall = whole_hall(&engines).await;
    for temperature in [0.0, 0.5] {
        let model = hall.ask_until(temperature, |model| are_decided(model, 3)).await;
        assert!(model.pairs.iter().all(|pair| pair.verdict == Verdict::Alike), "{:?}", model.pairs);
        assert!(model.workers.iter().all(|own| own.continues.is_none() && !own.outvoted && own.unlike == 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_model_is_outvoted_by_whole_answers() {
    for temperature in [0.0, 0.7] {
        let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.1, Way::Plain), (WRONG, 0.0, Way::Plain)];
        let hall = whole_hall(&engines).await;
        let is_out = |model: &ModelLikeness| model.workers.iter().any(|own| own.outvoted);
        let model = hall.ask_until(temperature, is_out).await;
        let wrong = wallet(hall.workers[2].key).address();
        assert!(model.workers.iter().all(|own| own.outvoted == (own.worker == wrong)), "{model:?}");
    }
}

/// Its log-probabilities are the right model's, and what it says is another's.
#[tokio::test(flavor = "multi_thread")]
async fn right_figures_for_another_models_tokens_are_found_both_ways() {
    for whole in [Ratio::ZERO, Ratio::ONE] {
        let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::Laundered)];
        let hall = hall_with(&engines, spending(), Ratio::ONE, whole).await;
        let is_out = |model: &ModelLikeness| model.workers.iter().any(|own| own.outvoted);
        let model = hall.ask_until(0.0, is_out).await;
        let wrong = wallet(hall.workers[2].key).address();
        assert!(model.workers.iter().all(|own| own.outvoted == (own.worker == wrong)), "{model:?}");
    }
}

/// Who is asked the same is judged by its own bytes as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_that_says_what_no_engine_says_is_unlike() {
    let hall = whole_hall(&[(RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::OtherText)]).await;
    let first = wallet(hall.workers[0].key).address();
    hall.chat(json!({"provider": {"order": [first]}})).await.bytes().await.unwrap();
    let view = hall.audited(1).await;
    let own = |key: u8| {
        let address = wallet(key).address();
        view.models[0].workers.iter().find(|own| own.worker == address).unwrap().unlike
    };
    assert_eq!((own(hall.workers[0].key), own(hall.workers[1].key)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_are_within_the_days_cap() {
    let cap = 60_000;
    let spending = Spending { day_max: Amount(cap), key_day_max: Amount(cap), ..spending() };
    let engines = [(RIGHT, 0.0, Way::Plain), (RIGHT, 0.0, Way::Plain)];
    let hall = hall_with(&engines, spending, Ratio::ONE, Ratio::ZERO).await;
    // Twelve tokens of two letters, and the slack for counting, are all of it.
    hall.chat(json!({"max_tokens": 24})).await.bytes().await.unwrap();
    let view = hall.audited(1).await;
    assert_eq!((view.compared, view.failed), (0, 1));
    let records = hall.gateway.store().streams(100).unwrap();
    assert!(records.iter().map(|record| record.receipt.receipt.price).sum::<u128>() <= cap);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_change_only_where_they_are_audited() {
    let plain = br#"{ "model":"talk","messages":[{"role":"user","content":"hi"}],"temperature":0.50 }"#;
    let tools = br#"{"model":"talk","messages":[{"role":"user","content":"hi"}],"tools":[]}"#;
    let refused = br#"{"model":"talk","messages":[{"role":"user","content":"hi"}],"logprobs":false}"#;
    let alone = br#"{"model":"talk","messages":[{"role":"user","content":"hi"}],"provider":{"allow_fallbacks":false}}"#;
    for rate in [Ratio::ZERO, Ratio::ONE] {
        let hall = hall_with(&[(RIGHT, 0.0, Way::Plain)], spending(), rate, Ratio::ZERO).await;
        for body in [plain.as_slice(), tools, refused, alone] {
            let url = format!("{}/v1/chat/completions", hall.server.url);
            let request = client().post(url).header("content-type", "application/json").body(body.to_vec());
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        let mut expected = [plain.as_slice(), tools, refused, alone].map(<[u8]>::to_vec);
        expected[3] = br#"{"model":"talk","messages":[{"role":"user","content":"hi"}]}"#.to_vec();
        if rate == Ratio::ONE {
            expected[0] = br#"{ "model":"talk","messages":[{"role":"user","content":"hi"}],"temperature":0.50 ,"logprobs":true,"top_logprobs":5}"#.to_vec();
        }
        assert_eq!(hall.workers[0].toy.asked(), expected);
        // Nobody else serves the model.
        let view = if rate == Ratio::ONE { hall.audited(1).await } else { hall.view().await };
        assert_eq!((view.selected, view.failed), if rate == Ratio::ONE { (1, 1) } else { (0, 0) });
    }
}
