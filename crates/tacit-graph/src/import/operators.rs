//! What each ONNX operator does to constants, rows and decisions.

use std::rc::Rc;

use super::{
    error::NodeReason,
    lower::{Decision, Value},
    network::{Row, Scalar, Step},
    onnx::{AttributeProto, Constant, Data, FLOAT, INT8, INT16, INT32, INT64, NodeProto, UINT8, UINT16},
    quantised, shapes,
};

type Made = Result<Vec<Value>, NodeReason>;

/// A node with its inputs looked up.
pub(super) struct Node<'a> {
    proto: &'a NodeProto,
    inputs: &'a [Option<&'a Value>],
}

/// Evaluates a node none of whose inputs is spoiled or ignored.
pub(super) fn evaluate(proto: &NodeProto, inputs: &[Option<&Value>]) -> Made {
    let node = Node { proto, inputs };
    match (proto.domain.as_str(), proto.op_type.as_str()) {
        ("" | "ai.onnx", operator) => standard(&node, operator),
        ("ai.onnx.ml", operator) => classical(&node, operator),
        ("com.microsoft", "QGemm") => quantised::qgemm(&node),
        ("com.microsoft", "QLinearAdd") => quantised::qlinear_add(&node),
        ("com.microsoft", "QLinearSigmoid") => quantised::qlinear_sigmoid(&node),
        ("com.microsoft", "QuantizeLinear") => quantised::quantise(&node),
        ("com.microsoft", "DequantizeLinear") => quantised::dequantise(&node),
        _ => Err(NodeReason::Operator),
    }
}

fn standard(node: &Node<'_>, operator: &str) -> Made {
    let scalar = match operator {
        "Relu" => Some(Scalar::Relu),
        "LeakyRelu" => Some(Scalar::LeakyRelu { slope: node.float("alpha", 0.01)? }),
        "Elu" => Some(Scalar::Elu { alpha: node.float("alpha", 1.0)? }),
        "Tanh" => Some(Scalar::Tanh),
        "Sigmoid" => Some(Scalar::Sigmoid),
        "HardSigmoid" => {
            Some(Scalar::HardSigmoid { alpha: node.float("alpha", 0.2)?, beta: node.float("beta", 0.5)? })
        }
        "HardSwish" => Some(Scalar::HardSwish),
        "Selu" => Some(Scalar::Selu {
            alpha: node.float("alpha", f64::from(SELU_ALPHA))?,
            gamma: node.float("gamma", f64::from(SELU_GAMMA))?,
        }),
        "Celu" => Some(Scalar::Celu { alpha: node.float("alpha", 1.0)? }),
        "Exp" => Some(Scalar::Exp),
        "Softplus" => Some(Scalar::Softplus),
        "Softsign" => Some(Scalar::Softsign),
        "Abs" => Some(Scalar::Abs),
        _ => None,
    };
    if let Some(scalar) = scalar {
        return row(node.row(0)?.scalar(scalar));
    }
    match operator {
        "Constant" => constant(node),
        "Identity" | "Dropout" => Ok(vec![node.value(0)?.clone()]),
        "Cast" => cast(node),
        "Clip" => clip(node),
        "Neg" => arithmetic(node, "Neg"),
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(node, operator),
        "MatMul" => {
            let (inputs, weights) = (node.row(0)?, node.constant(1)?);
            row(matrix_product(inputs, weights, false, 1.0, None))
        }
        "Gemm" => gemm(node),
        "BatchNormalization" => batch_normalisation(node),
        "Softmax" => softmax(node, false),
        "LogSoftmax" => softmax(node, true),
        "ArgMax" => argmax(node),
        "Greater" => greater(node),
        "PRelu" => row(node.row(0)?.scalar(Scalar::LeakyRelu { slope: node.constant(1)?.number()? })),
        "Gather" => look_up(node, 0, 1),
        "Concat" => concat(node),
        "QuantizeLinear" => quantised::quantise(node),
        "DequantizeLinear" => quantised::dequantise(node),
        "DynamicQuantizeLinear" => Err(NodeReason::Dynamic),
        "QLinearMatMul" => quantised::qlinear_matmul(node),
        "MatMulInteger" => quantised::matmul_integer(node),
        _ => shapes::evaluate(node, operator),
    }
}

