//! Validators' stakes on the ledger: from a genesis, through transactions, to sets that consensus would read.

use crate::support::{COIN, Draft, Net, address, genesis};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use ed25519_zebra::{SigningKey, VerificationKey};
use tacit_abi::{
    IValidators,
    validators::{ADDRESS, BURNED, JOIN_SUFFIX},
};
use tacit_ledger::{
    Account, Attributes, Founder, Genesis, GenesisAccount, GenesisError, LtHash, Origin, Outcome, SetError,
    Staking, StakingError, StakingParameters, validators_of,
};

pub(crate) const RULES: StakingParameters = StakingParameters {
    epoch_blocks: 12,
    unbonding_seconds: 20,
    unbonding_epochs: 2,
    seats: 3,
    candidates: 4,
    stake_min: 100 * COIN,
};

fn voter(n: u8) -> SigningKey {
    SigningKey::from([n; 32])
}

pub(crate) fn voter_key(n: u8) -> B256 {
    <[u8; 32]>::from(VerificationKey::from(&voter(n))).into()
}

/// A genesis whose persons have so many coins staked.
pub(crate) fn founders(stakes: &[(u8, u128)]) -> Genesis {
    let founder = |(n, coins): &(u8, u128)| Founder {
        key: voter_key(*n),
        owner: address(*n),
        stake: coins * COIN,
        payer: None,
    };
    let staking = Staking { parameters: RULES, founders: stakes.iter().map(founder).collect() };
    Genesis { staking, ..genesis() }
}

/// What voter `n` signs on that network.
fn sign(genesis: &Genesis, n: u8, suffix: &[u8], message: &[u8]) -> [u8; 64] {
    let namespace = genesis.namespace().unwrap();
    let length = u8::try_from(namespace.len() + suffix.len()).unwrap();
    voter(n).sign(&[&[length], namespace.as_slice(), suffix, message].concat()).to_bytes()
}

fn join(genesis: &Genesis, n: u8) -> Vec<u8> {
    let proof = sign(genesis, n, JOIN_SUFFIX, address(n).as_slice()).into();
    IValidators::joinCall { key: voter_key(n), proof }.abi_encode()
}

/// Two finalizations of view 9 in epoch 0, by signer number 1.
fn slash(genesis: &Genesis, n: u8) -> Vec<u8> {
    let vote = |digest: u8| {
        let message = [[0, 9, 8].as_slice(), &[digest; 32]].concat();
        let signature = sign(genesis, n, b"_FINALIZE", &message);
        [message.as_slice(), &[1], &signature].concat()
    };
    let evidence = [vec![8], vote(1), vote(2)].concat().into();
    IValidators::slashCall { key: voter_key(n), evidence }.abi_encode()
}

fn set(net: &Net, epoch: u64) -> Vec<u128> {
    let set = validators_of(&net.state, net.head.number, epoch).unwrap();
    set.into_iter().map(|seat| seat.stake / COIN).collect()
}

fn wait(net: &mut Net, block: u64) {
    while net.head.number < block {
        let _ = net.mine(Vec::new());
    }
}

fn accepted(outcome: &Outcome) {
    assert!(outcome.receipt.status(), "{}", outcome.output);
}

