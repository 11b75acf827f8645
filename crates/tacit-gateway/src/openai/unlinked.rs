//! Requests that nobody can join to a payment: through the relay, paid with tokens, answered whole, with change (`specs/0013-unlinkable.md`, *Language models*).
//!
//! Everything that a request needs of its worker goes through the relay, sealed to the key whose hash is on the ledger. Tokens worth what the answer may cost are shown with it, and as many
//! requests for tokens, of which the worker signs as many as are left. Receipt, bill and every token of the change are checked before anything is given out.
//!
//! # What the client risks
//! The tokens of one request, if its answer is false or never comes, and of each request what does not divide into tokens.
//!
//! # What survives a crash
//! Tokens leave the wallet in the write that keeps the request and what makes tokens of its change, before anything is sent; the same bytes are sent again after a restart. Change enters
//! the wallet in the write that keeps the receipt and ends the request. Tokens of a request that was refused go back, for the same question alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, keccak256};
use tacit_abi::receipts;
use tacit_wire::{
    Amount, JobId, Wallet,
    http::{HttpError, printable},
    language::{MODE, TokenCount},
    ledger::unix_time_s,
    message::ErrorBody,
    meter::{Framing, Meter, MeterReject, Route},
    prepaid::{
        BODY_BYTES_MAX, ENCODED_ANSWER_BYTES_MAX, PATH, PrepaidAnswer, PrepaidHead, PrepaidStream,
        change_hash,
    },
    stream::{EndReason, StreamHead},
    token::{self, PAYMENT_TOKENS_MAX, Token, TokenReject, TokenSecret},
    unlinked::{UnlinkedWorker, fetch_session_key},
};
use tokio::sync::mpsc;

use super::{
    attempt::{Asker, Failure, Outcome, Piece, Try, crowded, terms, want},
    caps::Want,
    error::ApiError,
    follow::ended,
    language::{Language, Way},
    market::{TokenAsk, token_ask},
    receipts::{Asked, Came, EndReject, check_end},
    request::ApiRequest,
};
use crate::{
    deliver::{Sending, refused_for_good},
    error::GatewayError,
    gateway::Gateway,
    store::{
        Distrust, Exchange, PaymentShown, PrepaidStreamRecord, StreamReceipt, StreamRecord, UNUSABLE_CODES,
        is_returned,
    },
};

/// Tokens that are about to be shown.
struct Payment {
    tokens: Vec<Token>,
    /// Their key, as RFC 9578 encodes it.
    key: Vec<u8>,
    token_price: u128,
    /// What may leave the wallet at most: tokens for the request's limit.
    most: Amount,
}

/// A request that is on disk.
#[derive(Clone)]
struct Sent {
    record: PrepaidStreamRecord,
    request: PrepaidStream,
}

/// An answer that was checked and kept.
struct Settled {
    status: u16,
    content_type: String,
    bytes: Vec<u8>,
    reason: EndReason,
    outcome: Outcome,
    /// What left the wallet for it.
    kept: Amount,
}

/// Why there is no answer.
enum Unsettled {
    /// The tokens are in the wallet again.
    Back(Failure),
    /// They are not: the request has no end yet, or none that is believed.
    Gone(Failure),
}

/// What came is what was asked for, and the change is due and good.
struct Checked {
    answer: PrepaidAnswer,
    record: StreamRecord,
    counted: TokenCount,
    change: Vec<Token>,
}

/// What came is false.
struct Rejected {
    code: &'static str,
    message: String,
    receipt: Option<StreamReceipt>,
}

/// Longest that an answer is waited for while its worker says that it is at work.
const WHOLE_MAX: Duration = Duration::from_secs(600);
/// The same for one that nobody waits for.
const AGAIN_MAX: Duration = Duration::from_secs(20);
const IN_PROGRESS_PAUSE: Duration = Duration::from_millis(600);
const LOST_PAUSE: Duration = Duration::from_millis(300);
/// How often in a row nothing comes back before the request is left for later.
const LOST_MAX: u32 = 3;
const DISTRUST_CODE: &str = "tokens_refused";
const QUESTION_LABEL: &[u8] = b"tacit unlinked question v1";

