//! Modules as stateful precompiles: the journal-backed [`Host`] and the map that mounts them.
//!
//! Gas follows the interpreter: the warm price is charged first, a cold load is skipped when the rest cannot pay for it,
//! and refunds travel with the call's gas tracker. Tables are revm's, for the rules in force.

use crate::chain::{Chain, SPEC};
use alloy_consensus::crypto::secp256k1::recover_signer_unchecked;
use alloy_evm::{
    EvmInternals,
    precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap},
};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, U256};
use revm::{
    Database as _,
    context_interface::{
        cfg::{GasParams, gas},
        context::StateLoad,
        journaled_state::JournalLoadError,
    },
    interpreter::gas::GasTracker,
    precompile::{
        PrecompileError, PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult, PrecompileSpecId,
        PrecompileStatus, Precompiles,
    },
    state::Bytecode,
};
use tacit_light::Certifier;
use tacit_modules::{CERTIFICATE_GAS, CallContext, Failure, Host, HostError, MODULES, Module};

/// Ethereum's precompiles and the modules, as they are in block `number` of a chain.
pub(crate) fn precompiles(chain: &Chain, number: u64) -> PrecompilesMap {
    let certifier = chain.certifier_at(number);
    let mut map = PrecompilesMap::from_static(Precompiles::new(PrecompileSpecId::from_spec_id(SPEC)));
    map.extend_precompiles(MODULES.map(|module| {
        let id = PrecompileId::Custom(module.name.into());
        (module.address, DynPrecompile::new_stateful(id, move |input| run(module, certifier, input)))
    }));
    map
}

/// What a header's `mixHash` says: how many dealings have failed (`specs/0006-consensus.md`). More than a count can be is as much as it can.
fn failed_dealings(mix_hash: Option<B256>) -> u64 {
    mix_hash.map_or(0, |count| U256::from_be_bytes(count.0).saturating_to())
}

fn run(module: Module, certifier: Option<Certifier>, input: PrecompileInput<'_>) -> PrecompileResult {
    let context = CallContext {
        caller: input.caller,
        value: input.value,
        chain_id: input.internals.chain_id(),
        now: input.internals.block_timestamp().saturating_to(),
        block: input.internals.block_number().saturating_to(),
        failed_dealings: failed_dealings(input.internals.block_env().prevrandao()),
        has_certifier: certifier.is_some(),
        is_static: input.is_static,
        is_borrowed: !input.is_direct_call(),
    };
    let mut host = JournalHost {
        context,
        certifier,
        module: module.address,
        gas: GasTracker::new(input.gas, input.gas, input.reservoir),
        prices: GasParams::new_spec(SPEC),
        internals: input.internals,
    };
    let result = (module.run)(&mut host, input.data);
    let mut gas = host.gas;
    match result {
        Ok(bytes) => Ok(PrecompileOutput::from_gas_tracker(PrecompileStatus::Success, bytes, gas)),
        Err(Failure::Revert(bytes)) => {
            gas.set_refunded(0);
            Ok(PrecompileOutput::from_gas_tracker(PrecompileStatus::Revert, bytes, gas))
        }
        Err(Failure::Halt(HostError::OutOfGas)) => Ok(halted(PrecompileHalt::OutOfGas, input.reservoir)),
        Err(Failure::Halt(HostError::StaticWrite)) => {
            Ok(halted(PrecompileHalt::other_static("write inside a static call"), input.reservoir))
        }
        Err(Failure::Halt(HostError::Payment)) => {
            Ok(halted(PrecompileHalt::other_static("payment not possible"), input.reservoir))
        }
        Err(Failure::Halt(HostError::State)) => Err(PrecompileError::Fatal("state unavailable".into())),
    }
}

fn halted(reason: PrecompileHalt, reservoir: u64) -> PrecompileOutput {
    PrecompileOutput::halt(reason, reservoir)
}

struct JournalHost<'a> {
    context: CallContext,
    certifier: Option<Certifier>,
    module: Address,
    gas: GasTracker,
    prices: GasParams,
    internals: EvmInternals<'a>,
}

impl JournalHost<'_> {
    /// Whether a load that costs `additional` when cold must stop at warm entries.
    fn skip_cold(&self, additional: u64) -> bool {
        self.gas.remaining() < additional
    }

    fn refuse_static(&self) -> Result<(), HostError> {
        if self.context.is_static { Err(HostError::StaticWrite) } else { Ok(()) }
    }
}

