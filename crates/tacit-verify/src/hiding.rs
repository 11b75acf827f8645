//! The hiding commitment: opens `f(point) = value` and shows nothing of `f`, to a value that stays under its mask.
//!
//! Source: the folding of WHIR (eprint 2024/1586) over zero-knowledge Reed-Solomon encodings (as in eprint 2026/391), with every
//! algebraic message under a mask (VEIL, eprint 2026/683) instead of masks of its own.
//!
//! # Protocol
//! The first oracle is a matrix: entry `i` of the `2^n` values sits in row `i >> k`, column `i mod 2^k`; each column is a
//! polynomial, evaluated on a subgroup of the base field. Right after its root was bound, `f` was claimed at a random point outside the
//! domain. The claims `f(point) = V` and `f(outside) = Y` are joined by a challenge into `sum_x W(x) f(x) = V`, `W` a combination of `eq`. While an
//! oracle with `2^k` columns is current:
//! 1. `k` product rounds bind the variables that number its columns, to `r`. Every codeword row folds to one value of the code of the folded
//!    polynomial `f'`.
//! 2. Of a later oracle: the folded encoding randomness is sent, as masked values `rho`.
//! 3. The root of the next oracle is sent: `f'` in `2^k'` chunks, one a column, each followed by fresh random coefficients; a random point is drawn and
//!    `f'` there is sent as a masked value. Or, at the end, `f'` itself, as masked values.
//! 4. Rows of the current oracle are opened at random points `x` of the code. Each folds to a public `y` with
//!    `y = sum_i f'_i x^i + sum_s rho_s x^(len + s)`. A challenge `eta` adds to the claim its first power times the answer outside the domain, if there is one, and
//!    its next powers times these equations: to `W` an `eq` and the powers of `x`, to `V` the rest.
//!
//! At the end `V = sum_x W(x) f'(x)` is asserted of masked values.
//!
//! # Soundness
//! [`HidingShape::security`]. An oracle stands for a list of polynomials; its answer outside the domain is true of one of them at most, so that one is fixed
//! before rows are asked for, and all others carry a false claim already. `specs/0003-zero-knowledge.md` has the argument.
//!
//! # Zero knowledge
//! Rows are uniform (see [`crate::hiding_shape`]); all else is masked.

use p3_field::{PrimeCharacteristicRing, TwoAdicField};

use crate::{
    batch::Opening,
    context::{Context, Value},
    field::{Ef, Fp},
    hiding_shape::HidingShape,
    masked::{Linear, Masked},
    multilinear::{eq_points, eq_table},
    oracle::{OpenedRows, row_to_extension},
    reject::Reject,
    sumcheck::Rounds,
};

/// One summand of the public factor, over the variables that were left when it was added.
#[derive(Debug, Clone)]
enum Factor {
    /// `scale * eq(point, x)`.
    Point { scale: Ef, point: Vec<Ef> },
    /// `sum_q weight_q * base_q^x`.
    Powers { vars: usize, weights: Vec<(Fp, Ef)> },
}

/// Replays an opening of the oracle behind `root`, which answered `outside` before anything else was asked.
///
/// # Errors
/// Anything but the bytes of an opening of this shape, and rows that are not those of their oracle. Whether the opening is
/// true is part of the relation that `context` gathers.
pub fn verify(
    shape: &HidingShape,
    root: &[u8; 32],
    outside: &Opening<Linear>,
    opening: &Opening<Linear>,
    context: &mut Masked<'_, '_>,
) -> Result<(), Reject> {
    let first_fold = shape.rounds.first().map_or(0, |round| round.fold);
    let Some(high_vars) = shape.vars.checked_sub(first_fold) else { return Err(Reject::HidingOpening) };
    let mut halves = Vec::new();
    for claim in [opening, outside] {
        let Some((high, low)) = claim.point.split_at_checked(high_vars) else {
            return Err(Reject::HidingOpening);
        };
        halves.push((high, low));
    }
    let gamma = context.challenge();
    let mut value = opening.value.plus(&outside.value.scale(gamma));
    let mut factors: Vec<(Factor, Vec<Ef>)> = Vec::new();
    let mut current = *root;
    let mut last = Vec::new();
    for (index, round) in shape.rounds.iter().enumerate() {
        let Rounds { point, value: claim } = Rounds::product(round.fold, value, context)?;
        if index == 0 {
            for ((high, low), weight) in halves.iter().zip([Ef::ONE, gamma]) {
                let factor = Factor::Point { scale: weight * eq_points(low, &point), point: high.to_vec() };
                factors.push((factor, Vec::new()));
            }
        } else {
            factors.iter_mut().for_each(|(_, bound)| bound.extend(&point));
        }
        let mut randomness = Vec::new();
        if index > 0 {
            for _ in 0..round.randomness {
                randomness.push(context.receive()?);
            }
        }
        let root = current;
        let mut next = None;
        if index.saturating_add(1) < shape.rounds.len() {
            current = context.receive_root()?;
            let point = context.challenge_point(round.message_vars);
            next = Some(Opening { point, value: context.receive()? });
        } else {
            for _ in 0..power_of_two(shape.final_vars) {
                last.push(context.receive()?);
            }
        }
        let rows = context.open_rows(shape.oracle(index), round.queries, &root)?;
        let eta = context.challenge();
        let mut first = eta;
        value = claim;
        if let Some(Opening { point, value: answer }) = next {
            value = value.plus(&answer.scale(eta));
            factors.push((Factor::Point { scale: eta, point }, Vec::new()));
            first *= eta;
        }
        let folded = Folded::new(&rows, &point, round.log_height, index > 0);
        let weights = folded.weights(eta, first);
        value = folded.claim(value, &weights, &randomness, power_of_two(round.message_vars));
        let powers = folded.bases.iter().copied().zip(weights).collect();
        factors.push((Factor::Powers { vars: round.message_vars, weights: powers }, Vec::new()));
    }
    let weights = evaluate_factors(&factors, shape.final_vars);
    let sum = Linear::combination(
        weights
            .into_iter()
            .zip(&last)
            .map(|(weight, value)| (-weight, value))
            .chain(core::iter::once((Ef::ONE, &value))),
    );
    context.assert_zero(&sum, Reject::HidingOpening)
}

