//! What a call or a transaction did inside: access lists, call trees, single steps.
//!
//! `eth_createAccessList`; `debug_traceTransaction`, `debug_traceCall` and `debug_traceBlockByNumber` and `…ByHash`, with `callTracer` and, when no tracer is named,
//! steps. Other tracers are refused.
//!
//! # Limits
//! A trace records at most [`TRACE_BYTES_MAX`] bytes of stack, memory and data, and [`FRAMES_MAX`] calls, in all transactions of a block together; what would
//! be longer is refused.

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_evm::revm::{
    Inspector,
    context::TxEnv,
    context_interface::{ContextTr, context::ContextError, result::ExecutionResult},
    inspector::JournalExt,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter, interpreter_types::LoopControl,
    },
};
use alloy_primitives::{Address, Log, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{
    CallConfig, GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingCallOptions,
    GethDebugTracingOptions, GethDefaultTracingOptions, GethTrace, TraceResult,
};
use revm_inspectors::{
    access_list::AccessListInspector,
    tracing::{TraceLimitBehavior, TraceLimits, TracingInspector, TracingInspectorConfig},
};
use serde::Serialize;
use tacit_ledger::{BlockContext, CallStatus, ExecuteError, Inspected, inspect_transactions};

use super::{
    call::{self, Job},
    error::RpcError,
    frame::{Encoded, encode},
    params::{BlockRef, Params},
    read::{self, Resolved},
    server::Service,
};
use crate::store::{At, State, View};

/// Bytes that one answer may record.
const TRACE_BYTES_MAX: usize = 64 << 20;
/// Calls that one answer may record.
const FRAMES_MAX: usize = 50_000;
/// What a recorded step takes beside its stack, at most.
const STEP_BYTES: usize = 512;
/// Rounds until a list of what is warm stays the same.
const ROUNDS_MAX: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListAnswer {
    access_list: AccessList,
    gas_used: U256,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// EIP-2930: the addresses and slots that a message touches, with the gas it uses when they are listed.
pub(super) fn access_list(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let request: TransactionRequest = params.object()?;
    let block = params.block_or(BlockRef::Pending)?;
    let view = service.shared().store.view()?;
    let mut job = Job::new(service, view.as_ref(), request, block, &mut params)?;
    let chain = &service.shared().chain;
    // What is listed costs gas, and so can change the way that is taken.
    for _ in 0..ROUNDS_MAX {
        let mut inspector = AccessListInspector::new(job.request.access_list.clone());
        let outcome = job.inspect(chain, &mut inspector)?.outcome;
        let found = sorted(inspector.into_access_list());
        if found == job.request.access_list {
            let error = match outcome.status {
                CallStatus::Success => None,
                CallStatus::Revert => Some(call::reverted(outcome.output).to_string()),
                CallStatus::Halt(reason) => Some(call::halted(&reason).to_string()),
            };
            let gas_used = U256::from(outcome.gas_used);
            return encode(&AccessListAnswer { access_list: found, gas_used, error });
        }
        job.request.access_list = found;
    }
    Err(RpcError::Execution("the access list changes the way the message takes, again and again".into()))
}

fn sorted(AccessList(mut items): AccessList) -> AccessList {
    let order = |item: &AccessListItem| item.address;
    items.sort_by_key(order);
    items.iter_mut().for_each(|item| item.storage_keys.sort());
    AccessList(items)
}

pub(super) fn transaction(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let hash = params.hash()?;
    let kind = Kind::read(params.optional_object()?.unwrap_or_default())?;
    params.end()?;
    let view = service.shared().store.view()?;
    let location = view.location(hash)?.ok_or(RpcError::NotFound("transaction"))?;
    let block = read::resolve(view.as_ref(), BlockRef::Number(location.height))?;
    let block = block.ok_or(RpcError::NotFound("transaction"))?;
    let index = usize::try_from(location.index).unwrap_or(usize::MAX);
    let mut transactions = view.transactions(location.height)?;
    transactions.truncate(index.saturating_add(1));
    let traces = trace_mined(service, view.as_ref(), &block, &transactions, index, kind)?;
    encode(traces.last().ok_or(RpcError::NotFound("transaction"))?)
}

pub(super) fn block(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let block = params.block()?;
    let kind = Kind::read(params.optional_object()?.unwrap_or_default())?;
    params.end()?;
    let view = service.shared().store.view()?;
    let block = read::resolve(view.as_ref(), block)?.ok_or(RpcError::UnknownBlock)?;
    let transactions = view.transactions(block.header.number)?;
    let traces = trace_mined(service, view.as_ref(), &block, &transactions, 0, kind)?;
    let named = traces.into_iter().zip(&transactions);
    let named = named.map(|(trace, mined)| TraceResult::new_success(trace, Some(*mined.tx_hash())));
    encode(&named.collect::<Vec<_>>())
}

/// Executes transactions of a block again on the state of its parent, and tells what those from one on did.
fn trace_mined(
    service: &Service,
    view: &dyn View,
    block: &Resolved,
    transactions: &[Recovered<TxEnvelope>],
    from: usize,
    kind: Kind,
) -> Result<Vec<GethTrace>, RpcError> {
    let parent = block.header.number.checked_sub(1);
    let parent = parent.ok_or_else(|| RpcError::Execution("block zero cannot be traced".into()))?;
    let (chain, context) = (&service.shared().chain, BlockContext::of(&block.header));
    let state = State::new(view, At::Height(parent));
    let mut inspector = Bounded::new(kind, Budget::default());
    let mut traces = Vec::new();
    let told = |inspector: &mut Bounded, result: ExecutionResult, transaction: TxEnv| {
        if let Ok(left) = inspector.left() {
            let done = core::mem::replace(inspector, Bounded::new(kind, left));
            traces.push(done.trace(transaction.gas_limit, transaction.caller, &result));
        }
    };
    let done = inspect_transactions(chain, context, &state, transactions, from, &mut inspector, told);
    inspector.left()?;
    done.map_err(|error| match error {
        ExecuteError::State(why) => RpcError::Store(why),
        other => RpcError::Execution(other.to_string()),
    })?;
    Ok(traces)
}

pub(super) fn call(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let request: TransactionRequest = params.object()?;
    let block = params.block()?;
    let options: GethDebugTracingCallOptions = params.optional_object()?.unwrap_or_default();
    params.end()?;
    if options.tx_index.is_some() {
        return Err(RpcError::InvalidParams("txIndex is not supported".into()));
    }
    let kind = Kind::read(options.tracing_options)?;
    let view = service.shared().store.view()?;
    let (state, context) = (options.state_overrides, options.block_overrides);
    let job = Job::with(service, view.as_ref(), request, block, state, context)?;
    let mut inspector = Bounded::new(kind, Budget::default());
    let inspected = job.inspect(&service.shared().chain, &mut inspector);
    // What stopped execution, before what that looked like.
    inspector.left()?;
    let Inspected { result, transaction, .. } = inspected?;
    encode(&inspector.trace(transaction.gas_limit, transaction.caller, &result))
}

/// What is recorded.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Calls(CallConfig),
    Steps(GethDefaultTracingOptions),
}

impl Kind {
    fn read(options: GethDebugTracingOptions) -> Result<Self, RpcError> {
        let named = options.tracer.filter(|tracer| !tracer.as_str().is_empty());
        match named {
            None => Ok(Self::Steps(options.config)),
            Some(GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::CallTracer)) => {
                let config = options.tracer_config.into_call_config();
                config.map(Self::Calls).map_err(|_| RpcError::InvalidParams("malformed tracerConfig".into()))
            }
            Some(_) => Err(RpcError::Unsupported("only callTracer, and steps when no tracer is named")),
        }
    }

    fn config(self) -> TracingInspectorConfig {
        match self {
            Self::Calls(config) => TracingInspectorConfig::from_geth_call_config(&config),
            Self::Steps(options) => TracingInspectorConfig::from_geth_config(&options),
        }
    }
}

