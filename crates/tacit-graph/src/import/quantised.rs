//! Operators of networks that were quantised before: weights go back to the reals through their scale, activations
//! keep the grid they were rounded to as a function, and our own grids follow from both.

use std::sync::Arc;

use super::{
    build::Builder,
    error::NodeReason,
    expr::{Binary, Expr, Unary},
    linear,
    lower::Value,
    moves::spread,
    node::{Made, Node, real},
    onnx::{Constant, FLOAT, INT8, INT16, UINT8, UINT16},
    operators::mapped,
    tensor::Real,
    windows,
};

/// Operators of ONNX Runtime that its quantiser writes.
pub(super) fn contributed(node: &Node<'_>, builder: &mut Builder) -> Made {
    match node.operator() {
        "QGemm" => qgemm(node, builder),
        "QLinearAdd" => qlinear_binary(node, Binary::Add, builder),
        "QLinearMul" => qlinear_binary(node, Binary::Mul, builder),
        "QLinearSigmoid" => {
            let sigmoid = Expr::X.then(Unary::Sigmoid);
            qlinear_function(node, &sigmoid, builder)
        }
        "QLinearLeakyRelu" => {
            let leaky = Expr::X.then(Unary::LeakyRelu { slope: node.float("alpha", 0.01)? });
            qlinear_function(node, &leaky, builder)
        }
        "QLinearGlobalAveragePool" => {
            let (given, _) = quantised(node, 0)?;
            let over: Vec<usize> = match node.int("channels_last", 0) {
                0 => (2..given.rank()).collect(),
                _ => (1..given.rank().saturating_sub(1)).collect(),
            };
            let count: usize = over.iter().map(|axis| given.dim(*axis)).product();
            let mean = builder.sum(&given, &over, 1.0 / count.max(1) as f64)?;
            to_grid(node, &mean, 3, builder)
        }
        "QLinearConcat" => qlinear_concat(node, builder),
        "QuantizeLinear" => quantise(node, builder),
        "DequantizeLinear" => dequantise(node, builder),
        "FusedConv" => fused_conv(node, builder),
        "Gelu" | "FastGelu" | "QuickGelu" => Err(NodeReason::Operator),
        _ => Err(NodeReason::Operator),
    }
}

/// `QuantizeLinear`: onto the integer grid of a scale and a zero point, which also sets the element type.
pub(super) fn quantise(node: &Node<'_>, builder: &mut Builder) -> Made {
    if let Value::Constant(given) = node.value(0)? {
        // Rounded constants: their integers, as `DequantizeLinear` wants them back.
        let (scale, zero, low, high) = grid_of(node, 1)?;
        let round = |x: &f64| ((x / scale).round_ties_even() + zero).max(low).min(high);
        let values = given.numbers()?.iter().map(round).collect();
        let data_type = node.optional_constant(2)?.map_or(UINT8, |zero| zero.data_type);
        return super::node::constant(Constant::array(given.dims.clone(), values, data_type));
    }
    // Rounding probabilities decides nothing.
    if let Value::Softmax(softmax) = node.value(0)?
        && softmax.is_whole()
    {
        return Ok(vec![node.value(0)?.clone()]);
    }
    let given = node.real(0, builder)?;
    to_grid(node, &given, 1, builder)
}

/// Scale, zero point and range of inputs `at` and `at + 1`.
fn grid_of(node: &Node<'_>, at: usize) -> Result<(f64, f64, f64, f64), NodeReason> {
    let scale = positive(node.constant(at)?.number()?)?;
    let zero = node.optional_constant(at + 1)?;
    let (low, high) = match zero.map_or(UINT8, |zero| zero.data_type) {
        UINT8 => (0.0, 255.0),
        INT8 => (-128.0, 127.0),
        UINT16 => (0.0, 65535.0),
        INT16 => (-32768.0, 32767.0),
        data_type => return Err(NodeReason::TensorType { data_type }),
    };
    Ok((scale, zero.map_or(Ok(0.0), Constant::number)?, low, high))
}

