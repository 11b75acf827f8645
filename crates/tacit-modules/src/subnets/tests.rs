//! Epochs from commitments to payments, every refusal, and that no coin comes or goes.

mod conservation;
mod refusals;

use crate::{
    Failure, MODULES, Module,
    testing::{CHAIN_ID, World, reverts},
};
use alloy_primitives::{Address, B256, U256};
use tacit_abi::{ISubnets, subnets::Commitment};

const SUBNETS: Module = MODULES[9];
const CREATOR: Address = Address::repeat_byte(0xcc);
const FEE: u128 = 7;
const STAKE_MIN: u128 = 100;
const EPOCH_S: u64 = 100;
const SALT: B256 = B256::repeat_byte(0x5a);

fn terms() -> ISubnets::Terms {
    ISubnets::Terms {
        task: B256::repeat_byte(0xd1),
        text: "held-out rows of digits".to_owned(),
        kappa: 32_767,
        bondsPenalty: u16::MAX,
        bondsAverage: 900_000,
        rule: 0,
        alphaLow: 0,
        alphaHigh: 0,
        alphaSteepness: 0,
        quorum: 32_768,
        workersMax: 3,
        validatorsMax: 3,
        epochSeconds: u32::try_from(EPOCH_S).unwrap(),
        revealSeconds: 40,
        payout: 100_000,
        fee: FEE,
        stakeMin: STAKE_MIN,
    }
}

fn validator(number: u8) -> Address {
    Address::repeat_byte(0x10 + number)
}

fn worker(number: u8) -> Address {
    Address::repeat_byte(0x20 + number)
}

fn create(world: &mut World, terms: ISubnets::Terms) -> Result<u64, Failure> {
    world.call(SUBNETS, CREATOR, &ISubnets::createCall { terms })
}

fn bond(world: &mut World, account: Address, amount: u128) -> Result<(), Failure> {
    world.fund(account, amount);
    world.pay_call(SUBNETS, account, amount, &ISubnets::bondCall { id: 0 }).map(|_| ())
}

fn register(world: &mut World, account: Address) -> Result<u16, Failure> {
    world.fund(account, FEE);
    world.pay_call(SUBNETS, account, FEE, &ISubnets::registerCall { id: 0 })
}

fn deposit(world: &mut World, amount: u128) {
    world.fund(CREATOR, amount);
    world.pay_call(SUBNETS, CREATOR, amount, &ISubnets::depositCall { id: 0 }).unwrap();
}

fn commit(world: &mut World, account: Address, epoch: u64, weights: &[u16]) -> Result<(), Failure> {
    let said = Commitment { chain_id: CHAIN_ID, id: 0, epoch, validator: account, salt: SALT, weights };
    let call = ISubnets::commitCall { id: 0, epoch, commitment: said.hash() };
    world.call(SUBNETS, account, &call).map(|_| ())
}

fn reveal(world: &mut World, account: Address, epoch: u64, weights: &[u16]) -> Result<(), Failure> {
    let call = ISubnets::revealCall { id: 0, epoch, salt: SALT, weights: weights.to_vec() };
    world.call(SUBNETS, account, &call).map(|_| ())
}

fn close(world: &mut World, epoch: u64) -> Result<(), Failure> {
    world.call(SUBNETS, CREATOR, &ISubnets::closeCall { id: 0, epoch }).map(|_| ())
}

/// Closes all epochs up to and with this one.
fn close_up_to(world: &mut World, epoch: u64) {
    while subnet(world).next <= epoch {
        let next = subnet(world).next;
        close(world, next).unwrap();
    }
}

fn workers(world: &mut World) -> Vec<ISubnets::Worker> {
    world.call(SUBNETS, CREATOR, &ISubnets::workersCall { id: 0 }).unwrap()
}

fn validators(world: &mut World) -> Vec<ISubnets::Validator> {
    world.call(SUBNETS, CREATOR, &ISubnets::validatorsCall { id: 0 }).unwrap()
}

fn subnet(world: &mut World) -> ISubnets::Subnet {
    world.call(SUBNETS, CREATOR, &ISubnets::subnetCall { id: 0 }).unwrap()
}

fn credit(world: &mut World, account: Address) -> u128 {
    world.call(SUBNETS, CREATOR, &ISubnets::creditOfCall { account }).unwrap()
}

