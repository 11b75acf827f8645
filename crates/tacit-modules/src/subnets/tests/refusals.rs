//! Each refusal, one at a time.

use super::*;
use tacit_abi::IModule;

#[test]
fn terms_that_cannot_be() {
    let mut world = World::new();
    let t = terms;
    let cases: Vec<(&str, ISubnets::Terms)> = vec![
        ("rule", ISubnets::Terms { rule: 3, ..t() }),
        ("text", ISubnets::Terms { text: String::new(), ..t() }),
        ("text", ISubnets::Terms { text: "x".repeat(129), ..t() }),
        ("text", ISubnets::Terms { text: "a\nb".to_owned(), ..t() }),
        ("kappa", ISubnets::Terms { kappa: 32_766, ..t() }),
        ("bondsAverage", ISubnets::Terms { bondsAverage: 1_000_000, ..t() }),
        ("alphaLow", ISubnets::Terms { rule: 2, alphaLow: 2, alphaHigh: 1, ..t() }),
        ("workersMax", ISubnets::Terms { workersMax: 0, ..t() }),
        ("workersMax", ISubnets::Terms { workersMax: 65, ..t() }),
        ("validatorsMax", ISubnets::Terms { validatorsMax: 0, ..t() }),
        ("validatorsMax", ISubnets::Terms { validatorsMax: 17, ..t() }),
        ("epochSeconds", ISubnets::Terms { epochSeconds: 3, revealSeconds: 3, ..t() }),
        ("epochSeconds", ISubnets::Terms { epochSeconds: 30 * 24 * 3600 + 1, ..t() }),
        ("revealSeconds", ISubnets::Terms { revealSeconds: 101, ..t() }),
        ("revealSeconds", ISubnets::Terms { revealSeconds: 3, ..t() }),
        ("payout", ISubnets::Terms { payout: 0, ..t() }),
        ("payout", ISubnets::Terms { payout: 1_000_001, ..t() }),
        ("stakeMin", ISubnets::Terms { stakeMin: 0, ..t() }),
    ];
    for (field, terms) in cases {
        let refused = create(&mut world, terms);
        assert_eq!(refused, Err(reverts(ISubnets::BadTerms { field: field.to_owned() })));
    }
}

#[test]
fn a_subnet_that_is_not_there() {
    let mut world = World::new();
    let id = 0;
    let unknown = || Err(reverts(ISubnets::UnknownSubnet { id }));
    world.fund(CREATOR, 10);
    assert_eq!(world.pay_call(SUBNETS, CREATOR, 1, &ISubnets::depositCall { id }).map(|_| ()), unknown());
    assert_eq!(world.pay_call(SUBNETS, CREATOR, 1, &ISubnets::bondCall { id }).map(|_| ()), unknown());
    assert_eq!(world.pay_call(SUBNETS, CREATOR, 7, &ISubnets::registerCall { id }).map(|_| ()), unknown());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::resignCall { id }).map(|_| ()), unknown());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::unbondCall { id, amount: 1 }).map(|_| ()), unknown());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::withdrawCall { id }).map(|_| ()), unknown());
    assert_eq!(commit(&mut world, CREATOR, 0, &[]), unknown());
    assert_eq!(reveal(&mut world, CREATOR, 0, &[]), unknown());
    assert_eq!(close(&mut world, 0), unknown());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::subnetCall { id }).map(|_| ()), unknown());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::workersCall { id }).map(|_| ()), unknown());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::validatorsCall { id }).map(|_| ()), unknown());
    let leaving = ISubnets::leavingOfCall { id, validator: CREATOR };
    assert_eq!(world.call(SUBNETS, CREATOR, &leaving).map(|_| ()), unknown());
}

#[test]
fn amounts_that_are_none() {
    let mut world = running(&[500], 1);
    let zero = || Err(reverts(ISubnets::ZeroAmount {}));
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::depositCall { id: 0 }).map(|_| ()), zero());
    assert_eq!(world.call(SUBNETS, CREATOR, &ISubnets::bondCall { id: 0 }).map(|_| ()), zero());
    let unbond = ISubnets::unbondCall { id: 0, amount: 0 };
    assert_eq!(world.call(SUBNETS, validator(0), &unbond).map(|_| ()), zero());
}

