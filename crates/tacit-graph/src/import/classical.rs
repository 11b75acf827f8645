//! Operators of classical models (`ai.onnx.ml`), and binary scores as exporters write them.

use super::{
    build::{Builder, Labelled},
    error::NodeReason,
    expr::{Expr, Unary},
    linear::weigh,
    lower::{Decision, Softmax, Value},
    moves,
    node::{Made, Node, real},
    onnx::{Constant, FLOAT},
    tensor::Real,
    trees,
};

pub(super) fn evaluate(node: &Node<'_>, builder: &mut Builder) -> Made {
    match node.operator() {
        "Scaler" => scaler(node, builder),
        "LinearClassifier" => linear_classifier(node, builder),
        "LinearRegressor" => linear_regressor(node, builder),
        "Normalizer" => match node.value(0)? {
            // After softmax the L1 norm is one already; otherwise it is not a fixed linear map.
            Value::Softmax(_) => Ok(vec![node.value(0)?.clone()]),
            _ => Err(NodeReason::Normaliser),
        },
        "ZipMap" => {
            let labels = node.labels("classlabels_int64s", "classlabels_strings")?;
            match node.value(0)? {
                Value::Softmax(softmax) => {
                    Ok(vec![Value::Label(Decision::Largest(softmax.real.clone()), labels)])
                }
                Value::Real(row) => Ok(vec![Value::Label(Decision::Largest(row.clone()), labels)]),
                Value::Pair(row) => Ok(vec![Value::Label(Decision::Sign(row.clone()), labels)]),
                _ => Err(NodeReason::NeedsRow { input: 0 }),
            }
        }
        "ArrayFeatureExtractor" => moves::look_up(node, builder),
        "LabelEncoder" => label_encoder(node),
        "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble" => trees::evaluate(node, builder),
        _ => Err(NodeReason::Operator),
    }
}

fn scaler(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let (offset, scale) = (node.floats("offset"), node.floats("scale"));
    let width = given.dims().last().copied().unwrap_or(1);
    let over = |values: Vec<f64>| match values.as_slice() {
        [value] => Ok(vec![*value; width]),
        values if values.len() == width => Ok(values.to_vec()),
        _ => Err(NodeReason::Shape),
    };
    let (offset, scale) = (over(offset)?, over(scale)?);
    let add: Vec<f64> = offset.iter().zip(&scale).map(|(offset, scale)| -offset * scale).collect();
    if !scale.iter().chain(&add).all(|value| value.is_finite()) {
        return Err(NodeReason::NotFinite);
    }
    let (scale, add) = (Constant::vector(scale, FLOAT), Constant::vector(add, FLOAT));
    real(builder.affine(&given, Some(&scale), Some(&add), node.alone(0)))
}

fn linear_classifier(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let labels = node.labels("classlabels_ints", "classlabels_strings")?;
    let softmax = match node.attribute("post_transform").and_then(|attribute| attribute.s.as_deref()) {
        None | Some(b"NONE" | b"LOGISTIC" | b"PROBIT") => false,
        Some(b"SOFTMAX" | b"SOFTMAX_ZERO") => true,
        Some(_) => return Err(NodeReason::Attribute { name: "post_transform" }),
    };
    let (weights, intercepts) = coefficients(node, &given)?;
    let outputs = intercepts.len();
    if let (2, 2, Some((weights, intercepts))) = (outputs, labels.len(), single_score(&weights, &intercepts))
    {
        let score = linear(&given, weights, intercepts, builder)?;
        return Ok(vec![Value::Label(Decision::Sign(score), labels), Value::Ignored]);
    }
    let made = linear(&given, weights, intercepts, builder)?;
    let decision = match (outputs, labels.len()) {
        (1, 2) => Decision::Sign(made.clone()),
        (width, count) if width == count => Decision::Largest(made.clone()),
        _ => return Err(NodeReason::Shape),
    };
    let scores = match &decision {
        Decision::Largest(_) if softmax => {
            let axis = made.rank().saturating_sub(1);
            Value::Softmax(Softmax { real: made, axis, log: false })
        }
        Decision::Largest(_) => Value::Real(made),
        Decision::Sign(_) => Value::Ignored,
    };
    Ok(vec![Value::Label(decision, labels), scores])
}

fn linear_regressor(node: &Node<'_>, builder: &mut Builder) -> Made {
    if node.attribute("post_transform").and_then(|a| a.s.as_deref()).is_some_and(|name| name != b"NONE") {
        return Err(NodeReason::Attribute { name: "post_transform" });
    }
    let given = node.real(0, builder)?;
    let (weights, intercepts) = coefficients(node, &given)?;
    if usize::try_from(node.int("targets", 1)) != Ok(intercepts.len()) {
        return Err(NodeReason::Attribute { name: "targets" });
    }
    real(linear(&given, weights, intercepts, builder))
}

