//! Audited answers are paid no further than the worker's stake speaks for on the ledger.

use std::sync::Arc;

use alloy_primitives::B256;
use axum::{Json, Router, routing::post};
use tacit_abi::{Evidence, Privacy, audits::PERIOD_S, channels};
use tacit_gateway::{AskAnswer, AuditPolicy, CanaryPolicy, Gateway, GatewayError, store::Cover};
use tacit_market::Ratio;
use tacit_wire::{
    Amount, LedgerClient,
    http::{HttpError, JsonClient},
    ledger::{period_at, unix_time_s},
    message::{CoverReply, CoverRequest, ErrorBody},
};
use tacit_worker::{GraphEngine, ServedModel};

use crate::{
    dishonest::{Alter, forward},
    disk::Disk,
    disputes::audited_question,
    support::{
        Ledger, PRICE, RunningWorker, Server, WorkerPlan, auditing_gateway, ledger, listen, model, question,
        served, wallet,
    },
};

const FIRST: u8 = 1;
const CLIENT: u8 = 2;
const SECOND: u8 = 3;

fn audited(price: Amount) -> ServedModel {
    served(&model(), "small", Arc::new(GraphEngine::new(model())), price).ask(
        Privacy::Sealed,
        Evidence::Audited,
        price,
    )
}

fn plan(key: u8) -> WorkerPlan {
    // Cheaper asks are taken first.
    let price = if key == FIRST { PRICE } else { Amount(2 * PRICE.0) };
    WorkerPlan { models: vec![audited(price)], ..WorkerPlan::honest(key) }
}

async fn funded() -> Ledger {
    ledger(&[FIRST, CLIENT, SECOND].map(|key| wallet(key).address())).await
}

/// Never audits: what is looked at here comes before.
fn client(ledger: &LedgerClient, disk: &Disk) -> Arc<Gateway> {
    let audits = AuditPolicy::default().with_rate(Ratio::ZERO);
    auditing_gateway(ledger, CLIENT, disk, CanaryPolicy::default(), audits)
}

/// The channel that an answer was paid over, and what the gateway knows of its cover.
fn cover_of(gateway: &Gateway, answer: &AskAnswer) -> (B256, Cover) {
    let job = gateway.store().job(answer.job_id).unwrap().unwrap();
    let channel_id = job.request.header.channel_id;
    (channel_id, gateway.store().channel(channel_id).unwrap().unwrap().cover.unwrap())
}

async fn taken(ledger: &LedgerClient, key: u8) -> Amount {
    Amount(ledger.exposure_of(wallet(key).address()).await.unwrap().taken)
}

