//! What a worker says about a circuit, so that it can be asked.
//!
//! # Encoding
//! `1 ‖ 2 ‖ inputs (u32) ‖ outputs (u32) ‖ parameters (u8) ‖ variant (u8) ‖ answer bits (u8) ‖ input unit (u64) ‖ output unit (u64) ‖ centre
//! (i32) ‖ tolerance (u32) ‖ rows (u32) ‖ agreed (u32) ‖` two bits for each input, lowest first, the last byte filled with zeros: whether the integer itself
//! is encrypted, and whether its steps are. Little endian. An exact circuit has a tolerance of zero and no rows; any other has both.
//!
//! # Secrecy
//! Whoever serves a model may lie here. Key, noise and masks of a query depend on nothing in an offer but the choice among parameters that are all as
//! secure. What is encrypted, how often a row's integer is written down and what it is multiplied by, makes no difference to whoever cannot decrypt. A
//! false offer costs the worker its answer, and shows it nothing.

use tacit_graph::{Agreement, Graph};

use super::{
    compile::levels,
    layout::{Layout, MAX_OUTPUTS, Shape},
    parameters::Parameters,
    plan::{Program, Reading},
    wire::{Query, WireReject, answer_bytes, decode_answer, query_bytes},
};
use crate::evaluation::{Approximation, Closeness, KeyId, Variant};

/// What a client needs to know to encrypt a row for a circuit and to read the answer. Public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub(crate) parameters: &'static Parameters,
    pub(crate) variant: Variant,
    pub(crate) closeness: Closeness,
    pub(crate) layout: Layout,
    pub(crate) outputs: usize,
    pub(crate) input_unit: u64,
    pub(crate) reading: Reading,
}

/// Why bytes are not an offer for a circuit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferReject {
    /// Too short or too long.
    #[error("an offer for this model has {expected} bytes, got {got}")]
    Length {
        /// Bytes of an offer for the graph.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Another version, or another tier.
    #[error("offer of version {version} and tier {tier}, this is version {VERSION} and tier {TIER}")]
    Version {
        /// The first byte.
        version: u8,
        /// The second byte.
        tier: u8,
    },
    /// Another number of inputs or outputs than the graph's.
    #[error("the offer is for {got} inputs or outputs, and the graph has {expected}")]
    Sizes {
        /// The graph's.
        expected: usize,
        /// The offer's.
        got: usize,
    },
    /// The graph is none.
    #[error("the offer is for a graph that is not valid")]
    Graph,
    /// No outputs or too many.
    #[error("the graph has {got} outputs, 1 to {MAX_OUTPUTS} fit")]
    Outputs {
        /// How many.
        got: usize,
    },
    /// Parameters that this program does not have.
    #[error("offer for parameters {got}, which this program does not have")]
    Parameters {
        /// Their id.
        got: u8,
    },
    /// A byte that stands for nothing.
    #[error("byte {at} of the offer says nothing that this program knows")]
    Byte {
        /// Which.
        at: usize,
    },
    /// Answers are approximate, and nobody says how often they are the graph's.
    #[error("the offer is approximate, and does not say how often labels are the model's")]
    Unmeasured,
    /// More numbers than a query may have.
    #[error("the offer asks for {got} numbers, {} at most", super::layout::MAX_SLOTS)]
    Slots {
        /// How many.
        got: usize,
    },
}

/// Longest offer.
pub const MAX_OFFER_BYTES: usize = 4096;
pub(crate) const VERSION: u8 = 1;
pub(crate) const TIER: u8 = 2;
const HEAD: usize = 2 + 4 + 4 + 3 + 8 + 8 + 4 + 12;
const FEWEST_ANSWER_BITS: u32 = 8;
const MOST_ANSWER_BITS: u32 = 40;

impl Offer {
    pub(crate) fn new(program: &Program, variant: Variant, closeness: Closeness) -> Self {
        Self {
            parameters: program.plan.parameters,
            variant,
            closeness,
            layout: program.layout.clone(),
            outputs: program.plan.outputs,
            input_unit: program.input_unit,
            reading: program.reading,
        }
    }

