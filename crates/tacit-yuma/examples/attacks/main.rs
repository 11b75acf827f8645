//! What copying weights and voting for oneself earn, epoch by epoch, under each rule: `attacks [--seed N]` prints the tables of `docs/subnets.md`.
//!
//! Seven honest validators measure sixteen workers, each with errors of its own; what workers can do moves from epoch to epoch. All numbers are integers, all randomness
//! comes from the seed, so that the tables come out again. The first epochs, in which bonds grow, are left out.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a simulation that cannot go on must stop"
)]

mod world;

use tacit_yuma::{Bonds, Terms};
use world::{Attack, Figures, World};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let found = arguments.iter().position(|argument| argument == "--seed");
    let seed = found.map_or(1, |index| arguments[index + 1].parse().unwrap());
    println!("{}", copiers(seed));
    println!("{}", cartels(seed));
}

/// The rules that are compared.
fn rules() -> [(&'static str, Terms); 3] {
    let flat = Terms { bonds: Bonds::Yuma3 { liquid: None }, ..Terms::yuma3() };
    [("classic", Terms::default()), ("Yuma 3", flat), ("Yuma 3, liquid alpha", Terms::yuma3())]
}

fn run(terms: Terms, attack: Attack, change: u64, seed: u64) -> Figures {
    World { terms, attack, change, noise: 100, seed }.run()
}

/// Dividends per coin of a copier with a tenth of all stake, those of an honest validator being 100.
fn copiers(seed: u64) -> String {
    let mut table = "| rule | change an epoch | copies this epoch's weights | copies the last epoch's (commit and reveal) |\n|---|---|---|---|\n".to_owned();
    for (name, terms) in rules() {
        for change in CHANGES {
            let figure = |delay| run(terms, Attack::Copy { delay }, change, seed).return_percent();
            table += &format!("| {name} | {} % | {} | {} |\n", change / 10, figure(0), figure(1));
        }
    }
    table
}

/// Share of all that is paid that goes to a cartel which gives so much of its weight to its own two workers, that do nothing, and copies the rest. A validator that is honest, with as
/// much stake, gets half of its share of stake.
fn cartels(seed: u64) -> String {
    let mut table = "| rule | weight for its own |".to_owned();
    for stake in STAKES {
        table += &format!(" {stake} % |");
    }
    table += "\n|---|---|";
    table += &"---|".repeat(STAKES.len());
    table += "\n";
    for (name, terms) in rules() {
        for own in OWN_WEIGHTS {
            table += &format!("| {name} | {own} % |");
            for stake in STAKES {
                let figures = run(terms, Attack::Vote { stake, own }, 50, seed);
                table += &format!(" {} |", figures.share_tenths_percent());
            }
            table += "\n";
        }
    }
    table
}

/// How much what a worker can do moves in an epoch, in thousandths.
const CHANGES: [u64; 4] = [0, 50, 300, 1000];
/// Stakes of cartels, in percent.
const STAKES: [u64; 8] = [10, 20, 30, 40, 45, 50, 55, 60];
/// Weight that a cartel gives to its own workers, in percent.
const OWN_WEIGHTS: [u64; 3] = [100, 50, 10];

#[cfg(test)]
mod tests {
    use super::{Attack, CHANGES, OWN_WEIGHTS, rules, run};

    /// A cartel with less than half of all stake earns no more than an honest validator with as much would, under any rule.
    #[test]
    fn a_minority_gains_nothing_by_voting_for_itself() {
        for (name, terms) in rules() {
            for (stake, own) in
                [10, 20, 30, 40, 45].into_iter().flat_map(|stake| OWN_WEIGHTS.map(|own| (stake, own)))
            {
                let figures = run(terms, Attack::Vote { stake, own }, 50, 1);
                let fair = figures.paid * u128::from(stake) / 200;
                assert!(figures.attacker <= fair, "{name} {stake} {own}: {} of {fair}", figures.attacker);
                // Nothing but voting for itself earns it nothing at all.
                assert!(own < 100 || figures.attacker < fair / 100, "{name} {stake}: {}", figures.attacker);
            }
        }
    }

    /// More than half takes all of it: what a consensus of stake cannot prevent.
    #[test]
    fn a_majority_takes_all() {
        for (name, terms) in rules() {
            let figures = run(terms, Attack::Vote { stake: 55, own: 100 }, 50, 1);
            assert!(figures.attacker * 100 > figures.paid * 99, "{name}: {}", figures.share_tenths_percent());
        }
    }

    /// Whoever copies what it sees earns what the honest do, for no work. Commitments make copies old, which costs only where there is something to measure anew: that they
    /// do little where little changes is part of what is shown.
    #[test]
    fn commitments_make_copies_old() {
        for (name, terms) in rules() {
            let percent = |delay, change| -> u64 { run(terms, Attack::Copy { delay }, change, 1).percent() };
            assert!(CHANGES.iter().all(|change| percent(0, *change) >= 100), "{name}");
            assert!(percent(1, 1000) < percent(0, 1000), "{name}: {}", percent(1, 1000));
            assert!(percent(1, 0) >= 98, "{name}: {}", percent(1, 0));
        }
        let classic = |change| run(rules()[0].1, Attack::Copy { delay: 1 }, change, 1).percent();
        assert!(classic(1000) < classic(300) && classic(300) < classic(50));
    }
}
