//! Asks are set, replaced, removed, pruned; stake backs them.

use crate::{
    Failure, MODULES, Module,
    testing::{World, reverts},
};
use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tacit_abi::{
    IAsks, IModels, IModule, IStakes,
    asks::{ASK_LIFE_S, ASK_STAKE, HOUR_S, LIVE_S, LIVENESS_HOURS, PAGE_MAX, TOKENS_KEPT_S},
};

const MODELS: Module = MODULES[0];
const STAKES: Module = MODULES[5];
const ASKS: Module = MODULES[6];
const OWNER: Address = Address::repeat_byte(0x11);
const WORKER: Address = Address::repeat_byte(0x22);
const ID: B256 = B256::repeat_byte(0xd1);

fn terms(world: &World, mode: (u8, u8), endpoint: &str) -> IAsks::Terms {
    IAsks::Terms {
        privacy: mode.0,
        evidence: mode.1,
        price: 200,
        promptPrice: 3,
        completionPrice: u128::MAX - 1,
        capacity: u32::MAX - 2,
        validUntil: world.now + 60,
        sealingKey: B256::repeat_byte(5),
        endpoint: endpoint.to_owned(),
    }
}

fn set_terms(world: &mut World, worker: Address, terms: IAsks::Terms) -> Result<(), Failure> {
    world.call(ASKS, worker, &IAsks::setCall { modelId: ID, terms }).map(|_| ())
}

fn set(world: &mut World, worker: Address, mode: (u8, u8), endpoint: &str) -> Result<(), Failure> {
    let terms = terms(world, mode, endpoint);
    set_terms(world, worker, terms)
}

fn remove(world: &mut World, worker: Address, mode: (u8, u8)) -> Result<(), Failure> {
    let call = IAsks::removeCall { modelId: ID, privacy: mode.0, evidence: mode.1 };
    world.call(ASKS, worker, &call).map(|_| ())
}

fn prune(world: &mut World, worker: Address, mode: (u8, u8)) -> Result<(), Failure> {
    let call = IAsks::pruneCall { modelId: ID, worker, privacy: mode.0, evidence: mode.1 };
    world.call(ASKS, OWNER, &call).map(|_| ())
}

fn listed(world: &mut World) -> Vec<IAsks::Ask> {
    world.call(ASKS, OWNER, &IAsks::pageCall { modelId: ID, from: 0, limit: PAGE_MAX }).unwrap()
}

fn count(world: &mut World) -> u64 {
    world.call(ASKS, OWNER, &IAsks::countCall { modelId: ID }).unwrap()
}

fn bond(world: &mut World, worker: Address, amount: u128) {
    world.fund(worker, amount);
    world.pay_call(STAKES, worker, amount, &IStakes::bondCall {}).unwrap();
}

/// A model, and a worker whose stake backs `asks` asks.
fn published(asks: u128) -> World {
    let mut world = World::new();
    let publish = IModels::publishCall { modelId: ID, weightRoot: ID, name: "digits".to_owned() };
    world.call(MODELS, OWNER, &publish).unwrap();
    if asks > 0 {
        bond(&mut world, WORKER, ASK_STAKE * asks);
    }
    world
}

#[test]
fn an_ask_is_set_replaced_and_removed() {
    let mut world = published(2);
    let long = format!("http://{}", "h".repeat(121));
    set(&mut world, WORKER, (1, 3), &long).unwrap();
    let event: IAsks::AskSet = world.last();
    assert_eq!((event.worker, event.privacy, event.evidence, event.price), (WORKER, 1, 3, 200));
    assert_eq!((event.promptPrice, event.completionPrice), (3, u128::MAX - 1));
    set(&mut world, WORKER, (1, 3), "http://short").unwrap();
    set(&mut world, WORKER, (0, 0), "http://other").unwrap();
    let all = listed(&mut world);
    assert_eq!((all.len(), count(&mut world)), (2, 2));
    let expected = IAsks::Ask {
        worker: WORKER,
        bonded: 2 * ASK_STAKE,
        asks: 2,
        lastBeat: world.now,
        terms: terms(&world, (1, 3), "http://short"),
    };
    assert_eq!(all[0], expected);
    assert!(all[0].is_live(world.now + 60) && !all[0].is_live(world.now + 61));
    let ask = IAsks::askCall { modelId: ID, worker: WORKER, privacy: 1, evidence: 3 };
    assert_eq!(world.call(ASKS, OWNER, &ask).unwrap(), expected);
    remove(&mut world, WORKER, (1, 3)).unwrap();
    let left = listed(&mut world);
    assert_eq!((left.len(), left[0].terms.endpoint.as_str(), left[0].asks), (1, "http://other", 1));
    assert_eq!(remove(&mut world, WORKER, (1, 3)), Err(reverts(IAsks::NoSuchAsk {})));
    assert_eq!(world.call(ASKS, OWNER, &ask).map(|_| ()), Err(reverts(IAsks::NoSuchAsk {})));
    remove(&mut world, WORKER, (0, 0)).unwrap();
    assert!(listed(&mut world).is_empty());
}

