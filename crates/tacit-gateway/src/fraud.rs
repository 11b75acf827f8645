//! False answers as files: what convicts a worker that answered a hidden question falsely, offline and without asking anybody.
//!
//! Two saved receipts about one row of one model: the worker's, under an encrypted answer that decrypts to one output, and one with a proof of another
//! output. [`verify_fraud`] checks both as [`crate::receipt::verify_bundle`] does, and that they contradict each other. The row is the gateway's own and
//! says nothing of anybody.
//!
//! # Soundness
//! An honest worker cannot be convicted, except with the probability that an exact answer decrypts falsely (`specs/0004-encrypted.md`), and with that of
//! a false proof: it signs for the query and its own ciphertext only, the query is made again from row and secret, and a false offer makes an answer of
//! another length.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_graph::Answer;
use tacit_wire::JobId;

use crate::{
    encrypted::QuestionReject,
    error::GatewayError,
    gateway::Gateway,
    market,
    receipt::{BUNDLE_BYTES_MAX, Bundle, BundleReject, verify_bundle},
};

/// A false answer, and the proof of the true one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FraudBundle {
    /// Version of this format.
    pub version: u32,
    /// The worker's receipt, with its answer.
    pub answer: Bundle,
    /// The receipt of the same row with a proof.
    pub truth: Bundle,
}

/// A false answer, briefly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudEntry {
    /// The hidden question.
    pub job_id: JobId,
    /// Who answered it.
    pub worker: Address,
    /// Model as it was asked for.
    pub model: String,
    /// Its id.
    pub model_id: B256,
    /// When the worker says that it answered, seconds since 1970.
    pub completed_at: u64,
}

/// A contradiction that was checked. Only [`verify_fraud`] makes one.
#[must_use = "a worker is convicted by what demands this value"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFraud {
    /// Who answered falsely.
    pub worker: Address,
    /// About which model.
    pub model_id: B256,
    /// The receipt that it signed.
    pub receipt: B256,
    /// What it answered.
    pub answered: Answer,
    /// What is proved.
    pub proved: Answer,
    /// Bits of security of the proof.
    pub security_bits: u8,
}

/// Why two receipts convict nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FraudReject {
    /// Longer than any such file.
    #[error("a file about a false answer has at most {limit} bytes, not {got}")]
    TooLong {
        /// The limit.
        limit: usize,
        /// The file's length.
        got: usize,
    },
    /// Not the JSON of one.
    #[error("this is not a file about a false answer: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("version {got} of a file about a false answer is not {expected}")]
    Version {
        /// What this program reads.
        expected: u32,
        /// The file's.
        got: u32,
    },
    /// The worker's receipt does not hold.
    #[error("the receipt of the answer does not hold: {0}")]
    Answer(#[source] BundleReject),
    /// The receipt with the proof does not hold.
    #[error("the receipt of the proof does not hold: {0}")]
    Truth(#[source] BundleReject),
    /// The answer was not encrypted.
    #[error("the answer is not one to an encrypted question")]
    NotEncrypted,
    /// The keys that open the answer are not in the file.
    #[error("the keys that open the answer are its client's alone")]
    Unopened,
    /// There is no proof.
    #[error("the true answer is not proved")]
    NotProved,
    /// The two are about different models.
    #[error("the answer is about model {answer}, and the proof about model {truth}")]
    Model {
        /// The worker's.
        answer: B256,
        /// The proof's.
        truth: B256,
    },
    /// The two are about different rows.
    #[error("answer and proof are about different rows")]
    Row,
    /// The answer cannot be compared.
    #[error("the answer cannot be compared: {0}")]
    Question(#[from] QuestionReject),
    /// The answer is right.
    #[error("the answer is the proved one")]
    Right,
}

/// Version of the format.
pub const FRAUD_VERSION: u32 = 1;
/// Longest file.
pub const FRAUD_BYTES_MAX: usize = 2 * BUNDLE_BYTES_MAX;

impl FraudBundle {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FraudReject`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, FraudReject> {
        let (limit, got) = (FRAUD_BYTES_MAX, bytes.len());
        if got > limit {
            return Err(FraudReject::TooLong { limit, got });
        }
        let bundle: Self = serde_json::from_slice(bytes)?;
        let (expected, got) = (FRAUD_VERSION, bundle.version);
        if expected == got { Ok(bundle) } else { Err(FraudReject::Version { expected, got }) }
    }
}

/// Checks that a worker signed for a false answer. Anyone can, offline.
///
/// # Errors
/// [`FraudReject`]; no input makes this panic.
pub fn verify_fraud(bundle: &FraudBundle) -> Result<VerifiedFraud, FraudReject> {
    let FraudBundle { version, answer, truth } = bundle;
    let (expected, got) = (FRAUD_VERSION, *version);
    if expected != got {
        return Err(FraudReject::Version { expected, got });
    }
    let answered = verify_bundle(answer).map_err(FraudReject::Answer)?;
    let proved = verify_bundle(truth).map_err(FraudReject::Truth)?;
    let receipt = answered.receipt();
    let (Some(Privacy::Encrypted), Some(messages)) =
        (Privacy::from_u8(receipt.privacy), answer.encrypted.as_ref())
    else {
        return Err(FraudReject::NotEncrypted);
    };
    if !answered.opened() {
        return Err(FraudReject::Unopened);
    }
    let (Some(Evidence::Proved), Some(security_bits)) =
        (Evidence::from_u8(proved.receipt().evidence), proved.security_bits())
    else {
        return Err(FraudReject::NotProved);
    };
    let (ours, theirs) = (receipt.modelId, proved.receipt().modelId);
    if ours != theirs {
        return Err(FraudReject::Model { answer: ours, truth: theirs });
    }
    if answer.input != truth.input {
        return Err(FraudReject::Row);
    }
    let model = market::recompute(ours, &answer.model).ok_or(FraudReject::Answer(BundleReject::Model))?;
    if messages.question.agrees(model.graph(), &truth.output, &answer.output)? {
        return Err(FraudReject::Right);
    }
    Ok(VerifiedFraud {
        worker: receipt.worker,
        model_id: ours,
        receipt: answered.hash(),
        answered: answered.answer().clone(),
        proved: proved.answer().clone(),
        security_bits,
    })
}

impl Gateway {
    /// False answers to hidden questions.
    ///
    /// # Errors
    /// [`GatewayError::Store`].
    pub fn false_answers(&self) -> Result<Vec<FraudEntry>, GatewayError> {
        let entry = |(job_id, _)| {
            let job = self.store().job(job_id)?.ok_or(GatewayError::Internal)?;
            let answer = self.store().answer(job_id)?.ok_or(GatewayError::Internal)?;
            Ok(FraudEntry {
                job_id,
                worker: job.request.header.worker,
                model: job.model,
                model_id: job.request.header.model_id,
                completed_at: answer.receipt.receipt.completedAt,
            })
        };
        self.store().false_answers()?.into_iter().map(entry).collect()
    }

    /// What convicts the worker that answered a hidden question falsely.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`].
    pub fn false_answer(&self, job_id: JobId) -> Result<FraudBundle, GatewayError> {
        let mut all = self.store().false_answers()?.into_iter();
        let (_, truth) = all
            .find(|(canary, _)| *canary == job_id)
            .ok_or_else(|| GatewayError::UnknownReceipt { id: job_id.to_string() })?;
        Ok(FraudBundle {
            version: FRAUD_VERSION,
            answer: self.kept_bundle(job_id)?,
            truth: self.kept_bundle(truth)?,
        })
    }
}
