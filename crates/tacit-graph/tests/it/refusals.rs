//! Every rule of a valid graph and of fitting weights, broken one at a time.

use tacit_graph::{
    AnswerError, Decoder, DenseWeights, ElementType, ExecuteError, Feature, Graph, GraphError, Model,
    Operator, Table, TensorId, Weights, execute,
    graph::{MAX_BIAS, MAX_NODES, MAX_PARAMETERS, MAX_TABLES, MAX_TEXT_BYTES, MAX_WIDTH},
};

fn feature() -> Feature {
    Feature { name: "x".into(), offset: 0, multiplier: 1, shift: 24 }
}

/// 2 features, 3 hidden, 2 classes; one table of 8 bits behind a shift of 4.
fn graph() -> Graph {
    Graph {
        features: vec![feature(), feature()],
        nodes: vec![
            Operator::Dense { input: TensorId(0), inputs: 2, outputs: 3 },
            Operator::Requantise { input: TensorId(1), shift: 4, table: 0 },
            Operator::Dense { input: TensorId(2), inputs: 3, outputs: 2 },
        ],
        tables: vec![Table { bits: 8, values: (-128..=127).collect() }],
        decoder: Decoder::ArgMax { labels: vec!["a".into(), "b".into()], fraction_bits: 0 },
    }
}

fn weights() -> Weights {
    Weights {
        layers: vec![
            DenseWeights { matrix: vec![1, -2, 3, 4, -5, 6], bias: vec![0, 10, -10] },
            DenseWeights { matrix: vec![1, 2, 3, 4, 5, 6], bias: vec![7, 8] },
        ],
    }
}

/// The refusal of the graph after `change`.
fn refused(change: impl FnOnce(&mut Graph)) -> GraphError {
    let mut graph = graph();
    change(&mut graph);
    graph.validate().unwrap_err()
}

/// The refusal of the weights after `change`.
fn unfit(change: impl FnOnce(&mut Weights)) -> GraphError {
    let mut weights = weights();
    change(&mut weights);
    Model::new(graph(), weights).unwrap_err()
}

#[test]
fn the_unbroken_graph_is_valid() {
    let model = Model::new(graph(), weights()).unwrap();
    assert_eq!(model.shapes().parameters(), 6 + 3 + 6 + 2);
    assert_eq!((model.shapes().macs(), model.shapes().cells()), (12, 2 + 3 + 3 + 2));
    assert_eq!((model.shapes().inputs(), model.shapes().outputs()), (2, 2));
    assert_eq!(model.shapes().dense(), [(2, 3), (3, 2)]);
}

#[test]
fn no_features() {
    assert_eq!(refused(|g| g.features.clear()), GraphError::FeatureCount { got: 0 });
    let many = MAX_WIDTH as usize + 1;
    assert_eq!(refused(|g| g.features = vec![feature(); many]), GraphError::FeatureCount { got: many });
}

#[test]
fn long_texts() {
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    let expected = GraphError::TextTooLong { got: MAX_TEXT_BYTES + 1 };
    assert_eq!(refused(|g| g.features[1].name = long.clone()), expected);
    let decoder = Decoder::ArgMax { labels: vec!["a".into(), long.clone()], fraction_bits: 0 };
    assert_eq!(refused(|g| g.decoder = decoder), expected);
}

#[test]
fn control_characters_in_texts() {
    for got in ['\u{1b}', '\n', '\0', '\u{7f}', '\u{9b}'] {
        let expected = GraphError::TextControl { got };
        assert_eq!(refused(|g| g.features[1].name = format!("a{got}[31m")), expected);
        let decoder = Decoder::ArgMax { labels: vec!["a".into(), got.into()], fraction_bits: 0 };
        assert_eq!(refused(|g| g.decoder = decoder), expected);
    }
}

#[test]
fn encoder_shift() {
    assert_eq!(refused(|g| g.features[1].shift = 97), GraphError::EncodeShift { feature: 1, got: 97 });
}

#[test]
fn node_count() {
    assert_eq!(
        refused(|g| {
            g.nodes.clear();
            g.tables.clear();
        }),
        GraphError::NodeCount { got: 0 }
    );
    let many = MAX_NODES + 1;
    let node = Operator::Dense { input: TensorId(0), inputs: 2, outputs: 2 };
    assert_eq!(
        refused(|g| {
            g.tables.clear();
            g.nodes = vec![node; many];
        }),
        GraphError::NodeCount { got: many }
    );
}

