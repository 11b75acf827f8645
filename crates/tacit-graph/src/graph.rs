//! The integer graph: what a model *means*.
//!
//! A graph takes one row of raw numbers, encodes it as small integers, runs four operators on integer tensors and
//! decodes the last tensor (the *logits*) to a label or to values. Every step is exact integer arithmetic with
//! written rounding and saturation, so that running, proving, sharing and encrypting can compute the same numbers.
//! Everything else a network does (convolution, pooling, attention, recurrence) is written in these four.
//!
//! # Definitions
//! Tensor 0 is the encoded input, of shape [`Graph::input_axes`]; node `i` makes tensor `i + 1`; the last node's
//! tensor, of one axis, is the output. Shapes are of one row; a batch adds rows that never mix. Tensors are row-major.
//!
//! - **Encode** (input, public): raw value `v` in units of `2^-24` as `i64`; `q = clamp(div_round_half_up((v +
//!   offset) * multiplier, 2^shift), -2^(b-1), 2^(b-1) - 1)`, per feature, in `i128`, `b` = [`Graph::input_bits`]. A
//!   feature with *steps* counts them instead: `q` is the number of its steps that are at most `v`, so that any comparison
//!   with one of them is a comparison of `q`, exactly.
//! - **View**: a tensor read under other axes. The operator has axes (`axes` then `summed`), a view says for each
//!   index over them which element is read, or that zero is ([`View`]). It is how padding, strides, windows, slices,
//!   transposes, concatenation and broadcasting are written.
//! - **Contract**: `acc[o] = bias[o] + sum_k left[o, k] * right[o, k]`, `right` weights or a view. Dense layers,
//!   convolutions (grouped, depthwise, transposed), matrix products, element-wise products.
//! - **Combine**: `acc[o] = constant + bias[o] + sum_t coefficient_t * sum_k view_t[o, k]`. Sums, means, wiring.
//! - **Maximum**: `y[o] = max(left[o], right[o])`.
//! - **Requantise**: `u = floor((x + 2^(shift-1)) / 2^shift)` (`u = x` when `shift = 0`), then
//!   `y = table[clamp(u, -2^(bits-1), 2^(bits-1) - 1) + 2^(bits-1)]`. A valid model never reaches the clamp:
//!   interval arithmetic with the actual weights puts every reachable `u` inside the table, and every value of every
//!   tensor under [`MAX_ACCUMULATOR`] ([`crate::Model::new`] computes it).
//! - **Decode** (output, public): argmax with the lowest index winning ties, a threshold at zero, or scaled values.

/// Tensor number: 0 is the encoded input, `i + 1` the result of node `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub u32);

/// A network as exact integer operations: everything public about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// One encoder for each raw feature, in input order. Shape `[product of input_axes]`.
    pub features: Vec<Feature>,
    /// Axes of tensor 0.
    pub input_axes: Vec<u32>,
    /// Bits of an encoded input, sign included: [`MIN_INPUT_BITS`] to [`MAX_INPUT_BITS`].
    pub input_bits: u8,
    /// Operators in topological order.
    pub nodes: Vec<Operator>,
    /// Tables named by [`Operator::Requantise`].
    pub tables: Vec<Table>,
    /// How logits become an answer.
    pub decoder: Decoder,
}

/// How one raw number becomes an integer (see *Encode* in the module header).
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
    /// Ascending raw values in units of `2^-24`, at most `2^(b-1) - 1` of them; none for a feature that is scaled. With
    /// steps the three numbers above are zero.
    pub steps: Vec<i64>,
}

