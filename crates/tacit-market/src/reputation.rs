//! What a worker's history is worth: a function of public facts, the same for everybody, never more than it cost.
//!
//! ```text
//! history    = sum over settlements since the last failed audit of burnt / 2^(age in months)
//! reputation = min(history, bonded) * passed / (passed + 20) * beaten / covered
//! ```
//!
//! Coins, rounded down at each step. `burnt` is what a settlement destroyed (on today's ledger the base fee of its transaction, since modules take no levy); a month is thirty days, of
//! which only whole ones count; `passed` counts audits since the last failed one, of those that the ledger's beacon drew; `beaten` are those of the `covered` hours in which the worker said by a
//! transaction of its own that it was there (`asks.beat`).
//!
//! # Liveness by one's own word
//! A beat shows that somebody who has the worker's key sent a transaction in that hour and paid for it. It does not show that anything answers at the worker's endpoint, nor how fast, nor what: that
//! each gateway sees for itself ([`crate::health`]). What it is good for: whoever stops beating is gone, whoever says so is not forged by anybody else, and everybody counts the same hours. A worker that
//! beats and answers nothing has a factor of one, which adds nothing to what it burnt.
//!
//! Beats burn coins too and are no part of `history`. It is what trade burnt: a settlement at least may have been somebody else's money, a beat never is, and a worker that only beats would have a history
//! that says nothing but that it is there, which is the other factor. The bound below holds either way; so it holds with room to spare.
//!
//! # Self-dealing
//! A worker can be its own client, as often as it likes and under as many names: what it pays itself comes back. So the value that was settled, the number of clients and of answers count nothing.
//! What counts is what did not come back:
//!
//! - Reputation is at most what was burnt for it, whatever else is forged: every other factor is at most one. Names that are one person's have together at most what that person burnt.
//! - It is at most what is bonded, so that old merit without stake is nothing.
//!
//! Whoever keeps no more unsettled with a worker on its word alone than the worker's reputation therefore loses to a worker that forged it at most what forging cost. A worker that earned its
//! reputation honestly can still leave with as much once. So this number orders workers and bounds what is taken on their word (`signed`); it never lowers what audits need
//! ([`crate::policy`]).
//!
//! A failed audit ends the history before it. Passed audits are no proof against self-dealing (audits of small jobs are cheap to pass) and none is needed of them: they say that somebody other than
//! the worker looked.

use alloy_primitives::U256;

use crate::ratio::Ratio;

/// What the ledger shows of one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What is bonded; smallest units.
    pub bonded: u128,
    /// Settlements, in any order.
    pub settlements: Vec<Settlement>,
    /// Times of audits that were passed, in any order; Unix seconds.
    pub passed_at_s: Vec<u64>,
    /// When an audit was failed last.
    pub failed_at_s: Option<u64>,
    /// Hours of which it is known whether the worker said that it was there.
    pub hours_covered: u32,
    /// And in which it said so.
    pub hours_beaten: u32,
}

/// One settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// When; Unix seconds.
    pub at_s: u64,
    /// What it destroyed; smallest units.
    pub burnt: u128,
}

/// What a history is worth, and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reputation {
    /// Coins; smallest units.
    pub coins: u128,
    /// What was burnt since the last failed audit, as it counts today.
    pub history: u128,
    /// Audits passed since the last failed one.
    pub passed: u32,
    /// Share of the hours in which it said that it was there; of none, none.
    pub uptime: Ratio,
}

