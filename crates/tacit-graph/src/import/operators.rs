//! What each ONNX operator does: the table of all of them, and those that act on each element.

use std::sync::Arc;

use super::{
    build::{Builder, broadcast_dims, lengthened},
    classical,
    error::NodeReason,
    expr::{Binary, Expr, MAX_EXPRESSION, Unary},
    linear,
    lower::Value,
    moves,
    node::{Made, Node, constant, real},
    onnx::{BOOL, Constant, DOUBLE, Data, FLOAT, INT8, INT16, INT32, INT64, UINT8, UINT16},
    program, quantised, recurrent, reduce,
    tensor::Real,
    windows,
};

/// Evaluates a node none of whose inputs is spoiled or ignored.
pub(super) fn evaluate(node: &Node<'_>, builder: &mut Builder) -> Made {
    match node.proto.domain.as_str() {
        "" | "ai.onnx" => standard(node, builder),
        "ai.onnx.ml" => classical::evaluate(node, builder),
        "com.microsoft" => quantised::contributed(node, builder),
        _ => Err(NodeReason::Operator),
    }
}

/// ONNX operators that are imported, in alphabetical order, with what is asked of them.
#[must_use]
pub fn supported_operators() -> &'static [(&'static str, &'static str)] {
    OPERATORS
}

