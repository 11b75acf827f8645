//! Traces of upstream's tests, digit for digit, and what those tests assert.

use crate::vectors::{Steps, row, rows};
use serde_json::Value;
use tacit_yuma::{Epoch, Fixed, Outcome, Terms, Validator, epoch};

const EMISSION: u128 = 1_000_000_000;

/// As upstream has it: every node is both, and says nothing of itself.
fn run(stakes: &[u128], active: &[bool], weights: &[Vec<u16>], bonds: &[Vec<u16>]) -> Outcome {
    let validators: Vec<Validator<'_>> = (0..stakes.len())
        .map(|node| Validator {
            stake: stakes[node],
            active: active[node],
            own: Some(node),
            weights: &weights[node],
            bonds: &bonds[node],
        })
        .collect();
    let fresh = vec![false; stakes.len()];
    epoch(&Epoch { terms: &Terms::default(), validators: &validators, fresh: &fresh }).unwrap()
}

fn same(what: &str, ours: &[Fixed], theirs: &Value) {
    let ours: Vec<u64> = ours.iter().map(|value| value.raw()).collect();
    let theirs: Vec<u64> = row::<Steps>(theirs).into_iter().map(|steps| steps.0).collect();
    assert_eq!(ours, theirs, "{what}");
}

/// What upstream pays: the share of each, rounded down.
fn emission(outcome: &Outcome) -> Vec<u128> {
    let shares = outcome.worker_shares.iter().zip(&outcome.validator_shares);
    shares.map(|(worker, validator)| worker.of(EMISSION) + validator.of(EMISSION)).collect()
}

#[test]
fn traces_come_out_digit_for_digit() {
    let document: Value = serde_json::from_str(include_str!("../../../../vectors/yuma/epoch.json")).unwrap();
    let mut steps = 0;
    for trace in document["traces"].as_array().unwrap() {
        let mut stakes: Vec<u128> = row(&trace["stakes"]);
        for (number, step) in trace["steps"].as_array().unwrap().iter().enumerate() {
            let name = format!("{} {number}", trace["name"]);
            if step["stakes"].is_array() {
                stakes = row(&step["stakes"]);
            }
            let active = vec![true; stakes.len()];
            let outcome = run(&stakes, &active, &rows(&step["weights"]), &rows(&step["bonds"]));
            same(&format!("{name} S"), &outcome.stakes, &step["stake"]);
            for (node, weights) in outcome.weights.iter().enumerate() {
                same(&format!("{name} W {node}"), weights, &step["normal_weights"][node]);
            }
            same(&format!("{name} C"), &outcome.consensus, &step["consensus"]);
            same(&format!("{name} Tv"), &outcome.validator_trust, &step["validator_trust"]);
            same(&format!("{name} R before"), &outcome.ranks_before, &step["ranks_before"]);
            same(&format!("{name} R"), &outcome.ranks, &step["ranks"]);
            same(&format!("{name} T"), &outcome.trust, &step["trust"]);
            same(&format!("{name} I"), &outcome.incentive, &step["incentive"]);
            same(&format!("{name} D"), &outcome.dividends, &step["dividends"]);
            let shares: Vec<Fixed> = outcome
                .worker_shares
                .iter()
                .zip(&outcome.validator_shares)
                .map(|(worker, validator)| Fixed::from_raw(worker.raw() + validator.raw()))
                .collect();
            same(&format!("{name} nE"), &shares, &step["shares"]);
            assert_eq!(emission(&outcome), row::<u128>(&step["emission"]), "{name} E");
            // Bonds are kept in 65535ths of the largest of a column.
            let bonds: Vec<Vec<Steps>> = rows(&step["new_bonds"]);
            for node in 0..stakes.len() {
                for worker in 0..stakes.len() {
                    let largest = bonds.iter().map(|row| row[worker].0).max().unwrap().max(1);
                    let upscaled = (u128::from(bonds[node][worker].0) << 32) / u128::from(largest);
                    let upscaled = Fixed::from_raw(u64::try_from(upscaled).unwrap());
                    assert_eq!(outcome.bonds[node][worker], upscaled.to_u16(), "{name} B {node} {worker}");
                }
            }
            steps += 1;
        }
    }
    assert_eq!(steps, 10);
}

