//! Any kind of fault, drawn from a seed.

use crate::{
    byzantine::{self, Mischief},
    clock,
    faults::crash_all_at,
    links,
    machine::Fault,
    network::simulate,
    storage, twins,
};
use commonware_runtime::deterministic::{FaultConfig, PartialWriteMode, WriteConfig};
use commonware_utils::probability;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What happens to validators. What does it hurt is drawn as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// All crash at once, at eight instants, with what was not synced dropped or torn.
    Crashes,
    /// One of four is malicious.
    Byzantine,
    /// One key on two machines.
    Twins,
    /// A disk fails at one of its changes.
    Disk,
    /// Clocks are wrong.
    Clocks,
    /// Messages are late, lost, or come twice, and links break.
    Links,
}

const KINDS: [Kind; 6] = [Kind::Crashes, Kind::Byzantine, Kind::Twins, Kind::Disk, Kind::Clocks, Kind::Links];

fn run(seed: u64, kind: Kind) {
    let mut rng = StdRng::seed_from_u64(seed);
    match kind {
        Kind::Crashes => {
            let instants: Vec<u64> = (0..8).map(|_| rng.random_range(1..800)).collect();
            let torn = |mode| WriteConfig {
                failure_rate: probability!(0.0),
                retention_rate: probability!(0.5),
                mode,
            };
            let faults = match rng.random_range(0..3) {
                0 => FaultConfig::default(),
                1 => FaultConfig::default().write(torn(PartialWriteMode::Prefix)),
                _ => FaultConfig::default().write(torn(PartialWriteMode::Subset)),
            };
            let validators = if rng.random() { 1 } else { 4 };
            crash_all_at(seed, faults, validators, instants[0], &instants[1..]);
        }
        Kind::Byzantine => {
            let mischief = MISCHIEFS[rng.random_range(0..MISCHIEFS.len())];
            byzantine::any(seed, mischief);
        }
        Kind::Twins => {
            let (phases, cut_off) = (rng.random_range(2..8), rng.random());
            simulate(seed, |context| twins::run(context, seed, phases, cut_off));
        }
        Kind::Disk => {
            let fault = FAULTS[rng.random_range(0..FAULTS.len())];
            let (validators, changes) = if rng.random() { (1, 330) } else { (4, 270) };
            // The last changes of a run may be fewer than that.
            let _ = storage::strike(seed, validators, fault, rng.random_range(1..changes));
        }
        Kind::Clocks => {
            // One is wrong by anything, the others by less than is borne.
            let mut ahead_ms = [0; 4].map(|_| rng.random_range(-900..900));
            let most = [1_000, 10_000, 100_000, 1_000_000_000][rng.random_range(0..4)];
            ahead_ms[rng.random_range(0..4)] = rng.random_range(-most..most);
            let height = simulate(seed, |context| clock::pace(context, 15, ahead_ms));
            assert!(height >= 10, "{ahead_ms:?}: {height} blocks");
        }
        Kind::Links => simulate(seed, |context| links::run(context, seed)),
    }
}

const MISCHIEFS: [Mischief; 10] = [
    Mischief::TwoBlocks,
    Mischief::StateRoot,
    Mischief::Transaction,
    Mischief::Oversized,
    Mischief::Withheld,
    Mischief::Future,
    Mischief::Silent,
    Mischief::TwoNotarizes,
    Mischief::TwoFinalizes,
    Mischief::NullifyToo,
];

const FAULTS: [Fault; 4] = [Fault::Dies, Fault::Tears, Fault::Fails, Fault::Fills];

/// As many seeds as wanted, of every kind in turn:
/// `TACIT_SEEDS=1000 cargo test -p tacit-consensus --test it -- --ignored --nocapture many_seeds`.
/// `TACIT_SEED_FIRST` is the first, so that one of them can be run alone.
#[test]
#[ignore = "takes seconds for each seed"]
fn many_seeds() {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, first) = (number("TACIT_SEEDS", 12), number("TACIT_SEED_FIRST", 1_000));
    let (mut failed, mut passed) = (Vec::new(), BTreeMap::<Kind, u64>::new());
    for seed in first..first + count {
        let kind = KINDS[usize::try_from(seed).unwrap() % KINDS.len()];
        if catch_unwind(AssertUnwindSafe(|| run(seed, kind))).is_ok() {
            *passed.entry(kind).or_default() += 1;
        } else {
            writeln!(std::io::stderr(), "seed {seed}: {kind:?} failed").unwrap();
            failed.push((seed, kind));
        }
    }
    let total: u64 = passed.values().sum();
    writeln!(std::io::stderr(), "{total} of {count} seeds passed: {passed:?}").unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}