type Evaluate = fn(&Node<'_>, &mut Builder) -> Made;

/// How each operator is evaluated.
fn handler(operator: &str) -> Option<Evaluate> {
    let handler: Evaluate = match operator {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "Greater" | "Less" | "GreaterOrEqual"
        | "LessOrEqual" | "Equal" | "And" | "Or" | "Xor" | "Mod" | "Sum" | "Mean" => elementwise,
        "Where" => select,
        "PRelu" => prelu,
        "Clip" => clip,
        "Cast" | "CastLike" => cast,
        "Identity" | "Dropout" => |node, _| Ok(vec![node.value(0)?.clone()]),
        "Constant" => constant_node,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Slice" | "Split" | "Expand"
        | "Tile" | "Pad" | "DepthToSpace" | "SpaceToDepth" | "Resize" | "Upsample" | "Shape" | "Size"
        | "Concat" | "Gather" | "ConstantOfShape" | "Range" => moves::evaluate,
        "Conv" => windows::conv,
        "ConvTranspose" => windows::conv_transpose,
        "MaxPool" => windows::max_pool,
        "AveragePool" => windows::average_pool,
        "GlobalAveragePool" | "GlobalMaxPool" => reduce::global_pool,
        "Gemm" => linear::gemm,
        "MatMul" => linear::matmul,
        "Einsum" => linear::einsum,
        "BatchNormalization" => linear::batch_normalisation,
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2" | "ReduceProd"
        | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => reduce::reduce,
        "CumSum" => reduce::cumulative,
        "Softmax" | "LogSoftmax" => reduce::softmax,
        "ArgMax" => reduce::argmax,
        "LayerNormalization" => reduce::layer_normalisation,
        "InstanceNormalization" => reduce::instance_normalisation,
        "GroupNormalization" => reduce::group_normalisation,
        "LpNormalization" => reduce::lp_normalisation,
        "LSTM" => recurrent::lstm,
        "GRU" => recurrent::gru,
        "RNN" => recurrent::rnn,
        "QuantizeLinear" => quantised::quantise,
        "DequantizeLinear" => quantised::dequantise,
        "QLinearConv" => quantised::qlinear_conv,
        "QLinearMatMul" => quantised::qlinear_matmul,
        "MatMulInteger" => quantised::matmul_integer,
        "ConvInteger" => quantised::conv_integer,
        "DynamicQuantizeLinear" => |_, _| Err(NodeReason::Dynamic),
        _ => return None,
    };
    Some(handler)
}

fn standard(node: &Node<'_>, builder: &mut Builder) -> Made {
    let operator = node.operator();
    if let Some(function) = function(node, operator)? {
        return apply(node, &function, builder);
    }
    let handler = handler(operator).ok_or(NodeReason::Operator)?;
    // Moving quantised elements about leaves their grid as it is.
    if let (Value::Quantised { real, scale, zero }, true) =
        (node.value(0).unwrap_or(&Value::Ignored), moves_only(operator))
    {
        let plain = Value::Real(real.clone());
        let inputs: Vec<Option<&Value>> = node
            .inputs
            .iter()
            .enumerate()
            .map(|(index, input)| if index == 0 { Some(&plain) } else { *input })
            .collect();
        let made = handler(&node.with(&inputs), builder)?;
        let on_grid = |value| match value {
            Value::Real(real) => Value::Quantised { real, scale: *scale, zero: *zero },
            value => value,
        };
        return Ok(made.into_iter().map(on_grid).collect());
    }
    handler(node, builder)
}

fn moves_only(operator: &str) -> bool {
    matches!(
        operator,
        "Reshape"
            | "Flatten"
            | "Squeeze"
            | "Unsqueeze"
            | "Transpose"
            | "Slice"
            | "Split"
            | "MaxPool"
            | "Gather"
    )
}

/// The value as numbers computed from the input.
pub(super) fn real_of(value: &Value, builder: &mut Builder) -> Result<Real, NodeReason> {
    match value {
        Value::Real(real) => Ok(real.clone()),
        // What leaves the network quantised are the integers.
        Value::Quantised { real, scale, zero } => {
            let line = Expr::times(1.0 / scale).with(Binary::Add, Expr::Number(*zero));
            mapped(real, &line, builder)
        }
        Value::Softmax(softmax) => reduce::softmax_values(softmax, builder),
        Value::Pair(real) => reduce::pair_values(real, builder),
        Value::Winner(decision) => reduce::winner(decision, builder),
        _ => Err(NodeReason::NeedsRow { input: 0 }),
    }
}

/// Numbers that a node holds.
pub(super) fn weights_of(node: &program::Node) -> usize {
    let bias = |bias: &Option<program::Values>| bias.as_ref().map_or(0, |bias| bias.data.len());
    match node {
        program::Node::Contract { right: program::Factor::Weights { values, .. }, bias: added, .. } => {
            values.data.len() + bias(added)
        }
        program::Node::Contract { bias: added, .. } | program::Node::Combine { bias: added, .. } => {
            bias(added)
        }
        _ => 0,
    }
}

/// Operators that are a function of each element.
fn function(node: &Node<'_>, operator: &str) -> Result<Option<Expr>, NodeReason> {
    let times = |function: Expr| Expr::X.with(Binary::Mul, function);
    let unary = match operator {
        "Abs" => Unary::Abs,
        "Acos" => Unary::Acos,
        "Acosh" => Unary::Acosh,
        "Asin" => Unary::Asin,
        "Asinh" => Unary::Asinh,
        "Atan" => Unary::Atan,
        "Atanh" => Unary::Atanh,
        "Ceil" => Unary::Ceil,
        "Celu" => Unary::Celu { alpha: node.float("alpha", 1.0)? },
        "Cos" => Unary::Cos,
        "Cosh" => Unary::Cosh,
        "Elu" => Unary::Elu { alpha: node.float("alpha", 1.0)? },
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "HardSigmoid" => {
            Unary::HardSigmoid { alpha: node.float("alpha", 0.2)?, beta: node.float("beta", 0.5)? }
        }
        "LeakyRelu" => Unary::LeakyRelu { slope: node.float("alpha", 0.01)? },
        "Log" => Unary::Log,
        "Not" => Unary::Not,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Selu" => Unary::Selu {
            alpha: node.float("alpha", f64::from(SELU_ALPHA))?,
            gamma: node.float("gamma", f64::from(SELU_GAMMA))?,
        },
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Sinh" => Unary::Sinh,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Sqrt" => Unary::Sqrt,
        "Tan" => Unary::Tan,
        "Tanh" => Unary::Tanh,
        "Neg" => return Ok(Some(Expr::times(-1.0))),
        "Reciprocal" => return Ok(Some(reciprocal())),
        "HardSwish" => {
            let gate = Expr::X.then(Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 });
            return Ok(Some(times(gate)));
        }
        "Gelu" => {
            return Ok(Some(match node.text("approximate", "none")? {
                "none" => gelu(),
                "tanh" => gelu_tanh(),
                _ => return Err(NodeReason::Attribute { name: "approximate" }),
            }));
        }
        "Mish" => return Ok(Some(times(Expr::X.then(Unary::Softplus).then(Unary::Tanh)))),
        "Swish" => {
            let slope = node.float("alpha", 1.0)?;
            return Ok(Some(times(Expr::times(slope).then(Unary::Sigmoid))));
        }
        "ThresholdedRelu" => {
            let alpha = node.float("alpha", 1.0)?;
            let above = Expr::X.with(Binary::Greater, Expr::Number(alpha));
            return Ok(Some(Expr::Select(Arc::new(above), Arc::new(Expr::X), Arc::new(Expr::Number(0.0)))));
        }
        "Shrink" => {
            let (bias, lambda) = (node.float("bias", 0.0)?, node.float("lambd", 0.5)?);
            let below = Expr::times(-1.0).with(Binary::Greater, Expr::Number(lambda));
            let above = Expr::X.with(Binary::Greater, Expr::Number(lambda));
            let low = Expr::X.with(Binary::Add, Expr::Number(bias));
            let high = Expr::X.with(Binary::Sub, Expr::Number(bias));
            let rest = Expr::Select(Arc::new(above), Arc::new(high), Arc::new(Expr::Number(0.0)));
            return Ok(Some(Expr::Select(Arc::new(below), Arc::new(low), Arc::new(rest))));
        }
        _ => return Ok(None),
    };
    Ok(Some(Expr::X.then(unary)))
}

