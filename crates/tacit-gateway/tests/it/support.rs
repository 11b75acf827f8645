//! The cast: a ledger, workers, gateways, and a small committed model.

use std::{
    net::TcpListener as StdListener,
    sync::{Arc, OnceLock},
};

use alloy_primitives::{Address, B256, U256};
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::server::EncryptedModel;
use tacit_gateway::{
    AskRequest, Attestation, AuditPolicy, CanaryPolicy, DoorConfig, Gateway, GatewayConfig, Input, Spending,
    Store as GatewayStore, UnlinkablePolicy,
};
use tacit_graph::{Model, synthetic_mlp};
use tacit_modules::validators::Founder;
use tacit_node::{Node, NodeConfig};
use tacit_prove::{CommittedModel, Hiding, Seed};
use tacit_verify::SecurityBits;
use tacit_wire::{Amount, AuditKey, LedgerClient, Output, SealingKey, Wallet, session::SessionKey};
use tacit_worker::{
    AskedPrice, Attester, Billing, Clock, Engine, GraphEngine, KEY_BYTES_DEFAULT, KeyShelf, LanguageModel,
    Limits, Openings, ServedModel, SettlementPolicy, Store as WorkerStore, SystemClock, TokenSale, Worker,
    WorkerConfig,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

use crate::disk::Disk;

pub(crate) const PRICE: Amount = Amount(200_000_000_000_000);
pub(crate) const FEATURES: usize = 6;
/// Openings that the hiding commitment of the tests is made for.
pub(crate) const OPENINGS: u32 = 64;

/// A ledger that stops when dropped.
pub(crate) struct Ledger {
    pub(crate) client: LedgerClient,
    _node: Node,
    _stop: oneshot::Sender<()>,
}

/// A served process. Dropping it is `kill -9`: its connections die with it.
pub(crate) struct Server {
    pub(crate) url: String,
    runtime: Option<Runtime>,
}

impl Server {
    /// Runs `serving` on `listener` until dropped.
    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(
        listener: StdListener,
        serving: impl FnOnce(TcpListener) -> F + Send + 'static,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move { serving(TcpListener::from_std(listener).unwrap()).await });
        Self { url, runtime: Some(runtime) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A worker at an address.
pub(crate) struct RunningWorker {
    pub(crate) worker: Arc<Worker>,
    pub(crate) server: Server,
    _keys: Arc<tempfile::TempDir>,
}

impl Ledger {
    /// Lets so much time pass on the ledger.
    pub(crate) async fn wait_s(&self, seconds: u64) {
        self.tell("evm_increaseTime", serde_json::json!([seconds])).await;
        self.tell("evm_mine", serde_json::json!([])).await;
    }

    /// The next block is of this time, which may be long ago; those after it are of theirs.
    pub(crate) async fn next_block_at(&self, time_s: u64) {
        self.tell("evm_setNextBlockTimestamp", serde_json::json!([time_s])).await;
    }

    async fn tell(&self, method: &str, params: serde_json::Value) {
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply = reqwest::Client::new().post(self.client.url()).json(&body).send().await.unwrap();
        let reply: serde_json::Value = reply.json().await.unwrap();
        assert!(reply.get("error").is_none(), "{reply}");
    }
}

pub(crate) async fn ledger(funded: &[Address]) -> Ledger {
    ledger_of(NodeConfig::dev(balances(funded))).await
}

/// A ledger on which the stake of one validator decides.
pub(crate) async fn ledger_staked(funded: &[Address], key: B256, owner: Address) -> Ledger {
    let mut config = NodeConfig::dev(balances(funded));
    let stake = Amount::coins(100).0;
    config.genesis.staking.founders.push(Founder { key, owner, stake, payer: None });
    ledger_of(config).await
}

fn balances(funded: &[Address]) -> Vec<(Address, U256)> {
    let balance = U256::from(Amount::coins(1_000).0);
    funded.iter().map(|address| (*address, balance)).collect()
}

async fn ledger_of(config: NodeConfig) -> Ledger {
    let node = Node::open(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = node.clone();
    tokio::spawn(async move {
        let _ = serving
            .serve(listener, async {
                let _ = stopped.await;
            })
            .await;
    });
    let client = LedgerClient::connect(&url).await.unwrap();
    Ledger { client, _node: node, _stop: stop }
}

/// The same key again: a wallet cannot be cloned, a test may restart its owner.
pub(crate) fn wallet(number: u8) -> Wallet {
    Wallet::from_hex(&format!("{number:02x}").repeat(32)).unwrap()
}

/// The small model that most tests ask.
pub(crate) fn model() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| commit(1)))
}

/// Another model of the same shape.
pub(crate) fn other_model() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| commit(2)))
}

