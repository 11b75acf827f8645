//! Contractions as matrix products: rows gathered from the left, columns from the right, dot products of both.
//!
//! Output axes are used by the left side only (*rows*), by the right side only (*columns*) or by both (*batch*): for
//! each index over the batch axes there is one matrix product over the summed axes. Weights are kept as
//! `[batch][columns][summed]`, so that both operands of a dot product are read in order; a convolution gathers its
//! windows for a block of rows at a time (*im2col*), so that its weights are read once for the block.
//!
//! Sums are exact in whatever order: interval arithmetic bounds the sum of the magnitudes of all products. So the
//! operations wrap, and the compiler may vectorise them in every profile.

use rayon::prelude::*;

use super::{
    PARALLEL_STEPS,
    lines::{Bias, Strided, advance},
    plan::{Number, Plan},
};
use crate::{
    graph::{Operator, Right, View},
    shapes::product,
};

/// What an output axis is used by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles {
    batch: Vec<u8>,
    rows: Vec<u8>,
    columns: Vec<u8>,
}

impl Roles {
    /// Roles of a contraction's output axes, unless it is better done by lines: when the last axis is used by both
    /// sides, as in a depthwise convolution, or when nothing is summed.
    pub(crate) fn of(operator: &Operator) -> Option<Self> {
        let Operator::Contract { axes, summed, left, right, .. } = operator else { return None };
        let used = |view: &View| -> Vec<u8> {
            view.groups.iter().flat_map(|group| group.strides.iter().map(|stride| stride.axis)).collect()
        };
        let left = used(left);
        let right = match right {
            Right::Weights { axes } => axes.clone(),
            Right::View(view) => used(view),
        };
        let mut roles = Self { batch: Vec::new(), rows: Vec::new(), columns: Vec::new() };
        for axis in 0..u8::try_from(axes.len()).ok()? {
            match (left.contains(&axis), right.contains(&axis)) {
                (true, true) => roles.batch.push(axis),
                (false, true) => roles.columns.push(axis),
                _ => roles.rows.push(axis),
            }
        }
        let last = u8::try_from(axes.len().checked_sub(1)?).ok()?;
        (product(summed) > 1 && !roles.batch.contains(&last)).then_some(roles)
    }

    /// Weights as `[batch][columns][summed]`.
    pub(crate) fn arrange(&self, operator: &Operator, matrix: &[i8]) -> Vec<i8> {
        let Operator::Contract { axes, summed, right: Right::Weights { axes: chosen }, .. } = operator else {
            return Vec::new();
        };
        let sizes = [axes.as_slice(), summed].concat();
        let from = Strided::new(&sizes, chosen);
        let summed_axes = (axes.len()..sizes.len()).filter_map(|axis| u8::try_from(axis).ok());
        let order: Vec<u8> = self.batch.iter().chain(&self.columns).copied().chain(summed_axes).collect();
        permute(&sizes, &order, &from, matrix)
    }
}

/// An array rearranged to be row-major over `order`.
fn permute(sizes: &[u32], order: &[u8], from: &Strided, values: &[i8]) -> Vec<i8> {
    let mut out = vec![0; values.len()];
    let ordered: Vec<u32> = order.iter().map(|axis| sizes[usize::from(*axis)]).collect();
    let strides: Vec<usize> = order.iter().map(|axis| from.stride(usize::from(*axis))).collect();
    let (Some((inner, outer)), Some((step, steps))) = (ordered.split_last(), strides.split_last()) else {
        return values.to_vec();
    };
    let inner = *inner as usize;
    let mut index = vec![0; outer.len()];
    for out in out.chunks_exact_mut(inner) {
        let start: usize = index.iter().zip(steps).map(|(index, step)| *index as usize * step).sum();
        for (k, out) in out.iter_mut().enumerate() {
            *out = values[start + k * step];
        }
        advance(&mut index, outer);
    }
    out
}

/// The right side of a contraction.
pub(super) enum Side<'a> {
    /// `[batch][columns][summed]`.
    Weights(&'a [i8]),
    /// Another view, gathered for each row and batch.
    View(&'a Plan<'a>),
}

/// One contraction by matrix products.
pub(super) struct Products<'a> {
    pub(super) rows: usize,
    pub(super) axes: &'a [u32],
    pub(super) summed: &'a [u32],
    pub(super) roles: &'a Roles,
    pub(super) left: &'a Plan<'a>,
    pub(super) right: Side<'a>,
    pub(super) bias: Option<Bias<'a>>,
    /// Whether every value of both sides fits `i16`.
    pub(super) narrow: bool,
}

