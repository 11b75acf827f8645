//! Every reason for which tokens are not sold, bought, taken or believed; one attack a test.

use core::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy, asks::ASK_STAKE};
use tacit_gateway::{AskRequest, BuyTokens, Gateway, GatewayError, UnlinkablePolicy};
use tacit_wire::{
    Amount, JobHeader, JobId, Payload, SealingKey, Wallet,
    blind::{BlindReject, SecretKey},
    http::{HttpError, JsonClient},
    message::{JobRequest, JobResponse, PrepaidRequest},
    oblivious,
    session::SessionKey,
    token,
    token::{Token, TokenReject, TokenSecret},
    unlinked::UnlinkedWorker,
};
use tacit_worker::{Bill, Billing, JobReject, Quota};

use crate::{
    disk::Disk,
    support::{FEATURES, PRICE, honest, model, question, unlinkable_gateway, wallet},
    unlinkable::{Scene, TOKEN_PRICE, policy, selling, some_tokens, unlinkable},
};

/// A client that makes its requests by hand.
struct Hand<'a> {
    scene: &'a Scene,
    tokens: Vec<Token>,
}

impl<'a> Hand<'a> {
    async fn with(scene: &'a Scene, count: u32) -> Self {
        let gateway = scene.gateway(2);
        gateway.buy_tokens(some_tokens(count)).await.unwrap();
        let worker = wallet(1).address();
        let listed = scene.ledger.client.tokens(worker).await.unwrap();
        let tokens = gateway.store().tokens_of(worker, listed.keyHash, B256::ZERO, 64).unwrap();
        Self { scene, tokens }
    }

    fn header(&self, tokens: &[Token], client: Address) -> JobHeader {
        JobHeader {
            chain_id: self.scene.ledger.client.chain_id(),
            job_id: JobId::random(),
            model_id: honest().model_id(),
            channel_id: token::payment_id(tokens),
            client,
            worker: wallet(1).address(),
            privacy: Privacy::Clear,
            evidence: Evidence::Signed,
            price: PRICE,
            cumulative: PRICE,
        }
    }

    /// A good request, but for what is changed in its header before it is signed.
    fn request(&self, tokens: &[Token], change: impl FnOnce(&mut JobHeader)) -> PrepaidRequest {
        let account = Wallet::random();
        let mut header = self.header(tokens, account.address());
        change(&mut header);
        let plain = JobHeader { privacy: Privacy::Clear, ..header };
        let (payload, _) = Payload::make(&plain, B256::ZERO, &[1; FEATURES]).unwrap();
        let signature = account.sign_digest(header.digest(&payload));
        PrepaidRequest { job: JobRequest { header, payload, signature }, tokens: tokens.to_vec() }
    }

    async fn send(&self, request: PrepaidRequest) -> Result<JobResponse, JobReject> {
        self.scene.worker.worker.answer_prepaid(request).await
    }

