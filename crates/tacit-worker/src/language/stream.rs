//! One request while it is answered: the engine's bytes, as far as they are paid for, then the receipt.

use core::{future::ready, mem, time::Duration};
use std::sync::Arc;

use alloy_primitives::B256;
use axum::body::Bytes;
use tacit_abi::{Evidence, Privacy, Receipt};
use tacit_wire::{
    Amount, JobId, Salts,
    answer::OutputCommitment,
    http::HttpError,
    language::{TokenBill, TokenCount},
    meter::{Framing, Route},
    session::FrameSealer,
    stream::{DATA_BYTES_MAX, End, EndReason, Frame},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    Phase,
    account::{Charge, Demand},
    admission::{Admitted, Opened, Places},
    journal::Written,
    model::LanguageModel,
    pieces::{Piece, Tariff},
    refusal::StreamRefusal,
};
use crate::{
    quota::Day,
    store::{StreamEnd, Tally},
    worker::Worker,
};

/// A request that is being answered.
struct Stream {
    worker: Arc<Worker>,
    model: Arc<LanguageModel>,
    job_id: JobId,
    limit: Amount,
    charge: Charge,
    prompt_tokens: u64,
    /// What was counted of what was sent.
    tokens: TokenCount,
    salts: Salts,
    mode: (Privacy, Evidence),
    /// Id of the evidence that its session stands on, where it stands on some.
    attested: Option<B256>,
    request: B256,
    answer: OutputCommitment,
    way: Way,
    /// When it was begun; nothing once the first byte of an answer went out.
    begun: Option<Instant>,
    _places: Places,
}

/// The way to the client, and who may end it.
struct Way {
    frames: mpsc::Sender<Bytes>,
    /// Sealed frames that go with the next one.
    held: Vec<u8>,
    sealer: FrameSealer,
    phase: watch::Receiver<Phase>,
}

/// Why an answer ends before the engine has said all: what the receipt will say.
struct Stop(EndReason);

/// How an answer came out.
enum Outcome {
    /// There is an account of it.
    Ended(EndReason),
    /// The engine said nothing.
    Refused(StreamRefusal),
}

/// Frames that wait for the client. What is in them counts as sent.
const FRAMES_WAITING_MAX: usize = 4;
/// Bytes of the engine that are looked at at once.
const PIECE_BYTES_MAX: usize = 4096;
/// Bytes of an engine's refusal that are passed on.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

impl Worker {
    /// Answers an opened request, or refuses it under its seal. What comes out are sealed frames; dropping the receiver stops the engine.
    pub(super) fn begin_stream(self: &Arc<Self>, opened: Opened) -> mpsc::Receiver<Bytes> {
        let (frames, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
        let worker = Arc::clone(self);
        // On a task of its own: when the client leaves, what it got until then is still written down.
        tokio::spawn(async move {
            let Opened { session, sealer, head, body } = opened;
            let phase = worker.languages.phase.subscribe();
            let mut way = Way { frames, held: Vec::new(), sealer, phase };
            match worker.admit_stream(&session, head, body).await {
                Ok(admitted) => Stream::run(worker, admitted, way).await,
                Err(refusal) => {
                    worker.refused.count(refusal.describe().0);
                    way.refuse(&refusal).await;
                }
            }
        });
        receiver
    }
}

impl Stream {
    async fn run(worker: Arc<Worker>, admitted: Admitted, way: Way) {
        let Admitted { head, body, asked, model, charge, prompt_tokens, attested, places } = admitted;
        let salts = Salts::random();
        let mut stream = Self {
            request: salts.commit_request(head.route, &body),
            answer: salts.output_commitment(),
            worker,
            model,
            job_id: head.job_id,
            limit: head.limit,
            charge,
            prompt_tokens,
            tokens: TokenCount::default(),
            salts,
            mode: (head.privacy, head.evidence),
            attested,
            way,
            begun: Some(Instant::now()),
            _places: places,
        };
        drop(body);
        let outcome = stream.converse(head.route, asked).await;
        stream.finish(outcome).await;
    }

