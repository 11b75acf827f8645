//! The definitions of [`crate::graph`], run as plainly as they can be: each element alone, from those that it reads.
//!
//! No claim to speed: this is what the executor is compared with, and what an auditor reads. A dispute on a ledger computes one element with
//! the same code ([`crate::trace`]).

use crate::{
    execute::{ExecuteError, check_inputs},
    graph::TensorId,
    model::Model,
    shapes::TensorShape,
    tensor::{Tensor, Trace},
    trace::{Elements, element},
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
        let mut row = Row { model, tensors: vec![row.to_vec()] };
        for (node, shape) in shapes.iter().skip(1).enumerate() {
            let tensor = row.run(node, shape);
            row.tensors.push(tensor);
        }
        for (made, tensor) in made.iter_mut().zip(row.tensors) {
            made.extend(tensor);
        }
    }
    let tensors =
        made.iter().zip(shapes).map(|(values, shape)| Tensor::from_values(shape.element, values)).collect();
    Ok(Trace { rows, tensors })
}

/// The tensors of one row so far.
struct Row<'a> {
    model: &'a Model,
    tensors: Vec<Vec<i64>>,
}

impl Row<'_> {
    fn run(&mut self, node: usize, shape: &TensorShape) -> Vec<i64> {
        let (graph, shapes) = (self.model.graph(), self.model.shapes());
        let one = |at| element(graph, shapes, node, at, self).and_then(|value| i64::try_from(value).ok());
        // A model reads nothing that it has not, and no sum of it leaves 31 bits.
        (0..shape.cells()).map(one).map(Option::unwrap_or_default).collect()
    }
}

impl Elements for Row<'_> {
    fn value(&mut self, TensorId(tensor): TensorId, at: usize) -> Option<i64> {
        self.tensors.get(tensor as usize)?.get(at).copied()
    }

    fn matrix(&mut self, layer: usize, at: usize) -> Option<i64> {
        self.model.weights().layers.get(layer)?.matrix.get(at).map(|weight| i64::from(*weight))
    }

    fn bias(&mut self, layer: usize, at: usize) -> Option<i64> {
        self.model.weights().layers.get(layer)?.bias.get(at).map(|bias| i64::from(*bias))
    }
}

/// Runs what `node` and all after it make once more, from the tensors before them as they are: what a worker would have that altered one of those.
///
/// # Errors
/// The trace is not one row of this model.
#[doc(hidden)]
pub fn resume(model: &Model, trace: &mut Trace, node: usize) -> Result<(), ExecuteError> {
    let shapes = model.shapes().tensors();
    let whole = trace.tensors.len() == shapes.len()
        && trace.tensors.iter().zip(shapes).all(|(tensor, shape)| tensor.len() == shape.cells());
    if trace.rows != 1 || !whole {
        return Err(ExecuteError::NoRows);
    }
    let before = trace.tensors.iter().take(node + 1);
    let tensors = before.map(|tensor| tensor.values().map(i64::from).collect()).collect();
    let mut row = Row { model, tensors };
    for (node, shape) in shapes.iter().skip(1).enumerate().skip(node) {
        let tensor = row.run(node, shape);
        if let Some(made) = trace.tensors.get_mut(node + 1) {
            *made = Tensor::from_values(shape.element, &tensor);
        }
        row.tensors.push(made_values(trace, node + 1));
    }
    Ok(())
}

fn made_values(trace: &Trace, tensor: usize) -> Vec<i64> {
    trace.tensors.get(tensor).map_or_else(Vec::new, |tensor| tensor.values().map(i64::from).collect())
}
