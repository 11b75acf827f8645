//! Any epoch gets an outcome or an error, the same twice; shares are at most a whole, and no more than an amount is paid.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{Arbitrary, Result, Unstructured},
    fuzz_target,
};
use tacit_yuma::{Bonds, Epoch, Fixed, LiquidAlpha, Terms, Validator, epoch};

/// Validators and workers of an epoch.
const SIDE_MAX: usize = 12;

#[derive(Debug)]
struct Said {
    stake: u128,
    active: bool,
    own: Option<usize>,
    weights: Vec<u16>,
    bonds: Vec<u16>,
}

#[derive(Debug)]
struct Input {
    terms: Terms,
    fresh: Vec<bool>,
    validators: Vec<Said>,
    amount: u128,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let liquid = |u: &mut Unstructured<'a>| {
            Ok::<_, libfuzzer_sys::arbitrary::Error>(LiquidAlpha {
                low: u.arbitrary()?,
                high: u.arbitrary()?,
                steepness: u.arbitrary()?,
            })
        };
        let bonds = match u.int_in_range(0..=2)? {
            0 => Bonds::Classic,
            1 => Bonds::Yuma3 { liquid: None },
            _ => Bonds::Yuma3 { liquid: Some(liquid(u)?) },
        };
        let bonds_average = u.int_in_range(0..=1_000_001)?;
        let terms = Terms { kappa: u.arbitrary()?, bonds_penalty: u.arbitrary()?, bonds_average, bonds };
        let workers = u.int_in_range(0..=SIDE_MAX)?;
        let row = |u: &mut Unstructured<'a>| {
            // Now and then one that does not fit.
            let length = if u.ratio(1, 32)? { u.int_in_range(0..=SIDE_MAX)? } else { workers };
            (0..length).map(|_| u.arbitrary()).collect::<Result<Vec<u16>>>()
        };
        let fresh = (0..workers).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let count = u.int_in_range(0..=SIDE_MAX)?;
        let mut validators = Vec::new();
        for _ in 0..count {
            let own = u.arbitrary::<Option<u8>>()?.map(|own| usize::from(own) % (SIDE_MAX + 1));
            validators.push(Said {
                stake: u.arbitrary()?,
                active: u.arbitrary()?,
                own,
                weights: row(u)?,
                bonds: row(u)?,
            });
        }
        Ok(Self { terms, fresh, validators, amount: u.arbitrary()? })
    }
}

fuzz_target!(|input: Input| {
    let Input { terms, fresh, validators, amount } = &input;
    let heard: Vec<Validator<'_>> = validators
        .iter()
        .map(|Said { stake, active, own, weights, bonds }| Validator {
            stake: *stake,
            active: *active,
            own: *own,
            weights,
            bonds,
        })
        .collect();
    let run = || epoch(&Epoch { terms, validators: &heard, fresh });
    let outcome = run();
    assert_eq!(outcome, run());
    let Ok(outcome) = outcome else { return };
    let whole = |shares: &[Fixed]| shares.iter().map(|share| u128::from(share.raw())).sum::<u128>();
    for shares in [&outcome.incentive, &outcome.dividends, &outcome.stakes] {
        assert!(whole(shares) <= u128::from(Fixed::ONE.raw()), "{shares:?}");
    }
    let paid = outcome.split(*amount);
    let sum = |amounts: &[u128]| amounts.iter().try_fold(0_u128, |sum, one| sum.checked_add(*one));
    let all = sum(&paid.workers).zip(sum(&paid.validators)).and_then(|(one, other)| one.checked_add(other));
    assert!(all.is_some_and(|all| all <= *amount), "{paid:?}");
});
