//! Which graphs are graphs: order, types, widths and limits.
//!
//! Every tensor but the output must be read. Each operator reads one tensor, so by counting each tensor is read
//! exactly once and node `i` reads tensor `i`: a valid graph is a chain `dense (requantise dense)*`, and engines
//! may walk it in order.

use crate::graph::{
    Decoder, Graph, MAX_ENCODE_SHIFT, MAX_FRACTION_BITS, MAX_NODES, MAX_PARAMETERS, MAX_REQUANTISE_SHIFT,
    MAX_TABLE_BITS, MAX_TABLES, MAX_TEXT_BYTES, MAX_WIDTH, Operator, TensorId,
};

/// What a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// Encoded inputs and requantised values.
    I8,
    /// Accumulators.
    I32,
}

/// Shape of one row of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorShape {
    /// Row length, 1 to [`MAX_WIDTH`].
    pub width: u32,
    /// Element type.
    pub element: ElementType,
}

/// Shapes of every tensor of a valid graph; only [`Graph::validate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes {
    tensors: Vec<TensorShape>,
    dense: Vec<(u32, u32)>,
    parameters: u64,
    macs: u64,
}

impl Shapes {
    /// Shape of each tensor, indexed by [`TensorId`]: one more than there are nodes.
    #[must_use]
    pub fn tensors(&self) -> &[TensorShape] {
        &self.tensors
    }

    /// `(inputs, outputs)` of each dense layer, in node order.
    #[must_use]
    pub fn dense(&self) -> &[(u32, u32)] {
        &self.dense
    }

    /// Number of raw values in one input row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.tensors.first().map_or(0, |shape| shape.width as usize)
    }

    /// Number of logits of one row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.tensors.last().map_or(0, |shape| shape.width as usize)
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Multiply-accumulates of one row.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// Elements of all tensors of one row: what a trace stores.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.tensors.iter().map(|shape| u64::from(shape.width)).sum()
    }
}

/// Why a graph or its weights are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// No features, or more than [`MAX_WIDTH`].
    #[error("a graph has 1 to {MAX_WIDTH} features, got {got}")]
    FeatureCount {
        /// Features in the graph.
        got: usize,
    },
    /// A name or label over [`MAX_TEXT_BYTES`].
    #[error("a name or label has at most {MAX_TEXT_BYTES} bytes, got {got}")]
    TextTooLong {
        /// Its length.
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
    /// An operator reads a tensor that another one reads too; then some tensor is read by none.
    #[error("node {node} reads tensor {tensor}, which another node reads already")]
    ReadTwice {
        /// Index of the node.
        node: usize,
        /// Tensor it reads.
        tensor: u32,
    },
    /// An operator reads a tensor of the wrong element type.
    #[error("node {node} needs {expected:?} elements, got {got:?}")]
    Element {
        /// Index of the node.
        node: usize,
        /// Type it reads.
        expected: ElementType,
        /// Type of the tensor.
        got: ElementType,
    },
    /// A dense layer's declared row length is not that of the tensor it reads.
    #[error("node {node} reads rows of {expected}, declares {got}")]
    Width {
        /// Index of the node.
        node: usize,
        /// Row length of the tensor.
        expected: u32,
        /// Declared row length.
        got: u32,
    },
    /// A dense layer makes no outputs, or more than [`MAX_WIDTH`].
    #[error("node {node} makes 1 to {MAX_WIDTH} outputs, got {got}")]
    OutputWidth {
        /// Index of the node.
        node: usize,
        /// Declared outputs.
        got: u32,
    },
    /// A requantisation shift over [`MAX_REQUANTISE_SHIFT`].
    #[error("node {node} shifts by at most {MAX_REQUANTISE_SHIFT}, got {got}")]
    RequantiseShift {
        /// Index of the node.
        node: usize,
        /// Its shift.
        got: u8,
    },
    /// More weights than [`MAX_PARAMETERS`].
    #[error("a model has at most {MAX_PARAMETERS} parameters, got {got}")]
    TooManyParameters {
        /// Parameters of the graph.
        got: u64,
    },
    /// The output is not accumulators.
    #[error("the last operator must make accumulators")]
    OutputElement,
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
    /// More or fewer weight layers than dense operators.
    #[error("the graph has {expected} dense layers, the weights have {got}")]
    LayerCount {
        /// Dense operators.
        expected: usize,
        /// Weight layers.
        got: usize,
    },
    /// A weight matrix of the wrong length.
    #[error("layer {layer} needs {expected} weights, got {got}")]
    MatrixLength {
        /// Index of the layer.
        layer: usize,
        /// Inputs times outputs.
        expected: usize,
        /// Length of the matrix.
        got: usize,
    },
    /// A bias vector of the wrong length.
    #[error("layer {layer} needs {expected} biases, got {got}")]
    BiasLength {
        /// Index of the layer.
        layer: usize,
        /// Outputs.
        expected: usize,
        /// Length of the vector.
        got: usize,
    },
    /// A bias over [`crate::graph::MAX_BIAS`].
    #[error("bias {output} of layer {layer} is out of range: {got}")]
    BiasRange {
        /// Index of the layer.
        layer: usize,
        /// Index of the bias.
        output: usize,
        /// Its value.
        got: i32,
    },
    /// Some input could leave a table.
    #[error("node {node} can leave its {bits} bit table: output {output} reaches {low} to {high}")]
    TableTooNarrow {
        /// Index of the requantisation.
        node: usize,
        /// Index of the output.
        output: usize,
        /// Lowest reachable `u`.
        low: i64,
        /// Highest reachable `u`.
        high: i64,
        /// Bits of its table.
        bits: u8,
    },
}

