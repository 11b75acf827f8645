//! Puts small graphs together by hand: weights drawn, shifts as small as the sums allow.

use tacit_graph::{
    Decoder, Feature, Graph, GraphError, Group, LayerWeights, Model, Operator, Right, Stride, Table,
    TensorId, Term, View, Weights,
};

use super::Random;

/// A graph so far.
pub(crate) struct Build {
    pub(crate) graph: Graph,
    pub(crate) weights: Weights,
    random: Random,
}

/// Tensor 0.
pub(crate) const INPUT: TensorId = TensorId(0);

impl Build {
    /// A graph on whole numbers of `bits` bits.
    pub(crate) fn new(input_axes: &[u32], bits: u8, seed: u64) -> Self {
        let unit = Feature { name: String::new(), offset: 0, multiplier: 1, shift: 24, steps: Vec::new() };
        let graph = Graph {
            features: vec![unit; input_axes.iter().product::<u32>() as usize],
            input_axes: input_axes.to_vec(),
            input_bits: bits,
            nodes: Vec::new(),
            tables: Vec::new(),
            decoder: Decoder::Values { fraction_bits: 0 },
        };
        Self { graph, weights: Weights { layers: Vec::new() }, random: Random(seed) }
    }

    pub(crate) fn add(&mut self, operator: Operator) -> TensorId {
        let (matrix, bias) = operator.weight_lengths();
        if matrix + bias > 0 {
            self.weights.layers.push(LayerWeights {
                matrix: (0..matrix).map(|_| self.random.range(-30, 30) as i8).collect(),
                bias: (0..bias).map(|_| self.random.range(-300, 300) as i32).collect(),
            });
        }
        self.graph.nodes.push(operator);
        TensorId(self.graph.nodes.len() as u32)
    }

    /// A table of `2^bits` entries that sends `u` to `value(u)`.
    pub(crate) fn table(&mut self, bits: u8, value: impl Fn(i32) -> i32) -> u16 {
        let half = 1i32 << (bits - 1);
        self.graph.tables.push(Table { bits, values: (-half..half).map(|u| value(u) as i16).collect() });
        (self.graph.tables.len() - 1) as u16
    }

    /// Through a table, by a shift that [`Self::model`] raises until every sum fits.
    pub(crate) fn requantise(&mut self, input: TensorId, table: u16) -> TensorId {
        self.add(Operator::Requantise { input, shift: 0, table })
    }

    pub(crate) fn contract(
        &mut self,
        axes: &[u32],
        summed: &[u32],
        left: View,
        right: Right,
        bias: Option<&[u8]>,
    ) -> TensorId {
        let (axes, summed) = (axes.to_vec(), summed.to_vec());
        self.add(Operator::Contract { axes, summed, left, right, bias: bias.map(<[u8]>::to_vec) })
    }

    pub(crate) fn combine(&mut self, axes: &[u32], terms: Vec<Term>) -> TensorId {
        self.add(Operator::Combine { axes: axes.to_vec(), terms, constant: 0, bias: None })
    }

    pub(crate) fn maximum(&mut self, axes: &[u32], left: View, right: View) -> TensorId {
        self.add(Operator::Maximum { axes: axes.to_vec(), left, right })
    }

    /// The first model whose shifts keep every sum inside its table.
    pub(crate) fn model(mut self) -> Model {
        loop {
            match Model::new(self.graph.clone(), self.weights.clone()) {
                Ok(model) => return model,
                Err(GraphError::TableTooNarrow { node, .. }) => match &mut self.graph.nodes[node] {
                    Operator::Requantise { shift, .. } => *shift += 1,
                    other => panic!("{other:?} has no table"),
                },
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A group over one axis of a tensor: `offset + sum stride * axis`.
pub(crate) fn group(offset: i32, strides: &[(u8, i32)]) -> Group {
    let strides = strides.iter().map(|(axis, stride)| Stride { axis: *axis, stride: *stride }).collect();
    Group { span: 1, offset, strides, divisor: 1, exact: false }
}

/// The same over `span` flattened axes.
pub(crate) fn flat(span: u8, offset: i32, strides: &[(u8, i32)]) -> Group {
    Group { span, ..group(offset, strides) }
}

/// The same, divided.
pub(crate) fn divided(offset: i32, strides: &[(u8, i32)], divisor: u32, exact: bool) -> Group {
    Group { divisor, exact, ..group(offset, strides) }
}

pub(crate) fn view(tensor: TensorId, groups: Vec<Group>) -> View {
    View { tensor, groups }
}

pub(crate) fn term(coefficient: i32, summed: &[u32], view: View) -> Term {
    Term { coefficient, summed: summed.to_vec(), view }
}

pub(crate) fn weights(axes: &[u8]) -> Right {
    Right::Weights { axes: axes.to_vec() }
}
