//! Sets of validators that change, and a key that stays.

use crate::{
    faults::torn,
    light::{certified, check_certificates},
    network::{Network, World, resume, simulate, simulate_crash},
    people::{COIN, address, owner, pay},
};
use alloy_consensus::TxReceipt as _;
use alloy_primitives::U256;
use commonware_codec::Encode as _;
use commonware_glue::dkg::types::EpochOutcome;
use commonware_runtime::deterministic::{Context, FaultConfig, PartialWriteMode};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeSet, time::Duration};
use tacit_consensus::{EpochRecord, Payload};

const BLOCKS: u64 = 24;

/// What the block before it says of an epoch.
pub(crate) fn record(world: &World, epoch: u64) -> EpochRecord {
    let block = &world.chain()[&(epoch * world.epoch_blocks() - 1)];
    let record = match block.seal().payload.clone() {
        Some(Payload::EpochInfo(record)) => Some(record),
        _ => None,
    };
    record.unwrap()
}

/// Whose keys keep an epoch.
pub(crate) fn committee(network: &Network, epoch: u64) -> BTreeSet<usize> {
    let record = record(&network.world, epoch);
    let members = record.output.players();
    (0..network.world.journals.len()).filter(|i| members.position(&network.key(*i)).is_some()).collect()
}

/// Who led a block of an epoch that is final.
pub(crate) fn leaders(network: &Network, epoch: u64) -> BTreeSet<usize> {
    let (chain, blocks) = (network.world.chain(), network.world.epoch_blocks());
    let keys: Vec<_> = (0..network.world.journals.len()).map(|i| network.key(i)).collect();
    let of_epoch = chain.range(epoch * blocks..(epoch + 1) * blocks);
    of_epoch
        .map(|(_, block)| keys.iter().position(|key| *key == block.seal().context.leader).unwrap())
        .collect()
}

/// Waits until every one of `who` has all blocks of `epoch`.
pub(crate) async fn over(network: &Network, who: impl IntoIterator<Item = usize>, epoch: u64) {
    let last = (epoch + 1) * network.world.epoch_blocks() - 1;
    let who: Vec<usize> = who.into_iter().collect();
    network.until("the epoch ends", |world| who.iter().all(|i| world.journals[*i].height() >= last)).await;
}

/// The group's key is that of the beginning in every epoch, and its shares are new after each dealing that succeeded.
pub(crate) fn check_key(network: &Network, epochs: u64) {
    let key = network.group().0.key();
    let mut polynomials = BTreeSet::new();
    let mut fresh = 0;
    for epoch in 1..=epochs {
        let record = record(&network.world, epoch);
        assert_eq!(record.epoch.get(), epoch);
        assert_eq!(record.output.public().public().encode()[..], key.bytes()[..], "epoch {epoch}");
        fresh += usize::from(record.outcome == EpochOutcome::Success);
        polynomials.insert(record.output.public().encode().to_vec());
    }
    // Of a group of one, the key is the share.
    let alone = network.world.journals.len() == 1;
    assert!(polynomials.len() >= fresh || alone, "shares that stayed the same");
}

#[test]
fn five_epochs_pass_and_the_key_stays() {
    simulate(101, |context| async move {
        let network = Network::start(context, World::staked(4, 4, BLOCKS)).await;
        for nonce in 0..20 {
            network.world.pool.add(pay(1, nonce, address(2), COIN));
        }
        over(&network, 0..4, 4).await;
        network.settle(0..4, 2).await;
        for epoch in 1..=5 {
            assert_eq!(record(&network.world, epoch).outcome, EpochOutcome::Success, "epoch {epoch}");
            assert_eq!(committee(&network, epoch).len(), 4);
        }
        check_key(&network, 5);
        let state = network.world.replay();
        for i in 0..4 {
            for number in 1..=5 * BLOCKS {
                certified(&network, i, number).await;
            }
            check_certificates(&network, i).await;
            network.check_database(i, &state).await;
        }
    });
}

/// The fifth starts from nothing when its time has almost come, and is needed for every block once a founder is gone.
#[test]
fn a_fifth_joins_votes_and_leads() {
    simulate(102, |context| async move {
        let mut network = Network::start(context, World::staked(5, 4, BLOCKS)).await;
        network.world.join(4, 0);
        over(&network, 0..4, 1).await;
        network.boot(4).await;
        over(&network, 0..5, 3).await;
        assert_eq!(committee(&network, 3), (0..4).collect());
        assert_eq!(committee(&network, 4), (0..5).collect());
        over(&network, 0..5, 4).await;
        assert!(leaders(&network, 4).contains(&4), "{:?}", leaders(&network, 4));
        network.crash(0).await;
        over(&network, 1..5, 5).await;
        check_key(&network, 6);
        check_certificates(&network, 4).await;
        network.world.replay();
    });
}

