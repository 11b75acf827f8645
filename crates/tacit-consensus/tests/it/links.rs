//! Links that lose messages, delay them, deliver them twice or not at all; and validators that all stop at once.

use crate::{
    network::{Network, World, simulate},
    people::{COIN, address, pay},
};
use commonware_p2p::simulated::Link;
use commonware_runtime::deterministic::Context;
use commonware_utils::Probability;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::time::Duration;

/// Phases of bad links and broken ones, with crashes in between; then all is well again.
pub(crate) async fn run(context: Context, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut network =
        Network::start(context, World { echo: true, shares: vec![false; 4], ..World::new(4) }).await;
    let phases = rng.random_range(3..7);
    for phase in 0..phases {
        network.world.pool.add(pay(1, phase, address(2), COIN));
        let bad = Link {
            latency: Duration::from_millis(rng.random_range(1..250)),
            jitter: Duration::from_millis(rng.random_range(0..200)),
            success_rate: Probability::new(rng.random_range(5..=10), 10).unwrap(),
        };
        let broken: Vec<(usize, usize)> =
            (0..rng.random_range(0..7)).map(|_| (rng.random_range(0..4), rng.random_range(0..4))).collect();
        network.shape(bad, |a, b| !broken.contains(&(a, b))).await;
        let victim = rng.random_range(0..8);
        if victim < 4 {
            network.crash(victim).await;
        }
        network.sleep(Duration::from_millis(rng.random_range(100..3_000))).await;
        if victim < 4 {
            network.boot(victim).await;
        }
    }
    network.shape(Network::GOOD, |_, _| true).await;
    network.settle(0..4, 4).await;
    let state = network.world.replay();
    assert_eq!(state.accounts[&address(1)].nonce, phases);
    for i in 0..4 {
        network.check_database(i, &state).await;
    }
}

#[test]
fn bad_links_lose_nothing() {
    for seed in 600..604 {
        simulate(seed, |context| run(context, seed));
    }
}

#[test]
fn slow_links_make_slow_blocks() {
    simulate(610, |context| async move {
        let mut network = Network::start(context, World { shares: vec![false; 4], ..World::new(4) }).await;
        let slow =
            Link { latency: Duration::from_millis(200), jitter: Duration::from_millis(20), ..Network::GOOD };
        network.shape(slow, |_, _| true).await;
        network.world.pool.add(pay(1, 0, address(2), COIN));
        network.sleep(Duration::from_secs(20)).await;
        // A proposal takes its time and two delays of votes: a little less than a second.
        let height = network.world.journals[0].height();
        assert!(height >= 20, "{height} blocks in 20 s");
        network.settle(0..4, 2).await;
        network.world.replay();
    });
}

#[test]
fn all_stop_at_once_and_go_on() {
    simulate(620, |context| async move {
        let mut network = Network::start(context, World { shares: vec![false; 4], ..World::new(4) }).await;
        for nonce in 0..6 {
            network.world.pool.add(pay(1, nonce, address(2), COIN));
            network.sleep(Duration::from_millis(331)).await;
            for i in 0..4 {
                network.crash(i).await;
            }
            for i in 0..4 {
                network.boot(i).await;
            }
        }
        network.settle(0..4, 3).await;
        let state = network.world.replay();
        assert_eq!(state.accounts[&address(1)].nonce, 6);
        for i in 0..4 {
            network.check_database(i, &state).await;
        }
    });
}
