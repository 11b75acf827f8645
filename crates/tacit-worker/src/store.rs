//! What a worker must not forget, in one redb file.
//!
//! Each method that writes is one durable transaction: after `kill -9` at any point the file holds the state before it
//! or the state after it.

use std::{fs::OpenOptions, path::Path};

use alloy_primitives::{Address, B256};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tacit_abi::{channels::SignedVoucher, receipts::SignedReceipt};
use tacit_wire::{
    Amount, JobId,
    message::{optional_voucher_json, receipt_json},
};

use crate::quota::{Day, DayCount, Question};

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

/// An answered job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Digest of header and payload: tells the same request from another one under the same id.
    pub digest: B256,
    /// The worker's account of it.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// Whether a voucher covers it.
    pub paid: bool,
    /// Root of the batch its receipt is in.
    pub batch: Option<B256>,
}

/// A channel that pays this worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// Who owns it.
    pub client: Address,
    /// Whose vouchers count.
    pub signer: Address,
    /// Best voucher held.
    #[serde(with = "optional_voucher_json")]
    pub voucher: Option<SignedVoucher>,
    /// What the ledger has paid out.
    pub settled: Amount,
    /// The answered job that is not paid.
    pub unpaid: Option<JobId>,
}

/// Receipts anchored together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Jobs in leaf order.
    pub jobs: Vec<JobId>,
    /// Leaves in the same order.
    pub leaves: Vec<B256>,
    /// Block that anchored the root; `None` while the transaction's fate is open.
    pub block: Option<u64>,
}

const JOBS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("jobs");
const ANSWERS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("answers");
const ANSWERED: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("answered");
const CHANNELS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("channels");
const UNANCHORED: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("unanchored");
const BATCHES: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("batches");
/// Answers by day, model and client.
const CLIENT_DAYS: TableDefinition<'_, (u64, [u8; 32], [u8; 20]), u64> = TableDefinition::new("client_days");
/// Answers by day and model.
const MODEL_DAYS: TableDefinition<'_, (u64, [u8; 32]), u64> = TableDefinition::new("model_days");

/// Paid answers kept for repeated requests; of older ones only the receipt stays.
pub const ANSWERS_KEPT_MAX: u64 = 1_000;

