//! What is fixed for a chain, and what is fixed for a block.

use alloy_consensus::Header;
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};
use tacit_light::Certifier;

/// Most gas of one transaction (EIP-7825).
pub const TRANSACTION_GAS_MAX: u64 = revm::primitives::eip7825::TX_GAS_LIMIT_CAP;

/// Longest `extraData`: what common client libraries accept.
pub const EXTRA_DATA_MAX: usize = 32;

/// Parameters that no block changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Most gas of one block.
    pub gas_limit: u64,
    /// The base fee never falls below this (smallest unit per gas); zero lets gas be free while blocks are not half full.
    pub base_fee_floor: u64,
    /// Who certifies final blocks, where validators keep the ledger: known once there is a first block, so in no genesis. It counts from
    /// that one on, whoever makes blocks; those before it are another chain's.
    #[serde(skip)]
    pub certifier: Option<Certifier>,
}

impl Chain {
    /// Who certifies the block of this number and those about it; nobody where one process makes them.
    pub(crate) fn certifier_at(&self, number: u64) -> Option<Certifier> {
        self.certifier.filter(|certifier| number >= certifier.first)
    }

    /// Base fee of the child of `parent`: EIP-1559, held at or above the floor.
    #[must_use]
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        let previous = parent.base_fee_per_gas.unwrap_or(self.base_fee_floor);
        calc_next_block_base_fee(parent.gas_used, parent.gas_limit, previous, BaseFeeParams::ethereum())
            .max(self.base_fee_floor)
    }
}

/// What the proposer decides about a block besides its transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Seconds since 1970; at least the parent's.
    pub timestamp: u64,
    /// Who receives priority fees.
    pub beneficiary: Address,
    /// `mixHash`, and what `PREVRANDAO` returns. It is no beacon (that is the `beacons` module's): validators count failed dealings in it, which the `validators` module
    /// reads (`specs/0006-consensus.md`); zero where one process keeps the ledger.
    pub prev_randao: B256,
    /// Up to [`EXTRA_DATA_MAX`] bytes.
    pub extra_data: Bytes,
}

/// A block as contracts see it while it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockContext {
    /// Height.
    pub number: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Who receives priority fees.
    pub beneficiary: Address,
    /// Most gas of the block.
    pub gas_limit: u64,
    /// Base fee per gas, burned.
    pub base_fee: u64,
    /// What `PREVRANDAO` returns.
    pub prev_randao: B256,
}

impl BlockContext {
    /// The context in which `header`'s block was executed: for calls "at" a block.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self {
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            prev_randao: header.mix_hash,
        }
    }

    pub(crate) fn environment(&self, chain_id: u64) -> EvmEnv {
        let cfg_env = CfgEnv::new_with_spec(SPEC).with_chain_id(chain_id);
        let block_env = BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: U256::ZERO,
            prevrandao: Some(self.prev_randao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        };
        EvmEnv { cfg_env, block_env }
    }
}

/// The rules of execution: the latest that main net runs.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;
