//! Ensembles as ONNX writes them: `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, and the `TreeEnsemble` that replaces
//! both.
//!
//! Where the standard leaves open what label two classes get, it is what the ONNX runtime answers; what it answers
//! without sense (base values that it adds to the wrong class) is refused.

use std::collections::BTreeMap;

use super::{Comparison, DEPTH_MOST, Ensemble, NODES_MOST, Node, Tree};
use crate::import::{
    error::NodeReason,
    node::Node as OnnxNode,
    onnx::{Constant, NodeProto, TensorProto},
};

/// An ensemble and what its node gives.
#[derive(Debug, Clone)]
pub(in crate::import) struct Read {
    pub(in crate::import) ensemble: Ensemble,
    pub(in crate::import) answer: Answer,
    /// Where its scores start among those of all ensembles.
    pub(in crate::import) first: usize,
}

/// What a node gives beside the scores.
#[derive(Debug, Clone)]
pub(in crate::import) enum Answer {
    /// The label of the largest score, and the scores.
    Largest { labels: Vec<String>, transform: Transform },
    /// One of two labels by the sign of the only score.
    Sign { labels: Vec<String> },
    /// Scores alone.
    Values { transform: Transform },
}

/// What is done to the scores last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum Transform {
    None,
    Logistic,
    Softmax,
    /// One that is for people to look at beside a label.
    Other,
}

/// Whether a node is an ensemble of trees.
pub(in crate::import) fn is_trees(node: &NodeProto) -> bool {
    node.domain == "ai.onnx.ml"
        && matches!(
            node.op_type.as_str(),
            "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble"
        )
}

/// Reads a node's trees.
pub(in crate::import) fn read(proto: &NodeProto) -> Result<Read, NodeReason> {
    let uses = BTreeMap::new();
    let node = OnnxNode::new(proto, &[], &uses, 1);
    match proto.op_type.as_str() {
        "TreeEnsembleClassifier" => classifier(&node),
        "TreeEnsembleRegressor" => regressor(&node),
        _ => ensemble(&node),
    }
}

fn classifier(node: &OnnxNode<'_>) -> Result<Read, NodeReason> {
    let labels = node.labels("classlabels_int64s", "classlabels_strings")?;
    let weights = weights(node, ["class_treeids", "class_nodeids", "class_ids", "class_weights"])?;
    let mut trees = Trees::read(node)?.grow(&weights)?;
    let base = numbers(node, "base_values")?;
    let transform = transform_by_name(node)?;
    let refused = |name| Err(NodeReason::Attribute { name });
    if labels.len() > 2 {
        let base = if base.is_empty() { vec![0.0; labels.len()] } else { base };
        if base.len() != labels.len() {
            return refused("base_values");
        }
        let ensemble = Ensemble { trees, outputs: labels.len(), base, single: true };
        return Read { ensemble, answer: Answer::Largest { labels, transform }, first: 0 }
            .checked("class_ids");
    }
    if labels.len() != 2 {
        return refused("classlabels_int64s");
    }
    let all_positive = weights.values().flatten().all(|(_, weight)| *weight >= 0.0);
    let mut classes: Vec<usize> = weights.values().flatten().map(|(class, _)| *class).collect();
    classes.sort_unstable();
    classes.dedup();
    let zero = base.iter().all(|value| *value == 0.0);
    let base = match (classes.as_slice(), base.as_slice()) {
        ([], _) => return refused("class_ids"),
        ([0], [value]) => *value,
        ([_], _) if zero => 0.0,
        // The second class decides by its sign, if every row gets a score for it.
        ([0, 1], _) if zero && !all_positive && trees.iter().any(|tree| tree.always_gives(1)) => 0.0,
        ([0, 1], _) if zero => return refused("class_ids"),
        _ => return refused("base_values"),
    };
    let decisive = classes.last().copied().unwrap_or(0);
    let count = trees.len() as f64;
    // Probabilities of the second class decide at one half, of which every tree takes its share: halves that trees
    // vote against each other cancel out.
    let share = if classes.len() == 1 && all_positive { 0.5 / count } else { 0.0 };
    for leaf in trees.iter_mut().flat_map(Tree::leaves) {
        let value: f64 = leaf.iter().filter(|(class, _)| *class == decisive).map(|(_, value)| value).sum();
        *leaf = vec![(0, value - share)];
    }
    let ensemble = Ensemble { trees, outputs: 1, base: vec![base], single: true };
    Read { ensemble, answer: Answer::Sign { labels }, first: 0 }.checked("class_ids")
}

