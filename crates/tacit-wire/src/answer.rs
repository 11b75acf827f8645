//! The worker's answer: output, proof, salts and signed receipt.
//!
//! # Encoding
//! `version (3) || form (u8) || output || input salt || output salt || evidence salt || wall (u64, µs) || cpu (u64, µs) ||
//! evidence length (u32) || evidence || receipt (ABI, 416 bytes) || signature (65 bytes)`, little endian. An output of form 0 is
//! `count (u32) || logits (i32 each)`, one of form 1 `length (u32) || ciphertext`.
//! Evidence is nothing for `signed`, and `rows (u32) || index (u32) || row salt (32) || proof` for `proved`: a proof may
//! be about the rows of several jobs, and the row salt shows whoever knows the question and the answer that one is theirs.
//! For an encrypted job it is the 32 bytes of the commitment to the answer's seed ([`crate::audit`]); its length tells it from a row.
//! For `audited` otherwise it is `2^32 - 1 (u32) || trace root (32) || siblings (32 each)` ([`TraceEvidence`]), for `attested`
//! `2^32 - 2 (u32) || id (32)` of the hardware's evidence, which the client has from the session; no proof has so many rows.
//!
//! # Commitments
//! `BLAKE3 derive_key(context, salt || canonical bytes)` with a context for each kind and a fresh salt for each value. The canonical bytes
//! of numbers are their little-endian bytes, those of a query or ciphertext the bytes that travelled.
//! Evidence is committed to with a salt as well: a proof without zero knowledge is a function of the input, so that a
//! bare hash of it could be matched against guesses. Of a trace only the root is committed to, which is what a dispute on the ledger opens.

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolValue;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tacit_abi::{Receipt, receipts::SignedReceipt};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{audit::SeedCommitment, meter::Route};

/// What travels back to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the model gives.
    pub output: Output,
    /// Openings of the receipt's commitments.
    pub salts: Salts,
    /// What the engine says it took; nobody checks it.
    pub time: EngineTime,
    /// What there is besides the worker's word.
    pub evidence: AnswerEvidence,
    /// The worker's account of the job.
    pub receipt: SignedReceipt,
}

/// What a model gives, in the form that the client asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Logits of the model's last layer.
    Logits(Vec<i32>),
    /// The same, readable by the client only.
    Ciphertext(Vec<u8>),
}

/// What there is besides the worker's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvidence {
    /// Nothing.
    None,
    /// A row of a proof.
    Proof(RowProof),
    /// A commitment to what an encrypted answer was computed with, so that it can be done again.
    Seed(SeedCommitment),
    /// The root of the run's trace, which can be disputed on the ledger.
    Trace(TraceEvidence),
    /// The id of the hardware's evidence that the session began with.
    Attested(B256),
}

/// A run as a worker commits to it, and what shows that it begins with the job's input and ends with its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceEvidence {
    /// Root of the trace's tree.
    pub root: B256,
    /// Siblings that lead from the first and the last tensor to it ([`tacit_graph::trace::check_faces`]).
    pub faces: Vec<B256>,
}

/// A proof about the rows of one or more jobs, and what shows that one of them is this job's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowProof {
    /// Rows that the proof is about.
    pub rows: u32,
    /// Which of them is the job's, from zero.
    pub index: u32,
    /// Ties question and answer to the row; nobody but worker and client knows it.
    pub salt: B256,
    /// The proof.
    #[serde(with = "crate::message::base64_bytes")]
    pub proof: Vec<u8>,
}

/// What makes the commitments on a receipt unguessable. Kept by client and worker only.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct Salts {
    /// Of the input commitment.
    pub input: [u8; 32],
    /// Of the output commitment.
    pub output: [u8; 32],
    /// Of the evidence hash.
    pub evidence: [u8; 32],
}

/// A commitment to an answer of which not all is there yet.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a salt")]
pub struct OutputCommitment(blake3::Hasher);

/// How long the engine worked, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineTime {
    /// From start to end, microseconds.
    pub wall_us: u64,
    /// Processor time of the worker's process meanwhile, shared among the jobs that one proof answers, microseconds.
    pub cpu_us: u64,
}

