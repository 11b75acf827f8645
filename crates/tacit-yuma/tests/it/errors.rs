//! Every refusal.

use tacit_yuma::{
    Bonds, Epoch, Error, LiquidAlpha, Outcome, Terms, VALIDATORS_MAX, Validator, WORKERS_MAX, epoch,
};

const ROW: Validator<'static> = Validator { stake: 1, active: true, own: None, weights: &[1], bonds: &[0] };

fn run(validators: &[Validator<'_>], workers: usize) -> Result<Outcome, Error> {
    epoch(&Epoch { terms: &Terms::default(), validators, fresh: &vec![false; workers] })
}

fn refused(terms: Terms) -> Error {
    epoch(&Epoch { terms: &terms, validators: &[], fresh: &[] }).unwrap_err()
}

#[test]
fn too_many_nodes() {
    let limit = VALIDATORS_MAX;
    assert_eq!(run(&vec![ROW; limit + 1], 1), Err(Error::TooManyValidators { limit, got: limit + 1 }));
    assert!(run(&vec![ROW; limit], 1).unwrap().agreed);
    let limit = WORKERS_MAX;
    assert_eq!(run(&[], limit + 1), Err(Error::TooManyWorkers { limit, got: limit + 1 }));
    let (weights, bonds) = (vec![u16::MAX; limit], vec![u16::MAX; limit]);
    let rows = vec![Validator { weights: &weights, bonds: &bonds, ..ROW }; VALIDATORS_MAX];
    assert_eq!(run(&rows, limit).unwrap().incentive[0].raw(), (1 << 32) / limit as u64);
}

#[test]
fn rows_of_another_length() {
    let short = Validator { weights: &[], ..ROW };
    assert_eq!(run(&[ROW, short], 1), Err(Error::WeightCount { validator: 1, expected: 1, got: 0 }));
    let long = Validator { bonds: &[0, 0], ..ROW };
    assert_eq!(run(&[long], 1), Err(Error::BondCount { validator: 0, expected: 1, got: 2 }));
}

#[test]
fn a_worker_that_is_not_there() {
    let own = Validator { own: Some(1), ..ROW };
    assert_eq!(run(&[own], 1), Err(Error::NoSuchWorker { validator: 0, worker: 1 }));
}

#[test]
fn stakes_that_overflow() {
    let rich = Validator { stake: u128::MAX, ..ROW };
    assert_eq!(run(&[rich, ROW], 1), Err(Error::StakeOverflow));
    assert!(run(&[rich], 1).unwrap().agreed);
}

#[test]
fn terms_that_are_none() {
    let average = Terms { bonds_average: 1_000_001, ..Terms::default() };
    assert_eq!(refused(average), Error::BondsAverage { limit: 1_000_000, got: 1_000_001 });
    let liquid = Some(LiquidAlpha { low: 2, high: 1, steepness: 0 });
    assert_eq!(
        refused(Terms { bonds: Bonds::Yuma3 { liquid }, ..Terms::default() }),
        Error::AlphaRange { low: 2, high: 1 }
    );
}

#[test]
fn nobody_and_nothing() {
    let outcome = run(&[], 0).unwrap();
    assert!(!outcome.agreed && outcome.split(5).workers.is_empty());
    assert!(!run(&[], 3).unwrap().agreed);
}
