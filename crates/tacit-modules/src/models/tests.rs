//! Publication, names and asks.

use crate::{
    Failure, MODULES, Module,
    models::{MAX_ASKS, MODES},
    testing::{World, reverts},
};
use alloy_primitives::{Address, B256, U256};
use proptest::prelude::*;
use tacit_abi::{IModels, IModule};

const MODELS: Module = MODULES[0];
const OWNER: Address = Address::repeat_byte(0x11);
const WORKER: Address = Address::repeat_byte(0x22);
const ID: B256 = B256::repeat_byte(0xd1);

fn publish(world: &mut World, caller: Address, id: B256, name: &str) -> Result<(), Failure> {
    let call = IModels::publishCall { modelId: id, weightRoot: B256::repeat_byte(9), name: name.to_owned() };
    world.call(MODELS, caller, &call).map(|_| ())
}

fn ask(world: &mut World, caller: Address, mode: (u8, u8), endpoint: &str) -> Result<(), Failure> {
    let call = IModels::setAskCall {
        modelId: ID,
        privacy: mode.0,
        evidence: mode.1,
        price: 200,
        sealingKey: B256::repeat_byte(5),
        endpoint: endpoint.to_owned(),
    };
    world.call(MODELS, caller, &call).map(|_| ())
}

fn remove(world: &mut World, caller: Address, mode: (u8, u8)) -> Result<(), Failure> {
    let call = IModels::removeAskCall { modelId: ID, privacy: mode.0, evidence: mode.1 };
    world.call(MODELS, caller, &call).map(|_| ())
}

fn asks(world: &mut World) -> Vec<IModels::Ask> {
    world.call(MODELS, WORKER, &IModels::asksCall { modelId: ID }).unwrap()
}

fn published() -> World {
    let mut world = World::new();
    publish(&mut world, OWNER, ID, "digits").unwrap();
    world
}

#[test]
fn a_published_model_is_found_by_id_name_and_number() {
    let mut world = published();
    let expected = IModels::Model {
        modelId: ID,
        owner: OWNER,
        weightRoot: B256::repeat_byte(9),
        block: 7,
        name: "digits".into(),
    };
    assert_eq!(world.call(MODELS, WORKER, &IModels::modelCall { modelId: ID }).unwrap(), expected);
    assert_eq!(world.call(MODELS, WORKER, &IModels::modelAtCall { index: 0 }).unwrap(), expected);
    assert_eq!(world.call(MODELS, WORKER, &IModels::byNameCall { name: "digits".into() }).unwrap(), ID);
    assert_eq!(world.call(MODELS, WORKER, &IModels::countCall {}).unwrap(), 1);
    let event: IModels::Published = world.last();
    assert_eq!((event.modelId, event.owner, event.name.as_str()), (ID, OWNER, "digits"));
}

#[test]
fn a_name_of_the_longest_length_round_trips() {
    let mut world = World::new();
    for length in [30, 31, 32] {
        let name = "n".repeat(length);
        let id = B256::with_last_byte(length as u8);
        publish(&mut world, OWNER, id, &name).unwrap();
        assert_eq!(world.call(MODELS, OWNER, &IModels::modelCall { modelId: id }).unwrap().name, name);
        assert_eq!(world.call(MODELS, OWNER, &IModels::byNameCall { name }).unwrap(), id);
    }
}

#[test]
fn an_id_is_published_once() {
    let mut world = published();
    let again = publish(&mut world, WORKER, ID, "other");
    assert_eq!(again, Err(reverts(IModels::AlreadyPublished { modelId: ID })));
}

#[test]
fn a_name_is_taken_once() {
    let mut world = published();
    let again = publish(&mut world, WORKER, B256::repeat_byte(2), "digits");
    assert_eq!(again, Err(reverts(IModels::NameTaken { name: "digits".into() })));
}

#[test]
fn bad_names_are_refused() {
    let mut world = World::new();
    let long = "a".repeat(33);
    for name in ["", "Digits", "two words", "a/b", "ü", "a\0", &long] {
        let refused = publish(&mut world, OWNER, ID, name);
        assert_eq!(refused, Err(reverts(IModels::BadName { name: name.into() })));
    }
}

#[test]
fn the_zero_id_is_refused() {
    let mut world = World::new();
    assert_eq!(publish(&mut world, OWNER, B256::ZERO, "zero"), Err(reverts(IModels::ZeroModel {})));
}

