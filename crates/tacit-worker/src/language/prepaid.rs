//! Requests that tokens pay for: answered whole, with change (`specs/0013-unlinkable.md`, *Language models*).
//!
//! There is no session and no account: the request comes through a relay, and what it may cost is shown with it. While the engine works the request's tokens are held; they are spent in the
//! transaction that keeps answer, receipt and change, so that no crash takes a token without an answer, or gives two answers for one. Where nothing is owed nothing is spent or kept.

use std::sync::Arc;

use tacit_abi::Receipt;
use tacit_wire::{
    Amount, Salts,
    blind::Block,
    language::{MODE, TokenBill, TokenCount},
    meter::Framing,
    prepaid::{ANSWER_BYTES_MAX, PrepaidAnswer, PrepaidEnd, PrepaidHead, PrepaidStream, change_hash},
    stream::{End, EndReason, StreamHead},
    token::{self, PAYMENT_TOKENS_MAX, TokenReject},
};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Phase,
    admission::{Places, count_prompt},
    model::LanguageModel,
    pieces::Tariff,
    refusal::StreamRefusal,
};
use crate::{
    job::Reservation,
    prepaid::Shown,
    quota::Day,
    reject::JobReject,
    store::{JobRecord, Tally},
    worker::Worker,
};

/// A request that passed every check. Only an admitted one reaches an engine.
struct Admitted {
    request: PrepaidStream,
    /// The body as the engine is given it.
    asked: Vec<u8>,
    model: Arc<LanguageModel>,
    prompt_tokens: u64,
    shown: Shown,
    /// What may be signed as change.
    blinded: Vec<Block>,
    reservation: Reservation,
    places: Places,
}

/// What an engine said, as far as it may be given.
struct Said {
    status: u16,
    content_type: String,
    bytes: Vec<u8>,
    tokens: TokenCount,
    cost: Amount,
    reason: EndReason,
}

/// Bytes of an engine's refusal that are passed on.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the engine that are looked at at once.
const PIECE_BYTES_MAX: usize = 4096;

impl Worker {
    /// Answers a request that tokens pay for ([`PrepaidStream`], [`PrepaidAnswer`]), or says why not. Asking again with the same bytes gives the same bytes.
    ///
    /// # Errors
    /// [`StreamRefusal`]; nothing is spent then.
    pub async fn answer_prepaid_stream(self: &Arc<Self>, bytes: &[u8]) -> Result<Vec<u8>, StreamRefusal> {
        let malformed = |reject: tacit_wire::stream::StreamReject| {
            StreamRefusal::from(JobReject::Malformed { detail: reject.to_string() })
        };
        let request = PrepaidStream::read(bytes).map_err(malformed)?;
        if let Some(body) = self.answered_as(request.head.stream.job_id, request.digest)? {
            return Ok(body);
        }
        let admitted = self.admit_prepaid_stream(request).await?;
        let worker = Arc::clone(self);
        // On a task of its own: a client that hangs up does not stop work that it will ask for again.
        let answering = tokio::spawn(async move { worker.compute_prepaid_stream(admitted).await });
        answering.await.map_err(|_| JobReject::Internal)?
    }

