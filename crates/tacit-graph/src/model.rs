//! A valid graph with weights that fit it.

use crate::{
    graph::{DenseWeights, Graph, MAX_BIAS, Operator, Weights},
    validate::{GraphError, Shapes},
};

/// A model that can be executed and proved: the graph is valid, the weights have its shapes, and no input can
/// leave a table. Only [`Model::new`] makes one.
#[derive(Clone)]
pub struct Model {
    graph: Graph,
    weights: Weights,
    shapes: Shapes,
    /// The matrices again as `[outputs][inputs]`, so that the executor reads both operands in order.
    transposed: Vec<Vec<i8>>,
}

impl Model {
    /// Checks `weights` against `graph`.
    ///
    /// # Errors
    /// The first rule that either of them breaks.
    pub fn new(graph: Graph, weights: Weights) -> Result<Self, GraphError> {
        let shapes = graph.validate()?;
        check_weights(&shapes, &weights)?;
        check_reach(&graph, &weights)?;
        let transposed = weights
            .layers
            .iter()
            .zip(shapes.dense())
            .map(|(layer, (inputs, outputs))| transpose(&layer.matrix, *inputs as usize, *outputs as usize))
            .collect();
        Ok(Self { graph, weights, shapes, transposed })
    }

    /// The public half.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The half that its owner may keep private.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Shapes of every tensor.
    #[must_use]
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Weights of each dense layer as `[outputs][inputs]`.
    pub(crate) fn transposed(&self) -> &[Vec<i8>] {
        &self.transposed
    }
}

impl core::fmt::Debug for Model {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Model").field("shapes", &self.shapes).finish_non_exhaustive()
    }
}

fn check_weights(shapes: &Shapes, weights: &Weights) -> Result<(), GraphError> {
    let (expected, got) = (shapes.dense().len(), weights.layers.len());
    if expected != got {
        return Err(GraphError::LayerCount { expected, got });
    }
    for (layer, (DenseWeights { matrix, bias }, (inputs, outputs))) in
        weights.layers.iter().zip(shapes.dense()).enumerate()
    {
        let (inputs, outputs) = (*inputs as usize, *outputs as usize);
        if matrix.len() != inputs * outputs {
            return Err(GraphError::MatrixLength { layer, expected: inputs * outputs, got: matrix.len() });
        }
        if bias.len() != outputs {
            return Err(GraphError::BiasLength { layer, expected: outputs, got: bias.len() });
        }
        if let Some((output, got)) = bias.iter().enumerate().find(|(_, b)| **b < -MAX_BIAS || **b > MAX_BIAS)
        {
            return Err(GraphError::BiasRange { layer, output, got: *got });
        }
    }
    Ok(())
}

/// Bounds every accumulator by interval arithmetic: inputs are any `int8`, later values any entry of the table
/// that made them. The extreme is attained by some setting of those values, so per layer the bound is tight.
fn check_reach(graph: &Graph, weights: &Weights) -> Result<(), GraphError> {
    let mut layers = weights.layers.iter();
    let mut low_high = (i64::from(i8::MIN), i64::from(i8::MAX));
    let mut reach: Vec<(i64, i64)> = Vec::new();
    for (node, operator) in graph.nodes.iter().enumerate() {
        match operator {
            Operator::Dense { .. } => {
                reach = layers.next().map_or_else(Vec::new, |w| layer_reach(w, low_high))
            }
            Operator::Requantise { shift, table, .. } => {
                let Some(table) = graph.tables.get(usize::from(*table)) else {
                    return Err(GraphError::TableMissing { node, table: *table });
                };
                let half = 1i64 << (table.bits - 1);
                for (output, (low, high)) in reach.iter().enumerate() {
                    let (low, high) = (rounding_shift(*low, *shift), rounding_shift(*high, *shift));
                    if low < -half || high >= half {
                        return Err(GraphError::TableTooNarrow { node, output, low, high, bits: table.bits });
                    }
                }
                let low = table.values.iter().copied().min().unwrap_or(i8::MIN);
                let high = table.values.iter().copied().max().unwrap_or(i8::MAX);
                low_high = (i64::from(low), i64::from(high));
            }
        }
    }
    Ok(())
}

/// Lowest and highest accumulator of each output of a layer whose inputs all lie in `low..=high`.
pub(crate) fn layer_reach(weights: &DenseWeights, (low, high): (i64, i64)) -> Vec<(i64, i64)> {
    let mut reach: Vec<(i64, i64)> = weights.bias.iter().map(|b| (i64::from(*b), i64::from(*b))).collect();
    for row in weights.matrix.chunks_exact(weights.bias.len().max(1)) {
        for ((least, most), w) in reach.iter_mut().zip(row) {
            let (a, b) = (i64::from(*w) * low, i64::from(*w) * high);
            *least += a.min(b);
            *most += a.max(b);
        }
    }
    reach
}

/// `floor((value + 2^(shift-1)) / 2^shift)`, and `value` itself for a shift of zero.
pub(crate) fn rounding_shift(value: i64, shift: u8) -> i64 {
    if shift == 0 { value } else { (value + (1i64 << (shift - 1))) >> shift }
}

fn transpose(matrix: &[i8], inputs: usize, outputs: usize) -> Vec<i8> {
    const TILE: usize = 32;
    let mut out = vec![0; matrix.len()];
    for top in (0..inputs).step_by(TILE) {
        for left in (0..outputs).step_by(TILE) {
            for k in top..inputs.min(top + TILE) {
                for o in left..outputs.min(left + TILE) {
                    out[o * inputs + k] = matrix[k * outputs + o];
                }
            }
        }
    }
    out
}
