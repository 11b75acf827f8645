//! One attack or rule a test.

use crate::{
    Failure, HostError, MODULES, Module,
    testing::{World, key, reverts},
    validators::{
        CANDIDATES_MAX, DELAY_EPOCHS, Founder, Parameters, Rules, SEATS_MAX, SetError, Staking, StakingError,
        gas,
        record::WEIGHTS,
        validator_set,
        votes::{NAMESPACE, Say, Voter},
    },
};
use alloy_primitives::{Address, B256, Bytes, U256, b256};
use alloy_sol_types::{SolCall, SolEvent};
use proptest::prelude::*;
use tacit_abi::{
    IModule,
    IValidators::{self, IValidatorsCalls, Seat},
    validators::{ADDRESS, BURNED, JOIN_SUFFIX},
};

const VALIDATORS: Module = MODULES[4];
const COIN: u128 = 1_000_000_000_000_000_000;
const RULES: Parameters = Parameters {
    epoch_blocks: 20,
    unbonding_seconds: 1_000,
    unbonding_epochs: 3,
    seats: 3,
    candidates: 4,
    stake_min: 100 * COIN,
};

/// Owner number `n`, with coin of its own.
fn owner(n: u8) -> Address {
    key(n).1
}

/// A world at block 5 whose founders 1 and 2 have 300 and 200 coins staked.
fn scene() -> World {
    let founders =
        vec![Voter::new(1).founder(owner(1), 300 * COIN), Voter::new(2).founder(owner(2), 200 * COIN)];
    world(&Staking { parameters: RULES, founders })
}

fn world(staking: &Staking) -> World {
    let mut world = World::new();
    world.block = 5;
    let first = staking.first_state(NAMESPACE).unwrap();
    world.balances.insert(ADDRESS, first.balance);
    world.storage.extend(first.slots.into_iter().map(|(slot, value)| ((ADDRESS, slot), value)));
    for n in 1..=9 {
        world.fund(owner(n), 10_000 * COIN);
    }
    world
}

fn join(world: &mut World, n: u8, stake: u128) -> Result<(), Failure> {
    let voter = Voter::new(n);
    join_with(world, n, voter.key(), stake, voter.proof(owner(n)))
}

fn join_with(world: &mut World, n: u8, key: B256, stake: u128, proof: Bytes) -> Result<(), Failure> {
    world.pay_call(VALIDATORS, owner(n), stake, &IValidators::joinCall { key, proof }).map(|_| ())
}

fn top_up(world: &mut World, n: u8, amount: u128) -> Result<(), Failure> {
    world.pay_call(VALIDATORS, owner(n), amount, &IValidators::topUpCall {}).map(|_| ())
}

fn leave(world: &mut World, n: u8) -> Result<(), Failure> {
    world.call(VALIDATORS, owner(n), &IValidators::leaveCall {}).map(|_| ())
}

fn withdraw(world: &mut World, n: u8) -> Result<(), Failure> {
    world.call(VALIDATORS, owner(n), &IValidators::withdrawCall {}).map(|_| ())
}

fn slash(world: &mut World, reporter: u8, n: u8, kind: u8) -> Result<(), Failure> {
    let voter = Voter::new(n);
    slash_with(world, reporter, voter.key(), voter.evidence((0, 9), kind))
}

fn slash_with(world: &mut World, reporter: u8, key: B256, evidence: Vec<u8>) -> Result<(), Failure> {
    let call = IValidators::slashCall { key, evidence: evidence.into() };
    world.call(VALIDATORS, owner(reporter), &call).map(|_| ())
}

fn record(world: &mut World, n: u8) -> IValidators::Validator {
    world.call(VALIDATORS, owner(9), &IValidators::validatorCall { key: Voter::new(n).key() }).unwrap()
}

fn seats(world: &mut World, epoch: u64) -> Vec<Seat> {
    world.call(VALIDATORS, owner(9), &IValidators::validatorSetCall { epoch }).unwrap()
}

/// Stakes of the set, in whole coins.
fn stakes(world: &mut World, epoch: u64) -> Vec<u128> {
    seats(world, epoch).into_iter().map(|seat| seat.stake / COIN).collect()
}

fn key_of(world: &mut World, n: u8) -> B256 {
    world.call(VALIDATORS, owner(9), &IValidators::keyOfCall { owner: owner(n) }).unwrap()
}

