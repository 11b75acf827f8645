//! Parameters of the hiding commitment: how it folds, at which rates, how many rows are opened.
//!
//! # Queries
//! An oracle stands for every codeword within the Johnson radius ([`Radius`]). A word that is farther from a codeword agrees with it on fewer than
//! `A` of `H` positions, so `t` uniform queries miss the difference with probability at most `(A / H)^t`.
//!
//! # Openings
//! Every opening of the first oracle shows at most `queries` rows. It has `openings * queries + 1` random coefficients in each
//! column, so all rows that are ever opened, and any one more, are uniform and independent of the values; and one coefficient more where
//! the answer outside the domain is public (see [`Lifetime::Openings`]).

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "sizes come from a validated graph under stated limits, never from a proof"
    )
)]

use crate::{
    bits::Bits,
    commitment::SetupError,
    field::{EF_BITS, EF_DEGREE},
    inner_shape::MASK_LIST_BITS,
    oracle::OracleShape,
    proximity::{MAX_MULTIPLICITY, MIN_MULTIPLICITY, Radius, queries, query_bits},
};

/// One oracle and how it is queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundShape {
    /// Variables folded while it is the current oracle; a row has `2^fold` values.
    pub fold: usize,
    /// Each column holds `2^message_vars` values of the polynomial, lowest degree first.
    pub message_vars: usize,
    /// Random coefficients of each column. In the first oracle they are the last of the values, in later ones they come after them.
    pub randomness: usize,
    /// The code's domain has `2^log_height` points.
    pub log_height: usize,
    /// What a column stands for.
    pub radius: Radius,
    /// Rows opened, at most.
    pub queries: usize,
}

/// A commitment to `2^vars` values of the base field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HidingShape {
    /// Base-two logarithm of the number of values, random ones included.
    pub vars: usize,
    /// Openings it is made for.
    pub openings: u32,
    /// Oracles, the committed one first.
    pub rounds: Vec<RoundShape>,
    /// The last polynomial has `2^final_vars` values.
    pub final_vars: usize,
}

/// What a commitment is for; decides which costs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Made once, opened by many proofs. Its answer outside the domain is public, a part of its name.
    Openings(u32),
    /// Made for one proof. Its answer outside the domain is under a mask.
    OneProof,
}

impl HidingShape {
    /// The cheapest shape for `used` values at `bits` of security.
    ///
    /// # Errors
    /// Refuses what does not fit the field.
    pub fn new(used: usize, lifetime: Lifetime, bits: u32) -> Result<Self, SetupError> {
        let target = bits + TERM_MARGIN_BITS + MASK_LIST_BITS;
        let price = byte_price(used, lifetime);
        let mut ladder = Ladder { target, price, steps: Vec::new() };
        let mut best: Option<(u64, Self)> = None;
        for fold in SHORTEST_FOLD..=LONGEST_FOLD {
            for rate in LOWEST_RATE..=HIGHEST_RATE {
                let Some((cost, shape)) = candidate(used, lifetime, (fold, rate), &mut ladder) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, shape));
                }
            }
        }
        best.map(|(_, shape)| shape).ok_or(SetupError::NoParameters { vars: ceil_log2(used), bits })
    }

    /// Values that may be chosen freely; random ones follow.
    #[must_use]
    pub fn free(&self) -> usize {
        let first = self.rounds[0];
        (1 << self.vars) - (first.randomness << first.fold)
    }

    /// Shape of an oracle.
    #[must_use]
    pub fn oracle(&self, round: usize) -> OracleShape {
        let shape = self.rounds[round];
        let degree = if round == 0 { 1 } else { EF_DEGREE };
        OracleShape { log_height: shape.log_height, width: degree << shape.fold }
    }

    /// Values that an opening sends under masks.
    #[must_use]
    pub fn messages(&self) -> usize {
        let rounds: usize = self.rounds.iter().map(|round| 2 * round.fold).sum();
        // Each later oracle answers outside the domain and has its randomness folded.
        let later: usize = self.rounds.iter().skip(1).map(|round| round.randomness + 1).sum();
        rounds + later + (1 << self.final_vars)
    }

    /// Bits of security of an opening for each set of masks the proof may stand for: the answer outside the domain, both claims joined; of each oracle
    /// the lines of its folds and their rounds of degree 2, the claims joined after it, its queries.
    #[must_use]
    pub fn security(&self) -> Bits {
        let mut terms = Vec::new();
        let mut add = |roots: u128| terms.push(EF_BITS.less(Bits::of_count(roots)));
        for (index, round) in self.rounds.iter().enumerate() {
            let list = round.radius.list();
            // Two of the list answer alike at a random point of so many coordinates.
            add(list * list / 2 * (round.fold + round.message_vars) as u128);
            // Claims joined before it is folded: of the point and of the answer, or of all that was asked of the oracle before.
            let joined = match index {
                0 => 1,
                _ => self.rounds[index - 1].queries as u128 + 1,
            };
            add(list * joined);
            add(round.fold as u128 * (round.radius.exceptions() + 2 * list));
        }
        add(self.rounds.last().map_or(1, |round| round.queries as u128));
        for round in &self.rounds {
            terms.push(query_bits(round.log_height, round.radius.agreement(), round.queries));
        }
        Bits::of_sum(terms)
    }
}