/// Rounds a value to the grid of inputs `at` (scale) and `at + 1` (zero point).
fn to_grid(node: &Node<'_>, given: &Real, at: usize, builder: &mut Builder) -> Made {
    let (scale, zero, low, high) = grid_of(node, at)?;
    let real = mapped(given, &Expr::X.then(Unary::Grid { scale, zero, low, high }), builder)?;
    Ok(vec![Value::Quantised { real, scale, zero }])
}

/// `DequantizeLinear`: back to the reals.
pub(super) fn dequantise(node: &Node<'_>, builder: &mut Builder) -> Made {
    match node.value(0)? {
        Value::Quantised { real: given, scale, zero } => {
            let same_zero = node.optional_constant(2)?.map_or(Ok(0.0), Constant::number)? == *zero;
            if node.constant(1)?.number()? == *scale && same_zero {
                return real(Ok(given.clone()));
            }
            Err(NodeReason::Attribute { name: "x_scale" })
        }
        Value::Softmax(_) => Ok(vec![node.value(0)?.clone()]),
        Value::Real(given) => {
            // An integer input of the network, with one scale or one for each channel.
            let scale = node.constant(1)?;
            let count = scale.len();
            let zero = node.optional_constant(2)?.map_or(Ok(&[0.0][..]), Constant::numbers)?;
            let (scales, zeros) = (scale.numbers()?, broadcast(zero, count)?);
            let mut dims = vec![1; given.rank()];
            if count > 1 {
                let axis = node.axis("axis", 1, given.rank())?;
                if let Some(slot) = dims.get_mut(axis) {
                    *slot = count;
                }
            }
            let add = scales.iter().zip(&zeros).map(|(scale, zero)| -scale * zero).collect();
            let multiply = Constant::array(dims.clone(), scales.to_vec(), FLOAT);
            let add = Constant::array(dims, add, FLOAT);
            real(builder.affine(given, Some(&multiply), Some(&add), false))
        }
        Value::Constant(constant) => {
            let axis = node.int("axis", 1);
            let real = real_constant(constant, node.constant(1)?, node.optional_constant(2)?, axis)?;
            Ok(vec![Value::Constant(Arc::new(real))])
        }
        _ => Err(NodeReason::NeedsQuantised { input: 0 }),
    }
}

/// `QLinearMatMul`: both operands with scale and zero point, the product on a grid of its own.
pub(super) fn qlinear_matmul(node: &Node<'_>, builder: &mut Builder) -> Made {
    let a = operand(node, 0, -1)?;
    let b = operand(node, 3, -1)?;
    let inputs = [Some(&a), Some(&b)];
    let product = linear::matmul(&node.with(&inputs), builder)?;
    to_grid(node, first(&product)?, 6, builder)
}

/// `QLinearConv`: weights by output channel, bias in units of the product of both scales.
pub(super) fn qlinear_conv(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, scale) = quantised(node, 0)?;
    let weights = real_constant(node.constant(3)?, node.constant(4)?, node.optional_constant(5)?, 0)?;
    let bias = match node.optional_constant(8)? {
        Some(bias) => {
            let scales = broadcast(node.constant(4)?.numbers()?, bias.len())?;
            let values = bias.numbers()?.iter().zip(&scales).map(|(bias, s)| bias * scale * s).collect();
            Some(Constant::vector(values, FLOAT))
        }
        None => None,
    };
    let made = windows::convolve(node, &given, &weights, bias.as_ref(), builder)?;
    to_grid(node, &made, 6, builder)
}

/// `Conv` with its activation, as ONNX Runtime's optimiser writes it.
fn fused_conv(node: &Node<'_>, builder: &mut Builder) -> Made {
    if node.optional(3).is_some() {
        return Err(NodeReason::Operator);
    }
    let given = node.real(0, builder)?;
    let made = windows::convolve(node, &given, node.constant(1)?, node.optional_constant(2)?, builder)?;
    let parameters = node.floats("activation_params");
    let function = match (node.text("activation", "")?, parameters.as_slice()) {
        ("Relu", _) => Unary::Relu,
        ("Sigmoid", _) => Unary::Sigmoid,
        ("Tanh", _) => Unary::Tanh,
        ("LeakyRelu", [slope, ..]) => Unary::LeakyRelu { slope: *slope },
        ("Clip", [low, high, ..]) => Unary::Clip { low: *low, high: *high },
        _ => return Err(NodeReason::Attribute { name: "activation" }),
    };
    real(mapped(&made, &Expr::X.then(function), builder))
}

