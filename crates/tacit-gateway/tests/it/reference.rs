//! A worker of language models as `specs/0010-streams.md` has it, written from the page and nothing else; and, with a [`Vice`], one that breaks it.
//!
//! Its engine is a script: it gives pieces of an answer, each when a test lets it.

use core::time::Duration;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tacit_abi::{Evidence, IAsks, Privacy, Receipt, asks::ASK_STAKE, channels::SignedVoucher};
use tacit_wire::{
    Amount, LedgerClient, Salts, Wallet,
    language::{
        LanguageInfo, LanguageKind, LanguageManifest, TokenBill, TokenCount, TokenPrices, TokenTerms,
    },
    message::{ErrorBody, ErrorReply},
    meter::{Framing, Meter},
    session::{SessionKey, SessionReply, SessionRequest, SessionSecret, session_key_hash},
    stream::{self, Account, End, EndReason, Frame, Payment, StreamHead},
    wallet::voucher_signer,
};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::support::{Server, listen, wallet};

/// What an engine says.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) pieces: Vec<Vec<u8>>,
    /// Each piece takes a permit; none: all come at once.
    pub(crate) gate: Option<Arc<Semaphore>>,
    /// The worker refuses with this code.
    pub(crate) refusal: Option<&'static str>,
    /// The worker dies before this piece.
    pub(crate) dies_at: Option<usize>,
}

/// What an engine says to a request.
pub(crate) type Engine = Box<dyn Fn(&Value) -> Script + Send + Sync>;

/// What a dishonest worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vice {
    CountsMoreInPrompts,
    CountsMoreInReceipts,
    OverMeters,
    ChargesAtOtherPrices,
    CommitsToAnotherAnswer,
    CommitsToAnotherRequest,
    SignsWithAnotherKey,
    DiesBeforeTheAnswer,
    DiesInTheAnswer,
    SaysNothingMore,
    SendsBeyondTheLimit,
    SendsAndSends,
    WantsMorePromised,
    HasAnotherSessionKey,
    HasAnotherTokenizer,
    RepeatsAFrame,
    InventsDebts,
}

/// The worker.
pub(crate) struct Reference {
    pub(crate) state: Arc<Inner>,
    _server: Server,
    pub(crate) model_id: B256,
}

pub(crate) struct Inner {
    key: u8,
    wallet: Wallet,
    ledger: LedgerClient,
    session: SessionKey,
    manifest: Vec<u8>,
    model_id: B256,
    tokenizer: Vec<u8>,
    meter: Meter,
    pub(crate) prices: TokenPrices,
    engine: Mutex<Engine>,
    pub(crate) vice: Mutex<Option<Vice>>,
    sessions: Mutex<HashMap<B256, Arc<(SessionSecret, B256)>>>,
    accounts: Mutex<HashMap<B256, Running>>,
    paid: Notify,
    /// Bodies that the engine was given.
    pub(crate) asked: Mutex<Vec<Value>>,
    pub(crate) bodies: Mutex<Vec<Vec<u8>>>,
    /// Answers that ended because the client left.
    pub(crate) left: AtomicUsize,
    pub(crate) opened: AtomicU64,
}

#[derive(Default, Clone)]
struct Running {
    owed: u128,
    promised: u128,
    voucher: Option<SignedVoucher>,
    running: u32,
    /// The most that was ever owed above what was promised.
    most_unpaid: u128,
}

pub(crate) const PRICES: TokenPrices =
    TokenPrices { request: Amount(1_000), prompt: Amount(100), completion: Amount(1_000) };
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What the models of these tests say of themselves.
pub(crate) fn manifest(kind: LanguageKind, tokenizer: &[u8]) -> LanguageManifest {
    LanguageManifest {
        kind,
        name: if kind == LanguageKind::Language { "talk" } else { "vectors" }.to_owned(),
        weights: B256::repeat_byte(9),
        tokenizer: B256::from(*blake3::hash(tokenizer).as_bytes()),
        format: "gguf".to_owned(),
        quantisation: "Q4_1".to_owned(),
        context_tokens: 4096,
        message_tokens: 4,
        licence: "Apache-2.0".to_owned(),
    }
}

/// A tokenizer that gives each byte a token, made here of nothing but its rules.
pub(crate) fn byte_tokenizer() -> Vec<u8> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let letters: serde_json::Map<String, Value> = (0..256_u32)
        .map(|byte| if printable(byte) { byte } else { others.next().unwrap() })
        .enumerate()
        .map(|(id, letter)| (char::from_u32(letter).unwrap().to_string(), Value::from(id)))
        .collect();
    serde_json::to_vec(&serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": letters, "merges": []
        }
    }))
    .unwrap()
}