impl Graph {
    /// Checks order, types, widths and limits.
    ///
    /// # Errors
    /// The first rule that the graph breaks.
    pub fn validate(&self) -> Result<Shapes, GraphError> {
        self.validate_features()?;
        self.validate_tables()?;
        let shapes = self.validate_nodes()?;
        self.validate_decoder(shapes.outputs())?;
        Ok(shapes)
    }

    fn validate_features(&self) -> Result<(), GraphError> {
        let got = self.features.len();
        if got == 0 || got > MAX_WIDTH as usize {
            return Err(GraphError::FeatureCount { got });
        }
        for (index, feature) in self.features.iter().enumerate() {
            check_text(&feature.name)?;
            if feature.shift > MAX_ENCODE_SHIFT {
                return Err(GraphError::EncodeShift { feature: index, got: feature.shift });
            }
        }
        Ok(())
    }

    fn validate_tables(&self) -> Result<(), GraphError> {
        let got = self.tables.len();
        if got > MAX_TABLES {
            return Err(GraphError::TableCount { got });
        }
        for (index, table) in self.tables.iter().enumerate() {
            if table.bits == 0 || table.bits > MAX_TABLE_BITS {
                return Err(GraphError::TableBits { table: index, got: table.bits });
            }
            let expected = 1usize << table.bits;
            if table.values.len() != expected {
                let got = table.values.len();
                return Err(GraphError::TableLength { table: index, expected, got });
            }
            let used = |node: &Operator| match node {
                Operator::Requantise { table, .. } => usize::from(*table) == index,
                Operator::Dense { .. } => false,
            };
            if !self.nodes.iter().any(used) {
                return Err(GraphError::TableUnused { table: index });
            }
        }
        Ok(())
    }

    fn validate_nodes(&self) -> Result<Shapes, GraphError> {
        let got = self.nodes.len();
        if got == 0 || got > MAX_NODES {
            return Err(GraphError::NodeCount { got });
        }
        let mut tensors = Vec::with_capacity(got + 1);
        let width = u32::try_from(self.features.len()).unwrap_or(u32::MAX);
        let mut current = TensorShape { width, element: ElementType::I8 };
        tensors.push(current);
        let (mut dense, mut parameters, mut macs) = (Vec::new(), 0u64, 0u64);
        for (node, operator) in self.nodes.iter().enumerate() {
            let (TensorId(tensor), expected) = match operator {
                Operator::Dense { input, .. } => (*input, ElementType::I8),
                Operator::Requantise { input, .. } => (*input, ElementType::I32),
            };
            // Every tensor before is read exactly once (see the header), so only the newest is left to read.
            match (tensor as usize).cmp(&node) {
                core::cmp::Ordering::Less => return Err(GraphError::ReadTwice { node, tensor }),
                core::cmp::Ordering::Greater => return Err(GraphError::Order { node, tensor }),
                core::cmp::Ordering::Equal => {}
            }
            if current.element != expected {
                return Err(GraphError::Element { node, expected, got: current.element });
            }
            current = match operator {
                Operator::Dense { inputs, outputs, .. } => {
                    if *inputs != current.width {
                        return Err(GraphError::Width { node, expected: current.width, got: *inputs });
                    }
                    if *outputs == 0 || *outputs > MAX_WIDTH {
                        return Err(GraphError::OutputWidth { node, got: *outputs });
                    }
                    let products = u64::from(*inputs) * u64::from(*outputs);
                    macs += products;
                    parameters += products + u64::from(*outputs);
                    dense.push((*inputs, *outputs));
                    TensorShape { width: *outputs, element: ElementType::I32 }
                }
                Operator::Requantise { shift, table, .. } => {
                    if *shift > MAX_REQUANTISE_SHIFT {
                        return Err(GraphError::RequantiseShift { node, got: *shift });
                    }
                    if usize::from(*table) >= self.tables.len() {
                        return Err(GraphError::TableMissing { node, table: *table });
                    }
                    TensorShape { width: current.width, element: ElementType::I8 }
                }
            };
            tensors.push(current);
        }
        if parameters > MAX_PARAMETERS {
            return Err(GraphError::TooManyParameters { got: parameters });
        }
        if current.element != ElementType::I32 {
            return Err(GraphError::OutputElement);
        }
        Ok(Shapes { tensors, dense, parameters, macs })
    }

    fn validate_decoder(&self, got: usize) -> Result<(), GraphError> {
        let (expected, labels, fraction_bits): (_, &[String], _) = match &self.decoder {
            Decoder::ArgMax { labels, fraction_bits } => (labels.len(), labels, *fraction_bits),
            Decoder::Threshold { labels, fraction_bits } => (1, labels, *fraction_bits),
            Decoder::Values { fraction_bits } => (got, &[], *fraction_bits),
        };
        if expected != got {
            return Err(GraphError::DecoderArity { expected, got });
        }
        if !(-MAX_FRACTION_BITS..=MAX_FRACTION_BITS).contains(&fraction_bits) {
            return Err(GraphError::FractionBits { got: fraction_bits });
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, label) in labels.iter().enumerate() {
            check_text(label)?;
            if !seen.insert(label.as_str()) {
                return Err(GraphError::LabelTwice { index });
            }
        }
        Ok(())
    }
}

fn check_text(text: &str) -> Result<(), GraphError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(GraphError::TextTooLong { got: text.len() });
    }
    match text.chars().find(|character| character.is_control()) {
        Some(got) => Err(GraphError::TextControl { got }),
        None => Ok(()),
    }
}
