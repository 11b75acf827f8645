//! Runs programs: the float network, and the integer network while it is being made.
//!
//! One loop serves all operators: output indices but the last, then summed indices, then the last output axis, along
//! which each view has a fixed step. What a view reads outside its tensor is cut off the ends of that innermost run.

use rayon::prelude::*;

use super::program::{Factor, Node, Program};
use crate::graph::{Group, View};

/// A number that programs run on.
pub(super) trait Number: Copy + Send + Sync + PartialOrd + 'static {
    const ZERO: Self;
    const LOWEST: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const LOWEST: Self = Self::NEG_INFINITY;

    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn times(self, other: Self) -> Self {
        self * other
    }
}

/// Wraps, so that loops vectorise; nothing wraps within the limits of the graph.
impl Number for i32 {
    const ZERO: Self = 0;
    const LOWEST: Self = Self::MIN;

    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
}

/// A view made ready to walk: a tensor's data under an operator's axes.
struct Walk<'a, T> {
    data: &'a [T],
    groups: Vec<Lane>,
    /// Steps of the innermost axis, if it only moves groups without divisors.
    inner: Option<i64>,
}

struct Lane {
    offset: i64,
    /// Position moved per step of each axis.
    strides: Vec<(usize, i64)>,
    divisor: i64,
    exact: bool,
    length: i64,
    /// Elements per position.
    below: i64,
    /// Position moved per step of the innermost axis.
    inner: i64,
}

/// A run of elements along the innermost axis: outside `from..to` there is nothing.
struct Run {
    start: i64,
    from: usize,
    to: usize,
}

impl<'a, T: Number> Walk<'a, T> {
    fn new(view: &View, shape: &[u32], data: &'a [T], inner_axis: usize) -> Self {
        let mut rest = shape;
        let mut below: i64 = shape.iter().map(|axis| i64::from(*axis)).product();
        let mut groups = Vec::new();
        for group in &view.groups {
            let (taken, after) = rest.split_at_checked(usize::from(group.span)).unwrap_or((rest, &[]));
            rest = after;
            let length: i64 = taken.iter().map(|axis| i64::from(*axis)).product();
            below /= length.max(1);
            groups.push(Lane::new(group, length, below, inner_axis));
        }
        let straight = groups.iter().all(|lane| lane.inner == 0 || (lane.divisor == 1 && !lane.exact));
        let inner = straight.then(|| groups.iter().map(|lane| lane.inner * lane.below).sum());
        Self { data, groups, inner }
    }

    /// What is read along the innermost axis of `length` at an index over the others.
    fn run(&self, index: &[u32], length: usize) -> Option<Run> {
        let (mut start, mut from, mut to) = (0, 0i64, length as i64);
        for lane in &self.groups {
            let position = lane.position(index)?;
            start += position * lane.below;
            if lane.inner == 0 {
                if !(0..lane.length).contains(&position) {
                    return None;
                }
            } else if lane.inner > 0 {
                from = from.max((-position + lane.inner - 1).div_euclid(lane.inner));
                to = to.min((lane.length - position + lane.inner - 1).div_euclid(lane.inner));
            } else {
                let step = -lane.inner;
                from = from.max((position - lane.length + step).div_euclid(step));
                to = to.min(position.div_euclid(step) + 1);
            }
        }
        (from < to).then_some(Run { start, from: from as usize, to: to as usize })
    }

    /// One element; `inner` is the innermost index.
    fn at(&self, index: &[u32], inner: u32) -> Option<T> {
        let mut place = 0;
        for lane in &self.groups {
            let sum = lane.sum(index) + lane.inner * i64::from(inner);
            if lane.exact && sum.rem_euclid(lane.divisor) != 0 {
                return None;
            }
            let position = sum.div_euclid(lane.divisor);
            if !(0..lane.length).contains(&position) {
                return None;
            }
            place += position * lane.below;
        }
        self.data.get(usize::try_from(place).ok()?).copied()
    }

    /// The innermost run gathered; `outside` where there is nothing.
    fn gather(&self, index: &[u32], outside: T, out: &mut [T]) {
        match self.inner {
            Some(step) => {
                out.fill(outside);
                let Some(run) = self.run(index, out.len()) else { return };
                for (k, slot) in out.iter_mut().enumerate().take(run.to).skip(run.from) {
                    let place = run.start + step * k as i64;
                    if let Some(value) = usize::try_from(place).ok().and_then(|place| self.data.get(place)) {
                        *slot = *value;
                    }
                }
            }
            None => {
                for (inner, slot) in (0u32..).zip(out.iter_mut()) {
                    *slot = self.at(index, inner).unwrap_or(outside);
                }
            }
        }
    }
}

