//! What goes wrong between a real gateway and a real worker, on a real ledger: whoever dies, goes away or has a wrong clock, nobody loses more than a chunk, and the coins add up.

use core::time::Duration;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alloy_primitives::{Address, B256, U256};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use reqwest::Response as Reply;
use serde_json::{Value, json};
use tacit_abi::channels;
use tacit_gateway::{DoorConfig, Gateway, Spending};
use tacit_node::{Node, NodeConfig};
use tacit_wire::{
    Amount, LedgerClient,
    language::{LanguageKind, TokenPrices},
    stream::Account,
};
use tacit_worker::{Clock, LanguageEngine, LanguageModel, Limits, SystemClock};
use tokio::sync::Semaphore;

use crate::{
    disk::Disk,
    openai::{client, code, header, hello, open},
    reference::{PRICES, byte_tokenizer, event, manifest},
    support::{RunningWorker, Server, WorkerPlan, listen, wallet},
};

/// A request, a prompt of 4 and 2 tokens.
const HELLO: u128 = 1_000 + 6 * 100;
/// 32 tokens of a completion.
const CHUNK: u128 = 32_000;
const DEPOSIT: Amount = Amount(10_000_000);
const WORKER: u8 = 1;

/// A ledger that can be away: its state stays, nobody answers.
struct Ledger {
    client: LedgerClient,
    node: Node,
    port: u16,
    server: Option<Server>,
}

impl Ledger {
    async fn start() -> Self {
        let balance = U256::from(Amount::coins(1_000).0);
        let funded = [1, 2, 3].map(|key| (wallet(key).address(), balance));
        let node = Node::open(NodeConfig::dev(funded)).unwrap();
        let server = Self::serve(&node, 0).await;
        let client = LedgerClient::connect(&server.url).await.unwrap();
        let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
        Self { client, node, port, server: Some(server) }
    }

    async fn serve(node: &Node, port: u16) -> Server {
        let node = node.clone();
        Server::spawn(listen(port).await, |listener| async move {
            let _ = node.serve(listener, core::future::pending()).await;
        })
    }

    fn goes_away(&mut self) {
        self.server = None;
    }

    async fn comes_back(&mut self) {
        self.server = Some(Self::serve(&self.node, self.port).await);
    }
}

