//! From an ONNX graph to a program and what its end means.
//!
//! Every ONNX value becomes a constant, a value computed from the input, or a decision about one. A node that cannot
//! be imported spoils only what depends on it, so that probabilities printed beside a label do not matter. The batch
//! is an axis of one: shape arithmetic folds to constants, and rows never mix.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    build::Builder,
    error::{ImportError, NodeReason},
    expr::Expr,
    node::Node,
    onnx::{Constant, DOUBLE, GraphProto, ModelProto, NodeProto},
    operators,
    program::Program,
    tensor::Real,
    trees,
};
use crate::validate::MAX_FEATURES;

/// An ONNX value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Known at import.
    Constant(Arc<Constant>),
    /// Computed from the input.
    Real(Real),
    /// Softmax of a value along an axis: a decision if it comes last, computed only if something else reads it.
    Softmax(Softmax),
    /// On an integer grid: `real = scale * (q - zero)`.
    Quantised { real: Real, scale: f64, zero: f64 },
    /// Two probabilities, `1 - sigmoid(x)` and `sigmoid(x)`, for a value of one element `x`.
    Pair(Real),
    /// Index of the largest element, or of the sign of the only one.
    Winner(Decision),
    /// The label at that index.
    Label(Decision, Vec<String>),
    /// The network's input where ensembles of trees read it, which nothing else can; rounded to single precision or not.
    Features { single: bool },
    /// Only for people to look at.
    Ignored,
    /// Not importable, nor is what depends on it.
    Spoiled(Arc<ImportError>),
}

/// Softmax or its logarithm.
#[derive(Debug, Clone)]
pub(super) struct Softmax {
    pub(super) real: Real,
    pub(super) axis: usize,
    pub(super) log: bool,
}

impl Softmax {
    /// Whether all elements are one distribution.
    pub(super) fn is_whole(&self) -> bool {
        self.real.dim(self.axis) == self.real.width()
    }
}

/// A row of class scores, or one score whose sign decides between two.
#[derive(Debug, Clone)]
pub(super) enum Decision {
    Largest(Real),
    Sign(Real),
}

/// A network as a program.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) builder: Builder,
    pub(super) output: Real,
    /// Softmax, or its logarithm, that was left out at the end.
    pub(super) softmax: Option<bool>,
    pub(super) meaning: Meaning,
}

/// What the end of the network means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// The largest score wins; no labels when the file names none.
    Largest(Option<Vec<String>>),
    /// One score: the second label when above zero.
    Sign(Option<[String; 2]>),
    /// Values, as far as the file says.
    Values,
}

/// Lowers the graph for rows of `width` raw values. `chosen` names the outputs wanted, end to end; none leaves the
/// choice to the graph.
pub(super) fn lower(
    model: &ModelProto,
    width: usize,
    chosen: Option<&[String]>,
) -> Result<Network, ImportError> {
    let graph = model.graph.as_ref().ok_or(ImportError::NoGraph)?;
    let opset = model.opset_import.iter().find(|opset| matches!(opset.domain.as_str(), "" | "ai.onnx"));
    let opset = opset.map_or(OPSET_USUAL, |opset| opset.version);
    let mut values = constants(graph)?;
    let (name, dims) = input(graph, &values, width)?;
    let shape: Vec<u32> =
        dims.iter().filter(|dim| **dim != 1).map(|dim| u32::try_from(*dim).unwrap_or(u32::MAX)).collect();
    let shape = if shape.is_empty() { vec![1] } else { shape };
    if graph.node.len() > MAX_ONNX_NODES {
        return Err(ImportError::NodeCount { got: graph.node.len() });
    }
    let mut builder = Builder::new(shape.clone());
    if graph.node.iter().any(trees::is_trees) {
        builder = trees::builder(graph);
        let double = graph.input.iter().any(|input| input.name == name && element(input) == Some(DOUBLE));
        values.insert(name, Value::Features { single: !double });
    } else {
        values.insert(name, Value::Real(Real::whole(0, &dims, &shape)));
    }
    let uses = uses(graph);
    let mut budget = MAX_WEIGHTS;
    let mut counted = 0;
    for node in &graph.node {
        for (output, value) in node.output.iter().zip(evaluate(node, &values, &uses, opset, &mut builder)) {
            let cells = match &value {
                Value::Constant(constant) if Arc::strong_count(constant) == 1 => constant.len(),
                Value::Label(_, labels) => labels.len(),
                _ => 0,
            };
            budget = budget.checked_sub(cells).ok_or(ImportError::TooManyWeights)?;
            values.insert(output.clone(), value);
        }
        // One tensor of the file may serve many nodes: what they make of it together is what takes memory.
        for made in builder.program.nodes.get(counted..).unwrap_or_default() {
            budget = budget.checked_sub(operators::weights_of(made)).ok_or(ImportError::TooManyWeights)?;
        }
        counted = builder.program.nodes.len();
        if counted > MAX_PROGRAM_NODES {
            return Err(ImportError::NodeCount { got: counted });
        }
    }
    answer(graph, &values, builder, chosen)
}

