//! Blocks and transactions for people: read from the ledger, with what they say to modules taken apart ([`decode`]).
//!
//! The ledger's words are shown, not believed: nothing here decides anything.

pub mod decode;

use core::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tacit_wire::{Amount, LedgerError, RpcClient};

use crate::{error::GatewayError, gateway::Gateway};

pub use decode::{Argument, Decoded, Kind};

/// Newest blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// The ledger.
    pub chain_id: u64,
    /// Number of its latest block.
    pub latest: u64,
    /// Blocks, newest first.
    pub blocks: Vec<BlockEntry>,
}

/// A block, briefly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, seconds since 1970.
    pub time_s: u64,
    /// Gas that its transactions used.
    pub gas_used: u64,
    /// How many transactions it has.
    pub transactions: usize,
    /// What they do, in a word each, up to a limit.
    pub actions: Vec<String>,
}

/// A block with its transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDetail {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Hash of the block before it.
    pub parent: B256,
    /// Root of the state after it.
    pub state_root: B256,
    /// Its time, seconds since 1970.
    pub time_s: u64,
    /// Gas that its transactions used.
    pub gas_used: u64,
    /// Gas that they may use.
    pub gas_limit: u64,
    /// Its transactions, up to a limit.
    pub transactions: Vec<TransactionDetail>,
    /// How many it has.
    pub count: usize,
}

/// A transaction with what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionDetail {
    /// Its hash.
    pub hash: B256,
    /// Who sent it.
    pub from: Address,
    /// To whom; none when it made a contract.
    pub to: Option<Address>,
    /// Coins that it carried.
    pub value: Amount,
    /// Gas that it used.
    pub gas_used: u64,
    /// What it paid for that.
    pub fee: Amount,
    /// Whether it did what it says.
    pub succeeded: bool,
    /// What it does, in a word.
    pub action: String,
    /// The call, when it is to a module.
    pub call: Option<Decoded>,
    /// The beginning of its input, when that is not taken apart.
    pub input: Option<String>,
    /// What modules logged, up to a limit.
    pub events: Vec<Decoded>,
    /// Logs that are not of modules, or are not shown.
    pub other_logs: usize,
}

/// Most blocks in one answer.
pub const BLOCKS_MAX: u64 = 32;
const ACTIONS_SHOWN_MAX: usize = 8;
const TRANSACTIONS_SHOWN_MAX: usize = 100;
const EVENTS_SHOWN_MAX: usize = 32;
const READ_AT_ONCE: usize = 4;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest block that is read, as JSON.
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    number: U256,
    hash: B256,
    parent_hash: B256,
    state_root: B256,
    timestamp: U256,
    gas_used: U256,
    gas_limit: U256,
    transactions: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    hash: B256,
    from: Address,
    to: Option<Address>,
    value: U256,
    input: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    gas_used: U256,
    effective_gas_price: U256,
    status: U256,
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

impl Gateway {
    /// Blocks before one, or the newest, newest first; at most [`BLOCKS_MAX`].
    ///
    /// # Errors
    /// [`GatewayError::Ledger`].
    pub async fn blocks(&self, before: Option<u64>, limit: u64) -> Result<Blocks, GatewayError> {
        let rpc = self.explorer()?;
        let latest = self.ledger.block_number().await?;
        let end = before.unwrap_or(u64::MAX).min(latest.saturating_add(1));
        let from = end.saturating_sub(limit.min(BLOCKS_MAX));
        let reading = (from..end).rev().map(|number| {
            let rpc = rpc.clone();
            async move { read_block(&rpc, number).await }
        });
        let read: Vec<Block> = futures::stream::iter(reading).buffered(READ_AT_ONCE).try_collect().await?;
        let blocks = read.iter().map(entry).collect();
        Ok(Blocks { chain_id: self.ledger.chain_id(), latest, blocks })
    }

