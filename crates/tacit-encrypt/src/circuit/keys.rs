//! Evaluation keys: what a client makes once and a worker keeps. Public.
//!
//! # Encoding
//! `1 ‖ parameters (u8) ‖ seed (32) ‖` numbers, packed from the lowest bit: the polynomial that is sent of each row of the bootstrap key
//! ([`super::backend`] says in which order), `key_bits` a coefficient; the polynomials that are sent of the zeros, as many as the large key has, `key_bits` a
//! coefficient; for each coefficient of the large key and for each digit from the coarsest, 32 bits of the switching key. They end with a
//! byte. All masks come from the seed. Bits below those that are sent are zero.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::{
    backend::Engine,
    lwe::Lwe,
    pack::Unpacker,
    parameters::{Parameters, QUERY_BITS},
};
use crate::{
    evaluation::{KEY_VERSION as VERSION, KeyId, KeyReject, Variant},
    sample::Stream,
};

pub(crate) const HEAD: usize = 2 + 32;

/// Bytes of keys for these parameters.
#[must_use]
pub fn key_bytes(parameters: &Parameters) -> usize {
    let numbers = parameters.rows() * parameters.degree() + parameters.large();
    let bits = numbers * parameters.key_bits as usize + parameters.switch_rows() * QUERY_BITS as usize;
    HEAD + bits.div_ceil(8)
}

/// Keys that a worker computes with.
pub struct EvaluationKeys {
    parameters: &'static Parameters,
    id: KeyId,
    seed: [u8; 32],
    engine: Engine,
    /// The polynomials of each zero, masks first.
    zeros: Vec<Vec<Vec<u64>>>,
    switch: Vec<u64>,
    /// Masks of the switching key, if some circuit needs them.
    switch_masks: OnceLock<Vec<u64>>,
}

impl core::fmt::Debug for EvaluationKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EvaluationKeys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl EvaluationKeys {
    /// Reads and expands keys, some tens of MB into some hundred.
    ///
    /// # Errors
    /// Refuses everything but the bytes of keys for parameters that there are.
    pub fn decode(bytes: &[u8], variant: Variant) -> Result<Self, KeyReject> {
        let parameters = check(bytes)?;
        let (head, rest) = bytes.split_at_checked(HEAD).unwrap_or((bytes, &[]));
        let mut seed = [0; 32];
        seed.copy_from_slice(&head[2..]);
        let mut numbers = Unpacker::new(rest);
        let (degree, bits) = (parameters.degree(), parameters.key_bits);
        let polynomial = |numbers: &mut Unpacker<'_>| -> Vec<u64> {
            let sent = numbers.numbers(degree, bits);
            sent.into_iter().map(|number| number << (64 - bits)).collect()
        };
        let bodies: Vec<Vec<u64>> = (0..parameters.rows()).map(|_| polynomial(&mut numbers)).collect();
        let zero_bodies: Vec<Vec<u64>> =
            (0..parameters.polynomials).map(|_| polynomial(&mut numbers)).collect();
        let switch = numbers.numbers(parameters.switch_rows(), QUERY_BITS);
        let rows_of_bit = parameters.digits * (parameters.polynomials + 1);
        let rows: Vec<u64> = bodies
            .par_chunks(rows_of_bit)
            .enumerate()
            .flat_map_iter(|(bit, bodies)| {
                // Dimensions are far under 2^32.
                let mut masks = row_masks(&seed, bit as u32);
                let rows = bodies.iter().flat_map(move |body| {
                    let mut row = masks.some_words(degree * parameters.polynomials);
                    row.extend(body);
                    row
                });
                rows.collect::<Vec<u64>>()
            })
            .collect();
        let zeros = (0u32..).zip(zero_bodies).map(|(zero, body)| {
            let mut masks = zero_masks(&seed, zero);
            let polynomials = (0..parameters.polynomials).map(|_| masks.some_words(degree));
            polynomials.chain([body]).collect()
        });
        Ok(Self {
            parameters,
            id: KeyId::of(bytes),
            seed,
            engine: Engine::expand(variant, parameters, &rows),
            zeros: zeros.collect(),
            switch: switch.into_iter().map(|number| number << (64 - QUERY_BITS)).collect(),
            switch_masks: OnceLock::new(),
        })
    }

    /// Their name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What they are for.
    #[must_use]
    pub fn parameters(&self) -> &'static Parameters {
        self.parameters
    }

    /// How they compute.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.engine.variant()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Polynomials of each zero: masks, then what was sent.
    pub(crate) fn zeros(&self) -> &[Vec<Vec<u64>>] {
        &self.zeros
    }

    /// From the large key to the small one.
    pub(crate) fn to_small(&self, large: &Lwe) -> Lwe {
        let Parameters { small, switch_base_log, switch_digits, .. } = *self.parameters;
        let masks = self.switch_masks.get_or_init(|| switch_masks(&self.seed, self.parameters));
        let mut switched = Lwe { mask: vec![0; small], body: large.body };
        let rows = masks.chunks(small).zip(&self.switch);
        let digits = large.mask.iter().flat_map(|word| digits(*word, switch_base_log, switch_digits));
        for (digit, (mask, body)) in digits.zip(rows) {
            let digit = digit.cast_unsigned();
            for (own, other) in switched.mask.iter_mut().zip(mask) {
                *own = own.wrapping_sub(other.wrapping_mul(digit));
            }
            switched.body = switched.body.wrapping_sub(body.wrapping_mul(digit));
        }
        switched
    }
}

