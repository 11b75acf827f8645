//! The world as one call sees it.

use alloy_primitives::{Address, B256, Bytes, LogData, U256, keccak256};

/// Fixed facts about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallContext {
    /// Who called the module.
    pub caller: Address,
    /// Coin sent along; the host has already moved it to the module.
    pub value: U256,
    /// Chain the ledger is.
    pub chain_id: u64,
    /// Block timestamp in seconds.
    pub now: u64,
    /// Block number.
    pub block: u64,
    /// Epochs before this one whose committee could not hand the group's key on, and so stayed; always 0 where one process keeps the ledger.
    pub failed_dealings: u64,
    /// Whether validators certify this chain's final blocks under one key; never where one process keeps the ledger.
    pub has_certifier: bool,
    /// Inside a static call: nothing may be written.
    pub is_static: bool,
    /// The module's code was borrowed by another address (`DELEGATECALL`, `CALLCODE`).
    pub is_borrowed: bool,
}

/// Why the host stopped a call. Either way nothing that the call did remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The call's gas does not pay for the next step.
    #[error("out of gas")]
    OutOfGas,
    /// A write inside a static call that dispatch let through: a module marked a writing method as a view.
    #[error("write inside a static call")]
    StaticWrite,
    /// The module holds less coin than it tried to pay, or the payee would overflow.
    #[error("payment not possible")]
    Payment,
    /// State could not be read; the block cannot be executed here.
    #[error("state unavailable")]
    State,
}

/// What a module may do. Each method charges the EVM's price before it acts.
pub trait Host {
    /// Fixed facts about this call.
    fn context(&self) -> CallContext;

    /// From now on storage, coin and logs are those of `module`; returns whose they were. A module goes through `as_module`, which goes back.
    fn act_as(&mut self, module: Address) -> Address;

    /// Charges `gas`.
    ///
    /// # Errors
    /// [`HostError::OutOfGas`] when less is left.
    fn charge(&mut self, gas: u64) -> Result<(), HostError>;

    /// Reads a slot of the module's storage (`SLOAD` price).
    ///
    /// # Errors
    /// Out of gas, or state unavailable.
    fn sload(&mut self, slot: U256) -> Result<U256, HostError>;

    /// Writes a slot of the module's storage (`SSTORE` price and refund).
    ///
    /// # Errors
    /// Out of gas, inside a static call, or state unavailable.
    fn sstore(&mut self, slot: U256, value: U256) -> Result<(), HostError>;

    /// Emits a log under the module's address (`LOG` price).
    ///
    /// # Errors
    /// Out of gas, or inside a static call.
    fn emit(&mut self, log: LogData) -> Result<(), HostError>;

    /// Moves coin from the module to `to` without running code there (`CALL` with value price).
    ///
    /// # Errors
    /// Out of gas, inside a static call, not enough coin, or state unavailable.
    fn pay(&mut self, to: Address, amount: U256) -> Result<(), HostError>;

    /// All code of an account, empty when it has none (`EXTCODECOPY` price).
    ///
    /// # Errors
    /// Out of gas, or state unavailable.
    fn read_code(&mut self, address: Address) -> Result<Bytes, HostError>;

    /// Gives code to an account that has none, as a creation by the module would, without running anything (price of
    /// `CREATE` and of the code's deposit). The caller makes the address from a hash under its own control, so that nobody else
    /// can have an account there, and keeps the length at or under [`CODE_BYTES_MAX`].
    ///
    /// # Errors
    /// Out of gas, inside a static call, or state unavailable.
    fn create_code(&mut self, address: Address, code: Bytes) -> Result<(), HostError>;

    /// Address whose key made the signature `(r, s, odd_y)` over `digest`, if any (`ECRECOVER` price). Accepts high `s`: the
    /// caller refuses it.
    ///
    /// # Errors
    /// Out of gas.
    fn recover(&mut self, digest: B256, r: U256, s: U256, odd_y: bool) -> Result<Option<Address>, HostError>;

    /// Hash of a block before this one, as far back as `BLOCKHASH` reaches, at its price; none for others.
    ///
    /// # Errors
    /// Out of gas, or state unavailable.
    fn block_hash(&mut self, number: u64) -> Result<Option<B256>, HostError>;

    /// Whether `signature` is the threshold certificate of block `number` with this hash ([`CERTIFICATE_GAS`], charged before anything is looked at); never where
    /// nobody certifies blocks.
    ///
    /// # Errors
    /// Out of gas.
    fn is_certified(&mut self, number: u64, hash: B256, signature: &[u8; 48]) -> Result<bool, HostError>;

    /// Keccak-256 (`KECCAK256` price).
    ///
    /// # Errors
    /// Out of gas.
    fn keccak(&mut self, data: &[u8]) -> Result<B256, HostError> {
        self.charge(keccak_gas(data.len()))?;
        Ok(keccak256(data))
    }
}

/// Runs `act` on the storage, coin and logs of another module: how a module uses the public functions of one below it. The context stays that of the call.
pub(crate) fn as_module<T>(host: &mut dyn Host, module: Address, act: impl FnOnce(&mut dyn Host) -> T) -> T {
    let before = host.act_as(module);
    let result = act(host);
    host.act_as(before);
    result
}

/// Longest code of an account (EIP-170).
pub const CODE_BYTES_MAX: usize = 24_576;

/// Price of checking a threshold certificate: what the same costs by EIP-2537, a pairing check of two pairs, two maps to the curve and their sum, and one
/// multiplication for the subgroup of the signature. One gas stands for 10 ns of one core; `cargo run --release -p tacit-modules --example certificate_gas` measures.
pub const CERTIFICATE_GAS: u64 = (37_700 + 2 * 32_600) + 2 * 5_500 + 375 + 12_000;

/// Price of hashing `len` bytes: 30, and 6 a word.
#[must_use]
pub fn keccak_gas(len: usize) -> u64 {
    // Saturation stands for "more than any call has".
    30_u64.saturating_add(6_u64.saturating_mul(words(len)))
}

/// 32-byte words that `len` bytes fill.
pub(crate) fn words(len: usize) -> u64 {
    u64::try_from(len.div_ceil(32)).unwrap_or(u64::MAX)
}
