//! The state of a chain at its head, as the genesis of another.

use std::path::Path;

use alloy_primitives::{B256, Bytes};
use std::sync::Arc;
use tacit_ledger::{Accounts, AccountsError, Alloc, Chain, Entries, Genesis, Origin, Staking};

use crate::store::{MadeBy, RedbStore, Store, StoreError};

/// The chain in `data_dir`, which nothing else may have open, as a genesis that goes on from its head: every account and
/// slot, the time and the fee that are due, and the hashes that `BLOCKHASH` reaches. Blocks and receipts stay behind.
///
/// Accounts are read from the directory when they are needed: it stays in use for as long as the genesis is there.
///
/// # Errors
/// There is no chain, it is in use, or it is damaged.
pub fn export(data_dir: &Path) -> Result<Genesis, StoreError> {
    // Nothing is written, so that it does not matter who would.
    let store = RedbStore::resume(data_dir, MadeBy::Development)?;
    // Who certifies the next chain's blocks is not known yet.
    let chain = Chain { certifier: None, ..store.identity().chain };
    let view = store.view()?;
    let (_, head) = view.head()?;
    let first = head.number.saturating_sub(HASHES - 1);
    let hashes =
        (first..=head.number).map(|number| view.block_hash(number)).collect::<Result<Vec<_>, _>>()?;
    // A chain that began as another's has no more than that brought along.
    let hashes: Vec<B256> = hashes.into_iter().flatten().collect();
    drop(view);
    Ok(Genesis {
        chain,
        timestamp: head.timestamp,
        base_fee: chain.next_base_fee(&head),
        extra_data: Bytes::new(),
        alloc: Alloc::Kept(Arc::new(Exported(store))),
        first_state: None,
        staking: Staking::default(),
        origin: Some(Origin { number: head.number, hashes }),
    })
}

/// The state of a store that nobody changes.
#[derive(Debug)]
struct Exported(RedbStore);

impl Accounts for Exported {
    fn entries(&self) -> Entries<'_> {
        match self.0.view().and_then(|view| view.entries()) {
            Ok(entries) => entries,
            Err(error) => Box::new(std::iter::once(Err(AccountsError::new(error)))),
        }
    }
}

/// Hashes that `BLOCKHASH` reaches.
const HASHES: u64 = 256;
