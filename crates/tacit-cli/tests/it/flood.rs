//! The pool of a validator under a flood, and somebody who wants to pay meanwhile.

use super::roles::Folder;
use super::validators::{Validator, exchange, network, paid, pay, post, wait_for};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex, keccak256};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tacit_ledger::{Chain, Genesis, GenesisAccount, Staking, TRANSACTION_GAS_MAX};
use tacit_node::{DEV_BASE_FEE, DEV_GAS_LIMIT, PoolLimits, write_genesis};
use tacit_wire::Wallet;

const CHAIN_ID: u64 = 82_250;
/// Those who send behind a gap: so many fill the pool.
const GAPPED: usize = 2_048;
/// Those who send what could be mined at once, with all the gas that one may ask for: a block each.
const GREEDY: usize = 64;
/// Those who send as many bytes as a transaction may have: together more than the pool holds.
const LONG: usize = 150;
/// As much as their bytes take.
const LONG_GAS: u64 = 5_100_000;
const COIN: u128 = 1_000_000_000_000_000_000;

fn attacker(index: usize) -> Wallet {
    Wallet::from_hex(&keccak256(format!("flood {index}")).to_string()).unwrap()
}

fn signed(wallet: &Wallet, nonce: u64, change: impl FnOnce(&mut TxEip1559)) -> String {
    let mut transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: u128::from(DEV_BASE_FEE) * 4,
        max_priority_fee_per_gas: 2,
        to: TxKind::Call(Address::repeat_byte(7)),
        ..TxEip1559::default()
    };
    change(&mut transaction);
    let signature = wallet.sign_digest(transaction.signature_hash());
    let signature = Signature::try_from(&signature[..]).unwrap();
    hex::encode_prefixed(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718())
}

/// Sends a batch; gives how many were taken, and how many were refused for which reason.
fn throw(url: &str, transactions: &[String]) -> (usize, BTreeMap<String, usize>) {
    let request =
        |raw| json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]});
    let body = Value::from(transactions.iter().map(request).collect::<Vec<_>>()).to_string();
    let reply = exchange(url, &format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n", body.len()), &body);
    let answers: Vec<Value> = serde_json::from_str(&reply[reply.find('[').unwrap()..]).unwrap();
    let mut refused = BTreeMap::new();
    for answer in &answers {
        if let Some(message) = answer["error"]["message"].as_str() {
            let reason = message.split(':').next().unwrap().to_owned();
            *refused.entry(reason).or_default() += 1;
        }
    }
    (answers.len() - refused.values().sum::<usize>(), refused)
}

fn flood(url: &str, at_once: usize, transactions: &[String]) -> (usize, BTreeMap<String, usize>) {
    let (mut taken, mut refused) = (0, BTreeMap::<String, usize>::new());
    for batch in transactions.chunks(at_once) {
        let (more, reasons) = throw(url, batch);
        taken += more;
        for (reason, count) in reasons {
            *refused.entry(reason).or_default() += count;
        }
    }
    (taken, refused)
}

/// Transactions that could be mined, and those behind gaps.
fn waiting(url: &str) -> (usize, usize) {
    let status = post(url, "txpool_status", json!([]));
    let count = |name: &str| {
        let digits = status[name].as_str().unwrap().trim_start_matches("0x").to_owned();
        usize::from_str_radix(&digits, 16).unwrap()
    };
    (count("pending"), count("queued"))
}

fn pool_bytes(url: &str) -> usize {
    let metrics = exchange(url, "GET /metrics HTTP/1.1\r\n", "");
    let line = metrics.lines().find_map(|line| line.strip_prefix("tacit_waiting_bytes ")).unwrap();
    line.parse().unwrap()
}

/// Most resident memory that a process ever had, in MiB.
fn peak_mib(validator: &Validator) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", validator.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A network whose attackers have a coin each, and whose payer has many.
fn flooded(folder: &Folder) -> Vec<String> {
    let (_, payer) = folder.key("payer.key");
    let rich =
        |coins: u128| GenesisAccount { balance: U256::from(coins * COIN), ..GenesisAccount::default() };
    let attackers = (0..GAPPED + GREEDY + LONG).map(|index| (attacker(index).address(), rich(1)));
    let genesis = Genesis {
        chain: Chain {
            chain_id: CHAIN_ID,
            gas_limit: DEV_GAS_LIMIT,
            base_fee_floor: DEV_BASE_FEE,
            certifier: None,
        },
        timestamp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        base_fee: DEV_BASE_FEE,
        extra_data: Bytes::new(),
        alloc: attackers.chain([(payer.parse().unwrap(), rich(100))]).collect(),
        first_state: None,
        staking: Staking::default(),
        origin: None,
    };
    let path = folder.join("genesis.jsonl");
    write_genesis(&genesis, &mut File::create(&path).unwrap()).unwrap();
    network(folder, 4, &["--from", &folder.path("genesis.jsonl")]).1
}

