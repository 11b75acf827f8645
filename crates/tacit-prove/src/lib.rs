//! Proves that a committed model, run on these inputs, gives those outputs.
//!
//! [`CommittedModel::commit`] once, [`prove`] many times; `tacit-verify` checks. The protocol is in
//! `specs/0001-proof.md` and, step by step, in the module headers of `tacit-verify`; each module here is the other
//! half of the module of the same name there.
//!
//! # Examples
//! ```
//! use tacit_prove::{CommittedModel, prove};
//! use tacit_verify::{SecurityBits, Statement, verify};
//!
//! let model = tacit_graph::synthetic_mlp(&[4, 3, 2], 1)?;
//! let committed = CommittedModel::commit(model, SecurityBits::DEFAULT)?;
//!
//! let inputs = vec![vec![1 << 24, 2 << 24, 3 << 24, 4 << 24]];
//! let proved = prove(&committed, &inputs)?;
//!
//! // Elsewhere: the graph and the root are all that is known of the model.
//! let statement = Statement { inputs, outputs: proved.outputs };
//! let verified = verify(committed.verifying_model(), &statement, &proved.proof)?;
//! assert_eq!(verified.model(), committed.model_id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod argue;
mod batch;
mod grid;
mod hiding;
mod inner;
mod lookup;
mod memory;
mod model;
mod oracle;
mod part;
mod poly;
mod private;
mod prove;
mod randomness;
mod sumcheck;
mod tensors;
mod transcript;
mod views;
mod witness;
mod zero_knowledge;

pub use memory::peak_bytes;
pub use model::{CommitError, CommittedModel};
pub use part::Part;
pub use prove::{ProveError, Proved, ProvedBatch, Run, prove, prove_batch, prove_run, prove_run_observed};
pub use randomness::Seed;
pub use witness::Witness;
pub use zero_knowledge::{Hiding, prove_batch_zk, prove_run_zk, prove_zk};