/// Checks whether bytes are encoded keys, without the work of expanding them.
///
/// # Errors
/// Says what is wrong with them.
pub fn check(bytes: &[u8]) -> Result<&'static Parameters, KeyReject> {
    let got = bytes.len();
    let Some([version, id]) = bytes.first_chunk().copied() else {
        return Err(KeyReject::Length { expected: HEAD, got });
    };
    if version != VERSION {
        return Err(KeyReject::Version { got: version });
    }
    let parameters = Parameters::of(id).ok_or(KeyReject::Parameters { got: id })?;
    let expected = key_bytes(parameters);
    if got != expected {
        return Err(KeyReject::Length { expected, got });
    }
    Ok(parameters)
}

/// The head of encoded keys.
#[cfg(feature = "client")]
pub(crate) fn head(parameters: &Parameters, seed: &[u8; 32]) -> Vec<u8> {
    let mut head = Vec::with_capacity(key_bytes(parameters));
    head.extend([VERSION, parameters.id]);
    head.extend(seed);
    head
}

/// Masks of the rows of one bit of the small key.
pub(crate) fn row_masks(seed: &[u8; 32], bit: u32) -> Stream {
    Stream::public("tacit 2026 encrypted bootstrap key masks v1", seed, bit)
}

/// Masks of a zero.
pub(crate) fn zero_masks(seed: &[u8; 32], zero: u32) -> Stream {
    Stream::public("tacit 2026 encrypted zeros masks v1", seed, zero)
}

/// Masks of the switching key, for all coefficients and digits.
pub(crate) fn switch_masks(seed: &[u8; 32], parameters: &Parameters) -> Vec<u64> {
    let row = parameters.switch_digits * parameters.small;
    let coefficients = 0..u32::try_from(parameters.large()).unwrap_or(u32::MAX);
    let masks = coefficients.into_par_iter().flat_map_iter(|coefficient| {
        let context = "tacit 2026 encrypted switching key masks v1";
        Stream::public(context, seed, coefficient).some_words(row)
    });
    masks.collect()
}

/// Digits of a fraction in base `2^base_log`, the coarsest first, each from minus half the base up to half of it.
fn digits(word: u64, base_log: u32, count: usize) -> impl Iterator<Item = i64> {
    let kept = base_log * count as u32;
    let rounded = word.wrapping_add(1 << (63 - kept)) >> (64 - kept);
    // Adding half the base to each digit makes all of them count from zero.
    let half = 1u64 << (base_log - 1);
    let halves = (0..count as u32).fold(0, |halves, digit| halves | (half << (base_log * digit)));
    let shifted = rounded.wrapping_add(halves);
    (0..count as u32).rev().map(move |digit| {
        let place = (shifted >> (base_log * digit)) & ((1 << base_log) - 1);
        place.cast_signed() - half.cast_signed()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit::simulate::Random;

    #[test]
    fn digits_add_up() {
        let mut random = Random(1);
        for (base_log, count) in [(3, 5), (4, 4), (2, 8), (1, 3)] {
            for _ in 0..1000 {
                let word = random.word();
                let digits: Vec<i64> = digits(word, base_log, count).collect();
                assert_eq!(digits.len(), count);
                let half = 1 << (base_log - 1);
                assert!(digits.iter().all(|digit| (-half..half).contains(digit)));
                let sum = digits.iter().zip(1..).fold(0u64, |sum, (digit, place)| {
                    sum.wrapping_add(digit.cast_unsigned().wrapping_mul(1 << (64 - base_log * place)))
                });
                let error = word.wrapping_sub(sum).cast_signed().unsigned_abs();
                assert!(error <= 1 << (63 - base_log * count as u32), "{base_log} {count}");
            }
        }
    }
}
