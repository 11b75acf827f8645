//! What is kept of streams: how far a channel may have promised, what may have been spent, receipts, tokenizers.
//!
//! Two of these are **ceilings**: amounts that are on disk before they are reached, and in steps, so that most requests write nothing.
//! After a crash what may have been reached counts as reached.
//!
//! Of a receipt what was asked and answered is kept too, so that it can be shown to others, up to so many bytes in all: the oldest are forgotten first,
//! their receipts stay.

use alloy_primitives::{Address, B256};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, Privacy, receipts::SignedReceipt};
use tacit_wire::{
    Amount, JobId, Salts,
    language::{TokenCount, TokenPrices},
    message::{AnchorProof, base64_bytes, receipt_json},
    meter::Route,
    stream::EndReason,
    token::Token,
};

use super::{
    Bytes32Table, CHANNELS, ChannelRecord, Distrust, RECEIPTS, Store, StoreError, get, put, put_distrust,
};

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
    /// Id of the evidence of the guest that answered, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<B256>,
    /// Hash of the change that came with it ([`tacit_wire::prepaid::change_hash`]), where tokens paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<B256>,
    /// What is wrong with it, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Where it is on the ledger, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorProof>,
}

/// Whether two workers run the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There are too few steps to say.
    Undecided,
    /// As two honest engines are.
    Alike,
    /// As two honest engines are not. Nothing shows which of them is false.
    Unlike,
}

/// What an audit by another worker found of an answer (`specs/0010-streams.md`, *Audits*).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamAudit {
    /// It was compared with what another worker says.
    Compared {
        /// Who.
        with: Address,
        /// The other was asked the whole request, and both answers were compared as far as they go together; or else it computed places of this one again.
        #[serde(default)]
        whole: bool,
        /// How many places.
        places: usize,
        /// [`tacit_market::likeness::Likeness::distance`] over them.
        distance: f64,
        /// [`tacit_market::likeness::Likeness::gap`] over them, of an answer that was asked for at temperature 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gap: Option<f64>,
        /// Of both workers then, over their newest places: one answer's are too few to judge by.
        verdict: Verdict,
    },
    /// Its own bytes are not what an honest engine says.
    Unlike {
        /// Why.
        reason: String,
    },
    /// It cannot be compared, as honest engines' answers may be.
    Unsupported {
        /// Why.
        reason: String,
    },
    /// It came to nothing.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a receipt of a stream is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The request's body as it travelled.
    pub request: Vec<u8>,
    /// The answer as it came.
    pub answer: Vec<u8>,
}

impl core::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Exchange")
            .field("request", &self.request.len())
            .field("answer", &self.answer.len())
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// Bytes of both.
    #[must_use]
    pub fn length(&self) -> usize {
        self.request.len().saturating_add(self.answer.len())
    }

    /// `length of the request (u32, little endian) || request || answer`.
    fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let length = u32::try_from(self.request.len()).map_err(|_| StoreError::Overflow)?;
        Ok([length.to_le_bytes().as_slice(), &self.request, &self.answer].concat())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (request, answer) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        Some(Self { request: request.to_vec(), answer: answer.to_vec() })
    }
}

/// A receipt to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReceipt {
    /// Its leaf.
    pub hash: B256,
    /// The receipt.
    pub record: StreamRecord,
    /// What it is about, if that is to be kept.
    pub exchange: Option<Exchange>,
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
    /// What was paid and what came back, where tokens paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentShown>,
}

/// Tokens that paid for an answer, and the change that was given: the receipt's channel is about the first two ([`tacit_wire::token::payment_id_with_change`]), its evidence about the last.
/// So whoever has them, the price on the receipt, and key and price of the tokens on the ledger, sees whether the change was right.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentShown {
    /// What was shown.
    pub tokens: Vec<Token>,
    /// Requests for change.
    #[serde(with = "base64_bytes")]
    pub requests: Vec<u8>,
    /// What came back: blind signatures for the first of them.
    #[serde(with = "base64_bytes")]
    pub change: Vec<u8>,
}

impl core::fmt::Debug for PaymentShown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PaymentShown({} tokens)", self.tokens.len())
    }
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
/// What receipts are about, by job.
const EXCHANGES: Bytes32Table<'_> = TableDefinition::new("exchanges");
/// How many bytes of it are kept, by the number in `STREAMED`; the sum stands under the largest number, which no receipt has.
const EXCHANGED: TableDefinition<'_, u64, u64> = TableDefinition::new("exchanged");
const EXCHANGED_SUM: u64 = u64::MAX;
/// What audits found of answers, by job.
const STREAM_AUDITS: Bytes32Table<'_> = TableDefinition::new("stream_audits");
/// Files of tokenizers, by BLAKE3.
const TOKENIZERS: Bytes32Table<'_> = TableDefinition::new("tokenizers");

