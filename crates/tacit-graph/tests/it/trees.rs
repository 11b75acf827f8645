//! Ensembles of trees: exports of five libraries against ONNX Runtime (`tests/fixtures/trees/make.py`), random trees against
//! a walk from root to leaf, and everything that is refused.

#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use tacit_graph::{
    Answer, Decoder, GraphError, Model, Operator, RawValue, encode_graph, execute,
    import::{HeldOut, ImportError, ImportOptions, Imported, NodeReason, import, run_float},
    reference,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trees")
}

struct Fixture {
    name: String,
    onnx: Vec<u8>,
    rows: Vec<Vec<f64>>,
    entry: Value,
}

fn numbers(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn fixtures() -> Vec<Fixture> {
    let all: Value = serde_json::from_slice(&fs::read(folder().join("expected.json")).unwrap()).unwrap();
    let fixture = |(name, entry): (&String, &Value)| Fixture {
        name: name.clone(),
        onnx: fs::read(folder().join(format!("{name}.onnx"))).unwrap(),
        rows: numbers(&all["rows"][entry["data"].as_str().unwrap()]),
        entry: entry.clone(),
    };
    all["ensembles"].as_object().unwrap().iter().map(fixture).collect()
}

fn fixture(name: &str) -> Fixture {
    fixtures().into_iter().find(|fixture| fixture.name == name).unwrap()
}

fn logits(model: &Model, row: &[f64]) -> Vec<i32> {
    let raw: Vec<RawValue> = row.iter().map(|x| RawValue::from_f64(*x).unwrap()).collect();
    let input = model.graph().encode_values(&raw).unwrap();
    execute(model, &input, 1).unwrap().logits().to_vec()
}

fn answer(model: &Model, row: &[f64]) -> Answer {
    model.graph().decode_output(&logits(model, row)).unwrap()
}

fn plain(onnx: &[u8]) -> Result<Imported, ImportError> {
    import(onnx, &[], None, &ImportOptions::default())
}

/// Look-ups of groups: one for each element of a tensor that a table of sixteen entries each is applied to.
fn describe(imported: &Imported) -> String {
    imported.report.operators.join(", ")
}

/// Every label of every export, unless two probabilities are within rounding of each other.
#[test]
fn labels_are_those_of_onnx_runtime() {
    let (mut files, mut rows) = (0, 0);
    for fixture in fixtures() {
        let Some(labels) = fixture.entry["labels"].as_array() else { continue };
        let imported = plain(&fixture.onnx).unwrap();
        let margins = fixture.entry["margins"].as_array().unwrap();
        for ((row, label), margin) in fixture.rows.iter().zip(labels).zip(margins) {
            if margin.as_f64().unwrap() < 1e-4 {
                continue;
            }
            let Answer::Label { label: got, .. } = answer(&imported.model, row) else { panic!("no label") };
            assert_eq!(got, label.as_str().unwrap(), "{}", fixture.name);
            rows += 1;
        }
        println!("{}: {}", fixture.name, describe(&imported));
        files += 1;
    }
    assert!(files > 25 && rows > 25 * 140, "{files} {rows}");
}

#[test]
fn values_are_those_of_onnx_runtime() {
    let mut files = 0;
    for fixture in fixtures() {
        if fixture.entry["values"].is_null() {
            continue;
        }
        let expected = numbers(&fixture.entry["values"]);
        let imported = plain(&fixture.onnx).unwrap();
        let float = run_float(&fixture.onnx, &fixture.rows, None).unwrap();
        let largest = expected.iter().flatten().fold(0.0f64, |most, x| most.max(x.abs()));
        for ((row, expected), float) in fixture.rows.iter().zip(&expected).zip(&float) {
            let Answer::Values(scores) = answer(&imported.model, row) else { panic!("no values") };
            for ((score, expected), float) in scores.iter().zip(expected).zip(float) {
                let error = (score.to_f64() - expected).abs();
                assert!(error < 1e-4 * largest, "{}: {error} of {largest}", fixture.name);
                assert!((float - expected).abs() < 1e-6 * largest, "{}: {float} {expected}", fixture.name);
            }
        }
        println!("{}: {}", fixture.name, describe(&imported));
        files += 1;
    }
    assert!(files > 8, "{files}");
}

/// Rows only measure: with or without them it is the same model.
#[test]
fn rows_are_for_the_report() {
    let fixture = fixture("sk_forest");
    let alone = plain(&fixture.onnx).unwrap();
    assert_eq!((alone.report.agreement, alone.report.rows), (None, 0));
    let labels: Vec<String> =
        fixture.entry["labels"].as_array().unwrap().iter().map(|x| x.as_str().unwrap().into()).collect();
    let held_out = HeldOut { rows: &fixture.rows, labels: &labels };
    for calibration in [&[][..], &fixture.rows[..20]] {
        let made = import(&fixture.onnx, calibration, Some(held_out), &ImportOptions::default()).unwrap();
        assert_eq!(encode_graph(made.model.graph()), encode_graph(alone.model.graph()));
        assert!(made.model.weights() == alone.model.weights());
        assert_eq!(made.report.agreement, Some(1.0));
        assert_eq!((made.report.float_score, made.report.integer_score), (Some(1.0), Some(1.0)));
    }
    let names: Vec<String> = (0..30).map(|k| format!("f{k}")).collect();
    let options = ImportOptions { feature_names: Some(names.clone()), ..ImportOptions::default() };
    let made = import(&fixture.onnx, &[], None, &options).unwrap();
    let got: Vec<&String> = made.model.graph().features.iter().map(|feature| &feature.name).collect();
    assert_eq!(got, names.iter().collect::<Vec<_>>());
}

/// Trees of one comparison each are functions of one feature: one look-up a feature, and no group.
#[test]
fn stumps_are_functions_of_features() {
    for name in ["sk_stump", "sk_boosted_stumps"] {
        let imported = plain(&fixture(name).onnx).unwrap();
        let look_ups = |node: &&Operator| matches!(node, Operator::Requantise { .. });
        assert_eq!(imported.model.graph().nodes.iter().filter(look_ups).count(), 1, "{name}");
        assert_eq!(imported.model.graph().nodes.len(), 3, "{name}");
    }
}

#[test]
fn given_labels_decide() {
    let fixture = fixture("joined");
    let labels = Some(vec!["a".to_owned(), "b".to_owned()]);
    let made =
        import(&fixture.onnx, &[], None, &ImportOptions { labels, ..ImportOptions::default() }).unwrap();
    assert!(matches!(&made.model.graph().decoder, Decoder::ArgMax { labels, .. } if labels == &["a", "b"]));
    let values = numbers(&fixture.entry["values"]);
    for (row, values) in fixture.rows.iter().zip(values) {
        let Answer::Label { index, .. } = answer(&made.model, row) else { panic!("no label") };
        assert_eq!(index, usize::from(values[1] > values[0]));
    }
}

#[test]
fn refused_exports() {
    let reason = |name: &str| match plain(&fixture(name).onnx).unwrap_err() {
        ImportError::Node { reason, .. } => reason,
        error => panic!("{name}: {error}"),
    };
    assert_eq!(reason("refused_scaled"), NodeReason::BesideTrees);
    assert_eq!(reason("refused_votes"), NodeReason::AfterTrees);
    assert_eq!(reason("refused_least"), NodeReason::Attribute { name: "aggregate_function" });
    assert_eq!(reason("refused_probit"), NodeReason::Attribute { name: "post_transform" });
    assert_eq!(reason("refused_base"), NodeReason::Attribute { name: "base_values" });
    assert_eq!(reason("refused_some"), NodeReason::Attribute { name: "class_ids" });
    assert_eq!(fixtures().iter().filter(|fixture| !fixture.entry["refused"].is_null()).count(), 6);
}

/// Protocol buffers, as much as a file needs.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push((value % 128) as u8 | 128);
            value /= 128;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}

