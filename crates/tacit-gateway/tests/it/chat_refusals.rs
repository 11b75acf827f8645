//! Every reason for which a request that tokens pay for is refused, or its answer not believed; one attack a test.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alloy_primitives::{Address, B256};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{UnlinkablePolicy, store::StreamRecord};
use tacit_wire::{
    Amount, JobId, Wallet,
    binary_http::{BinaryRequest, BinaryResponse},
    blind::{BlindReject, MODULUS_BYTES},
    http::HttpError,
    language::{MODE, TokenBill, TokenCount, TokenPrices, language_model_id},
    meter::Route,
    oblivious,
    prepaid::{self, PrepaidAnswer, PrepaidHead, PrepaidStream, change_hash},
    session::SessionKey,
    stream::StreamHead,
    token::{self, Token, TokenReject, TokenSecret, payment_id_with_change},
    unlinked::{UnlinkedWorker, fetch_session_key},
};
use tacit_worker::{JobReject, StreamRefusal, Worker};

use crate::{
    chats::{Chats, Door, FOUR, TOKEN, chat, four, open, some},
    disk::Disk,
    openai::{code, completion, spending},
    reference::{PRICES, Script, manifest},
    support::{Server, listen, wallet},
};

/// A client that makes its requests by hand.
struct Hand<'a> {
    chats: &'a Chats,
    tokens: Vec<Token>,
    secrets: Vec<TokenSecret>,
}

impl<'a> Hand<'a> {
    async fn with(chats: &'a Chats, count: u32) -> Self {
        let door = chats.gateway(2).await;
        door.gateway.buy_tokens(some(count)).await.unwrap();
        let worker = wallet(1).address();
        let listed = chats.ledger.client.tokens(worker).await.unwrap();
        let tokens = door.gateway.store().tokens_of(worker, listed.keyHash, B256::ZERO, 64).unwrap();
        let secrets = tokens.iter().map(|_| TokenSecret::random(chats.signer().public())).collect();
        Self { chats, tokens, secrets }
    }

    fn chain_id(&self) -> u64 {
        self.chats.ledger.client.chain_id()
    }

    /// A good request that these tokens pay for, but for what is changed in its head before it is signed.
    fn request(&self, tokens: &[Token], change: impl FnOnce(&mut PrepaidHead)) -> Vec<u8> {
        let (account, signer) = (Wallet::random(), self.chats.signer());
        let about = token::challenge(self.chain_id(), wallet(1).address());
        let requests = self.secrets.iter().take(tokens.len());
        let requests = requests.flat_map(|secret| secret.request(signer.public(), about).unwrap()).collect();
        let tokenizer = crate::reference::byte_tokenizer();
        let manifest = manifest(tacit_wire::language::LanguageKind::Language, &tokenizer).write().unwrap().0;
        let mut head = PrepaidHead {
            chain_id: self.chain_id(),
            worker: wallet(1).address(),
            client: account.address(),
            stream: StreamHead {
                job_id: JobId::random(),
                model_id: language_model_id(&manifest),
                route: Route::ChatCompletions,
                privacy: MODE.0,
                evidence: MODE.1,
                prices: PRICES,
                limit: Amount(TOKEN * u128::try_from(tokens.len().max(1)).unwrap()),
                voucher: None,
            },
            tokens: tokens.to_vec(),
            change: requests,
        };
        change(&mut head);
        PrepaidStream::write(&head, &serde_json::to_vec(&crate::openai::hello(json!({}))).unwrap(), &account)
            .unwrap()
    }

    async fn send(&self, request: &[u8]) -> Result<PrepaidAnswer, StreamRefusal> {
        let answered = self.chats.worker.worker.answer_prepaid_stream(request).await;
        answered.map(|bytes| PrepaidAnswer::read(&bytes).unwrap())
    }

    async fn refused(&self, tokens: &[Token], change: impl FnOnce(&mut PrepaidHead)) -> StreamRefusal {
        match self.send(&self.request(tokens, change)).await {
            Err(refusal) => refusal,
            Ok(_) => panic!("answered"),
        }
    }