#[test]
fn each_ask_needs_its_stake() {
    let mut world = published(0);
    let too_little = |bonded, asks| Err(reverts(IAsks::TooLittleStake { bonded, needed: asks * ASK_STAKE }));
    assert_eq!(set(&mut world, WORKER, (1, 3), "http://w"), too_little(0, 1));
    bond(&mut world, WORKER, ASK_STAKE);
    set(&mut world, WORKER, (1, 3), "http://w").unwrap();
    set(&mut world, WORKER, (1, 3), "http://again").unwrap();
    assert_eq!(set(&mut world, WORKER, (0, 3), "http://w"), too_little(ASK_STAKE, 2));
    assert_eq!(count(&mut world), 1);
}

#[test]
fn whoever_unbonds_loses_its_asks_to_whoever_prunes() {
    let mut world = published(1);
    set(&mut world, WORKER, (1, 3), "http://w").unwrap();
    assert_eq!(prune(&mut world, WORKER, (1, 3)), Err(reverts(IAsks::StillBacked {})));
    assert_eq!(prune(&mut world, WORKER, (0, 3)), Err(reverts(IAsks::NoSuchAsk {})));
    world.call(STAKES, WORKER, &IStakes::unbondCall { amount: 1 }).unwrap();
    assert!(!listed(&mut world)[0].is_live(world.now));
    prune(&mut world, WORKER, (1, 3)).unwrap();
    let event: IAsks::AskRemoved = world.last();
    assert_eq!((event.worker, event.privacy, event.evidence), (WORKER, 1, 3));
    assert!(listed(&mut world).is_empty());
}

#[test]
fn an_ask_that_has_ended_is_pruned() {
    let mut world = published(1);
    set(&mut world, WORKER, (1, 3), "http://w").unwrap();
    world.now += 60;
    assert_eq!(prune(&mut world, WORKER, (1, 3)), Err(reverts(IAsks::StillBacked {})));
    world.now += 1;
    prune(&mut world, WORKER, (1, 3)).unwrap();
    assert_eq!(count(&mut world), 0);
}

#[test]
fn an_ask_is_valid_for_a_bounded_time() {
    let mut world = published(1);
    let bad = |world: &World| {
        let (earliest, latest) = (world.now, world.now + ASK_LIFE_S);
        Err(reverts(IAsks::BadValidity { earliest, latest }))
    };
    for until in [0, world.now - 1, world.now + ASK_LIFE_S + 1, u64::MAX] {
        let terms = IAsks::Terms { validUntil: until, ..terms(&world, (0, 0), "http://w") };
        assert_eq!(set_terms(&mut world, WORKER, terms), bad(&world));
    }
    for until in [world.now, world.now + ASK_LIFE_S] {
        let terms = IAsks::Terms { validUntil: until, ..terms(&world, (0, 0), "http://w") };
        set_terms(&mut world, WORKER, terms).unwrap();
    }
}

#[test]
fn nobody_removes_another_workers_ask() {
    let mut world = published(1);
    set(&mut world, WORKER, (1, 3), "http://w").unwrap();
    assert_eq!(remove(&mut world, OWNER, (1, 3)), Err(reverts(IAsks::NoSuchAsk {})));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut world = published(1);
    for (privacy, evidence) in [(5, 0), (0, 4), (255, 255)] {
        let refused = set(&mut world, WORKER, (privacy, evidence), "http://w");
        assert_eq!(refused, Err(reverts(IAsks::BadMode { privacy, evidence })));
    }
    let long = "h".repeat(129);
    for endpoint in ["", "a b", "line\nbreak", "\u{1b}[31m", "ü", &long] {
        assert_eq!(set(&mut world, WORKER, (0, 0), endpoint), Err(reverts(IAsks::BadEndpoint {})));
    }
    let other = B256::repeat_byte(2);
    let terms = terms(&world, (0, 0), "http://w");
    let unknown = world.call(ASKS, WORKER, &IAsks::setCall { modelId: other, terms }).map(|_| ());
    assert_eq!(unknown, Err(reverts(IAsks::UnknownModel { modelId: other })));
}

