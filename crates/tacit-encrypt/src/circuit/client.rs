//! The client's half: makes keys, encrypts rows, decrypts answers.
//!
//! **Boundary:** this module is behind the feature `client`. What serves models is built without it, and has no name for a secret.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::{
    keys,
    offer::Offer,
    pack::Packer,
    parameters::{Parameters, QUERY_BITS},
    polynomial::Ring,
    wire::{Query, WireReject, decode_answer},
};
use crate::{
    evaluation::KeyId,
    ring::{Element, N, multiply_add},
    sample::{Seed, public},
};

/// A client's secret keys for one set of parameters. They decrypt every answer to every question under them.
pub struct ClientKeys {
    parameters: &'static Parameters,
    id: KeyId,
    small: Zeroizing<Vec<u64>>,
    large: Arc<Zeroizing<Vec<u64>>>,
}

impl core::fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientKeys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a row is not encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptReject {
    /// Another number of inputs.
    #[error("the model has {expected} inputs, got {got}")]
    Length {
        /// Inputs of the model.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// An input that no encoder gives.
    #[error("input {index} is none that an encoder gives")]
    Range {
        /// Its index.
        index: usize,
    },
    /// Keys for other parameters.
    #[error("keys for parameters {got}, the offer is for {expected}")]
    Keys {
        /// The offer's.
        expected: u8,
        /// The keys'.
        got: u8,
    },
}

/// What decrypts one answer.
pub struct Secret {
    large: Arc<Zeroizing<Vec<u64>>>,
    offer: Offer,
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl ClientKeys {
    /// Makes keys: the secret ones, and the bytes of those to send. The same for the same seed, which is all that a client has to keep.
    #[must_use]
    pub fn generate(parameters: &'static Parameters, seed: &Seed) -> (Self, Vec<u8>) {
        let Drawn { public_seed, small, large, noise } = Drawn::new(parameters, seed);
        let encoded = Maker::new(parameters, &public_seed, &small, &large, noise).encode();
        let id = KeyId::of(&encoded);
        (Self { parameters, id, small, large: Arc::new(large) }, encoded)
    }

    /// The secret keys alone, without the work of making what is sent. `id` is the caller's word.
    #[must_use]
    pub fn restore(parameters: &'static Parameters, seed: &Seed, id: KeyId) -> Self {
        let Drawn { small, large, .. } = Drawn::new(parameters, seed);
        Self { parameters, id, small, large: Arc::new(large) }
    }

    /// The name of the keys that were sent.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What they are for.
    #[must_use]
    pub fn parameters(&self) -> &'static Parameters {
        self.parameters
    }
}

/// What a seed gives.
struct Drawn {
    public_seed: [u8; 32],
    small: Zeroizing<Vec<u64>>,
    large: Zeroizing<Vec<u64>>,
    /// Of the noise in what is sent.
    noise: Seed,
}

impl Drawn {
    fn new(parameters: &Parameters, seed: &Seed) -> Self {
        let mut stream = seed.stream("tacit 2026 encrypted circuit keys v1");
        let public_seed: [u8; 32] = stream.bytes();
        let mut bits = |count: usize| {
            let words = Zeroizing::new(stream.some_words(count));
            Zeroizing::new(words.iter().map(|word| word >> 63).collect::<Vec<u64>>())
        };
        let (small, large) = (bits(parameters.small), bits(parameters.large()));
        Self { public_seed, small, large, noise: Seed::new(stream.bytes()) }
    }
}

/// Makes what is sent.
struct Maker<'a> {
    parameters: &'static Parameters,
    public_seed: &'a [u8; 32],
    small: &'a [u64],
    large: &'a [u64],
    noise: Seed,
    ring: Ring,
    /// Polynomials of the large key, by their values.
    values: Vec<Vec<Element>>,
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        // Elements are plain words; overwriting is all that can be done about them.
        self.values.iter_mut().flatten().for_each(|value| *value = Element::ZERO);
    }
}

