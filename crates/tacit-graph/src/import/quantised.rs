//! Operators of networks that were quantised before: weights go back to the reals through their scale, activations
//! keep the grid they were rounded to as a scalar function, and our own grids follow from there.

use std::rc::Rc;

use super::{
    error::NodeReason,
    lower::Value,
    network::{Row, Scalar},
    onnx::{Constant, Data, FLOAT, INT8, INT16, UINT8, UINT16},
    operators::{Node, broadcast, matrix_product},
};

type Made = Result<Vec<Value>, NodeReason>;

/// `QuantizeLinear`: onto the integer grid of a scale and a zero point, which also sets the element type.
pub(super) fn quantise(node: &Node<'_>) -> Made {
    to_grid(node, node.row(0)?, 1)
}

/// Rounds `row` to the grid of inputs `at` (scale) and `at + 1` (zero point).
fn to_grid(node: &Node<'_>, row: &Row, at: usize) -> Made {
    let scale = positive(node.constant(at)?.number()?)?;
    let zero = node.optional_constant(at + 1)?;
    let (low, high) = match zero.map_or(UINT8, |zero| zero.data_type) {
        UINT8 => (0.0, 255.0),
        INT8 => (-128.0, 127.0),
        UINT16 => (0.0, 65535.0),
        INT16 => (-32768.0, 32767.0),
        data_type => return Err(NodeReason::TensorType { data_type }),
    };
    let zero = zero.map_or(Ok(0.0), Constant::number)?;
    // Rounding probabilities decides nothing.
    let row = if row.ends_in_softmax() {
        row.clone()
    } else {
        row.scalar(Scalar::Grid { scale, zero, low, high })?
    };
    Ok(vec![Value::Quantised { row, scale, zero }])
}

/// `DequantizeLinear`: back to the reals.
pub(super) fn dequantise(node: &Node<'_>) -> Made {
    match node.value(0)? {
        Value::Quantised { row, scale, zero } => {
            let same_zero = node.optional_constant(2)?.map_or(Ok(0.0), Constant::number)? == *zero;
            if node.constant(1)?.number()? == *scale && same_zero {
                return Ok(vec![Value::Row(row.clone())]);
            }
            Err(NodeReason::Attribute { name: "x_scale" })
        }
        Value::Constant(constant) => {
            let axis = node.int("axis", 1);
            let real = real_constant(constant, node.constant(1)?, node.optional_constant(2)?, axis)?;
            Ok(vec![Value::Constant(Rc::new(real))])
        }
        _ => Err(NodeReason::NeedsQuantised { input: 0 }),
    }
}

/// `QLinearMatMul`: both operands with scale and zero point, the product on a grid of its own.
pub(super) fn qlinear_matmul(node: &Node<'_>) -> Made {
    let row = quantised(node, 0)?;
    let weights = real_constant(node.constant(3)?, node.constant(4)?, node.optional_constant(5)?, -1)?;
    to_grid(node, &matrix_product(row, &weights, false, 1.0, None)?, 6)
}

/// `QLinearAdd` of ONNX Runtime: a quantised row and a quantised constant.
pub(super) fn qlinear_add(node: &Node<'_>) -> Made {
    let row = quantised(node, 0)?;
    let add = real_constant(node.constant(3)?, node.constant(4)?, node.optional_constant(5)?, -1)?;
    let add = broadcast(add.numbers()?, row.width())?;
    to_grid(node, &row.scale(vec![1.0; row.width()], add)?, 6)
}

/// `QLinearSigmoid` of ONNX Runtime.
pub(super) fn qlinear_sigmoid(node: &Node<'_>) -> Made {
    to_grid(node, &quantised(node, 0)?.scalar(Scalar::Sigmoid)?, 3)
}