#[test]
fn a_pool_that_is_flooded_takes_an_honest_payment_and_drains() {
    let folder = Folder::new();
    let configs = flooded(&folder);
    let validators = Validator::start_all(&configs);
    let url = validators[0].url();
    let limits = PoolLimits::default();
    pay(&folder, url);
    let calm_mib = peak_mib(&validators[0]);

    // Behind gaps: they cost their senders nothing, and fill the pool.
    let wallets: Vec<Wallet> = (0..GAPPED + GREEDY + LONG).map(attacker).collect();
    let (gapped, rest) = wallets.split_at(GAPPED);
    let (greedy, long) = rest.split_at(GREEDY);
    let each = (limits.transactions_max / GAPPED) as u64;
    let behind: Vec<String> =
        gapped.iter().flat_map(|wallet| (1..=each).map(|nonce| signed(wallet, nonce, |_| ()))).collect();
    assert_eq!(flood(url, 1000, &behind), (limits.transactions_max, BTreeMap::new()));
    assert_eq!(waiting(url), (0, limits.transactions_max));
    let more = signed(&gapped[0], each + 1, |_| ());
    assert_eq!(flood(url, 1, &[more]), (0, [("txpool is full".to_owned(), 1)].into()));

    // Again and again for one nonce, each a little dearer than the last; most are not dear enough.
    let dearer = |step: u32| {
        signed(&gapped[0], each, |tx| {
            tx.max_fee_per_gas += tx.max_fee_per_gas * u128::from(step) / 25;
            tx.max_priority_fee_per_gas += u128::from(step);
        })
    };
    let (replaced, refused) = flood(url, 500, &(1..=500).map(dearer).collect::<Vec<_>>());
    assert_eq!(refused, [("replacement transaction underpriced".to_owned(), 500 - replaced)].into());
    assert!((10..100).contains(&replaced), "{replaced}");

    // Without a coin.
    let poor: Vec<String> = (0..1000).map(|index| signed(&attacker(1_000_000 + index), 0, |_| ())).collect();
    let (taken, refused) = flood(url, 1000, &poor);
    assert_eq!((taken, refused.len()), (0, 1), "{refused:?}");
    assert!(refused.keys().all(|reason| reason.starts_with("insufficient funds")), "{refused:?}");

    // At the lowest fee, as much gas as one may ask for and as many bytes: each takes the place of some that wait behind gaps.
    let dear = |wallet: &Wallet, gas: u64, bytes: usize| {
        signed(wallet, 0, |tx| {
            tx.gas_limit = gas;
            tx.max_fee_per_gas = u128::from(DEV_BASE_FEE) + 2;
            tx.input = vec![0; bytes].into();
        })
    };
    let greedy: Vec<String> = greedy.iter().map(|wallet| dear(wallet, TRANSACTION_GAS_MAX, 0)).collect();
    let long: Vec<String> = long.iter().map(|wallet| dear(wallet, LONG_GAS, 500_000)).collect();
    let (taken, refused) = flood(url, 1000, &greedy);
    assert_eq!((taken, refused), (GREEDY, BTreeMap::new()));
    let (taken, refused) = flood(url, 4, &long);
    assert!(taken > LONG / 2, "{taken} long ones taken, {refused:?}");
    let (ready, behind) = waiting(url);
    let bytes = pool_bytes(url);
    assert!(
        ready + behind <= limits.transactions_max && bytes <= limits.bytes_max,
        "{ready} {behind} {bytes}"
    );

    // Who pays a little more is not kept waiting by all of that.
    pay(&folder, url);
    pay(&folder, validators[2].url());
    let (left, _) = waiting(url);
    assert!(left > 0, "the flood was over before the payments were made");
    wait_for("everybody has the payments", Duration::from_secs(300), || {
        validators.iter().all(|one| paid(one.url()) == 3)
    });
    let peaks: Vec<u64> = validators.iter().map(peak_mib).collect();
    println!(
        "{replaced} replacements; {taken} long ones taken, others {refused:?}; {ready} ready and {behind} behind gaps, {bytes} bytes; \
         {left} ready left when both payments were made; {calm_mib} MiB before, at most {peaks:?}"
    );
    assert!(peaks.iter().all(|peak| *peak < 1_000), "{peaks:?} MiB");

    // The gaps close, and nothing is left.
    let first: Vec<String> =
        gapped.iter().map(|wallet| signed(wallet, 0, |tx| tx.max_priority_fee_per_gas = 3)).collect();
    wait_for("the gaps are closed", Duration::from_secs(600), || {
        let (_, refused) = flood(url, 1000, &first);
        let done = |reason: &String| reason.starts_with("nonce too low") || reason == "already known";
        refused.keys().all(done)
    });
    wait_for("the pool drains", Duration::from_secs(600), || waiting(url) == (0, 0));
    wait_for("all pools drain", Duration::from_secs(600), || {
        validators.iter().all(|one| waiting(one.url()) == (0, 0))
    });
    assert_eq!(pool_bytes(url), 0);
    let health = validators[0].health();
    assert!(health.contains(r#""status":"ok""#), "{health}");
}
