//! The commitment to the weights, laid out.

use tacit_graph::{Graph, Operator, graph::Right};

use super::{
    MAX_WEIGHT_ROW_VARS, MAX_WEIGHT_VARS, MIN_COMMITTED_VARS, PlanError, log2_ceil, lookups::low_vars,
};

/// Where the weights sit in their commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightPlan {
    /// Matrices and biases, in node order, the matrix of a node first.
    pub tensors: Vec<WeightTensor>,
    /// The commitment holds `2^vars` values.
    pub vars: usize,
    /// How many of its last variables the batching sumcheck binds first.
    pub low: usize,
}

/// One tensor of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightTensor {
    /// Index into the layers of the weights.
    pub layer: usize,
    /// Whether it is the bias of the layer.
    pub bias: bool,
    /// Sizes of its axes.
    pub sizes: Vec<usize>,
    /// Base-two logarithms of the padded sizes.
    pub logs: Vec<usize>,
    /// Where it starts in the stack, in rows of its own length.
    pub first_row: usize,
}

impl WeightTensor {
    /// A scalar is an axis of one element.
    fn new(layer: usize, bias: bool, mut sizes: Vec<usize>) -> Self {
        if sizes.is_empty() {
            sizes.push(1);
        }
        let logs = sizes.iter().map(|size| log2_ceil(*size)).collect();
        Self { layer, bias, sizes, logs, first_row: 0 }
    }

    /// Number of its rows: everything but the last axis, not padded.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sizes.iter().rev().skip(1).product()
    }

    /// Base-two logarithm of its padded row length.
    #[must_use]
    pub fn log_row(&self) -> usize {
        self.logs.last().copied().unwrap_or(0)
    }

    /// Base-two logarithm of its elements, every axis padded.
    #[must_use]
    pub fn vars(&self) -> usize {
        self.logs.iter().sum()
    }

    /// Where it starts in the stack.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.first_row << self.log_row()
    }
}

impl WeightPlan {
    /// Lays out the weights of `graph`.
    ///
    /// # Errors
    /// Refuses an invalid graph and more weights than a commitment holds.
    pub fn new(graph: &Graph) -> Result<Self, PlanError> {
        graph.validate()?;
        let mut tensors = Vec::new();
        let mut layer = 0;
        for operator in &graph.nodes {
            let before = tensors.len();
            let (sizes, matrix, bias) = match operator {
                Operator::Contract { axes, summed, right, bias, .. } => {
                    let matrix = match right {
                        Right::Weights { axes } => Some(axes),
                        Right::View(_) => None,
                    };
                    (axes.iter().chain(summed).copied().collect::<Vec<u32>>(), matrix, bias.as_ref())
                }
                Operator::Combine { axes, bias, .. } => (axes.clone(), None, bias.as_ref()),
                Operator::Maximum { .. } | Operator::Requantise { .. } => continue,
            };
            for (chosen, bias) in [(matrix, false), (bias, true)] {
                if let Some(chosen) = chosen {
                    let sizes = chosen.iter().map(|axis| sizes[usize::from(*axis)] as usize).collect();
                    tensors.push(WeightTensor::new(layer, bias, sizes));
                }
            }
            layer += usize::from(tensors.len() > before);
        }
        let rows = tensors.iter().map(WeightTensor::rows).fold(0usize, usize::saturating_add);
        if rows > 1 << MAX_WEIGHT_ROW_VARS {
            return Err(PlanError::WeightRows { got: rows });
        }
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|tensor| core::cmp::Reverse(tensors[*tensor].log_row()));
        let mut end = 0usize;
        for tensor in order {
            let tensor = &mut tensors[tensor];
            tensor.first_row = end >> tensor.log_row();
            end += tensor.rows() << tensor.log_row();
        }
        let vars = log2_ceil(end).max(MIN_COMMITTED_VARS);
        if vars > MAX_WEIGHT_VARS {
            return Err(PlanError::WeightsTooLarge { got: vars });
        }
        let blocks = tensors.iter().map(|tensor| (tensor.offset(), tensor.log_row()));
        let low = low_vars(vars, end, blocks);
        Ok(Self { tensors, vars, low })
    }
}
