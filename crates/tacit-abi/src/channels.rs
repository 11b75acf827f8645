//! `channels`: one deposit, many vouchers, two transactions.

use alloy_primitives::{Address, B256, Bytes, address, keccak256};
use alloy_sol_types::{Eip712Domain, SolValue};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000002");

/// Seconds between `requestClose` and the moment the client may take the remainder.
pub const GRACE_S: u64 = 900;

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IChannels.sol");

alloy_sol_types::sol! {
    /// The client's cumulative promise: everything owed on this channel so far.
    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Voucher {
        bytes32 channelId;
        uint128 cumulative;
    }
}

/// `keccak256(abi.encode(chainId, ADDRESS, client, worker, signer, salt))`, with the real signer (never zero).
#[must_use]
pub fn channel_id(chain_id: u64, client: Address, worker: Address, signer: Address, salt: B256) -> B256 {
    keccak256((alloy_primitives::U256::from(chain_id), ADDRESS, client, worker, signer, salt).abi_encode())
}

/// EIP-712 domain of [`Voucher`].
#[must_use]
pub fn domain(chain_id: u64) -> Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: "Tacit Channels",
        version: "1",
        chain_id: chain_id,
        verifying_contract: ADDRESS,
    }
}

/// A voucher with its 65-byte `r || s || v` signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedVoucher {
    /// What is promised.
    pub voucher: Voucher,
    /// By the channel's signer over the EIP-712 digest.
    pub signature: Bytes,
}
