//! Products in `Z[X]/(X^N + 1)` modulo `2^64`, exactly, by transforms modulo the prime of [`crate::ring`].

use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
use p3_field::{PrimeCharacteristicRing, TwoAdicField};

use crate::ring::{Element, centred, multiply_add};

/// Polynomials of `2^log_degree` coefficients.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    transform: Radix2DFTSmallBatch<Element>,
    log_degree: usize,
}

impl Ring {
    pub(crate) fn new(log_degree: u32) -> Self {
        Self { transform: Radix2DFTSmallBatch::default(), log_degree: log_degree as usize }
    }

    fn degree(&self) -> usize {
        1 << self.log_degree
    }

    /// Values at the odd powers of a root of order `2 N`.
    pub(crate) fn values(&self, mut coefficients: Vec<Element>) -> Vec<Element> {
        coefficients.resize(self.degree(), Element::ZERO);
        self.transform.coset_dft(coefficients, Element::two_adic_generator(self.log_degree + 1))
    }

    /// The coefficients again.
    pub(crate) fn coefficients(&self, values: Vec<Element>) -> Vec<Element> {
        self.transform.coset_idft(values, Element::two_adic_generator(self.log_degree + 1))
    }

    /// Adds the sum of `words * bits` over pairs, where `bits` are the values of polynomials with coefficients of at most one in size.
    pub(crate) fn add_products<'a>(
        &self,
        sum: &mut [u64],
        pairs: impl Iterator<Item = (&'a [u64], &'a [Element])>,
    ) {
        // Halves of words, so that no sum of products reaches half the prime: there are far fewer than 2^30 of them.
        let mut halves = [vec![Element::ZERO; self.degree()], vec![Element::ZERO; self.degree()]];
        for (words, bits) in pairs {
            for (half, shift) in halves.iter_mut().zip([0, 32]) {
                let part = words.iter().map(|word| Element::from_u64((word >> shift) & 0xffff_ffff));
                multiply_add(half, &self.values(part.collect()), bits);
            }
        }
        let [low, high] = halves.map(|half| self.coefficients(half));
        for ((sum, low), high) in sum.iter_mut().zip(low).zip(high) {
            let product = centred(low).wrapping_add(centred(high) << 32);
            *sum = sum.wrapping_add(product.cast_unsigned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{circuit::simulate::Random, ring::element};

    #[test]
    fn products_are_exact() {
        let ring = Ring::new(10);
        let mut random = Random(3);
        let mut words = || (0..1024).map(|_| random.word()).collect::<Vec<u64>>();
        let (left, right) = ([words(), words()], [words(), words()]);
        let bits = right.map(|right| right.iter().map(|word| (word % 3) as i64 - 1).collect::<Vec<i64>>());
        let start = words();
        let mut expected = start.clone();
        for (a, b) in left.iter().zip(&bits) {
            for (i, x) in a.iter().enumerate() {
                for (j, y) in b.iter().enumerate() {
                    let product = x.wrapping_mul(y.cast_unsigned());
                    let slot = &mut expected[(i + j) % 1024];
                    *slot =
                        if i + j < 1024 { slot.wrapping_add(product) } else { slot.wrapping_sub(product) };
                }
            }
        }
        let values = bits.map(|bits| ring.values(bits.iter().map(|bit| element(*bit)).collect()));
        let mut sum = start;
        let pairs = left.iter().map(Vec::as_slice).zip(values.iter().map(Vec::as_slice));
        ring.add_products(&mut sum, pairs);
        assert_eq!(sum, expected);
    }
}
