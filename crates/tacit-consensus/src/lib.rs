//! Many validators, one ledger: what the validators agree on, where the state of record lies, and what drives both.
//!
//! The executor of `tacit-ledger` stays as it is, a pure function; this crate puts it on an authenticated database (QMDB)
//! from the `commonware` set.

mod bridge;
pub mod execution;
pub mod state;
