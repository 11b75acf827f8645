//! Randomness of the prover, all of it from one seed.

use blake3::OutputReader;
use p3_field::{PrimeCharacteristicRing, PrimeField32};
use tacit_verify::field::{EF_DEGREE, Ef, Fp, ef_from_coefficients};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret random bytes. Who knows them can strip every mask that was drawn from them.
///
/// Draw a fresh one from the operating system for each commitment. One seed may serve many proofs: what a proof draws
/// depends on its statement and on its place among the openings as well.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A stream of field elements.
pub(crate) struct Randomness {
    stream: OutputReader,
    buffer: [u8; BUFFER],
    used: usize,
}

impl Randomness {
    /// The stream of `seed` for one purpose: a context and what tells its uses apart.
    pub(crate) fn new(seed: &Seed, context: &'static str, parts: &[&[u8]]) -> Self {
        let mut key = blake3::derive_key(context, &seed.0);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        key.zeroize();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let stream = hasher.finalize_xof();
        hasher.zeroize();
        Self { stream, buffer: [0; BUFFER], used: BUFFER }
    }

    /// A uniform element, by rejection.
    pub(crate) fn base(&mut self) -> Fp {
        loop {
            if self.used == BUFFER {
                self.stream.fill(&mut self.buffer);
                self.used = 0;
            }
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&self.buffer[self.used..self.used + 4]);
            self.used += 4;
            let value = u32::from_le_bytes(bytes) >> 1;
            if value < Fp::ORDER_U32 {
                return Fp::from_u32(value);
            }
        }
    }

    /// A uniform element of the extension.
    pub(crate) fn extension(&mut self) -> Ef {
        let mut coefficients = [Fp::ZERO; EF_DEGREE];
        for coefficient in &mut coefficients {
            *coefficient = self.base();
        }
        ef_from_coefficients(coefficients)
    }

    /// Several.
    pub(crate) fn extensions(&mut self, count: usize) -> Vec<Ef> {
        (0..count).map(|_| self.extension()).collect()
    }
}

impl Drop for Randomness {
    fn drop(&mut self) {
        self.stream.zeroize();
        self.buffer.zeroize();
    }
}

/// Bytes drawn at a time; a multiple of the hash's block.
const BUFFER: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_by_seed_context_and_parts() {
        let first = |seed: u8, context: &'static str, parts: &[&[u8]]| {
            Randomness::new(&Seed::new([seed; 32]), context, parts).extension()
        };
        let all = [
            first(1, "one", &[b"ab", b"c"]),
            first(2, "one", &[b"ab", b"c"]),
            first(1, "two", &[b"ab", b"c"]),
            first(1, "one", &[b"a", b"bc"]),
        ];
        assert_eq!(all[0], first(1, "one", &[b"ab", b"c"]));
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn elements_are_spread_evenly() {
        let mut random = Randomness::new(&Seed::new([7; 32]), "test", &[]);
        let mut counts = [0i64; 16];
        for _ in 0..160_000 {
            counts[(u64::from(random.base().as_canonical_u32()) * 16 / u64::from(Fp::ORDER_U32)) as usize] +=
                1;
        }
        // Fifteen degrees of freedom; 50 is exceeded once in 100 000 times.
        let chi: i64 = counts.iter().map(|count| (count - 10_000).pow(2)).sum::<i64>() / 10_000;
        assert!(chi < 50, "{counts:?}");
    }
}
