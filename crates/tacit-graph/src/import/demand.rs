//! How fine each tensor and each layer has to be: by what an error there does to the outputs.
//!
//! Rounding adds noise of variance `step^2 / 12`, taken as independent. On its way to the outputs its variance is
//! multiplied by one factor for each reader: the sum of squared weights, the mean square of the other factor, the mean
//! squared slope of a function on the calibration values. One pass backwards gives the variance at the outputs for
//! noise of variance one anywhere. An allowed error, shared evenly between all places that round, then says how many
//! levels a tensor needs and whether weights of eight bits will do.

use super::{
    expr::Expr,
    program::{Factor, Node, Program, Values, cells},
    sample::Sample,
};
use crate::graph::View;

/// How the weights of a layer are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// To multiples of one unit.
    Layer,
    /// To multiples of one unit for each output channel; a product with whole numbers makes them one again.
    Channel,
    /// To a coarse unit, and what is left to a fine one.
    Twice,
}

/// Levels of every tensor and precision of every layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Demands {
    levels: Vec<i64>,
    /// Most levels with which products keep their sums in bounds.
    caps: Vec<i64>,
    precisions: Vec<Precision>,
    /// Steps of an encoded input.
    pub(super) input_levels: i64,
}

impl Demands {
    /// The same everywhere.
    pub(super) fn even(program: &Program, levels: i64, input_levels: i64, precision: Precision) -> Self {
        Self {
            levels: vec![levels; program.shapes.len()],
            caps: caps(program),
            precisions: vec![precision; program.nodes.len()],
            input_levels,
        }
    }

    /// What keeps the root mean square error of the outputs at about `error`.
    pub(super) fn new(program: &Program, sample: &Sample, error: f64) -> Self {
        let gains = gains(program, sample);
        let rounding = |node: &&Node| {
            matches!(node, Node::Map { .. } | Node::Contract { right: Factor::Weights { .. }, .. })
        };
        let places = 1 + 2 * program.nodes.iter().filter(rounding).count();
        let variance = error * error / places as f64;
        let step = |tensor: usize| {
            let gain = gains.get(tensor).copied().unwrap_or(0.0);
            (12.0 * variance / gain.max(f64::MIN_POSITIVE)).sqrt()
        };
        let most =
            |tensor: usize| sample.ranges.get(tensor).map_or(1.0, |(low, high)| low.abs().max(high.abs()));
        let caps = caps(program);
        let levels_of = |tensor: usize| {
            let wanted = (most(tensor) / step(tensor)).clamp(1.0, LEVELS_MOST as f64);
            // Few different numbers of levels, so that layers share tables.
            let wanted = (1i64 << (wanted.log2() + 0.5).round() as u32) - 1;
            let cap = caps.get(tensor).copied().unwrap_or(LEVELS_MOST);
            wanted.min(cap).max(LEVELS_USUAL)
        };
        let mut levels: Vec<i64> = (0..program.shapes.len()).map(levels_of).collect();
        let (low, high) = sample.ranges.first().copied().unwrap_or((0.0, 1.0));
        // An input has whole bits: it reaches the next power of two.
        let cap = caps.first().copied().unwrap_or(LEVELS_MOST).max(1).ilog2();
        let room = f64::from(1u32 << cap) - 1.0;
        let wide = room * (high - low) / most(0).max(f64::MIN_POSITIVE);
        let wanted = ((high - low) / step(0)).clamp(1.0, wide.clamp(1.0, f64::from(u16::MAX)));
        let input_levels = (wanted as i64).max(LEVELS_USUAL);
        if let Some(first) = levels.first_mut() {
            *first = (*first).max(input_levels);
        }
        let precisions = program.nodes.iter().enumerate().map(|(index, node)| {
            let Node::Contract { axes, summed, left, right: Factor::Weights { values, grid: None }, .. } =
                node
            else {
                return Precision::Layer;
            };
            let input = left.tensor.0 as usize;
            let gain = gains.get(index + 1).copied().unwrap_or(0.0);
            let columns = Columns::new(axes, summed, values);
            // Rounding errors of all weights that one output sees, times what they multiply.
            let noise = gain * columns.terms * mean_square(sample, input) / 12.0;
            let at = levels.get(input).copied().unwrap_or(LEVELS_USUAL) as f64;
            let fits = at * columns.one_norm * 127.0 * f64::from(FINER) < ROOM;
            let (layer, channel) = (columns.unit * columns.unit, columns.mean_square_unit);
            if noise * layer <= variance {
                Precision::Layer
            } else if noise * channel <= variance || !fits {
                Precision::Channel
            } else {
                Precision::Twice
            }
        });
        let precisions = precisions.collect();
        Self { levels, caps, precisions, input_levels }
    }