/// The small model with names for its features: three numbers and a column of three kinds.
pub(crate) fn named_model() -> Arc<CommittedModel> {
    let small = model();
    let mut graph = small.model().graph().clone();
    let names = ["age", "months", "amount", "purpose=car", "purpose=roof", "purpose=other"];
    for (feature, name) in graph.features.iter_mut().zip(names) {
        feature.name = name.to_owned();
    }
    let model = Model::new(graph, small.model().weights().clone()).unwrap();
    Arc::new(CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap())
}

/// The small model behind a commitment that hides, with so many openings spent.
pub(crate) fn hiding_model(openings_used: u32) -> Arc<CommittedModel> {
    let hiding = Hiding { openings_max: OPENINGS, openings_used, seed: Seed::new([7; 32]) };
    let model = model().model().clone();
    Arc::new(CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).unwrap())
}

/// Counts openings where a restart does not find them.
pub(crate) struct Uncounted;

impl Openings for Uncounted {
    fn record(&self, _: u32) -> std::io::Result<()> {
        Ok(())
    }
}

fn commit(seed: u64) -> Arc<CommittedModel> {
    let features = u32::try_from(FEATURES).unwrap();
    let model = synthetic_mlp(&[features, 8, 3], seed).unwrap();
    Arc::new(CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap())
}

/// A linear model: one that can be asked under encryption.
pub(crate) fn linear_model() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| commit_linear(3)))
}

/// Another linear model of the same shape.
pub(crate) fn other_linear_model() -> Arc<CommittedModel> {
    static MODEL: OnceLock<Arc<CommittedModel>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| commit_linear(4)))
}

fn commit_linear(seed: u64) -> Arc<CommittedModel> {
    let model = synthetic_mlp(&[u32::try_from(FEATURES).unwrap(), 3], seed).unwrap();
    Arc::new(CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap())
}

/// The honest engine of a linear model.
pub(crate) fn encrypted_engine(model: &Arc<CommittedModel>) -> GraphEngine {
    let encrypted = EncryptedModel::new(model.model()).unwrap();
    GraphEngine::new(Arc::clone(model)).encrypted(encrypted)
}

/// The honest offer of the linear model, encrypted too.
pub(crate) fn honest_encrypted() -> ServedModel {
    let model = linear_model();
    served(&model, "linear", Arc::new(encrypted_engine(&model)), PRICE)
}

/// The logits of an output that is not encrypted.
pub(crate) fn logits(output: &mut Output) -> &mut Vec<i32> {
    match output {
        Output::Logits(logits) => logits,
        Output::Ciphertext(_) => panic!("not logits"),
    }
}

/// The model with an engine, in every mode that the engine does.
pub(crate) fn served(
    model: &Arc<CommittedModel>,
    name: &str,
    engine: Arc<dyn Engine>,
    price: Amount,
) -> ServedModel {
    let mut served = ServedModel::new(name, model.model().graph(), model.weight_root(), engine).unwrap();
    for privacy in [Privacy::Clear, Privacy::Sealed] {
        for evidence in [Evidence::Signed, Evidence::Proved] {
            served = served.ask(privacy, evidence, price);
        }
    }
    for evidence in [Evidence::Signed, Evidence::Audited] {
        served = served.ask(Privacy::Encrypted, evidence, price);
    }
    served
}

/// The honest offer of the small model.
pub(crate) fn honest() -> ServedModel {
    served(&model(), "small", Arc::new(GraphEngine::new(model())), PRICE)
}

/// How to start a worker.
pub(crate) struct WorkerPlan {
    pub(crate) key: u8,
    pub(crate) models: Vec<ServedModel>,
    pub(crate) languages: Vec<LanguageModel>,
    pub(crate) attester: Option<Arc<dyn Attester>>,
    pub(crate) billing: Arc<dyn Billing>,
    pub(crate) disk: Disk,
    /// Holds clients' evaluation keys.
    pub(crate) keys: Arc<tempfile::TempDir>,
    pub(crate) sealing: SealingKey,
    pub(crate) audit: AuditKey,
    /// What tokens cost, where some are sold, under a key in the folder of keys.
    pub(crate) token_price: Option<Amount>,
    /// Listens here, so that a restarted worker is found again.
    pub(crate) port: u16,
    pub(crate) settlement: SettlementPolicy,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
}

impl WorkerPlan {
    pub(crate) fn honest(key: u8) -> Self {
        Self {
            key,
            models: vec![honest()],
            languages: Vec::new(),
            attester: None,
            billing: Arc::new(AskedPrice),
            disk: Disk::default(),
            keys: Arc::new(tempfile::tempdir().unwrap()),
            sealing: SealingKey::random(),
            audit: AuditKey::random(),
            token_price: None,
            port: 0,
            settlement: SettlementPolicy { anchor_delay: core::time::Duration::ZERO, ..Default::default() },
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        }
    }

    pub(crate) async fn start(self, ledger: &LedgerClient) -> RunningWorker {
        let running = self.start_quietly(ledger).await;
        running.worker.publish_and_ask(&running.server.url).await.unwrap();
        running
    }

