//! The definitions of [`crate::graph`], written down once more as plainly as they can be run.
//!
//! No claim to speed: this is what the executor is compared with, and what an auditor reads.

use crate::{
    execute::{ExecuteError, Tensor, Trace, check_inputs},
    graph::{DenseWeights, Operator, Table},
    model::Model,
};

/// Runs `model` on `rows` encoded rows, row-major `[rows][features]`, keeping every tensor.
///
/// # Errors
/// The same as [`crate::execute`].
pub fn execute(model: &Model, inputs: &[i8], rows: usize) -> Result<Trace, ExecuteError> {
    check_inputs(model, inputs, rows)?;
    let mut tensors = vec![Tensor::I8(inputs.to_vec())];
    let mut layer = 0;
    for operator in &model.graph().nodes {
        let made = match (operator, &tensors[tensors.len() - 1]) {
            (Operator::Dense { .. }, Tensor::I8(x)) => {
                let weights = &model.weights().layers[layer];
                layer += 1;
                Tensor::I32(dense(x, rows, weights))
            }
            (Operator::Requantise { shift, table, .. }, Tensor::I32(acc)) => {
                let table = &model.graph().tables[usize::from(*table)];
                Tensor::I8(acc.iter().map(|acc| requantise(*acc, *shift, table)).collect())
            }
            _ => break,
        };
        tensors.push(made);
    }
    Ok(Trace { rows, tensors })
}

/// `acc[o] = bias[o] + sum_k x[k] * w[k][o]`, in 64 bits so that wrapping would show.
fn dense(x: &[i8], rows: usize, weights: &DenseWeights) -> Vec<i32> {
    let (inputs, outputs) = (x.len() / rows, weights.bias.len());
    let mut made = Vec::with_capacity(rows * outputs);
    for row in 0..rows {
        for o in 0..outputs {
            let mut acc = i64::from(weights.bias[o]);
            for k in 0..inputs {
                acc += i64::from(x[row * inputs + k]) * i64::from(weights.matrix[k * outputs + o]);
            }
            made.push(i32::try_from(acc).unwrap_or(if acc < 0 { i32::MIN } else { i32::MAX }));
        }
    }
    made
}

/// `u = floor((acc + 2^(shift-1)) / 2^shift)`, then the table at the clamped `u`.
fn requantise(acc: i32, shift: u8, table: &Table) -> i8 {
    let mut u = i64::from(acc);
    if shift > 0 {
        u = (u + (1 << (shift - 1))).div_euclid(1 << shift);
    }
    let half = 1i64 << (table.bits - 1);
    let entry = u.clamp(-half, half - 1) + half;
    table.values[usize::try_from(entry).unwrap_or(0)]
}