    /// Root mean square error to expect at the outputs when what is multiplied has `levels` levels.
    pub(super) fn noise(program: &Program, sample: &Sample, levels: i64) -> f64 {
        let read = |tensor: &usize| {
            program.nodes.iter().any(|node| {
                matches!(node, Node::Contract { .. })
                    && node.inputs().iter().any(|input| *input as usize == *tensor)
            })
        };
        let gains = gains(program, sample);
        let of = |tensor: usize| {
            let (low, high) = sample.ranges.get(tensor).copied().unwrap_or((0.0, 0.0));
            let step = low.abs().max(high.abs()) / levels as f64;
            step * step / 12.0 * gains.get(tensor).copied().unwrap_or(0.0)
        };
        (0..program.shapes.len()).filter(read).map(of).sum::<f64>().sqrt()
    }

    /// Largest magnitude of a tensor.
    pub(super) fn levels(&self, tensor: usize) -> i64 {
        self.levels.get(tensor).copied().unwrap_or(LEVELS_USUAL)
    }

    /// Largest magnitude with which a tensor is multiplied or compared as it is.
    pub(super) fn passes(&self, tensor: usize) -> i64 {
        let cap = self.caps.get(tensor).copied().unwrap_or(LEVELS_MOST);
        self.levels(tensor).max(cap.min(4 * LEVELS_USUAL))
    }

    /// How the weights of node `index` are rounded.
    pub(super) fn precision(&self, index: usize) -> Precision {
        self.precisions.get(index).copied().unwrap_or(Precision::Layer)
    }
}

/// For each tensor, the outputs' mean variance for noise of variance one in it.
fn gains(program: &Program, sample: &Sample) -> Vec<f64> {
    let mut gains = vec![0.0; program.shapes.len()];
    if let Some(last) = gains.last_mut() {
        *last = 1.0;
    }
    for (index, node) in program.nodes.iter().enumerate().rev() {
        let after = gains.get(index + 1).copied().unwrap_or(0.0);
        for (tensor, factor) in factors(program, sample, node) {
            if let Some(gain) = gains.get_mut(tensor as usize) {
                *gain += after * factor;
            }
        }
    }
    gains
}

/// For each tensor that a node reads, variance of what it makes for noise of variance one there.
fn factors(program: &Program, sample: &Sample, node: &Node) -> Vec<(u32, f64)> {
    match node {
        Node::Contract { axes, summed, left, right: Factor::Weights { values, .. }, .. } => {
            let columns = Columns::new(axes, summed, values);
            vec![(left.tensor.0, columns.squares * hit(left))]
        }
        Node::Contract { axes, summed, left, right: Factor::View(right), .. } => {
            let terms = cells(summed) as f64;
            let share = |view: &View| covered(program, view, &[axes.as_slice(), summed].concat());
            let of = |view: &View, other: &View| {
                terms * share(view) * mean_square(sample, other.tensor.0 as usize)
            };
            let (a, b) = (of(left, right), of(right, left));
            if left == right {
                // The same noise twice: `(x + e)^2` is off by `2 x e`.
                return vec![(left.tensor.0, 2.0 * (a + b))];
            }
            vec![(left.tensor.0, a), (right.tensor.0, b)]
        }
        Node::Combine { axes, terms, .. } => {
            let one = |part: &super::program::Part| {
                let sizes = [axes.as_slice(), &part.summed].concat();
                let share = covered(program, &part.view, &sizes);
                let count = cells(&part.summed) as f64;
                (part.view.tensor.0, part.coefficient * part.coefficient * count * share)
            };
            terms.iter().map(one).collect()
        }
        Node::Maximum { left, right, .. } => vec![(left.tensor.0, 0.5), (right.tensor.0, 0.5)],
        Node::Map { input, function } => {
            let slope = function.linear().map_or_else(|| slope(function, sample, *input), |(a, _)| a * a);
            vec![(*input, slope)]
        }
    }
}

/// Mean squared slope of a function on the calibration values, over steps no finer than can be had.
fn slope(function: &Expr, sample: &Sample, input: u32) -> f64 {
    let input = input as usize;
    let (Some(values), Some((low, high))) = (sample.picked.get(input), sample.ranges.get(input)) else {
        return 1.0;
    };
    // A step is felt all at once.
    if function.jumps() {
        let made: Vec<f64> = values.iter().map(|x| function.apply(*x)).filter(|y| y.is_finite()).collect();
        let most = made.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = made.iter().copied().fold(f64::INFINITY, f64::min);
        let slope = JUMP * (most - least).max(0.0) / (high - low).max(f64::MIN_POSITIVE);
        return slope * slope;
    }
    let small = ((high - low) / LEVELS_MOST as f64).max(f64::MIN_POSITIVE);
    let one = |x: &f64| {
        let (below, above) = ((x - small).max(*low), (x + small).min(*high));
        let rise = function.apply(above) - function.apply(below);
        let slope = rise / (above - below).max(small);
        if slope.is_finite() { slope * slope } else { 0.0 }
    };
    values.iter().map(one).sum::<f64>() / values.len().max(1) as f64
}

