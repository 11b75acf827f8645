//! `kill -9` and a restart on what was on disk.

use tacit_wire::{Amount, message::ReceiptInfo, stream::StreamHead};

use crate::{
    client::Client,
    engine::event,
    support::{BODY, CHUNK, PROMPT, Plan, Scene, start, wallet},
};

impl Scene {
    /// The same worker again, on the same disk and port, and the client's next session.
    async fn restarted(self, plan: &Plan) -> (Self, Client) {
        let Self { ledger, engine, worker, client } = self;
        let plan = Plan { port: worker.port(), disk: plan.disk.clone(), ..Plan::default() };
        drop(worker);
        let worker = start(&plan, &ledger.client, &engine).await;
        let again =
            Client::on_channel(wallet(3), client.chain_id, &worker.url, client.worker, client.channel_id)
                .await
                .unwrap();
        (Self { ledger, engine, worker, client }, again)
    }
}

#[tokio::test]
async fn a_receipt_that_a_client_has_is_there_after_a_crash() {
    let plan = Plan::default();
    let scene = Scene::with(Plan { disk: plan.disk.clone(), ..Plan::default() }).await;
    let head = StreamHead { voucher: Some(scene.client.voucher(60)), ..scene.client.head() };
    let job_id = head.job_id;
    let mut answer = scene.client.ask_with(head.clone(), BODY).await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    drop(talk);
    let end = answer.end().await;
    let (scene, again) = scene.restarted(&plan).await;
    let info: ReceiptInfo = again.get(&format!("/v1/receipts/{job_id}")).await.unwrap();
    assert_eq!(info.receipt, end.receipt);
    let account = again.account().await;
    assert_eq!((account.owed, account.voucher.unwrap().voucher.cumulative), (Amount(PROMPT + 9), 60));
    // The job's name stays used, and the old session is unknown.
    assert_eq!(again.ask_with(head, BODY).await.refusal().await.code, "job_id_reused");
    let (status, refusal) = scene.client.ask_numbered(9, scene.client.head(), BODY).await.err().unwrap();
    assert_eq!((status, refusal.code.as_str()), (410, "unknown_session"));
}

/// A crash in the middle of an answer costs the client what it had promised, and the worker what it had not written.
#[tokio::test]
async fn after_a_crash_in_an_answer_what_was_promised_is_owed() {
    let plan = Plan::default();
    let scene = Scene::with(Plan { disk: plan.disk.clone(), ..Plan::default() }).await;
    let head = StreamHead { voucher: Some(scene.client.voucher(500)), ..scene.client.head() };
    let mut answer = scene.client.ask_with(head, BODY).await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    answer.head_frame(200).await;
    answer.data_upto(event("abc").len()).await;
    // Once voucher and request are on disk.
    while scene.worker.worker.earnings().unwrap().vouchered < Amount(500) {
        tokio::task::yield_now().await;
    }
    let (_scene, again) = scene.restarted(&plan).await;
    let account = again.account().await;
    assert_eq!((account.owed, account.running), (Amount(500), 0));
}

/// What came within the last tenth of a second may be lost: the worker then owes itself at most what it had not written, and the client promises again.
#[tokio::test]
async fn a_voucher_that_was_not_written_is_taken_again() {
    let plan = Plan::default();
    let scene = Scene::with(Plan { disk: plan.disk.clone(), ..Plan::default() }).await;
    plan.disk.die(Some(crate::disk::Death::Before(1)));
    scene.client.pay(500).await.unwrap();
    while !plan.disk.is_dead() {
        tokio::task::yield_now().await;
    }
    plan.disk.die(None);
    let (scene, again) = scene.restarted(&plan).await;
    assert_eq!(again.account().await.voucher, None);
    let head = StreamHead { voucher: Some(again.voucher(500)), ..again.head() };
    let mut answer = again.ask_with(head, BODY).await;
    let talk = scene.engine.begins().await;
    talk.event(&"x".repeat(150)).await;
    drop(talk);
    assert_eq!(answer.end().await.tokens.completion, 150);
    assert!(again.account().await.owed.0 <= 500 + CHUNK);
}

/// An answer whose receipt cannot be written ends without one: no receipt leaves that a restart would not find.
#[tokio::test]
async fn no_receipt_leaves_before_it_is_on_disk() {
    let plan = Plan::default();
    let scene = Scene::with(Plan { disk: plan.disk.clone(), ..Plan::default() }).await;
    let mut answer = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    answer.head_frame(200).await;
    answer.data_upto(event("abc").len()).await;
    plan.disk.die(Some(crate::disk::Death::Before(1)));
    drop(talk);
    assert!(answer.next().await.is_none(), "no end");
    assert!(plan.disk.is_dead());
}
