//! Light clients: whoever knows a network's group key checks a receipt of its ledger without a node.
//!
//! # What a proof says
//! A [`LightProof`] says that a block is final in a network, that a receipt is the block's receipt at an index and, if it
//! names one, that a transaction is the block's at the same index. [`verify`] checks it against what the client knows,
//! [`Trust`], and gives a [`VerifiedReceipt`]. [`anchored`] goes on from there to a job receipt: that its leaf is in a
//! batch whose root the `receipts` module anchored in that transaction.
//!
//! # Parts
//! 1. A [`Certificate`]: one threshold signature under the group key, or votes of the validators.
//! 2. The block's [`Header`](alloy_consensus::Header), whose hash the certificate signs. Where the block has no certificate of its own, headers
//!    of descendants lead to one that has: each names its parent's hash.
//! 3. The receipt, and the nodes of the Merkle-Patricia trie of `receiptsRoot` above it; likewise the transaction.
//!
//! Nothing is in a proof twice: hashes, blooms and leaves are computed, not read.
//!
//! # Soundness
//! A false proof needs a forged signature of the group (more than two thirds of the shares, or the discrete logarithm of the
//! group key) or of more than two thirds of the validators, or a collision of Keccak-256. See `specs/0007-light.md`.
//!
//! # Examples
//! ```no_run
//! use tacit_light::{LightProof, Trust, verify};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let (genesis, group_key, bytes) = (Default::default(), "", [0_u8; 0]);
//! let trust = Trust::new(1337, genesis).with_group(group_key.parse()?);
//! let receipt = verify(&trust, &LightProof::decode(&bytes)?)?;
//! println!("{:?}: {} logs in block {}", receipt.transaction(), receipt.logs().len(), receipt.block_number());
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unreachable
)]

mod anchor;
mod certificate;
mod error;
mod proof;
mod prove;
mod seal;
mod trie;
mod trust;
mod verify;

pub use anchor::{Anchored, SIBLINGS_MAX, anchored};
pub use certificate::{
    Certificate, CertificateKind, Certifier, GroupSignature, VoteSignature, Votes, certificate_namespace,
};
pub use error::{AnchorError, DecodeError, LightError, ProveError, Trie, TrieError};
pub use proof::{
    FINALITY_BYTES_MAX, Finality, HEADERS_MAX, LightProof, PROOF_BYTES_MAX, ReceiptBody, ReceiptPath,
    TransactionPath,
};
pub use prove::prove_receipt;
pub use seal::{Checkpoint, SEAL_BYTES_MAX, SealError, checkpoint};
pub use trie::NODES_MAX;
pub use trust::{GroupKey, KeyError, Trust, ValidatorKey};
pub use verify::{VerifiedReceipt, verify};