/// Base-two logarithm, rounded up.
pub(crate) fn ceil_log2(count: usize) -> usize {
    count.max(1).next_power_of_two().trailing_zeros() as usize
}

/// The widest radius at which the lines of `fold` folds keep to the target.
fn radius(log_height: usize, coefficients: usize, fold: usize, target: u32) -> Option<Radius> {
    let mut multiplicity = MAX_MULTIPLICITY;
    while multiplicity >= MIN_MULTIPLICITY {
        let radius = Radius::new(log_height, coefficients, multiplicity)?;
        let lines = fold as u128 * (radius.exceptions() + 2 * radius.list());
        if EF_BITS.less(Bits::of_count(lines)).floor() >= target {
            return Some(radius);
        }
        multiplicity = multiplicity * 3 / 4;
    }
    None
}

/// What a byte of proof is worth: a part of a proof that takes long is worth keeping short.
fn byte_price(used: usize, lifetime: Lifetime) -> u64 {
    let each = match lifetime {
        Lifetime::Openings(_) => VALUE_COSTS.0,
        Lifetime::OneProof => VALUE_COSTS.1,
    };
    (used as u64).saturating_mul(each).div_euclid(LARGE_PROOF).clamp(BYTE_PRICES.0, BYTE_PRICES.1)
}

fn candidate(
    used: usize,
    lifetime: Lifetime,
    (fold, rate): (usize, usize),
    ladder: &mut Ladder,
) -> Option<(u64, HidingShape)> {
    let (openings, shown) = match lifetime {
        Lifetime::Openings(openings) => (openings, 1),
        Lifetime::OneProof => (1, 0),
    };
    // Random rows take room, and the room decides the code that decides how many there are: begin with as few as any code asks for.
    let mut vars = ceil_log2(used).max(fold + 1).max(crate::plan::MIN_COMMITTED_VARS);
    loop {
        let message_vars = vars - fold;
        let log_height = message_vars + rate;
        if vars > crate::plan::MAX_WEIGHT_VARS || log_height > MAX_LOG_HEIGHT {
            return None;
        }
        let radius = radius(log_height, 1 << message_vars, fold, ladder.target)?;
        let queries = queries(log_height, radius.agreement(), ladder.target)?;
        let randomness = queries.checked_mul(openings as usize)?.checked_add(1 + shown)?;
        let needed = used.checked_add(randomness.checked_mul(1 << fold)?)?;
        if needed > 1 << vars {
            vars += 1;
            continue;
        }
        let first = RoundShape { fold, message_vars, randomness, log_height, radius, queries };
        let rest = ladder.from(message_vars)?;
        let commit = code_cost(log_height, 1 << fold);
        let commit = match lifetime {
            Lifetime::OneProof => commit,
            Lifetime::Openings(_) if vars + rate > LARGEST_CODE.max(vars + LARGE_WEIGHT_RATE) => {
                return None;
            }
            Lifetime::Openings(_) => commit / COMMITMENTS_SHARE,
        };
        let cost = opened_cost(&first, 4 << fold, ladder.price)
            + commit
            + (VALUE_PASSES << vars) * PRODUCT_COST / 1000
            + rest.cost;
        let mut rounds = vec![first];
        rounds.extend(rest.rounds);
        return Some((cost, HidingShape { vars, openings, rounds, final_vars: rest.final_vars }));
    }
}

