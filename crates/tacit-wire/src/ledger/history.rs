//! What the ledger shows of a worker's past: the facts of [`mod@tacit_market::reputation`], gathered from public data alone, so that two nodes give the same at the same block.
//!
//! | fact | from |
//! |---|---|
//! | bonded | `stakes.stakeOf` at the block |
//! | settlements | events `Settled` and `Closed` of channels towards the worker, each with the gas of its transaction times the base fee of its block |
//! | passed audits, the last conviction | events `Passed` and `Convicted` of `audits` |
//! | liveness | `asks.livenessOf` at the block |
//!
//! Of settlements only those count that were sent to `channels` itself: such a transaction pays for one message, about one channel, so that what it burnt is one worker's, and no part of what somebody
//! else's contract burnt. Of `Closed` only those that the worker sent. Beats burn coins too and count nothing here: they show no trade.
//!
//! Logs are read in pages, as short as the node wants them. Every list has a limit; whatever reaches one is an error and never a shorter list.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use tacit_abi::{IAsks, IAudits, IChannels, IStakes, asks, audits, channels, stakes};
use tacit_market::{Facts, Reputation, reputation, reputation::Settlement};

use super::{LOG_PAGE_BLOCKS, LedgerClient, LedgerError, disputes::Log};
use crate::http::HttpError;

/// A worker's past as it is at a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerHistory {
    /// Whose.
    pub worker: Address,
    /// As of which block.
    pub block: u64,
    /// That block's hash: whoever gets another one reads another ledger.
    pub block_hash: B256,
    /// That block's time, Unix seconds.
    pub time_s: u64,
    /// When the worker said that it was there.
    pub liveness: IAsks::Liveness,
    /// What its reputation is made of.
    pub facts: Facts,
}

impl WorkerHistory {
    /// What it is worth at its block.
    #[must_use]
    pub fn reputation(&self) -> Reputation {
        reputation(&self.facts, self.time_s)
    }
}

/// Why a worker's past is not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The ledger refused or cannot be reached; a node that began with a state knows no logs from before it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger is not there yet.
    #[error("there is no block {block} yet: the newest is {newest}")]
    NotYet {
        /// The block that was asked about.
        block: u64,
        /// The newest one.
        newest: u64,
    },
    /// The ledger is longer than is read.
    #[error("block {block} is beyond the first {most}, which are read")]
    TooLong {
        /// The block that was asked about.
        block: u64,
        /// How many are read.
        most: u64,
    },
    /// A worker's list is longer than is read. Nothing is told, since a part would look like all.
    #[error("up to block {block} the worker has {found} {what}, and {most} are read: the rest is cut off")]
    TooMany {
        /// What of.
        what: &'static str,
        /// How many there are up to the block.
        found: usize,
        /// How many are read.
        most: usize,
        /// Where it was noticed.
        block: u64,
    },
}

/// Blocks that are searched for logs: some three years of one a second.
const BLOCKS_MAX: u64 = 100_000_000;
/// Channels towards one worker that are read.
const CHANNELS_MAX: usize = 20_000;
/// Settlements of one worker that are read, each with a receipt.
const SETTLEMENTS_MAX: usize = 20_000;
/// Audits of one worker that are read.
const AUDITS_MAX: usize = 20_000;
/// Channels that one request for logs names.
const CHANNELS_A_REQUEST: usize = 500;
/// What a node says when an answer were too long (EIP-1474).
const LIMIT_EXCEEDED: i64 = -32_005;

/// What is searched for.
struct Search {
    address: Address,
    topics: Value,
    what: &'static str,
    most: usize,
}

/// A block, as far as it matters.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    hash: B256,
    timestamp: U256,
    base_fee_per_gas: U256,
}

impl Header {
    fn time_s(&self) -> Result<u64, LedgerError> {
        u64::try_from(self.timestamp).map_err(|_| LedgerError::Malformed { method: BLOCK })
    }
}

/// Who sent a transaction where, and the gas it used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    from: Address,
    to: Option<Address>,
    gas_used: U256,
}

const BLOCK: &str = "eth_getBlockByNumber";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// Headers that were read.
#[derive(Debug, Default)]
struct Headers(HashMap<u64, Header>);

