//! Threshold certificates of final blocks: one signature of the whole set of validators, for those who run no validator.
//!
//! Consensus itself votes with single signatures, which name their signers. On top of its final blocks, every validator signs
//! number and hash of each with its share of a key that nobody has ([`Group`], [`GroupShare`]), and sends the signature round;
//! more than two thirds of them make the group's signature. A light client needs the group key alone (`tacit-light`).
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

pub use group::{Group, GroupError, GroupShare, ShareError, deal};

use actor::Certifier;
pub(crate) use actor::{CertifierMailbox, Progress};
pub(crate) use group::{Scheme, scheme};
pub(crate) use launch::{Launch, drain};

use commonware_consensus::types::HeightDelta;
use core::fmt;

/// Keys with which a validator signs final blocks.
pub struct Certification {
    /// The group of all validators. The same for all of them; validators that differ in it cut each other off.
    pub group: Group,
    /// This validator's share. Without one it collects certificates and signs none.
    pub share: Option<GroupShare>,
}

impl fmt::Debug for Certification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certification").field("group", &self.group).finish_non_exhaustive()
    }
}

/// Heights below the newest for which signatures are still taken, and certificates still given again on start.
pub(crate) const ACTIVITY_KEPT: HeightDelta = HeightDelta::new(256);
