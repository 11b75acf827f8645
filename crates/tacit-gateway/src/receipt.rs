//! Receipts as files: everything needed to check one years later, offline, without asking anybody.
//!
//! A bundle is the client's own copy: it holds the input and the answer in the clear. [`verify_bundle`] recomputes the
//! model's id, opens the commitments, recovers the worker's signature, verifies the proof, and folds the inclusion
//! proof to its root. [`check_anchor`] asks a ledger whether that root is anchored.
//!
//! Of an encrypted job the bundle holds both messages and the query's random bytes: the query is made again from the input and compared,
//! and the answer decrypted; of a job under long-lived keys only if the file's owner put them in, since they open all other questions as well. So a stranger sees that this worker gave this answer to this input, and takes its word for the rest.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{
    Evidence, Privacy, Receipt,
    receipts::{self, SignedReceipt},
};
use tacit_attest::Trust;
use tacit_graph::LabelScores;
use tacit_verify::VerifyingModel;
use tacit_wire::{
    Amount, Answer, AnswerEvidence, AuditFile, EngineTime, JobHeader, JobId, LedgerClient, LedgerError,
    Output, RowProof, Salts, SignatureReject, TraceEvidence,
    audit_file::{self, AuditMessages},
    message::{AnchorProof, ModelInfo, base64_bytes, receipt_json},
    meter::MeterReject,
};

use crate::{
    attested::{AttestedMessages, AttestedSummary},
    check::{self, AnswerReject, Asked, CheckedAnswer},
    encrypted::{EncryptedAnswer, EncryptedQuestion, QuestionReject},
    keys::KeyOpening,
    market,
};

/// A receipt with all that it commits to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Version of this format.
    pub version: u32,
    /// Ledger that the receipt is for.
    pub chain_id: u64,
    /// The receipt as the worker signed it.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// The model: canonical graph and weight root.
    pub model: ModelInfo,
    /// Raw values that were asked about, in units of `2^-24`.
    pub input: Vec<i64>,
    /// Logits that were answered, decrypted where they came encrypted.
    pub output: Vec<i32>,
    /// Opens the input commitment.
    pub input_salt: B256,
    /// Opens the output commitment.
    pub output_salt: B256,
    /// Opens the evidence commitment.
    pub evidence_salt: B256,
    /// The proof and the row of it that this is about; none when the evidence is the worker's word.
    pub proof: Option<RowProof>,
    /// The trace that the receipt commits to, where the evidence is `audited` and the job was not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceEvidence>,
    /// What vouched for the guest that answered, where the evidence is `attested`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<AttestedMessages>,
    /// What travelled, where nobody else could read it.
    pub encrypted: Option<EncryptedMessages>,
    /// Inclusion in an anchored batch, once it is.
    pub anchor: Option<AnchorProof>,
}

/// The messages of an encrypted job, and what makes and opens them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedMessages {
    /// Where the query comes from.
    pub question: EncryptedQuestion,
    /// The query, as it was sent.
    #[serde(with = "base64_bytes")]
    pub query: Vec<u8>,
    /// What came back.
    pub answer: EncryptedAnswer,
    /// What makes the keys that the query is under, where its owner gives that out: whoever has it reads all questions under them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyOpening>,
}

/// A receipt that was checked offline. Only [`verify_bundle`] makes one.
#[must_use = "a receipt is believed by what demands this value"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    receipt: Receipt,
    hash: B256,
    answer: tacit_graph::Answer,
    scores: Option<LabelScores>,
    security_bits: Option<u8>,
    opened: bool,
    attested: Option<AttestedSummary>,
    anchor: Option<AnchorProof>,
}

