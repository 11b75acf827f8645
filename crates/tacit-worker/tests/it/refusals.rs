//! Every reason to refuse, produced.

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    Amount,
    http::HttpError,
    language::TokenPrices,
    session::{SessionReply, SessionRequest},
    stream::{EndReason, Envelope, StreamHead, seal_request},
};

use crate::{
    client::{Client, open_channel},
    engine::event,
    support::{BODY, PRICES, PROMPT, Plan, Scene, wallet},
};

async fn refused(scene: &Scene, head: StreamHead, body: &str) -> String {
    let refusal = scene.client.ask_with(head, body).await.refusal().await;
    assert!(scene.engine.is_unasked().await);
    assert_eq!(scene.client.account().await.owed, Amount::ZERO);
    refusal.code
}

#[tokio::test]
async fn terms_that_are_not_the_workers_are_refused() {
    let scene = Scene::new().await;
    let head = || scene.client.head();
    let other = StreamHead { model_id: B256::repeat_byte(1), ..head() };
    assert_eq!(refused(&scene, other, BODY).await, "unknown_model");
    for (privacy, evidence) in [(Privacy::Clear, Evidence::Signed), (Privacy::Sealed, Evidence::Proved)] {
        let other = StreamHead { privacy, evidence, ..head() };
        assert_eq!(refused(&scene, other, BODY).await, "unsupported_mode");
    }
    for prices in [
        TokenPrices { request: Amount(9), ..PRICES },
        TokenPrices { prompt: Amount(1), ..PRICES },
        TokenPrices { completion: Amount(4), ..PRICES },
    ] {
        let other = StreamHead { prices, ..head() };
        assert_eq!(refused(&scene, other, BODY).await, "stale_prices");
    }
}

#[tokio::test]
async fn a_prompt_above_the_limit_is_refused() {
    let scene = Scene::new().await;
    let head = StreamHead { limit: Amount(PROMPT - 1), ..scene.client.head() };
    assert_eq!(refused(&scene, head, BODY).await, "over_limit");
}

