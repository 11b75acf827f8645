//! Receipts of streams: checked against what was asked and what came, kept in groups.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256};
use tacit_abi::receipts;
use tacit_attest::Trust;
use tacit_wire::{
    Amount, JobId, SignatureReject,
    language::{TokenBill, TokenCount},
    meter::Route,
    stream::End,
    token::TokenReject,
    wallet::receipt_signer,
};

use super::market::TokenAsk;
use crate::{
    attested::Session as Guest,
    check::AnswerReject,
    gateway::Gateway,
    store::{Exchange, Fault, StreamReceipt, StreamRecord},
};

/// What was asked.
pub(crate) struct Asked<'a> {
    pub(crate) chain_id: u64,
    pub(crate) client: Address,
    pub(crate) job_id: JobId,
    pub(crate) model_id: B256,
    pub(crate) channel_id: B256,
    pub(crate) route: Route,
    pub(crate) body: &'a [u8],
    pub(crate) ask: &'a TokenAsk,
    pub(crate) model: &'a str,
    /// Who vouches for the guest that was asked, where one was.
    pub(crate) guest: Option<Vouched<'a>>,
    /// Hash of the change that came, where tokens paid.
    pub(crate) change: Option<B256>,
}

/// A guest that was judged, and what judges the time of its answer.
pub(crate) struct Vouched<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) trust: &'a Trust,
    /// Seconds since 1970.
    pub(crate) now_s: u64,
}

/// What came.
pub(crate) struct Came<'a> {
    pub(crate) answer: &'a [u8],
    pub(crate) counted: TokenCount,
    /// At most what the request may cost.
    pub(crate) cost: Amount,
}

/// Why an end is not believed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum EndReject {
    #[error("its receipt is signed by nobody: {0}")]
    Signature(SignatureReject),
    #[error("its receipt is signed by {got}")]
    Signer { got: Address },
    #[error("its receipt names another {field}")]
    Field { field: &'static str },
    #[error("its receipt is not about this request")]
    Request,
    #[error("its receipt is not about this answer")]
    Answer,
    #[error(
        "its receipt is not about the tokens that it says, at the prices of its ask, from whom was asked"
    )]
    Evidence,
    #[error("what vouched for it does not vouch for its answer: {0}")]
    Guest(AnswerReject),
    #[error("it counts {claimed}, where {counted} came")]
    Price { claimed: Amount, counted: Amount },
    #[error("the change that it gave is not what is due: {0}")]
    Change(TokenReject),
}

impl EndReject {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Signature(_) | Self::Signer { .. } => "stream_signature",
            Self::Field { .. } => "stream_field",
            Self::Request => "stream_request",
            Self::Answer => "stream_answer",
            Self::Evidence => "stream_evidence",
            Self::Guest(_) => "stream_guest",
            Self::Price { .. } => "stream_price",
            Self::Change(_) => "stream_change",
        }
    }

    /// What shows it to others: nothing, where the worker signed nothing.
    pub(crate) fn record(&self, asked: &Asked<'_>, came: &Came<'_>, end: &End) -> Option<StreamReceipt> {
        if matches!(self, Self::Signature(_) | Self::Signer { .. }) {
            return None;
        }
        let fault = Fault {
            code: self.code().to_owned(),
            message: self.to_string(),
            request: asked.body.to_vec(),
            answer: came.answer.to_vec(),
            whole: true,
            payment: None,
        };
        let record = StreamRecord { fault: Some(fault), ..record(asked, came, end) };
        let hash = receipts::leaf(&record.receipt.receipt, asked.chain_id);
        Some(StreamReceipt { hash, record, exchange: None })
    }
}

impl Asked<'_> {
    /// Id of the evidence of the guest that was asked.
    fn attested(&self) -> Option<B256> {
        self.guest.as_ref().map(|vouched| vouched.guest.attested.evidence())
    }

    /// What the receipt's evidence is about beside the bill.
    fn beside_bill(&self) -> Option<B256> {
        self.attested().or(self.change)
    }
}

