//! Accounts that exist from the start: a handful in memory, or as many as a disk holds, read in order whenever they are needed.

use alloy_primitives::{Address, B256, Bytes, U256};
use core::{
    error::Error,
    fmt::{self, Debug},
};
use std::{collections::BTreeMap, sync::Arc};

/// An account at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Coin in its smallest unit.
    pub balance: U256,
    /// Transactions already sent.
    pub nonce: u64,
    /// Code, empty for none.
    pub code: Bytes,
    /// Slots; zeros are ignored.
    pub storage: BTreeMap<B256, B256>,
}

/// What accounts are made of, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An account.
    Account {
        /// Where.
        address: Address,
        /// Coin in its smallest unit.
        balance: U256,
        /// Transactions already sent.
        nonce: u64,
        /// Code, empty for none.
        code: Bytes,
    },
    /// A slot of the account that came last; zeros are ignored.
    Slot {
        /// Which.
        slot: B256,
        /// What it holds.
        value: B256,
    },
}

/// Accounts and their slots on their way.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, AccountsError>> + Send + 'a>;

/// Accounts that are kept somewhere.
pub trait Accounts: Debug + Send + Sync {
    /// All of them by address, each followed by its slots by key; the same each time.
    fn entries(&self) -> Entries<'_>;
}

/// Accounts could not be read. Two are equal where one is a copy of the other.
#[derive(Debug, Clone)]
pub struct AccountsError(Arc<dyn Error + Send + Sync>);

impl AccountsError {
    /// What stopped a reader.
    pub fn new(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the accounts cannot be read: {}", self.0)
    }
}

impl Error for AccountsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for AccountsError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AccountsError {}

/// Where the accounts of a genesis are.
#[derive(Debug, Clone)]
pub enum Alloc {
    /// In memory.
    Held(BTreeMap<Address, GenesisAccount>),
    /// Elsewhere.
    Kept(Arc<dyn Accounts>),
}

impl Alloc {
    /// Those in memory, to be looked at or changed; none where they are elsewhere.
    pub fn held(&mut self) -> Option<&mut BTreeMap<Address, GenesisAccount>> {
        match self {
            Self::Held(accounts) => Some(accounts),
            Self::Kept(_) => None,
        }
    }

    /// All of them by address, each followed by its slots by key.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        match self {
            Self::Held(accounts) => Box::new(accounts.iter().flat_map(|(address, account)| {
                let GenesisAccount { balance, nonce, code, storage } = account;
                let (address, balance, nonce, code) = (*address, *balance, *nonce, code.clone());
                let slots = storage.iter().map(|(slot, value)| Entry::Slot { slot: *slot, value: *value });
                core::iter::once(Entry::Account { address, balance, nonce, code }).chain(slots).map(Ok)
            })),
            Self::Kept(accounts) => accounts.entries(),
        }
    }
}

impl Default for Alloc {
    fn default() -> Self {
        Self::Held(BTreeMap::new())
    }
}

impl FromIterator<(Address, GenesisAccount)> for Alloc {
    fn from_iter<I: IntoIterator<Item = (Address, GenesisAccount)>>(accounts: I) -> Self {
        Self::Held(accounts.into_iter().collect())
    }
}

impl<const N: usize> From<[(Address, GenesisAccount); N]> for Alloc {
    fn from(accounts: [(Address, GenesisAccount); N]) -> Self {
        accounts.into_iter().collect()
    }
}
