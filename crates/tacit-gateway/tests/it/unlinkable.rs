//! Several clients buy tokens and ask questions through one relay, in mixed order. Everything that the worker and the relay receive is recorded, and shown to fit every
//! assignment of buyers to questions equally well.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tacit_abi::Evidence;
use tacit_gateway::{AskRequest, BuyTokens, Gateway, UnlinkablePolicy, verify_bundle};
use tacit_relay::{Rate, Relay, RelayConfig};
use tacit_wire::{
    Amount, JobId, LedgerClient, Payload, SealingKey,
    binary_http::BinaryRequest,
    blind::{Block, MODULUS_BYTES, PublicKey, SecretKey},
    message::{JobRequest, PrepaidRequest},
    token,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    disk::Disk,
    support::{
        PRICE, RunningWorker, Server, WorkerPlan, expected_label, ledger, listen, question,
        unlinkable_gateway, wallet,
    },
};

/// Two tokens pay for a question.
pub(crate) const TOKEN_PRICE: Amount = Amount(PRICE.0 / 2);

/// Passes bytes on, and remembers those of each connection.
pub(crate) struct Tap {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// What came over one connection.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) sent: Vec<u8>,
    pub(crate) answered: Vec<u8>,
}

/// One HTTP request.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Tap {
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = target.strip_prefix("http://").unwrap().to_owned();
        let heard = Arc::new(Mutex::new(Vec::<Heard>::new()));
        let record = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((client, peer)) = listener.accept().await {
                let place = {
                    let mut heard = record.lock().unwrap();
                    heard.push(Heard { peer: Some(peer), ..Heard::default() });
                    heard.len() - 1
                };
                let server = TcpStream::connect(&target).await.unwrap();
                let ((client_in, client_out), (server_in, server_out)) =
                    (client.into_split(), server.into_split());
                let (sent, answered) = (Arc::clone(&record), Arc::clone(&record));
                tokio::spawn(copy(client_in, server_out, move |bytes| {
                    sent.lock().unwrap()[place].sent.extend_from_slice(bytes);
                }));
                tokio::spawn(copy(server_in, client_out, move |bytes| {
                    answered.lock().unwrap()[place].answered.extend_from_slice(bytes);
                }));
            }
        });
        Self { url, heard }
    }

    /// What came since it was last asked, in the order of connections.
    pub(crate) fn take(&self) -> Vec<Heard> {
        let mut heard = self.heard.lock().unwrap();
        let taken = heard.clone();
        for connection in heard.iter_mut() {
            connection.sent.clear();
            connection.answered.clear();
        }
        taken.into_iter().filter(|connection| !connection.sent.is_empty()).collect()
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    record: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        record(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// The requests in the bytes of a connection.
pub(crate) fn requests(mut bytes: &[u8]) -> Vec<Sent> {
    let mut requests = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let (start, length) = (end + 4, length.unwrap_or(0));
        requests.push(Sent { head, body: bytes[start..start + length].to_vec() });
        bytes = &bytes[start + length..];
    }
    assert!(bytes.is_empty(), "half a request");
    requests
}

/// A worker that sells tokens, behind a tap, and a relay behind another.
pub(crate) struct Scene {
    pub(crate) ledger: crate::support::Ledger,
    pub(crate) worker: RunningWorker,
    pub(crate) keys: Arc<tempfile::TempDir>,
    pub(crate) relay: String,
    _relay: Server,
}

/// A relay on this machine.
pub(crate) async fn start_relay(ledger: &LedgerClient) -> Server {
    let rate = Rate { burst: 1_000, ..Rate::default() };
    let config = RelayConfig { private_networks: true, rate, ..RelayConfig::new(ledger.clone()) };
    let relay = Relay::new(config).unwrap();
    Server::spawn(listen(0).await, |listener| async move {
        let _ = relay.serve(listener, core::future::pending()).await;
    })
}

pub(crate) fn policy(relay: &str) -> UnlinkablePolicy {
    UnlinkablePolicy { relay: Some(relay.to_owned()), key_age: core::time::Duration::ZERO }
}

pub(crate) fn selling(keys: &Arc<tempfile::TempDir>) -> WorkerPlan {
    let sealing = SealingKey::load_or_create(&keys.path().join("sealing.key")).unwrap();
    WorkerPlan { token_price: Some(TOKEN_PRICE), keys: Arc::clone(keys), sealing, ..WorkerPlan::honest(1) }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let everyone: Vec<_> = (1..=9).map(|key| wallet(key).address()).collect();
        let ledger = ledger(&everyone).await;
        let keys = Arc::new(tempfile::tempdir().unwrap());
        let worker = selling(&keys).start(&ledger.client).await;
        let relay = start_relay(&ledger.client).await;
        Self { ledger, worker, keys, relay: relay.url.clone(), _relay: relay }
    }

    pub(crate) fn gateway(&self, key: u8) -> Arc<Gateway> {
        unlinkable_gateway(&self.ledger.client, key, &Disk::default(), policy(&self.relay))
    }
}

