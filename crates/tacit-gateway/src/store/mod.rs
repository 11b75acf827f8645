//! What a gateway must not forget, in one redb file.
//!
//! Each method that writes is one durable transaction: after `kill -9` at any point the file holds the state before it
//! or the state after it. The two that carry money are [`Store::put_sent`] (before a job leaves) and
//! [`Store::put_signed`] (before its voucher leaves).

use std::{fs::OpenOptions, path::Path};

use alloy_primitives::{Address, B256};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use tacit_abi::{Evidence, channels::SignedVoucher, receipts};
use tacit_wire::{
    Amount, JobHeader, JobId,
    message::{AnchorProof, ModelInfo},
};

use crate::{attested::AttestedMessages, dispute::is_traced, keys::KeyOpening};

mod audits;
mod records;
mod streams;
mod tokens;

pub(crate) use audits::Fault as AuditFault;
pub use audits::{Audit, Other, Shown};
pub use records::{
    AnswerRecord, Canaries, ChannelRecord, Cover, Distrust, JobRecord, JobState, KnownRow, Purpose,
};
pub use streams::{
    Exchange, Fault, Holder, LanguageRecord, PaymentShown, StreamAudit, StreamReceipt, StreamRecord, Verdict,
};
pub use tokens::{PrepaidStreamRecord, TokenBalance};
pub(crate) use tokens::{UNUSABLE_CODES, is_returned};

