//! State as the executor sees it: what it reads, and what it hands back.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use std::collections::BTreeMap;

/// An account. Code is kept apart, by hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Coin in its smallest unit.
    pub balance: U256,
    /// Keccak-256 of the code; of the empty string for an account without code.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    /// Whether this account is as good as absent (EIP-161); such accounts are never stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it has code.
    #[must_use]
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }
}

/// State after some block. Every answer must be of that one state for as long as the reader is borrowed.
pub trait StateReader {
    /// What can go wrong when reading.
    type Error: core::error::Error + Send + Sync + 'static;

    /// The account, `None` when absent.
    ///
    /// # Errors
    /// The store cannot answer.
    fn account(&self, address: Address) -> Result<Option<Account>, Self::Error>;

    /// The value of a slot, zero when absent.
    ///
    /// # Errors
    /// The store cannot answer.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error>;

    /// The code with this hash. Asked only for hashes of stored accounts, never for the empty hash.
    ///
    /// # Errors
    /// The store cannot answer; missing code is corruption, hence an error.
    fn code(&self, hash: B256) -> Result<Bytes, Self::Error>;

    /// Hash of block `number`, `None` when it is not (or no longer) known.
    ///
    /// # Errors
    /// The store cannot answer.
    fn block_hash(&self, number: u64) -> Result<Option<B256>, Self::Error>;
}

impl<R: StateReader + ?Sized> StateReader for &R {
    type Error = R::Error;

    fn account(&self, address: Address) -> Result<Option<Account>, Self::Error> {
        (**self).account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        (**self).storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, Self::Error> {
        (**self).code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, Self::Error> {
        (**self).block_hash(number)
    }
}

/// A value before and after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<T> {
    /// In the parent state.
    pub before: T,
    /// In the new state.
    pub after: T,
}

impl<T: PartialEq> Change<T> {
    /// Whether anything changed.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.before != self.after
    }
}

/// Everything a block changed, in key order. It holds both sides, so it can be undone as well as applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Accounts made, changed or (`after: None`) removed.
    pub accounts: BTreeMap<Address, Change<Option<Account>>>,
    /// Slots written; `after` of zero means removed.
    pub storage: BTreeMap<(Address, U256), Change<U256>>,
    /// Code first seen in this block, by hash. The same code may have been stored before.
    pub code: BTreeMap<B256, Bytes>,
}

impl StateChanges {
    /// Whether the block left state as it was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.storage.is_empty() && self.code.is_empty()
    }

    /// The changes that lead back. Code stays, since others may share it.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            accounts: self
                .accounts
                .iter()
                .map(|(key, change)| (*key, Change { before: change.after, after: change.before }))
                .collect(),
            storage: self
                .storage
                .iter()
                .map(|(key, change)| (*key, Change { before: change.after, after: change.before }))
                .collect(),
            code: BTreeMap::new(),
        }
    }
}