#[test]
fn a_long_list_is_read_in_pages() {
    let mut world = published(0);
    let workers: Vec<Address> = (1..=PAGE_MAX + 6)
        .map(|number| Address::from_word(B256::from(alloy_primitives::U256::from(number))))
        .collect();
    for worker in &workers {
        bond(&mut world, *worker, ASK_STAKE);
        set(&mut world, *worker, (1, 0), "http://w").unwrap();
    }
    let mut page = |from, limit| -> Vec<Address> {
        let call = IAsks::pageCall { modelId: ID, from, limit };
        world.call(ASKS, OWNER, &call).unwrap().into_iter().map(|ask| ask.worker).collect()
    };
    let mut read = page(0, PAGE_MAX);
    read.extend(page(u64::from(PAGE_MAX), PAGE_MAX));
    assert_eq!(read, workers);
    assert_eq!(page(3, 2), workers[3..5]);
    assert!(page(u64::MAX, PAGE_MAX).is_empty() && page(0, 0).is_empty());
    let call = IAsks::pageCall { modelId: ID, from: 0, limit: PAGE_MAX + 1 };
    let refused = world.call(ASKS, OWNER, &call).map(|_| ());
    assert_eq!(refused, Err(reverts(IAsks::PageTooLong { limit: PAGE_MAX })));
}

#[test]
fn malformed_arguments_are_refused() {
    let mut world = published(1);
    let selector = <IAsks::setCall as alloy_sol_types::SolCall>::SELECTOR;
    let malformed = Err(reverts(IModule::MalformedInput { selector: selector.into() }));
    let terms = terms(&world, (1, 3), "http://w");
    let good = alloy_sol_types::SolCall::abi_encode(&IAsks::setCall { modelId: ID, terms });
    // Cut short anywhere before the padding; a place, a mode, a capacity, a time and a length that do not fit.
    for length in 4..4 + 32 * 12 + "http://w".len() {
        assert!(world.send(ASKS, WORKER, alloy_primitives::U256::ZERO, &good[..length]).is_err(), "{length}");
    }
    for word in [1, 2, 7, 8, 10, 11] {
        let mut bad = good.clone();
        bad[4 + 32 * word] = 0xff;
        assert_eq!(world.send(ASKS, WORKER, alloy_primitives::U256::ZERO, &bad), malformed, "word {word}");
    }
}

fn set_tokens(world: &mut World, key: u8, price: u128) -> Result<(), Failure> {
    let call = IAsks::setTokensCall { keyHash: B256::repeat_byte(key), price };
    world.call(ASKS, WORKER, &call).map(|_| ())
}

fn tokens(world: &mut World, worker: Address) -> IAsks::Tokens {
    world.call(ASKS, OWNER, &IAsks::tokensCall { worker }).unwrap()
}

#[test]
fn a_token_key_is_listed_and_the_one_before_stays_good_for_a_time() {
    let mut world = published(0);
    assert_eq!(tokens(&mut world, WORKER).price_of(B256::ZERO, world.now), None);
    set_tokens(&mut world, 1, 50).unwrap();
    let event: IAsks::TokensSet = world.last();
    assert_eq!((event.worker, event.keyHash, event.price), (WORKER, B256::repeat_byte(1), 50));
    let first = tokens(&mut world, WORKER);
    assert_eq!((first.since, first.previousKeyHash, first.previousUntil), (world.now, B256::ZERO, 0));
    assert_eq!(first.price_of(B256::ZERO, world.now), None);
    assert_eq!(tokens(&mut world, OWNER).keyHash, B256::ZERO);
    world.now += 100;
    set_tokens(&mut world, 2, 70).unwrap();
    let second = tokens(&mut world, WORKER);
    let until = world.now + TOKENS_KEPT_S;
    assert_eq!((second.since, second.previousUntil), (world.now, until));
    assert_eq!(second.price_of(B256::repeat_byte(1), until), Some(50));
    assert_eq!(second.price_of(B256::repeat_byte(1), until + 1), None);
    assert_eq!(second.price_of(B256::repeat_byte(2), u64::MAX), Some(70));
    assert_eq!(second.price_of(B256::repeat_byte(3), world.now), None);
}