fn classical(node: &Node<'_>, operator: &str) -> Made {
    match operator {
        "Scaler" => {
            let (inputs, offset, scale) = (node.row(0)?, node.floats("offset"), node.floats("scale"));
            let width = inputs.width();
            let (offset, scale) = (broadcast(&offset, width)?, broadcast(&scale, width)?);
            let add = offset.iter().zip(&scale).map(|(offset, scale)| -offset * scale).collect();
            row(inputs.scale(scale, add))
        }
        "LinearClassifier" => linear_classifier(node),
        "LinearRegressor" => linear_regressor(node),
        "Normalizer" => match node.value(0)? {
            // After softmax the L1 norm is one already; otherwise it is not a fixed linear map.
            Value::Row(inputs) if inputs.ends_in_softmax() => Ok(vec![node.value(0)?.clone()]),
            _ => Err(NodeReason::Normaliser),
        },
        "ZipMap" => {
            let labels = node.labels("classlabels_int64s", "classlabels_strings")?;
            match node.value(0)? {
                Value::Row(row) => Ok(vec![Value::Label(Decision::Largest(row.clone()), labels)]),
                Value::Pair(row) => Ok(vec![Value::Label(Decision::Sign(row.clone()), labels)]),
                _ => Err(NodeReason::NeedsRow { input: 0 }),
            }
        }
        "ArrayFeatureExtractor" => match (node.value(0)?, node.value(1)?) {
            (Value::Row(_), Value::Constant(columns)) => row(select(node.row(0)?, columns.numbers()?)),
            (Value::Pair(_), Value::Constant(_)) => Ok(vec![Value::Ignored]),
            _ => look_up(node, 0, 1),
        },
        "LabelEncoder" => label_encoder(node),
        _ => Err(NodeReason::Operator),
    }
}

impl<'a> Node<'a> {
    pub(super) fn optional(&self, input: usize) -> Option<&'a Value> {
        self.inputs.get(input).copied().flatten()
    }

    pub(super) fn value(&self, input: usize) -> Result<&'a Value, NodeReason> {
        self.optional(input).ok_or(NodeReason::MissingInput { input })
    }

    pub(super) fn row(&self, input: usize) -> Result<&'a Row, NodeReason> {
        match self.value(input)? {
            Value::Row(row) => Ok(row),
            _ => Err(NodeReason::NeedsRow { input }),
        }
    }

    pub(super) fn constant(&self, input: usize) -> Result<&'a Constant, NodeReason> {
        match self.value(input)? {
            Value::Constant(constant) => Ok(constant),
            _ => Err(NodeReason::NeedsConstant { input }),
        }
    }

    pub(super) fn optional_constant(&self, input: usize) -> Result<Option<&'a Constant>, NodeReason> {
        self.optional(input).map(|_| self.constant(input)).transpose()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn int(&self, name: &'static str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    pub(super) fn float(&self, name: &'static str, default: f64) -> Result<f64, NodeReason> {
        let value = self.attribute(name).and_then(|attribute| attribute.f).map_or(default, f64::from);
        if value.is_finite() { Ok(value) } else { Err(NodeReason::NotFinite) }
    }

    pub(super) fn floats(&self, name: &str) -> Vec<f64> {
        let floats = self.attribute(name).map(|attribute| attribute.floats.as_slice()).unwrap_or_default();
        floats.iter().map(|value| f64::from(*value)).collect()
    }

    fn strings(&self, name: &str) -> Result<Vec<String>, NodeReason> {
        let strings = self.attribute(name).map(|attribute| attribute.strings.as_slice()).unwrap_or_default();
        strings.iter().map(|text| String::from_utf8(text.clone()).map_err(|_| NodeReason::NotUtf8)).collect()
    }

    fn labels(&self, ints: &'static str, strings: &'static str) -> Result<Vec<String>, NodeReason> {
        let numbers = self.attribute(ints).map(|attribute| attribute.ints.as_slice()).unwrap_or_default();
        let labels = self.strings(strings)?;
        match (numbers.is_empty(), labels.is_empty()) {
            (false, true) => Ok(numbers.iter().map(i64::to_string).collect()),
            (true, false) => Ok(labels),
            _ => Err(NodeReason::Attribute { name: strings }),
        }
    }
}

