//! Disks that fail at any of their changes: nothing is lost, and nothing is signed twice.

use crate::{
    machine::Fault,
    network::{Network, World, simulate, simulate_to_the_end},
    people::{COIN, address, pay},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// Validator 0 of so many; its disk does this at its `k`-th change, and then it is started again on what is left. `None`: it has not
/// come so far.
pub(crate) fn strike(seed: u64, validators: usize, fault: Fault, k: u64) -> Option<()> {
    simulate_to_the_end(seed, |context| async move {
        let world = World { shares: vec![validators == 1; validators], ..World::new(validators) };
        for nonce in 0..4 {
            world.pool.add(pay(1, nonce, address(2), COIN));
        }
        world.disks[0].plan(fault, k);
        let mut network = Network::start(context, world).await;
        while !network.world.disks[0].struck() {
            if network.world.journals[0].height() >= BLOCKS {
                return None;
            }
            network.sleep(Duration::from_millis(1)).await;
        }
        // What the other tasks of that machine still do is done.
        network.sleep(Duration::from_millis(1)).await;
        network.crash(0).await;
        network.world.disks[0].mend();
        network.boot(0).await;
        network.settle(0..validators, 3).await;
        let state = network.world.replay();
        assert_eq!(state.accounts[&address(1)].nonce, 4);
        for i in 0..validators {
            network.check_database(i, &state).await;
        }
        Some(())
    })
}

/// Strikes at every `stride`-th change from `first` on until there are no more; gives how many that were.
fn sweep(seed: u64, validators: usize, fault: Fault, first: usize, stride: usize) -> usize {
    let struck =
        (first..).step_by(stride).map_while(|k| strike(seed, validators, fault, u64::try_from(k).unwrap()));
    struck.count()
}

#[test]
fn one_alone_is_killed_at_any_change_of_its_disk() {
    for (seed, fault, first) in [(500, Fault::Dies, 1), (501, Fault::Tears, 7)] {
        let struck = sweep(seed, 1, fault, first, 29);
        assert!(struck > 10, "{struck} instants");
    }
}

#[test]
fn one_of_four_is_killed_at_any_change_of_its_disk() {
    for (seed, fault, first) in [(510, Fault::Dies, 11), (511, Fault::Tears, 40)] {
        let struck = sweep(seed, 4, fault, first, 61);
        assert!(struck > 3, "{struck} instants");
    }
}

#[test]
fn a_disk_that_fails_or_is_full_loses_nothing() {
    for (seed, fault, validators) in
        [(520, Fault::Fails, 1), (521, Fault::Fills, 1), (522, Fault::Fails, 4), (523, Fault::Fills, 4)]
    {
        let struck = sweep(seed, validators, fault, 5, 131);
        assert!(struck > 2, "{struck} instants");
    }
}

/// Whatever the change that fails: the validator ends at once, by the panic that ends its process.
#[test]
fn a_validator_whose_disk_fails_ends() {
    for fault in [Fault::Fails, Fault::Fills] {
        for k in (3..).step_by(113) {
            let mut struck = false;
            let run = || {
                simulate(530, |context| async {
                    let world = World::new(1);
                    let disk = world.disks[0].clone();
                    disk.plan(fault, k);
                    let network = Network::start(context, world).await;
                    while !disk.struck() && network.world.height() < BLOCKS {
                        network.sleep(Duration::from_millis(1)).await;
                        struck = disk.struck();
                    }
                    network.sleep(Duration::from_secs(2)).await;
                })
            };
            let ended = catch_unwind(AssertUnwindSafe(run)).is_err();
            if !ended {
                assert!(!struck, "{fault:?} at {k}: it goes on");
                break;
            }
        }
    }
}

/// Every single change, or the second of eight shares of them:
/// `TACIT_SHARE=2/8 cargo test -p tacit-consensus --test it -- --ignored --nocapture every_change`.
#[test]
#[ignore = "takes a quarter of an hour of a core, or some; a share of it takes a share of that"]
fn every_change_of_a_disk() {
    let share = std::env::var("TACIT_SHARE").unwrap_or_else(|_| "1/1".to_owned());
    let (part, parts) = share.split_once('/').expect("TACIT_SHARE is PART/PARTS");
    let (part, parts): (usize, usize) = (part.parse().unwrap(), parts.parse().unwrap());
    assert!((1..=parts).contains(&part), "{share}: parts are counted from 1");
    for (validators, fault) in [(1, Fault::Dies), (1, Fault::Tears), (4, Fault::Dies), (4, Fault::Tears)] {
        let struck = sweep(540, validators, fault, part, parts);
        eprintln!("{validators} validators, {fault:?}: {struck} instants");
    }
}

/// How far a run goes.
const BLOCKS: u64 = 6;
