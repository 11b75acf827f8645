//! Epochs: the set of validators changes, the group's key stays.
//!
//! An epoch is a fixed number of blocks, counted from the network's first, kept by one **committee**. Its last block says who keeps the
//! next one. While it lasts, its committee deals the shares of the group's key to those who come after it (`glue::dkg`, Feldman and
//! Desmedt): every dealer to every player in the first half of the epoch, over the network; what came of it goes into blocks in
//! the second half, each dealer's log into one that it leads; the last block adds it up.
//!
//! # Who is who
//! | | in epoch `e` | from |
//! |---|---|---|
//! | dealers | committee of `e` | the players of the last dealing that succeeded |
//! | players | committee of `e + 1`, if this dealing succeeds | the ledger's set of `e + 1`, asked in the last block of `e - 2` |
//! | next players | players of `e + 1` | the ledger's set of `e + 2`, asked in the last block of `e - 1` |
//!
//! So the set of epoch `c` is asked in the last block of epoch `c - 3`, by validators whose state is that of any block from the
//! last one of epoch `c - 4` on: the ledger must not change it any more by then ([`DELAY_EPOCHS`](tacit_ledger::DELAY_EPOCHS)). When a
//! dealing fails, committee and shares stay for another epoch, and the next dealing is to the set of that one.
//!
//! # Parts
//! - [`Committees`] makes signing schemes of an epoch: votes with ed25519 keys, as ever, certificates with shares.
//! - [`Participants`] asks the ledger's state who comes next.
//! - [`Secrets`] keeps shares and dealings on the validator's own disk.
//! - [`watch`] tells the log how epochs go, and removes what an epoch leaves behind.
//!
//! # Invariants
//! - A committee is told by a final block, or is that of the first block: nobody votes in an epoch before that block is final.
//! - Whoever may have forgotten votes of an epoch gives none in it ([`Memory`]).
//! - What a validator has dealt, acknowledged or holds is durable before anybody else can know.

mod committees;
mod participants;
mod secrets;
mod watch;

pub(crate) use committees::{Committees, Memory, ShareSchemes, VoteSchemes};
pub(crate) use participants::Participants;
pub(crate) use secrets::Secrets;
pub use secrets::SecretsError;
pub(crate) use watch::Watch;

use crate::block::{ChainBlock, EpochRecord, Payload};
use commonware_glue::dkg::ReshareBlock as _;

/// What a block says of the epoch that it begins.
pub(crate) fn record(block: &ChainBlock) -> Option<EpochRecord> {
    match block.payload() {
        Some(Payload::EpochInfo(record)) => Some(record),
        Some(Payload::DealerLog(_)) | None => None,
    }
}
