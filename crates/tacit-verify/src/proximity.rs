//! Reed-Solomon codes up to the Johnson radius: how much a word can agree with, with how many codewords, and how rarely a
//! line of words hides it.
//!
//! A code has `n` points and degree below `D + 1`. A word *agrees* with a codeword when they are equal on at least `A` positions,
//! `A = ceil((1 + 1/2m) sqrt(D n))` for a multiplicity `m >= 3`. Integers only.
//!
//! # Statements
//! - **List.** At most `L = (A - D) n / (A^2 - D n)` codewords agree with one word (Johnson): `L` sets of `A` positions, any two of
//!   which share at most `D`, give `(L A)^2 / n <= L A + L (L - 1) D` by counting, Cauchy-Schwarz. The same holds for matrices whose rows are
//!   read as symbols, as two interleaved codewords share at most `D` rows too.
//! - **Lines.** For words `f, g` all `z` but at most `n^2 (2m + 1)^3 / 3 D` are such that whatever `f + z g` agrees with is `p + z q`, and on the same
//!   positions `f` equals `p` and `g` equals `q` (mutual correlated agreement: Dao, Kominers, Thaler, eprint 2026/2056, theorem 5.12 with the closed form of
//!   appendix B, in any field and over any points; machine-checked in ArkLib as `mcaError_affineLine_johnson_le`). The same count holds for matrices
//!   (Jo, eprint 2026/891, theorem 4.4; a short proof is in `specs/0003-zero-knowledge.md`).

#![cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "codes have at most 2^24 points and multiplicities are at most 2^7, so nothing comes near 2^128"
    )
)]

use crate::{bits::Bits, oracle::GRINDING_BITS};

/// A code and the radius it is decoded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Radius {
    /// Points, a power of two.
    height: usize,
    /// Highest degree.
    degree: usize,
    /// Positions on which a word agrees with what it stands for, at least.
    agreement: usize,
    /// Decides how close to the Johnson radius it is.
    multiplicity: u32,
}

impl Radius {
    /// The radius of a code of `2^log_height` points and `coefficients` coefficients; none where the statements say nothing.
    #[must_use]
    pub fn new(log_height: usize, coefficients: usize, multiplicity: u32) -> Option<Self> {
        if log_height > MAX_LOG_HEIGHT || !(MIN_MULTIPLICITY..=MAX_MULTIPLICITY).contains(&multiplicity) {
            return None;
        }
        let height = 1usize << log_height;
        let degree = coefficients.checked_sub(1)?;
        if degree == 0 || degree + 2 > height {
            return None;
        }
        // The least `A` with `4 m^2 A^2 >= (2m + 1)^2 D n`.
        let m = u128::from(multiplicity);
        let (square, by) = ((2 * m + 1).pow(2) * degree as u128 * height as u128, 4 * m * m);
        let floor = (square / by).isqrt();
        let agreement = floor + u128::from(floor * floor * by < square);
        (agreement <= height as u128).then_some(Self {
            height,
            degree,
            agreement: agreement as usize,
            multiplicity,
        })
    }

    /// Positions on which a word agrees with what it stands for, at least.
    #[must_use]
    pub fn agreement(&self) -> usize {
        self.agreement
    }

    /// Codewords that agree with one word, at most.
    #[must_use]
    pub fn list(&self) -> u128 {
        let (n, d, a) = (self.height as u128, self.degree as u128, self.agreement as u128);
        // Above the Johnson radius the divisor is positive.
        (a - d) * n / (a * a - d * n).max(1)
    }

    /// Challenges that make a line of words agree with more than its ends do, at most.
    #[must_use]
    pub fn exceptions(&self) -> u128 {
        let (n, d, m) = (self.height as u128, self.degree as u128, u128::from(self.multiplicity));
        n * n * (2 * m + 1).pow(3) / (3 * d) + 1
    }
}

/// Bits of security of `queries` uniform queries of which each is passed on at most `passing` of `2^log_height` positions,
/// work included.
#[must_use]
pub fn query_bits(log_height: usize, passing: usize, queries: usize) -> Bits {
    let steps = five_queries(log_height, passing) * queries as u64 / 5;
    Bits::whole(GRINDING_BITS as u8).more(Bits::from_steps(u32::try_from(steps).unwrap_or(u32::MAX)))
}

