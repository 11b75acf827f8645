//! Transactions on a state: receipts, changes, and why some were left out.

use crate::{
    block::{Block, assemble},
    chain::{Attributes, BlockContext, Chain, TRANSACTION_GAS_MAX},
    host::precompiles,
    overlay::{Overlay, StateUnavailable},
    state::{StateChanges, StateReader},
};
use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Sealed, Transaction, TxEnvelope, TxType,
    transaction::Recovered,
};
use alloy_evm::{
    EthEvm, Evm, FromRecoveredTx,
    eth::{EthEvmBuilder, EthEvmContext},
    precompiles::PrecompilesMap,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
};

/// What one included transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The receipt that `receiptsRoot` commits to.
    pub receipt: ReceiptEnvelope,
    /// Gas this transaction used, after refunds.
    pub gas_used: u64,
    /// Price paid per gas: base fee plus priority fee.
    pub effective_gas_price: u128,
    /// Address of the contract it created, if it did.
    pub created: Option<Address>,
    /// Return data, or revert data.
    pub output: Bytes,
    /// Why execution stopped, when it neither returned nor reverted.
    pub halt: Option<HaltReason>,
}

/// A candidate that cannot be in this block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Position among the candidates.
    pub index: usize,
    /// The candidate.
    pub transaction: Recovered<TxEnvelope>,
    /// Why.
    pub reason: Rejection,
}

/// Why a transaction cannot be in a block. It has cost its sender nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Already used.
    #[error("nonce too low: next is {expected}, got {got}")]
    NonceTooLow {
        /// Next nonce of the sender.
        expected: u64,
        /// Nonce of the transaction.
        got: u64,
    },
    /// Earlier transactions are missing.
    #[error("nonce too high: next is {expected}, got {got}")]
    NonceTooHigh {
        /// Next nonce of the sender.
        expected: u64,
        /// Nonce of the transaction.
        got: u64,
    },
    /// The sender's nonce cannot grow any further.
    #[error("nonce has its largest value")]
    NonceOverflow,
    /// Value and the most that gas may cost exceed the balance.
    #[error("insufficient funds for gas * price + value: balance {balance}, needed {needed}")]
    InsufficientFunds {
        /// Most the transaction may cost.
        needed: U256,
        /// What the sender has.
        balance: U256,
    },
    /// Gas limit times price, plus value, does not fit 256 bits.
    #[error("cost overflows")]
    CostOverflow,
    /// The fee cap lies below the block's base fee.
    #[error("max fee per gas is below the base fee {base_fee}")]
    FeeBelowBase {
        /// Base fee of the block.
        base_fee: u64,
    },
    /// The tip exceeds the fee cap.
    #[error("max priority fee per gas exceeds max fee per gas")]
    TipAboveFee,
    /// More gas than one transaction may have.
    #[error("gas limit {got} exceeds the transaction gas cap {limit}")]
    GasAboveCap {
        /// Most gas of one transaction.
        limit: u64,
        /// Gas limit of the transaction.
        got: u64,
    },
    /// More gas than this block has left.
    #[error("gas limit {got} exceeds the {left} left in the block")]
    BlockFull {
        /// Gas left in the block.
        left: u64,
        /// Gas limit of the transaction.
        got: u64,
    },
    /// Less gas than its data alone costs.
    #[error("intrinsic gas too low: needs {needed}, got {got}")]
    IntrinsicGas {
        /// Gas charged before execution begins, or the floor for its data.
        needed: u64,
        /// Gas limit of the transaction.
        got: u64,
    },
    /// The sender has code (EIP-3607).
    #[error("sender is a contract")]
    SenderHasCode,
    /// Signed for another chain.
    #[error("wrong chain id")]
    WrongChain,
    /// Init code is longer than EIP-3860 allows.
    #[error("init code too long")]
    InitCodeTooLong,
    /// Blob transactions are not part of this ledger.
    #[error("blob transactions are not supported")]
    Blob,
    /// A type 4 transaction without authorizations.
    #[error("authorization list is empty")]
    NoAuthorization,
    /// Any other rule of the EVM.
    #[error("invalid transaction: {0}")]
    Other(InvalidTransaction),
}

/// Execution could not be carried out; the block is neither good nor bad.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<E: core::error::Error + 'static> {
    /// The parent state could not be read.
    #[error("state unavailable")]
    State(#[source] E),
    /// Stored code is not code.
    #[error("state is corrupt")]
    Corrupt,
    /// `extraData` is too long.
    #[error("extra data has {got} bytes, at most {limit} are allowed")]
    ExtraData {
        /// Most bytes.
        limit: usize,
        /// Bytes given.
        got: usize,
    },
    /// The timestamp lies before the parent's.
    #[error("timestamp {got} is before the parent's {parent}")]
    Timestamp {
        /// Parent's.
        parent: u64,
        /// Given.
        got: u64,
    },
    /// The chain's numbers are used up.
    #[error("block number overflows")]
    Height,
}