#[test]
fn founders_are_the_first_set_and_their_stakes_are_there() {
    let mut world = scene();
    assert_eq!(world.balance(ADDRESS), U256::from(500 * COIN));
    let seat = |n, stake| Seat { key: Voter::new(n).key(), owner: owner(n), stake };
    for epoch in 0..=DELAY_EPOCHS {
        assert_eq!(seats(&mut world, epoch), [seat(1, 300 * COIN), seat(2, 200 * COIN)]);
    }
    let expected = IValidators::Validator {
        key: Voter::new(1).key(),
        owner: owner(1),
        status: 1,
        stake: 300 * COIN,
        exitEpoch: 0,
        releaseAt: 0,
    };
    assert_eq!(record(&mut world, 1), expected);
    assert_eq!(key_of(&mut world, 2), Voter::new(2).key());
    assert_eq!(key_of(&mut world, 3), B256::ZERO);
    assert_eq!(world.call(VALIDATORS, owner(9), &IValidators::namespaceCall {}).unwrap(), NAMESPACE);
    assert_eq!(world.call(VALIDATORS, owner(9), &IValidators::epochCall {}).unwrap(), 0);
    let parameters = world.call(VALIDATORS, owner(9), &IValidators::parametersCall {}).unwrap();
    assert_eq!(parameters, Rules { parameters: RULES, first_block: 0 }.into_abi());
    assert_eq!((parameters.epochBlocks, parameters.stakeMin), (20, 100 * COIN));
}

#[test]
fn who_joins_counts_four_epochs_on() {
    let mut world = scene();
    world.block = 39;
    join(&mut world, 3, 250 * COIN).unwrap();
    let joined: IValidators::Joined = world.last();
    let expected =
        IValidators::Joined { key: Voter::new(3).key(), owner: owner(3), stake: 250 * COIN, fromEpoch: 5 };
    assert_eq!(joined, expected);
    assert_eq!(world.balance(ADDRESS), U256::from(750 * COIN));
    assert_eq!(key_of(&mut world, 3), Voter::new(3).key());
    for epoch in 1..5 {
        assert_eq!(stakes(&mut world, epoch), [300, 200]);
    }
    assert_eq!(stakes(&mut world, 5), [300, 250, 200]);
    world.block = 100;
    assert_eq!(stakes(&mut world, 5), [300, 250, 200]);
}

/// A weight is kept for each epoch that a message does not change.
#[test]
fn as_many_weights_are_kept_as_epochs_pass() {
    assert_eq!(u64::try_from(WEIGHTS), Ok(DELAY_EPOCHS));
}

#[test]
fn joining_needs_the_least_stake() {
    let mut world = scene();
    let refused = reverts(IValidators::StakeTooSmall { stake: RULES.stake_min - 1, least: RULES.stake_min });
    assert_eq!(join(&mut world, 3, RULES.stake_min - 1), Err(refused));
    join(&mut world, 3, RULES.stake_min).unwrap();
}

#[test]
fn stakes_beyond_128_bits_are_refused() {
    let mut world = scene();
    world.balances.insert(owner(3), U256::MAX >> 1);
    let voter = Voter::new(3);
    let call = IValidators::joinCall { key: voter.key(), proof: voter.proof(owner(3)) }.abi_encode();
    let too_large = reverts(IValidators::StakeTooLarge {});
    let value = U256::from(u128::MAX) + U256::ONE;
    assert_eq!(world.send(VALIDATORS, owner(3), value, &call), Err(too_large.clone()));
    join(&mut world, 3, RULES.stake_min).unwrap();
    assert_eq!(top_up(&mut world, 3, u128::MAX), Err(too_large));
}

#[test]
fn an_owner_has_one_validator_and_a_key_one_owner() {
    let mut world = scene();
    let (voter, taken) = (Voter::new(3), Voter::new(1));
    let owned = reverts(IValidators::OwnerTaken { owner: owner(1), key: taken.key() });
    assert_eq!(join_with(&mut world, 1, voter.key(), RULES.stake_min, voter.proof(owner(1))), Err(owned));
    let refused = || Err(reverts(IValidators::KeyTaken { key: taken.key() }));
    let proof = taken.proof(owner(3));
    assert_eq!(join_with(&mut world, 3, taken.key(), RULES.stake_min, proof.clone()), refused());
    leave(&mut world, 1).unwrap();
    assert_eq!(join_with(&mut world, 3, taken.key(), RULES.stake_min, proof), refused());
}