/// The gateway's file.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database failed.
    #[error("the gateway's database failed: {0}")]
    Database(#[from] Box<redb::Error>),
    /// The file cannot be made.
    #[error("the gateway's database cannot be made: {0}")]
    Io(#[from] std::io::Error),
    /// A record is not readable; the file was written by something else.
    #[error("the gateway's database holds an unreadable record: {0}")]
    Record(#[from] serde_json::Error),
    /// A record that must be there is missing.
    #[error("the gateway's database misses a record")]
    Missing,
    /// A record would be lost.
    #[error("the gateway's database holds another record under the same id")]
    Conflict,
    /// A counter would overflow.
    #[error("a counter of the gateway's database overflows")]
    Overflow,
}

impl StoreError {
    /// Whether another process has the file open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(**error, redb::Error::DatabaseAlreadyOpen))
    }
}

type Bytes32Table<'a> = TableDefinition<'a, [u8; 32], &'static [u8]>;

const JOBS: Bytes32Table<'_> = TableDefinition::new("jobs");
const ANSWERS: Bytes32Table<'_> = TableDefinition::new("answers");
const ANSWERED: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("answered");
const RECEIPTS: TableDefinition<'_, [u8; 32], [u8; 32]> = TableDefinition::new("receipts");
const CHANNELS: Bytes32Table<'_> = TableDefinition::new("channels");
const MODELS: Bytes32Table<'_> = TableDefinition::new("models");
const DISTRUSTED: TableDefinition<'_, [u8; 20], &[u8]> = TableDefinition::new("distrusted");
/// By worker and model.
const CANARIES: TableDefinition<'_, ([u8; 20], [u8; 32]), &[u8]> = TableDefinition::new("canaries");
/// Provers by model and job.
const KNOWN_ROWS: TableDefinition<'_, ([u8; 32], [u8; 32]), [u8; 20]> = TableDefinition::new("known_rows");
/// Jobs that proved what a canary should have been answered, by the canary's job.
const FALSE_ANSWERS: TableDefinition<'_, [u8; 32], [u8; 32]> = TableDefinition::new("false_answers");

/// Sessions with guests, by the id of their evidence.
const SESSIONS: Bytes32Table<'_> = TableDefinition::new("sessions");
const KEYS: Bytes32Table<'_> = TableDefinition::new("keys");
/// Evaluation keys, by their hash.
const KEY_BYTES: Bytes32Table<'_> = TableDefinition::new("key_bytes");
/// Keys to ask under, by their parameters.
const CURRENT_KEYS: TableDefinition<'_, u8, [u8; 32]> = TableDefinition::new("current_keys");

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
    /// Opens the file at `path`, or makes it, readable by its owner only.
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
        write.open_table(RECEIPTS)?;
        write.open_table(CHANNELS)?;
        write.open_table(MODELS)?;
        write.open_table(DISTRUSTED)?;
        write.open_table(CANARIES)?;
        write.open_table(KNOWN_ROWS)?;
        write.open_table(FALSE_ANSWERS)?;
        write.open_table(SESSIONS)?;
        write.open_table(KEYS)?;
        write.open_table(KEY_BYTES)?;
        write.open_table(CURRENT_KEYS)?;
        audits::prepare(&write)?;
        streams::prepare(&write)?;
        tokens::prepare(&write)?;
        write.commit()?;
        Ok(Self { database })
    }

    /// A job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job(&self, job_id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.read(JOBS, job_id.0)
    }

    /// A checked answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn answer(&self, job_id: JobId) -> Result<Option<AnswerRecord>, StoreError> {
        self.read(ANSWERS, job_id.0)
    }

    /// A channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn channel(&self, channel_id: B256) -> Result<Option<ChannelRecord>, StoreError> {
        self.read(CHANNELS, channel_id)
    }

    /// A model as it was served, with the id it was checked to have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn model(&self, model_id: B256) -> Result<Option<ModelInfo>, StoreError> {
        self.read(MODELS, model_id)
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

    /// Why a worker is not asked, if it is not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn distrust(&self, worker: Address) -> Result<Option<Distrust>, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(DISTRUSTED)?.get(worker.into_array())?;
        found.map(|bytes| Ok(serde_json::from_slice(bytes.value())?)).transpose()
    }

    /// Job of a receipt hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job_of_receipt(&self, hash: B256) -> Result<Option<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(RECEIPTS)?.get(hash.0)?;
        Ok(found.map(|job_id| JobId(B256::from(job_id.value()))))
    }

    /// Jobs with a checked answer, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn answered(&self, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(ANSWERED)?;
        let mut jobs = Vec::new();
        for entry in table.iter()?.rev().take(limit) {
            jobs.push(JobId(B256::from(entry?.1.value())));
        }
        Ok(jobs)
    }

    /// What is known of a worker's answers to canaries about a model.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn canaries(&self, worker: Address, model_id: B256) -> Result<Canaries, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(CANARIES)?.get((worker.into_array(), model_id.0))?;
        Ok(found.map(|bytes| serde_json::from_slice(bytes.value())).transpose()?.unwrap_or_default())
    }

    /// Rows of a model whose answers were proved, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn known_rows(&self, model_id: B256, limit: usize) -> Result<Vec<KnownRow>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(KNOWN_ROWS)?;
        let mut rows = Vec::new();
        for entry in table.range((model_id.0, [0; 32])..=(model_id.0, [0xff; 32]))?.take(limit) {
            let (key, prover) = entry?;
            let (_, job_id) = key.value();
            rows.push(KnownRow { job_id: JobId(B256::from(job_id)), prover: Address::from(prover.value()) });
        }
        Ok(rows)
    }

    /// Canaries that were answered falsely, each with the job that proved the true answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn false_answers(&self) -> Result<Vec<(JobId, JobId)>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(FALSE_ANSWERS)?;
        let mut jobs = Vec::new();
        for entry in table.iter()? {
            let (canary, truth) = entry?;
            jobs.push((JobId(B256::from(canary.value())), JobId(B256::from(truth.value()))));
        }
        Ok(jobs)
    }

    /// A session with a guest, by the id of its evidence.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn session(&self, evidence: B256) -> Result<Option<AttestedMessages>, StoreError> {
        self.read(SESSIONS, evidence)
    }

    /// Keeps a session with a guest that was judged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_session(&self, evidence: B256, messages: &AttestedMessages) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put(&write, SESSIONS, evidence, messages)?;
        Ok(write.commit()?)
    }

    /// Keys that were made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys(&self, id: B256) -> Result<Option<KeyOpening>, StoreError> {
        self.read(KEYS, id)
    }

    /// The evaluation keys of an id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_bytes(&self, id: B256) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(KEY_BYTES)?.get(id.0)?.map(|bytes| bytes.value().to_vec()))
    }

    /// Id of the keys to ask under; none before the first question, and after a worker was caught by a question under the last ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn current_keys(&self, parameters: u8) -> Result<Option<B256>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(CURRENT_KEYS)?.get(parameters)?.map(|id| B256::from(id.value())))
    }

    /// Keeps keys, to ask under from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_keys(&self, id: B256, opening: &KeyOpening, bytes: &[u8]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put(&write, KEYS, id, opening)?;
        write.open_table(KEY_BYTES)?.insert(id.0, bytes)?;
        write.open_table(CURRENT_KEYS)?.insert(opening.parameters, id.0)?;
        Ok(write.commit()?)
    }

    /// Keeps a channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_channel(&self, channel_id: B256, channel: &ChannelRecord) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put(&write, CHANNELS, channel_id, channel)?;
        Ok(write.commit()?)
    }

    /// Marks a channel as one that no job goes over again; `channel` is kept when it is not known yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_retired(&self, channel_id: B256, channel: ChannelRecord) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let mut channel = get(&write, CHANNELS, channel_id)?.unwrap_or(channel);
        channel.retired = true;
        put(&write, CHANNELS, channel_id, &channel)?;
        Ok(write.commit()?)
    }

    /// Keeps a model whose id was checked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_model(&self, model: &ModelInfo) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put(&write, MODELS, model.model_id, model)?;
        Ok(write.commit()?)
    }

    /// Keeps a job that is about to be sent, and marks its channel as awaiting it.
    ///
    /// # Errors
    /// [`StoreError`]; replacing a job that was answered or is awaited is [`StoreError::Conflict`].
    pub fn put_sent(&self, job: &JobRecord) -> Result<(), StoreError> {
        let header = &job.request.header;
        let write = self.database.begin_write()?;
        let before = get::<JobRecord>(&write, JOBS, header.job_id.0)?;
        if before.is_some_and(|before| !matches!(before.state, JobState::Refused { .. })) {
            return Err(StoreError::Conflict);
        }
        update(&write, header.job_id, header.channel_id, |stored, channel| {
            channel.in_flight = Some(header.job_id);
            *stored = Some(job.clone());
        })?;
        if job.purpose == (Purpose::Question { then_canary: true }) {
            note(&write, header, |canaries| canaries.due = Some(header.job_id))?;
        }
        Ok(write.commit()?)
    }

    /// Notes that a worker refused a job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_refused(&self, job: &JobRecord, code: &str, message: &str) -> Result<(), StoreError> {
        if job.prepaid.is_some() {
            return self.put_prepaid_refused(job, code, message);
        }
        let header = &job.request.header;
        let write = self.database.begin_write()?;
        update(&write, header.job_id, header.channel_id, |stored, channel| {
            channel.in_flight = channel.in_flight.filter(|job_id| *job_id != header.job_id);
            if let Some(stored) = stored {
                stored.state = JobState::Refused { code: code.to_owned(), message: message.to_owned() };
            }
        })?;
        forget_due(&write, header)?;
        Ok(write.commit()?)
    }

    /// Notes that an answer was false: the channel is retired and its worker not asked again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_rejected(&self, job: &JobRecord, code: &str, message: &str) -> Result<(), StoreError> {
        if job.prepaid.is_some() {
            return self.put_prepaid_rejected(job, code, message);
        }
        let write = self.database.begin_write()?;
        reject(&write, job, code, message)?;
        forget_due(&write, &job.request.header)?;
        Ok(write.commit()?)
    }

    /// Notes that a canary was answered falsely before it was paid, as [`Self::put_rejected`] does, and keeps the answer as evidence.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_false_canary(
        &self,
        job: &JobRecord,
        answer: &AnswerRecord,
        truth: JobId,
        code: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        reject(&write, job, code, message)?;
        put(&write, ANSWERS, job.request.header.job_id.0, answer)?;
        write.open_table(FALSE_ANSWERS)?.insert(job.request.header.job_id.0.0, truth.0.0)?;
        note(&write, &job.request.header, Canaries::count_wrong)?;
        retire_keys(&write, job)?;
        Ok(write.commit()?)
    }

    /// Notes that an open canary was answered rightly.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_judged_right(&self, job: &JobRecord) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        note(&write, &job.request.header, |canaries| {
            canaries.open.retain(|open| *open != job.request.header.job_id);
            canaries.count_right();
        })?;
        Ok(write.commit()?)
    }

    /// Notes that an open canary was answered falsely: its channel is retired and its worker not asked again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_judged_wrong(
        &self,
        job: &JobRecord,
        truth: JobId,
        code: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        let header = &job.request.header;
        let distrust = Distrust { code: code.to_owned(), message: message.to_owned(), job_id: header.job_id };
        let write = self.database.begin_write()?;
        let mut channel: ChannelRecord =
            get(&write, CHANNELS, header.channel_id)?.ok_or(StoreError::Missing)?;
        channel.retired = true;
        put(&write, CHANNELS, header.channel_id, &channel)?;
        put_distrust(&write, header.worker, &distrust)?;
        write.open_table(FALSE_ANSWERS)?.insert(header.job_id.0.0, truth.0.0)?;
        note(&write, header, |canaries| {
            canaries.open.retain(|open| *open != header.job_id);
            canaries.count_wrong();
        })?;
        retire_keys(&write, job)?;
        Ok(write.commit()?)
    }

    /// Stops asking a worker over a channel for another reason than a false answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_distrusted(&self, worker: Address, distrust: &Distrust) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_distrust(&write, worker, distrust)?;
        Ok(write.commit()?)
    }

    /// Asks a worker again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_distrust(&self, worker: Address) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        write.open_table(DISTRUSTED)?.remove(worker.into_array())?;
        Ok(write.commit()?)
    }

    /// Keeps a checked answer and its signed voucher, before the voucher leaves, and that its audit is due where it commits to a trace.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_signed(
        &self,
        job: &JobRecord,
        answer: &AnswerRecord,
        voucher: &SignedVoucher,
    ) -> Result<(), StoreError> {
        let header = &job.request.header;
        let audited = is_traced(header.privacy, header.evidence).then_some(header.price);
        let write = self.database.begin_write()?;
        update(&write, header.job_id, header.channel_id, |stored, channel| {
            channel.paid(header.job_id, voucher, audited);
            if let Some(stored) = stored {
                stored.state = JobState::Signed;
            }
        })?;
        note_answered(&write, job)?;
        audits::note_due(&write, job)?;
        put_answered(&write, header, answer)?;
        Ok(write.commit()?)
    }

    /// Keeps what the ledger says that a worker's stake speaks for on a channel: as it is kept now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_cover(&self, channel_id: B256, period: u64, covered: Amount) -> Result<Cover, StoreError> {
        let write = self.database.begin_write()?;
        let mut channel: ChannelRecord = get(&write, CHANNELS, channel_id)?.ok_or(StoreError::Missing)?;
        let same = channel.cover.filter(|cover| cover.period == period);
        let paid = same.map(|cover| cover.paid).unwrap_or_default();
        let cover = Cover { period, covered, paid };
        channel.cover = Some(cover);
        put(&write, CHANNELS, channel_id, &channel)?;
        write.commit()?;
        Ok(cover)
    }

    /// Notes what the worker has acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_delivered(&self, channel_id: B256, delivered: Amount) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let mut channel: ChannelRecord = get(&write, CHANNELS, channel_id)?.ok_or(StoreError::Missing)?;
        channel.delivered = channel.delivered.max(delivered);
        put(&write, CHANNELS, channel_id, &channel)?;
        Ok(write.commit()?)
    }

    /// Keeps the place of a receipt on the ledger.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_anchor(&self, job_id: JobId, anchor: &AnchorProof) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let mut answer: AnswerRecord = get(&write, ANSWERS, job_id.0)?.ok_or(StoreError::Missing)?;
        answer.anchor = Some(anchor.clone());
        put(&write, ANSWERS, job_id.0, &answer)?;
        Ok(write.commit()?)
    }

    fn read<T: DeserializeOwned>(&self, table: Bytes32Table<'_>, key: B256) -> Result<Option<T>, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(table)?.get(key.0)?;
        found.map(|bytes| Ok(serde_json::from_slice(bytes.value())?)).transpose()
    }
}