#[test]
fn stakes_live_their_whole_life_on_the_ledger() {
    let genesis = founders(&[(1, 300), (2, 200)]);
    let mut net = Net::from(&genesis);
    let supply = |net: &Net| net.state.accounts.values().map(|account| account.balance).sum::<U256>();
    let start = supply(&net);
    assert_eq!(net.balance(ADDRESS), U256::from(500 * COIN));
    assert_eq!(set(&net, 0), [300, 200]);
    let namespace = net.view(ADDRESS, &IValidators::namespaceCall {});
    assert_eq!(namespace, genesis.namespace().unwrap());

    let mut fees = U256::ZERO;
    let mut send = |net: &mut Net, from, value, input: Vec<u8>| {
        let outcome = net.send(from, ADDRESS, value, input);
        fees += U256::from(outcome.gas_used) * U256::from(net.head.base_fee_per_gas.unwrap());
        outcome
    };
    let joined = send(&mut net, 3, 250 * COIN, join(&genesis, 3));
    accepted(&joined);
    let event = IValidators::Joined::decode_log(&joined.receipt.logs()[0]).unwrap();
    assert_eq!((event.key, event.owner, event.fromEpoch), (voter_key(3), address(3), 4));
    // Somebody else's proof.
    let stolen = send(&mut net, 4, 250 * COIN, join(&genesis, 3));
    assert_eq!(stolen.output, IValidators::KeyTaken { key: voter_key(3) }.abi_encode());
    accepted(&send(&mut net, 1, 0, IValidators::leaveCall {}.abi_encode()));
    wait(&mut net, 11);
    let fixed = set(&net, 4);
    assert_eq!(fixed, [250, 200]);
    assert_eq!(set(&net, 1), [300, 200]);
    wait(&mut net, 22);

    let before = net.balance(address(4));
    let slashed = send(&mut net, 4, 0, slash(&genesis, 2));
    accepted(&slashed);
    let event = IValidators::Slashed::decode_log(&slashed.receipt.logs()[0]).unwrap();
    assert_eq!((event.reward, event.burned), (5 * COIN, 195 * COIN));
    assert!(net.balance(address(4)) > before + U256::from(4 * COIN), "a report pays for itself");
    assert_eq!(net.balance(BURNED), U256::from(195 * COIN));
    assert_eq!(set(&net, 4), fixed);
    assert_eq!(set(&net, 5), [250]);
    let out = validators_of(&net.state, net.head.number, 6).unwrap_err();
    assert_eq!(out, SetError::OutOfReach { epoch: 6, first: 1, last: 5 });

    let early = send(&mut net, 1, 0, IValidators::withdrawCall {}.abi_encode());
    assert!(!early.receipt.status());
    wait(&mut net, 71);
    let before = net.balance(address(1));
    accepted(&send(&mut net, 1, 0, IValidators::withdrawCall {}.abi_encode()));
    assert!(net.balance(address(1)) > before + U256::from(299 * COIN));
    assert_eq!(net.balance(ADDRESS), U256::from(250 * COIN));
    assert_eq!(supply(&net) + fees, start, "coins appeared or vanished");
}

#[test]
fn votes_of_one_network_mean_nothing_on_another() {
    let here = founders(&[(1, 300), (2, 200)]);
    let there = founders(&[(1, 300), (2, 201)]);
    let mut net = Net::from(&here);
    let refused = net.send(4, ADDRESS, 0, slash(&there, 2));
    assert_eq!(refused.output, IValidators::BadEvidence { check: "FirstSignature".into() }.abi_encode());
    let refused = net.send(3, ADDRESS, 250 * COIN, join(&there, 3));
    assert_eq!(refused.output, IValidators::BadProof {}.abi_encode());
}

#[test]
fn the_namespace_binds_everything_a_genesis_says() {
    let namespace = |genesis: &Genesis| genesis.namespace().unwrap();
    let base = founders(&[(1, 300), (2, 200)]);
    let mut seen = vec![namespace(&base)];
    let changes: [fn(&mut Genesis); 11] = [
        |genesis| genesis.chain.chain_id += 1,
        |genesis| genesis.chain.gas_limit += 1,
        |genesis| genesis.chain.base_fee_floor -= 1,
        |genesis| genesis.timestamp += 1,
        |genesis| genesis.base_fee += 1,
        |genesis| genesis.extra_data = [1].into(),
        |genesis| genesis.alloc.held().unwrap().get_mut(&address(3)).unwrap().balance += U256::ONE,
        |genesis| genesis.staking.parameters.unbonding_seconds += 1,
        |genesis| genesis.staking.founders[0].stake += 1,
        |genesis| genesis.staking.founders[0].owner = address(4),
        |genesis| genesis.staking.founders[0].key = voter_key(4),
    ];
    for change in changes {
        let mut other = base.clone();
        change(&mut other);
        assert!(!seen.contains(&namespace(&other)));
        seen.push(namespace(&other));
    }
    let mut turned = base.clone();
    turned.staking.founders.reverse();
    assert_eq!(namespace(&turned), seen[0], "founders come in any order");
}

