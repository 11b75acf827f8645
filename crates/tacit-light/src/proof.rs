//! What a proof is made of, and its bytes.
//!
//! # Encoding
//! `1 ‖ RLP [[headers, certificate], index, [[type, status, cumulative gas, logs], nodes], [transaction, nodes]]`; the last
//! part may be missing. Headers, logs and transactions are as in every Ethereum client. RLP has one encoding for each
//! value; what has another is refused.

use crate::{
    certificate::Certificate,
    error::{DecodeError, LightError},
    trust::Trust,
};
use alloy_consensus::{Eip658Value, Header, Receipt, ReceiptEnvelope, Sealed, TxType};
use alloy_primitives::{Bytes, Log};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Longest proof, in bytes: more than the longest transaction and the logs of a full block take.
pub const PROOF_BYTES_MAX: usize = 8 << 20;

/// Longest [`Finality`], in bytes: more than its headers and the votes of the largest set take.
pub const FINALITY_BYTES_MAX: usize = 64 << 10;

/// Most headers of a proof.
pub const HEADERS_MAX: usize = 16;

/// That a block is final.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Finality {
    /// The block's header, then those of its descendants up to the first that has the certificate; 1 to [`HEADERS_MAX`].
    pub headers: Vec<Header>,
    /// Certificate of the last header's block.
    pub certificate: Certificate,
}

impl Finality {
    /// Its bytes, for those who follow the blocks themselves: `1 ‖ RLP [headers, certificate]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The one that has these bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: too long, or not what [`Self::encode`] gives for any.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, FINALITY_BYTES_MAX)
    }

    /// Checks it; gives the header of the block that is final.
    ///
    /// # Errors
    /// The headers are no chain, or the certificate is not of the last one's block under `trust`.
    pub fn verify(&self, trust: &Trust) -> Result<Sealed<Header>, LightError> {
        let got = self.headers.len();
        let fault = LightError::Headers { limit: HEADERS_MAX, got };
        let (Some(first), true) = (self.headers.first(), got <= HEADERS_MAX) else { return Err(fault) };
        let first = Sealed::new(first.clone());
        let (mut number, mut hash) = (first.number, first.hash());
        for (index, header) in self.headers.iter().enumerate().skip(1) {
            if header.parent_hash != hash {
                return Err(LightError::Unlinked { index });
            }
            (number, hash) = (header.number, header.hash_slow());
        }
        self.certificate.check(trust, number, hash)?;
        Ok(first)
    }
}

/// A receipt without what can be computed: its bloom.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ReceiptBody {
    /// EIP-2718 type of the transaction; 0 for legacy ones.
    pub kind: u8,
    /// Whether the transaction succeeded.
    pub succeeded: bool,
    /// Gas that the block used up to this transaction and with it.
    pub cumulative_gas_used: u64,
    /// What it emitted.
    pub logs: Vec<Log>,
}

impl ReceiptBody {
    pub(crate) fn of(receipt: &ReceiptEnvelope) -> Self {
        Self {
            kind: receipt.tx_type().into(),
            succeeded: receipt.is_success(),
            cumulative_gas_used: receipt.cumulative_gas_used(),
            logs: receipt.logs().to_vec(),
        }
    }

    /// The receipt with its bloom.
    ///
    /// # Errors
    /// [`LightError::ReceiptType`].
    pub(crate) fn envelope(&self) -> Result<ReceiptEnvelope, LightError> {
        let kind = TxType::try_from(self.kind).map_err(|_| LightError::ReceiptType { got: self.kind })?;
        let receipt = Receipt {
            status: Eip658Value::Eip658(self.succeeded),
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
        };
        Ok(ReceiptEnvelope::from_typed(kind, receipt.with_bloom()))
    }
}

/// A receipt and the way to it.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ReceiptPath {
    /// The receipt.
    pub receipt: ReceiptBody,
    /// Inner nodes from `receiptsRoot` down.
    pub nodes: Vec<Bytes>,
}

/// A transaction and the way to it.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct TransactionPath {
    /// The transaction as EIP-2718 encodes it. Its hash is that of these bytes.
    pub transaction: Bytes,
    /// Inner nodes from `transactionsRoot` down.
    pub nodes: Vec<Bytes>,
}

/// That a receipt is a final block's. Worth nothing before [`verify`](crate::verify()).
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct LightProof {
    /// That the block is final.
    pub finality: Finality,
    /// Index of the receipt, and of its transaction, in the block.
    pub index: u64,
    /// The receipt.
    pub receipt: ReceiptPath,
    /// Its transaction. A receipt does not name its own: without this, the proof says what happened in the block, but not
    /// in which transaction.
    pub transaction: Option<TransactionPath>,
}

impl LightProof {
    /// The proof's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The proof that has these bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: too long, or not what [`Self::encode`] gives for any proof.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, PROOF_BYTES_MAX)
    }
}

fn encode(value: &impl alloy_rlp::Encodable) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.reserve_exact(value.length());
    value.encode(&mut bytes);
    bytes
}

fn decode<T: alloy_rlp::Encodable + alloy_rlp::Decodable>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::Length { limit, got: bytes.len() });
    }
    let Some((&FORMAT, body)) = bytes.split_first() else {
        return Err(DecodeError::Format { expected: FORMAT, got: bytes.first().copied() });
    };
    let mut rest = body;
    let value = T::decode(&mut rest).map_err(DecodeError::Rlp)?;
    // Some decoders forgive what an encoder never writes.
    if rest.is_empty() && encode(&value) == bytes { Ok(value) } else { Err(DecodeError::NotCanonical) }
}

const FORMAT: u8 = 1;
