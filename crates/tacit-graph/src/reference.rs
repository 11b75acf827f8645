//! The definitions of [`crate::graph`], written down once more as plainly as they can be run.
//!
//! No claim to speed: this is what the executor is compared with, and what an auditor reads.

use crate::{
    execute::{ExecuteError, check_inputs},
    graph::{LayerWeights, Operator, Right, Table, Term, View},
    model::Model,
    shapes::{TensorShape, product},
    tensor::{Tensor, Trace},
};

/// Runs `model` on `rows` encoded rows, row-major `[rows][features]`, keeping every tensor.
///
/// # Errors
/// The same as [`crate::execute`].
pub fn execute(model: &Model, inputs: &[i16], rows: usize) -> Result<Trace, ExecuteError> {
    check_inputs(model, inputs, rows)?;
    let shapes = model.shapes().tensors();
    let inputs: Vec<i64> = inputs.iter().map(|value| i64::from(*value)).collect();
    let mut made: Vec<Vec<i64>> = vec![Vec::new(); shapes.len()];
    for row in inputs.chunks_exact(model.shapes().inputs()) {
        let mut tensors = vec![row.to_vec()];
        for node in 0..model.graph().nodes.len() {
            tensors.push(run(model, node, &Row { shapes, tensors: &tensors }));
        }
        for (made, tensor) in made.iter_mut().zip(tensors) {
            made.extend(tensor);
        }
    }
    let tensors =
        made.iter().zip(shapes).map(|(values, shape)| Tensor::from_values(shape.element, values)).collect();
    Ok(Trace { rows, tensors })
}

/// The tensors of one row so far.
struct Row<'a> {
    shapes: &'a [TensorShape],
    tensors: &'a [Vec<i64>],
}

impl Row<'_> {
    /// What a view reads at an index over the operator's axes.
    fn read(&self, view: &View, index: &[u32]) -> i64 {
        let tensor = view.tensor.0 as usize;
        let (mut axes, mut at) = (self.shapes[tensor].axes.as_slice(), 0usize);
        for group in &view.groups {
            let (taken, rest) = axes.split_at(usize::from(group.span));
            axes = rest;
            let length = taken.iter().product();
            match group.position(length, |axis| index[usize::from(axis)]) {
                Some(position) => at = at * length as usize + position as usize,
                None => return 0,
            }
        }
        self.tensors[tensor][at]
    }
}

fn run(model: &Model, node: usize, row: &Row<'_>) -> Vec<i64> {
    let layer = model.shapes().layer_of(node).map(|layer| &model.weights().layers[layer]);
    let biased = |bias: &Option<Vec<u8>>, axes: &[u32], output: &[u32]| match (bias, layer) {
        (Some(chosen), Some(LayerWeights { bias, .. })) => i64::from(bias[at(axes, chosen, output)]),
        _ => 0,
    };
    match &model.graph().nodes[node] {
        Operator::Contract { axes, summed, left, right, bias } => {
            let sizes = [axes.as_slice(), summed].concat();
            let one = |output: Vec<u32>| {
                let product = |sum: Vec<u32>| {
                    let index = [output.as_slice(), &sum].concat();
                    let right = match (right, layer) {
                        (Right::View(view), _) => row.read(view, &index),
                        (Right::Weights { axes }, Some(layer)) => {
                            i64::from(layer.matrix[at(&sizes, axes, &index)])
                        }
                        (Right::Weights { .. }, None) => 0,
                    };
                    row.read(left, &index) * right
                };
                biased(bias, axes, &output) + indices(summed).map(product).sum::<i64>()
            };
            indices(axes).map(one).collect()
        }
        Operator::Combine { axes, terms, constant, bias } => {
            let one = |output: Vec<u32>| {
                let term = |Term { coefficient, summed, view }: &Term| {
                    let read = |sum: Vec<u32>| row.read(view, &[output.as_slice(), &sum].concat());
                    i64::from(*coefficient) * indices(summed).map(read).sum::<i64>()
                };
                i64::from(*constant) + biased(bias, axes, &output) + terms.iter().map(term).sum::<i64>()
            };
            indices(axes).map(one).collect()
        }
        Operator::Maximum { axes, left, right } => {
            indices(axes).map(|output| row.read(left, &output).max(row.read(right, &output))).collect()
        }
        Operator::Requantise { input, shift, table } => {
            let table = &model.graph().tables[usize::from(*table)];
            row.tensors[input.0 as usize].iter().map(|value| requantise(*value, *shift, table)).collect()
        }
    }
}

/// `u = floor((x + 2^(shift-1)) / 2^shift)`, then the table at the clamped `u`.
fn requantise(value: i64, shift: u8, table: &Table) -> i64 {
    let u = if shift == 0 { value } else { (value + (1 << (shift - 1))).div_euclid(1 << shift) };
    let half = 1i64 << (table.bits - 1);
    let entry = u.clamp(-half, half - 1) + half;
    i64::from(table.values[usize::try_from(entry).unwrap_or(0)])
}

/// Every index over `axes`, row-major.
fn indices(axes: &[u32]) -> impl Iterator<Item = Vec<u32>> + '_ {
    (0..product(axes)).map(move |mut flat| {
        let mut index = vec![0; axes.len()];
        for (index, size) in index.iter_mut().zip(axes).rev() {
            *index = (flat % *size as usize) as u32;
            flat /= *size as usize;
        }
        index
    })
}

/// Where an index over all axes falls in a row-major array over the chosen ones.
fn at(sizes: &[u32], chosen: &[u8], index: &[u32]) -> usize {
    chosen
        .iter()
        .fold(0, |at, axis| at * sizes[usize::from(*axis)] as usize + index[usize::from(*axis)] as usize)
}
