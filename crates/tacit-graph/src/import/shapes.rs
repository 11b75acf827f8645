//! Operators that move elements without computing on them.

use std::rc::Rc;

use super::{
    MAX_LAYER_CELLS,
    error::NodeReason,
    lower::Value,
    network::Row,
    onnx::{Constant, Data, INT64},
    operators::Node,
};

type Made = Result<Vec<Value>, NodeReason>;

pub(super) fn evaluate(node: &Node<'_>, operator: &str) -> Made {
    match (operator, node.value(0)?) {
        ("Reshape" | "Flatten" | "Squeeze" | "Unsqueeze", Value::Row(row)) => reshape(node, operator, row),
        // Of one number per row, a decision keeps its meaning in any shape.
        ("Reshape" | "Flatten" | "Squeeze" | "Unsqueeze", Value::Winner(_) | Value::Label(..)) => {
            Ok(vec![node.value(0)?.clone()])
        }
        // Columns of binary probabilities, split for display.
        ("Reshape" | "Slice" | "Split", Value::Pair(_)) => Ok(vec![Value::Ignored]),
        ("Slice", Value::Row(row)) if row.ends_in_softmax() => Ok(vec![Value::Ignored]),
        ("Shape", Value::Row(row)) => {
            // The batch is open: -1 is what a later Reshape needs in its place.
            let dims = core::iter::once(-1.0).chain(row.dims.iter().map(|dim| *dim as f64)).collect();
            made(Constant::vector(dims, INT64))
        }
        ("Reshape" | "Flatten" | "Squeeze" | "Unsqueeze", Value::Constant(constant)) => {
            reshape_constant(node, operator, constant)
        }
        ("Transpose", Value::Constant(constant)) => transpose(node, constant),
        ("Gather", Value::Constant(constant)) => {
            let values = constant.numbers()?;
            let index = node.constant(1)?;
            let pick = |at: &f64| {
                let at = if *at < 0.0 { at + values.len() as f64 } else { *at };
                values.get(at as usize).copied().ok_or(NodeReason::Shape)
            };
            let picked = index.numbers()?.iter().map(pick).collect::<Result<Vec<_>, _>>()?;
            let data_type = constant.data_type;
            made(Constant { dims: index.dims.clone(), data: Data::Numbers(picked), data_type })
        }
        ("Concat", Value::Constant(first)) => {
            let (mut values, mut input) = (Vec::new(), 0);
            while node.optional(input).is_some() {
                values.extend_from_slice(node.constant(input)?.numbers()?);
                input += 1;
                if values.len() > MAX_LAYER_CELLS {
                    return Err(NodeReason::TooLarge);
                }
            }
            made(Constant::vector(values, first.data_type))
        }
        (
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Shape" | "Gather" | "Concat" | "Transpose",
            _,
        ) => Err(NodeReason::Shape),
        _ => Err(NodeReason::Operator),
    }
}

fn made(constant: Constant) -> Made {
    Ok(vec![Value::Constant(Rc::new(constant))])
}

/// A new shape for one row, without its batch.
fn reshape(node: &Node<'_>, operator: &str, row: &Row) -> Made {
    let width = row.width();
    let dims = match operator {
        "Flatten" if node.int("axis", 1) == 1 => vec![width],
        "Flatten" => return Err(NodeReason::Attribute { name: "axis" }),
        "Squeeze" | "Unsqueeze" => {
            if row.dims.iter().filter(|dim| **dim != 1).count() > 1 {
                return Err(NodeReason::Shape);
            }
            vec![width]
        }
        _ => target(node.constant(1)?.numbers()?, row)?,
    };
    if dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)) != Some(width) {
        return Err(NodeReason::Shape);
    }
    let row = Row { steps: row.steps.clone(), dims };
    Ok(vec![Value::Row(row)])
}

/// Reads a Reshape target whose first entry is the batch.
fn target(shape: &[f64], row: &Row) -> Result<Vec<usize>, NodeReason> {
    let width = row.width();
    let (batch, rest) = match shape {
        [] => return Err(NodeReason::Shape),
        // One value per row, flattened over the batch.
        [only] if *only == -1.0 && width == 1 => return Ok(vec![1]),
        [batch, rest @ ..] => (*batch, rest),
    };
    let known: f64 = rest.iter().filter(|dim| **dim > 0.0).product();
    let open = rest.iter().filter(|dim| **dim == -1.0).count();
    // Exported with a batch of one, or with the batch open.
    if !(batch == -1.0 || batch == 0.0 || batch == 1.0) || open > 1 || (open == 1 && batch == -1.0) {
        return Err(NodeReason::Shape);
    }
    let dim = |(index, dim): (usize, &f64)| match *dim {
        0.0 => row.dims.get(index).copied().ok_or(NodeReason::Shape),
        -1.0 => Ok((width as f64 / known) as usize),
        dim if dim > 0.0 => Ok(dim as usize),
        _ => Err(NodeReason::Shape),
    };
    let dims = rest.iter().enumerate().map(dim).collect::<Result<Vec<_>, _>>()?;
    // One axis is a row whatever ones stand around it; skl2onnx even writes `[-1, 1]` for several outputs of a
    // regressor, which strings the rows of a batch together but keeps each row's order.
    if dims.iter().filter(|dim| **dim != 1).count() <= 1 { Ok(vec![width]) } else { Ok(dims) }
}

fn reshape_constant(node: &Node<'_>, operator: &str, constant: &Constant) -> Made {
    let cells = constant.dims.iter().product::<usize>();
    let dims = match operator {
        "Reshape" => {
            let shape = node.constant(1)?.numbers()?;
            let known: f64 = shape.iter().filter(|dim| **dim > 0.0).product();
            let dim = |dim: &f64| if *dim < 0.0 { (cells as f64 / known) as usize } else { *dim as usize };
            shape.iter().map(dim).collect()
        }
        "Squeeze" => constant.dims.iter().copied().filter(|dim| *dim != 1).collect(),
        "Unsqueeze" if constant.dims.len() <= 1 => vec![cells],
        _ => return Err(NodeReason::Shape),
    };
    if dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)) != Some(cells) {
        return Err(NodeReason::Shape);
    }
    made(Constant { dims, data: constant.data.clone(), data_type: constant.data_type })
}

fn transpose(node: &Node<'_>, constant: &Constant) -> Made {
    let perm = node.attribute("perm").map(|attribute| attribute.ints.as_slice()).unwrap_or(&[1, 0]);
    let ([rows, columns], [1, 0]) = (constant.dims.as_slice(), perm) else { return Err(NodeReason::Shape) };
    let (rows, columns, values) = (*rows, *columns, constant.numbers()?);
    let turned =
        (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c)).map(|at| values[at]).collect();
    made(Constant { dims: vec![columns, rows], data: Data::Numbers(turned), data_type: constant.data_type })
}
