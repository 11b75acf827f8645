//! Formats of queries and answers.
//!
//! ```text
//! query  = 1 ‖ ciphertexts (u8) ‖ seed (32) ‖ key (N of 5 bytes) ‖ (N of 7 bytes) for each ciphertext
//! answer = 1 ‖ bits (u8) ‖ polynomials (u16) ‖ outputs (u16) ‖ N of `bits` bits for each polynomial, then one for each output
//! ```
//! Integers are little endian; numbers of `bits` bits follow each other from the lowest bit of the first byte, and the last byte is
//! filled with zeros.

use p3_field::PrimeField64;

use crate::{
    plan::{KEY_CUT, Layout, QUERY_CUT, Sizes},
    ring::{Element, N},
};

/// Version of both formats.
const VERSION: u8 = 1;
const QUERY_BYTES: usize = 7;
const KEY_BYTES: usize = 5;
const QUERY_HEAD: usize = 2 + 32;
const ANSWER_HEAD: usize = 6;

/// Why bytes are not a query or an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Of a model with look-ups.
    #[cfg(feature = "pbs")]
    #[error(transparent)]
    Circuit(#[from] crate::circuit::WireReject),
    /// A query for a model with look-ups, and no keys to compute with.
    #[error("there are no evaluation keys to compute with")]
    NoKeys,
    /// Another version.
    #[error("version {got}, this is version {VERSION}")]
    Version {
        /// The first byte.
        got: u8,
    },
    /// Too short or too long.
    #[error("{got} bytes, {expected} expected")]
    Length {
        /// Bytes that the head promises.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A coefficient that is not under the modulus.
    #[error("coefficient {index} is not under the modulus")]
    Coefficient {
        /// Its index.
        index: usize,
    },
    /// Bits after the last number.
    #[error("the last byte is not filled with zeros")]
    Filling,
    /// A query for a model of another size.
    #[error("the query is not for a model of this size")]
    QueryShape,
    /// An answer to a query of another size, or of other bits.
    #[error("the answer is not one to this query")]
    AnswerShape,
}

impl WireError {
    /// Whether a query is for another way of computing than the offer's: with floating point, say, whose bytes nobody else need get.
    #[must_use]
    pub fn is_other_variant(&self) -> bool {
        #[cfg(feature = "pbs")]
        return matches!(self, Self::Circuit(crate::circuit::WireReject::Variant));
        #[cfg(not(feature = "pbs"))]
        false
    }
}

/// A question under encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub(crate) seed: [u8; 32],
    pub(crate) key: Vec<u64>,
    pub(crate) ciphertexts: Vec<Vec<u64>>,
}

/// An answer under encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) masks: Vec<Vec<u64>>,
    pub(crate) bodies: Vec<u64>,
}

pub(crate) fn query_bytes(ciphertexts: usize) -> usize {
    QUERY_HEAD + N * (KEY_BYTES + QUERY_BYTES * ciphertexts)
}

pub(crate) fn answer_bytes(sizes: &Sizes) -> usize {
    let numbers = sizes.layout().products * N + sizes.outputs;
    ANSWER_HEAD + (numbers * sizes.answer_bits() as usize).div_ceil(8)
}

