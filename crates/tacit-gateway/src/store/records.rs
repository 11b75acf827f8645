//! What is kept, record by record.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{channels::SignedVoucher, receipts::SignedReceipt};
use tacit_wire::{
    Amount, EngineTime, JobId, RowProof, Salts, TraceEvidence,
    message::{AnchorProof, JobRequest, optional_voucher_json, receipt_json},
};

use crate::{
    encrypted::{EncryptedAnswer, EncryptedQuestion},
    tokens::Purchase,
    unlinkable::Prepaid,
};

/// A job from the moment before it was sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Hash of the question: tells the same from another one under the same id.
    pub fingerprint: B256,
    /// Name the model was asked by.
    pub model: String,
    /// Where the worker is.
    pub endpoint: String,
    /// What was sent, byte for byte.
    pub request: JobRequest,
    /// Raw values that were encoded and sealed or encrypted.
    pub values: Vec<i64>,
    /// Key that opens the answer, when it comes sealed.
    pub response_key: Option<B256>,
    /// What opens the answer, when it comes encrypted.
    pub encrypted: Option<EncryptedQuestion>,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// When it was made, seconds since 1970.
    #[serde(default)]
    pub sent_at: u64,
    /// Most that was to be paid for it, and so for the same question to another worker; its price where none is noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Amount>,
    /// Id of the evidence of the session that it was sealed to, where it was one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<B256>,
    /// What makes tokens of the answer, where the job buys some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<Purchase>,
    /// What pays for it, where that is no channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepaid: Option<Prepaid>,
    /// How far it is.
    pub state: JobState,
}

/// What a job is for. Its worker cannot tell a question from a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The user asked.
    Question {
        /// Whether a canary is asked after it, without which its answer is not given out.
        then_canary: bool,
    },
    /// Its answer is proved, for canaries to be compared with.
    KnownRow {
        /// The worker whose canaries it is paid for.
        audited: Address,
    },
    /// The same as another job asks, of another worker, so that their runs can be compared.
    Second {
        /// That job.
        of: JobId,
    },
    /// A row of the gateway's own, hidden among the user's.
    Canary {
        /// The job that proved the answer to the same row; none for a row that nobody has seen yet, whose answer is proved afterwards.
        known: Option<JobId>,
    },
}

/// What is known of a worker's answers to canaries about one model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canaries {
    /// Right answers.
    pub right: u64,
    /// Wrong answers.
    pub wrong: u64,
    /// Right answers since the last wrong one.
    pub right_in_row: u64,
    /// A question whose answer waits for a canary to be asked.
    pub due: Option<JobId>,
    /// Canaries that were answered and paid, and whose rows are still to be proved.
    pub open: Vec<JobId>,
    /// Paid for canaries, and for the proofs that they are compared with.
    pub spent: Amount,
}

/// A row whose answer was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRow {
    /// The job that proved it.
    pub job_id: JobId,
    /// Who proved it, and so has seen the row.
    pub prover: Address,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// About to be sent, or sent; no answer was checked yet.
    Sent,
    /// The worker refused before working. Nothing is owed.
    Refused {
        /// The worker's code.
        code: String,
        /// The worker's words.
        message: String,
    },
    /// The answer was false. Nothing is owed.
    Rejected {
        /// Code of the check.
        code: String,
        /// What is wrong.
        message: String,
    },
    /// The answer was checked and its voucher signed.
    Signed,
}

/// A checked answer: the client's copy of what the receipt commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// Logits, decrypted where they came encrypted.
    pub output: Vec<i32>,
    /// What came, where that was encrypted.
    pub encrypted: Option<EncryptedAnswer>,
    /// Length of the answer as it came.
    #[serde(default)]
    pub answer_bytes: u64,
    /// Openings of the receipt's commitments.
    pub salts: Salts,
    /// What the engine says it took.
    pub time: EngineTime,
    /// The proof.
    pub proof: Option<RowProof>,
    /// The trace that the receipt commits to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceEvidence>,
    /// The receipt.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// Processor time of our checks, microseconds.
    pub verify_cpu_us: u64,
    /// Place on the ledger, once fetched.
    pub anchor: Option<AnchorProof>,
}

/// What a worker's stake speaks for on a channel, in one period of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// Which period.
    pub period: u64,
    /// For so much of what is paid for audited answers, as the ledger said.
    pub covered: Amount,
    /// So much was paid.
    pub paid: Amount,
}

/// A channel to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// Who is paid.
    pub worker: Address,
    /// Which of our channels to this worker, from zero.
    pub number: u32,
    /// Promised in all.
    pub signed: Amount,
    /// The voucher that promises it.
    #[serde(with = "optional_voucher_json")]
    pub voucher: Option<SignedVoucher>,
    /// The last job it pays.
    pub last_job: Option<JobId>,
    /// What the worker has acknowledged.
    pub delivered: Amount,
    /// The job whose answer is awaited.
    pub in_flight: Option<JobId>,
    /// Closed or to be closed; no job goes over it again.
    pub retired: bool,
    /// What the worker's stake speaks for on it, and what was paid of that. None before the first audited answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover: Option<Cover>,
    /// Of a channel for streams: the most that it may have promised. None for a channel for jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Amount>,
}

impl ChannelRecord {
    /// Our channel `number` to a worker, with nothing promised, for jobs.
    #[must_use]
    pub const fn new(worker: Address, number: u32) -> Self {
        Self {
            worker,
            number,
            signed: Amount::ZERO,
            voucher: None,
            last_job: None,
            delivered: Amount::ZERO,
            in_flight: None,
            retired: false,
            cover: None,
            ceiling: None,
        }
    }

    /// What came of a job was checked, and is paid for; `audited` is its price, if the worker's stake speaks for it.
    pub(super) fn paid(&mut self, job_id: JobId, voucher: &SignedVoucher, audited: Option<Amount>) {
        self.in_flight = self.in_flight.filter(|awaited| *awaited != job_id);
        if self.signed.0 < voucher.voucher.cumulative {
            if let Some((cover, price)) = self.cover.as_mut().zip(audited) {
                // Below the voucher, which is a number of coins.
                cover.paid = Amount(cover.paid.0.saturating_add(price.0));
            }
            self.signed = Amount(voucher.voucher.cumulative);
            self.voucher = Some(voucher.clone());
            self.last_job = Some(job_id);
        }
    }
}

/// Why a worker is not asked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distrust {
    /// Code of the check that failed.
    pub code: String,
    /// What the worker did.
    pub message: String,
    /// In which job.
    pub job_id: JobId,
}

impl core::fmt::Debug for JobRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("JobRecord")
            .field("header", &self.request.header)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Default for Purpose {
    fn default() -> Self {
        Self::Question { then_canary: false }
    }
}

impl Canaries {
    pub(super) fn count_right(&mut self) {
        // Counts of answers that a person paid for stay far below the end of their range.
        self.right = self.right.saturating_add(1);
        self.right_in_row = self.right_in_row.saturating_add(1);
    }

    pub(super) fn count_wrong(&mut self) {
        self.wrong = self.wrong.saturating_add(1);
        self.right_in_row = 0;
        // Whoever is caught is asked nothing more.
        self.due = None;
    }

    /// Answers that were compared with a proved one.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.right.saturating_add(self.wrong)
    }
}
