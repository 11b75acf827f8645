//! What became of audits of answers that were not encrypted.

use alloy_primitives::{Address, B256};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::JobId;

use super::{
    Bytes32Table, CHANNELS, ChannelRecord, Distrust, JobRecord, Purpose, Store, StoreError, get, put,
    put_distrust,
};

/// What became of the audit of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Audit {
    /// Nothing was decided yet.
    Due,
    /// The gateway has no weights to do the run again with, and asks no second worker: the answer is what its worker's stake is worth.
    NoWeights,
    /// The coin did not choose it.
    NotDrawn,
    /// The run was done again, and is the one that the worker committed to.
    Passed,
    /// A second worker is asked the same.
    Asking {
        /// Under these ids one after another; the last is not given up yet.
        seconds: Vec<JobId>,
    },
    /// There is nobody else to ask, or nobody else answers: the answer is what its worker's stake is worth.
    NoSecondWorker {
        /// Why.
        reason: String,
    },
    /// Another worker committed to the same run.
    Agreed {
        /// That one.
        with: Other,
    },
    /// This is the answer of a second worker, and is being compared.
    Second {
        /// With the answer to this job.
        of: JobId,
    },
    /// A second worker committed to another run: one of them is false, and which is being found out.
    Differs {
        /// That one.
        with: Other,
        /// From this block on the ledger tells of it.
        from_block: u64,
        /// Since when, seconds since 1970.
        since_s: u64,
    },
    /// A second worker committed to another run, and which of them is false could not be found out.
    Undecided {
        /// That one.
        with: Other,
        /// Why not.
        reason: String,
    },
    /// Another worker committed to another run, which was shown false where the two part, or would not be shown at all.
    Upheld {
        /// That one.
        against: Other,
    },
    /// The worker committed to another run than the model's, and is being convicted on the ledger.
    Disputed {
        /// From this block on the ledger tells of it.
        from_block: u64,
    },
    /// It was another run; what convicts the worker is on its way to the ledger.
    Convicting,
    /// It was another run, and the worker has lost its stake.
    Convicted,
    /// It was another run, and no stake could be taken.
    Unpunished {
        /// Why.
        reason: String,
    },
}

/// What became of showing the ledger that an answer passed its audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Shown {
    /// It is not known yet whether the beacon selects it, or what a second worker says.
    Due,
    /// The beacon does not select it.
    NotSelected,
    /// It counts.
    Passed {
        /// Who signed for it.
        by: Address,
    },
    /// It was selected, and does not count.
    Not {
        /// Why.
        reason: String,
    },
}

impl Shown {
    pub(crate) fn not(reason: &str) -> Self {
        Self::Not { reason: reason.to_owned() }
    }
}

/// An answer that another one was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Who gave it.
    pub worker: Address,
    /// To which job.
    pub job_id: JobId,
    /// Hash of its receipt.
    pub receipt: B256,
}

/// A worker that is not asked again, with the job that shows why.
pub(crate) struct Fault<'a> {
    pub(crate) job: &'a JobRecord,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
}

const AUDITS: Bytes32Table<'_> = TableDefinition::new("audits");
/// Those that wait for something to be done.
const OPEN_AUDITS: TableDefinition<'_, [u8; 32], ()> = TableDefinition::new("open_audits");
/// Of each answer that was compared: the job of the other one.
const PAIRS: TableDefinition<'_, [u8; 32], [u8; 32]> = TableDefinition::new("audit_pairs");
/// What workers said of their runs, by job and question; each was checked against the committed root.
const WALKED: TableDefinition<'_, ([u8; 32], &[u8]), &[u8]> = TableDefinition::new("audit_walks");
/// What convicts a worker, by job, until it did.
const CONVICTIONS: Bytes32Table<'_> = TableDefinition::new("audit_convictions");

/// What became of showing answers, by job.
const SHOWN: Bytes32Table<'_> = TableDefinition::new("audits_shown");
/// Answers of which it is not known yet.
const UNSHOWN: TableDefinition<'_, [u8; 32], ()> = TableDefinition::new("audits_unshown");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(SHOWN)?;
    write.open_table(UNSHOWN)?;
    write.open_table(AUDITS)?;
    write.open_table(OPEN_AUDITS)?;
    write.open_table(PAIRS)?;
    write.open_table(WALKED)?;
    write.open_table(CONVICTIONS)?;
    Ok(())
}

/// With the answer: from here on an audit is due, or the one that asked for it goes on.
pub(super) fn note_due(write: &WriteTransaction, job: &JobRecord) -> Result<(), StoreError> {
    let header = &job.request.header;
    if header.evidence != Evidence::Audited || header.privacy == Privacy::Encrypted {
        return Ok(());
    }
    let audit = match job.purpose {
        Purpose::Second { of } => Audit::Second { of },
        _ => Audit::Due,
    };
    put_state(write, header.job_id, &audit)
}

fn put_shown(write: &WriteTransaction, job_id: JobId, shown: &Shown) -> Result<(), StoreError> {
    put(write, SHOWN, job_id.0, shown)?;
    let mut unshown = write.open_table(UNSHOWN)?;
    if *shown == Shown::Due {
        unshown.insert(job_id.0.0, ())?;
    } else {
        unshown.remove(job_id.0.0)?;
    }
    Ok(())
}