/// Why answer bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFormatReject {
    /// Another format.
    #[error("unknown answer version")]
    Version,
    /// Bytes are missing.
    #[error("the answer ends early")]
    Truncated,
    /// Bytes are left over.
    #[error("{got} bytes are left over after the answer")]
    Trailing {
        /// How many.
        got: usize,
    },
    /// More logits or bytes of evidence than allowed.
    #[error("at most {limit} {what} are allowed, got {got}")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The length announced.
        got: usize,
    },
    /// Neither logits nor a ciphertext.
    #[error("unknown form {got} of an output")]
    OutputForm {
        /// What is there instead.
        got: u8,
    },
    /// The receipt is not the canonical ABI encoding of one.
    #[error("the receipt is malformed")]
    Receipt,
}

/// Most logits in one output.
pub const OUTPUTS_MAX: usize = 1 << 16;
/// Largest encrypted output.
pub const CIPHERTEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest evidence.
pub const EVIDENCE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest answer body, sealed and padded.
pub const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;

const ANSWER_VERSION: u8 = 3;
const FORM_LOGITS: u8 = 0;
const FORM_CIPHERTEXT: u8 = 1;
const SEED_COMMITMENT_BYTES: usize = 32;
const RECEIPT_BYTES: usize = 13 * 32;
const SIGNATURE_BYTES: usize = 65;
/// In front of a trace, where the number of a proof's rows would be.
const TRACE_MARK: [u8; 4] = [0xff; 4];
/// In front of the id of hardware's evidence likewise.
const ATTESTED_MARK: [u8; 4] = [0xfe, 0xff, 0xff, 0xff];
const INPUT_CONTEXT: &str = "tacit 2026 input commitment v1";
const OUTPUT_CONTEXT: &str = "tacit 2026 output commitment v1";
const EVIDENCE_CONTEXT: &str = "tacit 2026 evidence commitment v1";

impl Salts {
    /// Fresh salts.
    #[must_use]
    pub fn random() -> Self {
        let mut salts = Self { input: [0; 32], output: [0; 32], evidence: [0; 32] };
        let mut random = rand::rng();
        random.fill_bytes(&mut salts.input);
        random.fill_bytes(&mut salts.output);
        random.fill_bytes(&mut salts.evidence);
        salts
    }

    /// Commitment to raw input values.
    #[must_use]
    pub fn commit_input(&self, values: &[i64]) -> B256 {
        commit(INPUT_CONTEXT, &self.input, values.iter().map(|value| value.to_le_bytes()))
    }

    /// Commitment to the bytes of a query.
    #[must_use]
    pub fn commit_query(&self, query: &[u8]) -> B256 {
        commit_bytes(INPUT_CONTEXT, &self.input, query)
    }

    /// Commitment to an output.
    #[must_use]
    pub fn commit_output(&self, output: &Output) -> B256 {
        match output {
            Output::Logits(logits) => {
                commit(OUTPUT_CONTEXT, &self.output, logits.iter().map(|logit| logit.to_le_bytes()))
            }
            Output::Ciphertext(bytes) => commit_bytes(OUTPUT_CONTEXT, &self.output, bytes),
        }
    }

    /// Commitment to a request to a language model: its route, a zero byte, its body.
    #[must_use]
    pub fn commit_request(&self, route: Route, body: &[u8]) -> B256 {
        let mut hasher = hasher(INPUT_CONTEXT, &self.input);
        hasher.update(route.to_string().as_bytes()).update(&[0]).update(body);
        B256::from(*hasher.finalize().as_bytes())
    }

    /// Commits to the bytes of an answer as they come.
    #[must_use]
    pub fn output_commitment(&self) -> OutputCommitment {
        OutputCommitment(hasher(OUTPUT_CONTEXT, &self.output))
    }

    /// Commitment to evidence.
    #[must_use]
    pub fn commit_evidence(&self, evidence: &[u8]) -> B256 {
        commit_bytes(EVIDENCE_CONTEXT, &self.evidence, evidence)
    }
}

impl OutputCommitment {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The commitment to all of them.
    #[must_use]
    pub fn finish(&self) -> B256 {
        B256::from(*self.0.finalize().as_bytes())
    }
}

impl RowProof {
    /// The evidence of a `proved` answer: at least 40 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { rows, index, salt, proof } = self;
        [&rows.to_le_bytes(), &index.to_le_bytes(), salt.as_slice(), proof].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, AnswerFormatReject> {
        let mut reader = Reader(bytes);
        let (rows, index) = (u32::from_le_bytes(reader.array()?), u32::from_le_bytes(reader.array()?));
        Ok(Self { rows, index, salt: B256::from(reader.array::<32>()?), proof: reader.0.to_vec() })
    }
}

