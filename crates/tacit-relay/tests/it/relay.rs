//! What a relay passes on, what it refuses, and what it adds: nothing.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use tacit_abi::{IAsks, asks::ASK_STAKE};
use tacit_node::{Node, NodeConfig};
use tacit_relay::{Rate, Relay, RelayConfig};
use tacit_wire::{
    Amount, LedgerClient, Wallet,
    http::{HttpError, JsonClient},
    ledger::ask_end_s,
    oblivious::{KEYS_BYTES_MAX, KEYS_TYPE, REQUEST_TYPE, RESPONSE_TYPE},
    unlinked::{ENCAPSULATED_REQUEST_BYTES_MAX, relay_path},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

struct Scene {
    worker: Wallet,
    relay: String,
    /// Everything that came to the machine that the ask names.
    seen: Arc<Mutex<Vec<u8>>>,
    stop: tokio::sync::oneshot::Sender<()>,
    _node: Node,
}

/// A ledger with one ask, whose endpoint answers everything with `reply`, and a relay.
async fn scene(reply: String, change: impl FnOnce(&mut RelayConfig)) -> Scene {
    let worker = Wallet::random();
    let balance = U256::from(Amount::coins(10).0);
    let node = Node::open(NodeConfig::dev([(worker.address(), balance)])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = node.clone();
    tokio::spawn(async move { serving.serve(listener, async { drop(stopped.await) }).await });
    let ledger = LedgerClient::connect(&url).await.unwrap();
    let (endpoint, seen) = machine(reply).await;
    let model = B256::repeat_byte(1);
    ledger.publish(&worker, model, model, "digits").await.unwrap();
    ledger.bond(&worker, Amount(ASK_STAKE)).await.unwrap();
    let terms = IAsks::Terms {
        privacy: 1,
        evidence: 0,
        price: 1,
        promptPrice: 0,
        completionPrice: 0,
        capacity: 1,
        validUntil: ask_end_s(),
        sealingKey: model,
        endpoint,
    };
    ledger.set_ask(&worker, model, terms).await.unwrap();
    let mut config = RelayConfig { private_networks: true, ..RelayConfig::new(ledger) };
    change(&mut config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(Relay::new(config).unwrap().serve(listener, core::future::pending()));
    Scene { worker, relay, seen, stop, _node: node }
}

async fn machine(reply: String) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (record, reply) = (Arc::clone(&record), reply.clone());
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).await.unwrap_or_default();
                record.lock().unwrap().extend_from_slice(&bytes[..count]);
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    (endpoint, seen)
}

fn reply(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn good() -> String {
    reply("200 OK", RESPONSE_TYPE, "answer")
}

/// Status and body of what a relay says.
async fn post(url: &str, kind: &str, body: Vec<u8>) -> (u16, String) {
    let http = JsonClient::new(Duration::from_secs(20)).unwrap();
    let mut relayed = http.relay(url, kind, body, Duration::from_secs(20)).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = relayed.body.next().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    (relayed.status, String::from_utf8_lossy(&bytes).into_owned())
}

impl Scene {
    async fn ask(&self) -> (u16, String) {
        let url = format!("{}{}", self.relay, relay_path(self.worker.address()));
        post(&url, REQUEST_TYPE, b"question".to_vec()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_passed_on_with_nothing_of_its_client() {
    let scene = scene(good(), |_| {}).await;
    let url = format!("{}{}", scene.relay, relay_path(scene.worker.address()));
    // A client that says who it is.
    let (host, path) = (scene.relay.strip_prefix("http://").unwrap(), relay_path(scene.worker.address()));
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: me\r\ncookie: me=1\r\nx-forwarded-for: 9.9.9.9\r\nauthorization: me\r\n\
         content-type: {REQUEST_TYPE}\r\ncontent-length: 8\r\nconnection: close\r\n\r\nquestion"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("answer"), "{answer}");
    let seen = String::from_utf8(scene.seen.lock().unwrap().clone()).unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "question");
    let names: Vec<String> =
        head.lines().skip(1).map(|line| line.split(':').next().unwrap().to_lowercase()).collect();
    for name in &names {
        assert!(["host", "content-type", "content-length", "accept"].contains(&name.as_str()), "{name}");
    }
    assert!(head.starts_with("POST /v1/ohttp HTTP/1.1\r\n"), "{head}");
    assert!(!seen.contains("9.9.9.9") && !seen.contains("me=1"));
    assert_eq!(post(&url, REQUEST_TYPE, b"question".to_vec()).await, (200, "answer".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_nowhere_that_no_ask_names() {
    let scene = scene(good(), |_| {}).await;
    let stranger = format!("{}{}", scene.relay, relay_path(Address::repeat_byte(9)));
    let (status, body) = post(&stranger, REQUEST_TYPE, b"question".to_vec()).await;
    assert_eq!(status, 404);
    assert!(body.contains("unknown_worker"), "{body}");
    for path in ["/v1/relay/nobody", "/v1/relay/http:%2F%2F127.0.0.1", "/v1/jobs", "/"] {
        let (status, body) = post(&format!("{}{path}", scene.relay), REQUEST_TYPE, Vec::new()).await;
        assert_eq!(status, 404, "{path}");
        assert!(body.contains("not_found"), "{body}");
    }
    assert!(scene.seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_on_a_private_network_is_not_gone_to() {
    let scene = scene(good(), |config| config.private_networks = false).await;
    let (status, body) = scene.ask().await;
    assert!(status == 404 && body.contains("unknown_worker"), "{body}");
    assert!(scene.seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_encapsulated_request_is_refused() {
    let scene = scene(good(), |_| {}).await;
    let url = format!("{}{}", scene.relay, relay_path(scene.worker.address()));
    let (status, body) = post(&url, "application/json", b"{}".to_vec()).await;
    assert!(status == 415 && body.contains("not_oblivious"), "{body}");
    let http = JsonClient::new(Duration::from_secs(20)).unwrap();
    let long = vec![0; ENCAPSULATED_REQUEST_BYTES_MAX + 1];
    match http.relay(&url, REQUEST_TYPE, long, Duration::from_secs(20)).await {
        Ok(relayed) => assert_eq!(relayed.status, 413),
        // It hung up before it was told everything.
        Err(HttpError::Unreachable { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert!(scene.seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_encapsulated_answers_comes_back() {
    for bad in [
        reply("200 OK", "text/html", "secret page"),
        reply("403 Forbidden", RESPONSE_TYPE, "secret page"),
        reply("302 Found", RESPONSE_TYPE, "secret page"),
        "secret page".to_owned(),
    ] {
        let (status, body) = scene(bad, |_| {}).await.ask().await;
        assert!(status == 502 && body.contains("worker_failed") && !body.contains("secret"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_keys_are_handed_on_and_no_more_than_keys() {
    let url = |scene: &Scene| format!("{}{}/keys", scene.relay, relay_path(scene.worker.address()));
    let patience = Duration::from_secs(5);
    let http = JsonClient::new(patience).unwrap();
    let keys_scene = scene(reply("200 OK", KEYS_TYPE, "keys"), |_| {}).await;
    let mut keys = http.download(&url(&keys_scene), patience).await.unwrap();
    assert_eq!(keys.next().await.unwrap().unwrap(), b"keys");
    // The worker sees that somebody asks for what everybody gets.
    let seen = String::from_utf8(keys_scene.seen.lock().unwrap().clone()).unwrap();
    assert!(seen.starts_with("GET /v1/ohttp-keys HTTP/1.1"), "{seen}");
    for bad in [
        reply("200 OK", KEYS_TYPE, &"k".repeat(KEYS_BYTES_MAX + 1)),
        reply("500 Internal Server Error", KEYS_TYPE, "keys"),
    ] {
        let scene = scene(bad, |_| {}).await;
        let told = http.download(&url(&scene), patience).await;
        assert!(matches!(told, Err(HttpError::Told { status: 502, .. })));
    }
    let nobody = format!("{}{}/keys", keys_scene.relay, relay_path(Address::ZERO));
    assert!(matches!(http.download(&nobody, patience).await, Err(HttpError::Told { status: 404, .. })));
    let poor = |config: &mut RelayConfig| config.rate = Rate { burst: 1, pause: Duration::from_secs(60) };
    let scene = scene(reply("200 OK", KEYS_TYPE, "keys"), poor).await;
    assert!(http.download(&url(&scene), patience).await.is_ok());
    let told = http.download(&url(&scene), patience).await;
    assert!(matches!(told, Err(HttpError::Told { status: 429, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_asks_no_more_than_its_rate() {
    let rate = Rate { burst: 2, pause: Duration::from_secs(3600) };
    let scene = scene(good(), |config| config.rate = rate).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(scene.ask().await.0);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relay_and_a_slow_worker_are_said_to_be() {
    let full = scene(good(), |config| config.requests_max = 0).await;
    let (status, body) = full.ask().await;
    assert!(status == 503 && body.contains("busy"), "{body}");
    // Never the end of its answer.
    let slow = "HTTP/1.1 200 OK\r\ncontent-type: message/ohttp-res\r\ncontent-length: 100\r\n\r\n".to_owned();
    let stalled = scene(slow, |config| config.timeout = Duration::from_millis(300)).await;
    let (status, _) = stalled.ask().await;
    assert!(matches!(status, 502 | 504), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_ledger_it_says_so() {
    let Scene { worker, relay, stop, .. } = scene(good(), |_| {}).await;
    drop(stop);
    let url = format!("{relay}{}", relay_path(worker.address()));
    for _ in 0..100 {
        let (status, body) = post(&url, REQUEST_TYPE, b"question".to_vec()).await;
        if status == 503 && body.contains("ledger_failed") {
            return;
        }
        // What it had read by then it believes for a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the ledger is gone, and the relay does not say so");
}
