//! Untrained networks of any size, the same on every machine: for benches and tests.

use crate::{
    error::GraphError,
    graph::{
        Decoder, Feature, Graph, LayerWeights, MAX_REQUANTISE_SHIFT, Operator, RAW_FRACTION_BITS, Table,
        TensorId, Weights,
    },
    model::Model,
    reach::{Reach, rounding_shift},
};

/// A ReLU network with the given layer widths (`[784, 128, 10]`), weights uniform in `-127..=127`, biases uniform
/// in `-2048..=2047`, and input rows of 0 to 127 that encode to themselves.
///
/// Randomness is SplitMix64 (Steele, Lea, Flood, 2014) from `seed`: one draw per number, weights before biases,
/// layer by layer; a draw `z` gives `(z >> 32) * span >> 32`, plus the lower end.
///
/// # Errors
/// Refuses widths that make no valid graph.
pub fn synthetic_mlp(widths: &[u32], seed: u64) -> Result<Model, GraphError> {
    let mut random = SplitMix64(seed);
    let inputs = widths.first().copied().unwrap_or(0);
    let mut graph = Graph {
        features: vec![unit_feature(); (inputs as usize).min(crate::validate::MAX_FEATURES + 1)],
        input_axes: vec![inputs],
        input_bits: 8,
        nodes: Vec::new(),
        tables: Vec::new(),
        decoder: Decoder::ArgMax {
            labels: (0..widths.last().copied().unwrap_or(0)).map(|label| label.to_string()).collect(),
            fraction_bits: 0,
        },
    };
    for (pair, tensor) in widths.windows(2).zip((0..).step_by(2)) {
        let [inputs, outputs] = *pair else { continue };
        if tensor > 0 {
            graph.nodes.push(Operator::Requantise { input: TensorId(tensor - 1), shift: 0, table: 0 });
        }
        graph.nodes.push(Operator::dense(TensorId(tensor), inputs, outputs));
    }
    if graph.nodes.len() > 1 {
        graph.tables.push(relu_table());
    }
    // Shapes first, so that impossible widths cost nothing.
    graph.validate()?;
    let mut weights = Weights { layers: Vec::new() };
    let mut reach = Reach::new(&graph);
    for (tensor, node) in (0u32..).zip(&mut graph.nodes) {
        if let Operator::Requantise { shift, .. } = node {
            *shift = shift_for(&reach, TensorId(tensor), RELU_BITS);
        }
        let (matrix, bias) = node.weight_lengths();
        if matrix > 0 {
            let matrix = (0..matrix).map(|_| (random.below(255) as i16 - 127) as i8).collect();
            let bias = (0..bias).map(|_| random.below(4096) as i32 - 2048).collect();
            weights.layers.push(LayerWeights { matrix, bias });
        }
        let layer = weights.layers.last().filter(|_| matrix > 0);
        reach.push(node, layer, &graph.tables);
    }
    Model::new(graph, weights)
}

/// The least shift at which no reachable value of a tensor leaves a table of `bits`.
fn shift_for(reach: &Reach, tensor: TensorId, bits: u8) -> u8 {
    let (half, read) = (1i64 << (bits - 1), reach.of(tensor));
    let fits =
        |shift: &u8| rounding_shift(read.low, *shift) >= -half && rounding_shift(read.high, *shift) < half;
    (0..MAX_REQUANTISE_SHIFT).find(fits).unwrap_or(MAX_REQUANTISE_SHIFT)
}

fn unit_feature() -> Feature {
    Feature { name: String::new(), offset: 0, multiplier: 1, shift: RAW_FRACTION_BITS as u8 }
}

/// Accumulators of random weights stay far below their bound, so one unit of `u` counts as [`RELU_GAIN`] of `y`.
fn relu_table() -> Table {
    let half = 1i32 << (RELU_BITS - 1);
    Table { bits: RELU_BITS, values: (-half..half).map(|u| (u * RELU_GAIN).clamp(0, 127) as i16).collect() }
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, span: u64) -> u64 {
        ((self.next() >> 32) * span) >> 32
    }
}

const RELU_BITS: u8 = 10;
const RELU_GAIN: i32 = 4;