    /// Asks the engine and passes on what it says.
    async fn converse(&mut self, route: Route, body: Vec<u8>) -> Outcome {
        let model = Arc::clone(&self.model);
        let asked = tokio::select! {
            asked = model.engine().ask(route, body) => asked,
            Stop(reason) = self.way.stopped() => return Outcome::Ended(reason),
        };
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(error) => {
                tracing::debug!(%error, "the engine does not answer");
                return Outcome::Refused(StreamRefusal::EngineUnavailable);
            }
        };
        let (status, content_type) = (asked.status, asked.content_type.clone());
        let framing = Framing::of(&content_type);
        let frame = Frame::Head { status, prompt_tokens: self.prompt_tokens, content_type };
        // It goes with the first bytes, if the engine has said them by then: one write, and one read for the client.
        if let Err(Stop(reason)) = self.way.hold(&frame) {
            return Outcome::Ended(reason);
        }
        let meter = model.meter().answer(framing);
        let mut tariff = Tariff { prices: model.prices(), prompt_tokens: self.prompt_tokens, meter };
        let mut free_bytes = 0_usize;
        loop {
            let holds = self.way.holds();
            let next = tokio::select! {
                biased;
                Stop(reason) = self.way.stopped() => return Outcome::Ended(reason),
                next = asked.body.next() => Some(next),
                () = ready(()), if holds => None,
            };
            let Some(next) = next else {
                match self.way.release().await {
                    Ok(()) => continue,
                    Err(Stop(reason)) => return Outcome::Ended(reason),
                }
            };
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Outcome::Ended(EndReason::Complete),
                Err(error) => return Outcome::Ended(broken(&error)),
            };
            let given = if status < 400 {
                self.give(&mut tariff, &bytes).await
            } else {
                free_bytes = free_bytes.saturating_add(bytes.len());
                self.give_freely(free_bytes, &bytes).await
            };
            if let Err(Stop(reason)) = given {
                return Outcome::Ended(reason);
            }
        }
    }

    /// Sends what costs nothing: how the engine refused.
    async fn give_freely(&mut self, total: usize, bytes: &[u8]) -> Result<(), Stop> {
        if total > REFUSAL_BYTES_MAX {
            return Err(Stop(EndReason::EngineFailed));
        }
        self.send_data(bytes).await
    }

    /// Sends bytes of an answer, as they are paid for.
    async fn give<'a>(&mut self, tariff: &mut Tariff<'a>, bytes: &[u8]) -> Result<(), Stop> {
        for part in bytes.chunks(PIECE_BYTES_MAX) {
            let mut rest = part;
            while !rest.is_empty() {
                let piece = self.next_piece(tariff, rest).await?;
                let (now, later) = rest.split_at_checked(piece.bytes).unwrap_or((rest, &[]));
                (tariff.meter, self.tokens) = (piece.meter, piece.tokens);
                self.send_data(now).await?;
                rest = later;
            }
        }
        Ok(())
    }

    /// The longest piece that the account has room for, once it has room for any; it is owed from then on.
    async fn next_piece<'a>(&mut self, tariff: &Tariff<'a>, rest: &[u8]) -> Result<Piece<'a>, Stop> {
        let uncounted = |_| Stop(EndReason::EngineFailed);
        let patience = self.worker.limits.unpaid_wait;
        let (mut until, mut told) = (None, None);
        let account = Arc::clone(self.charge.account());
        loop {
            // Whoever makes room from here on is noticed.
            let changed = account.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let most = self.charge.room().min(self.limit);
            if let Some(piece) = tariff.longest(rest, most).map_err(uncounted)? {
                match self.charge.raise(piece.cost) {
                    Ok(()) => {
                        self.worker.languages.journal.note(&account);
                        return Ok(piece);
                    }
                    // Another request was faster.
                    Err(_) => continue,
                }
            }
            let byte = tariff.piece(rest.get(..1).unwrap_or(rest)).map_err(uncounted)?;
            if byte.cost > self.limit {
                return Err(Stop(EndReason::Limit));
            }
            let Demand(promised) = self.charge.demand(byte.cost);
            if told != Some(promised) {
                told = Some(promised);
                self.way.send(&Frame::Wait { promised }).await?;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + patience);
            tokio::select! {
                () = &mut changed => {}
                Stop(reason) = self.way.stopped() => return Err(Stop(reason)),
                () = tokio::time::sleep_until(until) => return Err(Stop(EndReason::Unpaid)),
            }
        }
    }

    async fn send_data(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        for part in bytes.chunks(DATA_BYTES_MAX) {
            self.answer.push(part);
            self.way.send(&Frame::Data(part.to_vec())).await?;
            if let Some(begun) = self.begun.take() {
                self.model.usage.waited(begun.elapsed());
            }
        }
        Ok(())
    }

    /// Writes down how it ended, and tells the client.
    async fn finish(mut self, outcome: Outcome) {
        let cost = self.charge.cost();
        let owed = self.charge.end();
        let model_id = self.model.model_id();
        let failed = matches!(outcome, Outcome::Refused(_) | Outcome::Ended(EndReason::EngineFailed));
        let tokens = cost.map_or_else(TokenCount::default, |_| self.tokens);
        let now = self.worker.clock.unix_time_s();
        let earned = cost.unwrap_or_default();
        let tally = Tally { day: Day::of(now), model_id, tokens, earned, failed };
        let account = Arc::clone(self.charge.account());
        let journal = &self.worker.languages.journal;
        let reason = match outcome {
            Outcome::Ended(reason) => reason,
            Outcome::Refused(refusal) => {
                journal.end(&account, StreamEnd { receipt: None, tally }).await;
                self.worker.refused.count(refusal.describe().0);
                self.way.refuse(&refusal).await;
                return;
            }
        };
        let bill = TokenBill { tokens, prices: self.model.prices() };
        let (privacy, evidence) = self.mode;
        let receipt = Receipt {
            jobId: self.job_id.0,
            modelId: model_id,
            channelId: account.channel_id(),
            client: account.client,
            worker: self.worker.address(),
            privacy: privacy as u8,
            evidence: evidence as u8,
            inputCommitment: self.request,
            outputCommitment: self.answer.finish(),
            evidenceHash: self.salts.commit_evidence(&bill.committed(self.attested)),
            price: earned.0,
            cumulative: owed.0,
            completedAt: now,
        };
        let receipt = self.worker.wallet.sign_receipt(receipt, self.worker.ledger.chain_id());
        // Where nothing was given there is nothing to keep.
        let kept = cost.map(|_| receipt.clone());
        let written = journal.end(&account, StreamEnd { receipt: kept, tally }).await;
        if written == Written(true) {
            let end = End { reason, tokens, salts: self.salts, receipt };
            // Whoever left does not hear it.
            let _ = self.way.send_last(&Frame::End(Box::new(end))).await;
        }
    }
}

