//! Methods that read: one table from name to function.

use std::collections::BTreeMap;

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U64, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use serde_json::{Value, json};
use tacit_ledger::{Attributes, BlockContext, StateReader, next_context};

use super::{
    call,
    error::RpcError,
    fees, filters,
    frame::{Encoded, encode},
    logs,
    params::{self, BlockRef, Params},
    pool, raw,
    server::Service,
    shape::{self, Place},
    simulate, trace,
};
use crate::{
    config::CLIENT_VERSION,
    store::{At, Location, State, View},
};

pub(super) fn dispatch(service: &Service, method: &str, params: Params) -> Result<Encoded, RpcError> {
    match method {
        "eth_chainId" => constant(params, &U64::from(service.shared().chain.chain_id)),
        "net_version" => constant(params, &service.shared().chain.chain_id.to_string()),
        "web3_clientVersion" => constant(params, CLIENT_VERSION),
        "net_listening" => constant(params, &true),
        "net_peerCount" => constant(params, &U64::ZERO),
        "eth_syncing" => syncing(service, params),
        "eth_mining" => constant(params, &false),
        "eth_accounts" => constant(params, &[(); 0]),
        "eth_hashrate" => constant(params, &U64::ZERO),
        "eth_capabilities" => capabilities(service, params),
        "eth_coinbase" => constant(params, &service.shared().beneficiary),
        "eth_blobBaseFee" => constant(params, &U64::from(1)),
        "web3_sha3" => sha3(params),

        "eth_blockNumber" => constant(params, &U64::from(service.shared().head().number)),
        "eth_getBlockByNumber" => block_by_number(service, params),
        "eth_getBlockByHash" => block_by_hash(service, params),
        "eth_getBlockReceipts" => block_receipts(service, params),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            count(service, params)
        }
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => uncle_count(service, params),
        "eth_getUncleByBlockNumberAndIndex" | "eth_getUncleByBlockHashAndIndex" => no_uncle(params),

        "eth_getTransactionByHash" => transaction_by_hash(service, params),
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
            transaction_by_index(service, params)
        }
        "eth_getTransactionReceipt" => receipt(service, params),
        "eth_getRawTransactionByHash" => raw_transaction(service, params),

        "eth_getBalance" => balance(service, params),
        "eth_getTransactionCount" => nonce(service, params),
        "eth_getCode" => code(service, params),
        "eth_getStorageAt" => storage(service, params),
        "eth_getStorageValues" => storage_values(service, params),
        "eth_getProof" => Err(RpcError::Unsupported(
            "eth_getProof is not available: the state root is not a Merkle-Patricia trie",
        )),

        "eth_call" => call::call(service, params),
        "eth_estimateGas" => call::estimate_gas(service, params),
        "eth_simulateV1" => simulate::simulate(service, params),
        "eth_createAccessList" => trace::access_list(service, params),
        "debug_traceCall" => trace::call(service, params),
        "debug_traceTransaction" => trace::transaction(service, params),
        "debug_traceBlockByNumber" | "debug_traceBlockByHash" => trace::block(service, params),

        "debug_getRawHeader" => raw::header(service, params),
        "debug_getRawBlock" => raw::block(service, params),
        "debug_getRawReceipts" => raw::receipts(service, params),
        "debug_getRawTransaction" => raw_transaction(service, params),
        "tacit_getBlocks" => final_blocks(service, params),
        // Blocks that are not valid are not kept.
        "debug_getBadBlocks" => constant(params, &[(); 0]),

        "eth_gasPrice" => fees::gas_price(service, params),
        "eth_baseFee" => fees::base_fee(service, params),
        "eth_maxPriorityFeePerGas" => fees::tip(service, params),
        "eth_feeHistory" => fees::history(service, params),

        "eth_getLogs" => logs::get(service, params),
        "eth_newFilter" => filters::new_logs(service, params),
        "eth_newBlockFilter" => filters::new_blocks(service, params),
        "eth_newPendingTransactionFilter" => filters::new_pending(service, params),
        "eth_getFilterChanges" => filters::changes(service, params),
        "eth_getFilterLogs" => filters::logs(service, params),
        "eth_uninstallFilter" => filters::uninstall(service, params),

        "eth_subscribe" | "eth_unsubscribe" => {
            Err(RpcError::Unsupported("subscriptions need a WebSocket connection, and come one to a message"))
        }

        "txpool_status" => pool::status(service, params),
        "txpool_content" => pool::content(service, params),
        "txpool_contentFrom" => pool::content_from(service, params),
        "txpool_inspect" => pool::inspect(service, params),
        _ => Err(RpcError::MethodNotFound(method.to_owned())),
    }
}

