//! Jobs: answers, who owes for them, and how many were given in a day.

use alloy_primitives::{Address, B256};
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::{channels::SignedVoucher, receipts::SignedReceipt};
use tacit_wire::{
    Amount, JobId,
    message::{optional_voucher_json, receipt_json},
};

use super::{
    ACCOUNTS, ANSWERED, ANSWERS, CHANNELS, CLIENT_DAYS, JOBS, MODEL_DAYS, Store, StoreError, UNANCHORED,
    accounts::{AccountRecord, add_job},
    append,
    batches::BATCHED,
    get, put,
    runs::{RunRecord, put_run},
};
use crate::quota::{Day, DayCount, Question};

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

impl Store {
    /// An answered job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job(&self, job_id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let read = self.database.begin_read()?;
        let Some(job) = read.open_table(JOBS)?.get(job_id.0.0)? else { return Ok(None) };
        let mut job: JobRecord = serde_json::from_slice(job.value())?;
        if job.batch.is_none() {
            job.batch = read.open_table(BATCHED)?.get(job_id.0.0)?.map(|root| B256::from(root.value()));
        }
        Ok(Some(job))
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

    /// Jobs and streams answered since the beginning.
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

    /// Keeps an answer, counts it for its day, and marks its channel as owing for it, in one step, with what it takes to do its `run` again where that
    /// may be disputed. `channel` counts only if it is not known yet.
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
        run: Option<&RunRecord>,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let channel_id = job.receipt.receipt.channelId;
        refuse_account(&write, channel_id)?;
        // Read again inside the transaction: a voucher may have come while the engine worked.
        let mut channel: ChannelRecord = get(&write, CHANNELS, channel_id)?.unwrap_or(channel);
        // A free answer owes nothing.
        let paid = Amount(job.receipt.receipt.cumulative) <= channel.promised();
        if paid {
            append(&write, UNANCHORED, job_id)?;
            add_job(&write, &job.receipt.receipt, Amount(job.receipt.receipt.price))?;
        } else {
            channel.unpaid = Some(job_id);
        }
        put(&write, JOBS, job_id.0, &JobRecord { paid, ..job.clone() })?;
        put(&write, CHANNELS, channel_id, &channel)?;
        count(&write, day, job.receipt.receipt.modelId, job.receipt.receipt.client)?;
        write.open_table(ANSWERS)?.insert(job_id.0.0, body)?;
        append(&write, ANSWERED, job_id)?;
        if let Some(run) = run {
            put_run(&write, run)?;
        }
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
        refuse_account(&write, channel_id)?;
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
                add_job(&write, &job.receipt.receipt, Amount(job.receipt.receipt.price))?;
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
        if let Some(mut account) = get::<AccountRecord>(&write, ACCOUNTS, channel_id)? {
            account.settled = account.settled.max(settled);
            put(&write, ACCOUNTS, channel_id, &account)?;
        }
        Ok(write.commit()?)
    }
}

/// A channel that pays for streams pays for no job.
fn refuse_account(write: &WriteTransaction, channel_id: B256) -> Result<(), StoreError> {
    match write.open_table(ACCOUNTS)?.get(channel_id.0)? {
        Some(_) => Err(StoreError::OtherUse { channel_id }),
        None => Ok(()),
    }
}

/// One more answer in a day. Counts of days that no clock in order goes back to are dropped.
pub(super) fn count(
    write: &WriteTransaction,
    day: Day,
    model_id: B256,
    client: Address,
) -> Result<(), StoreError> {
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
pub(super) fn drop_old_answers(write: &WriteTransaction) -> Result<(), StoreError> {
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