impl ChannelRecord {
    /// What the client has promised or the ledger has paid, whichever is more.
    #[must_use]
    pub fn promised(&self) -> Amount {
        self.voucher
            .as_ref()
            .map_or(Amount::ZERO, |signed| Amount(signed.voucher.cumulative))
            .max(self.settled)
    }
}

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
        write.open_table(UNANCHORED)?;
        write.open_table(BATCHES)?;
        write.open_table(CLIENT_DAYS)?;
        write.open_table(MODEL_DAYS)?;
        write.commit()?;
        Ok(Self { database })
    }

    /// An answered job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job(&self, job_id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.read(JOBS, job_id.0)
    }

    /// The bytes that answered a job; `None` once they were dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn answer(&self, job_id: JobId) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(ANSWERS)?.get(job_id.0.0)?.map(|bytes| bytes.value().to_vec()))
    }

    /// A channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn channel(&self, channel_id: B256) -> Result<Option<ChannelRecord>, StoreError> {
        self.read(CHANNELS, channel_id)
    }

    /// Every channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn channels(&self) -> Result<Vec<(B256, ChannelRecord)>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(CHANNELS)?;
        let mut channels = Vec::new();
        for entry in table.iter()? {
            let (channel_id, record) = entry?;
            channels.push((B256::from(channel_id.value()), serde_json::from_slice(record.value())?));
        }
        Ok(channels)
    }

    /// A batch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn batch(&self, root: B256) -> Result<Option<BatchRecord>, StoreError> {
        self.read(BATCHES, root)
    }

    /// Jobs answered since the beginning.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn jobs_count(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(JOBS)?.len()?)
    }

    /// Answers about a model in a day, with those that are being given `beside` and are not on disk yet.
    pub(crate) fn day_count(
        &self,
        day: Day,
        model_id: B256,
        client: Address,
        beside: &[Question],
    ) -> Result<DayCount, StoreError> {
        let read = self.database.begin_read()?;
        let kept = |found: Option<redb::AccessGuard<'_, u64>>| found.map_or(0, |count| count.value());
        let key = (day.0, model_id.0, client.into_array());
        let mut count = DayCount {
            client: kept(read.open_table(CLIENT_DAYS)?.get(key)?),
            total: kept(read.open_table(MODEL_DAYS)?.get((day.0, model_id.0))?),
        };
        let jobs = read.open_table(JOBS)?;
        for question in beside {
            if jobs.get(question.job_id.0.0)?.is_none() {
                count.total = count.total.checked_add(1).ok_or(StoreError::Overflow)?;
                count.client += u64::from(question.client == client);
            }
        }
        Ok(count)
    }

    /// Keeps an answer, counts it for its day, and marks its channel as owing for it, in one step. `channel` counts only if it is not
    /// known yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_answer(
        &self,
        job_id: JobId,
        job: &JobRecord,
        body: &[u8],
        channel: ChannelRecord,
        day: Day,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let channel_id = job.receipt.receipt.channelId;
        // Read again inside the transaction: a voucher may have come while the engine worked.
        let mut channel: ChannelRecord = get(&write, CHANNELS, channel_id)?.unwrap_or(channel);
        // A free answer owes nothing.
        let paid = Amount(job.receipt.receipt.cumulative) <= channel.promised();
        if paid {
            append(&write, UNANCHORED, job_id)?;
        } else {
            channel.unpaid = Some(job_id);
        }
        put(&write, JOBS, job_id.0, &JobRecord { paid, ..job.clone() })?;
        put(&write, CHANNELS, channel_id, &channel)?;
        count(&write, day, job.receipt.receipt.modelId, job.receipt.receipt.client)?;
        write.open_table(ANSWERS)?.insert(job_id.0.0, body)?;
        append(&write, ANSWERED, job_id)?;
        drop_old_answers(&write)?;
        Ok(write.commit()?)
    }

    /// Keeps a voucher and marks the job it pays, in one step. A voucher that is not better than the one held changes
    /// nothing but the mark.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_voucher(
        &self,
        mut channel: ChannelRecord,
        signed: &SignedVoucher,
        paid_job: Option<JobId>,
    ) -> Result<Amount, StoreError> {
        let write = self.database.begin_write()?;
        let channel_id = signed.voucher.channelId;
        // Read again inside the transaction: vouchers of one channel may arrive together.
        if let Some(current) = get::<ChannelRecord>(&write, CHANNELS, channel_id)? {
            channel = current;
        }
        if channel.voucher.as_ref().is_none_or(|held| held.voucher.cumulative < signed.voucher.cumulative) {
            channel.voucher = Some(signed.clone());
        }
        if let Some(job_id) = paid_job {
            if channel.unpaid == Some(job_id) {
                channel.unpaid = None;
            }
            if let Some(mut job) = get::<JobRecord>(&write, JOBS, job_id.0)?.filter(|job| !job.paid) {
                job.paid = true;
                put(&write, JOBS, job_id.0, &job)?;
                append(&write, UNANCHORED, job_id)?;
            }
        }
        put(&write, CHANNELS, channel_id, &channel)?;
        write.commit()?;
        Ok(channel.promised())
    }

    /// Notes what the ledger has paid out of a channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_settled(&self, channel_id: B256, settled: Amount) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        if let Some(mut channel) = get::<ChannelRecord>(&write, CHANNELS, channel_id)? {
            channel.settled = channel.settled.max(settled);
            put(&write, CHANNELS, channel_id, &channel)?;
        }
        Ok(write.commit()?)
    }

    /// Number of paid receipts in no batch yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unanchored_count(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(UNANCHORED)?.len()?)
    }

    /// Moves the oldest unanchored receipts into a new batch, whose root it returns. `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_batch(&self, receipts_max: usize, chain_id: u64) -> Result<Option<B256>, StoreError> {
        let write = self.database.begin_write()?;
        let mut batch = BatchRecord { jobs: Vec::new(), leaves: Vec::new(), block: None };
        let mut records = Vec::new();
        {
            let mut unanchored = write.open_table(UNANCHORED)?;
            while let Some((_, job_id)) =
                if batch.jobs.len() < receipts_max { unanchored.pop_first()? } else { None }
            {
                let job_id = JobId(B256::from(job_id.value()));
                if let Some(job) = get::<JobRecord>(&write, JOBS, job_id.0)? {
                    batch.jobs.push(job_id);
                    batch.leaves.push(tacit_abi::receipts::leaf(&job.receipt.receipt, chain_id));
                    records.push((job_id, job));
                }
            }
        }
        let Some(root) = tacit_abi::receipts::root(&batch.leaves) else { return Ok(None) };
        for (job_id, mut job) in records {
            job.batch = Some(root);
            put(&write, JOBS, job_id.0, &job)?;
        }
        put(&write, BATCHES, root, &batch)?;
        write.commit()?;
        Ok(Some(root))
    }

    /// Notes the block that anchored a batch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_batch(&self, root: B256, block: u64) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        if let Some(mut batch) = get::<BatchRecord>(&write, BATCHES, root)? {
            batch.block = Some(block);
            put(&write, BATCHES, root, &batch)?;
        }
        Ok(write.commit()?)
    }

    /// Batches whose transaction's fate is open.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_batches(&self) -> Result<Vec<(B256, BatchRecord)>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(BATCHES)?;
        let mut open = Vec::new();
        for entry in table.iter()? {
            let (root, record) = entry?;
            let batch: BatchRecord = serde_json::from_slice(record.value())?;
            if batch.block.is_none() {
                open.push((B256::from(root.value()), batch));
            }
        }
        Ok(open)
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