/// The cheapest way on from a folded polynomial.
#[derive(Debug, Clone)]
struct Later {
    cost: u64,
    rounds: Vec<RoundShape>,
    final_vars: usize,
}

/// The cheapest ways on, for every number of variables of a folded polynomial up to where somebody asked.
struct Ladder {
    target: u32,
    price: u64,
    steps: Vec<Option<Later>>,
}

impl Ladder {
    fn from(&mut self, vars: usize) -> Option<Later> {
        while self.steps.len() <= vars {
            let step = self.step(self.steps.len());
            self.steps.push(step);
        }
        self.steps[vars].clone()
    }

    fn step(&self, vars: usize) -> Option<Later> {
        let message = MESSAGE_BYTES * self.price;
        let mut least = (vars <= FINAL_VARS_MOST).then(|| Later {
            cost: message << vars,
            rounds: Vec::new(),
            final_vars: vars,
        });
        for fold in 2..=LATER_FOLD.min(vars.saturating_sub(1)) {
            let message_vars = vars - fold;
            let Some(rest) = &self.steps[message_vars] else { continue };
            for rate in 2..=HIGHEST_RATE {
                let dearer = |cost: u64| least.as_ref().is_some_and(|least| cost >= least.cost);
                // No need to look further where the code alone costs more.
                if dearer(rest.cost + code_cost(message_vars + 1 + rate, EF_DEGREE << fold)) {
                    break;
                }
                let Some(round) = later_round(fold, message_vars, rate, self.target) else { continue };
                let cost = rest.cost
                    + opened_cost(&round, 20 << fold, self.price)
                    + message * (round.randomness as u64 + 1)
                    + code_cost(round.log_height, EF_DEGREE << fold);
                if !dearer(cost) {
                    let mut rounds = vec![round];
                    rounds.extend(&rest.rounds);
                    least = Some(Later { cost, rounds, final_vars: rest.final_vars });
                }
            }
        }
        least
    }
}

/// An oracle of a folded polynomial at inverse rate `2^rate` or a little lower.
fn later_round(fold: usize, message_vars: usize, rate: usize, target: u32) -> Option<RoundShape> {
    // More queries need more randomness, which raises the rate: a few steps settle it.
    let mut wanted = QUERIES_FEW;
    for _ in 0..16 {
        let randomness = wanted + 1;
        let degree = (1 << message_vars) + randomness;
        let log_height = ceil_log2(degree) + rate;
        let radius = radius(log_height, degree, fold, target)?;
        let queries = queries(log_height, radius.agreement(), target)?;
        if queries <= wanted {
            return Some(RoundShape { fold, message_vars, randomness, log_height, radius, queries: wanted });
        }
        wanted = queries;
    }
    None
}

/// Cost of the rows that are opened of an oracle, and of their equations.
fn opened_cost(round: &RoundShape, row_bytes: u64, price: u64) -> u64 {
    let queries = round.queries as u64;
    let bytes = queries * (row_bytes + path_bytes(round.log_height, round.queries));
    bytes * price + (queries << round.message_vars) * PRODUCT_COST / 1000
}

/// Hashes that a set of queries needs for each of them, about.
pub(crate) fn path_bytes(log_height: usize, queries: usize) -> u64 {
    32 * (log_height + 1).saturating_sub(ceil_log2(queries)).max(1) as u64
}