/// Where a node stands that does not have its network's blocks yet. A validator does not know how many there are; a follower
/// knows what its sources say.
fn syncing(service: &Service, params: Params) -> Result<Encoded, RpcError> {
    let shared = service.shared();
    if shared.has_caught_up() {
        return constant(params, &false);
    }
    let head = shared.head().number;
    let highest = U64::from(shared.heard_of().max(head));
    let head = U64::from(head);
    constant(params, &json!({ "startingBlock": head, "currentBlock": head, "highestBlock": highest }))
}

/// `tacit_getBlocks(first, count)`: blocks with their seals, for those who follow; an answer that is full ends early, and so does
/// one beyond the head.
fn final_blocks(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (first, count) = (params.quantity()?, params.quantity()?);
    params.end()?;
    encode(&service.node.blocks(first, count)?)
}

fn constant<T: serde::Serialize + ?Sized>(mut params: Params, value: &T) -> Result<Encoded, RpcError> {
    params.end()?;
    encode(value)
}

fn sha3(mut params: Params) -> Result<Encoded, RpcError> {
    let bytes = params.bytes()?;
    params.end()?;
    encode(&keccak256(bytes))
}

/// A block as it was asked for.
pub(super) struct Resolved {
    pub(super) hash: B256,
    pub(super) header: Header,
    pub(super) at: At,
}

/// Finds a block; `pending` is the latest one here.
pub(super) fn resolve(view: &dyn View, block: BlockRef) -> Result<Option<Resolved>, RpcError> {
    let (head_hash, head) = view.head()?;
    let height = match block {
        BlockRef::Latest | BlockRef::Pending => head.number,
        BlockRef::Number(height) => height,
        BlockRef::Hash(hash) => match view.height(hash)? {
            Some(height) => height,
            None => return Ok(None),
        },
    };
    if height == head.number {
        return Ok(Some(Resolved { hash: head_hash, header: head, at: At::Head }));
    }
    let found = view.header(height)?;
    Ok(found.map(|(hash, header)| Resolved { hash, header, at: At::Height(height) }))
}

/// The state that a request means, with the block it belongs to.
pub(super) fn state_at(view: &dyn View, block: BlockRef) -> Result<(State<'_>, Resolved), RpcError> {
    let resolved = resolve(view, block)?.ok_or(RpcError::UnknownBlock)?;
    Ok((State::new(view, resolved.at), resolved))
}

/// What contracts would see in the next block.
pub(super) fn pending_context(service: &Service, head: &Header) -> Result<BlockContext, RpcError> {
    let shared = service.shared();
    let timestamp = shared.clock().next(head.timestamp);
    let (beneficiary, prev_randao) = (shared.beneficiary, head.mix_hash);
    let attributes = Attributes { timestamp, beneficiary, prev_randao, ..Attributes::default() };
    next_context::<std::convert::Infallible>(&shared.chain, head, &attributes)
        .map_err(|why| RpcError::Execution(why.to_string()))
}

fn balance(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (address, block) = (params.address()?, params.block()?);
    params.end()?;
    let view = service.shared().store.view()?;
    let account = state_at(view.as_ref(), block)?.0.account(address)?;
    encode(&account.map_or(U256::ZERO, |account| account.balance))
}