    /// One block with all that its transactions did.
    ///
    /// # Errors
    /// [`GatewayError::UnknownBlock`], [`GatewayError::Ledger`].
    pub async fn block(&self, number: u64) -> Result<BlockDetail, GatewayError> {
        let rpc = self.explorer()?;
        let block = read_block(&rpc, number).await?;
        let receipts: Option<Vec<Receipt>> =
            ask(&rpc, "eth_getBlockReceipts", json!([U256::from(number)])).await?;
        let receipts = receipts.unwrap_or_default();
        if receipts.len() != block.transactions.len() {
            return Err(malformed("eth_getBlockReceipts").into());
        }
        let pairs = block.transactions.iter().zip(receipts).take(TRANSACTIONS_SHOWN_MAX);
        Ok(BlockDetail {
            number,
            hash: block.hash,
            parent: block.parent_hash,
            state_root: block.state_root,
            time_s: small(block.timestamp),
            gas_used: small(block.gas_used),
            gas_limit: small(block.gas_limit),
            transactions: pairs.map(|(transaction, receipt)| detail(transaction, &receipt)).collect(),
            count: block.transactions.len(),
        })
    }

    fn explorer(&self) -> Result<RpcClient, GatewayError> {
        RpcClient::new(self.ledger.url(), REQUEST_TIMEOUT).map_err(GatewayError::Http)
    }
}

async fn ask<R: DeserializeOwned>(
    rpc: &RpcClient,
    method: &'static str,
    params: Value,
) -> Result<Option<R>, GatewayError> {
    Ok(rpc.ask(method, params, BLOCK_BYTES_MAX).await?)
}

async fn read_block(rpc: &RpcClient, number: u64) -> Result<Block, GatewayError> {
    let block: Option<Block> = ask(rpc, "eth_getBlockByNumber", json!([U256::from(number), true])).await?;
    let block = block.ok_or(GatewayError::UnknownBlock { number })?;
    if small(block.number) == number { Ok(block) } else { Err(malformed("eth_getBlockByNumber").into()) }
}

fn malformed(method: &'static str) -> LedgerError {
    LedgerError::Malformed { method }
}

fn entry(block: &Block) -> BlockEntry {
    let shown = block.transactions.iter().take(ACTIONS_SHOWN_MAX);
    BlockEntry {
        number: small(block.number),
        hash: block.hash,
        time_s: small(block.timestamp),
        gas_used: small(block.gas_used),
        transactions: block.transactions.len(),
        actions: shown.map(|transaction| action(transaction, transaction.decode().as_ref())).collect(),
    }
}

impl Transaction {
    fn decode(&self) -> Option<Decoded> {
        decode::call(self.to?, &self.input)
    }
}

fn detail(transaction: &Transaction, receipt: &Receipt) -> TransactionDetail {
    let call = transaction.decode();
    let mut events = Vec::new();
    for log in &receipt.logs {
        if events.len() < EVENTS_SHOWN_MAX {
            events.extend(decode::event(log.address, &log.topics, &log.data));
        }
    }
    let fee = receipt.gas_used.saturating_mul(receipt.effective_gas_price);
    let undecoded = call.is_none() && !transaction.input.is_empty();
    TransactionDetail {
        hash: transaction.hash,
        from: transaction.from,
        to: transaction.to,
        value: amount(transaction.value),
        gas_used: small(receipt.gas_used),
        fee: amount(fee),
        succeeded: !receipt.status.is_zero(),
        action: action(transaction, call.as_ref()),
        input: undecoded.then(|| decode::shown_bytes(&transaction.input)),
        other_logs: receipt.logs.len().saturating_sub(events.len()),
        call,
        events,
    }
}

fn action(transaction: &Transaction, call: Option<&Decoded>) -> String {
    match (call, transaction.to) {
        (Some(call), _) => format!("{}.{}", call.module, call.name),
        (None, None) => "new contract".to_owned(),
        (None, Some(_)) if transaction.input.is_empty() => "transfer".to_owned(),
        (None, Some(to)) => match (decode::module_name(to), transaction.input.get(..4)) {
            (Some(module), _) => format!("{module}.?"),
            (None, Some(selector)) => format!("call {}", Bytes::copy_from_slice(selector)),
            (None, None) => "call".to_owned(),
        },
    }
}

/// A number that is shown: one that does not fit is the largest that does.
fn small(number: U256) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn amount(units: U256) -> Amount {
    Amount(u128::try_from(units).unwrap_or(u128::MAX))
}