fn leaving(world: &mut World, account: Address) -> ISubnets::Leaving {
    world.call(SUBNETS, CREATOR, &ISubnets::leavingOfCall { id: 0, validator: account }).unwrap()
}

/// A subnet with validators of these stakes and so many workers, at the beginning of epoch 1.
fn running(stakes: &[u128], count: u8) -> World {
    let mut world = World::new();
    assert_eq!(create(&mut world, terms()), Ok(0));
    for (number, stake) in (0..).zip(stakes) {
        bond(&mut world, validator(number), *stake).unwrap();
    }
    for number in 0..count {
        assert_eq!(register(&mut world, worker(number)), Ok(u16::from(number)));
    }
    deposit(&mut world, 1_000_000);
    world.now += EPOCH_S;
    world
}

/// All validators commit and reveal their rows, and the epoch, which just began, is closed; the next has begun.
fn round(world: &mut World, epoch: u64, rows: &[&[u16]]) {
    for (number, row) in (0..).zip(rows) {
        commit(world, validator(number), epoch, row).unwrap();
    }
    world.now += EPOCH_S;
    for (number, row) in (0..).zip(rows) {
        reveal(world, validator(number), epoch, row).unwrap();
    }
    world.now += 40;
    close_up_to(world, epoch);
    world.now -= 40;
}

#[test]
fn a_subnet_is_what_was_said() {
    let mut world = World::new();
    assert_eq!(create(&mut world, terms()), Ok(0));
    let created: ISubnets::Created = world.last();
    assert_eq!((created.id, created.creator, created.task), (0, CREATOR, terms().task));
    let long = ISubnets::Terms {
        text: "x".repeat(128),
        rule: 2,
        alphaLow: 1,
        alphaHigh: 2,
        alphaSteepness: 3,
        ..terms()
    };
    assert_eq!(create(&mut world, long.clone()), Ok(1));
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::countCall {}), Ok(2));
    let second = world.call(SUBNETS, CREATOR, &ISubnets::subnetCall { id: 1 }).unwrap();
    let start = world.now;
    assert_eq!(second, ISubnets::Subnet { terms: long, pool: 0, start, epoch: 0, next: 0, paid: 0 });
    deposit(&mut world, 5);
    let event: ISubnets::Deposited = world.last();
    assert_eq!((event.from, event.amount, subnet(&mut world).pool), (CREATOR, 5, 5));
}

#[test]
fn workers_are_paid_by_what_is_agreed() {
    let mut world = running(&[600, 400], 2);
    round(&mut world, 1, &[&[3, 1], &[3, 1]]);
    let closed: ISubnets::Closed = world.last();
    // A tenth of a million and two fees, split in halves between workers and validators.
    let paid = (1_000_000 + 2 * FEE) / 10;
    assert!(closed.agreed && (paid - 4..=paid).contains(&closed.paid));
    let state = subnet(&mut world);
    assert_eq!((state.pool, state.paid, state.next), (1_000_000 + 2 * FEE - closed.paid, closed.paid, 2));
    let rewards: Vec<u128> = workers(&mut world).iter().map(|worker| worker.reward).collect();
    assert_eq!(rewards, [37_500, 12_500]);
    let rewards: Vec<u128> = validators(&mut world).iter().map(|validator| validator.reward).collect();
    assert_eq!(rewards, [30_000, 20_000]);
    assert_eq!(credit(&mut world, worker(0)), 37_500);
    world.call(SUBNETS, worker(0), &ISubnets::claimCall {}).unwrap();
    let event: ISubnets::Claimed = world.last();
    assert_eq!((event.account, event.amount), (worker(0), 37_500));
    assert_eq!((world.balance(worker(0)), credit(&mut world, worker(0))), (U256::from(37_500), 0));
    let best = &workers(&mut world)[0];
    assert_eq!((best.trust, best.incentive), (1 << 32, 3 << 30));
    assert_eq!((best.consensus, best.rank >> 2), (3 << 30, (3 << 28) - 1));
}

