//! Believing an answer: every field of the receipt, every commitment, and the proof.
//!
//! # Soundness
//! For `proved`, the verifier is given the gateway's own input, the model whose id the gateway recomputed, and the output
//! in the answer, and says whether they are the row of the proof that the answer names; the receipt only has to agree with
//! it. The other rows of the proof are other people's: nothing is known or believed about them. For `audited` the checks show that the trace
//! whose root the receipt commits to begins with this input and ends with this output; what lies between is the worker's word, for which its
//! stake answers to whoever does the run again (`specs/0011-audits.md`). For `attested` they show that the answer came from whoever opened the session's
//! key, which hardware said lives in a guest that the policy accepts; the output is that guest's word (`specs/0012-attestation.md`). For `signed` the output is
//! the worker's word: the checks bind the worker to that word, and to nothing more. For an encrypted job they bind it to the ciphertexts
//! both ways, and to the randomness with which its answer can be done again.

use alloy_primitives::B256;
use tacit_abi::{
    Evidence, Privacy, Voucher,
    channels::SignedVoucher,
    receipts::{self, SignedReceipt},
};
use tacit_attest::Attested;
use tacit_encrypt::{Offer, WireError, client::Secret};
use tacit_graph::{
    AnswerError,
    trace::{FacesError, Hash, check_faces},
};
use tacit_verify::{Reject, Row, RowSalt, Verified, VerifyingModel};
use tacit_wire::{
    Amount, Answer, AnswerEvidence, JobHeader, Output, RowProof, SealReject, SignatureReject, TraceEvidence,
    Wallet,
    answer::AnswerFormatReject,
    token::{Token, TokenReject},
    wallet::receipt_signer,
};

use crate::{attested::AttestedReject, canary};

/// An answer that passed every check. Only [`check`] makes one, and only one of these can be paid.
#[must_use = "a checked answer is owed a voucher"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedAnswer {
    header: JobHeader,
    answer: Answer,
    logits: Vec<i32>,
    decoded: tacit_graph::Answer,
    verified: Option<Verified>,
    verify_cpu_us: u64,
}

/// What was asked, as only the client knows it.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// Raw values that the worker could read.
    Values(&'a [i64]),
    /// Raw values that only a guest could read whose hardware was judged.
    Attested {
        /// The values.
        values: &'a [i64],
        /// What its hardware showed.
        attested: &'a Attested,
    },
    /// A query that it could not, and what decrypts its answer.
    Encrypted {
        /// The bytes that were sent.
        query: &'a [u8],
        /// Of this query.
        secret: &'a Secret,
    },
    /// A query that it could not, and an output that only whoever has the client's keys can compare with what came: it is the client's word.
    Unopened {
        /// The bytes that were sent.
        query: &'a [u8],
        /// What the worker said about the model.
        offer: &'a Offer,
        /// What the client says that it decrypted.
        output: &'a [i32],
    },
}

