//! The flat state after a checkpoint, from a node to one that begins.
//!
//! # Stream
//! A version byte, then frames `kind ‖ length (4, big-endian) ‖ payload`, in this order:
//! 1. **head** (1): RLP `[headers, seal, finality]`. Headers lead from the oldest block that `BLOCKHASH` reaches after the checkpoint, or the
//!    network's first, to the block whose seal has the checkpoint; finality is that of the latter.
//! 2. **code** (2): the code itself, once each, by hash ascending.
//! 3. **accounts** (3): `address (20) ‖ nonce (8) ‖ balance (32) ‖ code hash (32)` each, ascending.
//! 4. **slots** (4): `address (20) ‖ slot (32) ‖ value (32)` each, ascending; no value is zero.
//! 5. **end** (5): nothing.
//!
//! # Soundness
//! The certificate signs the last header, that header names the seal, the seal has the root of all accounts and slots, and the
//! headers lead back to the block that it is of. Code is found by its hash. Nothing else in the stream is believed, and
//! nothing of it is used before the root has been compared. Code that no account has goes unnoticed, and unused.

mod frame;
mod serve;
mod take;

pub(crate) use self::serve::{Snapshot, produce};
pub use self::{
    frame::{Decoder, FRAME_BYTES_MAX, Frame, FrameError, Head, encode},
    take::{Refused, SnapshotReject, Taking},
};