/// `QLinearAdd` and `QLinearMul` of ONNX Runtime.
fn qlinear_binary(node: &Node<'_>, function: Binary, builder: &mut Builder) -> Made {
    let (a, b) = (operand(node, 0, -1)?, operand(node, 3, -1)?);
    let made = super::operators::two(function, &a, &b, false, builder)?;
    to_grid(node, first(&[made])?, 6, builder)
}

fn qlinear_function(node: &Node<'_>, function: &Expr, builder: &mut Builder) -> Made {
    let (given, _) = quantised(node, 0)?;
    let made = mapped(&given, function, builder)?;
    to_grid(node, &made, 3, builder)
}

fn qlinear_concat(node: &Node<'_>, builder: &mut Builder) -> Made {
    let mut parts = Vec::new();
    let mut input = 2;
    while node.optional(input).is_some() {
        parts.push(quantised(node, input)?.0);
        input += 3;
    }
    let rank = parts.first().map_or(0, Real::rank);
    let made = super::moves::join(&parts, node.axis("axis", 1, rank)?, builder)?;
    to_grid(node, &made, 0, builder)
}

/// `QGemm` of ONNX Runtime: bias in units of the product of both scales; without output scale the result is real.
fn qgemm(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, input_scale) = quantised(node, 0)?;
    let transposed = node.int("transB", 0) != 0;
    let (alpha, scale) = (node.float("alpha", 1.0)?, node.constant(4)?);
    let axis = if transposed { 0 } else { 1 };
    let weights = real_constant(node.constant(3)?, scale, node.optional_constant(5)?, axis)?;
    let bias = match node.optional_constant(6)? {
        Some(bias) => {
            let scales = broadcast(scale.numbers()?, bias.len())?;
            // Gemm multiplies what it adds by beta, which is one here, and the product by alpha.
            let values =
                bias.numbers()?.iter().zip(&scales).map(|(b, s)| alpha * b * input_scale * s).collect();
            Some(Value::Constant(Arc::new(Constant::array(bias.dims.clone(), values, FLOAT))))
        }
        None => None,
    };
    let (given, weights) = (Value::Real(given), Value::Constant(Arc::new(weights)));
    let inputs = [Some(&given), Some(&weights), bias.as_ref()];
    let made = linear::gemm(&node.with(&inputs), builder)?;
    if node.optional(7).is_some() { to_grid(node, first(&made)?, 7, builder) } else { Ok(made) }
}

/// `MatMulInteger`: the accumulators, which a later multiplication by both scales makes real.
pub(super) fn matmul_integer(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, weights) = integer_operands(node, -1)?;
    let inputs = [Some(&given), Some(&weights)];
    linear::matmul(&node.with(&inputs), builder)
}

/// `ConvInteger`, likewise.
pub(super) fn conv_integer(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, weights) = integer_operands(node, 0)?;
    let inputs = [Some(&given), Some(&weights)];
    windows::conv(&node.with(&inputs), builder)
}

/// The quantised value and the constant integers, both less their zero points.
fn integer_operands(node: &Node<'_>, axis: i64) -> Result<(Value, Value), NodeReason> {
    let declared_zero = node.optional_constant(2)?.map_or(Ok(0.0), Constant::number)?;
    let given = match node.value(0)? {
        Value::Quantised { real, scale, zero } if declared_zero == *zero => {
            real.map(&Expr::times(1.0 / scale))
        }
        Value::Quantised { .. } => return Err(NodeReason::Attribute { name: "a_zero_point" }),
        Value::Real(real) => real.map(&line(1.0, declared_zero)),
        _ => return Err(NodeReason::NeedsQuantised { input: 0 }),
    };
    let unit = Constant::scalar(1.0, FLOAT);
    let weights = real_constant(node.constant(1)?, &unit, node.optional_constant(3)?, axis)?;
    Ok((Value::Real(given), Value::Constant(Arc::new(weights))))
}