/// A node under construction.
#[derive(Clone)]
struct Node(Message);

impl Node {
    fn new(operator: &str, outputs: &[&str]) -> Self {
        let message = outputs.iter().fold(Message::default().bytes(1, b"x"), |m, o| m.bytes(2, o.as_bytes()));
        Self(message.bytes(4, operator.as_bytes()).bytes(7, b"ai.onnx.ml"))
    }

    fn attribute(self, name: &str, fill: impl FnOnce(Message) -> Message) -> Self {
        Self(self.0.message(5, &fill(Message::default().bytes(1, name.as_bytes()))))
    }

    fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, |m| values.iter().fold(m, |m, value| m.int(8, *value)))
    }

    fn floats(self, name: &str, values: &[f32]) -> Self {
        self.attribute(name, |m| values.iter().fold(m, |m, value| m.float(7, *value)))
    }

    fn strings(self, name: &str, values: &[&str]) -> Self {
        self.attribute(name, |m| values.iter().fold(m, |m, value| m.bytes(9, value.as_bytes())))
    }

    fn string(self, name: &str, value: &str) -> Self {
        self.attribute(name, |m| m.bytes(4, value.as_bytes()))
    }

    fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, |m| m.int(3, value))
    }

    fn tensor(self, name: &str, kind: i64, fill: impl FnOnce(Message) -> Message) -> Self {
        self.attribute(name, |m| m.message(5, &fill(Message::default().int(2, kind))))
    }

    fn float_tensor(self, name: &str, values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, 1, |m| m.int(1, values.len() as i64).bytes(9, &raw))
    }

    /// A file of this node alone, for rows of some features; `None` leaves the number open.
    fn file(&self, features: Option<i64>) -> Vec<u8> {
        let dim =
            |size: Option<i64>| size.map_or_else(Message::default, |size| Message::default().int(1, size));
        let shape = Message::default().message(1, &dim(None)).message(1, &dim(features));
        let kind = Message::default().message(1, &Message::default().int(1, 1).message(2, &shape));
        let input = Message::default().bytes(1, b"x").message(2, &kind);
        let outputs = ["y", "scores"].map(|name| Message::default().bytes(1, name.as_bytes()));
        let graph = Message::default().message(1, &self.0).message(11, &input);
        let graph = outputs.iter().fold(graph, |graph, output| graph.message(12, output));
        Message::default().message(7, &graph).0
    }
}

