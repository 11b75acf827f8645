//! `tacit bench ledger`: what a transaction costs the ledger, and how soon it is final.
//!
//! Nodes are processes of their own on free ports; this one signs beforehand, sends JSON-RPC batches and watches the blocks of
//! a node. A figure of many validators is of all of them together on this machine.

use crate::args::{BenchLedger, Load};
use crate::commands::network;
use crate::failure::{Context, Failure};
use crate::measure::{cpu_us_of, peak_mib_of, round};
use crate::output::Output;
use crate::role::{READY_TIMEOUT, Role};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tacit_abi::receipts;
use tacit_ledger::{Accounts, Alloc, Chain, Entries, Entry, Genesis, Staking};
use tacit_node::{DEV_BALANCE, DEV_BASE_FEE, DEV_GAS_LIMIT};
use tacit_wire::Wallet;
use tacit_wire::http::JsonClient;
use tokio::task::JoinSet;

/// Measures every number of validators under every load.
pub(crate) async fn measure(arguments: &BenchLedger, output: Output) -> Result<Vec<Value>, Failure> {
    let mut lines = Vec::new();
    for validators in &arguments.validators {
        for load in &arguments.loads {
            output.note(format!(
                "measuring {} transactions ({load:?}) with {validators} validators …",
                arguments.transactions
            ));
            lines.push(one(arguments, *validators, *load).await?);
        }
    }
    Ok(lines)
}

async fn one(arguments: &BenchLedger, validators: u16, load: Load) -> Result<Value, Failure> {
    let folder = tempfile::tempdir().failed("cannot_write", "no temporary folder", "set TMPDIR to one")?;
    let wallets = wallets(arguments.accounts)?;
    let starting = Instant::now();
    let nodes = start(folder.path(), validators, arguments.state, &wallets).await?;
    let start_s = starting.elapsed().as_secs_f64();
    let client = JsonClient::new(Duration::from_secs(60)).failed("bench", "no HTTP client", "")?;
    let client = Client { http: client };
    let urls: Vec<String> = nodes.iter().map(Role::url).collect();
    let chain_id = client.number(first(&urls)?, "eth_chainId", json!([])).await?;

    let watcher = Watcher { client: client.clone(), url: first(&urls)?.clone() };
    let mut head = client.number(&watcher.url, "eth_blockNumber", json!([])).await?;
    // Validators find each other first.
    let settled = head + if validators == 0 { 0 } else { SETTLED_BLOCKS };
    let started = Instant::now();
    while head < settled || !client.all_take(&urls).await? {
        if started.elapsed() > STALLED {
            return Err(Failure::new("bench", "the validators make no blocks", "is the machine very busy?"));
        }
        tokio::time::sleep(POLL).await;
        head = client.number(&watcher.url, "eth_blockNumber", json!([])).await?;
    }
    let mut signer = Signer { chain_id, wallets: &wallets, sent: vec![0; wallets.len()] };
    let token = match load {
        Load::Erc20 => Some(token(&mut signer, &client, &watcher.url).await?),
        Load::Transfer | Load::Module => None,
    };
    let signed = signer.all(arguments, load, token)?;
    head = client.number(&watcher.url, "eth_blockNumber", json!([])).await?;
    let cpu = || nodes.iter().map(|node| node.pid().map_or(0, cpu_us_of)).sum::<u64>();
    let (before, start) = (cpu(), Instant::now());
    let hashes = signed.iter().flatten().map(|transaction| transaction.hash).collect::<Vec<_>>();
    let watching = tokio::spawn(watcher.until_all(head, hashes));
    let sent = send_all(arguments, &client, &urls, signed).await?;
    let accepted_s = start.elapsed().as_secs_f64();
    let seen = watching.await.failed("bench", "the watcher ended early", "")??;
    let mined_s = start.elapsed().as_secs_f64();
    let node_us = cpu() - before;
    let peak_mib = nodes.iter().filter_map(Role::pid).map(peak_mib_of).max().unwrap_or(0);
    for node in nodes {
        node.stop().await;
    }
    let disk_mib = (bytes_in(folder.path()) >> 20) / u64::from(validators.max(1));
    let mut latencies: Vec<f64> = sent
        .iter()
        .filter_map(|(hash, at)| Some(seen.at.get(hash)?.duration_since(*at).as_secs_f64() * 1000.0))
        .collect();
    latencies.sort_by(f64::total_cmp);
    let part = |numerator: usize, denominator: usize| {
        let index = latencies.len().saturating_sub(1) * numerator / denominator;
        round(latencies.get(index).copied().unwrap_or(0.0))
    };
    let count = latencies.len() as f64;
    let per_node = node_us as f64 / count / f64::from(validators.max(1));
    Ok(json!({
        "bench": "ledger", "load": load, "validators": validators, "state": arguments.state,
        "start_s": round(start_s), "disk_mib": disk_mib, "transactions": latencies.len(),
        "accounts": arguments.accounts, "offered_per_s": arguments.rate, "accepted_per_s": (count / accepted_s).round(),
        "mined_per_s": (count / mined_s).round(), "blocks": seen.blocks, "gas_per_transaction": seen.gas / seen.count.max(1),
        "node_cpu_us": round(per_node), "final_ms_p50": part(1, 2), "final_ms_p75": part(3, 4),
        "final_ms_p99": part(99, 100), "wall_ms": round(mined_s * 1000.0), "peak_mib": peak_mib,
    }))
}

