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
//! Logs are read in pages, as short as the node wants them, the newest first. Of settlements and of passed audits the newest [`COUNTED_MAX`] count, in the order of the ledger, so that everybody counts the
//! same ones; a worker's channels are not looked through, of which anybody opens as many as he likes. Where more events than [`EVENTS_MAX`] have to be read for that, which only settlements through contracts
//! bring about, it is an error and never a shorter list.

use std::collections::HashMap;

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
    /// There are more events of a worker than are read. Nothing is told, since a part would look like all.
    #[error("back to block {block} the worker has {found} events, and {most} are read: the rest is cut off")]
    TooMany {
        /// How many there are from the block on.
        found: usize,
        /// How many are read.
        most: usize,
        /// Where it was noticed.
        block: u64,
    },
}

/// Blocks that are searched for logs: some three years of one a second.
const BLOCKS_MAX: u64 = 100_000_000;
/// Settlements of one worker that count, and audits that it passed.
const COUNTED_MAX: usize = 20_000;
/// Events of one kind about one worker that are read.
const EVENTS_MAX: usize = 200_000;
/// What a node says when an answer were too long (EIP-1474).
const LIMIT_EXCEEDED: i64 = -32_005;

/// What is searched for.
#[derive(Debug, Clone, Copy)]
struct Search<'a> {
    address: Address,
    topics: &'a Value,
    from: u64,
    to: u64,
}

/// Pages of logs, from the newest to the oldest.
struct Pages<'a> {
    ledger: &'a LedgerClient,
    search: Search<'a>,
    /// Blocks from here on are read; none is left where it is no more than the first.
    end: u64,
    span: u64,
    found: usize,
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
        let mut pages = self.pages(Search { address: audits::ADDRESS, topics: &topics, from: 0, to });
        while let Some(logs) = pages.next().await? {
            if let Some(last) = logs.first() {
                return Ok(Some(last.block()?));
            }
        }
        Ok(None)
    }

    /// When the worker passed audits, the newest first.
    async fn passed_audits(
        &self,
        worker: Address,
        from: u64,
        to: u64,
        headers: &mut Headers,
    ) -> Result<Vec<u64>, HistoryError> {
        let topics = json!([IAudits::Passed::SIGNATURE_HASH, null, worker.into_word()]);
        let mut pages = self.pages(Search { address: audits::ADDRESS, topics: &topics, from, to });
        let mut times = Vec::new();
        while let Some(logs) = pages.next().await? {
            for log in logs {
                if times.len() == COUNTED_MAX {
                    return Ok(times);
                }
                times.push(headers.of(self, log.block()?).await?.time_s()?);
            }
        }
        Ok(times)
    }

    /// What settlements of channels towards the worker burnt, the newest first.
    async fn settlements(
        &self,
        worker: Address,
        from: u64,
        to: u64,
        headers: &mut Headers,
    ) -> Result<Vec<Settlement>, HistoryError> {
        let (settled, closed) = (IChannels::Settled::SIGNATURE_HASH, IChannels::Closed::SIGNATURE_HASH);
        let topics = json!([[settled, closed], null, worker.into_word()]);
        let mut pages = self.pages(Search { address: channels::ADDRESS, topics: &topics, from, to });
        let (mut settlements, mut last) = (Vec::new(), None);
        while let Some(logs) = pages.next().await? {
            for log in logs {
                // One transaction's are beside each other.
                if last.replace(log.transaction_hash) == Some(log.transaction_hash) {
                    continue;
                }
                if settlements.len() == COUNTED_MAX {
                    return Ok(settlements);
                }
                let closes = log.topics.first() == Some(&closed);
                let Sent { from, to, gas_used } =
                    self.request(RECEIPT, json!([log.transaction_hash])).await?;
                if to == Some(channels::ADDRESS) && (!closes || from == worker) {
                    let header = headers.of(self, log.block()?).await?;
                    let burnt = gas_used.checked_mul(header.base_fee_per_gas);
                    let burnt =
                        burnt.and_then(|burnt| u128::try_from(burnt).ok()).ok_or(LedgerError::Overflow)?;
                    settlements.push(Settlement { at_s: header.time_s()?, burnt });
                }
            }
        }
        Ok(settlements)
    }

    fn pages<'a>(&'a self, search: Search<'a>) -> Pages<'a> {
        let end = search.to.saturating_add(1);
        Pages { ledger: self, search, end, span: LOG_PAGE_BLOCKS, found: 0 }
    }
}

impl Pages<'_> {
    /// Logs of the blocks before those that were read, the newest first; none once all are.
    async fn next(&mut self) -> Result<Option<Vec<Log>>, HistoryError> {
        let Search { address, topics, from, .. } = self.search;
        while let Some(last) = self.end.checked_sub(1).filter(|last| *last >= from) {
            let first = self.end.saturating_sub(self.span).max(from);
            match self.ledger.raw_logs(address, topics, first, last).await {
                Ok(mut logs) => {
                    self.found = self.found.saturating_add(logs.len());
                    bounded(self.found, first)?;
                    self.end = first;
                    self.span = self.span.saturating_mul(2).min(LOG_PAGE_BLOCKS);
                    logs.reverse();
                    return Ok(Some(logs));
                }
                // Too much for the node or for us, at once.
                Err(
                    LedgerError::Rpc { code: LIMIT_EXCEEDED, .. }
                    | LedgerError::Http(HttpError::TooLong { .. }),
                ) if self.span > 1 => self.span /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// Refuses more events than are read.
fn bounded(found: usize, block: u64) -> Result<(), HistoryError> {
    if found > EVENTS_MAX { Err(HistoryError::TooMany { found, most: EVENTS_MAX, block }) } else { Ok(()) }
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
        bounded(EVENTS_MAX, 7).unwrap();
        let cut = bounded(EVENTS_MAX + 1, 7).unwrap_err();
        let said = "back to block 7 the worker has 200001 events, and 200000 are read: the rest is cut off";
        assert_eq!(cut.to_string(), said);
    }
}
