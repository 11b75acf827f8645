//! Many validators, one ledger: what the validators agree on, where the state of record lies, and what drives both.
//!
//! The executor of `tacit-ledger` stays as it is, a pure function; this crate puts it on an authenticated database (QMDB)
//! from the `commonware` set, and gives its blocks a place in consensus.

mod block;
mod bridge;
pub mod execution;
mod rules;
pub mod state;

pub use block::{
    BLOCK_BYTES_MAX, BlockError, BlockHash, ChainBlock, ConsensusContext, ENCODED_BYTES_MAX, Seal,
};
pub use rules::{Pace, RuleViolation, Rules};
