//! One validator on real sockets and disks.
//!
//! The engine of `tacit-consensus` is generic over runtime, network, source and sink, and takes minutes to compile where it
//! becomes concrete. That happens here, once: source and sink are a `tacit_node::Node`.
//!
//! # Life
//! [`start`] opens the data directory and the sockets on threads of its own and returns once the validator has joined.
//! [`RunningValidator::stop`], or dropping it, ends it at once: whatever was acknowledged is durable already.
//!
//! Before there is a ledger, its founders make the key of their group: [`hold_ceremony`].
//!
//! # Evidence
//! Votes that contradict each other are kept in a folder and, where somebody pays for it, sent to the ledger ([`report_all`]).
//!
//! # Trust
//! Connections are authenticated and encrypted with the validators' keys; nobody else gets past the handshake.

mod ceremony;
mod evidence;
mod gossip;
mod home;
mod key;
mod network;
mod ports;
mod run;
mod sync;
mod transport;

pub use ceremony::{CeremonySettings, Founded, FoundingError, hold_ceremony};
pub use evidence::{EvidenceFileError, Reported, SavedEvidence, report, report_all};
pub use home::{HomeError, may_vote_from};
pub use key::{NoAddress, ShareKey, ValidatorAddress, ValidatorKey, deal_group};
pub use network::{FileError, Network, NetworkFile, NetworkPeer, Plan, ValidatorFile};
pub use ports::Ports;
pub use run::{NodeValidator, Peer, Reach, RunError, RunningValidator, ValidatorConfig, first_block, start};
pub use sync::{Known, NoAnchor, Refused, consensus_has_begun, find_anchor};
pub use tacit_consensus::{Anchor, CeremonyError, Group, GroupError};
