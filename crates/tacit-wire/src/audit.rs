//! What lets an encrypted answer be done again: the seed of its randomness.
//!
//! An answer under encryption is a function of model, query and seed. The worker derives each seed from a key of its own, so that it keeps
//! none, and commits to it on the receipt. Whoever is given the seed and has the model does the answer again and compares it, byte for
//! byte: the model's owner, or an auditor whom the owner trusts with the weights. The client must never have it: what hides the weights in
//! its answer is drawn from it.
//!
//! `seed = BLAKE3 derive_key("tacit 2026 re-execution seed v1", audit key ‖ job id ‖ model id ‖ payload hash)`: another question or another
//! model has another seed, whoever chose the job's id. One seed under two questions would show weights.

use std::path::Path;

use alloy_primitives::B256;
use rand::RngCore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    JobId,
    keyfile::{self, KeyFileError},
};

/// The worker's secret from which it derives seeds. It has no `Debug`, `Clone` or serialised form.
#[derive(ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a secret key must not be printable")]
pub struct AuditKey([u8; 32]);

/// What one encrypted answer is computed with. For worker and auditor only.
#[derive(Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a secret must not be printable")]
pub struct AnswerSeed([u8; 32]);

/// What a receipt says of a seed. Public: a seed cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SeedCommitment(pub B256);

const SEED_CONTEXT: &str = "tacit 2026 re-execution seed v1";
const COMMITMENT_CONTEXT: &str = "tacit 2026 re-execution seed commitment v1";

impl AuditKey {
    /// A fresh key.
    #[must_use]
    pub fn random() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// The key at `path`, made first (mode 0600) when the file is missing.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        if path.exists() {
            return Self::load(path);
        }
        let key = Self::random();
        keyfile::create(path, &Zeroizing::new(key.0))?;
        Ok(key)
    }

    /// The key at `path`.
    ///
    /// # Errors
    /// [`KeyFileError`]; a missing file is one.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self(*keyfile::read(path)?))
    }

    /// The seed of one job's answer.
    #[must_use]
    pub fn seed(&self, job_id: JobId, model_id: B256, payload_hash: B256) -> AnswerSeed {
        let mut hasher = blake3::Hasher::new_derive_key(SEED_CONTEXT);
        hasher.update(&self.0);
        for part in [job_id.0, model_id, payload_hash] {
            hasher.update(part.as_slice());
        }
        AnswerSeed(*hasher.finalize().as_bytes())
    }
}

impl AnswerSeed {
    /// A seed that the worker gave out.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to compute with.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }

    /// What the receipt says of it.
    #[must_use]
    pub fn commitment(&self) -> SeedCommitment {
        SeedCommitment(B256::from(blake3::derive_key(COMMITMENT_CONTEXT, &self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_and_others_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let seed = |key: AuditKey| key.seed(JobId(B256::ZERO), B256::ZERO, B256::ZERO).commitment();
        // Whoever audits never makes a key: nothing was answered with it.
        assert!(matches!(AuditKey::load(&path), Err(KeyFileError::Io { .. })));
        let made = seed(AuditKey::load_or_create(&path).unwrap());
        assert_eq!(seed(AuditKey::load_or_create(&path).unwrap()), made);
        assert_ne!(seed(AuditKey::random()), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            mode(0o640);
            assert!(matches!(AuditKey::load_or_create(&path), Err(KeyFileError::Exposed { .. })));
            mode(0o600);
        }
        std::fs::write(&path, "ab").unwrap();
        assert!(matches!(AuditKey::load_or_create(&path), Err(KeyFileError::Malformed { .. })));
    }

    /// A client that names another question by the id of an answered one must not get it answered with the same randomness.
    #[test]
    fn another_job_model_or_question_has_another_seed() {
        let key = AuditKey([7; 32]);
        let seed = |job: u8, model: u8, payload: u8| {
            key.seed(JobId(B256::repeat_byte(job)), B256::repeat_byte(model), B256::repeat_byte(payload))
                .commitment()
        };
        let one = seed(1, 1, 1);
        assert_eq!(seed(1, 1, 1), one);
        for other in [seed(2, 1, 1), seed(1, 2, 1), seed(1, 1, 2)] {
            assert_ne!(other, one);
        }
    }

    /// Vectors made by `vectors/jobs/make.py` with the reference BLAKE3.
    #[test]
    fn a_foreign_implementation_derives_the_same_seeds() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/jobs/seeds.json")).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let word = |name: &str| case[name].as_str().unwrap().parse::<B256>().unwrap();
            let seed = AuditKey(word("audit_key").0).seed(
                JobId(word("job_id")),
                word("model_id"),
                word("payload_hash"),
            );
            assert_eq!(*seed.to_bytes(), word("seed").0);
            assert_eq!(seed.commitment().0, word("seed_commitment"));
            assert_eq!(AnswerSeed::from_bytes(word("seed").0).commitment(), seed.commitment());
        }
    }
}
