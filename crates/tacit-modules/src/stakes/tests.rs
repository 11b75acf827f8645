//! Stakes come in, wait, and go home; the sums agree.

use crate::{
    Failure, MODULES, Module,
    testing::{World, reverts},
};
use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tacit_abi::{IModule, IStakes, stakes::UNBONDING_S};

const STAKES: Module = MODULES[5];
const WORKER: Address = Address::repeat_byte(0x22);

fn funded() -> World {
    let mut world = World::new();
    world.fund(WORKER, 1_000);
    world
}

fn bond(world: &mut World, worker: Address, amount: u128) -> Result<(), Failure> {
    world.pay_call(STAKES, worker, amount, &IStakes::bondCall {}).map(|_| ())
}

fn unbond(world: &mut World, worker: Address, amount: u128) -> Result<(), Failure> {
    world.call(STAKES, worker, &IStakes::unbondCall { amount }).map(|_| ())
}

fn withdraw(world: &mut World, worker: Address) -> Result<(), Failure> {
    world.call(STAKES, worker, &IStakes::withdrawCall {}).map(|_| ())
}

fn stake(world: &mut World, worker: Address) -> IStakes::Stake {
    world.call(STAKES, Address::ZERO, &IStakes::stakeOfCall { worker }).unwrap()
}

#[test]
fn a_stake_comes_home_after_its_time() {
    let mut world = funded();
    bond(&mut world, WORKER, 600).unwrap();
    bond(&mut world, WORKER, 100).unwrap();
    assert_eq!(world.last::<IStakes::Bonded>(), IStakes::Bonded { worker: WORKER, amount: 100, bonded: 700 });
    unbond(&mut world, WORKER, 300).unwrap();
    let release = world.now + UNBONDING_S;
    assert_eq!(stake(&mut world, WORKER), IStakes::Stake { bonded: 400, unbonding: 300, releaseAt: release });
    assert_eq!(withdraw(&mut world, WORKER), Err(reverts(IStakes::StillBonded { releaseAt: release })));
    world.now = release - 1;
    assert_eq!(withdraw(&mut world, WORKER), Err(reverts(IStakes::StillBonded { releaseAt: release })));
    world.now = release;
    withdraw(&mut world, WORKER).unwrap();
    assert_eq!(world.last::<IStakes::Withdrawn>(), IStakes::Withdrawn { worker: WORKER, amount: 300 });
    assert_eq!(world.balance(WORKER), U256::from(600));
    assert_eq!(stake(&mut world, WORKER), IStakes::Stake { bonded: 400, unbonding: 0, releaseAt: 0 });
    assert_eq!(withdraw(&mut world, WORKER), Err(reverts(IStakes::NothingUnbonding {})));
}

#[test]
fn unbonding_again_starts_the_time_anew() {
    let mut world = funded();
    bond(&mut world, WORKER, 600).unwrap();
    unbond(&mut world, WORKER, 100).unwrap();
    world.now += UNBONDING_S - 1;
    unbond(&mut world, WORKER, 100).unwrap();
    world.now += 1;
    let release = world.now - 1 + UNBONDING_S;
    assert_eq!(withdraw(&mut world, WORKER), Err(reverts(IStakes::StillBonded { releaseAt: release })));
}

#[test]
fn amounts_that_make_no_sense_are_refused() {
    let mut world = funded();
    assert_eq!(bond(&mut world, WORKER, 0), Err(reverts(IStakes::ZeroAmount {})));
    bond(&mut world, WORKER, 5).unwrap();
    assert_eq!(unbond(&mut world, WORKER, 0), Err(reverts(IStakes::ZeroAmount {})));
    assert_eq!(unbond(&mut world, WORKER, 6), Err(reverts(IStakes::StakeTooSmall { bonded: 5 })));
    assert_eq!(unbond(&mut world, Address::ZERO, 1), Err(reverts(IStakes::StakeTooSmall { bonded: 0 })));
    *world.balances.entry(WORKER).or_default() = U256::MAX;
    let all = alloy_sol_types::SolCall::abi_encode(&IStakes::bondCall {});
    let refused = world.send(STAKES, WORKER, U256::from(u128::MAX), &all);
    assert_eq!(refused, Err(reverts(IStakes::StakeTooLarge {})));
    let refused = world.send(STAKES, WORKER, U256::from(u128::MAX) + U256::ONE, &all);
    assert_eq!(refused, Err(reverts(IStakes::StakeTooLarge {})));
    let paid = world.pay_call(STAKES, WORKER, 1, &IStakes::withdrawCall {}).map(|_| ());
    assert_eq!(paid, Err(reverts(IModule::NotPayable {})));
}

proptest! {
    /// Whatever workers do, the module holds exactly what it owes, and nobody's coins become another's.
    #[test]
    fn coins_are_conserved(steps in prop::collection::vec((1_u8..4, 0_u8..4, 0_u128..50, 0_u64..400_000), 0..60)) {
        let mut world = World::new();
        let mut owned: BTreeMap<Address, u128> = BTreeMap::new();
        for worker in 1..4 {
            let worker = Address::repeat_byte(worker);
            world.fund(worker, 100);
            owned.insert(worker, 100);
        }
        for (worker, method, amount, wait) in steps {
            let worker = Address::repeat_byte(worker);
            let _ = match method {
                0 if world.balance(worker) >= U256::from(amount) => bond(&mut world, worker, amount),
                1 => unbond(&mut world, worker, amount),
                2 => withdraw(&mut world, worker),
                _ => Ok(()),
            };
            world.now += wait;
            let mut held = 0;
            for (worker, coins) in &owned {
                let IStakes::Stake { bonded, unbonding, .. } = stake(&mut world, *worker);
                held += bonded + unbonding;
                prop_assert_eq!(world.balance(*worker) + U256::from(bonded + unbonding), U256::from(*coins));
            }
            prop_assert_eq!(world.balance(STAKES.address), U256::from(held));
        }
    }
}
