//! Operators that work along the last output axis: sums, maxima, and products without a long sum.

use rayon::prelude::*;

use super::{
    PARALLEL_STEPS,
    plan::{Line, Number, Plan},
};
use crate::{graph::LayerWeights, shapes::product};

/// Where an array over some axes of an operator has the element for an index over all of them.
pub(super) struct Strided {
    strides: Vec<usize>,
}

impl Strided {
    /// Row-major over the `chosen` of axes of `sizes`.
    pub(super) fn new(sizes: &[u32], chosen: &[u8]) -> Self {
        let mut strides = vec![0; sizes.len()];
        let mut step = 1;
        for axis in chosen.iter().rev() {
            strides[usize::from(*axis)] = step;
            step *= sizes[usize::from(*axis)] as usize;
        }
        Self { strides }
    }

    pub(super) fn at(&self, index: &[u32]) -> usize {
        self.strides.iter().zip(index).map(|(stride, index)| stride * *index as usize).sum()
    }

    /// What a step along one axis adds.
    pub(super) fn stride(&self, axis: usize) -> usize {
        self.strides[axis]
    }
}

/// A bias over some output axes.
pub(super) struct Bias<'a> {
    values: &'a [i32],
    at: Strided,
}

impl<'a> Bias<'a> {
    pub(super) fn new(
        axes: &[u32],
        chosen: Option<&[u8]>,
        weights: Option<&'a LayerWeights>,
    ) -> Option<Self> {
        Some(Self { values: &weights?.bias, at: Strided::new(axes, chosen?) })
    }

    fn add(&self, index: &[u32], out: &mut [i32]) {
        let stride = self.at.stride(index.len() - 1);
        let values = &self.values[self.at.at(index)..];
        if stride == 0 {
            out.iter_mut().for_each(|out| *out += values[0]);
        } else {
            out.iter_mut().zip(values.iter().step_by(stride)).for_each(|(out, value)| *out += value);
        }
    }

    pub(super) fn values(&self) -> &[i32] {
        self.values
    }

    pub(super) fn at(&self) -> &Strided {
        &self.at
    }
}

/// One summand: `coefficient * sum_k left[o, k] * right[o, k]`, without `right` a plain sum.
pub(super) struct Part<'a> {
    pub(super) coefficient: i32,
    pub(super) summed: &'a [u32],
    pub(super) left: &'a Plan<'a>,
    pub(super) right: Option<Factor<'a>>,
}

/// A second factor.
pub(super) enum Factor<'a> {
    Plan(&'a Plan<'a>),
    Matrix(&'a [i8], Strided),
}