#[test]
fn tables() {
    let table = Table { bits: 1, values: vec![0, 1] };
    let many = MAX_TABLES + 1;
    assert_eq!(refused(|g| g.tables = vec![table.clone(); many]), GraphError::TableCount { got: many });
    assert_eq!(refused(|g| g.tables[0].bits = 0), GraphError::TableBits { table: 0, got: 0 });
    assert_eq!(refused(|g| g.tables[0].bits = 17), GraphError::TableBits { table: 0, got: 17 });
    let expected = GraphError::TableLength { table: 0, expected: 256, got: 255 };
    assert_eq!(refused(|g| g.tables[0].values.truncate(255)), expected);
    assert_eq!(refused(|g| g.tables.push(table)), GraphError::TableUnused { table: 1 });
}

#[test]
fn a_table_that_is_not_there() {
    let two = |g: &mut Graph| {
        g.nodes.insert(3, Operator::Requantise { input: TensorId(3), shift: 0, table: 1 });
        g.nodes.insert(4, Operator::Dense { input: TensorId(4), inputs: 2, outputs: 2 });
    };
    assert_eq!(refused(two), GraphError::TableMissing { node: 3, table: 1 });
}

#[test]
fn order() {
    let ahead = |g: &mut Graph| g.nodes[0] = Operator::Dense { input: TensorId(1), inputs: 2, outputs: 3 };
    assert_eq!(refused(ahead), GraphError::Order { node: 0, tensor: 1 });
    let behind = |g: &mut Graph| g.nodes[2] = Operator::Dense { input: TensorId(0), inputs: 2, outputs: 2 };
    assert_eq!(refused(behind), GraphError::ReadTwice { node: 2, tensor: 0 });
}

#[test]
fn element_types() {
    let wide = |g: &mut Graph| g.nodes[1] = Operator::Dense { input: TensorId(1), inputs: 3, outputs: 2 };
    let unused = |g: &mut Graph| {
        wide(g);
        g.tables.clear();
    };
    let expected = GraphError::Element { node: 1, expected: ElementType::I8, got: ElementType::I32 };
    assert_eq!(refused(unused), expected);
    let narrow = |g: &mut Graph| g.nodes[0] = Operator::Requantise { input: TensorId(0), shift: 0, table: 0 };
    let expected = GraphError::Element { node: 0, expected: ElementType::I32, got: ElementType::I8 };
    assert_eq!(refused(narrow), expected);
    assert_eq!(refused(|g| g.nodes.truncate(2)), GraphError::OutputElement);
}

#[test]
fn widths() {
    let node = |inputs, outputs| Operator::Dense { input: TensorId(2), inputs, outputs };
    assert_eq!(refused(|g| g.nodes[2] = node(4, 2)), GraphError::Width { node: 2, expected: 3, got: 4 });
    assert_eq!(refused(|g| g.nodes[2] = node(3, 0)), GraphError::OutputWidth { node: 2, got: 0 });
    let got = MAX_WIDTH + 1;
    assert_eq!(refused(|g| g.nodes[2] = node(3, got)), GraphError::OutputWidth { node: 2, got });
}

#[test]
fn requantisation_shift() {
    let node = Operator::Requantise { input: TensorId(1), shift: 25, table: 0 };
    assert_eq!(refused(|g| g.nodes[1] = node), GraphError::RequantiseShift { node: 1, got: 25 });
}

#[test]
fn parameters() {
    let got = u64::from(MAX_WIDTH) * (u64::from(MAX_WIDTH) + 1);
    assert!(got > MAX_PARAMETERS);
    let large = |g: &mut Graph| {
        g.features = vec![feature(); MAX_WIDTH as usize];
        g.nodes = vec![Operator::Dense { input: TensorId(0), inputs: MAX_WIDTH, outputs: MAX_WIDTH }];
        g.tables.clear();
    };
    assert_eq!(refused(large), GraphError::TooManyParameters { got });
}