/// An engine that says `four`, a token a letter, as often as a test lets it.
#[derive(Clone)]
pub(crate) struct Engine {
    words: Arc<Semaphore>,
    /// Words of an answer.
    most: usize,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Engine {
    pub(crate) async fn start(most: usize) -> (Self, Server) {
        let engine = Self { words: Arc::new(Semaphore::new(0)), most, asked: Arc::default() };
        let models = Json(json!({"object": "list", "data": [{"id": "talk"}]}));
        let router = Router::new()
            .route("/v1/models", get(move || async move { models }))
            .route("/v1/chat/completions", post(answer))
            .with_state(engine.clone());
        let server = Server::spawn(listen(0).await, |listener| async move {
            axum::serve(listener, router).await.unwrap();
        });
        (engine, server)
    }

    pub(crate) fn say(&self, words: usize) {
        self.words.add_permits(words);
    }
}

async fn answer(State(engine): State<Engine>) -> Response {
    engine.asked.fetch_add(1, Ordering::SeqCst);
    let words = futures::stream::unfold((engine, 0), |(engine, said)| async move {
        if said > engine.most {
            return None;
        }
        let piece = if said == engine.most {
            b"data: [DONE]\n\n".to_vec()
        } else {
            engine.words.acquire().await.unwrap().forget();
            event("four")
        };
        Some((Ok::<_, core::convert::Infallible>(Bytes::from(piece)), (engine, said + 1)))
    });
    (StatusCode::OK, [(CONTENT_TYPE, "text/event-stream")], Body::from_stream(words)).into_response()
}

/// A clock that is wrong by some seconds.
struct WrongClock(i64);

impl Clock for WrongClock {
    fn unix_time_s(&self) -> u64 {
        SystemClock.unix_time_s().saturating_add_signed(self.0)
    }
}

/// How a worker is started.
struct Plan {
    prices: TokenPrices,
    limits: Limits,
    ahead_s: i64,
    disk: Disk,
    port: u16,
    keys: Arc<tempfile::TempDir>,
}

impl Default for Plan {
    fn default() -> Self {
        let (disk, keys) = (Disk::default(), Arc::new(tempfile::tempdir().unwrap()));
        Self { prices: PRICES, limits: Limits::default(), ahead_s: 0, disk, port: 0, keys }
    }
}

struct Stage {
    ledger: Ledger,
    engine: Engine,
    engine_server: Server,
    worker: RunningWorker,
    plan: Plan,
    gateway: Arc<Gateway>,
    server: Server,
    disk: Disk,
}

fn spending() -> Spending {
    Spending { max_price_default: Amount(5_000_000), deposit: DEPOSIT, ..Spending::default() }
}

fn door() -> DoorConfig {
    DoorConfig { patience: Duration::from_secs(20), ..DoorConfig::default() }
}

async fn start_worker(ledger: &LedgerClient, engine: &Server, plan: &Plan) -> RunningWorker {
    let tokenizer = byte_tokenizer();
    let manifest = manifest(LanguageKind::Language, &tokenizer);
    let bytes = manifest.write().unwrap().0;
    let engine = LanguageEngine::new(&engine.url, "talk").unwrap();
    let plan = WorkerPlan {
        models: Vec::new(),
        languages: vec![LanguageModel::new(bytes, tokenizer, plan.prices, 16, engine).unwrap()],
        disk: plan.disk.clone(),
        keys: Arc::clone(&plan.keys),
        port: plan.port,
        limits: plan.limits,
        clock: Arc::new(WrongClock(plan.ahead_s)),
        ..WorkerPlan::honest(WORKER)
    };
    plan.start(ledger).await
}

impl Stage {
    async fn new(words: usize, plan: Plan) -> Self {
        let ledger = Ledger::start().await;
        let (engine, engine_server) = Engine::start(words).await;
        let worker = start_worker(&ledger.client, &engine_server, &plan).await;
        let disk = Disk::default();
        let (gateway, server) = open(&ledger.client, &disk, spending(), door()).await;
        Self { ledger, engine, engine_server, worker, plan, gateway, server, disk }
    }

    async fn ask(&self, extra: Value) -> Reply {
        let url = format!("{}/v1/chat/completions", self.server.url);
        client().post(url).json(&hello(extra)).send().await.unwrap()
    }

    /// Asks for words that come at once, and gives what the answer cost.
    async fn ask_and_read(&self) -> u128 {
        self.engine.say(self.engine.most);
        let reply = self.ask(json!({})).await;
        if reply.status() != 200 {
            panic!("{}", reply.text().await.unwrap());
        }
        let price: Amount = header(&reply, "x-tacit-price").parse().unwrap();
        reply.bytes().await.unwrap();
        price.0
    }

    /// Kills the worker and starts it again on what it had written.
    async fn restart_worker(&mut self, prices: TokenPrices) {
        let port = self.worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
        self.plan = Plan { port, prices, ..core::mem::take(&mut self.plan) };
        let Self { ledger, engine_server, plan, .. } = self;
        let parked = Server::spawn(listen(0).await, |_| async {});
        drop(core::mem::replace(&mut self.worker.server, parked));
        self.worker = start_worker(&ledger.client, engine_server, plan).await;
    }

    async fn restart_gateway(&mut self) {
        let parked = Server::spawn(listen(0).await, |_| async {});
        drop(core::mem::replace(&mut self.server, parked));
        let (gateway, server) = open(&self.ledger.client, &self.disk, spending(), door()).await;
        (self.gateway, self.server) = (gateway, server);
    }

    fn channel_id(&self) -> B256 {
        let channels = self.gateway.channels().unwrap();
        assert_eq!(channels.len(), 1, "the same channel all the time");
        channels[0].channel_id
    }