pub(super) fn reciprocal() -> Expr {
    Expr::Binary(Binary::Div, Arc::new(Expr::Number(1.0)), Arc::new(Expr::X))
}

fn gelu() -> Expr {
    let erf = Expr::times(core::f64::consts::FRAC_1_SQRT_2).then(Unary::Erf);
    let gate = erf.with(Binary::Add, Expr::Number(1.0)).with(Binary::Mul, Expr::Number(0.5));
    Expr::X.with(Binary::Mul, gate)
}

fn gelu_tanh() -> Expr {
    let cube = Expr::X.with(Binary::Pow, Expr::Number(3.0)).with(Binary::Mul, Expr::Number(0.044_715));
    let inner =
        cube.with(Binary::Add, Expr::X).with(Binary::Mul, Expr::Number((2.0 / core::f64::consts::PI).sqrt()));
    let gate =
        inner.then(Unary::Tanh).with(Binary::Add, Expr::Number(1.0)).with(Binary::Mul, Expr::Number(0.5));
    Expr::X.with(Binary::Mul, gate)
}

/// A function of each element of the first input.
fn apply(node: &Node<'_>, function: &Expr, builder: &mut Builder) -> Made {
    match node.value(0)? {
        Value::Constant(given) => {
            let values = given.numbers()?.iter().map(|x| function.apply(*x)).collect();
            finite(Constant::array(given.dims.clone(), values, given.data_type))
        }
        // Clamping at the zero of a grid keeps the grid.
        Value::Quantised { real, scale, zero } => {
            let (scale, zero) = (*scale, *zero);
            Ok(vec![Value::Quantised { real: mapped(real, function, builder)?, scale, zero }])
        }
        _ => {
            let given = node.real(0, builder)?;
            // A scaling may go into the weights before.
            if let Some((a, b)) = function.linear().filter(|_| given.function.is_identity()) {
                let (a, b) = (Constant::scalar(a, FLOAT), Constant::scalar(b, FLOAT));
                return real(builder.affine(&given, Some(&a), Some(&b), node.alone(0)));
            }
            real(mapped(&given, function, builder))
        }
    }
}

/// The value through a function, which waits unless it has grown large.
pub(super) fn mapped(given: &Real, function: &Expr, builder: &mut Builder) -> Result<Real, NodeReason> {
    let given = if given.function.size().saturating_add(function.size()) > MAX_EXPRESSION {
        builder.force(given)?
    } else {
        given.clone()
    };
    Ok(given.map(function))
}

fn finite(made: Constant) -> Made {
    if made.numbers()?.iter().all(|value| value.is_finite()) {
        constant(made)
    } else {
        Err(NodeReason::NotFinite)
    }
}

fn binary_of(operator: &str) -> (Binary, bool) {
    match operator {
        "Sub" => (Binary::Sub, false),
        "Mul" => (Binary::Mul, false),
        "Div" => (Binary::Div, false),
        "Pow" => (Binary::Pow, false),
        "Max" => (Binary::Max, false),
        "Min" => (Binary::Min, false),
        "Greater" => (Binary::Greater, false),
        "Less" => (Binary::Greater, true),
        "GreaterOrEqual" => (Binary::GreaterOrEqual, false),
        "LessOrEqual" => (Binary::GreaterOrEqual, true),
        "Equal" => (Binary::Equal, false),
        "And" => (Binary::And, false),
        "Or" => (Binary::Or, false),
        "Xor" => (Binary::Xor, false),
        "Mod" => (Binary::Modulo, false),
        _ => (Binary::Add, false),
    }
}