/// What may still be recorded.
#[derive(Debug, Clone, Copy)]
struct Budget {
    bytes: usize,
    frames: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: TRACE_BYTES_MAX, frames: FRAMES_MAX }
    }
}

/// A tracer that stops execution when it has recorded too much.
struct Bounded {
    kind: Kind,
    inner: TracingInspector,
    left: Budget,
    exceeded: bool,
}

impl Bounded {
    fn new(kind: Kind, left: Budget) -> Self {
        let limits = TraceLimits::default()
            .set_max_recorded_bytes(Some(left.bytes))
            .set_behavior(TraceLimitBehavior::Halt);
        Self { kind, inner: TracingInspector::new(kind.config()).with_limits(limits), left, exceeded: false }
    }

    /// What is left after this.
    fn left(&self) -> Result<Budget, RpcError> {
        let bytes = self.left.bytes.checked_sub(self.inner.recorded_bytes());
        match bytes.filter(|_| !self.exceeded && !self.inner.limit_exceeded()) {
            Some(bytes) => Ok(Budget { bytes, ..self.left }),
            None => Err(RpcError::LimitExceeded(format!(
                "the trace is longer than {} MiB or {FRAMES_MAX} calls; callTracer records less than steps",
                TRACE_BYTES_MAX >> 20
            ))),
        }
    }

