//! Where the chain lives between runs.
//!
//! The node knows the [`Store`] and [`View`] traits only. [`RedbStore`] is the one implementation: a single file,
//! one write transaction for each block. A validator's store (state in an authenticated database, blocks in an
//! archive) takes its place behind the same traits.
//!
//! # Invariants
//! - A block's state changes, header, transactions, receipts, indices, state accumulator and the head pointer
//!   become visible and durable together or not at all.
//! - The digest of the stored accumulator is the state root of a head that was made in development mode; opening checks it.
//!   Validators commit to state in their own database; there the accumulator is of this store alone.
//! - A transaction that waits, once acknowledged, is here until it is in a block, can never be in one, or has lost its place in a full pool.
//! - A directory belongs to one format version, chain id and genesis, and to one process at a time.
//! - State at every past height stays readable, from the values that each block overwrote.

mod codec;
mod file;
mod fill;
mod flat;
mod goes_on;
mod tables;
mod view;

use std::{fmt, io, path::PathBuf};

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use tacit_ledger::{Account, Chain, Entries, Genesis, GenesisError, LtHash, StateChanges, StateReader};
use tacit_light::Certificate;
use thiserror::Error;

pub use self::{
    file::RedbStore,
    fill::{Beginning, Filling},
};

/// Version of the stored format; any other one is refused.
pub const FORMAT_VERSION: u32 = 4;

/// Why the store failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process (or another node of this one) has the directory open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The directory was written by a version of this software with another format.
    #[error("the data directory has format version {got}, this version reads {FORMAT_VERSION}")]
    Format {
        /// The version found.
        got: u32,
    },
    /// The directory holds another chain.
    #[error("the data directory belongs to chain {got}, not to chain {expected}")]
    OtherChain {
        /// The chain asked for.
        expected: u64,
        /// The chain found.
        got: u64,
    },
    /// The directory holds a chain with another beginning, for example other funded accounts.
    #[error("the data directory begins with genesis block {got}, not with {expected}")]
    OtherGenesis {
        /// The genesis block asked for.
        expected: B256,
        /// The genesis block found.
        got: B256,
    },
    /// The directory's last block was made in development mode, so that no validator knows it.
    #[error("block {number} in the data directory was made in development mode, not by validators")]
    Development {
        /// The head's number.
        number: u64,
    },
    /// The state in the directory is not the one that the network begins with.
    #[error("the state in the data directory is not the network's first state")]
    OtherState,
    /// The directory holds a chain already.
    #[error("there is a chain in {} already", path.display())]
    Present {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds no chain yet.
    #[error("there is no chain in {}", path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// The state does not match the head block: the file was damaged or changed from outside.
    #[error("stored state has root {got}, its head block says {expected}")]
    StateRoot {
        /// In the header.
        expected: B256,
        /// Of the stored accumulator.
        got: B256,
    },
    /// A block does not follow the head.
    #[error("block {got} does not follow the stored head; expected {expected}")]
    NotNext {
        /// The next height.
        expected: u64,
        /// The height given.
        got: u64,
    },
    /// A stored value cannot be read.
    #[error("a stored {0} is damaged")]
    Corrupt(&'static str),
    /// The chain's first state breaks a rule, is another than was announced, or cannot be read.
    #[error("invalid genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The directory could not be made.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] Box<redb::Error>),
}

/// Which chain a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its parameters.
    pub chain: Chain,
    /// Hash of the first block: block zero, or the one with which validators went on from an earlier chain.
    pub genesis: B256,
    /// Who makes its blocks.
    pub made_by: MadeBy,
}

/// Who made a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// This process alone, at once. `stateRoot` is of the store's own accumulator.
    Development,
    /// Validators. `stateRoot` is of their database.
    Validators,
}

/// How a chain begins.
#[derive(Debug, Clone, Copy)]
pub struct First<'a> {
    /// What the first state is, and which blocks were before.
    pub genesis: &'a Genesis,
    /// Hash of the first block.
    pub hash: B256,
    /// Its header.
    pub header: &'a Header,
}

/// What happened to a transaction, without what its block and the transaction itself already say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    /// Whether it ran to its end.
    pub succeeded: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Gas used in the block up to and including it.
    pub cumulative_gas_used: u64,
    /// Index in the block of its first log.
    pub first_log_index: u64,
    /// What it emitted.
    pub logs: Vec<Log>,
}

