//! `eth_simulateV1`: blocks that are assumed, with calls that see what those before them did.
//!
//! Values that are not given are those of execution-apis' notes on the method, but for two that its tests have otherwise: gas limit and
//! fee recipient go on from the block before. Without an own rhythm of blocks, a simulated one comes [`SECONDS_BETWEEN_BLOCKS`] after
//! its parent. `stateRoot` is zero (see [`tacit_ledger::Simulation`]).
//!
//! # Limits
//! At most [`BLOCKS_MAX`] blocks above the one that is built on, those in gaps included, and [`CALLS_MAX`] calls; all calls together
//! use at most [`tacit_ledger::CALL_GAS_MAX`] gas, and give at most [`crate::RpcLimits::log_results_max`] logs.

use alloy_consensus::{
    Header, Sealed, SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy,
    transaction::Recovered,
};
use alloy_primitives::{B256, Log, Signature, TxKind, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, Log as RpcLog, TransactionRequest,
    request::TransactionInput,
    simulate::{
        MAX_SIMULATE_BLOCKS, SimBlock, SimCallResult, SimulateError, SimulatePayload, SimulatedBlock,
    },
    state::StateOverride,
};
use serde_json::Value;
use tacit_ledger::{
    BlockContext, CallError, Chain, Checks, HaltReason, OverrideError, Rejection, Simulated, Simulation,
};
use thiserror::Error;

use super::{
    call,
    error::RpcError,
    frame::{Encoded, encode},
    params::Params,
    read,
    server::Service,
    shape::{self, Place},
    transfers::Transfers,
};
use crate::store::StoreError;

/// Blocks above the one that is built on.
const BLOCKS_MAX: u64 = MAX_SIMULATE_BLOCKS;
/// Calls in all blocks together.
const CALLS_MAX: usize = 1000;
/// What timestamps of blocks differ by when nothing is said, as clients of main net have it.
const SECONDS_BETWEEN_BLOCKS: u64 = 12;

/// Why blocks cannot be simulated as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unsimulated {
    /// A block does not come after the one before it.
    #[error("block numbers must be in order: {got} <= {previous}")]
    Number {
        /// Of the block before it.
        previous: u64,
        /// Its own.
        got: u64,
    },
    /// A block is not later than the one before it.
    #[error("block timestamps must be in order: {got} <= {previous}")]
    Time {
        /// Of the block before it.
        previous: u64,
        /// Its own.
        got: u64,
    },
    /// More blocks than allowed.
    #[error("too many blocks: at most {BLOCKS_MAX} above the one that is built on")]
    Blocks,
    /// More calls than allowed.
    #[error("too many calls: {got}, at most {CALLS_MAX}")]
    Calls {
        /// Calls in all blocks.
        got: usize,
    },
    /// More logs than one answer may have.
    #[error("too many logs: at most {limit}")]
    Logs {
        /// Logs allowed.
        limit: usize,
    },
    /// State cannot be assumed as asked.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// A call cannot be in its block.
    #[error("{reason} (block {block}, call {call})")]
    Call {
        /// Number of the block.
        block: u64,
        /// Position in it.
        call: usize,
        /// Why.
        reason: Box<Rejection>,
    },
}

impl Unsimulated {
    /// The code that execution-apis gives it.
    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Number { .. } => -38020,
            Self::Time { .. } => -38021,
            Self::Blocks | Self::Calls { .. } | Self::Logs { .. } => -38026,
            Self::Override(OverrideError::MovedToItself(_)) => -38022,
            Self::Override(OverrideError::MovedTwice(_)) => -38023,
            Self::Override(_) => -32000,
            Self::Call { reason, .. } => match **reason {
                Rejection::NonceTooLow { .. } => -38010,
                Rejection::NonceTooHigh { .. } | Rejection::NonceOverflow => -38011,
                Rejection::FeeBelowBase { .. } => -38012,
                Rejection::IntrinsicGas { .. } => -38013,
                Rejection::InsufficientFunds { .. } | Rejection::CostOverflow => -38014,
                Rejection::BlockFull { .. } => -38015,
                Rejection::InitCodeTooLong => -38025,
                _ => -32000,
            },
        }
    }
}

