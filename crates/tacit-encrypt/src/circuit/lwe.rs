//! Ciphertexts of single numbers: `body - <mask, key>` is the message with noise, in units of `2^-64` of the torus.

use p3_field::PrimeField64;

use crate::ring::Element;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lwe {
    pub(crate) mask: Vec<u64>,
    pub(crate) body: u64,
}

/// A ciphertext modulo a power of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Switched {
    pub(crate) mask: Vec<u64>,
    pub(crate) body: u64,
    pub(crate) bits: u32,
}

impl Lwe {
    pub(crate) fn zero(dimension: usize) -> Self {
        Self { mask: vec![0; dimension], body: 0 }
    }

    /// Adds `weight * other`.
    pub(crate) fn add(&mut self, other: &Self, weight: i64) {
        let weight = weight.cast_unsigned();
        for (own, other) in self.mask.iter_mut().zip(&other.mask) {
            *own = own.wrapping_add(other.wrapping_mul(weight));
        }
        self.body = self.body.wrapping_add(other.body.wrapping_mul(weight));
    }

    /// The coefficient `at` of a ciphertext of polynomials, under the key of their coefficients.
    pub(crate) fn coefficient(masks: &[&[u64]], body: u64, at: usize) -> Self {
        let mut mask = Vec::new();
        for polynomial in masks {
            let at = at.min(polynomial.len().saturating_sub(1));
            let (low, high) = polynomial.split_at_checked(at + 1).unwrap_or((polynomial, &[]));
            mask.extend(low.iter().rev());
            mask.extend(high.iter().rev().map(|word| word.wrapping_neg()));
        }
        Self { mask, body }
    }

    /// Rounds to `bits` bits. What rounding the mask brings on average, under a key of random bits, is taken off the body.
    pub(crate) fn switch(&self, bits: u32) -> Switched {
        let shift = 64 - bits;
        let round = |word: u64| word.wrapping_add(1 << (shift - 1)) >> shift;
        let mut rounding = 0i128;
        let mask = self.mask.iter().map(|word| {
            let rounded = round(*word);
            rounding += i128::from((rounded << shift).wrapping_sub(*word).cast_signed());
            rounded
        });
        let mask = mask.collect();
        let body = round(self.body.wrapping_add((rounding / 2) as u64));
        Switched { mask, body, bits }
    }
}

/// An element of the field as a fraction of the torus, up to two units.
pub(crate) fn fraction(element: Element) -> u64 {
    // 2^64 / q is 1 + 2^-32, nearly; no element is so large that this wraps.
    let value = element.as_canonical_u64();
    value.wrapping_add(value >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit::simulate::Random;

    fn phase(lwe: &Lwe, key: &[u64]) -> u64 {
        lwe.mask.iter().zip(key).fold(lwe.body, |phase, (a, s)| phase.wrapping_sub(a.wrapping_mul(*s)))
    }

    #[test]
    fn coefficients_are_those_of_the_product() {
        let mut random = Random(1);
        let mut words = |count: usize| (0..count).map(|_| random.word()).collect::<Vec<u64>>();
        let (first, second, body) = (words(8), words(8), words(8));
        let key: Vec<u64> = words(16).iter().map(|word| word & 1).collect();
        for (at, body) in body.iter().enumerate() {
            let mut expected = *body;
            for (mask, key) in [&first, &second].iter().zip(key.chunks(8)) {
                for (i, a) in mask.iter().enumerate() {
                    for (j, s) in key.iter().enumerate() {
                        let product = a.wrapping_mul(*s);
                        match i + j {
                            sum if sum == at => expected = expected.wrapping_sub(product),
                            sum if sum == at + 8 => expected = expected.wrapping_add(product),
                            _ => (),
                        }
                    }
                }
            }
            assert_eq!(phase(&Lwe::coefficient(&[&first, &second], *body, at), &key), expected);
        }
    }

    /// The deviation is that of the formula, half of what it would be without the mean.
    #[test]
    fn switching_is_as_noisy_as_computed() {
        let mut random = Random(2);
        for (dimension, bits) in [(839, 11), (664, 12), (2048, 15)] {
            let (mut square, mut sum, runs) = (0.0, 0.0, 4000);
            for _ in 0..runs {
                let mask: Vec<u64> = (0..dimension).map(|_| random.word()).collect();
                let key: Vec<u64> = (0..dimension).map(|_| random.word() & 1).collect();
                let lwe = Lwe { mask, body: random.word() };
                let switched = lwe.switch(bits);
                assert!(switched.mask.iter().chain([&switched.body]).all(|word| *word < 1 << bits));
                let wide = |word: &u64| word << (64 - bits);
                let coarse =
                    Lwe { mask: switched.mask.iter().map(wide).collect(), body: wide(&switched.body) };
                let error = phase(&coarse, &key).wrapping_sub(phase(&lwe, &key)).cast_signed() as f64;
                let error = error / 2f64.powi(64);
                square += error * error;
                sum += error;
            }
            let runs = f64::from(runs);
            let variance = (f64::from(dimension) / 4.0 + 1.0) / 12.0 * 2f64.powi(-2 * bits as i32);
            let ratio = square / runs / variance;
            assert!((0.93..1.07).contains(&ratio), "{dimension} {ratio}");
            assert!((sum / runs).abs() < 4.0 * (variance / runs).sqrt(), "{dimension}");
        }
    }

    #[test]
    fn elements_are_fractions() {
        let q = u128::from(Element::ORDER_U64);
        let mut random = Random(5);
        for value in [0, 1, (q - 1) as u64, 1 << 63].into_iter().chain((0..1000).map(|_| random.word())) {
            let element = Element::new(value);
            let exact = (u128::from(element.as_canonical_u64()) << 64) / q;
            let near = fraction(element);
            assert!(exact.abs_diff(u128::from(near)) <= 2, "{value}");
        }
    }
}
