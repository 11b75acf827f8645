//! `tacit bench door`: what the OpenAI interface adds to an engine's answers.
//!
//! Engine and programs are in this process, ledger, worker and gateway are processes of their own. The engine answers at once, so what is
//! measured is everything else: the gateway's checks and payments, sealing, the worker's metering, its disk. Requests begin at a fixed
//! rate, whether or not those before have ended, and count from when they should have begun, so that a door which cannot keep up shows it. Beside that
//! the gateway says for how long questions were in its own hands ([`AddedTimes`]).

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use futures_util::stream;
use serde_json::{Map, Value, json};
use tacit_gateway::openai::AddedTimes;
use tacit_wire::language::{LanguageKind, LanguageManifest};
use tokio::{net::TcpListener, task::JoinSet, time::sleep_until};

use crate::{
    args::BenchDoor,
    failure::{Context, Failure},
    local::{Listen, key, start_ledger_with},
    measure::{cpu_us_of, peak_mib_of, round, user_cpu_us},
    output::Output,
    role::Role,
};

/// Measures every door at every rate, and then streams.
pub(crate) async fn measure(arguments: &BenchDoor, output: Output) -> Result<Vec<Value>, Failure> {
    let folder = tempfile::tempdir().failed("cannot_write", "no temporary folder", "set TMPDIR to one")?;
    let engine = start_engine(arguments.engine_listen).await?;
    let network = Network::start(folder.path(), engine).await?;
    let mut doors = vec![
        Door::new("engine", &format!("http://{engine}/v1"), None, Vec::new())?,
        Door {
            added: Some(format!("{}/tacit/v1/added", network.gateway.url())),
            ..Door::new("tacit", &format!("{}/v1", network.gateway.url()), None, network.pids())?
        },
    ];
    if let Some(url) = &arguments.beside {
        doors.push(Door::new("beside", url, arguments.beside_key.as_deref(), arguments.beside_pids.clone())?);
    }
    let mut lines = Vec::new();
    for rate in &arguments.rates {
        for door in &doors {
            output.note(format!("measuring {rate} requests a second to the {} …", door.name));
            door.ask().await?;
            lines.push(door.requests(*rate, arguments.seconds).await);
        }
    }
    for count in &arguments.streams {
        for door in &doors {
            output.note(format!("measuring {count} streams of the {} …", door.name));
            door.ask().await?;
            lines.push(door.streams(*count).await);
        }
    }
    network.stop().await;
    Ok(lines)
}

struct Network {
    ledger: Role,
    worker: Role,
    gateway: Role,
}

impl Network {
    async fn start(data: &Path, engine: SocketAddr) -> Result<Self, Failure> {
        let (manifest, tokenizer) = (data.join("manifest.json"), data.join("tokenizer.json"));
        let file = |path: &Path, bytes: &[u8]| {
            std::fs::write(path, bytes).failed("cannot_write", path.display(), "check the folder")
        };
        file(&tokenizer, &byte_tokenizer())?;
        file(&manifest, &manifest_of(&byte_tokenizer())?)?;
        let ledger = start_ledger_with(data, Listen::free().ledger, &["worker", "client"]).await?;
        let words = |name: &str, owner: &str| -> Vec<OsString> {
            let mut words: Vec<OsString> =
                [name, "--listen", "127.0.0.1:0", "--ledger", &ledger.url()].map(Into::into).into();
            words.extend(["--key".into(), key(data, owner).into()]);
            words.extend(["--data".into(), data.join(name).into()]);
            words
        };
        let mut serve = words("worker", "worker");
        serve.extend(["--engine".into(), format!("http://{engine}/v1/").into()]);
        serve.extend(["--manifest".into(), manifest.into(), "--tokenizer".into(), tokenizer.into()]);
        serve.extend(
            ["--prompt-price", "0.1", "--completion-price", "0.3", "--capacity", "4096"].map(Into::into),
        );
        let worker = Role::start("worker", &serve).await?;
        let mut open = words("gateway", "client");
        open.extend(["--per-key-day", "1000", "--per-day", "1000", "--deposit", "10"].map(Into::into));
        let gateway = Role::start("gateway", &open).await?;
        Ok(Self { ledger, worker, gateway })
    }

    fn pids(&self) -> Vec<u32> {
        [&self.gateway, &self.worker, &self.ledger].into_iter().filter_map(Role::pid).collect()
    }

    async fn stop(self) {
        self.gateway.stop().await;
        self.worker.stop().await;
        self.ledger.stop().await;
    }
}

/// Something that speaks OpenAI's interface.
struct Door {
    name: &'static str,
    url: String,
    client: reqwest::Client,
    key: Option<String>,
    /// Processes whose work and memory is its own.
    pids: Vec<u32>,
    /// Where it says for how long questions were in its hands.
    added: Option<String>,
}

