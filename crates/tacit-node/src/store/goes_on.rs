//! A folder whose state becomes another network's first state.
//!
//! The network's genesis is made anew from the folder's own accounts. It has the announced root exactly if the network begins with this
//! state, so nothing of it is taken from elsewhere.

use std::{
    collections::BTreeSet,
    fmt::{self, Debug},
    sync::Arc,
};

use alloy_primitives::{Address, U256};
use tacit_abi::validators;
use tacit_ledger::{
    Accounts, AccountsError, Alloc, Change, Entries, Founding, Genesis, GenesisError, LtHash, StateChanges,
    StateCommitment,
};

use super::{At, First, StoreError, View, view::RedbView};

struct Own(RedbView);

impl Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

impl Accounts for Own {
    fn entries(&self) -> Entries<'_> {
        match self.0.entries() {
            Ok(entries) => entries,
            Err(error) => Box::new(std::iter::once(Err(AccountsError::new(error)))),
        }
    }
}

/// What the first block changes of the state that is `view`, and the commitment to the state after it.
///
/// # Errors
/// [`StoreError::OtherState`] when the network begins with another.
pub(super) fn difference(view: RedbView, first: &First<'_>) -> Result<(StateChanges, LtHash), StoreError> {
    let expected = first.genesis.first_root()?;
    let own = Arc::new(Own(view));
    let genesis = Genesis {
        chain: first.genesis.chain,
        timestamp: first.genesis.timestamp,
        base_fee: first.genesis.base_fee,
        extra_data: first.genesis.extra_data.clone(),
        alloc: Alloc::Kept(Arc::clone(&own) as Arc<dyn Accounts>),
        first_state: Some(expected),
        staking: first.genesis.staking.clone(),
        origin: first.genesis.origin.clone(),
    };
    let view = &own.0;
    let mut found = Found::new(&genesis);
    let mut founding = genesis.found();
    while let Some(part) = next_part(&mut founding)? {
        found.take(part, view)?;
    }
    let expected = founding.finish()?.commitment;
    let changes = found.end(view)?;
    let mut got = view.accumulator()?;
    got.apply(&changes);
    if got.root() != expected.root() {
        return Err(StoreError::StateRoot { expected: expected.root(), got: got.root() });
    }
    Ok((changes, got))
}

/// The network's genesis breaks no rule, or it would have no root: what does is the folder's state in its place.
fn next_part(founding: &mut Founding<'_>) -> Result<Option<StateChanges>, StoreError> {
    founding.next_part().map_err(|error| match error {
        GenesisError::Accounts(_) => error.into(),
        _ => StoreError::OtherState,
    })
}

/// What differs so far.
struct Found {
    changes: StateChanges,
    /// Accounts that pay for a stake and did not come: one that has nothing left never does.
    payers: BTreeSet<Address>,
    /// Slots of the `validators` module that came: the rest are cleared.
    slots: BTreeSet<U256>,
}

impl Found {
    fn new(genesis: &Genesis) -> Self {
        let founders = genesis.staking.founders.iter();
        let payers = founders.map(|founder| founder.payer.unwrap_or(founder.owner)).collect();
        Self { changes: StateChanges::default(), payers, slots: BTreeSet::new() }
    }

    fn take(&mut self, mut part: StateChanges, view: &RedbView) -> Result<(), StoreError> {
        for (address, Change { after, .. }) in part.accounts {
            self.payers.remove(&address);
            let before = view.account(address, At::Head)?;
            if before != after {
                let code = after.as_ref().and_then(|after| part.code.remove_entry(&after.code_hash));
                self.changes.code.extend(code);
                self.changes.accounts.insert(address, Change { before, after });
            }
        }
        for ((address, slot), Change { after, .. }) in part.storage {
            if address == validators::ADDRESS {
                self.slots.insert(slot);
            }
            let before = view.storage(address, slot, At::Head)?;
            if before != after {
                self.changes.storage.insert((address, slot), Change { before, after });
            }
        }
        Ok(())
    }

    fn end(mut self, view: &RedbView) -> Result<StateChanges, StoreError> {
        for address in self.payers {
            let before = view.account(address, At::Head)?;
            if before.is_some() {
                self.changes.accounts.insert(address, Change { before, after: None });
            }
        }
        for (slot, before) in view.slots_of(validators::ADDRESS)? {
            if !self.slots.contains(&slot) {
                let change = Change { before, after: U256::ZERO };
                self.changes.storage.insert((validators::ADDRESS, slot), change);
            }
        }
        Ok(self.changes)
    }
}