impl TraceEvidence {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&TRACE_MARK, self.root.as_slice()].concat();
        self.faces.iter().for_each(|face| bytes.extend_from_slice(face.as_slice()));
        bytes
    }

    /// From what follows the mark.
    fn from_bytes(bytes: &[u8]) -> Result<Self, AnswerFormatReject> {
        let mut reader = Reader(bytes);
        let root = B256::from(reader.array::<32>()?);
        let (faces, left) = reader.0.as_chunks::<32>();
        if !left.is_empty() {
            return Err(AnswerFormatReject::Truncated);
        }
        Ok(Self { root, faces: faces.iter().copied().map(B256::from).collect() })
    }
}

impl AnswerEvidence {
    /// As it travels.
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Trace(trace) => trace.to_bytes(),
            Self::Attested(id) => [ATTESTED_MARK.as_slice(), id.as_slice()].concat(),
            Self::None | Self::Proof(_) | Self::Seed(_) => self.committed(),
        }
    }

    /// What the receipt's evidence commitment is about.
    #[must_use]
    pub fn committed(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Proof(row) => row.to_bytes(),
            Self::Seed(SeedCommitment(commitment)) => commitment.to_vec(),
            Self::Trace(trace) => trace.root.to_vec(),
            Self::Attested(id) => id.to_vec(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, AnswerFormatReject> {
        match (bytes.len(), bytes.split_first_chunk()) {
            (0, _) => Ok(Self::None),
            (SEED_COMMITMENT_BYTES, _) => Ok(Self::Seed(SeedCommitment(B256::from_slice(bytes)))),
            (_, Some((&TRACE_MARK, trace))) => TraceEvidence::from_bytes(trace).map(Self::Trace),
            (_, Some((&ATTESTED_MARK, id))) => {
                let id = <[u8; 32]>::try_from(id).map_err(|_| AnswerFormatReject::Truncated)?;
                Ok(Self::Attested(B256::from(id)))
            }
            _ => RowProof::from_bytes(bytes).map(Self::Proof),
        }
    }

    /// The trace, if that is what it is.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceEvidence> {
        if let Self::Trace(trace) = self { Some(trace) } else { None }
    }

    /// The id of hardware's evidence, if that is what it is.
    #[must_use]
    pub fn attested(&self) -> Option<B256> {
        if let Self::Attested(id) = self { Some(*id) } else { None }
    }

    /// The row of a proof, if there is one.
    #[must_use]
    pub fn proof(&self) -> Option<&RowProof> {
        if let Self::Proof(row) = self { Some(row) } else { None }
    }
}

impl Output {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), AnswerFormatReject> {
        match self {
            Self::Logits(logits) => {
                bytes.push(FORM_LOGITS);
                bytes.extend_from_slice(&length("outputs", logits.len(), OUTPUTS_MAX)?.to_le_bytes());
                logits.iter().for_each(|logit| bytes.extend_from_slice(&logit.to_le_bytes()));
            }
            Self::Ciphertext(ciphertext) => {
                let length = length("ciphertext bytes", ciphertext.len(), CIPHERTEXT_BYTES_MAX)?;
                bytes.push(FORM_CIPHERTEXT);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(ciphertext);
            }
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, AnswerFormatReject> {
        match reader.array::<1>()? {
            [FORM_LOGITS] => {
                let outputs = reader.length("outputs", OUTPUTS_MAX)?;
                let (logits, _) = reader.take(outputs.saturating_mul(4))?.as_chunks::<4>();
                Ok(Self::Logits(logits.iter().map(|logit| i32::from_le_bytes(*logit)).collect()))
            }
            [FORM_CIPHERTEXT] => {
                let length = reader.length("ciphertext bytes", CIPHERTEXT_BYTES_MAX)?;
                Ok(Self::Ciphertext(reader.take(length)?.to_vec()))
            }
            [got] => Err(AnswerFormatReject::OutputForm { got }),
        }
    }
}

impl core::fmt::Debug for Output {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Logits(logits) => f.debug_tuple("Logits").field(logits).finish(),
            Self::Ciphertext(ciphertext) => write!(f, "Ciphertext({} bytes)", ciphertext.len()),
        }
    }
}

impl core::fmt::Debug for RowProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RowProof(row {} of {}, {} bytes)", self.index, self.rows, self.proof.len())
    }
}

impl core::fmt::Debug for Salts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Salts(..)")
    }
}

fn hasher(context: &str, salt: &[u8; 32]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(salt);
    hasher
}

fn commit_bytes(context: &str, salt: &[u8; 32], bytes: &[u8]) -> B256 {
    B256::from(*hasher(context, salt).update(bytes).finalize().as_bytes())
}

