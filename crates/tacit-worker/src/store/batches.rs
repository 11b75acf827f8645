//! Receipts on their way to the ledger.

use alloy_primitives::B256;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
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
}