/// Every encoding of the eight points of small order, and bytes that are no point at all.
#[test]
fn keys_that_anyone_could_sign_for_are_refused() {
    let mut world = scene();
    let bad = [
        b256!("0000000000000000000000000000000000000000000000000000000000000000"),
        b256!("0000000000000000000000000000000000000000000000000000000000000080"),
        b256!("0100000000000000000000000000000000000000000000000000000000000000"),
        b256!("0100000000000000000000000000000000000000000000000000000000000080"),
        b256!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        b256!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
        b256!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        b256!("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
        b256!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        b256!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        b256!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        b256!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        b256!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        b256!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        B256::repeat_byte(2),
    ];
    for key in bad {
        // With R the neutral point and s zero, a signature under a key of small order.
        let proof = [&[1][..], &[0; 63]].concat();
        let refused = join_with(&mut world, 3, key, RULES.stake_min, proof.into());
        assert_eq!(refused, Err(reverts(IValidators::BadKey { key })));
        let founder = Founder { key, owner: owner(1), stake: RULES.stake_min, payer: None };
        let staking = Staking { parameters: RULES, founders: vec![founder] };
        assert_eq!(staking.first_state(NAMESPACE), Err(StakingError::Key(key)));
    }
}

#[test]
fn a_key_joins_only_for_whom_it_signed() {
    let mut world = scene();
    let voter = Voter::new(3);
    let good = voter.proof(owner(3)).to_vec();
    let mut bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        good[..63].to_vec(),
        [&good[..], &[0]].concat(),
        voter.proof(owner(4)).to_vec(),
        Voter::new(4).proof(owner(3)).to_vec(),
        voter.sign(B256::ZERO, JOIN_SUFFIX, owner(3).as_slice()).to_vec(),
        // A vote is no proof.
        voter.sign(NAMESPACE, b"_NOTARIZE", owner(3).as_slice()).to_vec(),
    ];
    for place in 0..64 {
        let mut other = good.clone();
        other[place] ^= 1;
        bad.push(other);
    }
    for proof in bad {
        let refused = join_with(&mut world, 3, voter.key(), RULES.stake_min, proof.into());
        assert_eq!(refused, Err(reverts(IValidators::BadProof {})));
    }
    join_with(&mut world, 3, voter.key(), RULES.stake_min, good.into()).unwrap();
}

#[test]
fn a_larger_stake_counts_four_epochs_on() {
    let mut world = scene();
    top_up(&mut world, 2, 150 * COIN).unwrap();
    world.block = 24;
    top_up(&mut world, 2, COIN).unwrap();
    let topped: IValidators::ToppedUp = world.last();
    assert_eq!((topped.amount, topped.stake, topped.fromEpoch), (COIN, 351 * COIN, 5));
    assert_eq!(stakes(&mut world, 3), [300, 200]);
    assert_eq!(stakes(&mut world, 4), [350, 300]);
    assert_eq!(stakes(&mut world, 5), [351, 300]);
    assert_eq!(world.balance(ADDRESS), U256::from(651 * COIN));
}

#[test]
fn only_an_active_owner_adds_stake() {
    let mut world = scene();
    let none = reverts(IValidators::StakeTooSmall { stake: 0, least: 1 });
    assert_eq!(top_up(&mut world, 1, 0), Err(none));
    let stranger = Err(reverts(IValidators::NotOwner { caller: owner(3) }));
    assert_eq!(top_up(&mut world, 3, 1), stranger);
    assert_eq!(leave(&mut world, 3), stranger);
    assert_eq!(withdraw(&mut world, 3), stranger);
    leave(&mut world, 1).unwrap();
    let leaving = Err(reverts(IValidators::AlreadyLeaving { key: Voter::new(1).key() }));
    assert_eq!(top_up(&mut world, 1, 1), leaving);
    assert_eq!(leave(&mut world, 1), leaving);
}

#[test]
fn stake_comes_back_after_both_delays_and_not_before() {
    let mut world = scene();
    world.block = 30;
    let not_leaving = reverts(IValidators::NotLeaving { key: Voter::new(1).key() });
    assert_eq!(withdraw(&mut world, 1), Err(not_leaving));
    leave(&mut world, 1).unwrap();
    let left: IValidators::Left = world.last();
    let release_at = world.now + 1_000;
    assert_eq!((left.owner, left.exitEpoch, left.releaseAt), (owner(1), 5, release_at));
    for epoch in 1..5 {
        assert_eq!(stakes(&mut world, epoch), [300, 200]);
    }
    assert_eq!(stakes(&mut world, 5), [200]);
    let early = || Err(reverts(IValidators::StillUnbonding { epoch: 8, releaseAt: release_at }));
    // Time alone is not enough: a chain that stood still gave nobody a chance to report.
    (world.block, world.now) = (159, release_at);
    assert_eq!(withdraw(&mut world, 1), early());
    // Nor are blocks alone.
    (world.block, world.now) = (160, release_at - 1);
    assert_eq!(withdraw(&mut world, 1), early());
    world.now = release_at;
    withdraw(&mut world, 1).unwrap();
    let withdrawn: IValidators::Withdrawn = world.last();
    assert_eq!((withdrawn.owner, withdrawn.amount), (owner(1), 300 * COIN));
    assert_eq!(world.balance(owner(1)), U256::from(10_300 * COIN));
    assert_eq!(world.balance(ADDRESS), U256::from(200 * COIN));
    let gone = record(&mut world, 1);
    assert_eq!((gone.status, gone.stake), (3, 0));
    assert_eq!(withdraw(&mut world, 1), Err(reverts(IValidators::NotOwner { caller: owner(1) })));
}