/// A tree as a test walks it.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(Vec<f32>),
    Branch { feature: usize, mode: usize, threshold: f32, yes: Box<Self>, no: Box<Self> },
}

const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
const THRESHOLDS: [f32; 9] = [-3.5, -0.1, 0.0, 0.1, 0.3, 1.0, 2.7182817, 100.25, 12345.678];
const FEATURES: usize = 5;

impl Tree {
    fn value(&self, row: &[f32]) -> &[f32] {
        match self {
            Self::Leaf(values) => values,
            Self::Branch { feature, mode, threshold, yes, no } => {
                let x = row[*feature];
                let holds = match mode {
                    0 => x <= *threshold,
                    1 => x < *threshold,
                    2 => x >= *threshold,
                    3 => x > *threshold,
                    4 => x == *threshold,
                    _ => x != *threshold,
                };
                if holds { yes.value(row) } else { no.value(row) }
            }
        }
    }
}

/// Trees up to a depth. Leaves are multiples of 1/64, so that sums are exact in any unit that serves them.
fn trees(depth: u32, outputs: usize) -> impl Strategy<Value = Tree> {
    let leaf = prop::collection::vec(prop_oneof![Just(0i32), -200i32..200], outputs)
        .prop_map(|values| Tree::Leaf(values.into_iter().map(|value| value as f32 / 64.0).collect()));
    leaf.prop_recursive(depth, 64, 2, |inner| {
        let threshold = prop::sample::select(&THRESHOLDS[..]);
        (0..FEATURES, 0..MODES.len(), threshold, inner.clone(), inner).prop_map(
            |(feature, mode, threshold, yes, no)| Tree::Branch {
                feature,
                mode,
                threshold,
                yes: Box::new(yes),
                no: Box::new(no),
            },
        )
    })
}

/// Full trees, which need gates.
fn full_tree(depth: u32, outputs: usize, next: &mut impl FnMut() -> u32) -> Tree {
    if depth == 0 {
        return Tree::Leaf((0..outputs).map(|_| (next() % 401) as f32 / 64.0 - 3.0).collect());
    }
    Tree::Branch {
        feature: next() as usize % FEATURES,
        mode: next() as usize % MODES.len(),
        threshold: THRESHOLDS[next() as usize % THRESHOLDS.len()],
        yes: Box::new(full_tree(depth - 1, outputs, next)),
        no: Box::new(full_tree(depth - 1, outputs, next)),
    }
}

