//! A host on maps, for unit tests: real storage and coin semantics, flat prices, and undo on failure.

use crate::{CERTIFICATE_GAS, CODE_BYTES_MAX, CallContext, Failure, Host, HostError, Module};
use alloy_consensus::crypto::secp256k1::{recover_signer_unchecked, sign_message};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolStruct};
use std::collections::BTreeMap;
use tacit_abi::{Voucher, channels};
use tacit_light::Certifier;

pub(crate) const CHAIN_ID: u64 = 1337;

/// A world with coin, storage and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) storage: BTreeMap<(Address, U256), U256>,
    pub(crate) balances: BTreeMap<Address, U256>,
    pub(crate) code: BTreeMap<Address, Bytes>,
    pub(crate) logs: Vec<Log>,
    pub(crate) now: u64,
    pub(crate) block: u64,
    pub(crate) failed_dealings: u64,
    pub(crate) block_hashes: BTreeMap<u64, B256>,
    pub(crate) certifier: Option<Certifier>,
    pub(crate) is_static: bool,
    pub(crate) is_borrowed: bool,
    pub(crate) gas: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            storage: BTreeMap::new(),
            balances: BTreeMap::new(),
            code: BTreeMap::new(),
            logs: Vec::new(),
            now: 1_800_000_000,
            block: 7,
            failed_dealings: 0,
            block_hashes: BTreeMap::new(),
            certifier: None,
            is_static: false,
            is_borrowed: false,
            gas: 10_000_000,
        }
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.balances.get(&address).copied().unwrap_or_default()
    }

    pub(crate) fn fund(&mut self, address: Address, amount: u128) {
        *self.balances.entry(address).or_default() += U256::from(amount);
    }

    /// Sends `value` and `input` from `caller`; on failure nothing remains.
    pub(crate) fn send(
        &mut self,
        module: Module,
        caller: Address,
        value: U256,
        input: &[u8],
    ) -> Result<Bytes, Failure> {
        self.metered(module, caller, value, input).0
    }

    /// [`Self::send`], and the gas it was charged.
    pub(crate) fn metered(
        &mut self,
        module: Module,
        caller: Address,
        value: U256,
        input: &[u8],
    ) -> (Result<Bytes, Failure>, u64) {
        let before = self.clone();
        assert!(self.balance(caller) >= value, "the test sends more than the caller has");
        *self.balances.entry(caller).or_default() -= value;
        *self.balances.entry(module.address).or_default() += value;
        let mut call = Call { module: module.address, caller, value, gas: self.gas, world: self };
        let result = (module.run)(&mut call, input);
        let used = before.gas - call.gas;
        if result.is_err() {
            *self = before;
        }
        (result, used)
    }
    /// Typed call without coin.
    pub(crate) fn call<C: SolCall>(
        &mut self,
        module: Module,
        caller: Address,
        call: &C,
    ) -> Result<C::Return, Failure> {
        self.pay_call(module, caller, 0, call)
    }

    /// Typed call with coin.
    pub(crate) fn pay_call<C: SolCall>(
        &mut self,
        module: Module,
        caller: Address,
        value: u128,
        call: &C,
    ) -> Result<C::Return, Failure> {
        let output = self.send(module, caller, U256::from(value), &call.abi_encode())?;
        Ok(C::abi_decode_returns_validate(&output).unwrap())
    }

    /// The last log, which must be this event.
    pub(crate) fn last<E: SolEvent>(&self) -> E {
        E::decode_log_validate(self.logs.last().unwrap()).unwrap().data
    }
}

struct Call<'a> {
    world: &'a mut World,
    module: Address,
    caller: Address,
    value: U256,
    gas: u64,
}

