//! Giving a snapshot, from one consistent view.

use alloy_primitives::B256;
use tacit_light::Finality;

use super::frame::{Frame, Head, encode};
use crate::store::{StoreError, View};

/// A checkpoint in a view, found before anybody is asked for its certificate.
pub(crate) struct Snapshot {
    /// The block whose seal has it.
    pub(crate) block: u64,
    /// The block that it is of.
    pub(crate) of: u64,
    head: Head,
}

impl Snapshot {
    /// The newest checkpoint below a block that can be given. `genesis` is the hash of the network's first block.
    pub(crate) fn below(view: &dyn View, genesis: B256, below: u64) -> Result<Option<Self>, StoreError> {
        let mut below = below;
        while let Some((block, of)) = view.checkpoint_below(below)? {
            below = block;
            // What an accumulator was is known from the beginning of the store on, and so is the state.
            if view.began()?.is_some_and(|began| of < began) {
                continue;
            }
            if let Some(head) = lead(view, genesis, block, of)? {
                return Ok(Some(Self { block, of, head }));
            }
        }
        Ok(None)
    }

    /// The first bytes of the stream.
    pub(crate) fn begin(mut self, finality: &Finality) -> Vec<u8> {
        self.head.finality = finality.encode().into();
        encode(&[Frame::Head(self.head)])
    }
}

/// Headers from where `BLOCKHASH` reaches to the block with the checkpoint; `None` where some are missing.
fn lead(view: &dyn View, genesis: B256, block: u64, of: u64) -> Result<Option<Head>, StoreError> {
    let Some(seal) = view.seal(block)? else { return Ok(None) };
    let oldest = of.saturating_sub(HASHES - 1);
    let mut headers = Vec::new();
    for number in (oldest..=block).rev() {
        let Some((hash, header)) = view.any_header(number)? else { return Ok(None) };
        headers.push(header);
        if hash == genesis {
            break;
        }
    }
    headers.reverse();
    Ok(Some(Head { headers, seal, finality: Default::default() }))
}

/// Everything after the first bytes, in parts; `send` says whether anybody still wants it.
pub(crate) fn produce(
    view: &dyn View,
    of: u64,
    mut send: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let codes = view.codes(last, CODE_BYTES)?;
        let Some((hash, _)) = codes.last() else { break };
        last = Some(*hash);
        // Code that nobody can have is not kept.
        let codes = codes.into_iter().filter(|(_, code)| !code.is_empty());
        if !send(codes.flat_map(|(_, code)| Frame::Code(code).encode()).collect()) {
            return Ok(());
        }
    }
    let mut last = None;
    loop {
        let accounts = view.accounts(last, of, ACCOUNTS)?;
        let Some((address, _)) = accounts.last() else { break };
        last = Some(*address);
        if !send(Frame::Accounts(accounts).encode()) {
            return Ok(());
        }
    }
    let mut last = None;
    loop {
        let slots = view.slots(last, of, SLOTS)?;
        let Some((address, slot, _)) = slots.last() else { break };
        last = Some((*address, *slot));
        if !send(Frame::Slots(slots).encode()) {
            return Ok(());
        }
    }
    send(Frame::End.encode());
    Ok(())
}

/// Hashes that `BLOCKHASH` reaches.
pub(super) const HASHES: u64 = 256;
/// Code sent together.
const CODE_BYTES: usize = 1 << 18;
/// Accounts in a frame.
const ACCOUNTS: usize = 2048;
/// Slots in a frame.
const SLOTS: usize = 2048;
