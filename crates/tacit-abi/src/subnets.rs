//! `subnets`: open tasks on which validators score workers.

use alloy_primitives::{Address, B256, U256, address, keccak256};
use alloy_sol_types::SolValue;

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac170000000000000000000000000000000000a");

/// Most workers of a subnet.
pub const WORKERS_MAX: u16 = 64;
/// Most validators of a subnet.
pub const VALIDATORS_MAX: u16 = 16;
/// Epochs after that of its registration in which a worker cannot lose its seat to a newcomer.
pub const IMMUNITY_EPOCHS: u64 = 2;
/// Shortest epoch, in seconds, and shortest window to reveal in.
pub const EPOCH_S_MIN: u32 = 4;
/// Longest epoch, in seconds: thirty days.
pub const EPOCH_S_MAX: u32 = 30 * 24 * 3600;
/// Longest description of a task, in bytes of visible ASCII and spaces.
pub const TEXT_MAX: usize = 128;
/// Least share of stake that must agree, of 65535: half. Below it two halves could agree on different things.
pub const KAPPA_MIN: u16 = 32_767;

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/ISubnets.sol");

/// What a commitment to weights is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment<'a> {
    /// Chain.
    pub chain_id: u64,
    /// Subnet.
    pub id: u64,
    /// Epoch.
    pub epoch: u64,
    /// Whose weights.
    pub validator: Address,
    /// Random: weights can be guessed.
    pub salt: B256,
    /// By seat.
    pub weights: &'a [u16],
}

impl Commitment<'_> {
    /// What is hashed: `abi.encode` of all of it.
    #[must_use]
    pub fn preimage(&self) -> Vec<u8> {
        let Self { chain_id, id, epoch, validator, salt, weights } = *self;
        (U256::from(chain_id), id, epoch, validator, salt, weights.to_vec()).abi_encode_params()
    }

    /// What goes onto the ledger while the epoch goes on.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.preimage())
    }
}

impl ISubnets::Terms {
    /// When an epoch ends, counted from the subnet's start.
    #[must_use]
    pub fn ends_after(&self, epoch: u64) -> u64 {
        epoch.saturating_add(1).saturating_mul(u64::from(self.epochSeconds))
    }
}
