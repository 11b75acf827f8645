//! Small ONNX graphs made by hand: what each refusal needs, and shapes that exporters seldom give.

use prost::Message;

use super::{
    HeldOut, ImportError, ImportOptions, Imported, NodeReason, import,
    onnx::{
        AttributeProto, DOUBLE, DimensionProto, FLOAT, GraphProto, INT8, ModelProto, NodeProto, STRING,
        ShapeProto, TensorProto, TensorTypeProto, TypeProto, ValueInfoProto,
    },
};
use crate::{graph::Decoder, raw::RawValueError};

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| DimensionProto { dim_value: (*dim > 0).then_some(*dim) }).collect();
    let shape = Some(ShapeProto { dim });
    let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|name| (*name).to_owned()).collect();
    NodeProto { op_type: op_type.into(), input, output: vec![output.into()], ..NodeProto::default() }
}

fn with_int(mut node: NodeProto, name: &str, i: i64) -> NodeProto {
    node.attribute.push(AttributeProto { name: name.into(), i: Some(i), ..AttributeProto::default() });
    node
}

/// Two features `x`; weights `w` (2 by 2), `b` (2), `one` (a scalar), `labels` (two texts); output `y`.
fn network(nodes: Vec<NodeProto>) -> GraphProto {
    let texts = TensorProto {
        name: "labels".into(),
        dims: vec![2],
        data_type: STRING,
        string_data: vec![b"no".to_vec(), b"yes".to_vec()],
        ..TensorProto::default()
    };
    GraphProto {
        node: nodes,
        initializer: vec![
            tensor("w", &[2, 2], &[1.0, -0.5, 0.25, 2.0]),
            tensor("b", &[2], &[0.5, -0.5]),
            tensor("one", &[], &[1.0]),
            texts,
        ],
        input: vec![value("x", &[-1, 2])],
        output: vec![value("y", &[-1, 2])],
    }
}

fn bytes(graph: GraphProto) -> Vec<u8> {
    ModelProto { graph: Some(graph), opset_import: Vec::new() }.encode_to_vec()
}

fn rows() -> Vec<Vec<f64>> {
    (0..40).map(|k| vec![f64::from(k) / 10.0 - 2.0, f64::from(k * 7 % 40) / 20.0]).collect()
}

fn imported(graph: GraphProto) -> Result<Imported, ImportError> {
    import(&bytes(graph), &rows(), None, &ImportOptions::default())
}

/// Why the only questionable node is refused.
fn reason(nodes: Vec<NodeProto>) -> NodeReason {
    match imported(network(nodes)).unwrap_err() {
        ImportError::Node { reason, .. } => reason,
        error => panic!("{error}"),
    }
}

fn initialiser(tensor: TensorProto) -> NodeReason {
    let mut graph = network(vec![node("MatMul", &["x", "w"], "y")]);
    graph.initializer.push(tensor);
    match imported(graph).unwrap_err() {
        ImportError::Initialiser { reason, .. } => reason,
        error => panic!("{error}"),
    }
}

#[test]
fn a_linear_network() {
    let nodes = vec![node("MatMul", &["x", "w"], "h"), node("Add", &["h", "b"], "y")];
    let made = imported(network(nodes)).unwrap();
    assert_eq!(made.report.operators, ["dense 2x2"]);
    assert!(made.report.agreement.unwrap() < 0.02, "{:?}", made.report);
}

#[test]
fn files_that_are_no_networks() {
    let options = ImportOptions::default();
    assert_eq!(import(b"\xff\xff", &rows(), None, &options).unwrap_err(), ImportError::NotOnnx);
    assert_eq!(import(b"", &rows(), None, &options).unwrap_err(), ImportError::NoGraph);
    let large = vec![0; super::MAX_ONNX_BYTES + 1];
    let got = large.len();
    assert_eq!(import(&large, &rows(), None, &options).unwrap_err(), ImportError::FileTooLarge { got });
}

#[test]
fn inputs() {
    let mut graph = network(vec![node("MatMul", &["x", "w"], "y")]);
    graph.input.push(value("z", &[-1, 2]));
    assert_eq!(imported(graph.clone()).unwrap_err(), ImportError::InputCount { got: 2 });
    // Old exporters list initialisers among the inputs.
    graph.input[1] = value("w", &[2, 2]);
    imported(graph.clone()).unwrap();
    graph.input[0] = value("x", &[-1, 3]);
    assert_eq!(imported(graph.clone()).unwrap_err(), ImportError::InputWidth { expected: 3, got: 2 });
    graph.input[0] = value("x", &[-1, i64::MAX, i64::MAX]);
    assert_eq!(imported(graph).unwrap_err(), ImportError::InputWidth { expected: usize::MAX, got: 2 });
}

