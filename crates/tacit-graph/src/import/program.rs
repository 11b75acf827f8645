//! A float network in the four operators of the integer graph.
//!
//! The same views over the same axes as in [`crate::graph`], with real weights and coefficients, and functions instead
//! of tables. Quantising is then one operator at a time, and both kinds of network run in one executor.

use std::sync::Arc;

use super::expr::Expr;
use crate::graph::View;

/// Tensor 0 is the input; node `i` makes tensor `i + 1`.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) nodes: Vec<Node>,
    /// Axes of every tensor, of at least one axis each.
    pub(super) shapes: Vec<Vec<u32>>,
}

/// One operator, with axes as in [`crate::graph::Operator`].
#[derive(Debug, Clone)]
pub(super) enum Node {
    Contract {
        axes: Vec<u32>,
        summed: Vec<u32>,
        left: View,
        right: Factor,
        bias: Option<Values>,
    },
    Combine {
        axes: Vec<u32>,
        terms: Vec<Part>,
        constant: f64,
        bias: Option<Values>,
    },
    /// With `lowest`, places outside the tensors are below every number instead of zero.
    Maximum {
        axes: Vec<u32>,
        left: View,
        right: View,
        lowest: bool,
    },
    Map {
        input: u32,
        function: Expr,
    },
}

/// The second factor of a contraction.
#[derive(Debug, Clone)]
pub(super) enum Factor {
    Weights { values: Values, grid: Option<f64> },
    View(View),
}

/// Numbers over some of an operator's axes, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    pub(super) axes: Vec<u8>,
    pub(super) data: Arc<[f64]>,
}

/// One summand.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) coefficient: f64,
    pub(super) summed: Vec<u32>,
    pub(super) view: View,
}

impl Program {
    pub(super) fn new(input_axes: Vec<u32>) -> Self {
        Self { nodes: Vec::new(), shapes: vec![input_axes] }
    }

    /// Adds a node and names its tensor.
    pub(super) fn push(&mut self, node: Node) -> u32 {
        let shape = match &node {
            Node::Contract { axes, .. } | Node::Combine { axes, .. } | Node::Maximum { axes, .. } => {
                axes.clone()
            }
            Node::Map { input, .. } => self.shape(*input).to_vec(),
        };
        self.nodes.push(node);
        self.shapes.push(shape);
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn shape(&self, tensor: u32) -> &[u32] {
        self.shapes.get(tensor as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn cells(&self, tensor: u32) -> usize {
        cells(self.shape(tensor))
    }

    /// The node that makes a tensor.
    pub(super) fn maker(&self, tensor: u32) -> Option<&Node> {
        self.nodes.get((tensor as usize).checked_sub(1)?)
    }

    /// Keeps what `output` needs, in order, with `output` as the last tensor. Nothing is left when it is the input.
    pub(super) fn only(&self, output: u32) -> Self {
        let mut needed = vec![false; self.shapes.len()];
        if let Some(last) = needed.get_mut(output as usize) {
            *last = true;
        }
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if needed.get(index + 1) == Some(&true) {
                for input in node.inputs() {
                    if let Some(needed) = needed.get_mut(input as usize) {
                        *needed = true;
                    }
                }
            }
        }
        let mut made = Self::new(self.shape(0).to_vec());
        let mut names = vec![0u32; self.shapes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            if needed.get(index + 1) == Some(&true) && index < output as usize {
                let renamed = node.renamed(|tensor| names.get(tensor as usize).copied().unwrap_or(0));
                let name = made.push(renamed);
                if let Some(slot) = names.get_mut(index + 1) {
                    *slot = name;
                }
            }
        }
        made
    }

    /// Whether the output is a linear function of the input, and constants.
    pub(super) fn is_linear(&self) -> bool {
        let linear = |node: &Node| match node {
            Node::Contract { right: Factor::Weights { .. }, .. } | Node::Combine { .. } => true,
            Node::Contract { right: Factor::View(_), .. } | Node::Maximum { .. } | Node::Map { .. } => false,
        };
        self.nodes.iter().all(linear)
    }

    /// Nodes that read each tensor.
    pub(super) fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.shapes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in node.inputs() {
                if let Some(readers) = readers.get_mut(input as usize)
                    && readers.last() != Some(&index)
                {
                    readers.push(index);
                }
            }
        }
        readers
    }
}

impl Values {
    /// Places along an axis, and numbers between one and the next.
    pub(super) fn steps(&self, sizes: &[u32], axis: u8) -> Option<(usize, usize)> {
        let size = |axis: &u8| sizes.get(usize::from(*axis)).map(|size| *size as usize);
        let place = self.axes.iter().position(|other| *other == axis)?;
        let below = self.axes.iter().skip(place + 1).map(size).product::<Option<usize>>()?;
        Some((size(&axis)?, below))
    }
}

impl Node {
    /// Tensors read, in order of mention.
    pub(super) fn inputs(&self) -> Vec<u32> {
        match self {
            Self::Contract { left, right: Factor::View(right), .. } | Self::Maximum { left, right, .. } => {
                vec![left.tensor.0, right.tensor.0]
            }
            Self::Contract { left, .. } => vec![left.tensor.0],
            Self::Combine { terms, .. } => terms.iter().map(|part| part.view.tensor.0).collect(),
            Self::Map { input, .. } => vec![*input],
        }
    }

    /// The node with other names for the tensors it reads.
    pub(super) fn renamed(&self, name: impl Fn(u32) -> u32) -> Self {
        let mut node = self.clone();
        match &mut node {
            Self::Contract { left, right, .. } => {
                left.tensor.0 = name(left.tensor.0);
                if let Factor::View(right) = right {
                    right.tensor.0 = name(right.tensor.0);
                }
            }
            Self::Maximum { left, right, .. } => {
                left.tensor.0 = name(left.tensor.0);
                right.tensor.0 = name(right.tensor.0);
            }
            Self::Combine { terms, .. } => {
                terms.iter_mut().for_each(|part| part.view.tensor.0 = name(part.view.tensor.0));
            }
            Self::Map { input, .. } => *input = name(*input),
        }
        node
    }
}

pub(super) fn cells(axes: &[u32]) -> usize {
    axes.iter().map(|axis| *axis as usize).product()
}
