//! Models for the tests: small dense networks with random weights, tables and shifts, and graphs built by hand.

pub(crate) mod build;

use tacit_graph::{
    Decoder, Feature, Graph, LayerWeights, Model, Operator, Table, TensorId, Weights, random_inputs,
};

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }
}

/// A dense network with these layer widths; shifts and tables are drawn too, tables as small as the weights allow.
pub(crate) fn dense_model(widths: &[u32], table_bits: u32, random: &mut Random) -> Model {
    let features = (0..widths[0])
        .map(|_| Feature {
            name: String::new(),
            offset: random.range(-9, 9),
            multiplier: random.range(1, 5) as i32,
            shift: 2,
            steps: Vec::new(),
        })
        .collect();
    let (mut nodes, mut tables, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    for pair in widths.windows(2) {
        if !nodes.is_empty() {
            let layer: &LayerWeights = layers.last().unwrap();
            let outputs = layer.bias.len();
            let reach = (0..outputs)
                .map(|o| {
                    let sum: i64 =
                        layer.matrix.iter().skip(o).step_by(outputs).map(|w| i64::from(*w).abs() * 128).sum();
                    sum + i64::from(layer.bias[o]).abs()
                })
                .max()
                .unwrap();
            let bits_of = |shift: u32| 66 - ((reach + (1 << shift)) >> shift).leading_zeros();
            let least = (0..=24).find(|shift| bits_of(*shift) <= table_bits).unwrap();
            let shift = least + (random.next() % 3) as u32;
            let bits = bits_of(shift).max(1);
            let values = (0..1 << bits).map(|_| random.range(-128, 127) as i16).collect();
            nodes.push(Operator::Requantise {
                input: TensorId(nodes.len() as u32),
                shift: shift as u8,
                table: tables.len() as u16,
            });
            tables.push(Table { bits: bits as u8, values });
        }
        let (inputs, outputs) = (pair[0], pair[1]);
        nodes.push(Operator::dense(TensorId(nodes.len() as u32), inputs, outputs));
        layers.push(LayerWeights {
            matrix: (0..inputs * outputs).map(|_| random.range(-128, 127) as i8).collect(),
            bias: (0..outputs).map(|_| random.range(-5000, 5000) as i32).collect(),
        });
    }
    let graph = Graph {
        features,
        input_axes: vec![widths[0]],
        input_bits: 8,
        nodes,
        tables,
        decoder: Decoder::Values { fraction_bits: 0 },
    };
    Model::new(graph, Weights { layers }).unwrap()
}

/// Raw rows that use the encoders' whole range, saturation included.
pub(crate) fn random_rows(model: &Model, rows: usize, random: &mut Random) -> Vec<Vec<i64>> {
    (0..rows).map(|_| model.graph().features.iter().map(|_| random.range(-600, 600)).collect()).collect()
}

/// Raw rows for a model whose features encode whole numbers to themselves.
pub(crate) fn unit_rows(model: &Model, rows: usize, seed: u64) -> Vec<Vec<i64>> {
    let encoded = random_inputs(model, rows, seed);
    let row = |values: &[i16]| values.iter().map(|value| i64::from(*value) << 24).collect();
    encoded.chunks(model.shapes().inputs()).map(row).collect()
}