fn nonce(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (address, block) = (params.address()?, params.block()?);
    params.end()?;
    let view = service.shared().store.view()?;
    let account = state_at(view.as_ref(), block)?.0.account(address)?;
    let mut nonce = account.map_or(0, |account| account.nonce);
    if block == BlockRef::Pending {
        nonce = service.shared().pool().next_nonce(address).map_or(nonce, |next| next.max(nonce));
    }
    encode(&U64::from(nonce))
}

fn code(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (address, block) = (params.address()?, params.block()?);
    params.end()?;
    let view = service.shared().store.view()?;
    let state = state_at(view.as_ref(), block)?.0;
    match state.account(address)? {
        Some(account) if account.code_hash != KECCAK256_EMPTY => encode(&state.code(account.code_hash)?),
        _ => encode("0x"),
    }
}

fn storage(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (address, slot, block) = (params.address()?, params.slot()?, params.block()?);
    params.end()?;
    let view = service.shared().store.view()?;
    let value = state_at(view.as_ref(), block)?.0.storage(address, slot)?;
    encode(&B256::from(value))
}

/// Slots that one request may ask for.
const SLOTS_MAX: usize = 1024;

fn storage_values(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let wanted: BTreeMap<Address, Vec<Value>> = params.object()?;
    let block = params.block()?;
    params.end()?;
    let count: usize = wanted.values().map(Vec::len).sum();
    if count == 0 {
        return Err(RpcError::InvalidParams("argument 0: no slots are asked for".into()));
    }
    if count > SLOTS_MAX {
        return Err(RpcError::LimitExceeded(format!("at most {SLOTS_MAX} slots at a time")));
    }
    let view = service.shared().store.view()?;
    let state = state_at(view.as_ref(), block)?.0;
    let mut values: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for (address, slots) in wanted {
        let found = values.entry(address).or_default();
        for slot in slots {
            let slot = params::slot(&slot).map_err(|why| RpcError::InvalidParams(why.to_owned()))?;
            found.push(B256::from(state.storage(address, slot)?));
        }
    }
    encode(&values)
}

/// Everything since the first block is kept, or since the checkpoint that the node began with; there are no Merkle-Patricia
/// proofs of state.
fn capabilities(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    let head = service.shared().head();
    let began = service.shared().store.view()?.began()?;
    let oldest = U64::from(began.map_or(0, |began| began.saturating_add(1)));
    let whole = json!({ "disabled": false, "oldestBlock": oldest });
    encode(&json!({
        "head": { "number": U64::from(head.number), "hash": head.hash() },
        "state": whole, "tx": whole, "logs": whole, "receipts": whole, "blocks": whole,
        "stateproofs": { "disabled": true },
    }))
}

fn block_by_number(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (block, full) = (params.block()?, params.flag()?);
    params.end()?;
    if block == BlockRef::Pending {
        return pending_block(service, full);
    }
    encode_block(service, block, full)
}

fn block_by_hash(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (hash, full) = (params.hash()?, params.flag()?);
    params.end()?;
    encode_block(service, BlockRef::Hash(hash), full)
}

fn encode_block(service: &Service, block: BlockRef, full: bool) -> Result<Encoded, RpcError> {
    let view = service.shared().store.view()?;
    let Some(found) = resolve(view.as_ref(), block)? else { return encode(&()) };
    let transactions = view.transactions(found.header.number)?;
    encode(&shape::block(found.hash, &found.header, transactions, full))
}

/// The next block as it would be if it were made now, without executing it: its roots are those of no block.
fn pending_block(service: &Service, full: bool) -> Result<Encoded, RpcError> {
    let shared = service.shared();
    let head = shared.head();
    let context = pending_context(service, &head)?;
    let transactions = shared.pool().ready(context.base_fee, context.gas_limit);
    let header = Header {
        parent_hash: head.hash(),
        number: context.number,
        timestamp: context.timestamp,
        gas_limit: context.gas_limit,
        base_fee_per_gas: Some(context.base_fee),
        beneficiary: context.beneficiary,
        gas_used: 0,
        ..head.inner().clone()
    };
    encode(&shape::block(header.hash_slow(), &header, transactions, full))
}