impl Gateway {
    /// Asks one worker. Until an answer is given out another may be asked instead.
    pub(super) async fn try_unlinked(
        self: &Arc<Self>,
        request: &ApiRequest,
        asker: Asker,
        one: &Try,
        pieces: &mpsc::Sender<Piece>,
        is_last: bool,
    ) -> Result<(), Failure> {
        let worker = one.ask.worker;
        if let Some(distrust) = self.store.distrust(worker).map_err(ApiError::from)? {
            return Err(Failure { blame: false, ..Failure::dishonest(worker, distrust.message) });
        }
        if one.body.len() > BODY_BYTES_MAX {
            return Err(ApiError::TooLong { limit: BODY_BYTES_MAX }.into());
        }
        let limit = want(request, one, terms(one)?)?.most;
        let fingerprint = fingerprint(one.offered.model_id, request.route, &one.body);
        // Whoever cannot pay asks nobody.
        drop(self.choose_payment(one, fingerprint, limit).await?);
        let unlinked = self.unlinked_streams(worker, one.ask.session_key_hash).await.map_err(unreachable)?;
        let job_id = JobId::random();
        let _turn = self.job_turn(job_id).await;
        let (sent, reservation) = {
            let _alone = self.paying.lock().await;
            let payment = self.choose_payment(one, fingerprint, limit).await?;
            let whole = Want { least: payment.most, most: payment.most, bendable: false };
            let reservation = self.budget.reserve(&self.store, asker.day, asker.key, asker.caps, whole)?;
            match self.keep_sent(request.route, one, job_id, (fingerprint, limit), payment).await {
                Ok(sent) => (sent, reservation),
                Err(error) => {
                    self.budget.settle(reservation, Amount::ZERO);
                    return Err(error.into());
                }
            }
        };
        self.raise_budget_soon(asker);
        let settled = match self.deliver_unlinked(&sent, &unlinked, &one.language, Sending::First).await {
            Ok(settled) => settled,
            Err(Unsettled::Back(failure)) => {
                self.budget.settle(reservation, Amount::ZERO);
                return Err(failure);
            }
            // What is not settled counts as spent.
            Err(Unsettled::Gone(failure)) => return Err(failure),
        };
        self.budget.settle(reservation, settled.kept);
        let Settled { status, content_type, bytes, reason, outcome, .. } = settled;
        if (status >= 500 || status == 429) && !is_last {
            return Err(Failure::unusable(&format!("its engine answered with {status}")));
        }
        let last = ended(reason, worker, limit).map_or(Piece::Done(outcome), Piece::Failed);
        for piece in [Piece::Begun { status, content_type, worker }, Piece::Data(bytes), last] {
            // Whoever left is told nothing: the answer is with its receipt.
            let _ = pieces.send(piece).await;
        }
        Ok(())
    }

    /// Finishes requests that were sent and have no end yet, as far as that can be done. Those that somebody waits for are left to them.
    pub(crate) async fn resume_unlinked(self: &Arc<Self>) -> Result<(), GatewayError> {
        for job_id in self.store.prepaid_streams_in_flight()? {
            let Some(_turn) = self.free_job_turn(job_id) else { continue };
            let Some(record) = self.store.prepaid_stream(job_id)? else { continue };
            if let Err(error) = self.finish_unlinked(record).await {
                tracing::warn!(%error, "an interrupted request is not finished yet");
            }
        }
        Ok(())
    }

    async fn finish_unlinked(self: &Arc<Self>, record: PrepaidStreamRecord) -> Result<(), ApiError> {
        let request = PrepaidStream::read(&record.request).map_err(|_| ApiError::Internal)?;
        let sent = Sent { record, request };
        let (worker, model_id) = (sent.worker(), sent.request.head.stream.model_id);
        let fallback = sent.record.session_key_hash;
        let unlinked = self.unlinked_streams_of(worker, model_id, Some(fallback)).await?;
        let language = self.language(model_id, &sent.ask(), Way::Relayed).await;
        let language = language.map_err(|error| ApiError::Upstream { detail: error.to_string() })?;
        match self.deliver_unlinked(&sent, &unlinked, &language, Sending::Again).await {
            Ok(_) | Err(Unsettled::Back(_)) => Ok(()),
            Err(Unsettled::Gone(failure)) => Err(failure.error),
        }
    }