/// `constant + bias[o] + sum of parts`, for every index over `axes` of every row.
pub(super) fn sum<T: Number>(
    rows: usize,
    axes: &[u32],
    parts: &[Part<'_>],
    constant: i32,
    bias: Option<&Bias<'_>>,
) -> Vec<T> {
    let last = axes.len() - 1;
    let lines: Vec<(&Part<'_>, Line<'_>, Option<Line<'_>>)> = parts
        .iter()
        .map(|part| {
            let right = match &part.right {
                Some(Factor::Plan(plan)) => Some(plan.line(last)),
                _ => None,
            };
            (part, part.left.line(last), right)
        })
        .collect();
    let steps: usize = parts.iter().map(|part| product(part.summed)).sum();
    // Output axes and, after them, room for the summed ones of any part.
    let summed_axes = parts.iter().map(|part| part.summed.len()).max().unwrap_or(0);
    for_lines(rows, axes, summed_axes, steps, |row, index, out: &mut [T], spare| {
        let (acc, rest) = spare.split_at_mut(out.len());
        let (left, right) = rest.split_at_mut(out.len());
        acc.fill(constant);
        if let Some(bias) = bias {
            bias.add(&index[..axes.len()], acc);
        }
        for (part, left_line, right_line) in &lines {
            for _ in 0..product(part.summed) {
                left_line.read(row, index, left);
                match (&part.right, right_line) {
                    (Some(Factor::Plan(_)), Some(line)) => {
                        line.read(row, index, right);
                        multiply_add(acc, left, right.iter().copied(), part.coefficient);
                    }
                    (Some(Factor::Matrix(matrix, at)), _) => {
                        let (stride, values) = (at.stride(last), &matrix[at.at(index)..]);
                        if stride == 0 {
                            let factor = part.coefficient * i32::from(values[0]);
                            acc.iter_mut().zip(&*left).for_each(|(acc, x)| *acc += factor * x);
                        } else {
                            let weights = values.iter().step_by(stride).map(|w| i32::from(*w));
                            multiply_add(acc, left, weights, part.coefficient);
                        }
                    }
                    _ if part.coefficient == 1 => acc.iter_mut().zip(&*left).for_each(|(acc, x)| *acc += x),
                    _ => acc.iter_mut().zip(&*left).for_each(|(acc, x)| *acc += part.coefficient * x),
                }
                advance(&mut index[axes.len()..axes.len() + part.summed.len()], part.summed);
            }
        }
        for (out, acc) in out.iter_mut().zip(acc) {
            *out = T::narrow(*acc);
        }
    })
}

fn multiply_add(acc: &mut [i32], left: &[i32], right: impl Iterator<Item = i32>, coefficient: i32) {
    for ((acc, left), right) in acc.iter_mut().zip(left).zip(right) {
        *acc += coefficient * left * right;
    }
}

/// `max(left[o], right[o])`, for every index over `axes` of every row.
pub(super) fn maximum<T: Number>(rows: usize, axes: &[u32], left: &Plan<'_>, right: &Plan<'_>) -> Vec<T> {
    let last = axes.len() - 1;
    let (left_line, right_line) = (left.line(last), right.line(last));
    for_lines(rows, axes, 0, 2, |row, index, out: &mut [T], spare| {
        let (left, right) = spare.split_at_mut(out.len());
        left_line.read(row, index, left);
        right_line.read(row, index, right);
        for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
            *out = T::narrow(*left.max(right));
        }
    })
}

/// Fills lines along the last axis: `line(row, index, line, three lines to work in)`. The index is zero at the last
/// axis and at `more` axes after it, which `line` may use and leaves at zero. `steps` are what each element takes.
fn for_lines<T: Number>(
    rows: usize,
    axes: &[u32],
    more: usize,
    steps: usize,
    line: impl Fn(usize, &mut [u32], &mut [T], &mut [i32]) + Sync,
) -> Vec<T> {
    let Some((length, outer)) = axes.split_last() else { return Vec::new() };
    let length = *length as usize;
    let lines = product(outer);
    let mut out = vec![T::default(); rows * lines * length];
    let run = |first: usize, out: &mut [T]| {
        let mut spare = vec![0i32; 3 * length];
        let mut index = vec![0; axes.len() + more];
        unflatten(first % lines, outer, &mut index);
        let mut row = first / lines;
        for out in out.chunks_exact_mut(length) {
            line(row, &mut index, out, &mut spare);
            if advance(&mut index[..outer.len()], outer) {
                row += 1;
            }
        }
    };
    if out.len() * steps < PARALLEL_STEPS {
        run(0, &mut out);
    } else {
        let task = (rows * lines).div_ceil(TASKS).max(1);
        out.par_chunks_mut(task * length).enumerate().for_each(|(number, out)| run(number * task, out));
    }
    out
}

/// The next index over `axes`, row-major; whether it is the first again.
pub(super) fn advance(index: &mut [u32], axes: &[u32]) -> bool {
    for (index, size) in index.iter_mut().zip(axes).rev() {
        *index += 1;
        if *index < *size {
            return false;
        }
        *index = 0;
    }
    true
}

/// Sets an index over `axes` to the one whose row-major number is `flat`.
fn unflatten(mut flat: usize, axes: &[u32], index: &mut [u32]) {
    for (index, size) in index.iter_mut().zip(axes).rev() {
        *index = (flat % *size as usize) as u32;
        flat /= *size as usize;
    }
}

/// Tasks that the lines of one operator are shared out in.
const TASKS: usize = 32;