pub(crate) fn some_tokens(count: u32) -> BuyTokens {
    BuyTokens { model: "small".to_owned(), count, worker: None, max_price: None }
}

pub(crate) fn unlinkable(seed: u64) -> AskRequest {
    AskRequest {
        unlinkable: true,
        evidence: Some(Evidence::Signed),
        job_id: Some(JobId::random()),
        ..question(seed)
    }
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

    /// All that the worker got: as it came, and each value in base64 or hex as bytes.
    fn bytes_at_worker(&self, key: &SealingKey) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut raw: Vec<u8> = self.to_worker.iter().flat_map(|heard| heard.sent.clone()).collect();
        let mut bytes = Vec::new();
        for request in self.requests() {
            if let Some(inner) = opened(&request, key) {
                raw.extend_from_slice(inner.path.as_bytes());
                raw.extend_from_slice(&inner.content);
                bytes.extend(decoded(&inner.content));
            }
            bytes.extend(decoded(&request.body));
        }
        (raw, bytes)
    }
}

/// What is in an encapsulated request, as the worker reads it.
fn opened(request: &Sent, key: &SealingKey) -> Option<BinaryRequest> {
    let (plain, _) =
        request.head.starts_with("POST /v1/ohttp ").then(|| key.decapsulate(&request.body))?.unwrap();
    Some(BinaryRequest::decode(&plain).unwrap())
}

/// Each value of a JSON text that is base64 or hex, as bytes.
pub(crate) fn decoded(json: &[u8]) -> Vec<Vec<u8>> {
    fn walk(value: &Value, bytes: &mut Vec<Vec<u8>>) {
        match value {
            Value::String(text) => {
                let hex = alloy_primitives::hex::decode(text).ok();
                bytes.extend(hex.or_else(|| BASE64_STANDARD.decode(text).ok()));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, bytes)),
            Value::Object(fields) => fields.values().for_each(|value| walk(value, bytes)),
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(json) {
        walk(&value, &mut bytes);
    }
    bytes
}

const WINDOW: usize = 8;
/// Eight digits of hexadecimal are four bytes only, which come again by chance: words of text are looked through in longer pieces.
const TEXT_WINDOW: usize = 14;

/// Pieces of the words of a text: names and values each by itself, since a name that all send and the first digit of a number is nobody's.
pub(crate) fn words(text: &[u8]) -> HashSet<Vec<u8>> {
    let separates = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"+/=._-".contains(byte));
    text.split(separates).flat_map(|word| windows_of(word, TEXT_WINDOW)).collect()
}

fn windows_of(bytes: &[u8], length: usize) -> HashSet<Vec<u8>> {
    bytes.windows(length).map(<[u8]>::to_vec).collect()
}

pub(crate) fn windows(bytes: &[u8]) -> HashSet<Vec<u8>> {
    windows_of(bytes, WINDOW)
}

/// A redemption with what is drawn anew for each left out: what is left is all that could tell one asker from another.
fn shape(inner: &BinaryRequest) -> Value {
    let mut json: Value = serde_json::from_slice(&inner.content).unwrap();
    let header = json["job"]["header"].as_object_mut().unwrap();
    for drawn in ["job_id", "channel_id", "client"] {
        assert!(header.remove(drawn).is_some());
    }
    json["job"]["signature"] = Value::from(json["job"]["signature"].as_str().unwrap().len());
    let sealed = &mut json["job"]["payload"]["sealed"];
    sealed["enc"] = Value::from(sealed["enc"].as_str().unwrap().len());
    sealed["body"] = Value::from(sealed["body"].as_str().unwrap().len());
    let tokens = json["tokens"].as_array().unwrap().len();
    json["tokens"] = Value::from(tokens);
    json
}