    async fn account(&self) -> Account {
        let url = format!("{}/v1/accounts/{}", self.worker.server.url, self.channel_id());
        client().get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The worker's account once nothing runs and it is so.
    async fn account_when(&self, so: impl Fn(&Account) -> bool) -> Account {
        loop {
            let account = self.account().await;
            if account.running == 0 && so(&account) {
                return account;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Settles, and counts every coin: the channel has paid the worker what was promised, and holds the rest.
    async fn coins_add_up(&self) -> u128 {
        let account = self.account().await;
        self.written(promised(&account)).await;
        let before = self.worker_balance().await;
        let settled_before = self.ledger.client.channel(self.channel_id()).await.unwrap().settled;
        self.worker.worker.settle_all().await.unwrap();
        let channel = self.ledger.client.channel(self.channel_id()).await.unwrap();
        assert_eq!(channel.settled, promised(&account));
        assert_eq!(channel.deposit, DEPOSIT.0);
        let held = self.ledger.client.balance(channels::ADDRESS).await.unwrap();
        assert_eq!(held.0, channel.deposit - channel.settled, "the module holds what is not paid out");
        let gained = channel.settled - settled_before;
        // Gas is the only other thing that it paid.
        assert!(self.worker_balance().await <= before + gained);
        channel.settled
    }

    /// Until what is promised is on the worker's disk: what came in the last tenth of a second may not be.
    async fn written(&self, promised: u128) {
        while self.worker.worker.earnings().unwrap().vouchered != Amount(promised) {
            tokio::task::yield_now().await;
        }
    }

    async fn worker_balance(&self) -> u128 {
        self.ledger.client.balance(self.worker_address()).await.unwrap().0
    }

    fn worker_address(&self) -> Address {
        wallet(WORKER).address()
    }
}

fn promised(account: &Account) -> u128 {
    account.voucher.as_ref().map_or(0, |signed| signed.voucher.cumulative)
}

/// Reads until so many words came; gives how many.
async fn read_words(reply: &mut Reply, words: usize) -> usize {
    let mut text = String::new();
    while text.matches("four").count() < words {
        text += core::str::from_utf8(&reply.chunk().await.unwrap().unwrap()).unwrap();
    }
    text.matches("four").count()
}

/// What words cost after the prompt.
fn cost(words: usize) -> u128 {
    HELLO + 4_000 * u128::try_from(words).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_a_stream_loses_and_costs_at_most_a_chunk() {
    let mut stage = Stage::new(100, Plan::default()).await;
    let mut reply = stage.ask(json!({"stream": true})).await;
    stage.engine.say(30);
    let words = read_words(&mut reply, 30).await;
    // What came in the last tenth of a second is not on its disk; what is promised for the rest is.
    while stage.worker.worker.earnings().unwrap().vouchered.0 + CHUNK < cost(words) {
        tokio::task::yield_now().await;
    }
    stage.restart_worker(PRICES).await;
    let rest = reply.text().await.unwrap();
    assert!(rest.contains("broke_off"), "{rest}");
    let words = words + rest.matches("four").count();
    let account = stage.account().await;
    // What was sent and is not promised is the worker's loss, what is promised and did not come the client's.
    let (given, promised) = (cost(words), promised(&account));
    assert!(given <= promised + CHUNK, "the worker lost {given} of {promised}");
    assert!(promised <= given + CHUNK, "the client lost {promised} for {given}");
    assert_eq!(stage.coins_add_up().await, promised);
    // Both go on, on the same channel.
    let price = stage.ask_and_read().await;
    assert_eq!(price, cost(100));
    let account = stage.account_when(|account| self::promised(account) >= account.owed.0).await;
    assert!(account.owed.0 <= promised.max(given) + CHUNK + price);
    stage.coins_add_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_in_a_stream_loses_and_costs_at_most_a_chunk() {
    let mut stage = Stage::new(100, Plan::default()).await;
    let mut reply = stage.ask(json!({"stream": true})).await;
    stage.engine.say(30);
    let words = read_words(&mut reply, 30).await;
    let channel_id = stage.channel_id();
    stage.restart_gateway().await;
    drop(reply);
    // The worker notices that nobody listens, at the latest when it has more to say.
    stage.engine.say(1);
    let url = format!("{}/v1/accounts/{channel_id}", stage.worker.server.url);
    let account = loop {
        let account: Account = client().get(&url).send().await.unwrap().json().await.unwrap();
        if account.running == 0 {
            break account;
        }
        tokio::task::yield_now().await;
    };
    assert!(account.owed.0 >= cost(words) && account.owed.0 <= cost(words + 1));
    assert!(account.owed.0 <= promised(&account) + CHUNK);
    let owed = account.owed.0;
    let price = stage.ask_and_read().await;
    assert_eq!(price, cost(100));
    // What was owed before is paid as well: the gateway takes the worker's account, which is explained.
    let account = stage.account_when(|account| promised(account) >= owed + price).await;
    assert_eq!(account.owed.0, owed + price);
    assert_eq!(stage.coins_add_up().await, owed + price);
}

/// Within the time that the worker believes what the ledger said, a stream does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_for_a_moment_stops_no_stream_and_loses_nothing() {
    let mut stage = Stage::new(100, Plan::default()).await;
    let mut reply = stage.ask(json!({"stream": true})).await;
    stage.engine.say(5);
    let words = read_words(&mut reply, 5).await;
    stage.ledger.goes_away();
    stage.engine.say(95);
    let rest = reply.text().await.unwrap();
    assert_eq!(words + rest.matches("four").count(), 100);
    assert!(rest.contains(": tacit {"), "{rest}");
    let account = stage.account_when(|account| promised(account) >= account.owed.0).await;
    assert_eq!((account.owed.0, promised(&account)), (cost(100), cost(100)));
    // Nothing can be settled, and nothing is forgotten, over a restart of both either.
    stage.written(cost(100)).await;
    assert!(stage.worker.worker.settle_all().await.is_err());
    stage.ledger.comes_back().await;
    stage.restart_worker(PRICES).await;
    stage.restart_gateway().await;
    assert_eq!(stage.coins_add_up().await, cost(100));
    assert_eq!(stage.ask_and_read().await, cost(100));
    stage.account_when(|account| promised(account) >= account.owed.0).await;
    assert_eq!(stage.coins_add_up().await, 2 * cost(100));
}

/// A ledger that is away for longer than the worker believes what it said last: no voucher is taken that it cannot check, so a stream goes on up to what is promised and a chunk, and ends there.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_for_an_hour_ends_streams_at_a_chunk_and_loses_nothing() {
    // That long after what it said last, from the first moment on.
    let limits =
        Limits { listed_for: Duration::ZERO, unpaid_wait: Duration::from_secs(2), ..Limits::default() };
    let mut stage = Stage::new(100, Plan { limits, ..Plan::default() }).await;
    let mut reply = stage.ask(json!({"stream": true})).await;
    stage.engine.say(5);
    let words = read_words(&mut reply, 5).await;
    // Half a chunk is promised after four words, and nothing more after the fifth.
    let before = loop {
        match promised(&stage.account().await) {
            0 => tokio::task::yield_now().await,
            promised => break promised,
        }
    };
    assert_eq!(before, cost(4));
    stage.ledger.goes_away();
    stage.engine.say(95);
    let rest = reply.text().await.unwrap();
    let words = words + rest.matches("four").count();
    assert!(rest.contains("broke_off") && words < 100, "{words} {rest}");
    let account = stage.account_when(|_| true).await;
    assert_eq!(promised(&account), before);
    assert!(account.owed.0 <= before + CHUNK);
    assert!(account.owed.0 >= cost(words));
    let owed = account.owed.0;
    // New requests are refused, and cost nothing.
    assert_ne!(stage.ask(json!({})).await.status(), 200);
    assert_eq!(stage.account().await.owed.0, owed);
    // It comes back, and everything goes on: what was given is paid, then settled.
    stage.ledger.comes_back().await;
    let price = stage.ask_and_read().await;
    let account = stage.account_when(|account| promised(account) >= account.owed.0).await;
    assert_eq!(account.owed.0, owed + price);
    assert_eq!(stage.coins_add_up().await, owed + price);
}

/// The deposit cannot be taken home before the worker has what was promised of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_closed_pays_first() {
    let stage = Stage::new(50, Plan::default()).await;
    let price = stage.ask_and_read().await;
    stage.account_when(|account| promised(account) >= price).await;
    let channel_id = stage.channel_id();
    let owner = wallet(2);
    stage.ledger.client.request_close(&owner, channel_id).await.unwrap();
    assert!(
        stage.ledger.client.close(&owner, channel_id).await.is_err(),
        "not before the worker had its time"
    );
    stage.written(price).await;
    // Too little to be settled otherwise.
    stage.worker.worker.settle_due().await.unwrap();
    assert_eq!(stage.ledger.client.channel(channel_id).await.unwrap().settled, price);
    assert_eq!(stage.coins_add_up().await, price);
}

/// Two gateways with one key promise the same deposit twice: the worker's account is one, and it gives to both no more than is promised and a chunk.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_is_spent_twice_buys_no_more_than_once() {
    let stage = Stage::new(50, Plan::default()).await;
    let price = stage.ask_and_read().await;
    stage.account_when(|account| promised(account) >= price).await;
    let (other, other_server) = open(&stage.ledger.client, &Disk::default(), spending(), door()).await;
    let mut given = price;
    for turn in 0..6 {
        stage.engine.say(50);
        let url = if turn % 2 == 0 { &other_server.url } else { &stage.server.url };
        let url = format!("{url}/v1/chat/completions");
        let reply = client().post(url).json(&hello(json!({}))).send().await.unwrap();
        if reply.status() == 200 {
            given += price;
        }
        let account = stage.account_when(|_| true).await;
        assert!(account.owed.0 <= promised(&account) + CHUNK, "{account:?}");
        assert!(account.owed.0 >= given, "{account:?} {given}");
    }
    let account = stage.account().await;
    assert!(given <= promised(&account) + CHUNK);
    stage.coins_add_up().await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_was_raised_after_the_client_looked_is_never_charged_unseen() {
    let mut stage = Stage::new(10, Plan::default()).await;
    let before = stage.ask_and_read().await;
    assert_eq!(before, cost(10));
    let dear = TokenPrices { completion: Amount(10 * PRICES.completion.0), ..PRICES };
    // The gateway still believes the old price, for some seconds.
    stage.restart_worker(dear).await;
    stage.engine.say(10);
    let first = stage.ask(json!({})).await;
    let mut charged = before;
    if first.status() == 200 {
        charged += header(&first, "x-tacit-price").parse::<Amount>().unwrap().0;
        assert_eq!(charged, before + HELLO + 400_000, "what the ask says now");
    } else {
        assert_eq!(stage.account().await.owed.0, before);
        // It looked again, and knows the price when it asks the next time.
        let second = stage.ask(json!({})).await;
        let price: Amount = header(&second, "x-tacit-price").parse().unwrap();
        assert_eq!(price.0, HELLO + 400_000);
        charged += price.0;
    }
    let account = stage.account_when(|account| promised(account) >= charged).await;
    assert_eq!(account.owed.0, charged);
    // Whoever said what it may cost is not asked for more.
    let wish = json!({"provider": {"max_price": {"completion": "0.000000002"}}});
    assert_eq!(code(stage.ask(wish).await).await, (404, "no_worker".to_owned()));
    assert_eq!(stage.account().await.owed.0, charged);
    stage.coins_add_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_ten_minutes_open_nothing_and_cost_nothing() {
    for ahead_s in [600, -600] {
        let stage = Stage::new(10, Plan { ahead_s, ..Plan::default() }).await;
        stage.engine.say(10);
        let reply = stage.ask(json!({})).await;
        let status = reply.status();
        let body = reply.text().await.unwrap();
        assert!(status == 502 && body.contains("it is"), "{status} {body}");
        assert_eq!(stage.engine.asked.load(Ordering::SeqCst), 0);
        let channel = stage.ledger.client.channel(stage.channel_id()).await.unwrap();
        assert_eq!((channel.deposit, channel.settled), (DEPOSIT.0, 0));
        assert_eq!(stage.gateway.channels().unwrap()[0].signed, Amount::ZERO);
    }
    for ahead_s in [240, -240] {
        let stage = Stage::new(10, Plan { ahead_s, ..Plan::default() }).await;
        let price = stage.ask_and_read().await;
        stage.account_when(|account| promised(account) >= price).await;
        assert_eq!(stage.coins_add_up().await, price);
    }
}