/// One operator. Weights are not here: the `n`-th node that has any (see [`Operator::weight_lengths`]) uses
/// [`Weights::layers`]`[n]`.
///
/// An operator's axes are its output axes, `axes`, and after them those it sums over, `summed`; an axis number
/// counts through both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// Sum of products. Every output axis is used by at least one side, every summed axis by both.
    Contract {
        /// Sizes of the output axes.
        axes: Vec<u32>,
        /// Sizes of the summed axes; may be empty.
        summed: Vec<u32>,
        /// First factor.
        left: View,
        /// Second factor.
        right: Right,
        /// Output axes that the bias ranges over, in its storage order; it is the same along the others.
        bias: Option<Vec<u8>>,
    },
    /// Sum of views with integer coefficients.
    Combine {
        /// Sizes of the output axes.
        axes: Vec<u32>,
        /// What is added up; at least one.
        terms: Vec<Term>,
        /// Added everywhere.
        constant: i32,
        /// As in [`Operator::Contract`].
        bias: Option<Vec<u8>>,
    },
    /// The larger of two views. No axis is summed.
    Maximum {
        /// Sizes of the output axes.
        axes: Vec<u32>,
        /// One side.
        left: View,
        /// The other.
        right: View,
    },
    /// Every element through a table; the axes are those of the tensor read.
    Requantise {
        /// Tensor read.
        input: TensorId,
        /// Rounding right shift, at most [`MAX_REQUANTISE_SHIFT`].
        shift: u8,
        /// Index into [`Graph::tables`].
        table: u16,
    },
}

/// The second factor of a contraction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// `int8` weights, row-major over these axes of the operator (the last one is contiguous).
    Weights {
        /// Distinct axis numbers, at least one.
        axes: Vec<u8>,
    },
    /// Another tensor.
    View(View),
}

/// One summand of [`Operator::Combine`]; its axes are the operator's `axes` and then its own `summed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Factor, not zero.
    pub coefficient: i32,
    /// Sizes of axes summed over; the view uses every one of them.
    pub summed: Vec<u32>,
    /// What is read.
    pub view: View,
}

/// A tensor under an operator's axes.
///
/// The groups take the tensor's axes in order, each group `span` of them as one flattened axis. At an index `a` over
/// the operator's axes, group `g` reads position `p_g = (offset + sum_i stride_i * a[axis_i]) / divisor` of its
/// flattened axis; the view is zero where some `p_g` is outside its axis, or not whole for an `exact` group. Each
/// axis of the operator is used by at most one group; axes used by none do not change what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Tensor read.
    pub tensor: TensorId,
    /// One after the other over the tensor's axes.
    pub groups: Vec<Group>,
}

/// Part of a [`View`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How many axes of the tensor it takes, at least one.
    pub span: u8,
    /// Constant part of the position.
    pub offset: i32,
    /// What each axis adds to the position; no axis twice, no stride of zero.
    pub strides: Vec<Stride>,
    /// Divides the sum, at least 1. The quotient is rounded down.
    pub divisor: u32,
    /// Whether positions that the divisor does not divide read zero.
    pub exact: bool,
}

/// What one axis adds to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stride {
    /// Axis of the operator.
    pub axis: u8,
    /// Positions per step.
    pub stride: i32,
}

/// A fused activation and saturation: `2^bits` entries, the first for `u = -2^(bits-1)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Log2 of the number of entries, 1 to [`MAX_TABLE_BITS`].
    pub bits: u8,
    /// Entries in ascending order of `u`. Shape `[2^bits]`.
    pub values: Vec<i16>,
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

/// Weights of all operators that have some, in node order.
#[derive(Clone, PartialEq, Eq)]
pub struct Weights {
    /// One entry for each operator with weights or a bias.
    pub layers: Vec<LayerWeights>,
}

/// Weights of one operator.
#[derive(Clone, PartialEq, Eq)]
pub struct LayerWeights {
    /// Row-major over [`Right::Weights`]'s axes; empty when there are none.
    pub matrix: Vec<i8>,
    /// Row-major over the bias axes, each within [`MAX_BIAS`]; empty when there is no bias.
    pub bias: Vec<i32>,
}

impl Operator {
    /// Lengths of the matrix and the bias; both zero for an operator without weights.
    ///
    /// Axis numbers out of range count as size zero; [`Graph::validate`] refuses them.
    #[must_use]
    pub fn weight_lengths(&self) -> (u64, u64) {
        let product = |sizes: &[u32], more: &[u32], chosen: &[u8]| {
            chosen.iter().fold(1u64, |product, axis| {
                let size = sizes.iter().chain(more).nth(usize::from(*axis)).copied().unwrap_or(0);
                product.saturating_mul(u64::from(size))
            })
        };
        match self {
            Self::Contract { axes, summed, right, bias, .. } => {
                let matrix = match right {
                    Right::Weights { axes: chosen } => product(axes, summed, chosen),
                    Right::View(_) => 0,
                };
                (matrix, bias.as_ref().map_or(0, |chosen| product(axes, &[], chosen)))
            }
            Self::Combine { axes, bias, .. } => {
                (0, bias.as_ref().map_or(0, |chosen| product(axes, &[], chosen)))
            }
            Self::Maximum { .. } | Self::Requantise { .. } => (0, 0),
        }
    }
}