pub(super) fn simulate(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let payload: Value = params.object()?;
    let block = params.block()?;
    params.end()?;
    let payload = parse(payload)?;
    let view = service.shared().store.view()?;
    let (state, base) = read::state_at(view.as_ref(), block)?;
    let plan = plan(payload.block_state_calls, &base.header)?;
    let checks = if payload.validation { Checks::Block } else { Checks::Call };
    let chain = service.shared().chain;
    let mut simulation = Simulation::new(chain, &state, checks);
    let mut parent = Sealed::new_unchecked(base.header, base.hash);
    let mut simulated = Vec::with_capacity(plan.len());
    let logs_max = service.node.limits().log_results_max;
    let mut logs_left = logs_max;
    for planned in plan {
        let context = context(&chain, &parent, checks, planned.changes.clone())?;
        let overrides = call::override_state(planned.state)?;
        let mut open = simulation.begin(context, &overrides, Transfers::default()).map_err(unsimulated)?;
        open.watch(payload.trace_transfers);
        if let Some(price) = planned.changes.blob_base_fee {
            open.assume_blob_base_fee(price.saturating_to());
        }
        let mut results = Vec::with_capacity(planned.calls.len());
        for (index, request) in planned.calls.into_iter().enumerate() {
            let rejected = |reason| {
                let (block, call, reason) = (context.number, index, Box::new(reason));
                Unsimulated::Call { block, call, reason }
            };
            let gas = open.gas_for(request.gas).map_err(rejected)?;
            let nonce = match request.nonce {
                Some(nonce) => nonce,
                None => open.nonce(request.from.unwrap_or_default()).map_err(unsimulated)?,
            };
            let done = open.execute(transaction(request, nonce, gas, chain.chain_id)?);
            let done = done.map_err(|error| match error {
                CallError::Rejected(reason) => rejected(reason).into(),
                error => unsimulated(error),
            })?;
            let logs = if payload.trace_transfers {
                open.inspector().take()
            } else {
                done.outcome.receipt.logs().to_vec()
            };
            let left = logs_left.checked_sub(logs.len());
            logs_left = left.ok_or(Unsimulated::Logs { limit: logs_max })?;
            results.push((done, logs));
        }
        let (block, executed) = open.seal(parent.hash());
        let (block, hash) = block.into_parts();
        let calls = results_of(results, &executed.transactions, hash, &block.header);
        let full = payload.return_full_transactions;
        let inner = shape::block(hash, &block.header, executed.transactions, full);
        simulated.push(SimulatedBlock { inner, calls });
        parent = Sealed::new_unchecked(block.header, hash);
    }
    encode(&simulated)
}

/// Reads what is asked, and refuses what the types would pass over in silence.
fn parse(payload: Value) -> Result<SimulatePayload, RpcError> {
    let invalid = |why: &str| RpcError::InvalidParams(why.to_owned());
    let blocks = payload.get("blockStateCalls").and_then(Value::as_array);
    let withdrawals = |block: &Value| {
        let list = block.pointer("/blockOverrides/withdrawals").and_then(Value::as_array);
        list.is_some_and(|list| !list.is_empty())
    };
    if blocks.is_some_and(|blocks| blocks.iter().any(withdrawals)) {
        return Err(invalid("block override of withdrawals is not supported"));
    }
    let payload: SimulatePayload =
        serde_json::from_value(payload).map_err(|why| invalid(&format!("argument 0: {why}")))?;
    if payload.block_state_calls.is_empty() {
        return Err(invalid("argument 0: blockStateCalls is empty"));
    }
    let got = payload.block_state_calls.iter().map(|block| block.calls.len()).sum();
    if got > CALLS_MAX {
        return Err(Unsimulated::Calls { got }.into());
    }
    Ok(payload)
}

/// A block to simulate; `changes` say its number and time.
struct Planned {
    changes: BlockOverrides,
    state: StateOverride,
    calls: Vec<TransactionRequest>,
}

/// Gives every block its number and time, and fills gaps with empty blocks.
fn plan(blocks: Vec<SimBlock>, base: &Header) -> Result<Vec<Planned>, Unsimulated> {
    let mut plan: Vec<Planned> = Vec::with_capacity(blocks.len());
    let (mut number, mut time) = (base.number, base.timestamp);
    for SimBlock { block_overrides, state_overrides, calls } in blocks {
        let mut changes = block_overrides.unwrap_or_default();
        let next = number.saturating_add(1);
        let wanted = changes.number.map_or(next, |number| number.saturating_to());
        if wanted <= number {
            return Err(Unsimulated::Number { previous: number, got: wanted });
        }
        if wanted.saturating_sub(base.number) > BLOCKS_MAX {
            return Err(Unsimulated::Blocks);
        }
        for between in next..wanted {
            time = time.saturating_add(SECONDS_BETWEEN_BLOCKS);
            let changes = BlockOverrides {
                number: Some(U256::from(between)),
                time: Some(time),
                ..BlockOverrides::default()
            };
            plan.push(Planned { changes, state: StateOverride::default(), calls: Vec::new() });
        }
        let wanted_time = changes.time.unwrap_or_else(|| time.saturating_add(SECONDS_BETWEEN_BLOCKS));
        if wanted_time <= time {
            return Err(Unsimulated::Time { previous: time, got: wanted_time });
        }
        (number, time) = (wanted, wanted_time);
        changes.number = Some(U256::from(number));
        changes.time = Some(time);
        plan.push(Planned { changes, state: state_overrides.unwrap_or_default(), calls });
    }
    Ok(plan)
}

