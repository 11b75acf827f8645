//! Why an import is refused, in words that say what to do about it.

use crate::{error::GraphError, raw::RawValueError};

/// Why a network or its calibration data are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file over [`super::MAX_ONNX_BYTES`].
    #[error("an ONNX file has at most {} bytes, got {got}", super::MAX_ONNX_BYTES)]
    FileTooLarge {
        /// Its length.
        got: usize,
    },
    /// Not an ONNX file.
    #[error("the file is not ONNX")]
    NotOnnx,
    /// An ONNX file without a graph.
    #[error("the ONNX file has no graph")]
    NoGraph,
    /// Not exactly one input.
    #[error("the network has {got} inputs, one is supported")]
    InputCount {
        /// Inputs that are not initialisers.
        got: usize,
    },
    /// The declared input shape is not that of the calibration rows.
    #[error("the network takes rows of {expected} values, the calibration rows have {got}")]
    InputWidth {
        /// Product of the declared dimensions.
        expected: usize,
        /// Length of a calibration row.
        got: usize,
    },
    /// Too many nodes.
    #[error("an ONNX graph has at most 16384 nodes, got {got}")]
    NodeCount {
        /// Nodes in the file.
        got: usize,
    },
    /// Too many weights, counted where they are used.
    #[error("the nodes use more than 2^26 weights")]
    TooManyWeights,
    /// An operator that cannot be imported.
    #[error("node {node:?} ({operator}) cannot be imported: {reason}")]
    Node {
        /// Its name, or that of its first output.
        node: String,
        /// Its operator, with the domain if it is not ONNX's own.
        operator: String,
        /// Why.
        reason: NodeReason,
    },
    /// An initialiser that cannot be read.
    #[error("initialiser {name:?} cannot be imported: {reason}")]
    Initialiser {
        /// Its name.
        name: String,
        /// Why.
        reason: NodeReason,
    },
    /// A name that is not among the network's values.
    #[error("the network has no value {name:?}")]
    OutputName {
        /// The name asked for.
        name: String,
    },
    /// No output is a label, an index, or a row of numbers.
    #[error("none of the network's outputs is an answer")]
    NoAnswer,
    /// Given labels do not fit the network's output.
    #[error("{got} labels given for {expected} outputs")]
    LabelCount {
        /// Labels wanted.
        expected: usize,
        /// Labels given.
        got: usize,
    },
    /// Given feature names do not fit the network's input.
    #[error("{got} feature names given for {expected} features")]
    FeatureNameCount {
        /// Names wanted.
        expected: usize,
        /// Names given.
        got: usize,
    },
    /// No calibration rows.
    #[error("no calibration rows")]
    NoCalibration,
    /// Rows of differing lengths.
    #[error("row {row} has {got} values, {expected} expected")]
    RowLength {
        /// Index of the row.
        row: usize,
        /// Features.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A value that is no raw value.
    #[error("value {feature} of row {row} cannot be used: {source}")]
    Value {
        /// Index of the row.
        row: usize,
        /// Index of the value.
        feature: usize,
        /// Why.
        source: RawValueError,
    },
    /// Not one held-out label for each held-out row.
    #[error("{rows} held-out rows, {labels} held-out labels")]
    HeldOutCount {
        /// Rows given.
        rows: usize,
        /// Labels given.
        labels: usize,
    },
    /// A held-out label that is not as many numbers as the network has outputs.
    #[error("held-out label {row} is not {expected} numbers separated by commas")]
    HeldOutNumber {
        /// Index of the label.
        row: usize,
        /// Numbers wanted.
        expected: usize,
    },
    /// A network whose numbers fit no integer grid.
    #[error("operator {operator} cannot be quantised: its weights, biases or values are out of range")]
    OutOfRange {
        /// Index of the operator in the lowered network.
        operator: usize,
    },
    /// Options outside their range.
    #[error("the most table bits are 4 to 16, got {got}")]
    TableBits {
        /// Bits asked for.
        got: u8,
    },
    /// Options outside their range.
    #[error("the most input bits are 8 to 16, got {got}")]
    InputBits {
        /// Bits asked for.
        got: u8,
    },
    /// The quantised network breaks a limit of the integer graph.
    #[error("the quantised network is refused: {0}")]
    Graph(#[from] GraphError),
}

/// Why an operator or a tensor cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeReason {
    /// An operator that is not known.
    #[error("the operator is not supported")]
    Operator,
    /// An input that no node makes.
    #[error("input {input} is missing")]
    MissingInput {
        /// Index of the input.
        input: usize,
    },
    /// An input that should be constant depends on the data.
    #[error("input {input} must be a constant")]
    NeedsConstant {
        /// Index of the input.
        input: usize,
    },
    /// An input that should be a row of numbers made from the data is something else.
    #[error("input {input} must be numbers computed from the network's input")]
    NeedsRow {
        /// Index of the input.
        input: usize,
    },
    /// An input that should be quantised is not.
    #[error("input {input} must be the result of QuantizeLinear")]
    NeedsQuantised {
        /// Index of the input.
        input: usize,
    },
    /// Texts where numbers should be.
    #[error("a constant must hold numbers")]
    NeedsNumbers,
    /// Several numbers where one should be.
    #[error("a constant must hold one number")]
    NeedsScalar,
    /// Operands whose shapes do not fit.
    #[error("the shapes of its operands do not fit")]
    Shape,
    /// Dimensions that do not match a tensor's data.
    #[error("a tensor's dimensions do not match its data")]
    TensorShape,
    /// An element type that is not read.
    #[error("element type {data_type} is not supported")]
    TensorType {
        /// ONNX's number for it.
        data_type: i32,
    },
    /// Weights in another file.
    #[error("its data is in another file")]
    ExternalData,
    /// Text that is not UTF-8.
    #[error("its text is not UTF-8")]
    NotUtf8,
    /// A number that is infinite or none.
    #[error("a number is infinite or not a number")]
    NotFinite,
    /// An attribute with a value that is not supported.
    #[error("attribute {name:?} is missing or has a value that is not supported")]
    Attribute {
        /// Its name.
        name: &'static str,
    },
    /// Row normalisation that is not post-processing.
    #[error("normalising a row is supported only after softmax")]
    Normaliser,
    /// Quantisation parameters that depend on the data.
    #[error("dynamic quantisation is not exact integer arithmetic on fixed scales")]
    Dynamic,
    /// A layer over the limits.
    #[error("a layer is too large")]
    TooLarge,
    /// Nodes that make no trees.
    #[error("its nodes do not make trees: one is missing, there twice, or below two others")]
    NotTrees,
    /// Trees over the limit.
    #[error("a tree is deeper than 128 comparisons")]
    TreeDepth,
    /// A comparison of a feature that is not there.
    #[error("it compares feature {feature}, of {width}")]
    TreeFeature {
        /// The feature.
        feature: usize,
        /// Features there are.
        width: usize,
    },
    /// Something between the features and the trees, or beside them.
    #[error("an ensemble of trees has to read the features as they are, and nothing else may read them")]
    BesideTrees,
    /// Something behind the trees that no table can be made of.
    #[error("what follows an ensemble of trees has to be linear")]
    AfterTrees,
}

