//! Small models of every kind of operator and view, for tests of whatever runs or proves graphs.

use super::build::Builder;
use crate::{
    error::GraphError,
    graph::{Group, Operator, Right, Stride, Table, TensorId, Term, View},
    model::Model,
};

/// A small random model. Over the seeds there are all operators, weights and biases over any axes, padding, strides
/// either way, dilation, groups, depthwise and transposed convolutions, flattened groups, exact and floor divisors,
/// broadcasting, residuals, tables of 8 and 16 bit entries, and axes that are no powers of two.
///
/// # Errors
/// None that a seed is known to give; the result is that of [`Model::new`].
pub fn random_model(seed: u64) -> Result<Model, GraphError> {
    let mut draw = Draw::new(seed);
    for _ in 0..draw.between(2, 7) {
        draw.step();
    }
    draw.finish()
}

/// `rows` rows of inputs for a model, ends of the range included.
#[must_use]
pub fn random_inputs(model: &Model, rows: usize, seed: u64) -> Vec<i16> {
    let mut random = super::build::SplitMix64(seed);
    let half = 1i64 << (model.graph().input_bits - 1);
    let mut one = || match random.below(8) {
        0 => -half,
        1 => half - 1,
        _ => random.below(2 * half as u64) as i64 - half,
    };
    (0..rows * model.shapes().inputs()).map(|_| one() as i16).collect()
}

struct Draw {
    build: Builder,
    /// Tensors that no node reads yet.
    unread: Vec<TensorId>,
}