fn regressor(node: &OnnxNode<'_>) -> Result<Read, NodeReason> {
    let weights = weights(node, ["target_treeids", "target_nodeids", "target_ids", "target_weights"])?;
    let mut trees = Trees::read(node)?.grow(&weights)?;
    let average = match node.attribute("aggregate_function").and_then(|a| a.s.as_deref()) {
        None | Some(b"SUM") => false,
        Some(b"AVERAGE") => true,
        Some(_) => return Err(NodeReason::Attribute { name: "aggregate_function" }),
    };
    let outputs = targets(node)?;
    if average {
        averaged(&mut trees);
    }
    let base = numbers(node, "base_values")?;
    let base = if base.is_empty() { vec![0.0; outputs] } else { base };
    if base.len() != outputs {
        return Err(NodeReason::Attribute { name: "base_values" });
    }
    let transform = transform_by_name(node)?;
    let ensemble = Ensemble { trees, outputs, base, single: true };
    Read { ensemble, answer: Answer::Values { transform }, first: 0 }.checked("target_ids")
}

fn ensemble(node: &OnnxNode<'_>) -> Result<Read, NodeReason> {
    let mut trees = joined_trees(node)?;
    match node.int("aggregate_function", 1) {
        0 => averaged(&mut trees),
        1 => {}
        _ => return Err(NodeReason::Attribute { name: "aggregate_function" }),
    }
    let transform = match node.int("post_transform", 0) {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 | 4 => Transform::Other,
        _ => return Err(NodeReason::Attribute { name: "post_transform" }),
    };
    let outputs = targets(node)?;
    let ensemble = Ensemble { trees, outputs, base: vec![0.0; outputs], single: true };
    Read { ensemble, answer: Answer::Values { transform }, first: 0 }.checked("leaf_targetids")
}

impl Read {
    /// Refuses scores that are not there, and numbers that cannot be added up.
    fn checked(self, name: &'static str) -> Result<Self, NodeReason> {
        let leaves = || self.ensemble.trees.iter().flat_map(|tree| &tree.nodes).filter_map(Node::leaf);
        if self.ensemble.trees.is_empty() {
            return Err(NodeReason::NotTrees);
        }
        if leaves().flatten().any(|(output, _)| *output >= self.ensemble.outputs) {
            return Err(NodeReason::Attribute { name });
        }
        let values = leaves().flatten().map(|(_, value)| value);
        if !values.chain(&self.ensemble.base).all(|value| value.is_finite()) {
            return Err(NodeReason::NotFinite);
        }
        Ok(self)
    }
}

impl Node {
    fn leaf(&self) -> Option<&Vec<(usize, f64)>> {
        match self {
            Self::Leaf(values) => Some(values),
            Self::Branch { .. } => None,
        }
    }
}

impl Tree {
    fn leaves(&mut self) -> impl Iterator<Item = &mut Vec<(usize, f64)>> {
        self.nodes.iter_mut().filter_map(|node| match node {
            Node::Leaf(values) => Some(values),
            Node::Branch { .. } => None,
        })
    }

    fn always_gives(&self, class: usize) -> bool {
        self.nodes.iter().filter_map(Node::leaf).all(|leaf| leaf.iter().any(|(of, _)| *of == class))
    }
}

fn averaged(trees: &mut [Tree]) {
    let count = trees.len() as f64;
    for (_, value) in trees.iter_mut().flat_map(Tree::leaves).flatten() {
        *value /= count;
    }
}

fn targets(node: &OnnxNode<'_>) -> Result<usize, NodeReason> {
    let targets = usize::try_from(node.int("n_targets", 1)).unwrap_or(0);
    if (1..=OUTPUTS_MOST).contains(&targets) {
        Ok(targets)
    } else {
        Err(NodeReason::Attribute { name: "n_targets" })
    }
}

