//! Execution that leaves nothing behind: `eth_call` and gas estimates.

use crate::{
    chain::{BlockContext, Chain, TRANSACTION_GAS_MAX},
    execute::{ExecuteError, Rejection, rejection},
    host::precompiles,
    overlay::{Overlay, StateUnavailable},
    overrides::{self, ApplyError, OverrideError, Overrides},
    state::StateReader,
};
use alloy_eips::eip2930::AccessList;
use alloy_evm::{
    Evm, EvmEnv,
    eth::{EthEvmBuilder, EthEvmContext},
};
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::result::{EVMError, ExecutionResult, HaltReason},
    inspector::NoOpInspector,
};

/// Most gas of a call; it bounds the work one request can cause.
pub const CALL_GAS_MAX: u64 = 50_000_000;

/// A message to execute without signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Sender; may be a contract.
    pub from: Address,
    /// Receiver, or `None` to create a contract.
    pub to: Option<Address>,
    /// Coin sent along; the sender must have it.
    pub value: U256,
    /// Input data, or init code.
    pub input: Bytes,
    /// Gas limit; [`CALL_GAS_MAX`] when absent or larger.
    pub gas: Option<u64>,
    /// Price per gas. Zero waives all fees, and then `BASEFEE` returns zero.
    pub gas_price: u128,
    /// Entries that start warm.
    pub access_list: AccessList,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallStatus {
    /// Returned.
    Success,
    /// Reverted; the output is the reason.
    Revert,
    /// Stopped; all gas is used.
    Halt(HaltReason),
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// How it ended.
    pub status: CallStatus,
    /// Return data, revert data, or nothing.
    pub output: Bytes,
    /// Gas used after refunds.
    pub gas_used: u64,
    /// Gas refunded.
    pub gas_refunded: u64,
    /// Logs, empty unless it succeeded.
    pub logs: Vec<Log>,
    /// Address of the created contract.
    pub created: Option<Address>,
}

/// Why a call could not be executed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E: core::error::Error + 'static> {
    /// State could not be read.
    #[error(transparent)]
    Execute(#[from] ExecuteError<E>),
    /// The message is not executable: funds, gas, size.
    #[error(transparent)]
    Rejected(Rejection),
    /// What is to be assumed contradicts itself.
    #[error(transparent)]
    Override(#[from] OverrideError),
}

/// Why no gas limit makes a message succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError<E: core::error::Error + 'static> {
    /// The message is not executable at all.
    #[error(transparent)]
    Call(#[from] CallError<E>),
    /// It reverts even with all the gas it may have.
    #[error("execution reverted")]
    Revert(Bytes),
    /// It stops even with all the gas it may have.
    #[error("execution stopped: {0}")]
    Halt(HaltReason),
}

/// Executes a message on the state that `reader` reads, in the block `context`.
///
/// # Errors
/// The message cannot be executed. A revert or halt is not an error: see [`CallOutcome::status`].
pub fn call<R: StateReader>(
    chain: &Chain,
    context: &BlockContext,
    reader: &R,
    request: &CallRequest,
    overrides: &Overrides,
) -> Result<CallOutcome, CallError<R::Error>> {
    let watch = Watch { inspector: NoOpInspector {}, enabled: false };
    watched(chain, context, reader, request, overrides, watch).map(|inspected| inspected.outcome)
}

/// What a message did, as an inspector needs it to tell what it saw.
#[derive(Debug)]
pub struct Inspected {
    /// In short.
    pub outcome: CallOutcome,
    /// As the EVM says it.
    pub result: ExecutionResult,
    /// The message as it was executed.
    pub transaction: TxEnv,
}

/// [`call`], watched.
///
/// # Errors
/// Those of [`call`]; an inspector that stops execution makes it [`ExecuteError::Corrupt`].
pub fn inspect_call<'r, R: StateReader, I>(
    chain: &Chain,
    context: &BlockContext,
    reader: &'r R,
    request: &CallRequest,
    overrides: &Overrides,
    inspector: I,
) -> Result<Inspected, CallError<R::Error>>
where
    I: Inspector<EthEvmContext<Overlay<'r, R>>>,
{
    watched(chain, context, reader, request, overrides, Watch { inspector, enabled: true })
}

/// Who looks on, if anybody does: it makes execution slower.
struct Watch<I> {
    inspector: I,
    enabled: bool,
}

fn watched<'r, R: StateReader, I>(
    chain: &Chain,
    context: &BlockContext,
    reader: &'r R,
    request: &CallRequest,
    overrides: &Overrides,
    watch: Watch<I>,
) -> Result<Inspected, CallError<R::Error>>
where
    I: Inspector<EthEvmContext<Overlay<'r, R>>>,
{
    let mut overlay = Overlay::new(reader);
    let mut precompiles = precompiles(chain, context.number);
    let prepared = overrides::apply(&mut overlay, &mut precompiles, overrides)
        .map_err(Failure::from)
        .and_then(|()| message(chain, context, &mut overlay, request).map_err(Failure::from));
    let result = match prepared {
        Err(failure) => Err(failure),
        Ok((environment, transaction)) => {
            let evm = EthEvmBuilder::new(overlay, environment).precompiles(precompiles);
            let mut evm = evm.inspector(watch.inspector).build();
            evm.set_inspector_enabled(watch.enabled);
            let result = match evm.transact(transaction.clone()) {
                Ok(result) => Ok((result.result, transaction)),
                Err(EVMError::Transaction(invalid)) => {
                    Err(Failure::Rejected(rejection(invalid, context.base_fee)))
                }
                Err(_) => Err(Failure::State),
            };
            (overlay, _) = evm.finish();
            result
        }
    };
    let inspected = |(result, transaction): (ExecutionResult, TxEnv)| Inspected {
        outcome: outcome(result.clone()),
        result,
        transaction,
    };
    result.map(inspected).map_err(|failure| match failure {
        Failure::State => {
            CallError::Execute(overlay.take_error().map_or(ExecuteError::Corrupt, ExecuteError::State))
        }
        Failure::Rejected(reason) => CallError::Rejected(reason),
        Failure::Override(why) => CallError::Override(why),
    })
}