#[test]
fn amounts_that_do_not_fit() {
    let mut world = running(&[500], 0);
    let large = || Err(reverts(ISubnets::AmountTooLarge {}));
    let rich = U256::from(u128::MAX) + U256::ONE;
    world.balances.insert(CREATOR, rich);
    let input = alloy_sol_types::SolCall::abi_encode(&ISubnets::depositCall { id: 0 });
    assert_eq!(world.send(SUBNETS, CREATOR, rich, &input).map(|_| ()), large());
    let input = alloy_sol_types::SolCall::abi_encode(&ISubnets::bondCall { id: 0 });
    assert_eq!(world.send(SUBNETS, CREATOR, rich, &input).map(|_| ()), large());
    assert_eq!(bond(&mut world, validator(0), u128::MAX), large());
}

#[test]
fn registrations() {
    let mut world = running(&[500], 1);
    world.fund(worker(1), FEE + 1);
    for amount in [FEE - 1, FEE + 1] {
        let call = ISubnets::registerCall { id: 0 };
        let refused = world.pay_call(SUBNETS, worker(1), amount, &call).map(|_| ());
        assert_eq!(refused, Err(reverts(ISubnets::WrongFee { fee: FEE })));
    }
    assert_eq!(register(&mut world, worker(0)), Err(reverts(ISubnets::AlreadyRegistered { seat: 0 })));
    let resign = ISubnets::resignCall { id: 0 };
    assert_eq!(world.call(SUBNETS, worker(1), &resign).map(|_| ()), Err(reverts(ISubnets::NotRegistered {})));
    world.call(SUBNETS, worker(0), &resign).unwrap();
    let event: ISubnets::Resigned = world.last();
    assert_eq!((event.worker, event.seat), (worker(0), 0));
    assert!(workers(&mut world).is_empty());
}

#[test]
fn stakes_that_are_too_small() {
    let mut world = running(&[500], 1);
    let least = || Err(reverts(ISubnets::TooLittleStake { least: STAKE_MIN }));
    assert_eq!(bond(&mut world, validator(1), STAKE_MIN - 1), least());
    for amount in [401, 499, 501, u128::MAX] {
        let call = ISubnets::unbondCall { id: 0, amount };
        assert_eq!(world.call(SUBNETS, validator(0), &call).map(|_| ()), least());
    }
    let call = ISubnets::unbondCall { id: 0, amount: 1 };
    assert_eq!(world.call(SUBNETS, validator(1), &call).map(|_| ()), Err(reverts(ISubnets::NotValidator {})));
}

#[test]
fn commitments() {
    let mut world = running(&[500], 1);
    for epoch in [0, 2, u64::MAX] {
        assert_eq!(
            commit(&mut world, validator(0), epoch, &[1]),
            Err(reverts(ISubnets::WrongEpoch { epoch: 1 }))
        );
    }
    assert_eq!(commit(&mut world, worker(0), 1, &[1]), Err(reverts(ISubnets::NotValidator {})));
    let nothing = ISubnets::commitCall { id: 0, epoch: 1, commitment: B256::ZERO };
    assert_eq!(
        world.call(SUBNETS, validator(0), &nothing).map(|_| ()),
        Err(reverts(ISubnets::NoCommitment {}))
    );
}

#[test]
fn reveals() {
    let mut world = running(&[500, 500], 1);
    // The last commitment counts.
    commit(&mut world, validator(0), 1, &[2]).unwrap();
    commit(&mut world, validator(0), 1, &[1]).unwrap();
    let (from, until) = (world.now + EPOCH_S, world.now + EPOCH_S + 39);
    let closed = || Err(reverts(ISubnets::NotInWindow { from, until }));
    assert_eq!(reveal(&mut world, validator(0), 1, &[1]), closed());
    world.now = from;
    assert_eq!(reveal(&mut world, validator(1), 1, &[1]), Err(reverts(ISubnets::NoCommitment {})));
    for row in [vec![], vec![2], vec![1, 0]] {
        assert_eq!(reveal(&mut world, validator(0), 1, &row), Err(reverts(ISubnets::BadReveal {})));
    }
    assert_eq!(
        reveal(&mut world, validator(0), 1, &[1; 4]),
        Err(reverts(ISubnets::TooManyWeights { limit: 3 }))
    );
    world.now = until;
    reveal(&mut world, validator(0), 1, &[1]).unwrap();
    let event: ISubnets::Revealed = world.last();
    assert_eq!((event.epoch, event.validator, event.weights), (1, validator(0), vec![1, 0, 0]));
    assert_eq!(reveal(&mut world, validator(0), 1, &[1]), Err(reverts(ISubnets::AlreadyRevealed {})));
    world.now += 1;
    assert_eq!(reveal(&mut world, validator(0), 1, &[1]), closed());
}

