//! Ensembles among the other nodes of a file: the program that follows them has their scores for its input.

use std::collections::BTreeMap;

use super::{
    Ensemble,
    read::{Answer, Read, Transform, is_trees, read},
};
use crate::import::{
    build::Builder,
    error::NodeReason,
    expr::{Expr, Unary},
    lower::{Decision, Softmax, Value},
    node::{Made, Node},
    onnx::GraphProto,
    tensor::Real,
};

/// A builder whose input are the scores of all ensembles of a graph, end to end in the order of its nodes.
pub(in crate::import) fn builder(graph: &GraphProto) -> Builder {
    let mut trees = BTreeMap::new();
    let mut width = 0;
    for node in graph.node.iter().filter(|node| is_trees(node)) {
        let made = read(node).map(|made| Read { first: width, ..made });
        width += made.as_ref().map_or(0, |made| made.ensemble.outputs);
        trees.insert(node.output.first().cloned().unwrap_or_default(), made);
    }
    let mut builder = Builder::new(vec![u32::try_from(width.max(1)).unwrap_or(u32::MAX)]);
    builder.trees = trees;
    builder
}

/// Ensembles in the order of their scores.
pub(in crate::import) fn ensembles(builder: &Builder) -> Vec<Ensemble> {
    let mut read: Vec<&Read> = builder.trees.values().filter_map(|made| made.as_ref().ok()).collect();
    read.sort_by_key(|made| made.first);
    read.into_iter().map(|made| made.ensemble.clone()).collect()
}

/// What an ensemble's node gives.
pub(in crate::import) fn evaluate(node: &Node<'_>, builder: &mut Builder) -> Made {
    let Value::Features { single } = node.value(0)? else { return Err(NodeReason::BesideTrees) };
    let name = node.proto.output.first().map(String::as_str).unwrap_or_default();
    let made = builder.trees.get_mut(name).ok_or(NodeReason::Operator)?;
    let made = made.as_mut().map_err(|reason| reason.clone())?;
    made.ensemble.single = *single;
    let (first, count, answer) = (made.first, made.ensemble.outputs, made.answer.clone());
    let scores = scores(builder, first, count)?;
    match answer {
        Answer::Sign { labels } => Ok(vec![Value::Label(Decision::Sign(scores), labels), Value::Ignored]),
        Answer::Largest { labels, transform } => {
            let label = Value::Label(Decision::Largest(scores.clone()), labels);
            // A transform that is not known dresses up what stands beside the label.
            Ok(vec![label, transformed(scores, transform).unwrap_or(Value::Ignored)])
        }
        Answer::Values { transform } => {
            Ok(vec![transformed(scores, transform).ok_or(NodeReason::Attribute { name: "post_transform" })?])
        }
    }
}

/// Part of the program's input as a row.
fn scores(builder: &mut Builder, first: usize, count: usize) -> Result<Real, NodeReason> {
    let total = builder.program.cells(0);
    let all = Real::whole(0, &[1, total], builder.program.shape(0));
    if count == total {
        return Ok(all);
    }
    builder.slice(&all, 1, i64::try_from(first).map_err(|_| NodeReason::TooLarge)?, 1, count)
}

fn transformed(scores: Real, transform: Transform) -> Option<Value> {
    match transform {
        Transform::None => Some(Value::Real(scores)),
        Transform::Logistic => Some(Value::Real(scores.map(&Expr::X.then(Unary::Sigmoid)))),
        Transform::Softmax => Some(Value::Softmax(Softmax { real: scores, axis: 1, log: false })),
        Transform::Other => None,
    }
}