fn commit<const N: usize>(context: &str, salt: &[u8; 32], values: impl Iterator<Item = [u8; N]>) -> B256 {
    let mut hasher = hasher(context, salt);
    for value in values {
        hasher.update(&value);
    }
    B256::from(*hasher.finalize().as_bytes())
}

impl Answer {
    /// Bytes to send.
    ///
    /// # Errors
    /// [`AnswerFormatReject::TooLong`] or [`AnswerFormatReject::Receipt`] for what [`Self::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, AnswerFormatReject> {
        let evidence = self.evidence.to_bytes();
        let evidence_length = length("evidence bytes", evidence.len(), EVIDENCE_BYTES_MAX)?;
        let receipt = self.receipt.receipt.abi_encode();
        if receipt.len() != RECEIPT_BYTES || self.receipt.signature.len() != SIGNATURE_BYTES {
            return Err(AnswerFormatReject::Receipt);
        }
        let mut bytes = vec![ANSWER_VERSION];
        self.output.encode(&mut bytes)?;
        for salt in [&self.salts.input, &self.salts.output, &self.salts.evidence] {
            bytes.extend_from_slice(salt);
        }
        bytes.extend_from_slice(&self.time.wall_us.to_le_bytes());
        bytes.extend_from_slice(&self.time.cpu_us.to_le_bytes());
        bytes.extend_from_slice(&evidence_length.to_le_bytes());
        bytes.extend_from_slice(&evidence);
        bytes.extend_from_slice(&receipt);
        bytes.extend_from_slice(&self.receipt.signature);
        Ok(bytes)
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`AnswerFormatReject`].
    pub fn decode(bytes: &[u8]) -> Result<Self, AnswerFormatReject> {
        let mut reader = Reader(bytes);
        if reader.array::<1>()? != [ANSWER_VERSION] {
            return Err(AnswerFormatReject::Version);
        }
        let output = Output::read(&mut reader)?;
        let salts = Salts { input: reader.array()?, output: reader.array()?, evidence: reader.array()? };
        let time = EngineTime {
            wall_us: u64::from_le_bytes(reader.array()?),
            cpu_us: u64::from_le_bytes(reader.array()?),
        };
        let evidence = reader.length("evidence bytes", EVIDENCE_BYTES_MAX)?;
        let evidence = AnswerEvidence::from_bytes(reader.take(evidence)?)?;
        let receipt = Receipt::abi_decode_validate(reader.take(RECEIPT_BYTES)?)
            .map_err(|_| AnswerFormatReject::Receipt)?;
        let signature = Bytes::copy_from_slice(reader.take(SIGNATURE_BYTES)?);
        if !reader.0.is_empty() {
            return Err(AnswerFormatReject::Trailing { got: reader.0.len() });
        }
        Ok(Self { output, salts, time, evidence, receipt: SignedReceipt { receipt, signature } })
    }
}