/// The end of `test_bonds`: from one epoch to the next with the bonds that were kept, and the values that it asserts; the last row is where its trace ends.
#[test]
fn bonds_are_what_upstream_asserts() {
    let stakes = [1, 2, 3, 4, 0, 0, 0, 0];
    let all = vec![0, 0, 0, 0, 16_383, 32_767, 49_149, 65_535];
    let none = vec![0; 8];
    let only = vec![0, 0, 0, 0, 0, 0, 0, 65_535];
    let mut weights = vec![all; 4];
    weights.extend(vec![none.clone(); 4]);
    let mut bonds = vec![none.clone(); 8];
    let changes: [(Option<usize>, Vec<u16>, [u16; 4]); 8] = [
        (None, none.clone(), [16_383, 32_767, 49_151, 65_535]),
        (Some(0), none.clone(), [14_582, 32_767, 49_151, 65_535]),
        (Some(1), none.clone(), [12_603, 28_321, 49_151, 65_535]),
        (Some(2), none.clone(), [12_602, 28_320, 49_150, 65_535]),
        (Some(2), only, [10_951, 24_609, 49_150, 65_535]),
        (None, none.clone(), [9_559, 21_482, 49_150, 65_535]),
        (None, none.clone(), [8_376, 18_824, 49_150, 65_535]),
        (None, none, [7_363, 16_549, 49_150, 65_535]),
    ];
    for (number, (changed, row, asserted)) in changes.into_iter().enumerate() {
        if let Some(validator) = changed {
            weights[validator] = row;
        }
        bonds = run(&stakes, &[true; 8], &weights, &bonds).bonds;
        let last: Vec<u16> = (0..4).map(|validator| bonds[validator][7]).collect();
        assert_eq!(last, asserted, "epoch {number}");
    }
}

/// `test_active_stake`: a validator that is not heard keeps bonds, and what they earn.
#[test]
fn silent_stake_is_left_out() {
    let half = vec![0, 0, 32_767, 32_767];
    let weights = [half.clone(), half, vec![0; 4], vec![0; 4]];
    let stakes = [1; 4];
    let part = |outcome: &Outcome| {
        let dividends: Vec<u16> = outcome.dividends[..2].iter().map(|value| value.to_u16()).collect();
        (dividends, emission(outcome))
    };
    let first = run(&stakes, &[true; 4], &weights, &vec![vec![0; 4]; 4]);
    assert_eq!(part(&first), (vec![32_767; 2], vec![250_000_000; 4]));
    assert_eq!(first.bonds[..2], [[0, 0, 65_535, 65_535], [0, 0, 65_535, 65_535]]);
    let second = run(&stakes, &[true, false, false, false], &weights, &first.bonds);
    let paid = vec![274_999_999, 224_999_999, 250_000_000, 250_000_000];
    assert_eq!(part(&second), (vec![36_044, 29_490], paid));
    assert_eq!(second.bonds[1], [0, 0, 53_619, 53_619]);
    let third = run(&stakes, &[true, true, false, false], &weights, &second.bonds);
    let paid = vec![272_501_132, 227_498_866, 250_000_000, 250_000_000];
    assert_eq!(part(&third), (vec![35_716, 29_818], paid));
    assert_eq!(third.bonds[1], [0, 0, 54_712, 54_712]);
}

/// `test_10_graph`, `test_1_graph` and `test_zero_weights`: whoever weighs only itself agrees with nobody, and stake is paid.
#[test]
fn without_agreement_shares_are_by_stake() {
    let own = |nodes: usize| -> Vec<Vec<u16>> {
        (0..nodes)
            .map(|node| (0..nodes).map(|other| if other == node { 65_535 } else { 0 }).collect())
            .collect()
    };
    let ten = run(&[1; 10], &[true; 10], &own(10), &vec![vec![0; 10]; 10]);
    assert!(!ten.agreed);
    assert_eq!(emission(&ten), [99_999_999; 10]);
    let one = run(&[1], &[true], &own(1), &[vec![0]]);
    assert_eq!((one.agreed, one.consensus[0], emission(&one)), (false, Fixed::ZERO, vec![EMISSION]));
    let zero = run(&[1, 0], &[true; 2], &[vec![0; 2], vec![0; 2]], &vec![vec![0; 2]; 2]);
    assert_eq!(emission(&zero), [EMISSION, 0]);
    // Nobody is heard: stake is paid all the same.
    let silent = run(&[1, 1], &[false; 2], &[vec![0; 2], vec![0; 2]], &vec![vec![0; 2]; 2]);
    assert_eq!((silent.agreed, emission(&silent)), (false, vec![EMISSION / 2; 2]));
}
