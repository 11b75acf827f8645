//! The exact executor: the same numbers as [`mod@crate::reference`], fast.

mod lines;
mod plan;
mod products;

use rayon::prelude::*;

use crate::{
    graph::{Operator, Right, Table, TensorId, Term, View},
    model::Model,
    shapes::ElementType,
    tensor::{Tensor, Trace},
};
use lines::{Bias, Factor, Part, Strided};
use plan::{Number, Plan};
pub(crate) use products::Roles;
use products::{Products, Side};

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
    execute_observed(model, inputs, rows, &mut |_| {})
}

/// [`execute`], telling before each node is run which one it is.
///
/// # Errors
/// As [`execute`].
pub fn execute_observed(
    model: &Model,
    inputs: &[i16],
    rows: usize,
    observe: &mut dyn FnMut(usize),
) -> Result<Trace, ExecuteError> {
    check_inputs(model, inputs, rows)?;
    let input = match model.shapes().tensors().first().map(|shape| shape.element) {
        Some(ElementType::I8) => {
            Tensor::I8(inputs.iter().map(|value| i8::narrow(i32::from(*value))).collect())
        }
        _ => Tensor::I16(inputs.to_vec()),
    };
    let mut run = Run { model, rows, tensors: vec![input] };
    for node in 0..model.graph().nodes.len() {
        observe(node);
        let made = run.node(node);
        run.tensors.push(made);
    }
    Ok(Trace { rows, tensors: run.tensors })
}

/// A run under way.
struct Run<'a> {
    model: &'a Model,
    rows: usize,
    tensors: Vec<Tensor>,
}

impl Run<'_> {
    fn node(&self, node: usize) -> Tensor {
        let weights = self.model.layer(node);
        match &self.model.graph().nodes[node] {
            Operator::Contract { axes, summed, left, right, bias } => {
                let layer = weights.map(|(layer, _)| layer);
                let bias = Bias::new(axes, bias.as_deref(), layer);
                let left_plan = self.plan(left);
                let right_plan = match right {
                    Right::View(view) => Some(self.plan(view)),
                    Right::Weights { .. } => None,
                };
                if let Some(roles) = self.model.roles(node) {
                    let right_tensor = match right {
                        Right::View(view) => Some(view.tensor),
                        Right::Weights { .. } => None,
                    };
                    let narrow = [Some(left.tensor), right_tensor].into_iter().flatten();
                    let right = match &right_plan {
                        Some(plan) => Side::View(plan),
                        None => Side::Weights(weights.map_or(&[], |(_, arranged)| arranged)),
                    };
                    let narrow = narrow.into_iter().all(|tensor| self.fits_i16(tensor));
                    let products = Products {
                        rows: self.rows,
                        axes,
                        summed,
                        roles,
                        left: &left_plan,
                        right,
                        bias,
                        narrow,
                    };
                    return Tensor::I32(products.run());
                }
                let right = match (&right_plan, right) {
                    (None, Right::Weights { axes: chosen }) => {
                        let at = Strided::new(&[axes.as_slice(), summed].concat(), chosen);
                        Factor::Matrix(layer.map_or(&[], |layer| layer.matrix.as_slice()), at)
                    }
                    (Some(plan), _) => Factor::Plan(plan),
                    (None, Right::View(_)) => return Tensor::I32(Vec::new()),
                };
                let part = Part { coefficient: 1, summed, left: &left_plan, right: Some(right) };
                Tensor::I32(lines::sum(self.rows, axes, &[part], 0, bias.as_ref()))
            }
            Operator::Combine { axes, terms, constant, bias } => {
                let bias = Bias::new(axes, bias.as_deref(), weights.map(|(layer, _)| layer));
                let plans: Vec<Plan<'_>> = terms.iter().map(|term| self.plan(&term.view)).collect();
                let mut parts = Vec::with_capacity(terms.len());
                for (Term { coefficient, summed, .. }, left) in terms.iter().zip(&plans) {
                    parts.push(Part { coefficient: *coefficient, summed, left, right: None });
                }
                let bias = bias.as_ref();
                match self.element(node) {
                    ElementType::I8 => Tensor::I8(lines::sum(self.rows, axes, &parts, *constant, bias)),
                    ElementType::I16 => Tensor::I16(lines::sum(self.rows, axes, &parts, *constant, bias)),
                    ElementType::I32 => Tensor::I32(lines::sum(self.rows, axes, &parts, *constant, bias)),
                }
            }
            Operator::Maximum { axes, left, right } => {
                let (left, right) = (self.plan(left), self.plan(right));
                match self.element(node) {
                    ElementType::I8 => Tensor::I8(lines::maximum(self.rows, axes, &left, &right)),
                    ElementType::I16 => Tensor::I16(lines::maximum(self.rows, axes, &left, &right)),
                    ElementType::I32 => Tensor::I32(lines::maximum(self.rows, axes, &left, &right)),
                }
            }
            Operator::Requantise { input, shift, table } => {
                let table = &self.model.graph().tables[usize::from(*table)];
                let input = &self.tensors[input.0 as usize];
                match self.element(node) {
                    ElementType::I8 => Tensor::I8(requantise(input, *shift, table)),
                    ElementType::I16 => Tensor::I16(requantise(input, *shift, table)),
                    ElementType::I32 => Tensor::I32(requantise(input, *shift, table)),
                }
            }
        }
    }

    fn plan(&self, view: &View) -> Plan<'_> {
        let tensor = view.tensor.0 as usize;
        Plan::new(view, &self.model.shapes().tensors()[tensor].axes, &self.tensors[tensor])
    }

    /// What the node makes.
    fn element(&self, node: usize) -> ElementType {
        self.model.shapes().tensors()[node + 1].element
    }

    fn fits_i16(&self, TensorId(tensor): TensorId) -> bool {
        let range = i64::from(i16::MIN)..=i64::from(i16::MAX);
        self.model
            .reach()
            .get(tensor as usize)
            .is_some_and(|(low, high)| range.contains(low) && range.contains(high))
    }
}

fn requantise<T: Number>(input: &Tensor, shift: u8, table: &Table) -> Vec<T> {
    let values: Vec<T> = table.values.iter().map(|value| T::narrow(i32::from(*value))).collect();
    let lookup = Lookup { shift, round: if shift == 0 { 0 } else { 1 << (shift - 1) }, values };
    match input {
        Tensor::I8(input) => lookup.all(input),
        Tensor::I16(input) => lookup.all(input),
        Tensor::I32(input) => lookup.all(input),
    }
}

struct Lookup<T> {
    shift: u8,
    round: i32,
    values: Vec<T>,
}

impl<T: Number> Lookup<T> {
    fn all<X: Number>(&self, input: &[X]) -> Vec<T> {
        if input.len() < PARALLEL_STEPS {
            input.iter().map(|x| self.one(x.widen())).collect()
        } else {
            input.par_iter().with_min_len(PARALLEL_STEPS / 16).map(|x| self.one(x.widen())).collect()
        }
    }

    /// A `Model` never leaves the table; the clamp is the definition.
    #[inline]
    fn one(&self, x: i32) -> T {
        let half = (self.values.len() / 2) as i32;
        let entry = ((x + self.round) >> self.shift).clamp(-half, half - 1) + half;
        self.values.get(entry as usize).copied().unwrap_or_default()
    }
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
/// Steps of one operator from which threads pay for themselves.
const PARALLEL_STEPS: usize = 1 << 18;
