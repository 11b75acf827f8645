//! The exact executor: the same numbers as [`mod@crate::reference`], fast.
//!
//! Dense layers are dot products of `int8` rows, widened to pairs of `int16` so that the compiler uses the
//! machine's multiply-add. Products are at most `2^14` and sums under `2^30`, so nothing wraps whatever the order.

use rayon::prelude::*;

use crate::{
    graph::{Operator, Table, TensorId},
    model::Model,
};

/// Every tensor of a run.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// Rows of every tensor.
    pub rows: usize,
    /// Indexed by [`TensorId`].
    pub tensors: Vec<Tensor>,
}

/// Values of one tensor, row-major `[rows][width]`.
#[derive(Clone, PartialEq, Eq)]
pub enum Tensor {
    /// Encoded inputs and requantised values.
    I8(Vec<i8>),
    /// Accumulators.
    I32(Vec<i32>),
}

/// Why a run is refused; a run that starts cannot fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// No rows.
    #[error("a run has at least one row")]
    NoRows,
    /// Too many rows for one trace.
    #[error("a run has at most {limit} rows of this model, got {got}")]
    TooManyRows {
        /// Rows that fit [`MAX_TRACE_CELLS`].
        limit: u64,
        /// Rows given.
        got: usize,
    },
    /// The inputs are not `rows` rows.
    #[error("inputs have {got} values, {expected} expected")]
    InputLength {
        /// Rows times features.
        expected: usize,
        /// Values given.
        got: usize,
    },
}

impl Trace {
    /// The logits, row-major `[rows][outputs]`.
    #[must_use]
    pub fn logits(&self) -> &[i32] {
        match self.tensors.last() {
            Some(Tensor::I32(values)) => values,
            _ => &[],
        }
    }

    /// Tensor `id`, if there is one.
    #[must_use]
    pub fn tensor(&self, TensorId(id): TensorId) -> Option<&Tensor> {
        self.tensors.get(id as usize)
    }
}

impl Tensor {
    /// The values, if they are `int8`.
    #[must_use]
    pub fn as_i8(&self) -> Option<&[i8]> {
        match self {
            Self::I8(values) => Some(values),
            Self::I32(_) => None,
        }
    }

    /// The values, if they are accumulators.
    #[must_use]
    pub fn as_i32(&self) -> Option<&[i32]> {
        match self {
            Self::I32(values) => Some(values),
            Self::I8(_) => None,
        }
    }
}

// A trace is the client's data and a function of the owner's weights: its values stay out of logs.
impl core::fmt::Debug for Trace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Trace").field("rows", &self.rows).field("tensors", &self.tensors).finish()
    }
}

impl core::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::I8(values) => write!(f, "I8[{}]", values.len()),
            Self::I32(values) => write!(f, "I32[{}]", values.len()),
        }
    }
}

/// Runs `model` on `rows` encoded rows, row-major `[rows][features]`, keeping every tensor.
///
/// # Errors
/// Refuses an empty or over-large batch and inputs of another length.
pub fn execute(model: &Model, inputs: &[i8], rows: usize) -> Result<Trace, ExecuteError> {
    check_inputs(model, inputs, rows)?;
    let graph = model.graph();
    let mut tensors = Vec::with_capacity(graph.nodes.len() + 1);
    tensors.push(Tensor::I8(inputs.to_vec()));
    let mut layers = model.transposed().iter().zip(&model.weights().layers);
    for operator in &graph.nodes {
        let made = match (operator, tensors.last()) {
            (Operator::Dense { inputs, .. }, Some(Tensor::I8(x))) => {
                let Some((matrix, weights)) = layers.next() else { break };
                Tensor::I32(dense(x, matrix, &weights.bias, *inputs as usize))
            }
            (Operator::Requantise { shift, table, .. }, Some(Tensor::I32(acc))) => {
                let Some(table) = graph.tables.get(usize::from(*table)) else { break };
                Tensor::I8(requantise(acc, *shift, table))
            }
            // A `Model` alternates element types: `Graph::validate` saw to it.
            _ => break,
        };
        tensors.push(made);
    }
    Ok(Trace { rows, tensors })
}

pub(crate) fn check_inputs(model: &Model, inputs: &[i8], rows: usize) -> Result<(), ExecuteError> {
    if rows == 0 {
        return Err(ExecuteError::NoRows);
    }
    let limit = MAX_TRACE_CELLS / model.shapes().cells().max(1);
    if u64::try_from(rows).map_or(true, |got| got > limit) {
        return Err(ExecuteError::TooManyRows { limit, got: rows });
    }
    let expected = rows * model.shapes().inputs();
    if inputs.len() != expected {
        return Err(ExecuteError::InputLength { expected, got: inputs.len() });
    }
    Ok(())
}

/// `[rows][inputs]` times `[outputs][inputs]` transposed, plus bias: `[rows][outputs]`.
fn dense(x: &[i8], matrix: &[i8], bias: &[i32], inputs: usize) -> Vec<i32> {
    let outputs = bias.len();
    let mut acc = vec![0; x.len() / inputs * outputs];
    if x.len() * outputs < PARALLEL_MACS {
        dense_rows(x, matrix, bias, inputs, &mut acc);
    } else if x.len() / inputs >= ROW_BLOCK * 2 {
        acc.par_chunks_mut(ROW_BLOCK * outputs)
            .zip(x.par_chunks(ROW_BLOCK * inputs))
            .for_each(|(acc, x)| dense_rows(x, matrix, bias, inputs, acc));
    } else {
        for (acc, x) in acc.chunks_exact_mut(outputs).zip(x.chunks_exact(inputs)) {
            acc.par_iter_mut()
                .with_min_len(64)
                .zip(matrix.par_chunks_exact(inputs))
                .zip(bias)
                .for_each(|((acc, column), bias)| *acc = bias + dot(x, column));
        }
    }
    acc
}

fn dense_rows(x: &[i8], matrix: &[i8], bias: &[i32], inputs: usize, acc: &mut [i32]) {
    for (acc, x) in acc.chunks_exact_mut(bias.len()).zip(x.chunks_exact(inputs)) {
        for ((acc, column), bias) in acc.iter_mut().zip(matrix.chunks_exact(inputs)).zip(bias) {
            *acc = bias + dot(x, column);
        }
    }
}

/// A product of two `int8` rows of one length.
///
/// Wrapping operations, although nothing here can wrap (see the header): without overflow checks in debug builds the
/// loop becomes vector instructions in every profile.
#[inline]
fn dot(x: &[i8], w: &[i8]) -> i32 {
    let product = |(x, w): (&i8, &i8)| i32::from(i16::from(*x).wrapping_mul(i16::from(*w)));
    x.iter().zip(w).map(product).fold(0i32, i32::wrapping_add)
}

fn requantise(acc: &[i32], shift: u8, table: &Table) -> Vec<i8> {
    let (round, half) = (if shift == 0 { 0 } else { 1i32 << (shift - 1) }, 1i32 << (table.bits - 1));
    // A `Model` never leaves the table; the clamp is the definition, and keeps the index in range for the compiler.
    let index = |acc: &i32| (((acc + round) >> shift).clamp(-half, half - 1) + half) as usize;
    acc.iter().map(|acc| table.values.get(index(acc)).copied().unwrap_or(0)).collect()
}

/// Largest trace, in elements of all tensors.
pub const MAX_TRACE_CELLS: u64 = 1 << 28;
/// Multiply-accumulates of one layer from which threads pay for themselves.
const PARALLEL_MACS: usize = 1 << 22;
/// Rows one task takes.
const ROW_BLOCK: usize = 8;