#[test]
fn an_unknown_model_is_refused_everywhere() {
    let mut world = World::new();
    let unknown = Err(reverts(IModels::UnknownModel { modelId: ID }));
    assert_eq!(world.call(MODELS, OWNER, &IModels::modelCall { modelId: ID }).map(|_| ()), unknown);
    assert_eq!(world.call(MODELS, OWNER, &IModels::asksCall { modelId: ID }).map(|_| ()), unknown);
    assert_eq!(ask(&mut world, WORKER, (1, 3), "http://w"), unknown);
    let transfer = IModels::transferOwnershipCall { modelId: ID, next: WORKER };
    assert_eq!(world.call(MODELS, OWNER, &transfer).map(|_| ()), unknown);
    let by_name = world.call(MODELS, OWNER, &IModels::byNameCall { name: "digits".into() }).map(|_| ());
    assert_eq!(by_name, Err(reverts(IModels::UnknownModel { modelId: B256::ZERO })));
    let at = world.call(MODELS, OWNER, &IModels::modelAtCall { index: 0 }).map(|_| ());
    assert_eq!(at, Err(reverts(IModels::NoSuchIndex { index: 0 })));
}

#[test]
fn only_the_owner_hands_a_model_over() {
    let mut world = published();
    let transfer = |next| IModels::transferOwnershipCall { modelId: ID, next };
    let refused = world.call(MODELS, WORKER, &transfer(WORKER)).map(|_| ());
    assert_eq!(refused, Err(reverts(IModels::NotOwner { caller: WORKER })));
    let to_nobody = world.call(MODELS, OWNER, &transfer(Address::ZERO)).map(|_| ());
    assert_eq!(to_nobody, Err(reverts(IModels::ZeroOwner {})));
    world.call(MODELS, OWNER, &transfer(WORKER)).unwrap();
    let event: IModels::OwnerChanged = world.last();
    assert_eq!((event.previous, event.next), (OWNER, WORKER));
    let model = world.call(MODELS, OWNER, &IModels::modelCall { modelId: ID }).unwrap();
    assert_eq!((model.owner, model.block, model.name.as_str()), (WORKER, 7, "digits"));
}

#[test]
fn an_ask_is_set_replaced_and_removed() {
    let mut world = published();
    let long = format!("http://{}", "h".repeat(121));
    ask(&mut world, WORKER, (1, 3), &long).unwrap();
    let event: IModels::AskSet = world.last();
    assert_eq!((event.worker, event.privacy, event.evidence, event.price), (WORKER, 1, 3, 200));
    ask(&mut world, WORKER, (1, 3), "http://short").unwrap();
    ask(&mut world, WORKER, (0, 0), "http://other").unwrap();
    let listed = asks(&mut world);
    assert_eq!(listed.len(), 2);
    assert_eq!(
        listed[0],
        IModels::Ask {
            worker: WORKER,
            privacy: 1,
            evidence: 3,
            price: 200,
            sealingKey: B256::repeat_byte(5),
            endpoint: "http://short".into(),
        }
    );
    remove(&mut world, WORKER, (1, 3)).unwrap();
    let left = asks(&mut world);
    assert_eq!((left.len(), left[0].endpoint.as_str()), (1, "http://other"));
    assert_eq!(remove(&mut world, WORKER, (1, 3)), Err(reverts(IModels::NoSuchAsk {})));
    remove(&mut world, WORKER, (0, 0)).unwrap();
    assert!(asks(&mut world).is_empty());
}

#[test]
fn nobody_removes_another_workers_ask() {
    let mut world = published();
    ask(&mut world, WORKER, (1, 3), "http://w").unwrap();
    assert_eq!(remove(&mut world, OWNER, (1, 3)), Err(reverts(IModels::NoSuchAsk {})));
}

#[test]
fn modes_beyond_the_list_are_refused() {
    let mut world = published();
    for (privacy, evidence) in [(5, 0), (0, 4), (255, 255)] {
        let refused = ask(&mut world, WORKER, (privacy, evidence), "http://w");
        assert_eq!(refused, Err(reverts(IModels::BadMode { privacy, evidence })));
    }
}

#[test]
fn bad_endpoints_are_refused() {
    let mut world = published();
    let long = "h".repeat(129);
    for endpoint in ["", "a b", "line\nbreak", "\u{1b}[31m", "ü", &long] {
        assert_eq!(ask(&mut world, WORKER, (0, 0), endpoint), Err(reverts(IModels::BadEndpoint {})));
    }
}

#[test]
fn strangers_cannot_crowd_the_owner_out() {
    let mut world = published();
    for number in 0..MAX_ASKS {
        let stranger = Address::from_word(U256::from(number + 1000).into());
        ask(&mut world, stranger, (0, 0), "http://s").unwrap();
    }
    assert_eq!(
        ask(&mut world, WORKER, (0, 0), "http://w"),
        Err(reverts(IModels::TooManyAsks { limit: MAX_ASKS }))
    );
    for privacy in 0..5 {
        for evidence in 0..4 {
            ask(&mut world, OWNER, (privacy, evidence), "http://o").unwrap();
        }
    }
    assert_eq!(asks(&mut world).len() as u32, MAX_ASKS + MODES);
    // A new owner finds the kept places taken by the old one.
    let transfer = IModels::transferOwnershipCall { modelId: ID, next: WORKER };
    world.call(MODELS, OWNER, &transfer).unwrap();
    assert_eq!(
        ask(&mut world, WORKER, (0, 0), "http://w"),
        Err(reverts(IModels::TooManyAsks { limit: MAX_ASKS + MODES }))
    );
}

