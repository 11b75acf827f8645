//! The database file: opening, checking, appending.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use redb::{Builder, Database, DatabaseError, ReadableTable, Savepoint, StorageBackend, WriteTransaction};
use tacit_ledger::StateCommitment;

use super::{FORMAT_VERSION, Identity, NewBlock, Store, StoreError, View, codec, tables, view::RedbView};

/// A chain in one redb file, or in memory.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    snapshots: Mutex<Snapshots>,
    /// Held for as long as the store is open, and released by the system however the process ends.
    _lock: Option<File>,
}

#[derive(Default)]
struct Snapshots {
    next: u64,
    kept: BTreeMap<u64, Savepoint>,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots").field("next", &self.next).finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens `data_dir`, making it when it is not there; without one the chain lives in memory. `genesis` becomes
    /// the first block of an empty store, and is what a filled one must begin with.
    ///
    /// # Errors
    /// Refuses a directory that is in use, of another format or chain, or damaged.
    pub fn open(
        data_dir: Option<&Path>,
        identity: Identity,
        genesis: &NewBlock<'_>,
    ) -> Result<Self, StoreError> {
        let Some(data_dir) = data_dir else {
            return Self::with_backend(redb::backends::InMemoryBackend::new(), identity, genesis);
        };
        let directory = |source| StoreError::Directory { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(directory)?;
        let lock = File::create(data_dir.join(LOCK_NAME)).map_err(directory)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Locked { path: data_dir.to_owned() },
            TryLockError::Error(source) => directory(source),
        })?;
        let path = data_dir.join(FILE_NAME);
        if !path.try_exists().map_err(directory)? {
            Self::create(data_dir, &path, identity, genesis)?;
        }
        let database = builder().open(&path).map_err(|error| opening(error, path))?;
        let store = Self::prepare(database, identity, genesis)?;
        Ok(Self { _lock: Some(lock), ..store })
    }

    /// Makes the file under another name first: a database that is killed while it is being made cannot be opened, and
    /// renaming happens or does not.
    fn create(
        data_dir: &Path,
        path: &Path,
        identity: Identity,
        genesis: &NewBlock<'_>,
    ) -> Result<(), StoreError> {
        let directory = |source| StoreError::Directory { path: data_dir.to_owned(), source };
        let unfinished = data_dir.join(UNFINISHED_NAME);
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(directory(error)),
            _ => {}
        }
        let database = builder().create(&unfinished).map_err(|error| opening(error, unfinished.clone()))?;
        drop(Self::prepare(database, identity, genesis)?);
        std::fs::rename(&unfinished, path).map_err(directory)?;
        File::open(data_dir).and_then(|directory| directory.sync_all()).map_err(directory)
    }

    /// As [`RedbStore::open`], on storage of any kind.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn with_backend(
        backend: impl StorageBackend,
        identity: Identity,
        genesis: &NewBlock<'_>,
    ) -> Result<Self, StoreError> {
        let database =
            builder().create_with_backend(backend).map_err(|error| opening(error, PathBuf::new()))?;
        Self::prepare(database, identity, genesis)
    }

    /// Recomputes the state root from every stored account and slot, and compares it with the head's. It reads all of
    /// the state.
    ///
    /// # Errors
    /// [`StoreError::StateRoot`] when they differ, or when the state cannot be read.
    pub fn audit(&self) -> Result<(), StoreError> {
        let view = RedbView::new(&self.database)?;
        let (_, header) = view.head()?;
        let got = view.recomputed_root()?;
        if got == header.state_root {
            Ok(())
        } else {
            Err(StoreError::StateRoot { expected: header.state_root, got })
        }
    }

    fn prepare(database: Database, identity: Identity, genesis: &NewBlock<'_>) -> Result<Self, StoreError> {
        let store = Self { database, snapshots: Mutex::default(), _lock: None };
        if !store.check(identity)? {
            store.write(Some(identity), genesis)?;
            store.check(identity)?;
        }
        Ok(store)
    }

    /// Whether the store is filled; an error when it is filled with something else.
    fn check(&self, identity: Identity) -> Result<bool, StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let meta = transaction.open_table(tables::META).map_err(failed)?;
            let Some(format) = meta.get(tables::FORMAT).map_err(failed)? else { return Ok(false) };
            let format = format.value().try_into().map(u32::from_be_bytes);
            let got = format.map_err(|_| StoreError::Corrupt("format version"))?;
            if got != FORMAT_VERSION {
                return Err(StoreError::Format { got });
            }
            let field = |name| {
                let value = meta.get(name).map_err(failed)?;
                value.map(|value| value.value().to_vec()).ok_or(StoreError::Corrupt("head"))
            };
            let got = codec::decode_u64(&field(tables::CHAIN_ID)?)?;
            if got != identity.chain_id {
                return Err(StoreError::OtherChain { expected: identity.chain_id, got });
            }
            let got = codec::decode_b256(&field(tables::GENESIS)?)?;
            if got != identity.genesis {
                return Err(StoreError::OtherGenesis { expected: identity.genesis, got });
            }
        }
        transaction.abort().map_err(failed)?;
        let view = RedbView::new(&self.database)?;
        let (hash, header) = view.head()?;
        if header.hash_slow() != hash {
            return Err(StoreError::Corrupt("header"));
        }
        let got = view.accumulator()?.root();
        if got != header.state_root {
            return Err(StoreError::StateRoot { expected: header.state_root, got });
        }
        Ok(true)
    }

    fn write(&self, new: Option<Identity>, block: &NewBlock<'_>) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut meta = transaction.open_table(tables::META).map_err(failed)?;
            let height = block.header.number;
            match new {
                Some(identity) => {
                    let format = FORMAT_VERSION.to_be_bytes();
                    meta.insert(tables::FORMAT, format.as_slice()).map_err(failed)?;
                    let chain_id = identity.chain_id.to_be_bytes();
                    meta.insert(tables::CHAIN_ID, chain_id.as_slice()).map_err(failed)?;
                    meta.insert(tables::GENESIS, identity.genesis.as_slice()).map_err(failed)?;
                }
                None => {
                    let head = meta.get(tables::HEAD).map_err(failed)?.ok_or(StoreError::Corrupt("head"))?;
                    let expected = codec::decode_u64(head.value())?.saturating_add(1);
                    if height != expected {
                        return Err(StoreError::NotNext { expected, got: height });
                    }
                }
            }
            meta.insert(tables::HEAD, height.to_be_bytes().as_slice()).map_err(failed)?;
            meta.insert(tables::ACCUMULATOR, block.accumulator.to_bytes().as_slice()).map_err(failed)?;
        }
        write_state(&transaction, block)?;
        write_chain(&transaction, block)?;
        write_logs(&transaction, block)?;
        transaction.commit().map_err(failed)
    }
}