    /// Parameters of the keys.
    #[must_use]
    pub fn parameters(&self) -> &'static Parameters {
        self.parameters
    }

    /// How the worker computes.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// How near answers are to the graph's, as the worker says.
    #[must_use]
    pub fn closeness(&self) -> Closeness {
        self.closeness
    }

    /// Bytes of a query.
    #[must_use]
    pub fn query_bytes(&self) -> usize {
        query_bytes(self.layout.slots())
    }

    /// Bytes of an answer.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        answer_bytes(self.parameters, self.outputs, self.reading.bits)
    }

    /// The keys that a query is under, if it is one for this circuit.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_query(&self, query: &[u8]) -> Result<KeyId, WireReject> {
        Query::decode(self, query).map(|query| query.key)
    }

    /// Checks that bytes have the shape of an answer.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_answer(&self, answer: &[u8]) -> Result<(), WireReject> {
        decode_answer(self, answer).map(|_| ())
    }

    /// Bytes to publish.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, TIER];
        // A graph's inputs and outputs are far under 2^32.
        bytes.extend((self.layout.inputs() as u32).to_le_bytes());
        bytes.extend((self.outputs as u32).to_le_bytes());
        // Bits are at most forty.
        let bits = self.reading.bits as u8;
        bytes.extend([self.parameters.id, self.variant.byte(), bits]);
        bytes.extend(self.input_unit.to_le_bytes());
        bytes.extend(self.reading.unit.to_le_bytes());
        bytes.extend(self.reading.centre.to_le_bytes());
        let (tolerance, agreement) = match self.closeness {
            Closeness::Exact => (0, None),
            Closeness::Approximate(Approximation { tolerance, agreement }) => (tolerance, agreement),
        };
        let (rows, agreed) = agreement.map_or((0, 0), |Agreement { rows, agreed }| (rows, agreed));
        bytes.extend([tolerance, rows, agreed].map(u32::to_le_bytes).as_flattened());
        let shapes: Vec<Shape> = self.layout.shapes().collect();
        bytes.extend(shapes.chunks(4).map(|shapes| {
            let bits = |shape: &Shape| u8::from(shape.whole) | u8::from(shape.steps) << 1;
            shapes.iter().rev().fold(0, |byte, shape| byte << 2 | bits(shape))
        }));
        bytes
    }

    /// Reads an offer for a model whose graph is known.
    ///
    /// # Errors
    /// Refuses everything but one offer, and one that the graph contradicts.
    pub fn decode(graph: &Graph, bytes: &[u8]) -> Result<Self, OfferReject> {
        let inputs = graph.features.len();
        let (expected, got) = (HEAD + inputs.div_ceil(4), bytes.len());
        let length = OfferReject::Length { expected, got };
        if let Some([version, tier]) = bytes.first_chunk().copied()
            && (version, tier) != (VERSION, TIER)
        {
            return Err(OfferReject::Version { version, tier });
        }
        if expected != got {
            return Err(length);
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(length)?;
        let number = |at: usize| {
            let bytes = head.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let count = |at: usize| (number(at) & u64::from(u32::MAX)) as usize;
        let outputs = graph.validate().map_err(|_| OfferReject::Graph)?.outputs();
        for (expected, got) in [(inputs, count(2)), (outputs, count(6))] {
            if expected != got {
                return Err(OfferReject::Sizes { expected, got });
            }
        }
        if !(1..=MAX_OUTPUTS).contains(&outputs) {
            return Err(OfferReject::Outputs { got: outputs });
        }
        let parameters = Parameters::of(head[10]).ok_or(OfferReject::Parameters { got: head[10] })?;
        let variant = Variant::of(head[11]).ok_or(OfferReject::Byte { at: 11 })?;
        let bits = u32::from(head[12]);
        if !(FEWEST_ANSWER_BITS..=MOST_ANSWER_BITS).contains(&bits) {
            return Err(OfferReject::Byte { at: 12 });
        }
        let (input_unit, unit) = (number(13), number(21));
        // Less would make more of a phase than there are outputs.
        if unit >> 32 == 0 {
            return Err(OfferReject::Byte { at: 21 });
        }
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let centre = i32::from_le_bytes(word(29));
        let [tolerance, rows, agreed] = [33, 37, 41].map(|at| u32::from_le_bytes(word(at)));
        let agreement = Agreement { rows, agreed };
        let closeness = match tolerance {
            0 if (rows, agreed) == (0, 0) => Closeness::Exact,
            0 => return Err(OfferReject::Byte { at: 37 }),
            _ if rows == 0 => return Err(OfferReject::Unmeasured),
            _ if !agreement.is_sound() => return Err(OfferReject::Byte { at: 41 }),
            _ => Closeness::Approximate(Approximation { tolerance, agreement: Some(agreement) }),
        };
        let shape = |index: usize| {
            let byte = rest.get(index / 4).copied().unwrap_or(0) >> (2 * (index % 4));
            Shape { whole: byte & 1 == 1, steps: byte & 2 == 2 }
        };
        let filling = rest.last().map_or(0, |last| match inputs % 4 {
            0 => 0,
            used => last >> (2 * used),
        });
        if filling != 0 {
            return Err(OfferReject::Byte { at: got - 1 });
        }
        let shapes: Vec<Shape> = (0..inputs).map(shape).collect();
        let layout = Layout::new(&shapes, &levels(graph));
        let layout = layout.map_err(|slots| OfferReject::Slots { got: slots })?;
        let reading = Reading { centre, unit, bits };
        Ok(Self { parameters, variant, closeness, layout, outputs, input_unit, reading })
    }
}