/// Who commits and is silent is as if it were not there; who did not commit cannot reveal.
#[test]
fn silence_is_no_weight() {
    let mut world = running(&[600, 400], 2);
    commit(&mut world, validator(0), 1, &[1, 0]).unwrap();
    commit(&mut world, validator(1), 1, &[0, 1]).unwrap();
    world.now += EPOCH_S;
    reveal(&mut world, validator(0), 1, &[1, 0]).unwrap();
    world.now += 40;
    assert_eq!(
        reveal(&mut world, validator(1), 1, &[0, 1]),
        Err(reverts(ISubnets::NotInWindow { from: world.now - 40, until: world.now - 1 }))
    );
    close_up_to(&mut world, 1);
    let all = validators(&mut world);
    assert_eq!((all[0].revealed, all[1].committed, all[1].revealed), (2, 2, 0));
    assert_eq!((all[1].reward, workers(&mut world)[1].reward), (0, 0));
    assert!(all[0].reward > 49_000);
}

#[test]
fn without_a_quorum_nothing_is_paid() {
    let mut world = running(&[600, 400], 2);
    round(&mut world, 1, &[&[1, 1], &[1, 1]]);
    let (before, scores) = (subnet(&mut world), workers(&mut world));
    commit(&mut world, validator(1), 2, &[0, 1]).unwrap();
    world.now += EPOCH_S;
    reveal(&mut world, validator(1), 2, &[0, 1]).unwrap();
    world.now += 40;
    close(&mut world, 2).unwrap();
    let closed: ISubnets::Closed = world.last();
    assert_eq!((closed.agreed, closed.paid), (false, 0));
    assert_eq!((subnet(&mut world).pool, subnet(&mut world).next), (before.pool, 3));
    assert_eq!(workers(&mut world), scores);
}

#[test]
fn without_agreement_nothing_is_paid() {
    let mut world = running(&[500, 500, 500], 3);
    round(&mut world, 1, &[&[1, 0, 0], &[0, 1, 0], &[0, 0, 1]]);
    let closed: ISubnets::Closed = world.last();
    assert_eq!((closed.agreed, closed.paid), (false, 0));
}

/// What is bonded once weights can be seen is not heard; what left is not either.
#[test]
fn stake_counts_if_it_was_there_all_the_time() {
    let mut world = running(&[500, 400], 2);
    let rows: [&[u16]; 2] = [&[1, 0], &[0, 1]];
    for (number, row) in (0..).zip(rows) {
        commit(&mut world, validator(number), 1, row).unwrap();
    }
    world.now += EPOCH_S;
    reveal(&mut world, validator(0), 1, rows[0]).unwrap();
    // The second sees the first, and would outweigh it.
    bond(&mut world, validator(1), 10_000).unwrap();
    reveal(&mut world, validator(1), 1, rows[1]).unwrap();
    world.now += 40;
    // Heard are 900 of 10900: the quorum is missed, which is what late stake can do.
    close_up_to(&mut world, 1);
    assert_eq!(subnet(&mut world).paid, 0);
    world.now -= 40;
    round(&mut world, 2, &rows);
    assert_eq!(workers(&mut world)[0].incentive, 0);
    // All but little of it leaves before the close.
    for (number, row) in (0..).zip(rows) {
        commit(&mut world, validator(number), 3, row).unwrap();
    }
    world.call(SUBNETS, validator(1), &ISubnets::unbondCall { id: 0, amount: 10_300 }).unwrap();
    world.now += EPOCH_S;
    for (number, row) in (0..).zip(rows) {
        reveal(&mut world, validator(number), 3, row).unwrap();
    }
    world.now += 40;
    close(&mut world, 3).unwrap();
    assert_eq!(workers(&mut world)[1].incentive, 0);
}

/// A worker is scored from the epoch after its registration, so that weights for whoever sat there before are not for it.
#[test]
fn a_seat_that_changed_hands_earns_nothing_at_once() {
    let mut world = running(&[600, 400], 3);
    round(&mut world, 1, &[&[1, 1, 1], &[1, 1, 1]]);
    for number in 0..2 {
        commit(&mut world, validator(number), 2, &[1, 1, 1]).unwrap();
    }
    world.call(SUBNETS, worker(2), &ISubnets::resignCall { id: 0 }).unwrap();
    assert_eq!(register(&mut world, worker(9)), Ok(2));
    world.now += EPOCH_S;
    for number in 0..2 {
        reveal(&mut world, validator(number), 2, &[1, 1, 1]).unwrap();
    }
    world.now += 40;
    close(&mut world, 2).unwrap();
    let all = workers(&mut world);
    assert_eq!((all[2].account, all[2].incentive, all[2].reward), (worker(9), 0, 0));
    assert!(all[0].reward > 0);
    world.now -= 40;
    round(&mut world, 3, &[&[1, 1, 1], &[1, 1, 1]]);
    assert!(workers(&mut world)[2].reward > 0);
}