impl Lane {
    fn new(group: &Group, length: i64, below: i64, inner_axis: usize) -> Self {
        let all = group.strides.iter().map(|stride| (usize::from(stride.axis), i64::from(stride.stride)));
        let (inner, strides): (Vec<_>, Vec<_>) = all.partition(|(axis, _)| *axis == inner_axis);
        Self {
            offset: i64::from(group.offset),
            strides,
            divisor: i64::from(group.divisor.max(1)),
            exact: group.exact && group.divisor > 1,
            length,
            below,
            inner: inner.first().map_or(0, |(_, stride)| *stride),
        }
    }

    fn sum(&self, index: &[u32]) -> i64 {
        self.strides.iter().fold(self.offset, |sum, (axis, stride)| {
            sum + stride * i64::from(index.get(*axis).copied().unwrap_or(0))
        })
    }

    fn position(&self, index: &[u32]) -> Option<i64> {
        let sum = self.sum(index);
        if self.divisor == 1 {
            return Some(sum);
        }
        if self.exact && sum.rem_euclid(self.divisor) != 0 {
            return None;
        }
        Some(sum.div_euclid(self.divisor))
    }
}

/// Calls `each` for every index over `axes`, which are numbered from `first` on.
fn every(axes: &[u32], first: usize, index: &mut [u32], mut each: impl FnMut(&[u32])) {
    if axes.contains(&0) {
        return;
    }
    if let Some(slots) = index.get_mut(first..first + axes.len()) {
        slots.fill(0);
    }
    loop {
        each(index);
        let mut axis = axes.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            let (Some(slot), Some(size)) = (index.get_mut(first + axis), axes.get(axis)) else { return };
            *slot += 1;
            if *slot < *size {
                break;
            }
            *slot = 0;
        }
    }
}

/// A tensor's axes and data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a, T> {
    pub(super) shape: &'a [u32],
    pub(super) data: &'a [T],
}

/// Numbers over some of an operator's axes, as a tensor with those axes.
pub(super) struct Table<'a, T> {
    pub(super) axes: &'a [u8],
    pub(super) data: &'a [T],
}

impl<T: Number> Table<'_, T> {
    /// The view of the table and its shape, for an operator with axes of `sizes`.
    fn view(&self, sizes: &[u32]) -> (View, Vec<u32>) {
        let shape =
            self.axes.iter().map(|axis| sizes.get(usize::from(*axis)).copied().unwrap_or(1)).collect();
        let groups = self.axes.iter().map(|axis| Group::axis(*axis)).collect();
        (View { tensor: crate::graph::TensorId(0), groups }, shape)
    }
}

/// Fills `out` with a bias, or with one number.
pub(super) fn start<T: Number>(out: &mut [T], axes: &[u32], constant: T, bias: Option<Table<'_, T>>) {
    out.fill(constant);
    let Some(bias) = bias else { return };
    let (view, shape) = bias.view(axes);
    let inner = axes.len() - 1;
    let walk = Walk::new(&view, &shape, bias.data, inner);
    let length = axes.last().copied().unwrap_or(1) as usize;
    let mut buffer = vec![T::ZERO; length];
    let mut index = vec![0; axes.len()];
    let mut rows = out.chunks_exact_mut(length);
    every(&axes[..inner], 0, &mut index, |index| {
        walk.gather(index, T::ZERO, &mut buffer);
        if let Some(row) = rows.next() {
            row.iter_mut().zip(&buffer).for_each(|(slot, more)| *slot = slot.plus(*more));
        }
    });
}