/// Features of a row as far as the file says.
pub(super) fn declared_width(model: &ModelProto) -> Result<usize, ImportError> {
    let graph = model.graph.as_ref().ok_or(ImportError::NoGraph)?;
    let values = constants(graph)?;
    let known = graph.input.iter().find(|input| !values.contains_key(&input.name));
    let dims =
        known.and_then(|input| Some(&input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim));
    let width = match dims.map(Vec::as_slice) {
        Some([_batch, dims @ ..]) if !dims.is_empty() => dims.iter().try_fold(1usize, |width, dim| {
            width.checked_mul(usize::try_from(dim.dim_value?).ok().filter(|dim| *dim > 0)?)
        }),
        _ => None,
    };
    width.filter(|width| *width <= MAX_FEATURES).ok_or(ImportError::NoCalibration)
}

fn element(input: &super::onnx::ValueInfoProto) -> Option<i32> {
    Some(input.r#type.as_ref()?.tensor_type.as_ref()?.elem_type)
}

/// How often each value is read; outputs count as read.
fn uses(graph: &GraphProto) -> BTreeMap<&str, usize> {
    let mut uses = BTreeMap::new();
    let read = graph.node.iter().flat_map(|node| &node.input);
    for name in read.chain(graph.output.iter().map(|output| &output.name)) {
        *uses.entry(name.as_str()).or_insert(0) += 1;
    }
    uses
}

fn constants(graph: &GraphProto) -> Result<BTreeMap<String, Value>, ImportError> {
    let read = |tensor: &super::onnx::TensorProto| {
        let constant = Constant::from_proto(tensor)
            .map_err(|reason| ImportError::Initialiser { name: tensor.name.clone(), reason })?;
        Ok((tensor.name.clone(), Value::Constant(Arc::new(constant))))
    };
    graph.initializer.iter().map(read).collect()
}

/// Name of the only input and its dimensions, for a batch of one.
fn input(
    graph: &GraphProto,
    values: &BTreeMap<String, Value>,
    width: usize,
) -> Result<(String, Vec<usize>), ImportError> {
    let inputs: Vec<_> = graph.input.iter().filter(|input| !values.contains_key(&input.name)).collect();
    let [input] = inputs.as_slice() else { return Err(ImportError::InputCount { got: inputs.len() }) };
    let shape = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref()?.shape.as_ref());
    let declared: Option<Vec<Option<usize>>> = shape.map(|shape| {
        shape.dim.iter().map(|dim| usize::try_from(dim.dim_value?).ok().filter(|dim| *dim > 0)).collect()
    });
    let product = |dims: &[usize]| {
        dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)).unwrap_or(usize::MAX)
    };
    let dims = match declared.as_deref() {
        None | Some([]) => vec![1, width],
        Some([only]) => vec![only.unwrap_or(width)],
        // With every size given, a row is all of the input, or one of its batch.
        Some(dims) if product(&dims.iter().map(|dim| dim.unwrap_or(1)).collect::<Vec<_>>()) == width => {
            dims.iter().map(|dim| dim.unwrap_or(1)).collect()
        }
        Some([_batch, dims @ ..]) => core::iter::once(1).chain(fill(dims, width)).collect(),
    };
    let expected = product(&dims);
    if expected != width {
        return Err(ImportError::InputWidth { expected, got: width });
    }
    Ok((input.name.clone(), dims))
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
fn evaluate(
    proto: &NodeProto,
    values: &BTreeMap<String, Value>,
    uses: &BTreeMap<&str, usize>,
    opset: i64,
    builder: &mut Builder,
) -> Vec<Value> {
    let inputs: Vec<Option<&Value>> = proto.input.iter().map(|name| values.get(name)).collect();
    let refuse = |reason| {
        let name = if proto.name.is_empty() { proto.output.first() } else { Some(&proto.name) };
        let operator = match proto.domain.as_str() {
            "" | "ai.onnx" => proto.op_type.clone(),
            domain => format!("{domain}.{}", proto.op_type),
        };
        let node = name.cloned().unwrap_or_default();
        Value::Spoiled(Arc::new(ImportError::Node { node, operator, reason }))
    };
    let spoiled = inputs.iter().flatten().find(|value| matches!(value, Value::Spoiled(_)));
    let made = match spoiled {
        Some(value) => vec![(*value).clone()],
        None if inputs.iter().flatten().any(|value| matches!(value, Value::Ignored)) => vec![Value::Ignored],
        None => match undefined(proto, &inputs) {
            Some(input) => vec![refuse(NodeReason::MissingInput { input })],
            None => {
                let node = Node::new(proto, &inputs, uses, opset);
                operators::evaluate(&node, builder).unwrap_or_else(|reason| vec![refuse(reason)])
            }
        },
    };
    // Outputs beyond those made are of the same fate as the first, unless that one is useful.
    let rest = match made.first() {
        Some(Value::Spoiled(error)) => Value::Spoiled(Arc::clone(error)),
        _ => Value::Ignored,
    };
    made.into_iter().chain(core::iter::repeat(rest)).take(proto.output.len()).collect()
}