/// Checks the worker's account of an answer: its receipt is about what was asked and what came, and costs at most what we counted.
pub(crate) fn check_end(asked: &Asked<'_>, came: &Came<'_>, end: &End) -> Result<StreamRecord, EndReject> {
    let receipt = &end.receipt.receipt;
    let signer = receipt_signer(&end.receipt, asked.chain_id).map_err(EndReject::Signature)?;
    if signer != asked.ask.worker {
        return Err(EndReject::Signer { got: signer });
    }
    let fields = [
        (receipt.jobId == asked.job_id.0, "job"),
        (receipt.modelId == asked.model_id, "model"),
        (receipt.channelId == asked.channel_id, "channel"),
        (receipt.client == asked.client, "client"),
        (receipt.worker == asked.ask.worker, "worker"),
        (receipt.privacy == asked.ask.privacy as u8, "privacy"),
        (receipt.evidence == asked.ask.evidence as u8, "evidence"),
    ];
    if let Some((_, field)) = fields.into_iter().find(|(same, _)| !same) {
        return Err(EndReject::Field { field });
    }
    if receipt.inputCommitment != end.salts.commit_request(asked.route, asked.body) {
        return Err(EndReject::Request);
    }
    let mut answer = end.salts.output_commitment();
    answer.push(came.answer);
    if receipt.outputCommitment != answer.finish() {
        return Err(EndReject::Answer);
    }
    let bill = TokenBill { tokens: end.tokens, prices: asked.ask.prices };
    if receipt.evidenceHash != end.salts.commit_evidence(&bill.committed(asked.beside_bill())) {
        return Err(EndReject::Evidence);
    }
    if let Some(Vouched { guest, trust, now_s }) = asked.guest {
        guest.check_time(receipt.completedAt, now_s, trust).map_err(EndReject::Guest)?;
    }
    if receipt.price > came.cost.0 {
        return Err(EndReject::Price { claimed: Amount(receipt.price), counted: came.cost });
    }
    Ok(record(asked, came, end))
}

fn record(asked: &Asked<'_>, came: &Came<'_>, end: &End) -> StreamRecord {
    StreamRecord {
        model: asked.model.to_owned(),
        endpoint: asked.ask.endpoint.clone(),
        route: asked.route,
        privacy: asked.ask.privacy,
        evidence: asked.ask.evidence,
        prices: asked.ask.prices,
        reason: end.reason,
        claimed: end.tokens,
        counted: came.counted,
        salts: end.salts.clone(),
        receipt: end.receipt.clone(),
        attested: asked.attested(),
        change: asked.change,
        fault: None,
        anchor: None,
    }
}

/// Receipts on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    waiting: Mutex<Waiting>,
    writing: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    receipts: Vec<StreamReceipt>,
    /// Bytes of what they are about.
    bytes: usize,
}

/// Time between two writes: each costs a synchronisation of a disk that others may wait for.
const WRITE_PERIOD: Duration = Duration::from_millis(100);
/// Bytes of requests and answers that wait for the disk; those that come while there are more are not kept, only their receipts.
const WAITING_BYTES_MAX: usize = 128 * 1024 * 1024;

impl Gateway {
    /// Keeps a receipt and what it is about, together with those that come while others are being written or were a moment ago ([`WRITE_PERIOD`]): no answer waits for that. A crash
    /// may lose those of such a moment, and no money: what was promised is under a ceiling that was written before, and the workers have the receipts.
    pub(crate) fn keep_stream(self: &Arc<Self>, hash: B256, record: StreamRecord, exchange: Exchange) {
        {
            let mut waiting = self.unwritten.lock();
            let bytes = waiting.bytes.saturating_add(exchange.length());
            let fits = self.kept_bytes > 0 && bytes <= WAITING_BYTES_MAX;
            if fits {
                waiting.bytes = bytes;
            }
            waiting.receipts.push(StreamReceipt { hash, record, exchange: fits.then_some(exchange) });
        }
        if self.unwritten.writing.swap(true, Ordering::AcqRel) {
            return;
        }
        tokio::spawn(Arc::clone(self).write_behind());
    }

    /// Writes what waits now and then, until nothing does.
    async fn write_behind(self: Arc<Self>) {
        loop {
            let gateway = Arc::clone(&self);
            // One that fails says so itself.
            let _ = tokio::task::spawn_blocking(move || gateway.write_streams()).await;
            tokio::time::sleep(WRITE_PERIOD).await;
            if !self.unwritten.lock().receipts.is_empty() {
                continue;
            }
            self.unwritten.writing.store(false, Ordering::Release);
            // What came just before that was noted.
            if self.unwritten.lock().receipts.is_empty()
                || self.unwritten.writing.swap(true, Ordering::AcqRel)
            {
                return;
            }
        }
    }

    /// Writes what waits.
    pub(crate) fn write_streams(&self) {
        let receipts = core::mem::take(&mut *self.unwritten.lock()).receipts;
        if receipts.is_empty() {
            return;
        }
        if let Err(error) = self.store.put_streams(&receipts, self.kept_bytes) {
            tracing::error!(%error, count = receipts.len(), "receipts cannot be written");
        }
    }
}

impl Unwritten {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
