//! What a worker's past is worth, from a real ledger, and what forging one costs.

use core::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, address, hex};
use alloy_sol_types::SolCall;
use serde::Deserialize;
use serde_json::json;
use tacit_abi::{
    IChannels, Voucher, asks,
    channels::{self, SignedVoucher, channel_id},
};
use tacit_market::reputation;
use tacit_wire::{
    Amount, LedgerClient, RpcClient,
    ledger::{HistoryError, Mined, WorkerHistory},
};

use crate::support::{Ledger, ledger, ledger_config, ledger_of, wallet};

/// The worker, and everybody who is the same person.
const WORKER: u8 = 2;
const ALIASES: [u8; 3] = [2, 3, 4];
const STRANGER: u8 = 5;
const DEPOSIT: Amount = Amount(10_u128.pow(18));
const DAY_S: u64 = 24 * 3600;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    timestamp: U256,
    base_fee_per_gas: U256,
}

async fn header(ledger: &LedgerClient, block: u64) -> Header {
    let rpc = RpcClient::new(ledger.url(), Duration::from_secs(20)).unwrap();
    let params = json!([format!("{block:#x}"), false]);
    rpc.ask("eth_getBlockByNumber", params, 1 << 20).await.unwrap().unwrap()
}

/// What a transaction burnt, and when.
async fn burnt(ledger: &LedgerClient, mined: Mined) -> (u64, u128) {
    let header = header(ledger, mined.block).await;
    (header.timestamp.to(), (header.base_fee_per_gas * U256::from(mined.gas_used)).to())
}

/// A client opens a channel towards the worker.
async fn open(ledger: &LedgerClient, client: u8, worker: Address, salt: u8) -> B256 {
    let (owner, salt) = (wallet(client), B256::repeat_byte(salt));
    ledger.open_channel(&owner, worker, salt, DEPOSIT).await.unwrap();
    channel_id(ledger.chain_id(), owner.address(), worker, owner.address(), salt)
}

fn voucher(ledger: &LedgerClient, client: u8, channel_id: B256, cumulative: u128) -> SignedVoucher {
    let voucher = Voucher { channelId: channel_id, cumulative };
    wallet(client).sign_voucher(voucher, ledger.chain_id())
}

async fn close_by_worker(
    ledger: &LedgerClient,
    SignedVoucher { voucher, signature }: SignedVoucher,
) -> Mined {
    let call = IChannels::closeByWorkerCall {
        channelId: voucher.channelId,
        cumulative: voucher.cumulative,
        signature,
    };
    ledger.send(&wallet(WORKER), channels::ADDRESS, Amount::ZERO, call.abi_encode()).await.unwrap()
}

async fn history(ledger: &LedgerClient) -> WorkerHistory {
    ledger.history_of(wallet(WORKER).address(), None).await.unwrap()
}

async fn coins(ledger: &LedgerClient) -> u128 {
    let mut sum = ledger.stake_of(wallet(WORKER).address()).await.unwrap().bonded;
    for alias in ALIASES {
        sum += ledger.balance(wallet(alias).address()).await.unwrap().0;
    }
    sum
}

#[tokio::test]
async fn a_past_is_what_its_settlements_burnt() {
    let scene = ledger().await;
    let (ledger, worker) = (&scene.client, wallet(WORKER).address());
    assert_eq!(history(ledger).await.facts, tacit_market::Facts::default());
    ledger.bond(&wallet(WORKER), Amount::coins(1)).await.unwrap();
    ledger.beat(&wallet(WORKER)).await.unwrap();
    let own = open(ledger, 3, worker, 1).await;
    let second = open(ledger, 4, worker, 2).await;
    // Another worker's channel: its settlement is not this one's, whoever sends it.
    let other = open(ledger, 3, wallet(STRANGER).address(), 3).await;
    ledger.settle(&wallet(WORKER), &voucher(ledger, 3, other, 5)).await.unwrap();

    let mut expected = Vec::new();
    let mut settled = async |by: u8, signed: SignedVoucher| {
        let mined = ledger.settle(&wallet(by), &signed).await.unwrap();
        expected.push(burnt(ledger, mined).await);
    };
    settled(WORKER, voucher(ledger, 3, own, 10)).await;
    settled(STRANGER, voucher(ledger, 4, second, 10)).await;
    scene.wait_s(31 * DAY_S).await;
    settled(WORKER, voucher(ledger, 3, own, 20)).await;
    // Refused, so that it burnt coins and settled nothing.
    assert!(ledger.settle(&wallet(WORKER), &voucher(ledger, 3, own, 20)).await.is_err());
    let at = ledger.block_number().await.unwrap();
    let closed = close_by_worker(ledger, voucher(ledger, 4, second, 30)).await;
    expected.push(burnt(ledger, closed).await);
    // By the client: what brings its own coins home is nobody's settlement.
    ledger.request_close(&wallet(3), own).await.unwrap();
    scene.wait_s(channels::GRACE_S).await;
    ledger.close(&wallet(3), own).await.unwrap();

    let told = history(ledger).await;
    let found = told.facts.settlements.iter().rev();
    let found: Vec<(u64, u128)> = found.map(|settlement| (settlement.at_s, settlement.burnt)).collect();
    assert_eq!(found, expected);
    assert_eq!((told.facts.bonded, told.facts.failed_at_s), (10_u128.pow(18), None));
    assert!(told.facts.passed_at_s.is_empty());
    // By hand: the first two are a month old and count half.
    let by_hand = expected[0].1 / 2 + expected[1].1 / 2 + expected[2].1 + expected[3].1;
    assert_eq!(told.reputation().history, by_hand);
    // One beat in all these hours; nobody audited, so that nothing is trusted yet.
    assert_eq!((told.facts.hours_covered, told.facts.hours_beaten), (asks::LIVENESS_HOURS, 0));
    assert_eq!(told.reputation().coins, 0);

    // As it was before the last two: the same as anybody was told then.
    let earlier = ledger.history_of(worker, Some(at)).await.unwrap();
    assert_eq!(earlier.facts.settlements.len(), 3);
    assert_eq!(earlier.time_s, header(ledger, at).await.timestamp.to::<u64>());
    assert_eq!(earlier, ledger.history_of(worker, Some(at)).await.unwrap());
    assert!(ledger.history_of(worker, Some(2)).await.unwrap().facts.settlements.is_empty());
    let newest = ledger.block_number().await.unwrap();
    let beyond = ledger.history_of(worker, Some(newest + 1)).await;
    assert!(matches!(beyond, Err(HistoryError::NotYet { .. })), "{beyond:?}");
}

