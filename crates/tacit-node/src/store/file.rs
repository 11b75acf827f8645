//! The database file: opening, checking, appending.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_primitives::B256;
use redb::{Builder, Database, DatabaseError, ReadableTable, Savepoint, StorageBackend, WriteTransaction};
use tacit_ledger::{LtHash, Origin, StateChanges, StateCommitment};

use super::{
    FORMAT_VERSION, First, FromConsensus, Identity, MadeBy, NewBlock, Store, StoreError, View, codec,
    goes_on, tables, view::RedbView,
};

/// A chain in one redb file, or in memory.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    snapshots: Mutex<Snapshots>,
    identity: Identity,
    /// Held for as long as the store is open, and released by the system however the process ends.
    #[expect(dead_code, reason = "the lock goes with it")]
    lock: Option<File>,
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
    /// Opens `data_dir`, making it when it is not there; without one the chain lives in memory. `first` becomes the first
    /// block of an empty store, and is what a filled one must begin with. Validators may also go on from whatever chain the
    /// directory holds, if `first` follows its head and its state is the head's.
    ///
    /// # Errors
    /// Refuses a directory that is in use, of another format or chain, or damaged.
    pub fn open(data_dir: Option<&Path>, identity: Identity, first: &First<'_>) -> Result<Self, StoreError> {
        let Some(data_dir) = data_dir else {
            return Self::with_backend(redb::backends::InMemoryBackend::new(), identity, first);
        };
        let directory = |source| StoreError::Directory { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(directory)?;
        let lock = lock(data_dir)?;
        let path = data_dir.join(FILE_NAME);
        if !path.try_exists().map_err(directory)? {
            Self::create(data_dir, &path, identity, first)?;
        }
        let database = builder().open(&path).map_err(|error| opening(error, path))?;
        let store = Self::prepare(database, identity, first)?;
        Ok(Self { lock: Some(lock), ..store })
    }

    /// Opens the chain that `data_dir` holds, whichever it is; from now on `made_by` makes its blocks.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none; else as [`RedbStore::open`].
    pub fn resume(data_dir: &Path, made_by: MadeBy) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        if !path.exists() {
            return Err(StoreError::Absent { path: data_dir.to_owned() });
        }
        let lock = lock(data_dir)?;
        let database = builder().open(&path).map_err(|error| opening(error, path))?;
        let stored = stored(&database)?.ok_or(StoreError::Corrupt("head"))?;
        let store = Self::of(database, Identity { made_by, ..stored });
        store.check_head()?;
        Ok(Self { lock: Some(lock), ..store })
    }

    /// Makes the file under another name first: a database that is killed while it is being made cannot be opened, and
    /// renaming happens or does not.
    fn create(data_dir: &Path, path: &Path, identity: Identity, first: &First<'_>) -> Result<(), StoreError> {
        let directory = |source| StoreError::Directory { path: data_dir.to_owned(), source };
        let unfinished = data_dir.join(UNFINISHED_NAME);
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(directory(error)),
            _ => {}
        }
        let database = builder().create(&unfinished).map_err(|error| opening(error, unfinished.clone()))?;
        drop(Self::prepare(database, identity, first)?);
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
        first: &First<'_>,
    ) -> Result<Self, StoreError> {
        let database =
            builder().create_with_backend(backend).map_err(|error| opening(error, PathBuf::new()))?;
        Self::prepare(database, identity, first)
    }

    /// Recomputes the accumulator's root from every stored account and slot, and compares it with the stored one. It reads
    /// all of the state.
    ///
    /// # Errors
    /// [`StoreError::StateRoot`] when they differ, or when the state cannot be read.
    pub fn audit(&self) -> Result<(), StoreError> {
        let view = RedbView::new(&self.database)?;
        let (expected, got) = (view.accumulator()?.root(), view.recomputed_root()?);
        if got == expected { Ok(()) } else { Err(StoreError::StateRoot { expected, got }) }
    }

    pub(super) fn of(database: Database, identity: Identity) -> Self {
        Self { database, identity, snapshots: Mutex::default(), lock: None }
    }

    fn prepare(database: Database, identity: Identity, first: &First<'_>) -> Result<Self, StoreError> {
        let stored = stored(&database)?;
        let store = Self::of(database, identity);
        match stored {
            None => store.write_first(first)?,
            Some(stored) if stored == identity => {}
            Some(stored) => store.adopt(stored, first)?,
        }
        store.check_head()?;
        Ok(store)
    }

    /// Takes a chain that is not simply the one asked for.
    fn adopt(&self, stored: Identity, first: &First<'_>) -> Result<(), StoreError> {
        let (expected, got) = (self.identity.chain.chain_id, stored.chain.chain_id);
        if got != expected {
            return Err(StoreError::OtherChain { expected, got });
        }
        let view = RedbView::new(&self.database)?;
        let (hash, header) = view.head()?;
        if stored.genesis == self.identity.genesis && stored.chain == self.identity.chain {
            return match self.identity.made_by {
                MadeBy::Development => Ok(()),
                MadeBy::Validators => Err(StoreError::Development { number: header.number }),
            };
        }
        if self.identity.made_by == MadeBy::Development || first.header.parent_hash != hash {
            return Err(StoreError::OtherGenesis { expected: self.identity.genesis, got: stored.genesis });
        }
        // The state is here already: that of the chain before, less what its validators had at stake, and with what the new ones have.
        let (changes, accumulator) = goes_on::difference(view, first)?;
        self.commit(&first.block(&changes, &accumulator))
    }

    /// Checks that head and state belong together.
    pub(super) fn check_head(&self) -> Result<(), StoreError> {
        let view = RedbView::new(&self.database)?;
        let (hash, header) = view.head()?;
        if header.hash_slow() != hash {
            return Err(StoreError::Corrupt("header"));
        }
        let got = view.accumulator()?.root();
        if view.made_by()? == MadeBy::Development && got != header.state_root {
            return Err(StoreError::StateRoot { expected: header.state_root, got });
        }
        Ok(())
    }

    /// Writes the first block and its state, part by part in one transaction. The database keeps no more of it in memory than of any
    /// other: pages that do not fit go to the disk, and count once the transaction ends.
    fn write_first(&self, first: &First<'_>) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        let mut founding = first.genesis.found();
        while let Some(part) = founding.next_part()? {
            // Before it there was nothing: nobody asks for the state of an earlier height.
            write_flat(&transaction, &part)?;
        }
        let founded = founding.finish()?;
        {
            let mut table = transaction.open_table(tables::EARLIER).map_err(failed)?;
            for (number, hash) in first.genesis.origin.iter().flat_map(Origin::blocks) {
                table.insert(number, hash.0).map_err(failed)?;
            }
        }
        self.write(&transaction, &first.block(&StateChanges::default(), &founded.commitment))?;
        transaction.commit().map_err(failed)
    }

    /// Writes a block that becomes the head.
    fn write(&self, transaction: &WriteTransaction, block: &NewBlock<'_>) -> Result<(), StoreError> {
        {
            let mut meta = transaction.open_table(tables::META).map_err(failed)?;
            let height = block.header.number;
            let format = FORMAT_VERSION.to_be_bytes();
            let chain = codec::encode_chain(&self.identity.chain);
            let made_by = codec::encode_made_by(self.identity.made_by);
            meta.insert(tables::FORMAT, format.as_slice()).map_err(failed)?;
            meta.insert(tables::CHAIN, chain.as_slice()).map_err(failed)?;
            meta.insert(tables::GENESIS, self.identity.genesis.as_slice()).map_err(failed)?;
            meta.insert(tables::MADE_BY, made_by.as_slice()).map_err(failed)?;
            meta.insert(tables::HEAD, height.to_be_bytes().as_slice()).map_err(failed)?;
            meta.insert(tables::ACCUMULATOR, block.accumulator.to_bytes().as_slice()).map_err(failed)?;
        }
        {
            let mut waiting = transaction.open_table(tables::WAITING).map_err(failed)?;
            for signed in block.transactions {
                waiting.remove(signed.tx_hash().0).map_err(failed)?;
            }
        }
        write_flat(transaction, block.changes)?;
        write_before(transaction, block)?;
        write_chain(transaction, block)?;
        write_consensus(transaction, block)?;
        write_logs(transaction, block)
    }
}