/// A ledger in development mode, or validators.
async fn start(data: &Path, validators: u16, state: u64, wallets: &[Wallet]) -> Result<Vec<Role>, Failure> {
    let funded = wallets.iter().flat_map(|wallet| ["--fund".to_owned(), wallet.address().to_string()]);
    if validators == 0 {
        if state > 0 {
            return Err(Failure::new(
                "bad_usage",
                "a development ledger begins with no state",
                "give --validators 1 with --state",
            ));
        }
        let mut arguments: Vec<OsString> =
            ["node", "dev", "--listen", "127.0.0.1:0", "--data"].map(Into::into).into();
        arguments.push(data.join("ledger").into());
        arguments.extend(funded.map(OsString::from));
        return Ok(vec![Role::start("ledger", &arguments).await?]);
    }
    let network = data.join("network");
    let beginning: Vec<OsString> = if state == 0 {
        funded.map(OsString::from).collect()
    } else {
        let path = data.join("genesis.jsonl");
        let file = File::create(&path).failed("cannot_write", path.display(), "")?;
        network::write_to(file, &genesis(state, wallets), &path)?;
        vec!["--from".into(), path.into()]
    };
    let program = std::env::current_exe().failed("no_program", "cannot find this program", "")?;
    let count = usize::from(validators);
    let written = tokio::process::Command::new(program)
        .args(["--json", "node", "init-network", "--validators", &validators.to_string()])
        .args(["--port", &free_ports(count)?.to_string(), "--rpc-port", &free_ports(count)?.to_string()])
        .arg("--output")
        .arg(&network)
        .args(beginning)
        .output()
        .await
        .failed("cannot_start", "cannot write the network", "")?;
    if !written.status.success() {
        let said = String::from_utf8_lossy(&written.stdout).into_owned();
        return Err(Failure::new("cannot_start", format!("the network was not written: {said}"), ""));
    }
    // Together: each waits a moment for the others.
    let most = READY_TIMEOUT.saturating_add(Duration::from_micros(READING_US.saturating_mul(state)));
    let mut starting = JoinSet::new();
    for index in 1..=count {
        let config = network.join(format!("validator-{index}")).join("validator.toml");
        starting.spawn(async move {
            Role::start_within(most, "validator", &["node".into(), "run".into(), config.into()]).await
        });
    }
    let mut nodes = Vec::with_capacity(count);
    while let Some(node) = starting.join_next().await {
        nodes.push(node.failed("cannot_start", "a validator", "")??);
    }
    Ok(nodes)
}

