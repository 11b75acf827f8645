//! The integer graph: what a model *means*.
//!
//! A graph takes one row of raw numbers, encodes it as `int8`, runs dense layers with `int32` accumulators,
//! requantises each accumulator back to `int8` through a table, and decodes the last accumulators (the
//! *logits*) to a label or to values. Every step is exact integer arithmetic with written rounding and
//! saturation, so that running, proving, sharing and encrypting can compute the same numbers.
//!
//! # Definitions
//! Tensor 0 is the encoded input; node `i` makes tensor `i + 1`; the last node's tensor is the output. Shapes
//! are of one row; a batch adds rows that never mix.
//!
//! - **Encode** (input, public): raw value `v` in units of `2^-24` as `i64`; `q = clamp(div_round_half_up((v +
//!   offset) * multiplier, 2^shift), -128, 127)`, per feature, in `i128`.
//! - **Dense**: `acc[o] = bias[o] + sum_k x[k] * w[k][o]`; `int8` by `int8`; `|acc| < 2^30`, guaranteed by
//!   [`MAX_WIDTH`] and [`MAX_BIAS`], so it never wraps in `i32` nor in the proof's field.
//! - **Requantise**: `u = floor((acc + 2^(shift-1)) / 2^shift)` (`u = acc` when `shift = 0`), then
//!   `y = table[clamp(u, -2^(bits-1), 2^(bits-1) - 1) + 2^(bits-1)]`. A valid model never reaches the clamp:
//!   the bound from its weights puts every reachable `u` inside the table.
//!   (A bound over every input that encoding or the table before can make; [`crate::Model::new`] computes it.)
//! - **Decode** (output, public): argmax with the lowest index winning ties, a threshold at zero, or scaled values.

/// Tensor number: 0 is the encoded input, `i + 1` the result of node `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub u32);

/// A network as exact integer operations: everything public about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// One encoder for each raw feature, in input order. Shape `[features]`.
    pub features: Vec<Feature>,
    /// Operators in topological order.
    pub nodes: Vec<Operator>,
    /// Tables named by [`Operator::Requantise`].
    pub tables: Vec<Table>,
    /// How logits become an answer.
    pub decoder: Decoder,
}

/// How one raw number becomes an `int8` (see *Encode* in the module header).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Name shown to people; UTF-8, may be empty.
    pub name: String,
    /// Added to the raw value, in units of `2^-24`.
    pub offset: i64,
    /// Multiplies the shifted raw value.
    pub multiplier: i32,
    /// Right shift applied last, at most [`MAX_ENCODE_SHIFT`].
    pub shift: u8,
}

/// One operator. Weights are not here: dense layer number `n` (in node order) uses [`Weights::layers`]`[n]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// `int8 [inputs] -> int32 [outputs]`.
    Dense {
        /// Tensor read.
        input: TensorId,
        /// Row length read.
        inputs: u32,
        /// Row length made.
        outputs: u32,
    },
    /// `int32 [n] -> int8 [n]` through a table.
    Requantise {
        /// Tensor read.
        input: TensorId,
        /// Rounding right shift, at most [`MAX_REQUANTISE_SHIFT`].
        shift: u8,
        /// Index into [`Graph::tables`].
        table: u16,
    },
}

/// A fused activation and saturation: `2^bits` entries, the first for `u = -2^(bits-1)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Log2 of the number of entries, 1 to [`MAX_TABLE_BITS`].
    pub bits: u8,
    /// Entries in ascending order of `u`. Shape `[2^bits]`.
    pub values: Vec<i8>,
}

/// How the last accumulators become an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoder {
    /// The label at the index of the largest logit, the lowest index winning ties.
    ArgMax {
        /// One label per logit.
        labels: Vec<String>,
        /// Logits are in units of `2^-fraction_bits`.
        fraction_bits: i8,
    },
    /// One logit: the second label when it is above zero, the first otherwise.
    Threshold {
        /// Labels for "at most zero" and "above zero".
        labels: [String; 2],
        /// The logit is in units of `2^-fraction_bits`.
        fraction_bits: i8,
    },
    /// The logits themselves, in units of `2^-fraction_bits`.
    Values {
        /// Units of the values; negative when a unit is more than one.
        fraction_bits: i8,
    },
}

/// Weights of all dense layers, in node order.
#[derive(Clone, PartialEq, Eq)]
pub struct Weights {
    /// One entry for each [`Operator::Dense`].
    pub layers: Vec<DenseWeights>,
}

/// Weights of one dense layer.
#[derive(Clone, PartialEq, Eq)]
pub struct DenseWeights {
    /// Row-major `[inputs][outputs]`.
    pub matrix: Vec<i8>,
    /// Shape `[outputs]`, each within `±2^28`.
    pub bias: Vec<i32>,
}

/// Units of raw input values: `v` stands for `v * 2^-24`.
pub const RAW_FRACTION_BITS: u32 = 24;
/// Largest shift of an encoder.
pub const MAX_ENCODE_SHIFT: u8 = 96;
/// Largest shift of a requantisation.
pub const MAX_REQUANTISE_SHIFT: u8 = 24;
/// Largest table: `2^16` entries.
pub const MAX_TABLE_BITS: u8 = 16;
/// Largest row length of any tensor.
pub const MAX_WIDTH: u32 = 1 << 15;
/// Bound on `|bias|`; with [`MAX_WIDTH`] it keeps `|acc|` under `2^30`.
pub const MAX_BIAS: i32 = 1 << 28;
/// Bound on the accumulators that these limits guarantee.
pub const MAX_ACCUMULATOR: i32 = 1 << 30;
/// Most operators in a graph.
pub const MAX_NODES: usize = 1 << 10;
/// Most tables in a graph.
pub const MAX_TABLES: usize = 1 << 8;
/// Most weights, biases included, in a model.
pub const MAX_PARAMETERS: u64 = 1 << 28;
/// Longest feature name or label, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 256;
/// Bound on the magnitude of `fraction_bits`.
pub const MAX_FRACTION_BITS: i8 = 60;

const _: () = assert!(MAX_WIDTH as i64 * 128 * 128 + (MAX_BIAS as i64) < MAX_ACCUMULATOR as i64);

impl core::fmt::Debug for Weights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Weights").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for DenseWeights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DenseWeights").field("bias", &self.bias.len()).finish_non_exhaustive()
    }
}
