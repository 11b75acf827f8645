//! Follows one worker's answer: frames in, pieces out, counted and paid for as they come, checked at the end.

use std::{sync::Arc, time::Instant};

use alloy_primitives::Address;
use tacit_abi::receipts;
use tacit_wire::{
    Amount, JobId,
    http::{Download, HttpError, printable},
    language::TokenCount,
    message::ErrorBody,
    meter::{AnswerMeter, Framing, MeterReject},
    session::{FrameOpener, SEALED_FRAME_BYTES_MAX},
    stream::{End, EndReason, Frame, StreamReject},
};
use tokio::sync::mpsc;

use super::{
    account::Wish,
    added::Watch,
    attempt::{ANSWER_BYTES_MAX, Commitment, Failure, Outcome, Piece, Try, crowded},
    error::ApiError,
    link::{Link, Running},
    receipts::{Asked, Came, Vouched, check_end},
    request::ApiRequest,
};
use crate::{attested::Session as Guest, gateway::Gateway, store::Exchange};

/// What is the same for all of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Stream<'a> {
    pub(crate) request: &'a ApiRequest,
    pub(crate) one: &'a Try,
    pub(crate) link: &'a Arc<Link>,
    /// Who was judged, where the ask names a guest.
    pub(crate) guest: Option<&'a Guest>,
    pub(crate) job_id: JobId,
    pub(crate) pieces: &'a mpsc::Sender<Piece>,
    pub(crate) is_last: bool,
    pub(crate) started: Instant,
}

/// An answer as it comes.
pub(crate) struct Frames {
    download: Download,
    opener: FrameOpener,
    buffer: Vec<u8>,
    watch: Arc<Watch>,
    /// Whoever asked may leave.
    unwatched: bool,
}

/// How an answer began.
struct Head {
    framing: Framing,
    /// The engine refused: nothing is owed.
    is_free: bool,
}

/// What came of an answer.
struct Answer<'a> {
    meter: AnswerMeter<'a>,
    bytes: Vec<u8>,
    is_free: bool,
    began: Instant,
}

enum Read {
    Frame(Frame),
    /// The connection ended before the answer.
    Ended,
    Http(HttpError),
    Reject(StreamReject),
    /// Whoever asked has left.
    Left,
}

/// Bytes of text after which an answer is counted again: half a chunk is 16 tokens, and few tokens are shorter than a byte.
const COUNT_BYTES: usize = 16;
const DONE: &[u8] = b"data: [DONE]\n\n";
/// How engines answer to members that they do not know or do not do.
const REFUSED: [u16; 3] = [400, 422, 501];