impl Host for Call<'_> {
    fn context(&self) -> CallContext {
        CallContext {
            caller: self.caller,
            value: self.value,
            chain_id: CHAIN_ID,
            now: self.world.now,
            block: self.world.block,
            failed_dealings: self.world.failed_dealings,
            has_certifier: self.world.certifier.is_some(),
            is_static: self.world.is_static,
            is_borrowed: self.world.is_borrowed,
        }
    }

    fn act_as(&mut self, module: Address) -> Address {
        core::mem::replace(&mut self.module, module)
    }

    fn charge(&mut self, gas: u64) -> Result<(), HostError> {
        self.gas = self.gas.checked_sub(gas).ok_or(HostError::OutOfGas)?;
        Ok(())
    }

    fn sload(&mut self, slot: U256) -> Result<U256, HostError> {
        self.charge(100)?;
        Ok(self.world.storage.get(&(self.module, slot)).copied().unwrap_or_default())
    }

    fn sstore(&mut self, slot: U256, value: U256) -> Result<(), HostError> {
        assert!(!self.world.is_static, "a view wrote storage");
        self.charge(5000)?;
        if value.is_zero() {
            self.world.storage.remove(&(self.module, slot));
        } else {
            self.world.storage.insert((self.module, slot), value);
        }
        Ok(())
    }

    fn emit(&mut self, log: LogData) -> Result<(), HostError> {
        assert!(!self.world.is_static, "a view emitted a log");
        self.charge(375)?;
        self.world.logs.push(Log { address: self.module, data: log });
        Ok(())
    }

    fn pay(&mut self, to: Address, amount: U256) -> Result<(), HostError> {
        assert!(!self.world.is_static, "a view paid");
        self.charge(9000)?;
        let left = self.world.balance(self.module).checked_sub(amount).ok_or(HostError::Payment)?;
        self.world.balances.insert(self.module, left);
        *self.world.balances.entry(to).or_default() += amount;
        Ok(())
    }

    fn read_code(&mut self, address: Address) -> Result<Bytes, HostError> {
        self.charge(2600)?;
        Ok(self.world.code.get(&address).cloned().unwrap_or_default())
    }

    fn create_code(&mut self, address: Address, code: Bytes) -> Result<(), HostError> {
        assert!(!self.world.is_static, "a view created code");
        assert!(code.len() <= CODE_BYTES_MAX, "code too long");
        self.charge(32_000 + 200 * code.len() as u64)?;
        assert!(self.world.code.insert(address, code).is_none(), "code is created once");
        Ok(())
    }

    fn block_hash(&mut self, number: u64) -> Result<Option<B256>, HostError> {
        self.charge(20)?;
        Ok(self.world.block_hashes.get(&number).copied())
    }

    fn is_certified(&mut self, number: u64, hash: B256, signature: &[u8; 48]) -> Result<bool, HostError> {
        self.charge(CERTIFICATE_GAS)?;
        let check = |certifier: Certifier| certifier.check(number, hash, signature.into()).is_ok();
        Ok(self.world.certifier.is_some_and(check))
    }

    fn recover(&mut self, digest: B256, r: U256, s: U256, odd_y: bool) -> Result<Option<Address>, HostError> {
        self.charge(3000)?;
        Ok(recover_signer_unchecked(&Signature::new(r, s, odd_y), digest).ok())
    }
}

/// The failure that a typed Solidity error makes.
pub(crate) fn reverts(error: impl SolError) -> Failure {
    Failure::Revert(error.abi_encode().into())
}

/// Key number `n` and its address.
pub(crate) fn key(n: u8) -> (B256, Address) {
    let secret = B256::with_last_byte(n);
    let signature = sign_message(secret, B256::ZERO).unwrap();
    (secret, recover_signer_unchecked(&signature, B256::ZERO).unwrap())
}

/// A signed voucher on the test chain.
pub(crate) fn voucher(secret: B256, channel: B256, cumulative: u128) -> Bytes {
    voucher_on(CHAIN_ID, secret, channel, cumulative)
}

/// A signed voucher on any chain.
pub(crate) fn voucher_on(chain_id: u64, secret: B256, channel: B256, cumulative: u128) -> Bytes {
    let digest = Voucher { channelId: channel, cumulative }.eip712_signing_hash(&channels::domain(chain_id));
    sign_message(secret, digest).unwrap().as_bytes().into()
}