/// The real value behind a quantised operand whose scale and zero point are the next two inputs. A value that no
/// operator quantised is a network's integer input.
fn quantised(node: &Node<'_>, input: usize) -> Result<(Real, f64), NodeReason> {
    let declared = positive(node.constant(input + 1)?.number()?)?;
    let declared_zero = node.optional_constant(input + 2)?.map_or(Ok(0.0), Constant::number)?;
    match node.value(input)? {
        Value::Quantised { real, scale, zero } if declared == *scale && declared_zero == *zero => {
            Ok((real.clone(), *scale))
        }
        Value::Quantised { .. } => Err(NodeReason::Attribute { name: "scale" }),
        Value::Real(real) => Ok((real.map(&line(declared, declared_zero)), declared)),
        _ => Err(NodeReason::NeedsQuantised { input }),
    }
}

/// `scale * (x - zero)`.
fn line(scale: f64, zero: f64) -> Expr {
    Expr::X.with(Binary::Sub, Expr::Number(zero)).with(Binary::Mul, Expr::Number(scale))
}

/// A quantised operand with its scale and zero point, back in the reals.
fn operand(node: &Node<'_>, input: usize, axis: i64) -> Result<Value, NodeReason> {
    match node.value(input)? {
        Value::Constant(constant) => {
            let (scale, zero) = (node.constant(input + 1)?, node.optional_constant(input + 2)?);
            Ok(Value::Constant(Arc::new(real_constant(constant, scale, zero, axis)?)))
        }
        _ => Ok(Value::Real(quantised(node, input)?.0)),
    }
}

fn first(made: &[Value]) -> Result<&Real, NodeReason> {
    match made.first() {
        Some(Value::Real(real)) => Ok(real),
        _ => Err(NodeReason::NeedsRow { input: 0 }),
    }
}

/// `scale * (q - zero)` with one scale and zero point, or one for each index of `axis`.
fn real_constant(
    q: &Constant,
    scale: &Constant,
    zero: Option<&Constant>,
    axis: i64,
) -> Result<Constant, NodeReason> {
    let scales = scale.numbers()?;
    let zeros = zero.map_or(Ok(&[0.0][..]), Constant::numbers)?;
    let single = scales.len() == 1 && zeros.len() == 1;
    let mut dims = vec![1; q.dims.len()];
    if !single {
        let axis = super::node::axis(axis, q.dims.len()).ok_or(NodeReason::Shape)?;
        let count = *q.dims.get(axis).ok_or(NodeReason::Shape)?;
        if let Some(slot) = dims.get_mut(axis) {
            *slot = count;
        }
    }
    let count: usize = dims.iter().product();
    let over = |values: &[f64]| {
        let values = Constant::array(dims.clone(), broadcast(values, count)?, FLOAT);
        spread(&values, &q.dims)
    };
    let (each_scale, each_zero) = (over(scales)?, over(zeros)?);
    let values = q
        .numbers()?
        .iter()
        .zip(each_scale.iter().zip(&each_zero))
        .map(|(q, (s, zero))| s * (q - zero))
        .collect();
    let mut made = Constant::array(q.dims.clone(), values, FLOAT);
    made.grid = match scales {
        [scale] => Some(*scale),
        _ => None,
    };
    Ok(made)
}

/// A value for each of `count` places, from one value or from one for each.
fn broadcast(values: &[f64], count: usize) -> Result<Vec<f64>, NodeReason> {
    match values {
        [value] => Ok(vec![*value; count]),
        values if values.len() == count => Ok(values.to_vec()),
        _ => Err(NodeReason::Shape),
    }
}

fn positive(scale: f64) -> Result<f64, NodeReason> {
    if scale > 0.0 && scale.is_finite() { Ok(scale) } else { Err(NodeReason::NotFinite) }
}
