//! A chain that goes on with validators of its own: founders in the place of those that its state names.
//!
//! Stakes that the state holds go back to their owners, and those of the founders come out of their payers' coin. Coin moves and does not change in
//! sum. Who has a stake is in the state's own storage of the `validators` module, which lies somewhere among the accounts: these are read before they are
//! given out, once for that storage and once for who owns a validator.

use super::{Genesis, GenesisError, alloc::Entry};
use alloy_primitives::{Address, B256, U256};
use std::collections::BTreeMap;
use tacit_modules::validators;

/// What changes of a carried state.
#[derive(Debug)]
pub(super) struct Anew {
    /// The module's storage as it was.
    before: BTreeMap<U256, U256>,
    /// Stakes that go back, of owners that did not come yet.
    returned: BTreeMap<Address, U256>,
    /// What founders' stakes take, of payers that did not come yet.
    taken: BTreeMap<Address, U256>,
    /// All that goes back, and all that is taken.
    sums: (U256, U256),
}

impl Anew {
    /// Reads what has to be known of the accounts beforehand. `None` where no chain goes on, or one with the validators that it has.
    pub(super) fn read(genesis: &Genesis) -> Result<Option<Self>, GenesisError> {
        if genesis.origin.is_none() || genesis.staking.founders.is_empty() {
            return Ok(None);
        }
        let mut before = BTreeMap::new();
        let mut is_module = false;
        for entry in genesis.alloc.entries() {
            match entry.map_err(GenesisError::Accounts)? {
                Entry::Account { address, .. } => is_module = address == validators::ADDRESS,
                Entry::Slot { slot, value } if is_module => {
                    before.insert(slot.into(), value.into());
                }
                Entry::Slot { .. } => {}
            }
        }
        let begun = begin(genesis, &before, B256::ZERO)?;
        let sum = |coins: &BTreeMap<Address, U256>| -> Result<U256, GenesisError> {
            coins
                .values()
                .try_fold(U256::ZERO, |sum, coin| sum.checked_add(*coin))
                .ok_or(GenesisError::Supply)
        };
        let sums = (sum(&begun.returned)?, sum(&begun.taken)?);
        Ok(Some(Self { before, returned: begun.returned, taken: begun.taken, sums }))
    }

    /// What an account has from now on that had `balance`.
    pub(super) fn balance(&mut self, address: Address, balance: U256) -> Result<U256, GenesisError> {
        let returned = self.returned.remove(&address).unwrap_or_default();
        let has = balance.checked_add(returned).ok_or(GenesisError::Supply)?;
        let needs = self.taken.remove(&address).unwrap_or_default();
        has.checked_sub(needs).ok_or(GenesisError::Payer { payer: address, needs })
    }

    /// What the module has from now on that had `balance`, once all accounts came. A payer that did not come has nothing, and no module pays for anybody.
    pub(super) fn module_balance(&self, balance: U256) -> Result<U256, GenesisError> {
        if let Some((payer, needs)) = self.taken.first_key_value() {
            return Err(GenesisError::Payer { payer: *payer, needs: *needs });
        }
        let (returned, taken) = self.sums;
        let rest = balance.checked_sub(returned).ok_or(GenesisError::Stakes)?;
        rest.checked_add(taken).ok_or(GenesisError::Supply)
    }

    /// The module's storage from now on, in a network with this namespace.
    pub(super) fn slots(
        &self,
        genesis: &Genesis,
        namespace: B256,
    ) -> Result<BTreeMap<U256, U256>, GenesisError> {
        let mut slots = self.before.clone();
        slots.extend(begin(genesis, &self.before, namespace)?.slots);
        slots.retain(|_, value| !value.is_zero());
        Ok(slots)
    }
}

fn begin(
    genesis: &Genesis,
    before: &BTreeMap<U256, U256>,
    namespace: B256,
) -> Result<validators::Beginning, GenesisError> {
    let first = genesis.origin.as_ref().map_or(0, |origin| origin.number.saturating_add(1));
    let mut failed = None;
    let owners = genesis.alloc.entries().map_while(|entry| match entry {
        Ok(Entry::Account { address, .. }) => Some(Some(address)),
        Ok(Entry::Slot { .. }) => Some(None),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let read = |slot: U256| before.get(&slot).copied().unwrap_or_default();
    let begun = genesis.staking.begin_anew(namespace, first, owners.flatten(), read)?;
    failed.map_or(Ok(begun), |error| Err(GenesisError::Accounts(error)))
}
