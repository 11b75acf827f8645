//! `Z_q[X]/(X^N + 1)` with `q = 2^64 - 2^32 + 1`: polynomials by their coefficients or by their values at the roots of `X^N + 1`.

use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
#[cfg(any(test, feature = "client", feature = "pbs"))]
use p3_field::PrimeField64;
use p3_field::{PrimeCharacteristicRing, TwoAdicField};
use p3_goldilocks::Goldilocks;

/// Coefficients of a polynomial.
pub(crate) const N: usize = 2048;
const LOG_N: usize = N.ilog2() as usize;

/// `Z_q`.
pub(crate) type Element = Goldilocks;

/// Transforms between both forms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transform(Radix2DFTSmallBatch<Element>);

impl Transform {
    /// Values at the odd powers of a root of order `2 N`, of a polynomial with at most `N` coefficients.
    pub(crate) fn values(&self, mut coefficients: Vec<Element>) -> Vec<Element> {
        coefficients.resize(N, Element::ZERO);
        self.0.coset_dft(coefficients, Element::two_adic_generator(LOG_N + 1))
    }

    /// The coefficients again.
    pub(crate) fn coefficients(&self, values: Vec<Element>) -> Vec<Element> {
        self.0.coset_idft(values, Element::two_adic_generator(LOG_N + 1))
    }
}

/// The element that stands for an integer.
pub(crate) fn element(value: i64) -> Element {
    let magnitude = Element::from_u64(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

/// The integer nearest to zero that an element stands for.
#[cfg(any(test, feature = "client", feature = "pbs"))]
pub(crate) fn centred(value: Element) -> i64 {
    let value = value.as_canonical_u64();
    if value > Element::ORDER_U64 / 2 {
        // Less than 2^63, as the order is.
        -((Element::ORDER_U64 - value) as i64)
    } else {
        value as i64
    }
}

/// Adds `left * right`, value by value.
pub(crate) fn multiply_add(sum: &mut [Element], left: &[Element], right: &[Element]) {
    for ((sum, left), right) in sum.iter_mut().zip(left).zip(right) {
        *sum += *left * *right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_wrap_with_a_change_of_sign() {
        let transform = Transform::default();
        let (mut left, mut right) = (vec![Element::ZERO; N], vec![Element::ZERO; N]);
        for (index, value) in [(0, 5), (1, -3), (700, 1 << 40), (2047, 11)] {
            left[index] = element(value);
        }
        for (index, value) in [(0, -7), (2, 1 << 20), (1500, 13), (2047, 3)] {
            right[index] = element(value);
        }
        let mut expected = vec![Element::ZERO; N];
        for (i, a) in left.iter().enumerate() {
            for (j, b) in right.iter().enumerate() {
                let product = *a * *b;
                if i + j < N { expected[i + j] += product } else { expected[i + j - N] -= product }
            }
        }
        let mut values = vec![Element::ZERO; N];
        multiply_add(&mut values, &transform.values(left.clone()), &transform.values(right));
        assert_eq!(transform.coefficients(values), expected);
        assert_eq!(transform.coefficients(transform.values(left.clone())), left);
    }

    #[test]
    fn integers_come_back() {
        for value in [0, 1, -1, i64::from(i32::MIN), (1 << 62) + 3, -(1 << 62)] {
            assert_eq!(centred(element(value)), value);
        }
    }
}
