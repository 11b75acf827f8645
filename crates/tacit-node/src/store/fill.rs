//! A new store that begins with the state after a checkpoint instead of a first block.
//!
//! # Crash
//! The file is made under another name, in as many writes as it takes, and gets its own once it is whole: a directory holds a
//! whole store or none. What an earlier attempt left is thrown away.

use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use redb::{Database, ReadableDatabase as _};
use tacit_ledger::{Account, Change, LtHash, StateChanges, StateCommitment as _};

use super::{
    FORMAT_VERSION, FlatSlot, Identity, RedbStore, StoreError, codec,
    file::{FILE_NAME, UNFINISHED_NAME, builder, failed, lock, opening},
    tables,
};

/// A store that is being filled. Dropping it leaves nothing that could be taken for a store.
#[derive(Debug)]
pub struct Filling {
    directory: PathBuf,
    database: Database,
    sum: LtHash,
    /// Code that is not written yet: each write waits for the disk, and most code is short.
    pending: Vec<(B256, Bytes)>,
    pending_bytes: usize,
    /// Held until the store is whole.
    lock: File,
}

/// Where a filled store begins.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// Which chain it is.
    pub identity: Identity,
    /// Hashes and headers that lead to the block whose state it is, in order; that block's last.
    pub headers: &'a [(B256, Header)],
    /// Numbers and hashes of blocks before the chain's first.
    pub earlier: &'a [(u64, B256)],
}

impl Filling {
    /// Whether a directory holds a store already.
    #[must_use]
    pub fn is_done(data_dir: &Path) -> bool {
        data_dir.join(FILE_NAME).exists()
    }

    /// Begins a new store in `data_dir`.
    ///
    /// # Errors
    /// The directory is in use, holds a store, or cannot be written.
    pub fn begin(data_dir: &Path) -> Result<Self, StoreError> {
        let directory = |source| StoreError::Directory { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(directory)?;
        let lock = lock(data_dir)?;
        if Self::is_done(data_dir) {
            return Err(StoreError::Present { path: data_dir.to_owned() });
        }
        let unfinished = data_dir.join(UNFINISHED_NAME);
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(directory(error)),
            _ => {}
        }
        let database = builder().create(&unfinished).map_err(|error| opening(error, unfinished.clone()))?;
        let this = Self {
            directory: data_dir.to_owned(),
            database,
            sum: LtHash::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            lock,
        };
        this.make_tables()?;
        Ok(this)
    }

    /// Every table, so that readers find them whether or not anything went in.
    fn make_tables(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        macro_rules! make {
            ($($table:ident),+) => { $( transaction.open_table(tables::$table).map_err(failed)?; )+ };
        }
        make!(ACCOUNTS, STORAGE, CODE, ACCOUNTS_BEFORE, STORAGE_BEFORE, HEADERS, HEIGHTS, EARLIER);
        make!(EARLIER_HEADERS, ROOTS, SEALS, CHECKPOINTS, CERTIFICATES, WAITING, TRANSACTIONS);
        make!(RECEIPTS, LOCATIONS, LOGS_BY_ADDRESS, LOGS_BY_TOPIC);
        transaction.commit().map_err(failed)
    }

    /// Adds code under its hash, which the caller has computed.
    ///
    /// # Errors
    /// The database failed.
    pub fn code(&mut self, hash: B256, code: Bytes) -> Result<(), StoreError> {
        self.pending_bytes = self.pending_bytes.saturating_add(code.len());
        self.pending.push((hash, code));
        if self.pending_bytes > PENDING_BYTES_MAX { self.write_code() } else { Ok(()) }
    }