/// A block with all that follows from it, ready to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewBlock<'a> {
    /// Its hash.
    pub hash: B256,
    /// Its header.
    pub header: &'a Header,
    /// Its transactions.
    pub transactions: &'a [Recovered<TxEnvelope>],
    /// One for each transaction.
    pub receipts: &'a [StoredReceipt],
    /// What it changed in the state.
    pub changes: &'a StateChanges,
    /// The state accumulator after it.
    pub accumulator: &'a LtHash,
    /// What consensus says of it.
    pub consensus: FromConsensus<'a>,
}

/// What consensus says of a block beside its header; nothing where there is no consensus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FromConsensus<'a> {
    /// Its seal, to whose hash `extraData` commits.
    pub seal: Option<&'a [u8]>,
    /// The earlier block that a checkpoint in the seal is of.
    pub checkpoint: Option<u64>,
    /// Its certificate, where this node keeps those itself.
    pub certificate: Option<&'a Certificate>,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Height of its block.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
}

/// A slot that is not zero: account, slot, value.
pub type FlatSlot = (Address, U256, U256);

/// Which state to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After the head block.
    Head,
    /// After the block of this height.
    Height(u64),
}

/// An index to search logs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKey {
    /// The contract that emitted them.
    Address(Address),
    /// Their first topic.
    Topic(B256),
}

/// Durable chain data. One writer; readers see the head that was current when they took their view.
pub trait Store: fmt::Debug + Send + Sync {
    /// A consistent view of the current head.
    ///
    /// # Errors
    /// When the database fails.
    fn view(&self) -> Result<Box<dyn View>, StoreError>;

    /// Which chain this is.
    fn identity(&self) -> Identity;

    /// Removes transactions that waited, then adds others; when this returns it is durable. Blocks remove what they include.
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
    fn set_waiting(&self, added: &[Recovered<TxEnvelope>], removed: &[B256]) -> Result<(), StoreError>;

    /// Appends a block; when this returns it is durable.
    ///
    /// # Errors
    /// When the block does not follow the head, or the database fails. Nothing has changed then.
    fn commit(&self, block: &NewBlock<'_>) -> Result<(), StoreError>;

    /// Remembers the current head for [`Store::revert`], until the process ends.
    ///
    /// # Errors
    /// When the database fails.
    fn snapshot(&self) -> Result<u64, StoreError>;

    /// Goes back to a snapshot and forgets it and all later ones; false when there is no such snapshot.
    ///
    /// # Errors
    /// When the database fails.
    fn revert(&self, snapshot: u64) -> Result<bool, StoreError>;
}

/// One consistent view. Absent things are `None`; errors mean that the store failed.
pub trait View: Send {
    /// Hash and header of the head.
    ///
    /// # Errors
    /// As the trait says.
    fn head(&self) -> Result<(B256, Header), StoreError>;

    /// The state accumulator of the head.
    ///
    /// # Errors
    /// As the trait says.
    fn accumulator(&self) -> Result<LtHash, StoreError>;

    /// Transactions that wait for a block.
    ///
    /// # Errors
    /// As the trait says.
    fn waiting(&self) -> Result<Vec<Recovered<TxEnvelope>>, StoreError>;

    /// The whole state at the head, with which another chain can begin: accounts by address, each followed by its slots.
    ///
    /// # Errors
    /// As the trait says.
    fn entries(&self) -> Result<Entries<'static>, StoreError>;

    /// Hash of a block, also of one from before the first.
    ///
    /// # Errors
    /// As the trait says.
    fn block_hash(&self, height: u64) -> Result<Option<B256>, StoreError>;

    /// Height of the checkpoint that this store began with: it has the blocks above, and the state from there on. `None` where
    /// it has all blocks since the chain's first.
    ///
    /// # Errors
    /// As the trait says.
    fn began(&self) -> Result<Option<u64>, StoreError>;

    /// Hash and header of a block; also of those without a block that lead to the checkpoint which the store began with.
    ///
    /// # Errors
    /// As the trait says.
    fn any_header(&self, height: u64) -> Result<Option<(B256, Header)>, StoreError>;

    /// Root of the state accumulator after a block.
    ///
    /// # Errors
    /// As the trait says.
    fn root(&self, height: u64) -> Result<Option<B256>, StoreError>;

    /// The seal of a block.
    ///
    /// # Errors
    /// As the trait says.
    fn seal(&self, height: u64) -> Result<Option<Bytes>, StoreError>;

