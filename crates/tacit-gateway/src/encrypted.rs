//! Questions that only this machine can read.
//!
//! Everything about such a question follows from the row, the worker's offer and 32 random bytes: the query that is sent, and what decrypts
//! the answer. So these bytes are what is kept, on disk before anything is sent, and in a saved receipt. They are for the user alone.
//!
//! # What a worker is shown
//! Whether an answer is accepted depends on its signature, its commitments and its shape, and on nothing that was decrypted: any ciphertext
//! of the right shape decrypts to an output of the model's shape. So being paid or not tells a worker nothing of the row.

use alloy_primitives::B256;
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use tacit_encrypt::{
    Offer, OfferReject, Seed,
    client::{self, EncryptError, Secret},
};
use tacit_graph::{AnswerError, Graph};
use tacit_wire::{JobId, message::base64_bytes};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use tacit_wire::audit_file::EncryptedAnswer;

use crate::error::GatewayError;

/// The random bytes of one query. Whoever has them reads its row.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(from = "B256", into = "B256")]
pub struct QuerySeed([u8; 32]);

/// What makes and opens the messages of an encrypted job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedQuestion {
    /// What the worker said about the model.
    #[serde(with = "base64_bytes")]
    pub offer: Vec<u8>,
    /// Random bytes of this question.
    pub seed: QuerySeed,
}

/// Why the messages of an encrypted job cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionReject {
    /// The offer is none for this graph.
    #[error(transparent)]
    Offer(#[from] OfferReject),
    /// The row is not one of this graph.
    #[error(transparent)]
    Row(#[from] AnswerError),
    /// The row is not one of this offer.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
}

impl EncryptedQuestion {
    /// A question with fresh randomness.
    pub(crate) fn fresh(offer: &Offer) -> Result<Self, GatewayError> {
        let mut seed = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut seed).map_err(|_| GatewayError::Internal)?;
        Ok(Self { offer: offer.encode(), seed: QuerySeed(seed) })
    }

    /// The query about raw values, and what decrypts its answer: the same each time.
    ///
    /// # Errors
    /// [`QuestionReject`].
    pub fn encrypt(&self, graph: &Graph, values: &[i64]) -> Result<(Secret, Vec<u8>), QuestionReject> {
        let offer = Offer::decode(graph, &self.offer)?;
        let row = graph.encode_input(values)?;
        Ok(client::encrypt(&offer, &row, &Seed::new(self.seed.0), None)?)
    }

    /// Whether outputs are what they must be, by a proved answer to the same row. Where the offer is exact: the very same.
    ///
    /// # Errors
    /// [`QuestionReject::Offer`].
    pub fn agrees(&self, graph: &Graph, proved: &[i32], answered: &[i32]) -> Result<bool, QuestionReject> {
        // An offer that is not exact compares labels, and only on rows whose label the noise cannot turn.
        match Offer::decode(graph, &self.offer)? {
            Offer::Linear(_) => Ok(proved == answered),
        }
    }

    /// Id of the job that proves the answer to this question's row, at some attempt: nobody else can tell that the two jobs are about one row.
    pub(crate) fn proof_job(&self, attempt: u32) -> JobId {
        let mut hasher = blake3::Hasher::new_derive_key(PROOF_JOB_CONTEXT);
        hasher.update(&self.seed.0).update(&attempt.to_le_bytes());
        JobId(B256::from(*hasher.finalize().as_bytes()))
    }
}

const PROOF_JOB_CONTEXT: &str = "tacit 2026 proof of a hidden question v1";

impl From<B256> for QuerySeed {
    fn from(bytes: B256) -> Self {
        Self(bytes.0)
    }
}

impl From<QuerySeed> for B256 {
    fn from(seed: QuerySeed) -> Self {
        Self::from(seed.0)
    }
}

impl core::fmt::Debug for QuerySeed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("QuerySeed(..)")
    }
}

impl core::fmt::Debug for EncryptedQuestion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EncryptedQuestion").field("offer", &self.offer).finish_non_exhaustive()
    }
}