/// Bonds are in workers, not in seats: whoever comes later does not pay those who bonded with the one before.
#[test]
fn bonds_end_with_their_worker() {
    let terms = ISubnets::Terms { quorum: 0, ..terms() };
    let mut world = World::new();
    create(&mut world, terms).unwrap();
    bond(&mut world, validator(0), 600).unwrap();
    bond(&mut world, validator(1), 600).unwrap();
    register(&mut world, worker(0)).unwrap();
    deposit(&mut world, 1_000_000);
    world.now += EPOCH_S;
    // Only the first has bonds in the first worker.
    commit(&mut world, validator(0), 1, &[1]).unwrap();
    world.now += EPOCH_S;
    reveal(&mut world, validator(0), 1, &[1]).unwrap();
    world.now += 40;
    close_up_to(&mut world, 1);
    world.now -= 40;
    world.call(SUBNETS, worker(0), &ISubnets::resignCall { id: 0 }).unwrap();
    register(&mut world, worker(1)).unwrap();
    world.now += EPOCH_S;
    round(&mut world, 3, &[&[1], &[1]]);
    let shares: Vec<u64> = validators(&mut world).iter().map(|validator| validator.dividends).collect();
    assert_eq!(shares, [1 << 31, 1 << 31]);
}

#[test]
fn a_newcomer_takes_the_seat_of_who_earned_least() {
    let mut world = running(&[600, 400], 3);
    round(&mut world, 1, &[&[2, 1, 3], &[2, 1, 3]]);
    // All came in epoch 0: up to and with epoch 2 nobody loses its seat.
    assert_eq!(register(&mut world, worker(7)), Err(reverts(ISubnets::Full {})));
    world.now += EPOCH_S;
    assert_eq!(register(&mut world, worker(7)), Ok(1));
    let accounts: Vec<Address> = workers(&mut world).iter().map(|worker| worker.account).collect();
    assert_eq!(accounts, [worker(0), worker(7), worker(2)]);
    // What it earned stays its own.
    assert!(credit(&mut world, worker(1)) > 0);
    assert_eq!(register(&mut world, worker(1)), Ok(0));
}

#[test]
fn a_validator_with_more_takes_the_seat_of_who_has_least() {
    let mut world = running(&[300, 200, 400], 1);
    assert_eq!(bond(&mut world, validator(5), 200), Err(reverts(ISubnets::TooLittleStake { least: 201 })));
    commit(&mut world, validator(1), 1, &[1]).unwrap();
    bond(&mut world, validator(5), 201).unwrap();
    let accounts: Vec<Address> = validators(&mut world).iter().map(|validator| validator.account).collect();
    assert_eq!(accounts, [validator(0), validator(5), validator(2)]);
    // What it had committed to went with the seat, its stake goes home.
    world.now += EPOCH_S;
    assert_eq!(reveal(&mut world, validator(1), 1, &[1]), Err(reverts(ISubnets::NotValidator {})));
    assert_eq!(reveal(&mut world, validator(5), 1, &[1]), Err(reverts(ISubnets::NoCommitment {})));
    let left = leaving(&mut world, validator(1));
    assert_eq!((left.amount, left.releaseAt), (200, world.now + EPOCH_S));
    world.now += EPOCH_S;
    world.call(SUBNETS, validator(1), &ISubnets::withdrawCall { id: 0 }).unwrap();
    assert!(world.balance(validator(1)) >= U256::from(200));
}