/// Operators of two or more values, element by element.
fn elementwise(node: &Node<'_>, builder: &mut Builder) -> Made {
    let operator = node.operator();
    let (function, turned) = binary_of(operator);
    let count = node.inputs.len();
    if matches!(operator, "Sum" | "Mean" | "Max" | "Min") && count != 2 {
        let mut total = node.value(0)?.clone();
        for input in 1..count {
            total = two(function, &total, node.value(input)?, true, builder)?;
        }
        if operator == "Mean" && count > 0 {
            let share = Value::Constant(Arc::new(Constant::scalar(1.0 / count as f64, FLOAT)));
            total = two(Binary::Mul, &total, &share, false, builder)?;
        }
        return Ok(vec![total]);
    }
    let (a, b) = if turned { (node.value(1)?, node.value(0)?) } else { (node.value(0)?, node.value(1)?) };
    if operator == "Greater"
        && let Some(made) = classical::sign_decision(node, builder)?
    {
        return Ok(vec![made]);
    }
    let alone = node.alone(0) && node.alone(1)
        || matches!(node.value(0)?, Value::Constant(_)) && node.alone(1)
        || matches!(node.value(1)?, Value::Constant(_)) && node.alone(0);
    let made = two(function, a, b, alone, builder)?;
    if operator == "Mean" {
        let half = Value::Constant(Arc::new(Constant::scalar(0.5, FLOAT)));
        return Ok(vec![two(Binary::Mul, &made, &half, false, builder)?]);
    }
    Ok(vec![made])
}

/// One operator of two values.
pub(super) fn two(
    function: Binary,
    a: &Value,
    b: &Value,
    alone: bool,
    builder: &mut Builder,
) -> Result<Value, NodeReason> {
    let made = match (a, b) {
        (Value::Constant(a), Value::Constant(b)) => return fold(function, a, b),
        (Value::Constant(a), b) => constant_first(function, a, &numbers_of(b, builder)?, alone, builder)?,
        (a, Value::Constant(b)) => constant_second(function, &numbers_of(a, builder)?, b, alone, builder)?,
        (a, b) => {
            let (a, b) = (numbers_of(a, builder)?, numbers_of(b, builder)?);
            both(function, &a, &b, builder)?
        }
    };
    Ok(Value::Real(made))
}

fn numbers_of(value: &Value, builder: &mut Builder) -> Result<Real, NodeReason> {
    match value {
        Value::Quantised { .. } | Value::Label(..) => Err(NodeReason::NeedsRow { input: 0 }),
        value => real_of(value, builder),
    }
}

fn fold(function: Binary, a: &Constant, b: &Constant) -> Result<Value, NodeReason> {
    let dims = broadcast_dims(&[a.dims.clone(), b.dims.clone()])?;
    let whole = a.is_whole() && b.is_whole() && function == Binary::Div;
    let (x, y) = (moves::spread(a, &dims)?, moves::spread(b, &dims)?);
    let apply = |(x, y): (&f64, &f64)| {
        let z = function.apply(*x, *y);
        if whole { z.trunc() } else { z }
    };
    let values: Vec<f64> = x.iter().zip(&y).map(apply).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(NodeReason::NotFinite);
    }
    Ok(Value::Constant(Arc::new(Constant::array(dims, values, a.data_type))))
}

fn negated(constant: &Constant) -> Result<Constant, NodeReason> {
    let values = constant.numbers()?.iter().map(|value| -value).collect();
    Ok(Constant::array(constant.dims.clone(), values, constant.data_type))
}

