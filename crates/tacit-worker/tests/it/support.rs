//! The cast: a ledger, a worker with one language model, and what they agree on.

use std::{
    net::TcpListener as StdListener,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256, U256};
use serde_json::{Map, Value, json};
use tacit_node::{Node, NodeConfig};
use tacit_wire::{
    Amount, AuditKey, LedgerClient, RpcClient, SealingKey, Wallet,
    language::{LanguageKind, LanguageManifest, TokenPrices},
    meter::Meter,
    session::SessionKey,
};
use tacit_worker::{
    AskedPrice, Attester, Clock, KEY_BYTES_DEFAULT, KeyShelf, LanguageEngine, LanguageModel, Limits,
    SettlementPolicy, Store, SystemClock, Worker, WorkerConfig,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};
use zeroize::Zeroizing;

use crate::{
    client::Client,
    disk::Disk,
    engine::{ENGINE_MODEL, ScriptedEngine},
};

/// What the model costs: a chunk is 96.
pub(crate) const PRICES: TokenPrices =
    TokenPrices { request: Amount(10), prompt: Amount(2), completion: Amount(3) };
pub(crate) const CHUNK: u128 = 96;
/// A prompt of nine tokens: five letters, and four for the message.
pub(crate) const BODY: &str =
    r#"{"model":"tiny","messages":[{"role":"user","content":"hello"}],"stream":true}"#;
/// All that the model's file of weights holds.
pub(crate) const WEIGHTS: &[u8] = b"weights";
/// What it costs before anything is answered.
pub(crate) const PROMPT: u128 = 10 + 2 * 9;

/// Everybody.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    pub(crate) engine: ScriptedEngine,
    pub(crate) worker: RunningWorker,
    pub(crate) client: Client,
}

/// How to start a worker.
pub(crate) struct Plan {
    pub(crate) disk: Disk,
    pub(crate) port: u16,
    pub(crate) capacity: u32,
    pub(crate) limits: Limits,
    pub(crate) session_key: [u8; 32],
    /// Engines that are away, each with a model of its own: `other0`, `other1`, …
    pub(crate) away: Vec<String>,
    /// Seconds that the worker's clock is ahead.
    pub(crate) ahead_s: Arc<AtomicI64>,
    /// How often it looks what it owes the ledger.
    pub(crate) poll: Duration,
    /// What vouches for the model, and for nothing else.
    pub(crate) attester: Option<Arc<dyn Attester>>,
}

/// A clock that is wrong by some seconds.
struct WrongClock(Arc<AtomicI64>);

impl Clock for WrongClock {
    fn unix_time_s(&self) -> u64 {
        SystemClock.unix_time_s().saturating_add_signed(self.0.load(Ordering::SeqCst))
    }
}

impl Default for Plan {
    fn default() -> Self {
        let limits = Limits {
            unpaid_wait: Duration::from_secs(60),
            stream_grace: Duration::from_secs(60),
            engine_poll: Duration::from_millis(20),
            ..Limits::default()
        };
        let (disk, away, ahead_s) = (Disk::default(), Vec::new(), Arc::default());
        let poll = SettlementPolicy::default().poll;
        Self { disk, port: 0, capacity: 8, limits, session_key: [7; 32], away, ahead_s, poll, attester: None }
    }
}

/// A ledger that stops when dropped.
pub(crate) struct Ledger {
    pub(crate) client: LedgerClient,
    node: Node,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Ledger {
    /// Lets so much time pass.
    pub(crate) async fn wait_s(&self, seconds: u64) {
        self.tell("evm_increaseTime", json!([seconds])).await;
        self.tell("evm_mine", json!([])).await;
    }

    async fn tell(&self, method: &'static str, params: Value) {
        let rpc = RpcClient::new(self.client.url(), Duration::from_secs(20)).unwrap();
        let _: Option<Value> = rpc.ask(method, params, 4096).await.unwrap();
    }

    /// Goes away. Whoever comes meanwhile finds this socket, which answers nothing.
    pub(crate) async fn leave(self) -> (Node, LedgerClient, TcpListener) {
        let Self { client, node, stop, ended } = self;
        drop(stop);
        ended.await.unwrap();
        let port = client.url().rsplit(':').next().unwrap().parse().unwrap();
        let listener = TcpListener::from_std(listen(port).await).unwrap();
        (node, client, listener)
    }

    /// Is there again, where it was.
    pub(crate) fn back(node: Node, client: LedgerClient, listener: TcpListener) -> Self {
        let (stop, ended) = serve(&node, listener);
        Self { client, node, stop, ended }
    }
}

fn serve(node: &Node, listener: TcpListener) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = node.clone();
    let ended = tokio::spawn(async move {
        let _ = serving
            .serve(listener, async {
                let _ = stopped.await;
            })
            .await;
    });
    (stop, ended)
}

