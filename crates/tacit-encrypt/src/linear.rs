//! Models that are linear in their input, as one matrix.

use tacit_graph::{ExecuteError, Graph, Model, Operator, execute, graph::Right};

use crate::plan::{Misfit, Plan, check_shape};

/// A model as `outputs = matrix * input + constants`, in integers.
#[derive(Clone)]
pub struct LinearModel {
    /// `[outputs][inputs]`.
    pub(crate) matrix: Vec<Vec<i64>>,
    pub(crate) constants: Vec<i64>,
    pub(crate) plan: Plan,
}

impl LinearModel {
    /// Reads the matrix off a model by running it on zero and on each unit row.
    ///
    /// # Errors
    /// Says why the model does not fit: an operator that is not linear, too many inputs or outputs, or too little room for noise.
    pub fn new(model: &Model) -> Result<Self, Misfit> {
        let (inputs, outputs) = fits(model.graph())?;
        let output_range = model.reach().last().copied().unwrap_or((0, 0));
        let constants = run(model, &vec![0; inputs], 1)?;
        let mut matrix = vec![vec![0; inputs]; outputs];
        for first in (0..inputs).step_by(UNITS) {
            let rows = UNITS.min(inputs - first);
            let mut units = vec![0; rows * inputs];
            for row in 0..rows {
                units[row * inputs + first + row] = 1;
            }
            for (row, outputs) in run(model, &units, rows)?.chunks(constants.len()).enumerate() {
                for ((line, output), constant) in matrix.iter_mut().zip(outputs).zip(&constants) {
                    line[first + row] = output - constant;
                }
            }
        }
        let plan = Plan::new(&matrix, model.graph().input_bits, output_range)?;
        Ok(Self { matrix, constants, plan })
    }

    /// Sizes and noise; public.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl core::fmt::Debug for LinearModel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LinearModel").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Unit rows in one run.
const UNITS: usize = 64;

fn run(model: &Model, inputs: &[i16], rows: usize) -> Result<Vec<i64>, Misfit> {
    let trace = execute(model, inputs, rows).map_err(|error| match error {
        ExecuteError::TooManyRows { .. } => Misfit::TooLarge,
        _ => Misfit::Run,
    })?;
    Ok(trace.logits().into_iter().map(i64::from).collect())
}

/// Inputs and outputs of a graph that fits as far as the graph alone can say: it is linear, and neither too wide nor too tall.
pub(crate) fn fits(graph: &Graph) -> Result<(usize, usize), Misfit> {
    let shapes = graph.validate()?;
    for (node, operator) in graph.nodes.iter().enumerate() {
        let operator = match operator {
            Operator::Contract { right: Right::Weights { .. }, .. } | Operator::Combine { .. } => continue,
            Operator::Contract { .. } => "a product of two values",
            Operator::Maximum { .. } => "a maximum",
            Operator::Requantise { .. } => "a look-up in a table",
        };
        return Err(Misfit::NotLinear { node, operator });
    }
    check_shape(shapes.inputs(), shapes.outputs())?;
    Ok((shapes.inputs(), shapes.outputs()))
}
