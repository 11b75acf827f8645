//! Covers are a worker's own, never more than its stake allows, and count as long as what is under them is unsettled.

use crate::{
    Failure, MODULES, Module,
    testing::{World, reverts},
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tacit_abi::{
    IAudits, IChannels, IModule, IStakes,
    audits::{PERIOD_S, UNSETTLED_S, exposure_max, stake_for},
    channels::GRACE_S,
    stakes::burned,
};
use tacit_market::Policy;

const CHANNELS: Module = MODULES[1];
const STAKES: Module = MODULES[5];
const AUDITS: Module = MODULES[7];
const CLIENT: Address = Address::repeat_byte(0xc1);
const WORKER: Address = Address::repeat_byte(0x22);
/// Allows 30 to be covered.
const STAKE: u128 = 160;

fn world() -> World {
    let mut world = World::new();
    // A period has just begun.
    world.now -= world.now % PERIOD_S;
    bond(&mut world, WORKER, STAKE);
    world
}

fn bond(world: &mut World, worker: Address, amount: u128) {
    world.fund(worker, amount);
    world.pay_call(STAKES, worker, amount, &IStakes::bondCall {}).unwrap();
}

fn open(world: &mut World, salt: u8) -> B256 {
    world.fund(CLIENT, 1_000);
    let call = IChannels::openCall { worker: WORKER, signer: CLIENT, salt: B256::repeat_byte(salt) };
    world.pay_call(CHANNELS, CLIENT, 1_000, &call).unwrap()
}

fn cover(world: &mut World, caller: Address, channel: B256, amount: u128) -> Result<(), Failure> {
    world.call(AUDITS, caller, &IAudits::coverCall { channelId: channel, amount }).map(|_| ())
}

fn covered(world: &mut World, channel: B256, period: u64) -> u128 {
    world.call(AUDITS, CLIENT, &IAudits::coverOfCall { channelId: channel, period }).unwrap()
}

fn exposure(world: &mut World, worker: Address) -> IAudits::Exposure {
    world.call(AUDITS, CLIENT, &IAudits::exposureOfCall { worker }).unwrap()
}

fn too_little(room: u128) -> Result<(), Failure> {
    Err(reverts(IAudits::TooLittleRoom { room }))
}

#[test]
fn a_worker_covers_up_to_a_part_of_its_stake() {
    let mut world = world();
    let (one, other) = (open(&mut world, 1), open(&mut world, 2));
    assert_eq!(exposure_max(STAKE), 30);
    cover(&mut world, WORKER, one, 10).unwrap();
    cover(&mut world, WORKER, one, 5).unwrap();
    let period = world.now / PERIOD_S;
    let event: IAudits::Covered = world.last();
    assert_eq!(event, IAudits::Covered { channelId: one, worker: WORKER, period, amount: 5, covered: 15 });
    assert_eq!(cover(&mut world, WORKER, other, 16), too_little(15));
    cover(&mut world, WORKER, other, 15).unwrap();
    assert_eq!(cover(&mut world, WORKER, one, 1), too_little(0));
    assert_eq!((covered(&mut world, one, period), covered(&mut world, other, period)), (15, 15));
    assert_eq!(covered(&mut world, one, period + 1), 0);
    let ends_at = world.now + PERIOD_S;
    assert_eq!(
        exposure(&mut world, WORKER),
        IAudits::Exposure { period, endsAt: ends_at, taken: 30, limit: 30 }
    );
    // More stake makes more room.
    bond(&mut world, WORKER, 16);
    cover(&mut world, WORKER, one, 3).unwrap();
}

/// An answer given at the end of a period is unsettled for most of the next one.
#[test]
fn what_was_covered_counts_in_the_next_period_too_and_no_longer() {
    let mut world = world();
    let channel = open(&mut world, 1);
    cover(&mut world, WORKER, channel, 20).unwrap();
    let begun = world.now;
    world.now = begun + PERIOD_S - 1 + UNSETTLED_S;
    assert_eq!(exposure(&mut world, WORKER).taken, 20);
    assert_eq!(cover(&mut world, WORKER, channel, 11), too_little(10));
    cover(&mut world, WORKER, channel, 10).unwrap();
    world.now = begun + 2 * PERIOD_S;
    assert_eq!(exposure(&mut world, WORKER).taken, 10);
    cover(&mut world, WORKER, channel, 20).unwrap();
}

/// Otherwise a competitor takes all of a worker's room for the price of a transaction.
#[test]
fn nobody_covers_for_a_worker() {
    let mut world = world();
    let channel = open(&mut world, 1);
    for stranger in [CLIENT, Address::repeat_byte(0x99)] {
        let refused = cover(&mut world, stranger, channel, 1);
        assert_eq!(refused, Err(reverts(IAudits::NotChannelWorker { worker: WORKER })));
    }
    assert_eq!(exposure(&mut world, WORKER).taken, 0);
}

#[test]
fn only_an_open_channel_is_covered_and_with_something() {
    let mut world = world();
    let unknown = B256::repeat_byte(9);
    let no_channel = |id| Err(reverts(IAudits::NoSuchChannel { channelId: id }));
    assert_eq!(cover(&mut world, WORKER, unknown, 1), no_channel(unknown));
    let channel = open(&mut world, 1);
    assert_eq!(cover(&mut world, WORKER, channel, 0), Err(reverts(IAudits::NothingToCover {})));
    world.call(CHANNELS, CLIENT, &IChannels::requestCloseCall { channelId: channel }).unwrap();
    world.now += GRACE_S;
    world.call(CHANNELS, CLIENT, &IChannels::closeCall { channelId: channel }).unwrap();
    assert_eq!(cover(&mut world, WORKER, channel, 1), no_channel(channel));
}

/// What is on its way home speaks for nothing new.
#[test]
fn a_stake_that_shrinks_covers_no_more() {
    let mut world = world();
    let channel = open(&mut world, 1);
    cover(&mut world, WORKER, channel, 20).unwrap();
    world.call(STAKES, WORKER, &IStakes::unbondCall { amount: 80 }).unwrap();
    assert_eq!(exposure(&mut world, WORKER).limit, 15);
    assert_eq!(cover(&mut world, WORKER, channel, 1), too_little(0));
    let stranger = Address::repeat_byte(0x77);
    assert_eq!(exposure(&mut world, stranger).limit, 0);
}

#[test]
fn a_view_covers_nothing_and_coin_is_refused() {
    let mut world = world();
    let channel = open(&mut world, 1);
    world.fund(WORKER, 1);
    let call = IAudits::coverCall { channelId: channel, amount: 1 };
    let paid = world.send(AUDITS, WORKER, U256::from(1), &call.abi_encode());
    assert_eq!(paid, Err(reverts(IModule::NotPayable {})));
    world.is_static = true;
    assert_eq!(cover(&mut world, WORKER, channel, 1), Err(reverts(IModule::StaticCall {})));
}

#[test]
fn amounts_at_the_edge_of_what_there_is() {
    let mut world = world();
    let channel = open(&mut world, 1);
    assert_eq!(cover(&mut world, WORKER, channel, u128::MAX), too_little(30));
    bond(&mut world, WORKER, u128::MAX - STAKE);
    assert_eq!(cover(&mut world, WORKER, channel, u128::MAX), too_little(exposure_max(u128::MAX)));
    cover(&mut world, WORKER, channel, exposure_max(u128::MAX)).unwrap();
    world.now = u64::MAX;
    assert_eq!(exposure(&mut world, WORKER).taken, 0);
}

/// The ledger counts with the exposure of the network's terms, under which no cheating pays.
#[test]
fn the_limit_is_that_of_the_network_s_terms() {
    for bonded in [0, 1, 15, 16, STAKE, 12_345_678_901, u128::MAX] {
        let unsettled_max = Policy::NETWORK.unsettled_max(burned(bonded));
        // A part in so many by division, and as a ratio of 2^32: both rounded down.
        assert_eq!(exposure_max(bonded), unsettled_max, "{bonded}");
    }
}

#[test]
fn the_stake_for_a_cover_is_the_least_that_allows_it() {
    for covered in (0..500).chain([1 << 100]) {
        let stake = stake_for(covered).unwrap();
        assert!(exposure_max(stake) >= covered, "{covered}");
        // Rounding asks for a few units more than the least.
        assert!(stake < 12 || exposure_max(stake - 12) < covered.max(1), "{covered}");
    }
    assert_eq!(stake_for(u128::MAX), None);
}

#[derive(Debug, Clone)]
enum Step {
    Cover { channel: usize, amount: u128 },
    Bond(u128),
    Unbond(u128),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_usize..3, 0_u128..40).prop_map(|(channel, amount)| Step::Cover { channel, amount }),
        (1_u128..100).prop_map(Step::Bond),
        (1_u128..100).prop_map(Step::Unbond),
        (0_u64..PERIOD_S * 2).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Against a list of all covers: a cover is given exactly when those that may still have something unsettled under them leave room.
    #[test]
    fn covers_agree_with_a_list(steps in steps()) {
        let mut world = world();
        let channels: Vec<B256> = (1..4).map(|salt| open(&mut world, salt)).collect();
        let (mut given, mut bonded): (Vec<(u64, usize, u128)>, u128) = (Vec::new(), STAKE);
        for step in steps {
            match step {
                Step::Wait(seconds) => world.now += seconds,
                Step::Bond(amount) => {
                    bond(&mut world, WORKER, amount);
                    bonded += amount;
                }
                Step::Unbond(amount) => {
                    let done = world.call(STAKES, WORKER, &IStakes::unbondCall { amount });
                    if done.is_ok() { bonded -= amount }
                }
                Step::Cover { channel, amount } => {
                    let period = world.now / PERIOD_S;
                    let live = given.iter().filter(|(at, ..)| at + 1 >= period);
                    let taken: u128 = live.map(|(_, _, amount)| amount).sum();
                    let fits = amount > 0 && taken + amount <= (bonded - bonded / 4) / 4;
                    prop_assert_eq!(cover(&mut world, WORKER, channels[channel], amount).is_ok(), fits);
                    if fits { given.push((period, channel, amount)) }
                }
            }
        }
        let mut sums: BTreeMap<(usize, u64), u128> = BTreeMap::new();
        for (period, channel, amount) in given {
            *sums.entry((channel, period)).or_default() += amount;
        }
        for ((channel, period), amount) in sums {
            prop_assert_eq!(covered(&mut world, channels[channel], period), amount);
        }
    }
}