impl Host for JournalHost<'_> {
    fn context(&self) -> CallContext {
        self.context
    }

    fn act_as(&mut self, module: Address) -> Address {
        core::mem::replace(&mut self.module, module)
    }

    fn charge(&mut self, gas: u64) -> Result<(), HostError> {
        if self.gas.record_regular_cost(gas) { Ok(()) } else { Err(HostError::OutOfGas) }
    }

    fn sload(&mut self, slot: U256) -> Result<U256, HostError> {
        self.charge(self.prices.warm_storage_read_cost())?;
        let cold = self.prices.cold_storage_additional_cost();
        let skip = self.skip_cold(cold);
        let load = {
            let mut account = self.internals.load_account_mut(self.module).map_err(|_| HostError::State)?;
            let load = account.data.sload(slot, skip).map_err(load_error)?;
            StateLoad::new(load.data.present_value(), load.is_cold)
        };
        if load.is_cold {
            self.charge(cold)?;
        }
        Ok(load.data)
    }

    fn sstore(&mut self, slot: U256, value: U256) -> Result<(), HostError> {
        self.refuse_static()?;
        // EIP-2200: a call left with no more than the stipend may not write.
        if self.gas.remaining() <= self.prices.call_stipend() {
            return Err(HostError::OutOfGas);
        }
        self.charge(self.prices.sstore_static_gas())?;
        let skip = self.skip_cold(self.prices.cold_storage_additional_cost());
        let load = {
            let mut account = self.internals.load_account_mut(self.module).map_err(|_| HostError::State)?;
            account.data.sstore(slot, value, skip).map_err(load_error)?
        };
        self.charge(self.prices.sstore_dynamic_gas(true, &load.data, load.is_cold))?;
        self.gas.record_refund(self.prices.sstore_refund(true, &load.data));
        Ok(())
    }

    fn emit(&mut self, log: LogData) -> Result<(), HostError> {
        self.refuse_static()?;
        let topics = u8::try_from(log.topics().len()).unwrap_or(u8::MAX);
        let bytes = u64::try_from(log.data.len()).unwrap_or(u64::MAX);
        self.charge(gas::LOG.saturating_add(self.prices.log_cost(topics, bytes)))?;
        self.internals.log(Log { address: self.module, data: log });
        Ok(())
    }

    fn pay(&mut self, to: Address, amount: U256) -> Result<(), HostError> {
        self.refuse_static()?;
        self.charge(self.prices.warm_storage_read_cost())?;
        let cold = self.prices.cold_account_additional_cost();
        let skip = self.skip_cold(cold);
        let (is_cold, is_empty) = {
            let load =
                self.internals.load_account_mut_skip_cold_load(to, skip).map_err(|error| match error {
                    JournalLoadError::ColdLoadSkipped => HostError::OutOfGas,
                    JournalLoadError::DBError(_) => HostError::State,
                })?;
            (load.is_cold, load.data.account().is_empty())
        };
        if is_cold {
            self.charge(cold)?;
        }
        if amount.is_zero() {
            return Ok(());
        }
        self.charge(self.prices.transfer_value_cost())?;
        if is_empty {
            self.charge(self.prices.new_account_cost(true, true))?;
        }
        match self.internals.transfer(self.module, to, amount) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(HostError::Payment),
            Err(_) => Err(HostError::State),
        }
    }

    fn read_code(&mut self, address: Address) -> Result<Bytes, HostError> {
        self.charge(self.prices.warm_storage_read_cost())?;
        let cold = self.prices.cold_account_additional_cost();
        let skip = self.skip_cold(cold);
        let (is_cold, code) = {
            let mut load =
                self.internals.load_account_mut_skip_cold_load(address, skip).map_err(load_error)?;
            let code = load.data.load_code().map_err(|_| HostError::State)?.original_bytes();
            (load.is_cold, code)
        };
        if is_cold {
            self.charge(cold)?;
        }
        self.charge(self.prices.extcodecopy(code.len()))?;
        Ok(code)
    }

    fn create_code(&mut self, address: Address, code: Bytes) -> Result<(), HostError> {
        self.refuse_static()?;
        self.charge(self.prices.create_cost())?;
        self.charge(self.prices.code_deposit_cost(code.len()))?;
        let mut account = self.internals.load_account_mut(address).map_err(|_| HostError::State)?;
        account.data.touch();
        account.data.set_code_and_hash_slow(Bytecode::new_legacy(code));
        // Nonce 1, as every contract has.
        account.data.bump_nonce();
        Ok(())
    }

    fn recover(&mut self, digest: B256, r: U256, s: U256, odd_y: bool) -> Result<Option<Address>, HostError> {
        self.charge(RECOVER_GAS)?;
        Ok(recover_signer_unchecked(&Signature::new(r, s, odd_y), digest).ok())
    }

    fn block_hash(&mut self, number: u64) -> Result<Option<B256>, HostError> {
        self.charge(gas::BLOCKHASH)?;
        let behind = self.context.block.saturating_sub(number);
        if !(1..=BLOCK_HASHES).contains(&behind) {
            return Ok(None);
        }
        let hash = self.internals.db_mut().block_hash(number).map_err(|_| HostError::State)?;
        Ok(Some(hash).filter(|hash| !hash.is_zero()))
    }

    fn is_certified(&mut self, number: u64, hash: B256, signature: &[u8; 48]) -> Result<bool, HostError> {
        self.charge(CERTIFICATE_GAS)?;
        let Some(certifier) = &self.certifier else { return Ok(false) };
        Ok(certifier.check(number, hash, signature.into()).is_ok())
    }
}

fn load_error<E>(error: JournalLoadError<E>) -> HostError {
    match error {
        JournalLoadError::ColdLoadSkipped => HostError::OutOfGas,
        JournalLoadError::DBError(_) => HostError::State,
    }
}

/// Hashes that `BLOCKHASH` reaches.
const BLOCK_HASHES: u64 = 256;
/// Price of the `ECRECOVER` precompile.
const RECOVER_GAS: u64 = 3000;