/// A block's worth of execution, before its state root is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// What contracts saw.
    pub context: BlockContext,
    /// Included transactions, in order.
    pub transactions: Vec<Recovered<TxEnvelope>>,
    /// One for each included transaction.
    pub outcomes: Vec<Outcome>,
    /// Candidates left out, in order.
    pub rejected: Vec<Rejected>,
    /// Gas used by all included transactions.
    pub gas_used: u64,
    /// What changed.
    pub changes: StateChanges,
}

impl Executed {
    /// The block with its header, now that `state_root` is known. `parent` and `attributes` are those of execution.
    #[must_use]
    pub fn seal(&self, parent: &Sealed<Header>, attributes: &Attributes, state_root: B256) -> Sealed<Block> {
        assemble(self, parent.hash(), attributes, state_root)
    }
}

/// Executes candidates in order on the parent state that `reader` reads. Candidates that cannot be included change nothing.
///
/// Senders are taken as recovered: the caller vouches for them.
///
/// # Errors
/// Only when the state cannot be read.
pub fn execute<R: StateReader>(
    chain: &Chain,
    context: BlockContext,
    reader: &R,
    candidates: impl IntoIterator<Item = Recovered<TxEnvelope>>,
) -> Result<Executed, ExecuteError<R::Error>> {
    let mut overlay = Overlay::new(reader);
    let mut executed = Executed {
        context,
        transactions: Vec::new(),
        outcomes: Vec::new(),
        rejected: Vec::new(),
        gas_used: 0,
        changes: StateChanges::default(),
    };
    match execute_all(chain, &mut overlay, &mut executed, candidates) {
        Ok(()) => {
            executed.changes = overlay.into_changes();
            Ok(executed)
        }
        Err(StateUnavailable) => Err(overlay.take_error().map_or(ExecuteError::Corrupt, ExecuteError::State)),
    }
}

fn execute_all<R: StateReader>(
    chain: &Chain,
    overlay: &mut Overlay<'_, R>,
    executed: &mut Executed,
    candidates: impl IntoIterator<Item = Recovered<TxEnvelope>>,
) -> Result<(), StateUnavailable> {
    let environment = executed.context.environment(chain.chain_id);
    let precompiles = precompiles(chain, executed.context.number);
    let mut evm = EthEvmBuilder::new(overlay, environment).precompiles(precompiles).build();
    for (index, transaction) in candidates.into_iter().enumerate() {
        let left = executed.context.gas_limit.saturating_sub(executed.gas_used);
        if let Err(reason) = intrinsic_check(&transaction, left) {
            executed.rejected.push(Rejected { index, transaction, reason });
            continue;
        }
        let environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
        let result = match evm.transact(environment) {
            Ok(result) => result,
            Err(EVMError::Transaction(invalid)) => {
                let reason = rejection(invalid, executed.context.base_fee);
                executed.rejected.push(Rejected { index, transaction, reason });
                continue;
            }
            Err(
                EVMError::Database(_) | EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_),
            ) => {
                return Err(StateUnavailable);
            }
        };
        evm.db_mut().commit(result.state)?;
        let outcome = outcome(result.result, &transaction, executed.gas_used, executed.context.base_fee);
        // Each transaction's gas limit fits what is left, so the sum stays within the block's limit.
        executed.gas_used = executed.gas_used.saturating_add(outcome.gas_used);
        executed.transactions.push(transaction);
        executed.outcomes.push(outcome);
    }
    Ok(())
}

/// Executes transactions of a block that exists again, watched from the one at `from`; after each that was, `told` is given the inspector, what the EVM
/// says, and the transaction as it was executed.
///
/// # Errors
/// The state cannot be read, or a transaction is not executable where it is said to have been; an inspector that stops execution makes
/// it [`ExecuteError::Corrupt`].
pub fn inspect_transactions<'r, R: StateReader, I>(
    chain: &Chain,
    context: BlockContext,
    reader: &'r R,
    transactions: &[Recovered<TxEnvelope>],
    from: usize,
    inspector: &mut I,
    told: impl FnMut(&mut I, ExecutionResult, TxEnv),
) -> Result<(), ExecuteError<R::Error>>
where
    I: Inspector<EthEvmContext<Overlay<'r, R>>>,
{
    let evm = EthEvmBuilder::new(Overlay::new(reader), context.environment(chain.chain_id));
    let mut evm = evm.precompiles(precompiles(chain, context.number)).inspector(inspector).build();
    let done = inspect_all(&mut evm, transactions, from, told);
    let (mut overlay, _) = evm.finish();
    done.map_err(|StateUnavailable| overlay.take_error().map_or(ExecuteError::Corrupt, ExecuteError::State))
}