/// The first of `count` ports in a row that nobody listens on now, below those that the system gives to connections.
fn free_ports(count: usize) -> Result<u16, Failure> {
    for _ in 0..PORT_TRIES {
        let first = PORTS.start + rand::random::<u16>() % (PORTS.end - PORTS.start);
        let free = |offset: usize| {
            let port = u16::try_from(offset).ok().and_then(|offset| first.checked_add(offset));
            port.is_some_and(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        };
        if (0..count).all(free) {
            return Ok(first);
        }
    }
    Err(Failure::new("cannot_listen", format!("no {count} free ports in a row"), "try again"))
}

/// Wallets whose keys are hashes of their numbers: nothing in them is worth hiding.
fn wallets(count: usize) -> Result<Vec<Wallet>, Failure> {
    let wallet = |index: usize| {
        let key = keccak256(format!("tacit bench ledger {index}"));
        Wallet::from_hex(&key.to_string()).ok_or_else(|| Failure::new("bench", "a hash that is no key", ""))
    };
    (0..count).map(wallet).collect()
}

/// An account that is only ever paid: the `index`-th of a large state, in order of addresses, all of them before any wallet's.
fn bystander(index: u64) -> Address {
    let (mut address, hash) = (Address::ZERO, keccak256(index.to_be_bytes()));
    let bytes = index.to_be_bytes().into_iter().chain(hash.0);
    address.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    address
}

/// A first state of `state` accounts beside the wallets.
fn genesis(state: u64, wallets: &[Wallet]) -> Genesis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let wallets = wallets.iter().map(Wallet::address).collect();
    Genesis {
        chain: Chain {
            chain_id: CHAIN_ID,
            gas_limit: DEV_GAS_LIMIT,
            base_fee_floor: DEV_BASE_FEE,
            certifier: None,
        },
        timestamp: now,
        base_fee: DEV_BASE_FEE,
        extra_data: Bytes::new(),
        alloc: Alloc::Kept(Arc::new(Crowd { state, wallets })),
        first_state: None,
        staking: Staking::default(),
        origin: None,
    }
}

/// Accounts made as they are read: they may not fit into memory.
#[derive(Debug)]
struct Crowd {
    state: u64,
    wallets: BTreeSet<Address>,
}

impl Accounts for Crowd {
    fn entries(&self) -> Entries<'_> {
        let account = |(address, balance)| Entry::Account { address, balance, nonce: 0, code: Bytes::new() };
        let bystanders = (0..self.state).map(|index| (bystander(index), U256::ONE));
        let wallets = self.wallets.iter().map(|wallet| (*wallet, DEV_BALANCE));
        Box::new(bystanders.chain(wallets).map(account).map(Ok))
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// A transaction, ready to go.
struct Signed {
    hash: B256,
    raw: Bytes,
}

/// Signs for all wallets, each with its next nonce.
struct Signer<'a> {
    chain_id: u64,
    wallets: &'a [Wallet],
    sent: Vec<u64>,
}

impl Signer<'_> {
    fn sign(&mut self, sender: usize, draft: TxEip1559) -> Result<Signed, Failure> {
        let unknown = || Failure::new("bench", "no such wallet", "");
        let wallet = self.wallets.get(sender).ok_or_else(unknown)?;
        let nonce = self.sent.get_mut(sender).ok_or_else(unknown)?;
        let transaction = TxEip1559 { chain_id: self.chain_id, nonce: *nonce, ..draft };
        *nonce += 1;
        let signature = wallet.sign_digest(transaction.signature_hash());
        let signature = Signature::try_from(&signature[..]).failed("bench", "signing", "")?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok(Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
    }

    /// Transactions in lanes, one sender's all in one lane and in order.
    fn all(
        &mut self,
        arguments: &BenchLedger,
        load: Load,
        token: Option<Address>,
    ) -> Result<Vec<Vec<Signed>>, Failure> {
        let mut lanes: Vec<Vec<Signed>> = (0..arguments.in_flight).map(|_| Vec::new()).collect();
        for index in 0..arguments.transactions {
            let sender = index % self.wallets.len();
            let next = self.wallets.get((sender + 1) % self.wallets.len());
            let to = match (index as u64).wrapping_mul(SCATTER).checked_rem(arguments.state) {
                Some(index) => bystander(index),
                None => next.map_or(Address::ZERO, Wallet::address),
            };
            let lane = sender % lanes.len();
            let signed = self.sign(sender, draft(to, index, load, token))?;
            if let Some(lane) = lanes.get_mut(lane) {
                lane.push(signed);
            }
        }
        Ok(lanes)
    }
}

