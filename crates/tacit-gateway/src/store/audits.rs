//! What became of audits of answers that were not encrypted.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::JobId;

use super::{
    Bytes32Table, CHANNELS, ChannelRecord, Distrust, JobRecord, Store, StoreError, get, put, put_distrust,
};

/// What became of the audit of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Audit {
    /// Nothing was decided yet.
    Due,
    /// The gateway has no weights to do the run again with: the answer is what its worker's stake is worth.
    NoWeights,
    /// The coin did not choose it.
    NotDrawn,
    /// The run was done again, and is the one that the worker committed to.
    Passed,
    /// The worker committed to another run than the model's, and is being convicted on the ledger.
    Disputed {
        /// From this block on the ledger tells of it.
        from_block: u64,
    },
    /// It was another run, and the worker has lost its stake.
    Convicted,
    /// It was another run, and no stake could be taken.
    Unpunished {
        /// Why.
        reason: String,
    },
}

const AUDITS: Bytes32Table<'_> = TableDefinition::new("audits");
/// Those that are due or disputed.
const OPEN_AUDITS: TableDefinition<'_, [u8; 32], ()> = TableDefinition::new("open_audits");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(AUDITS)?;
    write.open_table(OPEN_AUDITS)?;
    Ok(())
}

/// With the answer: from here on an audit is due.
pub(super) fn note_due(write: &WriteTransaction, job: &JobRecord) -> Result<(), StoreError> {
    let header = &job.request.header;
    if header.evidence != Evidence::Audited || header.privacy == Privacy::Encrypted {
        return Ok(());
    }
    put_state(write, header.job_id, &Audit::Due)
}

fn put_state(write: &WriteTransaction, job_id: JobId, audit: &Audit) -> Result<(), StoreError> {
    put(write, AUDITS, job_id.0, audit)?;
    let mut open = write.open_table(OPEN_AUDITS)?;
    if matches!(audit, Audit::Due | Audit::Disputed { .. }) {
        open.insert(job_id.0.0, ())?;
    } else {
        open.remove(job_id.0.0)?;
    }
    Ok(())
}

impl Store {
    /// What became of the audit of an answer; none where there is none to make.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit(&self, job_id: JobId) -> Result<Option<Audit>, StoreError> {
        self.read(AUDITS, job_id.0)
    }

    /// Audits that are due or disputed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_audits(&self) -> Result<Vec<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        let mut open = Vec::new();
        for entry in read.open_table(OPEN_AUDITS)?.iter()? {
            open.push(JobId(entry?.0.value().into()));
        }
        Ok(open)
    }

    /// Keeps what became of an audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_audit(&self, job_id: JobId, audit: &Audit) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_state(&write, job_id, audit)?;
        Ok(write.commit()?)
    }

    /// Notes that an answer is from another run than the model's: its channel is retired, its worker not asked again, and disputed from this block on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_false_run(
        &self,
        job: &JobRecord,
        code: &str,
        message: &str,
        from_block: u64,
    ) -> Result<(), StoreError> {
        let header = &job.request.header;
        let distrust = Distrust { code: code.to_owned(), message: message.to_owned(), job_id: header.job_id };
        let write = self.database.begin_write()?;
        let mut channel: ChannelRecord =
            get(&write, CHANNELS, header.channel_id)?.ok_or(StoreError::Missing)?;
        channel.retired = true;
        put(&write, CHANNELS, header.channel_id, &channel)?;
        put_distrust(&write, header.worker, &distrust)?;
        put_state(&write, header.job_id, &Audit::Disputed { from_block })?;
        Ok(write.commit()?)
    }
}