/// Opened rows, folded.
struct Folded {
    bases: Vec<Fp>,
    values: Vec<Ef>,
}

impl Folded {
    fn new(rows: &OpenedRows, point: &[Ef], log_height: usize, extension: bool) -> Self {
        let weights = eq_table(point);
        let generator = Fp::two_adic_generator(log_height);
        let (mut bases, mut values) = (Vec::new(), Vec::new());
        for (position, row) in rows.iter() {
            bases.push(generator.exp_u64(u64::try_from(position).unwrap_or(0)));
            values.push(if extension {
                row_to_extension(row).iter().zip(&weights).fold(Ef::ZERO, |sum, (v, w)| sum + *w * *v)
            } else {
                row.iter().zip(&weights).fold(Ef::ZERO, |sum, (value, weight)| sum + *weight * *value)
            });
        }
        Self { bases, values }
    }

    /// `first, first eta, ..`, one for each row.
    fn weights(&self, eta: Ef, first: Ef) -> Vec<Ef> {
        eta.shifted_powers(first).take(self.bases.len()).collect()
    }

    /// The claim with the equations of the rows added, what the randomness explains taken off.
    fn claim(&self, claim: Linear, weights: &[Ef], randomness: &[Linear], len: usize) -> Linear {
        let shown = self.values.iter().zip(weights).fold(Ef::ZERO, |sum, (v, w)| sum + *v * *w);
        let len = u64::try_from(len).unwrap_or(0);
        let mut powers: Vec<Ef> =
            self.bases.iter().zip(weights).map(|(base, weight)| *weight * base.exp_u64(len)).collect();
        let mut terms = vec![(Ef::ONE, &claim)];
        for rho in randomness {
            let weight = powers.iter().fold(Ef::ZERO, |sum, power| sum + *power);
            terms.push((-weight, rho));
            for (power, base) in powers.iter_mut().zip(&self.bases) {
                *power *= *base;
            }
        }
        Linear::combination(terms).offset(shown)
    }
}

/// The public factor over the last `vars` variables, the others bound.
fn evaluate_factors(factors: &[(Factor, Vec<Ef>)], vars: usize) -> Vec<Ef> {
    let mut sum = vec![Ef::ZERO; power_of_two(vars)];
    for (factor, bound) in factors {
        match factor {
            Factor::Point { scale, point } => {
                let (head, tail) = point.split_at(bound.len().min(point.len()));
                let scale = *scale * eq_points(head, bound);
                for (slot, weight) in sum.iter_mut().zip(eq_table(tail)) {
                    *slot += scale * weight;
                }
            }
            Factor::Powers { vars, weights } => {
                for (base, weight) in weights {
                    let mut term = *weight * bound_powers(*base, *vars, bound);
                    for slot in &mut sum {
                        *slot += term;
                        term *= *base;
                    }
                }
            }
        }
    }
    sum
}

/// The part of `base^x` that the highest, bound variables of `x` contribute.
fn bound_powers(base: Fp, vars: usize, bound: &[Ef]) -> Ef {
    // Squares, lowest variable first; the highest are bound first.
    let mut squares = Vec::with_capacity(vars);
    let mut square = base;
    for _ in 0..vars {
        squares.push(square);
        square *= square;
    }
    squares
        .iter()
        .rev()
        .zip(bound)
        .fold(Ef::ONE, |product, (square, r)| product * (Ef::ONE + *r * (*square - Fp::ONE)))
}

fn power_of_two(exponent: usize) -> usize {
    u32::try_from(exponent).ok().and_then(|exponent| 1usize.checked_shl(exponent)).unwrap_or(usize::MAX)
}
