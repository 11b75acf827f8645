//! One attack or rule a test.

use crate::{
    Failure, HostError, MODULES, Module,
    policies::gas,
    testing::{World, key, reverts},
    validators::{Founder, Parameters, Staking},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use ed25519_zebra::{SigningKey, VerificationKey};
use tacit_abi::{
    IModule, IPolicies, IValidators,
    policies::{
        ADDRESS, BOND, DELAY_MAX_S, DELAY_MIN_S, ENACT_S, NARROW_DELAY_S, POLICY_BYTES_MAX, QUORUM_MIN,
        QUORUM_PARTS, VOTE_S, line_id, proposal_id,
    },
    validators::BURNED,
};
use tacit_policy::{Fingerprint, ImageId, Policy};

pub(super) const POLICIES: Module = MODULES[8];
const VALIDATORS: Module = MODULES[4];
pub(super) const COIN: u128 = 1_000_000_000_000_000_000;
const RULES: Parameters = Parameters {
    epoch_blocks: 20,
    unbonding_seconds: 1_000,
    unbonding_epochs: 3,
    seats: 4,
    candidates: 5,
    stake_min: 10 * COIN,
};

/// Whoever proposes; no validator.
pub(super) const ANYONE: u8 = 9;

pub(super) fn owner(n: u8) -> Address {
    key(n).1
}

fn voter(n: u8) -> B256 {
    <[u8; 32]>::from(VerificationKey::from(&SigningKey::from([n; 32]))).into()
}

/// A world whose validators 1, 2, … have these stakes, in coins.
pub(super) fn world(stakes: &[u128]) -> World {
    let founders = (1..).zip(stakes).map(|(n, stake)| Founder {
        key: voter(n),
        owner: owner(n),
        stake: stake * COIN,
        payer: None,
    });
    let staking = Staking { parameters: RULES, founders: founders.collect() };
    let first = staking.first_state(B256::repeat_byte(0xc0)).unwrap();
    let mut world = World::new();
    world.balances.insert(VALIDATORS.address, first.balance);
    let slots = first.slots.into_iter().map(|(slot, value)| ((VALIDATORS.address, slot), value));
    world.storage.extend(slots);
    for n in 1..=ANYONE {
        world.fund(owner(n), 1_000 * COIN);
    }
    world
}

/// A policy that accepts the images of these numbers.
pub(super) fn policy(images: &[u8]) -> Policy {
    let images = images.iter().map(|image| ImageId(B256::repeat_byte(*image)));
    Policy::new(images, [B256::repeat_byte(7)]).unwrap()
}

pub(super) fn open(world: &mut World, policy: &Policy, delay: u64, quorum: u16) -> Result<B256, Failure> {
    let policy = policy.encode().into();
    world.call(POLICIES, owner(ANYONE), &IPolicies::openCall { policy, delay, quorum })
}

pub(super) fn propose(world: &mut World, n: u8, line: B256, policy: &Policy) -> Result<B256, Failure> {
    let call = IPolicies::proposeCall { line, policy: policy.encode().into() };
    world.pay_call(POLICIES, owner(n), BOND, &call)
}

pub(super) fn approve(world: &mut World, n: u8, proposal: B256) -> Result<(), Failure> {
    world.call(POLICIES, owner(n), &IPolicies::approveCall { proposal }).map(|_| ())
}

pub(super) fn take_back(world: &mut World, n: u8, proposal: B256) -> Result<(), Failure> {
    world.call(POLICIES, owner(n), &IPolicies::takeBackCall { proposal }).map(|_| ())
}

pub(super) fn settle(world: &mut World, n: u8, proposal: B256) -> Result<(), Failure> {
    world.call(POLICIES, owner(n), &IPolicies::settleCall { proposal }).map(|_| ())
}

pub(super) fn line(world: &mut World, line: B256) -> IPolicies::Line {
    world.call(POLICIES, owner(ANYONE), &IPolicies::lineOfCall { line }).unwrap()
}

pub(super) fn proposal(world: &mut World, proposal: B256) -> IPolicies::Proposal {
    world.call(POLICIES, owner(ANYONE), &IPolicies::proposalOfCall { proposal }).unwrap()
}

fn tally(world: &mut World, proposal: B256) -> [u128; 3] {
    let call = IPolicies::tallyOfCall { proposal };
    let IPolicies::Tally { approving, objecting, total } =
        world.call(POLICIES, owner(ANYONE), &call).unwrap();
    [approving / COIN, objecting / COIN, total / COIN]
}

/// Three validators of 100, 100 and 99 coins, and a line that accepts images 1 and 2.
fn scene() -> (World, B256) {
    let mut world = world(&[100, 100, 99]);
    let line = open(&mut world, &policy(&[1, 2]), DELAY_MIN_S, QUORUM_MIN).unwrap();
    (world, line)
}

/// The same, with a proposal that validators 1 and 2 approved.
fn accepted(next: &[u8]) -> (World, B256, B256) {
    let (mut world, line) = scene();
    let id = propose(&mut world, ANYONE, line, &policy(next)).unwrap();
    approve(&mut world, 1, id).unwrap();
    approve(&mut world, 2, id).unwrap();
    (world, line, id)
}

#[test]
fn a_line_is_named_by_its_policy_and_rules() {
    let (mut world, id) = scene();
    let first = policy(&[1, 2]);
    assert_eq!(id, line_id(first.id(), DELAY_MIN_S, QUORUM_MIN));
    let opened = IPolicies::Opened { line: id, policy: first.id(), delay: DELAY_MIN_S, quorum: QUORUM_MIN };
    assert_eq!(world.last::<IPolicies::Opened>(), opened);
    let expected = IPolicies::Line {
        first: first.id(),
        policy: first.id(),
        delay: DELAY_MIN_S,
        quorum: QUORUM_MIN,
        version: 1,
        since: world.now,
        proposals: 0,
    };
    assert_eq!(line(&mut world, id), expected);
    let bytes: Bytes =
        world.call(POLICIES, owner(1), &IPolicies::policyOfCall { policy: first.id() }).unwrap();
    assert_eq!(Policy::decode(&bytes), Ok(first.clone()));
    let again = open(&mut world, &first, DELAY_MIN_S, QUORUM_MIN);
    assert_eq!(again, Err(reverts(IPolicies::LineExists { line: id })));
    // Other rules make another line of the same policy, whose bytes are there.
    assert_ne!(open(&mut world, &first, DELAY_MIN_S + 1, QUORUM_MIN).unwrap(), id);
    assert_ne!(open(&mut world, &first, DELAY_MIN_S, QUORUM_MIN + 1).unwrap(), id);
}

#[test]
fn lines_that_change_too_soon_or_too_easily_cannot_be() {
    let (mut world, _) = scene();
    let first = policy(&[3]);
    let delays = reverts(IPolicies::BadDelay { least: DELAY_MIN_S, most: DELAY_MAX_S });
    for delay in [0, DELAY_MIN_S - 1, DELAY_MAX_S + 1, u64::MAX] {
        assert_eq!(open(&mut world, &first, delay, QUORUM_MIN), Err(delays.clone()));
    }
    let quorums = reverts(IPolicies::BadQuorum { least: QUORUM_MIN, most: QUORUM_PARTS });
    for quorum in [0, 6_666, QUORUM_PARTS + 1] {
        assert_eq!(open(&mut world, &first, DELAY_MIN_S, quorum), Err(quorums.clone()));
    }
    open(&mut world, &first, DELAY_MAX_S, QUORUM_PARTS).unwrap();
}

#[test]
fn bytes_that_are_no_policy_are_refused() {
    let (mut world, line) = scene();
    let good = policy(&[3]).encode();
    let cases = [
        (Vec::new(), "Short"),
        (good[..good.len() - 1].to_vec(), "Short"),
        ([&good[..], &[0]].concat(), "Trailing"),
        ([&[2], &good[1..]].concat(), "Version"),
    ];
    for (bytes, check) in cases {
        let refused = reverts(IPolicies::BadPolicy { check: check.to_owned() });
        let policy: Bytes = bytes.into();
        let call = IPolicies::openCall { policy: policy.clone(), delay: DELAY_MIN_S, quorum: QUORUM_MIN };
        assert_eq!(world.call(POLICIES, owner(1), &call).map(|_| ()), Err(refused.clone()));
        let call = IPolicies::proposeCall { line, policy };
        assert_eq!(world.pay_call(POLICIES, owner(1), BOND, &call).map(|_| ()), Err(refused));
    }
    let call = IPolicies::proposeCall { line, policy: vec![1; POLICY_BYTES_MAX + 1].into() };
    let long = reverts(IPolicies::PolicyTooLong { limit: u32::try_from(POLICY_BYTES_MAX).unwrap() });
    assert_eq!(world.pay_call(POLICIES, owner(1), BOND, &call).map(|_| ()), Err(long));
}

#[test]
fn the_longest_policy_is_kept() {
    let mut world = world(&[100]);
    let many = |first: u8, count: usize| {
        (0..count).map(move |at| {
            let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
            let mut hash = [first; 32];
            (hash[1], hash[2]) = (high, low);
            hash
        })
    };
    let images = many(1, 256).map(|hash| ImageId(B256::from(hash)));
    let long = Policy::new(images, many(2, 256).map(B256::from)).unwrap();
    let long = long.with_revoked(many(3, 255).map(Fingerprint)).unwrap();
    let bytes = long.encode();
    assert!(bytes.len() > POLICY_BYTES_MAX - 64 && bytes.len() <= POLICY_BYTES_MAX, "{}", bytes.len());
    world.gas = 30_000_000;
    open(&mut world, &long, DELAY_MIN_S, QUORUM_MIN).unwrap();
    let kept: Bytes = world.call(POLICIES, owner(1), &IPolicies::policyOfCall { policy: long.id() }).unwrap();
    assert_eq!(kept, bytes);
    let call =
        IPolicies::openCall { policy: bytes.clone().into(), delay: DELAY_MIN_S + 1, quorum: QUORUM_MIN };
    // Gas that does not pay for reading it buys nothing.
    world.gas = gas::reading(bytes.len());
    let (result, used) = world.metered(POLICIES, owner(1), U256::ZERO, &call.abi_encode());
    assert_eq!(result, Err(Failure::Halt(HostError::OutOfGas)));
    assert!(used <= gas::reading(bytes.len()));
}

#[test]
fn what_more_than_two_thirds_approve_is_in_force_after_the_delay() {
    let (mut world, line_id) = scene();
    let next = policy(&[1, 2, 3]);
    let id = propose(&mut world, ANYONE, line_id, &next).unwrap();
    assert_eq!(id, proposal_id(line_id, 0));
    let call = IPolicies::proposalIdCall { line: line_id, index: 0 };
    assert_eq!(world.call(POLICIES, owner(1), &call).unwrap(), id);
    let mut expected = IPolicies::Proposal {
        line: line_id,
        policy: next.id(),
        proposer: owner(ANYONE),
        status: 1,
        narrows: false,
        until: world.now + VOTE_S,
        version: 1,
    };
    assert_eq!(proposal(&mut world, id), expected);
    assert_eq!(world.balance(ADDRESS), U256::from(BOND));
    approve(&mut world, 1, id).unwrap();
    assert_eq!(tally(&mut world, id), [100, 0, 299]);
    assert_eq!(proposal(&mut world, id).status, 1);
    world.now += 5;
    approve(&mut world, 2, id).unwrap();
    (expected.status, expected.until) = (2, world.now + DELAY_MIN_S);
    assert_eq!(
        world.last::<IPolicies::Accepted>(),
        IPolicies::Accepted { proposal: id, until: expected.until }
    );
    assert_eq!(proposal(&mut world, id), expected);
    world.now = expected.until - 1;
    assert_eq!(settle(&mut world, 5, id), Err(reverts(IPolicies::StillWaiting { until: expected.until })));
    assert_eq!(line(&mut world, line_id).policy, policy(&[1, 2]).id());
    world.now = expected.until;
    settle(&mut world, 5, id).unwrap();
    let in_force = IPolicies::InForce { proposal: id, line: line_id, policy: next.id(), version: 2 };
    assert_eq!(world.last::<IPolicies::InForce>(), in_force);
    let now = line(&mut world, line_id);
    assert_eq!((now.policy, now.version, now.since, now.proposals), (next.id(), 2, world.now, 1));
    assert_eq!(tacit_abi::policies::line_id(now.first, now.delay, now.quorum), line_id);
    assert_eq!(world.balance(owner(ANYONE)), U256::from(1_000 * COIN));
    assert_eq!(world.balance(ADDRESS), U256::ZERO);
    assert_eq!(settle(&mut world, 5, id), Err(reverts(IPolicies::WrongStatus { status: 3 })));
}

#[test]
fn exactly_two_thirds_are_not_enough() {
    let mut world = world(&[100, 100, 100]);
    let line = open(&mut world, &policy(&[1]), DELAY_MIN_S, QUORUM_MIN).unwrap();
    let id = propose(&mut world, ANYONE, line, &policy(&[2])).unwrap();
    approve(&mut world, 1, id).unwrap();
    approve(&mut world, 2, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 1);
    approve(&mut world, 3, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 2);
}

#[test]
fn a_line_that_asks_for_all_waits_for_all() {
    let mut world = world(&[100, 100, 10]);
    let line = open(&mut world, &policy(&[1]), DELAY_MIN_S, QUORUM_PARTS).unwrap();
    let id = propose(&mut world, ANYONE, line, &policy(&[2])).unwrap();
    approve(&mut world, 1, id).unwrap();
    approve(&mut world, 2, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 1);
    approve(&mut world, 3, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 2);
}

#[test]
fn a_policy_that_only_takes_away_waits_an_hour() {
    let (mut world, line_id, id) = accepted(&[2]);
    let accepted = proposal(&mut world, id);
    assert_eq!((accepted.narrows, accepted.until), (true, world.now + NARROW_DELAY_S));
    world.now = accepted.until - 1;
    assert_eq!(settle(&mut world, 5, id), Err(reverts(IPolicies::StillWaiting { until: accepted.until })));
    world.now = accepted.until;
    settle(&mut world, 5, id).unwrap();
    assert_eq!(line(&mut world, line_id).policy, policy(&[2]).id());
}

#[test]
fn a_policy_that_takes_away_and_lets_in_waits_as_long_as_any() {
    let (mut world, _, id) = accepted(&[2, 3]);
    let accepted = proposal(&mut world, id);
    assert_eq!((accepted.narrows, accepted.until), (false, world.now + DELAY_MIN_S));
}

#[test]
fn what_was_accepted_before_a_hole_was_closed_does_not_open_it_again() {
    let (mut world, line_id, wide) = accepted(&[1, 2, 3]);
    let narrow = propose(&mut world, ANYONE, line_id, &policy(&[2])).unwrap();
    let third = propose(&mut world, ANYONE, line_id, &policy(&[4])).unwrap();
    approve(&mut world, 1, narrow).unwrap();
    approve(&mut world, 2, narrow).unwrap();
    world.now += NARROW_DELAY_S;
    settle(&mut world, 5, narrow).unwrap();
    // The one that waits, and the one that is open, followed the policy before.
    let outdated = || Err(reverts(IPolicies::Outdated { version: 2 }));
    assert_eq!(approve(&mut world, 1, third), outdated());
    assert_eq!(take_back(&mut world, 1, wide), outdated());
    world.now += DELAY_MIN_S;
    for id in [wide, third] {
        settle(&mut world, 5, id).unwrap();
        assert_eq!(world.last::<IPolicies::Closed>(), IPolicies::Closed { proposal: id, status: 6 });
        assert_eq!(proposal(&mut world, id).status, 6);
    }
    assert_eq!(line(&mut world, line_id).policy, policy(&[2]).id());
    assert_eq!(world.balance(owner(ANYONE)), U256::from(1_000 * COIN));
    // Nor when the policy that it followed comes back: that is another version.
    let back = propose(&mut world, ANYONE, line_id, &policy(&[1, 2])).unwrap();
    approve(&mut world, 1, back).unwrap();
    approve(&mut world, 2, back).unwrap();
    world.now += DELAY_MIN_S;
    settle(&mut world, 5, back).unwrap();
    assert_eq!(settle(&mut world, 5, wide), Err(reverts(IPolicies::WrongStatus { status: 6 })));
}

#[test]
fn a_third_takes_back_what_was_accepted() {
    let (mut world, line_id, id) = accepted(&[3]);
    take_back(&mut world, 3, id).unwrap();
    // 99 of 299 are less than a third.
    assert_eq!((proposal(&mut world, id).status, tally(&mut world, id)), (2, [200, 99, 299]));
    // Whoever approved may think again.
    take_back(&mut world, 1, id).unwrap();
    assert_eq!(tally(&mut world, id), [100, 199, 299]);
    assert_eq!(world.last::<IPolicies::Closed>(), IPolicies::Closed { proposal: id, status: 5 });
    assert_eq!(world.balance(owner(ANYONE)), U256::from(1_000 * COIN));
    world.now += DELAY_MIN_S;
    assert_eq!(settle(&mut world, 5, id), Err(reverts(IPolicies::WrongStatus { status: 5 })));
    assert_eq!(line(&mut world, line_id).policy, policy(&[1, 2]).id());
}

#[test]
fn it_can_be_taken_back_until_it_is_in_force() {
    let (mut world, _, id) = accepted(&[3]);
    world.now += DELAY_MIN_S + 1;
    take_back(&mut world, 1, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 5);
}

#[test]
fn a_proposal_that_too_few_approve_lapses_and_its_bond_burns() {
    let (mut world, line_id) = scene();
    let id = propose(&mut world, ANYONE, line_id, &policy(&[3])).unwrap();
    approve(&mut world, 1, id).unwrap();
    let until = world.now + VOTE_S;
    world.now = until;
    assert_eq!(settle(&mut world, 5, id), Err(reverts(IPolicies::StillWaiting { until })));
    world.now = until + 1;
    assert_eq!(approve(&mut world, 2, id), Err(reverts(IPolicies::VoteOver { until })));
    settle(&mut world, 5, id).unwrap();
    assert_eq!(world.last::<IPolicies::Closed>(), IPolicies::Closed { proposal: id, status: 4 });
    assert_eq!(world.balance(BURNED), U256::from(BOND));
    assert_eq!(world.balance(owner(ANYONE)), U256::from(999 * COIN));
}

#[test]
fn what_nobody_puts_into_force_is_outdated() {
    let (mut world, line_id, id) = accepted(&[3]);
    world.now += DELAY_MIN_S + ENACT_S;
    let mut in_time = world.clone();
    settle(&mut in_time, 5, id).unwrap();
    assert_eq!(line(&mut in_time, line_id).version, 2);
    world.now += 1;
    settle(&mut world, 5, id).unwrap();
    assert_eq!((line(&mut world, line_id).version, proposal(&mut world, id).status), (1, 6));
    assert_eq!(world.balance(owner(ANYONE)), U256::from(1_000 * COIN));
}

#[test]
fn nobody_but_seated_validators_votes_and_each_once() {
    let (mut world, _, id) = accepted(&[3]);
    let no_vote = |n| Err(reverts(IPolicies::NoVote { caller: owner(n) }));
    assert_eq!(take_back(&mut world, ANYONE, id), no_vote(ANYONE));
    let line = line_id(policy(&[1, 2]).id(), DELAY_MIN_S, QUORUM_MIN);
    let other = propose(&mut world, 1, line, &policy(&[4])).unwrap();
    assert_eq!(approve(&mut world, ANYONE, other), no_vote(ANYONE));
    approve(&mut world, 3, other).unwrap();
    assert_eq!(approve(&mut world, 3, other), Err(reverts(IPolicies::AlreadyVoted { key: voter(3) })));
    assert_eq!(tally(&mut world, other), [99, 0, 299]);
    take_back(&mut world, 3, id).unwrap();
    assert_eq!(take_back(&mut world, 3, id), Err(reverts(IPolicies::AlreadyVoted { key: voter(3) })));
}

#[test]
fn who_stakes_votes_four_epochs_on_and_who_left_counts_no_more() {
    let (mut world, line) = scene();
    let id = propose(&mut world, ANYONE, line, &policy(&[3])).unwrap();
    approve(&mut world, 1, id).unwrap();
    world.call(VALIDATORS, owner(1), &IValidators::leaveCall {}).map(|_| ()).unwrap();
    world.block = 79;
    assert_eq!(tally(&mut world, id), [100, 0, 299]);
    world.block = 80;
    assert_eq!(tally(&mut world, id), [0, 0, 199]);
    // Its owner has a validator that has no seat.
    let other = propose(&mut world, ANYONE, line, &policy(&[4])).unwrap();
    assert_eq!(approve(&mut world, 1, other), Err(reverts(IPolicies::NoVote { caller: owner(1) })));
    approve(&mut world, 2, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 1);
    approve(&mut world, 3, id).unwrap();
    assert_eq!(proposal(&mut world, id).status, 2);
}

#[test]
fn proposals_are_voted_on_in_turn() {
    let (mut world, line) = scene();
    let id = propose(&mut world, ANYONE, line, &policy(&[3])).unwrap();
    assert_eq!(take_back(&mut world, 1, id), Err(reverts(IPolicies::WrongStatus { status: 1 })));
    approve(&mut world, 1, id).unwrap();
    approve(&mut world, 2, id).unwrap();
    assert_eq!(approve(&mut world, 3, id), Err(reverts(IPolicies::WrongStatus { status: 2 })));
}

#[test]
fn what_is_not_there_is_refused() {
    let (mut world, line) = scene();
    let id = B256::repeat_byte(1);
    let unknown = || Err(reverts(IPolicies::UnknownProposal { proposal: id }));
    assert_eq!(approve(&mut world, 1, id), unknown());
    assert_eq!(take_back(&mut world, 1, id), unknown());
    assert_eq!(settle(&mut world, 1, id), unknown());
    let call = IPolicies::proposalOfCall { proposal: id };
    assert_eq!(world.call(POLICIES, owner(1), &call).map(|_| ()), unknown());
    let call = IPolicies::tallyOfCall { proposal: id };
    assert_eq!(world.call(POLICIES, owner(1), &call).map(|_| ()), unknown());
    let no_line = || Err(reverts(IPolicies::UnknownLine { line: id }));
    assert_eq!(propose(&mut world, 1, id, &policy(&[3])).map(|_| ()), no_line());
    let call = IPolicies::lineOfCall { line: id };
    assert_eq!(world.call(POLICIES, owner(1), &call).map(|_| ()), no_line());
    let call = IPolicies::policyOfCall { policy: id };
    let no_policy = Err(reverts(IPolicies::UnknownPolicy { policy: id }));
    assert_eq!(world.call(POLICIES, owner(1), &call).map(|_| ()), no_policy);
    let same = policy(&[1, 2]);
    let refused = reverts(IPolicies::SamePolicy { policy: same.id() });
    assert_eq!(propose(&mut world, 1, line, &same), Err(refused));
}

#[test]
fn a_proposal_costs_its_bond_and_nothing_else_takes_coin() {
    let (mut world, line) = scene();
    let call = IPolicies::proposeCall { line, policy: policy(&[3]).encode().into() };
    for value in [0, BOND - 1, BOND + 1] {
        let refused = world.pay_call(POLICIES, owner(1), value, &call).map(|_| ());
        assert_eq!(refused, Err(reverts(IPolicies::ProposalBond { bond: BOND })));
    }
    let call = IPolicies::settleCall { proposal: B256::ZERO };
    let refused = world.pay_call(POLICIES, owner(1), 1, &call).map(|_| ());
    assert_eq!(refused, Err(reverts(IModule::NotPayable {})));
    world.is_static = true;
    let refused = settle(&mut world, 1, B256::ZERO);
    assert_eq!(refused, Err(reverts(IModule::StaticCall {})));
}

#[test]
fn without_stake_lines_are_opened_and_do_not_change() {
    // Rules of stake and nobody who has any; and no rules.
    for mut world in [world(&[]), World::new()] {
        world.fund(owner(ANYONE), 10 * COIN);
        let line = open(&mut world, &policy(&[1, 2]), DELAY_MIN_S, QUORUM_MIN).unwrap();
        let id = propose(&mut world, ANYONE, line, &policy(&[1])).unwrap();
        let refused = Err(reverts(IPolicies::NoVote { caller: owner(1) }));
        assert_eq!(approve(&mut world, 1, id), refused);
        assert_eq!(tally(&mut world, id), [0, 0, 0]);
        world.now += VOTE_S + 1;
        settle(&mut world, 1, id).unwrap();
        assert_eq!(world.balance(BURNED), U256::from(BOND));
    }
}