impl Draw {
    fn new(seed: u64) -> Self {
        let mut random = super::build::SplitMix64(seed ^ 0x7461_6369_7400);
        let axes = random_axes(&mut random, 3, 60);
        let bits = if random.below(3) == 0 { 2 + random.below(15) as u8 } else { 8 };
        Self { build: Builder::new(&axes, bits, random.next()), unread: vec![Builder::INPUT] }
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.build.random.below(high - low + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.build.random.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let index = self.build.random.below(from.len() as u64) as usize;
        from.get(index).copied().unwrap_or(otherwise)
    }

    /// A tensor to read: rather one that nothing reads yet.
    fn tensor(&mut self) -> TensorId {
        if !self.unread.is_empty() && self.chance(70) {
            let unread = self.unread.clone();
            return self.pick(&unread, Builder::INPUT);
        }
        TensorId(self.between(0, self.build.nodes().len() as u64) as u32)
    }

    /// A tensor of values that can be multiplied: a sum goes through a table first.
    fn small(&mut self) -> TensorId {
        let tensor = self.tensor();
        let (low, high) = self.build.interval(tensor);
        if low.abs().max(high.abs()) < 1 << 9 { tensor } else { self.requantise(tensor).unwrap_or(tensor) }
    }

    /// Tries one random operator; leaves one out whose sums could overflow.
    fn step(&mut self) {
        match self.between(0, 11) {
            0 | 1 => self.image(),
            2 => self.contract(true),
            3 => self.contract(false),
            4 | 5 => self.combine(),
            6 => self.maximum(),
            7 => self.residual(),
            8 => self.upscale(),
            9 => self.product(),
            _ => {
                let tensor = self.tensor();
                self.requantise(tensor);
            }
        }
    }

    fn push(&mut self, operator: Operator) -> Option<TensorId> {
        let reads = reads(&operator);
        let made = self.build.try_push(operator)?;
        self.unread.retain(|tensor| !reads.contains(tensor));
        self.unread.push(made);
        Some(made)
    }

    fn requantise(&mut self, input: TensorId) -> Option<TensorId> {
        let tables: Vec<u16> = (0..self.build.tables().len() as u16).collect();
        let fits = |draw: &Self, table: u16| {
            let bits = draw.build.tables().get(usize::from(table)).map_or(1, |table| table.bits);
            draw.build.shift_for(input, bits)
        };
        let known: Vec<u16> = tables.into_iter().filter(|table| fits(self, *table).is_some()).collect();
        let table = if !known.is_empty() && self.chance(60) {
            self.pick(&known, 0)
        } else {
            let bits = (3..=9).find(|bits| self.build.shift_for(input, *bits).is_some())?;
            let bits = bits.max(self.between(3, 9) as u8);
            let span = if self.chance(70) { 256 } else { 1 + self.between(1, 65_535) };
            let value = |draw: &mut Self| (draw.build.random.below(span) as i64 - span as i64 / 2) as i16;
            let values = (0..1 << bits).map(|_| value(self)).collect();
            self.build.add_table(Table { bits, values })
        };
        let least = fits(self, table)?;
        let more = self.between(0, 2) as u8;
        self.push(Operator::Requantise { input, shift: (least + more).min(24), table })
    }

    /// A convolution written as importers write it, if there is an image to read; else a dense layer.
    fn image(&mut self) {
        let input = self.small();
        let axes = self.build.axes(input);
        let [height, width, channels] = *axes.as_slice() else { return self.contract(true) };
        let (ky, kx) = (self.between(1, 3) as u32, self.between(1, 3) as u32);
        let kind = self.build.random.below(3);
        let grouped = kind == 1 && channels % 2 == 0;
        let within = if grouped { 4 } else { 3 };
        let mut window = |kernel: u32, size: u32, place: u8, within: u8| {
            let (stride, dilation) = (self.between(1, 2) as u32, self.between(1, 2) as u32);
            let pad = self.between(0, 2) as u32;
            let reach = dilation * (kernel - 1) + 1;
            let out = (size + 2 * pad).saturating_sub(reach) / stride + 1;
            let strides = vec![
                Stride { axis: place, stride: stride as i32 },
                Stride { axis: within, stride: dilation as i32 },
            ];
            (out, Group { span: 1, offset: -(pad as i32), strides, divisor: 1, exact: false })
        };
        let (oy, y) = window(ky, height, 0, within);
        let (ox, x) = window(kx, width, 1, within + 1);
        let operator = match kind {
            0 => {
                let left = View { tensor: input, groups: vec![y, x, Group::axis(2)] };
                let right = Right::Weights { axes: vec![3, 4, 2] };
                let axes = vec![oy, ox, channels];
                Operator::Contract { axes, summed: vec![ky, kx], left, right, bias: Some(vec![2]) }
            }
            1 if grouped => {
                // Two groups of channels.
                let within = (channels / 2) as i32;
                let strides = vec![Stride { axis: 2, stride: within }, Stride { axis: 6, stride: 1 }];
                let channel = Group { span: 1, offset: 0, strides, divisor: 1, exact: false };
                let left = View { tensor: input, groups: vec![y, x, channel] };
                let out = self.between(1, 3) as u32;
                Operator::Contract {
                    axes: vec![oy, ox, 2, out],
                    summed: vec![ky, kx, channels / 2],
                    left,
                    right: Right::Weights { axes: vec![2, 4, 5, 6, 3] },
                    bias: Some(vec![2, 3]),
                }
            }
            _ => {
                let left = View { tensor: input, groups: vec![y, x, Group::axis(5)] };
                let (axes, summed) = (vec![oy, ox, self.between(1, 5) as u32], vec![ky, kx, channels]);
                let right = Right::Weights { axes: vec![3, 4, 5, 2] };
                Operator::Contract { axes, summed, left, right, bias: Some(vec![2]) }
            }
        };
        self.push(operator);
    }

    /// Any sum of products, with weights or of two tensors, under any views.
    fn contract(&mut self, with_weights: bool) {
        let (left, right) = (self.small(), self.small());
        let axes = random_axes(&mut self.build.random, 3, 40);
        let count = self.between(0, 2) as usize;
        let summed: Vec<u32> = (0..count).map(|_| self.between(1, 5) as u32).collect();
        let sizes = [axes.as_slice(), &summed].concat();
        let outputs = axes.len() as u8;
        let mut sides = [Vec::new(), Vec::new()];
        for axis in 0..sizes.len() as u8 {
            let side = if axis >= outputs { 2 } else { self.build.random.below(3) };
            let [left, right] = &mut sides;
            if side != 1 {
                left.push(axis);
            }
            if side != 0 {
                right.push(axis);
            }
        }
        let [left_axes, mut right_axes] = sides;
        let left = self.view(left, &sizes, &left_axes);
        let right = if with_weights {
            if right_axes.is_empty() {
                right_axes.push(0);
            }
            self.shuffle(&mut right_axes);
            Right::Weights { axes: right_axes }
        } else {
            Right::View(self.view(right, &sizes, &right_axes))
        };
        let bias = self.bias(outputs);
        self.push(Operator::Contract { axes, summed, left, right, bias });
    }

    fn combine(&mut self) {
        let axes = random_axes(&mut self.build.random, 3, 60);
        let terms = (0..self.between(1, 3)).map(|_| self.term(&axes)).collect();
        let constant = if self.chance(50) { self.between(0, 400) as i32 - 200 } else { 0 };
        let bias = self.bias(axes.len() as u8);
        self.push(Operator::Combine { axes, terms, constant, bias });
    }

    fn term(&mut self, axes: &[u32]) -> Term {
        let tensor = self.tensor();
        let count = self.between(0, 2) as usize;
        let summed: Vec<u32> = (0..count).map(|_| self.between(1, 4) as u32).collect();
        let sizes = [axes, &summed].concat();
        let outputs: Vec<u8> = (0..axes.len() as u8).filter(|_| self.chance(70)).collect();
        let used: Vec<u8> = outputs.into_iter().chain(axes.len() as u8..sizes.len() as u8).collect();
        let view = self.view(tensor, &sizes, &used);
        Term { coefficient: self.pick(&[1, 1, -1, 2, -3, 7], 1), summed, view }
    }

    fn maximum(&mut self) {
        let tensor = self.tensor();
        if let ([_, _, _], true) = (self.build.axes(tensor).as_slice(), self.chance(40)) {
            // Two neighbours along the width, as in pooling.
            let mut axes = self.build.axes(tensor);
            if let Some(width) = axes.get_mut(1) {
                *width = width.div_ceil(2);
            }
            let side = |offset| {
                let mut view = View::identity(tensor, 3);
                if let Some(group) = view.groups.get_mut(1) {
                    group.offset = offset;
                    group.strides.iter_mut().for_each(|stride| stride.stride = 2);
                }
                view
            };
            self.push(Operator::Maximum { axes, left: side(0), right: side(1) });
            return;
        }
        let axes = random_axes(&mut self.build.random, 3, 60);
        let mut side = |tensor| {
            let used: Vec<u8> = (0..axes.len() as u8).filter(|_| self.chance(80)).collect();
            self.view(tensor, &axes, &used)
        };
        let left = side(tensor);
        let other = self.tensor();
        let used: Vec<u8> = (0..axes.len() as u8).filter(|_| self.chance(80)).collect();
        let right = self.view(other, &axes, &used);
        self.push(Operator::Maximum { axes, left, right });
    }

    /// A tensor added to another, repeated along the axes that it is too short for.
    fn residual(&mut self) {
        let (left, right) = (self.tensor(), self.tensor());
        let axes = self.build.axes(left);
        let used: Vec<u8> = (0..axes.len() as u8).collect();
        let other = self.view(right, &axes, &used);
        let terms = vec![
            Term { coefficient: 1, summed: Vec::new(), view: View::identity(left, axes.len()) },
            Term { coefficient: self.pick(&[1, 4, -1], 1), summed: Vec::new(), view: other },
        ];
        self.push(Operator::Combine { axes, terms, constant: 0, bias: None });
    }

    /// Nearest neighbours, or zeros between elements as in a transposed convolution.
    fn upscale(&mut self) {
        let tensor = self.tensor();
        let mut axes = self.build.axes(tensor);
        let exact = self.chance(50);
        let mut view = View::identity(tensor, axes.len());
        if let (Some(size), Some(group)) = (axes.first_mut(), view.groups.first_mut()) {
            *size = *size * 2 + 1;
            group.divisor = 2;
            group.exact = exact;
            group.offset = if exact { -1 } else { 0 };
        }
        let terms = vec![Term { coefficient: 1, summed: Vec::new(), view }];
        if axes.iter().product::<u32>() <= 200 {
            self.push(Operator::Combine { axes, terms, constant: 0, bias: None });
        }
    }

    /// Element by element, with another tensor or the same.
    fn product(&mut self) {
        let (left, right) = (self.small(), self.small());
        let axes = self.build.axes(left);
        let used: Vec<u8> = (0..axes.len() as u8).filter(|_| self.chance(70)).collect();
        let right = Right::View(self.view(right, &axes, &used));
        let left = View::identity(left, axes.len());
        self.push(Operator::Contract { axes, summed: Vec::new(), left, right, bias: None });
    }

    fn bias(&mut self, outputs: u8) -> Option<Vec<u8>> {
        if self.chance(40) {
            return None;
        }
        let mut axes: Vec<u8> = (0..outputs).filter(|_| self.chance(60)).collect();
        self.shuffle(&mut axes);
        Some(axes)
    }

    fn shuffle(&mut self, axes: &mut [u8]) {
        for last in (1..axes.len()).rev() {
            axes.swap(last, self.between(0, last as u64) as usize);
        }
    }

    /// A view of a tensor that uses just the given axes of an operator.
    fn view(&mut self, tensor: TensorId, sizes: &[u32], used: &[u8]) -> View {
        let axes = self.build.axes(tensor);
        let mut groups = Vec::new();
        let mut taken = 0;
        while taken < axes.len() {
            let left = (axes.len() - taken) as u64;
            let span = if self.chance(70) { 1 } else { self.between(1, left) };
            taken += span as usize;
            groups.push(Group { span: span as u8, offset: 0, strides: Vec::new(), divisor: 1, exact: false });
        }
        for axis in used {
            let group = self.between(0, groups.len() as u64 - 1) as usize;
            if let Some(group) = groups.get_mut(group) {
                group.strides.push(Stride { axis: *axis, stride: 1 });
            }
        }
        for group in &mut groups {
            // Row-major over its axes, as a reshape; then bent a little.
            let mut step = 1i32;
            for stride in group.strides.iter_mut().rev() {
                stride.stride = step;
                step *= sizes.get(usize::from(stride.axis)).map_or(1, |size| *size as i32);
                if self.chance(15) {
                    stride.stride = self.pick(&[-1, 2, 3, -2, 1], 1);
                }
            }
            if self.chance(35) {
                group.offset = self.between(0, 6) as i32 - 3;
            }
            if self.chance(15) {
                group.divisor = self.between(2, 3) as u32;
                group.exact = self.chance(50);
            }
        }
        View { tensor, groups }
    }

    /// One last operator of one axis that reads everything nothing has read.
    fn finish(mut self) -> Result<Model, GraphError> {
        let dense = self.chance(50);
        if let (&[tensor], true) = (self.unread.as_slice(), dense) {
            let (low, high) = self.build.interval(tensor);
            let input =
                if low.abs().max(high.abs()) < 1 << 9 { Some(tensor) } else { self.requantise(tensor) };
            if let Some(input) = input {
                let out = self.between(1, 6) as u32;
                self.build.dense(input, out);
                return self.decoded();
            }
        }
        let axes = vec![self.between(1, 6) as u32];
        for tensor in self.unread.clone() {
            let (low, high) = self.build.interval(tensor);
            if low.abs().max(high.abs()) > 1 << 20 {
                self.requantise(tensor);
            }
        }
        let mut terms = Vec::new();
        for tensor in core::mem::take(&mut self.unread) {
            let view = self.view(tensor, &axes, &[0]);
            terms.push(Term { coefficient: 1, summed: Vec::new(), view });
        }
        self.build.add(Operator::Combine { axes, terms, constant: 0, bias: Some(vec![0]) });
        self.decoded()
    }

    fn decoded(mut self) -> Result<Model, GraphError> {
        if self.chance(50) { self.build.finish_classes() } else { self.build.finish() }
    }
}

fn reads(operator: &Operator) -> Vec<TensorId> {
    match operator {
        Operator::Contract { left, right: Right::View(right), .. }
        | Operator::Maximum { left, right, .. } => {
            vec![left.tensor, right.tensor]
        }
        Operator::Contract { left, .. } => vec![left.tensor],
        Operator::Combine { terms, .. } => terms.iter().map(|term| term.view.tensor).collect(),
        Operator::Requantise { input, .. } => vec![*input],
    }
}

/// One to `most` axes with at most `cells` elements.
fn random_axes(random: &mut super::build::SplitMix64, most: u64, cells: u32) -> Vec<u32> {
    let count = 1 + random.below(most) as usize;
    let mut axes = Vec::new();
    let mut left = cells;
    for _ in 0..count {
        let size = 1 + random.below(u64::from(left.min(7))) as u32;
        axes.push(size);
        left /= size;
    }
    axes
}