impl Products<'_> {
    /// `[rows][axes]`.
    pub(super) fn run(&self) -> Vec<i32> {
        if self.narrow { self.run_as::<i16>() } else { self.run_as::<i32>() }
    }

    /// With gathered values held as `X`.
    fn run_as<X: Number>(&self) -> Vec<i32> {
        let length = product(self.summed);
        let batch = Space::new(self.axes, &self.roles.batch);
        let lines = Space::new(self.axes, &self.roles.rows);
        let columns = Space::new(self.axes, &self.roles.columns);
        let (height, width) = (lines.cells, columns.cells);
        let left = self.left.gather(self.axes.len(), self.summed);
        let zero = vec![0u32; self.axes.len() + self.summed.len()];
        let mut out = vec![0i32; self.rows * batch.cells * height * width];
        let steps = out.len() * length;
        match &self.right {
            Side::Weights(weights) => {
                // All rows of the run against one matrix for each place in the batch.
                let all = self.rows * height;
                share(&mut out, all * width, steps, |place, out| {
                    let matrix = &weights[place * width * length..(place + 1) * width * length];
                    let read = |line: usize, out: &mut [X]| {
                        let mut index = zero.clone();
                        batch.put(place, &mut index);
                        lines.put(line % height, &mut index);
                        left.read(line / height, &index, out);
                    };
                    multiply(all, length, &read, matrix, out);
                });
                self.arrange(&out, height, [&batch, &lines, &columns], |row, place| {
                    (place * self.rows + row) * height
                })
            }
            Side::View(right) => {
                let right = right.gather(self.axes.len(), self.summed);
                share(&mut out, height * width, steps, |number, out| {
                    let (row, place) = (number / batch.cells, number % batch.cells);
                    let mut index = zero.clone();
                    batch.put(place, &mut index);
                    let mut matrix = vec![X::default(); width * length];
                    for (column, out) in matrix.chunks_exact_mut(length).enumerate() {
                        columns.put(column, &mut index);
                        right.read(row, &index, out);
                    }
                    let read = |line: usize, out: &mut [X]| {
                        let mut index = zero.clone();
                        batch.put(place, &mut index);
                        lines.put(line, &mut index);
                        left.read(row, &index, out);
                    };
                    multiply(height, length, &read, &matrix, out);
                });
                self.arrange(&out, height, [&batch, &lines, &columns], |row, place| {
                    (row * batch.cells + place) * height
                })
            }
        }
    }

    /// From products, of which line `start(row, place)` is the first of a row and place, to `[rows][axes]`, with bias.
    fn arrange(
        &self,
        products: &[i32],
        height: usize,
        [batch, lines, columns]: [&Space; 3],
        start: impl Fn(usize, usize) -> usize,
    ) -> Vec<i32> {
        let all: Vec<u8> = (0u8..).take(self.axes.len()).collect();
        let to = Strided::new(self.axes, &all);
        let (to_line, to_column) = (lines.offsets(&to), columns.offsets(&to));
        let none = vec![0; columns.cells];
        let (bias, bias_column) = match &self.bias {
            Some(bias) => (bias.values(), columns.offsets(bias.at())),
            None => ([0].as_slice(), none),
        };
        let bias_at =
            |space: &Space| self.bias.as_ref().map_or(vec![0; space.cells], |bias| space.offsets(bias.at()));
        let (bias_batch, bias_line) = (bias_at(batch), bias_at(lines));
        let mut out = vec![0; products.len()];
        for (row, out) in out.chunks_exact_mut(batch.cells * height * columns.cells).enumerate() {
            for (place, to_place) in batch.offsets(&to).into_iter().enumerate() {
                let first = start(row, place) * columns.cells;
                let products = &products[first..first + height * columns.cells];
                for (line, products) in products.chunks_exact(columns.cells).enumerate() {
                    let (at, bias) = (to_place + to_line[line], &bias[bias_batch[place] + bias_line[line]..]);
                    for ((product, to), from) in products.iter().zip(&to_column).zip(&bias_column) {
                        out[at + to] = product + bias[*from];
                    }
                }
            }
        }
        out
    }
}

/// Some of an operator's axes, row-major.
struct Space {
    axes: Vec<usize>,
    sizes: Vec<u32>,
    cells: usize,
}

impl Space {
    fn new(axes: &[u32], chosen: &[u8]) -> Self {
        let chosen: Vec<usize> = chosen.iter().map(|axis| usize::from(*axis)).collect();
        let sizes: Vec<u32> = chosen.iter().map(|axis| axes[*axis]).collect();
        Self { axes: chosen, cells: product(&sizes), sizes }
    }