impl<'a> First<'a> {
    fn block(&self, changes: &'a StateChanges, accumulator: &'a LtHash) -> NewBlock<'a> {
        NewBlock {
            hash: self.hash,
            header: self.header,
            transactions: &[],
            receipts: &[],
            changes,
            accumulator,
            consensus: FromConsensus::default(),
        }
    }
}

impl Store for RedbStore {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(RedbView::new(&self.database)?))
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn set_waiting(&self, added: &[Recovered<TxEnvelope>], removed: &[B256]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut waiting = transaction.open_table(tables::WAITING).map_err(failed)?;
            // One that left and came back stays.
            for hash in removed {
                waiting.remove(hash.0).map_err(failed)?;
            }
            for signed in added {
                let bytes = codec::encode_transaction(signed);
                waiting.insert(signed.tx_hash().0, bytes.as_slice()).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }

    fn commit(&self, block: &NewBlock<'_>) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let meta = transaction.open_table(tables::META).map_err(failed)?;
            let head = meta.get(tables::HEAD).map_err(failed)?.ok_or(StoreError::Corrupt("head"))?;
            let expected = codec::decode_u64(head.value())?.saturating_add(1);
            let got = block.header.number;
            if got != expected {
                return Err(StoreError::NotNext { expected, got });
            }
        }
        self.write(&transaction, block)?;
        transaction.commit().map_err(failed)
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

/// Writes the state as it is now.
fn write_flat(transaction: &WriteTransaction, changes: &StateChanges) -> Result<(), StoreError> {
    let mut accounts = transaction.open_table(tables::ACCOUNTS).map_err(failed)?;
    for (address, change) in &changes.accounts {
        let address = address.into_array();
        match &change.after {
            Some(account) => {
                accounts.insert(address, codec::encode_account(account).as_slice()).map_err(failed)?;
            }
            None => {
                accounts.remove(address).map_err(failed)?;
            }
        }
    }
    let mut storage = transaction.open_table(tables::STORAGE).map_err(failed)?;
    for ((address, slot), change) in &changes.storage {
        let (address, slot) = (address.into_array(), slot.to_be_bytes::<32>());
        if change.after.is_zero() {
            storage.remove((address, slot)).map_err(failed)?;
        } else {
            storage.insert((address, slot), change.after.to_be_bytes::<32>()).map_err(failed)?;
        }
    }
    let mut code = transaction.open_table(tables::CODE).map_err(failed)?;
    for (hash, bytes) in &changes.code {
        code.insert(hash.0, bytes.as_ref()).map_err(failed)?;
    }
    Ok(())
}

/// Writes what the state was before the block.
fn write_before(transaction: &WriteTransaction, block: &NewBlock<'_>) -> Result<(), StoreError> {
    let height = block.header.number;
    let mut accounts = transaction.open_table(tables::ACCOUNTS_BEFORE).map_err(failed)?;
    for (address, change) in &block.changes.accounts {
        let before = change.before.as_ref().map(codec::encode_account);
        let before = before.as_ref().map_or(&[][..], <[u8; codec::ACCOUNT_BYTES]>::as_slice);
        accounts.insert((address.into_array(), height), before).map_err(failed)?;
    }
    let mut storage = transaction.open_table(tables::STORAGE_BEFORE).map_err(failed)?;
    for ((address, slot), change) in &block.changes.storage {
        let key = (address.into_array(), slot.to_be_bytes::<32>(), height);
        storage.insert(key, change.before.to_be_bytes::<32>()).map_err(failed)?;
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

fn write_consensus(transaction: &WriteTransaction, block: &NewBlock<'_>) -> Result<(), StoreError> {
    let height = block.header.number;
    let root = block.accumulator.root();
    transaction.open_table(tables::ROOTS).map_err(failed)?.insert(height, root.0).map_err(failed)?;
    let mut seals = transaction.open_table(tables::SEALS).map_err(failed)?;
    if let Some(seal) = block.consensus.seal {
        seals.insert(height, seal).map_err(failed)?;
    }
    let mut checkpoints = transaction.open_table(tables::CHECKPOINTS).map_err(failed)?;
    if let Some(of) = block.consensus.checkpoint {
        checkpoints.insert(height, of).map_err(failed)?;
    }
    let mut certificates = transaction.open_table(tables::CERTIFICATES).map_err(failed)?;
    if let Some(certificate) = block.consensus.certificate {
        certificates.insert(height, alloy_rlp::encode(certificate).as_slice()).map_err(failed)?;
    }
    // Made here so that readers find it, whatever the store began with.
    transaction.open_table(tables::EARLIER_HEADERS).map_err(failed)?;
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

/// Which chain a database holds, `None` when it is empty.
fn stored(database: &Database) -> Result<Option<Identity>, StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    let identity = {
        let meta = transaction.open_table(tables::META).map_err(failed)?;
        let Some(format) = meta.get(tables::FORMAT).map_err(failed)? else { return Ok(None) };
        let format = format.value().try_into().map(u32::from_be_bytes);
        let got = format.map_err(|_| StoreError::Corrupt("format version"))?;
        if got != FORMAT_VERSION {
            return Err(StoreError::Format { got });
        }
        let field = |name| {
            let value = meta.get(name).map_err(failed)?;
            value.map(|value| value.value().to_vec()).ok_or(StoreError::Corrupt("head"))
        };
        Identity {
            chain: codec::decode_chain(&field(tables::CHAIN)?)?,
            genesis: codec::decode_b256(&field(tables::GENESIS)?)?,
            made_by: codec::decode_made_by(&field(tables::MADE_BY)?)?,
        }
    };
    transaction.abort().map_err(failed)?;
    Ok(Some(identity))
}

pub(super) fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let directory = |source| StoreError::Directory { path: data_dir.to_owned(), source };
    let lock = File::create(data_dir.join(LOCK_NAME)).map_err(directory)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::Locked { path: data_dir.to_owned() },
        TryLockError::Error(source) => directory(source),
    })?;
    Ok(lock)
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

pub(super) fn opening(error: DatabaseError, path: PathBuf) -> StoreError {
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
pub(super) const FILE_NAME: &str = "chain.redb";
/// Name of the database while it is being made.
pub(super) const UNFINISHED_NAME: &str = "chain.redb.unfinished";
/// Name of the file whose lock says that the directory is in use.
const LOCK_NAME: &str = "lock";
/// Pages kept in memory.
const CACHE_BYTES: usize = 128 << 20;
/// Snapshots kept.
const SNAPSHOTS_MAX: usize = 64;