#[test]
fn decoders() {
    let labels = vec!["a".to_owned(), "b".into(), "c".into()];
    let three = Decoder::ArgMax { labels, fraction_bits: 0 };
    assert_eq!(refused(|g| g.decoder = three), GraphError::DecoderArity { expected: 3, got: 2 });
    let sign = Decoder::Threshold { labels: ["a".into(), "b".into()], fraction_bits: 0 };
    assert_eq!(refused(|g| g.decoder = sign), GraphError::DecoderArity { expected: 1, got: 2 });
    let fine = Decoder::Values { fraction_bits: 61 };
    assert_eq!(refused(|g| g.decoder = fine), GraphError::FractionBits { got: 61 });
    let coarse = Decoder::Values { fraction_bits: i8::MIN };
    assert_eq!(refused(|g| g.decoder = coarse), GraphError::FractionBits { got: i8::MIN });
    let same = Decoder::ArgMax { labels: vec!["a".into(), "a".into()], fraction_bits: 0 };
    assert_eq!(refused(|g| g.decoder = same), GraphError::LabelTwice { index: 1 });
}

#[test]
fn weights_of_other_shapes() {
    assert_eq!(unfit(|w| drop(w.layers.pop())), GraphError::LayerCount { expected: 2, got: 1 });
    let expected = GraphError::MatrixLength { layer: 1, expected: 6, got: 7 };
    assert_eq!(unfit(|w| w.layers[1].matrix.push(0)), expected);
    let expected = GraphError::BiasLength { layer: 0, expected: 3, got: 4 };
    assert_eq!(unfit(|w| w.layers[0].bias.push(0)), expected);
}

#[test]
fn biases_out_of_range() {
    let got = MAX_BIAS + 1;
    assert_eq!(unfit(|w| w.layers[1].bias[1] = got), GraphError::BiasRange { layer: 1, output: 1, got });
    assert_eq!(
        unfit(|w| w.layers[1].bias[0] = i32::MIN),
        GraphError::BiasRange { layer: 1, output: 0, got: i32::MIN }
    );
}

/// The bound is tight: output 1 of the first layer reaches `10 + 128 * 7 = 906` and `10 - 127 * 7 = -879`; one more
/// weight unit, or a bias of `2040 - 896 = 1144`, is where `floor((acc + 8) / 16)` passes 127.
#[test]
fn tables_that_can_be_left() {
    let mut most = weights();
    most.layers[0].bias[1] = 2039 - 896;
    Model::new(graph(), most).unwrap();
    let expected = GraphError::TableTooNarrow { node: 1, output: 1, low: 16, high: 128, bits: 8 };
    assert_eq!(unfit(|w| w.layers[0].bias[1] = 2040 - 896), expected);
    assert!(matches!(
        unfit(|w| w.layers[0].bias[1] = -1300),
        GraphError::TableTooNarrow { node: 1, output: 1, low: -137, .. }
    ));
}

#[test]
fn runs() {
    let model = Model::new(graph(), weights()).unwrap();
    assert_eq!(execute(&model, &[], 0).unwrap_err(), ExecuteError::NoRows);
    let expected = ExecuteError::InputLength { expected: 4, got: 3 };
    assert_eq!(execute(&model, &[1, 2, 3], 2).unwrap_err(), expected);
    let limit = tacit_graph::MAX_TRACE_CELLS / 10;
    let got = usize::MAX;
    assert_eq!(execute(&model, &[], got).unwrap_err(), ExecuteError::TooManyRows { limit, got });
}

#[test]
fn rows_of_other_lengths() {
    let graph = graph();
    assert_eq!(graph.encode_input(&[1]).unwrap_err(), AnswerError::InputLength { expected: 2, got: 1 });
    assert_eq!(graph.decode_output(&[1]).unwrap_err(), AnswerError::OutputLength { expected: 2, got: 1 });
}

/// What a log would show of a model or a run: shapes, never numbers.
#[test]
fn debug_shows_no_values() {
    let model = Model::new(graph(), weights()).unwrap();
    let trace = execute(&model, &[77, -77], 1).unwrap();
    let shown = format!("{:?} {trace:?} {:?}", weights(), model);
    assert!(shown.contains("I8[2]") && !shown.contains("77"), "{shown}");
}