impl Way {
    /// Resolves when nobody listens any more, or the worker stops.
    async fn stopped(&mut self) -> Stop {
        let cut = async {
            // A sender that is gone is the worker's end.
            let _ = self.phase.wait_for(|phase| *phase == Phase::Cut).await;
        };
        tokio::select! {
            () = self.frames.closed() => Stop(EndReason::Cancelled),
            () = cut => Stop(EndReason::Drained),
        }
    }

    /// Keeps a frame back, to go with the next one.
    fn hold(&mut self, frame: &Frame) -> Result<(), Stop> {
        self.held = self.seal(frame).ok_or(Stop(EndReason::EngineFailed))?;
        Ok(())
    }

    fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Sends a frame as soon as the client takes it.
    async fn send(&mut self, frame: &Frame) -> Result<(), Stop> {
        self.hold(frame)?;
        self.release().await
    }

    /// Sends what is held back.
    async fn release(&mut self) -> Result<(), Stop> {
        let sealed = mem::take(&mut self.held);
        let frames = self.frames.clone();
        tokio::select! {
            biased;
            sent = frames.send(sealed.into()) => sent.map_err(|_| Stop(EndReason::Cancelled)),
            stop = self.stopped() => Err(stop),
        }
    }

    /// Sends the last frame, to a client that takes it soon.
    async fn send_last(&mut self, frame: &Frame) -> Option<()> {
        let sealed = self.seal(frame)?;
        tokio::time::timeout(LAST_FRAME, self.frames.send(sealed.into())).await.ok()?.ok()
    }

    /// What is held back, and this frame behind it.
    fn seal(&mut self, frame: &Frame) -> Option<Vec<u8>> {
        let sealed = frame.seal(&mut self.sealer).ok()?;
        if self.held.is_empty() {
            return Some(sealed);
        }
        let mut all = mem::take(&mut self.held);
        all.extend_from_slice(&sealed);
        Some(all)
    }

    async fn refuse(&mut self, refusal: &StreamRefusal) {
        if let StreamRefusal::Job(reject) = refusal {
            let (code, status, _) = reject.describe();
            if status >= 500 {
                tracing::error!(code, error = ?reject, "a request failed");
            }
        }
        // Whoever left does not hear it.
        let _ = self.send_last(&Frame::Refusal(Box::new(refusal.body()))).await;
    }
}

/// How long a client may take to make room for the last frame.
const LAST_FRAME: Duration = Duration::from_secs(5);

fn broken(error: &HttpError) -> EndReason {
    tracing::debug!(%error, "the engine broke off");
    EndReason::EngineFailed
}
