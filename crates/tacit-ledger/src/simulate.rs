//! Blocks that are assumed on a state, one on top of the other, and leave nothing behind: `eth_simulateV1`.
//!
//! # Rules
//! Transactions need no signature, and their senders may have code. [`Checks`] says what else is looked at. A block begins with
//! overrides, which later blocks see too; precompiles are back in their places in the next block.
//!
//! # Limits
//! All blocks of a simulation together use at most [`CALL_GAS_MAX`] gas.
//!
//! # Deviation
//! `stateRoot` of a simulated header is zero: replacing all storage of an account cannot be folded into a state commitment that
//! only knows what changed. All other roots, the bloom and the hash are those of the block.

use crate::{
    block::{Block, assemble},
    call::{CALL_GAS_MAX, CallError},
    chain::{Attributes, BlockContext, Chain, TRANSACTION_GAS_MAX},
    execute::{ExecuteError, Executed, Outcome, Rejection, outcome, rejection},
    host::precompiles,
    overlay::{Overlay, StateUnavailable},
    overrides::{self, ApplyError, Overrides},
    state::{StateChanges, StateReader},
};
use alloy_consensus::{Sealed, TxEnvelope, transaction::Recovered};
use alloy_evm::{
    EthEvm, Evm, FromRecoveredTx,
    eth::{EthEvmBuilder, EthEvmContext},
    precompiles::PrecompilesMap,
};
use alloy_primitives::{Address, B256};
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::{block::BlobExcessGasAndPrice, result::EVMError},
};

/// Which rules hold for the transactions of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// Those of a block, except for signature and code of the sender.
    Block,
    /// Those of a call: funds and gas. Nonces and the base fee are not looked at.
    Call,
}

/// A state with simulated blocks on top.
pub struct Simulation<'a, R: StateReader> {
    chain: Chain,
    checks: Checks,
    overlay: Overlay<'a, R>,
    gas_left: u64,
}

impl<R: StateReader> core::fmt::Debug for Simulation<'_, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Simulation")
            .field("checks", &self.checks)
            .field("gas_left", &self.gas_left)
            .finish_non_exhaustive()
    }
}

impl<'a, R: StateReader> Simulation<'a, R> {
    /// Nothing simulated yet, on the state that `reader` reads.
    pub fn new(chain: Chain, reader: &'a R, checks: Checks) -> Self {
        Self { chain, checks, overlay: Overlay::new(reader), gas_left: CALL_GAS_MAX }
    }

    /// Begins a block in `context`, in which `overrides` hold, watched by `inspector` once [`SimulatedBlock::watch`] is on.
    ///
    /// # Errors
    /// The overrides contradict themselves, or the state cannot be read.
    pub fn begin<'s, I>(
        &'s mut self,
        context: BlockContext,
        overrides: &Overrides,
        inspector: I,
    ) -> Result<SimulatedBlock<'s, 'a, R, I>, CallError<R::Error>>
    where
        I: Inspector<EthEvmContext<&'s mut Overlay<'a, R>>>,
    {
        let mut precompiles = precompiles(&self.chain, context.number);
        if let Err(error) = overrides::apply(&mut self.overlay, &mut precompiles, overrides) {
            return Err(match error {
                ApplyError::State => unavailable(&mut self.overlay),
                ApplyError::Override(why) => why.into(),
            });
        }
        let mut environment = context.environment(self.chain.chain_id);
        let config = &mut environment.cfg_env;
        config.disable_eip3607 = true;
        // Gas left to the block is checked here, before gas left to the simulation bounds it.
        config.disable_block_gas_limit = true;
        config.disable_nonce_check = self.checks == Checks::Call;
        config.disable_base_fee = self.checks == Checks::Call;
        config.tx_gas_limit_cap = Some(match self.checks {
            Checks::Block => TRANSACTION_GAS_MAX,
            Checks::Call => CALL_GAS_MAX,
        });
        let evm = EthEvmBuilder::new(&mut self.overlay, environment).precompiles(precompiles);
        let executed = Executed {
            context,
            transactions: Vec::new(),
            outcomes: Vec::new(),
            rejected: Vec::new(),
            gas_used: 0,
            changes: StateChanges::default(),
        };
        let evm = evm.inspector(inspector).build();
        Ok(SimulatedBlock { evm, executed, checks: self.checks, gas_left: &mut self.gas_left })
    }
}

