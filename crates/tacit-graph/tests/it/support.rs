//! Random models for property tests.

use proptest::prelude::*;
use tacit_graph::{Decoder, DenseWeights, Feature, Graph, Model, Operator, Table, TensorId, Weights};

/// Rows of a batch and the models they are for.
pub(crate) fn model_and_inputs() -> impl Strategy<Value = (Model, Vec<i8>, usize)> {
    (prop::collection::vec(1u32..40, 2..5), 1usize..5, any::<u64>(), any::<bool>()).prop_map(
        |(widths, rows, seed, extreme)| {
            let mut random = Random(seed);
            let model = random_model(&widths, extreme, &mut random);
            let cells = rows * widths[0] as usize;
            let inputs = (0..cells).map(|_| if extreme { random.extreme() } else { random.byte() }).collect();
            (model, inputs, rows)
        },
    )
}

/// A small generator, so that one proptest seed makes a whole model.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ (self.0 >> 29)) >> 16
    }

    pub(crate) fn byte(&mut self) -> i8 {
        self.next() as i8
    }

    pub(crate) fn extreme(&mut self) -> i8 {
        [i8::MIN, i8::MAX, 0, -1][(self.next() % 4) as usize]
    }
}

/// A valid model with random weights and tables; `extreme` takes weights from the ends of their range.
pub(crate) fn random_model(widths: &[u32], extreme: bool, random: &mut Random) -> Model {
    let feature = || Feature { name: String::new(), offset: 0, multiplier: 1, shift: 24 };
    let (mut nodes, mut tables, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    for (layer, pair) in widths.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        if layer > 0 {
            // Wide enough for any weights of up to 40 inputs: 40 * 2^14 + 2^12 stays under 2^20.
            let bits = 4 + (random.next() % 7) as u8;
            let shift = 21 - bits;
            tables.push(Table { bits, values: (0..1 << bits).map(|_| random.byte()).collect() });
            let input = TensorId(nodes.len() as u32);
            nodes.push(Operator::Requantise { input, shift, table: (layer - 1) as u16 });
        }
        nodes.push(Operator::Dense { input: TensorId(nodes.len() as u32), inputs, outputs });
        let cells = (inputs * outputs) as usize;
        let matrix = (0..cells).map(|_| if extreme { random.extreme() } else { random.byte() }).collect();
        let bias = (0..outputs).map(|_| (random.next() % 8192) as i32 - 4096).collect();
        layers.push(DenseWeights { matrix, bias });
    }
    let outputs = *widths.last().unwrap();
    let decoder = match random.next() % 3 {
        0 => Decoder::ArgMax { labels: (0..outputs).map(|l| format!("é{l}")).collect(), fraction_bits: 3 },
        1 if outputs == 1 => Decoder::Threshold { labels: ["no".into(), "yes".into()], fraction_bits: 0 },
        _ => Decoder::Values { fraction_bits: -2 },
    };
    let features = (0..widths[0]).map(|_| feature()).collect();
    Model::new(Graph { features, nodes, tables, decoder }, Weights { layers }).unwrap()
}
