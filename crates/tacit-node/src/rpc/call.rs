//! `eth_call` and `eth_estimateGas`.

use std::collections::BTreeMap;

use alloy_eips::eip7702::constants::{EIP7702_DELEGATION_DESIGNATOR, PER_EMPTY_ACCOUNT_COST};
use alloy_evm::{eth::EthEvmContext, revm::Inspector};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest, request::TransactionInput,
    state::AccountOverride as RpcAccountOverride, state::StateOverride,
};
use alloy_sol_types::decode_revert_reason;
use tacit_ledger::{
    AccountOverride, BlockContext, CallError, CallRequest, CallStatus, Chain, EstimateError, ExecuteError,
    HaltReason, Inspected, Overlay, Overrides, Rejection, StorageOverride,
};

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::{BlockRef, Params},
    read,
    server::Service,
};
use crate::{
    admission::refused,
    store::{State, StoreError, View},
};

/// Slots that one request may override.
const OVERRIDE_SLOTS_MAX: usize = 10_000;

pub(super) fn call(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let request: TransactionRequest = params.object()?;
    let block = params.block()?;
    let view = service.shared().store.view()?;
    let job = Job::new(service, view.as_ref(), request, block, &mut params)?;
    let chain = &service.shared().chain;
    let outcome = tacit_ledger::call(chain, &job.context, &job.state, &job.request, &job.overrides);
    let outcome = outcome.map_err(call_error)?;
    match outcome.status {
        CallStatus::Success => encode(&outcome.output),
        CallStatus::Revert => Err(reverted(outcome.output)),
        CallStatus::Halt(reason) => Err(halted(&reason)),
    }
}

pub(super) fn estimate_gas(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let request: TransactionRequest = params.object()?;
    // What is estimated will run in the next block, so that is where to look from unless told.
    let block = params.block_or(BlockRef::Pending)?;
    let view = service.shared().store.view()?;
    let job = Job::new(service, view.as_ref(), request, block, &mut params)?;
    let chain = &service.shared().chain;
    let gas = tacit_ledger::estimate_gas(chain, &job.context, &job.state, &job.request, &job.overrides);
    let gas = gas.map_err(|error| match error {
        EstimateError::Call(error) => call_error(error),
        EstimateError::Revert(data) => reverted(data),
        EstimateError::Halt(reason) => halted(&reason),
        other => RpcError::Execution(other.to_string()),
    })?;
    encode(&U256::from(gas.saturating_add(job.authorization_gas)))
}

/// A message with the state and block that it is to see.
pub(super) struct Job<'a> {
    pub(super) state: State<'a>,
    pub(super) context: BlockContext,
    pub(super) request: CallRequest,
    pub(super) overrides: Overrides,
    /// What the authorizations cost beside the message itself.
    authorization_gas: u64,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        service: &Service,
        view: &'a dyn View,
        request: TransactionRequest,
        block: BlockRef,
        params: &mut Params,
    ) -> Result<Self, RpcError> {
        let state_override: Option<StateOverride> = params.optional_object()?;
        let block_override: Option<BlockOverrides> = params.optional_object()?;
        params.end()?;
        Self::with(service, view, request, block, state_override, block_override)
    }

    /// The same with overrides that came otherwise.
    pub(super) fn with(
        service: &Service,
        view: &'a dyn View,
        request: TransactionRequest,
        block: BlockRef,
        state_override: Option<StateOverride>,
        block_override: Option<BlockOverrides>,
    ) -> Result<Self, RpcError> {
        let (state, resolved) = read::state_at(view, block)?;
        let mut context = match block {
            BlockRef::Pending => read::pending_context(service, &resolved.header)?,
            _ => BlockContext::of(&resolved.header),
        };
        override_block(&mut context, block_override.unwrap_or_default())?;
        let mut overrides = override_state(state_override.unwrap_or_default())?;
        let authorization_gas = apply_authorizations(&request, &mut overrides)?;
        let request = message(request, service.shared().chain.chain_id, context.base_fee)?;
        Ok(Self { state, context, request, overrides, authorization_gas })
    }
}

impl<'a> Job<'a> {
    /// Executes the message, watched.
    pub(super) fn inspect<I>(&'a self, chain: &Chain, inspector: I) -> Result<Inspected, RpcError>
    where
        I: Inspector<EthEvmContext<Overlay<'a, State<'a>>>>,
    {
        let Self { state, context, request, overrides, .. } = self;
        tacit_ledger::inspect_call(chain, context, state, request, overrides, inspector).map_err(call_error)
    }
}

fn message(request: TransactionRequest, chain_id: u64, base_fee: u64) -> Result<CallRequest, RpcError> {
    let invalid = |why: &str| Err(RpcError::InvalidParams(why.to_owned()));
    if request.blob_versioned_hashes.is_some() || request.sidecar.is_some() {
        return invalid("blob transactions are not supported");
    }
    if request.chain_id.is_some_and(|id| id != chain_id) {
        return invalid("chainId does not match this chain's");
    }
    let gas_price = match (request.gas_price, request.max_fee_per_gas, request.max_priority_fee_per_gas) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return invalid("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
        }
        (Some(price), None, None) => price,
        (None, Some(fee), Some(tip)) if tip > fee => {
            return invalid("maxPriorityFeePerGas is higher than maxFeePerGas");
        }
        (None, Some(fee), tip) => fee
            .min(u128::from(base_fee).saturating_add(tip.unwrap_or_default()))
            .max(fee.min(base_fee.into())),
        (None, None, _) => 0,
    };
    let input = TransactionInput::try_into_unique_input(request.input)
        .map_err(|_| RpcError::InvalidParams("both data and input are given and differ".into()))?;
    Ok(CallRequest {
        from: request.from.unwrap_or_default(),
        to: request.to.and_then(|to| to.into_to()),
        value: request.value.unwrap_or_default(),
        input: input.unwrap_or_default(),
        gas: request.gas,
        gas_price,
        access_list: request.access_list.unwrap_or_default(),
    })
}