/// Cost of encoding and hashing `2^log_height` rows of base field elements.
pub(crate) fn code_cost(log_height: usize, width: usize) -> u64 {
    let memory = if width << log_height > CACHED_VALUES { MEMORY_COST } else { 0 };
    let value = log_height as u64 * BUTTERFLY_COST + HASH_COST + memory;
    (width as u64 * value / 1000 + LEAF_COST) << log_height
}

// Costs are nanoseconds of one core, from profiles; docs/prover.md has the model.

/// What a byte of the inner argument is worth.
pub(crate) const BYTE_COST: u64 = 60;
/// Bytes of a large proof: it may take as much longer as it is shorter by them.
const LARGE_PROOF: u64 = 400_000;
/// A byte is worth between these.
const BYTE_PRICES: (u64, u64) = (30, 400);
/// What proving takes for each committed weight, and for each committed value of a witness.
const VALUE_COSTS: (u64, u64) = (25, 150);
/// A product of a base and an extension element, in picoseconds.
const PRODUCT_COST: u64 = 1350;
/// A share of a butterfly for a value and a level of a transform, in picoseconds.
const BUTTERFLY_COST: u64 = 200;
/// Hashing a value, in picoseconds.
const HASH_COST: u64 = 2000;
/// What each value of a code costs more that does not stay in the caches, in picoseconds.
const MEMORY_COST: u64 = 6000;
/// Values that stay there.
const CACHED_VALUES: usize = 1 << 20;
/// Hashing the rest of a leaf, and its share of the tree.
const LEAF_COST: u64 = 150;
/// Bytes of a masked message: twenty, and its share of the inner argument.
const MESSAGE_BYTES: u64 = 60;
/// Passes over committed values: two for the batch, three to fold.
const VALUE_PASSES: u64 = 5;
/// A commitment to weights is made once; this share of its cost counts in a proof.
const COMMITMENTS_SHARE: u64 = 64;

/// A search for the number of queries of a later oracle begins here.
const QUERIES_FEW: usize = 8;
/// Inverse rate of the first code, as a power of two, at least.
const LOWEST_RATE: usize = 1;
/// Of any code, at most.
const HIGHEST_RATE: usize = 6;
/// Of the first code of large weights, at most.
const LARGE_WEIGHT_RATE: usize = 3;
/// Values of the first code of weights, as a power of two, where their own number does not ask for more: 64 MB.
const LARGEST_CODE: usize = 24;
/// Fewest variables folded first: a leaf of `2^3` base field elements is not guessed, `p^8 > 2^247`.
const SHORTEST_FOLD: usize = 3;
/// Most variables folded first.
const LONGEST_FOLD: usize = 8;
/// Most variables folded in a later round.
const LATER_FOLD: usize = 6;
/// Most variables of a polynomial that is sent.
const FINAL_VARS_MOST: usize = 10;
/// Two-adicity of the field.
const MAX_LOG_HEIGHT: usize = 24;
/// Given to every term, so that their sum stays above the target.
pub(crate) const TERM_MARGIN_BITS: u32 = 4;

#[cfg(test)]
mod tests {
    use p3_field::{Field, PrimeCharacteristicRing, TwoAdicField};

    use super::*;
    use crate::{
        field::{Ef, Fp, coefficients},
        multilinear::eq_table,
    };

    fn rank(mut rows: Vec<Vec<Fp>>) -> usize {
        let mut rank = 0;
        for column in 0..rows[0].len() {
            let Some(pivot) = (rank..rows.len()).find(|row| rows[*row][column] != Fp::ZERO) else { continue };
            rows.swap(rank, pivot);
            let inverse = rows[rank][column].inverse();
            let pivot = rows[rank].clone();
            for row in &mut rows[rank + 1..] {
                let factor = row[column] * inverse;
                for (value, by) in row.iter_mut().zip(&pivot) {
                    *value -= factor * *by;
                }
            }
            rank += 1;
        }
        rank
    }