    /// A worker of language models behind the relay, under the session key of this hash.
    pub(crate) async fn unlinked_streams(
        &self,
        worker: Address,
        session_key_hash: B256,
    ) -> Result<UnlinkedWorker, GatewayError> {
        let relay = self.unlinkable.relay.as_deref().ok_or(GatewayError::NoRelay)?;
        let key = match self.languages.session_key(session_key_hash) {
            Some(key) => key,
            None => {
                let fetched = fetch_session_key(relay, worker, session_key_hash).await;
                let key = fetched.map_err(GatewayError::Http)?;
                self.languages.keep_session_key(session_key_hash, key.clone());
                key
            }
        };
        UnlinkedWorker::new(relay, worker, key).map_err(GatewayError::Http)
    }

    /// The same under the key that its ask for a model names now, or did before.
    pub(crate) async fn unlinked_streams_of(
        &self,
        worker: Address,
        model_id: B256,
        before: Option<B256>,
    ) -> Result<UnlinkedWorker, GatewayError> {
        let listing = self.ledger.listing(model_id).await;
        let asks = listing.map(|listing| listing.asks).unwrap_or_default();
        let mut asks = asks.into_iter().filter_map(token_ask);
        let current = asks.find(|ask| ask.worker == worker && !ask.is_guests());
        let hash = current.map(|ask| ask.session_key_hash).or(before);
        self.unlinked_streams(worker, hash.ok_or(GatewayError::NoAsk { privacy: MODE.0, evidence: MODE.1 })?)
            .await
    }

    /// Tokens that pay for a request: those that were shown with its question before, and then some that nobody saw. All of one key, whose price the ledger says.
    /// Their number is a power of two where the wallet has so many, so that it says less of the question: what is too much comes back.
    async fn choose_payment(&self, one: &Try, fingerprint: B256, limit: Amount) -> Result<Payment, Failure> {
        let worker = one.ask.worker;
        let unasked = |error| Failure { blame: false, ..Failure::of_worker(error) };
        let listed = self.ledger.tokens(worker).await.map_err(ApiError::from)?;
        if listed.keyHash.is_zero() {
            let detail = format!("worker {worker} sells no tokens");
            return Err(unasked(ApiError::NotUnlinkable { detail }));
        }
        let mut failure = None;
        // Older ones first: they are the first that are good no more.
        for key_id in [listed.previousKeyHash, listed.keyHash] {
            let Some(token_price) = listed.price_of(key_id, unix_time_s()) else { continue };
            let Some(needed) = token::tokens_for(limit.0, token_price) else {
                let most = u128::try_from(PAYMENT_TOKENS_MAX).unwrap_or(u128::MAX);
                let worth = token_price.checked_mul(most).map_or(Amount(u128::MAX), Amount);
                let detail = format!(
                    "it may cost {limit}, and {PAYMENT_TOKENS_MAX} tokens of worker {worker} are worth {worth}: say a smaller max_tokens"
                );
                failure = Some(ApiError::field("max_tokens", detail));
                continue;
            };
            let round = needed.checked_next_power_of_two().unwrap_or(needed).min(PAYMENT_TOKENS_MAX);
            let mut tokens =
                self.store.tokens_of(worker, key_id, fingerprint, round).map_err(ApiError::from)?;
            let key = self.store.token_key(key_id).map_err(ApiError::from)?;
            let (true, Some(key)) = (tokens.len() >= needed, key) else {
                let (model, held) = (one.offered.name.clone(), tokens.len());
                failure = Some(ApiError::NoTokens { worker, model, needed, held });
                continue;
            };
            if tokens.len() < round {
                tokens.truncate(needed);
            }
            let most = u128::try_from(needed).ok().and_then(|needed| needed.checked_mul(token_price));
            let most = Amount(most.ok_or(ApiError::Internal)?);
            return Ok(Payment { tokens, key, token_price, most });
        }
        let detail = || format!("no token of worker {worker} is good");
        Err(unasked(failure.unwrap_or_else(|| ApiError::NotUnlinkable { detail: detail() })))
    }