impl Query {
    /// Bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(query_bytes(self.ciphertexts.len()));
        out.extend([VERSION, u8::try_from(self.ciphertexts.len()).unwrap_or(u8::MAX)]);
        out.extend(self.seed);
        let mut write = |numbers: &[u64], bytes: usize| {
            for number in numbers {
                out.extend(&number.to_le_bytes()[..bytes]);
            }
        };
        write(&self.key, KEY_BYTES);
        for ciphertext in &self.ciphertexts {
            write(ciphertext, QUERY_BYTES);
        }
        out
    }

    /// Reads a query for a model with this sizes.
    ///
    /// # Errors
    /// Refuses everything but the bytes of one query of the sizes.
    pub fn decode(sizes: &Sizes, bytes: &[u8]) -> Result<Self, WireError> {
        let Layout { ciphertexts, .. } = sizes.layout();
        let expected = query_bytes(ciphertexts);
        if let Some(got) = bytes.first().copied().filter(|version| *version != VERSION) {
            return Err(WireError::Version { got });
        }
        if bytes.len() != expected {
            return Err(WireError::Length { expected, got: bytes.len() });
        }
        if usize::from(bytes[1]) != ciphertexts {
            return Err(WireError::QueryShape);
        }
        let (head, rest) = bytes.split_at(QUERY_HEAD);
        let mut seed = [0; 32];
        seed.copy_from_slice(&head[2..]);
        let (key, rest) = rest.split_at(N * KEY_BYTES);
        let key = numbers(key, KEY_BYTES, KEY_CUT)?;
        let ciphertexts = rest.chunks(N * QUERY_BYTES).map(|chunk| numbers(chunk, QUERY_BYTES, QUERY_CUT));
        Ok(Self { seed, key, ciphertexts: ciphertexts.collect::<Result<_, _>>()? })
    }
}

/// Numbers of some bytes each that stay under the modulus with their low bits cut off.
fn numbers(bytes: &[u8], width: usize, cut: u32) -> Result<Vec<u64>, WireError> {
    let most = (Element::ORDER_U64 - 1) >> cut;
    let number = |(index, chunk): (usize, &[u8])| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let number = u64::from_le_bytes(word);
        if number > most { Err(WireError::Coefficient { index }) } else { Ok(number) }
    };
    bytes.chunks(width).enumerate().map(number).collect()
}

impl Answer {
    /// Bytes to send for a model with this sizes.
    #[must_use]
    pub fn encode(&self, sizes: &Sizes) -> Vec<u8> {
        let bits = sizes.answer_bits();
        let mut out = Vec::with_capacity(answer_bytes(sizes));
        out.extend([VERSION, bits as u8]);
        // There are at most 2^12 outputs.
        out.extend((self.masks.len() as u16).to_le_bytes());
        out.extend((self.bodies.len() as u16).to_le_bytes());
        let (mut word, mut filled) = (0u128, 0);
        for number in self.masks.iter().flatten().chain(&self.bodies) {
            word |= u128::from(*number) << filled;
            filled += bits;
            while filled >= 8 {
                out.push(word as u8);
                word >>= 8;
                filled -= 8;
            }
        }
        if filled > 0 {
            out.push(word as u8);
        }
        out
    }

    /// Reads the answer to a query made for this sizes.
    ///
    /// # Errors
    /// Refuses everything but the bytes of one answer of the sizes.
    pub fn decode(sizes: &Sizes, bytes: &[u8]) -> Result<Self, WireError> {
        if let Some(got) = bytes.first().copied().filter(|version| *version != VERSION) {
            return Err(WireError::Version { got });
        }
        let expected = answer_bytes(sizes);
        if bytes.len() != expected {
            return Err(WireError::Length { expected, got: bytes.len() });
        }
        let (head, rest) = bytes.split_at(ANSWER_HEAD);
        let layout = sizes.layout();
        let bits = sizes.answer_bits();
        let shape = [layout.products as u16, sizes.outputs as u16].map(u16::to_le_bytes);
        if u32::from(head[1]) != bits || head[2..4] != shape[0] || head[4..] != shape[1] {
            return Err(WireError::AnswerShape);
        }
        let (mut word, mut filled) = (0u128, 0);
        let mut numbers = Vec::with_capacity(layout.products * N + sizes.outputs);
        for byte in rest {
            word |= u128::from(*byte) << filled;
            filled += 8;
            if filled >= bits {
                numbers.push((word as u64) & ((1 << bits) - 1));
                word >>= bits;
                filled -= bits;
            }
        }
        if word != 0 {
            return Err(WireError::Filling);
        }
        let bodies = numbers.split_off(layout.products * N);
        Ok(Self { masks: numbers.chunks(N).map(<[u64]>::to_vec).collect(), bodies })
    }
}