/// An event of a chat with this text.
pub(crate) fn event(text: &str) -> Vec<u8> {
    format!("data: {}\n\n", serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
        .into_bytes()
}

impl Script {
    /// A streamed answer of these texts.
    pub(crate) fn stream(texts: &[&str]) -> Self {
        let mut pieces: Vec<_> = texts.iter().map(|text| event(text)).collect();
        pieces.push(b"data: [DONE]\n\n".to_vec());
        Self { pieces, content_type: "text/event-stream", ..Self::json(200, &Value::Null) }
    }

    /// One JSON value.
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let pieces = vec![serde_json::to_vec_pretty(value).unwrap()];
        Self { status, content_type: "application/json", pieces, gate: None, refusal: None, dies_at: None }
    }

    /// Each piece waits until the test lets it.
    pub(crate) fn gated(self) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        (Self { gate: Some(Arc::clone(&gate)), ..self }, gate)
    }
}

impl Reference {
    /// Publishes the model and asks for it at these prices.
    pub(crate) async fn start(
        ledger: &LedgerClient,
        key: u8,
        kind: LanguageKind,
        prices: TokenPrices,
        script: Script,
    ) -> Self {
        let tokenizer = byte_tokenizer();
        let manifest = manifest(kind, &tokenizer);
        let (bytes, model_id) = manifest.write().unwrap();
        let session = SessionKey::random();
        let state = Arc::new(Inner {
            key,
            wallet: wallet(key),
            ledger: ledger.clone(),
            manifest: bytes,
            model_id,
            meter: Meter::new(&tokenizer, 4).unwrap(),
            tokenizer,
            prices,
            engine: Mutex::new(Box::new(move |_| script.clone())),
            vice: Mutex::default(),
            sessions: Mutex::default(),
            accounts: Mutex::default(),
            paid: Notify::new(),
            asked: Mutex::default(),
            bodies: Mutex::default(),
            left: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            session,
        });
        let serving = Arc::clone(&state);
        let server = Server::spawn(listen(0).await, |listener| async move {
            axum::serve(listener, router(serving)).await.unwrap();
        });
        let owner = wallet(key);
        if ledger.model_by_name(&manifest.name).await.is_err() {
            ledger.publish(&owner, model_id, manifest.weights, &manifest.name).await.unwrap();
        }
        ledger.bond(&owner, Amount(ASK_STAKE)).await.unwrap();
        let terms = IAsks::Terms {
            privacy: Privacy::Sealed as u8,
            evidence: Evidence::Signed as u8,
            price: prices.request.0,
            promptPrice: prices.prompt.0,
            completionPrice: prices.completion.0,
            capacity: 64,
            validUntil: now() + 24 * 3600,
            sealingKey: session_key_hash(&state.session.public()),
            endpoint: server.url.clone(),
        };
        ledger.set_ask(&owner, model_id, terms).await.unwrap();
        Self { state, _server: server, model_id }
    }

    pub(crate) fn say(&self, script: Script) {
        self.run(Box::new(move |_| script.clone()));
    }

    pub(crate) fn run(&self, engine: Engine) {
        *self.state.engine.lock().unwrap() = engine;
    }

    pub(crate) fn turn(&self, vice: Vice) {
        *self.state.vice.lock().unwrap() = Some(vice);
    }

    /// Owed, promised, and the most that was unpaid at any time, over all channels.
    pub(crate) fn books(&self) -> (u128, u128, u128) {
        let accounts = self.state.accounts.lock().unwrap();
        accounts.values().fold((0, 0, 0), |(owed, promised, unpaid), account| {
            (owed + account.owed, promised + account.promised, unpaid.max(account.most_unpaid))
        })
    }

    /// Waits until so much is promised.
    pub(crate) async fn promised(&self, least: u128) -> u128 {
        loop {
            let paid = self.state.paid.notified();
            let (_, promised, _) = self.books();
            if promised >= least {
                return promised;
            }
            tokio::time::timeout(WAIT_MAX, paid).await.unwrap();
        }
    }

    /// As a restart would: sessions are gone, and what is owed is what was promised.
    pub(crate) fn crash(&self) {
        self.state.sessions.lock().unwrap().clear();
        for account in self.state.accounts.lock().unwrap().values_mut() {
            account.owed = account.promised;
            account.running = 0;
        }
    }
}

