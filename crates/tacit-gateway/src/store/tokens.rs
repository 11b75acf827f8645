//! Tokens that were bought, and jobs that they pay for.

use alloy_primitives::{Address, B256};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::channels::SignedVoucher;
use tacit_wire::{
    Amount, JobId,
    message::base64_bytes,
    token::{Token, TokenSecret},
};

use super::{
    AnswerRecord, Bytes32Table, Distrust, JOBS, JobRecord, JobState, Store, StoreError, StreamReceipt, get,
    put, put_answered, put_distrust, streams::put_receipts, update,
};

/// By worker, key and token.
type TokenKey = ([u8; 20], [u8; 32], [u8; 32]);

const TOKENS: TableDefinition<'_, TokenKey, &[u8]> = TableDefinition::new("tokens");
/// Keys that tokens are under, by id, as RFC 9578 encodes them: what change is asked for and checked with, since a worker that is asked for it would learn who is about to ask.
const TOKEN_KEYS: Bytes32Table<'_> = TableDefinition::new("token_keys");
/// Requests to language models that tokens pay for, sent and without an end yet.
const PREPAID_STREAMS: Bytes32Table<'_> = TableDefinition::new("prepaid_streams");
/// Jobs that tokens pay for, sent and without an end yet.
const PREPAID: TableDefinition<'_, [u8; 32], ()> = TableDefinition::new("prepaid");

/// A request to a language model that tokens pay for, from before it is sent until it has an end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepaidStreamRecord {
    /// Name that the model was asked by.
    pub model: String,
    /// Where the worker was.
    pub endpoint: String,
    /// Hash of the worker's session key when it was made.
    pub session_key_hash: B256,
    /// The bytes that are sent ([`tacit_wire::prepaid::PrepaidStream`]).
    #[serde(with = "base64_bytes")]
    pub request: Vec<u8>,
    /// What tells its question from others: tokens that were shown with it and refused are for it alone.
    pub fingerprint: B256,
    /// The key of its tokens.
    #[serde(with = "base64_bytes")]
    pub key: Vec<u8>,
    /// What each is good for.
    pub token_price: Amount,
    /// What makes tokens of the change.
    pub secrets: Vec<TokenSecret>,
}

impl core::fmt::Debug for PrepaidStreamRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PrepaidStreamRecord({} tokens)", self.secrets.len())
    }
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    token: Token,
    /// The question that it was shown with, which was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown_with: Option<B256>,
}

/// How many tokens there are of one worker and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBalance {
    /// Whose.
    pub worker: Address,
    /// Id of their key.
    pub key_id: B256,
    /// Never shown to anybody.
    pub fresh: u64,
    /// Shown with a question that was refused.
    pub shown: u64,
}

/// Codes by which a worker says that it takes these tokens for nothing.
pub(crate) const UNUSABLE_CODES: [&str; 2] = ["bad_token", "token_spent"];

/// By which it says that it answered, and no longer has the answer: the tokens are spent.
const EXPIRED: &str = "answer_expired";

/// Whether tokens go back to the wallet after a refusal under this code.
pub(crate) fn is_returned(code: &str) -> bool {
    !UNUSABLE_CODES.contains(&code) && code != EXPIRED
}

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(TOKENS)?;
    write.open_table(PREPAID)?;
    write.open_table(TOKEN_KEYS)?;
    write.open_table(PREPAID_STREAMS)?;
    Ok(())
}

fn key_of(worker: Address, token: &Token) -> TokenKey {
    (worker.into_array(), token.key_id().0, token.spent_id().0)
}

