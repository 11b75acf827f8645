//! What an auditor is given of an encrypted job: the receipt, the two messages, and what opens the receipt's commitments to them.
//!
//! The fields are those of a saved receipt, which holds the question and its secret as well; whatever else a file holds is not read, so that
//! either may be audited. An auditor needs to see the ciphertexts only.
//!
//! # Soundness
//! [`AuditFile::check`] binds the worker, by its signature, to the query it answered, the ciphertext it answered with, and the seed it says it used.
//! Whether model, query and seed give that ciphertext is for whoever has the model and the seed to find out.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{
    Privacy,
    receipts::{self, SignedReceipt},
};

use crate::{
    AnswerEvidence, AuditKey, JobId, Output, Payload, Salts,
    audit::{AnswerSeed, SeedCommitment},
    job::QUERY_BYTES_MAX,
    message::{base64_bytes, receipt_json},
    wallet::{SignatureReject, receipt_signer},
};

/// A file for an auditor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFile {
    /// Version of saved receipts.
    pub version: u32,
    /// Ledger that the receipt is for.
    pub chain_id: u64,
    /// The receipt as the worker signed it.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// Opens the input commitment.
    pub input_salt: B256,
    /// Opens the output commitment.
    pub output_salt: B256,
    /// Opens the evidence commitment.
    pub evidence_salt: B256,
    /// What travelled; nothing in the file of a job that was not encrypted.
    pub encrypted: Option<AuditMessages>,
}

/// The messages of an encrypted job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditMessages {
    /// The query, as it was sent.
    #[serde(with = "base64_bytes")]
    pub query: Vec<u8>,
    /// What came back.
    pub answer: EncryptedAnswer,
}

/// What came back for an encrypted job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedAnswer {
    /// The output, as it came.
    #[serde(with = "base64_bytes")]
    pub ciphertext: Vec<u8>,
    /// The worker's commitment to what it was computed with.
    pub seed_commitment: SeedCommitment,
}

/// An encrypted job whose worker has signed for both messages and the seed. Only [`AuditFile::check`] makes one.
#[must_use = "whether the answer is the model's is still to be found out"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedJob {
    receipt: SignedReceipt,
    hash: B256,
    messages: AuditMessages,
}

/// Why a file says nothing about an encrypted job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditReject {
    /// Longer than any file.
    #[error("a receipt file has at most {limit} bytes, not {got}")]
    TooLong {
        /// The limit.
        limit: usize,
        /// The file's length.
        got: usize,
    },
    /// Not the JSON of one.
    #[error("this is not a receipt file: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("receipt file version {got} is not {expected}")]
    Version {
        /// What this program reads.
        expected: u32,
        /// The file's.
        got: u32,
    },
    /// The job was not encrypted.
    #[error("the receipt is not of an encrypted job")]
    NotEncrypted,
    /// The messages are not in the file.
    #[error("the messages of the encrypted job are missing")]
    Messages,
    /// The query is longer than any that a worker answers.
    #[error("a query has at most {limit} bytes, got {got}")]
    QueryLength {
        /// The limit.
        limit: usize,
        /// Its length.
        got: usize,
    },
    /// The receipt is signed by nobody.
    #[error("the receipt's signature is refused: {0}")]
    Signature(SignatureReject),
    /// The receipt is signed by somebody else than the worker it names.
    #[error("the receipt names worker {expected} and is signed by {got}")]
    Signer {
        /// Who it names.
        expected: Address,
        /// Who signed.
        got: Address,
    },
    /// The receipt's commitment does not open to the query.
    #[error("the receipt commits to another query")]
    QueryCommitment,
    /// The receipt's commitment does not open to the ciphertext.
    #[error("the receipt commits to another answer")]
    AnswerCommitment,
    /// The receipt's commitment does not open to the seed's.
    #[error("the receipt commits to another seed")]
    SeedCommitment,
}