/// An input that is named but made by no node before; a name left empty is an optional input left out.
fn undefined(node: &NodeProto, inputs: &[Option<&Value>]) -> Option<usize> {
    node.input.iter().zip(inputs).position(|(name, value)| value.is_none() && !name.is_empty())
}

/// Chooses the output that answers: a label, else an index, else numbers.
fn answer(
    graph: &GraphProto,
    values: &BTreeMap<String, Value>,
    mut builder: Builder,
    chosen: Option<&[String]>,
) -> Result<Network, ImportError> {
    let names: Vec<&String> = match chosen {
        Some(names) => names.iter().collect(),
        None => graph.output.iter().map(|output| &output.name).collect(),
    };
    if let Some(missing) = names.iter().find(|name| chosen.is_some() && !values.contains_key(**name)) {
        return Err(ImportError::OutputName { name: (*missing).clone() });
    }
    let outputs: Vec<&Value> = names.iter().filter_map(|name| values.get(*name)).collect();
    let label = outputs.iter().find_map(|value| match value {
        Value::Label(decision, labels) => Some((decision, labels)),
        _ => None,
    });
    if let Some((decision, labels)) = label {
        return decide(decision, Some(labels.clone()), builder);
    }
    if let Some(Value::Spoiled(error)) = outputs.iter().find(|value| matches!(value, Value::Spoiled(_))) {
        return Err(error.as_ref().clone());
    }
    if chosen.is_some() && outputs.len() > 1 {
        let parts = outputs.iter().map(|value| operators::real_of(value, &mut builder));
        let refused =
            |reason| ImportError::Node { node: String::new(), operator: "output".to_owned(), reason };
        let parts = parts.collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let output = super::moves::end_to_end(&parts, &mut builder).map_err(refused)?;
        return Ok(Network { builder, output, softmax: None, meaning: Meaning::Values });
    }
    for value in &outputs {
        if let Value::Winner(decision) = value {
            return decide(decision, None, builder);
        }
    }
    for value in &outputs {
        match value {
            Value::Pair(real) => return decide(&Decision::Sign(real.clone()), None, builder),
            Value::Softmax(softmax) if softmax.is_whole() => {
                let output = softmax.real.clone();
                return Ok(Network {
                    builder,
                    output,
                    softmax: Some(softmax.log),
                    meaning: Meaning::Largest(None),
                });
            }
            Value::Real(_) | Value::Softmax(_) | Value::Quantised { .. } => {
                let refused =
                    |reason| ImportError::Node { node: String::new(), operator: "output".to_owned(), reason };
                let output = operators::real_of(value, &mut builder).map_err(refused)?;
                return Ok(Network { builder, output, softmax: None, meaning: Meaning::Values });
            }
            _ => {}
        }
    }
    Err(ImportError::NoAnswer)
}

