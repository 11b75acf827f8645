//! What a worker must not forget, in one redb file.
//!
//! Each method that writes is one durable transaction: after `kill -9` at any point the file holds the state before it
//! or the state after it.

mod accounts;
mod batches;
mod jobs;
mod owner;
mod runs;
mod tokens;

use std::{fs::OpenOptions, path::Path};

use alloy_primitives::B256;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use tacit_wire::JobId;

pub use accounts::{AccountRecord, Tally};
pub(crate) use accounts::{Promise, StreamEnd};
pub use batches::BatchRecord;
pub use jobs::{ANSWERS_KEPT_MAX, ChannelRecord, JobRecord};
pub use runs::{RunRecord, WALK_QUESTIONS_MAX};

/// The worker's file.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database failed.
    #[error("the worker's database failed: {0}")]
    Database(#[from] Box<redb::Error>),
    /// The file cannot be made.
    #[error("the worker's database cannot be made: {0}")]
    Io(#[from] std::io::Error),
    /// A record is not readable; the file was written by something else.
    #[error("the worker's database holds an unreadable record: {0}")]
    Record(#[from] serde_json::Error),
    /// The channel pays for something else: for jobs or for streams, as its first use decided.
    #[error("channel {channel_id} is used for something else")]
    OtherUse {
        /// The channel.
        channel_id: B256,
    },
    /// A token paid for another job.
    #[error("a token was spent before")]
    TokenSpent,
    /// An amount or counter would overflow.
    #[error("a counter of the worker's database overflows")]
    Overflow,
}

impl StoreError {
    /// Whether another process has the file open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(**error, redb::Error::DatabaseAlreadyOpen))
    }
}

const JOBS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("jobs");
const ANSWERS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("answers");
const ANSWERED: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("answered");
const CHANNELS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("channels");
/// Channels that pay for streams; a channel is here or in `CHANNELS`.
const ACCOUNTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("accounts");
/// Receipts of streams that no voucher covers yet: channel, cumulative amount, job.
const UNPAID: TableDefinition<'_, ([u8; 32], u128, [u8; 32]), ()> = TableDefinition::new("unpaid");
/// What streams brought, by day and model.
const TALLIES: TableDefinition<'_, (u64, [u8; 32]), &[u8]> = TableDefinition::new("tallies");
const UNANCHORED: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("unanchored");
const BATCHES: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("batches");
/// Answers by day, model and client.
const CLIENT_DAYS: TableDefinition<'_, (u64, [u8; 32], [u8; 20]), u64> = TableDefinition::new("client_days");
/// Answers by day and model.
const MODEL_DAYS: TableDefinition<'_, (u64, [u8; 32]), u64> = TableDefinition::new("model_days");

macro_rules! from_redb {
    ($($error:ty),+) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )+};
}

from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

impl Store {
    /// Opens the file at `path`, or makes it, readable by its owner only: it holds answers that travelled in the clear.
    ///
    /// # Errors
    /// [`StoreError`]; another process using the file is one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        drop(options.open(path)?);
        Self::prepare(Database::create(path)?)
    }

    /// Uses any storage that redb can use: memory, or a medium that fails on purpose.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        Self::prepare(Database::builder().create_with_backend(backend)?)
    }

    fn prepare(database: Database) -> Result<Self, StoreError> {
        let write = database.begin_write()?;
        write.open_table(JOBS)?;
        write.open_table(ANSWERS)?;
        write.open_table(ANSWERED)?;
        write.open_table(CHANNELS)?;
        write.open_table(ACCOUNTS)?;
        write.open_table(UNPAID)?;
        write.open_table(TALLIES)?;
        write.open_table(UNANCHORED)?;
        write.open_table(CLIENT_DAYS)?;
        write.open_table(MODEL_DAYS)?;
        batches::prepare(&write)?;
        runs::prepare(&write)?;
        owner::prepare(&write)?;
        tokens::prepare(&write)?;
        write.commit()?;
        Ok(Self { database })
    }

    fn read<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, [u8; 32], &[u8]>,
        key: B256,
    ) -> Result<Option<T>, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(table)?.get(key.0)?;
        found.map(|bytes| Ok(serde_json::from_slice(bytes.value())?)).transpose()
    }
}

fn get<T: DeserializeOwned>(
    write: &WriteTransaction,
    table: TableDefinition<'_, [u8; 32], &[u8]>,
    key: B256,
) -> Result<Option<T>, StoreError> {
    let table = write.open_table(table)?;
    let found = table.get(key.0)?;
    found.map(|bytes| Ok(serde_json::from_slice(bytes.value())?)).transpose()
}

fn put<T: Serialize>(
    write: &WriteTransaction,
    table: TableDefinition<'_, [u8; 32], &[u8]>,
    key: B256,
    value: &T,
) -> Result<(), StoreError> {
    write.open_table(table)?.insert(key.0, serde_json::to_vec(value)?.as_slice())?;
    Ok(())
}

fn append(
    write: &WriteTransaction,
    table: TableDefinition<'_, u64, [u8; 32]>,
    job_id: JobId,
) -> Result<(), StoreError> {
    let mut table = write.open_table(table)?;
    let last = table.last()?.map(|(number, _)| number.value());
    let next = last.map_or(Some(0), |last| last.checked_add(1)).ok_or(StoreError::Overflow)?;
    table.insert(next, job_id.0.0)?;
    Ok(())
}

#[cfg(test)]
mod tests;