/// Blinded messages that were bought, and tokens that were shown.
#[derive(Default)]
struct Seen {
    blinded: Vec<Block>,
    shown: Vec<token::Token>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_tell_whose_question_it_is() {
    let mut scene = Scene::new().await;
    let worker_tap = Tap::before(&scene.worker.server.url).await;
    scene.worker.worker.publish_and_ask(&worker_tap.url).await.unwrap();
    let relay_tap = Tap::before(&scene.relay).await;
    scene.relay = relay_tap.url.clone();
    let gateways: Vec<Arc<Gateway>> = [2, 3, 4].map(|key| scene.gateway(key)).into();
    let (mut bought, mut asked) = (Vec::new(), Vec::new());
    // Who buys (true) or asks (false), in this order. Each buys as much and asks as often as the others.
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
    for (turn, (client, buys)) in (0_u64..).zip(order) {
        let gateway = &gateways[usize::from(client - 2)];
        if buys {
            gateway.buy_tokens(some_tokens(4)).await.unwrap();
        } else {
            let request = unlinkable(turn);
            let answer = gateway.ask(request.clone()).await.unwrap();
            assert_eq!(answer.label, Some(expected_label(&request)));
        }
        let step = Step { client, to_worker: worker_tap.take(), to_relay: relay_tap.take() };
        if buys { &mut bought } else { &mut asked }.push(step);
    }
    let key = SealingKey::load_or_create(&scene.keys.path().join("sealing.key")).unwrap();
    check_the_relays_record(&bought, &asked, &key);
    check_the_shape_of_redemptions(&bought, &asked, &key);
    check_that_no_bytes_come_back(&bought, &asked, &key);
    let signer = SecretKey::load(&scene.keys.path().join("tokens.key")).unwrap();
    check_that_every_assignment_explains_the_record(&seen(&bought, &asked, &key), &signer);
}

/// The relay is not there when tokens are bought, and of what it passes on it can read neither model nor question nor token nor account.
fn check_the_relays_record(bought: &[Step], asked: &[Step], key: &SealingKey) {
    assert!(bought.iter().all(|step| step.to_relay.is_empty()));
    for step in asked {
        let mut seen: Vec<u8> = Vec::new();
        for heard in &step.to_relay {
            assert!(heard.peer.is_some());
            seen.extend_from_slice(&heard.sent);
            seen.extend_from_slice(&heard.answered);
        }
        assert!(!seen.is_empty());
        let seen = windows(&seen);
        let inner: Vec<BinaryRequest> = step
            .requests()
            .iter()
            .map(|request| opened(request, key).expect("all of it is sealed"))
            .collect();
        let paid = inner.iter().find(|inner| inner.path == "/v1/prepaid").unwrap();
        let request: PrepaidRequest = serde_json::from_slice(&paid.content).unwrap();
        let header = &request.job.header;
        let mut secrets = vec![
            header.model_id.to_string().into_bytes(),
            header.job_id.to_string().into_bytes(),
            header.client.to_string().to_lowercase().into_bytes(),
            header.model_id.to_vec(),
            b"/v1/prepaid".to_vec(),
            request.job.payload.body().to_vec(),
            BASE64_STANDARD.encode(request.job.payload.body()).into_bytes(),
        ];
        for token in &request.tokens {
            secrets.push(token.to_bytes());
            secrets.push(BASE64_STANDARD.encode(token.to_bytes()).into_bytes());
        }
        for secret in secrets {
            assert!(windows(&secret).is_disjoint(&seen));
        }
    }
}

/// Requests of all clients are the same in everything that is not drawn anew for each: address, header, terms, lengths.
fn check_the_shape_of_redemptions(bought: &[Step], asked: &[Step], key: &SealingKey) {
    let direct: HashSet<SocketAddr> =
        bought.iter().flat_map(|step| &step.to_worker).filter_map(|heard| heard.peer).collect();
    let mut shapes = Vec::new();
    let mut lengths = Vec::new();
    let mut fetched: HashSet<u8> = HashSet::new();
    for step in asked {
        // Connections on which tokens were bought are not those of questions: the worker sees the relay.
        assert!(step.to_worker.iter().all(|heard| !direct.contains(&heard.peer.unwrap())));
        for request in step.requests() {
            let inner = opened(&request, key).unwrap();
            let head: Vec<&str> =
                request.head.lines().filter(|line| !line.starts_with("content-length")).collect();
            if inner.path == "/v1/prepaid" {
                shapes.push((head.join("\n"), shape(&inner)));
                lengths.push(request.body.len());
            } else {
                // The first question of each, whoever it is, needs the model.
                assert!(inner.path.starts_with("/v1/models/"), "{}", inner.path);
                assert!(fetched.insert(step.client));
            }
        }
    }
    assert_eq!(shapes.len(), asked.len());
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
}

/// No eight bytes that a client sent when it bought come again when anybody asks, but for those that everybody sends.
fn check_that_no_bytes_come_back(bought: &[Step], asked: &[Step], key: &SealingKey) {
    let pieces = |step: &Step| {
        let (raw, bytes) = step.bytes_at_worker(key);
        let mut pieces = words(&raw);
        // Where one value ends and another begins, a byte or two that come again by chance stand beside what everybody sends.
        pieces.extend(bytes.iter().flat_map(|value| windows(value)));
        pieces
    };
    let purchases: Vec<HashSet<_>> = bought.iter().map(pieces).collect();
    let mut constant = purchases[0].clone();
    for purchase in &purchases[1..] {
        constant.retain(|piece| purchase.contains(piece));
    }
    // What is looked for is there to be found: each purchase has much of its own.
    assert!(purchases.iter().all(|purchase| purchase.len() > constant.len() + 1_000));
    for step in asked {
        let redemption = pieces(step);
        for purchase in &purchases {
            let again: Vec<_> = purchase
                .intersection(&redemption)
                .filter(|piece| !constant.contains(*piece))
                .map(|piece| String::from_utf8_lossy(piece).into_owned())
                .collect();
            assert!(again.is_empty(), "client {}: {again:?}", step.client);
        }
    }
}

fn seen(bought: &[Step], asked: &[Step], key: &SealingKey) -> Seen {
    let mut seen = Seen::default();
    for request in bought.iter().flat_map(Step::requests) {
        if request.head.starts_with("POST /v1/jobs ") {
            let job: JobRequest = serde_json::from_slice(&request.body).unwrap();
            let Payload::Encrypted { body } = &job.payload else { panic!("a purchase is not readable") };
            let blinded = body.as_chunks::<{ MODULUS_BYTES + 3 }>().0.iter();
            seen.blinded.extend(blinded.map(|request| Block::try_from(&request[3..]).unwrap()));
        }
    }
    for request in asked.iter().flat_map(Step::requests) {
        let inner = opened(&request, key).unwrap();
        if inner.path == "/v1/prepaid" {
            let request: PrepaidRequest = serde_json::from_slice(&inner.content).unwrap();
            seen.shown.extend(request.tokens);
        }
    }
    seen
}

/// For every blinded message and every token there is exactly one blinding factor that makes the one of the other, so every assignment of purchases to questions is
/// explained by factors that are as likely as any. A factor of one, or one that comes twice for a token, would be a link.
fn check_that_every_assignment_explains_the_record(seen: &Seen, signer: &SecretKey) {
    let public: &PublicKey = signer.public();
    assert_eq!((seen.blinded.len(), seen.shown.len()), (12, 12));
    let mut one = [0; MODULUS_BYTES];
    one[MODULUS_BYTES - 1] = 1;
    for token in &seen.shown {
        let mut factors = HashSet::new();
        for blinded in &seen.blinded {
            let blind_signature = signer.sign(blinded).unwrap();
            let factor = public.factor_between(token.authenticator(), &blind_signature).unwrap();
            assert!(public.explains(&factor, token.authenticator(), blinded));
            assert_ne!(factor, one);
            factors.insert(factor);
        }
        assert_eq!(factors.len(), seen.blinded.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_paid_with_tokens_and_proved() {
    let scene = Scene::new().await;
    let gateway = scene.gateway(2);
    let bought = gateway.buy_tokens(some_tokens(5)).await.unwrap();
    assert_eq!((bought.count, bought.token_price, bought.price), (5, TOKEN_PRICE, Amount(5 * TOKEN_PRICE.0)));
    let held = gateway.tokens().await.unwrap();
    assert_eq!((held.len(), held[0].count, held[0].token_price), (1, 5, Some(TOKEN_PRICE)));
    let request = AskRequest { evidence: None, anchor_wait_ms: Some(10_000), ..unlinkable(1) };
    let answer = gateway.ask(request.clone()).await.unwrap();
    assert!(answer.verified && answer.paid && answer.block.is_some());
    assert_eq!(answer.label, Some(expected_label(&request)));
    // Asked again it is the same answer, and nothing more is paid.
    assert_eq!(gateway.ask(request).await.unwrap().receipt, answer.receipt);
    gateway.ask(unlinkable(2)).await.unwrap();
    assert_eq!(gateway.tokens().await.unwrap()[0].count, 1);
    let bundle = gateway.bundle(answer.job_id).unwrap();
    let _ = verify_bundle(&bundle).unwrap();
    assert_ne!(bundle.receipt.receipt.client, gateway.address());
    let earnings = scene.worker.worker.earnings().unwrap();
    assert_eq!((earnings.jobs, earnings.vouchered, earnings.unpaid_jobs), (3, bought.price, 0));
    // A purchase is anchored like every answer.
    assert!(scene.worker.worker.receipt(bought.job_id).is_ok());
}
