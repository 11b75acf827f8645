//! Receipts on their way to the ledger.

use alloy_primitives::B256;
use redb::{
    ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use tacit_wire::JobId;

use super::{BATCHES, JOBS, JobRecord, Store, StoreError, UNANCHORED, get, put};

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

/// Batches whose transaction's fate is open.
const OPEN_BATCHES: TableDefinition<'_, [u8; 32], ()> = TableDefinition::new("open_batches");
/// Root of the batch of a job, where its record does not say.
pub(super) const BATCHED: TableDefinition<'_, [u8; 32], [u8; 32]> = TableDefinition::new("batched");

impl Store {
    /// A batch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn batch(&self, root: B256) -> Result<Option<BatchRecord>, StoreError> {
        self.read(BATCHES, root)
    }

    /// Number of paid receipts in no batch yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unanchored_count(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(UNANCHORED)?.len()?)
    }

    /// Moves the oldest unanchored receipts into a new batch, whose root it returns. `None` when there is none, or somebody else takes them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_batch(&self, receipts_max: usize, chain_id: u64) -> Result<Option<B256>, StoreError> {
        let mut batch = BatchRecord { jobs: Vec::new(), leaves: Vec::new(), block: None };
        // Read before the step that writes: answers wait for their turn to write.
        let mut taken = Vec::new();
        {
            let read = self.database.begin_read()?;
            let (unanchored, jobs) = (read.open_table(UNANCHORED)?, read.open_table(JOBS)?);
            for entry in unanchored.iter()?.take(receipts_max) {
                let (number, job_id) = entry?;
                let job_id = JobId(B256::from(job_id.value()));
                taken.push((number.value(), job_id));
                if let Some(job) = jobs.get(job_id.0.0)? {
                    let job: JobRecord = serde_json::from_slice(job.value())?;
                    batch.jobs.push(job_id);
                    batch.leaves.push(tacit_abi::receipts::leaf(&job.receipt.receipt, chain_id));
                }
            }
        }
        let Some(root) = tacit_abi::receipts::root(&batch.leaves) else { return Ok(None) };
        let write = self.database.begin_write()?;
        {
            let (mut unanchored, mut batched) = (write.open_table(UNANCHORED)?, write.open_table(BATCHED)?);
            for (number, job_id) in &taken {
                if unanchored.remove(number)?.is_none_or(|found| found.value() != job_id.0.0) {
                    // What was removed of a step that is not committed is not.
                    return Ok(None);
                }
            }
            for job_id in &batch.jobs {
                batched.insert(job_id.0.0, root.0)?;
            }
            write.open_table(OPEN_BATCHES)?.insert(root.0, ())?;
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
            write.open_table(OPEN_BATCHES)?.remove(root.0)?;
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
        for entry in read.open_table(OPEN_BATCHES)?.iter()? {
            let root = entry?.0.value();
            if let Some(record) = table.get(root)? {
                open.push((B256::from(root), serde_json::from_slice(record.value())?));
            }
        }
        Ok(open)
    }
}

/// Makes the tables. A file from before there was a list of open batches gets one.
pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    let listed = write.list_tables()?.any(|table| table.name() == OPEN_BATCHES.name());
    write.open_table(BATCHED)?;
    let (batches, mut open) = (write.open_table(BATCHES)?, write.open_table(OPEN_BATCHES)?);
    if !listed {
        for entry in batches.iter()? {
            let (root, record) = entry?;
            if serde_json::from_slice::<BatchRecord>(record.value())?.block.is_none() {
                open.insert(root.value(), ())?;
            }
        }
    }
    Ok(())
}