/// Keeps a checked answer, and that it is the newest.
fn put_answered(
    write: &WriteTransaction,
    header: &JobHeader,
    answer: &AnswerRecord,
) -> Result<(), StoreError> {
    put(write, ANSWERS, header.job_id.0, answer)?;
    let hash = receipts::leaf(&answer.receipt.receipt, header.chain_id);
    write.open_table(RECEIPTS)?.insert(hash.0, header.job_id.0.0)?;
    let mut answered = write.open_table(ANSWERED)?;
    let last = answered.last()?.map(|(number, _)| number.value());
    let next = last.map_or(Some(0), |last| last.checked_add(1)).ok_or(StoreError::Overflow)?;
    answered.insert(next, header.job_id.0.0)?;
    Ok(())
}

fn update(
    write: &WriteTransaction,
    job_id: JobId,
    channel_id: B256,
    change: impl FnOnce(&mut Option<JobRecord>, &mut ChannelRecord),
) -> Result<(), StoreError> {
    let mut job = get(write, JOBS, job_id.0)?;
    let mut channel = get(write, CHANNELS, channel_id)?.ok_or(StoreError::Missing)?;
    change(&mut job, &mut channel);
    if let Some(job) = job {
        put(write, JOBS, job_id.0, &job)?;
    }
    put(write, CHANNELS, channel_id, &channel)
}