impl LedgerClient {
    /// A worker's past as it is at a block, the latest if none is named.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn history_of(
        &self,
        worker: Address,
        block: Option<u64>,
    ) -> Result<WorkerHistory, HistoryError> {
        let newest = self.block_number().await?;
        let block = block.unwrap_or(newest);
        if block > newest {
            return Err(HistoryError::NotYet { block, newest });
        }
        if block >= BLOCKS_MAX {
            return Err(HistoryError::TooLong { block, most: BLOCKS_MAX });
        }
        let mut headers = Headers::default();
        let head = headers.of(self, block).await?;
        let at = format!("{block:#x}");
        let bonded = self.call_at(&at, stakes::ADDRESS, &IStakes::stakeOfCall { worker }).await?.bonded;
        let liveness = self.call_at(&at, asks::ADDRESS, &IAsks::livenessOfCall { worker }).await?;
        let convicted = self.last_conviction(worker, block).await?;
        // What was before it counts nothing.
        let from = convicted.unwrap_or_default();
        let failed_at_s = match convicted {
            Some(convicted) => Some(headers.of(self, convicted).await?.time_s()?),
            None => None,
        };
        let facts = Facts {
            bonded,
            settlements: self.settlements(worker, from, block, &mut headers).await?,
            passed_at_s: self.passed_audits(worker, from, block, &mut headers).await?,
            failed_at_s,
            hours_covered: liveness.covered,
            hours_beaten: liveness.beaten,
        };
        let (block_hash, time_s) = (head.hash, head.time_s()?);
        Ok(WorkerHistory { worker, block, block_hash, time_s, liveness, facts })
    }

    /// The block of the last conviction of a worker.
    async fn last_conviction(&self, worker: Address, to: u64) -> Result<Option<u64>, HistoryError> {
        let topics = json!([IAudits::Convicted::SIGNATURE_HASH, null, worker.into_word()]);
        let search = Search { address: audits::ADDRESS, topics, what: "convictions", most: AUDITS_MAX };
        let mut last = None;
        for log in self.all_logs(&search, 0, to).await? {
            last = last.max(Some(log.block()?));
        }
        Ok(last)
    }

    /// When the worker passed audits.
    async fn passed_audits(
        &self,
        worker: Address,
        from: u64,
        to: u64,
        headers: &mut Headers,
    ) -> Result<Vec<u64>, HistoryError> {
        let topics = json!([IAudits::Passed::SIGNATURE_HASH, null, worker.into_word()]);
        let search = Search { address: audits::ADDRESS, topics, what: "passed audits", most: AUDITS_MAX };
        let mut times = Vec::new();
        for log in self.all_logs(&search, from, to).await? {
            times.push(headers.of(self, log.block()?).await?.time_s()?);
        }
        Ok(times)
    }

    /// What settlements of channels towards the worker burnt.
    async fn settlements(
        &self,
        worker: Address,
        from: u64,
        to: u64,
        headers: &mut Headers,
    ) -> Result<Vec<Settlement>, HistoryError> {
        let topics = json!([IChannels::Opened::SIGNATURE_HASH, null, null, worker.into_word()]);
        let search = Search { address: channels::ADDRESS, topics, what: "channels", most: CHANNELS_MAX };
        let opened = self.all_logs(&search, 0, to).await?;
        let Some(first) = opened.first() else { return Ok(Vec::new()) };
        let from = from.max(first.block()?);
        let ids: Vec<B256> = opened.iter().filter_map(|log| log.topics.get(1).copied()).collect();
        // Transactions in order, and whether one closed a channel.
        let mut sent: BTreeMap<(u64, B256), bool> = BTreeMap::new();
        for ids in ids.chunks(CHANNELS_A_REQUEST) {
            let (settled, closed) = (IChannels::Settled::SIGNATURE_HASH, IChannels::Closed::SIGNATURE_HASH);
            let search = Search {
                address: channels::ADDRESS,
                topics: json!([[settled, closed], ids]),
                what: "settlements",
                most: SETTLEMENTS_MAX,
            };
            for log in self.all_logs(&search, from, to).await? {
                sent.insert((log.block()?, log.transaction_hash), log.topics.first() == Some(&closed));
            }
            search.bounded(sent.len(), to)?;
        }
        let mut settlements = Vec::new();
        for ((block, hash), closed) in sent {
            let Sent { from, to, gas_used } = self.request(RECEIPT, json!([hash])).await?;
            if to == Some(channels::ADDRESS) && (!closed || from == worker) {
                let header = headers.of(self, block).await?;
                let burnt = gas_used.checked_mul(header.base_fee_per_gas);
                let burnt =
                    burnt.and_then(|burnt| u128::try_from(burnt).ok()).ok_or(LedgerError::Overflow)?;
                settlements.push(Settlement { at_s: header.time_s()?, burnt });
            }
        }
        Ok(settlements)
    }

    /// Every log that a search finds in these blocks, both included.
    async fn all_logs(&self, search: &Search, from: u64, to: u64) -> Result<Vec<Log>, HistoryError> {
        let (mut found, mut first, mut span) = (Vec::new(), from, LOG_PAGE_BLOCKS);
        while first <= to {
            let last = first.saturating_add(span.saturating_sub(1)).min(to);
            match self.raw_logs(search.address, &search.topics, first, last).await {
                Ok(logs) => {
                    found.extend(logs);
                    search.bounded(found.len(), last)?;
                    first = last.saturating_add(1);
                    span = span.saturating_mul(2).min(LOG_PAGE_BLOCKS);
                }
                // Too much for the node or for us, at once.
                Err(
                    LedgerError::Rpc { code: LIMIT_EXCEEDED, .. }
                    | LedgerError::Http(HttpError::TooLong { .. }),
                ) if span > 1 => span /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

impl Search {
    /// Refuses more than are read.
    fn bounded(&self, found: usize, block: u64) -> Result<(), HistoryError> {
        let Self { what, most, .. } = *self;
        if found > most { Err(HistoryError::TooMany { what, found, most, block }) } else { Ok(()) }
    }
}

impl Headers {
    async fn of(&mut self, ledger: &LedgerClient, block: u64) -> Result<Header, LedgerError> {
        if let Some(header) = self.0.get(&block) {
            return Ok(*header);
        }
        let header: Header = ledger.request(BLOCK, json!([format!("{block:#x}"), false])).await?;
        self.0.insert(block, header);
        Ok(header)
    }
}

impl Log {
    fn block(&self) -> Result<u64, LedgerError> {
        u64::try_from(self.block_number).map_err(|_| LedgerError::Malformed { method: "eth_getLogs" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_said() {
        let search = Search { address: channels::ADDRESS, topics: Value::Null, what: "channels", most: 3 };
        search.bounded(3, 7).unwrap();
        let cut = search.bounded(4, 7).unwrap_err();
        let said = "up to block 7 the worker has 4 channels, and 3 are read: the rest is cut off";
        assert_eq!(cut.to_string(), said);
    }
}