#[test]
fn shared_refusals_come_before_methods() {
    let mut world = published();
    let unknown = world.send(MODELS, OWNER, U256::ZERO, &[0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(unknown, Err(reverts(IModule::UnknownSelector { selector: [0xde, 0xad, 0xbe, 0xef].into() })));
    for short in [&[][..], &[0xde], &[0xde, 0xad, 0xbe]] {
        let mut selector = [0; 4];
        selector[..short.len()].copy_from_slice(short);
        let refused = world.send(MODELS, OWNER, U256::ZERO, short);
        assert_eq!(refused, Err(reverts(IModule::UnknownSelector { selector: selector.into() })));
    }
    let count = alloy_sol_types::SolCall::abi_encode(&IModels::countCall {});
    world.is_borrowed = true;
    let refused = world.send(MODELS, OWNER, U256::ZERO, &count);
    assert_eq!(refused, Err(reverts(IModule::DelegateCall {})));
}

#[test]
fn malformed_arguments_are_refused() {
    let mut world = published();
    let selector = <IModels::setAskCall as alloy_sol_types::SolCall>::SELECTOR;
    let malformed = Err(reverts(IModule::MalformedInput { selector: selector.into() }));
    let good = alloy_sol_types::SolCall::abi_encode(&IModels::setAskCall {
        modelId: ID,
        privacy: 1,
        evidence: 3,
        price: 1,
        sealingKey: B256::ZERO,
        endpoint: "http://w".into(),
    });
    // Cut short anywhere before the padding; a privacy that does not fit eight bits; an endpoint that lies about place or length.
    for length in 4..4 + 32 * 7 + "http://w".len() {
        assert!(world.send(MODELS, WORKER, U256::ZERO, &good[..length]).is_err(), "{length}");
    }
    for place in [4 + 32, 4 + 32 * 3, 4 + 32 * 5, 4 + 32 * 6] {
        let mut bad = good.clone();
        bad[place] = 0xff;
        assert_eq!(world.send(MODELS, WORKER, U256::ZERO, &bad), malformed);
    }
}

proptest! {
    /// No input makes a module panic, and a refused one changes nothing.
    #[test]
    fn any_bytes_are_answered(
        module in 0_usize..3,
        method in 0_usize..9,
        arguments in prop::collection::vec(any::<u8>(), 0..300),
        small in any::<bool>(),
    ) {
        let mut world = published();
        let selectors: &[[u8; 4]] = match module {
            0 => IModels::IModelsCalls::SELECTORS,
            1 => tacit_abi::IChannels::IChannelsCalls::SELECTORS,
            _ => tacit_abi::IReceipts::IReceiptsCalls::SELECTORS,
        };
        let mut input = selectors[method % selectors.len()].to_vec();
        // Small words make it past the decoder more often.
        for (place, byte) in arguments.into_iter().enumerate() {
            input.push(if small && place % 32 < 30 { 0 } else { byte });
        }
        let before = world.clone();
        if world.send(MODULES[module], OWNER, U256::ZERO, &input).is_err() {
            prop_assert_eq!(world, before);
        }
    }

    /// Any order of setting and removing asks leaves exactly the asks of a plain map.
    #[test]
    fn asks_behave_like_a_map(steps in prop::collection::vec((0_u8..4, 0_u8..2, 0_u8..2, any::<bool>(), 1_usize..70), 0..40)) {
        let mut world = published();
        let empty = world.storage.clone();
        let mut oracle = std::collections::BTreeMap::new();
        for (worker, privacy, evidence, set, length) in steps {
            let caller = Address::repeat_byte(worker + 1);
            let key = (caller, privacy, evidence);
            if set {
                let endpoint = "e".repeat(length);
                ask(&mut world, caller, (privacy, evidence), &endpoint).unwrap();
                oracle.insert(key, endpoint);
            } else {
                let removed = remove(&mut world, caller, (privacy, evidence)).is_ok();
                prop_assert_eq!(removed, oracle.remove(&key).is_some());
            }
            let listed: std::collections::BTreeMap<_, _> = asks(&mut world)
                .into_iter()
                .map(|ask| ((ask.worker, ask.privacy, ask.evidence), ask.endpoint))
                .collect();
            prop_assert_eq!(&listed, &oracle);
        }
        for (caller, privacy, evidence) in oracle.into_keys() {
            remove(&mut world, caller, (privacy, evidence)).unwrap();
        }
        // Removing everything gives every slot back.
        prop_assert_eq!(world.storage, empty);
    }
}