/// Version of saved receipts, for auditors and for their owners.
pub const RECEIPT_FILE_VERSION: u32 = 3;
/// Longest file: that of a whole saved receipt.
pub const RECEIPT_FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

impl AuditFile {
    /// Reads a file for an auditor, or a whole saved receipt.
    ///
    /// # Errors
    /// [`AuditReject::TooLong`], [`AuditReject::Json`], [`AuditReject::Version`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, AuditReject> {
        let (limit, got) = (RECEIPT_FILE_BYTES_MAX, bytes.len());
        if got > limit {
            return Err(AuditReject::TooLong { limit, got });
        }
        let file: Self = serde_json::from_slice(bytes)?;
        let (expected, got) = (RECEIPT_FILE_VERSION, file.version);
        if expected == got { Ok(file) } else { Err(AuditReject::Version { expected, got }) }
    }

    /// Checks that the worker has signed for these messages.
    ///
    /// # Errors
    /// [`AuditReject`]; no input makes this panic.
    pub fn check(self) -> Result<AuditedJob, AuditReject> {
        let (expected, got) = (RECEIPT_FILE_VERSION, self.version);
        if expected != got {
            return Err(AuditReject::Version { expected, got });
        }
        let receipt = &self.receipt.receipt;
        if Privacy::from_u8(receipt.privacy) != Some(Privacy::Encrypted) {
            return Err(AuditReject::NotEncrypted);
        }
        let messages = self.encrypted.ok_or(AuditReject::Messages)?;
        let (limit, got) = (QUERY_BYTES_MAX, messages.query.len());
        if got > limit {
            return Err(AuditReject::QueryLength { limit, got });
        }
        let (expected, got) =
            (receipt.worker, receipt_signer(&self.receipt, self.chain_id).map_err(AuditReject::Signature)?);
        if expected != got {
            return Err(AuditReject::Signer { expected, got });
        }
        let [input, output, evidence] =
            [self.input_salt, self.output_salt, self.evidence_salt].map(|salt| salt.0);
        let salts = Salts { input, output, evidence };
        if receipt.inputCommitment != salts.commit_query(&messages.query) {
            return Err(AuditReject::QueryCommitment);
        }
        let EncryptedAnswer { ciphertext, seed_commitment } = &messages.answer;
        if receipt.outputCommitment != salts.commit_output(&Output::Ciphertext(ciphertext.clone())) {
            return Err(AuditReject::AnswerCommitment);
        }
        let evidence = AnswerEvidence::Seed(*seed_commitment).committed();
        if receipt.evidenceHash != salts.commit_evidence(&evidence) {
            return Err(AuditReject::SeedCommitment);
        }
        let hash = receipts::leaf(receipt, self.chain_id);
        Ok(AuditedJob { receipt: self.receipt, hash, messages })
    }
}

impl AuditedJob {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self) -> &SignedReceipt {
        &self.receipt
    }

    /// Its hash: its leaf on the ledger.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The model that was to answer.
    #[must_use]
    pub fn model_id(&self) -> B256 {
        self.receipt.receipt.modelId
    }

    /// The query that was answered.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        &self.messages.query
    }

    /// What it was answered with.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.messages.answer.ciphertext
    }

    /// Whether the worker signed for having used this seed.
    #[must_use]
    pub fn used(&self, seed: &AnswerSeed) -> bool {
        seed.commitment() == self.messages.answer.seed_commitment
    }

    /// The seed that a worker with this key uses for this job.
    #[must_use]
    pub fn seed(&self, key: &AuditKey) -> AnswerSeed {
        let payload = Payload::Encrypted { body: self.messages.query.clone() };
        key.seed(JobId(self.receipt.receipt.jobId), self.model_id(), payload.hash())
    }
}

impl core::fmt::Debug for AuditMessages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AuditMessages({} bytes, {:?})", self.query.len(), self.answer)
    }
}

impl core::fmt::Debug for EncryptedAnswer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "EncryptedAnswer({} bytes, {:?})", self.ciphertext.len(), self.seed_commitment)
    }
}