#[test]
fn a_genesis_with_founders_is_json() {
    let genesis = founders(&[(1, 300), (2, 200)]);
    let json = serde_json::to_string(&genesis).unwrap();
    assert_eq!(serde_json::from_str::<Genesis>(&json).unwrap().staking, genesis.staking);
    let mut plain = serde_json::to_value(&genesis).unwrap();
    plain.as_object_mut().unwrap().remove("staking");
    let plain: Genesis = serde_json::from_value(plain).unwrap();
    assert_eq!(plain.staking, Staking::default());
    let huge = json.replace(&format!("{:#x}", 300 * COIN), "0x100000000000000000000000000000000");
    assert_ne!(huge, json);
    assert!(serde_json::from_str::<Genesis>(&huge).is_err());
}

#[test]
fn stakes_that_cannot_be_are_refused_at_genesis() {
    let error = |genesis: Genesis| genesis.build(LtHash::default()).map(|_| ()).unwrap_err();
    let poor = founders(&[(1, 99)]);
    let (stake, least) = (99 * COIN, 100 * COIN);
    assert_eq!(error(poor), GenesisError::Staking(StakingError::Stake { stake, least }));
    let mut rich = founders(&[(1, 100)]);
    let others: U256 = rich.alloc.held().unwrap().values().map(|account| account.balance).sum();
    rich.alloc.held().unwrap().get_mut(&address(1)).unwrap().balance += U256::MAX - others;
    assert_eq!(error(rich), GenesisError::Supply);
    let module = Genesis { alloc: [(ADDRESS, Default::default())].into(), ..founders(&[]) };
    assert_eq!(error(module), GenesisError::Module(ADDRESS));
}

/// The state of a chain as the genesis of another, with founders of its own.
fn goes_on(net: &Net, founders: Vec<Founder>) -> Genesis {
    let storage = |of: Address| {
        let slots = net.state.storage.iter().filter(|((address, _), _)| *address == of);
        slots.map(|((_, slot), value)| ((*slot).into(), (*value).into())).collect()
    };
    let account = |(address, account): (&Address, &Account)| {
        let code = net.state.code.get(&account.code_hash).cloned().unwrap_or_default();
        let (balance, nonce) = (account.balance, account.nonce);
        (*address, GenesisAccount { balance, nonce, code, storage: storage(*address) })
    };
    Genesis {
        alloc: net.state.accounts.iter().map(account).collect(),
        origin: Some(Origin { number: net.head.number, hashes: vec![net.head.hash()] }),
        staking: Staking { parameters: RULES, founders },
        ..genesis()
    }
}

