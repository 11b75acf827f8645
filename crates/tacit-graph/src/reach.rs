//! Interval arithmetic: what every tensor can hold, whatever the input.
//!
//! Tensor 0 holds any encoded input. A sum with weights is bounded for each column of the weights (an index over those
//! of its axes that are output axes), which is tight; the bounds of a tensor are those of its worst column. Beside its
//! interval each sum has a *magnitude*, the sum of the largest magnitudes of its parts: every partial sum, in whatever
//! order, stays within it.

use crate::{
    error::GraphError,
    graph::{Graph, LayerWeights, Operator, Right, Table, TensorId, Term, View, Weights},
    model::check_weights,
    shapes::product,
};

/// Lowest and highest value of every tensor, indexed by [`TensorId`].
///
/// Unlike [`crate::Model::new`] this accepts tables that are too narrow (their ends are repeated, as the clamp says)
/// and sums of any size, so that an importer can choose shifts by it.
///
/// # Errors
/// Refuses a graph that is not valid and weights that do not fit it.
pub fn reach(graph: &Graph, weights: &Weights) -> Result<Vec<(i64, i64)>, GraphError> {
    let shapes = graph.validate()?;
    check_weights(graph, &shapes, weights)?;
    let mut reach = Reach::new(graph);
    for (node, operator) in graph.nodes.iter().enumerate() {
        let layer = shapes.layer_of(node).and_then(|layer| weights.layers.get(layer));
        reach.push(operator, layer, &graph.tables);
    }
    Ok(reach.into_intervals())
}

/// Bounds of one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Lowest value.
    pub(crate) low: i64,
    /// Highest value.
    pub(crate) high: i64,
    /// Most that a partial sum can be, up to its sign.
    pub(crate) magnitude: i64,
}

impl Bounds {
    const ZERO: Self = Self { low: 0, high: 0, magnitude: 0 };

    fn of(low: i64, high: i64) -> Self {
        Self { low, high, magnitude: low.saturating_abs().max(high.saturating_abs()) }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            low: self.low.saturating_add(other.low),
            high: self.high.saturating_add(other.high),
            magnitude: self.magnitude.saturating_add(other.magnitude),
        }
    }

    /// `count` values of these bounds, each times `factor`, added up.
    fn times(self, factor: i64, count: i64) -> Self {
        let scale = factor.saturating_mul(count);
        let (a, b) = (self.low.saturating_mul(scale), self.high.saturating_mul(scale));
        let magnitude = self.low.saturating_abs().max(self.high.saturating_abs());
        Self { low: a.min(b), high: a.max(b), magnitude: magnitude.saturating_mul(scale.saturating_abs()) }
    }

    fn product(self, other: Self) -> Self {
        let corners = [self.low, self.high].map(|a| [other.low, other.high].map(|b| a.saturating_mul(b)));
        let corners = corners.as_flattened();
        let low = corners.iter().copied().min().unwrap_or(0);
        Self::of(low, corners.iter().copied().max().unwrap_or(0))
    }

    /// Either one or the other.
    fn or(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            magnitude: self.magnitude.max(other.magnitude),
        }
    }

    fn over(values: &[i32]) -> Self {
        let low = values.iter().copied().min().unwrap_or(0);
        Self::of(i64::from(low), i64::from(values.iter().copied().max().unwrap_or(0)))
    }
}

/// Bounds of the tensors so far; grows node by node, so that a builder can choose a shift from the sums before it.
pub(crate) struct Reach {
    axes: Vec<Vec<u32>>,
    bounds: Vec<Bounds>,
}

impl Reach {
    /// Tensor 0 of `graph`; its nodes are not looked at.
    pub(crate) fn new(graph: &Graph) -> Self {
        let half = 1i64 << (graph.input_bits.clamp(1, 32) - 1);
        Self { axes: vec![graph.input_axes.clone()], bounds: vec![Bounds::of(-half, half - 1)] }
    }

    /// Bounds of a tensor; of one that is not there, zero.
    pub(crate) fn of(&self, TensorId(tensor): TensorId) -> Bounds {
        self.bounds.get(tensor as usize).copied().unwrap_or(Bounds::ZERO)
    }

    pub(crate) fn into_intervals(self) -> Vec<(i64, i64)> {
        self.bounds.iter().map(|bounds| (bounds.low, bounds.high)).collect()
    }

    /// Adds a node, valid after those before, with weights that fit it.
    pub(crate) fn push(
        &mut self,
        operator: &Operator,
        weights: Option<&LayerWeights>,
        tables: &[Table],
    ) -> Bounds {
        let (axes, bounds) = self.bounds(operator, weights, tables);
        self.axes.push(axes);
        self.bounds.push(bounds);
        bounds
    }