fn mean_square(sample: &Sample, tensor: usize) -> f64 {
    let values = sample.picked.get(tensor).map_or(&[][..], Vec::as_slice);
    values.iter().map(|x| x * x).sum::<f64>() / values.len().max(1) as f64
}

/// Share of the places that a view reads which are not zero by an exact division.
fn hit(view: &View) -> f64 {
    let exact = view.groups.iter().filter(|group| group.exact);
    exact.map(|group| 1.0 / f64::from(group.divisor.max(1))).product()
}

/// Share of the operator's places at which a view reads an element at all, judged by sizes.
fn covered(program: &Program, view: &View, sizes: &[u32]) -> f64 {
    let used = view.groups.iter().flat_map(|group| &group.strides);
    let places: f64 =
        used.map(|stride| sizes.get(usize::from(stride.axis)).map_or(1.0, |size| f64::from(*size))).product();
    (program.cells(view.tensor.0) as f64 / places).min(1.0) * hit(view)
}

/// Most levels of each tensor with which those that multiply it keep their sums in bounds.
fn caps(program: &Program) -> Vec<i64> {
    let mut caps = vec![LEVELS_MOST; program.shapes.len()];
    let mut lower = |view: &View, cap: f64| {
        if let Some(slot) = caps.get_mut(view.tensor.0 as usize) {
            *slot = (*slot).min(cap as i64);
        }
    };
    for node in &program.nodes {
        match node {
            Node::Contract { axes, summed, left, right: Factor::Weights { values, .. }, .. } => {
                lower(left, ROOM / (Columns::new(axes, summed, values).one_norm * 127.0));
            }
            Node::Contract { summed, left, right: Factor::View(right), .. } => {
                let cap = (1.9 * ROOM / cells(summed) as f64).sqrt();
                lower(left, cap);
                lower(right, cap);
            }
            Node::Combine { .. } | Node::Maximum { .. } | Node::Map { .. } => {}
        }
    }
    caps
}

/// A layer's weights by output channel.
struct Columns {
    /// Mean over outputs of the sum of squared weights.
    squares: f64,
    /// Largest sum of magnitudes of a channel, over the largest weight.
    one_norm: f64,
    /// Weights that one output sees.
    terms: f64,
    /// Largest weight over 127.
    unit: f64,
    /// Mean square over channels of a channel's largest weight over 127.
    mean_square_unit: f64,
}

impl Columns {
    fn new(axes: &[u32], summed: &[u32], values: &Values) -> Self {
        let sizes = [axes, summed].concat();
        let size = |axis: &u8| sizes.get(usize::from(*axis)).map_or(1, |size| *size as usize);
        let is_output = |axis: &&u8| usize::from(**axis) < axes.len();
        let count: usize = values.axes.iter().filter(is_output).map(size).product();
        // Which column each weight is in: its index over the output axes alone.
        let mut steps = Vec::new();
        let mut step = 1;
        for axis in values.axes.iter().rev() {
            steps.push((size(axis), if is_output(&axis) { step } else { 0 }));
            step *= if is_output(&axis) { size(axis) } else { 1 };
        }
        let column = |mut cell: usize| {
            let mut column = 0;
            for (size, step) in &steps {
                column += cell % size * step;
                cell /= size;
            }
            column
        };
        let (mut sums, mut most) = (vec![0.0; count], vec![0.0f64; count]);
        let mut squares = 0.0;
        for (cell, weight) in values.data.iter().enumerate() {
            let column = column(cell);
            squares += weight * weight;
            if let (Some(sum), Some(most)) = (sums.get_mut(column), most.get_mut(column)) {
                *sum += weight.abs();
                *most = most.max(weight.abs());
            }
        }
        let largest = most.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let terms = cells(summed) as f64;
        // Along summed axes that the weights lack, each weight counts several times.
        let again = terms * count as f64 / values.data.len().max(1) as f64;
        Self {
            squares: squares / count.max(1) as f64 * again,
            one_norm: (sums.iter().copied().fold(0.0, f64::max) / largest * again).max(1.0),
            terms,
            unit: largest / 127.0,
            mean_square_unit: most.iter().map(|most| most * most).sum::<f64>()
                / (127.0 * 127.0 * count.max(1) as f64),
        }
    }
}

/// Largest magnitude of an activation where nothing asks for more.
pub(super) const LEVELS_USUAL: i64 = 255;
/// Largest there is: the sum of two squares stays in bounds.
const LEVELS_MOST: i64 = (1 << 14) - 1;
/// How much steeper than a line over the same ranges a step counts.
const JUMP: f64 = 64.0;
/// Fine units in a coarse one.
pub(super) const FINER: i32 = 64;
/// What sums may reach: half the graph's bound.
const ROOM: f64 = (1u32 << 28) as f64;
