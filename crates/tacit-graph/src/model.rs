//! A valid graph with weights that fit it.

use crate::{
    error::GraphError,
    execute::Roles,
    graph::{Graph, LayerWeights, MAX_ACCUMULATOR, MAX_BIAS, Operator, Weights},
    reach::{Reach, rounding_shift},
    shapes::Shapes,
};

/// A model that can be executed and proved: the graph is valid, the weights have its shapes, no sum can overflow and
/// no input can leave a table. Only [`Model::new`] makes one.
#[derive(Clone)]
pub struct Model {
    graph: Graph,
    weights: Weights,
    shapes: Shapes,
    reach: Vec<(i64, i64)>,
    prepared: Vec<Prepared>,
}

/// How the executor does one node.
#[derive(Clone)]
struct Prepared {
    /// Of a contraction done by matrix products.
    roles: Option<Roles>,
    /// Its weights in the order that those read them.
    arranged: Vec<i8>,
}

impl Model {
    /// Checks `weights` against `graph`.
    ///
    /// # Errors
    /// The first rule that either of them breaks.
    pub fn new(graph: Graph, weights: Weights) -> Result<Self, GraphError> {
        let shapes = graph.validate()?;
        check_weights(&graph, &shapes, &weights)?;
        let reach = check_reach(&graph, &shapes, &weights)?;
        let prepare = |(node, operator)| {
            let roles = Roles::of(operator);
            let layer = shapes.layer_of(node).and_then(|layer| weights.layers.get(layer));
            let arranged = match (&roles, layer) {
                (Some(roles), Some(layer)) => roles.arrange(operator, &layer.matrix),
                _ => Vec::new(),
            };
            Prepared { roles, arranged }
        };
        let prepared = graph.nodes.iter().enumerate().map(prepare).collect();
        Ok(Self { graph, weights, shapes, reach, prepared })
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

    /// Weights of a node, if it has any: as they are, and arranged for [`Self::roles`].
    pub(crate) fn layer(&self, node: usize) -> Option<(&LayerWeights, &[i8])> {
        let layer = self.weights.layers.get(self.shapes.layer_of(node)?)?;
        Some((layer, self.prepared.get(node).map_or(&[], |prepared| prepared.arranged.as_slice())))
    }

    /// Roles of a node's axes, if it is done by matrix products.
    pub(crate) fn roles(&self, node: usize) -> Option<&Roles> {
        self.prepared.get(node)?.roles.as_ref()
    }

    /// Lowest and highest value that each tensor can hold, whatever the input.
    #[must_use]
    pub fn reach(&self) -> &[(i64, i64)] {
        &self.reach
    }
}

impl core::fmt::Debug for Model {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Model").field("shapes", &self.shapes).finish_non_exhaustive()
    }
}

/// Whether there is a layer for each operator that has weights, of its lengths.
pub(crate) fn check_weights(graph: &Graph, shapes: &Shapes, weights: &Weights) -> Result<(), GraphError> {
    let with_weights = graph.nodes.iter().enumerate().filter(|(node, _)| shapes.layer_of(*node).is_some());
    let lengths: Vec<(u64, u64)> = with_weights.map(|(_, operator)| operator.weight_lengths()).collect();
    if lengths.len() != weights.layers.len() {
        return Err(GraphError::LayerCount { expected: lengths.len(), got: weights.layers.len() });
    }
    for (layer, (weights, (matrix, bias))) in weights.layers.iter().zip(lengths).enumerate() {
        let got = weights.matrix.len();
        if got as u64 != matrix {
            return Err(GraphError::MatrixLength { layer, expected: matrix, got });
        }
        let got = weights.bias.len();
        if got as u64 != bias {
            return Err(GraphError::BiasLength { layer, expected: bias, got });
        }
        if let Some((index, got)) = weights.bias.iter().enumerate().find(|(_, bias)| !within_bias(**bias)) {
            return Err(GraphError::BiasRange { layer, index, got: *got });
        }
    }
    Ok(())
}

fn within_bias(bias: i32) -> bool {
    (-MAX_BIAS..=MAX_BIAS).contains(&bias)
}

/// Intervals of every tensor, if no sum overflows and no table is left.
fn check_reach(graph: &Graph, shapes: &Shapes, weights: &Weights) -> Result<Vec<(i64, i64)>, GraphError> {
    let mut reach = Reach::new(graph);
    for (node, operator) in graph.nodes.iter().enumerate() {
        if let Operator::Requantise { input, shift, table } = operator {
            let missing = GraphError::TableMissing { node, table: *table };
            let bits = graph.tables.get(usize::from(*table)).ok_or(missing)?.bits;
            let (half, read) = (1i64 << (bits - 1), reach.of(*input));
            let (low, high) = (rounding_shift(read.low, *shift), rounding_shift(read.high, *shift));
            if low < -half || high >= half {
                return Err(GraphError::TableTooNarrow { node, low, high, bits });
            }
        }
        let layer = shapes.layer_of(node).and_then(|layer| weights.layers.get(layer));
        let magnitude = reach.push(operator, layer, &graph.tables).magnitude;
        if magnitude >= i64::from(MAX_ACCUMULATOR) {
            return Err(GraphError::Overflow { node, magnitude });
        }
    }
    Ok(reach.into_intervals())
}