    fn write_code(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(tables::CODE).map_err(failed)?;
            for (hash, code) in self.pending.drain(..) {
                table.insert(hash.0, code.as_ref()).map_err(failed)?;
            }
        }
        self.pending_bytes = 0;
        transaction.commit().map_err(failed)
    }

    /// Whether there is code with this hash.
    ///
    /// # Errors
    /// The database failed.
    pub fn has_code(&mut self, hash: B256) -> Result<bool, StoreError> {
        self.write_code()?;
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(tables::CODE).map_err(failed)?;
        Ok(table.get(hash.0).map_err(failed)?.is_some())
    }

    /// Adds accounts, each once.
    ///
    /// # Errors
    /// The database failed.
    pub fn accounts(&mut self, accounts: &[(Address, Account)]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(tables::ACCOUNTS).map_err(failed)?;
            for (address, account) in accounts {
                let bytes = codec::encode_account(account);
                table.insert(address.into_array(), bytes.as_slice()).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)?;
        let added = accounts
            .iter()
            .map(|(address, account)| (*address, Change { before: None, after: Some(*account) }));
        self.sum.apply(&StateChanges { accounts: added.collect(), ..StateChanges::default() });
        Ok(())
    }

    /// Adds slots, each once.
    ///
    /// # Errors
    /// The database failed.
    pub fn slots(&mut self, slots: &[FlatSlot]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(tables::STORAGE).map_err(failed)?;
            for (address, slot, value) in slots {
                let key = (address.into_array(), slot.to_be_bytes::<32>());
                table.insert(key, value.to_be_bytes::<32>()).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)?;
        let added = slots
            .iter()
            .map(|(address, slot, value)| ((*address, *slot), Change { before: U256::ZERO, after: *value }));
        self.sum.apply(&StateChanges { storage: added.collect(), ..StateChanges::default() });
        Ok(())
    }

    /// Root of what has been added.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.sum.root()
    }

    /// Makes it a store whose head is the last of the headers. The caller has compared the root.
    ///
    /// # Errors
    /// There is no header, or the database or the directory failed.
    pub fn finish(mut self, beginning: &Beginning<'_>) -> Result<(), StoreError> {
        let (_, head) = beginning.headers.last().ok_or(StoreError::Corrupt("head"))?;
        self.write_code()?;
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut meta = transaction.open_table(tables::META).map_err(failed)?;
            let (identity, number) = (beginning.identity, head.number.to_be_bytes());
            let format = FORMAT_VERSION.to_be_bytes();
            let chain = codec::encode_chain(&identity.chain);
            let made_by = codec::encode_made_by(identity.made_by);
            let sum = self.sum.to_bytes();
            let facts: [(&str, &[u8]); 7] = [
                (tables::FORMAT, &format),
                (tables::CHAIN, &chain),
                (tables::GENESIS, identity.genesis.as_slice()),
                (tables::MADE_BY, &made_by),
                (tables::HEAD, &number),
                (tables::BEGAN, &number),
                (tables::ACCUMULATOR, &sum),
            ];
            for (name, value) in facts {
                meta.insert(name, value).map_err(failed)?;
            }
            let mut earlier = transaction.open_table(tables::EARLIER).map_err(failed)?;
            let mut headers = transaction.open_table(tables::EARLIER_HEADERS).map_err(failed)?;
            for (number, hash) in beginning.earlier {
                earlier.insert(number, hash.0).map_err(failed)?;
            }
            for (hash, header) in beginning.headers {
                earlier.insert(header.number, hash.0).map_err(failed)?;
                let bytes = codec::encode_header(*hash, header);
                headers.insert(header.number, bytes.as_slice()).map_err(failed)?;
            }
            let mut roots = transaction.open_table(tables::ROOTS).map_err(failed)?;
            roots.insert(head.number, self.sum.root().0).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        let store = RedbStore::of(self.database, beginning.identity);
        store.check_head()?;
        drop(store);
        let data_dir = &self.directory;
        let directory = |source| StoreError::Directory { path: data_dir.clone(), source };
        std::fs::rename(data_dir.join(UNFINISHED_NAME), data_dir.join(FILE_NAME)).map_err(directory)?;
        File::open(data_dir).and_then(|directory| directory.sync_all()).map_err(directory)?;
        drop(self.lock);
        Ok(())
    }
}

/// Code written together.
const PENDING_BYTES_MAX: usize = 1 << 20;