fn transform_by_name(node: &OnnxNode<'_>) -> Result<Transform, NodeReason> {
    match node.attribute("post_transform").and_then(|attribute| attribute.s.as_deref()) {
        None | Some(b"NONE") => Ok(Transform::None),
        Some(b"LOGISTIC") => Ok(Transform::Logistic),
        Some(b"SOFTMAX") => Ok(Transform::Softmax),
        Some(b"SOFTMAX_ZERO" | b"PROBIT") => Ok(Transform::Other),
        Some(_) => Err(NodeReason::Attribute { name: "post_transform" }),
    }
}

/// Floats from an attribute, or from the tensor that newer versions have instead.
fn numbers(node: &OnnxNode<'_>, name: &'static str) -> Result<Vec<f64>, NodeReason> {
    let tensor = node.attribute(&format!("{name}_as_tensor")).and_then(|attribute| attribute.t.as_ref());
    match tensor {
        Some(tensor) => tensor_numbers(tensor),
        None => Ok(node.floats(name)),
    }
}

fn tensor_numbers(tensor: &TensorProto) -> Result<Vec<f64>, NodeReason> {
    Ok(Constant::from_proto(tensor)?.numbers()?.to_vec())
}

fn whole(value: &i64) -> usize {
    usize::try_from(*value).unwrap_or(usize::MAX)
}

/// Which leaf, by tree and node, adds what to which score.
type Weights = BTreeMap<(i64, i64), Vec<(usize, f64)>>;

fn weights(
    node: &OnnxNode<'_>,
    [trees, nodes, ids, weights]: [&'static str; 4],
) -> Result<Weights, NodeReason> {
    let list = |name| node.ints(name).unwrap_or_default();
    let values = numbers(node, weights)?;
    for name in [trees, nodes, ids] {
        if list(name).len() != values.len() {
            return Err(NodeReason::Attribute { name });
        }
    }
    let mut made = Weights::new();
    for (((tree, node), id), value) in list(trees).iter().zip(list(nodes)).zip(list(ids)).zip(values) {
        made.entry((*tree, *node)).or_default().push((whole(id), value));
    }
    Ok(made)
}

/// Nodes of older versions: each has the number of its tree and its own, and names its children by theirs.
struct Trees {
    nodes: BTreeMap<(i64, i64), Written>,
}

/// A node as it is written.
enum Written {
    Leaf,
    Branch { feature: usize, comparison: Comparison, yes: i64, no: i64 },
}

impl Trees {
    fn read(node: &OnnxNode<'_>) -> Result<Self, NodeReason> {
        let ids = node.ints("nodes_nodeids").unwrap_or_default();
        if ids.len() > NODES_MOST {
            return Err(NodeReason::TooLarge);
        }
        let list = |name: &'static str| {
            let list = node.ints(name).unwrap_or_default();
            if list.len() == ids.len() { Ok(list) } else { Err(NodeReason::Attribute { name }) }
        };
        let (trees, features) = (list("nodes_treeids")?, list("nodes_featureids")?);
        let (yes, no) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
        let (modes, values) = (node.strings("nodes_modes")?, numbers(node, "nodes_values")?);
        if modes.len() != ids.len() {
            return Err(NodeReason::Attribute { name: "nodes_modes" });
        }
        if values.len() != ids.len() {
            return Err(NodeReason::Attribute { name: "nodes_values" });
        }
        let mut made = Self { nodes: BTreeMap::new() };
        let rows = ids.iter().zip(trees).zip(features).zip(yes.iter().zip(no)).zip(modes.iter().zip(values));
        for ((((id, tree), feature), (yes, no)), (mode, value)) in rows {
            let node = if mode == "LEAF" {
                Written::Leaf
            } else {
                let comparison = comparison(mode, value)?;
                Written::Branch { feature: whole(feature), comparison, yes: *yes, no: *no }
            };
            if made.nodes.insert((*tree, *id), node).is_some() {
                return Err(NodeReason::NotTrees);
            }
        }
        Ok(made)
    }

    /// The trees with these leaves.
    fn grow(&self, weights: &Weights) -> Result<Vec<Tree>, NodeReason> {
        if weights.keys().any(|leaf| !matches!(self.nodes.get(leaf), Some(Written::Leaf))) {
            return Err(NodeReason::NotTrees);
        }
        let mut parents: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        for ((tree, _), node) in &self.nodes {
            if let Written::Branch { yes, no, .. } = node {
                for child in [yes, no] {
                    *parents.entry((*tree, *child)).or_insert(0) += 1;
                }
            }
        }
        if parents.values().any(|count| *count > 1) {
            return Err(NodeReason::NotTrees);
        }
        let mut names: Vec<i64> = self.nodes.keys().map(|(tree, _)| *tree).collect();
        names.dedup();
        let mut made = Vec::with_capacity(names.len());
        for tree in &names {
            let members = || self.nodes.range((*tree, i64::MIN)..=(*tree, i64::MAX));
            let mut roots = members().map(|(key, _)| *key).filter(|key| !parents.contains_key(key));
            let (Some(root), None) = (roots.next(), roots.next()) else { return Err(NodeReason::NotTrees) };
            let grown = grow(root, |key| {
                Ok(match self.nodes.get(key).ok_or(NodeReason::NotTrees)? {
                    Written::Leaf => Grown::Leaf(weights.get(key).cloned().unwrap_or_default()),
                    Written::Branch { feature, comparison, yes, no } => Grown::Branch {
                        feature: *feature,
                        comparison: comparison.clone(),
                        children: [(*tree, *yes), (*tree, *no)],
                    },
                })
            })?;
            if grown.nodes.len() != members().count() {
                return Err(NodeReason::NotTrees);
            }
            made.push(grown);
        }
        Ok(made)
    }
}