fn numbers_from(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

/// The lists of the older operators.
#[derive(Default)]
struct Lists {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<&'static str>,
    values: Vec<f32>,
    yes: Vec<i64>,
    no: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_nodes: Vec<i64>,
    ids: Vec<i64>,
    weights: Vec<f32>,
}

impl Lists {
    fn new(trees: &[Tree]) -> Self {
        let mut lists = Self::default();
        for (index, tree) in trees.iter().enumerate() {
            lists.add(index as i64, tree, &mut 0);
        }
        lists
    }

    fn add(&mut self, index: i64, tree: &Tree, next: &mut i64) -> i64 {
        let (own, at) = (*next, self.nodes.len());
        *next += 1;
        self.trees.push(index);
        self.nodes.push(own);
        let (feature, mode, value) = match tree {
            Tree::Leaf(_) => (0, "LEAF", 0.0),
            Tree::Branch { feature, mode, threshold, .. } => (*feature as i64, MODES[*mode], *threshold),
        };
        self.features.push(feature);
        self.modes.push(mode);
        self.values.push(value);
        self.yes.push(0);
        self.no.push(0);
        match tree {
            Tree::Leaf(values) => {
                for (id, value) in values.iter().enumerate() {
                    self.leaf_trees.push(index);
                    self.leaf_nodes.push(own);
                    self.ids.push(id as i64);
                    self.weights.push(*value);
                }
            }
            Tree::Branch { yes, no, .. } => {
                self.yes[at] = self.add(index, yes, next);
                self.no[at] = self.add(index, no, next);
            }
        }
        own
    }

    fn node(&self, operator: &str, kind: &str) -> Node {
        let outputs: &[&str] = if kind == "class" { &["y", "scores"] } else { &["y"] };
        Node::new(operator, outputs)
            .ints("nodes_treeids", &self.trees)
            .ints("nodes_nodeids", &self.nodes)
            .ints("nodes_featureids", &self.features)
            .strings("nodes_modes", &self.modes)
            .floats("nodes_values", &self.values)
            .ints("nodes_truenodeids", &self.yes)
            .ints("nodes_falsenodeids", &self.no)
            .ints(&format!("{kind}_treeids"), &self.leaf_trees)
            .ints(&format!("{kind}_nodeids"), &self.leaf_nodes)
            .ints(&format!("{kind}_ids"), &self.ids)
            .floats(&format!("{kind}_weights"), &self.weights)
    }

    fn regressor(&self, outputs: usize) -> Node {
        self.node("TreeEnsembleRegressor", "target").int("n_targets", outputs as i64)
    }
}

/// Trees in the lists of the newer operator; a tree of one leaf is a branch that leads to it either way.
fn joined(trees: &[Tree], outputs: usize) -> Node {
    #[derive(Default)]
    struct Joined {
        features: Vec<i64>,
        modes: Vec<u8>,
        splits: Vec<f32>,
        ways: [Vec<i64>; 4],
        targets: Vec<i64>,
        weights: Vec<f32>,
    }
    impl Joined {
        fn add(&mut self, tree: &Tree, output: usize) -> (i64, bool) {
            match tree {
                Tree::Leaf(values) => {
                    self.targets.push(output as i64);
                    self.weights.push(values[output]);
                    (self.targets.len() as i64 - 1, true)
                }
                Tree::Branch { feature, mode, threshold, yes, no } => {
                    let at = self.features.len();
                    self.features.push(*feature as i64);
                    self.modes.push(*mode as u8);
                    self.splits.push(*threshold);
                    self.ways.iter_mut().for_each(|way| way.push(0));
                    for (place, child) in [yes, no].into_iter().enumerate() {
                        let (index, is_leaf) = self.add(child, output);
                        self.ways[2 * place][at] = index;
                        self.ways[2 * place + 1][at] = i64::from(is_leaf);
                    }
                    (at as i64, false)
                }
            }
        }
    }
    let (mut lists, mut roots) = (Joined::default(), Vec::new());
    for tree in trees {
        for output in 0..outputs {
            let (at, is_leaf) = lists.add(tree, output);
            if !is_leaf {
                roots.push(at);
                continue;
            }
            roots.push(lists.features.len() as i64);
            lists.features.push(0);
            lists.modes.push(0);
            lists.splits.push(0.0);
            for (way, value) in lists.ways.iter_mut().zip([at, 1, at, 1]) {
                way.push(value);
            }
        }
    }
    let [yes, yes_leaf, no, no_leaf] = &lists.ways;
    Node::new("TreeEnsemble", &["y"])
        .int("n_targets", outputs as i64)
        .ints("tree_roots", &roots)
        .ints("nodes_featureids", &lists.features)
        .tensor("nodes_modes", 2, |m| m.int(1, lists.modes.len() as i64).bytes(9, &lists.modes))
        .float_tensor("nodes_splits", &lists.splits)
        .ints("nodes_truenodeids", yes)
        .ints("nodes_trueleafs", yes_leaf)
        .ints("nodes_falsenodeids", no)
        .ints("nodes_falseleafs", no_leaf)
        .ints("leaf_targetids", &lists.targets)
        .float_tensor("leaf_weights", &lists.weights)
}

/// Values at thresholds, just beside them, and anywhere.
fn rows() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let value = prop_oneof![
        prop::sample::select(&THRESHOLDS[..]),
        (prop::sample::select(&THRESHOLDS[..]), prop::sample::select(&[-1f32, 1.0][..]))
            .prop_map(|(t, side)| t + side * (t.abs() / 4096.0).max(1.0 / 65536.0)),
        (-1000i32..1000).prop_map(|k| k as f32 / 8.0),
    ];
    prop::collection::vec(prop::collection::vec(value, FEATURES), 1..12)
}

/// The sum over trees that a walk through each gives.
fn walked(trees: &[Tree], row: &[f32], outputs: usize) -> Vec<f64> {
    (0..outputs).map(|k| trees.iter().map(|tree| f64::from(tree.value(row)[k])).sum()).collect()
}

fn check(onnx: &[u8], trees: &[Tree], rows: &[Vec<f32>], outputs: usize) {
    for gates in [false, true] {
        let options = ImportOptions { gates, ..ImportOptions::default() };
        check_model(&import(onnx, &[], None, &options).unwrap(), trees, rows, outputs);
    }
}

