//! The sigmoid of liquid alpha, by integer arithmetic.
//!
//! `e^-y` for `y >= 0`: `y = k ln 2 + r` with `0 <= r < ln 2`, the series of `e^-r` with 60 binary places, shifted by `k`. The series ends when its terms do.
//! Each of some twenty terms is cut off below `2^-60`, `r` is off by at most `k 2^-60`, so that the result is off by less than one step of `2^-32`.
//!
//! Deviation: upstream sums a series for `e^x` in 32 places, whose error grows with `x`; we agree with it to the four decimals of its scenarios.

use crate::fixed::Fixed;

/// `1 / (1 + e^(-steepness / 100 * (difference - 1/2)))`, for a difference of at most one: at most two steps of `2^-32` from the true value.
#[must_use]
pub fn sigmoid(difference: Fixed, steepness: u16) -> Fixed {
    let half = Fixed::from_raw(Fixed::ONE.raw() >> 1);
    let rate = Fixed::whole(steepness).over(Fixed::whole(100));
    if difference >= half {
        let decay = exp_negative(rate.times(difference.minus(half)));
        Fixed::ONE.over(Fixed::ONE.plus(decay))
    } else {
        let decay = exp_negative(rate.times(half.minus(difference)));
        decay.over(Fixed::ONE.plus(decay))
    }
}

/// `e^-y`, less than one step below the true value.
fn exp_negative(y: Fixed) -> Fixed {
    let y = y.min(Fixed::whole(EXPONENT_MAX));
    let scaled = u128::from(y.raw()) << (PLACES - 32);
    let halvings = scaled.checked_div(LN_2).unwrap_or(0);
    let rest = scaled.checked_rem(LN_2).unwrap_or(0);
    // Terms of both signs apart, so that nothing is negative.
    let (mut added, mut taken) = (1_u128 << PLACES, 0_u128);
    let mut term = added;
    let mut number = 0_u128;
    while term != 0 {
        number = number.saturating_add(1);
        // Under 2^60 times under 2^60.
        term = (term.saturating_mul(rest) >> PLACES).checked_div(number).unwrap_or(0);
        let sum = if number & 1 == 1 { &mut taken } else { &mut added };
        *sum = sum.saturating_add(term);
    }
    let shift = u32::try_from(halvings).unwrap_or(u32::MAX).saturating_add(PLACES.saturating_sub(32));
    let raw = added.saturating_sub(taken).checked_shr(shift).unwrap_or(0);
    Fixed::from_raw(u64::try_from(raw).unwrap_or(u64::MAX))
}

/// Binary places of the series.
const PLACES: u32 = 60;
/// `ln 2` with as many, rounded down.
const LN_2: u128 = 799_144_290_325_165_978;
/// Where exponents are cut off: `e^-20` is nine steps.
const EXPONENT_MAX: u16 = 20;

#[cfg(test)]
mod tests {
    use super::{exp_negative, sigmoid};
    use crate::fixed::Fixed;
    use proptest::prelude::*;

    fn float(value: Fixed) -> f64 {
        value.raw() as f64 / 2_f64.powi(32)
    }

    proptest! {
        #[test]
        fn the_exponential_is_off_by_a_step(raw in 0_u64..20 << 32) {
            let y = Fixed::from_raw(raw);
            let error = (-float(y)).exp() - float(exp_negative(y));
            prop_assert!((-1e-13..1.01 / 2_f64.powi(32)).contains(&error), "{error}");
        }

        #[test]
        fn the_sigmoid_is_off_by_two_steps(raw in 0_u64..=1 << 32, steepness in 0_u16..=3000) {
            let difference = Fixed::from_raw(raw);
            let x = f64::from(steepness) / 100.0 * (float(difference) - 0.5);
            let error = 1.0 / (1.0 + (-x).exp()) - float(sigmoid(difference, steepness));
            // The rate itself is cut off below a step, and multiplied by up to a half.
            prop_assert!(error.abs() < 2.2 / 2_f64.powi(32), "{error}");
        }
    }

    #[test]
    fn the_ends_are_cut_off() {
        assert_eq!(exp_negative(Fixed::ZERO), Fixed::ONE);
        assert_eq!(exp_negative(Fixed::from_raw(u64::MAX)), exp_negative(Fixed::from_raw(20 << 32)));
        assert_eq!(exp_negative(Fixed::from_raw(20 << 32)).raw(), 8);
    }
}
