//! Traces that can be disputed: every tensor of a run in one Merkle tree, and one element of it computed alone.
//!
//! A worker commits to the tree of its run ([`TraceTree`]). Whoever has the model and the input does the run again and compares roots
//! ([`Challenger`] finds where they part); the first wrong tile is shown wrong by one of its elements, the elements that it is made of
//! and their Merkle paths ([`Conviction`]), which costs a few kilobytes whatever the size of the network. `specs/0011-audits.md` says
//! who does what with it, and gives the formats.
//!
//! - [`Layout`]: which tile holds which element. A pure function of the graph.
//! - [`Tree`]: hashes, openings, steps of a bisection.
//! - [`Question`]: what one element reads, and whether the value that a worker committed to is the one that follows.
//! - [`Walk`]: where two traces part, for whoever has neither weights nor a run.
//! - [`check_auditable`]: which graphs are small enough in each element that this always fits a transaction.
//!
//! Values are read from bytes that strangers send; nothing here panics, loops without bound or allocates beyond a multiple of what it is given
//! and [`MAX_READS`].

mod bound;
mod challenger;
mod conviction;
mod element;
mod layout;
mod tree;
mod trees;
mod walk;

pub use bound::{MAX_CONVICTION_BYTES, MAX_READS, MAX_TRACE_LEAVES, NotAuditable, check_auditable, reads};
pub use challenger::{Challenger, ChallengerError};
pub use conviction::{Conviction, ConvictionError, Opened, Opening, Openings, Question};
pub(crate) use element::{Elements, element};
pub use layout::{Layout, TILE, TILE_BYTES_MAX, Tile};
pub use tree::{EMPTY, Hash, Kind, Node, STEP_LEVELS, Tree, depth, fold, fold_step, step, width};
pub use trees::{FacesError, TraceTree, WeightsTree, check_faces, evidence_commitment, faces_top};
pub use walk::{Convictions, Parting, Side, Walk, WalkError};