#[test]
fn a_clock_near_its_end_keeps_the_stake() {
    let mut world = scene();
    // The last second that a record has room for.
    let end = (1 << 48) - 1;
    world.now = end - 5;
    leave(&mut world, 1).unwrap();
    assert_eq!(record(&mut world, 1).releaseAt, end);
    world.block = 1_000;
    assert!(withdraw(&mut world, 1).is_err());
}

#[test]
fn a_key_that_left_may_come_back() {
    let mut world = scene();
    leave(&mut world, 1).unwrap();
    (world.block, world.now) = (300, world.now + 1_000);
    withdraw(&mut world, 1).unwrap();
    let voter = Voter::new(1);
    join_with(&mut world, 5, voter.key(), RULES.stake_min, voter.proof(owner(5))).unwrap();
    let back = record(&mut world, 1);
    assert_eq!((back.status, back.owner, back.exitEpoch, back.releaseAt), (1, owner(5), 0, 0));
    assert_eq!(stakes(&mut world, 18), [200]);
    assert_eq!(stakes(&mut world, 19), [200, 100]);
}

/// Whoever left goes on while no dealing to its successors succeeds; its stake used to be paid out all the same.
#[test]
fn stake_is_held_while_successors_are_late() {
    let mut world = scene();
    world.failed_dealings = 2;
    leave(&mut world, 1).unwrap();
    let release_at = world.now + RULES.unbonding_seconds;
    world.now += 100_000;
    // Three epochs after the fourth, were it not for five that failed since.
    (world.block, world.failed_dealings) = (7 * 20, 7);
    for (block, epoch) in [(7 * 20, 12), (12 * 20 - 1, 12)] {
        world.block = block;
        let early = reverts(IValidators::StillUnbonding { epoch, releaseAt: release_at });
        assert_eq!(withdraw(&mut world, 1), Err(early));
    }
    (world.block, world.failed_dealings) = (12 * 20, 8);
    assert!(withdraw(&mut world, 1).is_err(), "one more failed");
    world.block = 13 * 20;
    withdraw(&mut world, 1).unwrap();
}

proptest! {
    /// Consensus in the fewest words: an epoch is kept by the set that the last dealing that succeeded was to.
    #[test]
    fn nobody_is_paid_out_who_voted_lately(
        fails in prop::collection::vec(any::<bool>(), 40),
        leaves in 0_u64..8,
    ) {
        let mut world = scene();
        let (mut kept_by, mut last_vote, mut paid) = (0, 0, false);
        for (epoch, failed) in (0..).zip(fails) {
            (world.block, world.now) = (epoch * RULES.epoch_blocks + 3, world.now + 10_000);
            if epoch == leaves {
                leave(&mut world, 1).unwrap();
            }
            if kept_by < leaves + DELAY_EPOCHS {
                prop_assert!(!paid, "it votes in epoch {epoch}, and is paid out");
                last_vote = epoch;
            }
            if epoch >= leaves && !paid {
                paid = withdraw(&mut world, 1).is_ok();
                prop_assert!(!paid || epoch - last_vote > u64::from(RULES.unbonding_epochs));
            }
            match failed {
                true => world.failed_dealings += 1,
                false => kept_by = epoch + 1,
            }
        }
    }
}

#[test]
fn a_chain_that_goes_on_gives_stakes_back_and_keeps_bars() {
    let mut world = scene();
    join(&mut world, 3, 150 * COIN).unwrap();
    join(&mut world, 4, 120 * COIN).unwrap();
    leave(&mut world, 2).unwrap();
    slash(&mut world, 9, 4, 7).unwrap();
    let begin = |world: &World, founders: Vec<Founder>| {
        let staking = Staking { parameters: RULES, founders };
        let owners: Vec<Address> = world.balances.keys().copied().collect();
        let read = |slot| world.storage.get(&(ADDRESS, slot)).copied().unwrap_or_default();
        staking.begin_anew(NAMESPACE, 30, owners, read)
    };
    let founders = vec![
        Founder { payer: Some(owner(9)), ..Voter::new(5).founder(owner(5), 100 * COIN) },
        Founder { payer: Some(owner(9)), ..Voter::new(6).founder(owner(6), 110 * COIN) },
        // Of before: the same key, by its own coin.
        Voter::new(1).founder(owner(1), 130 * COIN),
    ];
    let begun = begin(&world, founders).unwrap();
    let coins = |n, coins: u128| (owner(n), U256::from(coins * COIN));
    assert_eq!(begun.returned, [coins(1, 300), coins(2, 200), coins(3, 150)].into());
    assert_eq!(begun.taken, [coins(9, 210), coins(1, 130)].into());
    world.storage.extend(begun.slots.into_iter().map(|(slot, value)| ((ADDRESS, slot), value)));
    world.balances.insert(ADDRESS, U256::from(340 * COIN));
    world.block = 30;
    assert_eq!(world.call(VALIDATORS, owner(9), &IValidators::epochCall {}).unwrap(), 0);
    for epoch in 0..=DELAY_EPOCHS {
        assert_eq!(stakes(&mut world, epoch), [130, 110, 100]);
    }
    world.block = 49;
    assert_eq!(world.call(VALIDATORS, owner(9), &IValidators::epochCall {}).unwrap(), 0);
    world.block = 50;
    assert_eq!(world.call(VALIDATORS, owner(9), &IValidators::epochCall {}).unwrap(), 1);
    // Whoever was there before has nothing there any more, and may come again; who was barred may not.
    assert_eq!(key_of(&mut world, 2), B256::ZERO);
    assert_eq!((record(&mut world, 2).status, record(&mut world, 2).stake), (3, 0));
    assert_eq!(
        join(&mut world, 4, 200 * COIN),
        Err(reverts(IValidators::KeyBarred { key: Voter::new(4).key() }))
    );
    join(&mut world, 2, 200 * COIN).unwrap();
    let barred = begin(&world, vec![Voter::new(4).founder(owner(4), 100 * COIN)]);
    assert_eq!(barred, Err(StakingError::Barred(Voter::new(4).key())));
}