impl Gateway {
    /// Follows an answer to its end. Until it begins, another worker may be asked instead.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        stream: Stream<'_>,
        mut running: Running,
        mut frames: Frames,
    ) -> Result<(), Failure> {
        let head = match self.wait_for_head(&stream, &mut running, &mut frames).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(failure) => {
                running.broke_off();
                return Err(failure);
            }
        };
        let worker = stream.link.worker;
        self.health.began(worker, stream.started.elapsed());
        let mut answer = Answer {
            meter: stream.one.language.meter.answer(head.framing),
            bytes: Vec::new(),
            is_free: head.is_free,
            began: Instant::now(),
        };
        loop {
            let read = frames.next(stream.pieces).await;
            match self.take(&stream, &mut running, &mut frames, &mut answer, read).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) => {
                    running.broke_off();
                    self.fail(&stream, failure).await;
                    return Ok(());
                }
            }
        }
    }

    /// `None` when whoever asked has left.
    async fn wait_for_head(
        self: &Arc<Self>,
        stream: &Stream<'_>,
        running: &mut Running,
        frames: &mut Frames,
    ) -> Result<Option<Head>, Failure> {
        let Stream { one, link, pieces, .. } = *stream;
        loop {
            match frames.next(pieces).await {
                Read::Frame(Frame::Head { status, prompt_tokens, content_type }) => {
                    if prompt_tokens > one.prompt_tokens {
                        let (ours, theirs) = (one.prompt_tokens, prompt_tokens);
                        let message = format!("it counts {theirs} tokens of a prompt that has {ours}");
                        return Err(self.give_up(link, stream.job_id, "stream_prompt", message, None));
                    }
                    let is_of_commitment = one.commitment == Commitment::Added && REFUSED.contains(&status);
                    if (status >= 500 || status == 429) && !stream.is_last && !is_of_commitment {
                        running.refuse();
                        let detail = format!("its engine answered with {status}");
                        return Err(Failure::unusable(&detail));
                    }
                    if is_of_commitment {
                        running.refuse();
                        let detail = format!("its engine answered with {status}");
                        return Err(Failure { is_of_commitment: true, ..Failure::unusable(&detail) });
                    }
                    if one.commitment == Commitment::Refused && status < 400 {
                        self.likeness.mark_refuses(&one.offered, link.worker);
                    }
                    let framing = Framing::of(&content_type);
                    let _ = pieces.send(Piece::Begun { status, content_type, worker: link.worker }).await;
                    return Ok(Some(Head { framing, is_free: status >= 400 }));
                }
                Read::Frame(Frame::Wait { promised }) => self.fulfil(stream, promised)?,
                Read::Frame(Frame::Refusal(body)) => {
                    running.refuse();
                    return Err(self.turned_down(stream, &body));
                }
                Read::Left => return Ok(None),
                other => return Err(other.failure(link.worker)),
            }
        }
    }

    /// What a worker's refusal means.
    fn turned_down(&self, stream: &Stream<'_>, body: &ErrorBody) -> Failure {
        let detail = printable(&body.message);
        match body.code.as_str() {
            "busy" | "draining" | "engine_unavailable" => crowded(&detail),
            "bad_request" => ApiError::Field { param: None, detail }.into(),
            "payment_required" if body.demand.is_some() => {
                Failure { demand: body.demand, ..Failure::unusable(&detail) }
            }
            "channel_closing" | "wrong_channel" => {
                // The ledger says more.
                stream.link.abandon();
                Failure::unusable(&detail)
            }
            _ => {
                // Prices or keys may have changed since the ledger was asked.
                self.forget_offered(&stream.one.offered.name);
                Failure::unusable(&detail)
            }
        }
    }

    /// Takes the next frame of an answer that has begun. `false` when nothing more is to come.
    async fn take(
        self: &Arc<Self>,
        stream: &Stream<'_>,
        running: &mut Running,
        frames: &mut Frames,
        answer: &mut Answer<'_>,
        read: Read,
    ) -> Result<bool, Failure> {
        let Stream { one, link, pieces, .. } = *stream;
        match read {
            Read::Frame(Frame::Data(bytes)) => {
                if answer.bytes.len().saturating_add(bytes.len()) > ANSWER_BYTES_MAX {
                    return Err(Failure::unusable(&"its answer has no end"));
                }
                if !bytes.is_empty() && answer.bytes.is_empty() && !answer.is_free {
                    running.begun();
                }
                answer.bytes.extend_from_slice(&bytes);
                answer.meter.feed(&bytes).map_err(|error| uncountable(&error))?;
                if !answer.is_free && answer.meter.uncounted_bytes() >= COUNT_BYTES {
                    let (_, cost) = answer.cost(one)?;
                    if cost > running.limit() {
                        let message =
                            format!("it sent more than the {} that the request may cost", running.limit());
                        return Err(self.give_up(link, stream.job_id, "stream_limit", message, None));
                    }
                    running.count(cost);
                }
                // Whoever has left is noticed at the next frame.
                let _ = pieces.send(Piece::Data(bytes)).await;
                Ok(true)
            }
            Read::Frame(Frame::Wait { promised }) => self.fulfil(stream, promised).map(|()| true),
            Read::Frame(Frame::End(end)) => {
                let (counted, cost) = answer.cost(one)?;
                let cost = cost.min(running.limit());
                running.count(cost);
                let last = self.close(stream, running, answer, (counted, cost), &end)?;
                let _ = pieces.send(last).await;
                Ok(false)
            }
            Read::Left if answer.bytes.ends_with(DONE) => {
                // All was given out: what is left is the worker's account of it.
                frames.unwatched = true;
                Ok(true)
            }
            Read::Left => Ok(false),
            other => Err(other.failure(link.worker)),
        }
    }

    /// Checks the worker's account of an answer, and closes ours.
    fn close(
        self: &Arc<Self>,
        stream: &Stream<'_>,
        running: &mut Running,
        answer: &mut Answer<'_>,
        (counted, cost): (TokenCount, Amount),
        end: &End,
    ) -> Result<Piece, Failure> {
        let Stream { one, link, guest, .. } = *stream;
        let vouched = guest.map(|guest| {
            let trust = self.attesting().map_err(ApiError::from)?.config.trust();
            Ok::<_, ApiError>(Vouched { guest, trust, now_s: self.session_time_s() })
        });
        let asked = Asked {
            chain_id: self.ledger.chain_id(),
            client: self.address(),
            job_id: stream.job_id,
            model_id: one.offered.model_id,
            channel_id: link.channel_id,
            route: stream.request.route,
            body: &one.body,
            ask: &one.ask,
            model: &one.offered.name,
            guest: vouched.transpose()?,
            change: None,
        };
        let came = Came { answer: &answer.bytes, counted, cost };
        let record = check_end(&asked, &came, end).map_err(|reject| {
            let record = reject.record(&asked, &came, end);
            self.give_up(link, stream.job_id, reject.code(), reject.to_string(), record.as_ref())
        })?;
        let receipt = receipts::leaf(&record.receipt.receipt, asked.chain_id);
        let price = Amount(record.receipt.receipt.price);
        let limit = running.limit();
        running.end(price);
        let exchange = Exchange { request: one.body.to_vec(), answer: core::mem::take(&mut answer.bytes) };
        if end.reason == EndReason::Complete {
            self.audit_soon(stream.request, one, stream.job_id, &exchange, limit);
        }
        self.keep_stream(receipt, record, exchange);
        self.health.ended(link.worker, counted.completion, answer.began.elapsed());
        let outcome = Outcome { worker: link.worker, price, tokens: counted, receipt };
        Ok(ended(end.reason, link.worker, limit).map_or(Piece::Done(outcome), Piece::Failed))
    }

    /// An answer that was begun cannot go on: whoever asked is told, and no other worker is asked.
    async fn fail(&self, stream: &Stream<'_>, failure: Failure) {
        let worker = stream.link.worker;
        if failure.blame {
            self.health.failed(worker);
        }
        let error = match failure.error {
            ApiError::Upstream { detail } => ApiError::BrokeOff { worker, detail },
            error => error,
        };
        let _ = stream.pieces.send(Piece::Failed(error)).await;
    }

    /// A worker says what it waits for.
    fn fulfil(self: &Arc<Self>, stream: &Stream<'_>, promised: Amount) -> Result<(), Failure> {
        let wish = stream.link.account().explain(promised);
        match wish {
            Wish::Explained => {
                self.promise(stream.link, promised)?;
                self.pay_soon(stream.link, &stream.one.ask.endpoint);
                Ok(())
            }
            Wish::Early => Ok(()),
            Wish::Unexplained(reject) => {
                let message = format!(
                    "it wants {} promised, and at most {} can be owed",
                    reject.claimed, reject.explained
                );
                Err(self.give_up(stream.link, stream.job_id, "account", message, None))
            }
        }
    }
}