#[test]
fn stake_comes_home_after_the_next_epoch() {
    let mut world = running(&[500], 1);
    let unbond = |amount| ISubnets::unbondCall { id: 0, amount };
    let withdraw = ISubnets::withdrawCall { id: 0 };
    world.call(SUBNETS, validator(0), &unbond(100)).unwrap();
    let event: ISubnets::Unbonding = world.last();
    let release_at = world.now + 2 * EPOCH_S;
    assert_eq!((event.amount, event.releaseAt), (100, release_at));
    world.now = release_at - 1;
    let early = world.call(SUBNETS, validator(0), &withdraw).map(|_| ());
    assert_eq!(early, Err(reverts(ISubnets::StillBonded { releaseAt: release_at })));
    world.now += 1;
    let before = world.balance(validator(0));
    world.call(SUBNETS, validator(0), &withdraw).unwrap();
    assert_eq!(world.balance(validator(0)) - before, U256::from(100));
    let again = world.call(SUBNETS, validator(0), &withdraw).map(|_| ());
    assert_eq!(again, Err(reverts(ISubnets::NothingLeaving {})));
    world.call(SUBNETS, validator(0), &unbond(400)).unwrap();
    assert!(validators(&mut world).is_empty());
}

/// An epoch that nobody closes in time pays nothing, and holds nobody up.
#[test]
fn an_epoch_is_closed_in_time_or_not_at_all() {
    let mut world = running(&[500], 1);
    commit(&mut world, validator(0), 1, &[1]).unwrap();
    world.now += EPOCH_S;
    reveal(&mut world, validator(0), 1, &[1]).unwrap();
    commit(&mut world, validator(0), 2, &[1]).unwrap();
    world.now += EPOCH_S;
    reveal(&mut world, validator(0), 2, &[1]).unwrap();
    commit(&mut world, validator(0), 3, &[1]).unwrap();
    // In epoch 3 the first can still be closed, after that which never was: 0 is past.
    assert_eq!(close(&mut world, 2), Err(reverts(ISubnets::WrongEpoch { epoch: 1 })));
    let late = world.clone();
    close(&mut world, 1).unwrap();
    assert!(subnet(&mut world).paid > 0);
    let mut world = late;
    world.now += EPOCH_S;
    assert_eq!(close(&mut world, 1), Err(reverts(ISubnets::WrongEpoch { epoch: 2 })));
    close(&mut world, 2).unwrap();
    assert!(subnet(&mut world).paid > 0);
    assert_eq!(close(&mut world, 2), Err(reverts(ISubnets::WrongEpoch { epoch: 3 })));
}

/// A validator that is a worker too says nothing of itself.
#[test]
fn what_one_says_of_itself_does_not_count() {
    let mut world = running(&[600], 1);
    register(&mut world, validator(0)).unwrap();
    world.now += EPOCH_S;
    round(&mut world, 2, &[&[1, 65_535]]);
    let incentives: Vec<u64> = workers(&mut world).iter().map(|worker| worker.incentive).collect();
    assert_eq!(incentives, [1 << 32, 0]);
}

/// The largest subnet: every row and seat in use, with the dearest rule.
#[test]
fn a_full_subnet_closes_within_a_transaction() {
    let mut world = World::new();
    world.gas = 1 << 24;
    let terms = ISubnets::Terms {
        rule: 2,
        alphaLow: 6_553,
        alphaHigh: 19_660,
        alphaSteepness: 1_000,
        workersMax: 64,
        validatorsMax: 16,
        ..terms()
    };
    create(&mut world, terms).unwrap();
    let account = |number: u16| Address::from_word(U256::from(number + 1).into());
    for number in 0..16 {
        bond(&mut world, account(number), 1_000 + u128::from(number)).unwrap();
    }
    for number in 0..64 {
        register(&mut world, account(100 + number)).unwrap();
    }
    deposit(&mut world, 1 << 80);
    world.now += EPOCH_S;
    let row = |number: u16| -> Vec<u16> { (0..64).map(|seat| 1000 + seat * number).collect() };
    for number in 0..16 {
        commit(&mut world, account(number), 1, &row(number)).unwrap();
    }
    world.now += EPOCH_S;
    for number in 0..16 {
        reveal(&mut world, account(number), 1, &row(number)).unwrap();
    }
    world.now += 40;
    close_up_to(&mut world, 1);
    assert!(workers(&mut world).iter().all(|worker| worker.reward > 0));
    assert!(validators(&mut world).iter().all(|validator| validator.reward > 0));
}