#[test]
fn the_last_validator_stays() {
    let mut world = scene();
    leave(&mut world, 1).unwrap();
    assert_eq!(leave(&mut world, 2), Err(reverts(IValidators::LastValidator {})));
    join(&mut world, 3, RULES.stake_min).unwrap();
    leave(&mut world, 2).unwrap();
}

#[test]
fn who_voted_twice_loses_everything_and_never_returns() {
    for kind in [7, 8, 9] {
        let mut world = scene();
        let before = world.balance(owner(9));
        slash(&mut world, 9, 1, kind).unwrap();
        let reward = 5 * COIN;
        let slashed: IValidators::Slashed = world.last();
        let expected = IValidators::Slashed {
            key: Voter::new(1).key(),
            reporter: owner(9),
            kind,
            voteEpoch: 0,
            voteView: 9,
            burned: 300 * COIN - reward,
            reward,
        };
        assert_eq!(slashed, expected);
        assert_eq!(world.balance(owner(9)), before + U256::from(reward));
        assert_eq!(world.balance(BURNED), U256::from(300 * COIN - reward));
        assert_eq!(world.balance(ADDRESS), U256::from(200 * COIN));
        let barred = record(&mut world, 1);
        assert_eq!((barred.status, barred.stake, barred.exitEpoch), (4, 0, 4));
        // Sets that were fixed stay.
        for epoch in 0..4 {
            assert_eq!(stakes(&mut world, epoch), [300, 200]);
        }
        assert_eq!(stakes(&mut world, 4), [200]);

        let again = Err(reverts(IValidators::KeyBarred { key: Voter::new(1).key() }));
        assert_eq!(slash(&mut world, 9, 1, kind), again);
        let caller = Err(reverts(IValidators::NotOwner { caller: owner(1) }));
        (world.block, world.now) = (1_000, world.now + 1_000_000);
        assert_eq!(withdraw(&mut world, 1), caller);
        assert_eq!(join(&mut world, 1, RULES.stake_min), again);
        // The owner may start anew with another key.
        let other = Voter::new(7);
        join_with(&mut world, 1, other.key(), RULES.stake_min, other.proof(owner(1))).unwrap();
    }
}

#[test]
fn stake_that_unbonds_is_still_at_risk() {
    let mut world = scene();
    leave(&mut world, 1).unwrap();
    slash(&mut world, 9, 1, 8).unwrap();
    assert_eq!(world.balance(ADDRESS), U256::from(200 * COIN));
    // One is active still, and only one.
    assert_eq!(leave(&mut world, 2), Err(reverts(IValidators::LastValidator {})));
}

#[test]
fn a_key_whose_stake_is_withdrawn_is_barred_all_the_same() {
    let mut world = scene();
    leave(&mut world, 1).unwrap();
    (world.block, world.now) = (300, world.now + 1_000);
    withdraw(&mut world, 1).unwrap();
    // The owner has another validator by now; it is not this key's.
    let other = Voter::new(7);
    join_with(&mut world, 1, other.key(), RULES.stake_min, other.proof(owner(1))).unwrap();
    let coins = world.balances.clone();
    slash(&mut world, 9, 1, 7).unwrap();
    assert_eq!(world.balances, coins);
    assert_eq!(key_of(&mut world, 1), other.key());
    assert_eq!(record(&mut world, 1).status, 4);
    assert_eq!(leave(&mut world, 2), Ok(()), "two are active");
}

/// The reporter may be the culprit's friend: all that can come back is a twentieth of the least stake, however much is lost.
#[test]
fn reporting_oneself_does_not_pay() {
    for stake in [RULES.stake_min, 1_000 * COIN, 9_000 * COIN] {
        let mut world = scene();
        join(&mut world, 3, stake).unwrap();
        slash(&mut world, 3, 3, 7).unwrap();
        let lost = U256::from(10_000 * COIN) - world.balance(owner(3));
        assert_eq!(lost, U256::from(stake - RULES.stake_min / 20));
        assert!(lost * U256::from(20) >= U256::from(stake) * U256::from(19));
    }
}