fn inspect_all<'r, 'i, R: StateReader, I>(
    evm: &mut EthEvm<Overlay<'r, R>, &'i mut I, PrecompilesMap>,
    transactions: &[Recovered<TxEnvelope>],
    from: usize,
    mut told: impl FnMut(&mut I, ExecutionResult, TxEnv),
) -> Result<(), StateUnavailable>
where
    I: Inspector<EthEvmContext<Overlay<'r, R>>>,
{
    for (index, transaction) in transactions.iter().enumerate() {
        let watched = index >= from;
        evm.set_inspector_enabled(watched);
        let environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
        let result = evm.transact(environment.clone()).map_err(|_| StateUnavailable)?;
        evm.db_mut().commit(result.state)?;
        if watched {
            told(evm.inspector_mut(), result.result, environment);
        }
    }
    Ok(())
}

/// What can be said about a transaction without any state: for a pool, and before executing.
///
/// # Errors
/// A blob transaction, or one with more gas than `gas_left` or than any transaction may have.
pub fn intrinsic_check(transaction: &TxEnvelope, gas_left: u64) -> Result<(), Rejection> {
    if transaction.tx_type() == TxType::Eip4844 {
        return Err(Rejection::Blob);
    }
    let got = transaction.gas_limit();
    if got > TRANSACTION_GAS_MAX {
        return Err(Rejection::GasAboveCap { limit: TRANSACTION_GAS_MAX, got });
    }
    if got > gas_left {
        return Err(Rejection::BlockFull { left: gas_left, got });
    }
    Ok(())
}

pub(crate) fn outcome(
    result: ExecutionResult,
    transaction: &Recovered<TxEnvelope>,
    gas_before: u64,
    base_fee: u64,
) -> Outcome {
    let gas_used = result.tx_gas_used();
    let created = result.created_address();
    let (status, logs, output, halt) = match result {
        ExecutionResult::Success { logs, output, .. } => (true, logs, output.into_data(), None),
        // Logs of a failed transaction are undone with the rest of it.
        ExecutionResult::Revert { output, .. } => (false, Vec::new(), output, None),
        ExecutionResult::Halt { reason, .. } => (false, Vec::new(), Bytes::new(), Some(reason)),
    };
    let receipt = Receipt {
        status: Eip658Value::Eip658(status),
        cumulative_gas_used: gas_before.saturating_add(gas_used),
        logs,
    };
    Outcome {
        receipt: envelope(transaction.tx_type(), receipt.with_bloom()),
        gas_used,
        effective_gas_price: transaction.effective_gas_price(Some(base_fee)),
        created,
        output,
        halt,
    }
}

fn envelope(kind: TxType, receipt: ReceiptWithBloom<Receipt>) -> ReceiptEnvelope {
    match kind {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}

pub(crate) fn rejection(invalid: InvalidTransaction, base_fee: u64) -> Rejection {
    match invalid {
        InvalidTransaction::NonceTooLow { tx, state } => Rejection::NonceTooLow { expected: state, got: tx },
        InvalidTransaction::NonceTooHigh { tx, state } => {
            Rejection::NonceTooHigh { expected: state, got: tx }
        }
        InvalidTransaction::NonceOverflowInTransaction => Rejection::NonceOverflow,
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            Rejection::InsufficientFunds { needed: *fee, balance: *balance }
        }
        InvalidTransaction::OverflowPaymentInTransaction => Rejection::CostOverflow,
        InvalidTransaction::GasPriceLessThanBasefee => Rejection::FeeBelowBase { base_fee },
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => Rejection::TipAboveFee,
        InvalidTransaction::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            Rejection::GasAboveCap { limit: cap, got: gas_limit }
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            Rejection::IntrinsicGas { needed: initial_gas, got: gas_limit }
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            Rejection::IntrinsicGas { needed: gas_floor, got: gas_limit }
        }
        InvalidTransaction::RejectCallerWithCode => Rejection::SenderHasCode,
        InvalidTransaction::InvalidChainId | InvalidTransaction::MissingChainId => Rejection::WrongChain,
        InvalidTransaction::CreateInitCodeSizeLimit => Rejection::InitCodeTooLong,
        InvalidTransaction::EmptyAuthorizationList => Rejection::NoAuthorization,
        other => Rejection::Other(other),
    }
}