fn count(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.block()?;
    params.end()?;
    if block == BlockRef::Pending {
        let head = service.shared().head();
        let context = pending_context(service, &head)?;
        return encode(&U64::from(service.shared().pool().ready(context.base_fee, context.gas_limit).len()));
    }
    let view = service.shared().store.view()?;
    match resolve(view.as_ref(), block)? {
        Some(found) => encode(&U64::from(view.transactions(found.header.number)?.len())),
        None => encode(&()),
    }
}

fn uncle_count(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.block()?;
    params.end()?;
    let view = service.shared().store.view()?;
    encode(&resolve(view.as_ref(), block)?.map(|_| U64::ZERO))
}

fn no_uncle(mut params: Params) -> Result<Encoded, RpcError> {
    params.block()?;
    params.quantity()?;
    params.end()?;
    encode(&())
}

/// A mined transaction with its block.
fn mined(
    view: &dyn View,
    location: Location,
) -> Result<Option<(Recovered<TxEnvelope>, B256, Header)>, RpcError> {
    let Some(transaction) = view.transaction(location)? else { return Ok(None) };
    let Some((hash, header)) = view.header(location.height)? else { return Ok(None) };
    Ok(Some((transaction, hash, header)))
}

fn transaction_by_hash(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let hash = params.hash()?;
    params.end()?;
    // The pool first: what leaves it has been stored before.
    let waiting = service.shared().pool().transaction(&hash).cloned();
    let view = service.shared().store.view()?;
    if let Some(location) = view.location(hash)?
        && let Some((transaction, hash, header)) = mined(view.as_ref(), location)?
    {
        return encode(&shape::mined(transaction, Place { hash, header: &header, index: location.index }));
    }
    encode(&waiting.map(shape::waiting))
}

fn raw_transaction(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    use alloy_eips::eip2718::Encodable2718;
    let hash = params.hash()?;
    params.end()?;
    let waiting = service.shared().pool().transaction(&hash).cloned();
    let view = service.shared().store.view()?;
    let mined = view.location(hash)?.map(|location| view.transaction(location)).transpose()?.flatten();
    let bytes =
        mined.or(waiting).map(|transaction| alloy_primitives::Bytes::from(transaction.encoded_2718()));
    encode(&bytes)
}

fn transaction_by_index(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let (block, index) = (params.block()?, params.quantity()?);
    params.end()?;
    let view = service.shared().store.view()?;
    let (Some(found), Ok(index)) = (resolve(view.as_ref(), block)?, u32::try_from(index)) else {
        return encode(&());
    };
    let location = Location { height: found.header.number, index };
    let place = Place { hash: found.hash, header: &found.header, index };
    encode(&view.transaction(location)?.map(|transaction| shape::mined(transaction, place)))
}

fn receipt(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let hash = params.hash()?;
    params.end()?;
    encode(&receipt_of(service, hash)?)
}

pub(super) fn receipt_of(service: &Service, hash: B256) -> Result<Option<TransactionReceipt>, RpcError> {
    let view = service.shared().store.view()?;
    let Some(location) = view.location(hash)? else { return Ok(None) };
    let (Some(stored), Some((transaction, hash, header))) =
        (view.receipt(location)?, mined(view.as_ref(), location)?)
    else {
        return Ok(None);
    };
    Ok(Some(shape::receipt(&stored, &transaction, Place { hash, header: &header, index: location.index })))
}

fn block_receipts(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.block()?;
    params.end()?;
    let view = service.shared().store.view()?;
    let Some(found) = resolve(view.as_ref(), block)? else { return encode(&()) };
    let height = found.header.number;
    let mined = (0_u32..).zip(view.transactions(height)?).zip(view.receipts(height)?);
    let receipts = mined.map(|((index, transaction), stored)| {
        shape::receipt(&stored, &transaction, Place { hash: found.hash, header: &found.header, index })
    });
    encode(&receipts.collect::<Vec<_>>())
}
