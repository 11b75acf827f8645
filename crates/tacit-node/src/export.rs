//! The state of a chain at its head, as the genesis of another.

use std::path::Path;

use alloy_primitives::{B256, Bytes};
use tacit_ledger::{Genesis, Origin, Staking};

use crate::store::{MadeBy, RedbStore, Store, StoreError};

/// The chain in `data_dir`, which nothing else may have open, as a genesis that goes on from its head: every account and
/// slot, the time and the fee that are due, and the hashes that `BLOCKHASH` reaches. Blocks and receipts stay behind.
///
/// All of the state is held in memory.
///
/// # Errors
/// There is no chain, it is in use, or it is damaged.
pub fn export(data_dir: &Path) -> Result<Genesis, StoreError> {
    // Nothing is written, so that it does not matter who would.
    let store = RedbStore::resume(data_dir, MadeBy::Development)?;
    let chain = store.identity().chain;
    let view = store.view()?;
    let (_, head) = view.head()?;
    let first = head.number.saturating_sub(HASHES - 1);
    let hashes =
        (first..=head.number).map(|number| view.block_hash(number)).collect::<Result<Vec<_>, _>>()?;
    // A chain that began as another's has no more than that brought along.
    let hashes: Vec<B256> = hashes.into_iter().flatten().collect();
    Ok(Genesis {
        chain,
        timestamp: head.timestamp,
        base_fee: chain.next_base_fee(&head),
        extra_data: Bytes::new(),
        alloc: view.alloc()?,
        staking: Staking::default(),
        origin: Some(Origin { number: head.number, hashes }),
    })
}

/// Hashes that `BLOCKHASH` reaches.
const HASHES: u64 = 256;
