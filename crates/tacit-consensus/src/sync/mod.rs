//! Beginning without old blocks: state from others, who are not believed.
//!
//! A validator whose sink has the blocks up to some height (how, is the sink's business: `tacit-node` begins with a certified checkpoint)
//! needs what consensus has beside them: who keeps the epoch, and the state database, whose root depends on history and can be
//! made from no other copy of the state.
//!
//! # Life of a beginning
//! 1. Somebody serves an anchor, which is checked ([`Anchor`]): a final block of some epoch, the **floor**, and that epoch's record.
//! 2. It is written down, once and for good ([`begin`]); whatever happens from then on, it is gone on with.
//! 3. Marshal fetches the floor's block, and those after it, from the peers that the record names; each is proved by votes.
//! 4. `stateful` fetches operations of the state database from them, each proved under the `stateRoot` of the newest final block,
//!    which moves on meanwhile. Whoever serves a false one is cut off.
//! 5. Blocks are executed from there on. The sink gets those that were passed over from the archive ([`Whole`]).
//!
//! # Invariants
//! - Nothing is taken that does not hang on the group's key: it certifies the record's block, the record names who votes, their votes
//!   certify blocks, and these name roots.
//! - A validator that began so votes in no epoch that had begun by then: with the same key it may have voted there before, and lost
//!   the record of it (`epochs::Memory`).

mod anchor;
mod begin;
mod whole;

pub use anchor::{Anchor, AnchorError, Served};
pub use begin::{BeginError, has_begun};
pub(crate) use begin::{Beginning, begin};
pub(crate) use whole::Whole;