/// A worker on threads of its own. Dropping it is `kill -9`: its connections die with it.
pub(crate) struct RunningWorker {
    pub(crate) worker: Arc<Worker>,
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
    runtime: Option<Runtime>,
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl RunningWorker {
    /// Tells it to close down.
    pub(crate) fn close(&mut self) {
        drop(self.stop.take());
    }

    /// Resolves when it has closed down.
    pub(crate) async fn closed(&mut self) {
        self.ended.take().unwrap().await.unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let ledger = ledger().await;
        let engine = ScriptedEngine::start().await;
        let worker = start(&plan, &ledger.client, &engine).await;
        worker.worker.publish_and_ask(&worker.url).await.unwrap();
        let client = Client::new(3, &ledger.client, &worker.url, worker.worker.address()).await;
        Self { ledger, engine, worker, client }
    }
}

/// Starts a worker, which the ledger may know from before.
pub(crate) async fn start(plan: &Plan, ledger: &LedgerClient, engine: &ScriptedEngine) -> RunningWorker {
    let listener = listen(plan.port).await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let keys = tempfile::tempdir().unwrap();
    let settlement = SettlementPolicy { anchor_delay: Duration::ZERO, poll: plan.poll, ..Default::default() };
    let (session_file, weights) = (keys.path().join("session.key"), keys.path().join("weights"));
    std::fs::write(&weights, WEIGHTS).unwrap();
    // Without an attester that changes nothing.
    let vouched = model(engine, plan.capacity).in_guest(&weights).unwrap();
    tacit_wire::create_key_file(&session_file, &Zeroizing::new(plan.session_key)).unwrap();
    let worker = Worker::open(WorkerConfig {
        wallet: wallet(2),
        sealing: SealingKey::random(),
        audit: AuditKey::random(),
        ledger: ledger.clone(),
        store: Store::with_backend(plan.disk.open()).unwrap(),
        keys: KeyShelf::open(keys.path(), KEY_BYTES_DEFAULT).unwrap(),
        models: Vec::new(),
        languages: core::iter::once(vouched).chain(away(plan)).collect(),
        session: SessionKey::load_or_create(&session_file).unwrap(),
        attester: plan.attester.clone(),
        tokens: None,
        billing: Arc::new(AskedPrice),
        settlement,
        limits: plan.limits,
        clock: Arc::new(WrongClock(Arc::clone(&plan.ahead_s))),
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (ending, ended) = oneshot::channel();
    let serving = Arc::clone(&worker);
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        let stopped = async move {
            let _ = stopped.await;
        };
        let _keys = keys;
        serving.serve(listener, stopped).await.unwrap();
        let _ = ending.send(());
    });
    RunningWorker { worker, url, stop: Some(stop), ended: Some(ended), runtime: Some(runtime) }
}

pub(crate) async fn ledger() -> Ledger {
    ledger_of(ledger_config()).await
}

/// What everybody has at the start.
pub(crate) fn ledger_config() -> NodeConfig {
    let balance = U256::from(Amount::coins(1_000).0);
    let funded: Vec<Address> = (2..6).map(|key| wallet(key).address()).collect();
    NodeConfig::dev(funded.into_iter().map(|address| (address, balance)))
}

pub(crate) async fn ledger_of(config: NodeConfig) -> Ledger {
    let node = Node::open(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, ended) = serve(&node, listener);
    Ledger { client: LedgerClient::connect(&url).await.unwrap(), node, stop, ended }
}

/// The same key again: a wallet cannot be cloned, a test may restart its owner.
pub(crate) fn wallet(number: u8) -> Wallet {
    Wallet::from_hex(&format!("{number:02x}").repeat(32)).unwrap()
}

/// A tokenizer that gives each byte a token, so that a test can count.
pub(crate) fn tokenizer() -> Vec<u8> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let letters = (0..256_u32).map(|byte| if printable(byte) { byte } else { others.next().unwrap() });
    let vocabulary: Map<String, Value> = letters
        .enumerate()
        .map(|(id, letter)| (char::from_u32(letter).unwrap().to_string(), Value::from(id)))
        .collect();
    serde_json::to_vec(&json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []
        }
    }))
    .unwrap()
}

/// The meter of the model.
pub(crate) fn meter() -> &'static Meter {
    static METER: OnceLock<Meter> = OnceLock::new();
    METER.get_or_init(|| Meter::new(&tokenizer(), 4).unwrap())
}

pub(crate) fn manifest() -> LanguageManifest {
    LanguageManifest {
        kind: LanguageKind::Language,
        name: "tiny".to_owned(),
        weights: B256::from(*blake3::hash(WEIGHTS).as_bytes()),
        tokenizer: B256::from(*blake3::hash(&tokenizer()).as_bytes()),
        format: "gguf".to_owned(),
        quantisation: "Q4_1".to_owned(),
        context_tokens: 4096,
        message_tokens: 4,
        licence: "Apache-2.0".to_owned(),
    }
}

/// The manifest of a model whose engine is away.
pub(crate) fn other_manifest(number: usize) -> LanguageManifest {
    LanguageManifest { name: format!("other{number}"), ..manifest() }
}

fn away(plan: &Plan) -> impl Iterator<Item = LanguageModel> {
    plan.away.iter().enumerate().map(|(number, url)| {
        let engine = LanguageEngine::new(url, ENGINE_MODEL).unwrap();
        let manifest = other_manifest(number).write().unwrap().0;
        LanguageModel::new(manifest, tokenizer(), PRICES, 2, engine).unwrap().awaiting_its_engine()
    })
}

pub(crate) fn model_id() -> B256 {
    manifest().write().unwrap().1
}

pub(crate) fn model(engine: &ScriptedEngine, capacity: u32) -> LanguageModel {
    let engine = LanguageEngine::new(&engine.url, ENGINE_MODEL).unwrap();
    LanguageModel::new(manifest().write().unwrap().0, tokenizer(), PRICES, capacity, engine).unwrap()
}

/// A port may take a moment to be free again.
async fn listen(port: u16) -> StdListener {
    for _ in 0..200 {
        if let Ok(listener) = StdListener::bind(("127.0.0.1", port)) {
            listener.set_nonblocking(true).unwrap();
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("port {port} is not free");
}