impl Store for RedbStore {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(RedbView::new(&self.database)?))
    }

    fn commit(&self, block: &NewBlock<'_>) -> Result<(), StoreError> {
        self.write(None, block)
    }

    fn snapshot(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        let savepoint = transaction.ephemeral_savepoint().map_err(failed)?;
        transaction.abort().map_err(failed)?;
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.next = snapshots.next.saturating_add(1);
        let id = snapshots.next;
        snapshots.kept.insert(id, savepoint);
        // Each snapshot keeps the pages it saw; a caller that never reverts must not fill the disk.
        while snapshots.kept.len() > SNAPSHOTS_MAX {
            snapshots.kept.pop_first();
        }
        Ok(id)
    }

    fn revert(&self, snapshot: u64) -> Result<bool, StoreError> {
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(savepoint) = snapshots.kept.get(&snapshot) else { return Ok(false) };
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.restore_savepoint(savepoint).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        snapshots.kept.split_off(&snapshot);
        Ok(true)
    }
}

fn write_state(transaction: &WriteTransaction, block: &NewBlock<'_>) -> Result<(), StoreError> {
    let height = block.header.number;
    let mut accounts = transaction.open_table(tables::ACCOUNTS).map_err(failed)?;
    let mut accounts_before = transaction.open_table(tables::ACCOUNTS_BEFORE).map_err(failed)?;
    for (address, change) in &block.changes.accounts {
        let address = address.into_array();
        match &change.after {
            Some(account) => {
                accounts.insert(address, codec::encode_account(account).as_slice()).map_err(failed)?;
            }
            None => {
                accounts.remove(address).map_err(failed)?;
            }
        }
        let before = change.before.as_ref().map(codec::encode_account);
        let before = before.as_ref().map_or(&[][..], <[u8; codec::ACCOUNT_BYTES]>::as_slice);
        accounts_before.insert((address, height), before).map_err(failed)?;
    }
    let mut storage = transaction.open_table(tables::STORAGE).map_err(failed)?;
    let mut storage_before = transaction.open_table(tables::STORAGE_BEFORE).map_err(failed)?;
    for ((address, slot), change) in &block.changes.storage {
        let (address, slot) = (address.into_array(), slot.to_be_bytes::<32>());
        if change.after.is_zero() {
            storage.remove((address, slot)).map_err(failed)?;
        } else {
            storage.insert((address, slot), change.after.to_be_bytes::<32>()).map_err(failed)?;
        }
        storage_before.insert((address, slot, height), change.before.to_be_bytes::<32>()).map_err(failed)?;
    }
    let mut code = transaction.open_table(tables::CODE).map_err(failed)?;
    for (hash, bytes) in &block.changes.code {
        code.insert(hash.0, bytes.as_ref()).map_err(failed)?;
    }
    Ok(())
}