#[test]
fn whoever_left_is_not_missed() {
    simulate(103, |context| async move {
        let mut network = Network::start(context, World::staked(5, 5, BLOCKS)).await;
        network.world.leave(0, 0);
        over(&network, 0..5, 3).await;
        assert_eq!(committee(&network, 3), (0..5).collect());
        assert_eq!(committee(&network, 4), (1..5).collect());
        network.crash(0).await;
        // One of the four may be away as well.
        network.crash(1).await;
        over(&network, 2..5, 5).await;
        check_key(&network, 6);
        check_certificates(&network, 2).await;
    });
}

/// Nobody of the second set was in the first. The first set can do nothing afterwards, and is not needed.
#[test]
fn a_whole_committee_is_replaced() {
    simulate(104, |context| async move {
        let mut network = Network::start(context, World::staked(8, 4, BLOCKS)).await;
        for i in 4..8 {
            network.world.join(i, 0);
            network.boot(i).await;
        }
        network.settle(0..4, 1).await;
        for i in 0..4 {
            network.world.leave(i, 0);
        }
        over(&network, 0..8, 3).await;
        assert_eq!(committee(&network, 3), (0..4).collect());
        assert_eq!(committee(&network, 4), (4..8).collect());
        let switch = 4 * BLOCKS;
        network.until("the new ones lead", |world| world.journals[4].height() > switch + 4).await;
        for i in 4..8 {
            network.crash(i).await;
        }
        network.sleep(Duration::from_secs(2)).await;
        let halted = network.world.journals[0].height();
        network.sleep(Duration::from_secs(10)).await;
        assert_eq!(network.world.journals[0].height(), halted, "those who left made a block");
        for i in 0..4 {
            network.crash(i).await;
        }
        for i in 4..8 {
            network.boot(i).await;
        }
        over(&network, 4..8, 5).await;
        check_key(&network, 6);
        for number in 1..=6 * BLOCKS {
            certified(&network, 4, number).await;
        }
        check_certificates(&network, 5).await;
        network.world.replay();
    });
}

#[test]
fn a_dealing_succeeds_with_one_of_four_away() {
    simulate(105, |context| async move {
        let mut network = Network::start(context, World::staked(4, 4, BLOCKS)).await;
        over(&network, 0..4, 0).await;
        network.crash(2).await;
        over(&network, [0, 1, 3], 2).await;
        for epoch in 2..=3 {
            assert_eq!(record(&network.world, epoch).outcome, EpochOutcome::Success, "epoch {epoch}");
        }
        // Its own share of an epoch that it missed was dealt in the open; it goes on with that.
        network.boot(2).await;
        over(&network, 0..4, 4).await;
        network.crash(0).await;
        over(&network, 1..4, 5).await;
        check_key(&network, 6);
        check_certificates(&network, 2).await;
    });
}

/// Whoever gets a share that is none cuts the dealer off; the others' dealings are enough.
#[test]
fn a_dealer_that_deals_badly_is_cut_off() {
    simulate(115, |context| async move {
        let mut world = World::staked(4, 4, BLOCKS);
        world.liar = Some(3);
        let network = Network::start(context, world).await;
        over(&network, 0..3, 2).await;
        for epoch in 1..=3 {
            assert_eq!(record(&network.world, epoch).outcome, EpochOutcome::Success, "epoch {epoch}");
        }
        let mut cut: Vec<_> = network.blocked().await;
        cut.sort();
        let all: Vec<_> = (0..3).map(|i| (network.key(i), network.key(3))).collect();
        assert_eq!(cut, all);
        check_key(&network, 3);
        for number in 1..=2 * BLOCKS {
            certified(&network, 0, number).await;
        }
    });
}

/// Three who joined never came: no dealing to them succeeds, those of before go on, and hand on when enough have come.
#[test]
fn while_the_next_are_away_those_of_before_go_on() {
    simulate(106, |context| async move {
        let mut network = Network::start(context, World::staked(7, 4, 28)).await;
        for i in 4..7 {
            network.world.join(i, 0);
        }
        over(&network, 0..4, 4).await;
        assert_eq!(record(&network.world, 3).outcome, EpochOutcome::Success);
        for epoch in 4..=5 {
            assert_eq!(record(&network.world, epoch).outcome, EpochOutcome::Failure, "epoch {epoch}");
            assert_eq!(committee(&network, epoch), (0..4).collect());
        }
        for i in 4..7 {
            network.boot(i).await;
        }
        over(&network, 0..7, 6).await;
        assert_eq!(record(&network.world, 7).outcome, EpochOutcome::Success);
        assert_eq!(committee(&network, 7), (0..7).collect());
        over(&network, 0..7, 7).await;
        check_key(&network, 8);
        check_certificates(&network, 5).await;
    });
}

