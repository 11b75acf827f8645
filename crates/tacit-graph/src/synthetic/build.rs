//! Puts a graph together node by node, drawing weights and choosing shifts on the way.

use crate::{
    error::GraphError,
    graph::{
        Decoder, Feature, Graph, Group, LayerWeights, MAX_ACCUMULATOR, MAX_REQUANTISE_SHIFT, Operator,
        RAW_FRACTION_BITS, Right, Stride, Table, TensorId, Term, View, Weights,
    },
    model::Model,
    reach::{Reach, rounding_shift},
};

pub(super) struct Builder {
    pub(super) random: SplitMix64,
    graph: Graph,
    weights: Weights,
    reach: Reach,
}

impl Builder {
    pub(super) fn new(input_axes: &[u32], input_bits: u8, seed: u64) -> Self {
        let features = input_axes.iter().fold(1usize, |cells, axis| cells.saturating_mul(*axis as usize));
        let graph = Graph {
            features: vec![unit_feature(); features.min(crate::validate::MAX_FEATURES + 1)],
            input_axes: input_axes.to_vec(),
            input_bits,
            nodes: Vec::new(),
            tables: Vec::new(),
            decoder: Decoder::Values { fraction_bits: 0 },
        };
        let reach = Reach::new(&graph);
        Self { random: SplitMix64(seed), graph, weights: Weights { layers: Vec::new() }, reach }
    }

    /// Tensor 0.
    pub(super) const INPUT: TensorId = TensorId(0);

    pub(super) fn axes(&self, tensor: TensorId) -> Vec<u32> {
        self.graph.axes_of(tensor).unwrap_or_default().to_vec()
    }

    /// Lowest and highest value of a tensor.
    pub(super) fn interval(&self, tensor: TensorId) -> (i64, i64) {
        let bounds = self.reach.of(tensor);
        (bounds.low, bounds.high)
    }

    pub(super) fn tables(&self) -> &[Table] {
        &self.graph.tables
    }

    pub(super) fn nodes(&self) -> &[Operator] {
        &self.graph.nodes
    }

    /// Adds an operator with random weights if its sums stay in range.
    pub(super) fn try_push(&mut self, operator: Operator) -> Option<TensorId> {
        let (matrix, bias) = operator.weight_lengths();
        let weights = (matrix + bias > 0).then(|| LayerWeights {
            matrix: (0..matrix).map(|_| (self.random.below(255) as i16 - 127) as i8).collect(),
            bias: (0..bias).map(|_| self.random.below(4096) as i32 - 2048).collect(),
        });
        let (_, bounds) = self.reach.bounds(&operator, weights.as_ref(), &self.graph.tables);
        if bounds.magnitude >= i64::from(MAX_ACCUMULATOR) {
            return None;
        }
        Some(self.push(operator, weights))
    }

    /// Adds an operator with random weights.
    pub(super) fn add(&mut self, operator: Operator) -> TensorId {
        let (matrix, bias) = operator.weight_lengths();
        let weights = (matrix + bias > 0).then(|| LayerWeights {
            matrix: (0..matrix).map(|_| (self.random.below(255) as i16 - 127) as i8).collect(),
            bias: (0..bias).map(|_| self.random.below(4096) as i32 - 2048).collect(),
        });
        self.push(operator, weights)
    }

