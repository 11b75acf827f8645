//! One element of one node, from the elements that it reads: the definitions of [`crate::graph`], written down once.
//!
//! [`mod@crate::reference`] computes every element with it, and is what the executor is compared with; a ledger computes one.

use crate::{
    graph::{Graph, Operator, Right, Table, TensorId, Term, View},
    shapes::{Shapes, product},
};

/// Where elements are read from. What is read depends on the graph, the node and the element, never on values.
pub(crate) trait Elements {
    /// Element `at` of a tensor; `None` stops the evaluation.
    fn value(&mut self, tensor: TensorId, at: usize) -> Option<i64>;
    /// Weight `at` of a layer's matrix, in its order of storage.
    fn matrix(&mut self, layer: usize, at: usize) -> Option<i64>;
    /// Bias `at` of a layer.
    fn bias(&mut self, layer: usize, at: usize) -> Option<i64>;
}

/// Element `at` of what `node` makes; `None` where there is no such node or element, or `from` has not what it reads.
///
/// Sums are exact whatever is read: 2^22 products of values of 32 bits, or 2^8 terms of 2^22 values times 2^28, stay under 2^127.
pub(crate) fn element(
    graph: &Graph,
    shapes: &Shapes,
    node: usize,
    at: usize,
    from: &mut impl Elements,
) -> Option<i128> {
    let output = shapes.tensors().get(node.checked_add(1)?)?;
    if at >= output.cells() {
        return None;
    }
    let mut index = index_of(&output.axes, at);
    let biased = |bias: &Option<Vec<u8>>, axes: &[u32], index: &[u32], from: &mut _| match bias {
        Some(chosen) => bias_of(shapes, node, position(axes, chosen, index), from),
        None => Some(0),
    };
    match graph.nodes.get(node)? {
        Operator::Contract { axes, summed, left, right, bias } => {
            let sizes = [axes.as_slice(), summed].concat();
            let mut sum = biased(bias, axes, &index, from)?;
            index.resize(sizes.len(), 0);
            for _ in 0..product(summed) {
                // Padding reads nothing, on either side.
                if let Some(left_at) = read_position(shapes, left, &index)? {
                    let right = match right {
                        Right::View(view) => read(shapes, view, &index, from)?,
                        Right::Weights { axes: chosen } => {
                            from.matrix(shapes.layer_of(node)?, position(&sizes, chosen, &index))?
                        }
                    };
                    sum += i128::from(from.value(left.tensor, left_at)?) * i128::from(right);
                }
                advance(&mut index, &sizes, axes.len());
            }
            Some(sum)
        }
        Operator::Combine { axes, terms, constant, bias } => {
            let mut sum = i128::from(*constant) + biased(bias, axes, &index, from)?;
            for Term { coefficient, summed, view } in terms {
                let sizes = [axes.as_slice(), summed].concat();
                index.truncate(axes.len());
                index.resize(sizes.len(), 0);
                for _ in 0..product(summed) {
                    sum += i128::from(*coefficient) * i128::from(read(shapes, view, &index, from)?);
                    advance(&mut index, &sizes, axes.len());
                }
            }
            Some(sum)
        }
        Operator::Maximum { left, right, .. } => {
            let (left, right) = (read(shapes, left, &index, from)?, read(shapes, right, &index, from)?);
            Some(i128::from(left.max(right)))
        }
        Operator::Requantise { input, shift, table } => {
            let table = graph.tables.get(usize::from(*table))?;
            requantise(from.value(*input, at)?, *shift, table).map(i128::from)
        }
    }
}

fn bias_of(shapes: &Shapes, node: usize, at: usize, from: &mut impl Elements) -> Option<i128> {
    from.bias(shapes.layer_of(node)?, at).map(i128::from)
}

/// What a view reads at an index over the operator's axes.
fn read(shapes: &Shapes, view: &View, index: &[u32], from: &mut impl Elements) -> Option<i64> {
    match read_position(shapes, view, index)? {
        Some(at) => from.value(view.tensor, at),
        None => Some(0),
    }
}

/// Which element that is; `Some(None)` is padding.
#[expect(
    clippy::option_option,
    reason = "one says that there is no such tensor, the other that zero is read"
)]
fn read_position(shapes: &Shapes, view: &View, index: &[u32]) -> Option<Option<usize>> {
    let tensor = usize::try_from(view.tensor.0).ok()?;
    let (mut axes, mut at) = (shapes.tensors().get(tensor)?.axes.as_slice(), 0usize);
    for group in &view.groups {
        let (taken, rest) = axes.split_at_checked(usize::from(group.span))?;
        axes = rest;
        let length = product(taken);
        let within = |axis: u8| index.get(usize::from(axis)).copied().unwrap_or(0);
        match group.position(u32::try_from(length).ok()?, within) {
            Some(position) => at = at * length + usize::try_from(position).ok()?,
            None => return Some(None),
        }
    }
    Some(Some(at))
}

/// `u = floor((x + 2^(shift-1)) / 2^shift)`, then the table at the clamped `u`.
fn requantise(value: i64, shift: u8, table: &Table) -> Option<i64> {
    let u = if shift == 0 { value } else { (value + (1 << (shift - 1))).div_euclid(1 << shift) };
    let half = 1i64 << (table.bits - 1);
    let entry = u.clamp(-half, half - 1) + half;
    table.values.get(usize::try_from(entry).ok()?).map(|value| i64::from(*value))
}

/// The index over `axes` at place `flat`, row-major.
pub(super) fn index_of(axes: &[u32], mut flat: usize) -> Vec<u32> {
    let mut index = vec![0; axes.len()];
    for (index, size) in index.iter_mut().zip(axes).rev() {
        *index = (flat % *size as usize) as u32;
        flat /= *size as usize;
    }
    index
}

/// Next index, row-major, over the axes from number `from` on.
fn advance(index: &mut [u32], sizes: &[u32], from: usize) {
    for (at, size) in index.iter_mut().zip(sizes).skip(from).rev() {
        *at += 1;
        if *at < *size {
            return;
        }
        *at = 0;
    }
}

/// Where an index over all axes falls in a row-major array over the chosen ones.
fn position(sizes: &[u32], chosen: &[u8], index: &[u32]) -> usize {
    let number = |of: &[u32], axis: u8| of.get(usize::from(axis)).copied().unwrap_or(0) as usize;
    chosen.iter().fold(0, |at, axis| at * number(sizes, *axis) + number(index, *axis))
}
