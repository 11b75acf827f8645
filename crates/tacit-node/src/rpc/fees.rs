//! What gas costs.

use alloy_consensus::Transaction;
use alloy_primitives::U256;
use alloy_rpc_types_eth::FeeHistory;

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::Params,
    read,
    server::Service,
};
use crate::store::View;

/// The least tip to offer. It is not zero because some wallets take zero for "unknown".
const TIP_MIN: u128 = 1;
/// Blocks that one fee history may span.
const HISTORY_BLOCKS_MAX: u64 = 1024;
/// Percentiles that one fee history may ask for.
const PERCENTILES_MAX: usize = 100;

pub(super) fn gas_price(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    let base_fee = next_base_fee(service);
    encode(&U256::from(u128::from(base_fee).saturating_add(tip_to_offer(service, base_fee))))
}

/// Of the next block.
pub(super) fn base_fee(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    encode(&U256::from(next_base_fee(service)))
}

pub(super) fn tip(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    encode(&U256::from(tip_to_offer(service, next_base_fee(service))))
}

fn next_base_fee(service: &Service) -> u64 {
    let shared = service.shared();
    shared.chain.next_base_fee(&shared.head())
}

/// Blocks are made at once, so the least tip does, unless the pool is so full that it takes more to get in.
fn tip_to_offer(service: &Service, base_fee: u64) -> u128 {
    service.shared().pool().tip_min(base_fee).max(TIP_MIN)
}

pub(super) fn history(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let count = params.number()?.min(HISTORY_BLOCKS_MAX);
    let newest = params.block()?;
    let percentiles: Vec<f64> = params.optional_object()?.unwrap_or_default();
    params.end()?;
    let sorted = percentiles.windows(2).all(|pair| matches!(pair, [low, high] if low <= high));
    if percentiles.len() > PERCENTILES_MAX
        || !sorted
        || percentiles.iter().any(|p| !(0.0..=100.0).contains(p))
    {
        return Err(RpcError::InvalidParams(
            "percentiles must be at most 100, rising, between 0 and 100".into(),
        ));
    }
    let view = service.shared().store.view()?;
    let newest = read::resolve(view.as_ref(), newest)?.ok_or(RpcError::UnknownBlock)?.header;
    if count == 0 {
        return encode(&FeeHistory::default());
    }
    let oldest_block = newest.number.saturating_add(1).saturating_sub(count);
    let mut history = FeeHistory { oldest_block, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for height in oldest_block..=newest.number {
        let (_, header) = view.header(height)?.ok_or(RpcError::UnknownBlock)?;
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        history.base_fee_per_gas.push(base_fee.into());
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        history.base_fee_per_blob_gas.push(1);
        history.blob_gas_used_ratio.push(0.0);
        if !percentiles.is_empty() {
            rewards.push(tips(view.as_ref(), height, base_fee, header.gas_used, &percentiles)?);
        }
    }
    history.base_fee_per_gas.push(service.shared().chain.next_base_fee(&newest).into());
    history.base_fee_per_blob_gas.push(1);
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    encode(&history)
}

/// Tips at the given percentiles of the gas used in a block.
fn tips(
    view: &dyn View,
    height: u64,
    base_fee: u64,
    gas_used: u64,
    percentiles: &[f64],
) -> Result<Vec<u128>, RpcError> {
    let mined = view.transactions(height)?.into_iter().zip(view.receipts(height)?);
    let mut paid: Vec<(u128, u64)> = mined
        .map(|(transaction, receipt)| {
            (transaction.effective_tip_per_gas(base_fee).unwrap_or_default(), receipt.gas_used)
        })
        .collect();
    paid.sort_unstable();
    let mut tips = Vec::with_capacity(percentiles.len());
    let mut paid = paid.into_iter();
    let (mut tip, mut gas_so_far) = paid.next().unwrap_or_default();
    for percentile in percentiles {
        let threshold = as_float(gas_used) * percentile / 100.0;
        while as_float(gas_so_far) < threshold {
            let Some((next, gas)) = paid.next() else { break };
            tip = next;
            gas_so_far = gas_so_far.saturating_add(gas);
        }
        tips.push(tip);
    }
    Ok(tips)
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { as_float(part) / as_float(whole) }
}

/// Gas amounts are far below 2^53.
const fn as_float(gas: u64) -> f64 {
    gas as f64
}