fn router(state: Arc<Inner>) -> Router {
    Router::new()
        .route("/v1/languages/{id}", get(language))
        .route("/v1/languages/{id}/tokenizer", get(tokenizer))
        .route("/v1/sessions", post(session))
        .route("/v1/streams", post(streams))
        .route("/v1/payments", post(payment))
        .route("/v1/accounts/{id}", get(account))
        .layer(axum::extract::DefaultBodyLimit::max(8 << 20))
        .with_state(state)
}

type Shared = State<Arc<Inner>>;

fn refuse(status: u16, code: &str) -> Response {
    let error = body(code, None);
    (StatusCode::from_u16(status).unwrap(), Json(ErrorReply { error })).into_response()
}

fn body(code: &str, demand: Option<Amount>) -> ErrorBody {
    ErrorBody { code: code.to_owned(), message: code.to_owned(), hint: String::new(), demand, opens_at: None }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn language(State(state): Shared) -> Json<LanguageInfo> {
    let key = match state.vice() {
        Some(Vice::HasAnotherSessionKey) => SessionKey::random().public(),
        _ => state.session.public(),
    };
    let terms = TokenTerms { privacy: Privacy::Sealed, evidence: Evidence::Signed, prices: state.prices };
    Json(LanguageInfo {
        model_id: state.model_id,
        manifest: state.manifest.clone(),
        worker: state.wallet.address(),
        session_key: key,
        asks: vec![terms],
    })
}

async fn tokenizer(State(state): Shared) -> Vec<u8> {
    let mut bytes = state.tokenizer.clone();
    if state.vice() == Some(Vice::HasAnotherTokenizer) {
        bytes.push(b' ');
    }
    bytes
}

async fn session(State(state): Shared, Json(request): Json<SessionRequest>) -> Response {
    let open = &request.open;
    let Ok(channel) = state.ledger.channel(open.channel_id).await else {
        return refuse(404, "unknown_channel");
    };
    if request.signer() != Ok(channel.signer) || channel.worker != state.wallet.address() {
        return refuse(403, "not_signer");
    }
    if open.opened_at.abs_diff(now()) > 300 {
        return refuse(400, "clock");
    }
    let Ok(secret) = state.session.accept(open) else { return refuse(400, "bad_key") };
    state.sessions.lock().unwrap().insert(open.session_id, Arc::new((secret, open.channel_id)));
    state.opened.fetch_add(1, Ordering::SeqCst);
    Json(SessionReply { session_id: open.session_id, expires_at: now() + 3600 }).into_response()
}

async fn payment(State(state): Shared, Json(payment): Json<Payment>) -> Response {
    let channel_id = payment.voucher.voucher.channelId;
    match state.take_voucher(channel_id, &payment.voucher).await {
        Ok(()) => Json(state.account_of(channel_id)).into_response(),
        Err(code) => refuse(402, code),
    }
}

async fn account(State(state): Shared, Path(id): Path<B256>) -> Response {
    if !state.accounts.lock().unwrap().contains_key(&id) {
        return refuse(404, "unknown_channel");
    }
    let mut account = state.account_of(id);
    if state.vice() == Some(Vice::InventsDebts) {
        account.owed = Amount(account.owed.0 + 10_000_000);
    }
    Json(account).into_response()
}

async fn streams(State(state): Shared, bytes: Bytes) -> Response {
    let Ok((envelope, sealed)) = stream::read_envelope(&bytes) else { return refuse(400, "bad_request") };
    let known = state.sessions.lock().unwrap().get(&envelope.session_id).cloned();
    let Some(session) = known else { return refuse(410, "unknown_session") };
    let Ok((head, request)) = stream::open_request(&session.0, envelope.sequence, sealed) else {
        return refuse(400, "bad_seal");
    };
    if state.vice() == Some(Vice::DiesBeforeTheAnswer) {
        return refuse(500, "died");
    }
    let (sender, frames) = mpsc::channel::<Vec<u8>>(16);
    let request = request.to_vec();
    tokio::spawn(async move { answer(state, session, envelope.sequence, head, request, sender).await });
    let frames = futures::stream::unfold(frames, |mut frames| async move {
        Some((Ok::<_, std::io::Error>(Bytes::from(frames.recv().await?)), frames))
    });
    Body::from_stream(frames).into_response()
}

async fn answer(
    state: Arc<Inner>,
    session: Arc<(SessionSecret, B256)>,
    sequence: u64,
    head: StreamHead,
    request: Vec<u8>,
    frames: mpsc::Sender<Vec<u8>>,
) {
    let (secret, channel_id) = (&session.0, session.1);
    let mut sealer = secret.sealer(sequence);
    let mut seal = |frame: &Frame| frame.seal(&mut sealer).unwrap();
    let vice = state.vice();
    let prices = state.prices;
    if head.prices != prices || head.model_id != state.model_id {
        let _ = frames.send(seal(&Frame::Refusal(Box::new(body("stale_prices", None))))).await;
        return;
    }
    if let Some(voucher) = &head.voucher
        && let Err(code) = state.take_voucher(channel_id, voucher).await
    {
        let _ = frames.send(seal(&Frame::Refusal(Box::new(body(code, None))))).await;
        return;
    }
    let asked: Value = serde_json::from_slice(&request).unwrap();
    let script = (*state.engine.lock().unwrap())(&asked);
    if let Some(code) = script.refusal {
        let _ = frames.send(seal(&Frame::Refusal(Box::new(body(code, None))))).await;
        return;
    }
    let mut prompt = state.meter.prompt(&request).unwrap();
    if vice == Some(Vice::CountsMoreInPrompts) {
        prompt += 100;
    }
    let cost = |completion| prices.cost(TokenCount { prompt, completion }).unwrap().0;
    let chunk = prices.chunk().0;
    let admitted = {
        let mut accounts = state.accounts.lock().unwrap();
        let account = accounts.entry(channel_id).or_default();
        let needed = (account.owed + cost(0)).saturating_sub(chunk);
        if needed > account.promised {
            Err(needed)
        } else {
            account.owed += cost(0);
            account.running += 1;
            account.most_unpaid = account.most_unpaid.max(account.owed.saturating_sub(account.promised));
            Ok(())
        }
    };
    if let Err(needed) = admitted {
        let refusal = body("payment_required", Some(Amount(needed)));
        let _ = frames.send(seal(&Frame::Refusal(Box::new(refusal)))).await;
        return;
    }
    state.bodies.lock().unwrap().push(request.clone());
    state.asked.lock().unwrap().push(asked);
    let is_free = script.status >= 400;
    let content_type = script.content_type.to_owned();
    let first = Frame::Head { status: script.status, prompt_tokens: prompt, content_type };
    let _ = frames.send(seal(&first)).await;
    let mut meter = state.meter.answer(Framing::of(script.content_type));
    let (mut given, mut completion, mut reason) = (Vec::new(), 0, EndReason::Complete);
    let pieces: Box<dyn Iterator<Item = Vec<u8>> + Send> = match vice {
        Some(Vice::SendsAndSends) => Box::new(std::iter::repeat(vec![b':'; 60_000])),
        _ => Box::new(script.pieces.into_iter()),
    };
    'pieces: for (at, piece) in pieces.enumerate() {
        if let Some(gate) = &script.gate {
            tokio::select! {
                permit = gate.acquire() => permit.unwrap().forget(),
                () = frames.closed() => {}
            }
        }
        if script.dies_at == Some(at) {
            state.end(channel_id);
            return;
        }
        match vice {
            Some(Vice::DiesInTheAnswer) if at == 2 => {
                state.end(channel_id);
                return;
            }
            Some(Vice::SaysNothingMore) if at == 2 => {
                frames.closed().await;
                state.end(channel_id);
                return;
            }
            Some(Vice::WantsMorePromised) if at == 2 => {
                let _ = frames.send(seal(&Frame::Wait { promised: Amount(100_000_000) })).await;
            }
            _ => {}
        }
        meter.feed(&piece).unwrap();
        let next = meter.tokens().unwrap();
        let more = if is_free { 0 } else { cost(next) - cost(completion) };
        if cost(next) > head.limit.0 && vice != Some(Vice::SendsBeyondTheLimit) {
            reason = EndReason::Limit;
            break;
        }
        loop {
            let paid = state.paid.notified();
            if frames.is_closed() {
                reason = EndReason::Cancelled;
                break 'pieces;
            }
            let trusting = matches!(vice, Some(Vice::SendsBeyondTheLimit | Vice::SendsAndSends));
            let chunk = if trusting { u128::MAX / 2 } else { chunk };
            let Err(wanted) = state.give(channel_id, more, chunk) else { break };
            let _ = frames.send(seal(&Frame::Wait { promised: Amount(wanted) })).await;
            tokio::select! {
                paid = tokio::time::timeout(WAIT_MAX, paid) => if paid.is_err() {
                    reason = EndReason::Unpaid;
                    break 'pieces;
                },
                () = frames.closed() => {}
            }
        }
        given.extend_from_slice(&piece);
        completion = next;
        let sealed = seal(&Frame::Data(piece));
        if vice == Some(Vice::RepeatsAFrame) && at == 1 {
            let _ = frames.send(sealed.clone()).await;
        }
        let _ = frames.send(sealed).await;
    }
    if reason == EndReason::Cancelled {
        state.left.fetch_add(1, Ordering::SeqCst);
    }
    let is_free = is_free || given.is_empty();
    let mut tokens = if is_free { TokenCount::default() } else { TokenCount { prompt, completion } };
    let mut price = if is_free { 0 } else { cost(completion) };
    if vice == Some(Vice::OverMeters) {
        tokens.completion += 32;
        price += chunk;
    }
    if is_free {
        state.take_back(channel_id, cost(0));
    }
    state.end(channel_id);
    if vice == Some(Vice::CountsMoreInReceipts) {
        price += chunk;
    }
    let mut bill = TokenBill { tokens, prices: state.prices };
    if vice == Some(Vice::ChargesAtOtherPrices) {
        bill.prices.completion = Amount(2 * prices.completion.0);
    }
    let salts = Salts::random();
    let mut output = salts.output_commitment();
    output.push(if vice == Some(Vice::CommitsToAnotherAnswer) { b"other" } else { given.as_slice() });
    let request = if vice == Some(Vice::CommitsToAnotherRequest) { b"other" } else { request.as_slice() };
    let receipt = Receipt {
        jobId: head.job_id.0,
        modelId: head.model_id,
        channelId: channel_id,
        client: state.ledger.channel(channel_id).await.unwrap().client,
        worker: state.wallet.address(),
        privacy: head.privacy as u8,
        evidence: head.evidence as u8,
        inputCommitment: salts.commit_request(head.route, request),
        outputCommitment: output.finish(),
        evidenceHash: salts.commit_evidence(&bill.to_bytes()),
        price,
        cumulative: state.owed_and_promised(channel_id).0,
        completedAt: now(),
    };
    let signer = if vice == Some(Vice::SignsWithAnotherKey) { wallet(99) } else { wallet(state.key) };
    let receipt = signer.sign_receipt(receipt, state.ledger.chain_id());
    let end = Frame::End(Box::new(End { reason, tokens, salts, receipt }));
    let _ = frames.send(seal(&end)).await;
}