fn note(
    write: &WriteTransaction,
    header: &JobHeader,
    change: impl FnOnce(&mut Canaries),
) -> Result<(), StoreError> {
    note_of(write, header.worker, header.model_id, change)
}

fn note_of(
    write: &WriteTransaction,
    worker: Address,
    model_id: B256,
    change: impl FnOnce(&mut Canaries),
) -> Result<(), StoreError> {
    let key = (worker.into_array(), model_id.0);
    let mut table = write.open_table(CANARIES)?;
    let found = table.get(key)?.map(|bytes| serde_json::from_slice(bytes.value())).transpose()?;
    let mut canaries: Canaries = found.unwrap_or_default();
    change(&mut canaries);
    table.insert(key, serde_json::to_vec(&canaries)?.as_slice())?;
    Ok(())
}

/// A question that got no answer waits for no canary.
fn forget_due(write: &WriteTransaction, header: &JobHeader) -> Result<(), StoreError> {
    if header.evidence != Evidence::Audited {
        return Ok(());
    }
    note(write, header, |canaries| canaries.due = canaries.due.filter(|due| *due != header.job_id))
}

/// What the checked answer to a job means for canaries.
fn note_answered(write: &WriteTransaction, job: &JobRecord) -> Result<(), StoreError> {
    let header = &job.request.header;
    let spend = |canaries: &mut Canaries| {
        canaries.spent = canaries.spent.checked_add(header.price).unwrap_or(canaries.spent);
    };
    match job.purpose {
        Purpose::Question { .. } | Purpose::Second { .. } => Ok(()),
        Purpose::KnownRow { audited } => {
            let key = (header.model_id.0, header.job_id.0.0);
            write.open_table(KNOWN_ROWS)?.insert(key, header.worker.into_array())?;
            note_of(write, audited, header.model_id, spend)
        }
        Purpose::Canary { known } => note(write, header, |canaries| {
            spend(canaries);
            canaries.due = None;
            match known {
                Some(_) => canaries.count_right(),
                None => canaries.open.push(header.job_id),
            }
        }),
    }
}