#[test]
fn no_third_token_key_is_set_while_two_are_good() {
    let mut world = published(0);
    set_tokens(&mut world, 1, 50).unwrap();
    set_tokens(&mut world, 2, 70).unwrap();
    let earliest = world.now + TOKENS_KEPT_S + 1;
    world.now = earliest - 1;
    assert_eq!(set_tokens(&mut world, 3, 70), Err(reverts(IAsks::TokensTooSoon { earliest })));
    world.now = earliest;
    set_tokens(&mut world, 3, 70).unwrap();
    assert_eq!(tokens(&mut world, WORKER).previousKeyHash, B256::repeat_byte(2));
}

#[test]
fn a_token_key_has_one_price_and_is_set_once() {
    let mut world = published(0);
    let bad = Err(reverts(IAsks::BadTokens {}));
    assert_eq!(set_tokens(&mut world, 0, 50), bad);
    assert_eq!(set_tokens(&mut world, 1, 0), bad);
    set_tokens(&mut world, 1, 50).unwrap();
    assert_eq!(set_tokens(&mut world, 1, 60), bad);
    set_tokens(&mut world, 2, 60).unwrap();
    world.now += TOKENS_KEPT_S + 1;
    assert_eq!(set_tokens(&mut world, 1, 60), bad);
}

fn beat(world: &mut World, worker: Address) -> Result<(), Failure> {
    world.call(ASKS, worker, &IAsks::beatCall {}).map(|_| ())
}

fn liveness(world: &mut World, worker: Address) -> IAsks::Liveness {
    world.call(ASKS, OWNER, &IAsks::livenessOfCall { worker }).unwrap()
}

#[test]
fn a_second_beat_in_an_hour_is_refused() {
    let mut world = published(0);
    let never = IAsks::Liveness { since: 0, lastBeat: 0, covered: 0, beaten: 0 };
    assert_eq!(liveness(&mut world, WORKER), never);
    world.now = 100 * HOUR_S + 7;
    beat(&mut world, WORKER).unwrap();
    let told = IAsks::Liveness { since: 100 * HOUR_S, lastBeat: world.now, covered: 1, beaten: 1 };
    assert_eq!(liveness(&mut world, WORKER), told);
    world.now = 101 * HOUR_S - 1;
    let too_soon = Err(reverts(IAsks::BeatTooSoon { earliest: 101 * HOUR_S }));
    assert_eq!(beat(&mut world, WORKER), too_soon);
    assert_eq!(liveness(&mut world, WORKER), told);
    // Another worker's is not this one's.
    beat(&mut world, OWNER).unwrap();
    assert_eq!(liveness(&mut world, WORKER), told);
    world.now += 1;
    // The hour has just begun, and counts once it was beaten in.
    assert_eq!(liveness(&mut world, WORKER), told);
    beat(&mut world, WORKER).unwrap();
    let told = liveness(&mut world, WORKER);
    assert_eq!((told.since, told.lastBeat, told.covered, told.beaten), (100 * HOUR_S, 101 * HOUR_S, 2, 2));
}

#[test]
fn an_ask_is_a_beat_and_may_be_set_again_in_its_hour() {
    let mut world = published(1);
    world.now = 500_000 * HOUR_S;
    set(&mut world, WORKER, (1, 3), "http://w").unwrap();
    let first = liveness(&mut world, WORKER);
    assert_eq!((first.lastBeat, first.covered, first.beaten), (world.now, 1, 1));
    world.now += 60;
    set(&mut world, WORKER, (1, 3), "http://again").unwrap();
    assert_eq!(liveness(&mut world, WORKER), first);
    let earliest = 500_001 * HOUR_S;
    assert_eq!(beat(&mut world, WORKER), Err(reverts(IAsks::BeatTooSoon { earliest })));
    world.now += HOUR_S;
    set(&mut world, WORKER, (1, 3), "http://w").unwrap();
    assert_eq!((liveness(&mut world, WORKER).beaten, listed(&mut world)[0].lastBeat), (2, world.now));
}