    /// Axes and bounds of what a node would make.
    pub(crate) fn bounds(
        &self,
        operator: &Operator,
        weights: Option<&LayerWeights>,
        tables: &[Table],
    ) -> (Vec<u32>, Bounds) {
        match operator {
            Operator::Contract { axes, summed, left, right, bias } => {
                let sizes = [axes.as_slice(), summed].concat();
                let left = self.view(left, &sizes);
                let bounds = match (right, weights) {
                    (Right::Weights { axes: chosen }, Some(weights)) => {
                        let columns = Columns { axes, summed, chosen, bias: bias.as_deref() };
                        columns.bounds(weights, left)
                    }
                    (Right::Weights { .. }, None) => Bounds::ZERO,
                    (Right::View(right), weights) => {
                        let count = i64::try_from(product(summed)).unwrap_or(i64::MAX);
                        let sum = left.product(self.view(right, &sizes)).times(1, count);
                        weights.map_or(sum, |weights| sum.plus(Bounds::over(&weights.bias)))
                    }
                };
                (axes.clone(), bounds)
            }
            Operator::Combine { axes, terms, constant, .. } => {
                let constant = Bounds::of(i64::from(*constant), i64::from(*constant));
                let bias = weights.map_or(Bounds::ZERO, |weights| Bounds::over(&weights.bias));
                (axes.clone(), self.combine(axes, terms).plus(constant).plus(bias))
            }
            Operator::Maximum { axes, left, right } => {
                let (left, right) = (self.view(left, axes), self.view(right, axes));
                (axes.clone(), Bounds::of(left.low.max(right.low), left.high.max(right.high)))
            }
            Operator::Requantise { input, shift, table } => {
                let read = self.of(*input);
                let bounds =
                    tables.get(usize::from(*table)).map_or(Bounds::ZERO, |table| image(read, *shift, table));
                (self.axes.get(input.0 as usize).cloned().unwrap_or_default(), bounds)
            }
        }
    }

    /// What a view under operator axes of `sizes` can read.
    fn view(&self, view: &View, sizes: &[u32]) -> Bounds {
        let Bounds { low, high, .. } = self.of(view.tensor);
        if self.can_read_zero(view, sizes) {
            Bounds::of(low.min(0), high.max(0))
        } else {
            Bounds::of(low, high)
        }
    }

    fn can_read_zero(&self, view: &View, sizes: &[u32]) -> bool {
        let mut rest = self.axes.get(view.tensor.0 as usize).map_or([].as_slice(), Vec::as_slice);
        view.groups.iter().any(|group| {
            let (taken, after) = rest.split_at_checked(usize::from(group.span)).unwrap_or((rest, &[]));
            rest = after;
            let (mut low, mut high) = (i64::from(group.offset), i64::from(group.offset));
            for stride in &group.strides {
                let size = sizes.get(usize::from(stride.axis)).copied().unwrap_or(1);
                let most = i64::from(stride.stride).saturating_mul(i64::from(size) - 1);
                low = low.saturating_add(most.min(0));
                high = high.saturating_add(most.max(0));
            }
            let divisor = i64::from(group.divisor.max(1));
            let divides = |step: i32| i64::from(step).rem_euclid(divisor) == 0;
            let whole = divides(group.offset) && group.strides.iter().all(|stride| divides(stride.stride));
            let length = i64::try_from(product(taken)).unwrap_or(i64::MAX);
            low < 0 || high.div_euclid(divisor) >= length || (group.exact && !whole)
        })
    }

    /// Sum of terms. Terms that lie side by side along some output axis, as in a concatenation, are never added to
    /// each other: along each axis the worst place counts, and the best axis.
    fn combine(&self, axes: &[u32], terms: &[Term]) -> Bounds {
        let parts: Vec<Bounds> = terms
            .iter()
            .map(|term| {
                let sizes = [axes, &term.summed].concat();
                let count = i64::try_from(product(&term.summed)).unwrap_or(i64::MAX);
                self.view(&term.view, &sizes).times(i64::from(term.coefficient), count)
            })
            .collect();
        let mut best = parts.iter().copied().fold(Bounds::ZERO, Bounds::plus);
        for (axis, size) in (0u8..).zip(axes) {
            let size = i64::from(*size);
            let supports: Vec<(i64, i64)> =
                terms.iter().map(|term| self.support(&term.view, axis).unwrap_or((0, size))).collect();
            let mut starts: Vec<i64> =
                supports.iter().flat_map(|(from, to)| [*from, *to]).chain([0]).collect();
            starts.retain(|start| (0..size).contains(start));
            starts.sort_unstable();
            starts.dedup();
            let at = |place: &i64| {
                let here = supports.iter().zip(&parts).filter(|((from, to), _)| from <= place && place < to);
                here.map(|(_, part)| *part).fold(Bounds::ZERO, Bounds::plus)
            };
            let worst = starts.iter().map(at).reduce(Bounds::or).unwrap_or(Bounds::ZERO);
            if worst.magnitude < best.magnitude {
                best = worst;
            }
        }
        best
    }

