//! Random histories of many validators, compared step by step with a naive oracle; coin is counted after each step, and the set of
//! an epoch, once fixed, may never change.

use crate::{
    MODULES, Module,
    testing::{World, key},
    validators::{
        DELAY_EPOCHS, Parameters, Staking, validator_set,
        votes::{NAMESPACE, Voter},
    },
};
use alloy_primitives::{Address, B256, U256};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tacit_abi::{
    IValidators::{self, Seat},
    validators::{ADDRESS, BURNED},
};

const VALIDATORS: Module = MODULES[4];
const PEOPLE: u8 = 5;
const KEYS: u8 = 7;
const COINS: i128 = 1_000;
const RULES: Parameters = Parameters {
    epoch_blocks: 8,
    unbonding_seconds: 40,
    unbonding_epochs: 2,
    seats: 2,
    candidates: 3,
    stake_min: 20,
};

#[derive(Debug, Clone)]
enum Step {
    Join { owner: u8, key: u8, stake: u8, proof_for: u8 },
    TopUp { owner: u8, amount: u8 },
    Leave { owner: u8 },
    Withdraw { owner: u8 },
    Slash { reporter: u8, key: u8, signer: u8, kind: u8 },
    Wait { blocks: u8, seconds: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let person = 1..=PEOPLE;
    let key = 0..KEYS;
    prop_oneof![
        8 => (person.clone(), key.clone(), 15_u8..60, prop_oneof![9 => Just(0_u8), 1 => person.clone()])
            .prop_map(|(owner, key, stake, other)| {
                Step::Join { owner, key, stake, proof_for: if other == 0 { owner } else { other } }
            }),
        2 => (person.clone(), 0_u8..40).prop_map(|(owner, amount)| Step::TopUp { owner, amount }),
        4 => person.clone().prop_map(|owner| Step::Leave { owner }),
        5 => person.clone().prop_map(|owner| Step::Withdraw { owner }),
        1 => (person, key.clone(), prop_oneof![4 => Just(KEYS), 1 => key], 7_u8..10).prop_map(
            |(reporter, key, signer, kind)| {
                Step::Slash { reporter, key, signer: if signer == KEYS { key } else { signer }, kind }
            }
        ),
        6 => (0_u8..14, 0_u8..30).prop_map(|(blocks, seconds)| Step::Wait { blocks, seconds }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Active,
    Leaving { exit_epoch: u64, release_at: u64 },
    Gone,
    Barred,
}

/// What a validator is, in the fewest words.
#[derive(Debug, Clone)]
struct Simple {
    owner: u8,
    stake: u128,
    stand: Stand,
    /// Every change of what it counts, with the first epoch it holds for.
    history: Vec<(u64, u128)>,
}

impl Simple {
    fn weight(&self, epoch: u64) -> u128 {
        self.history.iter().rev().find(|(from, _)| *from <= epoch).map_or(0, |(_, weight)| *weight)
    }
}

#[derive(Debug, Default)]
struct Model {
    validators: BTreeMap<u8, Simple>,
    /// Keys that are looked at when a set is made.
    listed: Vec<u8>,
    balances: BTreeMap<u8, i128>,
    burned: u128,
}

impl Model {
    fn of(&self, owner: u8) -> Option<u8> {
        let mut owned = self.validators.iter().filter(|(_, simple)| {
            simple.owner == owner && !matches!(simple.stand, Stand::Gone | Stand::Barred)
        });
        owned.next().map(|(key, _)| *key)
    }

    fn active(&self) -> Vec<u8> {
        let active = self.validators.iter().filter(|(_, simple)| simple.stand == Stand::Active);
        active.map(|(key, _)| *key).collect()
    }

    fn set(&self, epoch: u64, address: impl Fn(u8) -> Address) -> Vec<Seat> {
        let mut set: Vec<Seat> = self
            .validators
            .iter()
            .map(|(key, simple)| Seat {
                key: Voter::new(*key).key(),
                owner: address(simple.owner),
                stake: simple.weight(epoch),
            })
            .filter(|seat| seat.stake > 0)
            .collect();
        set.sort_by_key(|seat| (u128::MAX - seat.stake, seat.key));
        set.truncate(usize::from(RULES.seats));
        set
    }

    fn leave(&mut self, key: u8, epoch: u64, now: u64) {
        let simple = self.validators.get_mut(&key).unwrap();
        let release_at = now + RULES.unbonding_seconds;
        simple.stand = Stand::Leaving { exit_epoch: epoch + DELAY_EPOCHS, release_at };
        simple.history.push((epoch + DELAY_EPOCHS, 0));
    }

    /// Whether there is room for one more, and who has to go.
    fn room(&mut self, key: u8, stake: u128, epoch: u64) -> Option<Option<u8>> {
        let limit = usize::from(RULES.candidates);
        let (active, listed) = (self.active(), self.listed.len());
        let last = if active.len() >= limit {
            let last = active
                .into_iter()
                .min_by_key(|key| (self.validators[key].stake, core::cmp::Reverse(Voter::new(*key).key())))
                .unwrap();
            if self.validators[&last].stake >= stake {
                return None;
            }
            Some(last)
        } else {
            None
        };
        if last.is_none() && listed < 2 * limit {
            self.listed.push(key);
            return Some(None);
        }
        let dead =
            |key: &u8| (epoch..=epoch + DELAY_EPOCHS).all(|epoch| self.validators[key].weight(epoch) == 0);
        match self.listed.iter().position(dead) {
            Some(place) => self.listed[place] = key,
            None if listed < 2 * limit => self.listed.push(key),
            None => return None,
        }
        Some(last)
    }

    fn apply(&mut self, step: &Step, epoch: u64, now: u64) -> bool {
        match *step {
            Step::Wait { .. } => true,
            Step::Join { owner, key, stake, proof_for } => {
                let known = self.validators.get(&key);
                let free = known.is_none_or(|simple| simple.stand == Stand::Gone);
                let stake_wide = u128::from(stake);
                if stake_wide < RULES.stake_min || self.of(owner).is_some() || !free || proof_for != owner {
                    return false;
                }
                let Some(displaced) = self.room(key, stake_wide, epoch) else { return false };
                if let Some(displaced) = displaced {
                    self.leave(displaced, epoch, now);
                }
                let mut history = known_history(self.validators.remove(&key));
                history.push((epoch + DELAY_EPOCHS, stake_wide));
                let simple = Simple { owner, stake: stake_wide, stand: Stand::Active, history };
                self.validators.insert(key, simple);
                *self.balances.entry(owner).or_default() -= i128::from(stake);
                true
            }
            Step::TopUp { owner, amount } => {
                let Some(key) = self.of(owner) else { return false };
                let simple = self.validators.get_mut(&key).unwrap();
                if amount == 0 || simple.stand != Stand::Active {
                    return false;
                }
                simple.stake += u128::from(amount);
                simple.history.push((epoch + DELAY_EPOCHS, simple.stake));
                *self.balances.entry(owner).or_default() -= i128::from(amount);
                true
            }
            Step::Leave { owner } => {
                let Some(key) = self.of(owner) else { return false };
                if self.validators[&key].stand != Stand::Active || self.active().len() == 1 {
                    return false;
                }
                self.leave(key, epoch, now);
                true
            }
            Step::Withdraw { owner } => {
                let Some(key) = self.of(owner) else { return false };
                let simple = self.validators.get_mut(&key).unwrap();
                let Stand::Leaving { exit_epoch, release_at } = simple.stand else { return false };
                if epoch < exit_epoch + u64::from(RULES.unbonding_epochs) || now < release_at {
                    return false;
                }
                // Nobody withdraws early: it counted in no epoch of the whole delay.
                let delay = u64::from(RULES.unbonding_epochs);
                assert!((epoch - delay..=epoch).all(|epoch| simple.weight(epoch) == 0));
                simple.stand = Stand::Gone;
                *self.balances.entry(owner).or_default() += simple.stake as i128;
                simple.stake = 0;
                if let Some(place) = self.listed.iter().position(|listed| *listed == key) {
                    self.listed.swap_remove(place);
                }
                true
            }
            Step::Slash { reporter, key, signer, .. } => {
                let Some(simple) = self.validators.get_mut(&key) else { return false };
                if simple.stand == Stand::Barred || signer != key {
                    return false;
                }
                let reward = (RULES.stake_min / 20).min(simple.stake);
                *self.balances.entry(reporter).or_default() += reward as i128;
                self.burned += simple.stake - reward;
                simple.stake = 0;
                simple.stand = Stand::Barred;
                simple.history.push((epoch + DELAY_EPOCHS, 0));
                true
            }
        }
    }
}

fn known_history(simple: Option<Simple>) -> Vec<(u64, u128)> {
    simple.map(|simple| simple.history).unwrap_or_default()
}

/// The step as a message, and whether it was accepted.
fn send(world: &mut World, step: &Step, address: impl Fn(u8) -> Address) -> bool {
    let mut pay = |from: u8, value: u8, call: &dyn Fn(&mut World, Address, u128) -> bool| {
        world.balance(address(from)) >= U256::from(value) && call(world, address(from), value.into())
    };
    match *step {
        Step::Wait { .. } => true,
        Step::Join { owner, key, stake, proof_for } => pay(owner, stake, &|world, from, value| {
            let voter = Voter::new(key);
            let call = IValidators::joinCall { key: voter.key(), proof: voter.proof(address(proof_for)) };
            world.pay_call(VALIDATORS, from, value, &call).is_ok()
        }),
        Step::TopUp { owner, amount } => pay(owner, amount, &|world, from, value| {
            world.pay_call(VALIDATORS, from, value, &IValidators::topUpCall {}).is_ok()
        }),
        Step::Leave { owner } => {
            pay(owner, 0, &|world, from, _| world.call(VALIDATORS, from, &IValidators::leaveCall {}).is_ok())
        }
        Step::Withdraw { owner } => pay(owner, 0, &|world, from, _| {
            world.call(VALIDATORS, from, &IValidators::withdrawCall {}).is_ok()
        }),
        Step::Slash { reporter, key, signer, kind } => pay(reporter, 0, &|world, from, _| {
            let evidence = Voter::new(signer).evidence((0, 9), kind).into();
            let call = IValidators::slashCall { key: Voter::new(key).key(), evidence };
            world.call(VALIDATORS, from, &call).is_ok()
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_histories_agree_with_the_oracle(steps in prop::collection::vec(step(), 1..90)) {
        let people: Vec<Address> = (0..=PEOPLE).map(|n| key(n.max(1)).1).collect();
        let address = |person: u8| people[usize::from(person)];
        let mut world = World::new();
        world.block = 0;
        let mut model = Model::default();
        for person in 1..=PEOPLE {
            world.fund(address(person), COINS as u128);
        }
        let mut founders = Vec::new();
        for (key, stake) in [(0, 30), (1, 40)] {
            let owner = key + 1;
            founders.push(Voter::new(key).founder(address(owner), stake));
            let simple = Simple { owner, stake, stand: Stand::Active, history: vec![(0, stake)] };
            model.validators.insert(key, simple);
            model.listed.push(key);
        }
        // The founders are listed by key.
        model.listed.sort_by_key(|key| Voter::new(*key).key());
        let first = Staking { parameters: RULES, founders }.first_state(NAMESPACE).unwrap();
        world.balances.insert(ADDRESS, first.balance);
        world.storage.extend(first.slots.into_iter().map(|(slot, value)| ((ADDRESS, slot), value)));
        let total: U256 = world.balances.values().copied().sum();
        let mut fixed: BTreeMap<u64, Vec<Seat>> = BTreeMap::new();

        for step in steps {
            if let Step::Wait { blocks, seconds } = step {
                world.block += u64::from(blocks);
                world.now += u64::from(seconds);
            }
            let epoch = world.block / RULES.epoch_blocks;
            let affordable = match step {
                Step::Join { owner, stake: value, .. } | Step::TopUp { owner, amount: value } => {
                    COINS + model.balances.get(&owner).copied().unwrap_or_default() >= i128::from(value)
                }
                _ => true,
            };
            let want = affordable && model.apply(&step, epoch, world.now);
            prop_assert_eq!(send(&mut world, &step, address), want, "{:?}", step);

            // Conservation, and the module holds exactly what is staked.
            prop_assert_eq!(world.balances.values().copied().sum::<U256>(), total);
            let staked: u128 = model.validators.values().map(|simple| simple.stake).sum();
            prop_assert_eq!(world.balance(ADDRESS), U256::from(staked));
            prop_assert_eq!(world.balance(BURNED), U256::from(model.burned));
            for person in 1..=PEOPLE {
                let change = model.balances.get(&person).copied().unwrap_or_default();
                prop_assert_eq!(world.balance(address(person)), U256::from((COINS + change) as u128));
                let owned = model.of(person).map_or(B256::ZERO, |key| Voter::new(key).key());
                let call = IValidators::keyOfCall { owner: address(person) };
                prop_assert_eq!(world.call(VALIDATORS, address(1), &call).unwrap(), owned);
            }
            for (key, simple) in &model.validators {
                let call = IValidators::validatorCall { key: Voter::new(*key).key() };
                let record = world.call(VALIDATORS, address(1), &call).unwrap();
                prop_assert_eq!((record.stake, record.owner), (simple.stake, address(simple.owner)));
                let status = match simple.stand {
                    Stand::Active => 1,
                    Stand::Leaving { exit_epoch, release_at } => {
                        prop_assert_eq!((record.exitEpoch, record.releaseAt), (exit_epoch, release_at));
                        2
                    }
                    Stand::Gone => 3,
                    Stand::Barred => 4,
                };
                prop_assert_eq!(record.status, status);
            }

            // Sets, by the view and from plain storage; once fixed, for good.
            for asked in epoch..=epoch + DELAY_EPOCHS {
                let call = IValidators::validatorSetCall { epoch: asked };
                let set = world.call(VALIDATORS, address(1), &call).unwrap();
                prop_assert_eq!(&set, &model.set(asked, address));
                let is_fixed = asked < epoch + DELAY_EPOCHS || (world.block + 1).is_multiple_of(RULES.epoch_blocks);
                let read = |slot| Ok(world.storage.get(&(ADDRESS, slot)).copied().unwrap_or_default());
                let pure = validator_set::<core::convert::Infallible>(world.block, asked, read);
                prop_assert_eq!(pure.as_ref().ok(), is_fixed.then_some(&set));
                if asked < epoch + DELAY_EPOCHS {
                    prop_assert_eq!(fixed.entry(asked).or_insert_with(|| set.clone()), &set);
                }
            }
        }
    }
}