#[test]
fn an_ask_that_is_refused_is_no_beat() {
    let mut world = published(0);
    assert!(set(&mut world, WORKER, (1, 3), "http://w").is_err());
    assert_eq!(liveness(&mut world, WORKER).lastBeat, 0);
}

#[test]
fn a_silent_workers_asks_are_left_out_and_live_again_with_its_next_beat() {
    let mut world = published(1);
    let long = IAsks::Terms { validUntil: world.now + ASK_LIFE_S, ..terms(&world, (1, 3), "http://w") };
    set_terms(&mut world, WORKER, long).unwrap();
    let is_live = |world: &mut World| listed(world)[0].is_live(world.now);
    world.now += LIVE_S;
    assert!(is_live(&mut world));
    world.now += 1;
    assert!(!is_live(&mut world));
    // Nobody takes it from the ledger for that.
    assert_eq!(prune(&mut world, WORKER, (1, 3)), Err(reverts(IAsks::StillBacked {})));
    beat(&mut world, WORKER).unwrap();
    assert!(is_live(&mut world));
    // A reader whose clock is behind the ledger's reads of a beat to come.
    assert!(listed(&mut world)[0].is_live(world.now - LIVE_S - 1));
}

#[test]
fn beats_at_both_ends_of_the_clock() {
    let mut world = published(0);
    world.now = 0;
    beat(&mut world, WORKER).unwrap();
    let told = liveness(&mut world, WORKER);
    assert_eq!((told.since, told.lastBeat, told.covered, told.beaten), (0, 0, 1, 1));
    assert_eq!(beat(&mut world, WORKER), Err(reverts(IAsks::BeatTooSoon { earliest: HOUR_S })));
    // Later than the hour of a first beat can say.
    world.now = u64::MAX;
    assert_eq!(liveness(&mut world, WORKER).beaten, 0);
    beat(&mut world, WORKER).unwrap();
    beat(&mut world, OWNER).unwrap();
    assert_eq!(beat(&mut world, OWNER), Err(reverts(IAsks::BeatTooSoon { earliest: u64::MAX })));
    let told = liveness(&mut world, WORKER);
    assert_eq!((told.lastBeat, told.covered, told.beaten), (u64::MAX, LIVENESS_HOURS, 1));
    let told = liveness(&mut world, OWNER);
    assert_eq!((told.lastBeat, told.covered, told.beaten), (u64::MAX, LIVENESS_HOURS, 1));
    // A clock that goes back, as no ledger's does.
    world.now = HOUR_S;
    assert!(beat(&mut world, WORKER).is_err());
    assert_eq!(liveness(&mut world, WORKER).beaten, 1);
}

#[test]
fn hours_leave_one_by_one_and_all_after_a_long_silence() {
    let mut world = published(0);
    let kept = u64::from(LIVENESS_HOURS);
    for hour in 0..kept + 5 {
        world.now = (1_000 + hour) * HOUR_S;
        beat(&mut world, WORKER).unwrap();
        let told = liveness(&mut world, WORKER);
        let expected = u32::try_from(hour + 1).unwrap().min(LIVENESS_HOURS);
        assert_eq!((told.covered, told.beaten), (expected, expected));
    }
    let last = world.now;
    for silent in 1..=kept + 2 {
        // One more hour is over.
        world.now = last + (silent + 1) * HOUR_S;
        let told = liveness(&mut world, WORKER);
        let expected = u32::try_from(kept.saturating_sub(silent)).unwrap();
        assert_eq!((told.covered, told.beaten), (LIVENESS_HOURS, expected));
    }
    beat(&mut world, WORKER).unwrap();
    let told = liveness(&mut world, WORKER);
    assert_eq!((told.since, told.covered, told.beaten), (1_000 * HOUR_S, LIVENESS_HOURS, 1));
}

#[test]
fn a_beat_takes_no_coin_and_is_no_view() {
    let mut world = published(0);
    world.fund(WORKER, 1);
    let selector = <IAsks::beatCall as alloy_sol_types::SolCall>::SELECTOR;
    let paid = world.send(ASKS, WORKER, alloy_primitives::U256::ONE, &selector).map(|_| ());
    assert_eq!(paid, Err(reverts(IModule::NotPayable {})));
    world.is_static = true;
    assert_eq!(beat(&mut world, WORKER), Err(reverts(IModule::StaticCall {})));
    world.is_static = false;
    assert_eq!(liveness(&mut world, WORKER).lastBeat, 0);
}

