//! What must hold for every epoch.

use crate::oracle::{Case, cases};
use proptest::prelude::*;
use tacit_yuma::Fixed;

fn shuffled<T: Clone>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|index| values[*index].clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Nothing is paid that is not there, and less than a unit for each that is paid is left over.
    #[test]
    fn what_is_split_is_conserved(case in cases(), amount: u128) {
        let outcome = case.run();
        let paid = outcome.split(amount);
        let mut sum = 0_u128;
        for part in paid.workers.iter().chain(&paid.validators) {
            sum = sum.checked_add(*part).unwrap();
        }
        prop_assert!(sum <= amount);
        let somebody = outcome.worker_shares.iter().chain(&outcome.validator_shares).any(|share| *share != Fixed::ZERO);
        if somebody {
            prop_assert!(amount - sum <= (case.stakes.len() + case.fresh.len()) as u128);
        } else {
            prop_assert_eq!(sum, 0);
        }
    }

    /// No share is above one, and no more than one unit in 2^32 for each node is lost on the way to them.
    #[test]
    fn shares_are_a_whole(case in cases()) {
        let outcome = case.run();
        let nodes = (case.stakes.len() + case.fresh.len()) as u64;
        let sum: u64 = outcome.worker_shares.iter().chain(&outcome.validator_shares).map(|share| share.raw()).sum();
        prop_assert!(sum <= 1 << 32);
        let anybody = case.stakes.iter().any(|stake| *stake > 0);
        prop_assert!(!anybody || sum + nodes * nodes >= 1 << 32, "{sum}");
    }

    /// What counts of a weight is never above consensus, and each validator's row never above its whole.
    #[test]
    fn what_counts_is_agreed(case in cases()) {
        let outcome = case.run();
        for (worker, consensus) in outcome.consensus.iter().enumerate() {
            prop_assert!(outcome.ranks[worker] <= *consensus);
            prop_assert!(outcome.ranks[worker] <= outcome.ranks_before[worker]);
            prop_assert!(outcome.trust[worker] <= Fixed::ONE);
        }
        prop_assert!(outcome.validator_trust.iter().all(|trust| *trust <= Fixed::ONE));
    }

    /// A validator without stake, or that is not heard, changes nothing for anybody else's incentive.
    #[test]
    fn without_stake_nobody_is_heard(case in cases(), said in prop::collection::vec(any::<u16>(), 6), silent: bool) {
        let mut other = case.clone();
        let columns = case.fresh.len();
        other.stakes.push(if silent { case.stakes[0] } else { 0 });
        other.active.push(!silent);
        other.own.push(None);
        other.weights.push(said[..columns].to_vec());
        other.bonds.push(vec![0; columns]);
        let (without, with) = (case.run(), other.run());
        // Stake that is not heard is a share of all stake before it is left out: rounding of the rest may differ by a few steps.
        if !silent {
            prop_assert_eq!(&with.incentive, &without.incentive);
            prop_assert_eq!(&with.consensus, &without.consensus);
        }
        prop_assert_eq!(with.dividends.last(), Some(&Fixed::ZERO));
    }

    /// The order in which nodes are listed changes nothing.
    #[test]
    fn order_does_not_matter(case in cases(), seed: u64) {
        let order = |count: usize| {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by_key(|index| (*index as u64 + 1).wrapping_mul(seed | 1).rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            order
        };
        let (rows, columns) = (order(case.stakes.len()), order(case.fresh.len()));
        let matrix = |matrix: &[Vec<u16>]| -> Vec<Vec<u16>> {
            shuffled(matrix, &rows).iter().map(|row| shuffled(row, &columns)).collect()
        };
        let place = |worker: usize| columns.iter().position(|index| *index == worker).unwrap();
        let moved = Case {
            terms: case.terms,
            stakes: shuffled(&case.stakes, &rows),
            active: shuffled(&case.active, &rows),
            own: shuffled(&case.own, &rows).into_iter().map(|own| own.map(place)).collect(),
            weights: matrix(&case.weights),
            bonds: matrix(&case.bonds),
            fresh: shuffled(&case.fresh, &columns),
        };
        let (one, other) = (case.run(), moved.run());
        prop_assert_eq!(shuffled(&one.incentive, &columns), other.incentive);
        prop_assert_eq!(shuffled(&one.trust, &columns), other.trust);
        prop_assert_eq!(shuffled(&one.dividends, &rows), other.dividends);
        prop_assert_eq!(matrix(&one.bonds), other.bonds);
        prop_assert_eq!(shuffled(&one.worker_shares, &columns), other.worker_shares);
    }
}

/// Two minorities that agree on nothing share as stake does, whatever the size of their weights.
#[test]
fn a_worker_that_too_few_see_earns_nothing() {
    let case = Case {
        terms: tacit_yuma::Terms::default(),
        stakes: vec![49, 51],
        active: vec![true; 2],
        own: vec![None; 2],
        weights: vec![vec![1, 0], vec![0, 65_535]],
        bonds: vec![vec![0; 2]; 2],
        fresh: vec![false; 2],
    };
    let outcome = case.run();
    assert_eq!(outcome.incentive, [Fixed::ZERO, Fixed::ONE]);
    assert_eq!(outcome.dividends, [Fixed::ZERO, Fixed::ONE]);
}