pub(super) fn row(made: Result<Row, NodeReason>) -> Made {
    Ok(vec![Value::Row(made?)])
}

/// A value for each of `width` columns, from one value or from one for each.
pub(super) fn broadcast(values: &[f64], width: usize) -> Result<Vec<f64>, NodeReason> {
    match values {
        [value] => Ok(vec![*value; width]),
        values if values.len() == width => Ok(values.to_vec()),
        _ => Err(NodeReason::Shape),
    }
}

/// `alpha * row * weights + add`, with `weights` of shape `[in][out]`, or `[out][in]` when `transposed`.
pub(super) fn matrix_product(
    inputs: &Row,
    weights: &Constant,
    transposed: bool,
    alpha: f64,
    add: Option<Vec<f64>>,
) -> Result<Row, NodeReason> {
    let (rows, columns) = match weights.dims.as_slice() {
        [rows, columns] => (*rows, *columns),
        [rows] if !transposed => (*rows, 1),
        _ => return Err(NodeReason::Shape),
    };
    let numbers = weights.numbers()?;
    let (width, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
    if inputs.dims.len() > 1 || inputs.width() != width {
        return Err(NodeReason::Shape);
    }
    let at = |k: usize, o: usize| if transposed { k + o * columns } else { k * columns + o };
    let matrix = (0..width)
        .flat_map(|k| (0..outputs).map(move |o| (k, o)))
        .map(|(k, o)| alpha * numbers[at(k, o)])
        .collect();
    inputs.dense(matrix, add.unwrap_or_else(|| vec![0.0; outputs]))
}

fn gemm(node: &Node<'_>) -> Made {
    if node.int("transA", 0) != 0 {
        return Err(NodeReason::Attribute { name: "transA" });
    }
    let (alpha, beta, transposed) =
        (node.float("alpha", 1.0)?, node.float("beta", 1.0)?, node.int("transB", 0) != 0);
    let made = matrix_product(node.row(0)?, node.constant(1)?, transposed, alpha, None)?;
    let Some(add) = node.optional_constant(2)? else { return row(Ok(made)) };
    let add = broadcast(add.numbers()?, made.width())?;
    let add = add.iter().map(|add| add * beta).collect();
    row(made.scale(vec![1.0; made.width()], add))
}

fn constant(node: &Node<'_>) -> Made {
    let attribute = node.proto.attribute.first().ok_or(NodeReason::Attribute { name: "value" })?;
    let constant = match (attribute.name.as_str(), &attribute.t) {
        ("value", Some(tensor)) => Constant::from_proto(tensor)?,
        ("value_float", _) => Constant::scalar(node.float("value_float", 0.0)?, FLOAT),
        ("value_int", _) => Constant::scalar(node.int("value_int", 0) as f64, INT64),
        ("value_floats", _) => Constant::vector(node.floats("value_floats"), FLOAT),
        ("value_ints", _) => Constant::vector(attribute.ints.iter().map(|v| *v as f64).collect(), INT64),
        ("value_strings", _) => Constant::texts(node.strings("value_strings")?),
        _ => return Err(NodeReason::Attribute { name: "value" }),
    };
    Ok(vec![Value::Constant(Rc::new(constant))])
}

fn cast(node: &Node<'_>) -> Made {
    let to = i32::try_from(node.int("to", 0)).unwrap_or(0);
    let whole = matches!(to, INT8 | UINT8 | INT16 | UINT16 | INT32 | INT64);
    match node.value(0)? {
        Value::Row(_) if whole || to == super::onnx::BOOL => Err(NodeReason::Attribute { name: "to" }),
        Value::Constant(constant) => {
            let mut constant = constant.as_ref().clone();
            if let (true, Data::Numbers(values)) = (whole, &mut constant.data) {
                values.iter_mut().for_each(|value| *value = value.trunc());
            }
            constant.data_type = to;
            Ok(vec![Value::Constant(Rc::new(constant))])
        }
        value => Ok(vec![value.clone()]),
    }
}

fn clip(node: &Node<'_>) -> Made {
    let bound = |input, name, default| match node.optional_constant(input)? {
        Some(constant) => constant.number(),
        None => node.float(name, default),
    };
    let (low, high) = (bound(1, "min", f64::MIN)?, bound(2, "max", f64::MAX)?);
    row(node.row(0)?.scalar(Scalar::Clip { low, high }))
}

/// Element-wise arithmetic of two constants, or of a row and a constant.
fn arithmetic(node: &Node<'_>, operator: &str) -> Made {
    let apply = |a: f64, b: f64| match operator {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        _ => a / b,
    };
    let minus_one;
    let (a, b, operator) = match operator {
        "Neg" => {
            minus_one = Value::Constant(Rc::new(Constant::scalar(-1.0, FLOAT)));
            (node.value(0)?, &minus_one, "Mul")
        }
        _ => (node.value(0)?, node.value(1)?, operator),
    };
    let (input, constant, constant_first) = match (a, b) {
        (Value::Constant(a), Value::Constant(b)) => return fold(a, b, apply),
        (Value::Row(row), Value::Constant(constant)) => (row, constant, false),
        (Value::Constant(constant), Value::Row(row)) => (row, constant, true),
        (Value::Constant(_), _) => return Err(NodeReason::NeedsRow { input: 1 }),
        (_, Value::Constant(_)) => return Err(NodeReason::NeedsRow { input: 0 }),
        _ => return Err(NodeReason::Branches),
    };
    let width = input.width();
    let values = broadcast(constant.numbers()?, width)?;
    let (ones, zeros) = (vec![1.0; width], vec![0.0; width]);
    let negated = || values.iter().map(|value| -value).collect();
    row(match (operator, constant_first) {
        ("Add", _) => input.scale(ones, values),
        ("Sub", false) => input.scale(ones, negated()),
        ("Sub", true) => input.scale(vec![-1.0; width], values),
        ("Mul", _) => input.scale(values, zeros),
        ("Div", false) => input.scale(values.iter().map(|value| 1.0 / value).collect(), zeros),
        _ => Err(NodeReason::Operator),
    })
}

fn fold(a: &Constant, b: &Constant, apply: impl Fn(f64, f64) -> f64) -> Made {
    let (x, y) = (a.numbers()?, b.numbers()?);
    let (dims, width) = if x.len() >= y.len() { (&a.dims, x.len()) } else { (&b.dims, y.len()) };
    let (x, y) = (broadcast(x, width)?, broadcast(y, width)?);
    let values: Vec<f64> = x.iter().zip(&y).map(|(x, y)| apply(*x, *y)).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(NodeReason::NotFinite);
    }
    let constant = Constant { dims: dims.clone(), data: Data::Numbers(values), data_type: a.data_type };
    Ok(vec![Value::Constant(Rc::new(constant))])
}

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`, per feature.
fn batch_normalisation(node: &Node<'_>) -> Made {
    let inputs = node.row(0)?;
    let width = inputs.width();
    let parameter = |input| broadcast(node.constant(input)?.numbers()?, width);
    if inputs.dims.len() > 1 {
        return Err(NodeReason::Shape);
    }
    let (scale, shift, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let epsilon = node.float("epsilon", 1e-5)?;
    let multiply: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let add =
        shift.iter().zip(mean.iter().zip(&multiply)).map(|(shift, (mean, m))| shift - mean * m).collect();
    row(inputs.scale(multiply, add))
}

/// The last axis of a row; counted with the batch in front.
fn is_last_axis(axis: i64, row: &Row) -> bool {
    row.dims.len() == 1 && (axis == 1 || axis == -1)
}

fn softmax(node: &Node<'_>, log: bool) -> Made {
    let inputs = node.row(0)?;
    if !is_last_axis(node.int("axis", -1), inputs) {
        return Err(NodeReason::Attribute { name: "axis" });
    }
    row(inputs.softmax(log))
}

fn argmax(node: &Node<'_>) -> Made {
    if node.int("select_last_index", 0) != 0 {
        return Err(NodeReason::Attribute { name: "select_last_index" });
    }
    let axis = node.int("axis", 0);
    match node.value(0)? {
        Value::Row(row) if is_last_axis(axis, row) => Ok(vec![Value::Winner(Decision::Largest(row.clone()))]),
        Value::Pair(row) if axis == 1 || axis == -1 => Ok(vec![Value::Winner(Decision::Sign(row.clone()))]),
        Value::Row(_) | Value::Pair(_) => Err(NodeReason::Attribute { name: "axis" }),
        _ => Err(NodeReason::NeedsRow { input: 0 }),
    }
}

/// A table of labels read at the winner's index, or columns of a row.
fn look_up(node: &Node<'_>, table: usize, index: usize) -> Made {
    match (node.value(table)?, node.value(index)?) {
        (Value::Constant(labels), Value::Winner(decision)) => {
            Ok(vec![Value::Label(decision.clone(), labels.labels())])
        }
        (Value::Row(inputs), Value::Constant(columns)) if is_last_axis(node.int("axis", 0), inputs) => {
            row(select(inputs, columns.numbers()?))
        }
        (Value::Constant(_), Value::Constant(_)) => shapes::evaluate(node, "Gather"),
        (Value::Constant(_), _) => Err(NodeReason::NeedsConstant { input: index }),
        _ => Err(NodeReason::NeedsConstant { input: table }),
    }
}

fn select(inputs: &Row, columns: &[f64]) -> Result<Row, NodeReason> {
    let (width, outputs) = (inputs.width(), columns.len());
    if inputs.dims.len() > 1 || width.saturating_mul(outputs) > super::MAX_LAYER_CELLS {
        return Err(NodeReason::TooLarge);
    }
    let mut matrix = vec![0.0; width * outputs];
    for (output, column) in columns.iter().enumerate() {
        let column = if *column < 0.0 { column + width as f64 } else { *column };
        let cell = (0..width).find(|k| *k as f64 == column).map(|k| k * outputs + output);
        *cell.and_then(|cell| matrix.get_mut(cell)).ok_or(NodeReason::Shape)? = 1.0;
    }
    inputs.dense(matrix, vec![0.0; outputs])
}

/// `[1 - s, s]` for a sigmoid `s` or `[-s, s]` for any `s`, as exporters write binary scores; or constants end to
/// end.
fn concat(node: &Node<'_>) -> Made {
    if let (Value::Row(no), Value::Row(yes), None) = (node.value(0)?, node.value(1)?, node.optional(2)) {
        let sigmoid = matches!(yes.steps.last().map(Rc::as_ref), Some(Step::Scalar(Scalar::Sigmoid)));
        if sigmoid && is_opposite(no, yes, 1.0) {
            let mut score = yes.clone();
            score.steps.pop();
            return Ok(vec![Value::Pair(score)]);
        }
        if is_opposite(no, yes, 0.0) {
            return Ok(vec![Value::Pair(yes.clone())]);
        }
    }
    if (0..node.inputs.len()).all(|input| node.constant(input).is_ok()) {
        return shapes::evaluate(node, "Concat");
    }
    Err(NodeReason::Branches)
}

/// Whether `no` is `sum - yes`, for rows of one value.
fn is_opposite(no: &Row, yes: &Row, sum: f64) -> bool {
    let opposite = Step::Scale { multiply: vec![-1.0], add: vec![sum] };
    let Some((last, before)) = no.steps.split_last() else { return false };
    yes.width() == 1
        && **last == opposite
        && before.len() == yes.steps.len()
        && before.iter().zip(&yes.steps).all(|(a, b)| Rc::ptr_eq(a, b))
}

/// `score > constant`: the index of one of two labels.
fn greater(node: &Node<'_>) -> Made {
    let (score, threshold) = (node.row(0)?, node.constant(1)?.number()?);
    if score.width() != 1 {
        return Err(NodeReason::Shape);
    }
    let score = if threshold == 0.0 { score.clone() } else { score.scale(vec![1.0], vec![-threshold])? };
    Ok(vec![Value::Winner(Decision::Sign(score))])
}

fn linear_classifier(node: &Node<'_>) -> Made {
    let inputs = node.row(0)?;
    let labels = node.labels("classlabels_ints", "classlabels_strings")?;
    let made = linear(node, inputs)?;
    let softmax = match node.attribute("post_transform").and_then(|attribute| attribute.s.as_deref()) {
        None | Some(b"NONE" | b"LOGISTIC" | b"PROBIT") => false,
        Some(b"SOFTMAX" | b"SOFTMAX_ZERO") => true,
        Some(_) => return Err(NodeReason::Attribute { name: "post_transform" }),
    };
    if let (2, Some(score)) = (labels.len(), single_score(&made)) {
        return Ok(vec![Value::Label(Decision::Sign(score), labels), Value::Ignored]);
    }
    let decision = match (made.width(), labels.len()) {
        (1, 2) => Decision::Sign(made.clone()),
        (width, count) if width == count => Decision::Largest(made.clone()),
        _ => return Err(NodeReason::Shape),
    };
    let scores = match &decision {
        Decision::Largest(row) if softmax => Value::Row(row.softmax(false)?),
        Decision::Largest(row) => Value::Row(row.clone()),
        Decision::Sign(_) => Value::Ignored,
    };
    Ok(vec![Value::Label(decision, labels), scores])
}

/// Exporters write a binary score `s` as the pair `[-s, s]`: one of the two is enough.
fn single_score(pair: &Row) -> Option<Row> {
    let (last, before) = pair.steps.split_last()?;
    let Step::Dense { inputs, matrix, add } = last.as_ref() else { return None };
    let opposite =
        matrix.chunks(add.len()).chain([add.as_slice()]).all(|row| matches!(row, [a, b] if *a == -b));
    if !opposite {
        return None;
    }
    let matrix = matrix.iter().skip(1).step_by(2).copied().collect();
    let before = Row { steps: before.to_vec(), dims: vec![*inputs] };
    before.dense(matrix, add.iter().skip(1).copied().collect()).ok()
}

fn linear_regressor(node: &Node<'_>) -> Made {
    if node.attribute("post_transform").and_then(|a| a.s.as_deref()).is_some_and(|name| name != b"NONE") {
        return Err(NodeReason::Attribute { name: "post_transform" });
    }
    let made = linear(node, node.row(0)?)?;
    if usize::try_from(node.int("targets", 1)) != Ok(made.width()) {
        return Err(NodeReason::Attribute { name: "targets" });
    }
    row(Ok(made))
}

/// The linear map of attributes `coefficients` (`[out][in]`) and `intercepts`.
fn linear(node: &Node<'_>, inputs: &Row) -> Result<Row, NodeReason> {
    let (coefficients, mut intercepts) = (node.floats("coefficients"), node.floats("intercepts"));
    let width = inputs.width();
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
    let weights =
        Constant { dims: vec![outputs, width], data: Data::Numbers(coefficients), data_type: FLOAT };
    matrix_product(inputs, &weights, true, 1.0, Some(intercepts))
}

/// A map from the winner's index to a label.
fn label_encoder(node: &Node<'_>) -> Made {
    let Value::Winner(decision) = node.value(0)? else { return Err(NodeReason::Operator) };
    let keys = node.attribute("keys_int64s").map(|attribute| attribute.ints.as_slice()).unwrap_or_default();
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

/// Defaults of ONNX.
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_GAMMA: f32 = 1.050_701;
