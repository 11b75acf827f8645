//! Runs that may be disputed: their rows, for as long as a dispute may last, and the challenges that wait for an answer.

use alloy_primitives::B256;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, put};

/// What it takes to do a run again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Digest of its receipt, by which the ledger knows it.
    pub receipt: B256,
    /// Of which model.
    pub model_id: B256,
    /// The row.
    pub values: Vec<i64>,
    /// Salt of the receipt's commitment to evidence: who knows it may ask about the run. None in records from before that could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<B256>,
    /// Root of its trace, which the receipt commits to. None in records from before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<B256>,
    /// From when on nobody can dispute it, seconds since 1970.
    pub until_s: u64,
}

impl core::fmt::Debug for RunRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RunRecord({}, ..)", self.receipt)
    }
}

/// Questions about one run that are answered: several times as many as lead to a leaf.
pub const WALK_QUESTIONS_MAX: u32 = 64;

/// By the receipt's digest.
const RUNS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("runs");
/// How often a run was asked about, by the receipt's digest, and the one element, with its node, of which was said what it is made of.
const WALKED: TableDefinition<'_, [u8; 32], Walked> = TableDefinition::new("walked");
/// How often, and of which element.
type Walked = (u32, Option<(u32, u32)>);
/// When runs may be forgotten.
pub(super) const RUN_ENDS: TableDefinition<'_, (u64, [u8; 32]), ()> = TableDefinition::new("run_ends");
/// Receipts of open challenges, by the challenge.
const CHALLENGES: TableDefinition<'_, [u8; 32], [u8; 32]> = TableDefinition::new("challenges");
/// First block that was not searched for challenges.
const WATCHED: TableDefinition<'_, (), u64> = TableDefinition::new("watched");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(RUNS)?;
    write.open_table(WALKED)?;
    write.open_table(RUN_ENDS)?;
    write.open_table(CHALLENGES)?;
    write.open_table(WATCHED)?;
    Ok(())
}

pub(super) fn put_run(write: &WriteTransaction, run: &RunRecord) -> Result<(), StoreError> {
    write.open_table(RUN_ENDS)?.insert((run.until_s, run.receipt.0), ())?;
    put(write, RUNS, run.receipt, run)
}

impl Store {
    /// The run behind a receipt; none that may be disputed is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn run(&self, receipt: B256) -> Result<Option<RunRecord>, StoreError> {
        self.read(RUNS, receipt)
    }

    /// Counts a question about a run, `element` being that of which it asks what it is made of: whether it is answered. At most [`WALK_QUESTIONS_MAX`] are, and of
    /// one element only: each shows weights, and no more of them than a dispute on the ledger would.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_walk(&self, receipt: B256, element: Option<(u32, u32)>) -> Result<bool, StoreError> {
        let write = self.database.begin_write()?;
        {
            let mut walked = write.open_table(WALKED)?;
            let (count, opened) = walked.get(receipt.0)?.map_or((0, None), |found| found.value());
            let other = element.zip(opened).is_some_and(|(element, opened)| element != opened);
            if count >= WALK_QUESTIONS_MAX || other {
                return Ok(false);
            }
            walked.insert(receipt.0, (count.saturating_add(1), opened.or(element)))?;
        }
        write.commit()?;
        Ok(true)
    }

    /// Forgets runs that nobody can dispute any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_runs(&self, now_s: u64) -> Result<(), StoreError> {
        let oldest = self.database.begin_read()?.open_table(RUN_ENDS)?.first()?.map(|(end, _)| end.value().0);
        if oldest.is_none_or(|until_s| until_s >= now_s) {
            return Ok(());
        }
        let write = self.database.begin_write()?;
        {
            let mut ends = write.open_table(RUN_ENDS)?;
            let mut runs = write.open_table(RUNS)?;
            let mut walked = write.open_table(WALKED)?;
            for entry in ends.extract_from_if(..(now_s, [0; 32]), |_, ()| true)? {
                let (_, receipt) = entry?.0.value();
                runs.remove(receipt)?;
                walked.remove(receipt)?;
            }
        }
        Ok(write.commit()?)
    }

    /// First block that was not searched for challenges; none before any run may be disputed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn watched(&self) -> Result<Option<u64>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(WATCHED)?.get(())?.map(|block| block.value()))
    }

    /// Begins to look for challenges at a block, unless that has begun before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn watch_from(&self, block: u64) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        {
            let mut watched = write.open_table(WATCHED)?;
            if watched.get(())?.is_some() {
                return Ok(());
            }
            watched.insert((), block)?;
        }
        Ok(write.commit()?)
    }

    /// Keeps challenges that were found, each with its receipt, and how far was searched.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_challenges(&self, found: &[(B256, B256)], watched: u64) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        write.open_table(WATCHED)?.insert((), watched)?;
        {
            let mut challenges = write.open_table(CHALLENGES)?;
            for (id, receipt) in found {
                challenges.insert(id.0, receipt.0)?;
            }
        }
        Ok(write.commit()?)
    }

    /// Challenges that have not ended, each with its receipt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn challenges(&self) -> Result<Vec<(B256, B256)>, StoreError> {
        let read = self.database.begin_read()?;
        let mut open = Vec::new();
        for entry in read.open_table(CHALLENGES)?.iter()? {
            let (id, receipt) = entry?;
            open.push((B256::from(id.value()), B256::from(receipt.value())));
        }
        Ok(open)
    }

    /// Forgets a challenge that has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_challenge(&self, id: B256) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        write.open_table(CHALLENGES)?.remove(id.0)?;
        Ok(write.commit()?)
    }
}
