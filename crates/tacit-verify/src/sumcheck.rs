//! Sumcheck verifier: two ways to spend a round, both quadratic.
//!
//! Source: Lund, Fortnow, Karloff, Nisan (1992), as stated in Thaler (2022), section 4.1.
//!
//! # Protocol
//! In each round the prover sends `h(0)` and the coefficient of `X^2`; the third value follows from the running
//! claim. Variables are bound most significant first.
//!
//! - [`Rounds::product`]: `h(0) + h(1) = claim`.
//! - [`Rounds::weighted`], for sums `sum_x eq(w, x) g(x)` with a public `w`: the factor `eq(w_i, X)` is left out of
//!   the message (Gruen, eprint 2024/108), `(1 - w_i) h(0) + w_i h(1) = claim`, and the claim left over is about
//!   `g` alone.
//!
//! # Soundness
//! Error at most `2 n / |F|` (`3 n / |F|` with the public factor). The caller MUST still check the claim left over.

use p3_field::{Field, PrimeCharacteristicRing};

use crate::{
    context::{Context, Value},
    field::Ef,
    reject::Reject,
};

/// Evaluation claim left over; the proof is worth nothing until it is discharged.
#[must_use = "sumcheck is sound only once the claim left over is checked"]
#[derive(Debug, Clone)]
pub struct Rounds<V> {
    /// Challenges, shape `[num_vars]`, round order.
    pub point: Vec<Ef>,
    /// Claimed value at `point`.
    pub value: V,
}

impl<V: Value> Rounds<V> {
    /// Replays `vars` rounds of a plain sum of claimed value `claim`.
    ///
    /// # Errors
    /// When the proof ends early.
    pub fn product<C: Context<Value = V>>(vars: usize, claim: V, context: &mut C) -> Result<Self, Reject> {
        let mut value = claim;
        let mut point = Vec::with_capacity(vars);
        for _ in 0..vars {
            let [at_zero, square] = context.receive_array()?;
            let at_one = value.minus(&at_zero);
            let challenge = context.challenge();
            value = quadratic(&at_zero, &at_one, &square, challenge);
            point.push(challenge);
        }
        Ok(Self { point, value })
    }

    /// Replays the rounds of a sum weighted by `eq(weights, x)`, of claimed value `claim`.
    ///
    /// # Errors
    /// When the proof ends early, or a weight is zero, which a random one never is.
    pub fn weighted<C: Context<Value = V>>(
        weights: &[Ef],
        claim: V,
        context: &mut C,
    ) -> Result<Self, Reject> {
        let mut value = claim;
        let mut point = Vec::with_capacity(weights.len());
        for weight in weights {
            let inverse = weight.try_inverse().ok_or(Reject::DegenerateChallenge)?;
            let [at_zero, square] = context.receive_array()?;
            let at_one = value.minus(&at_zero.scale(Ef::ONE - *weight)).scale(inverse);
            let challenge = context.challenge();
            value = quadratic(&at_zero, &at_one, &square, challenge);
            point.push(challenge);
        }
        Ok(Self { point, value })
    }
}

/// The quadratic through `(0, at_zero)` and `(1, at_one)` with leading coefficient `square`.
fn quadratic<V: Value>(at_zero: &V, at_one: &V, square: &V, x: Ef) -> V {
    let slope = at_one.minus(at_zero).minus(square);
    at_zero.plus(&slope.scale(x)).plus(&square.scale(x * x))
}

/// Value at `x` of the line through `(0, at_zero)` and `(1, at_one)`.
pub(crate) fn line<V: Value>(at_zero: &V, at_one: &V, x: Ef) -> V {
    at_zero.plus(&at_one.minus(at_zero).scale(x))
}