fn put_state(write: &WriteTransaction, job_id: JobId, audit: &Audit) -> Result<(), StoreError> {
    put(write, AUDITS, job_id.0, audit)?;
    let mut open = write.open_table(OPEN_AUDITS)?;
    if audit.is_open() {
        open.insert(job_id.0.0, ())?;
    } else {
        open.remove(job_id.0.0)?;
    }
    Ok(())
}

/// Stops asking whoever answered a job: its channel is retired.
fn put_fault(write: &WriteTransaction, fault: &Fault<'_>) -> Result<(), StoreError> {
    let Fault { job, code, message } = *fault;
    let header = &job.request.header;
    let distrust = Distrust { code: code.to_owned(), message: message.to_owned(), job_id: header.job_id };
    let mut channel: ChannelRecord = get(write, CHANNELS, header.channel_id)?.ok_or(StoreError::Missing)?;
    channel.retired = true;
    put(write, CHANNELS, header.channel_id, &channel)?;
    put_distrust(write, header.worker, &distrust)
}

impl Audit {
    /// Whether something is still to be done about it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Due | Self::Asking { .. } | Self::Differs { .. } | Self::Disputed { .. } | Self::Convicting
        )
    }
}

impl Store {
    /// What became of the audit of an answer; none where there is none to make.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit(&self, job_id: JobId) -> Result<Option<Audit>, StoreError> {
        self.read(AUDITS, job_id.0)
    }

    /// Audits that wait for something to be done.
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

    /// What became of showing the ledger that an answer passed its audit; none where nobody wants to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn shown(&self, job_id: JobId) -> Result<Option<Shown>, StoreError> {
        self.read(SHOWN, job_id.0)
    }

    /// Answers of which it is not known yet whether they are to be shown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unshown(&self) -> Result<Vec<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        let mut unshown = Vec::new();
        for entry in read.open_table(UNSHOWN)?.iter()? {
            unshown.push(JobId(entry?.0.value().into()));
        }
        Ok(unshown)
    }

    /// Keeps what became of showing an answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_shown(&self, job_id: JobId, shown: &Shown) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_shown(&write, job_id, shown)?;
        Ok(write.commit()?)
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

    /// Keeps what became of the audits of two answers that were compared, and who is not asked again for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn put_pair(
        &self,
        audits: [(JobId, &Audit); 2],
        faults: &[Fault<'_>],
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let [(first, _), (second, _)] = audits;
        {
            let mut pairs = write.open_table(PAIRS)?;
            pairs.insert(first.0.0, second.0.0)?;
            pairs.insert(second.0.0, first.0.0)?;
        }
        for (job_id, audit) in audits {
            put_state(&write, job_id, audit)?;
        }
        for fault in faults {
            put_fault(&write, fault)?;
        }
        if !matches!(audits, [(_, Audit::Differs { .. }), _]) {
            let mut walked = write.open_table(WALKED)?;
            for job_id in [first.0.0, second.0.0] {
                // Every question begins with a byte under this one.
                walked.retain_in((job_id, [].as_slice())..(job_id, [u8::MAX].as_slice()), |_, _| false)?;
            }
        }
        Ok(write.commit()?)
    }

    /// Stops asking whoever answered a job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn put_fault(&self, fault: &Fault<'_>) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_fault(&write, fault)?;
        Ok(write.commit()?)
    }

    /// Keeps what convicts whoever answered a job, before it is known of it that it will.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn put_conviction(&self, job_id: JobId, call: &[u8]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        write.open_table(CONVICTIONS)?.insert(job_id.0.0, call)?;
        Ok(write.commit()?)
    }

    /// What convicts whoever answered a job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn conviction(&self, job_id: JobId) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(CONVICTIONS)?.get(job_id.0.0)?.map(|bytes| bytes.value().to_vec()))
    }

    /// Keeps how a conviction ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn put_convicted(&self, job_id: JobId, audit: &Audit) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_state(&write, job_id, audit)?;
        write.open_table(CONVICTIONS)?.remove(job_id.0.0)?;
        Ok(write.commit()?)
    }

    /// The job of the answer that one was compared with.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn paired(&self, job_id: JobId) -> Result<Option<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(PAIRS)?.get(job_id.0.0)?.map(|other| JobId(other.value().into())))
    }

    /// What a worker said of a run, if it was asked before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn walked(&self, job_id: JobId, question: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(WALKED)?.get((job_id.0.0, question))?;
        Ok(found.map(|bytes| bytes.value().to_vec()))
    }

    /// Keeps what a worker said of a run, once that was checked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn put_walked(&self, job_id: JobId, question: &[u8], answer: &[u8]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        write.open_table(WALKED)?.insert((job_id.0.0, question), answer)?;
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
        let write = self.database.begin_write()?;
        put_fault(&write, &Fault { job, code, message })?;
        put_state(&write, job.request.header.job_id, &Audit::Disputed { from_block })?;
        Ok(write.commit()?)
    }
}