    /// Checks everything, in the order of the specification.
    async fn admit_prepaid_stream(
        self: &Arc<Self>,
        request: PrepaidStream,
    ) -> Result<Admitted, StreamRefusal> {
        if *self.languages.phase.borrow() != Phase::Serving || self.is_drained() {
            return Err(StreamRefusal::Draining);
        }
        let PrepaidHead { chain_id, worker, client, stream: head, tokens, change } = &request.head;
        let StreamHead { job_id, limit, .. } = *head;
        self.check_addressed(*chain_id, *worker)?;
        let model = self.languages.offered_in(head, MODE)?;
        let got = request.signer()?;
        if got != *client {
            return Err(JobReject::NotSigner { expected: *client, got }.into());
        }
        // Whatever else has the name ends before long, and then it is known whether that was this request.
        let claim = self.claim(job_id).map_err(|refusal| match refusal {
            StreamRefusal::Job(JobReject::JobIdReused { job_id }) => JobReject::InProgress { job_id }.into(),
            refusal => refusal,
        })?;
        let enough = |got: usize, token_price: u128| {
            let expected = token::tokens_for(limit.0, token_price).ok_or(JobReject::NoTokens)?;
            let fits = (expected..=PAYMENT_TOKENS_MAX).contains(&got);
            if fits { Ok(()) } else { Err(JobReject::WrongPayment { expected, got }) }
        };
        let shown = self.check_tokens(tokens.clone(), enough).await?;
        let sale = self.tokens.as_ref().ok_or(JobReject::NoTokens)?;
        let key = sale.key_of(shown.key_id).ok_or(JobReject::Token(TokenReject::Key))?.public();
        let blinded = token::decode_requests(change, key).map_err(JobReject::from)?;
        if blinded.len() != tokens.len() {
            return Err(JobReject::Token(TokenReject::Length { got: change.len() }).into());
        }
        let reservation = self.reserve_tokens(&shown.spent, job_id)?;
        if self.store.is_any_spent(&shown.spent)? {
            return Err(JobReject::TokenSpent.into());
        }
        let (prompt_tokens, _) = count_prompt(&model, Zeroizing::new(request.body.clone())).await?;
        let asked = model.engine().request(&request.body)?;
        let count = TokenCount { prompt: prompt_tokens, completion: 0 };
        // More than any amount is more than any limit.
        let cost = model.prices().cost(count).unwrap_or(Amount(u128::MAX));
        if cost > limit {
            return Err(StreamRefusal::OverLimit { cost, limit });
        }
        if !model.engine().is_available() {
            return Err(StreamRefusal::EngineUnavailable);
        }
        let places = claim.take_places(&model)?;
        Ok(Admitted { request, asked, model, prompt_tokens, shown, blinded, reservation, places })
    }

    async fn compute_prepaid_stream(self: Arc<Self>, admitted: Admitted) -> Result<Vec<u8>, StreamRefusal> {
        let Admitted { request, asked, model, prompt_tokens, shown, blinded, reservation, places } = admitted;
        let head = &request.head.stream;
        let said = self.listen(head, &model, asked, prompt_tokens).await.inspect_err(|_| {
            tracing::debug!("the engine gave no answer to a request that tokens pay for");
        })?;
        let price = said.cost;
        let change = if price == Amount::ZERO {
            // Nothing is spent, so nothing comes back.
            Vec::new()
        } else {
            let due = token::change(shown.spent.len(), shown.price, price.0).ok_or(JobReject::Internal)?;
            let (worker, key_id) = (Arc::clone(&self), shown.key_id);
            let signing = tokio::task::spawn_blocking(move || worker.sign_change(key_id, &blinded, due));
            signing.await.map_err(|_| JobReject::Internal)??
        };
        let salts = Salts::random();
        let mut answer = salts.output_commitment();
        answer.push(&said.bytes);
        let bill = TokenBill { tokens: said.tokens, prices: model.prices() };
        let now = self.clock.unix_time_s();
        let receipt = Receipt {
            jobId: head.job_id.0,
            modelId: head.model_id,
            channelId: request.head.payment_id(),
            client: request.head.client,
            worker: self.address(),
            privacy: head.privacy as u8,
            evidence: head.evidence as u8,
            inputCommitment: salts.commit_request(head.route, &request.body),
            outputCommitment: answer.finish(),
            evidenceHash: salts.commit_evidence(&bill.committed(Some(change_hash(&change)))),
            price: price.0,
            cumulative: price.0,
            completedAt: now,
        };
        let receipt = self.wallet.sign_receipt(receipt, self.ledger.chain_id());
        let Said { status, content_type, bytes, tokens, reason, .. } = said;
        let end = End { reason, tokens, salts, receipt: receipt.clone() };
        let end = PrepaidEnd { status, content_type, end, change };
        let body = PrepaidAnswer::write(&end, &bytes).map_err(|_| JobReject::Internal)?;
        if price > Amount::ZERO {
            let job = JobRecord { digest: request.digest, receipt, paid: true, batch: None };
            // The tokens were paid for when they were sold.
            let earned = Amount::ZERO;
            let failed = reason == EndReason::EngineFailed;
            let tally = Tally { day: Day::of(now), model_id: head.model_id, tokens, earned, failed };
            let (worker, job_id, spent, kept) = (Arc::clone(&self), head.job_id, shown.spent, body.clone());
            let writing = tokio::task::spawn_blocking(move || {
                worker.store.put_prepaid_stream(job_id, &job, &kept, &spent, &tally)
            });
            writing.await.map_err(|_| JobReject::Internal)??;
            // It is paid: its receipt waits for no voucher.
            self.paid.notify_one();
        }
        drop((reservation, places));
        Ok(body)
    }