#[test]
fn outputs() {
    let mut graph = network(vec![node("MatMul", &["x", "w"], "h")]);
    assert_eq!(imported(graph.clone()).unwrap_err(), ImportError::NoAnswer);
    graph.output = vec![value("labels", &[2])];
    assert_eq!(imported(graph).unwrap_err(), ImportError::NoAnswer);
}

#[test]
fn calibration_rows() {
    let file = bytes(network(vec![node("MatMul", &["x", "w"], "y")]));
    let refused = |rows: &[Vec<f64>]| import(&file, rows, None, &ImportOptions::default()).unwrap_err();
    assert_eq!(refused(&[]), ImportError::NoCalibration);
    assert_eq!(refused(&[vec![1.0, 2.0], vec![1.0]]), ImportError::RowLength { row: 1, expected: 2, got: 1 });
    let source = RawValueError::NotANumber;
    assert_eq!(refused(&[vec![1.0, f64::NAN]]), ImportError::Value { row: 0, feature: 1, source });
    let source = RawValueError::TooLarge;
    assert_eq!(refused(&[vec![1e300, 0.0]]), ImportError::Value { row: 0, feature: 0, source });
}

#[test]
fn held_out_rows() {
    let file = bytes(network(vec![node("MatMul", &["x", "w"], "y")]));
    let rows = rows();
    let refused = |labels: &[String]| {
        let held_out = Some(HeldOut { rows: &rows[..2], labels });
        import(&file, &rows, held_out, &ImportOptions::default()).unwrap_err()
    };
    assert_eq!(refused(&["1".into()]), ImportError::HeldOutCount { rows: 2, labels: 1 });
    let expected = ImportError::HeldOutNumber { row: 1, expected: 2 };
    assert_eq!(refused(&["1,2".into(), "1".into()]), expected);
    assert_eq!(refused(&["1,2".into(), "1,x".into()]), expected);
}

#[test]
fn options() {
    let file = bytes(network(vec![node("MatMul", &["x", "w"], "y")]));
    let refused = |options: ImportOptions| import(&file, &rows(), None, &options).unwrap_err();
    for got in [3, 17] {
        let options = ImportOptions { table_bits_max: got, ..ImportOptions::default() };
        assert_eq!(refused(options), ImportError::TableBits { got });
    }
    for got in [7, 17] {
        let options = ImportOptions { input_bits_max: got, ..ImportOptions::default() };
        assert_eq!(refused(options), ImportError::InputBits { got });
    }
    let labels = Some(vec!["a".to_owned(); 3]);
    let options = ImportOptions { labels, ..ImportOptions::default() };
    assert_eq!(refused(options), ImportError::LabelCount { expected: 2, got: 3 });
    let feature_names = Some(vec!["a".to_owned()]);
    let options = ImportOptions { feature_names, ..ImportOptions::default() };
    assert_eq!(refused(options), ImportError::FeatureNameCount { expected: 2, got: 1 });
    let labels = Some(vec!["a".to_owned(); 2]);
    let options = ImportOptions { labels, ..ImportOptions::default() };
    let twice = crate::error::GraphError::LabelTwice { index: 1 };
    assert_eq!(refused(options), ImportError::Graph(twice));
}

/// Scores without labels: held-out labels that number the outputs make a classifier of them.
#[test]
fn held_out_numbers_settle_what_scores_mean() {
    let file = bytes(network(vec![node("MatMul", &["x", "w"], "y")]));
    let rows = rows();
    let decoder = |labels: &[&str]| {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let held_out = Some(HeldOut { rows: &rows[..2], labels: &labels });
        import(&file, &rows, held_out, &ImportOptions::default()).unwrap().model.graph().decoder.clone()
    };
    assert!(matches!(decoder(&["1", "0"]), Decoder::ArgMax { .. }));
    assert!(matches!(decoder(&["1,0", "0,1"]), Decoder::Values { .. }));
}

#[test]
fn labels_that_do_not_fit() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "s"),
        with_int(node("ArgMax", &["s"], "i"), "axis", 1),
        node("Gather", &["wrong", "i"], "y"),
    ];
    let mut graph = network(nodes);
    let mut texts = graph.initializer[3].clone();
    (texts.name, texts.dims) = ("wrong".into(), vec![1]);
    texts.string_data.pop();
    graph.initializer.push(texts);
    assert_eq!(imported(graph).unwrap_err(), ImportError::LabelCount { expected: 2, got: 1 });
}

