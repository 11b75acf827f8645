//! From an ONNX graph to a chain of steps and what its end means.
//!
//! Every ONNX value becomes a constant, a row computed from the input, or a decision about a row. A node that
//! cannot be imported spoils only what depends on it, so that probabilities printed beside a label do not matter.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    error::{ImportError, NodeReason},
    network::{Row, Step},
    onnx::{Constant, GraphProto, ModelProto, NodeProto},
    operators,
};

/// An ONNX value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Known at import.
    Constant(Rc<Constant>),
    /// Computed from the input.
    Row(Row),
    /// A row on an integer grid: `real = scale * (q - zero)`.
    Quantised { row: Row, scale: f64, zero: f64 },
    /// Two probabilities, `1 - sigmoid(x)` and `sigmoid(x)`, for the row that ends in `x`.
    Pair(Row),
    /// Index of the largest of a row or pair.
    Winner(Decision),
    /// The label at that index.
    Label(Decision, Vec<String>),
    /// Only for people to look at.
    Ignored,
    /// Not importable, nor is what depends on it.
    Spoiled(Rc<ImportError>),
}

/// A row of class scores, or one score whose sign decides between two.
#[derive(Debug, Clone)]
pub(super) enum Decision {
    Largest(Row),
    Sign(Row),
}

/// A network as a chain of steps.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) steps: Vec<Rc<Step>>,
    pub(super) outputs: usize,
    pub(super) meaning: Meaning,
}

/// What the end of the chain means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// The largest score wins; no labels when the file names none.
    Largest(Option<Vec<String>>),
    /// One score: the second label when above zero.
    Sign(Option<[String; 2]>),
    /// Values, as far as the file says.
    Values,
}

/// Lowers the graph for rows of `width` raw values.
pub(super) fn lower(model: &ModelProto, width: usize) -> Result<Network, ImportError> {
    let graph = model.graph.as_ref().ok_or(ImportError::NoGraph)?;
    let mut values = constants(graph)?;
    let (name, row) = input(graph, &values, width)?;
    values.insert(name, Value::Row(row));
    if graph.node.len() > MAX_ONNX_NODES {
        return Err(ImportError::NodeCount { got: graph.node.len() });
    }
    let mut budget = MAX_WEIGHTS;
    for node in &graph.node {
        for (output, value) in node.output.iter().zip(evaluate(node, &values)) {
            // One tensor of the file may serve many nodes: what they make of it together is what takes memory.
            let cells = match &value {
                Value::Row(row) | Value::Quantised { row, .. } => row.new_cells(),
                Value::Constant(constant) if Rc::strong_count(constant) == 1 => constant.len(),
                Value::Label(_, labels) => labels.len(),
                _ => 0,
            };
            budget = budget.checked_sub(cells).ok_or(ImportError::TooManyWeights)?;
            values.insert(output.clone(), value);
        }
    }
    answer(graph, &values)
}

fn constants(graph: &GraphProto) -> Result<BTreeMap<String, Value>, ImportError> {
    let read = |tensor: &super::onnx::TensorProto| {
        let constant = Constant::from_proto(tensor)
            .map_err(|reason| ImportError::Initialiser { name: tensor.name.clone(), reason })?;
        Ok((tensor.name.clone(), Value::Constant(Rc::new(constant))))
    };
    graph.initializer.iter().map(read).collect()
}

fn input(
    graph: &GraphProto,
    values: &BTreeMap<String, Value>,
    width: usize,
) -> Result<(String, Row), ImportError> {
    let inputs: Vec<_> = graph.input.iter().filter(|input| !values.contains_key(&input.name)).collect();
    let [input] = inputs.as_slice() else { return Err(ImportError::InputCount { got: inputs.len() }) };
    let shape = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref()?.shape.as_ref());
    let declared: Option<Vec<Option<usize>>> = shape.map(|shape| {
        shape.dim.iter().map(|dim| usize::try_from(dim.dim_value?).ok().filter(|dim| *dim > 0)).collect()
    });
    let dims = match declared.as_deref() {
        None | Some([]) => vec![width],
        Some([only]) => vec![only.unwrap_or(width)],
        Some([_batch, dims @ ..]) => fill(dims, width),
    };
    let expected = dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)).unwrap_or(usize::MAX);
    if expected != width {
        return Err(ImportError::InputWidth { expected, got: width });
    }
    Ok((input.name.clone(), Row::input(dims)))
}