/// Least gas limit, to within 1.5 %, with which the message succeeds: never too low for the state at hand.
///
/// # Errors
/// It does not succeed with any gas it may have.
pub fn estimate_gas<R: StateReader>(
    chain: &Chain,
    context: &BlockContext,
    reader: &R,
    request: &CallRequest,
    overrides: &Overrides,
) -> Result<u64, EstimateError<R::Error>> {
    let cap = TRANSACTION_GAS_MAX.min(context.gas_limit);
    let mut most = request.gas.unwrap_or(cap).min(cap);
    if request.gas_price > 0 {
        most = most.min(affordable_gas(reader, request, overrides)?);
    }
    let attempt =
        |gas| call(chain, context, reader, &CallRequest { gas: Some(gas), ..request.clone() }, overrides);
    let full = attempt(most)?;
    match full.status {
        CallStatus::Success => {}
        CallStatus::Revert => return Err(EstimateError::Revert(full.output)),
        CallStatus::Halt(reason) => return Err(EstimateError::Halt(reason)),
    }
    // `least` is known to fail (or untried and below what was used), `most` is known to succeed.
    let mut least = full.gas_used.saturating_sub(1);
    // A message that neither gets refunds nor calls on needs what it used; most others need what they used before refunds,
    // the 64th that a nested call keeps back, and a stipend.
    let spent = full.gas_used.saturating_add(full.gas_refunded);
    let nested = spent.saturating_add(spent / 63).saturating_add(CALL_STIPEND);
    let mut guesses = [spent, nested].into_iter();
    while most.saturating_sub(least) > (most / 66).max(1) {
        let guess = guesses.next().filter(|guess| (least..most).contains(guess) && *guess != least);
        let gas = guess.unwrap_or_else(|| least.midpoint(most));
        match attempt(gas) {
            Ok(CallOutcome { status: CallStatus::Success, .. }) => most = gas,
            Ok(_) | Err(CallError::Rejected(Rejection::IntrinsicGas { .. })) => least = gas,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(most)
}

/// Gas that the sender's balance pays for, after the value sent.
fn affordable_gas<R: StateReader>(
    reader: &R,
    request: &CallRequest,
    overrides: &Overrides,
) -> Result<u64, CallError<R::Error>> {
    let stored = reader.account(request.from).map_err(ExecuteError::State)?.unwrap_or_default();
    let balance = overrides.get(&request.from).and_then(|account| account.balance).unwrap_or(stored.balance);
    let left = balance
        .checked_sub(request.value)
        .ok_or(CallError::Rejected(Rejection::InsufficientFunds { needed: request.value, balance }))?;
    let gas = left.checked_div(U256::from(request.gas_price)).unwrap_or(U256::MAX);
    Ok(gas.saturating_to())
}

enum Failure {
    State,
    Rejected(Rejection),
    Override(OverrideError),
}

impl From<StateUnavailable> for Failure {
    fn from(_: StateUnavailable) -> Self {
        Self::State
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::State => Self::State,
            ApplyError::Override(why) => Self::Override(why),
        }
    }
}

/// The message as the EVM takes it, and the block that it sees.
fn message<R: StateReader>(
    chain: &Chain,
    context: &BlockContext,
    overlay: &mut Overlay<'_, R>,
    request: &CallRequest,
) -> Result<(EvmEnv, TxEnv), StateUnavailable> {
    let mut environment = context.environment(chain.chain_id);
    environment.cfg_env.disable_nonce_check = true;
    environment.cfg_env.disable_eip3607 = true;
    environment.cfg_env.disable_block_gas_limit = true;
    environment.cfg_env.tx_gas_limit_cap = Some(CALL_GAS_MAX);
    if request.gas_price == 0 {
        environment.block_env.basefee = 0;
    }
    let nonce = overlay.account(request.from)?.unwrap_or_default().nonce;
    let transaction = TxEnv {
        tx_type: if request.access_list.is_empty() { 0 } else { 1 },
        caller: request.from,
        gas_limit: request.gas.unwrap_or(CALL_GAS_MAX).min(CALL_GAS_MAX),
        gas_price: request.gas_price,
        kind: request.to.map_or(TxKind::Create, TxKind::Call),
        value: request.value,
        data: request.input.clone(),
        nonce,
        chain_id: Some(chain.chain_id),
        access_list: request.access_list.clone(),
        ..TxEnv::default()
    };
    Ok((environment, transaction))
}

fn outcome(result: ExecutionResult) -> CallOutcome {
    let (gas_used, gas_refunded) = (result.tx_gas_used(), result.gas().final_refunded());
    let created = result.created_address();
    let (status, output, logs) = match result {
        ExecutionResult::Success { output, logs, .. } => (CallStatus::Success, output.into_data(), logs),
        ExecutionResult::Revert { output, .. } => (CallStatus::Revert, output, Vec::new()),
        ExecutionResult::Halt { reason, .. } => (CallStatus::Halt(reason), Bytes::new(), Vec::new()),
    };
    CallOutcome { status, output, gas_used, gas_refunded, logs, created }
}

/// Gas that a call with value gives its callee for free.
const CALL_STIPEND: u64 = 2300;