    fn push(&mut self, operator: Operator, weights: Option<LayerWeights>) -> TensorId {
        self.reach.push(&operator, weights.as_ref(), &self.graph.tables);
        self.graph.nodes.push(operator);
        self.weights.layers.extend(weights);
        TensorId(u32::try_from(self.graph.nodes.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn add_table(&mut self, table: Table) -> u16 {
        self.graph.tables.push(table);
        u16::try_from(self.graph.tables.len() - 1).unwrap_or(u16::MAX)
    }

    /// The least shift at which nothing that a tensor reaches leaves a table of `bits`.
    pub(super) fn shift_for(&self, tensor: TensorId, bits: u8) -> Option<u8> {
        let (half, read) = (1i64 << (bits - 1), self.reach.of(tensor));
        let fits = |shift: &u8| {
            rounding_shift(read.low, *shift) >= -half && rounding_shift(read.high, *shift) < half
        };
        (0..=MAX_REQUANTISE_SHIFT).find(fits)
    }

    /// Requantises through a table by the least shift that fits.
    pub(super) fn requantise(&mut self, input: TensorId, table: u16) -> TensorId {
        let bits = self.graph.tables.get(usize::from(table)).map_or(1, |table| table.bits);
        let shift = self.shift_for(input, bits).unwrap_or(MAX_REQUANTISE_SHIFT);
        self.add(Operator::Requantise { input, shift, table })
    }

    /// Convolution of `[height, width, channels]` by a square kernel.
    pub(super) fn conv(&mut self, input: TensorId, out: u32, window: Window) -> TensorId {
        let [height, width, channels] = self.image(input);
        let (oy, ox) = (window.out(height), window.out(width));
        self.add(Operator::Contract {
            axes: vec![oy, ox, out],
            summed: vec![window.size, window.size, channels],
            left: View {
                tensor: input,
                groups: vec![window.group(0, 3), window.group(1, 4), Group::axis(5)],
            },
            right: Right::Weights { axes: vec![3, 4, 5, 2] },
            bias: Some(vec![2]),
        })
    }

    /// The same, each channel by a kernel of its own.
    pub(super) fn depthwise(&mut self, input: TensorId, window: Window) -> TensorId {
        let [height, width, channels] = self.image(input);
        let (oy, ox) = (window.out(height), window.out(width));
        self.add(Operator::Contract {
            axes: vec![oy, ox, channels],
            summed: vec![window.size, window.size],
            left: View {
                tensor: input,
                groups: vec![window.group(0, 3), window.group(1, 4), Group::axis(2)],
            },
            right: Right::Weights { axes: vec![3, 4, 2] },
            bias: Some(vec![2]),
        })
    }

    /// Dense layer on all elements of a tensor.
    pub(super) fn dense(&mut self, input: TensorId, out: u32) -> TensorId {
        let summed = self.axes(input);
        let axes: Vec<u8> = (1u8..).take(summed.len()).collect();
        self.add(Operator::Contract {
            axes: vec![out],
            left: View { tensor: input, groups: axes.iter().map(|axis| Group::axis(*axis)).collect() },
            right: Right::Weights { axes: axes.iter().copied().chain([0]).collect() },
            summed,
            bias: Some(vec![0]),
        })
    }

    /// Largest of every two by two: along one axis, then along the other.
    pub(super) fn max_pool(&mut self, input: TensorId) -> TensorId {
        let mut tensor = input;
        for along in [1usize, 0] {
            let mut axes = self.axes(tensor);
            if let Some(size) = axes.get_mut(along) {
                *size /= 2;
            }
            let side = |offset: i32| {
                let mut view = View::identity(tensor, 3);
                if let Some(group) = view.groups.get_mut(along) {
                    group.offset = offset;
                    group.strides.iter_mut().for_each(|stride| stride.stride = 2);
                }
                view
            };
            let operator = Operator::Maximum { axes, left: side(0), right: side(1) };
            tensor = self.add(operator);
        }
        tensor
    }

    /// Sum of every two by two.
    pub(super) fn sum_pool(&mut self, input: TensorId) -> TensorId {
        let [height, width, channels] = self.image(input);
        let window = Window { size: 2, stride: 2, pad: 0 };
        let view =
            View { tensor: input, groups: vec![window.group(0, 3), window.group(1, 4), Group::axis(2)] };
        self.add(Operator::Combine {
            axes: vec![window.out(height), window.out(width), channels],
            terms: vec![Term { coefficient: 1, summed: vec![2, 2], view }],
            constant: 0,
            bias: None,
        })
    }

    /// Sum over height and width.
    pub(super) fn global_sum(&mut self, input: TensorId) -> TensorId {
        let [height, width, channels] = self.image(input);
        let view = View { tensor: input, groups: vec![Group::axis(1), Group::axis(2), Group::axis(0)] };
        self.add(Operator::Combine {
            axes: vec![channels],
            terms: vec![Term { coefficient: 1, summed: vec![height, width], view }],
            constant: 0,
            bias: None,
        })
    }

    /// `left + coefficient * right` of two tensors of one shape.
    pub(super) fn sum(&mut self, left: TensorId, right: TensorId, coefficient: i32) -> TensorId {
        let axes = self.axes(left);
        let term = |tensor, coefficient| Term {
            coefficient,
            summed: Vec::new(),
            view: View::identity(tensor, axes.len()),
        };
        let terms = vec![term(left, 1), term(right, coefficient)];
        self.add(Operator::Combine { axes: axes.clone(), terms, constant: 0, bias: None })
    }

    fn image(&self, tensor: TensorId) -> [u32; 3] {
        self.axes(tensor).try_into().unwrap_or([1; 3])
    }

    /// A classifier of numbered classes by the last tensor.
    pub(super) fn finish_classes(mut self) -> Result<Model, GraphError> {
        let last = TensorId(u32::try_from(self.graph.nodes.len()).unwrap_or(u32::MAX));
        let classes = self.axes(last).iter().product::<u32>();
        let labels = (0..classes).map(|label| label.to_string()).collect();
        self.graph.decoder = Decoder::ArgMax { labels, fraction_bits: 0 };
        self.finish()
    }

    pub(super) fn finish(self) -> Result<Model, GraphError> {
        Model::new(self.graph, self.weights)
    }
}

/// A square window with its stride and padding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) size: u32,
    pub(super) stride: u32,
    pub(super) pad: u32,
}

impl Window {
    fn out(self, size: u32) -> u32 {
        (size + 2 * self.pad).saturating_sub(self.size) / self.stride + 1
    }

    /// The window over one axis: `place` counts windows, `within` positions inside one.
    fn group(self, place: u8, within: u8) -> Group {
        let strides =
            vec![Stride { axis: place, stride: self.stride as i32 }, Stride { axis: within, stride: 1 }];
        Group { span: 1, offset: -(self.pad as i32), strides, divisor: 1, exact: false }
    }
}

/// Raw values that encode to themselves.
fn unit_feature() -> Feature {
    Feature {
        name: String::new(),
        offset: 0,
        multiplier: 1,
        shift: RAW_FRACTION_BITS as u8,
        steps: Vec::new(),
    }
}

/// `clamp(gain * u, 0, 127)`.
pub(super) fn relu_table(bits: u8, gain: i32) -> Table {
    let half = 1i32 << (bits - 1);
    Table { bits, values: (-half..half).map(|u| (u * gain).clamp(0, 127) as i16).collect() }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number under `span`, at most `2^32`.
    pub(super) fn below(&mut self, span: u64) -> u64 {
        ((self.next() >> 32) * span) >> 32
    }
}