/// `QGemm` of ONNX Runtime: bias in units of the product of both scales; without output scale the result is real.
pub(super) fn qgemm(node: &Node<'_>) -> Made {
    if node.int("transA", 0) != 0 {
        return Err(NodeReason::Attribute { name: "transA" });
    }
    let (row, transposed) = (quantised(node, 0)?, node.int("transB", 0) != 0);
    let axis = if transposed { 0 } else { 1 };
    let (alpha, scale) = (node.float("alpha", 1.0)?, node.constant(4)?);
    let weights = real_constant(node.constant(3)?, scale, node.optional_constant(5)?, axis)?;
    let mut made = matrix_product(row, &weights, transposed, alpha, None)?;
    if let Some(bias) = node.optional_constant(6)? {
        let (width, input_scale) = (made.width(), node.constant(1)?.number()?);
        let (bias, scale) = (broadcast(bias.numbers()?, width)?, broadcast(scale.numbers()?, width)?);
        let add = bias.iter().zip(&scale).map(|(bias, scale)| alpha * bias * input_scale * scale).collect();
        made = made.scale(vec![1.0; width], add)?;
    }
    if node.optional(7).is_some() { to_grid(node, &made, 7) } else { Ok(vec![Value::Row(made)]) }
}

/// `MatMulInteger`: the accumulators, which a later multiplication by both scales makes real.
pub(super) fn matmul_integer(node: &Node<'_>) -> Made {
    let Value::Quantised { row, scale, zero } = node.value(0)? else {
        return Err(NodeReason::NeedsQuantised { input: 0 });
    };
    if node.optional_constant(2)?.map_or(Ok(0.0), Constant::number)? != *zero {
        return Err(NodeReason::Attribute { name: "a_zero_point" });
    }
    let unit = Constant::scalar(1.0, FLOAT);
    let weights = real_constant(node.constant(1)?, &unit, node.optional_constant(3)?, -1)?;
    Ok(vec![Value::Row(matrix_product(row, &weights, false, 1.0 / scale, None)?)])
}

/// The real row behind a quantised operand whose scale and zero point are the next two inputs.
fn quantised<'a>(node: &Node<'a>, input: usize) -> Result<&'a Row, NodeReason> {
    let Value::Quantised { row, scale, zero } = node.value(input)? else {
        return Err(NodeReason::NeedsQuantised { input });
    };
    let declared = node.constant(input + 1)?.number()?;
    let declared_zero = node.optional_constant(input + 2)?.map_or(Ok(0.0), Constant::number)?;
    if declared == *scale && declared_zero == *zero {
        Ok(row)
    } else {
        Err(NodeReason::Attribute { name: "scale" })
    }
}

/// `scale * (q - zero)` with one scale and zero point, or one for each index of `axis`.
fn real_constant(
    q: &Constant,
    scale: &Constant,
    zero: Option<&Constant>,
    axis: i64,
) -> Result<Constant, NodeReason> {
    let (values, scale) = (q.numbers()?, scale.numbers()?);
    let zero = zero.map_or(Ok(&[0.0][..]), Constant::numbers)?;
    let rank = i64::try_from(q.dims.len()).unwrap_or(0);
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(usize::MAX);
    let count =
        if scale.len() == 1 && zero.len() == 1 { 1 } else { *q.dims.get(axis).ok_or(NodeReason::Shape)? };
    let (scale, zero) = (broadcast(scale, count)?, broadcast(zero, count)?);
    let stride: usize = q.dims.iter().skip(axis.saturating_add(1)).product();
    let channel = |at: usize| if count == 1 { 0 } else { at / stride.max(1) % count };
    let real = |(at, q): (usize, &f64)| scale[channel(at)] * (q - zero[channel(at)]);
    let data = Data::Numbers(values.iter().enumerate().map(real).collect());
    Ok(Constant { dims: q.dims.clone(), data, data_type: FLOAT })
}

fn positive(scale: f64) -> Result<f64, NodeReason> {
    if scale > 0.0 && scale.is_finite() { Ok(scale) } else { Err(NodeReason::NotFinite) }
}
