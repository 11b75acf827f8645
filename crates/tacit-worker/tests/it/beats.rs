//! A worker says each hour that it is there, and makes up for it where it could not.

use core::{sync::atomic::Ordering, time::Duration};
use std::sync::Arc;

use tacit_abi::{IAsks, asks};
use tacit_wire::owner::{OwnerAction, OwnerRequest};

use crate::support::{Ledger, Plan, Scene, ledger, model_id, start, wallet};

const HOUR_S: u64 = asks::HOUR_S;

async fn liveness(ledger: &Ledger) -> IAsks::Liveness {
    let call = IAsks::livenessOfCall { worker: wallet(2).address() };
    ledger.client.call_next(asks::ADDRESS, &call).await.unwrap()
}

/// Waits for a beat in the hour that runs.
async fn beaten(ledger: &Ledger) -> IAsks::Liveness {
    let hour = ledger.client.block_time_s().await.unwrap() / HOUR_S;
    loop {
        let told = liveness(ledger).await;
        if told.lastBeat / HOUR_S >= hour {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

/// It lets some hours pass for everybody.
async fn pass(ledger: &Ledger, plan: &Plan, hours: u64) {
    ledger.wait_s(hours * HOUR_S).await;
    plan.ahead_s.fetch_add(i64::try_from(hours * HOUR_S).unwrap(), Ordering::SeqCst);
}

fn often() -> Plan {
    Plan { poll: Duration::from_millis(20), ..Plan::default() }
}

#[tokio::test]
async fn a_worker_beats_each_hour_and_as_soon_as_the_ledger_is_back() {
    let plan = often();
    let scene = Scene::with(Plan { ahead_s: Arc::clone(&plan.ahead_s), ..often() }).await;
    let since = liveness(&scene.ledger).await;
    assert_eq!((since.covered, since.beaten), (1, 1));
    // Two hours on, so that its second of the next hour has come, wherever in this one it began.
    for beats in 2..4 {
        pass(&scene.ledger, &plan, 2).await;
        assert_eq!(beaten(&scene.ledger).await.beaten, beats);
    }

    let Scene { ledger, worker, .. } = scene;
    pass(&ledger, &plan, 2).await;
    let before = beaten(&ledger).await;
    let (node, client, away) = ledger.leave().await;
    plan.ahead_s.fetch_add(i64::try_from(2 * HOUR_S).unwrap(), Ordering::SeqCst);
    // It tries, and nobody answers.
    for _ in 0..2 {
        drop(away.accept().await.unwrap());
    }
    let ledger = Ledger::back(node, client, away);
    ledger.wait_s(2 * HOUR_S).await;
    let after = beaten(&ledger).await;
    assert_eq!(after.beaten, before.beaten + 1);
    assert_eq!(after.since, since.since);
    drop(worker);
}

#[tokio::test]
async fn a_worker_that_comes_back_after_a_long_silence_beats_and_sets_nothing() {
    let plan = Plan::default();
    let disk = plan.disk.clone();
    let Scene { ledger, engine, worker, client } = Scene::with(plan).await;
    let port = worker.port();
    drop((worker, client));
    ledger.wait_s(9 * HOUR_S).await;
    let set = ledger.client.every_ask(model_id()).await.unwrap();
    let worker = start(&Plan { disk, port, ..often() }, &ledger.client, &engine).await;
    worker.worker.publish_and_ask(&worker.url).await.unwrap();
    let told = beaten(&ledger).await;
    assert_eq!((told.covered, told.beaten), (10, 2));
    let asks = ledger.client.every_ask(model_id()).await.unwrap();
    assert_eq!(asks[0].terms, set[0].terms);
    assert!(asks[0].lastBeat > set[0].lastBeat);
}

#[tokio::test]
async fn a_drained_worker_is_silent() {
    let plan = Plan::default();
    let scene = Scene::with(Plan { ahead_s: Arc::clone(&plan.ahead_s), ..Plan::default() }).await;
    let order = |action, at_ms| OwnerRequest::sign(&wallet(2), scene.ledger.client.chain_id(), action, at_ms);
    let now_ms = || tacit_wire::ledger::unix_time_s() * 1_000;
    let worker = &scene.worker.worker;
    let _: serde_json::Value =
        scene.client.post("/v1/owner", &order(OwnerAction::Drain, now_ms())).await.unwrap();
    pass(&scene.ledger, &plan, 2).await;
    let before = liveness(&scene.ledger).await;
    worker.beat_if_due().await.unwrap();
    assert_eq!(liveness(&scene.ledger).await.lastBeat, before.lastBeat);
    // Once it is told to go on, its asks are a beat, or it beats.
    let now_ms = now_ms() + 2 * HOUR_S * 1_000;
    let _: serde_json::Value =
        scene.client.post("/v1/owner", &order(OwnerAction::Resume, now_ms)).await.unwrap();
    worker.publish_and_ask(&scene.worker.url).await.unwrap();
    worker.beat_if_due().await.unwrap();
    assert!(beaten(&scene.ledger).await.lastBeat > before.lastBeat);
}

#[tokio::test]
async fn a_worker_without_asks_is_silent() {
    let ledger = ledger().await;
    let engine = crate::engine::ScriptedEngine::start().await;
    let worker = start(&Plan::default(), &ledger.client, &engine).await;
    worker.worker.beat_if_due().await.unwrap();
    assert_eq!(liveness(&ledger).await.lastBeat, 0);
}