/// `out[o] += sum_k left[o, k] * right[o, k]`.
pub(super) fn contract<T: Number>(
    out: &mut [T],
    axes: &[u32],
    summed: &[u32],
    (left, left_given): (&View, Given<'_, T>),
    right: Right<'_, T>,
) {
    let sizes = [axes, summed].concat();
    let inner = axes.len() - 1;
    let (table_view, table_shape);
    let (right_view, right_shape, right_data) = match &right {
        Right::View(view, given) => (*view, given.shape, given.data),
        Right::Table(table) => {
            (table_view, table_shape) = table.view(&sizes);
            (&table_view, table_shape.as_slice(), table.data)
        }
    };
    let left = Walk::new(left, left_given.shape, left_given.data, inner);
    let right = Walk::new(right_view, right_shape, right_data, inner);
    let length = axes.last().copied().unwrap_or(1) as usize;
    let mut index = vec![0; sizes.len()];
    let mut sum_index = vec![0; sizes.len()];
    let mut buffers = (vec![T::ZERO; length], vec![T::ZERO; length]);
    let mut rows = out.chunks_exact_mut(length);
    every(&axes[..inner], 0, &mut index, |index| {
        sum_index.copy_from_slice(index);
        let Some(row) = rows.next() else { return };
        every(summed, axes.len(), &mut sum_index, |index| {
            accumulate(row, &left, &right, index, &mut buffers)
        });
    });
}

/// The second factor.
pub(super) enum Right<'a, T> {
    View(&'a View, Given<'a, T>),
    Table(Table<'a, T>),
}

/// Adds one product run to a row of the output.
fn accumulate<T: Number>(
    row: &mut [T],
    left: &Walk<'_, T>,
    right: &Walk<'_, T>,
    index: &[u32],
    buffers: &mut (Vec<T>, Vec<T>),
) {
    if let (Some(left_step), Some(right_step)) = (left.inner, right.inner) {
        let (Some(a), Some(b)) = (left.run(index, row.len()), right.run(index, row.len())) else { return };
        let (from, to) = (a.from.max(b.from), a.to.min(b.to));
        if from >= to {
            return;
        }
        let place =
            |run: &Run, step: i64| usize::try_from(run.start + step * from as i64).unwrap_or(usize::MAX);
        let (at, bt, count) = (place(&a, left_step), place(&b, right_step), to - from);
        let Some(out) = row.get_mut(from..to) else { return };
        match (left_step, right_step) {
            (0, 1) => {
                if let (Some(x), Some(w)) = (left.data.get(at), right.data.get(bt..bt + count)) {
                    if *x != T::ZERO {
                        out.iter_mut().zip(w).for_each(|(out, w)| *out = out.plus(x.times(*w)));
                    }
                    return;
                }
            }
            (1, 0) => {
                if let (Some(x), Some(w)) = (left.data.get(at..at + count), right.data.get(bt)) {
                    out.iter_mut().zip(x).for_each(|(out, x)| *out = out.plus(x.times(*w)));
                    return;
                }
            }
            (1, 1) => {
                if let (Some(x), Some(w)) = (left.data.get(at..at + count), right.data.get(bt..bt + count)) {
                    out.iter_mut()
                        .zip(x.iter().zip(w))
                        .for_each(|(out, (x, w))| *out = out.plus(x.times(*w)));
                    return;
                }
            }
            _ => {}
        }
        for (k, out) in out.iter_mut().enumerate() {
            let pick = |data: &[T], at: usize, step: i64| {
                usize::try_from(at as i64 + step * k as i64).ok().and_then(|place| data.get(place)).copied()
            };
            if let (Some(x), Some(w)) = (pick(left.data, at, left_step), pick(right.data, bt, right_step)) {
                *out = out.plus(x.times(w));
            }
        }
        return;
    }
    left.gather(index, T::ZERO, &mut buffers.0);
    right.gather(index, T::ZERO, &mut buffers.1);
    let products = buffers.0.iter().zip(&buffers.1);
    row.iter_mut().zip(products).for_each(|(out, (x, w))| *out = out.plus(x.times(*w)));
}

/// `out[o] += coefficient * sum_k view[o, k]`.
pub(super) fn add<T: Number>(
    out: &mut [T],
    axes: &[u32],
    summed: &[u32],
    coefficient: T,
    (view, given): (&View, Given<'_, T>),
) {
    let inner = axes.len() - 1;
    let walk = Walk::new(view, given.shape, given.data, inner);
    let length = axes.last().copied().unwrap_or(1) as usize;
    let mut buffer = vec![T::ZERO; length];
    let mut index = vec![0; axes.len() + summed.len()];
    let mut sum_index = index.clone();
    let mut rows = out.chunks_exact_mut(length);
    every(&axes[..inner], 0, &mut index, |index| {
        sum_index.copy_from_slice(index);
        let Some(row) = rows.next() else { return };
        every(summed, axes.len(), &mut sum_index, |index| {
            walk.gather(index, T::ZERO, &mut buffer);
            row.iter_mut().zip(&buffer).for_each(|(out, x)| *out = out.plus(coefficient.times(*x)));
        });
    });
}

/// `out[o] = max(left[o], right[o])`.
pub(super) fn maximum<T: Number>(
    out: &mut [T],
    axes: &[u32],
    (left, left_given): (&View, Given<'_, T>),
    (right, right_given): (&View, Given<'_, T>),
    outside: T,
) {
    let inner = axes.len() - 1;
    let left = Walk::new(left, left_given.shape, left_given.data, inner);
    let right = Walk::new(right, right_given.shape, right_given.data, inner);
    let length = axes.last().copied().unwrap_or(1) as usize;
    let mut buffers = (vec![T::ZERO; length], vec![T::ZERO; length]);
    let mut index = vec![0; axes.len()];
    let mut rows = out.chunks_exact_mut(length);
    every(&axes[..inner], 0, &mut index, |index| {
        left.gather(index, outside, &mut buffers.0);
        right.gather(index, outside, &mut buffers.1);
        if let Some(row) = rows.next() {
            let pairs = buffers.0.iter().zip(&buffers.1);
            row.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = if a < b { *b } else { *a });
        }
    });
}

/// One node of a float program, given the tensors before it.
pub(super) fn node(node: &Node, tensors: &[Vec<f64>], shapes: &[Vec<u32>], out: &mut [f64]) {
    let given = |tensor: u32| Given {
        shape: shapes.get(tensor as usize).map_or(&[][..], Vec::as_slice),
        data: tensors.get(tensor as usize).map_or(&[][..], Vec::as_slice),
    };
    let viewed = |view: &View| given(view.tensor.0);
    match node {
        Node::Contract { axes, summed, left, right, bias } => {
            start(out, axes, 0.0, bias.as_ref().map(|bias| Table { axes: &bias.axes, data: &bias.data }));
            let right = match right {
                Factor::View(view) => Right::View(view, viewed(view)),
                Factor::Weights { values, .. } => {
                    Right::Table(Table { axes: &values.axes, data: &values.data })
                }
            };
            contract(out, axes, summed, (left, viewed(left)), right);
        }
        Node::Combine { axes, terms, constant, bias } => {
            start(
                out,
                axes,
                *constant,
                bias.as_ref().map(|bias| Table { axes: &bias.axes, data: &bias.data }),
            );
            for part in terms {
                add(out, axes, &part.summed, part.coefficient, (&part.view, viewed(&part.view)));
            }
        }
        Node::Maximum { axes, left, right, lowest } => {
            let outside = if *lowest { f64::LOWEST } else { 0.0 };
            maximum(out, axes, (left, viewed(left)), (right, viewed(right)), outside);
        }
        Node::Map { input, function } => {
            out.iter_mut().zip(given(*input).data).for_each(|(out, x)| *out = function.apply(*x));
        }
    }
}

/// Every tensor of the program on one row.
pub(super) fn trace(program: &Program, input: &[f64]) -> Vec<Vec<f64>> {
    let mut tensors = vec![input.to_vec()];
    for (index, made) in program.nodes.iter().enumerate() {
        let mut out = vec![0.0; program.cells(u32::try_from(index + 1).unwrap_or(u32::MAX))];
        node(made, &tensors, &program.shapes, &mut out);
        tensors.push(out);
    }
    tensors
}

/// The last tensor on each row; tensors are dropped after their last reader.
pub(super) fn outputs(program: &Program, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let readers = program.readers();
    let run = |row: &Vec<f64>| {
        let mut tensors = vec![row.clone()];
        for (index, made) in program.nodes.iter().enumerate() {
            let mut out = vec![0.0; program.cells(u32::try_from(index + 1).unwrap_or(u32::MAX))];
            node(made, &tensors, &program.shapes, &mut out);
            tensors.push(out);
            for input in made.inputs() {
                let last = readers.get(input as usize).and_then(|readers| readers.last());
                if let (true, Some(tensor)) = (last == Some(&index), tensors.get_mut(input as usize)) {
                    *tensor = Vec::new();
                }
            }
        }
        tensors.pop().unwrap_or_default()
    };
    rows.par_iter().map(run).collect()
}

/// One tensor of a program on constants.
pub(super) fn constant(program: &Program, tensor: u32, input: &[f64]) -> Vec<f64> {
    let program = program.only(tensor);
    trace(&program, input).pop().unwrap_or_default()
}
