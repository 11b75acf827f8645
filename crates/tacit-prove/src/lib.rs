//! Proves that a committed model, run on these inputs, gives those outputs.
//!
//! [`CommittedModel::commit`] once, [`prove`] many times; `tacit-verify` checks. The protocol is in
//! `specs/0001-proof.md` and, step by step, in the module headers of `tacit-verify`; each module here is the other
//! half of the module of the same name there.

#![forbid(unsafe_code)]

mod batch;
mod dense;
mod lookup;
mod model;
mod poly;
mod prove;
mod sumcheck;
mod transcript;
mod witness;

pub use model::{CommitError, CommittedModel};
pub use prove::{ProveError, Proved, Run, prove, prove_run};
pub use witness::Witness;
