//! A host outside of transactions: for what a module's storage is at genesis, and for reading it from a state.

use crate::host::{CallContext, Host, HostError};
use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use std::collections::BTreeMap;

/// Storage of one module: read from wherever it lies, written beside. Nothing costs gas; there is no coin, code or log.
pub(crate) struct Slots<F> {
    read: F,
    writes: BTreeMap<U256, U256>,
}

impl<F: FnMut(U256) -> Result<U256, HostError>> Slots<F> {
    /// Slots as `read` gives them.
    pub(crate) fn new(read: F) -> Self {
        Self { read, writes: BTreeMap::new() }
    }

    /// Everything written.
    pub(crate) fn into_writes(self) -> BTreeMap<U256, U256> {
        self.writes
    }
}

impl<F: FnMut(U256) -> Result<U256, HostError>> Host for Slots<F> {
    fn context(&self) -> CallContext {
        CallContext {
            caller: Address::ZERO,
            value: U256::ZERO,
            chain_id: 0,
            now: 0,
            block: 0,
            failed_dealings: 0,
            has_certifier: false,
            is_static: false,
            is_borrowed: false,
        }
    }

    fn act_as(&mut self, _: Address) -> Address {
        // There is one module here; the modules that are read like this use no other.
        Address::ZERO
    }

    fn charge(&mut self, _: u64) -> Result<(), HostError> {
        Ok(())
    }

    fn sload(&mut self, slot: U256) -> Result<U256, HostError> {
        match self.writes.get(&slot) {
            Some(value) => Ok(*value),
            None => (self.read)(slot),
        }
    }

    fn sstore(&mut self, slot: U256, value: U256) -> Result<(), HostError> {
        self.writes.insert(slot, value);
        Ok(())
    }

    fn emit(&mut self, _: LogData) -> Result<(), HostError> {
        Err(HostError::StaticWrite)
    }

    fn pay(&mut self, _: Address, _: U256) -> Result<(), HostError> {
        Err(HostError::StaticWrite)
    }

    fn read_code(&mut self, _: Address) -> Result<Bytes, HostError> {
        Err(HostError::State)
    }

    fn create_code(&mut self, _: Address, _: Bytes) -> Result<(), HostError> {
        Err(HostError::StaticWrite)
    }

    fn block_hash(&mut self, _: u64) -> Result<Option<B256>, HostError> {
        Err(HostError::State)
    }

    fn is_certified(&mut self, _: u64, _: B256, _: &[u8; 48]) -> Result<bool, HostError> {
        Err(HostError::State)
    }

    fn recover(&mut self, _: B256, _: U256, _: U256, _: bool) -> Result<Option<Address>, HostError> {
        Err(HostError::State)
    }
}