impl<'a> Maker<'a> {
    fn new(
        parameters: &'static Parameters,
        public_seed: &'a [u8; 32],
        small: &'a [u64],
        large: &'a [u64],
        noise: Seed,
    ) -> Self {
        let ring = Ring::new(parameters.log_degree);
        let polynomial = |bits: &[u64]| ring.values(bits.iter().map(|bit| Element::from_u64(*bit)).collect());
        let values = large.chunks(parameters.degree()).map(polynomial).collect();
        Self { parameters, public_seed, small, large, noise, ring, values }
    }

    fn encode(&self) -> Vec<u8> {
        let Parameters { key_bits, .. } = *self.parameters;
        let bits = self.small.par_iter().enumerate();
        // Dimensions are far under 2^32.
        let rows: Vec<Vec<u64>> = bits.flat_map_iter(|(index, bit)| self.rows(*bit, index as u32)).collect();
        let mut packer = Packer::new(keys::head(self.parameters, self.public_seed));
        let zeros = (0u32..).take(self.parameters.polynomials).map(|zero| self.zero(zero));
        for word in rows.iter().flatten().copied().chain(zeros.flatten()) {
            packer.push(rounded(word, key_bits), key_bits);
        }
        self.switch().iter().for_each(|word| packer.push(rounded(*word, QUERY_BITS), QUERY_BITS));
        packer.finish()
    }

    /// Polynomials to send of the rows of one bit of the small key.
    fn rows(&self, bit: u64, index: u32) -> Vec<Vec<u64>> {
        let Parameters { polynomials, base_log, digits, large_noise_bits, .. } = *self.parameters;
        let degree = self.parameters.degree();
        let mut masks = keys::row_masks(self.public_seed, index);
        let mut noise = self.noise.numbered("tacit 2026 encrypted bootstrap key noise v1", index);
        let mut rows = Vec::with_capacity(digits * (polynomials + 1));
        for place in (1..=digits).rev() {
            let unit = bit << (64 - base_log * place as u32);
            for key in self.large.chunks(degree).map(Some).chain([None]) {
                let mut body = noise.t_uniform(degree, large_noise_bits);
                match key {
                    Some(key) => {
                        for (word, bit) in body.iter_mut().zip(key) {
                            *word = word.wrapping_sub(bit * unit);
                        }
                    }
                    None => body[0] = body[0].wrapping_add(unit),
                }
                self.mask(&mut body, &masks.some_words(degree * polynomials));
                rows.push(body);
            }
        }
        rows
    }

    /// The polynomial to send of a zero.
    fn zero(&self, zero: u32) -> Vec<u64> {
        let Parameters { polynomials, large_noise_bits, .. } = *self.parameters;
        let degree = self.parameters.degree();
        let mut noise = self.noise.numbered("tacit 2026 encrypted zeros noise v1", zero);
        let mut body = noise.t_uniform(degree, large_noise_bits);
        self.mask(&mut body, &keys::zero_masks(self.public_seed, zero).some_words(degree * polynomials));
        body
    }

    /// Adds masks times the large key.
    fn mask(&self, body: &mut [u64], masks: &[u64]) {
        let pairs = masks.chunks(self.parameters.degree()).zip(self.values.iter().map(Vec::as_slice));
        self.ring.add_products(body, pairs);
    }

    /// Numbers to send of the switching key.
    fn switch(&self) -> Vec<u64> {
        let Parameters { small, switch_base_log, switch_digits, small_noise_bits, .. } = *self.parameters;
        let masks = keys::switch_masks(self.public_seed, self.parameters);
        let mut noise = self.noise.numbered("tacit 2026 encrypted switching key noise v1", 0);
        let mut bodies = noise.t_uniform(self.parameters.switch_rows(), small_noise_bits);
        let places =
            self.large.iter().flat_map(|bit| (1..=switch_digits as u32).map(move |place| (bit, place)));
        for ((body, mask), (bit, place)) in bodies.iter_mut().zip(masks.chunks(small)).zip(places) {
            let product = mask.iter().zip(self.small).fold(0u64, |sum, (a, s)| sum.wrapping_add(a * s));
            *body = body.wrapping_add(product).wrapping_add(bit << (64 - switch_base_log * place));
        }
        bodies
    }
}