fn draft(to: Address, index: usize, load: Load, token: Option<Address>) -> TxEip1559 {
    match (load, token) {
        (Load::Erc20, Some(token)) => {
            call(token, 80_000, transferCall { to, amount: U256::ONE }.abi_encode())
        }
        (Load::Module, _) => {
            let root = keccak256(index.to_be_bytes());
            let input = receipts::IReceipts::anchorCall { root, count: 1 }.abi_encode();
            call(receipts::ADDRESS, 120_000, input)
        }
        (Load::Transfer | Load::Erc20, _) => TxEip1559 { value: U256::ONE, ..call(to, 21_000, Vec::new()) },
    }
}

fn call(to: Address, gas_limit: u64, input: Vec<u8>) -> TxEip1559 {
    TxEip1559 {
        gas_limit,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(to),
        input: input.into(),
        ..TxEip1559::default()
    }
}

/// Deploys a token, and gives every wallet some of it.
async fn token(signer: &mut Signer<'_>, client: &Client, url: &str) -> Result<Address, Failure> {
    let owner = signer.wallets.first().map_or(Address::ZERO, Wallet::address);
    let nonce = signer.sent.first().copied().unwrap_or(0);
    let code = hex::decode(ERC20.trim()).failed("bench", "the token's code", "")?;
    let made = ("Bench".to_owned(), "B".to_owned(), U256::MAX >> 1, owner);
    let deploy = TxEip1559 {
        to: TxKind::Create,
        gas_limit: 3_000_000,
        ..call(owner, 0, [code, made.abi_encode_params()].concat())
    };
    let token = owner.create(nonce);
    let mut setup = vec![signer.sign(0, deploy)?];
    for index in 1..signer.wallets.len() {
        let to = signer.wallets.get(index).map_or(Address::ZERO, Wallet::address);
        let share = transferCall { to, amount: U256::ONE << 128 };
        setup.push(signer.sign(0, call(token, 80_000, share.abi_encode()))?);
    }
    let head = client.number(url, "eth_blockNumber", json!([])).await?;
    client.send(url, &setup).await?;
    let hashes = setup.iter().map(|sent| sent.hash).collect();
    Watcher { client: client.clone(), url: url.to_owned() }.until_all(head, hashes).await?;
    let last = setup.last().map(|sent| sent.hash);
    let receipt = client.request(url, "eth_getTransactionReceipt", json!([last])).await?;
    if receipt["status"] == "0x1" {
        Ok(token)
    } else {
        Err(Failure::new("bench", "the token was not deployed", ""))
    }
}

sol! {
    function transfer(address to, uint256 amount) external returns (bool);
}

/// Sends every lane to a node of its own, in turn, and tells when each transaction left.
async fn send_all(
    arguments: &BenchLedger,
    client: &Client,
    urls: &[String],
    lanes: Vec<Vec<Signed>>,
) -> Result<Vec<(B256, Instant)>, Failure> {
    let start = Instant::now();
    let rate = arguments.rate / arguments.in_flight as f64;
    let mut sending = JoinSet::new();
    for (lane, url) in lanes.into_iter().zip(urls.iter().cycle()) {
        let (client, url, batch) = (client.clone(), url.clone(), arguments.batch);
        sending.spawn(async move {
            let mut sent = Vec::with_capacity(lane.len());
            for transactions in lane.chunks(batch) {
                if rate > 0.0 {
                    let due = Duration::from_secs_f64(sent.len() as f64 / rate);
                    tokio::time::sleep_until((start + due).into()).await;
                }
                let now = Instant::now();
                client.send(&url, transactions).await?;
                sent.extend(transactions.iter().map(|transaction| (transaction.hash, now)));
            }
            Ok::<_, Failure>(sent)
        });
    }
    let mut all = Vec::with_capacity(arguments.transactions);
    while let Some(lane) = sending.join_next().await {
        all.extend(lane.failed("bench", "a sender ended early", "")??);
    }
    Ok(all)
}

#[derive(Clone)]
struct Client {
    http: JsonClient,
}