    /// What everyone sees of the first oracle, as functions of its random coefficients: rows at `points`, and, where it is public, the
    /// answer outside the domain. Shape `[functions][randomness * columns]`.
    fn shown(shape: &HidingShape, points: &[Fp], outside: Option<&[Ef]>) -> Vec<Vec<Fp>> {
        let first = shape.rounds[0];
        let (columns, start) = (1 << first.fold, (1 << first.message_vars) - first.randomness);
        let mut rows = Vec::new();
        for x in points {
            for column in 0..columns {
                let mut row = vec![Fp::ZERO; first.randomness * columns];
                for power in 0..first.randomness {
                    row[power * columns + column] = x.exp_u64((start + power) as u64);
                }
                rows.push(row);
            }
        }
        if let Some(point) = outside {
            let weights = &eq_table(point)[start * columns..];
            for coefficient in 0..EF_DEGREE {
                let of = |weight: &Ef| Fp::from_u64(coefficients(weight)[coefficient] as u64);
                rows.push(weights.iter().map(of).collect());
            }
        }
        rows
    }

    /// The claim behind zero knowledge of the rows: values at all positions ever opened, at one more that somebody might guess, and the public answer outside
    /// the domain are all independent of each other and of what is committed.
    #[test]
    fn all_openings_together_are_uniform() {
        for lifetime in [1, 2, 5].map(Lifetime::Openings).into_iter().chain([Lifetime::OneProof]) {
            let shape = HidingShape::new(100, lifetime, 4).unwrap();
            let first = shape.rounds[0];
            let opened = first.queries * shape.openings as usize + 1;
            let generator = Fp::two_adic_generator(first.log_height);
            let point: Vec<Ef> = (1..=shape.vars as u64)
                .map(|seed| {
                    Ef::new(core::array::from_fn(|index| {
                        Fp::from_u64(seed * 5 + index as u64).exp_u64(1 << 20)
                    }))
                })
                .collect();
            let outside = (lifetime != Lifetime::OneProof).then_some(&point[..]);
            // Positions an adversary would choose: next to each other, and over a subgroup.
            let height = 1usize << first.log_height;
            let step = height / opened.next_power_of_two().min(height);
            for step in [1, step.max(1)] {
                let points: Vec<Fp> =
                    (0..opened).map(|index| generator.exp_u64((index * step) as u64)).collect();
                let seen = shown(&shape, &points, outside);
                assert!(seen[0].len() >= seen.len());
                assert_eq!(rank(seen.clone()), seen.len(), "{lifetime:?} {shape:?}");
            }
            // With one random row fewer something would be seen.
            let few = RoundShape { randomness: first.randomness - 1, ..first };
            let rounds = [&[few], &shape.rounds[1..]].concat();
            let points: Vec<Fp> = (0..opened).map(|index| generator.exp_u64(index as u64)).collect();
            let seen = shown(&HidingShape { rounds, ..shape.clone() }, &points, outside);
            assert!(rank(seen.clone()) < seen.len());
            for round in shape.rounds.iter().skip(1) {
                assert!(round.randomness > round.queries);
            }
        }
    }

    #[test]
    fn shapes_hold_what_they_are_for_and_reach_their_level() {
        for used in [1, 300, 5000, 101_770, 4_200_000] {
            for openings in [1, 7, 64] {
                for bits in [80, 100, 112] {
                    let shape = HidingShape::new(used, Lifetime::Openings(openings), bits).unwrap();
                    assert!(shape.free() >= used);
                    assert!(shape.security() >= Bits::whole(bits as u8), "{used} {bits} {shape:?}");
                    let folded: usize = shape.rounds.iter().map(|round| round.fold).sum();
                    assert_eq!(folded + shape.final_vars, shape.vars);
                }
            }
        }
        assert!(HidingShape::new(1 << 26, Lifetime::OneProof, 100).is_err());
    }
}
