//! Many validators, one ledger: what the validators agree on, where the state of record lies, and what drives both.
//!
//! The executor of `tacit-ledger` stays as it is, a pure function; this crate puts it between a consensus engine
//! (simplex) and an authenticated database (QMDB), both from the `commonware` set.
//!
//! # Life of a block
//! 1. The leader of a view asks its [`TransactionSource`] for candidates, executes them on the state after the parent
//!    ([`execution`]), writes what changed into a batch of the database and takes the root of that batch as `stateRoot`.
//! 2. A [`ChainBlock`] goes out: a standard Ethereum block and its [`Seal`]. What validators sign is the Ethereum block hash.
//! 3. The others check it against its parent, execute it again on a batch of their own and vote only for the very same header.
//! 4. Once two thirds have voted twice, the block is final: its batch is applied and made durable, and the [`BlockSink`]
//!    gets the block, in order, at least once.
//! 5. The validators sign its hash once more, with shares of a common key: a certificate for those who run no validator
//!    (`certify`). [`Validator::finality`] gives what a light client wants.
//!
//! What contradicts itself among the votes goes to an [`EvidenceSink`], as the ledger takes it.
//!
//! # Life of an epoch
//! So many blocks are kept by one set of validators. Whoever has staked enough in the ledger is in the set some epochs later; by then those
//! of before have handed the common key on to it, in shares, and the last block of an epoch says so (`epochs`).
//!
//! # What is where
//! State: QMDB, keyed by hash ([`state`]). Blocks and certificates: archives of the engine. Anything that serves queries
//! (receipts, logs, transactions by hash) is behind [`BlockSink`], is written after the fact, and can be made again from the archives.
//!
//! # Determinism
//! Everything that decides a block is a function of the block, its ancestors and the parent state. The clock only paces
//! proposals, bounds timestamps from below and delays votes ([`Rules`]).

mod application;
mod block;
mod bridge;
mod ceremony;
mod certify;
mod engine;
mod epochs;
mod evidence;
pub mod execution;
mod genesis;
mod ports;
mod rules;
pub mod state;
mod sync;

pub use application::{Ledger, ProposalInput};
pub use block::{
    BLOCK_BYTES_MAX, BlockError, BlockHash, ChainBlock, ConsensusContext, ENCODED_BYTES_MAX, EpochRecord,
    PARTICIPANTS_MAX, PAYLOAD_BYTES_MAX, Payload, Seal,
};
pub use ceremony::{
    Ceremony, CeremonyChannels, CeremonyConfig, CeremonyError, Dealt, ceremony_message_bytes, is_agreed,
};
pub use certify::{Group, GroupError, GroupShare, ShareError, deal};
pub use engine::{
    Channels, EngineConfig, StartError, StorageConfig, Timing, Validator, max_message_bytes, namespace,
};
pub use epochs::SecretsError;
pub use genesis::{GenesisFailure, prepare as prepare_genesis};
pub use ports::{BlockSink, CandidateLimits, EvidenceSink, TransactionSource};
pub use rules::{Pace, RuleViolation, Rules};
pub use sync::{Anchor, AnchorError, BeginError, Served, has_begun};
