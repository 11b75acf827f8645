//! One epoch, in upstream's order: stakes, weights, consensus, ranks, bonds, dividends, shares.
//!
//! Source: subtensor, `epoch_mechanism` in `run_epoch.rs`; the numbers of steps are those of `docs/subnets.md`.

use crate::{
    bonds::Weighed,
    consensus::consensus,
    error::Error,
    fixed::Fixed,
    matrix::{self, Matrix},
    terms::Terms,
};

/// Most validators of one epoch.
pub const VALIDATORS_MAX: usize = 256;
/// Most workers of one epoch.
pub const WORKERS_MAX: usize = 1024;

/// What one epoch is about.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// Rules; checked here again.
    pub terms: &'a Terms,
    /// Rows.
    pub validators: &'a [Validator<'a>],
    /// Columns: whether this worker took its place since the last epoch. Bonds in whoever had it before are dropped.
    pub fresh: &'a [bool],
}

/// A validator and what it said.
#[derive(Debug, Clone, Copy)]
pub struct Validator<'a> {
    /// In any unit.
    pub stake: u128,
    /// Whether it is heard: stake of the others is left out of everything but the fallback.
    pub active: bool,
    /// Which worker it is itself, if any: what it says of that one does not count.
    pub own: Option<usize>,
    /// One for each worker, in any unit; nothing for one that it has not seen.
    pub weights: &'a [u16],
    /// Its row of [`Outcome::bonds`] of the last epoch; zeros if it was not there.
    pub bonds: &'a [u16],
}

/// What follows. Rows and columns are in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Stakes of those who were heard, a whole.
    pub stakes: Vec<Fixed>,
    /// Weights of each validator, a whole.
    pub weights: Vec<Vec<Fixed>>,
    /// Consensus on each worker.
    pub consensus: Vec<Fixed>,
    /// How much of its weights each validator's peers agree with.
    pub validator_trust: Vec<Fixed>,
    /// Weight of each worker by stake, before it is clipped.
    pub ranks_before: Vec<Fixed>,
    /// Weight of each worker by stake.
    pub ranks: Vec<Fixed>,
    /// How much of its weight is agreed with.
    pub trust: Vec<Fixed>,
    /// What each worker earns, all workers a whole.
    pub incentive: Vec<Fixed>,
    /// What each validator earns, all validators a whole.
    pub dividends: Vec<Fixed>,
    /// Bonds to keep for the next epoch, a row for each validator.
    pub bonds: Vec<Vec<u16>>,
    /// Whether anything was agreed. If not, shares are by stake: what upstream pays then, and we do not.
    pub agreed: bool,
    /// Share of each worker in what the epoch pays.
    pub worker_shares: Vec<Fixed>,
    /// Share of each validator in what the epoch pays.
    pub validator_shares: Vec<Fixed>,
}

/// What an epoch pays, in the unit of the amount that was split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payments {
    /// To each worker.
    pub workers: Vec<u128>,
    /// To each validator.
    pub validators: Vec<u128>,
}

/// Runs one epoch.
///
/// # Errors
/// Lists that do not fit each other, or terms that are none.
pub fn epoch(input: &Epoch<'_>) -> Result<Outcome, Error> {
    check(input)?;
    let stakes = stakes(input.validators)?;
    let mut heard: Vec<Fixed> = stakes
        .iter()
        .zip(input.validators)
        .map(|(stake, validator)| if validator.active { *stake } else { Fixed::ZERO })
        .collect();
    matrix::normalise(&mut heard);

    let weights: Matrix = input.validators.iter().map(weights).collect();
    let consensus = consensus(&heard, &weights, Fixed::proportion(input.terms.kappa));
    let clip =
        |row: &Vec<Fixed>| row.iter().zip(&consensus).map(|(weight, limit)| *weight.min(limit)).collect();
    let clipped: Matrix = weights.iter().map(clip).collect();
    let validator_trust = clipped.iter().map(|row| row.iter().copied().sum()).collect();

    let ranks_before = matrix::weighted_columns(&weights, &heard);
    let ranks = matrix::weighted_columns(&clipped, &heard);
    let trust = ranks.iter().zip(&ranks_before).map(|(after, before)| after.over(*before)).collect();
    let mut incentive = ranks.clone();
    matrix::normalise(&mut incentive);

    let kept: Matrix = input.validators.iter().map(|validator| kept(validator, input.fresh)).collect();
    let weighed = Weighed {
        terms: input.terms,
        stakes: &heard,
        consensus: &consensus,
        incentive: &incentive,
        weights: &weights,
        clipped: &clipped,
    };
    let (bonds, dividends) = weighed.follow(&kept);
    let bonds = bonds.iter().map(|row| row.iter().map(|bond| bond.to_u16()).collect()).collect();

    let earned: Fixed = incentive.iter().chain(&dividends).copied().sum();
    let agreed = earned != Fixed::ZERO;
    let mut worker_shares = incentive.clone();
    matrix::divide(&mut worker_shares, earned);
    let mut validator_shares = dividends.clone();
    matrix::divide(&mut validator_shares, earned);
    if !agreed {
        let nobody = heard.iter().all(|stake| *stake == Fixed::ZERO);
        validator_shares = if nobody { stakes } else { heard.clone() };
    }
    Ok(Outcome {
        stakes: heard,
        weights,
        consensus,
        validator_trust,
        ranks_before,
        ranks,
        trust,
        incentive,
        dividends,
        bonds,
        agreed,
        worker_shares,
        validator_shares,
    })
}

