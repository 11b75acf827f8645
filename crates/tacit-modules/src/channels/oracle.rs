//! Random histories of many channels, compared step by step with a naive oracle; coin is counted after each step.

use crate::{
    MODULES, Module,
    testing::{CHAIN_ID, World, key, voucher},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tacit_abi::{
    IChannels,
    channels::{ADDRESS, GRACE_S, channel_id},
};

const CHANNELS: Module = MODULES[1];
const NO_CHANNEL: B256 = B256::repeat_byte(0x5a);

#[derive(Debug, Clone)]
enum Step {
    Open { client: u8, worker: u8, salt: u8, deposit: u64 },
    TopUp { channel: u8, amount: u64 },
    Settle { channel: u8, cumulative: u64, signer: u8 },
    RequestClose { channel: u8, caller: u8 },
    Close { channel: u8, caller: u8 },
    CloseByWorker { channel: u8, caller: u8, cumulative: u64, signed: bool },
    Wait { seconds: u16 },
}

/// What a channel is, in the fewest words.
#[derive(Debug, Clone)]
struct Simple {
    client: u8,
    worker: u8,
    deposit: u128,
    settled: u128,
    close_at: Option<u64>,
    open: bool,
}

const PEOPLE: u8 = 4;

fn step() -> impl Strategy<Value = Step> {
    let person = 1..=PEOPLE;
    let channel = 0_u8..6;
    let amount = 0_u64..50;
    prop_oneof![
        3 => (person.clone(), person.clone(), 0_u8..2, amount.clone())
            .prop_map(|(client, worker, salt, deposit)| Step::Open { client, worker, salt, deposit }),
        1 => (channel.clone(), amount.clone()).prop_map(|(channel, amount)| Step::TopUp { channel, amount }),
        6 => (channel.clone(), amount.clone(), prop_oneof![5 => Just(0_u8), 1 => person.clone()])
            .prop_map(|(channel, cumulative, signer)| Step::Settle { channel, cumulative, signer }),
        2 => (channel.clone(), person.clone())
            .prop_map(|(channel, caller)| Step::RequestClose { channel, caller }),
        2 => (channel.clone(), person.clone()).prop_map(|(channel, caller)| Step::Close { channel, caller }),
        1 => (channel, person, amount, any::<bool>()).prop_map(|(channel, caller, cumulative, signed)| {
            Step::CloseByWorker { channel, caller, cumulative, signed }
        }),
        2 => (0_u16..1200).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After every step the module agrees with the oracle on success, balances and records, and coin is conserved.
    #[test]
    fn random_histories_agree_with_the_oracle(steps in prop::collection::vec(step(), 1..60)) {
        let people: Vec<(B256, Address)> = (0..=PEOPLE).map(|n| key(n.max(1))).collect();
        let address = |person: u8| people[usize::from(person)].1;
        let mut world = World::new();
        for person in 1..=PEOPLE {
            world.fund(address(person), 1_000);
        }
        let total: U256 = world.balances.values().copied().sum();
        let mut model: BTreeMap<B256, Simple> = BTreeMap::new();
        let mut ids: Vec<B256> = Vec::new();
        let mut balances = [0_i128; 1 + PEOPLE as usize];

        for step in steps {
            let pick = |channel: u8, ids: &[B256]| ids.get(usize::from(channel)).copied().unwrap_or(NO_CHANNEL);
            let (got, want) = match step {
                Step::Wait { seconds } => {
                    world.now += u64::from(seconds);
                    (true, true)
                }
                Step::Open { client, worker, salt, deposit } => {
                    let salt = B256::repeat_byte(salt);
                    let call = IChannels::openCall { worker: address(worker), signer: Address::ZERO, salt };
                    let id = channel_id(
                        CHAIN_ID, address(client), address(worker), address(client), salt,
                    );
                    let affordable = i128::from(deposit) <= 1_000 + balances[usize::from(client)];
                    let want = deposit > 0 && !model.contains_key(&id) && affordable;
                    let got = affordable
                        && world.pay_call(CHANNELS, address(client), deposit.into(), &call) == Ok(id);
                    if want {
                        ids.push(id);
                        balances[usize::from(client)] -= i128::from(deposit);
                        let deposit = deposit.into();
                        let fresh =
                            Simple { client, worker, deposit, settled: 0, close_at: None, open: true };
                        model.insert(id, fresh);
                    }
                    (got, want)
                }
                Step::TopUp { channel, amount } => {
                    let id = pick(channel, &ids);
                    let call = IChannels::topUpCall { channelId: id };
                    let affordable = i128::from(amount) <= 1_000 + balances[1];
                    let got = affordable
                        && world.pay_call(CHANNELS, address(1), amount.into(), &call).is_ok();
                    let want = match model.get_mut(&id) {
                        Some(simple) if simple.open && amount > 0 && affordable => {
                            simple.deposit += u128::from(amount);
                            balances[1] -= i128::from(amount);
                            true
                        }
                        _ => false,
                    };
                    (got, want)
                }
                Step::Settle { channel, cumulative, signer } => {
                    let id = pick(channel, &ids);
                    let cumulative = u128::from(cumulative);
                    let client = model.get(&id).map_or(1, |simple| simple.client);
                    let signer = if signer == 0 { client } else { signer };
                    let signature = voucher(people[usize::from(signer)].0, id, cumulative);
                    let call = IChannels::settleCall { channelId: id, cumulative, signature };
                    let got = world.call(CHANNELS, address(3), &call).is_ok();
                    let want = match model.get_mut(&id) {
                        Some(simple)
                            if simple.open
                                && signer == simple.client
                                && cumulative > simple.settled
                                && cumulative <= simple.deposit =>
                        {
                            balances[usize::from(simple.worker)] += (cumulative - simple.settled) as i128;
                            simple.settled = cumulative;
                            true
                        }
                        _ => false,
                    };
                    (got, want)
                }
                Step::RequestClose { channel, caller } => {
                    let id = pick(channel, &ids);
                    let call = IChannels::requestCloseCall { channelId: id };
                    let got = world.call(CHANNELS, address(caller), &call).is_ok();
                    let want = match model.get_mut(&id) {
                        Some(simple)
                            if simple.open && caller == simple.client && simple.close_at.is_none() =>
                        {
                            simple.close_at = Some(world.now + GRACE_S);
                            true
                        }
                        _ => false,
                    };
                    (got, want)
                }
                Step::Close { channel, caller } => {
                    let id = pick(channel, &ids);
                    let call = IChannels::closeCall { channelId: id };
                    let got = world.call(CHANNELS, address(caller), &call).is_ok();
                    let want = match model.get_mut(&id) {
                        Some(simple)
                            if simple.open
                                && caller == simple.client
                                && simple.close_at.is_some_and(|at| world.now >= at) =>
                        {
                            balances[usize::from(caller)] += (simple.deposit - simple.settled) as i128;
                            simple.open = false;
                            true
                        }
                        _ => false,
                    };
                    (got, want)
                }
                Step::CloseByWorker { channel, caller, cumulative, signed } => {
                    let id = pick(channel, &ids);
                    let cumulative = u128::from(cumulative);
                    let client = model.get(&id).map_or(1, |simple| simple.client);
                    let signature =
                        if signed { voucher(people[usize::from(client)].0, id, cumulative) } else { Bytes::new() };
                    let call = IChannels::closeByWorkerCall { channelId: id, cumulative, signature };
                    let got = world.call(CHANNELS, address(caller), &call).is_ok();
                    let want = match model.get_mut(&id) {
                        Some(simple) if simple.open && caller == simple.worker => {
                            let grows = signed && cumulative > simple.settled && cumulative <= simple.deposit;
                            let rests = !signed && cumulative == simple.settled;
                            if grows || rests {
                                balances[usize::from(caller)] += (cumulative - simple.settled) as i128;
                                simple.settled = cumulative;
                                balances[usize::from(simple.client)] +=
                                    (simple.deposit - simple.settled) as i128;
                                simple.open = false;
                            }
                            grows || rests
                        }
                        _ => false,
                    };
                    (got, want)
                }
            };
            prop_assert_eq!(got, want);

            // Conservation, and the module holds exactly what open channels still owe.
            prop_assert_eq!(world.balances.values().copied().sum::<U256>(), total);
            let owed: u128 = model.values().filter(|c| c.open).map(|c| c.deposit - c.settled).sum();
            prop_assert_eq!(world.balance(ADDRESS), U256::from(owed));
            for person in 1..=PEOPLE {
                let expected = u128::try_from(1_000 + balances[usize::from(person)]).unwrap();
                prop_assert_eq!(world.balance(address(person)), U256::from(expected));
            }
            for (id, simple) in &model {
                let call = IChannels::channelCall { channelId: *id };
                let record = world.call(CHANNELS, address(1), &call).unwrap();
                prop_assert_eq!(record.deposit, simple.deposit);
                prop_assert_eq!(record.settled, simple.settled);
                prop_assert_eq!(record.closeAt, simple.close_at.unwrap_or(0));
                prop_assert_eq!(record.open, simple.open);
            }
        }
    }
}
