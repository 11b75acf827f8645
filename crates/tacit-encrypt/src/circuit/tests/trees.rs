//! Graphs of tree ensembles, as the importer writes them: comparisons of features, sums of them, one look-up for each group.

use tacit_graph::{
    Decoder, Feature, Graph, Group, LayerWeights, Model, Operator, Right, Stride, Table, TensorId, View,
    Weights,
};

use crate::circuit::simulate::Random;

/// Oblivious trees of some depth: every tree tests `depth` features against a threshold each.
pub(crate) struct Forest {
    pub(crate) features: u32,
    pub(crate) levels: usize,
    pub(crate) trees: u32,
    pub(crate) depth: u32,
    /// Leaves are in `-leaf..=leaf`.
    pub(crate) leaf: i16,
}

impl Forest {
    /// One output: the sum over trees, and a constant.
    pub(crate) fn model(&self, seed: u64) -> Model {
        let mut random = Random(seed);
        let mut below = |count: u64| random.word() % count;
        let Self { features, trees, depth, .. } = *self;
        let tests = trees * depth;
        // A selection of each test's feature, less its threshold; then zero or one of it.
        let mut matrix = vec![0i8; (features * tests) as usize];
        let mut thresholds = Vec::new();
        for test in 0..tests {
            let feature = below(u64::from(features)) as u32;
            matrix[(feature * tests + test) as usize] = 1;
            thresholds.push(-(1 + below(self.levels as u64) as i32));
        }
        let select = Operator::Contract {
            axes: vec![tests],
            summed: vec![features],
            left: View { tensor: TensorId(0), groups: vec![Group::axis(1)] },
            right: Right::Weights { axes: vec![1, 0] },
            bias: Some(vec![0]),
        };
        let at_least = Table { bits: 8, values: (-128..128).map(|u| i16::from(u >= 0)).collect() };
        let compare = Operator::Requantise { input: TensorId(1), shift: 0, table: 0 };
        // Digits of a number, which all trees' leaves lie in one table by.
        let leaves = 1u32 << depth;
        let stride = Stride { axis: 0, stride: depth as i32 };
        let tree_tests = Group {
            span: 1,
            offset: 0,
            strides: vec![stride, Stride { axis: 1, stride: 1 }],
            divisor: 1,
            exact: false,
        };
        let number = Operator::Contract {
            axes: vec![trees],
            summed: vec![depth],
            left: View { tensor: TensorId(2), groups: vec![tree_tests] },
            right: Right::Weights { axes: vec![1] },
            bias: Some(vec![0]),
        };
        let bits = (trees * leaves).next_power_of_two().ilog2().max(1) as u8;
        let half = 1i32 << (bits - 1);
        let width = 2 * u64::from(self.leaf.unsigned_abs()) + 1;
        let leaf = Table {
            bits,
            values: (0..1 << bits).map(|_| (below(width) as i64 - i64::from(self.leaf)) as i16).collect(),
        };
        let look_up = Operator::Requantise { input: TensorId(3), shift: 0, table: 1 };
        let add = Operator::Contract {
            axes: vec![1],
            summed: vec![trees],
            left: View { tensor: TensorId(4), groups: vec![Group::axis(1)] },
            right: Right::Weights { axes: vec![1, 0] },
            bias: Some(vec![0]),
        };
        let feature = || Feature {
            name: String::new(),
            offset: 0,
            multiplier: 0,
            shift: 0,
            steps: (0..self.levels as i64).map(|step| step << 24).collect(),
        };
        let graph = Graph {
            features: (0..features).map(|_| feature()).collect(),
            input_axes: vec![features],
            input_bits: 7,
            nodes: vec![select, compare, number, look_up, add],
            tables: vec![at_least, leaf],
            decoder: Decoder::Values { fraction_bits: 0 },
        };
        let places = (0..trees as i32).map(|tree| tree * leaves as i32 - half).collect();
        let weights = Weights {
            layers: vec![
                LayerWeights { matrix, bias: thresholds },
                LayerWeights { matrix: (0..depth).map(|test| 1i8 << test).collect(), bias: places },
                LayerWeights { matrix: vec![1; trees as usize], bias: vec![17] },
            ],
        };
        Model::new(graph, weights).unwrap()
    }

    pub(crate) fn row(&self, random: &mut Random) -> Vec<i16> {
        (0..self.features).map(|_| (random.word() % (self.levels as u64 + 1)) as i16).collect()
    }
}