fn write_chain(transaction: &WriteTransaction, block: &NewBlock<'_>) -> Result<(), StoreError> {
    let height = block.header.number;
    let header = codec::encode_header(block.hash, block.header);
    transaction
        .open_table(tables::HEADERS)
        .map_err(failed)?
        .insert(height, header.as_slice())
        .map_err(failed)?;
    transaction.open_table(tables::HEIGHTS).map_err(failed)?.insert(block.hash.0, height).map_err(failed)?;
    let mut transactions = transaction.open_table(tables::TRANSACTIONS).map_err(failed)?;
    let mut locations = transaction.open_table(tables::LOCATIONS).map_err(failed)?;
    for (index, signed) in (0_u32..).zip(block.transactions) {
        let bytes = codec::encode_transaction(signed);
        transactions.insert((height, index), bytes.as_slice()).map_err(failed)?;
        locations.insert(signed.tx_hash().0, (height, index)).map_err(failed)?;
    }
    let mut receipts = transaction.open_table(tables::RECEIPTS).map_err(failed)?;
    for (index, receipt) in (0_u32..).zip(block.receipts) {
        receipts.insert((height, index), codec::encode_receipt(receipt).as_slice()).map_err(failed)?;
    }
    Ok(())
}

fn write_logs(transaction: &WriteTransaction, block: &NewBlock<'_>) -> Result<(), StoreError> {
    let height = block.header.number;
    let mut by_address = transaction.open_table(tables::LOGS_BY_ADDRESS).map_err(failed)?;
    let mut by_topic = transaction.open_table(tables::LOGS_BY_TOPIC).map_err(failed)?;
    for (index, receipt) in (0_u32..).zip(block.receipts) {
        for log in &receipt.logs {
            by_address.insert((log.address.into_array(), height, index), ()).map_err(failed)?;
            if let Some(topic) = log.topics().first() {
                by_topic.insert((topic.0, height, index), ()).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn opening(error: DatabaseError, path: PathBuf) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::Locked { path }
        }
        error => failed(error),
    }
}

pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(error.into()))
}

/// Name of the database in the data directory.
const FILE_NAME: &str = "chain.redb";
/// Name of the database while it is being made.
const UNFINISHED_NAME: &str = "chain.redb.unfinished";
/// Name of the file whose lock says that the directory is in use.
const LOCK_NAME: &str = "lock";
/// Pages kept in memory.
const CACHE_BYTES: usize = 128 << 20;
/// Snapshots kept.
const SNAPSHOTS_MAX: usize = 64;