/// Queries that reach `target` bits, work included; none when hardly any position is missed.
#[must_use]
pub fn queries(log_height: usize, passing: usize, target: u32) -> Option<usize> {
    let five = five_queries(log_height, passing);
    let wanted = u64::from(target).saturating_sub(GRINDING_BITS as u64) * 64 * 5;
    (five > 32).then(|| wanted.div_ceil(five) as usize)
}

/// What five queries give, in sixty-fourths of a bit: rounded once for all five.
fn five_queries(log_height: usize, passing: usize) -> u64 {
    let passing = Bits::of_count((passing as u128).pow(5)).steps();
    (5 * 64 * log_height as u64).saturating_sub(u64::from(passing))
}

/// Two-adicity of the field.
const MAX_LOG_HEIGHT: usize = 24;
/// The statements hold from here on.
pub const MIN_MULTIPLICITY: u32 = 3;
/// Beyond, a query gains less than one per cent of a bit.
pub const MAX_MULTIPLICITY: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radius_is_that_of_johnson_and_a_little_less() {
        for (log_height, coefficients) in [(4, 2), (9, 100), (20, 1 << 17), (24, 12_345)] {
            for m in [3, 10, 64] {
                let radius = Radius::new(log_height, coefficients, m).unwrap();
                let (n, d) = ((1u64 << log_height) as f64, (coefficients - 1) as f64);
                let wanted = (1.0 + 0.5 / f64::from(m)) * (d * n).sqrt();
                let got = radius.agreement() as f64;
                assert!(got >= wanted - 1e-6 && got < wanted + 1.0, "{got} {wanted}");
                // The closed forms of the same statements.
                let rho = d / n;
                let eta = got / n - rho.sqrt();
                assert!(radius.list() as f64 <= 1.0 / (2.0 * eta * rho.sqrt()) + 1e-6);
                let lines = 8.0 / 3.0 * n * (f64::from(m) + 0.5).powi(3) / rho;
                let got = radius.exceptions() as f64;
                assert!(got >= lines && got < lines + 1.0 + lines * 1e-9, "{got} {lines}");
            }
        }
    }

    /// The same figures as the library of the plain commitment has for its lines.
    #[test]
    fn exceptions_are_those_of_the_plain_commitment() {
        for (log_degree, log_rate, bits) in [(1, 1, 10.837_102), (2, 1, 11.252_14), (20, 2, 30.837_104)] {
            let radius = Radius::new(log_degree + log_rate, 1 << log_degree, 3).unwrap();
            let got = (radius.exceptions() as f64).log2();
            assert!((got - bits).abs() < 2e-3, "{got} {bits}");
        }
    }

    /// Every set of words of a tiny code, against counting.
    #[test]
    fn no_word_agrees_with_more_codewords_than_the_list_holds() {
        // Lines over seven elements, on seven of them and one more point would not be a power of two: eight points over eleven.
        let (p, n) = (11u64, 8u64);
        let radius = Radius::new(3, 2, 3).unwrap();
        let mut state = 1u64;
        let mut most = 0;
        for _ in 0..3000 {
            let word: Vec<u64> = (0..n)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) % p
                })
                .collect();
            let agrees = |a: u64, b: u64| (0..n).filter(|x| (a + b * x) % p == word[*x as usize]).count();
            let list = (0..p * p).filter(|line| agrees(line / p, line % p) >= radius.agreement()).count();
            most = most.max(list);
        }
        assert!(most > 0 && most as u128 <= radius.list(), "{most} {}", radius.list());
    }

    #[test]
    fn codes_that_the_statements_do_not_cover_have_no_radius() {
        for (log_height, coefficients, m) in
            [(4, 1, 10), (4, 0, 10), (4, 16, 10), (4, 14, 3), (25, 2, 10), (9, 9, 2), (9, 9, 65)]
        {
            assert_eq!(Radius::new(log_height, coefficients, m), None, "{log_height} {coefficients} {m}");
        }
    }

    #[test]
    fn queries_reach_what_they_are_asked_for() {
        for (log_height, passing) in [(10, 300), (10, 900), (20, 380_000), (13, 1)] {
            for target in [40, 104, 128] {
                let count = queries(log_height, passing, target).unwrap();
                assert!(query_bits(log_height, passing, count) >= Bits::whole(target as u8));
                let each = ((1u64 << log_height) as f64 / passing as f64).log2();
                let least = (f64::from(target) - 8.0) / each;
                assert!((count as f64) < least * 1.01 + 1.0 && count as f64 >= least, "{count} {least}");
            }
        }
        assert_eq!(queries(10, 1024, 100), None);
    }
}
