//! What evidence must be about: one session of one worker with one model.
//!
//! # Formal definition
//! `body = chain id (8, little-endian) ‖ worker (20) ‖ BLAKE3(session key) (32) ‖ model id (32) ‖ nonce (32)`.
//! Report data of a CPU: 64 bytes of BLAKE3's output in its mode for deriving keys, of `body`, under a context of its own. Nonce of
//! each GPU: 32 bytes likewise, of the report data, under another. So evidence of one session is none of another, and CPU and GPU
//! are asked by whoever knows the same five things.

use alloy_primitives::{Address, B256};

/// A session, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    chain_id: u64,
    worker: Address,
    key: B256,
    model: B256,
    nonce: B256,
}

const REPORT_DATA: &str = "tacit 2026 attested report data v1";
const GPU_NONCE: &str = "tacit 2026 attested gpu nonce v1";

impl Binding {
    /// `key` is the public key that what is sealed to the worker is sealed to, in its one encoding. `nonce` is the client's, drawn
    /// for this session.
    #[must_use]
    pub fn new(chain_id: u64, worker: Address, key: &[u8], model: B256, nonce: B256) -> Self {
        Self { chain_id, worker, key: B256::from(*blake3::hash(key).as_bytes()), model, nonce }
    }

    /// What the CPU's evidence must hold.
    #[must_use]
    pub fn report_data(&self) -> [u8; 64] {
        let mut hasher = blake3::Hasher::new_derive_key(REPORT_DATA);
        hasher.update(&self.chain_id.to_le_bytes());
        hasher.update(self.worker.as_slice());
        hasher.update(self.key.as_slice());
        hasher.update(self.model.as_slice());
        hasher.update(self.nonce.as_slice());
        let mut out = [0; 64];
        hasher.finalize_xof().fill(&mut out);
        out
    }

    /// What each GPU's evidence must answer.
    #[must_use]
    pub fn gpu_nonce(&self) -> [u8; 32] {
        blake3::derive_key(GPU_NONCE, &self.report_data())
    }

    /// The model that the session is about.
    #[must_use]
    pub fn model(&self) -> B256 {
        self.model
    }

    /// The worker's account.
    #[must_use]
    pub fn worker(&self) -> Address {
        self.worker
    }

    /// BLAKE3 of the session's public key.
    #[must_use]
    pub fn key(&self) -> B256 {
        self.key
    }
}
