//! Publication and names.

use crate::{
    Failure, MODULES, Module,
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

proptest! {
    /// No input makes a module panic, and a refused one changes nothing.
    #[test]
    fn any_bytes_are_answered(
        module in 0_usize..MODULES.len(),
        method in 0_usize..32,
        arguments in prop::collection::vec(any::<u8>(), 0..300),
        small in any::<bool>(),
    ) {
        let mut world = published();
        let selectors: &[[u8; 4]] = [
            IModels::IModelsCalls::SELECTORS,
            tacit_abi::IChannels::IChannelsCalls::SELECTORS,
            tacit_abi::IReceipts::IReceiptsCalls::SELECTORS,
            tacit_abi::IProofs::IProofsCalls::SELECTORS,
            tacit_abi::IValidators::IValidatorsCalls::SELECTORS,
            tacit_abi::IStakes::IStakesCalls::SELECTORS,
            tacit_abi::IAsks::IAsksCalls::SELECTORS,
            tacit_abi::IAudits::IAuditsCalls::SELECTORS,
            tacit_abi::IPolicies::IPoliciesCalls::SELECTORS,
            tacit_abi::ISubnets::ISubnetsCalls::SELECTORS,
            tacit_abi::IBeacons::IBeaconsCalls::SELECTORS,
        ][module];
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
}
