//! `stakes`: what workers lose when they are caught.

use alloy_primitives::{Address, address};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000006");

/// Seconds from the last `unbond` until `withdraw`: four days, longer than an answer may still be given under a cover and then be disputed.
pub const UNBONDING_S: u64 = 4 * 24 * 3600;

/// One part in so many of a stake that is taken goes to whoever showed why; the rest is burned, so that a worker that shows itself loses most of it.
pub const REWARD_PARTS: u128 = 4;

/// What is burned of a stake that is taken: all but the reward. It is what deters, since the reward may go to a friend.
#[must_use]
pub const fn burned(taken: u128) -> u128 {
    taken.saturating_sub(taken / REWARD_PARTS)
}

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IStakes.sol");