/// Computes a worker's reputation at `now_s` (Unix seconds). Facts from later do not count.
#[must_use]
pub fn reputation(facts: &Facts, now_s: u64) -> Reputation {
    let counts = |at_s: u64| at_s <= now_s && facts.failed_at_s.is_none_or(|failed| at_s > failed);
    let history = facts
        .settlements
        .iter()
        .filter(|settlement| counts(settlement.at_s))
        .map(|settlement| {
            let months = now_s.saturating_sub(settlement.at_s).checked_div(MONTH_S).unwrap_or_default();
            let halvings = u32::try_from(months).unwrap_or(u32::MAX);
            settlement.burnt.checked_shr(halvings).unwrap_or_default()
        })
        // Less than all coins.
        .fold(0_u128, u128::saturating_add);
    let passed = facts.passed_at_s.iter().filter(|at_s| counts(**at_s)).count();
    let passed = u32::try_from(passed).unwrap_or(u32::MAX);
    let covered = facts.hours_covered;
    let beaten = facts.hours_beaten.min(covered);
    let coins = part(history.min(facts.bonded), passed, u64::from(passed).saturating_add(PASSED_HALF));
    let coins = part(coins, beaten, covered.into());
    let uptime = Ratio::new(beaten.into(), covered.into()).unwrap_or_default();
    Reputation { coins, history, passed, uptime }
}

/// `amount * numerator / denominator`, rounded down; nothing for a denominator of zero.
fn part(amount: u128, numerator: u32, denominator: u64) -> u128 {
    let product = U256::from(amount).checked_mul(U256::from(numerator));
    let part = product.and_then(|product| product.checked_div(U256::from(denominator)));
    part.and_then(|part| u128::try_from(part).ok()).unwrap_or_default()
}