/// One more answer in a day. Counts of days that no clock in order goes back to are dropped.
fn count(write: &WriteTransaction, day: Day, model_id: B256, client: Address) -> Result<(), StoreError> {
    let kept_from = day.before().0;
    let more = |count: u64| count.checked_add(1).ok_or(StoreError::Overflow);
    let mut clients = write.open_table(CLIENT_DAYS)?;
    clients.retain_in(..(kept_from, [0; 32], [0; 20]), |_, _| false)?;
    let key = (day.0, model_id.0, client.into_array());
    let before = clients.get(key)?.map_or(0, |count| count.value());
    clients.insert(key, more(before)?)?;
    let mut models = write.open_table(MODEL_DAYS)?;
    models.retain_in(..(kept_from, [0; 32]), |_, _| false)?;
    let key = (day.0, model_id.0);
    let before = models.get(key)?.map_or(0, |count| count.value());
    models.insert(key, more(before)?)?;
    Ok(())
}

/// Drops the bytes of the oldest paid answers beyond the limit. Unpaid ones are at most one a channel, and stay.
fn drop_old_answers(write: &WriteTransaction) -> Result<(), StoreError> {
    let mut order = write.open_table(ANSWERED)?;
    let mut answers = write.open_table(ANSWERS)?;
    while order.len()? > ANSWERS_KEPT_MAX {
        let Some((_, job_id)) = order.pop_first()? else { break };
        let job_id = B256::from(job_id.value());
        if get::<JobRecord>(write, JOBS, job_id)?.is_some_and(|job| job.paid) {
            answers.remove(job_id.0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;
    use redb::backends::InMemoryBackend;
    use tacit_abi::{Receipt, Voucher};

    use super::*;

    fn record(number: u64, channel_id: B256, cumulative: u128) -> (JobId, JobRecord) {
        let job_id = JobId(B256::from(alloy_primitives::U256::from(number)));
        let zero = B256::ZERO;
        let receipt = Receipt {
            jobId: job_id.0,
            modelId: zero,
            channelId: channel_id,
            client: Address::ZERO,
            worker: Address::ZERO,
            privacy: 0,
            evidence: 0,
            inputCommitment: zero,
            outputCommitment: zero,
            evidenceHash: zero,
            price: 1,
            cumulative,
            completedAt: 0,
        };
        let receipt = SignedReceipt { receipt, signature: Bytes::new() };
        (job_id, JobRecord { digest: zero, receipt, paid: false, batch: None })
    }

    fn channel() -> ChannelRecord {
        ChannelRecord {
            client: Address::ZERO,
            signer: Address::ZERO,
            voucher: None,
            settled: Amount::ZERO,
            unpaid: None,
        }
    }

    fn voucher(channel_id: B256, cumulative: u128) -> SignedVoucher {
        SignedVoucher { voucher: Voucher { channelId: channel_id, cumulative }, signature: Bytes::new() }
    }

    #[test]
    fn old_paid_answers_are_dropped_and_their_receipts_stay() {
        let store = Store::with_backend(InMemoryBackend::new()).unwrap();
        let channel_id = B256::repeat_byte(1);
        let total = ANSWERS_KEPT_MAX + 2;
        for number in 1..=total {
            let (job_id, job) = record(number, channel_id, number.into());
            store.put_answer(job_id, &job, b"answer", channel(), Day(1)).unwrap();
            store.put_voucher(channel(), &voucher(channel_id, number.into()), Some(job_id)).unwrap();
        }
        for (number, kept) in [(1, false), (2, false), (3, true), (total, true)] {
            let (job_id, _) = record(number, channel_id, 0);
            assert_eq!(store.answer(job_id).unwrap().is_some(), kept, "{number}");
            assert!(store.job(job_id).unwrap().unwrap().paid);
        }
        assert_eq!((store.jobs_count().unwrap(), store.unanchored_count().unwrap()), (total, total));
    }

    #[test]
    fn answers_are_counted_by_day_model_and_client_and_old_days_are_dropped() {
        let store = Store::with_backend(InMemoryBackend::new()).unwrap();
        let clients = [1, 2].map(Address::repeat_byte);
        let mut number = 0;
        let mut answer = |day: u64, model: u8, client: Address| {
            number += 1;
            let (job_id, mut job) = record(number, B256::repeat_byte(1), 0);
            (job.receipt.receipt.modelId, job.receipt.receipt.client) = (B256::repeat_byte(model), client);
            store.put_answer(job_id, &job, b"", channel(), Day(day)).unwrap();
            job_id
        };
        let known = answer(5, 1, clients[0]);
        for (day, model, client) in [(5, 1, 0), (5, 1, 1), (5, 2, 0), (6, 1, 0)] {
            answer(day, model, clients[client]);
        }
        let count = |day: u64, model: u8, client: Address, beside: &[Question]| {
            let count = store.day_count(Day(day), B256::repeat_byte(model), client, beside).unwrap();
            (count.client, count.total)
        };
        assert_eq!(count(5, 1, clients[0], &[]), (2, 3));
        assert_eq!(count(5, 1, clients[1], &[]), (1, 3));
        assert_eq!(count(5, 2, clients[1], &[]), (0, 1));
        assert_eq!(count(6, 1, clients[0], &[]), (1, 1));
        // What is on disk is not counted again because it has not left the list of what is being answered.
        let beside =
            |job_id, client| Question { day: Day(5), model_id: B256::repeat_byte(1), client, job_id };
        let new = JobId(B256::repeat_byte(9));
        assert_eq!(count(5, 1, clients[0], &[beside(known, clients[0])]), (2, 3));
        assert_eq!(count(5, 1, clients[0], &[beside(new, clients[0])]), (3, 4));
        assert_eq!(count(5, 1, clients[0], &[beside(new, clients[1])]), (2, 4));
        answer(7, 1, clients[0]);
        assert_eq!(count(5, 1, clients[0], &[]), (0, 0));
        assert_eq!(count(6, 1, clients[0], &[]), (1, 1));
    }

    #[test]
    fn a_lower_voucher_changes_nothing() {
        let store = Store::with_backend(InMemoryBackend::new()).unwrap();
        let channel_id = B256::repeat_byte(1);
        assert_eq!(store.put_voucher(channel(), &voucher(channel_id, 5), None).unwrap(), Amount(5));
        assert_eq!(store.put_voucher(channel(), &voucher(channel_id, 4), None).unwrap(), Amount(5));
        store.put_settled(channel_id, Amount(3)).unwrap();
        store.put_settled(channel_id, Amount(2)).unwrap();
        let kept = store.channel(channel_id).unwrap().unwrap();
        assert_eq!((kept.promised(), kept.settled), (Amount(5), Amount(3)));
    }

    #[test]
    fn batches_take_the_oldest_first_and_each_receipt_once() {
        let store = Store::with_backend(InMemoryBackend::new()).unwrap();
        let channel_id = B256::repeat_byte(1);
        for number in 1..=5 {
            let (job_id, job) = record(number, channel_id, number.into());
            store.put_answer(job_id, &job, b"", channel(), Day(1)).unwrap();
            store.put_voucher(channel(), &voucher(channel_id, number.into()), Some(job_id)).unwrap();
        }
        let mut sizes = Vec::new();
        while let Some(root) = store.begin_batch(2, 1).unwrap() {
            assert_eq!(store.open_batches().unwrap().len(), 1);
            sizes.push(store.batch(root).unwrap().unwrap().jobs.len());
            store.end_batch(root, 9).unwrap();
            assert!(store.open_batches().unwrap().is_empty());
        }
        assert_eq!(sizes, [2, 2, 1]);
    }
}