#[test]
fn nodes_out_of_place() {
    let dense = || node("MatMul", &["x", "w"], "h");
    let after = |second: NodeProto| reason(vec![dense(), second]);
    assert_eq!(after(node("Det", &["h"], "y")), NodeReason::Operator);
    assert_eq!(after(node("Relu", &["nowhere"], "y")), NodeReason::MissingInput { input: 0 });
    assert_eq!(after(node("Relu", &[], "y")), NodeReason::MissingInput { input: 0 });
    assert_eq!(after(node("MatMul", &["h", "h"], "y")), NodeReason::Shape);
    assert_eq!(after(node("MatMul", &["w", "w"], "y")), NodeReason::NeedsRow { input: 0 });
    assert_eq!(after(node("Conv", &["h", "h"], "y")), NodeReason::NeedsConstant { input: 1 });
    assert_eq!(after(node("MatMul", &["h", "one"], "y")), NodeReason::Shape);
    assert_eq!(after(node("Add", &["h", "labels"], "y")), NodeReason::NeedsNumbers);
    assert_eq!(after(node("Clip", &["h", "b"], "y")), NodeReason::NeedsScalar);
    assert_eq!(after(node("Clip", &["h", "h"], "y")), NodeReason::NeedsConstant { input: 1 });
    assert_eq!(after(node("MatMulInteger", &["w", "w"], "y")), NodeReason::NeedsQuantised { input: 0 });
    assert_eq!(after(node("DynamicQuantizeLinear", &["h"], "y")), NodeReason::Dynamic);
    assert_eq!(
        after(with_int(node("Softmax", &["h"], "y"), "axis", 2)),
        NodeReason::Attribute { name: "axis" }
    );
    let normaliser = NodeProto { domain: "ai.onnx.ml".into(), ..node("Normalizer", &["h"], "y") };
    assert_eq!(after(normaliser), NodeReason::Normaliser);
    let division = reason(vec![node("Sub", &["one", "one"], "zero"), node("Div", &["x", "zero"], "y")]);
    assert_eq!(division, NodeReason::NotFinite);
}

#[test]
fn a_selection_of_very_many_columns_is_too_large() {
    let mut graph = network(vec![with_int(node("Gather", &["x", "columns"], "y"), "axis", 1)]);
    let count = super::MAX_LAYER_CELLS;
    graph.initializer.push(tensor("columns", &[count as i64], &vec![0.0; count]));
    let error = imported(graph).unwrap_err();
    assert!(matches!(error, ImportError::Node { reason: NodeReason::TooLarge, .. }), "{error}");
}

/// A file of a few kilobytes must not ask for gigabytes by using one tensor again and again.
#[test]
fn weights_are_counted_where_they_are_used() {
    let width = 512;
    let cells = vec![0.5; width * width];
    let row = vec![vec![1.0; width]];
    let branches = (0..300).map(|k| node("MatMul", &["x", "wide"], &format!("h{k}"))).collect();
    let graph = GraphProto {
        node: branches,
        initializer: vec![tensor("wide", &[width as i64, width as i64], &cells)],
        input: vec![value("x", &[-1, width as i64])],
        output: vec![value("h0", &[])],
    };
    let refused = import(&bytes(graph), &row, None, &ImportOptions::default()).unwrap_err();
    assert_eq!(refused, ImportError::TooManyWeights);
    // Thirty doublings of a constant.
    let mut nodes = vec![node("MatMul", &["x", "w"], "y")];
    for k in 0..30 {
        let from = if k == 0 { "b".to_owned() } else { format!("c{k}") };
        nodes.push(with_int(node("Concat", &[&from, &from], &format!("c{}", k + 1)), "axis", 0));
    }
    let mut graph = network(nodes);
    graph.output = vec![value("c30", &[])];
    let error = imported(graph).unwrap_err();
    assert!(matches!(error, ImportError::Node { reason: NodeReason::TooLarge, .. }), "{error}");
    let many: Vec<NodeProto> = (0..=1 << 14).map(|k| node("Relu", &["x"], &format!("h{k}"))).collect();
    let got = many.len();
    assert_eq!(imported(network(many)).unwrap_err(), ImportError::NodeCount { got });
}

#[test]
fn tensors_that_cannot_be_read() {
    let plain = || tensor("t", &[2], &[1.0, 2.0]);
    assert_eq!(initialiser(TensorProto { dims: vec![3], ..plain() }), NodeReason::TensorShape);
    assert_eq!(initialiser(TensorProto { dims: vec![-2], ..plain() }), NodeReason::TensorShape);
    let empty = TensorProto { float_data: vec![], ..plain() };
    assert_eq!(initialiser(TensorProto { dims: vec![0, 1 << 62, 4], ..empty }), NodeReason::TensorShape);
    assert_eq!(initialiser(TensorProto { dims: vec![i64::MAX, 4], ..plain() }), NodeReason::TensorShape);
    let raw = TensorProto { raw_data: Some(vec![0; 7]), ..plain() };
    assert_eq!(initialiser(raw), NodeReason::TensorShape);
    assert_eq!(initialiser(TensorProto { data_location: 1, ..plain() }), NodeReason::ExternalData);
    assert_eq!(
        initialiser(TensorProto { data_type: 10, ..plain() }),
        NodeReason::TensorType { data_type: 10 }
    );
    assert_eq!(initialiser(tensor("t", &[1], &[f32::NAN])), NodeReason::NotFinite);
    let texts = vec![vec![0xff], vec![0xfe]];
    let text = TensorProto { data_type: STRING, string_data: texts, ..plain() };
    assert_eq!(initialiser(text), NodeReason::NotUtf8);
}