    fn trace(mut self, gas_limit: u64, caller: Address, result: &ExecutionResult) -> GethTrace {
        self.inner.set_transaction_gas_limit(gas_limit);
        self.inner.set_transaction_caller(caller);
        let gas = *result.gas();
        match self.kind {
            Kind::Calls(config) => {
                self.inner.geth_builder().geth_call_traces_with_result_gas(config, gas).into()
            }
            Kind::Steps(options) => {
                let output = result.output().cloned().unwrap_or_default();
                self.inner.geth_builder().geth_traces_with_result_gas(gas, output, options).into()
            }
        }
    }

    fn frame<C: ContextTr>(&mut self, context: &mut C) {
        match self.left.frames.checked_sub(1) {
            Some(frames) => self.left.frames = frames,
            None => self.stop(context),
        }
    }

    fn stop<C: ContextTr>(&mut self, context: &mut C) {
        self.exceeded = true;
        if context.error().is_ok() {
            *context.error() = Err(ContextError::Custom("the trace is too long".into()));
        }
    }
}

impl<C: ContextTr<Journal: JournalExt>> Inspector<C> for Bounded {
    fn initialize_interp(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        self.inner.initialize_interp(interpreter, context);
    }

    fn step(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        if matches!(self.kind, Kind::Steps(_)) {
            let words = interpreter.stack.len();
            let step = STEP_BYTES.saturating_add(words.saturating_mul(size_of::<U256>()));
            match self.left.bytes.checked_sub(step) {
                Some(bytes) => self.left.bytes = bytes,
                None => {
                    self.stop(context);
                    interpreter.bytecode.action().take();
                    interpreter.bytecode.reset_action();
                    interpreter.halt_fatal();
                    return;
                }
            }
        }
        self.inner.step(interpreter, context);
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut C) {
        self.inner.step_end(interpreter, context);
    }

    fn log(&mut self, context: &mut C, log: Log) {
        self.inner.log(context, log);
    }

    fn log_full(&mut self, interpreter: &mut Interpreter, context: &mut C, log: Log) {
        self.inner.log_full(interpreter, context, log);
    }

    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.frame(context);
        self.inner.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.inner.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.frame(context);
        self.inner.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.inner.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        <TracingInspector as Inspector<C>>::selfdestruct(&mut self.inner, contract, target, value);
    }
}