#[test]
fn what_is_no_evidence_slashes_nobody() {
    let mut world = scene();
    let voter = Voter::new(1);
    let vote =
        |round, digest, signer| voter.vote(NAMESPACE, round, Say::Notarize { parent: 1, digest }, signer);
    let good = voter.evidence((0, 9), 7);
    let other = Voter::new(2).evidence((0, 9), 7);
    let second = [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat();
    for (evidence, check) in [
        (Vec::new(), "Truncated"),
        ([&good[..], &[0]].concat(), "Trailing"),
        (vec![9, 0x80, 0], "Varint"),
        (vec![0], "Kind"),
        ([vec![7], vote((0, 9), 1, 1), vote((0, 9), 2, 2)].concat(), "Signers"),
        ([vec![7], vote((0, 9), 1, 1), vote((0, 8), 2, 1)].concat(), "Rounds"),
        ([vec![7], vote((0, 9), 1, 1), vote((0, 9), 1, 1)].concat(), "SameProposal"),
        (other, "FirstSignature"),
        (second, "SecondSignature"),
    ] {
        let refused = reverts(IValidators::BadEvidence { check: check.into() });
        assert_eq!(slash_with(&mut world, 9, voter.key(), evidence), Err(refused));
    }
    let key = Voter::new(5).key();
    let unknown = Err(reverts(IValidators::UnknownValidator { key }));
    assert_eq!(slash(&mut world, 9, 5, 7), unknown);
    let view = world.call(VALIDATORS, owner(9), &IValidators::validatorCall { key }).map(|_| ());
    assert_eq!(view, unknown);
    assert_eq!(record(&mut world, 1).status, 1);
}

/// What the consensus library wrote and signed (`tacit-consensus`, test `vectors`).
#[test]
fn the_librarys_own_evidence_is_accepted() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../vectors/validators/evidence.json")).unwrap();
    let bytes = |value: &serde_json::Value| value.as_str().unwrap().parse::<Bytes>().unwrap();
    let key: B256 = vectors["key"].as_str().unwrap().parse().unwrap();
    assert_eq!(vectors["namespace"].as_str().unwrap().parse(), Ok(NAMESPACE));
    let join = &vectors["join"];
    assert_eq!(join["owner"].as_str().unwrap().parse(), Ok(owner(1)));
    let staking = Staking { parameters: RULES, founders: vec![Voter::new(2).founder(owner(2), 200 * COIN)] };
    let mut base = world(&staking);
    join_with(&mut base, 1, key, RULES.stake_min, bytes(&join["proof"])).unwrap();
    let cases = vectors["evidence"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let mut world = base.clone();
        slash_with(&mut world, 9, key, bytes(&case["evidence"]).to_vec()).unwrap();
        let slashed: IValidators::Slashed = world.last();
        assert_eq!(u64::from(slashed.kind), case["kind"].as_u64().unwrap());
        assert_eq!(slashed.voteEpoch.to_string(), case["epoch"].as_str().unwrap());
        assert_eq!(slashed.voteView.to_string(), case["view"].as_str().unwrap());
    }
    for case in vectors["of_another_network"].as_array().unwrap() {
        let refused = reverts(IValidators::BadEvidence { check: "FirstSignature".into() });
        assert_eq!(slash_with(&mut base, 9, key, bytes(case).to_vec()), Err(refused));
    }
}

#[test]
fn signatures_are_paid_for_before_they_are_checked() {
    let mut world = scene();
    let key = Voter::new(1).key();
    let mut metered = |evidence: Vec<u8>| {
        let call = IValidators::slashCall { key, evidence: evidence.into() };
        world.metered(VALIDATORS, owner(9), U256::ZERO, &call.abi_encode()).1
    };
    let malformed = metered(vec![0; 263]);
    let refused = metered(Voter::new(2).evidence((u64::MAX, u64::MAX), 7));
    assert!(malformed < 2_000, "{malformed}");
    assert!(refused >= 2 * gas::SIGNATURE, "{refused}");
    let voter = Voter::new(3);
    let call = IValidators::joinCall { key: voter.key(), proof: Bytes::new() }.abi_encode();
    let (result, used) = world.metered(VALIDATORS, owner(3), U256::from(RULES.stake_min), &call);
    assert_eq!(result, Err(reverts(IValidators::BadProof {})));
    assert!(used >= 2 * gas::SIGNATURE);
}