/// A contract that passes its calls on to the module `channels`.
const FORWARDER: Address = address!("00000000000000000000000000000000000f0a4d");

/// `CALLDATACOPY(0, 0, size) CALL(gas, channels, 0, 0, size, 0, 0) POP STOP`
fn forwards() -> Bytes {
    let (before, after) = (hex!("365f5f375f5f365f5f73"), hex!("5af15000"));
    [&before[..], channels::ADDRESS.as_slice(), &after].concat().into()
}

#[tokio::test]
async fn what_a_contract_burnt_is_no_workers() {
    // Whoever runs a contract for others, and whoever adds a settlement to its calls, would else be one.
    let mut config = ledger_config();
    config.genesis.alloc.held().unwrap().entry(FORWARDER).or_default().code = forwards();
    let scene = ledger_of(config).await;
    let (ledger, worker) = (&scene.client, wallet(WORKER).address());
    let channel = open(ledger, 3, worker, 1).await;
    let signed = voucher(ledger, 3, channel, 10);
    let call = IChannels::settleCall {
        channelId: channel,
        cumulative: signed.voucher.cumulative,
        signature: signed.signature,
    };
    ledger.send(&wallet(STRANGER), FORWARDER, Amount::ZERO, call.abi_encode()).await.unwrap();
    assert_eq!(ledger.channel(channel).await.unwrap().settled, 10);
    assert!(history(ledger).await.facts.settlements.is_empty());
    let mined = ledger.settle(&wallet(WORKER), &voucher(ledger, 3, channel, 20)).await.unwrap();
    assert_eq!(history(ledger).await.reputation().history, burnt(ledger, mined).await.1);
}

#[tokio::test]
async fn a_node_that_gives_little_at_once_is_asked_in_short_pages() {
    let mut config = ledger_config();
    config.rpc.log_candidates_max = 2;
    let scene = ledger_of(config).await;
    let (ledger, worker) = (&scene.client, wallet(WORKER).address());
    let channel = open(ledger, 3, worker, 1).await;
    let mut expected = 0;
    for cumulative in 1..=9 {
        let mined = ledger.settle(&wallet(WORKER), &voucher(ledger, 3, channel, cumulative)).await.unwrap();
        expected += burnt(ledger, mined).await.1;
    }
    let told = history(ledger).await;
    assert_eq!((told.facts.settlements.len(), told.reputation().history), (9, expected));
}

/// Somebody asks and pays itself under three names, beats, and has every audit forged: what it is worth then is less than what it has not any more.
#[tokio::test]
async fn whoever_deals_with_itself_burns_more_than_it_is_worth() {
    let scene: Ledger = ledger().await;
    let (ledger, worker) = (&scene.client, wallet(WORKER).address());
    let before = coins(ledger).await;
    ledger.bond(&wallet(WORKER), Amount::coins(10)).await.unwrap();
    let mut open_channels = Vec::new();
    for (salt, client) in (1..).zip(ALIASES) {
        open_channels.push((client, open(ledger, client, worker, salt).await));
    }
    let (mut beats, mut settlements) = (0, 0);
    for round in 1..=6 {
        beats += burnt(ledger, ledger.beat(&wallet(WORKER)).await.unwrap()).await.1;
        scene.wait_s(3600).await;
        for (client, channel) in &open_channels {
            // All that is in the channel, a part each time.
            let signed = voucher(ledger, *client, *channel, DEPOSIT.0 / 7 * round);
            ledger.settle(&wallet(ALIASES[usize::try_from(round % 3).unwrap()]), &signed).await.unwrap();
            settlements += 1;
        }
    }
    for (client, channel) in open_channels {
        close_by_worker(ledger, voucher(ledger, client, channel, DEPOSIT.0)).await;
        settlements += 1;
    }
    let lost = before - coins(ledger).await;
    let told = history(ledger).await;
    assert_eq!(told.facts.settlements.len(), settlements);
    assert_eq!((told.facts.hours_covered, told.facts.hours_beaten), (6, 6));
    let forged = tacit_market::Facts { passed_at_s: vec![told.time_s; 1_000_000], ..told.facts.clone() };
    let worth = reputation(&forged, told.time_s);
    assert!(worth.coins > 0 && worth.coins <= worth.history, "{worth:?}");
    // Not even with what else it burnt: beats are no history, nor are bonds and openings.
    assert!(worth.history + beats < lost, "{worth:?} {beats} {lost}");
    // Without anybody who looked it is worth nothing.
    assert_eq!(told.reputation().coins, 0);
}
