//! `asks`: what workers ask for serving models.

use alloy_primitives::{Address, B256, address};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000007");

/// Stake that each ask needs: a hundredth of a coin, so that lists cannot be filled for nothing.
pub const ASK_STAKE: u128 = 10_u128.pow(16);
/// Longest that an ask may be valid without being set again, in seconds: thirty days.
pub const ASK_LIFE_S: u64 = 30 * 24 * 3600;
/// How long tokens stay good once their worker sells others, in seconds: thirty days. As long as that, no third key is set.
pub const TOKENS_KEPT_S: u64 = 30 * 24 * 3600;
/// Seconds of an hour, in each of which one beat of a worker counts.
pub const HOUR_S: u64 = 3600;
/// An ask whose worker has been silent for longer is not asked, in seconds: three hours, so that two beats may be missed.
pub const LIVE_S: u64 = 3 * HOUR_S;
/// Hours of which it is remembered whether a worker beat in them: what one slot has room for beside two times.
pub const LIVENESS_HOURS: u32 = 160;
/// Most asks in one page.
pub const PAGE_MAX: u32 = 64;

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IAsks.sol");

impl IAsks::Ask {
    /// Whether a client should consider it at `now` (Unix seconds): it has not ended, stake backs it, and its worker was there a moment ago.
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        let is_there = now.saturating_sub(self.lastBeat) <= LIVE_S;
        self.terms.validUntil >= now && is_there && is_backed(self.bonded, self.asks)
    }
}

impl IAsks::Tokens {
    /// What a token under this key pays for at `now` (Unix seconds). `None`: it is not, or no longer, good for anything.
    #[must_use]
    pub fn price_of(&self, key_hash: B256, now: u64) -> Option<u128> {
        if key_hash.is_zero() {
            None
        } else if key_hash == self.keyHash {
            Some(self.price)
        } else {
            (key_hash == self.previousKeyHash && now <= self.previousUntil).then_some(self.previousPrice)
        }
    }
}

/// Whether so much stake backs so many asks.
#[must_use]
pub fn is_backed(bonded: u128, asks: u32) -> bool {
    ASK_STAKE.checked_mul(u128::from(asks)).is_some_and(|needed| bonded >= needed)
}
