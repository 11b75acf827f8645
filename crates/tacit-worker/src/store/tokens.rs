//! Tokens that were spent, and the answers that they paid for.

use alloy_primitives::B256;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tacit_wire::{Amount, JobId};

use super::{
    ANSWERED, ANSWERS, JOBS, JobRecord, Store, StoreError, Tally, UNANCHORED,
    accounts::{add, add_job},
    append,
    jobs::{count, drop_old_answers},
    put,
};
use crate::{prepaid::Spent, quota::Day};

/// Jobs that tokens paid for, by key and token.
const SPENT: TableDefinition<'_, ([u8; 32], [u8; 32]), [u8; 32]> = TableDefinition::new("spent_tokens");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(SPENT)?;
    Ok(())
}

impl Store {
    /// Whether any of these tokens paid for a job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_any_spent(&self, tokens: &[Spent]) -> Result<bool, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SPENT)?;
        for token in tokens {
            if table.get((token.key_id.0, token.token.0))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps an answer, counts it for its day, and spends the tokens that pay for it, in one step.
    ///
    /// # Errors
    /// [`StoreError::TokenSpent`], and then nothing is written; the rest of [`StoreError`].
    pub fn put_prepaid(
        &self,
        job_id: JobId,
        job: &JobRecord,
        body: &[u8],
        tokens: &[Spent],
        day: Day,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_paid(&write, job_id, job, body, tokens)?;
        // The tokens were paid for when they were sold.
        add_job(&write, &job.receipt.receipt, Amount::ZERO)?;
        count(&write, day, job.receipt.receipt.modelId, job.receipt.receipt.client)?;
        Ok(write.commit()?)
    }

    /// The same for the answer of a language model, with what it took.
    ///
    /// # Errors
    /// As [`Self::put_prepaid`].
    pub(crate) fn put_prepaid_stream(
        &self,
        job_id: JobId,
        job: &JobRecord,
        body: &[u8],
        tokens: &[Spent],
        tally: &Tally,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_paid(&write, job_id, job, body, tokens)?;
        add(&write, [tally])?;
        Ok(write.commit()?)
    }

    /// Forgets what was spent under all keys but these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_spent(&self, kept: &[B256]) -> Result<(), StoreError> {
        let forgotten = |key: ([u8; 32], [u8; 32])| !kept.contains(&B256::from(key.0));
        {
            let read = self.database.begin_read()?;
            let mut any = false;
            for entry in read.open_table(SPENT)?.iter()? {
                any |= forgotten(entry?.0.value());
            }
            // Most of the time there is nothing to write.
            if !any {
                return Ok(());
            }
        }
        let write = self.database.begin_write()?;
        write.open_table(SPENT)?.retain(|key, _| !forgotten(key))?;
        Ok(write.commit()?)
    }
}

/// Spends tokens, and keeps the answer and the receipt that they pay for.
fn put_paid(
    write: &WriteTransaction,
    job_id: JobId,
    job: &JobRecord,
    body: &[u8],
    tokens: &[Spent],
) -> Result<(), StoreError> {
    {
        let mut spent = write.open_table(SPENT)?;
        for token in tokens {
            if spent.insert((token.key_id.0, token.token.0), job_id.0.0)?.is_some() {
                return Err(StoreError::TokenSpent);
            }
        }
    }
    put(write, JOBS, job_id.0, &JobRecord { paid: true, ..job.clone() })?;
    append(write, UNANCHORED, job_id)?;
    write.open_table(ANSWERS)?.insert(job_id.0.0, body)?;
    append(write, ANSWERED, job_id)?;
    drop_old_answers(write)
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use tacit_abi::{Receipt, receipts::SignedReceipt};

    use super::*;

    fn job(number: u8) -> (JobId, JobRecord) {
        let receipt = Receipt {
            jobId: B256::repeat_byte(number),
            modelId: B256::ZERO,
            channelId: B256::ZERO,
            client: alloy_primitives::Address::ZERO,
            worker: alloy_primitives::Address::ZERO,
            privacy: 0,
            evidence: 0,
            inputCommitment: B256::ZERO,
            outputCommitment: B256::ZERO,
            evidenceHash: B256::ZERO,
            price: 5,
            cumulative: 5,
            completedAt: 0,
        };
        let receipt = SignedReceipt { receipt, signature: vec![0; 65].into() };
        let record = JobRecord { digest: B256::ZERO, receipt, paid: false, batch: None };
        (JobId(B256::repeat_byte(number)), record)
    }

    fn token(key: u8, token: u8) -> Spent {
        Spent { key_id: B256::repeat_byte(key), token: B256::repeat_byte(token) }
    }

    #[test]
    fn a_token_pays_once_and_a_refused_payment_spends_nothing() {
        let store = Store::with_backend(InMemoryBackend::new()).unwrap();
        let ((first, record), (second, _)) = (job(1), job(2));
        store.put_prepaid(first, &record, b"answer", &[token(1, 1), token(1, 2)], Day(1)).unwrap();
        let again = store.put_prepaid(second, &record, b"other", &[token(1, 3), token(1, 2)], Day(1));
        assert!(matches!(again, Err(StoreError::TokenSpent)));
        assert!(!store.is_any_spent(&[token(1, 3)]).unwrap());
        assert!(store.is_any_spent(&[token(1, 3), token(1, 1)]).unwrap());
        assert!(store.job(second).unwrap().is_none());
        assert!(store.job(first).unwrap().unwrap().paid);
        assert_eq!(store.answer(first).unwrap().unwrap(), b"answer");
        assert_eq!(store.unanchored_count().unwrap(), 1);
        let [tally] = <[_; 1]>::try_from(store.tallies(Day(0)).unwrap()).unwrap();
        assert_eq!((tally.requests, tally.earned), (1, Amount::ZERO));
    }

    #[test]
    fn tokens_are_remembered_for_as_long_as_their_key_is_kept() {
        let store = Store::with_backend(InMemoryBackend::new()).unwrap();
        let (first, record) = job(1);
        store.put_prepaid(first, &record, b"answer", &[token(1, 1), token(2, 1)], Day(1)).unwrap();
        store.forget_spent(&[B256::repeat_byte(1), B256::repeat_byte(2)]).unwrap();
        assert!(store.is_any_spent(&[token(2, 1)]).unwrap());
        store.forget_spent(&[B256::repeat_byte(1)]).unwrap();
        assert!(!store.is_any_spent(&[token(2, 1)]).unwrap());
        assert!(store.is_any_spent(&[token(1, 1)]).unwrap());
    }
}
