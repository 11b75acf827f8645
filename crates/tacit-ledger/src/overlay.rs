//! The parent state with this block's changes on top, as the EVM reads and writes it.

use crate::state::{Account, Change, StateChanges, StateReader};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{
    Database,
    context_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode, EvmState},
};
use std::collections::{BTreeMap, BTreeSet};

/// Parent state plus changes, as an inspector's context holds it. Each value is read from the parent once.
pub struct Overlay<'a, R: StateReader> {
    reader: &'a R,
    accounts: BTreeMap<Address, Change<Option<Account>>>,
    storage: BTreeMap<(Address, U256), Change<U256>>,
    code: BTreeMap<B256, Bytecode>,
    new_code: BTreeMap<B256, Bytes>,
    /// Accounts whose parent storage is hidden (overrides only).
    wiped: BTreeSet<Address>,
    /// Hashes of blocks that are assumed (simulations only).
    block_hashes: BTreeMap<u64, B256>,
    /// First read error; the EVM is told only that there was one.
    error: Option<R::Error>,
}

/// The parent state could not be read; the overlay holds the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("state unavailable")]
pub struct StateUnavailable;

impl DBErrorMarker for StateUnavailable {}

impl<'a, R: StateReader> Overlay<'a, R> {
    pub(crate) fn new(reader: &'a R) -> Self {
        Self {
            reader,
            accounts: BTreeMap::new(),
            storage: BTreeMap::new(),
            code: BTreeMap::new(),
            new_code: BTreeMap::new(),
            wiped: BTreeSet::new(),
            block_hashes: BTreeMap::new(),
            error: None,
        }
    }

    /// Why reading failed, if it did.
    pub(crate) fn take_error(&mut self) -> Option<R::Error> {
        self.error.take()
    }

    /// The current account.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<Account>, StateUnavailable> {
        self.account_entry(address).map(|change| change.after)
    }

    /// Replaces an account, as if it had been so in the parent state.
    pub(crate) fn override_account(&mut self, address: Address, account: Account) {
        self.accounts.insert(address, Change { before: Some(account), after: Some(account) });
    }

    /// Makes code known under its hash.
    pub(crate) fn override_code(&mut self, hash: B256, code: Bytecode) {
        self.code.insert(hash, code);
    }

    /// Hides all storage of an account, of the parent and since.
    pub(crate) fn override_all_storage(&mut self, address: Address) {
        self.wiped.insert(address);
        self.storage.retain(|(owner, _), _| *owner != address);
    }

    /// Makes the hash of an assumed block known.
    pub(crate) fn override_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// Replaces a slot, as if it had been so in the parent state.
    pub(crate) fn override_slot(&mut self, address: Address, slot: U256, value: U256) {
        self.storage.insert((address, slot), Change { before: value, after: value });
    }

    /// Takes over what one transaction changed.
    pub(crate) fn commit(&mut self, state: EvmState) -> Result<(), StateUnavailable> {
        // The map's order does not matter: each entry lands under its own key.
        for (address, account) in state {
            if !account.is_touched() {
                continue;
            }
            if account.is_selfdestructed() {
                self.account_entry(address)?.after = None;
                for (_, slot) in self.storage.range_mut((address, U256::ZERO)..=(address, U256::MAX)) {
                    slot.after = U256::ZERO;
                }
                continue;
            }
            for (slot, value) in account.changed_storage_slots() {
                self.slot_entry(address, *slot)?.after = value.present_value();
            }
            let info = account.info;
            let after = Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash };
            let entry = self.account_entry(address)?;
            let is_new_code = entry.after.is_none_or(|before| before.code_hash != after.code_hash);
            entry.after = (!after.is_empty()).then_some(after);
            if let Some(code) = info.code.filter(|_| is_new_code && after.has_code()) {
                self.new_code.insert(after.code_hash, code.original_bytes());
                self.code.insert(after.code_hash, code);
            }
        }
        Ok(())
    }

    /// Everything that differs from the parent state.
    pub(crate) fn into_changes(self) -> StateChanges {
        StateChanges {
            accounts: self.accounts.into_iter().filter(|(_, change)| change.is_change()).collect(),
            storage: self.storage.into_iter().filter(|(_, change)| change.is_change()).collect(),
            code: self.new_code,
        }
    }

    fn account_entry(&mut self, address: Address) -> Result<&mut Change<Option<Account>>, StateUnavailable> {
        use std::collections::btree_map::Entry;
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let account = keep(&mut self.error, self.reader.account(address))?;
                let account = account.filter(|account| !account.is_empty());
                Ok(entry.insert(Change { before: account, after: account }))
            }
        }
    }

    fn slot_entry(&mut self, address: Address, slot: U256) -> Result<&mut Change<U256>, StateUnavailable> {
        use std::collections::btree_map::Entry;
        match self.storage.entry((address, slot)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let value = if self.wiped.contains(&address) {
                    U256::ZERO
                } else {
                    keep(&mut self.error, self.reader.storage(address, slot))?
                };
                Ok(entry.insert(Change { before: value, after: value }))
            }
        }
    }
}

impl<R: StateReader> core::fmt::Debug for Overlay<'_, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Overlay")
            .field("accounts", &self.accounts.len())
            .field("storage", &self.storage.len())
            .finish_non_exhaustive()
    }
}

impl<R: StateReader> Database for Overlay<'_, R> {
    type Error = StateUnavailable;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateUnavailable> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: if account.has_code() { None } else { Some(Bytecode::default()) },
            account_id: None,
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StateUnavailable> {
        if let Some(code) = self.code.get(&hash) {
            return Ok(code.clone());
        }
        let bytes = keep(&mut self.error, self.reader.code(hash))?;
        // Only code that passed the EVM's own checks is stored, so this fails on a corrupt store alone.
        let code = Bytecode::new_raw_checked(bytes).map_err(|_| StateUnavailable)?;
        self.code.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateUnavailable> {
        self.slot_entry(address, slot).map(|change| change.after)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateUnavailable> {
        if let Some(hash) = self.block_hashes.get(&number) {
            return Ok(*hash);
        }
        keep(&mut self.error, self.reader.block_hash(number)).map(Option::unwrap_or_default)
    }
}

fn keep<T, E>(error: &mut Option<E>, result: Result<T, E>) -> Result<T, StateUnavailable> {
    result.map_err(|first| {
        error.get_or_insert(first);
        StateUnavailable
    })
}