impl Store {
    /// Keeps tokens that were bought and the signed voucher that pays for them, before the voucher leaves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_bought(
        &self,
        job: &JobRecord,
        tokens: &[Token],
        voucher: &SignedVoucher,
    ) -> Result<(), StoreError> {
        let header = &job.request.header;
        let write = self.database.begin_write()?;
        update(&write, header.job_id, header.channel_id, |stored, channel| {
            channel.paid(header.job_id, voucher, None);
            if let Some(stored) = stored {
                stored.state = JobState::Signed;
                // What joins these tokens to this purchase is needed no more.
                if let Some(purchase) = &mut stored.purchase {
                    purchase.secrets.clear();
                }
            }
        })?;
        if let Some(purchase) = &job.purchase {
            write.open_table(TOKEN_KEYS)?.insert(header.model_id.0, purchase.key.as_slice())?;
        }
        put_tokens(&write, header.worker, tokens, None)?;
        Ok(write.commit()?)
    }

    /// A key that tokens were bought under, as RFC 9578 encodes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn token_key(&self, key_id: B256) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(TOKEN_KEYS)?.get(key_id.0)?.map(|key| key.value().to_vec()))
    }

    /// At most `count` tokens of a worker and key: those that were shown with this question first, and none that was shown with another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tokens_of(
        &self,
        worker: Address,
        key_id: B256,
        question: B256,
        count: usize,
    ) -> Result<Vec<Token>, StoreError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(TOKENS)?;
        let (mut shown, mut fresh) = (Vec::new(), Vec::new());
        let worker = worker.into_array();
        for entry in table.range((worker, key_id.0, [0; 32])..=(worker, key_id.0, [0xff; 32]))? {
            let record: TokenRecord = serde_json::from_slice(entry?.1.value())?;
            match record.shown_with {
                Some(with) if with == question => shown.push(record.token),
                Some(_) => {}
                None => fresh.push(record.token),
            }
        }
        shown.append(&mut fresh);
        shown.truncate(count);
        Ok(shown)
    }

    /// How many tokens there are, by worker and key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn token_balances(&self) -> Result<Vec<TokenBalance>, StoreError> {
        let read = self.database.begin_read()?;
        let mut balances: Vec<TokenBalance> = Vec::new();
        for entry in read.open_table(TOKENS)?.iter()? {
            let (key, record) = entry?;
            let (worker, key_id, _) = key.value();
            let (worker, key_id) = (Address::from(worker), B256::from(key_id));
            let record: TokenRecord = serde_json::from_slice(record.value())?;
            // In the order of the table, so that those of one key come together.
            if balances.last().is_none_or(|last| (last.worker, last.key_id) != (worker, key_id)) {
                balances.push(TokenBalance { worker, key_id, fresh: 0, shown: 0 });
            }
            let Some(balance) = balances.last_mut() else { continue };
            let count = if record.shown_with.is_some() { &mut balance.shown } else { &mut balance.fresh };
            *count = count.checked_add(1).ok_or(StoreError::Overflow)?;
        }
        Ok(balances)
    }

    /// Keeps a job that is about to be sent, and takes the tokens that pay for it out of the wallet.
    ///
    /// # Errors
    /// [`StoreError`]; replacing a job that was answered or is awaited, and a token that is not there, is [`StoreError::Conflict`].
    pub fn put_prepaid_sent(&self, job: &JobRecord) -> Result<(), StoreError> {
        let header = &job.request.header;
        let write = self.database.begin_write()?;
        let before = get::<JobRecord>(&write, JOBS, header.job_id.0)?;
        if before.is_some_and(|before| !matches!(before.state, JobState::Refused { .. })) {
            return Err(StoreError::Conflict);
        }
        take_tokens(&write, header.worker, job.prepaid.iter().flat_map(|prepaid| &prepaid.tokens))?;
        write.open_table(PREPAID)?.insert(header.job_id.0.0, ())?;
        put(&write, JOBS, header.job_id.0, job)?;
        Ok(write.commit()?)
    }

    /// Jobs that tokens pay for, and that were sent and have no end yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prepaid_in_flight(&self) -> Result<Vec<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        let mut jobs = Vec::new();
        for entry in read.open_table(PREPAID)?.iter()? {
            jobs.push(JobId(B256::from(entry?.0.value())));
        }
        Ok(jobs)
    }

    /// Keeps a checked answer that tokens paid for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_prepaid_answered(&self, job: &JobRecord, answer: &AnswerRecord) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        end(&write, job, JobState::Signed)?;
        put_answered(&write, &job.request.header, answer)?;
        Ok(write.commit()?)
    }

    /// Notes that a job that tokens pay for was refused. They go back to the wallet, for the same question alone; those that the worker takes for nothing do not.
    pub(super) fn put_prepaid_refused(
        &self,
        job: &JobRecord,
        code: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        if end(&write, job, JobState::Refused { code: code.to_owned(), message: message.to_owned() })?
            && is_returned(code)
        {
            let tokens = job.prepaid.iter().flat_map(|prepaid| &prepaid.tokens);
            put_tokens(&write, job.request.header.worker, tokens, Some(job.fingerprint))?;
        }
        Ok(write.commit()?)
    }

    /// Notes that the answer to a job that tokens paid for was false: its worker is not asked again.
    pub(super) fn put_prepaid_rejected(
        &self,
        job: &JobRecord,
        code: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        let (code, message) = (code.to_owned(), message.to_owned());
        let job_id = job.request.header.job_id;
        let write = self.database.begin_write()?;
        end(&write, job, JobState::Rejected { code: code.clone(), message: message.clone() })?;
        put_distrust(&write, job.request.header.worker, &Distrust { code, message, job_id })?;
        Ok(write.commit()?)
    }
}

impl Store {
    /// Keeps a request to a language model that is about to be sent, with what makes tokens of its change, and takes the tokens that pay for it out of the wallet.
    ///
    /// # Errors
    /// [`StoreError`]; replacing one that is awaited, and a token that is not there, is [`StoreError::Conflict`].
    pub fn put_stream_sent(
        &self,
        job_id: JobId,
        worker: Address,
        record: &PrepaidStreamRecord,
        tokens: &[Token],
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        if get::<PrepaidStreamRecord>(&write, PREPAID_STREAMS, job_id.0)?.is_some() {
            return Err(StoreError::Conflict);
        }
        take_tokens(&write, worker, tokens)?;
        put(&write, PREPAID_STREAMS, job_id.0, record)?;
        Ok(write.commit()?)
    }