    /// Without publishing: the ledger knows it from before.
    pub(crate) async fn start_quietly(self, ledger: &LedgerClient) -> RunningWorker {
        let listener = listen(self.port).await;
        let worker = Worker::open(WorkerConfig {
            wallet: wallet(self.key),
            sealing: self.sealing,
            audit: self.audit,
            ledger: ledger.clone(),
            store: WorkerStore::with_backend(self.disk.open()).unwrap(),
            keys: KeyShelf::open(self.keys.path(), KEY_BYTES_DEFAULT).unwrap(),
            models: self.models,
            languages: self.languages,
            session: SessionKey::load_or_create(&self.keys.path().join("session.key")).unwrap(),
            attester: self.attester,
            tokens: self.token_price.map(|price| TokenSale::open(self.keys.path(), price).unwrap()),
            billing: self.billing,
            settlement: self.settlement,
            limits: self.limits,
            clock: self.clock,
        })
        .unwrap();
        let serving = Arc::clone(&worker);
        let server = Server::spawn(listener, |listener| async move {
            let _ = serving.serve(listener, core::future::pending()).await;
        });
        RunningWorker { worker, server, _keys: self.keys }
    }
}

/// A port may take a moment to be free again.
pub(crate) async fn listen(port: u16) -> StdListener {
    for _ in 0..200 {
        if let Ok(listener) = StdListener::bind(("127.0.0.1", port)) {
            listener.set_nonblocking(true).unwrap();
            return listener;
        }
        tokio::time::sleep(core::time::Duration::from_millis(20)).await;
    }
    panic!("port {port} is not free");
}

pub(crate) fn gateway_on(ledger: &LedgerClient, key: u8, disk: &Disk) -> Arc<Gateway> {
    gateway_with(ledger, key, disk, CanaryPolicy::default())
}

pub(crate) fn gateway_with(
    ledger: &LedgerClient,
    key: u8,
    disk: &Disk,
    canaries: CanaryPolicy,
) -> Arc<Gateway> {
    auditing_gateway(ledger, key, disk, canaries, AuditPolicy::default())
}

pub(crate) fn auditing_gateway(
    ledger: &LedgerClient,
    key: u8,
    disk: &Disk,
    canaries: CanaryPolicy,
    audits: AuditPolicy,
) -> Arc<Gateway> {
    let config = config(ledger, key, disk);
    Gateway::open(GatewayConfig { canaries, audits, ..config }).unwrap()
}

/// A gateway that asks guests.
pub(crate) fn gateway_judging(
    ledger: &LedgerClient,
    key: u8,
    disk: &Disk,
    attestation: Attestation,
) -> Arc<Gateway> {
    let config = config(ledger, key, disk);
    Gateway::open(GatewayConfig { attestation: Some(attestation), ..config }).unwrap()
}

/// A gateway that asks through a relay where it is asked to, and buys tokens under any key.
pub(crate) fn unlinkable_gateway(
    ledger: &LedgerClient,
    key: u8,
    disk: &Disk,
    unlinkable: UnlinkablePolicy,
) -> Arc<Gateway> {
    let config = config(ledger, key, disk);
    Gateway::open(GatewayConfig { unlinkable, ..config }).unwrap()
}

fn config(ledger: &LedgerClient, key: u8, disk: &Disk) -> GatewayConfig {
    GatewayConfig {
        wallet: wallet(key),
        ledger: ledger.clone(),
        store: GatewayStore::with_backend(disk.open()).unwrap(),
        spending: Spending::default(),
        canaries: CanaryPolicy::default(),
        audits: AuditPolicy::default(),
        unlinkable: UnlinkablePolicy::default(),
        door: DoorConfig::default(),
        attestation: None,
    }
}

pub(crate) fn gateway(ledger: &LedgerClient, key: u8) -> Arc<Gateway> {
    gateway_on(ledger, key, &Disk::default())
}

/// A question whose numbers depend on `seed`.
pub(crate) fn question(seed: u64) -> AskRequest {
    let data: Vec<f64> = (0..FEATURES as u64).map(|index| ((seed * 31 + index * 17) % 128) as f64).collect();
    AskRequest::new("small", Input::from_floats(&[FEATURES as u64], &data).unwrap())
}

/// The same question for the linear model, under encryption.
pub(crate) fn encrypted_question(seed: u64) -> AskRequest {
    AskRequest { model: "linear".to_owned(), privacy: Privacy::Encrypted, ..question(seed) }
}

/// The label that the graph gives, computed here.
pub(crate) fn expected_label(request: &AskRequest) -> String {
    let model = if request.model == "linear" { linear_model() } else { model() };
    let values = request.input.values(model.model().graph()).unwrap();
    let encoded = model.model().graph().encode_input(&values).unwrap();
    let trace = tacit_graph::execute(model.model(), &encoded, 1).unwrap();
    model.model().graph().decode_output(&trace.logits()).unwrap().to_string()
}
