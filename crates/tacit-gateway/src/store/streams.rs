//! What is kept of streams: how far a channel may have promised, what may have been spent, receipts, tokenizers.
//!
//! Two of these are **ceilings**: amounts that are on disk before they are reached, and in steps, so that most requests write nothing.
//! After a crash what may have been reached counts as reached.

use alloy_primitives::{Address, B256};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy, receipts::SignedReceipt};
use tacit_wire::{
    Amount, JobId, Salts,
    language::{TokenCount, TokenPrices},
    message::{base64_bytes, receipt_json},
    meter::Route,
    stream::EndReason,
};

use super::{Bytes32Table, CHANNELS, ChannelRecord, Distrust, Store, StoreError, get, put, put_distrust};

/// Whose spending is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// All of the gateway's.
    Gateway,
    /// That of one key, by its hash; the zero hash for whoever needs none.
    Key(B256),
}

/// A language model as it was fetched and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageRecord {
    /// Manifest bytes.
    #[serde(with = "base64_bytes")]
    pub manifest: Vec<u8>,
}

/// A receipt of a stream, with what it takes to judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Name that the model was asked by.
    pub model: String,
    /// Where the worker was.
    pub endpoint: String,
    /// Which door.
    pub route: Route,
    /// Who could see the request.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// What was agreed.
    pub prices: TokenPrices,
    /// How it ended, as the worker says.
    pub reason: EndReason,
    /// What the worker says that it counted.
    pub claimed: TokenCount,
    /// What we counted.
    pub counted: TokenCount,
    /// Openings of the receipt's commitments.
    pub salts: Salts,
    /// The receipt.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// What is wrong with it, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Why a receipt is false, and the bytes that show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Stable name of the check.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The request's body as it travelled.
    #[serde(with = "base64_bytes")]
    pub request: Vec<u8>,
    /// The answer, up to a limit.
    #[serde(with = "base64_bytes")]
    pub answer: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

impl core::fmt::Debug for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fault")
            .field("code", &self.code)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// By day since 1970 and hash of the key (zeros: the gateway's own line is under its own table): what may have been spent.
const SPENT_KEYS: TableDefinition<'_, (u64, [u8; 32]), u128> = TableDefinition::new("spent_keys");
/// By day since 1970.
const SPENT: TableDefinition<'_, u64, u128> = TableDefinition::new("spent");
const STREAMS: Bytes32Table<'_> = TableDefinition::new("streams");
/// Receipts of streams in the order in which they came.
const STREAMED: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("streamed");
const LANGUAGES: Bytes32Table<'_> = TableDefinition::new("languages");
/// Files of tokenizers, by BLAKE3.
const TOKENIZERS: Bytes32Table<'_> = TableDefinition::new("tokenizers");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(SPENT_KEYS)?;
    write.open_table(SPENT)?;
    write.open_table(STREAMS)?;
    write.open_table(STREAMED)?;
    write.open_table(LANGUAGES)?;
    write.open_table(TOKENIZERS)?;
    Ok(())
}

impl Store {
    /// What may have been spent on a day (since 1970, UTC).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn spent(&self, day: u64, holder: Holder) -> Result<Amount, StoreError> {
        let read = self.database.begin_read()?;
        let found = match holder {
            Holder::Gateway => read.open_table(SPENT)?.get(day)?.map(|spent| spent.value()),
            Holder::Key(hash) => read.open_table(SPENT_KEYS)?.get((day, hash.0))?.map(|spent| spent.value()),
        };
        Ok(Amount(found.unwrap_or_default()))
    }

    /// Keeps what may be spent on a day, and forgets days before the one before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_spent(&self, day: u64, spent: &[(Holder, Amount)]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        {
            let (mut all, mut keys) = (write.open_table(SPENT)?, write.open_table(SPENT_KEYS)?);
            for (holder, amount) in spent {
                match holder {
                    Holder::Gateway => all.insert(day, amount.0)?,
                    Holder::Key(hash) => keys.insert((day, hash.0), amount.0)?,
                };
            }
            let kept = day.saturating_sub(1);
            all.retain(|day, _| day >= kept)?;
            keys.retain(|(day, _), _| day >= kept)?;
        }
        Ok(write.commit()?)
    }

    /// Keeps how far a channel for streams may promise, and what it has promised.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_ceiling(&self, channel_id: B256, ceiling: Amount, promised: Amount) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let mut channel: ChannelRecord = get(&write, CHANNELS, channel_id)?.ok_or(StoreError::Missing)?;
        channel.ceiling = Some(channel.ceiling.unwrap_or_default().max(ceiling));
        channel.signed = channel.signed.max(promised);
        put(&write, CHANNELS, channel_id, &channel)?;
        Ok(write.commit()?)
    }

    /// Keeps receipts of streams, all in one write.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_streams(&self, records: &[StreamRecord]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        {
            let mut streamed = write.open_table(STREAMED)?;
            let mut next = streamed.last()?.map_or(Some(0), |(last, _)| last.value().checked_add(1));
            for record in records {
                let number = next.ok_or(StoreError::Overflow)?;
                let job_id = record.receipt.receipt.jobId;
                put(&write, STREAMS, job_id, record)?;
                streamed.insert(number, job_id.0)?;
                next = number.checked_add(1);
            }
        }
        Ok(write.commit()?)
    }

    /// Keeps a false receipt, gives up its channel and does not ask its worker again: one write.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_false_stream(
        &self,
        channel_id: B256,
        worker: Address,
        distrust: &Distrust,
        record: Option<&StreamRecord>,
    ) -> Result<(), StoreError> {
        if let Some(record) = record {
            self.put_streams(core::slice::from_ref(record))?;
        }
        let write = self.database.begin_write()?;
        let mut channel: ChannelRecord = get(&write, CHANNELS, channel_id)?.ok_or(StoreError::Missing)?;
        channel.retired = true;
        put(&write, CHANNELS, channel_id, &channel)?;
        put_distrust(&write, worker, distrust)?;
        Ok(write.commit()?)
    }

    /// A receipt of a stream.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stream(&self, job_id: JobId) -> Result<Option<StreamRecord>, StoreError> {
        self.read(STREAMS, job_id.0)
    }

    /// Receipts of streams, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn streams(&self, limit: usize) -> Result<Vec<StreamRecord>, StoreError> {
        let read = self.database.begin_read()?;
        let (order, records) = (read.open_table(STREAMED)?, read.open_table(STREAMS)?);
        let mut found = Vec::new();
        for entry in order.iter()?.rev().take(limit) {
            let record = records.get(entry?.1.value())?.ok_or(StoreError::Missing)?;
            found.push(serde_json::from_slice(record.value())?);
        }
        Ok(found)
    }

    /// A language model that was checked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn language(&self, model_id: B256) -> Result<Option<LanguageRecord>, StoreError> {
        self.read(LANGUAGES, model_id)
    }

    /// The file of a tokenizer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tokenizer(&self, hash: B256) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.database.begin_read()?;
        Ok(read.open_table(TOKENIZERS)?.get(hash.0)?.map(|bytes| bytes.value().to_vec()))
    }

    /// Keeps a language model and its tokenizer, whose hashes were checked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_language(
        &self,
        model_id: B256,
        language: &LanguageRecord,
        tokenizer: (B256, &[u8]),
    ) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put(&write, LANGUAGES, model_id, language)?;
        write.open_table(TOKENIZERS)?.insert(tokenizer.0.0, tokenizer.1)?;
        Ok(write.commit()?)
    }
}
