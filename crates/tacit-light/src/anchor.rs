//! Job receipts: from the transaction that anchored a batch to a receipt in the batch.

use crate::{error::AnchorError, verify::VerifiedReceipt};
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent as _;
use tacit_abi::{
    IReceipts,
    receipts::{self, Receipt},
};

/// Longest Merkle path, as in the `receipts` module: batches of up to `2^32` receipts.
pub const SIBLINGS_MAX: usize = 32;

/// A job receipt that was anchored. Only [`anchored`] makes one.
///
/// An anchor says that the receipt existed when the block was made. That the worker signed it, and that what it says is
/// true, is checked elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Anchored {
    root: B256,
    by: Address,
    count: u32,
    block_number: u64,
    timestamp: u64,
}

/// Checks that `receipt` is in a batch that the transaction of `verified` anchored; `siblings` are those of the receipt's
/// leaf, lowest level first.
///
/// # Errors
/// [`AnchorError`].
pub fn anchored(
    verified: &VerifiedReceipt,
    receipt: &Receipt,
    siblings: &[B256],
) -> Result<Anchored, AnchorError> {
    if siblings.len() > SIBLINGS_MAX {
        return Err(AnchorError::Siblings { limit: SIBLINGS_MAX, got: siblings.len() });
    }
    let root = receipts::root_from(receipts::leaf(receipt, verified.chain_id()), siblings);
    let module = verified.logs().iter().filter(|log| log.address == receipts::ADDRESS);
    let mut events = module.filter_map(|log| IReceipts::Anchored::decode_log_data(&log.data).ok());
    let event = events.find(|event| event.root == root).ok_or(AnchorError::NotAnchored)?;
    Ok(Anchored {
        root,
        by: event.worker,
        count: event.count,
        block_number: verified.block_number(),
        timestamp: verified.timestamp(),
    })
}

impl Anchored {
    /// Root of the batch.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.root
    }

    /// Account that anchored it.
    #[must_use]
    pub fn by(&self) -> Address {
        self.by
    }

    /// Receipts in the batch, as that account says.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Block that anchored it.
    #[must_use]
    pub fn block_number(&self) -> u64 {
        self.block_number
    }

    /// Time of that block, in seconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }
}
