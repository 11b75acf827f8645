//! `policies`: lines of attestation policies, changed by proposal and delay.

use alloy_primitives::{Address, B256, U256, address, keccak256};
use alloy_sol_types::SolValue;

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000009");

/// What a proposal costs whoever makes it when too few approve: one coin.
pub const BOND: u128 = 10_u128.pow(18);
/// Seconds in which a proposal may be approved: two weeks, less than it takes to get a stake home and vote with it again.
pub const VOTE_S: u64 = 14 * 24 * 3600;
/// Seconds after its delay in which what was accepted may be put into force: nothing old comes as a surprise.
pub const ENACT_S: u64 = 14 * 24 * 3600;
/// Least delay of a line: three days.
pub const DELAY_MIN_S: u64 = 3 * 24 * 3600;
/// Most delay of a line: ninety days.
pub const DELAY_MAX_S: u64 = 90 * 24 * 3600;
/// Delay of a policy that only takes away: an hour, or the hole stays open.
pub const NARROW_DELAY_S: u64 = 3600;
/// The least share of stake that a line may ask for, in parts of [`QUORUM_PARTS`]: the least that is more than two thirds.
pub const QUORUM_MIN: u16 = 6667;
/// Parts of a quorum.
pub const QUORUM_PARTS: u16 = 10_000;
/// A share of stake that takes back what was accepted: one part in so many.
pub const TAKE_BACK_PARTS: u128 = 3;
/// Longest policy that is kept: an account's longest code, less a byte in front.
pub const POLICY_BYTES_MAX: usize = 24_575;

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IPolicies.sol");

/// The name of the line that begins with this policy and has these rules.
#[must_use]
pub fn line_id(policy: B256, delay: u64, quorum: u16) -> B256 {
    keccak256((policy, delay, quorum).abi_encode())
}

/// The name of a line's proposal, counted from 0.
#[must_use]
pub fn proposal_id(line: B256, index: u32) -> B256 {
    keccak256((line, U256::from(index)).abi_encode())
}
