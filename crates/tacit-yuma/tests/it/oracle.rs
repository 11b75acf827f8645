//! The whole epoch once more in floats, written from its description.

use proptest::prelude::*;
use tacit_yuma::{Bonds, Epoch, Fixed, LiquidAlpha, Terms, Validator, epoch};

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) terms: Terms,
    pub(crate) stakes: Vec<u128>,
    pub(crate) active: Vec<bool>,
    pub(crate) own: Vec<Option<usize>>,
    pub(crate) weights: Vec<Vec<u16>>,
    pub(crate) bonds: Vec<Vec<u16>>,
    pub(crate) fresh: Vec<bool>,
}

impl Case {
    pub(crate) fn run(&self) -> tacit_yuma::Outcome {
        let validators: Vec<Validator<'_>> = (0..self.stakes.len())
            .map(|node| Validator {
                stake: self.stakes[node],
                active: self.active[node],
                own: self.own[node],
                weights: &self.weights[node],
                bonds: &self.bonds[node],
            })
            .collect();
        epoch(&Epoch { terms: &self.terms, validators: &validators, fresh: &self.fresh }).unwrap()
    }
}

fn terms() -> impl Strategy<Value = Terms> {
    let liquid = prop::option::of((0_u16..30_000, 30_000_u16.., 100_u16..2000));
    let liquid =
        liquid.prop_map(|liquid| liquid.map(|(low, high, steepness)| LiquidAlpha { low, high, steepness }));
    let bonds = prop_oneof![Just(Bonds::Classic), liquid.prop_map(|liquid| Bonds::Yuma3 { liquid })];
    (1000_u16.., prop_oneof![Just(0), Just(u16::MAX), any::<u16>()], 500_000_u32..1_000_000, bonds).prop_map(
        |(kappa, bonds_penalty, bonds_average, bonds)| Terms { kappa, bonds_penalty, bonds_average, bonds },
    )
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    (terms(), 1_usize..6, 1_usize..6).prop_flat_map(|(terms, rows, columns)| {
        let weight = prop_oneof![Just(0_u16), any::<u16>()];
        let matrix =
            |cell: BoxedStrategy<u16>| prop::collection::vec(prop::collection::vec(cell, columns), rows);
        (
            prop::collection::vec(prop_oneof![Just(0_u128), 1_u128..1000, 1_u128 << 80..1 << 100], rows),
            prop::collection::vec(prop::bool::weighted(0.8), rows),
            prop::collection::vec(prop::option::weighted(0.3, 0..columns), rows),
            matrix(weight.clone().boxed()),
            matrix(weight.boxed()),
            prop::collection::vec(prop::bool::weighted(0.2), columns),
        )
            .prop_map(move |(stakes, active, own, weights, bonds, fresh)| Case {
                terms,
                stakes,
                active,
                own,
                weights,
                bonds,
                fresh,
            })
    })
}

fn whole(values: &mut [f64]) {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|value| *value /= sum);
    }
}

fn whole_columns(matrix: &mut [Vec<f64>]) {
    for column in 0..matrix[0].len() {
        let mut values: Vec<f64> = matrix.iter().map(|row| row[column]).collect();
        whole(&mut values);
        for (row, value) in matrix.iter_mut().zip(values) {
            row[column] = value;
        }
    }
}

