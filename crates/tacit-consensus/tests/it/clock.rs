//! Clocks that are wrong: what they may cost, and that they decide nothing.

use crate::{
    network::{Network, RULES, World, simulate},
    people::{COIN, START_S, address, pay},
};
use commonware_runtime::deterministic::Context;
use std::time::Duration;

/// Every timestamp is at least its parent's, and none is ahead of a clock that is right by more than it may be.
pub(crate) fn check_timestamps(network: &Network, ahead_s_max: u64) {
    let chain = network.world.chain();
    let times: Vec<u64> = chain.values().map(|block| block.block().header.timestamp).collect();
    assert!(times.is_sorted() && times.iter().all(|time| *time >= START_S), "{times:?}");
    let limit = network.now_s() + ahead_s_max;
    assert!(times.iter().all(|time| *time <= limit), "a timestamp after {limit}: {times:?}");
}

/// Blocks in so many seconds with such clocks, in milliseconds ahead.
pub(crate) async fn pace(context: Context, seconds: u64, ahead_ms: [i64; 4]) -> u64 {
    let world = World { shares: vec![false; 4], ..World::new(4) };
    for (i, ahead_ms) in ahead_ms.into_iter().enumerate() {
        world.set_clock(i, ahead_ms);
    }
    let mut network = Network::start(context, world).await;
    network.sleep(Duration::from_secs(seconds)).await;
    let height = network.world.journals.iter().map(|journal| journal.height()).max().unwrap();
    check_timestamps(&network, RULES.clock_ahead_s_max);
    // The clocks are set right, and everybody goes on.
    for i in 0..4 {
        network.world.set_clock(i, 0);
    }
    for nonce in 0..5 {
        network.world.pool.add(pay(1, nonce, address(2), COIN));
    }
    network.settle(0..4, 4).await;
    let state = network.world.replay();
    for i in 0..4 {
        network.check_database(i, &state).await;
    }
    network.crash(0).await;
    height
}

#[test]
fn one_wrong_clock_stops_nothing() {
    for (seed, ahead_ms) in [(400, 10_000), (401, -10_000), (402, 3_600_000), (403, -1_000_000_000)] {
        let height = simulate(seed, |context| pace(context, 20, [0, 0, ahead_ms, 0]));
        // Three of four leaders give blocks at their pace, a fifth of a second each; the fourth costs its own view.
        assert!(height >= 20, "{ahead_ms} ms: {height} blocks in 20 s");
    }
}

#[test]
fn clocks_within_bounds_cost_nothing() {
    let height = simulate(410, |context| pace(context, 20, [0, 900, -900, 0]));
    assert!(height >= 70, "{height} blocks in 20 s");
}

/// More wrong clocks than malicious validators are borne. Those in time vote to finalize a view that those behind have given up, and
/// give up the next before those behind have come to it: it may stand still, but nothing that is final is ahead of a clock that is
/// right, and all goes on once the clocks are right.
#[test]
fn two_wrong_clocks_fork_nothing_and_are_borne_once_they_are_right() {
    for (seed, ahead_ms) in
        [(420, [0, 10_000, 10_000, 0]), (421, [-10_000, 0, -10_000, 0]), (422, [-60_000, 0, 60_000, 0])]
    {
        simulate(seed, |context| pace(context, 20, ahead_ms));
    }
}