/// Dimensions with one open one chosen so that their product is `width`; of several, all but the last are one.
fn fill(dims: &[Option<usize>], width: usize) -> Vec<usize> {
    let known =
        dims.iter().flatten().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)).unwrap_or(usize::MAX);
    let open = dims.iter().rposition(Option::is_none);
    let value = |(index, dim): (usize, &Option<usize>)| match dim {
        Some(dim) => *dim,
        None if Some(index) == open => width / known.max(1),
        None => 1,
    };
    dims.iter().enumerate().map(value).collect()
}

/// One value for each of the node's outputs.
fn evaluate(node: &NodeProto, values: &BTreeMap<String, Value>) -> Vec<Value> {
    let inputs: Vec<Option<&Value>> = node.input.iter().map(|name| values.get(name)).collect();
    let refuse = |reason| {
        let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
        let operator = match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type.clone(),
            domain => format!("{domain}.{}", node.op_type),
        };
        let node = name.cloned().unwrap_or_default();
        Value::Spoiled(Rc::new(ImportError::Node { node, operator, reason }))
    };
    let spoiled = inputs.iter().flatten().find(|value| matches!(value, Value::Spoiled(_)));
    let made = match spoiled {
        Some(value) => vec![(*value).clone()],
        None if inputs.iter().flatten().any(|value| matches!(value, Value::Ignored)) => vec![Value::Ignored],
        None => match undefined(node, &inputs) {
            Some(input) => vec![refuse(NodeReason::MissingInput { input })],
            None => operators::evaluate(node, &inputs).unwrap_or_else(|reason| vec![refuse(reason)]),
        },
    };
    // Outputs beyond those made are of the same fate as the first, unless that one is useful.
    let rest = match made.first() {
        Some(Value::Spoiled(error)) => Value::Spoiled(Rc::clone(error)),
        _ => Value::Ignored,
    };
    made.into_iter().chain(core::iter::repeat(rest)).take(node.output.len()).collect()
}

/// An input that is named but made by no node before; a name left empty is an optional input left out.
fn undefined(node: &NodeProto, inputs: &[Option<&Value>]) -> Option<usize> {
    node.input.iter().zip(inputs).position(|(name, value)| value.is_none() && !name.is_empty())
}

/// Chooses the output that answers: a label, else an index, else numbers.
fn answer(graph: &GraphProto, values: &BTreeMap<String, Value>) -> Result<Network, ImportError> {
    let outputs: Vec<&Value> = graph.output.iter().filter_map(|output| values.get(&output.name)).collect();
    let label = outputs.iter().find_map(|value| match value {
        Value::Label(decision, labels) => Some(decide(decision, Some(labels.clone()))),
        _ => None,
    });
    if let Some(network) = label {
        return network;
    }
    if let Some(Value::Spoiled(error)) = outputs.iter().find(|value| matches!(value, Value::Spoiled(_))) {
        return Err(error.as_ref().clone());
    }
    for value in &outputs {
        if let Value::Winner(decision) = value {
            return decide(decision, None);
        }
    }
    for value in &outputs {
        match value {
            Value::Pair(row) => return decide(&Decision::Sign(row.clone()), None),
            Value::Row(row) if row.ends_in_softmax() => return decide(&Decision::Largest(row.clone()), None),
            Value::Row(row) | Value::Quantised { row, .. } => {
                let (steps, outputs) = (row.steps.clone(), row.width());
                return Ok(Network { steps, outputs, meaning: Meaning::Values });
            }
            _ => {}
        }
    }
    Err(ImportError::NoAnswer)
}

fn decide(decision: &Decision, labels: Option<Vec<String>>) -> Result<Network, ImportError> {
    let (row, expected) = match decision {
        Decision::Largest(row) => (row, row.width()),
        Decision::Sign(row) => (row, 2),
    };
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != expected) {
        return Err(ImportError::LabelCount { expected, got: labels.len() });
    }
    let meaning = match decision {
        Decision::Largest(_) => Meaning::Largest(labels),
        Decision::Sign(_) => Meaning::Sign(labels.and_then(|labels| labels.try_into().ok())),
    };
    Ok(Network { steps: row.steps.clone(), outputs: row.width(), meaning })
}

/// Most nodes of an ONNX graph.
const MAX_ONNX_NODES: usize = 1 << 14;
/// Most weights of all nodes together.
const MAX_WEIGHTS: usize = 1 << 26;
