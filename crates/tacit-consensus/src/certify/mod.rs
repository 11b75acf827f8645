//! Threshold certificates of final blocks: one signature of the whole set of validators, for those who run no validator.
//!
//! Consensus itself votes with single signatures, which name their signers. On top of its final blocks, every validator signs
//! number and hash of each with its share of a key that nobody has ([`Group`], [`GroupShare`]), and sends the signature round;
//! more than two thirds of them make the group's signature. A light client needs the group key alone (`tacit-light`): shares change
//! hands (`epochs`), that key does not.
//!
//! # Parts
//! The engine is `commonware_consensus::aggregation`. What is here: keys, and an actor that tells the engine which blocks to
//! sign, keeps certificates for good and finds them again.
//!
//! # Invariants
//! - A share signs a block only after it is final and the sink has it durably, so at most one hash per height.
//! - A certificate that was formed here is not lost: the engine's journal holds the last [`ACTIVITY_KEPT`] heights and gives
//!   them again on start; the archive is made durable well within that.
//!
//! # Gaps
//! A validator that was away skips what the others have certified meanwhile: they do not sign it again. Where it has no
//! certificate of a block, votes of consensus or a descendant's certificate do, or another validator.

mod actor;
mod finality;
mod group;
mod launch;
mod turn;

pub use group::{Group, GroupError, GroupShare, ShareError, deal};

use actor::Certifier;
pub(crate) use actor::{CertifierMailbox, Marshal, Progress};
pub(crate) use group::Scheme;
pub(crate) use launch::Launch;

use commonware_consensus::types::HeightDelta;

/// Heights below the newest for which signatures are still taken, and certificates still given again on start.
pub(crate) const ACTIVITY_KEPT: HeightDelta = HeightDelta::new(256);