/// What a simulated transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// As in a block.
    pub outcome: Outcome,
    /// Most gas that was used at a time, before refunds.
    pub gas_peak: u64,
}

/// A block that transactions can be added to.
pub struct SimulatedBlock<'s, 'a, R: StateReader, I> {
    evm: EthEvm<&'s mut Overlay<'a, R>, I, PrecompilesMap>,
    executed: Executed,
    checks: Checks,
    gas_left: &'s mut u64,
}

impl<R: StateReader, I> core::fmt::Debug for SimulatedBlock<'_, '_, R, I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SimulatedBlock").field("executed", &self.executed).finish_non_exhaustive()
    }
}

impl<'s, 'a, R: StateReader, I> SimulatedBlock<'s, 'a, R, I>
where
    I: Inspector<EthEvmContext<&'s mut Overlay<'a, R>>>,
{
    /// Lets `BLOBBASEFEE` return `price`.
    pub fn assume_blob_base_fee(&mut self, price: u128) {
        let price = BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: price };
        self.evm.ctx_mut().block.blob_excess_gas_and_price = Some(price);
    }

    /// The next nonce of an account.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn nonce(&mut self, address: Address) -> Result<u64, CallError<R::Error>> {
        let overlay = &mut **self.evm.db_mut();
        match overlay.account(address) {
            Ok(account) => Ok(account.unwrap_or_default().nonce),
            Err(StateUnavailable) => Err(unavailable(overlay)),
        }
    }

    /// Gas limit of a transaction that asks for `asked`; what it may have at most when it does not ask.
    ///
    /// # Errors
    /// It asks for more than the block has left.
    pub fn gas_for(&self, asked: Option<u64>) -> Result<u64, Rejection> {
        let left = self.executed.context.gas_limit.saturating_sub(self.executed.gas_used);
        match asked {
            Some(got) if got > left => Err(Rejection::BlockFull { left, got }),
            Some(got) => Ok(got.min(*self.gas_left)),
            None if self.checks == Checks::Block => Ok(left.min(*self.gas_left).min(TRANSACTION_GAS_MAX)),
            None => Ok(left.min(*self.gas_left)),
        }
    }

    /// Whether the inspector is told what happens; it makes execution slower.
    pub fn watch(&mut self, on: bool) {
        self.evm.set_inspector_enabled(on);
    }

    /// What watches the block.
    pub fn inspector(&mut self) -> &mut I {
        self.evm.inspector_mut()
    }

    /// Executes a transaction, whose gas limit should come from [`Self::gas_for`], after those before it.
    ///
    /// # Errors
    /// The transaction cannot be in this block, or the state cannot be read.
    pub fn execute(&mut self, transaction: Recovered<TxEnvelope>) -> Result<Simulated, CallError<R::Error>> {
        let context = self.executed.context;
        let environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
        let result = match self.evm.transact(environment) {
            Ok(result) => result,
            Err(EVMError::Transaction(invalid)) => {
                return Err(CallError::Rejected(rejection(invalid, context.base_fee)));
            }
            Err(_) => return Err(unavailable(self.evm.db_mut())),
        };
        let overlay = &mut **self.evm.db_mut();
        if overlay.commit(result.state).is_err() {
            return Err(unavailable(overlay));
        }
        let gas_peak = result.result.gas().total_gas_spent();
        let outcome = outcome(result.result, &transaction, self.executed.gas_used, context.base_fee);
        let gas_peak = gas_peak.max(outcome.gas_used);
        self.executed.gas_used = self.executed.gas_used.saturating_add(outcome.gas_used);
        *self.gas_left = self.gas_left.saturating_sub(outcome.gas_used);
        self.executed.transactions.push(transaction);
        self.executed.outcomes.push(outcome.clone());
        Ok(Simulated { outcome, gas_peak })
    }

    /// Ends the block; later ones know its hash.
    pub fn seal(self, parent: B256) -> (Sealed<Block>, Executed) {
        let Self { evm, executed, .. } = self;
        let block = assemble(&executed, parent, &Attributes::default(), B256::ZERO);
        let (overlay, _) = evm.finish();
        overlay.override_block_hash(block.header.number, block.hash());
        (block, executed)
    }
}

fn unavailable<R: StateReader>(overlay: &mut Overlay<'_, R>) -> CallError<R::Error> {
    CallError::Execute(overlay.take_error().map_or(ExecuteError::Corrupt, ExecuteError::State))
}
