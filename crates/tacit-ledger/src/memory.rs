//! State in memory: for tests, tools and light use.

use crate::state::{Account, StateChanges, StateReader};
use alloy_primitives::{Address, B256, Bytes, U256};
use std::collections::BTreeMap;

/// A whole state in ordered maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// Accounts that are not empty.
    pub accounts: BTreeMap<Address, Account>,
    /// Slots that are not zero.
    pub storage: BTreeMap<(Address, U256), U256>,
    /// Code by hash.
    pub code: BTreeMap<B256, Bytes>,
    /// Block hashes by number.
    pub block_hashes: BTreeMap<u64, B256>,
}

impl MemoryState {
    /// Moves to the state after `changes`.
    pub fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            match change.after {
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
        }
        for (key, change) in &changes.storage {
            if change.after.is_zero() {
                self.storage.remove(key);
            } else {
                self.storage.insert(*key, change.after);
            }
        }
        self.code.extend(changes.code.iter().map(|(hash, code)| (*hash, code.clone())));
    }
}

/// Code that an account names is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no code with hash {0}")]
pub struct NoCode(pub B256);

impl StateReader for MemoryState {
    type Error = NoCode;

    fn account(&self, address: Address) -> Result<Option<Account>, NoCode> {
        Ok(self.accounts.get(&address).copied())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, NoCode> {
        Ok(self.storage.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Bytes, NoCode> {
        self.code.get(&hash).cloned().ok_or(NoCode(hash))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, NoCode> {
        Ok(self.block_hashes.get(&number).copied())
    }
}