proptest! {
    /// Beats at any times, with gaps longer than what is kept, leave what a plain set of hours says.
    #[test]
    fn beats_behave_like_a_set_of_hours(
        start in prop_oneof![0_u64..10 * HOUR_S, Just(1_800_000_000), u64::MAX - 400 * HOUR_S..u64::MAX],
        gaps in prop::collection::vec(prop_oneof![0_u64..2 * HOUR_S, 0_u64..20 * HOUR_S, 150 * HOUR_S..175 * HOUR_S], 0..40),
        later in 0_u64..200 * HOUR_S,
    ) {
        let mut world = published(0);
        world.now = start;
        let mut hours = BTreeSet::new();
        let mut last = 0;
        for gap in gaps {
            let hour = world.now / HOUR_S;
            let fresh = hours.insert(hour);
            prop_assert_eq!(beat(&mut world, WORKER).is_ok(), fresh);
            if fresh {
                last = world.now;
            }
            check(&mut world, &hours, last)?;
            world.now = world.now.saturating_add(gap);
            check(&mut world, &hours, last)?;
        }
        world.now = world.now.saturating_add(later);
        check(&mut world, &hours, last)?;
    }
}

/// What a reader is told is what the set of all hours in which a beat counted says.
fn check(world: &mut World, hours: &BTreeSet<u64>, last: u64) -> Result<(), TestCaseError> {
    let told = liveness(world, WORKER);
    let Some(first) = hours.first() else {
        prop_assert_eq!(told.covered, 0);
        return Ok(());
    };
    // An hour that the slot has no room for is the latest that it can say.
    let first = (*first).min(u64::from(u32::MAX));
    let running = world.now / HOUR_S;
    let window: Vec<u64> = (0..=running)
        .rev()
        .filter(|hour| *hour < running || hours.contains(hour))
        .take_while(|hour| *hour >= first)
        .take(usize::try_from(LIVENESS_HOURS).unwrap())
        .collect();
    let beaten = window.iter().filter(|hour| hours.contains(*hour)).count();
    prop_assert_eq!((told.covered as usize, told.beaten as usize), (window.len(), beaten));
    prop_assert_eq!(told.lastBeat, last);
    prop_assert_eq!(told.since, first * HOUR_S);
    Ok(())
}

proptest! {
    /// Any order of setting and removing asks leaves exactly the asks of a plain map, and gives every slot back.
    #[test]
    fn asks_behave_like_a_map(steps in prop::collection::vec((0_u8..4, 0_u8..2, 0_u8..2, any::<bool>(), 1_usize..70), 0..40)) {
        let mut world = published(0);
        for worker in 0..4 {
            bond(&mut world, Address::repeat_byte(worker + 1), 4 * ASK_STAKE);
            // What is kept of beats stays when asks go.
            beat(&mut world, Address::repeat_byte(worker + 1)).unwrap();
        }
        let empty = world.storage.clone();
        let mut oracle = BTreeMap::new();
        for (worker, privacy, evidence, setting, length) in steps {
            let caller = Address::repeat_byte(worker + 1);
            let key = (caller, privacy, evidence);
            if setting {
                let endpoint = "e".repeat(length);
                set(&mut world, caller, (privacy, evidence), &endpoint).unwrap();
                oracle.insert(key, endpoint);
            } else {
                let removed = remove(&mut world, caller, (privacy, evidence)).is_ok();
                prop_assert_eq!(removed, oracle.remove(&key).is_some());
            }
            let asks = listed(&mut world);
            prop_assert_eq!(count(&mut world), asks.len() as u64);
            for ask in &asks {
                let of_worker = oracle.keys().filter(|(worker, ..)| *worker == ask.worker).count();
                prop_assert_eq!(ask.asks as usize, of_worker);
            }
            let asks: BTreeMap<_, _> = asks
                .into_iter()
                .map(|ask| ((ask.worker, ask.terms.privacy, ask.terms.evidence), ask.terms.endpoint))
                .collect();
            prop_assert_eq!(&asks, &oracle);
        }
        for (caller, privacy, evidence) in oracle.into_keys() {
            remove(&mut world, caller, (privacy, evidence)).unwrap();
        }
        prop_assert_eq!(world.storage, empty);
    }
}