    /// Makes the request, and keeps it with what makes tokens of its change; from then on its tokens are out of the wallet.
    async fn keep_sent(
        &self,
        route: Route,
        one: &Try,
        job_id: JobId,
        (fingerprint, limit): (B256, Amount),
        payment: Payment,
    ) -> Result<Sent, ApiError> {
        let Payment { tokens, key: encoded, token_price, .. } = payment;
        let (chain_id, ask, worker) = (self.ledger.chain_id(), one.ask.clone(), one.ask.worker);
        let stream = StreamHead {
            job_id,
            model_id: one.offered.model_id,
            route,
            privacy: MODE.0,
            evidence: MODE.1,
            prices: ask.prices,
            limit,
            voucher: None,
        };
        let (model, body) = (one.offered.name.clone(), Arc::clone(&one.body));
        // Blinding takes a moment for each token.
        let making = tokio::task::spawn_blocking(move || {
            let key = token::decode_key(&encoded)?;
            let about = token::challenge(chain_id, worker);
            let secrets: Vec<_> = tokens.iter().map(|_| TokenSecret::random(&key)).collect();
            let mut change = Vec::new();
            for secret in &secrets {
                change.extend_from_slice(&secret.request(&key, about)?);
            }
            // An account of this request alone: nobody needs its key again.
            let account = Wallet::random();
            let head = PrepaidHead { chain_id, worker, client: account.address(), stream, tokens, change };
            Ok::<_, TokenReject>((PrepaidStream::write(&head, &body, &account), secrets, encoded))
        });
        let made = making.await.map_err(|_| ApiError::Internal)?;
        let (request, secrets, key) = made.map_err(|_| ApiError::Internal)?;
        let bytes = request.map_err(|_| ApiError::TooLong { limit: BODY_BYTES_MAX })?;
        let request = PrepaidStream::read(&bytes).map_err(|_| ApiError::Internal)?;
        let record = PrepaidStreamRecord {
            model,
            endpoint: ask.endpoint,
            session_key_hash: ask.session_key_hash,
            request: bytes,
            fingerprint,
            key,
            token_price: Amount(token_price),
            secrets,
        };
        self.store.put_stream_sent(job_id, worker, &record, &request.head.tokens)?;
        Ok(Sent { record, request })
    }

    /// Sends a request that is on disk and takes it to its end. The caller holds its turn.
    async fn deliver_unlinked(
        self: &Arc<Self>,
        sent: &Sent,
        unlinked: &UnlinkedWorker,
        language: &Arc<Language>,
        sending: Sending,
    ) -> Result<Settled, Unsettled> {
        let started = Instant::now();
        // Once the worker may be at work, only what it says about this very request tells that it is not.
        let mut begun = sending == Sending::Again;
        // What nobody waits for holds up no other for long.
        let (longest, lost_max) = if begun { (AGAIN_MAX, 1) } else { (WHOLE_MAX, LOST_MAX) };
        let mut lost = 0_u32;
        loop {
            let body = sent.record.request.clone();
            let failure = match unlinked.post_bytes(PATH, body, ENCODED_ANSWER_BYTES_MAX).await {
                Ok(bytes) => return self.settle_unlinked(sent, language, bytes).await,
                Err(HttpError::TooLong { .. }) => return Err(self.reject_unlinked(sent, endless())),
                Err(HttpError::Refused { body, .. }) if body.code == "in_progress" => {
                    (begun, lost) = (true, 0);
                    crowded(&body.message)
                }
                Err(HttpError::Refused { status, body }) if is_refused(status, &body, begun) => {
                    return Err(self.refused_unlinked(sent, &body));
                }
                Err(error) => {
                    let failure = Failure::unreachable(&error);
                    if !begun && !error.outcome_unknown() {
                        self.take_back(sent, "unreachable", None)?;
                        return Err(Unsettled::Back(failure));
                    }
                    (begun, lost) = (true, lost.saturating_add(1));
                    failure
                }
            };
            if lost >= lost_max || started.elapsed() > longest {
                // Nobody else is asked: this one may have the tokens, and is asked again later.
                return Err(Unsettled::Gone(Failure { next: false, ..failure }));
            }
            tokio::time::sleep(if lost > 0 { LOST_PAUSE } else { IN_PROGRESS_PAUSE }).await;
        }
    }