/// What was burnt counts half as much after this.
const MONTH_S: u64 = 30 * 24 * 3600;
/// So many passed audits make half of a history count.
const PASSED_HALF: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_S: u64 = 24 * 3600;

    fn honest() -> Facts {
        Facts {
            bonded: 1_000,
            settlements: vec![
                Settlement { at_s: 10 * DAY_S, burnt: 300 },
                Settlement { at_s: 50 * DAY_S, burnt: 100 },
            ],
            passed_at_s: (0..60).map(|day| day * DAY_S).collect(),
            failed_at_s: None,
            hours_covered: 10,
            hours_beaten: 9,
        }
    }

    #[test]
    fn a_history_by_hand() {
        // Day 60: 300 is fifty days old and halved, 100 counts whole; 60 of 80; 9 of 10: 250, 187, 168.
        let got = reputation(&honest(), 60 * DAY_S);
        assert_eq!((got.history, got.passed, got.coins), (250, 60, 168));
        assert_eq!(got.uptime, Ratio::new(9, 10).unwrap());
        // Twenty days earlier neither the second settlement nor the later audits were there.
        let before = reputation(&honest(), 40 * DAY_S - 1);
        assert_eq!((before.history, before.passed, before.coins), (300, 40, 180));
    }

    #[test]
    fn a_failed_audit_ends_the_history_before_it() {
        let facts = Facts { failed_at_s: Some(40 * DAY_S), ..honest() };
        let got = reputation(&facts, 60 * DAY_S);
        assert_eq!((got.history, got.passed), (100, 19));
    }

    #[test]
    fn merit_without_stake_is_nothing() {
        assert_eq!(reputation(&Facts { bonded: 0, ..honest() }, 60 * DAY_S).coins, 0);
    }

    #[test]
    fn who_was_never_there_or_audited_has_none() {
        assert_eq!(reputation(&Facts { hours_covered: 0, ..honest() }, 60 * DAY_S).coins, 0);
        assert_eq!(reputation(&Facts { hours_beaten: 0, ..honest() }, 60 * DAY_S).coins, 0);
        assert_eq!(reputation(&Facts { passed_at_s: Vec::new(), ..honest() }, 60 * DAY_S).coins, 0);
    }

    #[test]
    fn old_history_fades() {
        let far = reputation(&honest(), 10_000 * DAY_S);
        assert_eq!((far.history, far.coins), (0, 0));
    }

    /// Hours come as they are told: more beaten than covered are no more than all.
    #[test]
    fn presence_is_a_share_and_adds_nothing() {
        let all = |covered, beaten| {
            let facts = Facts { hours_covered: covered, hours_beaten: beaten, ..honest() };
            reputation(&facts, 60 * DAY_S)
        };
        assert_eq!(all(160, 160).coins, 187);
        assert_eq!(all(160, u32::MAX), all(160, 160));
        assert_eq!(all(1, 1).coins, all(160, 160).coins);
        // Who is there and trades with nobody has burnt nothing that counts.
        let idle = Facts { settlements: Vec::new(), ..honest() };
        assert_eq!(reputation(&idle, 60 * DAY_S).coins, 0);
    }

    /// A trade between names of one person.
    #[derive(Debug, Clone)]
    struct Trade {
        worker: usize,
        value: u128,
        at_s: u64,
    }

    fn trades() -> impl Strategy<Value = Vec<Trade>> {
        let one = (0_usize..5, 0_u128..1 << 80, 0_u64..100 * DAY_S);
        prop::collection::vec(one.prop_map(|(worker, value, at_s)| Trade { worker, value, at_s }), 0..40)
    }

    proptest! {
        /// One person trades with itself under five names, forges every audit and every hour, and then takes with each name what it is trusted for:
        /// what it burnt for that is at least as much.
        #[test]
        fn a_forged_history_costs_what_it_lets_one_take(
            trades in trades(), burnt_hundredths in 0_u128..100, bonded in prop::collection::vec(any::<u64>(), 5),
        ) {
            let mut cost = 0_u128;
            let mut names: Vec<Facts> = bonded
                .iter()
                .map(|bonded| Facts {
                    bonded: u128::from(*bonded) << 32,
                    passed_at_s: vec![99 * DAY_S; 1_000],
                    hours_covered: u32::MAX,
                    hours_beaten: u32::MAX,
                    ..Facts::default()
                })
                .collect();
            for Trade { worker, value, at_s } in trades {
                let burnt = value * burnt_hundredths / 100;
                cost += burnt;
                names[worker].settlements.push(Settlement { at_s, burnt });
            }
            let taken: u128 = names.iter().map(|facts| reputation(facts, 100 * DAY_S).coins).sum();
            prop_assert!(taken <= cost);
        }

        /// A name cut into two is worth no more than the whole.
        #[test]
        fn more_names_are_worth_no_more(
            burnt in prop::collection::vec((any::<u64>(), 0_u64..100 * DAY_S), 0..20), at in 0_usize..20,
            bonded in any::<u64>(), share in 0_u64..=100, passed in 0_usize..200, of_first in 0_usize..200,
        ) {
            let settlements: Vec<Settlement> = burnt
                .into_iter()
                .map(|(burnt, at_s)| Settlement { at_s, burnt: burnt.into() })
                .collect();
            let (at, of_first) = (at.min(settlements.len()), of_first.min(passed));
            let first_bonded = u128::from(bonded) * u128::from(share) / 100;
            let facts = |bonded, settlements: &[Settlement], passed| Facts {
                bonded,
                settlements: settlements.to_vec(),
                passed_at_s: vec![99 * DAY_S; passed],
                failed_at_s: None,
                hours_covered: 1,
                hours_beaten: 1,
            };
            let worth = |facts: &Facts| reputation(facts, 100 * DAY_S).coins;
            let whole = worth(&facts(bonded.into(), &settlements, passed));
            let first = worth(&facts(first_bonded, &settlements[..at], of_first));
            let second =
                worth(&facts(u128::from(bonded) - first_bonded, &settlements[at..], passed - of_first));
            prop_assert!(first + second <= whole + 2, "{first} + {second} > {whole}");
        }

        /// Neither order nor later facts matter.
        #[test]
        fn the_same_facts_give_the_same_number(burnt in prop::collection::vec((any::<u64>(), 0_u64..100 * DAY_S), 0..20)) {
            let settlements: Vec<Settlement> =
                burnt.iter().map(|(burnt, at_s)| Settlement { at_s: *at_s, burnt: (*burnt).into() }).collect();
            let facts = Facts { settlements, ..honest() };
            let mut other = facts.clone();
            other.settlements.reverse();
            other.passed_at_s.reverse();
            other.settlements.push(Settlement { at_s: 100 * DAY_S, burnt: 1 << 100 });
            other.passed_at_s.push(100 * DAY_S);
            let now_s = 100 * DAY_S - 1;
            prop_assert_eq!(reputation(&facts, now_s), reputation(&other, now_s));
        }
    }
}
