//! Vouchers: which are taken, and what many streams on one account may owe.

use tacit_wire::{
    Amount,
    http::HttpError,
    message::{VoucherReply, VoucherRequest},
    stream::{Account, EndReason, Frame, Payment, StreamHead},
};

use crate::{
    client::{Client, DEPOSIT, open_channel},
    engine::event,
    support::{BODY, CHUNK, PROMPT, Scene, wallet},
};

fn code<T: core::fmt::Debug>(reply: Result<T, HttpError>) -> String {
    match reply {
        Err(HttpError::Refused { body, .. }) => body.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_voucher_of_another_channel_is_refused_and_pays_nothing() {
    let scene = Scene::new().await;
    let other = Client::new(4, &scene.ledger.client, &scene.worker.url, scene.client.worker).await;
    let head = StreamHead { voucher: Some(other.voucher(500)), ..scene.client.head() };
    let mut answer = scene.client.ask_with(head, BODY).await;
    assert_eq!(answer.refusal().await.code, "wrong_channel");
    assert_eq!(scene.client.account().await.voucher, None);
    assert_eq!(other.account().await.voucher, None);
}

#[tokio::test]
async fn a_voucher_by_somebody_else_is_refused() {
    let scene = Scene::new().await;
    let mut voucher = scene.client.voucher(500);
    voucher = wallet(4).sign_voucher(voucher.voucher, scene.client.chain_id);
    assert_eq!(
        code(scene.client.post::<_, Account>("/v1/payments", &Payment { voucher }).await),
        "not_signer"
    );
    assert_eq!(scene.client.account().await.voucher, None);
}

#[tokio::test]
async fn a_voucher_whose_signature_is_none_is_refused() {
    let scene = Scene::new().await;
    let mut voucher = scene.client.voucher(500);
    voucher.signature = vec![1; 65].into();
    assert_eq!(
        code(scene.client.post::<_, Account>("/v1/payments", &Payment { voucher }).await),
        "bad_signature"
    );
}

#[tokio::test]
async fn a_voucher_above_the_deposit_is_refused_until_there_is_more() {
    let scene = Scene::new().await;
    let above = DEPOSIT.0 + 1;
    assert_eq!(code(scene.client.pay(above).await), "deposit_too_small");
    let client = &scene.client;
    scene.ledger.client.top_up(&client.wallet, client.channel_id, Amount(1)).await.unwrap();
    assert_eq!(client.pay(above).await.unwrap().voucher.unwrap().voucher.cumulative, above);
}

#[tokio::test]
async fn a_lower_voucher_changes_nothing() {
    let scene = Scene::new().await;
    scene.client.pay(500).await.unwrap();
    let account = scene.client.pay(400).await.unwrap();
    assert_eq!(account.voucher.unwrap().voucher.cumulative, 500);
}

#[tokio::test]
async fn a_payment_for_a_channel_without_an_account_is_refused() {
    let scene = Scene::new().await;
    let mut voucher = scene.client.voucher(5).voucher;
    voucher.channelId = alloy_primitives::B256::repeat_byte(1);
    let voucher = scene.client.wallet.sign_voucher(voucher, scene.client.chain_id);
    assert_eq!(
        code(scene.client.post::<_, Account>("/v1/payments", &Payment { voucher }).await),
        "unknown_channel"
    );
}

#[tokio::test]
async fn a_channel_of_streams_takes_no_voucher_of_a_job() {
    let scene = Scene::new().await;
    let request = VoucherRequest { job_id: tacit_wire::JobId::random(), voucher: scene.client.voucher(5) };
    assert_eq!(
        code(scene.client.post::<_, VoucherReply>("/v1/vouchers", &request).await),
        "channel_for_streams"
    );
}

#[tokio::test]
async fn a_channel_that_paid_for_a_job_pays_for_no_stream() {
    let scene = Scene::new().await;
    let (client, key) = (&scene.client, wallet(5));
    let channel_id = open_channel(&scene.ledger.client, &key, client.worker).await;
    let voucher = tacit_abi::Voucher { channelId: channel_id, cumulative: 1 };
    let voucher = key.sign_voucher(voucher, client.chain_id);
    let request = VoucherRequest { job_id: tacit_wire::JobId::random(), voucher };
    client.post::<_, VoucherReply>("/v1/vouchers", &request).await.unwrap();
    let refused = Client::on_channel(key, client.chain_id, &client.url, client.worker, channel_id).await;
    assert_eq!(code(refused.map(|_| ())), "channel_for_jobs");
}

#[tokio::test]
async fn a_closing_channel_gets_no_new_request() {
    let scene = Scene::new().await;
    let client = &scene.client;
    scene.ledger.client.request_close(&client.wallet, client.channel_id).await.unwrap();
    assert_eq!(code(client.again(3).await.map(|_| ())), "channel_closing");
    // The worker has looked, so that the session that was open ends there too.
    assert_eq!(client.ask().await.refusal().await.code, "channel_closing");
    // What was promised is taken: it can still be settled.
    client.pay(300).await.unwrap();
}

#[tokio::test]
async fn a_request_that_has_no_room_is_told_what_makes_room() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let body = BODY.replace("hello", &"x".repeat(200));
    let price = 10 + 2 * 204;
    let refusal = client.ask_with(client.head(), &body).await.refusal().await;
    assert_eq!((refusal.code.as_str(), refusal.demand), ("payment_required", Some(Amount(price - CHUNK))));
    assert!(scene.engine.is_unasked().await);
    let head = StreamHead { voucher: Some(client.voucher(price - CHUNK)), ..client.head() };
    let mut answer = client.ask_with(head, &body).await;
    scene.engine.begins().await;
    answer.head_frame(200).await;
}

/// Five at once, none of whom pays, in an order that nobody chose: together they get no more than one would.
#[tokio::test]
async fn many_streams_on_one_account_owe_no_more_than_one_chunk() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let (mut answers, mut talks) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let mut answer = client.ask().await;
        // A chunk has room for three prompts.
        if number * PROMPT + PROMPT > CHUNK {
            assert_eq!(answer.refusal().await.code, "payment_required");
            continue;
        }
        talks.push(scene.engine.begins().await);
        answers.push(answer);
    }
    for talk in &talks {
        talk.event(&"x".repeat(40)).await;
    }
    for answer in &mut answers {
        answer.wait().await;
    }
    let account = client.account().await;
    assert_eq!(account.running, 3);
    let counted: u128 = answers
        .iter()
        .map(|answer| if answer.data.is_empty() { 0 } else { PROMPT + 3 * u128::from(answer.tokens()) })
        .sum();
    assert_eq!(account.owed.0, counted);
    assert!(counted <= CHUNK);
    // One voucher for all wakes all.
    client.pay(3 * (PROMPT + 3 * 40)).await.unwrap();
    drop(talks);
    for answer in &mut answers {
        let end = answer.end().await;
        assert_eq!((end.reason, end.tokens.completion), (EndReason::Complete, 40));
    }
    assert_eq!(client.account().await.owed, Amount(3 * (PROMPT + 3 * 40)));
}