#[test]
fn tensors_in_raw_bytes() {
    let mut graph = network(vec![node("MatMul", &["x", "raw"], "h"), node("Add", &["h", "eight"], "y")]);
    let values = [1.0f64, 0.0, 0.0, -2.0];
    let raw_data = Some(values.iter().flat_map(|value| value.to_le_bytes()).collect());
    let raw = TensorProto {
        name: "raw".into(),
        dims: vec![2, 2],
        data_type: DOUBLE,
        raw_data,
        ..TensorProto::default()
    };
    let eight = TensorProto {
        name: "eight".into(),
        dims: vec![1, 2],
        data_type: INT8,
        raw_data: Some(vec![0xff, 3]),
        ..TensorProto::default()
    };
    graph.initializer.extend([raw, eight]);
    let given = vec![vec![0.5, 0.25], vec![-1.0, 2.0]];
    assert_eq!(super::run_float(&bytes(graph), &given, None).unwrap(), [[-0.5, 2.5], [-2.0, -1.0]]);
}

/// What a node that cannot be imported makes matters only if the answer needs it.
#[test]
fn a_spoiled_branch_beside_a_label_is_left_out() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "s"),
        with_int(node("ArgMax", &["s"], "i"), "axis", 1),
        node("Gather", &["labels", "i"], "y"),
        node("Det", &["s"], "extra"),
    ];
    let mut graph = network(nodes);
    graph.output.push(value("extra", &[]));
    let made = imported(graph.clone()).unwrap();
    let Decoder::ArgMax { labels, .. } = &made.model.graph().decoder else { panic!() };
    assert_eq!(labels, &["no", "yes"]);
    graph.output.remove(0);
    assert!(matches!(imported(graph).unwrap_err(), ImportError::Node { operator, .. } if operator == "Det"));
}

/// `clip(x)` before the first layer is what saturating encoders do; `relu(x)` takes a layer of its own.
#[test]
fn functions_in_front() {
    let mut clip = node("Clip", &["x"], "c");
    clip.attribute = [("min", -0.5), ("max", 0.75)]
        .map(|(name, f)| AttributeProto { name: name.into(), f: Some(f), ..AttributeProto::default() })
        .to_vec();
    let made = imported(network(vec![clip, node("MatMul", &["c", "w"], "y")])).unwrap();
    assert_eq!(made.report.operators.len(), 1);
    assert!(made.report.agreement.unwrap() < 0.02, "{:?}", made.report);
    let made = imported(network(vec![node("Relu", &["x"], "c"), node("MatMul", &["c", "w"], "y")])).unwrap();
    assert_eq!(made.report.operators.len(), 2);
    assert!(made.report.agreement.unwrap() < 0.03, "{:?}", made.report);
}

#[test]
fn weights_out_of_range() {
    let mut graph = network(vec![node("MatMul", &["x", "w"], "h"), node("Mul", &["h", "huge"], "y")]);
    graph.initializer.push(tensor("huge", &[1], &[f32::MAX]));
    // Beyond the largest unit that a decoder can name.
    assert_eq!(imported(graph).unwrap_err(), ImportError::OutOfRange { operator: 0 });
}

/// One file, every byte changed in turn: import gives a model or a reason, and never panics.
#[test]
fn changed_files_are_imported_or_refused() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "h"),
        node("Add", &["h", "b"], "a"),
        node("Relu", &["a"], "r"),
        node("MatMul", &["r", "w"], "s"),
        with_int(node("Softmax", &["s"], "p"), "axis", 1),
        with_int(node("ArgMax", &["p"], "i"), "axis", 1),
        node("Gather", &["labels", "i"], "y"),
    ];
    let file = bytes(network(nodes));
    let rows = rows();
    imported(network(vec![node("MatMul", &["x", "w"], "y")])).unwrap();
    for at in 0..file.len() {
        for change in [1, 0x80, 0xff] {
            let mut file = file.clone();
            file[at] ^= change;
            let options = ImportOptions { table_bits_max: 6, ..ImportOptions::default() };
            if let Err(error) = import(&file, &rows[..4], None, &options) {
                assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            }
        }
    }
}