pub(super) fn prepare(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(SPENT_KEYS)?;
    write.open_table(SPENT)?;
    write.open_table(STREAMS)?;
    write.open_table(STREAMED)?;
    write.open_table(EXCHANGES)?;
    write.open_table(EXCHANGED)?;
    write.open_table(STREAM_AUDITS)?;
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

    /// Keeps receipts of streams, all in one write, and of all that receipts are about the newest `kept_bytes_max` bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_streams(&self, receipts: &[StreamReceipt], kept_bytes_max: u64) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put_receipts(&write, receipts, kept_bytes_max)?;
        Ok(write.commit()?)
    }

    /// What a receipt of a stream is about, while that is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn exchange(&self, job_id: JobId) -> Result<Option<Exchange>, StoreError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(EXCHANGES)?.get(job_id.0.0)?;
        found.map(|bytes| Exchange::from_bytes(bytes.value()).ok_or(StoreError::Missing)).transpose()
    }

    /// Keeps what an audit found of an answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_stream_audit(&self, job_id: JobId, audit: &StreamAudit) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        put(&write, STREAM_AUDITS, job_id.0, audit)?;
        Ok(write.commit()?)
    }

    /// What an audit found of an answer, if one was audited.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stream_audit(&self, job_id: JobId) -> Result<Option<StreamAudit>, StoreError> {
        self.read(STREAM_AUDITS, job_id.0)
    }

    /// Notes where a receipt of a stream is on the ledger.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_stream_anchor(&self, job_id: JobId, anchor: &AnchorProof) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        let mut record: StreamRecord = get(&write, STREAMS, job_id.0)?.ok_or(StoreError::Missing)?;
        record.anchor = Some(anchor.clone());
        put(&write, STREAMS, job_id.0, &record)?;
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
        receipt: Option<&StreamReceipt>,
    ) -> Result<(), StoreError> {
        if let Some(receipt) = receipt {
            // What shows that it is false is part of it.
            self.put_streams(core::slice::from_ref(receipt), u64::MAX)?;
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

/// Keeps receipts, and of all that receipts are about the newest `kept_bytes_max` bytes.
pub(super) fn put_receipts(
    write: &WriteTransaction,
    receipts: &[StreamReceipt],
    kept_bytes_max: u64,
) -> Result<(), StoreError> {
    let (mut streams, mut streamed) = (write.open_table(STREAMS)?, write.open_table(STREAMED)?);
    let mut hashes = write.open_table(RECEIPTS)?;
    let mut next = streamed.last()?.map_or(Some(0), |(last, _)| last.value().checked_add(1));
    let mut exchanges = Vec::new();
    for StreamReceipt { hash, record, exchange } in receipts {
        let number = next.ok_or(StoreError::Overflow)?;
        let job_id = record.receipt.receipt.jobId;
        streams.insert(job_id.0, serde_json::to_vec(record)?.as_slice())?;
        streamed.insert(number, job_id.0)?;
        hashes.insert(hash.0, job_id.0)?;
        exchanges.extend(exchange.as_ref().map(|exchange| (number, job_id, exchange)));
        next = number.checked_add(1);
    }
    put_exchanges(write, &exchanges)?;
    forget_exchanges(write, &streamed, kept_bytes_max)
}

/// Keeps what receipts are about, each with its number and its job.
fn put_exchanges(write: &WriteTransaction, exchanges: &[(u64, B256, &Exchange)]) -> Result<(), StoreError> {
    let (mut table, mut lengths) = (write.open_table(EXCHANGES)?, write.open_table(EXCHANGED)?);
    let mut sum = lengths.get(EXCHANGED_SUM)?.map_or(0, |sum| sum.value());
    for (number, job_id, exchange) in exchanges {
        let bytes = exchange.to_bytes()?;
        let length = u64::try_from(bytes.len()).map_err(|_| StoreError::Overflow)?;
        table.insert(job_id.0, bytes.as_slice())?;
        lengths.insert(*number, length)?;
        sum = sum.checked_add(length).ok_or(StoreError::Overflow)?;
    }
    lengths.insert(EXCHANGED_SUM, sum)?;
    Ok(())
}

/// Forgets the oldest until no more than `kept_bytes_max` are left.
fn forget_exchanges(
    write: &WriteTransaction,
    streamed: &impl ReadableTable<u64, [u8; 32]>,
    kept_bytes_max: u64,
) -> Result<(), StoreError> {
    let mut lengths = write.open_table(EXCHANGED)?;
    let mut sum = lengths.get(EXCHANGED_SUM)?.map_or(0, |sum| sum.value());
    if sum <= kept_bytes_max {
        return Ok(());
    }
    let mut exchanges = write.open_table(EXCHANGES)?;
    while sum > kept_bytes_max {
        let oldest = lengths.range(..EXCHANGED_SUM)?.next().transpose()?;
        let Some((number, length)) = oldest.map(|(number, length)| (number.value(), length.value())) else {
            break;
        };
        lengths.remove(number)?;
        if let Some(job_id) = streamed.get(number)?.map(|job_id| job_id.value()) {
            exchanges.remove(job_id)?;
        }
        sum = sum.checked_sub(length).ok_or(StoreError::Overflow)?;
    }
    lengths.insert(EXCHANGED_SUM, sum)?;
    Ok(())
}