fn reject(write: &WriteTransaction, job: &JobRecord, code: &str, message: &str) -> Result<(), StoreError> {
    let header = &job.request.header;
    let distrust = Distrust { code: code.to_owned(), message: message.to_owned(), job_id: header.job_id };
    update(write, header.job_id, header.channel_id, |stored, channel| {
        channel.in_flight = None;
        channel.retired = true;
        if let Some(stored) = stored {
            stored.state = JobState::Rejected { code: code.to_owned(), message: message.to_owned() };
        }
    })?;
    put_distrust(write, header.worker, &distrust)
}

/// The worker has learned that an answer decrypted to something else than it should.
fn retire_keys(write: &WriteTransaction, job: &JobRecord) -> Result<(), StoreError> {
    let Some(id) = job.encrypted.as_ref().and_then(|question| question.keys) else { return Ok(()) };
    write.open_table(CURRENT_KEYS)?.retain(|_, current| current != id.0)?;
    Ok(())
}

fn put_distrust(write: &WriteTransaction, worker: Address, distrust: &Distrust) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(distrust)?;
    write.open_table(DISTRUSTED)?.insert(worker.into_array(), bytes.as_slice())?;
    Ok(())
}

fn get<T: DeserializeOwned>(
    write: &WriteTransaction,
    table: Bytes32Table<'_>,
    key: B256,
) -> Result<Option<T>, StoreError> {
    let table = write.open_table(table)?;
    let found = table.get(key.0)?;
    found.map(|bytes| Ok(serde_json::from_slice(bytes.value())?)).transpose()
}

fn put<T: Serialize>(
    write: &WriteTransaction,
    table: Bytes32Table<'_>,
    key: B256,
    value: &T,
) -> Result<(), StoreError> {
    write.open_table(table)?.insert(key.0, serde_json::to_vec(value)?.as_slice())?;
    Ok(())
}