impl Door {
    fn new(name: &'static str, url: &str, key: Option<&str>, pids: Vec<u32>) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(usize::MAX)
            .timeout(Duration::from_secs(60))
            .build()
            .failed("bench", "the client", "")?;
        let url = format!("{}/chat/completions", url.trim_end_matches('/'));
        Ok(Self { name, url, client, key: key.map(str::to_owned), pids, added: None })
    }

    fn post(&self, streamed: bool) -> reqwest::RequestBuilder {
        let body = if streamed { STREAMED } else { WHOLE };
        let request =
            self.client.post(&self.url).header(CONTENT_TYPE.as_str(), "application/json").body(body);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Asks once, so that channels are open and a wrong set-up is told.
    async fn ask(&self) -> Result<(), Failure> {
        let failed = |what: String| Failure::new("bench", format!("{}: {what}", self.url), "");
        let response = self.post(false).send().await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(error.to_string()))?;
        if status.is_success() { Ok(()) } else { Err(failed(format!("{status}: {text}"))) }
    }

    async fn requests(&self, rate: u32, seconds: u32) -> Value {
        let interval = Duration::from_secs(1) / rate.max(1);
        let requests = rate.saturating_mul(seconds);
        let added = self.added().await;
        let (before, here, start) = (self.cpu_us(), user_cpu_us(), Instant::now());
        let mut asking = JoinSet::new();
        for number in 0..requests {
            let due = start + interval * number;
            sleep_until(due.into()).await;
            let request = self.post(false);
            asking.spawn(async move {
                let answer = async { request.send().await?.error_for_status()?.bytes().await };
                answer.await.ok().map(|_| due.elapsed())
            });
        }
        let mut latencies = Vec::new();
        while let Some(asked) = asking.join_next().await {
            latencies.extend(asked.ok().flatten());
        }
        let wall = start.elapsed();
        let (cpu, load) = (self.cpu_us() - before, user_cpu_us() - here);
        let added = self.added().await.since(&added);
        latencies.sort();
        let answered = latencies.len();
        let each = |us: u64| us as f64 / 1000.0 / f64::from(requests.max(1));
        json!({
            "bench": "door", "door": self.name, "model": "bytes", "rate": rate, "requests": requests, "answered": answered,
            "per_s": round(answered as f64 / wall.as_secs_f64()),
            "p50_ms": quantile(&latencies, 50), "p99_ms": quantile(&latencies, 99),
            "added_p50_ms": added.both.quantile_ms(50), "added_p99_ms": added.both.quantile_ms(99),
            "before_p99_ms": added.before.quantile_ms(99), "after_p99_ms": added.after.quantile_ms(99),
            "user_cpu_ms": round(each(cpu)), "load_cpu_ms": round(each(load)),
            "wall_ms": round(wall.as_secs_f64() * 1000.0), "peak_mib": self.peak_mib(),
        })
    }

    /// What a gateway says of itself; nothing from another door.
    async fn added(&self) -> AddedTimes {
        let Some(url) = &self.added else { return AddedTimes::default() };
        let asked = async { self.client.get(url).send().await?.error_for_status()?.json().await };
        asked.await.unwrap_or_default()
    }

    /// All begin in the first second.
    async fn streams(&self, count: u32) -> Value {
        let (before, here, start) = (self.cpu_us(), user_cpu_us(), Instant::now());
        let mut asking = JoinSet::new();
        for number in 0..count {
            sleep_until((start + Duration::from_secs(1) / count.max(1) * number).into()).await;
            asking.spawn(follow(self.post(true)));
        }
        let (mut late, mut whole) = (Vec::new(), 0);
        while let Some(followed) = asking.join_next().await {
            if let Ok(Some(gaps)) = followed {
                whole += 1;
                late.extend(gaps);
            }
        }
        let wall = start.elapsed();
        late.sort();
        let events = f64::from(count.max(1)) * f64::from(STREAM_TOKENS);
        json!({
            "bench": "door", "door": self.name, "model": "bytes", "streams": count, "whole": whole,
            "per_s": round(late.len() as f64 / wall.as_secs_f64()),
            "p50_ms": quantile(&late, 50), "p99_ms": quantile(&late, 99),
            "user_cpu_ms": round((self.cpu_us() - before) as f64 / 1000.0 / events),
            "load_cpu_ms": round((user_cpu_us() - here) as f64 / 1000.0 / events),
            "wall_ms": round(wall.as_secs_f64() * 1000.0), "peak_mib": self.peak_mib(),
        })
    }

    fn cpu_us(&self) -> u64 {
        self.pids.iter().map(|pid| cpu_us_of(*pid)).sum()
    }

    fn peak_mib(&self) -> u64 {
        self.pids.iter().map(|pid| peak_mib_of(*pid)).sum()
    }
}

