//! Accounts of channels that pay for streams, what their receipts wait for, and what was earned by model and day.

use std::collections::{BTreeMap, btree_map::Entry};

use alloy_primitives::{Address, B256};
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::{Receipt, channels::SignedVoucher, receipts::SignedReceipt};
use tacit_wire::{
    Amount, JobId,
    language::TokenCount,
    message::{ModelTally, optional_voucher_json},
};

use super::{
    ACCOUNTS, CHANNELS, ChannelRecord, JOBS, JobRecord, Store, StoreError, TALLIES, UNANCHORED, UNPAID,
    append, get, put,
};
use crate::quota::Day;

/// A channel that pays for streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRecord {
    /// Who owns it.
    pub client: Address,
    /// Whose vouchers count.
    pub signer: Address,
    /// Best voucher held.
    #[serde(with = "optional_voucher_json")]
    pub voucher: Option<SignedVoucher>,
    /// What the ledger has paid out.
    pub settled: Amount,
    /// What its requests cost so far.
    pub owed: Amount,
    /// Whether one was being answered when this was written: after a crash more was sent than is written here.
    pub running: bool,
}

/// What one request brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// When.
    pub day: Day,
    /// Of which model.
    pub model_id: B256,
    /// What was counted.
    pub tokens: TokenCount,
    /// What it cost.
    pub earned: Amount,
    /// Whether the engine failed.
    pub failed: bool,
}

/// One answered request, to be written.
#[derive(Debug, Clone)]
pub(crate) struct StreamEnd {
    /// Nothing where nothing was given.
    pub(crate) receipt: Option<SignedReceipt>,
    pub(crate) tally: Tally,
}

/// What a channel promises and what of it the ledger has paid.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) channel_id: B256,
    pub(crate) voucher: Option<SignedVoucher>,
    pub(crate) settled: Amount,
}

impl AccountRecord {
    /// What the client has promised or the ledger has paid, whichever is more.
    #[must_use]
    pub fn promised(&self) -> Amount {
        promised(self.voucher.as_ref(), self.settled)
    }
}

impl Promise {
    pub(crate) fn promised(&self) -> Amount {
        promised(self.voucher.as_ref(), self.settled)
    }
}

/// The better of a voucher and what the ledger has paid.
pub(super) fn promised(voucher: Option<&SignedVoucher>, settled: Amount) -> Amount {
    voucher.map_or(Amount::ZERO, |signed| Amount(signed.voucher.cumulative)).max(settled)
}

impl Store {
    /// An account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn account(&self, channel_id: B256) -> Result<Option<AccountRecord>, StoreError> {
        self.read(ACCOUNTS, channel_id)
    }

    /// Opens an account: from now on the channel pays for streams.
    ///
    /// # Errors
    /// [`StoreError::OtherUse`] for a channel that paid for jobs.
    pub fn open_account(&self, channel_id: B256, account: &AccountRecord) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        if write.open_table(CHANNELS)?.get(channel_id.0)?.is_some() {
            return Err(StoreError::OtherUse { channel_id });
        }
        put(&write, ACCOUNTS, channel_id, account)?;
        Ok(write.commit()?)
    }

    /// What every channel promises, whatever it pays for.
    pub(crate) fn promises(&self) -> Result<Vec<Promise>, StoreError> {
        let read = self.database.begin_read()?;
        let mut promises = Vec::new();
        for entry in read.open_table(CHANNELS)?.iter()? {
            let (channel_id, record) = entry?;
            let ChannelRecord { voucher, settled, .. } = serde_json::from_slice(record.value())?;
            promises.push(Promise { channel_id: B256::from(channel_id.value()), voucher, settled });
        }
        for entry in read.open_table(ACCOUNTS)?.iter()? {
            let (channel_id, record) = entry?;
            let AccountRecord { voucher, settled, .. } = serde_json::from_slice(record.value())?;
            promises.push(Promise { channel_id: B256::from(channel_id.value()), voucher, settled });
        }
        Ok(promises)
    }

    /// Writes what changed of accounts, and what ended, in one step. Tells whether receipts are paid for that were not.
    pub(crate) fn put_streams(
        &self,
        accounts: &[(B256, AccountRecord)],
        ends: &[StreamEnd],
    ) -> Result<bool, StoreError> {
        let write = self.database.begin_write()?;
        let promised = put_accounts(&write, accounts, ends)?;
        let mut paid = false;
        for (channel_id, promised) in &promised {
            paid |= pay(&write, *channel_id, *promised)?;
        }
        {
            let (mut jobs, mut unpaid) = (write.open_table(JOBS)?, write.open_table(UNPAID)?);
            for receipt in ends.iter().filter_map(|end| end.receipt.as_ref()) {
                let terms = &receipt.receipt;
                let covered =
                    promised.get(&terms.channelId).is_some_and(|promised| promised.0 >= terms.cumulative);
                let job =
                    JobRecord { digest: B256::ZERO, receipt: receipt.clone(), paid: covered, batch: None };
                jobs.insert(terms.jobId.0, serde_json::to_vec(&job)?.as_slice())?;
                if covered {
                    append(&write, UNANCHORED, JobId(terms.jobId))?;
                } else {
                    unpaid.insert((terms.channelId.0, terms.cumulative, terms.jobId.0), ())?;
                }
                paid |= covered;
            }
        }
        add(&write, ends.iter().map(|end| &end.tally))?;
        write.commit()?;
        Ok(paid)
    }

    /// What models brought since a day, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tallies(&self, from: Day) -> Result<Vec<ModelTally>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(TALLIES)?;
        let mut tallies = Vec::new();
        for entry in table.range((from.0, [0; 32])..)? {
            tallies.push(serde_json::from_slice(entry?.1.value())?);
        }
        Ok(tallies)
    }
}