impl Client {
    async fn request(&self, url: &str, method: &str, params: Value) -> Result<Value, Failure> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value =
            self.http.post(url, &body, ANSWER_BYTES_MAX).await.failed("bench", "the node", "")?;
        match answer.get("error") {
            None => Ok(answer["result"].clone()),
            Some(error) => Err(Failure::new("bench", format!("the node refused {method}: {error}"), "")),
        }
    }

    /// Whether every node has its network's blocks, and takes transactions.
    async fn all_take(&self, urls: &[String]) -> Result<bool, Failure> {
        for url in urls {
            if self.request(url, "eth_syncing", json!([])).await? != json!(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn number(&self, url: &str, method: &str, params: Value) -> Result<u64, Failure> {
        quantity(&self.request(url, method, params).await?)
    }

    async fn send(&self, url: &str, transactions: &[Signed]) -> Result<(), Failure> {
        let batch: Vec<Value> = transactions
            .iter()
            .enumerate()
            .map(|(id, signed)| {
                json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [signed.raw]})
            })
            .collect();
        let answers: Vec<Value> =
            self.http.post(url, &batch, ANSWER_BYTES_MAX).await.failed("bench", "the node", "")?;
        match answers.iter().find_map(|answer| answer.get("error")) {
            None => Ok(()),
            Some(error) => Err(Failure::new(
                "bench",
                format!("the node refused a transaction: {error}"),
                "offer fewer with --rate, or send from more --accounts",
            )),
        }
    }
}

/// When each transaction was first seen in a block.
struct Seen {
    at: HashMap<B256, Instant>,
    blocks: u64,
    gas: u64,
    count: u64,
}

struct Watcher {
    client: Client,
    url: String,
}

impl Watcher {
    async fn until_all(self, mut head: u64, awaited: Vec<B256>) -> Result<Seen, Failure> {
        let awaited: Arc<std::collections::HashSet<B256>> = Arc::new(awaited.into_iter().collect());
        let mut seen = Seen { at: HashMap::with_capacity(awaited.len()), blocks: 0, gas: 0, count: 0 };
        let mut last = Instant::now();
        while seen.at.len() < awaited.len() {
            tokio::time::sleep(POLL).await;
            let newest = self.client.number(&self.url, "eth_blockNumber", json!([])).await?;
            let now = Instant::now();
            while head < newest {
                head += 1;
                let number = format!("{head:#x}");
                let block =
                    self.client.request(&self.url, "eth_getBlockByNumber", json!([number, false])).await?;
                let hashes = block["transactions"].as_array().map(Vec::as_slice).unwrap_or_default();
                let hashes = hashes.iter().filter_map(|hash| hash.as_str()?.parse::<B256>().ok());
                for hash in hashes.filter(|hash| awaited.contains(hash)) {
                    seen.at.insert(hash, now);
                    last = now;
                }
                seen.blocks += 1;
                seen.gas += quantity(&block["gasUsed"])?;
                seen.count = seen.at.len() as u64;
            }
            if last.elapsed() > STALLED {
                let missing = awaited.len() - seen.at.len();
                return Err(Failure::new(
                    "bench",
                    format!("{missing} transactions are in no block"),
                    "is the machine very busy?",
                ));
            }
        }
        Ok(seen)
    }
}

fn quantity(value: &Value) -> Result<u64, Failure> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Failure::new("bench", format!("the node says {value} where a number belongs"), ""))
}

fn first(urls: &[String]) -> Result<&String, Failure> {
    urls.first().ok_or_else(|| Failure::new("bench", "no node", ""))
}

/// Creation code of OpenZeppelin's `ERC20PresetFixedSupply`, as npm's `@openzeppelin/contracts` 4.9.6 (MIT) has it compiled.
const ERC20: &str = include_str!("../../data/erc20.hex");
/// Of the networks made here.
const CHAIN_ID: u64 = 1337;
/// A prime, so that payments in turn are far from one another.
const SCATTER: u64 = 2_654_435_761;
const ANSWER_BYTES_MAX: usize = 64 << 20;
const SETTLED_BLOCKS: u64 = 5;
const POLL: Duration = Duration::from_millis(5);
const STALLED: Duration = Duration::from_secs(60);
/// Ten times what a validator takes to read an account and store it twice.
const READING_US: u64 = 100;
const PORTS: core::ops::Range<u16> = 10_240..32_000;
const PORT_TRIES: usize = 100;
