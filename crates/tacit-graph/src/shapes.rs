//! Shapes of the tensors of a valid graph, and what they cost.

/// What a tensor holds. It says how values are stored, not what they can be: intervals do that
/// ([`crate::Model::reach`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElementType {
    /// Inputs of at most eight bits, and tables whose entries fit.
    I8,
    /// Other inputs and tables.
    I16,
    /// Sums.
    I32,
}

/// Shape of one row of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorShape {
    /// Axes, row-major: the last one is contiguous.
    pub axes: Vec<u32>,
    /// Element type.
    pub element: ElementType,
}

impl TensorShape {
    /// Elements of one row.
    #[must_use]
    pub fn cells(&self) -> usize {
        product(&self.axes)
    }
}

/// Shapes of every tensor of a valid graph; only [`crate::Graph::validate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes {
    pub(crate) tensors: Vec<TensorShape>,
    pub(crate) layers: Vec<Option<usize>>,
    pub(crate) parameters: u64,
    pub(crate) macs: u64,
}

impl Shapes {
    /// Shape of each tensor, indexed by [`crate::TensorId`]: one more than there are nodes.
    #[must_use]
    pub fn tensors(&self) -> &[TensorShape] {
        &self.tensors
    }

    /// Index into [`crate::Weights::layers`] of a node's weights, if it has any.
    #[must_use]
    pub fn layer_of(&self, node: usize) -> Option<usize> {
        self.layers.get(node).copied().flatten()
    }

    /// Number of raw values in one input row.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.tensors.first().map_or(0, TensorShape::cells)
    }

    /// Number of logits of one row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.tensors.last().map_or(0, TensorShape::cells)
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Multiply-accumulates of one row: the products of all contractions, those with padding included.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// Elements of all tensors of one row: what a trace stores.
    #[must_use]
    pub fn cells(&self) -> u64 {
        self.tensors.iter().map(|shape| shape.cells() as u64).sum()
    }
}

/// Elements of an index space that validation has bounded; an empty product is one.
pub(crate) fn product(axes: &[u32]) -> usize {
    axes.iter().map(|axis| *axis as usize).product()
}