#[tokio::test]
async fn a_stream_that_ends_frees_what_it_reserved() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut first = client.ask().await;
    let begun = scene.engine.begins().await;
    let mut second = client.ask().await;
    let talk = scene.engine.begins().await;
    talk.event(&"x".repeat(20)).await;
    // The first one's prompt keeps room that the second could use.
    second.head_frame(200).await;
    second.wait().await;
    let before = second.tokens();
    begun.die().await;
    assert_eq!(first.end().await.reason, EndReason::EngineFailed);
    drop(talk);
    second.data_upto(event(&"x".repeat(20)).len()).await;
    assert!(second.tokens() > before);
    assert_eq!(second.end().await.tokens.completion, 20);
}

#[tokio::test]
async fn two_sessions_of_a_channel_share_an_account() {
    let scene = Scene::new().await;
    let other = scene.client.again(3).await.unwrap();
    let mut answer = other.ask().await;
    let talk = scene.engine.begins().await;
    talk.event("abc").await;
    drop(talk);
    loop {
        if let Some(Frame::End(end)) = answer.next().await {
            assert_eq!(end.receipt.receipt.cumulative, PROMPT + 9);
            break;
        }
    }
    assert_eq!(scene.client.account().await.owed, Amount(PROMPT + 9));
    scene.client.settle_up().await;
}