impl View {
    /// A tensor of `axes` axes read as it is: axis `i` of the operator is axis `i` of the tensor.
    #[must_use]
    pub fn identity(tensor: TensorId, axes: usize) -> Self {
        Self {
            tensor,
            groups: (0..axes).map(|axis| Group::axis(u8::try_from(axis).unwrap_or(u8::MAX))).collect(),
        }
    }
}

impl Group {
    /// One axis of the tensor, read along one axis of the operator.
    #[must_use]
    pub fn axis(axis: u8) -> Self {
        Self { span: 1, offset: 0, strides: vec![Stride { axis, stride: 1 }], divisor: 1, exact: false }
    }

    /// Where an index over the operator's axes falls on the flattened axis of `length` elements; `None` reads zero.
    #[must_use]
    pub fn position(&self, length: u32, index: impl Fn(u8) -> u32) -> Option<u32> {
        let sum = self.strides.iter().fold(i64::from(self.offset), |sum, stride| {
            sum.saturating_add(i64::from(stride.stride).saturating_mul(i64::from(index(stride.axis))))
        });
        let divisor = i64::from(self.divisor.max(1));
        if self.exact && sum.rem_euclid(divisor) != 0 {
            return None;
        }
        u32::try_from(sum.div_euclid(divisor)).ok().filter(|position| *position < length)
    }
}

/// Units of raw input values: `v` stands for `v * 2^-24`.
pub const RAW_FRACTION_BITS: u32 = 24;
/// Largest shift of an encoder.
pub const MAX_ENCODE_SHIFT: u8 = 96;
/// Most steps of all features together.
pub const MAX_ENCODE_STEPS: usize = 1 << 20;
/// Fewest bits of an encoded input.
pub const MIN_INPUT_BITS: u8 = 2;
/// Most bits of an encoded input.
pub const MAX_INPUT_BITS: u8 = 16;
/// Largest shift of a requantisation.
pub const MAX_REQUANTISE_SHIFT: u8 = 24;
/// A shift and the bits of the table behind it may add up to this in a proof, where a quotient and its remainder have to stay under half the field.
pub const MAX_SPAN_BITS: u8 = 30;
/// Largest table: `2^16` entries.
pub const MAX_TABLE_BITS: u8 = 16;
/// Most output axes and most summed axes of an operator, and most axes of a tensor.
pub const MAX_AXES: usize = 8;
/// Largest axis.
pub const MAX_AXIS: u32 = 1 << 20;
/// Most elements of one row of a tensor, axes padded to powers of two.
pub const MAX_CELLS: u64 = 1 << 22;
/// Most terms of one [`Operator::Combine`].
pub const MAX_TERMS: usize = 1 << 8;
/// Bound on `|bias|`, on a constant and on a coefficient.
pub const MAX_BIAS: i32 = 1 << 28;
/// Every value of every tensor of a model is under this in magnitude: half the order of the proof's field, so that no
/// two of them are one field element.
pub const MAX_ACCUMULATOR: i32 = (1 << 30) - (1 << 23);
/// Most operators in a graph.
pub const MAX_NODES: usize = 1 << 12;
/// Most tables in a graph.
pub const MAX_TABLES: usize = 1 << 8;
/// Most weights, biases included, in a model, axes padded to powers of two.
pub const MAX_PARAMETERS: u64 = 1 << 28;
/// Longest feature name or label, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 256;
/// Bound on the magnitude of `fraction_bits`.
pub const MAX_FRACTION_BITS: i8 = 60;

impl core::fmt::Debug for Weights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Weights").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for LayerWeights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LayerWeights").field("bias", &self.bias.len()).finish_non_exhaustive()
    }
}