impl Outcome {
    /// Splits an amount by the shares. Nothing is paid beyond it, and less than one unit for each that is paid is left over.
    #[must_use]
    pub fn split(&self, amount: u128) -> Payments {
        let shares = self.worker_shares.iter().chain(&self.validator_shares);
        let whole = u128::from(shares.copied().sum::<Fixed>().raw());
        let (each, rest) = (amount.checked_div(whole).unwrap_or(0), amount.checked_rem(whole).unwrap_or(0));
        let part = |share: &Fixed| {
            let share = u128::from(share.raw());
            // `each * share` is at most the amount; `rest * share` is under 2^64 times 2^64.
            let of_rest = rest.saturating_mul(share).checked_div(whole).unwrap_or(0);
            each.saturating_mul(share).saturating_add(of_rest)
        };
        Payments {
            workers: self.worker_shares.iter().map(part).collect(),
            validators: self.validator_shares.iter().map(part).collect(),
        }
    }
}

fn check(input: &Epoch<'_>) -> Result<(), Error> {
    input.terms.check()?;
    let (rows, expected) = (input.validators.len(), input.fresh.len());
    if rows > VALIDATORS_MAX {
        return Err(Error::TooManyValidators { limit: VALIDATORS_MAX, got: rows });
    }
    if expected > WORKERS_MAX {
        return Err(Error::TooManyWorkers { limit: WORKERS_MAX, got: expected });
    }
    for (validator, row) in input.validators.iter().enumerate() {
        if row.weights.len() != expected {
            return Err(Error::WeightCount { validator, expected, got: row.weights.len() });
        }
        if row.bonds.len() != expected {
            return Err(Error::BondCount { validator, expected, got: row.bonds.len() });
        }
        if let Some(worker) = row.own.filter(|worker| *worker >= expected) {
            return Err(Error::NoSuchWorker { validator, worker });
        }
    }
    Ok(())
}

/// All stakes, a whole. What would not leave room for 32 binary places is cut off first.
fn stakes(validators: &[Validator<'_>]) -> Result<Vec<Fixed>, Error> {
    let mut total = 0_u128;
    for validator in validators {
        total = total.checked_add(validator.stake).ok_or(Error::StakeOverflow)?;
    }
    let surplus = 32_u32.saturating_sub(total.leading_zeros());
    let scaled = |stake: u128| stake.checked_shr(surplus).unwrap_or(0);
    let total = validators.iter().fold(0_u128, |sum, validator| sum.saturating_add(scaled(validator.stake)));
    let share = |validator: &Validator<'_>| {
        let raw = (scaled(validator.stake) << 32).checked_div(total).unwrap_or(0);
        Fixed::from_raw(u64::try_from(raw).unwrap_or(u64::MAX))
    };
    Ok(validators.iter().map(share).collect())
}

/// A validator's weights, a whole, without what it says of itself.
fn weights(validator: &Validator<'_>) -> Vec<Fixed> {
    let others = |(worker, weight): (usize, &u16)| {
        if validator.own == Some(worker) { Fixed::ZERO } else { Fixed::whole(*weight) }
    };
    let mut row: Vec<Fixed> = validator.weights.iter().enumerate().map(others).collect();
    matrix::normalise(&mut row);
    row
}

/// A validator's bonds as they were kept, without those in whoever is no longer there.
fn kept(validator: &Validator<'_>, fresh: &[bool]) -> Vec<Fixed> {
    let bond = |(bond, fresh): (&u16, &bool)| if *fresh { Fixed::ZERO } else { Fixed::whole(*bond) };
    validator.bonds.iter().zip(fresh).map(bond).collect()
}
