//! The client's half: encrypts a row, decrypts an answer.
//!
//! **Boundary:** this module is behind the feature `client`. What serves models is built without it, and has no name for a secret.

use p3_field::{PrimeCharacteristicRing, PrimeField64};
use zeroize::Zeroizing;

#[cfg(feature = "pbs")]
use crate::circuit::Parameters;
use crate::{
    evaluation::{KeyId, ParametersId},
    offer::Offer,
    plan::{KEY_CUT, NOISE_BITS, QUERY_CUT, Sizes, scale},
    ring::{Element, N, Transform, element, multiply_add},
    sample::{Seed, Stream, public, taken},
    wire::{Answer, Query, WireError},
};

#[cfg(feature = "pbs")]
pub use crate::circuit::ClientKeys;

/// A client's long-lived secret keys. Linear models take none, and no other models are asked in this build.
#[cfg(not(feature = "pbs"))]
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientKeys {}

#[cfg(not(feature = "pbs"))]
impl ClientKeys {
    /// The name of the keys that were sent.
    #[must_use]
    pub fn id(&self) -> KeyId {
        match *self {}
    }
}

/// Makes keys: the secret ones, and the bytes of those to send. The same for the same seed. `None` for parameters that this program does not have.
#[must_use]
pub fn generate_keys(parameters: ParametersId, seed: &Seed) -> Option<(ClientKeys, Vec<u8>)> {
    #[cfg(feature = "pbs")]
    return Parameters::of(parameters.0).map(|parameters| ClientKeys::generate(parameters, seed));
    #[cfg(not(feature = "pbs"))]
    {
        let _ = (parameters, seed);
        None
    }
}

/// The secret keys of a seed alone, without the work of making what is sent. That `id` names what was sent is the caller's word.
#[must_use]
pub fn restore_keys(parameters: ParametersId, seed: &Seed, id: KeyId) -> Option<ClientKeys> {
    #[cfg(feature = "pbs")]
    return Parameters::of(parameters.0).map(|parameters| ClientKeys::restore(parameters, seed, id));
    #[cfg(not(feature = "pbs"))]
    {
        let _ = (parameters, seed, id);
        None
    }
}