/// The upper bits, rounded.
fn rounded(word: u64, bits: u32) -> u64 {
    word.wrapping_add(1 << (63 - bits)) >> (64 - bits)
}

/// Encrypts an encoded row, as the bytes to send; the same bytes again for the same row and seed. A seed is for one row: two rows under one
/// seed and key are lost.
///
/// # Errors
/// Refuses a row of another length or with values that no encoder gives, and keys of other parameters.
pub fn encrypt(
    offer: &Offer,
    row: &[i16],
    seed: &Seed,
    keys: &ClientKeys,
) -> Result<(Secret, Vec<u8>), EncryptReject> {
    let (expected, got) = (offer.layout.inputs(), row.len());
    if expected != got {
        return Err(EncryptReject::Length { expected, got });
    }
    if let Some(index) = offer.layout.outside(row) {
        return Err(EncryptReject::Range { index });
    }
    let parameters = offer.parameters;
    let (expected, got) = (parameters.id, keys.parameters.id);
    if expected != got {
        return Err(EncryptReject::Keys { expected, got });
    }
    let mut stream = seed.stream("tacit 2026 encrypted circuit query v1");
    let query_seed: [u8; 32] = stream.bytes();
    let ring = Ring::new(N.ilog2());
    let mut small = ring.values(keys.small.iter().map(|bit| Element::from_u64(*bit)).collect());
    let numbers = Zeroizing::new(offer.layout.encode(row));
    let masks = public(&query_seed, numbers.len().div_ceil(N).max(1));
    let mut bodies = Vec::with_capacity(numbers.len());
    for (mask, numbers) in masks.iter().zip(numbers.chunks(N)) {
        let mut product = vec![Element::ZERO; N];
        multiply_add(&mut product, mask, &small);
        let noise = Zeroizing::new(stream.t_uniform(numbers.len(), parameters.small_noise_bits));
        let body = |((product, number), noise): ((Element, &i64), &u64)| {
            let message = number.cast_unsigned().wrapping_mul(offer.input_unit).wrapping_add(*noise);
            // Up to two units of 2^-64, which is nothing beside the noise.
            let body = super::lwe::fraction(product).wrapping_add(message);
            rounded(body, QUERY_BITS) as u32
        };
        bodies.extend(ring.coefficients(product).into_iter().zip(numbers).zip(noise.iter()).map(body));
    }
    small.iter_mut().for_each(|value| *value = Element::ZERO);
    let query = Query { key: keys.id, seed: query_seed, bodies };
    let secret = Secret { large: Arc::clone(&keys.large), offer: offer.clone() };
    Ok((secret, query.encode(parameters, offer.variant)))
}

impl Secret {
    /// The outputs of the model.
    ///
    /// # Errors
    /// Refuses bytes by their shape alone. Whatever has the right shape decrypts to something, so that a refusal, which the worker gets
    /// to feel, tells it nothing about secret or row.
    pub fn decrypt(&self, answer: &[u8]) -> Result<Vec<i32>, WireReject> {
        let outputs = decode_answer(&self.offer, answer)?;
        let reading = self.offer.reading;
        let read = outputs.iter().map(|output| {
            let mut product = 0u64;
            for (number, bit) in output.mask.iter().zip(self.large.iter()) {
                product = product.wrapping_add(number * bit);
            }
            let phase = output.body.wrapping_sub(product) << (64 - output.bits);
            product.zeroize();
            let (phase, unit) = (i128::from(phase.cast_signed()), i128::from(reading.unit));
            let output = i128::from(reading.centre) + (phase + unit / 2).div_euclid(unit);
            i32::try_from(output.clamp(i32::MIN.into(), i32::MAX.into())).unwrap_or(0)
        });
        Ok(read.collect())
    }
}

#[cfg(test)]
impl ClientKeys {
    pub(crate) fn small(&self) -> &[u64] {
        &self.small
    }

    pub(crate) fn large(&self) -> &[u64] {
        &self.large
    }
}