fn constant_second(
    function: Binary,
    a: &Real,
    b: &Constant,
    alone: bool,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    match function {
        Binary::Add => return builder.affine(a, None, Some(b), alone),
        Binary::Sub => return builder.affine(a, None, Some(&negated(b)?), alone),
        Binary::Mul => return builder.affine(a, Some(b), None, alone),
        Binary::Div => {
            let values: Vec<f64> = b.numbers()?.iter().map(|value| 1.0 / value).collect();
            if !values.iter().all(|value| value.is_finite()) {
                return Err(NodeReason::NotFinite);
            }
            let inverse = Constant::array(b.dims.clone(), values, b.data_type);
            return builder.affine(a, Some(&inverse), None, alone);
        }
        _ => {}
    }
    if let [number] = b.numbers()? {
        let dims = broadcast_dims(&[a.dims(), b.dims.clone()])?;
        return mapped(&lengthened(a, dims.len())?, &Expr::X.with(function, Expr::Number(*number)), builder);
    }
    let numbers = b.numbers()?;
    let with = |values: Vec<f64>| Constant::array(b.dims.clone(), values, FLOAT);
    if matches!(function, Binary::And | Binary::Or | Binary::Xor) {
        // Of truth values, all three are a line for each constant.
        let truth = mapped(a, &Expr::X.then(Unary::Not).then(Unary::Not), builder)?;
        let line = |b: &f64| match (function, *b != 0.0) {
            (Binary::And, true) | (Binary::Or | Binary::Xor, false) => (1.0, 0.0),
            (Binary::And, false) => (0.0, 0.0),
            (Binary::Xor, true) => (-1.0, 1.0),
            _ => (0.0, 1.0),
        };
        let (factors, add): (Vec<f64>, Vec<f64>) = numbers.iter().map(line).unzip();
        let mut factors = with(factors);
        factors.grid = Some(1.0);
        return builder.affine(&truth, Some(&factors), Some(&with(add)), false);
    }
    if function == Binary::Pow {
        // One power at a time, each where it belongs.
        let mut exponents = numbers.to_vec();
        exponents.sort_by(f64::total_cmp);
        exponents.dedup();
        if exponents.len() > MAX_POWERS {
            return Err(NodeReason::NeedsScalar);
        }
        let dims = broadcast_dims(&[a.dims(), b.dims.clone()])?;
        let mut terms = Vec::new();
        for exponent in exponents {
            let power = mapped(a, &Expr::X.with(Binary::Pow, Expr::Number(exponent)), builder)?;
            let mut here = with(numbers.iter().map(|b| f64::from(u8::from(*b == exponent))).collect());
            here.grid = Some(1.0);
            terms.push((1.0, builder.affine(&power, Some(&here), None, false)?));
        }
        return builder.add(&terms, 0.0, &dims);
    }
    // A function of the difference to each constant.
    let of_difference = |function| Expr::X.with(function, Expr::Number(0.0));
    let difference = |builder: &mut Builder| builder.affine(a, None, Some(&negated(b)?), alone);
    match function {
        Binary::Max | Binary::Min => {
            let capped = mapped(&difference(builder)?, &of_difference(function), builder)?;
            builder.affine(&capped, None, Some(b), false)
        }
        Binary::Greater | Binary::GreaterOrEqual | Binary::Equal => {
            mapped(&difference(builder)?, &of_difference(function), builder)
        }
        _ => Err(NodeReason::NeedsScalar),
    }
}

fn constant_first(
    function: Binary,
    a: &Constant,
    b: &Real,
    alone: bool,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let swapped = match function {
        Binary::Add | Binary::Mul | Binary::Max | Binary::Min | Binary::Equal => {
            return constant_second(function, b, a, alone, builder);
        }
        Binary::And | Binary::Or | Binary::Xor => return constant_second(function, b, a, alone, builder),
        Binary::Sub => return builder.affine(b, Some(&Constant::scalar(-1.0, FLOAT)), Some(a), alone),
        _ => a.numbers()?,
    };
    if let [number] = swapped {
        let dims = broadcast_dims(&[b.dims(), a.dims.clone()])?;
        let function = Expr::Binary(function, Arc::new(Expr::Number(*number)), Arc::new(Expr::X));
        return mapped(&lengthened(b, dims.len())?, &function, builder);
    }
    match function {
        Binary::Div => {
            let inverse = mapped(b, &reciprocal(), builder)?;
            builder.affine(&inverse, Some(a), None, false)
        }
        Binary::Greater | Binary::GreaterOrEqual => {
            let difference = builder.affine(b, Some(&Constant::scalar(-1.0, FLOAT)), Some(a), alone)?;
            mapped(&difference, &Expr::X.with(function, Expr::Number(0.0)), builder)
        }
        _ => Err(NodeReason::NeedsScalar),
    }
}