#[test]
fn a_set_is_its_richest_candidates_and_ties_are_broken_by_key() {
    let mut world = scene();
    join(&mut world, 3, 200 * COIN).unwrap();
    join(&mut world, 4, 150 * COIN).unwrap();
    let set = seats(&mut world, 4);
    let mut tied = [2, 3].map(|n| Voter::new(n).key());
    tied.sort();
    let keys: Vec<B256> = set.iter().map(|seat| seat.key).collect();
    assert_eq!(keys, [Voter::new(1).key(), tied[0], tied[1]]);
}

#[test]
fn when_all_places_are_taken_the_poorest_candidate_makes_room() {
    let mut world = scene();
    join(&mut world, 3, 120 * COIN).unwrap();
    join(&mut world, 4, 110 * COIN).unwrap();
    let full = Err(reverts(IValidators::TooManyCandidates { limit: 4 }));
    assert_eq!(join(&mut world, 5, 110 * COIN), full, "not less than the poorest");
    join(&mut world, 5, 111 * COIN).unwrap();
    let left: IValidators::Left = world.last();
    assert_eq!((left.key, left.owner, left.exitEpoch), (Voter::new(4).key(), owner(4), 4));
    let joined = IValidators::Joined::decode_log(&world.logs[world.logs.len() - 2]).unwrap();
    assert_eq!(joined.key, Voter::new(5).key());
    assert_eq!(record(&mut world, 4).status, 2);
    // Its stake comes back the usual way.
    (world.block, world.now) = (300, world.now + 1_000);
    withdraw(&mut world, 4).unwrap();
    assert_eq!(world.balance(owner(4)), U256::from(10_000 * COIN));
}

#[test]
fn places_that_still_count_are_not_given_away() {
    let parameters = Parameters { seats: 1, candidates: 1, ..RULES };
    let mut world =
        world(&Staking { parameters, founders: vec![Voter::new(1).founder(owner(1), 100 * COIN)] });
    join(&mut world, 2, 101 * COIN).unwrap();
    world.block = 79;
    // The founder counts in epoch 3 still, and the second from epoch 4 on.
    assert_eq!(join(&mut world, 3, 102 * COIN), Err(reverts(IValidators::TooManyLeaving {})));
    assert_eq!(stakes(&mut world, 3), [100]);
    world.block = 80;
    join(&mut world, 3, 102 * COIN).unwrap();
    assert_eq!(stakes(&mut world, 4), [101]);
    assert_eq!(stakes(&mut world, 8), [102]);
    // The founder lost its place in the list, not its stake.
    (world.block, world.now) = (300, world.now + 1_000);
    withdraw(&mut world, 1).unwrap();
    assert_eq!(stakes(&mut world, 15), [102]);
}

#[test]
fn epochs_out_of_reach_are_refused() {
    let mut world = scene();
    world.block = 70;
    for epoch in [0, 2, 8, u64::MAX] {
        let call = IValidators::validatorSetCall { epoch };
        let refused = reverts(IValidators::EpochOutOfReach { first: 3, last: 7 });
        assert_eq!(world.call(VALIDATORS, owner(9), &call).map(|_| ()), Err(refused));
    }
    assert_eq!(stakes(&mut world, 7), [300, 200]);
}

#[test]
fn a_set_can_be_read_from_storage_alone() {
    let mut world = scene();
    join(&mut world, 3, 400 * COIN).unwrap();
    let read = |block, epoch| {
        validator_set::<HostError>(block, epoch, |slot| {
            Ok(world.storage.get(&(ADDRESS, slot)).copied().unwrap_or_default())
        })
    };
    let stakes = |block, epoch| -> Vec<u128> {
        read(block, epoch).unwrap().into_iter().map(|seat| seat.stake / COIN).collect()
    };
    assert_eq!(stakes(5, 0), [300, 200]);
    assert_eq!(stakes(5, 3), [300, 200]);
    // After the last block of epoch 0, the set of epoch 4 is fixed.
    let early = SetError::OutOfReach { epoch: 4, first: 0, last: 3 };
    assert_eq!(read(18, 4), Err(early));
    for block in 19..100 {
        assert_eq!(stakes(block, 4), [400, 300, 200]);
    }
    assert_eq!(read(100, 4), Err(SetError::OutOfReach { epoch: 4, first: 5, last: 8 }));
    assert_eq!(validator_set(5, 0, |_| Err(HostError::State)), Err(SetError::State(HostError::State)));
    let empty = validator_set::<HostError>(5, 0, |_| Ok(U256::ZERO));
    assert_eq!(empty, Err(SetError::NotConfigured));
}

#[test]
fn a_ledger_without_rules_of_stake_takes_none() {
    let mut world = World::new();
    world.fund(owner(3), 1_000 * COIN);
    assert_eq!(join(&mut world, 3, 100 * COIN), Err(reverts(IValidators::NotConfigured {})));
}

