//! Times the arithmetic of an epoch and prints nanoseconds beside gas: `epoch_gas [--iterations N]`.
//!
//! Run it in release mode on an idle machine. The prices in `subnets::gas` are right when no line shows more than 10 ns a gas.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use std::{hint::black_box, time::Instant};
use tacit_modules::subnets::gas;
use tacit_yuma::{Bonds, Epoch, Terms, Validator, epoch};

/// Least nanoseconds of several runs: what the work takes, without what else the machine does.
fn nanoseconds<T>(iterations: usize, mut work: impl FnMut() -> T) -> u64 {
    let time = |_| {
        let start = Instant::now();
        black_box(work());
        u64::try_from(start.elapsed().as_nanos()).unwrap()
    };
    (0..iterations).map(time).min().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let found = arguments.iter().position(|argument| argument == "--iterations");
    let iterations = found.map_or(200, |index| arguments[index + 1].parse().unwrap());
    let flat = Terms { bonds: Bonds::Yuma3 { liquid: None }, ..Terms::yuma3() };
    println!("| rule | validators | workers | ns | gas | ns a gas |\n|---|---|---|---|---|---|");
    for (name, terms) in [("classic", Terms::default()), ("Yuma 3", flat), ("liquid alpha", Terms::yuma3())] {
        for (rows, columns) in [(0, 1), (1, 1), (4, 16), (16, 64)] {
            // Weights of all sizes, each row in another order, so that sorting has its work.
            let row = |row: u64, factor: u64| -> Vec<u16> {
                (0..columns as u64).map(|column| (((row * 31 + column) * factor) % 65_521) as u16).collect()
            };
            let weights: Vec<Vec<u16>> = (0..rows).map(|number| row(number, 40_503)).collect();
            let bonds: Vec<Vec<u16>> = (0..rows).map(|number| row(number, 25_173)).collect();
            let validators: Vec<Validator<'_>> = weights
                .iter()
                .zip(&bonds)
                .zip(1..)
                .map(|((weights, bonds), stake)| Validator { stake, active: true, own: None, weights, bonds })
                .collect();
            let fresh = vec![false; columns];
            let run = || {
                epoch(&Epoch { terms: &terms, validators: &validators, fresh: &fresh })
                    .unwrap()
                    .split(1 << 80)
            };
            let took = nanoseconds(iterations, run);
            let charged = gas::epoch(validators.len(), columns);
            let tenths = took * 10 / charged;
            println!(
                "| {name} | {rows} | {columns} | {took} | {charged} | {}.{} |",
                tenths / 10,
                tenths % 10
            );
        }
    }
}