fn comparison(mode: &str, value: f64) -> Result<Comparison, NodeReason> {
    if value.is_nan() {
        return Err(NodeReason::NotFinite);
    }
    Ok(match mode {
        "BRANCH_LEQ" => Comparison::AtMost(value),
        "BRANCH_LT" => Comparison::Below(value),
        "BRANCH_GTE" => Comparison::AtLeast(value),
        "BRANCH_GT" => Comparison::Above(value),
        "BRANCH_EQ" => Comparison::Among(vec![value]),
        "BRANCH_NEQ" => Comparison::NotAmong(vec![value]),
        _ => return Err(NodeReason::Attribute { name: "nodes_modes" }),
    })
}

/// A node with the names of its children.
enum Grown<K> {
    Leaf(Vec<(usize, f64)>),
    Branch { feature: usize, comparison: Comparison, children: [K; 2] },
}

/// Grows a tree from its root; a loop would make it too deep.
fn grow<K: Copy>(root: K, look_up: impl Fn(&K) -> Result<Grown<K>, NodeReason>) -> Result<Tree, NodeReason> {
    let mut nodes: Vec<Node> = Vec::new();
    // A node to make, how deep, and where its parent names it.
    let mut waiting = vec![(root, 0usize, None::<(usize, bool)>)];
    while let Some((key, depth, place)) = waiting.pop() {
        if depth > DEPTH_MOST {
            return Err(NodeReason::TreeDepth);
        }
        let index = nodes.len();
        if index >= NODES_MOST {
            return Err(NodeReason::TooLarge);
        }
        if let Some((parent, is_yes)) = place
            && let Some(Node::Branch { yes, no, .. }) = nodes.get_mut(parent)
        {
            *(if is_yes { yes } else { no }) = index;
        }
        match look_up(&key)? {
            Grown::Leaf(values) => nodes.push(Node::Leaf(values)),
            Grown::Branch { feature, comparison, children: [yes, no] } => {
                nodes.push(Node::Branch { feature, comparison, yes: 0, no: 0 });
                waiting.push((no, depth + 1, Some((index, false))));
                waiting.push((yes, depth + 1, Some((index, true))));
            }
        }
    }
    Ok(Tree { nodes })
}

