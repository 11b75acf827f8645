//! `receipts`: batches of receipts, anchored by their Merkle root.
//!
//! An anchor says that these receipts existed at this block. It says nothing about who wrote them: each receipt carries its
//! worker's signature. So a stranger who anchors somebody's root first does that worker's work, and takes nothing.
//!
//! # State
//! `mapping(bytes32 => Anchor)` at slot 0, one slot an anchor: worker (20 bytes), block (8), count (4).
//!
//! # Messages
//! `anchor`, and the views `anchorOf` and `included`.
//!
//! # Invariants
//! - A root is anchored once and never changes or disappears.
//! - `included` is true only if hashing the leaf with the siblings, each pair sorted, gives the root. A leaf is itself
//!   a hash of 32 bytes and an inner node one of 64, so no inner node passes for a leaf.
//!
//! # Gas
//! EVM prices: `anchor` writes one fresh slot; `included` hashes 64 bytes for each sibling.

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, HostError, as_module, keccak_gas},
    storage::{Packed, mapping},
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use tacit_abi::{
    IReceipts::{self, IReceiptsCalls},
    receipts::{ADDRESS, root_from},
};

/// Longest inclusion proof: batches of up to `2^32` receipts.
pub const MAX_PROOF: usize = 32;

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IReceipts`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IReceiptsCalls>(host, input, |call| match call {
        IReceiptsCalls::anchor(_) => Access::Write,
        IReceiptsCalls::anchorOf(_) | IReceiptsCalls::included(_) => Access::View,
    })?;
    match call {
        IReceiptsCalls::anchor(call) => anchor(host, call.root, call.count).map(|()| Bytes::new()),
        IReceiptsCalls::anchorOf(call) => {
            Ok(IReceipts::anchorOfCall::abi_encode_returns(&load(host, call.root)?).into())
        }
        IReceiptsCalls::included(call) => {
            Ok(IReceipts::includedCall::abi_encode_returns(&included(host, &call)?).into())
        }
    }
}

fn anchor(host: &mut dyn Host, root: B256, count: u32) -> Result<(), Failure> {
    if count == 0 {
        return Err(revert(IReceipts::EmptyBatch {}));
    }
    let context = host.context();
    let slot = mapping(host, ANCHORS, root)?;
    if !host.sload(slot)?.is_zero() {
        return Err(revert(IReceipts::AlreadyAnchored { root }));
    }
    let mut packed = Packed::default();
    packed.set_address(WORKER, context.caller);
    packed.set(BLOCK, 64, U256::from(context.block));
    packed.set(COUNT, 32, U256::from(count));
    host.sstore(slot, packed.0)?;
    let worker = context.caller;
    Ok(host.emit(IReceipts::Anchored { root, worker, count }.encode_log_data())?)
}

fn included(host: &mut dyn Host, call: &IReceipts::includedCall) -> Result<bool, Failure> {
    load(host, call.root)?;
    if call.proof.len() > MAX_PROOF {
        return Err(revert(IReceipts::ProofTooLong {}));
    }
    Ok(leads_to(host, call.leaf, &call.proof, call.root)?)
}

/// Whether a leaf and siblings, [`MAX_PROOF`] at most, lead to a root. For other modules.
pub(crate) fn leads_to(
    host: &mut dyn Host,
    leaf: B256,
    siblings: &[B256],
    root: B256,
) -> Result<bool, HostError> {
    let count = u64::try_from(siblings.len()).unwrap_or(u64::MAX);
    host.charge(count.saturating_mul(keccak_gas(64)))?;
    Ok(root_from(leaf, siblings) == root)
}

/// What is anchored under a root, if anything is. For other modules.
pub(crate) fn anchored(host: &mut dyn Host, root: B256) -> Result<Option<IReceipts::Anchor>, HostError> {
    as_module(host, ADDRESS, |host| find(host, root))
}

fn load(host: &mut dyn Host, root: B256) -> Result<IReceipts::Anchor, Failure> {
    find(host, root)?.ok_or_else(|| revert(IReceipts::UnknownRoot { root }))
}

fn find(host: &mut dyn Host, root: B256) -> Result<Option<IReceipts::Anchor>, HostError> {
    let slot = mapping(host, ANCHORS, root)?;
    let packed = Packed(host.sload(slot)?);
    let (worker, block, count) = (packed.address(WORKER), packed.u64(BLOCK), packed.u32(COUNT));
    Ok((!packed.0.is_zero()).then_some(IReceipts::Anchor { worker, block, count }))
}

/// Slot of the mapping.
const ANCHORS: U256 = U256::ZERO;
/// Bit positions of packed fields.
const WORKER: usize = 0;
const BLOCK: usize = 160;
const COUNT: usize = 224;

#[cfg(test)]
mod tests;