/// A commitment is to one validator's weights in one epoch of one subnet on one chain.
#[test]
fn a_commitment_opens_to_one_thing() {
    let weights = [1_u16];
    let said = Commitment {
        chain_id: CHAIN_ID,
        id: 0,
        epoch: 1,
        validator: validator(0),
        salt: SALT,
        weights: &weights,
    };
    let others = [
        Commitment { chain_id: 1, ..said },
        Commitment { id: 1, ..said },
        Commitment { epoch: 2, ..said },
        Commitment { validator: validator(1), ..said },
        Commitment { salt: B256::ZERO, ..said },
        Commitment { weights: &[1, 0], ..said },
    ];
    for other in others {
        let mut world = running(&[500], 1);
        let call = ISubnets::commitCall { id: 0, epoch: 1, commitment: other.hash() };
        world.call(SUBNETS, validator(0), &call).unwrap();
        world.now += EPOCH_S;
        assert_eq!(reveal(&mut world, validator(0), 1, &weights), Err(reverts(ISubnets::BadReveal {})));
    }
}

#[test]
fn closes() {
    let mut world = running(&[500], 1);
    for epoch in [1, u64::MAX] {
        assert_eq!(close(&mut world, epoch), Err(reverts(ISubnets::WrongEpoch { epoch: 0 })));
    }
    world.now += 39;
    let early = ISubnets::NotInWindow { from: world.now + 1, until: u64::MAX };
    assert_eq!(close(&mut world, 0), Err(reverts(early)));
    world.now += 1;
    close(&mut world, 0).unwrap();
    assert_eq!(close(&mut world, 0), Err(reverts(ISubnets::WrongEpoch { epoch: 1 })));
}

#[test]
fn nothing_to_claim() {
    let mut world = running(&[500], 1);
    let claim = ISubnets::claimCall {};
    assert_eq!(world.call(SUBNETS, worker(0), &claim).map(|_| ()), Err(reverts(ISubnets::NothingToClaim {})));
}

#[test]
fn a_close_without_gas_for_its_arithmetic_does_nothing() {
    let mut world = running(&[500], 1);
    world.now += 40;
    let input = alloy_sol_types::SolCall::abi_encode(&ISubnets::closeCall { id: 0, epoch: 0 });
    let (result, used) = world.clone().metered(SUBNETS, CREATOR, U256::ZERO, &input);
    result.unwrap();
    assert!(used > super::super::gas::epoch(1, 3));
    let before = world.clone();
    world.gas = used - 1;
    assert_eq!(
        world.send(SUBNETS, CREATOR, U256::ZERO, &input),
        Err(Failure::Halt(crate::HostError::OutOfGas))
    );
    world.gas = before.gas;
    assert_eq!(world, before);
}

#[test]
fn malformed_arguments() {
    let mut world = running(&[500], 1);
    let call = ISubnets::revealCall { id: 0, epoch: 1, salt: SALT, weights: vec![1, 2] };
    let good = alloy_sol_types::SolCall::abi_encode(&call);
    let selector = <ISubnets::revealCall as alloy_sol_types::SolCall>::SELECTOR;
    let malformed = Err(reverts(IModule::MalformedInput { selector: selector.into() }));
    for length in 4..good.len() {
        assert_eq!(world.send(SUBNETS, CREATOR, U256::ZERO, &good[..length]), malformed, "{length}");
    }
    // Numbers, a place, a length and weights that do not fit.
    for word in [0, 1, 3, 4, 5, 6] {
        let mut bad = good.clone();
        bad[4 + 32 * word] = 0xff;
        assert_eq!(world.send(SUBNETS, CREATOR, U256::ZERO, &bad), malformed, "word {word}");
    }
}