/// Trees of the newer operator: one list of branches, one of leaves, places in them instead of numbers.
fn joined_trees(node: &OnnxNode<'_>) -> Result<Vec<Tree>, NodeReason> {
    let ints = |name| node.ints(name).unwrap_or_default();
    let tensor = |name: &'static str| {
        let tensor = node.attribute(name).and_then(|attribute| attribute.t.as_ref());
        tensor.map(tensor_numbers).transpose()?.ok_or(NodeReason::Attribute { name })
    };
    let features = ints("nodes_featureids");
    if features.len() > NODES_MOST {
        return Err(NodeReason::TooLarge);
    }
    let list = |name: &'static str| {
        let list = ints(name);
        if list.len() == features.len() { Ok(list) } else { Err(NodeReason::Attribute { name }) }
    };
    let (yes, no) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
    let (yes_leaf, no_leaf) = (list("nodes_trueleafs")?, list("nodes_falseleafs")?);
    let (splits, modes) = (tensor("nodes_splits")?, tensor("nodes_modes")?);
    if splits.len() != features.len() || modes.len() != features.len() {
        return Err(NodeReason::Attribute { name: "nodes_modes" });
    }
    let (weights, targets) = (tensor("leaf_weights")?, ints("leaf_targetids"));
    if weights.len() != targets.len() {
        return Err(NodeReason::Attribute { name: "leaf_targetids" });
    }
    let mut members = members(node)?.into_iter();
    let mut comparisons = Vec::with_capacity(features.len());
    for (mode, split) in modes.iter().zip(&splits) {
        let name = MODES.get(*mode as usize).ok_or(NodeReason::Attribute { name: "nodes_modes" })?;
        comparisons.push(if *name == "BRANCH_MEMBER" {
            let values = members.next().ok_or(NodeReason::Attribute { name: "membership_values" })?;
            Comparison::Among(values)
        } else {
            comparison(name, *split)?
        });
    }
    let mut trees = Vec::new();
    let mut nodes = 0usize;
    for root in ints("tree_roots") {
        let tree = grow((false, whole(root)), |(is_leaf, at)| {
            if *is_leaf {
                let leaf = weights.get(*at).zip(targets.get(*at));
                let (weight, target) = leaf.ok_or(NodeReason::NotTrees)?;
                return Ok(Grown::Leaf(vec![(whole(target), *weight)]));
            }
            let child = |to: &[i64], leaf: &[i64]| Some((*leaf.get(*at)? != 0, to.get(*at).map(whole)?));
            let children = child(yes, yes_leaf).zip(child(no, no_leaf));
            let branch = features.get(*at).zip(comparisons.get(*at)).zip(children);
            let ((feature, comparison), (yes, no)) = branch.ok_or(NodeReason::NotTrees)?;
            Ok(Grown::Branch { feature: whole(feature), comparison: comparison.clone(), children: [yes, no] })
        })?;
        nodes += tree.nodes.len();
        if nodes > NODES_MOST {
            return Err(NodeReason::TooLarge);
        }
        trees.push(tree);
    }
    Ok(trees)
}

/// Lists of numbers, parted by what is none.
fn members(node: &OnnxNode<'_>) -> Result<Vec<Vec<f64>>, NodeReason> {
    let Some(tensor) = node.attribute("membership_values").and_then(|attribute| attribute.t.as_ref()) else {
        return Ok(Vec::new());
    };
    // The gaps are no numbers, which other constants may not have.
    let values = match (tensor.raw_data.as_deref(), tensor.data_type) {
        (Some(raw), crate::import::onnx::FLOAT) => {
            raw.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        }
        (Some(raw), crate::import::onnx::DOUBLE) => {
            raw.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
        }
        (None, crate::import::onnx::FLOAT) => tensor.float_data.iter().map(|v| f64::from(*v)).collect(),
        (None, crate::import::onnx::DOUBLE) => tensor.double_data.clone(),
        (_, data_type) => return Err(NodeReason::TensorType { data_type }),
    };
    let lists = values.split(|value| value.is_nan()).map(<[f64]>::to_vec);
    Ok(lists.filter(|list| !list.is_empty()).collect())
}

/// Comparisons of the newer operator, by number.
const MODES: [&str; 7] =
    ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"];
/// Most scores of an ensemble.
const OUTPUTS_MOST: usize = 1 << 12;