    /// Checks what came, and keeps it with the change in one write.
    async fn settle_unlinked(
        self: &Arc<Self>,
        sent: &Sent,
        language: &Arc<Language>,
        bytes: Vec<u8>,
    ) -> Result<Settled, Unsettled> {
        let (checked_in, meter_of, chain_id) = (sent.clone(), Arc::clone(language), self.ledger.chain_id());
        let checking =
            tokio::task::spawn_blocking(move || check(&checked_in, &meter_of.meter, chain_id, &bytes));
        let checked = checking.await.map_err(|_| Unsettled::Gone(ApiError::Internal.into()))?;
        let Checked { answer: PrepaidAnswer { head, answer }, record, counted, change } = match checked {
            Ok(checked) => checked,
            Err(rejected) => return Err(self.reject_unlinked(sent, *rejected)),
        };
        let (worker, price) = (sent.worker(), Amount(record.receipt.receipt.price));
        let hash = receipts::leaf(&record.receipt.receipt, chain_id);
        let exchange = Exchange { request: sent.request.body.clone(), answer: answer.clone() };
        let exchange = (self.kept_bytes > 0).then_some(exchange);
        let receipt = StreamReceipt { hash, record, exchange };
        let kept = if price == Amount::ZERO {
            self.take_back(sent, "nothing_owed", Some(&receipt))?;
            Amount::ZERO
        } else {
            let stored = self.store.put_stream_answered(worker, &receipt, &change, self.kept_bytes);
            stored.map_err(|error| Unsettled::Gone(ApiError::from(error).into()))?;
            let kept = sent.request.head.tokens.len().checked_sub(change.len());
            let kept = kept.and_then(|kept| u128::try_from(kept).ok());
            let worth = kept.and_then(|kept| kept.checked_mul(sent.record.token_price.0));
            Amount(worth.ok_or(Unsettled::Gone(ApiError::Internal.into()))?)
        };
        let outcome = Outcome { worker, price, tokens: counted, receipt: hash };
        let (status, content_type, reason) = (head.status, head.content_type, head.end.reason);
        Ok(Settled { status, content_type, bytes: answer, reason, outcome, kept })
    }

    /// The worker refused the request, or the tokens that were to pay for it.
    fn refused_unlinked(&self, sent: &Sent, body: &ErrorBody) -> Unsettled {
        let (worker, detail) = (sent.worker(), printable(&body.message));
        let failure = if UNUSABLE_CODES.contains(&body.code.as_str()) {
            Failure::dishonest(worker, format!("it does not take tokens that it sold: {detail}"))
        } else {
            match body.code.as_str() {
                "busy" | "draining" | "engine_unavailable" => crowded(&detail),
                "bad_request" => ApiError::Field { param: None, detail }.into(),
                _ => {
                    // Prices or keys may have changed since the ledger was asked.
                    self.forget_offered(&sent.record.model);
                    Failure::unusable(&detail)
                }
            }
        };
        match self.take_back(sent, &body.code, None) {
            Ok(()) if is_returned(&body.code) => Unsettled::Back(failure),
            Ok(()) => Unsettled::Gone(failure),
            Err(unsettled) => unsettled,
        }
    }

    /// Notes that nothing was spent.
    fn take_back(&self, sent: &Sent, code: &str, receipt: Option<&StreamReceipt>) -> Result<(), Unsettled> {
        let (job_id, worker) = (sent.request.head.stream.job_id, sent.worker());
        let message = "it does not take tokens that it sold".to_owned();
        let distrust = Distrust { code: DISTRUST_CODE.to_owned(), message, job_id };
        let distrust = UNUSABLE_CODES.contains(&code).then_some(&distrust);
        let receipt = receipt.map(|receipt| (receipt, self.kept_bytes));
        let tokens = (code, sent.request.head.tokens.as_slice());
        let stored = self.store.put_stream_refused(job_id, worker, tokens, receipt, distrust);
        stored.map_err(|error| Unsettled::Gone(ApiError::from(error).into()))
    }

    /// What came is false: it is kept, and its worker not asked again.
    fn reject_unlinked(&self, sent: &Sent, rejected: Rejected) -> Unsettled {
        let Rejected { code, message, receipt } = rejected;
        let (job_id, worker) = (sent.request.head.stream.job_id, sent.worker());
        tracing::warn!(%worker, code, %message, "a worker is not asked again");
        let distrust = Distrust { code: code.to_owned(), message: message.clone(), job_id };
        match self.store.put_stream_rejected(job_id, worker, receipt.as_ref(), &distrust) {
            Ok(()) => Unsettled::Gone(Failure::dishonest(worker, message)),
            Err(error) => Unsettled::Gone(ApiError::from(error).into()),
        }
    }
}

impl Sent {
    fn worker(&self) -> Address {
        self.request.head.worker
    }

    /// The ask that it is about, as it was.
    fn ask(&self) -> TokenAsk {
        let StreamHead { privacy, evidence, prices, .. } = self.request.head.stream;
        TokenAsk {
            worker: self.worker(),
            endpoint: self.record.endpoint.clone(),
            privacy,
            evidence,
            prices,
            session_key_hash: self.record.session_key_hash,
            bonded: Amount::ZERO,
        }
    }
}