/// Why an answer is not believed, and not paid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerReject {
    /// The body does not open.
    #[error("the answer does not open: {0}")]
    Sealed(#[from] SealReject),
    /// The body does not decode.
    #[error("the answer is malformed: {0}")]
    Format(#[from] AnswerFormatReject),
    /// The response is too long or not one.
    #[error("the response is not one")]
    Response,
    /// The response names another job.
    #[error("the answer is for another job")]
    WrongJob,
    /// The receipt is signed by nobody.
    #[error("the receipt's signature is refused: {0}")]
    ReceiptSignature(SignatureReject),
    /// The receipt is signed by somebody else than the worker.
    #[error("the receipt is not signed by the worker")]
    ReceiptSigner,
    /// A field of the receipt is not the job's.
    #[error("the receipt's {field} is not the job's")]
    ReceiptField {
        /// Which field.
        field: &'static str,
    },
    /// The worker charges another amount than agreed.
    #[error("the worker charges {demanded}, and {agreed} was agreed")]
    Overcharge {
        /// What was agreed.
        agreed: Amount,
        /// What is demanded.
        demanded: Amount,
    },
    /// The receipt's commitment does not open to the input that was sent.
    #[error("the receipt commits to another input")]
    InputCommitment,
    /// The receipt's commitment does not open to the output that came.
    #[error("the receipt commits to another output")]
    OutputCommitment,
    /// The receipt's commitment does not open to the proof that came.
    #[error("the receipt commits to another proof")]
    EvidenceCommitment,
    /// Logits where a ciphertext was asked for, or the other way round.
    #[error("the output is not in the form that was asked for")]
    OutputForm,
    /// What should be a ciphertext of the output is none.
    #[error("the encrypted output is none of this model's: {0}")]
    Ciphertext(#[from] WireError),
    /// Nothing says how the encrypted answer could be done again.
    #[error("there is no commitment to what the encrypted answer was computed with")]
    NoSeed,
    /// A commitment to randomness where there was none to use.
    #[error("there is a commitment to what an encrypted answer was computed with, and none was asked for")]
    UnexpectedSeed,
    /// The output cannot be one of this model.
    #[error("the output cannot be this model's: {0}")]
    Output(#[from] AnswerError),
    /// No proof where one was agreed.
    #[error("there is no proof, and one was asked for")]
    NoProof,
    /// A proof about several jobs that is not in zero knowledge: whoever else has it may read something of the input.
    #[error("the proof shows something of the question to others")]
    Shown,
    /// A proof where none was agreed.
    #[error("there is a proof, and none was asked for")]
    UnexpectedProof,
    /// The receipt names an evidence this program cannot check.
    #[error("evidence {evidence} cannot be checked here")]
    UncheckableEvidence {
        /// What the receipt names.
        evidence: Evidence,
    },
    /// The proof is not one of this model, input and output.
    #[error("the proof is false: {0}")]
    Proof(#[from] Reject),
    /// Nothing names the evidence of hardware that the answer stands on.
    #[error("the answer does not name the hardware's evidence, and stands on nothing else")]
    NoAttestation,
    /// It names evidence where none was agreed.
    #[error("the answer names evidence of hardware, and none was asked for")]
    UnexpectedAttestation,
    /// It names other evidence than that of the session, or the session is another worker's or model's.
    #[error("the answer names other evidence of hardware than its session began with")]
    OtherAttestation,
    /// What the session began with does not hold at the time of the answer.
    #[error(transparent)]
    Attestation(#[from] Box<AttestedReject>),
    /// A hidden question was answered otherwise than its proved answer says.
    #[error("a hidden question, whose answer is proved, was answered falsely")]
    WrongCanary,
    /// No trace where one was agreed.
    #[error("there is no trace of the run, and one was asked for")]
    NoTrace,
    /// A trace where none was agreed.
    #[error("there is a trace of a run, and none was asked for")]
    UnexpectedTrace,
    /// The receipt is of another time than the question, so that it could not be disputed when it should be.
    #[error("the receipt says that it is of time {got}, and the answer came between {from} and {to}")]
    CompletedAt {
        /// The receipt's.
        got: u64,
        /// When the question was sent, less what clocks may differ.
        from: u64,
        /// When the answer came, and what clocks may differ.
        to: u64,
    },
    /// What was bought is no tokens.
    #[error("what answers the purchase is no tokens: {0}")]
    Tokens(#[from] TokenReject),
    /// The trace is not one of this input and output.
    #[error("the trace is false: {0}")]
    Trace(#[from] FacesError),
}

/// Checks `answer` against the job that was sent. `model` is the model whose id is the header's.
///
/// # Errors
/// [`AnswerReject`]; no input makes this panic.
pub fn check(
    header: &JobHeader,
    model: &VerifyingModel,
    asked: Asked<'_>,
    answer: Answer,
) -> Result<CheckedAnswer, AnswerReject> {
    let start = thread_cpu_us();
    check_receipt(header, &answer.receipt)?;
    let receipt = &answer.receipt.receipt;
    if receipt.modelId != B256::from(*model.id().as_bytes()) {
        return Err(AnswerReject::ReceiptField { field: "model" });
    }
    let input_commitment = match asked {
        Asked::Values(values) | Asked::Attested { values, .. } => answer.salts.commit_input(values),
        Asked::Encrypted { query, .. } | Asked::Unopened { query, .. } => answer.salts.commit_query(query),
    };
    if receipt.inputCommitment != input_commitment {
        return Err(AnswerReject::InputCommitment);
    }
    if receipt.outputCommitment != answer.salts.commit_output(&answer.output) {
        return Err(AnswerReject::OutputCommitment);
    }
    if receipt.evidenceHash != answer.salts.commit_evidence(&answer.evidence.committed()) {
        return Err(AnswerReject::EvidenceCommitment);
    }
    let logits = match (&answer.output, asked) {
        (Output::Logits(logits), Asked::Values(_) | Asked::Attested { .. }) => logits.clone(),
        (Output::Ciphertext(ciphertext), Asked::Encrypted { secret, .. }) => secret.decrypt(ciphertext)?,
        (Output::Ciphertext(ciphertext), Asked::Unopened { offer, output, .. }) => {
            offer.check_answer(ciphertext)?;
            output.to_vec()
        }
        _ => return Err(AnswerReject::OutputForm),
    };
    let decoded = model.graph().decode_output(&logits)?;
    let verified = match (header.evidence, asked, &answer.evidence) {
        (Evidence::Audited, Asked::Values(values), evidence) => {
            check_trace(model, values, &logits, evidence.trace().ok_or(AnswerReject::NoTrace)?)?;
            None
        }
        (Evidence::Signed | Evidence::Audited, _, AnswerEvidence::Trace(_)) => {
            return Err(AnswerReject::UnexpectedTrace);
        }
        (Evidence::Signed | Evidence::Audited, _, AnswerEvidence::Attested(_)) => {
            return Err(AnswerReject::UnexpectedAttestation);
        }
        (Evidence::Attested, Asked::Attested { attested, .. }, evidence) => {
            let id = evidence.attested().ok_or(AnswerReject::NoAttestation)?;
            check_session(header, attested, id)?;
            None
        }
        (Evidence::Signed, _, AnswerEvidence::Proof(_)) => return Err(AnswerReject::UnexpectedProof),
        (Evidence::Audited, Asked::Encrypted { .. } | Asked::Unopened { .. }, AnswerEvidence::Proof(_)) => {
            return Err(AnswerReject::UnexpectedProof);
        }
        // What makes an audited answer more than the worker's word is in other jobs: `crate::canary`.
        (Evidence::Signed, Asked::Values(_), AnswerEvidence::None)
        | (
            Evidence::Signed | Evidence::Audited,
            Asked::Encrypted { .. } | Asked::Unopened { .. },
            AnswerEvidence::Seed(_),
        ) => None,
        (Evidence::Signed, Asked::Values(_), AnswerEvidence::Seed(_)) => {
            return Err(AnswerReject::UnexpectedSeed);
        }
        (
            Evidence::Signed | Evidence::Audited,
            Asked::Encrypted { .. } | Asked::Unopened { .. },
            AnswerEvidence::None,
        ) => {
            return Err(AnswerReject::NoSeed);
        }
        (Evidence::Proved, Asked::Values(values), evidence) => {
            let row = evidence.proof().ok_or(AnswerReject::NoProof)?;
            Some(check_row(model, values, &logits, row)?)
        }
        (evidence, ..) => return Err(AnswerReject::UncheckableEvidence { evidence }),
    };
    let verify_cpu_us = thread_cpu_us().saturating_sub(start);
    Ok(CheckedAnswer { header: *header, answer, logits, decoded, verified, verify_cpu_us })
}

/// Blind signatures that a worker answers for. They are paid for once they make tokens.
#[must_use = "blind signatures are worth nothing until they are unblinded"]
pub(crate) struct SignedBlind {
    header: JobHeader,
    signatures: Vec<u8>,
}

/// Tokens that were checked. Only [`SignedBlind::with_tokens`] makes one, and only one of these can be paid.
#[must_use = "checked tokens are owed a voucher"]
pub(crate) struct CheckedPurchase {
    header: JobHeader,
    tokens: Vec<Token>,
}

/// Checks what answers a purchase of tokens, but for the signatures themselves, which whoever blinded the messages checks.
///
/// # Errors
/// [`AnswerReject`].
pub(crate) fn check_blind(
    header: &JobHeader,
    query: &[u8],
    answer: Answer,
) -> Result<SignedBlind, AnswerReject> {
    check_receipt(header, &answer.receipt)?;
    let receipt = &answer.receipt.receipt;
    if receipt.inputCommitment != answer.salts.commit_query(query) {
        return Err(AnswerReject::InputCommitment);
    }
    if receipt.outputCommitment != answer.salts.commit_output(&answer.output) {
        return Err(AnswerReject::OutputCommitment);
    }
    if receipt.evidenceHash != answer.salts.commit_evidence(&answer.evidence.committed()) {
        return Err(AnswerReject::EvidenceCommitment);
    }
    match (answer.output, answer.evidence) {
        (Output::Ciphertext(signatures), AnswerEvidence::None) => {
            Ok(SignedBlind { header: *header, signatures })
        }
        (Output::Logits(_), _) => Err(AnswerReject::OutputForm),
        (_, AnswerEvidence::Proof(_)) => Err(AnswerReject::UnexpectedProof),
        (_, AnswerEvidence::Seed(_)) => Err(AnswerReject::UnexpectedSeed),
        (_, AnswerEvidence::Trace(_)) => Err(AnswerReject::UnexpectedTrace),
        (_, AnswerEvidence::Attested(_)) => Err(AnswerReject::UnexpectedAttestation),
    }
}

impl SignedBlind {
    pub(crate) fn signatures(&self) -> &[u8] {
        &self.signatures
    }

    /// What the caller made of the signatures: each a token that checks under the key of the purchase.
    pub(crate) fn with_tokens(self, tokens: Vec<Token>) -> CheckedPurchase {
        CheckedPurchase { header: self.header, tokens }
    }
}

impl CheckedPurchase {
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Signs the voucher that pays for these tokens.
    pub(crate) fn sign_voucher(&self, wallet: &Wallet) -> SignedVoucher {
        sign_voucher(&self.header, wallet)
    }
}

/// The header's cumulative amount, whatever the worker wrote.
fn sign_voucher(header: &JobHeader, wallet: &Wallet) -> SignedVoucher {
    let voucher = Voucher { channelId: header.channel_id, cumulative: header.cumulative.0 };
    wallet.sign_voucher(voucher, header.chain_id)
}

/// Checks the proof, and that its row is this question with this output.
fn check_row(
    model: &VerifyingModel,
    input: &[i64],
    output: &[i32],
    row: &RowProof,
) -> Result<Verified, AnswerReject> {
    let RowProof { rows, index, salt, proof } = row;
    let (rows, index) = (index_of(*rows), index_of(*index));
    let batch = tacit_verify::verify_batch(model, rows, proof)?;
    let row = Row { input, output, salt: RowSalt::new(salt.0) };
    let verified = batch.row(index, row)?;
    if rows > 1 && !verified.zero_knowledge() {
        return Err(AnswerReject::Shown);
    }
    Ok(verified)
}

/// Checks that the trace that the receipt commits to is one of this question with this output.
fn check_trace(
    model: &VerifyingModel,
    input: &[i64],
    output: &[i32],
    trace: &TraceEvidence,
) -> Result<(), AnswerReject> {
    let encoded = model.graph().encode_input(input)?;
    let faces: Vec<Hash> = trace.faces.iter().map(|face| face.0).collect();
    Ok(check_faces(model.graph(), &encoded, output, &faces, &trace.root.0)?)
}

/// Checks that an answer stands on the session that was judged.
fn check_session(header: &JobHeader, attested: &Attested, evidence: B256) -> Result<(), AnswerReject> {
    let binding = attested.binding();
    let same = (binding.worker(), binding.model()) == (header.worker, header.model_id);
    if header.privacy == Privacy::Enclave && same && evidence == attested.evidence() {
        Ok(())
    } else {
        Err(AnswerReject::OtherAttestation)
    }
}

fn index_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn check_receipt(header: &JobHeader, signed: &SignedReceipt) -> Result<(), AnswerReject> {
    let receipt = &signed.receipt;
    let fields = [
        ("job", receipt.jobId == header.job_id.0),
        ("model", receipt.modelId == header.model_id),
        ("channel", receipt.channelId == header.channel_id),
        ("client", receipt.client == header.client),
        ("worker", receipt.worker == header.worker),
        ("privacy", Privacy::from_u8(receipt.privacy) == Some(header.privacy)),
        ("evidence", Evidence::from_u8(receipt.evidence) == Some(header.evidence)),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, same)| !same) {
        return Err(AnswerReject::ReceiptField { field });
    }
    for (agreed, demanded) in
        [(header.price, Amount(receipt.price)), (header.cumulative, Amount(receipt.cumulative))]
    {
        // Less than agreed is refused too: a receipt that tells another price than the voucher is no account of the job.
        if agreed != demanded {
            return Err(AnswerReject::Overcharge { agreed, demanded });
        }
    }
    let signer = receipt_signer(signed, header.chain_id).map_err(AnswerReject::ReceiptSignature)?;
    if signer != header.worker { Err(AnswerReject::ReceiptSigner) } else { Ok(()) }
}

impl AnswerReject {
    /// Stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sealed(_) => "answer_sealed",
            Self::Format(_) => "answer_malformed",
            Self::Response => "response_malformed",
            Self::WrongJob => "answer_wrong_job",
            Self::ReceiptSignature(_) => "receipt_signature",
            Self::ReceiptSigner => "receipt_signer",
            Self::ReceiptField { .. } => "receipt_field",
            Self::Overcharge { .. } => "overcharge",
            Self::InputCommitment => "input_commitment",
            Self::OutputCommitment => "output_commitment",
            Self::EvidenceCommitment => "evidence_commitment",
            Self::OutputForm => "output_form",
            Self::Ciphertext(_) => "bad_ciphertext",
            Self::NoSeed => "no_seed_commitment",
            Self::UnexpectedSeed => "unexpected_seed_commitment",
            Self::Output(_) => "output_shape",
            Self::NoProof => "no_proof",
            Self::Shown => "proof_shows_question",
            Self::UnexpectedProof => "unexpected_proof",
            Self::UncheckableEvidence { .. } => "uncheckable_evidence",
            Self::Proof(_) => "false_proof",
            Self::NoAttestation => "no_attestation",
            Self::UnexpectedAttestation => "unexpected_attestation",
            Self::OtherAttestation => "other_attestation",
            Self::Attestation(reject) => reject.code(),
            Self::WrongCanary => canary::WRONG_CANARY,
            Self::NoTrace => "no_trace",
            Self::UnexpectedTrace => "unexpected_trace",
            Self::Tokens(_) => "false_tokens",
            Self::Trace(_) => "false_trace",
            Self::CompletedAt { .. } => "receipt_time",
        }
    }
}

impl CheckedAnswer {
    /// The answer's parts.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// What the model gives, decrypted where it came encrypted.
    #[must_use]
    pub fn logits(&self) -> &[i32] {
        &self.logits
    }

    /// What the model says, decoded.
    #[must_use]
    pub fn decoded(&self) -> &tacit_graph::Answer {
        &self.decoded
    }

    /// The verifier's token, when the evidence was a proof.
    #[must_use]
    pub fn verified(&self) -> Option<&Verified> {
        self.verified.as_ref()
    }

    /// Processor time that the checks took on this thread, microseconds.
    #[must_use]
    pub fn verify_cpu_us(&self) -> u64 {
        self.verify_cpu_us
    }

    /// Hash of the receipt: its leaf on the ledger.
    #[must_use]
    pub fn receipt_hash(&self) -> B256 {
        receipts::leaf(&self.answer.receipt.receipt, self.header.chain_id)
    }

    /// Signs the voucher that pays for this answer.
    pub(crate) fn sign_voucher(&self, wallet: &Wallet) -> SignedVoucher {
        sign_voucher(&self.header, wallet)
    }
}

/// Processor time of this thread so far, microseconds.
fn thread_cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000).saturating_add(nanos.unwrap_or(0) / 1_000)
}