    /// A request to a language model that tokens pay for, while it has no end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prepaid_stream(&self, job_id: JobId) -> Result<Option<PrepaidStreamRecord>, StoreError> {
        self.read(PREPAID_STREAMS, job_id.0)
    }

    /// Requests to language models that tokens pay for, and that were sent and have no end yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prepaid_streams_in_flight(&self) -> Result<Vec<JobId>, StoreError> {
        let read = self.database.begin_read()?;
        let mut jobs = Vec::new();
        for entry in read.open_table(PREPAID_STREAMS)?.iter()? {
            jobs.push(JobId(B256::from(entry?.0.value())));
        }
        Ok(jobs)
    }

    /// Keeps a checked answer of a language model, its receipt and the change that came with it; what made the change is dropped. One write.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Missing`] where it has an end already.
    pub fn put_stream_answered(
        &self,
        worker: Address,
        receipt: &StreamReceipt,
        change: &[Token],
        kept_bytes_max: u64,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        end_stream(&write, JobId(receipt.record.receipt.receipt.jobId))?;
        put_receipts(&write, core::slice::from_ref(receipt), kept_bytes_max)?;
        put_tokens(&write, worker, change, None)?;
        Ok(write.commit()?)
    }

    /// Notes that nothing was spent for a request: it was refused under this code, or its engine refused, of which there is a receipt over nothing. Its tokens go back to the wallet, for
    /// the same question alone; those that the worker takes for nothing do not, and with `distrust` it is not asked again.
    ///
    /// # Errors
    /// As [`Self::put_stream_answered`].
    pub fn put_stream_refused(
        &self,
        job_id: JobId,
        worker: Address,
        (code, tokens): (&str, &[Token]),
        receipt: Option<(&StreamReceipt, u64)>,
        distrust: Option<&Distrust>,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let fingerprint = end_stream(&write, job_id)?.fingerprint;
        if is_returned(code) {
            put_tokens(&write, worker, tokens, Some(fingerprint))?;
        }
        if let Some((receipt, kept_bytes_max)) = receipt {
            put_receipts(&write, core::slice::from_ref(receipt), kept_bytes_max)?;
        }
        if let Some(distrust) = distrust {
            put_distrust(&write, worker, distrust)?;
        }
        Ok(write.commit()?)
    }

    /// Keeps what shows that an answer, its receipt or its change is false, and does not ask its worker again. The tokens are gone. One write.
    ///
    /// # Errors
    /// As [`Self::put_stream_answered`].
    pub fn put_stream_rejected(
        &self,
        job_id: JobId,
        worker: Address,
        receipt: Option<&StreamReceipt>,
        distrust: &Distrust,
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        end_stream(&write, job_id)?;
        if let Some(receipt) = receipt {
            // What shows that it is false is part of it.
            put_receipts(&write, core::slice::from_ref(receipt), u64::MAX)?;
        }
        put_distrust(&write, worker, distrust)?;
        Ok(write.commit()?)
    }
}

/// Puts tokens into the wallet.
fn put_tokens<'a>(
    write: &WriteTransaction,
    worker: Address,
    tokens: impl IntoIterator<Item = &'a Token>,
    shown_with: Option<B256>,
) -> Result<(), StoreError> {
    let mut table = write.open_table(TOKENS)?;
    for token in tokens {
        let record = TokenRecord { token: token.clone(), shown_with };
        table.insert(key_of(worker, token), serde_json::to_vec(&record)?.as_slice())?;
    }
    Ok(())
}

/// Takes tokens out of the wallet.
fn take_tokens<'a>(
    write: &WriteTransaction,
    worker: Address,
    tokens: impl IntoIterator<Item = &'a Token>,
) -> Result<(), StoreError> {
    let mut table = write.open_table(TOKENS)?;
    for token in tokens {
        if table.remove(key_of(worker, token))?.is_none() {
            return Err(StoreError::Conflict);
        }
    }
    Ok(())
}

/// Ends a request to a language model that tokens pay for, once.
fn end_stream(write: &WriteTransaction, job_id: JobId) -> Result<PrepaidStreamRecord, StoreError> {
    let record = get(write, PREPAID_STREAMS, job_id.0)?.ok_or(StoreError::Missing)?;
    write.open_table(PREPAID_STREAMS)?.remove(job_id.0.0)?;
    Ok(record)
}

/// Ends a job that tokens pay for. Whether it had no end yet: only then are its tokens anybody's.
fn end(write: &WriteTransaction, job: &JobRecord, state: JobState) -> Result<bool, StoreError> {
    let job_id = job.request.header.job_id.0;
    let mut stored: JobRecord = get(write, JOBS, job_id)?.ok_or(StoreError::Missing)?;
    let was_open = stored.state == JobState::Sent;
    stored.state = state;
    put(write, JOBS, job_id, &stored)?;
    write.open_table(PREPAID)?.remove(job_id.0)?;
    Ok(was_open)
}