/// Writes accounts, and tells what each channel of `accounts` and `ends` promises now; an end may come without its account, which then holds what pays for it already.
fn put_accounts(
    write: &WriteTransaction,
    accounts: &[(B256, AccountRecord)],
    ends: &[StreamEnd],
) -> Result<BTreeMap<B256, Amount>, StoreError> {
    let mut table = write.open_table(ACCOUNTS)?;
    let mut promised = BTreeMap::new();
    for (channel_id, account) in accounts {
        let mut account = account.clone();
        if let Some(held) = held(&table, *channel_id)? {
            account.settled = account.settled.max(held.settled);
        }
        promised.insert(*channel_id, account.promised());
        table.insert(channel_id.0, serde_json::to_vec(&account)?.as_slice())?;
    }
    for channel_id in ends.iter().filter_map(|end| Some(end.receipt.as_ref()?.receipt.channelId)) {
        if !promised.contains_key(&channel_id)
            && let Some(account) = held(&table, channel_id)?
        {
            promised.insert(channel_id, account.promised());
        }
    }
    Ok(promised)
}

fn held(
    table: &impl ReadableTable<[u8; 32], &'static [u8]>,
    channel_id: B256,
) -> Result<Option<AccountRecord>, StoreError> {
    let found = table.get(channel_id.0)?;
    found.map(|bytes| Ok(serde_json::from_slice(bytes.value())?)).transpose()
}

/// Takes the receipts that a promise covers to those that are to be anchored.
fn pay(write: &WriteTransaction, channel_id: B256, promised: Amount) -> Result<bool, StoreError> {
    let mut covered = Vec::new();
    {
        let mut unpaid = write.open_table(UNPAID)?;
        let upto = (channel_id.0, promised.0, [0xff; 32]);
        for entry in unpaid.extract_from_if((channel_id.0, 0, [0; 32])..=upto, |_, ()| true)? {
            let (_, _, job_id) = entry?.0.value();
            covered.push(JobId(B256::from(job_id)));
        }
    }
    for job_id in &covered {
        if let Some(mut job) = get::<JobRecord>(write, JOBS, job_id.0)? {
            job.paid = true;
            put(write, JOBS, job_id.0, &job)?;
            append(write, UNANCHORED, *job_id)?;
        }
    }
    Ok(!covered.is_empty())
}

/// A job that is paid counts for the day on which it was answered.
pub(super) fn add_job(write: &WriteTransaction, receipt: &Receipt, earned: Amount) -> Result<(), StoreError> {
    let (day, model_id) = (Day::of(receipt.completedAt), receipt.modelId);
    add(write, [&Tally { day, model_id, tokens: TokenCount::default(), earned, failed: false }])
}

/// Adds to what models brought, once for each day and model.
pub(super) fn add<'a>(
    write: &WriteTransaction,
    tallies: impl IntoIterator<Item = &'a Tally>,
) -> Result<(), StoreError> {
    let mut table = write.open_table(TALLIES)?;
    let mut sums = BTreeMap::new();
    for &Tally { day, model_id, tokens, earned, failed } in tallies {
        let key = (day.0, model_id.0);
        let sum = match sums.entry(key) {
            Entry::Occupied(sum) => sum.into_mut(),
            Entry::Vacant(place) => {
                let held = table.get(key)?.map(|bytes| serde_json::from_slice(bytes.value())).transpose()?;
                place.insert(held.unwrap_or_else(|| ModelTally::none(day.to_string(), model_id)))
            }
        };
        let count = |held: u64, more: u64| held.checked_add(more).ok_or(StoreError::Overflow);
        sum.requests = count(sum.requests, 1)?;
        sum.failures = count(sum.failures, u64::from(failed))?;
        sum.prompt_tokens = count(sum.prompt_tokens, tokens.prompt)?;
        sum.completion_tokens = count(sum.completion_tokens, tokens.completion)?;
        sum.earned = sum.earned.checked_add(earned).ok_or(StoreError::Overflow)?;
    }
    for (key, sum) in &sums {
        table.insert(*key, serde_json::to_vec(sum)?.as_slice())?;
    }
    Ok(())
}