/// Whether the worker says that it did not, and will not, work on this request.
fn is_refused(status: u16, body: &ErrorBody, begun: bool) -> bool {
    match body.code.as_str() {
        // Said of a request that nothing else works on, too.
        "engine_unavailable" => true,
        // Said before it looks at the request.
        "draining" => !begun,
        _ => refused_for_good(status, body, begun),
    }
}

fn unreachable(error: GatewayError) -> Failure {
    match error {
        GatewayError::Http(error) => Failure::unreachable(&error),
        error => ApiError::from(error).into(),
    }
}

fn endless() -> Rejected {
    Rejected { code: "stream_format", message: "its answer has no end".to_owned(), receipt: None }
}

/// Tells one question from others.
fn fingerprint(model_id: B256, route: Route, body: &[u8]) -> B256 {
    keccak256([QUESTION_LABEL, model_id.as_slice(), route.to_string().as_bytes(), &[0], body].concat())
}

/// Checks an answer: the receipt is about what was asked, what came and what was paid, it costs at most what we count, and the change is due and good.
fn check(sent: &Sent, meter: &Meter, chain_id: u64, bytes: &[u8]) -> Result<Checked, Box<Rejected>> {
    let answer = PrepaidAnswer::read(bytes).map_err(|reject| {
        Box::new(Rejected { code: "stream_format", message: reject.to_string(), receipt: None })
    })?;
    let PrepaidAnswer { head, answer: said } = &answer;
    let (ask, terms) = (sent.ask(), &sent.request.head.stream);
    // An honest worker gives nothing that cannot be counted.
    let counted = match head.status >= 400 || said.is_empty() {
        true => None,
        false => count(meter, &head.content_type, &sent.request.body, said).ok(),
    };
    let cost = counted.map(|count| ask.prices.cost(count).unwrap_or(Amount(u128::MAX)).min(terms.limit));
    let (counted, cost) = (counted.unwrap_or_default(), cost.unwrap_or_default());
    let asked = Asked {
        chain_id,
        client: sent.request.head.client,
        job_id: terms.job_id,
        model_id: terms.model_id,
        channel_id: sent.request.head.payment_id(),
        route: terms.route,
        body: &sent.request.body,
        ask: &ask,
        model: &sent.record.model,
        guest: None,
        change: Some(change_hash(&head.change)),
    };
    let came = Came { answer: said, counted, cost };
    let rejected = |reject: EndReject| {
        let mut receipt = reject.record(&asked, &came, &head.end);
        if let Some(fault) = receipt.as_mut().and_then(|receipt| receipt.record.fault.as_mut()) {
            let PrepaidHead { tokens, change: requests, .. } = sent.request.head.clone();
            fault.payment = Some(PaymentShown { tokens, requests, change: head.change.clone() });
        }
        Box::new(Rejected { code: reject.code(), message: reject.to_string(), receipt })
    };
    let record = check_end(&asked, &came, &head.end).map_err(rejected)?;
    let receipt = &record.receipt.receipt;
    if receipt.cumulative != receipt.price {
        return Err(rejected(EndReject::Field { field: "sum" }));
    }
    let change = unblind(sent, chain_id, receipt.price, &head.change);
    let change = change.map_err(|reject| rejected(EndReject::Change(reject)))?;
    Ok(Checked { record, counted, change, answer })
}

fn count(meter: &Meter, content_type: &str, body: &[u8], said: &[u8]) -> Result<TokenCount, MeterReject> {
    let mut answer = meter.answer(Framing::of(content_type));
    answer.feed(said)?;
    Ok(TokenCount { prompt: meter.prompt(body)?, completion: answer.tokens()? })
}

/// The tokens of the change, if it is as much as is due and each checks.
fn unblind(sent: &Sent, chain_id: u64, price: u128, change: &[u8]) -> Result<Vec<Token>, TokenReject> {
    let shown = sent.request.head.tokens.len();
    // Where nothing is owed nothing is spent.
    let due = if price == 0 { Some(0) } else { token::change(shown, sent.record.token_price.0, price) };
    let due = due.ok_or(TokenReject::Length { got: change.len() })?;
    let (key, about) = (token::decode_key(&sent.record.key)?, token::challenge(chain_id, sent.worker()));
    let signatures = token::decode_responses(change, due)?;
    let tokens = sent.record.secrets.iter().zip(&signatures);
    tokens.map(|(secret, signature)| secret.finish(&key, about, signature)).collect()
}