impl Inner {
    fn vice(&self) -> Option<Vice> {
        *self.vice.lock().unwrap()
    }

    async fn take_voucher(&self, channel_id: B256, signed: &SignedVoucher) -> Result<(), &'static str> {
        let channel = self.ledger.channel(channel_id).await.map_err(|_| "unknown_channel")?;
        if signed.voucher.channelId != channel_id {
            return Err("wrong_channel");
        }
        if voucher_signer(signed, self.ledger.chain_id()) != Ok(channel.signer) {
            return Err("bad_signature");
        }
        if signed.voucher.cumulative > channel.deposit {
            return Err("deposit_too_small");
        }
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(channel_id).or_default();
        if signed.voucher.cumulative > account.promised {
            account.promised = signed.voucher.cumulative;
            account.voucher = Some(signed.clone());
        }
        drop(accounts);
        self.paid.notify_waiters();
        Ok(())
    }

    fn owed_and_promised(&self, channel_id: B256) -> (u128, u128) {
        let accounts = self.accounts.lock().unwrap();
        accounts.get(&channel_id).map_or((0, 0), |account| (account.owed, account.promised))
    }

    /// Counts what is about to be sent, or says what must be promised first.
    fn give(&self, channel_id: B256, more: u128, chunk: u128) -> Result<(), u128> {
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(channel_id).or_default();
        if account.owed + more > account.promised + chunk {
            return Err(account.owed + more - chunk);
        }
        account.owed += more;
        account.most_unpaid = account.most_unpaid.max(account.owed.saturating_sub(account.promised));
        Ok(())
    }

    fn take_back(&self, channel_id: B256, less: u128) {
        self.accounts.lock().unwrap().entry(channel_id).or_default().owed -= less;
    }

    fn end(&self, channel_id: B256) {
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(channel_id).or_default();
        account.running = account.running.saturating_sub(1);
    }

    fn account_of(&self, channel_id: B256) -> Account {
        let account = self.accounts.lock().unwrap().get(&channel_id).cloned().unwrap_or_default();
        let Running { owed, voucher, running, .. } = account;
        Account { channel_id, owed: Amount(owed), voucher, running }
    }
}