fn both(function: Binary, a: &Real, b: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    if a.same_places(b) && a.function.size().saturating_add(b.function.size()) <= MAX_EXPRESSION {
        let function = a.function.clone().with(function, b.function.clone());
        return Ok(Real { function, ..a.clone() });
    }
    let dims = broadcast_dims(&[a.dims(), b.dims()])?;
    let sum =
        |builder: &mut Builder, sign: f64| builder.add(&[(1.0, a.clone()), (sign, b.clone())], 0.0, &dims);
    let threshold = |real: Real, function: Binary, at: f64, builder: &mut Builder| {
        mapped(&real, &Expr::X.with(function, Expr::Number(at)), builder)
    };
    match function {
        Binary::Add => sum(builder, 1.0),
        Binary::Sub => sum(builder, -1.0),
        Binary::Mul => linear::times(a, b, builder),
        Binary::Div => {
            let inverse = mapped(b, &reciprocal(), builder)?;
            linear::times(a, &inverse, builder)
        }
        Binary::Max => builder.maximum(a, b, false),
        Binary::Min => {
            let (a, b) = (a.map(&Expr::times(-1.0)), b.map(&Expr::times(-1.0)));
            Ok(builder.maximum(&a, &b, false)?.map(&Expr::times(-1.0)))
        }
        Binary::Greater | Binary::GreaterOrEqual | Binary::Equal => {
            let difference = sum(builder, -1.0)?;
            threshold(difference, function, 0.0, builder)
        }
        Binary::And => {
            let both = sum(builder, 1.0)?;
            threshold(both, Binary::Greater, 1.5, builder)
        }
        Binary::Or => {
            let any = sum(builder, 1.0)?;
            threshold(any, Binary::Greater, 0.5, builder)
        }
        Binary::Xor => {
            let differing = sum(builder, -1.0)?;
            mapped(&differing, &Expr::X.then(Unary::Abs).with(Binary::Greater, Expr::Number(0.5)), builder)
        }
        Binary::Pow | Binary::Modulo => Err(NodeReason::NeedsConstant { input: 1 }),
    }
}

/// `condition ? a : b` as `b + condition * (a - b)`, or as one function where all are of one value.
fn select(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (condition, a, b) = (node.value(0)?, node.value(1)?, node.value(2)?);
    if let (Value::Constant(c), Value::Constant(a), Value::Constant(b)) = (condition, a, b) {
        let dims = broadcast_dims(&[c.dims.clone(), a.dims.clone(), b.dims.clone()])?;
        let (c, x, y) = (moves::spread(c, &dims)?, moves::spread(a, &dims)?, moves::spread(b, &dims)?);
        let chosen =
            c.iter().zip(x.iter().zip(&y)).map(|(c, (x, y))| if *c == 0.0 { *y } else { *x }).collect();
        return constant(Constant::array(dims, chosen, a.data_type));
    }
    if let Value::Real(real_condition) = condition {
        let part = |value: &Value| match value {
            Value::Constant(constant) => constant.number().ok().map(Expr::Number),
            Value::Real(real) if real.same_places(real_condition) => Some(real.function.clone()),
            _ => None,
        };
        if let (Some(x), Some(y)) = (part(a), part(b)) {
            let function = Expr::Select(Arc::new(real_condition.function.clone()), Arc::new(x), Arc::new(y));
            if function.size() <= MAX_EXPRESSION {
                return Ok(vec![Value::Real(Real { function, ..real_condition.clone() })]);
            }
        }
    }
    let difference = two(Binary::Sub, a, b, false, builder)?;
    let chosen = two(Binary::Mul, condition, &difference, false, builder)?;
    Ok(vec![two(Binary::Add, &chosen, b, false, builder)?])
}

/// `max(x, 0) + slope * min(x, 0)`.
fn prelu(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, slope) = (node.real(0, builder)?, node.constant(1)?);
    if let [slope] = slope.numbers()? {
        return real(mapped(&given, &Expr::X.then(Unary::LeakyRelu { slope: *slope }), builder));
    }
    let below = mapped(&given, &Expr::X.with(Binary::Min, Expr::Number(0.0)), builder)?;
    let below = builder.affine(&below, Some(slope), None, false)?;
    let above = mapped(&given, &Expr::X.then(Unary::Relu), builder)?;
    let dims = broadcast_dims(&[above.dims(), below.dims()])?;
    real(builder.add(&[(1.0, above), (1.0, below)], 0.0, &dims))
}

fn clip(node: &Node<'_>, builder: &mut Builder) -> Made {
    let bound = |input, name, default| match node.optional_constant(input)? {
        Some(constant) => constant.number(),
        None => node.float(name, default),
    };
    let (low, high) = (bound(1, "min", f64::MIN)?, bound(2, "max", f64::MAX)?);
    let function = if low == 0.0 && high >= f64::from(f32::MAX) {
        Expr::X.then(Unary::Relu)
    } else {
        Expr::X.then(Unary::Clip { low, high })
    };
    apply(node, &function, builder)
}