#[tokio::test]
async fn a_body_that_cannot_be_counted_is_refused() {
    let scene = Scene::new().await;
    assert_eq!(refused(&scene, scene.client.head(), "[]").await, "bad_request");
    assert_eq!(refused(&scene, scene.client.head(), "{\"messages\":").await, "bad_request");
    assert_eq!(refused(&scene, scene.client.head(), r#"{"model":"a","model":"b"}"#).await, "bad_request");
}

#[tokio::test]
async fn a_job_id_is_used_once() {
    let scene = Scene::new().await;
    let head = scene.client.head();
    let mut answer = scene.client.ask_with(head.clone(), BODY).await;
    let talk = scene.engine.begins().await;
    let while_it_runs = scene.client.ask_with(head.clone(), BODY).await.refusal().await;
    assert_eq!(while_it_runs.code, "job_id_reused");
    talk.event("a").await;
    drop(talk);
    assert_eq!(answer.end().await.reason, EndReason::Complete);
    assert_eq!(scene.client.ask_with(head, BODY).await.refusal().await.code, "job_id_reused");
    assert_eq!(scene.client.account().await.owed, Amount(PROMPT + 3));
}

#[tokio::test]
async fn a_number_of_a_session_is_used_once() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let answer = client.ask_numbered(5, client.head(), BODY).await.map(|_| ());
    assert!(answer.is_ok());
    for (number, head) in [(5, client.head()), (5, client.head())] {
        let (status, refusal) = client.ask_numbered(number, head, BODY).await.err().unwrap();
        assert_eq!((status, refusal.code.as_str()), (409, "number_used"));
    }
    assert!(client.ask_numbered(5 + 4096, client.head(), BODY).await.is_ok());
    let (_, refusal) = client.ask_numbered(4, client.head(), BODY).await.err().unwrap();
    assert_eq!(refusal.code, "number_used", "too far below the highest");
    assert!(client.ask_numbered(6, client.head(), BODY).await.is_ok());
}

/// Whoever records a request and sends it with another seal does not use the number up.
#[tokio::test]
async fn a_request_that_does_not_open_is_refused_and_uses_no_number_up() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let envelope = Envelope { session_id: client.session_id, sequence: 0 };
    let mut bytes = seal_request(&client.secret, envelope, &client.head(), BODY.as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(client.send_bytes(bytes.clone()).await.0, 400);
    bytes[0] = 9;
    assert_eq!(client.send_bytes(bytes).await.0, 400);
    assert!(client.ask_numbered(0, client.head(), BODY).await.is_ok());
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let scene = Scene::new().await;
    let bytes = vec![1; tacit_wire::stream::REQUEST_BYTES_MAX + 1];
    assert_eq!(scene.client.send_bytes(bytes).await.0, 413);
}

#[tokio::test]
async fn a_model_at_its_capacity_is_busy() {
    let scene = Scene::with(Plan { capacity: 1, ..Plan::default() }).await;
    let first = scene.client.ask().await;
    let talk = scene.engine.begins().await;
    assert_eq!(scene.client.ask().await.refusal().await.code, "busy");
    drop(first);
    talk.hung_up().await;
    while scene.client.account().await.running > 0 {
        tokio::task::yield_now().await;
    }
    // Places are free a moment after the account is.
    loop {
        let mut answer = scene.client.ask().await;
        tokio::select! {
            asked = scene.engine.asked() => {
                drop(asked);
                break;
            }
            frame = answer.next() => assert!(matches!(frame, Some(tacit_wire::stream::Frame::Refusal(_)))),
        }
    }
}

#[tokio::test]
async fn an_engine_that_is_gone_refuses_and_costs_nothing() {
    let Scene { ledger: _ledger, engine, worker: _worker, client } = Scene::new().await;
    drop(engine);
    // The first one finds out, later ones are told at once.
    for _ in 0..3 {
        assert_eq!(client.ask().await.refusal().await.code, "engine_unavailable");
    }
    assert_eq!(client.account().await.owed, Amount::ZERO);
}

async fn session(scene: &Scene, request: &SessionRequest) -> String {
    match scene.client.post::<_, SessionReply>("/v1/sessions", request).await {
        Err(HttpError::Refused { body, .. }) => body.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_that_is_not_the_channels_is_refused() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let key = client.language().await.session_key;
    let open = || Client::opening(&client.wallet, client.chain_id, client.worker, client.channel_id);
    let sign = |open: tacit_wire::session::SessionOpen, by: u8| open.begin(&key).unwrap().0.sign(&wallet(by));
    let late = open().opened_at - 301;
    let early = open().opened_at + 400;
    for (open, by, expected) in [
        (tacit_wire::session::SessionOpen { chain_id: 9, ..open() }, 3, "wrong_chain"),
        (tacit_wire::session::SessionOpen { worker: Address::ZERO, ..open() }, 3, "wrong_worker"),
        (tacit_wire::session::SessionOpen { opened_at: late, ..open() }, 3, "wrong_clock"),
        (tacit_wire::session::SessionOpen { opened_at: early, ..open() }, 3, "wrong_clock"),
        (tacit_wire::session::SessionOpen { channel_id: B256::ZERO, ..open() }, 3, "unknown_channel"),
        (tacit_wire::session::SessionOpen { client: Address::ZERO, ..open() }, 3, "not_our_channel"),
        (open(), 4, "not_signer"),
    ] {
        assert_eq!(session(&scene, &sign(open, by)).await, expected);
    }
    let mut request = sign(open(), 3);
    request.signature = vec![0; 65].into();
    assert_eq!(session(&scene, &request).await, "bad_signature");
    let mut short = open().begin(&key).unwrap().0;
    short.enc.pop();
    assert_eq!(session(&scene, &short.sign(&wallet(3))).await, "bad_secret");
}

#[tokio::test]
async fn a_channel_to_another_worker_opens_no_session() {
    let scene = Scene::new().await;
    let (client, key) = (&scene.client, wallet(4));
    let channel_id = open_channel(&scene.ledger.client, &key, Address::repeat_byte(1)).await;
    let refused = Client::on_channel(key, client.chain_id, &client.url, client.worker, channel_id).await;
    let Err(HttpError::Refused { body, .. }) = refused.map(|_| ()) else { panic!("a session") };
    assert_eq!(body.code, "not_our_channel");
}

#[tokio::test]
async fn a_recorded_opening_opens_nothing_again() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let key = client.language().await.session_key;
    let open = Client::opening(&client.wallet, client.chain_id, client.worker, client.channel_id);
    let request = open.begin(&key).unwrap().0.sign(&client.wallet);
    let _: SessionReply = client.post("/v1/sessions", &request).await.unwrap();
    assert_eq!(session(&scene, &request).await, "session_reused");
}

#[tokio::test]
async fn the_oldest_sessions_of_a_channel_make_room() {
    let scene = Scene::new().await;
    let mut last = None;
    for _ in 0..16 {
        last = Some(scene.client.again(3).await.unwrap());
    }
    let mut answer = last.unwrap().ask().await;
    let talk = scene.engine.begins().await;
    talk.event("a").await;
    answer.head_frame(200).await;
    answer.data_upto(event("a").len()).await;
}
