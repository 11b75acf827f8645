//! Upstream's scenarios of Yuma 3: bonds and dividends to the four decimals that are given.

use crate::vectors::{row, rows};
use serde_json::Value;
use tacit_yuma::{Bonds, Epoch, Terms, Validator, epoch};

/// A unit of the last decimal in the first epochs. Bonds are rounded down each epoch, to 65535ths: after forty it is a little more. Upstream's own
/// tests allow 0.001.
fn error_max(epoch: usize) -> f64 {
    if epoch < 6 { 0.000_1 } else { 0.000_12 }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap().try_into().unwrap()
}

/// The difference, which is small.
fn close(what: &str, epoch: usize, ours: u16, theirs: f64) -> f64 {
    let error = (f64::from(ours) / 65_535.0 - theirs).abs();
    assert!(error <= error_max(epoch), "{what}: {ours} is not {theirs}");
    error
}

#[test]
fn scenarios_come_out() {
    let document: Value = serde_json::from_str(include_str!("../../../../vectors/yuma/yuma3.json")).unwrap();
    let (mut worst, mut compared) = (0.0_f64, 0);
    for scenario in document["scenarios"].as_array().unwrap() {
        let mut terms = Terms::yuma3();
        if scenario["liquid_alpha"] == false {
            terms.bonds = Bonds::Yuma3 { liquid: None };
        }
        let stakes: Vec<u128> = scenario["stakes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stake| stake.as_u64().unwrap().into())
            .collect();
        let targets = scenario["targets"].as_array().unwrap();
        let workers = targets[0]["bonds"][0].as_array().unwrap().len();
        let mut bonds = vec![vec![0_u16; workers]; stakes.len()];
        for now in 0..=number(&targets.last().unwrap()["epoch"]) {
            let said = scenario["weights"].as_array().unwrap();
            let said = said.iter().rev().find(|change| number(&change["from"]) <= now).unwrap();
            let weights: Vec<Vec<u16>> = serde_json::from_value(said["rows"].clone()).unwrap();
            let reset = &scenario["reset"];
            let fresh: Vec<bool> =
                (0..workers).map(|worker| reset["epoch"] == now && reset["worker"] == worker).collect();
            let validators: Vec<Validator<'_>> = (0..stakes.len())
                .map(|node| Validator {
                    stake: stakes[node],
                    active: true,
                    own: None,
                    weights: &weights[node],
                    bonds: &bonds[node],
                })
                .collect();
            let outcome = epoch(&Epoch { terms: &terms, validators: &validators, fresh: &fresh }).unwrap();
            bonds = outcome.bonds;
            let Some(target) = targets.iter().find(|target| number(&target["epoch"]) == now) else {
                continue;
            };
            let (target_bonds, target_dividends) =
                (rows::<f64>(&target["bonds"]), row::<f64>(&target["dividends"]));
            for node in 0..stakes.len() {
                let name = format!("{} epoch {now} validator {node}", scenario["name"]);
                for worker in 0..workers {
                    let (ours, theirs) = (bonds[node][worker], target_bonds[node][worker]);
                    worst = worst.max(close(&format!("{name} bond {worker}"), now, ours, theirs));
                    compared += 1;
                }
                let ours = outcome.dividends[node].to_u16();
                worst = worst.max(close(&format!("{name} dividend"), now, ours, target_dividends[node]));
                compared += 1;
            }
        }
    }
    println!("{compared} numbers, largest difference {worst:.6}");
    assert_eq!(compared, 405);
}
