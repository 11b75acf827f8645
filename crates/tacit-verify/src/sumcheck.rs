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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends the given values and draws the given challenges.
    struct Script {
        values: Vec<Ef>,
        challenges: Vec<Ef>,
    }

    impl Context for Script {
        type Value = Ef;

        fn receive(&mut self) -> Result<Ef, Reject> {
            self.values.pop().ok_or(Reject::Truncated)
        }

        fn receive_public(&mut self) -> Result<Ef, Reject> {
            self.receive()
        }

        fn challenge(&mut self) -> Ef {
            self.challenges.pop().unwrap()
        }

        fn multiply(&mut self, a: &Ef, b: &Ef) -> Ef {
            *a * *b
        }

        fn assert_zero(&mut self, value: &Ef, reject: Reject) -> Result<(), Reject> {
            if *value == Ef::ZERO { Ok(()) } else { Err(reject) }
        }
    }

    fn element(value: u64) -> Ef {
        Ef::from_u64(value)
    }

    #[test]
    fn a_round_evaluates_the_polynomial_it_stands_for() {
        // h(X) = 3 + 5 X + 7 X^2, so h(0) + h(1) = 18 and h(10) = 753.
        let script = || Script { values: vec![element(7), element(3)], challenges: vec![element(10)] };
        let rounds = Rounds::product(1, element(18), &mut script()).unwrap();
        assert_eq!((rounds.value, rounds.point), (element(753), vec![element(10)]));
        // (1 - w) h(0) + w h(1) at w = 4.
        let claim = element(15) * element(4) - element(3) * element(3);
        let rounds = Rounds::weighted(&[element(4)], claim, &mut script()).unwrap();
        assert_eq!(rounds.value, element(753));
    }

    #[test]
    fn a_weight_of_zero_is_refused() {
        let mut script = Script { values: vec![element(7), element(3)], challenges: vec![element(10)] };
        let reject = Rounds::weighted(&[Ef::ZERO], element(1), &mut script).unwrap_err();
        assert_eq!(reject, Reject::DegenerateChallenge);
    }

    #[test]
    fn a_missing_round_is_refused() {
        let mut script = Script { values: vec![element(7), element(3)], challenges: vec![element(10)] };
        assert_eq!(Rounds::product(2, element(18), &mut script).unwrap_err(), Reject::Truncated);
    }
}