    async fn refused(&self, tokens: &[Token], change: impl FnOnce(&mut JobHeader)) -> JobReject {
        self.send(self.request(tokens, change)).await.unwrap_err()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_spent_once_and_a_repeated_job_gives_the_same_bytes() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 4).await;
    let (first, rest) = hand.tokens.split_at(2);
    let request = hand.request(first, |_| {});
    let answer = hand.send(request.clone()).await.unwrap();
    assert_eq!(hand.send(request).await.unwrap(), answer);
    assert!(matches!(hand.refused(first, |_| {}).await, JobReject::TokenSpent));
    // One of two is enough, and the other is not spent by the refusal.
    let mixed = [rest[0].clone(), first[0].clone()];
    assert!(matches!(hand.refused(&mixed, |_| {}).await, JobReject::TokenSpent));
    hand.send(hand.request(rest, |_| {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_spent_once_across_restarts_of_the_worker() {
    let mut scene = Scene::new().await;
    let disk = Disk::default();
    drop(scene.worker);
    let plan = |scene_keys| crate::support::WorkerPlan { disk: disk.clone(), ..selling(scene_keys) };
    scene.worker = plan(&scene.keys).start(&scene.ledger.client).await;
    let tokens = {
        let hand = Hand::with(&scene, 2).await;
        hand.send(hand.request(&hand.tokens, |_| {})).await.unwrap();
        hand.tokens
    };
    // Its process is gone; the next one has what was synchronised, and nothing else.
    drop(scene.worker);
    scene.worker = plan(&scene.keys).start(&scene.ledger.client).await;
    let hand = Hand { scene: &scene, tokens };
    assert!(matches!(hand.refused(&hand.tokens, |_| {}).await, JobReject::TokenSpent));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_token_buy_one_answer() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 2).await;
    let sending = (0..8).map(|_| hand.send(hand.request(&hand.tokens, |_| {})));
    let answers = futures::future::join_all(sending).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, JobReject::TokenSpent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_twice_is_no_two_tokens() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 1).await;
    let twice = [hand.tokens[0].clone(), hand.tokens[0].clone()];
    assert!(matches!(hand.refused(&twice, |_| {}).await, JobReject::TokenSpent));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_tokens_as_the_price_needs_and_no_others() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 3).await;
    for count in [1, 3] {
        let refused = hand.refused(&hand.tokens[..count], |_| {}).await;
        assert!(matches!(refused, JobReject::WrongPayment { expected: 2, got } if got == count));
    }
    assert!(matches!(hand.refused(&[], |_| {}).await, JobReject::OtherPayment));
    let other = token::payment_id(&hand.tokens[1..]);
    let refused = hand.refused(&hand.tokens[..2], |header| header.channel_id = other).await;
    assert!(matches!(refused, JobReject::OtherPayment));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_altered_byte_of_a_token_is_refused() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 2).await;
    let good = hand.tokens[0].to_bytes();
    // The first two bytes are its type, which does not even decode.
    for at in 2..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let tokens = [hand.tokens[1].clone(), Token::from_bytes(&bad).unwrap()];
        let refused = hand.refused(&tokens, |_| {}).await;
        assert!(matches!(refused, JobReject::Token(_)), "byte {at}: {refused:?}");
    }
    hand.send(hand.request(&hand.tokens, |_| {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ones_own_making_is_refused() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 2).await;
    let own = SecretKey::random().unwrap();
    let about = token::challenge(scene.ledger.client.chain_id(), wallet(1).address());
    let made = |about| {
        let secret = TokenSecret::random(own.public());
        let request = secret.request(own.public(), about).unwrap();
        let blinded = token::decode_requests(&request, own.public()).unwrap();
        secret.finish(own.public(), about, &own.sign(&blinded[0]).unwrap()).unwrap()
    };
    let refused = hand.refused(&[made(about), made(about)], |_| {}).await;
    assert!(matches!(refused, JobReject::Token(TokenReject::Key)));
    // Under the worker's key id, with a signature of one's own.
    let mut renamed = made(about).to_bytes();
    renamed[66..98].copy_from_slice(token::key_id(key_of(&scene).public()).as_slice());
    let renamed = Token::from_bytes(&renamed).unwrap();
    let refused = hand.refused(&[hand.tokens[0].clone(), renamed], |_| {}).await;
    assert!(matches!(refused, JobReject::Token(TokenReject::Blind(BlindReject::Signature))));
}

fn key_of(scene: &Scene) -> SecretKey {
    SecretKey::load(&scene.keys.path().join("tokens.key")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_worker_is_refused() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 2).await;
    // The same key signs for another worker's challenge, as one owner of two workers might.
    let key = key_of(&scene);
    let about = token::challenge(scene.ledger.client.chain_id(), wallet(3).address());
    let secret = TokenSecret::random(key.public());
    let request = secret.request(key.public(), about).unwrap();
    let blinded = token::decode_requests(&request, key.public()).unwrap();
    let elsewhere = secret.finish(key.public(), about, &key.sign(&blinded[0]).unwrap()).unwrap();
    let refused = hand.refused(&[hand.tokens[0].clone(), elsewhere], |_| {}).await;
    assert!(matches!(refused, JobReject::Token(TokenReject::Challenge)));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_and_signatures_of_prepaid_jobs_are_checked() {
    let scene = Scene::new().await;
    let hand = Hand::with(&scene, 2).await;
    let tokens = &hand.tokens;
    let refused = hand.refused(tokens, |header| header.chain_id += 1).await;
    assert!(matches!(refused, JobReject::WrongChain { .. }));
    let refused = hand.refused(tokens, |header| header.worker = Address::ZERO).await;
    assert!(matches!(refused, JobReject::WrongWorker { .. }));
    let refused = hand.refused(tokens, |header| header.price = Amount(PRICE.0 - 1)).await;
    assert!(matches!(refused, JobReject::StalePrice { .. }));
    let refused = hand.refused(tokens, |header| header.cumulative = Amount(PRICE.0 + 1)).await;
    assert!(matches!(refused, JobReject::WrongCumulative { .. }));
    let refused = hand.refused(tokens, |header| header.client = Address::ZERO).await;
    assert!(matches!(refused, JobReject::NotSigner { .. }));
    let mut unsigned = hand.request(tokens, |_| {});
    unsigned.job.signature = vec![0; 65].into();
    assert!(matches!(hand.send(unsigned).await, Err(JobReject::Signature(_))));
    let refused = hand.refused(tokens, |header| header.privacy = Privacy::Sealed).await;
    assert!(matches!(refused, JobReject::Payload(_)));
    // None of this spent anything.
    hand.send(hand.request(tokens, |_| {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_a_quota_for_each_client_takes_no_tokens() {
    let mut scene = Scene::new().await;
    drop(scene.worker);
    let quota = Quota { per_client: NonZeroU64::new(1), total: None };
    let models = vec![honest().with_quota(quota)];
    scene.worker =
        crate::support::WorkerPlan { models, ..selling(&scene.keys) }.start(&scene.ledger.client).await;
    let hand = Hand::with(&scene, 2).await;
    assert!(matches!(hand.refused(&hand.tokens, |_| {}).await, JobReject::NoTokens));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_key_before_are_taken_and_those_of_a_forgotten_one_not() {
    let mut scene = Scene::new().await;
    let old = Hand::with(&scene, 4).await.tokens;
    let (current, previous) =
        (scene.keys.path().join("tokens.key"), scene.keys.path().join("tokens.previous.key"));
    std::fs::rename(&current, &previous).unwrap();
    drop(scene.worker);
    scene.worker = selling(&scene.keys).start(&scene.ledger.client).await;
    let hand = Hand::with(&scene, 2).await;
    assert_ne!(hand.tokens[0].key_id(), old[0].key_id());
    hand.send(hand.request(&old[..2], |_| {})).await.unwrap();
    // Two keys do not make one payment, whatever the first says.
    let mixed = [hand.tokens[0].clone(), old[2].clone()];
    assert!(matches!(hand.refused(&mixed, |_| {}).await, JobReject::Token(TokenReject::Key)));
    hand.send(hand.request(&hand.tokens, |_| {})).await.unwrap();
    drop(hand);
    // A worker that lost the key takes nothing of it.
    std::fs::remove_file(&previous).unwrap();
    drop(scene.worker);
    scene.worker = selling(&scene.keys).start(&scene.ledger.client).await;
    let hand = Hand { scene: &scene, tokens: old };
    assert!(matches!(hand.refused(&hand.tokens[2..], |_| {}).await, JobReject::Token(TokenReject::Key)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_checked_like_a_job() {
    let scene = Scene::new().await;
    let gateway = scene.gateway(2);
    let bought = gateway.buy_tokens(some_tokens(1)).await.unwrap();
    let job = gateway.store().job(bought.job_id).unwrap().unwrap();
    // What would join the tokens to the purchase is gone.
    assert!(job.purchase.as_ref().unwrap().secrets.is_empty());
    let worker = &scene.worker.worker;
    let send = |change: &dyn Fn(&mut JobHeader), payload: Payload| {
        let mut header = JobHeader { job_id: JobId::random(), ..job.request.header };
        header.cumulative = Amount(header.price.0 * 2);
        change(&mut header);
        let signature = wallet(2).sign_digest(header.digest(&payload));
        let request = JobRequest { header, payload, signature };
        async move { worker.answer(request).await.map(|_| ()).unwrap_err() }
    };
    let good = job.request.payload.clone();
    let refused = send(&|header| header.price = Amount(1), good.clone()).await;
    assert!(matches!(refused, JobReject::StalePrice { expected, .. } if expected == TOKEN_PRICE));
    let refused = send(&|header| header.evidence = Evidence::Audited, good.clone()).await;
    assert!(matches!(refused, JobReject::UnsupportedMode { .. }));
    let refused = send(&|_| {}, Payload::Clear { body: vec![1] }).await;
    assert!(matches!(refused, JobReject::UnsupportedMode { .. }));
    let refused = send(&|_| {}, Payload::Encrypted { body: vec![1] }).await;
    assert!(matches!(refused, JobReject::Token(TokenReject::Length { got: 1 })));
    let mut beyond = good.body().to_vec();
    beyond[3..].fill(0xff);
    let refused = send(&|_| {}, Payload::Encrypted { body: beyond }).await;
    assert!(matches!(refused, JobReject::Token(TokenReject::Blind(BlindReject::Message))));
    let refused = send(&|header| header.cumulative = header.price, good.clone()).await;
    assert!(matches!(refused, JobReject::WrongCumulative { .. }));
    let refused = send(&|header| header.client = Address::ZERO, good.clone()).await;
    assert!(matches!(refused, JobReject::NotOurChannel { .. }));
    let refused = send(&|header| header.channel_id = B256::ZERO, good).await;
    assert!(matches!(refused, JobReject::UnknownChannel { .. }));
}

/// Charges a wei more than agreed.
struct Greedy;

impl Billing for Greedy {
    fn bill(&self, header: &JobHeader) -> Bill {
        Bill { price: Amount(header.price.0 + 1), cumulative: header.cumulative }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_charges_more_sells_nothing_and_its_answer_costs_the_tokens() {
    let mut scene = Scene::new().await;
    let gateway = scene.gateway(2);
    gateway.buy_tokens(some_tokens(4)).await.unwrap();
    drop(scene.worker);
    let billing = Arc::new(Greedy);
    scene.worker =
        crate::support::WorkerPlan { billing, ..selling(&scene.keys) }.start(&scene.ledger.client).await;
    let request = unlinkable(1);
    let refused = gateway.ask(request.clone()).await.unwrap_err();
    assert!(matches!(&refused, GatewayError::Rejected { reject, .. } if reject.code() == "overcharge"));
    // The tokens were shown: they are gone, and the worker is not asked again.
    assert_eq!(gateway.tokens().await.unwrap()[0].count, 2);
    assert!(matches!(gateway.ask(request).await, Err(GatewayError::FailedBefore { .. })));
    assert!(matches!(gateway.ask(unlinkable(2)).await, Err(GatewayError::Distrusted { .. })));
    let other = scene.gateway(3);
    let refused = other.buy_tokens(some_tokens(1)).await.unwrap_err();
    assert!(matches!(&refused, GatewayError::Rejected { reject, .. } if reject.code() == "overcharge"));
    assert!(other.tokens().await.unwrap().is_empty());
    let signed: u128 = other.channels().unwrap().iter().map(|channel| channel.signed.0).sum();
    assert_eq!(signed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_unlinkably_is_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let gateway = scene.gateway(2);
    let refused = gateway.ask(unlinkable(1)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::NoTokens { needed: Some(2), .. }), "{refused}");
    gateway.buy_tokens(some_tokens(3)).await.unwrap();
    for (privacy, evidence) in [
        (Privacy::Encrypted, Evidence::Signed),
        (Privacy::Sealed, Evidence::Audited),
        (Privacy::Shared, Evidence::Signed),
    ] {
        let request = AskRequest { privacy, evidence: Some(evidence), ..unlinkable(1) };
        assert!(matches!(gateway.ask(request).await, Err(GatewayError::NotUnlinkable { .. })));
    }
    let cheap = AskRequest { max_price: Some(Amount(PRICE.0 - 1)), ..unlinkable(1) };
    assert!(matches!(gateway.ask(cheap).await, Err(GatewayError::TooExpensive { .. })));
    let without = unlinkable_gateway(&scene.ledger.client, 3, &Disk::default(), UnlinkablePolicy::default());
    assert!(matches!(without.ask(unlinkable(1)).await, Err(GatewayError::NoRelay)));
    assert_eq!(gateway.tokens().await.unwrap()[0].count, 3);
    // The same id, over a channel and with tokens, are two questions.
    let request = unlinkable(5);
    gateway.ask(request.clone()).await.unwrap();
    let linked = AskRequest { unlinkable: false, ..request };
    assert!(matches!(gateway.ask(linked).await, Err(GatewayError::JobIdReused { .. })));
    let request = AskRequest { unlinkable: false, ..unlinkable(6) };
    gateway.ask(request.clone()).await.unwrap();
    let again = AskRequest { unlinkable: true, ..request };
    assert!(matches!(gateway.ask(again).await, Err(GatewayError::JobIdReused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_bought_is_not() {
    let scene = Scene::new().await;
    let gateway = scene.gateway(2);
    for count in [0, 65] {
        let refused = gateway.buy_tokens(some_tokens(count)).await;
        assert!(matches!(refused, Err(GatewayError::TokenCount { limit: 64 })));
    }
    let dear = BuyTokens { max_price: Some(Amount(2 * TOKEN_PRICE.0 - 1)), ..some_tokens(2) };
    assert!(matches!(gateway.buy_tokens(dear).await, Err(GatewayError::TooExpensive { .. })));
    let stranger = BuyTokens { worker: Some(Address::ZERO), ..some_tokens(2) };
    assert!(matches!(gateway.buy_tokens(stranger).await, Err(GatewayError::NoTokenSale)));
    let careful = UnlinkablePolicy { relay: None, ..UnlinkablePolicy::default() };
    let careful = unlinkable_gateway(&scene.ledger.client, 3, &Disk::default(), careful);
    let refused = careful.buy_tokens(some_tokens(1)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::YoungTokenKey { .. }), "{refused}");
    assert!(gateway.channels().unwrap().is_empty() && careful.channels().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_than_the_ledgers_is_not_bought_under() {
    let mut scene = Scene::new().await;
    // Another key behind the same ask: what a worker would show to one buyer.
    std::fs::remove_file(scene.keys.path().join("tokens.key")).unwrap();
    let port = scene.worker.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(scene.worker);
    scene.worker =
        crate::support::WorkerPlan { port, ..selling(&scene.keys) }.start_quietly(&scene.ledger.client).await;
    let refused = scene.gateway(2).buy_tokens(some_tokens(1)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::TokenKeyMismatch { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sells_where_nobody_lists_a_key() {
    let scene = Scene::new().await;
    let other =
        crate::support::WorkerPlan { models: vec![honest()], ..crate::support::WorkerPlan::honest(4) };
    scene.ledger.client.bond(&wallet(4), Amount(ASK_STAKE * 8)).await.unwrap();
    let other = other.start(&scene.ledger.client).await;
    let only = BuyTokens { worker: Some(wallet(4).address()), ..some_tokens(1) };
    assert!(matches!(scene.gateway(2).buy_tokens(only).await, Err(GatewayError::NoTokenSale)));
    let http = JsonClient::new(core::time::Duration::from_secs(5)).unwrap();
    let asked = http.get::<serde_json::Value>(&format!("{}/v1/token-key", other.server.url), 1000).await;
    assert!(matches!(asked, Err(HttpError::Refused { status: 404, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_shown_with_a_refused_question_are_kept_for_it_alone() {
    let mut scene = Scene::new().await;
    let gateway = scene.gateway(2);
    gateway.buy_tokens(some_tokens(2)).await.unwrap();
    let (request, port) =
        (unlinkable(1), scene.worker.server.url.rsplit(':').next().unwrap().parse().unwrap());
    // A worker that asks another price than its ask says refuses for good.
    let dearer = crate::support::served(
        &model(),
        "small",
        Arc::new(tacit_worker::GraphEngine::new(model())),
        Amount(PRICE.0 + 1),
    );
    drop(scene.worker);
    let plan = || crate::support::WorkerPlan { port, ..selling(&scene.keys) };
    scene.worker = crate::support::WorkerPlan { models: vec![dearer], ..plan() }
        .start_quietly(&scene.ledger.client)
        .await;
    let refused = gateway.ask(request.clone()).await.unwrap_err();
    assert!(matches!(&refused, GatewayError::Refused { code, .. } if code == "stale_price"), "{refused}");
    let held = gateway.tokens().await.unwrap();
    assert_eq!((held[0].count, held[0].shown), (0, 2));
    drop(scene.worker);
    scene.worker = plan().start_quietly(&scene.ledger.client).await;
    // Another question does not get them, the same does, under another id too.
    assert!(matches!(gateway.ask(unlinkable(2)).await, Err(GatewayError::NoTokens { .. })));
    gateway.ask(AskRequest { job_id: Some(JobId::random()), ..request }).await.unwrap();
    assert!(gateway.tokens().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_takes_its_own_tokens_for_nothing_is_not_asked_again() {
    let scene = Scene::new().await;
    let gateway = scene.gateway(2);
    gateway.buy_tokens(some_tokens(4)).await.unwrap();
    let spent = {
        let listed = scene.ledger.client.tokens(wallet(1).address()).await.unwrap();
        gateway.store().tokens_of(wallet(1).address(), listed.keyHash, B256::ZERO, 2).unwrap()
    };
    // Somebody with a copy of the wallet was faster: to the client it looks as if the worker cheated.
    let hand = Hand { scene: &scene, tokens: spent };
    hand.send(hand.request(&hand.tokens, |_| {})).await.unwrap();
    drop(hand);
    let refused = gateway.ask(unlinkable(1)).await.unwrap_err();
    assert!(matches!(&refused, GatewayError::Refused { code, .. } if code == "token_spent"), "{refused}");
    let held = gateway.tokens().await.unwrap();
    assert_eq!((held[0].count, held[0].shown), (2, 0));
    assert!(matches!(gateway.ask(unlinkable(1)).await, Err(GatewayError::Distrusted { .. })));
    gateway.forgive(wallet(1).address()).unwrap();
    gateway.ask(unlinkable(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_cannot_make_a_client_think_that_it_was_refused() {
    let scene = Scene::new().await;
    // A relay that answers everything with a refusal of its own.
    let liar = crate::support::Server::spawn(crate::support::listen(0).await, |listener| async move {
        let refusal = r#"{"error":{"code":"stale_price","message":"no"}}"#;
        let router = axum::Router::new().fallback(move || async move {
            (axum::http::StatusCode::CONFLICT, [("content-type", "application/json")], refusal)
        });
        let _ = axum::serve(listener, router).await;
    });
    let disk = Disk::default();
    let misled = unlinkable_gateway(&scene.ledger.client, 2, &disk, policy(&liar.url));
    let honest = || unlinkable_gateway(&scene.ledger.client, 2, &disk, policy(&scene.relay));
    misled.buy_tokens(some_tokens(4)).await.unwrap();
    let request = unlinkable(1);
    // Without the model, which cannot be had either, nothing is sent.
    let refused = misled.ask(request.clone()).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Unreachable { job_id: None, .. }));
    drop(misled);
    honest().ask(unlinkable(2)).await.unwrap();
    let misled = unlinkable_gateway(&scene.ledger.client, 2, &disk, policy(&liar.url));
    let refused = misled.ask(request.clone()).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Unreachable { job_id: Some(_), .. }), "{refused}");
    drop(misled);
    // The job waits, with its tokens, for a relay that carries it.
    let gateway = honest();
    assert!(gateway.tokens().await.unwrap().is_empty());
    gateway.ask(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_reaches_nothing_of_a_worker_but_what_a_question_needs() {
    let scene = Scene::new().await;
    let key = SealingKey::load_or_create(&scene.keys.path().join("sealing.key")).unwrap();
    let worker = UnlinkedWorker::new(&scene.relay, wallet(1).address(), key.public()).unwrap();
    for path in ["/v1/status", "/v1/channels/0x00", "/v1/models", "/"] {
        let asked = worker.get::<serde_json::Value>(path, 1000).await;
        assert!(matches!(&asked, Err(HttpError::Refused { status: 404, body }) if body.code == "not_found"));
    }
    let posted = worker.post::<_, serde_json::Value>("/v1/jobs", &1, 1000).await;
    assert!(matches!(posted, Err(HttpError::Refused { status: 404, .. })));
    let posted = worker.post::<_, serde_json::Value>("/v1/prepaid", &1, 1000).await;
    assert!(
        matches!(&posted, Err(HttpError::Refused { status: 400, body }) if body.code == "malformed_request")
    );
    // For another key it does not open, and the relay brings nothing.
    let other = SealingKey::random().public();
    let other = UnlinkedWorker::new(&scene.relay, wallet(1).address(), other).unwrap();
    let asked = other.get::<serde_json::Value>("/v1/models/0x00", 1000).await;
    assert!(matches!(asked, Err(HttpError::Relay { .. })));
    for bad in ["https://relay.example", "http://relay.example/path"] {
        assert!(matches!(UnlinkedWorker::new(bad, Address::ZERO, B256::ZERO), Err(HttpError::BadUrl { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_is_refused_without_the_router() {
    let scene = Scene::new().await;
    let http = JsonClient::new(core::time::Duration::from_secs(5)).unwrap();
    let url = format!("{}{}", scene.worker.server.url, oblivious::PATH);
    let patience = core::time::Duration::from_secs(5);
    let posted = http.relay(&url, oblivious::REQUEST_TYPE, vec![0; 100], patience).await.unwrap();
    assert_eq!(posted.status, 400);
    let posted = http.relay(&url, "application/json", vec![0; 100], patience).await.unwrap();
    assert_eq!(posted.status, 400);
    let key = SealingKey::load_or_create(&scene.keys.path().join("sealing.key")).unwrap();
    let (message, awaited) = oblivious::encapsulate(&key.public().into(), b"no message").unwrap();
    let mut posted = http.relay(&url, oblivious::REQUEST_TYPE, message, patience).await.unwrap();
    assert_eq!((posted.status, posted.content_type.as_str()), (200, oblivious::RESPONSE_TYPE));
    let mut bytes = Vec::new();
    while let Some(chunk) = posted.body.next().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    let opened = awaited.open(&bytes).unwrap();
    assert_eq!(tacit_wire::binary_http::BinaryResponse::decode(&opened).unwrap().status, 400);
    let keys = format!("{}/v1/ohttp-keys", scene.worker.server.url);
    let mut keys = http.download(&keys, patience).await.unwrap();
    let session = SessionKey::load_or_create(&scene.keys.path().join("session.key")).unwrap();
    let expected = oblivious::key_configurations(key.public(), &session.public());
    assert_eq!(keys.next().await.unwrap().unwrap(), expected);
}

/// The whole story again over the gateway's own HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_bought_and_listed_over_http() {
    let scene = Scene::new().await;
    let gateway: Arc<Gateway> = scene.gateway(2);
    let server = crate::support::Server::spawn(crate::support::listen(0).await, |listener| async move {
        let _ = gateway.serve(listener, core::future::pending()).await;
    });
    let http = JsonClient::new(core::time::Duration::from_secs(20)).unwrap();
    let url = format!("{}/tacit/v1/tokens", server.url);
    let bought: serde_json::Value = http.post(&url, &some_tokens(2), 4096).await.unwrap();
    assert_eq!(bought["count"], 2);
    let listed: serde_json::Value = http.get(&url, 4096).await.unwrap();
    assert_eq!((&listed[0]["count"], &listed[0]["shown"]), (&2.into(), &0.into()));
    let ask = format!("{}/tacit/v1/ask", server.url);
    let request = AskRequest { unlinkable: true, evidence: Some(Evidence::Signed), ..question(3) };
    let answer: serde_json::Value = http.post(&ask, &request, 1 << 20).await.unwrap();
    assert_eq!(answer["paid"], true);
}