fn check_model(imported: &Imported, trees: &[Tree], rows: &[Vec<f32>], outputs: usize) {
    let model = &imported.model;
    for row in rows {
        let wide: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let Answer::Values(scores) = answer(model, &wide) else { panic!("no values") };
        let got: Vec<f64> = scores.iter().map(|score| score.to_f64()).collect();
        assert_eq!(got, walked(trees, row, outputs), "{row:?} {}", describe(imported));
    }
    let raw: Vec<RawValue> = rows[0].iter().map(|x| RawValue::from_f32(*x).unwrap()).collect();
    let input = model.graph().encode_values(&raw).unwrap();
    assert!(execute(model, &input, 1).unwrap() == reference::execute(model, &input, 1).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Any trees, in both spellings, give what a walk gives, exactly.
    #[test]
    fn random_trees(
        (outputs, trees) in (1usize..4).prop_flat_map(|outputs| {
            (Just(outputs), prop::collection::vec((1u32..7).prop_flat_map(move |depth| trees(depth, outputs)), 1..5))
        }),
        rows in rows(),
    ) {
        let features = Some(FEATURES as i64);
        check(&Lists::new(&trees).regressor(outputs).file(features), &trees, &rows, outputs);
        check(&joined(&trees, outputs).file(features), &trees, &rows, outputs);
    }

    /// Full trees of many features, whose paths take gates, and gates of gates.
    #[test]
    fn full_trees(seed in any::<u64>(), depth in 4u32..7, outputs in 1usize..3, rows in rows()) {
        let mut next = numbers_from(seed);
        let trees: Vec<Tree> = (0..2).map(|_| full_tree(depth, outputs, &mut next)).collect();
        check(&Lists::new(&trees).regressor(outputs).file(Some(FEATURES as i64)), &trees, &rows, outputs);
    }

    /// Exports with a few bytes changed: a model or a reason, never a panic.
    #[test]
    fn damaged_exports_are_imported_or_refused(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let fixtures = fixtures();
        let mut onnx = which.get(&fixtures).onnx.clone();
        for (at, byte) in &changes {
            let at = at.index(onnx.len());
            onnx[at] = *byte;
        }
        let _ = plain(&onnx);
    }
}

/// Gates make fewer look-ups of a deep oblivious tree; without, everything is one look-up away from the features.
#[test]
fn gates_are_for_the_asking() {
    let onnx = fixture("cat_deep").onnx;
    // Look-ups after one another, and those that find leaves.
    let look_ups = |gates: bool| {
        let options = ImportOptions { gates, ..ImportOptions::default() };
        let model = import(&onnx, &[], None, &options).unwrap().model;
        let (mut levels, mut leaves) = (0, 0);
        for (node, tensor) in model.graph().nodes.iter().zip(model.shapes().tensors().iter().skip(1)) {
            let Operator::Requantise { table, .. } = node else { continue };
            levels += 1;
            let table = &model.graph().tables[usize::from(*table)];
            leaves += if table.values.iter().any(|value| *value > 1) { tensor.cells() } else { 0 };
        }
        (levels, leaves)
    };
    let (without, with) = (look_ups(false), look_ups(true));
    assert!(without.0 == 2 && with.0 > 2, "{with:?} {without:?}");
    assert!(with.1 < without.1, "{with:?} {without:?}");
}

/// A way through more features than one sum can count: gates of gates.
#[test]
fn long_ways() {
    for length in [3usize, 14, 15, 16, 17, 40, 128] {
        let mut tree = Tree::Leaf(vec![1.0]);
        for feature in (0..length).rev() {
            // Leaves beside the way differ, so that nothing folds.
            let beside = Box::new(Tree::Leaf(vec![feature as f32 / 2.0 - 8.0]));
            tree = Tree::Branch { feature, mode: 2, threshold: 1.0, yes: Box::new(tree), no: beside };
        }
        let imported = plain(&Lists::new(std::slice::from_ref(&tree)).regressor(1).file(Some(length as i64)));
        let model = imported.unwrap().model;
        let mut row = vec![2.0f32; length];
        for fails in (0..=length).rev() {
            if fails < length {
                row[fails] = 0.5;
            }
            let wide: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let Answer::Values(scores) = answer(&model, &wide) else { panic!("no values") };
            assert_eq!(scores[0].to_f64(), f64::from(tree.value(&row)[0]), "{length} {fails}");
        }
    }
}

/// More groups than one table has room for.
#[test]
fn many_look_ups_take_several_tables() {
    let mut next = numbers_from(7);
    let trees: Vec<Tree> = (0..330).map(|_| full_tree(5, 1, &mut next)).collect();
    let lists = Lists::new(&trees);
    let imported = plain(&lists.regressor(1).file(Some(FEATURES as i64))).unwrap();
    let tables = &imported.model.graph().tables;
    println!("{}", describe(&imported));
    assert!(tables.len() > 2, "{}", tables.len());
    for seed in 0..20 {
        let mut next = numbers_from(seed);
        let row: Vec<f32> = (0..FEATURES).map(|_| THRESHOLDS[next() as usize % THRESHOLDS.len()]).collect();
        let wide: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let Answer::Values(scores) = answer(&imported.model, &wide) else { panic!("no values") };
        assert_eq!(scores[0].to_f64(), walked(&trees, &row, 1)[0]);
    }
}

#[test]
fn a_constant_is_a_model() {
    let leaf = Tree::Leaf(vec![2.5, -1.0]);
    let imported = plain(&Lists::new(&[leaf.clone(), leaf]).regressor(2).file(Some(3))).unwrap();
    let Answer::Values(scores) = answer(&imported.model, &[0.0, 1.0, 2.0]) else { panic!("no values") };
    assert_eq!(scores.iter().map(|score| score.to_f64()).collect::<Vec<_>>(), [5.0, -2.0]);
}

#[test]
fn infinite_thresholds_decide_nothing() {
    let branch = |mode, threshold| Tree::Branch {
        feature: 0,
        mode,
        threshold,
        yes: Box::new(Tree::Leaf(vec![1.0])),
        no: Box::new(Tree::Leaf(vec![0.0])),
    };
    let trees =
        [branch(0, f32::INFINITY), branch(3, f32::NEG_INFINITY), branch(2, f32::MAX), branch(4, f32::MAX)];
    let imported = plain(&Lists::new(&trees).regressor(1).file(Some(1))).unwrap();
    assert!(imported.model.graph().features[0].steps.is_empty());
    let Answer::Values(scores) = answer(&imported.model, &[7.0]) else { panic!("no values") };
    assert_eq!(scores[0].to_f64(), 2.0);
}

fn stump() -> Tree {
    let leaf = |value| Box::new(Tree::Leaf(vec![value]));
    Tree::Branch { feature: 1, mode: 0, threshold: 0.5, yes: leaf(1.0), no: leaf(-1.0) }
}

/// The reason why a regressor of one stump is refused after a change to its lists.
fn refused(change: impl FnOnce(&mut Lists)) -> NodeReason {
    let mut lists = Lists::new(&[stump()]);
    change(&mut lists);
    reason(&lists.regressor(1))
}

fn reason(node: &Node) -> NodeReason {
    match plain(&node.file(Some(2))).unwrap_err() {
        ImportError::Node { reason, .. } => reason,
        error => panic!("{error}"),
    }
}

fn drop_last<T>(list: &mut Vec<T>) {
    list.truncate(list.len() - 1);
}

fn attribute(name: &'static str) -> NodeReason {
    NodeReason::Attribute { name }
}

#[test]
fn lists_that_make_no_trees() {
    assert_eq!(refused(|l| l.nodes[2] = 1), NodeReason::NotTrees);
    assert_eq!(refused(|l| l.yes[0] = 7), NodeReason::NotTrees);
    assert_eq!(refused(|l| l.yes[0] = 2), NodeReason::NotTrees);
    assert_eq!(refused(|l| l.yes[0] = 0), NodeReason::NotTrees);
    assert_eq!(refused(|l| l.trees[2] = 1), NodeReason::NotTrees);
    assert_eq!(refused(|l| l.leaf_nodes[0] = 0), NodeReason::NotTrees);
    assert_eq!(refused(|l| l.leaf_trees[0] = 9), NodeReason::NotTrees);
    // A loop beside a tree.
    assert_eq!(
        refused(|l| {
            for node in [3, 4] {
                l.trees.push(0);
                l.nodes.push(node);
                l.features.push(0);
                l.modes.push("BRANCH_LEQ");
                l.values.push(0.0);
                l.yes.push(7 - node);
                l.no.push(8 - node);
            }
        }),
        NodeReason::NotTrees
    );
    assert_eq!(
        refused(|l| *l = Lists {
            leaf_trees: vec![],
            leaf_nodes: vec![],
            ids: vec![],
            weights: vec![],
            ..Lists::new(&[])
        }),
        NodeReason::NotTrees
    );
}

#[test]
fn lists_of_other_lengths() {
    assert_eq!(refused(|l| drop_last(&mut l.trees)), attribute("nodes_treeids"));
    assert_eq!(refused(|l| drop_last(&mut l.features)), attribute("nodes_featureids"));
    assert_eq!(refused(|l| drop_last(&mut l.modes)), attribute("nodes_modes"));
    assert_eq!(refused(|l| drop_last(&mut l.values)), attribute("nodes_values"));
    assert_eq!(refused(|l| drop_last(&mut l.yes)), attribute("nodes_truenodeids"));
    assert_eq!(refused(|l| drop_last(&mut l.no)), attribute("nodes_falsenodeids"));
    assert_eq!(refused(|l| drop_last(&mut l.leaf_trees)), attribute("target_treeids"));
    assert_eq!(refused(|l| drop_last(&mut l.leaf_nodes)), attribute("target_nodeids"));
    assert_eq!(refused(|l| drop_last(&mut l.ids)), attribute("target_ids"));
    assert_eq!(refused(|l| drop_last(&mut l.weights)), attribute("target_treeids"));
}

#[test]
fn values_that_are_not_supported() {
    assert_eq!(refused(|l| l.modes[0] = "BRANCH_MEMBER"), attribute("nodes_modes"));
    assert_eq!(refused(|l| l.values[0] = f32::NAN), NodeReason::NotFinite);
    assert_eq!(refused(|l| l.weights[0] = f32::INFINITY), NodeReason::NotFinite);
    assert_eq!(refused(|l| l.ids[0] = 1), attribute("target_ids"));
    assert_eq!(refused(|l| l.ids[0] = -1), attribute("target_ids"));
    assert_eq!(refused(|l| l.features[0] = 2), NodeReason::TreeFeature { feature: 2, width: 2 });
    assert!(matches!(refused(|l| l.features[0] = -1), NodeReason::TreeFeature { width: 2, .. }));
    let lists = Lists::new(&[stump()]);
    assert_eq!(reason(&lists.regressor(0)), attribute("n_targets"));
    assert_eq!(reason(&lists.regressor(1 << 13)), attribute("n_targets"));
    assert_eq!(
        reason(&lists.regressor(1).string("aggregate_function", "MIN")),
        attribute("aggregate_function")
    );
    assert_eq!(reason(&lists.regressor(1).string("post_transform", "PROBIT")), attribute("post_transform"));
    assert_eq!(reason(&lists.regressor(1).string("post_transform", "WHAT")), attribute("post_transform"));
    assert_eq!(reason(&lists.regressor(1).string("post_transform", "LOGISTIC")), NodeReason::AfterTrees);
    assert_eq!(reason(&lists.regressor(1).floats("base_values", &[1.0, 2.0])), attribute("base_values"));
    assert_eq!(reason(&lists.regressor(1).floats("base_values", &[f32::NAN])), NodeReason::NotFinite);
    let deep = (0..129).fold(Tree::Leaf(vec![1.0]), |tree, k| Tree::Branch {
        feature: 0,
        mode: 0,
        threshold: k as f32,
        yes: Box::new(tree),
        no: Box::new(Tree::Leaf(vec![0.0])),
    });
    assert_eq!(reason(&Lists::new(&[deep]).regressor(1)), NodeReason::TreeDepth);
}

#[test]
fn classes_that_are_not_supported() {
    let lists = Lists::new(&[stump()]);
    let classes = |count: i64| {
        lists
            .node("TreeEnsembleClassifier", "class")
            .ints("classlabels_int64s", &(0..count).collect::<Vec<_>>())
    };
    assert_eq!(reason(&classes(1)), attribute("classlabels_int64s"));
    assert_eq!(reason(&classes(0)), attribute("classlabels_strings"));
    assert_eq!(reason(&classes(3).floats("base_values", &[0.5])), attribute("base_values"));
    assert_eq!(reason(&classes(2).floats("base_values", &[0.5, 0.5])), attribute("base_values"));
    assert!(plain(&classes(2).floats("base_values", &[0.5]).file(Some(2))).is_ok());
    let mut other = Lists::new(&[stump()]);
    other.ids[0] = 2;
    let node = other.node("TreeEnsembleClassifier", "class");
    assert_eq!(reason(&node.ints("classlabels_int64s", &[0, 1])), attribute("base_values"));
    let none = Lists {
        leaf_trees: vec![],
        leaf_nodes: vec![],
        ids: vec![],
        weights: vec![],
        ..Lists::new(&[stump()])
    };
    let node = none.node("TreeEnsembleClassifier", "class");
    assert_eq!(reason(&node.ints("classlabels_int64s", &[0, 1])), attribute("class_ids"));
}

#[test]
fn joined_lists_that_are_not_supported() {
    let tree = stump();
    let good = joined(std::slice::from_ref(&tree), 1);
    assert!(plain(&good.file(Some(2))).is_ok());
    // The last attribute of a name is not looked at: a list of its own is refused first.
    let with = |name: &str, values: &[i64]| {
        let mut node = Node::new("TreeEnsemble", &["y"]).ints(name, values);
        node.0.0.extend_from_slice(&good.0.0[Node::new("TreeEnsemble", &["y"]).0.0.len()..]);
        reason(&node)
    };
    assert_eq!(with("nodes_truenodeids", &[9]), NodeReason::NotTrees);
    assert_eq!(with("nodes_trueleafs", &[0]), NodeReason::TreeDepth);
    assert_eq!(with("tree_roots", &[1]), NodeReason::NotTrees);
    assert_eq!(with("tree_roots", &[-1]), NodeReason::NotTrees);
    assert_eq!(with("tree_roots", &[]), NodeReason::NotTrees);
    assert_eq!(with("nodes_falseleafs", &[1, 1]), attribute("nodes_falseleafs"));
    assert_eq!(with("nodes_featureids", &[1, 1]), attribute("nodes_truenodeids"));
    assert_eq!(with("leaf_targetids", &[0]), attribute("leaf_targetids"));
    assert_eq!(with("leaf_targetids", &[0, 1]), attribute("leaf_targetids"));
    let mode = |mode: u8| {
        let node =
            Node::new("TreeEnsemble", &["y"]).tensor("nodes_modes", 2, |m| m.int(1, 1).bytes(9, &[mode]));
        let mut node = node;
        node.0.0.extend_from_slice(&good.0.0[Node::new("TreeEnsemble", &["y"]).0.0.len()..]);
        reason(&node)
    };
    assert_eq!(mode(6), attribute("membership_values"));
    let whole = good.clone().tensor("membership_values", 7, |m| m.int(1, 1).int(7, 3));
    assert_eq!(reason(&whole), NodeReason::TensorType { data_type: 7 });
    assert_eq!(mode(7), attribute("nodes_modes"));
    assert_eq!(reason(&good.clone().int("post_transform", 9)), attribute("post_transform"));
    assert_eq!(reason(&good.int("aggregate_function", 3)), attribute("aggregate_function"));
}

#[test]
fn the_number_of_features_has_to_be_known() {
    let node = Lists::new(&[stump()]).regressor(1);
    assert_eq!(plain(&node.file(None)).unwrap_err(), ImportError::NoCalibration);
    let rows = vec![vec![0.0, 1.0]; 2];
    let made = import(&node.file(None), &rows, None, &ImportOptions::default()).unwrap();
    assert_eq!((made.model.graph().features.len(), made.report.agreement), (2, Some(0.0)));
    let narrow = vec![vec![0.0]; 2];
    let refused = ImportError::InputWidth { expected: 2, got: 1 };
    let made = import(&node.file(Some(2)), &narrow, None, &ImportOptions::default());
    assert_eq!(made.unwrap_err(), refused);
    // Networks that are not trees still need calibration rows, held-out ones or not.
    let dense = fs::read(folder().join("../mlp_relu.onnx")).unwrap();
    let held_out = HeldOut { rows: &[vec![0.0; 4]], labels: &["0".to_owned()] };
    let made = import(&dense, &[], Some(held_out), &ImportOptions::default());
    assert_eq!(made.unwrap_err(), ImportError::NoCalibration);
}

#[test]
fn too_many_nodes() {
    let many = vec![0; (1 << 18) + 1];
    let older = Node::new("TreeEnsembleRegressor", &["y"]).ints("nodes_nodeids", &many);
    assert_eq!(reason(&older), NodeReason::TooLarge);
    let newer = Node::new("TreeEnsemble", &["y"]).ints("nodes_featureids", &many);
    assert_eq!(reason(&newer), NodeReason::TooLarge);
    // One branch that both its sides lead to, again and again: small to write, and far too deep.
    let tree =
        Tree::Branch { feature: 0, mode: 0, threshold: 0.0, yes: Box::new(stump()), no: Box::new(stump()) };
    let good = joined(std::slice::from_ref(&tree), 1);
    let head = Node::new("TreeEnsemble", &["y"]);
    let mut node = head.clone().ints("nodes_truenodeids", &[0, 0, 0]).ints("nodes_trueleafs", &[0, 0, 0]);
    node.0.0.extend_from_slice(&good.0.0[head.0.0.len()..]);
    assert_eq!(reason(&node), NodeReason::TreeDepth);
}

/// More steps than a feature's bits can count.
#[test]
fn too_many_thresholds_of_a_feature() {
    let leaf = |value| Box::new(Tree::Leaf(vec![value]));
    let stumps: Vec<Tree> = (0..1 << 14)
        .map(|k| Tree::Branch { feature: 0, mode: 0, threshold: k as f32, yes: leaf(1.0), no: leaf(0.0) })
        .collect();
    let node = |count: usize| Lists::new(&stumps[..count]).regressor(1);
    assert!(plain(&node((1 << 14) - 1).file(Some(2))).is_ok());
    assert_eq!(reason(&node(1 << 14)), NodeReason::TooLarge);
}

/// Names that a terminal could obey are refused with everything else that makes no graph.
#[test]
fn graphs_that_are_refused() {
    let node = Lists::new(&[stump()]).node("TreeEnsembleClassifier", "class");
    let node = node.strings("classlabels_strings", &["a\u{1b}", "b"]);
    let refused = plain(&node.file(Some(2))).unwrap_err();
    assert_eq!(refused, ImportError::Graph(GraphError::TextControl { got: '\u{1b}' }));
}