fn context(
    chain: &Chain,
    parent: &Header,
    checks: Checks,
    changes: BlockOverrides,
) -> Result<BlockContext, RpcError> {
    let base_fee = match checks {
        Checks::Block => chain.next_base_fee(parent),
        Checks::Call => 0,
    };
    let (gas_limit, beneficiary) = (parent.gas_limit, parent.beneficiary);
    let mut context =
        BlockContext { gas_limit, beneficiary, base_fee, ..BlockContext::of(&Header::default()) };
    call::override_context(&mut context, changes)?;
    Ok(context)
}

/// A call as a transaction that nobody signed.
fn transaction(
    request: TransactionRequest,
    nonce: u64,
    gas_limit: u64,
    chain_id: u64,
) -> Result<Recovered<TxEnvelope>, RpcError> {
    let invalid = |why: &str| Err(RpcError::InvalidParams(why.to_owned()));
    if request.blob_versioned_hashes.is_some() || request.sidecar.is_some() {
        return invalid("blob transactions are not supported");
    }
    if request.chain_id.is_some_and(|id| id != chain_id) {
        return invalid("chainId does not match this chain's");
    }
    let Ok(input) = TransactionInput::try_into_unique_input(request.input) else {
        return invalid("both data and input are given and differ");
    };
    let input = input.unwrap_or_default();
    let to = request.to.unwrap_or(TxKind::Create);
    let value = request.value.unwrap_or_default();
    let max_fee_per_gas = request.max_fee_per_gas.or(request.max_priority_fee_per_gas).unwrap_or_default();
    let max_priority_fee_per_gas = request.max_priority_fee_per_gas.unwrap_or_default();
    let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
    let listed = request.access_list;
    let transaction: TxEnvelope = match (request.gas_price, request.authorization_list) {
        (Some(_), _) if request.max_fee_per_gas.or(request.max_priority_fee_per_gas).is_some() => {
            return invalid("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
        }
        (Some(_), Some(_)) => return invalid("both gasPrice and authorizationList specified"),
        (None, Some(authorization_list)) => {
            let Some(to) = to.into_to() else { return invalid("authorizationList without destination") };
            let access_list = listed.unwrap_or_default();
            TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list,
                input,
            }
            .into_signed(nobody)
            .into()
        }
        (Some(gas_price), None) => match listed {
            Some(access_list) => {
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }
                    .into_signed(nobody)
                    .into()
            }
            None => TxLegacy { chain_id: Some(chain_id), nonce, gas_price, gas_limit, to, value, input }
                .into_signed(nobody)
                .into(),
        },
        (None, None) => {
            let access_list = listed.unwrap_or_default();
            TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            }
            .into_signed(nobody)
            .into()
        }
    };
    Ok(Recovered::new_unchecked(transaction, request.from.unwrap_or_default()))
}

/// What calls did, with their logs in their places.
fn results_of(
    results: Vec<(Simulated, Vec<Log>)>,
    transactions: &[Recovered<TxEnvelope>],
    hash: B256,
    header: &Header,
) -> Vec<SimCallResult> {
    let mut log_index = 0_u64;
    let mut told = Vec::with_capacity(results.len());
    for (index, ((done, logs), transaction)) in (0_u32..).zip(results.into_iter().zip(transactions)) {
        let first = log_index;
        log_index = log_index.saturating_add(logs.len() as u64);
        let place = Place { hash, header, index };
        told.push(result(done, shape::placed(logs, first, *transaction.tx_hash(), place)));
    }
    told
}

fn result(done: Simulated, logs: Vec<RpcLog>) -> SimCallResult {
    let Simulated { outcome, gas_peak } = done;
    let status = outcome.receipt.status();
    let (return_data, error) = match outcome.halt {
        _ if status => (outcome.output, None),
        Some(reason) => {
            let reason = match reason {
                HaltReason::OutOfGas(_) => "out of gas".to_owned(),
                reason => reason.to_string(),
            };
            let message = format!("vm execution error: {reason}");
            let error = SimulateError { code: SimulateError::VM_EXECUTION_ERROR_CODE, message, data: None };
            (Default::default(), Some(error))
        }
        None => {
            let message = call::reverted(outcome.output.clone()).to_string();
            let code = SimulateError::EXECUTION_REVERTED_CODE;
            (Default::default(), Some(SimulateError { code, message, data: Some(outcome.output) }))
        }
    };
    SimCallResult {
        return_data,
        logs,
        gas_used: outcome.gas_used,
        max_used_gas: Some(gas_peak),
        status,
        error,
    }
}

fn unsimulated(error: CallError<StoreError>) -> RpcError {
    match error {
        CallError::Override(why) => Unsimulated::Override(why).into(),
        error => call::call_error(error),
    }
}