fn cast(node: &Node<'_>, builder: &mut Builder) -> Made {
    let to = match node.operator() {
        "CastLike" => match node.value(1)? {
            Value::Constant(like) => like.data_type,
            _ => FLOAT,
        },
        _ => i32::try_from(node.int("to", 0)).unwrap_or(0),
    };
    let whole = matches!(to, INT8 | UINT8 | INT16 | UINT16 | INT32 | INT64);
    match node.value(0)? {
        Value::Constant(given) => {
            let mut made = given.as_ref().clone();
            if let Data::Numbers(values) = &mut made.data {
                match to {
                    BOOL => values.iter_mut().for_each(|value| *value = f64::from(u8::from(*value != 0.0))),
                    _ if whole => values.iter_mut().for_each(|value| *value = value.trunc()),
                    _ => {}
                }
            }
            made.data_type = to;
            constant(made)
        }
        Value::Real(given) if to == BOOL => {
            real(mapped(given, &Expr::X.then(Unary::Not).then(Unary::Not), builder))
        }
        Value::Real(given) if whole => real(mapped(given, &Expr::X.then(Unary::Truncate), builder)),
        Value::Features { single } => match to {
            FLOAT => Ok(vec![Value::Features { single: true }]),
            DOUBLE => Ok(vec![Value::Features { single: *single }]),
            _ => Err(NodeReason::BesideTrees),
        },
        value => Ok(vec![value.clone()]),
    }
}

fn constant_node(node: &Node<'_>, _: &mut Builder) -> Made {
    let attribute = node.proto.attribute.first().ok_or(NodeReason::Attribute { name: "value" })?;
    constant(match (attribute.name.as_str(), &attribute.t) {
        ("value", Some(tensor)) => Constant::from_proto(tensor)?,
        ("value_float", _) => Constant::scalar(node.float("value_float", 0.0)?, FLOAT),
        ("value_int", _) => Constant::scalar(node.int("value_int", 0) as f64, INT64),
        ("value_floats", _) => Constant::vector(node.floats("value_floats"), FLOAT),
        ("value_ints", _) => Constant::vector(attribute.ints.iter().map(|v| *v as f64).collect(), INT64),
        ("value_strings", _) => Constant::texts(node.strings("value_strings")?),
        _ => return Err(NodeReason::Attribute { name: "value" }),
    })
}

/// Most different exponents of one Pow.
const MAX_POWERS: usize = 16;
/// Defaults of ONNX.
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_GAMMA: f32 = 1.050_701;