/// How much later each piece of an answer came than the engine sent it; `None` when not all came.
async fn follow(request: reqwest::RequestBuilder) -> Option<Vec<Duration>> {
    let mut response = request.send().await.ok()?.error_for_status().ok()?;
    let mut late = Vec::new();
    let (mut first, mut tail, mut done) = (None, Vec::new(), false);
    while let Some(part) = response.chunk().await.ok()? {
        tail.extend_from_slice(&part);
        while let Some(end) = tail.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = tail.drain(..end + 2).collect();
            done |= event.starts_with(b"data: [DONE]");
            if !event.windows(CONTENT.len()).any(|found| found == CONTENT) {
                continue;
            }
            // The engine's clock is the first event's: what the way to it and back takes is in the figures of whole answers.
            let begun = *first.get_or_insert_with(Instant::now);
            let due = begun + STREAM_INTERVAL * u32::try_from(late.len()).ok()?;
            late.push(Instant::now().saturating_duration_since(due));
        }
    }
    (done && late.len() == STREAM_TOKENS as usize).then_some(late)
}

fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    round(sorted.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0))
}

/// An engine that says the same to everybody, at once or a token at a time.
async fn start_engine(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(listen).await.failed("cannot_listen", listen, "choose another port")?;
    let address = listener.local_addr().failed("cannot_listen", listen, "")?;
    let models = json!({ "object": "list", "data": [{ "id": MODEL, "object": "model" }] });
    let router = Router::new()
        .route("/v1/models", get(move || async move { Json(models) }))
        .route("/v1/chat/completions", post(complete));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    // It ends with this process.
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    Ok(address)
}

async fn complete(Json(request): Json<Value>) -> Response {
    if request["stream"] == true {
        return (StatusCode::OK, [(CONTENT_TYPE, "text/event-stream")], Body::from_stream(tokens()))
            .into_response();
    }
    let usage =
        json!({ "prompt_tokens": 20, "completion_tokens": ANSWER.len(), "total_tokens": 20 + ANSWER.len() });
    let choice =
        json!({ "index": 0, "message": { "role": "assistant", "content": ANSWER }, "finish_reason": "stop" });
    Json(json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": usage,
    }))
    .into_response()
}

fn tokens() -> impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let begun = Instant::now();
    let event = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let chunk = json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice] });
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let token = event(json!({ "content": "t" }), Value::Null);
    let end = event(json!({}), json!("stop"));
    let (token, end) = (Arc::new(token), Arc::new(end));
    stream::unfold(0_u32, move |number| {
        let (token, end) = (Arc::clone(&token), Arc::clone(&end));
        async move {
            let part = match number {
                ..STREAM_TOKENS => {
                    sleep_until((begun + STREAM_INTERVAL * number).into()).await;
                    Bytes::clone(&token)
                }
                STREAM_TOKENS => Bytes::clone(&end),
                _ if number == STREAM_TOKENS + 1 => Bytes::from_static(b"data: [DONE]\n\n"),
                _ => return None,
            };
            Some((Ok(part), number + 1))
        }
    })
}

/// A tokenizer that gives each byte a token: it needs no vocabulary of anybody's, and counts more than any other.
fn byte_tokenizer() -> Vec<u8> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let letters = (0..256_u32).map(|byte| if printable(byte) { Some(byte) } else { others.next() });
    let vocabulary: Map<String, Value> = letters
        .flatten()
        .filter_map(char::from_u32)
        .enumerate()
        .map(|(id, letter)| (letter.to_string(), Value::from(id)))
        .collect();
    let bytes = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []
        }
    });
    bytes.to_string().into_bytes()
}

fn manifest_of(tokenizer: &[u8]) -> Result<Vec<u8>, Failure> {
    let manifest = LanguageManifest {
        kind: LanguageKind::Language,
        name: MODEL.to_owned(),
        weights: B256::repeat_byte(1),
        tokenizer: B256::from(*blake3::hash(tokenizer).as_bytes()),
        format: "none".to_owned(),
        quantisation: "none".to_owned(),
        context_tokens: 4096,
        message_tokens: 4,
        licence: "Apache-2.0".to_owned(),
    };
    Ok(manifest.write().failed("bench", "the manifest", "")?.0)
}

const MODEL: &str = "bytes";
const ANSWER: &str = "An answer as long as a sentence is, no more.";
const WHOLE: &str =
    r#"{"model":"bytes","messages":[{"role":"user","content":"A question."}],"max_tokens":64}"#;
const STREAMED: &str = r#"{"model":"bytes","messages":[{"role":"user","content":"A question."}],"max_tokens":128,"stream":true}"#;
const CONTENT: &[u8] = br#""content":"t""#;
const STREAM_TOKENS: u32 = 100;
/// Thirty tokens a second.
const STREAM_INTERVAL: Duration = Duration::from_micros(33_333);