#[test]
fn networks_that_cannot_begin_are_refused() {
    let founder = Voter::new(1).founder(owner(1), 100 * COIN);
    let refused = |parameters, founders: Vec<Founder>| {
        Staking { parameters, founders }.first_state(NAMESPACE).unwrap_err()
    };
    for (parameters, name) in [
        (Parameters { seats: 0, ..RULES }, "seats"),
        (Parameters { seats: SEATS_MAX + 1, candidates: CANDIDATES_MAX, ..RULES }, "seats"),
        (Parameters { candidates: 2, ..RULES }, "candidates"),
        (Parameters { candidates: CANDIDATES_MAX + 1, ..RULES }, "candidates"),
        (Parameters { stake_min: 0, ..RULES }, "stakeMin"),
    ] {
        assert_eq!(refused(parameters, Vec::new()), StakingError::Parameter(name));
    }
    let short = StakingError::Epoch { blocks: 11, seats: 3, least: 12 };
    assert_eq!(refused(Parameters { epoch_blocks: 11, ..RULES }, Vec::new()), short);
    assert_eq!(refused(RULES, vec![founder; 5]), StakingError::Founders { got: 5, limit: 4 });
    let same_owner = Voter::new(2).founder(owner(1), 100 * COIN);
    assert_eq!(refused(RULES, vec![founder, same_owner]), StakingError::Owner(owner(1)));
    let nobody = Founder { owner: Address::ZERO, ..founder };
    assert_eq!(refused(RULES, vec![nobody]), StakingError::Owner(Address::ZERO));
    let paid = Founder { payer: Some(owner(3)), ..founder };
    assert_eq!(refused(RULES, vec![paid]), StakingError::Payer(owner(3)));
    let same_key = Founder { owner: owner(2), ..founder };
    assert_eq!(refused(RULES, vec![founder, same_key]), StakingError::KeyTwice(founder.key));
    let poor = Founder { stake: 100 * COIN - 1, ..founder };
    let (stake, least) = (100 * COIN - 1, 100 * COIN);
    assert_eq!(refused(RULES, vec![poor]), StakingError::Stake { stake, least });
}

#[test]
fn the_order_of_founders_does_not_matter() {
    let founders = [1, 2, 3].map(|n| Voter::new(n).founder(owner(n), 100 * COIN));
    let first =
        |founders: Vec<Founder>| Staking { parameters: RULES, founders }.first_state(NAMESPACE).unwrap();
    let [a, b, c] = founders;
    assert_eq!(first(vec![a, b, c]), first(vec![c, a, b]));
    assert_eq!(first(vec![a, b, c]).balance, U256::from(300 * COIN));
}

#[test]
fn views_run_in_static_calls_and_writes_do_not() {
    let mut world = scene();
    world.is_static = true;
    record(&mut world, 1);
    seats(&mut world, 0);
    key_of(&mut world, 1);
    assert_eq!(leave(&mut world, 1), Err(reverts(IModule::StaticCall {})));
    assert_eq!(slash(&mut world, 9, 1, 7), Err(reverts(IModule::StaticCall {})));
    world.is_static = false;
    let call = IValidators::leaveCall {};
    let paid = world.pay_call(VALIDATORS, owner(1), 1, &call).map(|_| ());
    assert_eq!(paid, Err(reverts(IModule::NotPayable {})));
}

/// Coin cannot go missing from the module; should it ever, slashing stops instead of inventing some.
#[test]
fn a_module_without_coin_pays_nothing() {
    let mut world = scene();
    world.balances.insert(ADDRESS, U256::ZERO);
    let before = world.clone();
    assert_eq!(slash(&mut world, 9, 1, 7), Err(Failure::Halt(HostError::Payment)));
    assert_eq!(world, before);
}

#[test]
fn at_every_gas_limit_it_either_works_or_leaves_nothing() {
    let base = scene();
    let mut succeeded = false;
    for gas in (0..100_000).step_by(499) {
        let mut world = base.clone();
        world.gas = gas;
        let untouched = world.clone();
        match slash(&mut world, 9, 1, 7) {
            Ok(()) => succeeded = true,
            Err(failure) => {
                assert!(!succeeded, "more gas made it fail");
                assert_eq!(failure, Failure::Halt(HostError::OutOfGas));
                assert_eq!(world, untouched);
            }
        }
    }
    assert!(succeeded);
}

proptest! {
    /// No input makes the module panic, and a refused one changes nothing.
    #[test]
    fn any_bytes_are_answered(
        method in 0_usize..11,
        arguments in prop::collection::vec(any::<u8>(), 0..400),
        small in any::<bool>(),
    ) {
        let mut world = scene();
        let mut input = IValidatorsCalls::SELECTORS[method].to_vec();
        // Small words make it past the decoder more often.
        for (place, byte) in arguments.into_iter().enumerate() {
            input.push(if small && place % 32 < 30 { 0 } else { byte });
        }
        let before = world.clone();
        if world.send(VALIDATORS, owner(1), U256::ZERO, &input).is_err() {
            prop_assert_eq!(world, before);
        }
    }
}