impl Answer<'_> {
    /// What came, and what it costs.
    fn cost(&mut self, one: &Try) -> Result<(TokenCount, Amount), Failure> {
        if self.is_free || self.bytes.is_empty() {
            return Ok((TokenCount::default(), Amount::ZERO));
        }
        let completion = self.meter.tokens().map_err(|error| uncountable(&error))?;
        let count = TokenCount { prompt: one.prompt_tokens, completion };
        Ok((count, one.ask.prices.cost(count).ok_or(ApiError::Internal)?))
    }
}

impl Frames {
    pub(crate) fn new(download: Download, opener: FrameOpener, watch: &Arc<Watch>) -> Self {
        Self { download, opener, buffer: Vec::new(), watch: Arc::clone(watch), unwatched: false }
    }

    /// The next frame, unless whoever asked leaves before.
    async fn next(&mut self, pieces: &mpsc::Sender<Piece>) -> Read {
        loop {
            if let Some((length, rest)) = self.buffer.split_first_chunk::<4>() {
                let Ok(length) = usize::try_from(u32::from_le_bytes(*length)) else { return Read::Ended };
                if length > SEALED_FRAME_BYTES_MAX {
                    let reject =
                        StreamReject::TooLong { what: "a frame", limit: SEALED_FRAME_BYTES_MAX, got: length };
                    return Read::Reject(reject);
                }
                if let Some(sealed) = rest.get(..length) {
                    let frame = Frame::open(&mut self.opener, sealed);
                    self.buffer.drain(..length.saturating_add(4));
                    return frame.map_or_else(Read::Reject, Read::Frame);
                }
            }
            let more = tokio::select! {
                more = self.download.next() => more,
                () = pieces.closed(), if !self.unwatched => return Read::Left,
            };
            match more {
                Ok(Some(bytes)) => {
                    self.watch.came();
                    self.buffer.extend_from_slice(&bytes);
                }
                Ok(None) => return Read::Ended,
                Err(error) => return Read::Http(error),
            }
        }
    }
}

impl Read {
    /// What went wrong, for anything but a frame that was expected.
    fn failure(self, worker: Address) -> Failure {
        match self {
            Self::Http(HttpError::Stalled { .. }) => Failure::of_worker(ApiError::Timeout { worker }),
            Self::Http(error) => Failure::unreachable(&error),
            Self::Reject(reject) => Failure::unusable(&reject),
            Self::Frame(frame) => Failure::unusable(&format!("{frame:?} is out of place")),
            Self::Ended | Self::Left => Failure::unusable(&"its answer is cut off"),
        }
    }
}

fn uncountable(error: &MeterReject) -> Failure {
    Failure::unusable(&format!("its answer cannot be counted: {error}"))
}

/// What an answer that is not complete is to whoever asked.
pub(super) fn ended(reason: EndReason, worker: Address, limit: Amount) -> Option<ApiError> {
    let broke = |detail: &str| Some(ApiError::BrokeOff { worker, detail: detail.to_owned() });
    match reason {
        EndReason::Complete => None,
        EndReason::Limit => Some(ApiError::Limit { limit }),
        EndReason::Cancelled => broke("it says that we left"),
        EndReason::Unpaid => broke("no voucher reached it in time"),
        EndReason::EngineFailed => broke("its engine failed"),
        EndReason::Drained => broke("it is closing down"),
    }
}
