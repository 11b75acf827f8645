//! Formats of queries and answers.
//!
//! ```text
//! query  = 1 ‖ parameters (u8) ‖ variant (u8) ‖ id of the keys (32) ‖ seed (32) ‖ one u32 for each number that is encrypted
//! answer = 1 ‖ for each output: as many numbers of `answer bits` bits as the large key has coefficients, and one
//! ```
//! Integers are little endian; numbers of some bits follow each other from the lowest bit of the first byte, and the last byte is
//! filled with zeros. Lengths follow from the offer.

use super::{
    lwe::Switched,
    offer::Offer,
    pack::{Packer, Unpacker},
    parameters::Parameters,
};
use crate::evaluation::{KeyId, Variant};

/// Why bytes are not a query or an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireReject {
    /// Another version.
    #[error("version {got}, this is version {VERSION}")]
    Version {
        /// The first byte.
        got: u8,
    },
    /// Too short or too long.
    #[error("{got} bytes, {expected} expected")]
    Length {
        /// Bytes of such a message.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A query under keys of other parameters.
    #[error("a query for parameters {got}, the offer is for {expected}")]
    Parameters {
        /// The offer's.
        expected: u8,
        /// The query's.
        got: u8,
    },
    /// Bits after the last number.
    #[error("the last byte is not filled with zeros")]
    Filling,
    /// Keys of other parameters.
    #[error("keys for parameters {got}, the offer is for {expected}")]
    Keys {
        /// The offer's.
        expected: u8,
        /// The keys'.
        got: u8,
    },
    /// Other keys than those that the query names.
    #[error("other keys than those that the query is under")]
    OtherKeys {
        /// The query's.
        expected: KeyId,
        /// Those given.
        got: KeyId,
    },
    /// Keys that were expanded for another way of computing, or a query that asks for another one.
    #[error("keys or query are for another variant than the offer's")]
    Variant,
}

const VERSION: u8 = 1;
const QUERY_HEAD: usize = 3 + 32 + 32;

pub(crate) fn query_bytes(slots: usize) -> usize {
    QUERY_HEAD + 4 * slots
}

pub(crate) fn answer_bytes(parameters: &Parameters, outputs: usize, bits: u32) -> usize {
    1 + (outputs * (parameters.large() + 1) * bits as usize).div_ceil(8)
}

/// Numbers under encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// Which keys it is under.
    pub(crate) key: KeyId,
    pub(crate) seed: [u8; 32],
    /// Upper halves of bodies.
    pub(crate) bodies: Vec<u32>,
}

impl Query {
    #[cfg(any(test, feature = "client"))]
    pub(crate) fn encode(&self, parameters: &Parameters, variant: Variant) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(query_bytes(self.bodies.len()));
        bytes.extend([VERSION, parameters.id, variant.byte()]);
        bytes.extend(self.key.0);
        bytes.extend(self.seed);
        bytes.extend(self.bodies.iter().flat_map(|body| body.to_le_bytes()));
        bytes
    }

    pub(crate) fn decode(offer: &Offer, bytes: &[u8]) -> Result<Self, WireReject> {
        let (expected, got) = (query_bytes(offer.layout.slots()), bytes.len());
        if let Some(got) = bytes.first().copied().filter(|version| *version != VERSION) {
            return Err(WireReject::Version { got });
        }
        let length = WireReject::Length { expected, got };
        if got != expected {
            return Err(length);
        }
        let ([_, parameters, variant, names @ ..], bodies) =
            bytes.split_first_chunk::<QUERY_HEAD>().ok_or(length)?;
        let expected = offer.parameters.id;
        if *parameters != expected {
            return Err(WireReject::Parameters { expected, got: *parameters });
        }
        if Variant::of(*variant) != Some(offer.variant) {
            return Err(WireReject::Variant);
        }
        let (mut key, mut seed) = ([0; 32], [0; 32]);
        for (to, from) in key.iter_mut().chain(&mut seed).zip(names) {
            *to = *from;
        }
        let bodies = bodies.as_chunks().0.iter().map(|body| u32::from_le_bytes(*body)).collect();
        Ok(Self { key: KeyId(key), seed, bodies })
    }
}

/// Outputs under encryption, one ciphertext each.
pub(crate) fn encode_answer(offer: &Offer, outputs: &[Switched]) -> Vec<u8> {
    let bits = offer.reading.bits;
    let mut bytes = Vec::with_capacity(answer_bytes(offer.parameters, outputs.len(), bits));
    bytes.push(VERSION);
    let mut packer = Packer::new(bytes);
    for output in outputs {
        output.mask.iter().chain([&output.body]).for_each(|number| packer.push(*number, bits));
    }
    packer.finish()
}

pub(crate) fn decode_answer(offer: &Offer, bytes: &[u8]) -> Result<Vec<Switched>, WireReject> {
    let bits = offer.reading.bits;
    let (expected, got) = (answer_bytes(offer.parameters, offer.outputs, bits), bytes.len());
    if let Some(got) = bytes.first().copied().filter(|version| *version != VERSION) {
        return Err(WireReject::Version { got });
    }
    let Some((_, rest)) = bytes.split_first().filter(|_| got == expected) else {
        return Err(WireReject::Length { expected, got });
    };
    let mut numbers = Unpacker::new(rest);
    let outputs = (0..offer.outputs).map(|_| {
        let mask = numbers.numbers(offer.parameters.large(), bits);
        Switched { mask, body: numbers.number(bits), bits }
    });
    let outputs = outputs.collect();
    if numbers.is_done() { Ok(outputs) } else { Err(WireReject::Filling) }
}