/// Why a row is not encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// For a model with look-ups.
    #[cfg(feature = "pbs")]
    #[error(transparent)]
    Circuit(#[from] crate::circuit::EncryptReject),
    /// Keys are needed that the caller did not give.
    #[error("the model is asked under evaluation keys, and there are none")]
    NoKeys,
    /// Another number of inputs.
    #[error("the model has {expected} inputs, got {got}")]
    Length {
        /// Inputs of the model.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// An input that no encoder gives.
    #[error("input {index} is outside {bits} bits")]
    Range {
        /// Its index.
        index: usize,
        /// Bits of an encoded input.
        bits: u8,
    },
}

/// What decrypts one answer.
pub enum Secret {
    /// To a linear model.
    Linear(LinearSecret),
    /// To a model with look-ups.
    #[cfg(feature = "pbs")]
    Circuit(crate::circuit::Secret),
}

/// What decrypts one answer to a linear model. Each query has a secret of its own, so nothing is kept and no two queries can be linked by a key.
pub struct LinearSecret {
    values: Zeroizing<Vec<u64>>,
    sizes: Sizes,
}

impl core::fmt::Debug for LinearSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("LinearSecret(..)")
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Encrypts an encoded row, as the bytes to send; the same bytes again for the same row, seed and keys. A seed is for one row.
///
/// # Errors
/// Refuses a row of another length or with values that no encoder gives, and keys that are not for the offer's parameters.
pub fn encrypt(
    offer: &Offer,
    row: &[i16],
    seed: &Seed,
    keys: Option<&ClientKeys>,
) -> Result<(Secret, Vec<u8>), EncryptError> {
    match offer {
        Offer::Linear(sizes) => {
            let _ = keys;
            let (secret, query) = encrypt_linear(sizes, row, seed)?;
            Ok((Secret::Linear(secret), query.encode()))
        }
        #[cfg(feature = "pbs")]
        Offer::Circuit(offer) => {
            let keys = keys.ok_or(EncryptError::NoKeys)?;
            let (secret, query) = crate::circuit::encrypt(offer, row, seed, keys)?;
            Ok((Secret::Circuit(secret), query))
        }
    }
}

/// Encrypts an encoded row for a linear model, under a secret of its own.
///
/// # Errors
/// Refuses a row of another length or with values outside the input bits.
pub fn encrypt_linear(
    sizes: &Sizes,
    row: &[i16],
    seed: &Seed,
) -> Result<(LinearSecret, Query), EncryptError> {
    if row.len() != sizes.inputs {
        return Err(EncryptError::Length { expected: sizes.inputs, got: row.len() });
    }
    let half = 1i32 << (sizes.input_bits.clamp(1, 16) - 1);
    if let Some(index) = row.iter().position(|x| !(-half..half).contains(&i32::from(*x))) {
        return Err(EncryptError::Range { index, bits: sizes.input_bits });
    }
    let transform = Transform::default();
    let mut stream = seed.stream("tacit 2026 encrypted query v1");
    let secret = transform.values(taken(stream.ternary()));
    let query_seed = stream.bytes();
    let layout = sizes.layout();
    let polynomials = public(&query_seed, layout.ciphertexts + 1);
    let (key, rest) =
        polynomials.split_first().map_or((&[][..], &[][..]), |(key, rest)| (key.as_slice(), rest));
    let key = cut(&hide(&transform, key, &secret, Vec::new(), &mut stream), KEY_CUT);
    let unit = Element::new(scale(sizes.output_bits));
    let chunks = row.chunks(N).chain(core::iter::repeat(&[][..]));
    let ciphertexts = rest.iter().zip(chunks).map(|(a, chunk)| {
        let message = chunk.iter().map(|x| unit * element(i64::from(*x))).collect();
        cut(&hide(&transform, a, &secret, message, &mut stream), QUERY_CUT)
    });
    let ciphertexts = ciphertexts.collect();
    let values = Zeroizing::new(secret.iter().map(PrimeField64::as_canonical_u64).collect());
    let query = Query { seed: query_seed, key, ciphertexts };
    Ok((LinearSecret { values, sizes: *sizes }, query))
}

/// Coefficients of `a s + e + message`.
fn hide(
    transform: &Transform,
    a: &[Element],
    secret: &[Element],
    mut message: Vec<Element>,
    stream: &mut Stream,
) -> Vec<Element> {
    message.resize(N, Element::ZERO);
    let mut product = vec![Element::ZERO; N];
    multiply_add(&mut product, a, secret);
    let mut hidden = transform.coefficients(product);
    for ((hidden, message), noise) in hidden.iter_mut().zip(message).zip(taken(stream.noise(NOISE_BITS))) {
        *hidden += message + noise;
    }
    hidden
}

/// Without the low bits, rounded; what rounds up to the modulus stays under it.
fn cut(coefficients: &[Element], bits: u32) -> Vec<u64> {
    let most = (Element::ORDER_U64 - 1) >> bits;
    let half = 1u128 << (bits - 1);
    let round = |x: &Element| ((u128::from(x.as_canonical_u64()) + half) >> bits) as u64;
    coefficients.iter().map(|x| round(x).min(most)).collect()
}

impl Secret {
    /// The outputs of the model.
    ///
    /// # Errors
    /// Refuses bytes by their shape alone. Whatever has the right shape decrypts to something, so that a refusal, which the worker gets
    /// to feel, tells it nothing about secret or row.
    pub fn decrypt(&self, answer: &[u8]) -> Result<Vec<i32>, WireError> {
        match self {
            Self::Linear(secret) => secret.decrypt(answer),
            #[cfg(feature = "pbs")]
            Self::Circuit(secret) => Ok(secret.decrypt(answer)?),
        }
    }
}

impl LinearSecret {
    /// The secret polynomial by its values.
    pub(crate) fn elements(&self) -> Vec<Element> {
        self.values.iter().map(|value| Element::new(*value)).collect()
    }

    /// The outputs of the model.
    ///
    /// # Errors
    /// As [`Secret::decrypt`].
    pub fn decrypt(&self, answer: &[u8]) -> Result<Vec<i32>, WireError> {
        self.decrypt_linear(&Answer::decode(&self.sizes, answer)?)
    }

    /// The outputs of a linear model.
    ///
    /// # Errors
    /// Refuses an answer of another shape.
    pub fn decrypt_linear(&self, answer: &Answer) -> Result<Vec<i32>, WireError> {
        let sizes = &self.sizes;
        let layout = sizes.layout();
        let expected = (layout.products, sizes.outputs);
        let got = (answer.masks.len(), answer.bodies.len());
        if expected != got || answer.masks.iter().any(|mask| mask.len() != N) {
            return Err(WireError::AnswerShape);
        }
        let transform = Transform::default();
        let secret = self.elements();
        let bits = sizes.answer_bits();
        // One unit of output in the modulus of the answer.
        let unit = i128::from(1u64 << (bits - u32::from(sizes.output_bits)));
        let modulus = 1i128 << bits;
        let mut outputs = Vec::with_capacity(sizes.outputs);
        for (mask, bodies) in answer.masks.iter().zip(answer.bodies.chunks(layout.in_product)) {
            // The product is one of integers: masks stay under 2^42 in size and there are N of them, well within half of q.
            let centred: Vec<Element> = mask.iter().map(|x| element(centre(*x, bits))).collect();
            let mut product = vec![Element::ZERO; N];
            multiply_add(&mut product, &transform.values(centred), &secret);
            let product = transform.coefficients(product);
            for (index, body) in bodies.iter().enumerate() {
                let masked = product.get(layout.position(index)).map_or(0, |x| crate::ring::centred(*x));
                let noisy = (i128::from(*body) - i128::from(masked)).rem_euclid(modulus);
                let noisy = if noisy >= modulus / 2 { noisy - modulus } else { noisy };
                // The scale is q over a power of two rounded down, short of the true one by less than one part in 2^33.
                // Half the modulus over its unit: at most 30 bits, whatever came.
                outputs.push((noisy + unit / 2).div_euclid(unit) as i32);
            }
        }
        Ok(outputs)
    }
}

/// A value of `bits` bits around zero.
fn centre(value: u64, bits: u32) -> i64 {
    let value = value.cast_signed();
    if value >= 1 << (bits - 1) { value - (1 << bits) } else { value }
}
