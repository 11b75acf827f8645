//! What a worker says about a model, so that it can be asked under encryption.
//!
//! # Encoding
//! `1 ‖ tier (u8) ‖` what the tier says. Tier 1, linear models: `inputs (u32) ‖ outputs (u32) ‖ input bits (u8) ‖ output bits (u8)`, little endian.
//! Tier 2, models with look-ups: `circuit::offer`, in builds with the feature `pbs`.
//!
//! # Secrecy
//! Whoever serves a model may lie here. Ring, modulus, noise and secret of a query depend on nothing in an offer. The public graph fixes
//! all of it but the output bits, and those only decide what the row is multiplied by under encryption, and how long the answer is: a
//! false offer costs the worker its answer, and shows it nothing.

use tacit_graph::Graph;

use crate::{
    evaluation::{Closeness, KeyId, ParametersId, Variant},
    linear,
    plan::{Misfit, Sizes},
    wire::{Answer, Query, WireError},
};

/// What a client needs to know to encrypt a row for a model, and to read the answer. Public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// A linear model.
    Linear(Sizes),
    /// A model with look-ups.
    #[cfg(feature = "pbs")]
    Circuit(crate::circuit::Offer),
}

/// Why bytes are not an offer for a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferReject {
    /// Longer than any offer.
    #[error("an offer has at most {MAX_OFFER_BYTES} bytes, got {got}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Another version.
    #[error("offer version {got}, this is version {VERSION}")]
    Version {
        /// The first byte.
        got: u8,
    },
    /// A way of asking that this program does not know.
    #[error("offer for tier {got}, which this program does not do")]
    Tier {
        /// The second byte.
        got: u8,
    },
    /// Too short or too long for its tier.
    #[error("an offer for a linear model has {expected} bytes, got {got}")]
    Length {
        /// Bytes of an offer.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Of a model with look-ups.
    #[cfg(feature = "pbs")]
    #[error(transparent)]
    Circuit(#[from] crate::circuit::OfferReject),
    /// The graph or the sizes cannot be asked under encryption.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Another number of inputs than the graph's.
    #[error("the offer is for {got} inputs, and the graph has {expected}")]
    Inputs {
        /// The graph's.
        expected: usize,
        /// The offer's.
        got: usize,
    },
    /// Another number of outputs than the graph's.
    #[error("the offer is for {got} outputs, and the graph has {expected}")]
    Outputs {
        /// The graph's.
        expected: usize,
        /// The offer's.
        got: usize,
    },
    /// Other input bits than the graph's.
    #[error("the offer is for inputs of {got} bits, and the graph's have {expected}")]
    InputBits {
        /// The graph's.
        expected: u8,
        /// The offer's.
        got: u8,
    },
}

/// Longest offer.
pub const MAX_OFFER_BYTES: usize = 4096;

const VERSION: u8 = 1;
const TIER_LINEAR: u8 = 1;
const LINEAR_BYTES: usize = 12;

/// Whether a model can be asked under encryption, as far as its public graph says. Its weights may still leave too little room.
///
/// # Errors
/// Says why it does not fit, and what would make it fit.
pub fn fits(graph: &Graph) -> Result<(), Misfit> {
    match linear::fits(graph) {
        // Which look-ups there are depends on weights.
        #[cfg(feature = "pbs")]
        Err(Misfit::NotLinear { .. }) => Ok(()),
        fits => fits.map(|_| ()),
    }
}

impl Offer {
    /// Bytes to publish.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Sizes { inputs, outputs, input_bits, output_bits } = match self {
            Self::Linear(sizes) => sizes,
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => return offer.encode(),
        };
        // Both counts are far under 2^32.
        let counts = [*inputs as u32, *outputs as u32].map(u32::to_le_bytes);
        [&[VERSION, TIER_LINEAR], counts.as_flattened(), &[*input_bits, *output_bits]].concat()
    }

    /// Reads an offer for a model whose graph is known.
    ///
    /// # Errors
    /// Refuses everything but one offer, and one that the graph contradicts.
    pub fn decode(graph: &Graph, bytes: &[u8]) -> Result<Self, OfferReject> {
        if bytes.len() > MAX_OFFER_BYTES {
            return Err(OfferReject::TooLong { got: bytes.len() });
        }
        if let Some(got) = bytes.first().copied().filter(|version| *version != VERSION) {
            return Err(OfferReject::Version { got });
        }
        #[cfg(feature = "pbs")]
        if bytes.get(1).copied() == Some(crate::circuit::TIER) {
            return Ok(Self::Circuit(crate::circuit::Offer::decode(graph, bytes)?));
        }
        if let Some(got) = bytes.get(1).copied().filter(|tier| *tier != TIER_LINEAR) {
            return Err(OfferReject::Tier { got });
        }
        let Ok(&[_, _, i0, i1, i2, i3, o0, o1, o2, o3, input_bits, output_bits]) =
            <&[u8; LINEAR_BYTES]>::try_from(bytes)
        else {
            return Err(OfferReject::Length { expected: LINEAR_BYTES, got: bytes.len() });
        };
        let count = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let (inputs, outputs) = (count([i0, i1, i2, i3]), count([o0, o1, o2, o3]));
        let expected = linear::fits(graph)?;
        if inputs != expected.0 {
            return Err(OfferReject::Inputs { expected: expected.0, got: inputs });
        }
        if outputs != expected.1 {
            return Err(OfferReject::Outputs { expected: expected.1, got: outputs });
        }
        if input_bits != graph.input_bits {
            return Err(OfferReject::InputBits { expected: graph.input_bits, got: input_bits });
        }
        let sizes = Sizes { inputs, outputs, input_bits, output_bits };
        sizes.check()?;
        Ok(Self::Linear(sizes))
    }

    /// Checks that bytes are a query for this model, and says which keys it is under, if it is under any.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_query(&self, query: &[u8]) -> Result<Option<KeyId>, WireError> {
        match self {
            Self::Linear(sizes) => Query::decode(sizes, query).map(|_| None),
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => Ok(Some(offer.check_query(query)?)),
        }
    }

    /// Checks that bytes have the shape of an answer. Whatever has decrypts to something.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_answer(&self, answer: &[u8]) -> Result<(), WireError> {
        match self {
            Self::Linear(sizes) => Answer::decode(sizes, answer).map(|_| ()),
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => Ok(offer.check_answer(answer)?),
        }
    }

    /// Bytes of a query.
    #[must_use]
    pub fn query_bytes(&self) -> usize {
        match self {
            Self::Linear(sizes) => sizes.query_bytes(),
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => offer.query_bytes(),
        }
    }

    /// Bytes of an answer.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        match self {
            Self::Linear(sizes) => sizes.answer_bytes(),
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => offer.answer_bytes(),
        }
    }

    /// Parameters of the keys that queries are under; none where each has a key of its own.
    #[must_use]
    pub fn parameters(&self) -> Option<ParametersId> {
        match self {
            Self::Linear(_) => None,
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => Some(ParametersId(offer.parameters().id)),
        }
    }

    /// Bytes of the evaluation keys that the worker has to have, sent once; none where it needs none.
    #[must_use]
    pub fn key_bytes(&self) -> usize {
        match self {
            Self::Linear(_) => 0,
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => crate::circuit::key_bytes(offer.parameters()),
        }
    }

    /// How the worker computes.
    #[must_use]
    pub fn variant(&self) -> Variant {
        match self {
            Self::Linear(_) => Variant::Reproducible,
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => offer.variant(),
        }
    }

    /// How near answers are to the graph's, as the worker says.
    #[must_use]
    pub fn closeness(&self) -> Closeness {
        match self {
            Self::Linear(_) => Closeness::Exact,
            #[cfg(feature = "pbs")]
            Self::Circuit(offer) => offer.closeness(),
        }
    }
}