impl ImportError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Node { reason, .. } | Self::Initialiser { reason, .. } => reason.hint(),
            Self::FileTooLarge { .. } | Self::NodeCount { .. } | Self::TooManyWeights | Self::Graph(_) => {
                "use a smaller network"
            }
            Self::NotOnnx | Self::NoGraph => "export the network to ONNX again and give that file",
            Self::InputCount { .. } => "export the network with one input that holds all features",
            Self::InputWidth { .. } | Self::RowLength { .. } => {
                "give rows of raw values, as the network takes them"
            }
            Self::NoAnswer => "export the network so that it gives a label, class scores, or values",
            Self::OutputName { .. } => "name outputs or values of the ONNX graph",
            Self::LabelCount { .. } => "give one label for each class",
            Self::FeatureNameCount { .. } => "give one name for each feature",
            Self::NoCalibration => "give at least a few dozen rows of real inputs",
            Self::Value { .. } => "leave out rows with missing values",
            Self::HeldOutCount { .. } => "give one label for each held-out row",
            Self::HeldOutNumber { .. } => "give the true values as decimals",
            Self::OutOfRange { .. } => "scale the training data, for example with StandardScaler",
            Self::TableBits { .. } | Self::InputBits { .. } => "leave the option at its default",
        }
    }
}

impl NodeReason {
    fn hint(&self) -> &'static str {
        match self {
            Self::Dynamic => "quantise statically (QDQ format), or import the float network",
            Self::ExternalData => "save the network as one file, with its weights inside",
            Self::TensorType { .. } => "export the network with float32 weights",
            Self::Normaliser => "leave post-processing out of the exported network",
            Self::NotFinite => "train the network again: its weights are not finite",
            Self::TooLarge | Self::TreeDepth => "use a smaller network",
            Self::BesideTrees => {
                "export the trees alone, trained on the features as they are: scaling changes no tree"
            }
            Self::AfterTrees => "export scores, or name labels for them",
            _ => "see the table of operators in the documentation",
        }
    }
}