    /// The change that an answer gave, as tokens.
    fn change(&self, answer: &PrepaidAnswer) -> Vec<Token> {
        let (signer, about) = (self.chats.signer(), token::challenge(self.chain_id(), wallet(1).address()));
        let count = answer.head.change.len() / MODULUS_BYTES;
        let signatures = token::decode_responses(&answer.head.change, count).unwrap();
        let tokens = self.secrets.iter().zip(&signatures);
        tokens.map(|(secret, signed)| secret.finish(signer.public(), about, signed).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_answered_once_and_change_is_what_is_left() {
    let chats = Chats::new(four()).await;
    let hand = Hand::with(&chats, 4).await;
    let request = hand.request(&hand.tokens, |_| {});
    let answer = hand.send(&request).await.unwrap();
    chats.mouth.say(Script::json(200, &completion("other")));
    let again = hand.send(&request).await.unwrap();
    assert!(again == answer);
    assert_eq!(chats.mouth.asked(), 1);
    assert_eq!(answer.head.end.receipt.receipt.price, FOUR);
    // The receipt is about tokens, requests for change, and change.
    let receipt = &answer.head.end.receipt.receipt;
    let sent = PrepaidStream::read(&request).unwrap();
    assert_eq!(receipt.channelId, payment_id_with_change(&sent.head.tokens, &sent.head.change));
    let bill = TokenBill { tokens: TokenCount { prompt: 6, completion: 4 }, prices: PRICES };
    let evidence = bill.committed(Some(change_hash(&answer.head.change)));
    assert_eq!(receipt.evidenceHash, answer.head.end.salts.commit_evidence(&evidence));
    // Three of four come back, and are as good as any.
    let change = hand.change(&answer);
    assert_eq!(change.len(), 3);
    let other = Hand { chats: &chats, tokens: change, secrets: hand.secrets.clone() };
    other.send(&other.request(&other.tokens, |_| {})).await.unwrap();
    for spent in [&hand.tokens[..1], &hand.tokens, &other.tokens[2..]] {
        assert!(matches!(hand.refused(spent, |_| {}).await, StreamRefusal::Job(JobReject::TokenSpent)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_spent_once_across_restarts_and_the_answer_is_the_same() {
    let mut chats = Chats::new(four()).await;
    let (request, answer, tokens, secrets) = {
        let hand = Hand::with(&chats, 4).await;
        let request = hand.request(&hand.tokens, |_| {});
        let answer = hand.send(&request).await.unwrap();
        (request, answer, hand.tokens, hand.secrets)
    };
    chats.restart().await;
    let hand = Hand { chats: &chats, tokens, secrets };
    assert!(matches!(hand.refused(&hand.tokens, |_| {}).await, StreamRefusal::Job(JobReject::TokenSpent)));
    assert!(hand.send(&request).await.unwrap() == answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_token_buy_one_answer() {
    let chats = Chats::new(four()).await;
    let hand = Hand::with(&chats, 2).await;
    let requests: Vec<_> = (0..8).map(|_| hand.request(&hand.tokens, |_| {})).collect();
    let answers = futures::future::join_all(requests.iter().map(|request| hand.send(request))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(matches!(refusal, StreamRefusal::Job(JobReject::TokenSpent)), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_is_said_to_run() {
    let (script, gate) = four().gated();
    let chats = Chats::new(script).await;
    let hand = Hand::with(&chats, 4).await;
    let (first, second) = hand.tokens.split_at(2);
    let job_id = JobId::random();
    let request = hand.request(first, |head| head.stream.job_id = job_id);
    let running = hand.send(&request);
    let beside = async {
        while chats.mouth.asked() == 0 {
            tokio::task::yield_now().await;
        }
        let in_progress = |refusal| matches!(refusal, StreamRefusal::Job(JobReject::InProgress { .. }));
        assert!(in_progress(hand.send(&request).await.map(|_| ()).unwrap_err()));
        // Another's under the same name, which ends before long.
        assert!(in_progress(hand.refused(second, |head| head.stream.job_id = job_id).await));
        assert!(matches!(hand.refused(first, |_| {}).await, StreamRefusal::Job(JobReject::TokenSpent)));
        gate.add_permits(1);
    };
    assert!(tokio::join!(running, beside).0.is_ok());
    let refusal = hand.refused(second, |head| head.stream.job_id = job_id).await;
    assert!(matches!(refusal, StreamRefusal::Job(JobReject::JobIdReused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_signature_payment_and_requests_for_change_are_checked() {
    let chats = Chats::new(four()).await;
    let hand = Hand::with(&chats, 4).await;
    let tokens = &hand.tokens;
    macro_rules! refused {
        ($tokens:expr, $change:expr, $($expected:tt)+) => {
            let refusal = hand.refused($tokens, $change).await;
            assert!(matches!(refusal, $($expected)+), "{refusal:?}");
        };
    }
    use StreamRefusal::Job;
    refused!(tokens, |head| head.chain_id += 1, Job(JobReject::WrongChain { .. }));
    refused!(tokens, |head| head.worker = Address::ZERO, Job(JobReject::WrongWorker { .. }));
    refused!(tokens, |head| head.stream.model_id = B256::ZERO, Job(JobReject::UnknownModel { .. }));
    refused!(tokens, |head| head.stream.privacy = Privacy::Clear, Job(JobReject::UnsupportedMode { .. }));
    refused!(
        tokens,
        |head| head.stream.evidence = Evidence::Attested,
        Job(JobReject::UnsupportedMode { .. })
    );
    let cheap = TokenPrices { prompt: Amount(0), ..PRICES };
    refused!(tokens, |head| head.stream.prices = cheap, StreamRefusal::StalePrices { .. });
    refused!(tokens, |head| head.client = Address::ZERO, Job(JobReject::NotSigner { .. }));
    refused!(&[], |_| {}, Job(JobReject::OtherPayment));
    // Worth less than the limit; and a limit beyond what can be paid.
    refused!(
        &tokens[..3],
        |head| head.stream.limit.0 += 1,
        Job(JobReject::WrongPayment { expected: 4, got: 3 })
    );
    refused!(tokens, |head| head.stream.limit.0 = 64 * TOKEN + 1, Job(JobReject::NoTokens));
    refused!(tokens, |head| head.stream.limit = Amount(1_599), StreamRefusal::OverLimit { .. });
    let twice = [tokens[0].clone(), tokens[0].clone()];
    refused!(&twice, |_| {}, Job(JobReject::TokenSpent));
    // As many requests for change as tokens, each of which can be signed.
    refused!(tokens, |head| head.change.truncate(3 * 259), Job(JobReject::Token(TokenReject::Length { .. })));
    refused!(tokens, |head| head.change.clear(), Job(JobReject::Token(TokenReject::Length { .. })));
    refused!(tokens, |head| head.change.push(0), Job(JobReject::Token(TokenReject::Length { .. })));
    let beyond = |head: &mut PrepaidHead| head.change[3 * 259 + 3..].fill(0xff);
    refused!(tokens, beyond, Job(JobReject::Token(TokenReject::Blind(BlindReject::Message))));
    refused!(tokens, |head| head.change[2] ^= 1, Job(JobReject::Token(TokenReject::Key)));
    let malformed = hand.send(b"no request").await.map(|_| ()).unwrap_err();
    assert!(matches!(malformed, Job(JobReject::Malformed { .. })));
    // None of this spent anything, or asked the engine.
    assert_eq!(chats.mouth.asked(), 0);
    hand.send(&hand.request(tokens, |_| {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_altered_byte_of_a_token_is_refused() {
    let chats = Chats::new(four()).await;
    let hand = Hand::with(&chats, 2).await;
    let good = hand.tokens[0].to_bytes();
    // The first two bytes are its type, which does not even decode.
    for at in (2..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let tokens = [hand.tokens[1].clone(), Token::from_bytes(&bad).unwrap()];
        let refusal = hand.refused(&tokens, |_| {}).await;
        assert!(matches!(refusal, StreamRefusal::Job(JobReject::Token(_))), "byte {at}: {refusal:?}");
    }
    hand.send(&hand.request(&hand.tokens, |_| {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_unlinkably_is_refused_before_anything_is_sent() {
    let chats = Chats::new(four()).await;
    let door = chats.gateway(2).await;
    // How many tokens are missing, and the command that buys them.
    door.gateway.buy_tokens(some(3)).await.unwrap();
    let response = door.chat(json!({})).await;
    assert_eq!(response.status(), 402);
    let said = response.json::<Value>().await.unwrap()["error"]["message"].as_str().unwrap().to_owned();
    let worker = wallet(1).address();
    assert!(said.contains(&format!("4 tokens of worker {worker} are needed and 3 are there")), "{said}");
    assert!(said.contains(&format!("tacit tokens buy talk --worker {worker} --count 1")), "{said}");
    door.gateway.buy_tokens(some(5)).await.unwrap();
    // Too long an answer for 64 tokens; no length at all.
    assert_eq!(door.refused(json!({"max_tokens": 4000})).await, (400, "invalid_value".to_owned()));
    assert_eq!(door.refused(json!({"max_tokens": null})).await, (400, "invalid_value".to_owned()));
    // Wishes that cannot be kept together.
    for wish in [
        json!({"privacy": "enclave"}),
        json!({"evidence": "attested"}),
        json!({"evidence": "audited"}),
        json!({"privacy": "clear"}),
    ] {
        let mut provider = wish.clone();
        provider["unlinkable"] = json!(true);
        let refused = door.refused(json!({ "provider": provider })).await;
        assert_eq!(refused, (400, "not_unlinkable".to_owned()), "{wish}");
    }
    let nobody = json!({"provider": {"unlinkable": true, "ignore": [worker]}});
    assert_eq!(door.refused(nobody).await, (404, "no_worker".to_owned()));
    let dear = json!({"provider": {"unlinkable": true, "max_price": {"completion": "0.0000000000000001"}}});
    assert_eq!(door.refused(dear).await, (404, "no_worker".to_owned()));
    let without =
        open(&chats.ledger.client, 3, &Disk::default(), spending(), UnlinkablePolicy::default()).await;
    assert_eq!(without.refused(json!({})).await, (400, "not_unlinkable".to_owned()));
    assert_eq!((door.held().await, chats.mouth.asked()), ((8, 0), 0));
    // What can be kept is.
    let kept = json!({"unlinkable": true, "only": [worker], "privacy": "sealed", "evidence": "signed"});
    door.answered(json!({ "provider": kept }), FOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sells_no_tokens_is_not_asked() {
    let chats = Chats::new(four()).await;
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    // Another worker of the same model, cheaper, that sells none.
    let keys = Arc::new(tempfile::tempdir().unwrap());
    let (mouth, engine) = crate::chats::Mouth::start(four()).await;
    let plan = crate::chats::plan(&keys, &Disk::default(), &engine.url);
    let other = crate::support::WorkerPlan { key: 5, token_price: None, ..plan };
    let _other = other.start(&chats.ledger.client).await;
    door.answered(json!({}), FOUR).await;
    assert_eq!((mouth.asked(), chats.mouth.asked()), (0, 1));
    let only = json!({"provider": {"unlinkable": true, "only": [wallet(5).address()]}});
    assert_eq!(door.refused(only).await, (400, "not_unlinkable".to_owned()));
}

/// What stands at a worker's address: it passes everything on, but alters answers that tokens pay for.
#[derive(Clone)]
struct False {
    worker: Arc<Worker>,
    target: String,
    key: Arc<SessionKey>,
    vice: Vice,
}

type Vice = Arc<dyn Fn(&PrepaidStream, &mut PrepaidAnswer) + Send + Sync>;

impl False {
    async fn before(
        chats: &Chats,
        vice: impl Fn(&PrepaidStream, &mut PrepaidAnswer) + Send + Sync + 'static,
    ) -> Server {
        let worker = Arc::clone(&chats.worker.worker);
        let (target, key) = (chats.worker.server.url.clone(), Arc::new(chats.session_key()));
        let state = Self { worker, target, key, vice: Arc::new(vice) };
        let router = Router::new().fallback(pass).with_state(state);
        let server = Server::spawn(listen(0).await, |listener| async move {
            axum::serve(listener, router).await.unwrap();
        });
        chats.worker.worker.publish_and_ask(&server.url).await.unwrap();
        server
    }
}

async fn pass(State(state): State<False>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    if parts.uri.path() == oblivious::PATH
        && let Ok((plain, reply)) = state.key.decapsulate(&body)
    {
        let inner = BinaryRequest::decode(&plain).unwrap();
        if inner.path == prepaid::PATH
            && let Ok(answered) = state.worker.answer_prepaid_stream(&inner.content).await
        {
            let mut answer = PrepaidAnswer::read(&answered).unwrap();
            (state.vice)(&PrepaidStream::read(&inner.content).unwrap(), &mut answer);
            let content = PrepaidAnswer::write(&answer.head, &answer.answer).unwrap();
            let content_type = "application/octet-stream".to_owned();
            let response = BinaryResponse { status: 200, content_type, content };
            let sealed = reply.seal(&response.encode()).unwrap();
            return ([(CONTENT_TYPE, oblivious::RESPONSE_TYPE)], sealed).into_response();
        }
    }
    forward(&state.target, parts, body.to_vec()).await
}

async fn forward(target: &str, parts: axum::http::request::Parts, body: Vec<u8>) -> Response {
    let url = format!("{target}{}", parts.uri.path());
    let mut request = crate::openai::client().request(parts.method, url).body(body);
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        request = request.header(CONTENT_TYPE, kind);
    }
    let reply = request.send().await.unwrap();
    let (status, kind) = (reply.status(), reply.headers().get(CONTENT_TYPE).cloned());
    let mut response = Response::new(Body::from(reply.bytes().await.unwrap()));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// Signs a changed receipt as the worker would, over the change that comes with it.
fn sign(answer: &mut PrepaidAnswer, chain_id: u64, prices: TokenPrices) {
    let end = &mut answer.head.end;
    let bill = TokenBill { tokens: end.tokens, prices };
    let evidence = bill.committed(Some(change_hash(&answer.head.change)));
    end.receipt.receipt.evidenceHash = end.salts.commit_evidence(&evidence);
    end.receipt = wallet(1).sign_receipt(end.receipt.receipt.clone(), chain_id);
}

/// A gateway's question to a worker with a vice; the tokens are gone and the worker is not asked again. What was kept of it.
async fn cheated(
    expected: &str,
    vice: impl Fn(&PrepaidStream, &mut PrepaidAnswer, u64) + Send + Sync + 'static,
) -> (Chats, Door, Option<StreamRecord>) {
    let chats = Chats::new(four()).await;
    let chain_id = chats.ledger.client.chain_id();
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(8)).await.unwrap();
    let server = False::before(&chats, move |request, answer| vice(request, answer, chain_id)).await;
    assert_eq!(door.refused(json!({})).await, (502, "dishonest_worker".to_owned()));
    let distrust = door.gateway.store().distrust(wallet(1).address()).unwrap().unwrap();
    assert_eq!(distrust.code, expected, "{}", distrust.message);
    assert_eq!(door.held().await, (4, 0));
    assert!(door.gateway.store().prepaid_streams_in_flight().unwrap().is_empty());
    // It is not asked again, and what is left stays.
    assert_eq!(door.refused(json!({})).await, (502, "dishonest_worker".to_owned()));
    assert_eq!((door.held().await, chats.mouth.asked()), ((4, 0), 1));
    drop(server);
    let record = door.gateway.store().streams(10).unwrap().pop();
    (chats, door, record)
}

/// What was kept of false change convicts the worker: it signed for these tokens and requests, and gave this.
fn convicts(chats: &Chats, record: &StreamRecord) {
    let payment = record.fault.as_ref().unwrap().payment.as_ref().unwrap();
    let receipt = &record.receipt.receipt;
    assert_eq!(receipt.channelId, payment_id_with_change(&payment.tokens, &payment.requests));
    assert_eq!(record.change, Some(change_hash(&payment.change)));
    let bill = TokenBill { tokens: record.claimed, prices: record.prices };
    assert_eq!(receipt.evidenceHash, record.salts.commit_evidence(&bill.committed(record.change)));
    let due = token::change(payment.tokens.len(), TOKEN, receipt.price).unwrap();
    let public = chats.signer();
    let public = public.public();
    let requests = token::decode_requests(&payment.requests, public).unwrap();
    let mut one = [0; MODULUS_BYTES];
    one[MODULUS_BYTES - 1] = 1;
    let given = payment.change.as_chunks::<MODULUS_BYTES>().0;
    let good = requests.iter().zip(given).filter(|(request, signed)| public.explains(&one, signed, request));
    assert!(good.count() < due);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_change_is_not_believed_and_kept() {
    let (chats, _door, record) = cheated("stream_change", |_, answer, chain_id| {
        answer.head.change.truncate(2 * MODULUS_BYTES);
        sign(answer, chain_id, PRICES);
    })
    .await;
    convicts(&chats, &record.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn change_that_is_no_signature_is_not_believed_and_kept() {
    let (chats, _door, record) = cheated("stream_change", |_, answer, chain_id| {
        answer.head.change[2 * MODULUS_BYTES + 9] ^= 1;
        sign(answer, chain_id, PRICES);
    })
    .await;
    convicts(&chats, &record.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_another_key_is_not_believed() {
    let other = Arc::new(tacit_wire::blind::SecretKey::random().unwrap());
    let (chats, _door, record) = cheated("stream_change", move |request, answer, chain_id| {
        let requests = request.head.change.as_chunks::<259>().0;
        let signed = requests.iter().take(3).map(|request| {
            let mut blinded: [u8; MODULUS_BYTES] = request[3..].try_into().unwrap();
            blinded[0] = 0;
            other.sign(&blinded).unwrap()
        });
        answer.head.change = signed.flatten().collect();
        sign(answer, chain_id, PRICES);
    })
    .await;
    convicts(&chats, &record.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn change_that_the_receipt_does_not_name_is_not_believed() {
    let (_chats, _door, record) =
        cheated("stream_evidence", |_, answer, _| answer.head.change.truncate(2 * MODULUS_BYTES)).await;
    assert!(record.unwrap().fault.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_bill_is_not_believed_and_kept() {
    let (_chats, door, record) = cheated("stream_price", |_, answer, chain_id| {
        let end = &mut answer.head.end;
        end.tokens.completion += 1;
        (end.receipt.receipt.price, end.receipt.receipt.cumulative) = (FOUR + 1_000, FOUR + 1_000);
        sign(answer, chain_id, PRICES);
    })
    .await;
    // Whoever has the file and the tokenizer sees it.
    let bundle = door.gateway.stream_bundle(JobId(record.unwrap().receipt.receipt.jobId)).unwrap();
    let tokenizer = crate::reference::byte_tokenizer();
    let judged = tacit_gateway::verify_stream(&bundle, Some(&tokenizer)).unwrap().judgement();
    assert!(matches!(judged, tacit_gateway::stream_receipt::Judgement::False(_)), "{judged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_prices_are_not_believed() {
    cheated("stream_evidence", |_, answer, chain_id| {
        sign(answer, chain_id, TokenPrices { completion: Amount(2_000), ..PRICES });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_over_other_tokens_is_not_believed() {
    cheated("stream_field", |request, answer, chain_id| {
        let tokens = &request.head.tokens;
        answer.head.end.receipt.receipt.channelId =
            payment_id_with_change(&tokens[1..], &request.head.change);
        sign(answer, chain_id, PRICES);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_another_sum_is_not_believed() {
    cheated("stream_field", |_, answer, chain_id| {
        answer.head.end.receipt.receipt.cumulative += 1;
        sign(answer, chain_id, PRICES);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_answer_is_not_believed() {
    cheated("stream_answer", |_, answer, _| {
        answer.answer = serde_json::to_vec_pretty(&completion("five")).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_another_question_is_not_believed() {
    cheated("stream_request", |request, answer, chain_id| {
        let end = &mut answer.head.end;
        let other = [request.body.as_slice(), b" "].concat();
        end.receipt.receipt.inputCommitment = end.salts.commit_request(Route::ChatCompletions, &other);
        sign(answer, chain_id, PRICES);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_another_signed_is_not_believed_and_shows_nothing() {
    let (_chats, _door, record) = cheated("stream_signature", |_, answer, chain_id| {
        let receipt = answer.head.end.receipt.receipt.clone();
        answer.head.end.receipt = wallet(3).sign_receipt(receipt, chain_id);
    })
    .await;
    assert!(record.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_keeps_tokens_is_found_out_by_them() {
    // The worker says that its engine refused, and keeps the tokens.
    let chats = Chats::new(four()).await;
    let chain_id = chats.ledger.client.chain_id();
    let door = chats.gateway(2).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    let _server = False::before(&chats, move |_, answer| {
        answer.head.status = 500;
        answer.head.change.clear();
        (answer.head.end.receipt.receipt.price, answer.head.end.receipt.receipt.cumulative) = (0, 0);
        answer.head.end.tokens = TokenCount::default();
        sign(answer, chain_id, PRICES);
    })
    .await;
    assert_eq!(door.chat(json!({})).await.status(), 500);
    assert_eq!(door.held().await, (0, 4));
    // The same question again, with the same tokens: it says that they are spent, and its receipt says that they are not.
    assert_eq!(door.refused(json!({})).await.1, "dishonest_worker");
    let distrust = door.gateway.store().distrust(wallet(1).address()).unwrap().unwrap();
    assert_eq!(distrust.code, "tokens_refused");
    assert_eq!(door.held().await, (0, 0));
    assert_eq!(door.gateway.store().streams(10).unwrap().len(), 1);
}

/// What a relay does that wants something else than to relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meddling {
    /// It alters what it brings.
    Alters,
    /// It brings nothing.
    Drops,
    /// It sends everything twice, and brings the second answer.
    Repeats,
    /// It says that it was refused.
    Refuses,
    /// It brings what has no end.
    Floods,
    /// It hands out a key of its own.
    HasAKey,
}

#[derive(Clone)]
struct Meddler {
    target: String,
    meddling: Meddling,
    /// Requests to be relayed honestly before.
    honest: Arc<AtomicUsize>,
}

async fn meddle(State(state): State<Meddler>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let is_keys = parts.uri.path().ends_with("/keys");
    if state.meddling == Meddling::HasAKey && is_keys {
        let keys = oblivious::key_configurations(B256::repeat_byte(9), &SessionKey::random().public());
        return ([(CONTENT_TYPE, oblivious::KEYS_TYPE)], keys).into_response();
    }
    let left = |left: usize| left.checked_sub(1);
    if is_keys || state.honest.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
        return forward(&state.target, parts, body).await;
    }
    let answer = forward(&state.target, parts.clone(), body.clone()).await;
    match state.meddling {
        Meddling::Alters => {
            let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            ([(CONTENT_TYPE, oblivious::RESPONSE_TYPE)], bytes).into_response()
        }
        Meddling::Drops => StatusCode::BAD_GATEWAY.into_response(),
        Meddling::Repeats => forward(&state.target, parts, body).await,
        Meddling::Refuses => {
            let refusal = r#"{"error":{"code":"token_spent","message":"no"}}"#;
            (StatusCode::PAYMENT_REQUIRED, [(CONTENT_TYPE, "application/json")], refusal).into_response()
        }
        Meddling::Floods => ([(CONTENT_TYPE, oblivious::RESPONSE_TYPE)], vec![0; 17 << 20]).into_response(),
        Meddling::HasAKey => answer,
    }
}

async fn meddler(chats: &Chats, meddling: Meddling, honest: usize) -> Server {
    let state = Meddler { target: chats.relay.url.clone(), meddling, honest: Arc::new(honest.into()) };
    let router = Router::new().fallback(meddle).with_state(state);
    Server::spawn(listen(0).await, |listener| async move {
        axum::serve(listener, router).await.unwrap();
    })
}

/// Manifest and tokenizer are fetched before.
const FETCHES: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_alters_drops_or_refuses_leaves_the_request_to_be_sent_again() {
    for meddling in [Meddling::Alters, Meddling::Drops, Meddling::Refuses, Meddling::Floods] {
        let chats = Chats::new(four()).await;
        let (disk, relay) = (Disk::default(), meddler(&chats, meddling, FETCHES).await);
        let door = chats.gateway_on(2, &disk, spending(), &relay.url).await;
        door.gateway.buy_tokens(some(4)).await.unwrap();
        assert_eq!(door.refused(json!({})).await, (502, "no_answer".to_owned()), "{meddling:?}");
        // The worker answered, once; nobody is distrusted, and nothing is lost.
        assert_eq!((chats.mouth.asked(), door.held().await), (1, (0, 0)));
        assert!(door.gateway.store().distrust(wallet(1).address()).unwrap().is_none());
        drop(door);
        let door = chats.gateway_on(2, &disk, spending(), &chats.relay.url).await;
        while door.held().await != (3, 0) {
            let _ = door.gateway.resume().await;
        }
        assert!(door.gateway.store().prepaid_streams_in_flight().unwrap().is_empty());
        let receipt = door.gateway.receipts().unwrap().remove(0);
        assert_eq!((receipt.price, chats.mouth.asked()), (Amount(FOUR), 1));
        // The answer that nobody waited for is with its receipt.
        assert!(door.gateway.stream_bundle(receipt.job_id).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_repeats_pays_once() {
    let chats = Chats::new(four()).await;
    let relay = meddler(&chats, Meddling::Repeats, FETCHES).await;
    let door = chats.gateway_on(2, &Disk::default(), spending(), &relay.url).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    door.answered(json!({}), FOUR).await;
    assert_eq!((chats.mouth.asked(), door.held().await), (1, (3, 0)));
    assert_eq!(chats.worker.worker.earnings().unwrap().jobs, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_cannot_put_its_own_key_in_the_workers_place() {
    let chats = Chats::new(four()).await;
    let relay = meddler(&chats, Meddling::HasAKey, 0).await;
    let door = chats.gateway_on(2, &Disk::default(), spending(), &relay.url).await;
    door.gateway.buy_tokens(some(4)).await.unwrap();
    assert_eq!(door.refused(json!({})).await, (502, "no_answer".to_owned()));
    assert_eq!((chats.mouth.asked(), door.held().await), (0, (4, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_reaches_nothing_of_a_worker_but_what_a_chat_needs() {
    let chats = Chats::new(four()).await;
    let (worker, key) = (wallet(1).address(), chats.session_key().public());
    let hash = tacit_wire::session::session_key_hash(&key);
    let found = fetch_session_key(&chats.relay.url, worker, hash).await.unwrap();
    assert_eq!(found, oblivious::Recipient::Streams(key));
    let other = fetch_session_key(&chats.relay.url, worker, B256::ZERO).await;
    assert!(matches!(other, Err(HttpError::Relay { .. })));
    let unknown = fetch_session_key(&chats.relay.url, wallet(7).address(), hash).await;
    assert!(matches!(unknown, Err(HttpError::Told { status: 404, .. })));
    let unlinked = UnlinkedWorker::new(&chats.relay.url, worker, found).unwrap();
    for path in ["/v1/status", "/v1/languages", "/v1/accounts/0x00", "/v1/languages/0x00/tokenizer", "/"] {
        let asked = unlinked.get_bytes(path, 1000).await;
        assert!(matches!(&asked, Err(HttpError::Refused { status: 404, .. })), "{path}");
    }
    let model_id = B256::ZERO;
    for path in [format!("/v1/languages/{model_id}"), prepaid::tokenizer_path(model_id, 0)] {
        let asked = unlinked.get_bytes(&path, 1000).await;
        assert!(matches!(&asked, Err(HttpError::Refused { body, .. }) if body.code == "unknown_model"));
    }
    for path in ["/v1/streams", "/v1/sessions", "/v1/payments"] {
        let posted = unlinked.post_bytes(path, vec![0; 100], 1000).await;
        assert!(matches!(posted, Err(HttpError::Refused { status: 404, .. })), "{path}");
    }
    // Nobody is answered so who does not come sealed.
    let posted = crate::openai::client().post(format!("{}{}", chats.worker.server.url, prepaid::PATH));
    assert_eq!(posted.body(vec![0; 100]).send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_key_than_is_kept_are_not_shown() {
    // A wallet of before keys were kept with what was bought under them: what is there cannot be asked change for.
    let chats = Chats::new(four()).await;
    let body = chat(json!({}));
    let door = chats.gateway(2).await;
    assert_eq!(code(door.post("/v1/chat/completions", &body).await).await.1, "no_tokens");
    let listed = chats.ledger.client.tokens(wallet(1).address()).await.unwrap();
    assert_eq!(door.gateway.store().token_key(listed.keyHash).unwrap(), None);
    door.gateway.buy_tokens(some(4)).await.unwrap();
    let kept = door.gateway.store().token_key(listed.keyHash).unwrap().unwrap();
    assert_eq!(kept, token::encode_key(chats.signer().public()));
}