/// A founder leaves, and nobody can take over, since others who joined never came: it votes on, and used to be paid out meanwhile.
#[test]
fn a_stake_is_held_for_as_long_as_its_key_votes() {
    simulate(116, |context| async move {
        let mut world = World::staked(7, 4, 28);
        let rules = &mut world.genesis.staking.parameters;
        (rules.unbonding_epochs, rules.unbonding_seconds) = (1, 0);
        let mut network = Network::start(context, world).await;
        network.world.leave(0, 0);
        for i in 4..7 {
            network.world.join(i, 0);
        }
        over(&network, 0..4, 5).await;
        for epoch in 4..=6 {
            assert_eq!(record(&network.world, epoch).outcome, EpochOutcome::Failure, "epoch {epoch}");
            assert_eq!(committee(&network, epoch), (0..4).collect());
        }
        network.world.withdraw(0, 1);
        network.settle(0..4, 1).await;
        for i in 4..7 {
            network.boot(i).await;
        }
        over(&network, 0..7, 8).await;
        assert_eq!(committee(&network, 8), (1..7).collect());
        network.world.withdraw(0, 2);
        network.settle(0..7, 1).await;

        let (state, receipts) = network.world.execute();
        let refused = receipts.values().flatten().filter(|receipt| !receipt.status()).count();
        assert_eq!(refused, 1, "paid out while it votes, or not paid out afterwards");
        let owner = state.accounts[&address(owner(0))].balance;
        assert!(owner > U256::from(1_099 * COIN), "{owner}");
        // Each header says how many dealings had failed before its epoch.
        let failed: Vec<u64> = (1..=9)
            .map(|epoch| u64::from(record(&network.world, epoch).outcome == EpochOutcome::Failure))
            .collect();
        for (number, block) in network.world.chain() {
            let passed = usize::try_from(number / 28).unwrap();
            let count = U256::from(failed[..passed].iter().sum::<u64>());
            assert_eq!(U256::from_be_bytes(block.block().header.mix_hash.0), count, "block {number}");
        }
    });
}

#[test]
fn one_validator_deals_to_itself() {
    simulate(107, |context| async move {
        let mut network = Network::start(context, World::staked(1, 1, 8)).await;
        over(&network, [0], 2).await;
        network.crash(0).await;
        network.boot(0).await;
        over(&network, [0], 5).await;
        for epoch in 1..=6 {
            assert_eq!(record(&network.world, epoch).outcome, EpochOutcome::Success, "epoch {epoch}");
        }
        check_key(&network, 6);
        check_certificates(&network, 0).await;
    });
}

/// One after the other goes down and comes back, at instants around the ends of epochs.
#[test]
fn one_at_a_time_crashes_around_the_end_of_an_epoch() {
    simulate(109, |context| async move {
        let mut rng = StdRng::seed_from_u64(109);
        let mut network = Network::start(context, World::staked(4, 4, 16)).await;
        for epoch in 0..6 {
            let (victim, before) = (rng.random_range(0..4), rng.random_range(1..4));
            let at = (epoch + 1) * 16 - before;
            network.until("the end is near", |world| world.journals[victim].height() >= at).await;
            network.sleep(Duration::from_millis(rng.random_range(0..300))).await;
            network.crash(victim).await;
            network.sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
            network.boot(victim).await;
        }
        over(&network, 0..4, 8).await;
        assert_eq!(record(&network.world, 9).outcome, EpochOutcome::Success);
        check_key(&network, 9);
        let state = network.world.replay();
        for i in 0..4 {
            network.check_database(i, &state).await;
            check_certificates(&network, i).await;
        }
    });
}

/// All crash at once, again and again; then epochs go on, with shares that were handed on before and since.
fn all_crash(seed: u64, faults: FaultConfig, validators: usize) {
    let blocks = if validators == 1 { 4 } else { 16 };
    let world = World::staked(validators, validators, blocks);
    let mut rng = StdRng::seed_from_u64(seed);
    let run = |instant: u64| {
        let world = world.clone();
        move |context: Context| async move {
            let network = Network::start(context, world).await;
            network.sleep(Duration::from_millis(instant)).await;
        }
    };
    // An epoch takes some seconds, so that all of its parts are met.
    let ((), mut checkpoint) = simulate_crash(seed, faults, run(3_000));
    for _ in 0..10 {
        ((), checkpoint) = resume(seed, checkpoint, run(rng.random_range(100..2_500)));
    }
    let last = world.clone();
    resume(seed, checkpoint, move |context| async move {
        let network = Network::start(context, last).await;
        network.settle(0..validators, 1).await;
        let now = network.world.height() / blocks;
        over(&network, 0..validators, now + 2).await;
        assert_eq!(record(&network.world, now + 2).outcome, EpochOutcome::Success);
        assert_eq!(record(&network.world, now + 3).outcome, EpochOutcome::Success);
        check_key(&network, now + 3);
        let state = network.world.replay();
        for i in 0..validators {
            network.check_database(i, &state).await;
            check_certificates(&network, i).await;
        }
    });
}

#[test]
fn epochs_survive_crashes_of_all() {
    all_crash(110, FaultConfig::default(), 4);
    all_crash(111, FaultConfig::default(), 1);
}

#[test]
fn epochs_survive_torn_writes() {
    all_crash(112, torn(PartialWriteMode::Prefix), 4);
    all_crash(113, torn(PartialWriteMode::Subset), 4);
    all_crash(114, torn(PartialWriteMode::Subset), 1);
}