    /// Where along output `axis` a view reads anything at all, if it is a plain slice or padding along it.
    fn support(&self, view: &View, axis: u8) -> Option<(i64, i64)> {
        let mut rest = self.axes.get(view.tensor.0 as usize)?.as_slice();
        for group in &view.groups {
            let (taken, after) = rest.split_at_checked(usize::from(group.span))?;
            rest = after;
            match group.strides.as_slice() {
                [stride] if stride.axis == axis && stride.stride == 1 && group.divisor == 1 => {
                    let from = -i64::from(group.offset);
                    return Some((from, from.saturating_add(i64::try_from(product(taken)).ok()?)));
                }
                _ => {}
            }
        }
        None
    }
}

/// Entries of a table that a tensor can reach after its shift.
fn image(read: Bounds, shift: u8, table: &Table) -> Bounds {
    let half = 1i64 << (table.bits.clamp(1, 32) - 1);
    let entry = |value: i64| {
        usize::try_from(rounding_shift(value, shift).clamp(-half, half - 1) + half).unwrap_or(usize::MAX)
    };
    let reached = table.values.get(entry(read.low)..=entry(read.high)).unwrap_or(&table.values);
    let low = reached.iter().copied().min().unwrap_or(0);
    Bounds::of(i64::from(low), i64::from(reached.iter().copied().max().unwrap_or(0)))
}

/// `floor((value + 2^(shift-1)) / 2^shift)`, and `value` itself for a shift of zero.
pub(crate) fn rounding_shift(value: i64, shift: u8) -> i64 {
    if shift == 0 { value } else { value.saturating_add(1i64 << (shift - 1)) >> shift }
}

/// A contraction with weights, column by column.
struct Columns<'a> {
    axes: &'a [u32],
    summed: &'a [u32],
    chosen: &'a [u8],
    bias: Option<&'a [u8]>,
}

impl Columns<'_> {
    fn bounds(&self, weights: &LayerWeights, read: Bounds) -> Bounds {
        let size = |axis: u8| {
            let mut sizes = self.axes.iter().chain(self.summed);
            sizes.nth(usize::from(axis)).map_or(1, |size| *size as usize)
        };
        let output = |axis: u8| usize::from(axis) < self.axes.len();
        // Columns are row-major over the weights' output axes.
        let mut count = 1;
        let mut steps: Vec<(usize, usize)> = Vec::new();
        for axis in self.chosen.iter().rev() {
            steps.push((size(*axis), if output(*axis) { count } else { 0 }));
            count *= if output(*axis) { size(*axis) } else { 1 };
        }
        steps.reverse();
        // `w * x` is between `w * low` and `w * high`, the other way round below zero: two sums of weights suffice.
        let (mut above, mut below) = (vec![0i64; count], vec![0i64; count]);
        let (inner, outer) =
            steps.split_last().map_or(((1, 0), [].as_slice()), |(inner, outer)| (*inner, outer));
        let mut index = vec![0usize; outer.len()];
        for run in weights.matrix.chunks(inner.0.max(1)) {
            let start: usize = index.iter().zip(outer).map(|(at, (_, step))| at * step).sum();
            for (k, w) in run.iter().enumerate() {
                let column = start + k * inner.1;
                if let (Some(above), Some(below)) = (above.get_mut(column), below.get_mut(column)) {
                    *above += i64::from((*w).max(0));
                    *below += i64::from((*w).min(0));
                }
            }
            for (at, (size, _)) in index.iter_mut().zip(outer).rev() {
                *at += 1;
                if *at < *size {
                    break;
                }
                *at = 0;
            }
        }
        let magnitude = read.low.saturating_abs().max(read.high.saturating_abs());
        let any = if self.bias.is_some() { Bounds::over(&weights.bias) } else { Bounds::ZERO };
        let column_axes: Vec<u8> = self.chosen.iter().copied().filter(|axis| output(*axis)).collect();
        let same_axes = self.bias == Some(column_axes.as_slice());
        let column = |(index, (above, below)): (usize, (&i64, &i64))| {
            let at =
                |low: i64, high: i64| above.saturating_mul(low).saturating_add(below.saturating_mul(high));
            let sum = Bounds {
                low: at(read.low, read.high),
                high: at(read.high, read.low),
                magnitude: (above - below).saturating_mul(magnitude),
            };
            let bias = weights.bias.get(index).filter(|_| same_axes);
            sum.plus(bias.map_or(any, |bias| Bounds::of(i64::from(*bias), i64::from(*bias))))
        };
        let columns = above.iter().zip(&below).enumerate().map(column);
        columns.reduce(Bounds::or).unwrap_or(Bounds::ZERO)
    }
}
