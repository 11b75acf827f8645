//! Untrained networks of any size, the same on every machine: for benches and tests.

use crate::{
    graph::{Decoder, DenseWeights, Feature, Graph, Operator, RAW_FRACTION_BITS, Table, TensorId, Weights},
    model::{Model, layer_reach, rounding_shift},
    validate::GraphError,
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
        features: (0..inputs).map(|_| unit_feature()).collect(),
        nodes: Vec::new(),
        tables: Vec::new(),
        decoder: Decoder::ArgMax {
            labels: (0..widths.last().copied().unwrap_or(0)).map(|label| label.to_string()).collect(),
            fraction_bits: 0,
        },
    };
    for pair in widths.windows(2) {
        let [inputs, outputs] = *pair else { continue };
        if !graph.nodes.is_empty() {
            graph.nodes.push(Operator::Requantise { input: TensorId(0), shift: 0, table: 0 });
        }
        graph.nodes.push(Operator::Dense { input: TensorId(0), inputs, outputs });
    }
    for (tensor, node) in (0u32..).zip(&mut graph.nodes) {
        match node {
            Operator::Dense { input, .. } | Operator::Requantise { input, .. } => *input = TensorId(tensor),
        }
    }
    // Shapes first, so that impossible widths cost nothing.
    let hollow = Graph { tables: vec![relu_table()], ..graph.clone() };
    let single = graph.nodes.len() < 2;
    let shapes = if single { graph.validate()? } else { hollow.validate()? };
    let mut weights = Weights { layers: Vec::new() };
    for (inputs, outputs) in shapes.dense() {
        let cells = *inputs as usize * *outputs as usize;
        let matrix = (0..cells).map(|_| (random.below(255) as i16 - 127) as i8).collect();
        let bias = (0..*outputs).map(|_| random.below(4096) as i32 - 2048).collect();
        weights.layers.push(DenseWeights { matrix, bias });
    }
    if !single {
        graph.tables = vec![relu_table()];
        let mut range = (-128, 127);
        for (node, layer) in graph.nodes.iter_mut().skip(1).step_by(2).zip(&weights.layers) {
            let reach = layer_reach(layer, range);
            range = (0, 127);
            if let Operator::Requantise { shift, .. } = node {
                *shift = (0..24).find(|shift| fits(&reach, *shift)).unwrap_or(24);
            }
        }
    }
    Model::new(graph, weights)
}

fn fits(reach: &[(i64, i64)], shift: u8) -> bool {
    let half = 1i64 << (RELU_BITS - 1);
    reach
        .iter()
        .all(|(low, high)| rounding_shift(*low, shift) >= -half && rounding_shift(*high, shift) < half)
}

fn unit_feature() -> Feature {
    Feature { name: String::new(), offset: 0, multiplier: 1, shift: RAW_FRACTION_BITS as u8 }
}

/// Accumulators of random weights stay far below their bound, so one unit of `u` counts as [`RELU_GAIN`] of `y`.
fn relu_table() -> Table {
    let half = 1i32 << (RELU_BITS - 1);
    Table { bits: RELU_BITS, values: (-half..half).map(|u| (u * RELU_GAIN).clamp(0, 127) as i8).collect() }
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
