//! Exact re-execution: an encrypted answer done again, and compared.
//!
//! The answer to a query is a function of model, query and seed, and its worker has signed for all three ([`AuditedJob`]). So whoever has the
//! model and the seed finds out, without the client's secret and without learning anything of its row, whether the worker answered as the
//! model does. The worker, or the model's owner, derives the seed from the worker's key; another auditor is given it.
//!
//! # Soundness
//! A difference convicts: the receipt is the worker's signature under a ciphertext that its own seed does not give. Equality says that
//! this ciphertext is the model's answer to this query. A worker that commits to one seed and uses another gives an answer that differs.

use alloy_primitives::B256;
use tacit_encrypt::{
    KeyId, KeyReject, Misfit, Seed, Variant, WireError,
    server::{EncryptedModel, EvaluationKeys},
};
use tacit_prove::CommittedModel;
use tacit_wire::{AnswerSeed, AuditKey, AuditedJob};

/// Where the seed comes from.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
#[derive(Clone, Copy)]
pub enum SeedSource<'a> {
    /// The key of the worker that answered.
    Key(&'a AuditKey),
    /// The seed of the job, given out by whoever has the key.
    Given(&'a AnswerSeed),
}

/// What a second execution found.
#[must_use = "an answer may be false"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The worker answered as the model does, byte for byte.
    Equal,
    /// The worker answered something else.
    Different(Difference),
}

/// How an answer differs from the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Bytes of the model's answer.
    pub expected_bytes: usize,
    /// Bytes of the worker's.
    pub got_bytes: usize,
    /// Bytes that are not the same; those that one answer has more than the other are among them.
    pub differing: usize,
    /// Position of the first of them.
    pub first: usize,
}

/// Why a job cannot be done again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReexecutionReject {
    /// Another model than the receipt names.
    #[error("the receipt is about model {expected}, and this is model {got}")]
    Model {
        /// The receipt's.
        expected: B256,
        /// The one given.
        got: B256,
    },
    /// The key does not give the seed that the worker signed for.
    #[error(
        "the receipt commits to another seed than this key gives: it is another worker's key, or the worker did not use it"
    )]
    Key,
    /// Not the seed that the worker signed for.
    #[error("the receipt commits to another seed than this one")]
    Seed,
    /// The model is not answered under encryption.
    #[error("this model is not asked under encryption: {0}")]
    Misfit(#[from] Misfit),
    /// The answer was computed with floating point, whose last bits another machine may get otherwise.
    #[error("the answer was computed in the fast way, which another machine need not repeat to the last bit")]
    NotReproducible,
    /// The query is under keys that are not here.
    #[error("the query is under evaluation keys {key_id}, which are needed to do it again")]
    NoKeys {
        /// Which.
        key_id: B256,
    },
    /// The keys are not those of the query, or none at all.
    #[error("these are not the evaluation keys {key_id} that the query is under")]
    OtherKeys {
        /// The query's.
        key_id: B256,
    },
    /// The keys cannot be used.
    #[error("the evaluation keys are refused: {0}")]
    Keys(#[from] KeyReject),
    /// The query is none for the model: an honest worker would not have answered it.
    #[error("the query is none for this model: {0}")]
    Query(#[from] WireError),
}

/// Does a job again and compares the answers. The commitment in `model` says which weights it holds, so that a model that merely has the
/// right name convicts nobody. `keys` are the client's evaluation keys, for whoever asked a model with look-ups.
///
/// # Errors
/// [`ReexecutionReject`]; nothing is then said about the worker.
pub fn reexecute(
    model: &CommittedModel,
    job: &AuditedJob,
    seed: SeedSource<'_>,
    keys: Option<&[u8]>,
) -> Result<Comparison, ReexecutionReject> {
    let (expected, got) = (job.model_id(), B256::from(*model.model_id().as_bytes()));
    if expected != got {
        return Err(ReexecutionReject::Model { expected, got });
    }
    let derived;
    let (seed, refused) = match seed {
        SeedSource::Key(key) => {
            derived = job.seed(key);
            (&derived, ReexecutionReject::Key)
        }
        SeedSource::Given(seed) => (seed, ReexecutionReject::Seed),
    };
    if !job.used(seed) {
        return Err(refused);
    }
    // Others cannot be done again, and say so in the query that the worker signed for.
    let model = EncryptedModel::with(model.model(), Variant::Reproducible)?;
    let named = model.offer().check_query(job.query()).map_err(|reject| {
        if reject.is_other_variant() { ReexecutionReject::NotReproducible } else { reject.into() }
    })?;
    let keys = match (named, keys) {
        (None, _) => None,
        (Some(KeyId(id)), None) => return Err(ReexecutionReject::NoKeys { key_id: id.into() }),
        (Some(id), Some(bytes)) if KeyId::of(bytes) != id => {
            return Err(ReexecutionReject::OtherKeys { key_id: id.0.into() });
        }
        (Some(_), Some(bytes)) => Some(EvaluationKeys::decode(bytes, Variant::Reproducible)?),
    };
    let answer = model.answer(job.query(), keys.as_ref(), &Seed::new(*seed.to_bytes()))?;
    Ok(compare(&answer, job.ciphertext()))
}

fn compare(expected: &[u8], got: &[u8]) -> Comparison {
    let common = expected.len().min(got.len());
    let differs = |(a, b): (&u8, &u8)| a != b;
    let differing = expected.iter().zip(got).filter(|pair| differs(*pair)).count();
    let longer = expected.len().max(got.len()) - common;
    if differing == 0 && longer == 0 {
        return Comparison::Equal;
    }
    let first = expected.iter().zip(got).position(differs).unwrap_or(common);
    Comparison::Different(Difference {
        expected_bytes: expected.len(),
        got_bytes: got.len(),
        differing: differing + longer,
        first,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_found_and_counted() {
        let different = |expected_bytes, got_bytes, differing, first| {
            Comparison::Different(Difference { expected_bytes, got_bytes, differing, first })
        };
        assert_eq!(compare(b"abc", b"abc"), Comparison::Equal);
        assert_eq!(compare(b"", b""), Comparison::Equal);
        assert_eq!(compare(b"abc", b"xbz"), different(3, 3, 2, 0));
        assert_eq!(compare(b"abc", b"ab"), different(3, 2, 1, 2));
        assert_eq!(compare(b"abc", b"abcde"), different(3, 5, 2, 3));
        assert_eq!(compare(b"abc", b"azcd"), different(3, 4, 2, 1));
    }
}