/// Where a ledger anchored a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchored {
    /// Root of its batch.
    pub root: B256,
    /// Block.
    pub block: u64,
    /// Who anchored the batch.
    pub by: Address,
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleReject {
    /// Not the JSON of a bundle.
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
    /// Longer than any bundle.
    #[error("a receipt file has at most {limit} bytes, not {got}")]
    TooLong {
        /// The limit.
        limit: usize,
        /// The file's length.
        got: usize,
    },
    /// The receipt names a mode that does not exist.
    #[error("the receipt names an unknown privacy or evidence")]
    Mode,
    /// Graph and weight root are not the receipt's model.
    #[error("the file holds another model than the receipt names")]
    Model,
    /// Encrypted messages are missing, or there are some and the job was not encrypted.
    #[error("the file does not hold the messages of a job of the receipt's privacy")]
    Messages,
    /// Evidence of hardware beside another kind of evidence, or none where the receipt stands on it.
    #[error("the file does not hold what a receipt of this evidence stands on")]
    Attestation,
    /// The query cannot be made again.
    #[error("the query cannot be made again: {0}")]
    Question(#[from] QuestionReject),
    /// The query is not the one that input and random bytes give.
    #[error("the query in the file is not about the input in it")]
    Query,
    /// The encrypted answer holds another output.
    #[error("the answer decrypts to another output than the file says")]
    Decrypted,
    /// A commitment, the signature or the proof is false.
    #[error(transparent)]
    Answer(#[from] AnswerReject),
    /// The receipt of a stream is signed by nobody.
    #[error("the receipt's signature is refused: {0}")]
    Signature(#[source] SignatureReject),
    /// The receipt of a stream is signed by somebody else than the worker that it names.
    #[error("the receipt is not signed by the worker that it names")]
    Signer,
    /// The receipt commits to another request.
    #[error("the receipt is not about the request in the file")]
    Request,
    /// The receipt commits to another answer.
    #[error("the receipt is not about the answer in the file")]
    Reply,
    /// The receipt commits to other tokens, prices, or evidence of hardware.
    #[error("the receipt is not about the tokens, prices and evidence in the file")]
    Bill,
    /// The tokenizer is another model's.
    #[error("this is not the tokenizer that the model's manifest names")]
    Tokenizer,
    /// Request or answer cannot be counted.
    #[error("what was asked and answered cannot be counted: {0}")]
    Meter(#[from] MeterReject),
    /// The inclusion proof is longer than the ledger accepts.
    #[error("the inclusion proof has at most {limit} steps, not {got}")]
    InclusionLength {
        /// The limit.
        limit: usize,
        /// The file's.
        got: usize,
    },
    /// The inclusion proof does not lead to its root.
    #[error("the inclusion proof does not lead to its root")]
    Inclusion,
    /// There is no inclusion proof to check.
    #[error("the receipt was not anchored when it was saved")]
    NotAnchored,
    /// The ledger does not know the root, or does not find the receipt in it.
    #[error("the ledger has not anchored this receipt")]
    UnknownToLedger,
    /// The ledger anchored the batch in another block than the bundle says.
    #[error("the file says block {got}, and the ledger anchored the receipt in block {expected}")]
    AnchorBlock {
        /// The ledger's.
        expected: u64,
        /// The bundle's.
        got: u64,
    },
    /// The ledger is another one.
    #[error("the receipt is for chain {expected}, and this ledger is chain {got}")]
    OtherChain {
        /// The bundle's.
        expected: u64,
        /// The ledger's.
        got: u64,
    },
    /// The ledger cannot be asked.
    #[error(transparent)]
    Ledger(LedgerError),
}

/// Version of the format.
pub const BUNDLE_VERSION: u32 = audit_file::RECEIPT_FILE_VERSION;
/// Longest bundle file.
pub const BUNDLE_BYTES_MAX: usize = audit_file::RECEIPT_FILE_BYTES_MAX;
/// Longest inclusion proof, as on the ledger.
pub const SIBLINGS_MAX: usize = 32;

impl Bundle {
    /// Reads a bundle file.
    ///
    /// # Errors
    /// [`BundleReject`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleReject> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleReject::TooLong { limit: BUNDLE_BYTES_MAX, got: bytes.len() });
        }
        let bundle: Self = serde_json::from_slice(bytes)?;
        if bundle.version != BUNDLE_VERSION {
            return Err(BundleReject::Version { expected: BUNDLE_VERSION, got: bundle.version });
        }
        Ok(bundle)
    }

    /// What an auditor may see: the receipt, the ciphertexts both ways, and what opens the receipt's commitments to them. Neither the row nor
    /// what decrypts it.
    ///
    /// # Errors
    /// [`BundleReject::Messages`] when the job was not encrypted: there is nothing to do again without the row.
    pub fn for_audit(&self) -> Result<AuditFile, BundleReject> {
        let EncryptedMessages { question: _, query, answer, keys: _ } =
            self.encrypted.clone().ok_or(BundleReject::Messages)?;
        Ok(AuditFile {
            version: self.version,
            chain_id: self.chain_id,
            receipt: self.receipt.clone(),
            input_salt: self.input_salt,
            output_salt: self.output_salt,
            evidence_salt: self.evidence_salt,
            encrypted: Some(AuditMessages { query, answer }),
        })
    }

    /// The worker's answer as it must have come.
    fn answer(&self, output: Output, evidence: AnswerEvidence) -> Answer {
        let [input, output_salt, evidence_salt] =
            [self.input_salt, self.output_salt, self.evidence_salt].map(|salt| salt.0);
        Answer {
            output,
            salts: Salts { input, output: output_salt, evidence: evidence_salt },
            time: EngineTime::default(),
            evidence,
            receipt: self.receipt.clone(),
        }
    }
}

impl EncryptedMessages {
    /// Whether there is what it takes to make the query again and to decrypt the answer.
    fn opens(&self) -> bool {
        self.question.keys.is_none() || self.keys.is_some()
    }
}

impl core::fmt::Debug for EncryptedMessages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EncryptedMessages").field("question", &self.question).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Bundle").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

/// Checks a bundle without a network. The price on the receipt is the worker's word; all else is checked.
///
/// # Errors
/// [`BundleReject`]; no input makes this panic.
pub fn verify_bundle(bundle: &Bundle) -> Result<VerifiedReceipt, BundleReject> {
    // Roots are parsed where there is evidence under them only.
    let trust = bundle.attested.as_ref().map(|_| Trust::vendors()).transpose();
    verify_under(bundle, trust.map_err(|_| BundleReject::Attestation)?.as_ref())
}

/// The same where evidence of hardware is judged under these roots, instead of those of Intel, AMD and NVIDIA.
///
/// # Errors
/// [`BundleReject`]; no input makes this panic.
pub fn verify_bundle_under(bundle: &Bundle, trust: &Trust) -> Result<VerifiedReceipt, BundleReject> {
    verify_under(bundle, Some(trust))
}

fn verify_under(bundle: &Bundle, trust: Option<&Trust>) -> Result<VerifiedReceipt, BundleReject> {
    if bundle.version != BUNDLE_VERSION {
        return Err(BundleReject::Version { expected: BUNDLE_VERSION, got: bundle.version });
    }
    let receipt = &bundle.receipt.receipt;
    let (privacy, evidence) = Privacy::from_u8(receipt.privacy)
        .zip(Evidence::from_u8(receipt.evidence))
        .ok_or(BundleReject::Mode)?;
    let header = JobHeader {
        chain_id: bundle.chain_id,
        job_id: JobId(receipt.jobId),
        model_id: receipt.modelId,
        channel_id: receipt.channelId,
        client: receipt.client,
        worker: receipt.worker,
        privacy,
        evidence,
        price: Amount(receipt.price),
        cumulative: Amount(receipt.cumulative),
    };
    if bundle.model.model_id != receipt.modelId {
        return Err(BundleReject::Model);
    }
    let model = market::recompute(receipt.modelId, &bundle.model).ok_or(BundleReject::Model)?;
    let mut shown = None;
    let checked = match (&bundle.encrypted, privacy) {
        _ if bundle.attested.is_some() != (evidence == Evidence::Attested) => {
            return Err(BundleReject::Attestation);
        }
        (None, Privacy::Enclave) => {
            let (checked, summary) = check_attested(&header, &model, bundle, trust)?;
            shown = Some(summary);
            checked
        }
        (None, Privacy::Encrypted) => return Err(BundleReject::Messages),
        (Some(messages), Privacy::Encrypted) => check_encrypted(&header, &model, bundle, messages)?,
        (Some(_), _) => return Err(BundleReject::Messages),
        (None, _) if bundle.proof.is_some() && bundle.trace.is_some() => {
            return Err(AnswerReject::UnexpectedTrace.into());
        }
        (None, _) => {
            let trace = bundle.trace.clone().map(AnswerEvidence::Trace);
            let evidence = bundle.proof.clone().map(AnswerEvidence::Proof).or(trace);
            let evidence = evidence.unwrap_or(AnswerEvidence::None);
            let answer = bundle.answer(Output::Logits(bundle.output.clone()), evidence);
            check::check(&header, &model, Asked::Values(&bundle.input), answer)?
        }
    };
    let hash = checked.receipt_hash();
    if let Some(anchor) = &bundle.anchor {
        check_inclusion(hash, anchor)?;
    }
    Ok(VerifiedReceipt {
        receipt: receipt.clone(),
        hash,
        answer: checked.decoded().clone(),
        scores: model.graph().label_scores(&bundle.output),
        security_bits: checked.verified().map(tacit_verify::Verified::security_bits),
        opened: bundle.encrypted.as_ref().is_none_or(EncryptedMessages::opens),
        attested: shown,
        anchor: bundle.anchor.clone(),
    })
}

/// Judges the guest again, at the time of the answer, and then the answer.
fn check_attested(
    header: &JobHeader,
    model: &VerifyingModel,
    bundle: &Bundle,
    trust: Option<&Trust>,
) -> Result<(CheckedAnswer, AttestedSummary), BundleReject> {
    let (messages, trust) = bundle.attested.as_ref().zip(trust).ok_or(BundleReject::Attestation)?;
    if bundle.proof.is_some() {
        return Err(AnswerReject::UnexpectedProof.into());
    }
    if bundle.trace.is_some() {
        return Err(AnswerReject::UnexpectedTrace.into());
    }
    let at = bundle.receipt.receipt.completedAt;
    let judged = messages.verify(header.chain_id, header.worker, header.model_id, trust, at);
    let attested = judged.map_err(|reject| AnswerReject::from(Box::new(reject)))?;
    let answer =
        bundle.answer(Output::Logits(bundle.output.clone()), AnswerEvidence::Attested(attested.evidence()));
    let asked = Asked::Attested { values: &bundle.input, attested: &attested };
    let checked = check::check(header, model, asked, answer)?;
    Ok((checked, AttestedMessages::summary(&attested)))
}

fn check_encrypted(
    header: &JobHeader,
    model: &VerifyingModel,
    bundle: &Bundle,
    messages: &EncryptedMessages,
) -> Result<CheckedAnswer, BundleReject> {
    if bundle.proof.is_some() {
        return Err(AnswerReject::UnexpectedProof.into());
    }
    if bundle.trace.is_some() {
        return Err(AnswerReject::UnexpectedTrace.into());
    }
    let EncryptedAnswer { ciphertext, seed_commitment } = messages.answer.clone();
    let answer = bundle.answer(Output::Ciphertext(ciphertext), AnswerEvidence::Seed(seed_commitment));
    let EncryptedMessages { question, query: sent, keys, .. } = messages;
    if !messages.opens() {
        let offer = question.offer(model.graph())?;
        let named = offer.check_query(sent).map_err(AnswerReject::Ciphertext)?;
        if named.map(|id| B256::from(id.0)) != question.keys {
            return Err(BundleReject::Query);
        }
        let asked = Asked::Unopened { query: sent, offer: &offer, output: &bundle.output };
        return Ok(check::check(header, model, asked, answer)?);
    }
    let keys = question.keys.zip(keys.as_ref()).and_then(|(id, opening)| opening.restore(id));
    let (secret, query) = question.encrypt(model.graph(), &bundle.input, keys.as_ref())?;
    if query != messages.query {
        return Err(BundleReject::Query);
    }
    let checked = check::check(header, model, Asked::Encrypted { query: &query, secret: &secret }, answer)?;
    if checked.logits() == bundle.output { Ok(checked) } else { Err(BundleReject::Decrypted) }
}

pub(crate) fn check_inclusion(leaf: B256, anchor: &AnchorProof) -> Result<(), BundleReject> {
    let got = anchor.siblings.len();
    if got > SIBLINGS_MAX {
        return Err(BundleReject::InclusionLength { limit: SIBLINGS_MAX, got });
    }
    if receipts::root_from(leaf, &anchor.siblings) == anchor.root {
        Ok(())
    } else {
        Err(BundleReject::Inclusion)
    }
}

/// Asks a ledger whether a checked receipt is anchored there.
///
/// # Errors
/// [`BundleReject::NotAnchored`], [`BundleReject::UnknownToLedger`], [`BundleReject::AnchorBlock`],
/// [`BundleReject::Ledger`]. The caller compares the bundle's chain id with the ledger's through [`same_chain`].
pub async fn check_anchor(
    ledger: &LedgerClient,
    receipt: &VerifiedReceipt,
) -> Result<Anchored, BundleReject> {
    check_place(ledger, receipt.hash, receipt.anchor.as_ref()).await
}

pub(crate) async fn check_place(
    ledger: &LedgerClient,
    hash: B256,
    anchor: Option<&AnchorProof>,
) -> Result<Anchored, BundleReject> {
    let anchor = anchor.ok_or(BundleReject::NotAnchored)?;
    let listed = anchored(ledger, hash, anchor).await?;
    let (expected, got) = (listed.block, anchor.block);
    if expected == got { Ok(listed) } else { Err(BundleReject::AnchorBlock { expected, got }) }
}

/// Refuses a ledger of another chain than the bundle's.
///
/// # Errors
/// [`BundleReject::OtherChain`].
pub fn same_chain(bundle: &Bundle, ledger: &LedgerClient) -> Result<(), BundleReject> {
    let (expected, got) = (bundle.chain_id, ledger.chain_id());
    if expected == got { Ok(()) } else { Err(BundleReject::OtherChain { expected, got }) }
}

pub(crate) async fn anchored(
    ledger: &LedgerClient,
    leaf: B256,
    anchor: &AnchorProof,
) -> Result<Anchored, BundleReject> {
    let refused = |error| match error {
        LedgerError::Reverted(_) => BundleReject::UnknownToLedger,
        error => BundleReject::Ledger(error),
    };
    let included = ledger.included(anchor.root, leaf, anchor.siblings.clone()).await.map_err(refused)?;
    if !included {
        return Err(BundleReject::UnknownToLedger);
    }
    let listed = ledger.anchor_of(anchor.root).await.map_err(refused)?;
    Ok(Anchored { root: anchor.root, block: listed.block, by: listed.worker })
}

impl VerifiedReceipt {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Its hash: its leaf on the ledger.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// What the model answered.
    #[must_use]
    pub fn answer(&self) -> &tacit_graph::Answer {
        &self.answer
    }

    /// How sure the label is, if it answered one.
    #[must_use]
    pub fn scores(&self) -> Option<&LabelScores> {
        self.scores.as_ref()
    }

    /// Bits of security of the proof; `None` when the answer is the worker's word.
    #[must_use]
    pub fn security_bits(&self) -> Option<u8> {
        self.security_bits
    }

    /// Whether question and answer were compared with what travelled. Not so for a job under keys that are not in the file: then the worker
    /// signed for these messages, and that they hold this question and this answer is the client's word.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.opened
    }

    /// What the hardware showed of the guest that answered, where the receipt stands on that.
    #[must_use]
    pub fn attested(&self) -> Option<&AttestedSummary> {
        self.attested.as_ref()
    }

    /// The batch that the receipt belongs to, if the bundle says; whether a ledger anchored it is for
    /// [`check_anchor`] to say.
    #[must_use]
    pub fn anchor(&self) -> Option<&AnchorProof> {
        self.anchor.as_ref()
    }
}
