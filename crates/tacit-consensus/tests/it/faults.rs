//! Crashes, partitions and torn disks: no fork, no loss, and progress once a quorum is back.

use crate::{
    finality::send_everything,
    light::check_certificates,
    network::{Network, World, resume, simulate, simulate_crash},
    people::{COIN, address, pay},
};
use commonware_runtime::deterministic::{FaultConfig, PartialWriteMode, WriteConfig};
use commonware_utils::probability;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// Payments that go on while things break.
fn send(world: &World, nonces: core::ops::Range<u64>) {
    for nonce in nonces {
        world.pool.add(pay(1, nonce, address(2), COIN));
    }
}

#[test]
fn one_of_four_crashes_and_catches_up() {
    simulate(11, |context| async move {
        let mut network = Network::start(context, World::new(4)).await;
        send(&network.world, 0..20);
        network.until("first blocks", |world| world.height() >= 3).await;
        network.crash(1).await;
        send(&network.world, 20..40);
        network.settle([0, 2, 3], 5).await;
        let missed = network.world.journals[1].height();
        network.boot(1).await;
        send(&network.world, 40..50);
        network.settle(0..4, 3).await;
        assert!(network.world.journals[1].height() > missed + 5);
        let state = network.world.replay();
        for i in 0..4 {
            network.check_database(i, &state).await;
        }
    });
}

#[test]
fn two_against_two_halts_and_heals() {
    simulate(12, |context| async move {
        let mut network = Network::start(context, World::new(4)).await;
        send(&network.world, 0..10);
        network.settle(0..4, 1).await;
        network.link(|a, b| (a < 2) == (b < 2)).await;
        // What was under way may still become final; then nothing does.
        network.sleep(Duration::from_secs(2)).await;
        let halted: Vec<u64> = network.world.journals.iter().map(|journal| journal.height()).collect();
        send(&network.world, 10..20);
        network.sleep(Duration::from_secs(10)).await;
        let later: Vec<u64> = network.world.journals.iter().map(|journal| journal.height()).collect();
        assert_eq!(later, halted, "a minority made progress");
        assert!(!network.world.pool.is_empty());
        network.link(|_, _| true).await;
        network.settle(0..4, 3).await;
        let state = network.world.replay();
        for i in 0..4 {
            network.check_database(i, &state).await;
        }
    });
}

#[test]
fn three_against_one_goes_on_and_heals() {
    simulate(13, |context| async move {
        let mut network = Network::start(context, World::new(4)).await;
        network.until("first blocks", |world| world.height() >= 2).await;
        network.link(|a, b| a != 3 && b != 3).await;
        send(&network.world, 0..10);
        network.settle(0..3, 5).await;
        let alone = network.world.journals[3].height();
        assert!(alone < network.world.journals[0].height());
        network.link(|_, _| true).await;
        network.settle(0..4, 3).await;
        let state = network.world.replay();
        for i in 0..4 {
            network.check_database(i, &state).await;
        }
    });
}

/// All crash at once, again and again at different instants, with what was not synced dropped or torn in part.
fn crash_all(seed: u64, faults: FaultConfig, validators: usize) {
    crash_all_at(seed, faults, validators, 37, &[3, 111, 203, 350, 531, 777]);
}

fn crash_all_at(seed: u64, faults: FaultConfig, validators: usize, first: u64, instants: &[u64]) {
    let world = World::new(validators);
    send_everything(&world);
    let run = |instant: u64| {
        let world = world.clone();
        move |context| async move {
            let network = Network::start(context, world).await;
            network.sleep(Duration::from_millis(instant)).await;
        }
    };
    let ((), mut checkpoint) = simulate_crash(seed, faults, run(first));
    for instant in instants {
        ((), checkpoint) = resume(seed, checkpoint, run(*instant));
    }
    let last = world.clone();
    resume(seed, checkpoint, move |context| async move {
        let network = Network::start(context, last).await;
        network.settle(0..validators, 2).await;
        let state = network.world.replay();
        for i in 0..validators {
            network.check_database(i, &state).await;
            check_certificates(&network, i).await;
        }
    });
    assert_eq!(world.replay().accounts[&address(1)].nonce, 10);
}

#[test]
fn all_four_crash_again_and_again() {
    crash_all(21, FaultConfig::default(), 4);
}

#[test]
fn one_alone_crashes_again_and_again() {
    for seed in 22..26 {
        crash_all(seed, FaultConfig::default(), 1);
    }
}

/// Of what was not synced, half is there after a crash.
pub(crate) fn torn(mode: PartialWriteMode) -> FaultConfig {
    let write = WriteConfig { failure_rate: probability!(0.0), retention_rate: probability!(0.5), mode };
    FaultConfig::default().write(write)
}

#[test]
fn torn_writes_are_survived() {
    for (seed, mode) in [(31, PartialWriteMode::Prefix), (32, PartialWriteMode::Subset)] {
        crash_all(seed, torn(mode), 4);
    }
}

/// Old operations are removed from the state log while blocks go on; what is left recovers.
#[test]
fn a_pruned_log_recovers() {
    let world = World::new(4);
    let run = |until: u64| {
        let world = world.clone();
        move |context| async move {
            send(&world, 0..40);
            let network = Network::start(context, world).await;
            network.until("blocks", |world| world.height() >= until).await;
            let oldest = network.oldest_operation(0).await;
            assert!(oldest > 0, "nothing was removed");
            let state = network.world.replay();
            network.check_database(0, &state).await;
            oldest
        }
    };
    let (first, checkpoint) = simulate_crash(41, FaultConfig::default(), run(60));
    let (second, _) = resume(41, checkpoint, run(120));
    assert!(second > first);
}

/// As many seeds as wanted, each with instants and faults of its own:
/// `TACIT_SEEDS=1000 cargo test -p tacit-consensus --test it -- --ignored --nocapture many_seeds`.
#[test]
#[ignore = "takes seconds for each seed"]
fn many_seeds() {
    let count = std::env::var("TACIT_SEEDS").map_or(10, |count| count.parse().unwrap());
    let failed: Vec<u64> = (1_000..1_000 + count)
        .filter(|seed| {
            let mut rng = StdRng::seed_from_u64(*seed);
            let instants: Vec<u64> = (0..8).map(|_| rng.random_range(1..800)).collect();
            let faults = match seed % 3 {
                0 => FaultConfig::default(),
                1 => torn(PartialWriteMode::Prefix),
                _ => torn(PartialWriteMode::Subset),
            };
            let validators = if seed % 2 == 0 { 1 } else { 4 };
            let run = || crash_all_at(*seed, faults, validators, instants[0], &instants[1..]);
            catch_unwind(AssertUnwindSafe(run)).is_err()
        })
        .collect();
    let passed = count - u64::try_from(failed.len()).unwrap();
    writeln!(std::io::stderr(), "{passed} of {count} seeds passed").unwrap();
    assert_eq!(failed, [0_u64; 0]);
}
