//! Why a graph or its weights are refused.

use crate::{
    graph::{
        MAX_ACCUMULATOR, MAX_AXES, MAX_AXIS, MAX_BIAS, MAX_CELLS, MAX_ENCODE_SHIFT, MAX_ENCODE_STEPS,
        MAX_FRACTION_BITS, MAX_INPUT_BITS, MAX_NODES, MAX_PARAMETERS, MAX_REQUANTISE_SHIFT, MAX_TABLE_BITS,
        MAX_TABLES, MAX_TERMS, MAX_TEXT_BYTES, MIN_INPUT_BITS,
    },
    validate::{MAX_FEATURES, MAX_GROUP, MAX_NAME_BYTES, MAX_STEP, MAX_WORK},
};

/// Why a graph or its weights are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// No features, or more than [`MAX_FEATURES`].
    #[error("a graph has 1 to {MAX_FEATURES} features, got {got}")]
    FeatureCount {
        /// Features in the graph.
        got: usize,
    },
    /// The axes of tensor 0 do not multiply to the number of features.
    #[error("the input axes make {expected} features, got {got}")]
    InputAxes {
        /// Product of the axes.
        expected: u64,
        /// Features in the graph.
        got: usize,
    },
    /// Input bits outside [`MIN_INPUT_BITS`] to [`MAX_INPUT_BITS`].
    #[error("inputs have {MIN_INPUT_BITS} to {MAX_INPUT_BITS} bits, got {got}")]
    InputBits {
        /// Declared bits.
        got: u8,
    },
    /// A name or label over [`MAX_TEXT_BYTES`].
    #[error("a name or label has at most {MAX_TEXT_BYTES} bytes, got {got}")]
    TextTooLong {
        /// Its length.
        got: usize,
    },
    /// Feature names that together are over [`MAX_NAME_BYTES`].
    #[error("feature names have at most {MAX_NAME_BYTES} bytes together, got {got}")]
    NamesTooLong {
        /// Their length.
        got: usize,
    },
    /// A name or label that a terminal could obey.
    #[error("a name or label has no control characters, got {got:?}")]
    TextControl {
        /// The first one.
        got: char,
    },
    /// An encoder shift over [`MAX_ENCODE_SHIFT`].
    #[error("feature {feature} shifts by at most {MAX_ENCODE_SHIFT}, got {got}")]
    EncodeShift {
        /// Index of the feature.
        feature: usize,
        /// Its shift.
        got: u8,
    },
    /// A feature with steps and an offset, a multiplier or a shift.
    #[error("feature {feature} has steps, so its offset, multiplier and shift are zero")]
    StepsScaled {
        /// Index of the feature.
        feature: usize,
    },
    /// Steps that do not ascend.
    #[error("step {step} of feature {feature} is not above the one before")]
    StepOrder {
        /// Index of the feature.
        feature: usize,
        /// Index of the step.
        step: usize,
    },
    /// More steps than the input bits can count.
    #[error("feature {feature} has at most {limit} steps for its input bits, got {got}")]
    StepCount {
        /// Index of the feature.
        feature: usize,
        /// Largest encoded input.
        limit: usize,
        /// Its steps.
        got: usize,
    },
    /// More steps of all features than [`MAX_ENCODE_STEPS`].
    #[error("features have at most {MAX_ENCODE_STEPS} steps together, got {got}")]
    TooManySteps {
        /// Steps in the graph.
        got: usize,
    },
    /// No operators, or more than [`MAX_NODES`].
    #[error("a graph has 1 to {MAX_NODES} operators, got {got}")]
    NodeCount {
        /// Operators in the graph.
        got: usize,
    },
    /// More tables than [`MAX_TABLES`].
    #[error("a graph has at most {MAX_TABLES} tables, got {got}")]
    TableCount {
        /// Tables in the graph.
        got: usize,
    },
    /// A table's bits outside 1 to [`MAX_TABLE_BITS`].
    #[error("table {table} has 1 to {MAX_TABLE_BITS} bits, got {got}")]
    TableBits {
        /// Index of the table.
        table: usize,
        /// Its bits.
        got: u8,
    },
    /// A table whose length is not two to its bits.
    #[error("table {table} needs {expected} entries, got {got}")]
    TableLength {
        /// Index of the table.
        table: usize,
        /// Two to its bits.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A table no operator names.
    #[error("table {table} is not used")]
    TableUnused {
        /// Index of the table.
        table: usize,
    },
    /// An operator names a table that is not there.
    #[error("node {node} names table {table}, which is not there")]
    TableMissing {
        /// Index of the node.
        node: usize,
        /// Index it names.
        table: u16,
    },
    /// An operator reads a tensor that is made later or never.
    #[error("node {node} reads tensor {tensor}, which is not made before it")]
    Order {
        /// Index of the node.
        node: usize,
        /// Tensor it reads.
        tensor: u32,
    },
    /// A tensor that no operator reads and that is not the output.
    #[error("nothing reads tensor {tensor}")]
    Unread {
        /// The tensor.
        tensor: usize,
    },
    /// No axes, or more than [`MAX_AXES`]; summed axes may be none.
    #[error("{place} has 1 to {MAX_AXES} axes and sums over at most as many, got {got}")]
    AxisCount {
        /// Where.
        place: Place,
        /// How many there are.
        got: usize,
    },
    /// An axis of no elements, or of more than [`MAX_AXIS`].
    #[error("{place} has axes of 1 to {MAX_AXIS}, got {got}")]
    AxisSize {
        /// Where.
        place: Place,
        /// Its size.
        got: u32,
    },
    /// Output or summed axes that, padded to powers of two, are over [`MAX_CELLS`].
    #[error("{place} has at most {MAX_CELLS} padded elements, got {got}")]
    Cells {
        /// Where.
        place: Place,
        /// Padded elements.
        got: u64,
    },
    /// Output elements times summed elements, padded, over [`MAX_WORK`].
    #[error("node {node} does at most {MAX_WORK} padded steps, got {got}")]
    Work {
        /// Index of the node.
        node: usize,
        /// Its steps.
        got: u64,
    },
    /// An axis number past the operator's axes.
    #[error("node {node} names axis {axis}, which is not there")]
    AxisMissing {
        /// Index of the node.
        node: usize,
        /// Axis it names.
        axis: u8,
    },
    /// An axis named twice in one view, one weight matrix or one bias.
    #[error("node {node} names axis {axis} twice")]
    AxisTwice {
        /// Index of the node.
        node: usize,
        /// Axis it names.
        axis: u8,
    },
    /// An axis that nothing uses, or a summed one that not everything uses.
    #[error("node {node} does not use axis {axis} where it has to")]
    AxisUnused {
        /// Index of the node.
        node: usize,
        /// The axis.
        axis: u8,
    },
    /// A group of no axes.
    #[error("node {node} has a group of no axes")]
    SpanEmpty {
        /// Index of the node.
        node: usize,
    },
    /// Groups that do not take all axes of the tensor, or take more.
    #[error("node {node} reads a tensor of {expected} axes as one of {got}")]
    Span {
        /// Index of the node.
        node: usize,
        /// Axes of the tensor.
        expected: usize,
        /// Axes that the groups take.
        got: usize,
    },
    /// An offset, stride or divisor over [`MAX_STEP`], or a stride or divisor of zero.
    #[error("node {node} has an offset, stride or divisor of {got}, at most {MAX_STEP} allowed")]
    Step {
        /// Index of the node.
        node: usize,
        /// Its value.
        got: i64,
    },
    /// A flattened group, or the padded index space it is read over, above [`MAX_GROUP`].
    #[error("node {node} has a group of {got} positions, at most {MAX_GROUP} allowed")]
    GroupSize {
        /// Index of the node.
        node: usize,
        /// Positions.
        got: u64,
    },
    /// Weights over no axis.
    #[error("node {node} has weights over no axis")]
    NoWeightAxes {
        /// Index of the node.
        node: usize,
    },
    /// No terms, or more than [`MAX_TERMS`].
    #[error("node {node} adds 1 to {MAX_TERMS} terms, got {got}")]
    TermCount {
        /// Index of the node.
        node: usize,
        /// Its terms.
        got: usize,
    },
    /// A coefficient of zero, or a coefficient or constant over [`MAX_BIAS`].
    #[error("node {node} has a coefficient or constant of {got}")]
    Coefficient {
        /// Index of the node.
        node: usize,
        /// Its value.
        got: i32,
    },
    /// A requantisation shift over [`MAX_REQUANTISE_SHIFT`].
    #[error("node {node} shifts by at most {MAX_REQUANTISE_SHIFT}, got {got}")]
    RequantiseShift {
        /// Index of the node.
        node: usize,
        /// Its shift.
        got: u8,
    },
    /// More weights than [`MAX_PARAMETERS`], their axes padded to powers of two.
    #[error("a model has at most {MAX_PARAMETERS} padded parameters, got {got}")]
    TooManyParameters {
        /// Padded parameters of the graph.
        got: u64,
    },
    /// The output has more than one axis.
    #[error("the output has one axis, got {got}")]
    OutputAxes {
        /// Its axes.
        got: usize,
    },
    /// The decoder does not fit the number of logits.
    #[error("the decoder wants {expected} logits, the graph makes {got}")]
    DecoderArity {
        /// Logits the decoder reads.
        expected: usize,
        /// Logits there are.
        got: usize,
    },
    /// A decoder's unit outside [`MAX_FRACTION_BITS`].
    #[error("fraction bits are within {MAX_FRACTION_BITS} of zero, got {got}")]
    FractionBits {
        /// Declared bits.
        got: i8,
    },
    /// Two labels are equal, so that an answer would not say which logit won.
    #[error("label {index} is there twice")]
    LabelTwice {
        /// Index of the second.
        index: usize,
    },
    /// More or fewer weight layers than operators that have some.
    #[error("the graph has {expected} layers, the weights have {got}")]
    LayerCount {
        /// Operators with weights or a bias.
        expected: usize,
        /// Weight layers.
        got: usize,
    },
    /// A weight matrix of the wrong length.
    #[error("layer {layer} needs {expected} weights, got {got}")]
    MatrixLength {
        /// Index of the layer.
        layer: usize,
        /// Product of its axes.
        expected: u64,
        /// Length of the matrix.
        got: usize,
    },
    /// A bias of the wrong length.
    #[error("layer {layer} needs {expected} biases, got {got}")]
    BiasLength {
        /// Index of the layer.
        layer: usize,
        /// Product of its axes.
        expected: u64,
        /// Length of the bias.
        got: usize,
    },
    /// A bias over [`MAX_BIAS`].
    #[error("bias {index} of layer {layer} is at most {MAX_BIAS} in magnitude, got {got}")]
    BiasRange {
        /// Index of the layer.
        layer: usize,
        /// Index of the bias.
        index: usize,
        /// Its value.
        got: i32,
    },
    /// Some input could bring a sum to [`MAX_ACCUMULATOR`], whatever the order of its parts.
    #[error("node {node} can reach {magnitude}, which is not under {MAX_ACCUMULATOR}")]
    Overflow {
        /// Index of the node.
        node: usize,
        /// Largest sum of magnitudes.
        magnitude: i64,
    },
    /// Some input could leave a table.
    #[error("node {node} can leave its {bits} bit table: it reaches {low} to {high}")]
    TableTooNarrow {
        /// Index of the requantisation.
        node: usize,
        /// Lowest reachable `u`.
        low: i64,
        /// Highest reachable `u`.
        high: i64,
        /// Bits of its table.
        bits: u8,
    },
}

/// Where axes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// [`crate::Graph::input_axes`].
    Input,
    /// Output axes of a node.
    Output(usize),
    /// Summed axes of a node or of one of its terms.
    Summed(usize),
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Input => f.write_str("the input"),
            Self::Output(node) => write!(f, "node {node}"),
            Self::Summed(node) => write!(f, "a sum of node {node}"),
        }
    }
}
