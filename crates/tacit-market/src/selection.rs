//! Which answers are audited, and by whom: drawn from a beacon that is fixed after the answer was committed to.
//!
//! # Who must not know the beacon
//! An answer is committed to by its receipt, whose hash covers salted commitments to input and output. The beacon is 32 bytes that its worker cannot foresee when it
//! gives the receipt out, and cannot choose afterwards. Two sources do:
//!
//! - **The client's**: its job carries `keccak256(s)` of 32 random bytes `s`, and `s` is shown once the receipt is there. The worker cannot foresee it unless the client is in league with
//!   it, and the client cannot choose by it, since the receipt's hash was not fixed when it chose `s`. A client that tells its worker, or never shows `s`, harms nobody but itself: it
//!   asked for the audit of its own answer. So such a beacon serves the client, and says nothing to third parties.
//! - **The ledger's**: a threshold signature of the validators over the block in which the receipt was anchored, which they make once that is final (`specs/0015-beacons.md`). Nobody foresees it as long as a third of the validators keep their shares to
//!   themselves. Audits drawn by it are what third parties can rely on. A proposer's own value (`prevrandao` of one proposer, a block hash) would not do: who makes it can throw away what it dislikes.
//!
//! # Draws
//! Keccak-256 of a label, the beacon, the receipt's hash and a number; its first 32 bits against the probability, its first 128 against the auditors' stake. Taking 128 bits of a product
//! instead of a remainder makes one auditor more likely than its share by less than `2^-127`.

use alloy_primitives::{Address, B256, Keccak256, U256};

use crate::ratio::Ratio;

/// Somebody who may be drawn to audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auditor {
    /// Who.
    pub address: Address,
    /// Its weight: what it has at stake, smallest units.
    pub stake: u128,
}

/// Whether the answer behind a receipt is audited, where audits have this probability.
#[must_use]
pub fn is_selected(beacon: B256, receipt_hash: B256, probability: Ratio) -> bool {
    let hash = draw(SELECT, beacon, receipt_hash, 0);
    u64::from(first_u32(&hash)) < probability.0
}

/// Draws up to `count` auditors by stake, each once, never the worker itself. All who have stake, if there are no more.
///
/// The result depends on the order of `auditors`: everybody takes the ledger's.
#[must_use]
pub fn auditors(
    beacon: B256,
    receipt_hash: B256,
    worker: Address,
    auditors: &[Auditor],
    count: u8,
) -> Vec<Address> {
    let mut chosen: Vec<Address> = Vec::new();
    let is_left = |auditor: &Auditor, chosen: &[Address]| {
        auditor.address != worker && !chosen.contains(&auditor.address)
    };
    for number in 0..count {
        let left = || auditors.iter().filter(|auditor| is_left(auditor, &chosen));
        // There are not so many coins that the sum would not fit.
        let total = left().fold(U256::ZERO, |sum, auditor| sum.saturating_add(U256::from(auditor.stake)));
        let hash = draw(AUDITOR, beacon, receipt_hash, number);
        let Some(mut at) = share_of(total, &hash) else { break };
        let drawn = left().find(|auditor| {
            let stake = U256::from(auditor.stake);
            match at.checked_sub(stake) {
                Some(rest) => {
                    at = rest;
                    false
                }
                None => true,
            }
        });
        let Some(drawn) = drawn.map(|auditor| auditor.address) else { break };
        chosen.push(drawn);
    }
    chosen
}

/// A number below `total`, which is below `2^128`; none if there is none.
fn share_of(total: U256, hash: &B256) -> Option<U256> {
    let total = u128::try_from(total).ok().filter(|total| *total > 0)?;
    let drawn = U256::from_be_bytes(hash.0).wrapping_shr(128);
    Some(drawn.checked_mul(U256::from(total))?.wrapping_shr(128))
}

fn draw(label: &[u8], beacon: B256, receipt_hash: B256, number: u8) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(label);
    hasher.update(beacon);
    hasher.update(receipt_hash);
    hasher.update([number]);
    hasher.finalize()
}

fn first_u32(hash: &B256) -> u32 {
    let [a, b, c, d, ..] = hash.0;
    u32::from_be_bytes([a, b, c, d])
}

