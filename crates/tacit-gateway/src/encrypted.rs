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
    client::{self, ClientKeys, EncryptError, Secret},
};
use tacit_graph::{AnswerError, Graph};
use tacit_wire::{JobId, message::base64_bytes};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use tacit_wire::audit_file::EncryptedAnswer;

use crate::{error::GatewayError, keys::EncryptedTerms};

/// Random bytes of one query, or of a client's keys. Whoever has them reads the row, or every row under the keys.
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
    /// Id of the keys that it is under, where it has no key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<B256>,
}

/// Why the messages of an encrypted job cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionReject {
    /// The offer is none for this graph.
    #[error(transparent)]
    Offer(#[from] OfferReject),
    /// Other keys than those that the question is under, or none.
    #[error("the question is under other keys")]
    Keys,
    /// The row is not one of this graph.
    #[error(transparent)]
    Row(#[from] AnswerError),
    /// The row is not one of this offer.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
}

impl EncryptedQuestion {
    /// A question with fresh randomness.
    pub(crate) fn fresh(terms: &EncryptedTerms) -> Result<Self, GatewayError> {
        let mut seed = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut seed).map_err(|_| GatewayError::Internal)?;
        let keys = terms.keys.as_ref().map(|keys| B256::from(keys.id().0));
        Ok(Self { offer: terms.offer.encode(), seed: QuerySeed(seed), keys })
    }

    /// What the worker said about the model.
    ///
    /// # Errors
    /// [`QuestionReject::Offer`].
    pub fn offer(&self, graph: &Graph) -> Result<Offer, QuestionReject> {
        Ok(Offer::decode(graph, &self.offer)?)
    }

    /// The query about raw values, and what decrypts its answer: the same each time. `keys` are those that [`Self::keys`] names.
    ///
    /// # Errors
    /// [`QuestionReject`].
    pub fn encrypt(
        &self,
        graph: &Graph,
        values: &[i64],
        keys: Option<&ClientKeys>,
    ) -> Result<(Secret, Vec<u8>), QuestionReject> {
        if keys.map(|keys| B256::from(keys.id().0)) != self.keys {
            return Err(QuestionReject::Keys);
        }
        let offer = self.offer(graph)?;
        let row = graph.encode_input(values)?;
        Ok(client::encrypt(&offer, &row, &self.seed.seed(), keys)?)
    }

    /// Whether outputs can be an honest answer, by a proved answer to the same row: the very same, or as near as the offer promises.
    ///
    /// # Errors
    /// [`QuestionReject::Offer`].
    pub fn agrees(&self, graph: &Graph, proved: &[i32], answered: &[i32]) -> Result<bool, QuestionReject> {
        Ok(self.offer(graph)?.closeness().admits(proved, answered))
    }

    /// Id of the job that proves the answer to this question's row, at some attempt: nobody else can tell that the two jobs are about one row.
    pub(crate) fn proof_job(&self, attempt: u32) -> JobId {
        let mut hasher = blake3::Hasher::new_derive_key(PROOF_JOB_CONTEXT);
        hasher.update(&self.seed.0).update(&attempt.to_le_bytes());
        JobId(B256::from(*hasher.finalize().as_bytes()))
    }
}

const PROOF_JOB_CONTEXT: &str = "tacit 2026 proof of a hidden question v1";

impl QuerySeed {
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.0)
    }
}

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