#[test]
fn a_chain_that_goes_on_has_founders_with_coin_of_its_own() {
    let before = founders(&[(1, 300), (2, 200)]);
    let mut net = Net::from(&before);
    accepted(&net.send(3, ADDRESS, 150 * COIN, join(&before, 3)));
    let supply = |net: &Net| -> U256 { net.state.accounts.values().map(|account| account.balance).sum() };
    let founder = |n: u8, payer| Founder { key: voter_key(n), owner: address(n), stake: 400 * COIN, payer };
    // Who staked before has that coin again, and so can stake it.
    let genesis = goes_on(&net, vec![founder(5, Some(address(4))), founder(1, None)]);
    let mut other = Net::from(&genesis);
    assert_eq!(supply(&other), supply(&net), "coins appeared or vanished");
    assert_eq!(other.balance(ADDRESS), U256::from(800 * COIN));
    for (n, change) in [(1, -100), (2, 200), (3, 150), (4, -400), (5, 0)] {
        let (was, is) = (net.balance(address(n)), other.balance(address(n)));
        let change = U256::from(u128::try_from(1_000 + change).unwrap() * COIN);
        assert_eq!(was + change, is + U256::from(1_000 * COIN), "person {n}");
    }
    assert_eq!(other.head.number, net.head.number + 1);
    assert_eq!(set(&other, 0), [400, 400]);
    assert_eq!(other.view(ADDRESS, &IValidators::namespaceCall {}), genesis.namespace().unwrap());
    assert_ne!(genesis.namespace().unwrap(), before.namespace().unwrap());
    // Epochs begin anew, and what was joined counts as ever.
    accepted(&other.send(2, ADDRESS, 100 * COIN, join(&genesis, 2)));
    let begun = net.head.number + 1;
    assert_eq!(other.view(ADDRESS, &IValidators::parametersCall {}).firstBlock, begun);
    wait(&mut other, begun + 4 * RULES.epoch_blocks);
    assert_eq!(other.view(ADDRESS, &IValidators::epochCall {}), 4);
    assert_eq!(set(&other, 4), [400, 400, 100]);

    let error = |founders| goes_on(&net, founders).build(LtHash::default()).err().unwrap();
    let rich = Founder { stake: 5_000 * COIN, ..founder(5, Some(address(4))) };
    let needs = U256::from(5_000 * COIN);
    assert_eq!(error(vec![rich]), GenesisError::Payer { payer: address(4), needs });
    let nobody = Address::repeat_byte(9);
    let poor = GenesisError::Payer { payer: nobody, needs: U256::from(400 * COIN) };
    assert_eq!(error(vec![founder(5, Some(nobody))]), poor);
    let mut robbed = genesis.clone();
    robbed.alloc.held().unwrap().get_mut(&ADDRESS).unwrap().balance = U256::from(649 * COIN);
    assert_eq!(robbed.build(LtHash::default()).err(), Some(GenesisError::Stakes));
}

/// What a header says of dealings that failed reaches the module.
#[test]
fn a_stake_waits_for_epochs_that_were_handed_on() {
    let genesis = founders(&[(1, 300), (2, 200)]);
    let mut net = Net::from(&genesis);
    accepted(&net.send(1, ADDRESS, 0, IValidators::leaveCall {}.abi_encode()));
    wait(&mut net, 6 * RULES.epoch_blocks + 20);
    let withdraw = |net: &mut Net, failed: u8| {
        let attributes = Attributes { prev_randao: B256::with_last_byte(failed), ..net.attributes() };
        let nonce = net.nonce(1);
        let input = IValidators::withdrawCall {}.abi_encode().into();
        let draft = Draft { to: TxKind::Call(ADDRESS), input, ..Draft::new(1, nonce) };
        net.mine_with(&attributes, vec![draft.sign()]).executed.outcomes[0].receipt.status()
    };
    assert!(!withdraw(&mut net, 3));
    assert!(withdraw(&mut net, 0));
}

#[test]
fn a_network_without_founders_can_be_joined() {
    let genesis = genesis();
    let mut net = Net::from(&genesis);
    let outcome = net.send(3, ADDRESS, 100 * COIN, join(&genesis, 3));
    accepted(&outcome);
    assert_eq!(net.view(ADDRESS, &IValidators::keyOfCall { owner: address(3) }), voter_key(3));
    assert_ne!(address(3), Address::ZERO);
}

/// Golden gas: these figures are consensus. A change here is a hard fork.
#[test]
fn gas_is_what_it_was() {
    let genesis = founders(&[(1, 300), (2, 200)]);
    let mut net = Net::from(&genesis);
    let mut used = Vec::new();
    for (from, value, input) in [
        (3, 100 * COIN, join(&genesis, 3)),
        (3, COIN, IValidators::topUpCall {}.abi_encode()),
        (3, 0, IValidators::leaveCall {}.abi_encode()),
        (4, 0, slash(&genesis, 3)),
        // The second burning finds an account there.
        (4, 0, slash(&genesis, 2)),
    ] {
        let outcome = net.send(from, ADDRESS, value, input);
        accepted(&outcome);
        used.push(outcome.gas_used);
    }
    assert_eq!(used, GOLDEN_GAS);
}

/// join, topUp, leave, slash twice.
const GOLDEN_GAS: [u64; 5] = [150_390, 40_947, 48_866, 110_670, 90_658];