const SELECT: &[u8] = b"tacit 2026 audited answer v1";
const AUDITOR: &[u8] = b"tacit 2026 auditor of an answer v1";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn beacon(number: u64) -> B256 {
        B256::from(U256::from(number))
    }

    fn crowd(stakes: &[u128]) -> Vec<Auditor> {
        let one = |(at, stake): (usize, &u128)| Auditor {
            address: Address::with_last_byte(u8::try_from(at).unwrap()),
            stake: *stake,
        };
        stakes.iter().enumerate().map(one).collect()
    }

    #[test]
    fn selection_is_as_frequent_as_the_probability() {
        for (hundredths, range) in [(0, 0..1), (5, 400..600), (50, 4_800..5_200), (100, 10_000..10_001)] {
            let selected = (0..10_000)
                .filter(|number| is_selected(beacon(*number), B256::ZERO, Ratio::percent(hundredths)))
                .count();
            assert!(range.contains(&selected), "{hundredths} %: {selected}");
        }
    }

    #[test]
    fn auditors_are_drawn_by_stake() {
        let crowd = crowd(&[10, 0, 30, 60]);
        let mut drawn = [0_u32; 4];
        for number in 0..10_000 {
            let chosen = auditors(beacon(number), B256::ZERO, Address::repeat_byte(9), &crowd, 1);
            drawn[usize::from(chosen[0].0[19])] += 1;
        }
        assert_eq!(drawn[1], 0);
        assert!((900..1_100).contains(&drawn[0]) && (5_800..6_200).contains(&drawn[3]), "{drawn:?}");
    }

    #[test]
    fn a_worker_never_audits_itself() {
        let crowd = crowd(&[1, u128::from(u64::MAX)]);
        for number in 0..100 {
            let chosen = auditors(beacon(number), B256::ZERO, crowd[1].address, &crowd, 2);
            assert_eq!(chosen, [crowd[0].address]);
        }
    }

    #[test]
    fn nobody_is_drawn_where_nobody_has_stake() {
        assert!(auditors(beacon(1), B256::ZERO, Address::ZERO, &crowd(&[0, 0, 0]), 3).is_empty());
        assert!(auditors(beacon(1), B256::ZERO, Address::ZERO, &[], 3).is_empty());
        let absurd = crowd(&[u128::MAX, u128::MAX, u128::MAX]);
        assert!(auditors(beacon(1), B256::ZERO, Address::repeat_byte(9), &absurd, 1).is_empty());
    }

    /// The share of audits in which all auditors collude is at most the share of their stake to the power of the auditors.
    #[test]
    fn a_third_of_the_stake_rarely_has_all_auditors() {
        let crowd = crowd(&[1; 90]);
        let colludes = |address: &Address| address.0[19] < 30;
        let all = (0..20_000).filter(|number| {
            let chosen = auditors(beacon(*number), B256::ZERO, Address::repeat_byte(200), &crowd, 2);
            chosen.iter().all(colludes)
        });
        // (30 / 90) (29 / 89) = 0.1086 of 20000, below 1/9.
        assert!((2_050..2_290).contains(&all.count()));
    }

    proptest! {
        /// Against the definition: a list of whole coins, of which each hash names one.
        #[test]
        fn draws_agree_with_a_list_of_coins(
            stakes in prop::collection::vec(0_u128..20, 1..8), seed in any::<u64>(), worker in 0_u8..8, count in 0_u8..6,
        ) {
            let crowd = crowd(&stakes);
            let worker = Address::with_last_byte(worker);
            let mut coins: Vec<Address> = crowd
                .iter()
                .filter(|auditor| auditor.address != worker)
                .flat_map(|auditor| vec![auditor.address; usize::try_from(auditor.stake).unwrap()])
                .collect();
            let mut expected = Vec::new();
            for number in 0..count {
                if coins.is_empty() {
                    break;
                }
                let hash = draw(AUDITOR, beacon(seed), B256::ZERO, number);
                let at: U256 = (U256::from_be_slice(&hash.0[..16]) * U256::from(coins.len())) >> 128_usize;
                let chosen = coins[at.to::<usize>()];
                expected.push(chosen);
                coins.retain(|coin| *coin != chosen);
            }
            prop_assert_eq!(auditors(beacon(seed), B256::ZERO, worker, &crowd, count), expected);
        }

        #[test]
        fn more_probable_selects_no_less(seed in any::<u64>(), less in 0_u64..1 << 32, more in 0_u64..1 << 32) {
            let (less, more) = (less.min(more), less.max(more));
            let selected = |chance| is_selected(beacon(seed), B256::ZERO, Ratio(chance));
            prop_assert!(!selected(less) || selected(more));
        }
    }
}
