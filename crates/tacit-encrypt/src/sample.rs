//! What both sides draw, each from a seed of its own, through BLAKE3 as an extendable output.

use blake3::{Hasher, OutputReader};
use p3_field::PrimeField64;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ring::{Element, N, element};

/// 32 secret random bytes, drawn from the operating system for one query or one answer and never used again.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The stream of this seed for one purpose.
    pub(crate) fn stream(&self, context: &'static str) -> Stream {
        self.expand(context, &[])
    }

    /// One of many streams of this seed for one purpose.
    #[cfg(all(feature = "client", feature = "pbs"))]
    pub(crate) fn numbered(&self, context: &'static str, number: u32) -> Stream {
        self.expand(context, &number.to_le_bytes())
    }

    fn expand(&self, context: &'static str, message: &[u8]) -> Stream {
        let mut key = blake3::derive_key(context, &self.0);
        let mut hasher = Hasher::new_keyed(&key);
        hasher.update(message);
        key.zeroize();
        let stream = Stream { output: hasher.finalize_xof() };
        hasher.zeroize();
        stream
    }
}

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Public polynomials, uniform, by their values: `count` of them from a public seed.
pub(crate) fn public(seed: &[u8; 32], count: usize) -> Vec<Vec<Element>> {
    let mut hasher = Hasher::new_derive_key("tacit 2026 encrypted query public polynomials v1");
    hasher.update(seed);
    let mut stream = Stream { output: hasher.finalize_xof() };
    (0..count).map(|_| stream.uniform()).collect()
}

/// Draws from an endless stream of bytes.
pub(crate) struct Stream {
    output: OutputReader,
}

impl Stream {
    #[cfg(feature = "client")]
    pub(crate) fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        self.output.fill(&mut bytes);
        bytes
    }

    /// The stream of a public seed and a number, for one purpose.
    #[cfg(feature = "pbs")]
    pub(crate) fn public(context: &'static str, seed: &[u8; 32], number: u32) -> Self {
        let mut hasher = Hasher::new_derive_key(context);
        hasher.update(seed);
        hasher.update(&number.to_le_bytes());
        Self { output: hasher.finalize_xof() }
    }

    /// `N` words.
    fn words(&mut self) -> Vec<u64> {
        self.some_words(N)
    }

    pub(crate) fn some_words(&mut self, count: usize) -> Vec<u64> {
        let mut bytes = vec![0; 8 * count];
        self.output.fill(&mut bytes);
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        bytes.zeroize();
        words
    }

    /// Uniform in `-2^bits ..= 2^bits`, both ends half as likely, as words modulo `2^64`.
    #[cfg(feature = "pbs")]
    pub(crate) fn t_uniform(&mut self, count: usize, bits: u32) -> Vec<u64> {
        let mut words = self.some_words(count);
        for word in &mut words {
            // 2^(bits + 2) values, two for each but the ends.
            let value = (*word >> (62 - bits)).div_ceil(2);
            *word = value.wrapping_sub(1 << bits);
        }
        words
    }

    /// Uniform in `Z_q`, by rejection of one word in `2^32`.
    fn uniform(&mut self) -> Vec<Element> {
        let mut values: Vec<Element> = Vec::with_capacity(N);
        while values.len() < N {
            let words = self.words();
            let room = N - values.len();
            let fitting = words.into_iter().filter(|word| *word < Element::ORDER_U64);
            values.extend(fitting.take(room).map(Element::new));
        }
        values
    }

    /// Uniform in `-1, 0, 1`, up to a bias of `2^-62`; `N` of them.
    pub(crate) fn ternary(&mut self) -> Vec<i64> {
        self.some_ternary(N)
    }

    pub(crate) fn some_ternary(&mut self, count: usize) -> Vec<i64> {
        let mut words = self.some_words(count);
        let values = words.iter().map(|word| ((u128::from(*word) * 3) >> 64) as i64 - 1).collect();
        words.zeroize();
        values
    }

    /// Uniform in `-2^bits .. 2^bits`.
    pub(crate) fn noise(&mut self, bits: u32) -> Vec<i64> {
        let mut words = self.words();
        let values = words.iter().map(|word| (*word >> (63 - bits)) as i64 - (1 << bits)).collect();
        words.zeroize();
        values
    }
}

/// The polynomial of small integers, and forgets these.
pub(crate) fn taken(mut values: Vec<i64>) -> Vec<Element> {
    let polynomial = values.iter().map(|value| element(*value)).collect();
    values.zeroize();
    polynomial
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(seed: u8) -> Stream {
        Seed::new([seed; 32]).stream("tacit 2026 test of samplers v1")
    }

    #[test]
    fn noise_is_uniform_within_its_bounds() {
        let mut stream = stream(1);
        let mut bins = [0.0; 32];
        for _ in 0..50 {
            for value in stream.noise(14) {
                assert!((-(1 << 14)..1 << 14).contains(&value));
                bins[((value + (1 << 14)) >> 10) as usize] += 1.0;
            }
        }
        let expected = 50.0 * N as f64 / 32.0;
        let chi_squared: f64 = bins.iter().map(|bin| (bin - expected) * (bin - expected) / expected).sum();
        // 31 degrees of freedom.
        assert!(chi_squared < 90.0, "{chi_squared}");
    }

    #[test]
    fn secrets_are_ternary() {
        let mut stream = stream(2);
        let mut counts = [0.0; 3];
        for _ in 0..50 {
            for value in stream.ternary() {
                counts[(value + 1) as usize] += 1.0;
            }
        }
        let expected = 50.0 * N as f64 / 3.0;
        let chi_squared: f64 = counts.iter().map(|x| (x - expected) * (x - expected) / expected).sum();
        assert!(chi_squared < 30.0, "{counts:?}");
    }

    #[test]
    fn public_polynomials_depend_on_their_seed_and_place() {
        let (one, two) = (public(&[1; 32], 2), public(&[2; 32], 2));
        assert_ne!(one[0], one[1]);
        assert_ne!(one[0], two[0]);
        assert_eq!(one, public(&[1; 32], 2));
    }
}
