//! Blocks become final, with what was sent in them, at every validator alike.

use crate::{
    network::{Network, World, simulate, simulate_late},
    people::{COIN, HISTORIAN, START_S, address, pay, sign},
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolCall as _;
use commonware_runtime::deterministic::Context;
use std::sync::atomic::Ordering;
use tacit_abi::{IModels, models};

/// Transfers among four, a contract that is made and called, and a module.
pub(crate) fn send_everything(world: &World) -> usize {
    for nonce in 0..10 {
        for person in 1..=3 {
            world.pool.add(pay(person, nonce, address(person % 3 + 1), COIN));
        }
    }
    world.pool.add(sign(4, 0, TxKind::Create, 0, HISTORIAN));
    let contract = address(4).create(0);
    world.pool.add(sign(4, 1, TxKind::Call(contract), 0, Bytes::new()));
    let publish = IModels::publishCall { modelId: id(), weightRoot: id(), name: "digits".into() };
    world.pool.add(sign(4, 2, TxKind::Call(models::ADDRESS), 0, publish.abi_encode()));
    33
}

fn id() -> B256 {
    keccak256("a model")
}

async fn run(context: Context, validators: usize) {
    let mut network = Network::start(context, World::new(validators)).await;
    network.until("first blocks", |world| world.height() >= 6).await;
    let sent = send_everything(&network.world);
    network.settle(0..validators, 3).await;

    let chain = network.world.chain();
    let included: usize = chain.values().map(|block| block.block().body.transactions.len()).sum();
    assert_eq!(included, sent);
    let state = network.world.replay();
    assert!(
        state.accounts[&models::ADDRESS].nonce == 1
            && state.storage.keys().any(|(at, _)| *at == models::ADDRESS)
    );
    // The contract saw the hashes of the blocks before its own, the nearer from the header, the farther from state.
    let contract = address(4).create(0);
    let called = chain
        .values()
        .find(|block| block.block().body.transactions.iter().any(|sent| sent.to() == Some(contract)))
        .unwrap();
    let number = called.block().header.number;
    for (slot, back) in [(0_u64, 1), (1, 5)] {
        let stored = state.storage[&(contract, U256::from(slot))];
        assert_eq!(B256::from(stored), chain[&(number - back)].hash(), "{back} blocks before {number}");
    }
    for i in 0..validators {
        network.check_database(i, &state).await;
        let validator = network.validator(i).await;
        for (number, block) in &chain {
            let archived = validator.block(*number).await;
            assert!(archived.is_none_or(|archived| archived == *block), "archive of {i} at {number}");
        }
        assert!(validator.certificate(1).await.is_some());
    }
    // Whoever did not propose a block executed it.
    let checked: usize = network.world.checked.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    assert!(checked >= sent * (validators - 1), "{checked} transactions were checked");
    for i in 0..validators {
        network.crash(i).await;
    }
}

#[test]
fn one_validator_finalises() {
    simulate(1, |context| run(context, 1));
}

#[test]
fn four_validators_finalise_the_same() {
    simulate(2, |context| run(context, 4));
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        simulate(seed, |context| async move {
            let network = Network::start(context, World::new(4)).await;
            send_everything(&network.world);
            network.settle(0..4, 8).await;
            network.world.chain().into_values().map(|block| block.hash()).collect::<Vec<_>>()
        })
    };
    assert_eq!(history(3), history(3));
    assert!(history(3).len() > 8);
}

#[test]
fn after_a_long_halt_timestamps_catch_up_in_steps() {
    let late = 100;
    simulate_late(6, late, |context| async move {
        let network = Network::start(context, World::new(1)).await;
        network.until("blocks", |world| world.height() >= 8).await;
        let times: Vec<u64> =
            network.world.chain().values().map(|block| block.block().header.timestamp - START_S).collect();
        assert_eq!(times[..3], [30, 60, 90]);
        assert!(times[3] >= late && times.is_sorted() && times[7] <= late + 3, "{times:?}");
    });
}

#[test]
fn a_journal_that_is_full_stops_the_validator() {
    let mut world = World::new(1);
    world.journals[0].full_at = Some(4);
    let run = || {
        simulate(7, |context| async {
            let network = Network::start(context, world.clone()).await;
            network.until("never", |world| world.height() >= 4).await;
        })
    };
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(message, "validator halts: the journal is full");
    assert_eq!(world.height(), 3);
}

/// A leader that offers others' transactions as if the victim had sent them, so that the victim would pay.
#[test]
fn a_leader_that_forges_senders_gets_nothing_final() {
    simulate(5, |context| async move {
        let mut world = World::new(4);
        world.thief = Some((2, address(4)));
        let network = Network::start(context, world).await;
        // The victim's next nonce, so that the thief's own executor takes the bait.
        world_of(&network).pool.add(pay(1, 0, Address::repeat_byte(0x66), COIN));
        network.settle(0..4, 8).await;
        let state = network.world.replay();
        assert_eq!(state.accounts[&address(4)].balance, U256::from(1_000 * COIN));
        assert_eq!(state.accounts[&Address::repeat_byte(0x66)].balance, U256::from(COIN));
        let thief = Address::repeat_byte(0xb2);
        let paid = network.world.chain().values().any(|block| {
            block.block().header.beneficiary == thief && !block.block().body.transactions.is_empty()
        });
        assert!(!paid, "a forged block is final");
    });
}

fn world_of(network: &Network) -> &World {
    &network.world
}