fn length(what: &'static str, got: usize, limit: usize) -> Result<u32, AnswerFormatReject> {
    let too_long = AnswerFormatReject::TooLong { what, limit, got };
    if got > limit { Err(too_long) } else { u32::try_from(got).map_err(|_| too_long) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], AnswerFormatReject> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(AnswerFormatReject::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AnswerFormatReject> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(AnswerFormatReject::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length(&mut self, what: &'static str, limit: usize) -> Result<usize, AnswerFormatReject> {
        let got = usize::try_from(u32::from_le_bytes(self.array()?)).unwrap_or(usize::MAX);
        if got > limit { Err(AnswerFormatReject::TooLong { what, limit, got }) } else { Ok(got) }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use proptest::prelude::*;

    use super::*;
    use crate::Wallet;

    /// A proved answer, an encrypted one, and an audited one.
    fn answers() -> [Answer; 3] {
        let row = RowProof { rows: 3, index: 1, salt: B256::repeat_byte(9), proof: b"proof".to_vec() };
        let seed = SeedCommitment(B256::repeat_byte(8));
        let ciphertext = Output::Ciphertext(b"nobody reads this".to_vec());
        let trace = TraceEvidence { root: B256::repeat_byte(7), faces: vec![B256::repeat_byte(6); 3] };
        [
            answer(Output::Logits(vec![3, -4]), AnswerEvidence::Proof(row)),
            answer(ciphertext, AnswerEvidence::Seed(seed)),
            answer(Output::Logits(vec![5]), AnswerEvidence::Trace(trace)),
        ]
    }

    fn answer(output: Output, evidence: AnswerEvidence) -> Answer {
        let salts = Salts::random();
        let receipt = Receipt {
            jobId: B256::repeat_byte(1),
            modelId: B256::repeat_byte(2),
            channelId: B256::repeat_byte(3),
            client: Address::repeat_byte(4),
            worker: Address::repeat_byte(5),
            privacy: 1,
            evidence: 3,
            inputCommitment: salts.commit_input(&[1, 2]),
            outputCommitment: salts.commit_output(&output),
            evidenceHash: salts.commit_evidence(&evidence.committed()),
            price: 6,
            cumulative: 7,
            completedAt: 8,
        };
        Answer {
            output,
            salts,
            time: EngineTime { wall_us: 9, cpu_us: 10 },
            evidence,
            receipt: Wallet::random().sign_receipt(receipt, 1),
        }
    }

    #[test]
    fn an_answer_survives_and_has_one_encoding() {
        for answer in answers() {
            let bytes = answer.encode().unwrap();
            assert_eq!(Answer::decode(&bytes).unwrap(), answer);
            for length in 0..bytes.len() {
                assert!(Answer::decode(&bytes[..length]).is_err());
            }
            assert_eq!(
                Answer::decode(&[bytes.as_slice(), &[0]].concat()),
                Err(AnswerFormatReject::Trailing { got: 1 })
            );
        }
    }

    #[test]
    fn every_flipped_byte_changes_the_answer_or_is_refused() {
        for answer in answers() {
            let bytes = answer.encode().unwrap();
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 0x80;
                assert_ne!(Answer::decode(&bad).ok().as_ref(), Some(&answer), "byte {at}");
            }
        }
    }

    #[test]
    fn each_malformed_part_is_named() {
        let [proved, encrypted, _] = answers();
        let bytes = proved.encode().unwrap();
        let with = |bytes: &[u8], from: usize, part: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[from..from + part.len()].copy_from_slice(part);
            Answer::decode(&bytes).unwrap_err()
        };
        for version in [1, 2, 4] {
            assert_eq!(with(&bytes, 0, &[version]), AnswerFormatReject::Version);
        }
        assert_eq!(with(&bytes, 1, &[2]), AnswerFormatReject::OutputForm { got: 2 });
        let huge = u32::MAX.to_le_bytes();
        assert!(matches!(with(&bytes, 2, &huge), AnswerFormatReject::TooLong { what: "outputs", .. }));
        let ciphertext = encrypted.encode().unwrap();
        let refused = with(&ciphertext, 2, &huge);
        assert!(matches!(refused, AnswerFormatReject::TooLong { what: "ciphertext bytes", .. }));
        assert_eq!(Answer::decode(&bytes[..50]), Err(AnswerFormatReject::Truncated));
        let privacy_word = bytes.len() - SIGNATURE_BYTES - RECEIPT_BYTES + 5 * 32;
        assert_eq!(with(&bytes, privacy_word, &[1]), AnswerFormatReject::Receipt);
        let mut long = proved;
        let AnswerEvidence::Proof(row) = &mut long.evidence else { panic!("not proved") };
        row.proof = vec![0; EVIDENCE_BYTES_MAX];
        assert!(matches!(long.encode(), Err(AnswerFormatReject::TooLong { what: "evidence bytes", .. })));
        let long = Answer { output: Output::Ciphertext(vec![0; CIPHERTEXT_BYTES_MAX + 1]), ..encrypted };
        assert!(matches!(long.encode(), Err(AnswerFormatReject::TooLong { what: "ciphertext bytes", .. })));
    }

    #[test]
    fn evidence_is_none_or_a_seed_or_a_trace_or_a_row_of_a_proof() {
        let [proved, _, audited] = answers();
        let answer = Answer { evidence: AnswerEvidence::None, ..proved };
        let bytes = answer.encode().unwrap();
        assert_eq!(Answer::decode(&bytes).unwrap(), answer);
        let with = |evidence: &[u8]| {
            let mut bytes = bytes.clone();
            let length = bytes.len() - SIGNATURE_BYTES - RECEIPT_BYTES - 4;
            bytes[length..length + 4].copy_from_slice(&(evidence.len() as u32).to_le_bytes());
            bytes.splice(length + 4..length + 4, evidence.iter().copied());
            Answer::decode(&bytes).map(|answer| answer.evidence)
        };
        let row = RowProof { rows: 2, index: 1, salt: B256::repeat_byte(3), proof: vec![7] };
        assert_eq!(row.to_bytes(), [[2, 0, 0, 0, 1, 0, 0, 0].as_slice(), &[3; 32], &[7]].concat());
        assert!(!format!("{row:?}").contains("03"));
        let seed = AnswerEvidence::Seed(SeedCommitment(B256::repeat_byte(3)));
        assert_eq!(with(&row.to_bytes()), Ok(AnswerEvidence::Proof(row)));
        assert_eq!((seed.to_bytes().as_slice(), with(&[3; 32])), (&[3; 32][..], Ok(seed)));
        // A trace of a network so small that its ends are all of it has no siblings, and is no seed.
        for faces in [vec![], vec![B256::repeat_byte(1)]] {
            let trace = AnswerEvidence::Trace(TraceEvidence { root: B256::repeat_byte(3), faces });
            assert_eq!(with(&trace.to_bytes()), Ok(trace.clone()));
            assert_eq!(trace.committed(), [3; 32]);
            let longer = [trace.to_bytes().as_slice(), &[0]].concat();
            assert_eq!(with(&longer), Err(AnswerFormatReject::Truncated));
        }
        let attested = AnswerEvidence::Attested(B256::repeat_byte(3));
        assert_eq!(with(&attested.to_bytes()), Ok(attested.clone()));
        assert_eq!(attested.committed(), [3; 32]);
        for other in [&attested.to_bytes()[..35], &[attested.to_bytes().as_slice(), &[0]].concat()] {
            assert_eq!(with(other), Err(AnswerFormatReject::Truncated));
        }
        // What the ledger opens is what the receipt commits to.
        let root = audited.evidence.trace().unwrap().root;
        let opened = tacit_graph::trace::evidence_commitment(&audited.salts.evidence, &root.0);
        assert_eq!(audited.receipt.receipt.evidenceHash, opened);
        // Too short for a row, wherever the rest of the answer would then begin.
        for length in (1..40).filter(|length| *length != SEED_COMMITMENT_BYTES) {
            assert_eq!(with(&vec![0; length]), Err(AnswerFormatReject::Truncated), "{length}");
        }
    }

    /// Vectors made by `vectors/jobs/make.py` with the reference BLAKE3.
    #[test]
    fn a_foreign_implementation_makes_the_same_commitments() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/jobs/commitments.json")).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let word = |value: &serde_json::Value| value.as_str().unwrap().parse::<B256>().unwrap();
            let salts = Salts {
                input: word(&case["salts"][0]).0,
                output: word(&case["salts"][1]).0,
                evidence: word(&case["salts"][2]).0,
            };
            let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
            let input: Vec<i64> =
                list(&case["input"]).iter().map(|value| value.as_str().unwrap().parse().unwrap()).collect();
            let output: Vec<i32> = serde_json::from_value(case["output"].clone()).unwrap();
            assert_eq!(salts.commit_input(&input), word(&case["input_commitment"]));
            let bytes = |name: &str| case[name].as_str().unwrap().parse::<Bytes>().unwrap().to_vec();
            let ciphertext = Output::Ciphertext(bytes("ciphertext"));
            assert_eq!(salts.commit_output(&Output::Logits(output)), word(&case["output_commitment"]));
            assert_eq!(salts.commit_evidence(&bytes("proof")), word(&case["evidence_hash"]));
            assert_eq!(salts.commit_query(&bytes("query")), word(&case["query_commitment"]));
            assert_eq!(salts.commit_output(&ciphertext), word(&case["ciphertext_commitment"]));
        }
    }

    #[test]
    fn commitments_need_their_salt_and_kind() {
        let (one, other) = (Salts::random(), Salts::random());
        assert_ne!(one.commit_input(&[5]), other.commit_input(&[5]));
        assert_ne!(one.commit_input(&[5]), one.commit_input(&[6]));
        let same = Salts { input: [1; 32], output: [1; 32], evidence: [1; 32] };
        let output = same.commit_output(&Output::Logits(vec![5, 0]));
        assert_ne!(output, same.commit_input(&[5]));
        let bytes = 5_i64.to_le_bytes();
        assert_ne!(same.commit_output(&Output::Ciphertext(bytes.to_vec())), same.commit_query(&bytes));
        assert_ne!(same.commit_evidence(&5_i64.to_le_bytes()), same.commit_input(&[5]));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
            if let Ok(answer) = Answer::decode(&bytes) {
                prop_assert_eq!(answer.encode().unwrap(), bytes);
            }
        }
    }
}