/// Consensus, incentive and dividends.
fn floats(case: &Case, consensus: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (rows, columns) = (case.stakes.len(), case.fresh.len());
    let mut stake: Vec<f64> =
        (0..rows).map(|node| if case.active[node] { case.stakes[node] as f64 } else { 0.0 }).collect();
    whole(&mut stake);
    let mut weights: Vec<Vec<f64>> =
        case.weights.iter().map(|row| row.iter().map(|weight| f64::from(*weight)).collect()).collect();
    for (node, row) in weights.iter_mut().enumerate() {
        if let Some(own) = case.own[node] {
            row[own] = 0.0;
        }
        whole(row);
    }
    let clipped: Vec<Vec<f64>> = weights
        .iter()
        .map(|row| row.iter().zip(consensus).map(|(weight, limit)| weight.min(*limit)).collect())
        .collect();
    let mut incentive: Vec<f64> =
        (0..columns).map(|worker| (0..rows).map(|node| stake[node] * clipped[node][worker]).sum()).collect();
    whole(&mut incentive);
    let penalty = f64::from(case.terms.bonds_penalty) / 65_535.0;
    let target = |node: usize, worker: usize| {
        weights[node][worker] + penalty * (clipped[node][worker] - weights[node][worker])
    };
    let old = |node: usize, worker: usize| {
        if case.fresh[worker] { 0.0 } else { f64::from(case.bonds[node][worker]) / 65_535.0 }
    };
    let flat = 1.0 - f64::from(case.terms.bonds_average) / 1_000_000.0;
    let table = |cell: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        (0..rows).map(|node| (0..columns).map(|worker| cell(node, worker)).collect()).collect()
    };
    let (mut bonds, scale) = match case.terms.bonds {
        Bonds::Classic => {
            let mut new = table(&|node, worker| stake[node] * target(node, worker));
            whole_columns(&mut new);
            let mut kept = table(&old);
            whole_columns(&mut kept);
            (
                table(&|node, worker| flat * new[node][worker] + (1.0 - flat) * kept[node][worker]),
                vec![1.0; rows],
            )
        }
        Bonds::Yuma3 { liquid } => {
            let rate = |node: usize, worker: usize| match liquid {
                Some(liquid) if consensus.iter().any(|limit| *limit > 0.0) => {
                    let (weight, bond) = (target(node, worker), old(node, worker));
                    let difference = if weight >= bond { weight - consensus[worker] } else { bond - weight };
                    let slope = f64::from(liquid.steepness) / 100.0;
                    let sigmoid = 1.0 / (1.0 + (-slope * (difference.clamp(0.0, 1.0) - 0.5)).exp());
                    let (low, high) = (f64::from(liquid.low) / 65_535.0, f64::from(liquid.high) / 65_535.0);
                    low + (high - low) * sigmoid
                }
                _ => flat,
            };
            let follow = |node, worker| {
                rate(node, worker) * target(node, worker) + (1.0 - rate(node, worker)) * old(node, worker)
            };
            (table(&follow), stake.clone())
        }
    };
    whole_columns(&mut bonds);
    let mut dividends: Vec<f64> = (0..rows)
        .map(|node| {
            scale[node] * (0..columns).map(|worker| bonds[node][worker] * incentive[worker]).sum::<f64>()
        })
        .collect();
    whole(&mut dividends);
    (incentive, dividends)
}

fn float(value: Fixed) -> f64 {
    value.raw() as f64 / 2_f64.powi(32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Given where consensus lies, which a rounding may move from one weight to the next, everything else is what floats say.
    #[test]
    fn an_epoch_is_what_floats_say(case in cases()) {
        let outcome = case.run();
        let consensus: Vec<f64> = outcome.consensus.iter().map(|value| float(*value)).collect();
        let (incentive, dividends) = floats(&case, &consensus);
        for (ours, theirs) in outcome.incentive.iter().zip(incentive).chain(outcome.dividends.iter().zip(dividends)) {
            // A rank or a bond of a few steps has no digits to agree in.
            let (least, earned) = (1e-4, outcome.ranks.iter().map(|rank| float(*rank)).sum::<f64>());
            if earned > least {
                prop_assert!((float(*ours) - theirs).abs() < 1e-4, "{} {theirs}", float(*ours));
            }
        }
    }

    /// Consensus is the weight that lies where the definition says, by a search that goes through all weights.
    #[test]
    fn consensus_is_the_median(case in cases()) {
        let outcome = case.run();
        let kappa = u64::from(case.terms.kappa) * (1 << 32) / 65_535;
        for (worker, consensus) in outcome.consensus.iter().enumerate() {
            let heard: Vec<(u64, u64)> = (0..case.stakes.len())
                .map(|node| (outcome.stakes[node].raw(), outcome.weights[node][worker].raw()))
                .filter(|(stake, _)| *stake > 0)
                .collect();
            let total: u64 = heard.iter().map(|(stake, _)| stake).sum();
            // Stakes are made a whole again among those who are heard.
            let share = |stake: u64| (u128::from(stake) << 32) / u128::from(total.max(1));
            let sum = |below: &dyn Fn(u64) -> bool| -> u128 {
                heard.iter().filter(|(_, weight)| below(*weight)).map(|(stake, _)| share(*stake)).sum()
            };
            let minority = sum(&|_| true).saturating_sub(u128::from(kappa));
            let expected = heard
                .iter()
                .map(|(_, weight)| *weight)
                .find(|at| sum(&|weight| weight < *at) <= minority && minority < sum(&|weight| weight <= *at))
                .or_else(|| heard.iter().map(|(_, weight)| *weight).max());
            prop_assert_eq!(consensus.raw(), expected.unwrap_or(0));
        }
    }
}