    /// What the engine says, up to what the request may cost. An answer that the engine breaks off is none: it is given whole or not at all.
    async fn listen(
        &self,
        head: &StreamHead,
        model: &Arc<LanguageModel>,
        asked: Vec<u8>,
        prompt_tokens: u64,
    ) -> Result<Said, StreamRefusal> {
        let mut phase = self.languages.phase.subscribe();
        let cut = async {
            // A sender that is gone is the worker's end.
            let _ = phase.wait_for(|phase| *phase == Phase::Cut).await;
        };
        tokio::pin!(cut);
        let begun = Instant::now();
        let asking = model.engine().ask(head.route, asked);
        let mut asked = tokio::select! {
            asked = asking => asked.map_err(|_| StreamRefusal::EngineUnavailable)?,
            () = &mut cut => return Err(StreamRefusal::Draining),
        };
        let (status, content_type) = (asked.status, asked.content_type.clone());
        let meter = model.meter().answer(Framing::of(&content_type));
        let mut tariff = Tariff { prices: model.prices(), prompt_tokens, meter };
        let (mut bytes, mut tokens, mut cost) = (Vec::new(), TokenCount::default(), Amount::ZERO);
        let reason = 'answer: loop {
            let next = tokio::select! {
                next = asked.body.next() => next.map_err(|_| StreamRefusal::EngineUnavailable)?,
                () = &mut cut => return Err(StreamRefusal::Draining),
            };
            let Some(more) = next else { break EndReason::Complete };
            if bytes.is_empty() {
                model.usage.waited(begun.elapsed());
            }
            if status >= 400 {
                bytes.extend_from_slice(&more);
                bytes.truncate(REFUSAL_BYTES_MAX);
                continue;
            }
            for part in more.chunks(PIECE_BYTES_MAX) {
                if bytes.len().saturating_add(part.len()) > ANSWER_BYTES_MAX {
                    break 'answer EndReason::EngineFailed;
                }
                // What cannot be counted is not given.
                let Ok(fits) = tariff.longest(part, head.limit) else {
                    break 'answer EndReason::EngineFailed;
                };
                let Some(piece) = fits else { break 'answer EndReason::Limit };
                bytes.extend(part.iter().take(piece.bytes));
                (tariff.meter, tokens, cost) = (piece.meter, piece.tokens, piece.cost);
                if piece.bytes < part.len() {
                    break 'answer EndReason::Limit;
                }
            }
        };
        Ok(Said { status, content_type, bytes, tokens, cost, reason })
    }

    /// Signs the first `due` of what was blinded, under the key of the tokens that were shown.
    fn sign_change(
        &self,
        key_id: alloy_primitives::B256,
        blinded: &[Block],
        due: usize,
    ) -> Result<Vec<u8>, JobReject> {
        let sale = self.tokens.as_ref().ok_or(JobReject::NoTokens)?;
        let key = sale.key_of(key_id).ok_or(TokenReject::Key)?;
        let mut change = Vec::new();
        for blinded in blinded.iter().take(due) {
            change.extend_from_slice(&key.sign(blinded).map_err(TokenReject::from)?);
        }
        Ok(change)
    }
}