    /// Sets these axes of an index to place `flat`.
    fn put(&self, mut flat: usize, index: &mut [u32]) {
        for (axis, size) in self.axes.iter().zip(&self.sizes).rev() {
            index[*axis] = (flat % *size as usize) as u32;
            flat /= *size as usize;
        }
    }

    /// Where each place is in an array over the operator's axes.
    fn offsets(&self, array: &Strided) -> Vec<usize> {
        let mut offsets = vec![0usize];
        for (axis, size) in self.axes.iter().zip(&self.sizes) {
            let stride = array.stride(*axis);
            let steps = 0..*size as usize;
            offsets =
                offsets.iter().flat_map(|at| steps.clone().map(move |step| at + step * stride)).collect();
        }
        offsets
    }
}

/// Runs `one` on every chunk, on several threads where that pays.
fn share(out: &mut [i32], chunk: usize, steps: usize, one: impl Fn(usize, &mut [i32]) + Sync) {
    if steps < PARALLEL_STEPS || out.len() == chunk {
        out.chunks_exact_mut(chunk).enumerate().for_each(|(number, out)| one(number, out));
    } else {
        out.par_chunks_exact_mut(chunk).enumerate().for_each(|(number, out)| one(number, out));
    }
}

/// `lines` rows, read one by one, times the columns of `matrix`, `[columns][length]`: `out` is `[lines][columns]`.
fn multiply<X: Number, W: Number>(
    lines: usize,
    length: usize,
    read: &(impl Fn(usize, &mut [X]) + Sync),
    matrix: &[W],
    out: &mut [i32],
) {
    let width = matrix.len() / length;
    let gather = |first: usize, count: usize| {
        let mut x = vec![X::default(); count * length];
        x.chunks_exact_mut(length).enumerate().for_each(|(line, x)| read(first + line, x));
        x
    };
    let parallel = out.len() * length >= PARALLEL_STEPS;
    if parallel && lines <= FEW_LINES {
        // Too few rows to share out: the columns are.
        let x = gather(0, lines);
        let parts: Vec<Vec<i32>> = matrix
            .par_chunks(COLUMN_BLOCK * length)
            .map(|matrix| {
                let mut part = vec![0; lines * (matrix.len() / length)];
                block(&x, matrix, length, &mut part);
                part
            })
            .collect();
        for (part, first) in parts.iter().zip((0..).step_by(COLUMN_BLOCK)) {
            let count = part.len() / lines;
            for (out, part) in out.chunks_exact_mut(width).zip(part.chunks_exact(count)) {
                out[first..first + count].copy_from_slice(part);
            }
        }
        return;
    }
    let one = |(number, out): (usize, &mut [i32])| {
        let x = gather(number * LINE_BLOCK, out.len() / width);
        block(&x, matrix, length, out);
    };
    if parallel {
        out.par_chunks_mut(LINE_BLOCK * width).enumerate().for_each(one);
    } else {
        out.chunks_mut(LINE_BLOCK * width).enumerate().for_each(one);
    }
}

/// Rows `x`, `[lines][length]`, times columns `w`, `[columns][length]`.
fn block<X: Number, W: Number>(x: &[X], w: &[W], length: usize, out: &mut [i32]) {
    let width = w.len() / length;
    for (column, pair) in w.chunks(2 * length).enumerate() {
        let (first, second) = pair.split_at(length);
        for (x, out) in x.chunks_exact(length).zip(out.chunks_exact_mut(width)) {
            if second.is_empty() {
                out[2 * column] = dot(x, first);
            } else {
                let sums = dot_pair(x, first, second);
                out[2 * column..][..2].copy_from_slice(&sums);
            }
        }
    }
}

#[inline(always)]
fn dot<X: Number, W: Number>(x: &[X], w: &[W]) -> i32 {
    x.iter().zip(w).fold(0, |sum, (x, w)| sum.wrapping_add(x.widen().wrapping_mul(w.widen())))
}

/// Two dot products that read `x` once.
#[inline(always)]
fn dot_pair<X: Number, W: Number>(x: &[X], first: &[W], second: &[W]) -> [i32; 2] {
    let (mut a, mut b) = (0i32, 0i32);
    for ((x, first), second) in x.iter().zip(first).zip(second) {
        a = a.wrapping_add(x.widen().wrapping_mul(first.widen()));
        b = b.wrapping_add(x.widen().wrapping_mul(second.widen()));
    }
    [a, b]
}

/// Rows gathered at a time.
const LINE_BLOCK: usize = 16;
/// Columns that one task takes where rows are few.
const COLUMN_BLOCK: usize = 64;
/// Rows from which they are shared out rather than columns.
const FEW_LINES: usize = 8;
