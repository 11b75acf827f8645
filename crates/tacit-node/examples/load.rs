//! How fast the node takes transfers, and what each costs it: `load [--txs N] [--batch N] [--inflight N] [--data DIR]`.
//!
//! Signs plain transfers of ten accounts beforehand, starts the node as a process of its own, sends them as JSON-RPC
//! batches over a few connections, and prints one line of JSON. With `--data` every block is on disk before it is
//! acknowledged, without it the chain is in memory. The node's CPU time comes from `/proc` (Linux, 10 ms steps).

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Instant,
};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use serde_json::{Value, json};
use tacit_node::{DEV_CHAIN_ID, Node, NodeConfig, dev_accounts};
use tokio::{net::TcpListener, task::JoinSet};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (mut count, mut batch, mut inflight, mut data, mut serve) =
        (10_000_usize, 100_usize, 4_usize, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--serve" {
            serve = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--txs" => count = value.parse()?,
            "--batch" => batch = value.parse()?,
            "--inflight" => inflight = value.parse()?,
            "--data" => data = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if serve {
        return run_node(data).await;
    }
    let lanes = sign(count, batch.max(1), inflight.clamp(1, 10))?;
    let (mut node, url) = start(data.as_ref())?;
    let result = measure(&url, node.id(), lanes).await;
    node.kill()?;
    node.wait()?;
    let (wall_ms, cpu_us, blocks) = result?;
    let line = json!({
        "bench": "ledger", "txs": count, "batch": batch, "inflight": inflight, "durable": data.is_some(),
        "blocks": blocks, "wall_ms": wall_ms, "tx_per_s": count as u128 * 1000 / wall_ms.max(1),
        "node_cpu_us_per_tx": cpu_us / (count as u64).max(1),
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

async fn run_node(data: Option<PathBuf>) -> Result<(), Failure> {
    let node = Node::open(NodeConfig::dev_with_public_accounts([]).with_data_dir(data))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    node.serve(listener, std::future::pending()).await?;
    Ok(())
}

fn start(data: Option<&PathBuf>) -> Result<(Child, String), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve").stdout(Stdio::piped());
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url)?;
    Ok((child, url.trim().to_owned()))
}

/// Request bodies, in one lane for each connection; an account stays in its lane, so its nonces arrive in order.
fn sign(count: usize, batch: usize, lanes: usize) -> Result<Vec<Vec<String>>, Failure> {
    let accounts = dev_accounts();
    let mut requests = vec![Vec::new(); lanes];
    for (index, account) in accounts.iter().enumerate() {
        let signer = PrivateKeySigner::from_bytes(&account.public_secret)?;
        let share = count / accounts.len() + usize::from(index < count % accounts.len());
        for nonce in 0..share as u64 {
            let transaction = TxEip1559 {
                chain_id: DEV_CHAIN_ID,
                nonce,
                gas_limit: 21_000,
                max_fee_per_gas: 2_000_000_000,
                max_priority_fee_per_gas: 1,
                to: TxKind::Call(accounts[(index + 1) % accounts.len()].address),
                value: U256::from(1),
                ..TxEip1559::default()
            };
            let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
            let signed = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
            let params = [hex::encode_prefixed(signed)];
            requests[index % lanes].push((nonce, json!({ "jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": params })));
        }
    }
    let body = |chunk: &[(u64, Value)]| {
        Value::from_iter(chunk.iter().map(|(_, request)| request.clone())).to_string()
    };
    Ok(requests
        .into_iter()
        .map(|mut lane| {
            lane.sort_by_key(|(nonce, _)| *nonce);
            lane.chunks(batch).map(body).collect()
        })
        .collect())
}

async fn measure(url: &str, pid: u32, lanes: Vec<Vec<String>>) -> Result<(u128, u64, u64), Failure> {
    let http = reqwest::Client::new();
    let (start, cpu) = (Instant::now(), cpu_us(pid)?);
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    for lane in lanes {
        let (http, url) = (http.clone(), url.to_owned());
        tasks.spawn(async move {
            for body in lane {
                let answers: Vec<Value> =
                    serde_json::from_str(&http.post(&url).body(body).send().await?.text().await?)?;
                if let Some(refused) = answers.iter().find(|answer| answer.get("result").is_none()) {
                    return Err(format!("refused: {refused}").into());
                }
            }
            Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    // Each answer came after its block was stored.
    let (wall_ms, cpu) = (start.elapsed().as_millis(), cpu_us(pid)?.saturating_sub(cpu));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber" }).to_string();
    let height: Value = serde_json::from_str(&http.post(url).body(body).send().await?.text().await?)?;
    let digits = height["result"].as_str().and_then(|text| text.strip_prefix("0x")).ok_or("no height")?;
    Ok((wall_ms, cpu, u64::from_str_radix(digits, 16)?))
}

/// User and system time of a process, in steps of a clock tick (a hundredth of a second).
fn cpu_us(pid: u32) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("malformed stat")?.1.split(' ').collect();
    let ticks =
        |index: usize| -> Result<u64, Failure> { Ok(fields.get(index).ok_or("malformed stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) * 10_000)
}