    /// The newest block below `height` whose seal has a checkpoint, and the block that it is of.
    ///
    /// # Errors
    /// As the trait says.
    fn checkpoint_below(&self, height: u64) -> Result<Option<(u64, u64)>, StoreError>;

    /// The first certificate of blocks `from..=to`, and whose it is.
    ///
    /// # Errors
    /// As the trait says.
    fn certificate(&self, from: u64, to: u64) -> Result<Option<(u64, Certificate)>, StoreError>;

    /// Code after `after`, by hash, until there are `bytes_max` of it; at least one, if there is one. It may be of no account.
    ///
    /// # Errors
    /// As the trait says.
    fn codes(&self, after: Option<B256>, bytes_max: usize) -> Result<Vec<(B256, Bytes)>, StoreError>;

    /// Accounts after `after`, by address, as they were after the block of this height; at most `limit`, fewer only at the end.
    ///
    /// # Errors
    /// As the trait says.
    fn accounts(
        &self,
        after: Option<Address>,
        height: u64,
        limit: usize,
    ) -> Result<Vec<(Address, Account)>, StoreError>;

    /// Slots after `after`, by address and slot, as they were after the block of this height; at most `limit`, fewer only at the
    /// end.
    ///
    /// # Errors
    /// As the trait says.
    fn slots(
        &self,
        after: Option<(Address, U256)>,
        height: u64,
        limit: usize,
    ) -> Result<Vec<FlatSlot>, StoreError>;

    /// An account.
    ///
    /// # Errors
    /// As the trait says.
    fn account(&self, address: Address, at: At) -> Result<Option<Account>, StoreError>;

    /// A storage slot; zero when never written.
    ///
    /// # Errors
    /// As the trait says.
    fn storage(&self, address: Address, slot: U256, at: At) -> Result<U256, StoreError>;

    /// Code by its hash.
    ///
    /// # Errors
    /// As the trait says.
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StoreError>;

    /// Hash and header of a block.
    ///
    /// # Errors
    /// As the trait says.
    fn header(&self, height: u64) -> Result<Option<(B256, Header)>, StoreError>;

    /// Height of a block.
    ///
    /// # Errors
    /// As the trait says.
    fn height(&self, hash: B256) -> Result<Option<u64>, StoreError>;

    /// Where a transaction was mined.
    ///
    /// # Errors
    /// As the trait says.
    fn location(&self, transaction: B256) -> Result<Option<Location>, StoreError>;

    /// A mined transaction.
    ///
    /// # Errors
    /// As the trait says.
    fn transaction(&self, location: Location) -> Result<Option<Recovered<TxEnvelope>>, StoreError>;

    /// All transactions of a block.
    ///
    /// # Errors
    /// As the trait says.
    fn transactions(&self, height: u64) -> Result<Vec<Recovered<TxEnvelope>>, StoreError>;

    /// The receipt of a mined transaction.
    ///
    /// # Errors
    /// As the trait says.
    fn receipt(&self, location: Location) -> Result<Option<StoredReceipt>, StoreError>;

    /// All receipts of a block.
    ///
    /// # Errors
    /// As the trait says.
    fn receipts(&self, height: u64) -> Result<Vec<StoredReceipt>, StoreError>;

    /// Transactions with a log under `key` in blocks `from..=to`, in order, at most `limit`.
    ///
    /// # Errors
    /// As the trait says.
    fn logged(&self, key: LogKey, from: u64, to: u64, limit: usize) -> Result<Vec<Location>, StoreError>;
}

/// State after one block, as the executor reads it.
#[derive(Clone, Copy)]
pub struct State<'a> {
    view: &'a dyn View,
    at: At,
}

impl fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<'a> State<'a> {
    /// The state that `at` names in `view`.
    #[must_use]
    pub const fn new(view: &'a dyn View, at: At) -> Self {
        Self { view, at }
    }
}

impl StateReader for State<'_> {
    type Error = StoreError;

    fn account(&self, address: Address) -> Result<Option<Account>, StoreError> {
        self.view.account(address, self.at)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        self.view.storage(address, slot, self.at)
    }

    fn code(&self, hash: B256) -> Result<Bytes, StoreError> {
        self.view.code(hash)?.ok_or(StoreError::Corrupt("code"))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        self.view.block_hash(number)
    }
}