/// Attributes `coefficients` (`[out][in]`) and `intercepts`.
fn coefficients(node: &Node<'_>, given: &Real) -> Result<(Vec<f64>, Vec<f64>), NodeReason> {
    let (coefficients, mut intercepts) = (node.floats("coefficients"), node.floats("intercepts"));
    let width = given.width();
    if width == 0 || coefficients.is_empty() || coefficients.len() % width != 0 {
        return Err(NodeReason::Attribute { name: "coefficients" });
    }
    let outputs = coefficients.len() / width;
    if intercepts.is_empty() {
        intercepts = vec![0.0; outputs];
    }
    if intercepts.len() != outputs || !coefficients.iter().chain(&intercepts).all(|value| value.is_finite()) {
        return Err(NodeReason::Attribute { name: "intercepts" });
    }
    Ok((coefficients, intercepts))
}

/// Exporters write a binary score `s` as the pair `[-s, s]`: one of the two is enough.
fn single_score(weights: &[f64], intercepts: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
    let (no, yes) = weights.split_at(weights.len() / 2);
    let opposite =
        no.iter().chain(intercepts.first()).zip(yes.iter().chain(intercepts.last())).all(|(a, b)| *a == -b);
    opposite.then(|| (yes.to_vec(), intercepts.last().copied().into_iter().collect()))
}

fn linear(
    given: &Real,
    weights: Vec<f64>,
    intercepts: Vec<f64>,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let outputs = intercepts.len();
    let row = builder.reshape(given, &[1, given.width()])?;
    let weights = Constant::array(vec![outputs, row.width()], weights, FLOAT);
    let side = Labelled { real: row, labels: vec![0, 1] };
    let made = weigh(&side, &weights, &[2, 1], &[0, 2], builder)?;
    let add = Constant::array(vec![1, outputs], intercepts, FLOAT);
    builder.affine(&made, None, Some(&add), true)
}

/// A map from the winner's index to a label.
fn label_encoder(node: &Node<'_>) -> Made {
    let Value::Winner(decision) = node.value(0)? else { return Err(NodeReason::Operator) };
    let keys = node.ints("keys_int64s").unwrap_or_default();
    let values = node.labels("values_int64s", "values_strings")?;
    let count = match decision {
        Decision::Largest(row) => row.width(),
        Decision::Sign(_) => 2,
    };
    let label = |index: usize| {
        let at = keys.iter().position(|key| usize::try_from(*key) == Ok(index))?;
        values.get(at).cloned()
    };
    let labels = (0..count).map(label).collect::<Option<Vec<_>>>();
    Ok(vec![Value::Label(decision.clone(), labels.ok_or(NodeReason::Attribute { name: "keys_int64s" })?)])
}

/// `score > constant` for one score: the index of one of two labels.
pub(super) fn sign_decision(node: &Node<'_>, builder: &mut Builder) -> Result<Option<Value>, NodeReason> {
    let (Value::Real(score), Value::Constant(threshold)) = (node.value(0)?, node.value(1)?) else {
        return Ok(None);
    };
    let Ok(threshold) = threshold.number() else { return Ok(None) };
    if score.width() != 1 {
        return Ok(None);
    }
    let score = if threshold == 0.0 {
        score.clone()
    } else {
        builder.affine(score, None, Some(&Constant::scalar(-threshold, FLOAT)), node.alone(0))?
    };
    Ok(Some(Value::Winner(Decision::Sign(score))))
}

/// `[1 - s, s]` for a sigmoid `s`, or `[-s, s]` for any `s`, as exporters write binary scores.
pub(super) fn pair(node: &Node<'_>) -> Result<Option<Value>, NodeReason> {
    let (Value::Real(no), Value::Real(yes), None) =
        (node.value(0)?, node.optional(1).unwrap_or(&Value::Ignored), node.optional(2))
    else {
        return Ok(None);
    };
    if yes.width() != 1 || !no.same_places(yes) {
        return Ok(None);
    }
    let adds_up_to = |sum: f64| {
        let near = |x: &f64| (no.function.apply(*x) + yes.function.apply(*x) - sum).abs() < 1e-9;
        [-7.3, -0.9, 0.0, 0.31, 1.7, 11.0].iter().all(near)
    };
    match &yes.function {
        Expr::Unary(Unary::Sigmoid, inner) if adds_up_to(1.0) => {
            Ok(Some(Value::Pair(Real { function: inner.as_ref().clone(), ..yes.clone() })))
        }
        _ if adds_up_to(0.0) => Ok(Some(Value::Pair(yes.clone()))),
        _ => Ok(None),
    }
}