/// Lets accounts that delegate in this request (EIP-7702) appear as if they had, and tells what that costs.
fn apply_authorizations(request: &TransactionRequest, overrides: &mut Overrides) -> Result<u64, RpcError> {
    let Some(list) = &request.authorization_list else { return Ok(0) };
    if list.len() > 1000 {
        return Err(RpcError::InvalidParams("too many authorizations".into()));
    }
    for authorization in list {
        if let Ok(authority) = authorization.recover_authority() {
            let code = if authorization.address.is_zero() {
                Bytes::new()
            } else {
                [&EIP7702_DELEGATION_DESIGNATOR[..], authorization.address.as_slice()].concat().into()
            };
            overrides.entry(authority).or_default().code = Some(code);
        }
    }
    Ok(PER_EMPTY_ACCOUNT_COST.saturating_mul(list.len() as u64))
}

fn override_block(context: &mut BlockContext, changes: BlockOverrides) -> Result<(), RpcError> {
    let unsupported =
        |what: &str| Err(RpcError::InvalidParams(format!("block override of {what} is not supported")));
    if changes.blob_base_fee.is_some() {
        return unsupported("blobBaseFee");
    }
    override_context(context, changes)
}

/// Changes what a block tells contracts, but for `BLOBBASEFEE`.
pub(super) fn override_context(context: &mut BlockContext, changes: BlockOverrides) -> Result<(), RpcError> {
    let unsupported =
        |what: &str| Err(RpcError::InvalidParams(format!("block override of {what} is not supported")));
    if changes.beacon_root.is_some_and(|root| !root.is_zero()) {
        return unsupported("beaconRoot");
    }
    if changes.difficulty.is_some_and(|difficulty| !difficulty.is_zero()) {
        return unsupported("difficulty");
    }
    if changes.block_hash.is_some() {
        return unsupported("blockHash");
    }
    let narrow = |value: U256| {
        u64::try_from(value).map_err(|_| RpcError::InvalidParams("block override too large".into()))
    };
    if let Some(number) = changes.number {
        context.number = narrow(number)?;
    }
    if let Some(base_fee) = changes.base_fee {
        context.base_fee = narrow(base_fee)?;
    }
    context.timestamp = changes.time.unwrap_or(context.timestamp);
    context.gas_limit = changes.gas_limit.unwrap_or(context.gas_limit);
    context.beneficiary = changes.coinbase.unwrap_or(context.beneficiary);
    context.prev_randao = changes.random.unwrap_or(context.prev_randao);
    Ok(())
}

pub(super) fn override_state(changes: StateOverride) -> Result<Overrides, RpcError> {
    let mut slots_left = OVERRIDE_SLOTS_MAX;
    changes.into_iter().map(|(address, change)| override_account(address, change, &mut slots_left)).collect()
}

fn override_account(
    address: Address,
    change: RpcAccountOverride,
    slots_left: &mut usize,
) -> Result<(Address, AccountOverride), RpcError> {
    let invalid = |why: &str| RpcError::InvalidParams(format!("override of {address}: {why}"));
    let slots = change.state.as_ref().or(change.state_diff.as_ref()).map_or(0, |slots| slots.len());
    *slots_left = slots_left.checked_sub(slots).ok_or_else(|| invalid("too many slots"))?;
    fn words(slots: impl IntoIterator<Item = (B256, B256)>) -> BTreeMap<U256, U256> {
        slots.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect()
    }
    let storage = match (change.state, change.state_diff) {
        (Some(_), Some(_)) => return Err(invalid("both state and stateDiff")),
        (Some(slots), None) => Some(StorageOverride::All(words(slots))),
        (None, Some(slots)) => Some(StorageOverride::Some(words(slots))),
        (None, None) => None,
    };
    let RpcAccountOverride { balance, nonce, code, move_precompile_to: precompile_to, .. } = change;
    Ok((address, AccountOverride { balance, nonce, code, storage, precompile_to }))
}

pub(super) fn call_error(error: CallError<StoreError>) -> RpcError {
    match error {
        CallError::Execute(ExecuteError::State(why)) => RpcError::Store(why),
        CallError::Rejected(Rejection::FeeBelowBase { base_fee }) => {
            RpcError::Execution(format!("max fee per gas less than block base fee: baseFee: {base_fee}"))
        }
        CallError::Rejected(reason) => RpcError::Rejected(refused(reason)),
        other => RpcError::Execution(other.to_string()),
    }
}

pub(super) fn reverted(data: Bytes) -> RpcError {
    RpcError::Reverted { reason: reason(&data), data }
}

/// The text of `Error(string)` or `Panic(uint256)`; a custom error is for the caller, who knows the interface.
fn reason(data: &[u8]) -> Option<String> {
    let known = data.starts_with(&[0x08, 0xc3, 0x79, 0xa0]) || data.starts_with(&[0x4e, 0x48, 0x7b, 0x71]);
    let text = if known { decode_revert_reason(data)? } else { return None };
    let text = text.strip_prefix("revert: ").unwrap_or(&text);
    Some(text.chars().take(1024).collect())
}

pub(super) fn halted(reason: &HaltReason) -> RpcError {
    match reason {
        HaltReason::OutOfGas(_) => RpcError::Execution("out of gas".into()),
        reason => RpcError::Execution(format!("execution stopped: {reason}")),
    }
}