/// Takes what room a worker has, for a channel of nobody's.
async fn fill(ledger: &LedgerClient, key: u8) {
    let worker = wallet(key);
    let salt = B256::repeat_byte(0x77);
    ledger.open_channel(&worker, worker.address(), salt, Amount(1)).await.unwrap();
    let chain_id = ledger.chain_id();
    let own = channels::channel_id(chain_id, worker.address(), worker.address(), worker.address(), salt);
    let exposure = ledger.exposure_of(worker.address()).await.unwrap();
    ledger.cover(&worker, own, Amount(exposure.limit - exposure.taken)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_that_the_stake_does_not_speak_for() {
    let ledger = funded().await;
    let worker = plan(FIRST).start(&ledger.client).await;
    let gateway = client(&ledger.client, &Disk::default());
    // Other evidence needs no cover, and uses none.
    let proved = gateway.ask(question(0)).await.unwrap();
    let job = gateway.store().job(proved.job_id).unwrap().unwrap();
    let channel = gateway.store().channel(job.request.header.channel_id).unwrap().unwrap();
    assert_eq!((channel.cover, taken(&ledger.client, FIRST).await), (None, Amount::ZERO));
    let mut covers = Vec::new();
    for seed in 1..=20 {
        let answer = gateway.ask(audited_question(seed)).await.unwrap();
        let (channel_id, cover) = cover_of(&gateway, &answer);
        assert_eq!(cover.paid, Amount(u128::from(seed) * PRICE.0));
        assert!(cover.paid <= cover.covered);
        assert_eq!(cover.covered, ledger.client.cover_of(channel_id, cover.period).await.unwrap());
        assert_eq!(taken(&ledger.client, FIRST).await, cover.covered);
        covers.push(cover.covered);
    }
    // A transaction each time that what was paid has doubled, not one for each answer.
    covers.dedup();
    assert_eq!(covers, [4, 10, 22].map(|answers| Amount(answers * PRICE.0)));
    // The owner is told.
    let stake = worker.worker.report().await.unwrap().stake.unwrap();
    let exposure = ledger.client.exposure_of(wallet(FIRST).address()).await.unwrap();
    assert_eq!((stake.covered, stake.coverable), (Amount(22 * PRICE.0), Amount(exposure.limit)));
    assert!(stake.period_ends_s == exposure.endsAt && stake.covered < stake.coverable);
}

/// Says that it covers everything, and tells the ledger nothing.
async fn says_so(Json(asked): Json<CoverRequest>) -> Json<CoverReply> {
    Json(CoverReply { period: period_at(unix_time_s()), covered: asked.amount })
}

/// Says so of a period in which there was a cover.
async fn says_so_of_another() -> Json<CoverReply> {
    Json(CoverReply { period: period_at(unix_time_s()) - 1, covered: Amount(u128::MAX) })
}

async fn speaking(worker: &RunningWorker, router: Router<(String, Alter)>) -> Server {
    let alter: Alter = |_, _| {};
    let router = router.fallback(forward).with_state((worker.server.url.clone(), alter));
    let line = Server::spawn(listen(0).await, |listener| async move {
        let _ = axum::serve(listener, router).await;
    });
    worker.worker.publish_and_ask(&line.url).await.unwrap();
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_only_says_that_it_covers_is_sent_nothing() {
    let ledger = funded().await;
    let worker = plan(FIRST).start(&ledger.client).await;
    for router in [
        Router::new().route("/v1/covers", post(says_so)),
        Router::new().route("/v1/covers", post(says_so_of_another)),
    ] {
        let _line = speaking(&worker, router).await;
        let gateway = client(&ledger.client, &Disk::default());
        let refused = gateway.ask(audited_question(1)).await;
        let expected = wallet(FIRST).address();
        assert!(
            matches!(refused, Err(GatewayError::NotCovered { worker, amount, covered })
                if (worker, amount, covered) == (expected, PRICE, Amount::ZERO)),
            "{refused:?}"
        );
        assert_eq!(worker.worker.earnings().unwrap().jobs, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_room_is_passed_over() {
    let ledger = funded().await;
    let _first = plan(FIRST).start(&ledger.client).await;
    fill(&ledger.client, FIRST).await;
    let gateway = client(&ledger.client, &Disk::default());
    let refused = gateway.ask(audited_question(1)).await;
    let Err(GatewayError::Refused { code, opens_at, .. }) = &refused else { panic!("{refused:?}") };
    let exposure = ledger.client.exposure_of(wallet(FIRST).address()).await.unwrap();
    assert_eq!((code.as_str(), *opens_at), ("no_room", Some(exposure.endsAt)));
    let ErrorBody { code, opens_at, .. } = refused.unwrap_err().body();
    assert_eq!((code.as_str(), opens_at), ("no_room", Some(exposure.endsAt)));

    let second = plan(SECOND).start(&ledger.client).await;
    let answer = gateway.ask(audited_question(1)).await.unwrap();
    assert_eq!(answer.worker, second.worker.address());
    // What is proved needs no stake.
    assert_eq!(gateway.ask(question(2)).await.unwrap().worker, wallet(FIRST).address());
}

/// Room for one answer is given where there is none for four.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_room_is_given() {
    let ledger = funded().await;
    let first = plan(FIRST).start(&ledger.client).await;
    fill(&ledger.client, FIRST).await;
    // A sixteenth for three: one answer and a little.
    ledger.client.bond(&wallet(FIRST), Amount(6 * PRICE.0)).await.unwrap();
    let gateway = client(&ledger.client, &Disk::default());
    let answer = gateway.ask(audited_question(1)).await.unwrap();
    let (_, cover) = cover_of(&gateway, &answer);
    assert!(cover.covered >= PRICE && cover.covered.0 < 2 * PRICE.0);
    assert!(matches!(gateway.ask(audited_question(2)).await, Err(GatewayError::Refused { .. })));
    // More stake, and it goes on.
    ledger.client.bond(&wallet(FIRST), Amount(100 * PRICE.0)).await.unwrap();
    gateway.ask(audited_question(2)).await.unwrap();
    assert_eq!(first.worker.earnings().unwrap().jobs, 2);
}

fn refused(reply: Result<CoverReply, HttpError>) -> String {
    match reply {
        Err(HttpError::Refused { body, .. }) => body.code,
        other => panic!("{other:?}"),
    }
}

/// Whoever has paid nothing gets room for a few answers: otherwise a stranger takes all of it, for a deposit that comes home.
#[tokio::test(flavor = "multi_thread")]
async fn room_is_for_those_who_pay() {
    let ledger = funded().await;
    let worker = plan(FIRST).start(&ledger.client).await;
    let client = JsonClient::new(core::time::Duration::from_secs(60)).unwrap();
    let ask = async |channel_id, amount| {
        let url = format!("{}/v1/covers", worker.server.url);
        client.post::<_, CoverReply>(&url, &CoverRequest { channel_id, amount }, 1 << 14).await
    };
    let open = async |to: u8, salt, deposit: u128| {
        let (salt, from) = (B256::repeat_byte(salt), wallet(CLIENT));
        let to = wallet(to).address();
        ledger.client.open_channel(&from, to, salt, Amount(deposit)).await.unwrap();
        channels::channel_id(ledger.client.chain_id(), from.address(), to, from.address(), salt)
    };
    let rich = open(FIRST, 1, Amount::coins(10).0).await;
    assert_eq!(refused(ask(rich, Amount(4 * PRICE.0 + 1)).await), "not_earned");
    assert_eq!(taken(&ledger.client, FIRST).await, Amount::ZERO);
    for _ in 0..3 {
        assert_eq!(ask(rich, PRICE).await.unwrap().covered, Amount(4 * PRICE.0));
    }
    assert_eq!(taken(&ledger.client, FIRST).await, Amount(4 * PRICE.0));
    // No more than the deposit could pay for.
    let poor = open(FIRST, 2, 3).await;
    assert_eq!(refused(ask(poor, Amount(4)).await), "not_earned");
    assert_eq!(ask(poor, Amount(3)).await.unwrap().covered, Amount(3));
    // Somebody else's channel, none, and one that is closing.
    let others = open(SECOND, 3, 10).await;
    assert_eq!(refused(ask(others, Amount(1)).await), "not_our_channel");
    assert_eq!(refused(ask(B256::ZERO, Amount(1)).await), "unknown_channel");
    ledger.client.request_close(&wallet(CLIENT), rich).await.unwrap();
    assert_eq!(refused(ask(rich, PRICE).await), "channel_closing");
}

/// In the next period a channel is covered anew, beside what may still be disputed of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_is_over_is_not_paid_in() {
    let ledger = funded().await;
    let _worker = plan(FIRST).start(&ledger.client).await;
    let gateway = client(&ledger.client, &Disk::default());
    for seed in 1..=4 {
        gateway.ask(audited_question(seed)).await.unwrap();
    }
    ledger.wait_s(PERIOD_S).await;
    let answer = gateway.ask(audited_question(5)).await.unwrap();
    let (channel_id, cover) = cover_of(&gateway, &answer);
    assert_eq!((cover.paid, cover.covered), (PRICE, Amount(8 * PRICE.0)));
    let before = ledger.client.cover_of(channel_id, cover.period - 1).await.unwrap();
    assert_eq!(before, Amount(4 * PRICE.0));
    assert_eq!(taken(&ledger.client, FIRST).await, Amount(12 * PRICE.0));
    ledger.wait_s(2 * PERIOD_S).await;
    assert_eq!(taken(&ledger.client, FIRST).await, Amount::ZERO);
}

/// A client that lost its disk does not know what it paid for in this period: all of it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_its_disk_counts_all_that_it_paid() {
    let ledger = funded().await;
    let _worker = plan(FIRST).start(&ledger.client).await;
    let gateway = client(&ledger.client, &Disk::default());
    gateway.ask(question(0)).await.unwrap();
    for seed in 1..=3 {
        gateway.ask(audited_question(seed)).await.unwrap();
    }
    let forgetful = client(&ledger.client, &Disk::default());
    let answer = forgetful.ask(audited_question(4)).await.unwrap();
    let (_, cover) = cover_of(&forgetful, &answer);
    assert_eq!(cover.paid, Amount(5 * PRICE.0));
    assert!(cover.paid <= cover.covered);
}

/// Stake that is on its way home is there until what it spoke for is settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_stake_goes_home_after_what_it_spoke_for() {
    let ledger = funded().await;
    let _worker = plan(FIRST).start(&ledger.client).await;
    let gateway = client(&ledger.client, &Disk::default());
    gateway.ask(audited_question(1)).await.unwrap();
    let address = wallet(FIRST).address();
    fill(&ledger.client, FIRST).await;
    let half = ledger.client.stake_of(address).await.unwrap().bonded / 2;
    ledger.client.unbond(&wallet(FIRST), Amount(half)).await.unwrap();
    let exposure = ledger.client.exposure_of(address).await.unwrap();
    assert!(exposure.taken > exposure.limit);
    // What is covered already may be used up, and nothing beyond it.
    for seed in 2..=4 {
        gateway.ask(audited_question(seed)).await.unwrap();
    }
    let refused = gateway.ask(audited_question(5)).await;
    assert!(matches!(&refused, Err(GatewayError::Refused { code, .. }) if code == "no_room"), "{refused:?}");
    // All of it can still be lost.
    assert_eq!(ledger.client.stake_of(address).await.unwrap().unbonding, half);
}

/// The answer that a stake could not speak for even if nothing else were asked is too dear for that stake.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_bonds_what_its_audited_answers_need() {
    let ledger = funded().await;
    let price = Amount(10 * PRICE.0);
    let dear = WorkerPlan { models: vec![audited(price)], ..WorkerPlan::honest(FIRST) };
    let _worker = dear.start(&ledger.client).await;
    let exposure = ledger.client.exposure_of(wallet(FIRST).address()).await.unwrap();
    assert!(exposure.limit >= 256 * price.0 && exposure.limit < 257 * price.0, "{exposure:?}");
    // Who asks for no such answers needs no more than the asks do.
    let plain = WorkerPlan {
        limits: tacit_worker::Limits { stake_min: Amount::coins(3), ..Default::default() },
        ..WorkerPlan::honest(SECOND)
    };
    let _plain = plain.start(&ledger.client).await;
    let bonded = ledger.client.stake_of(wallet(SECOND).address()).await.unwrap().bonded;
    assert_eq!(Amount(bonded), Amount::coins(3));
}