const OPERATORS: &[(&str, &str)] = &[
    ("Abs", ""),
    ("Acos", ""),
    ("Acosh", ""),
    ("Add", ""),
    ("And", ""),
    ("ArgMax", "lowest index of several; over at most 127 places unless it is the answer"),
    ("ArrayFeatureExtractor", "of ai.onnx.ml, indices constant"),
    ("Asin", ""),
    ("Asinh", ""),
    ("Atan", ""),
    ("Atanh", ""),
    ("AveragePool", "any padding, stride, dilation, ceil_mode, count_include_pad"),
    ("BatchNormalization", "inference; folded into the operator before"),
    ("Cast", "to whole numbers truncates"),
    ("CastLike", ""),
    ("Ceil", ""),
    ("Celu", ""),
    ("Clip", "bounds constant"),
    ("Concat", "values and constants"),
    ("Constant", ""),
    ("ConstantOfShape", "shape constant"),
    ("Conv", "1 to 3 dimensions, any stride, padding, dilation, groups; weights constant"),
    ("ConvInteger", "after QuantizeLinear; weights constant"),
    ("ConvTranspose", "as Conv, with output_padding"),
    ("Cos", ""),
    ("Cosh", ""),
    ("CumSum", "axis constant"),
    ("DepthToSpace", ""),
    ("DequantizeLinear", "per tensor; constants per channel too"),
    ("Div", "by constants; by values through their reciprocal"),
    ("Dropout", "inference: passed on"),
    ("Einsum", "one or two operands, no repeated label in one"),
    ("Elu", ""),
    ("Equal", "exact only for whole numbers"),
    ("Erf", ""),
    ("Exp", ""),
    ("Expand", "shape constant"),
    ("Flatten", ""),
    ("Floor", ""),
    ("FusedConv", "of ONNX Runtime"),
    ("GRU", "unrolled; weights constant, any activations of one argument"),
    ("Gather", "indices constant"),
    ("Gelu", ""),
    ("Gemm", "one or both operands values"),
    ("GlobalAveragePool", ""),
    ("GlobalMaxPool", ""),
    ("Greater", ""),
    ("GreaterOrEqual", ""),
    ("GroupNormalization", "scale and bias constant"),
    ("HardSigmoid", ""),
    ("HardSwish", ""),
    ("Identity", ""),
    ("InstanceNormalization", "scale and bias constant"),
    ("LSTM", "unrolled; weights constant, peepholes, both directions"),
    ("LabelEncoder", "of ai.onnx.ml, on a decision"),
    ("LayerNormalization", "scale and bias constant"),
    ("LeakyRelu", ""),
    ("Less", ""),
    ("LessOrEqual", ""),
    ("LinearClassifier", "of ai.onnx.ml"),
    ("LinearRegressor", "of ai.onnx.ml"),
    ("Log", ""),
    ("LogSoftmax", "left out before a decision"),
    ("LpNormalization", ""),
    ("MatMul", "one or both operands values"),
    ("MatMulInteger", "after QuantizeLinear; weights constant"),
    ("Max", ""),
    ("MaxPool", "values only; any padding, stride, dilation, ceil_mode"),
    ("Mean", ""),
    ("Min", ""),
    ("Mish", ""),
    ("Mod", "by a constant"),
    ("Mul", ""),
    ("Neg", ""),
    ("Normalizer", "of ai.onnx.ml, after softmax"),
    ("Not", ""),
    ("Or", ""),
    ("PRelu", "slope constant"),
    ("Pad", "constant, reflect, edge, wrap; negative padding cuts"),
    ("Pow", "exponent or base constant"),
    ("QGemm", "of ONNX Runtime"),
    ("QLinearAdd", "of ONNX Runtime"),
    ("QLinearConcat", "of ONNX Runtime"),
    ("QLinearConv", "scales constant"),
    ("QLinearGlobalAveragePool", "of ONNX Runtime"),
    ("QLinearLeakyRelu", "of ONNX Runtime"),
    ("QLinearMatMul", "scales constant"),
    ("QLinearMul", "of ONNX Runtime"),
    ("QLinearSigmoid", "of ONNX Runtime"),
    ("QuantizeLinear", "per tensor, 8 and 16 bits"),
    ("RNN", "unrolled; weights constant"),
    ("Range", "constants"),
    ("Reciprocal", ""),
    ("ReduceL1", ""),
    ("ReduceL2", ""),
    ("ReduceLogSum", ""),
    ("ReduceLogSumExp", ""),
    ("ReduceMax", ""),
    ("ReduceMean", ""),
    ("ReduceMin", ""),
    ("ReduceProd", "few elements: every product rounds"),
    ("ReduceSum", ""),
    ("ReduceSumSquare", ""),
    ("Relu", ""),
    ("Reshape", "shape constant"),
    ("Resize", "nearest and linear; scales and sizes constant"),
    ("Round", ""),
    ("Scaler", "of ai.onnx.ml"),
    ("Selu", ""),
    ("Shape", ""),
    ("Shrink", ""),
    ("Sigmoid", ""),
    ("Sign", ""),
    ("Sin", ""),
    ("Sinh", ""),
    ("Size", ""),
    ("Slice", "constants"),
    ("Softmax", "left out before a decision, else computed"),
    ("Softplus", ""),
    ("Softsign", ""),
    ("SpaceToDepth", ""),
    ("Split", "sizes constant"),
    ("Sqrt", ""),
    ("Squeeze", ""),
    ("Sub", ""),
    ("Sum", ""),
    ("Swish", ""),
    ("Tan", ""),
    ("Tanh", ""),
    ("ThresholdedRelu", ""),
    ("Tile", "repeats constant"),
    ("Transpose", ""),
    ("TreeEnsemble", "of ai.onnx.ml, below"),
    ("TreeEnsembleClassifier", "of ai.onnx.ml, below"),
    ("TreeEnsembleRegressor", "of ai.onnx.ml, below"),
    ("Unsqueeze", ""),
    ("Upsample", "nearest and linear"),
    ("Where", "any of the three may be constant"),
    ("Xor", ""),
    ("ZipMap", "of ai.onnx.ml"),
];
