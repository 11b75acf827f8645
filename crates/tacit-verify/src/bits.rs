//! Probabilities of error as bits, in integers, so that every machine accepts the same parameters.
//!
//! [`Bits`] counts sixty-fourths of a bit. Whatever is rounded is rounded towards less security.

#![cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "fixed-point arithmetic whose ranges are stated line by line; no value comes from a proof"
    )
)]

/// `-log2` of a probability, or `log2` of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(u32);

impl Bits {
    /// A whole number of bits.
    #[must_use]
    pub const fn whole(bits: u8) -> Self {
        Self(bits as u32 * STEPS)
    }

    /// Sixty-fourths of a bit.
    #[must_use]
    pub const fn from_steps(steps: u32) -> Self {
        Self(steps)
    }

    /// Sixty-fourths of a bit.
    #[must_use]
    pub fn steps(self) -> u32 {
        self.0
    }

    /// Whole bits, rounded down.
    #[must_use]
    pub fn floor(self) -> u32 {
        self.0 / STEPS
    }

    /// `log2(count)`, rounded up. A count of zero is taken for one.
    #[must_use]
    pub fn of_count(count: u128) -> Self {
        let count = count.max(1);
        let exponent = count.ilog2();
        // The leading bit goes to position 62; squaring then shifts one bit of the fraction out at a time.
        let mut mantissa = if exponent > 62 { count >> (exponent - 62) } else { count << (62 - exponent) };
        let mut fraction = 0;
        for _ in 0..STEPS.ilog2() {
            mantissa = (mantissa * mantissa) >> 62;
            fraction *= 2;
            if mantissa >> 63 == 1 {
                mantissa >>= 1;
                fraction += 1;
            }
        }
        Self(exponent * STEPS + fraction + 1)
    }

    /// Less security by `other` bits.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Sum of two logarithms.
    #[must_use]
    pub fn more(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `-log2` of the sum of probabilities; no bits when they are 2^-33 or more.
    #[must_use]
    pub fn of_sum(terms: impl IntoIterator<Item = Self>) -> Self {
        // In units of 2^-160.
        let mut sum = 0u128;
        for Self(steps) in terms {
            let (whole, rest) = (steps / STEPS, steps % STEPS);
            // 2^-bits = 2^(1 - rest / 64) * 2^-(whole + 1), the first factor in (1, 2] at 62 bits.
            let mut mantissa = 1u128 << 62;
            for _ in rest..STEPS {
                mantissa = ((mantissa * ROOT) >> 62) + 1;
            }
            let term = match whole + 1 + 62 {
                shift if shift > 160 + 64 => 1,
                shift if shift >= 160 => (mantissa >> (shift - 160)) + 1,
                shift if shift >= 97 => mantissa << (160 - shift),
                _ => return Self(0),
            };
            sum = sum.saturating_add(term);
        }
        Self::whole(160).less(Self::of_count(sum))
    }
}

impl core::fmt::Display for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.floor(), (self.0 % STEPS) * 10 / STEPS)
    }
}

/// Sixty-fourths.
const STEPS: u32 = 64;
/// `2^(1/64)` at 62 bits, rounded up.
const ROOT: u128 = 4_661_903_986_662_671_290;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_sixty_fourth_of_an_octave() {
        let exact = 2f64.powf(1.0 / 64.0) * 2f64.powi(62);
        assert!((ROOT as f64 - exact).abs() < 4096.0, "{exact}");
        // Multiplied out, rounding up each time, it is two and a little.
        let mut power = 1u128 << 62;
        for _ in 0..64 {
            power = ((power * ROOT) >> 62) + 1;
        }
        assert!(power >= 1 << 63 && power - (1 << 63) < 1 << 20, "{power}");
    }

    #[test]
    fn logarithms_are_rounded_up_by_at_most_two_steps() {
        for count in [1u128, 2, 3, 7, 8, 1000, 65537, (1 << 90) + 12345, u128::MAX] {
            let exact = (count as f64).log2() * 64.0;
            let got = f64::from(Bits::of_count(count).0);
            assert!(got >= exact && got <= exact + 2.0, "{count}: {got} {exact}");
        }
    }

    #[test]
    fn sums_are_rounded_down_by_at_most_three_steps() {
        let cases: [&[u32]; 5] = [&[100], &[100, 100], &[101, 103, 150], &[40, 90], &[160, 160, 170]];
        for whole in cases {
            for step in [0, 1, 31, 63] {
                let terms = whole.iter().map(|bits| Bits(bits * 64 + step));
                let exact =
                    -terms.clone().map(|Bits(steps)| (-f64::from(steps) / 64.0).exp2()).sum::<f64>().log2();
                let got = f64::from(Bits::of_sum(terms).0) / 64.0;
                assert!(got <= exact + 1e-9 && got >= exact - 2.0, "{whole:?} {step}: {got} {exact}");
                if exact < 140.0 {
                    assert!(got >= exact - 3.0 / 64.0, "{whole:?} {step}: {got} {exact}");
                }
            }
        }
        assert_eq!(Bits::of_sum([Bits::whole(20)]), Bits(0));
    }
}