fn decide(
    decision: &Decision,
    labels: Option<Vec<String>>,
    builder: Builder,
) -> Result<Network, ImportError> {
    let (output, expected) = match decision {
        Decision::Largest(real) => (real, real.width()),
        Decision::Sign(real) => (real, 2),
    };
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != expected) {
        return Err(ImportError::LabelCount { expected, got: labels.len() });
    }
    let meaning = match decision {
        Decision::Largest(_) => Meaning::Largest(labels),
        Decision::Sign(_) => Meaning::Sign(labels.and_then(|labels| labels.try_into().ok())),
    };
    Ok(Network { builder, output: output.clone(), softmax: None, meaning })
}

impl Network {
    /// The program whose last tensor is the output, of one axis. Functions that only dress up a decision are left out
    /// with `decisive`.
    pub(super) fn program(&mut self, decisive: bool) -> Result<Program, ImportError> {
        let refused =
            |reason| ImportError::Node { node: String::new(), operator: "output".to_owned(), reason };
        let mut output = self.output.clone();
        if decisive {
            output.function = decisive_part(&output.function, &self.meaning);
        }
        let tensor = flat(&mut self.builder, &output).map_err(refused)?;
        let program = self.builder.program.only(tensor);
        if !program.nodes.is_empty() {
            return Ok(program);
        }
        // A network that does nothing still needs one operator.
        let copied = self.builder.copy(&self.builder_input()).map_err(refused)?;
        let tensor = flat(&mut self.builder, &copied).map_err(refused)?;
        Ok(self.builder.program.only(tensor))
    }

    fn builder_input(&self) -> Real {
        let shape = self.builder.program.shape(0).to_vec();
        let dims: Vec<usize> = shape.iter().map(|size| *size as usize).collect();
        Real::whole(0, &dims, &shape)
    }
}

/// A tensor of one axis with the value's elements in order.
fn flat(builder: &mut Builder, real: &Real) -> Result<u32, NodeReason> {
    let real = builder.force(real)?;
    let width = real.width();
    let row = builder.reshape(&real, &[width])?;
    let row = builder.single(&row, 0)?;
    let shape = row.axes.concat();
    let shape = if shape.is_empty() { vec![1] } else { shape };
    let whole =
        row == Real::whole(row.tensor, &[width], &shape) && builder.program.shape(row.tensor) == shape;
    if whole { Ok(row.tensor) } else { Ok(builder.copy_logical(&row)?.tensor) }
}

/// The function without what never changes a decision.
fn decisive_part(function: &Expr, meaning: &Meaning) -> Expr {
    use super::expr::Unary;
    match (function, meaning) {
        (Expr::Unary(Unary::Grid { .. }, inner), Meaning::Largest(_) | Meaning::Sign(_)) => {
            decisive_part(inner, meaning)
        }
        (Expr::Unary(_, inner), Meaning::Largest(_)) if function.keeps_order() => {
            decisive_part(inner, meaning)
        }
        _ if matches!(meaning, Meaning::Largest(_)) && function.keeps_order() => Expr::X,
        _ => function.clone(),
    }
}

/// Most nodes of an ONNX graph.
const MAX_ONNX_NODES: usize = 1 << 14;
/// Most operators of a program, dead ones included.
const MAX_PROGRAM_NODES: usize = 1 << 16;
/// Most weights of all nodes together.
const MAX_WEIGHTS: usize = 1 << 26;
/// For files that do not say.
const OPSET_USUAL: i64 = 17;
