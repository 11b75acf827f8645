//! Every rule of a valid graph and of fitting weights, broken one at a time.

use tacit_graph::{
    AnswerError, Decoder, ElementType, ExecuteError, Feature, Graph, GraphError, Group, LayerWeights,
    MAX_FEATURES, MAX_STEP, Model, Operator, Place, Right, Stride, Table, TensorId, Term, View, Weights,
    execute,
    graph::{MAX_BIAS, MAX_NODES, MAX_PARAMETERS, MAX_TABLES, MAX_TERMS, MAX_TEXT_BYTES},
    reach,
};

fn feature() -> Feature {
    Feature { name: "x".into(), offset: 0, multiplier: 1, shift: 24, steps: Vec::new() }
}

fn conv() -> Operator {
    let window = Group {
        span: 1,
        offset: -1,
        strides: vec![Stride { axis: 0, stride: 1 }, Stride { axis: 2, stride: 1 }],
        divisor: 1,
        exact: false,
    };
    Operator::Contract {
        axes: vec![4, 2],
        summed: vec![3, 2],
        left: View { tensor: TensorId(0), groups: vec![window, Group::axis(3)] },
        right: Right::Weights { axes: vec![2, 3, 1] },
        bias: Some(vec![1]),
    }
}

fn residual() -> Operator {
    let term =
        |tensor, coefficient| Term { coefficient, summed: vec![], view: View::identity(TensorId(tensor), 2) };
    Operator::Combine { axes: vec![4, 2], terms: vec![term(2, 1), term(0, -2)], constant: 3, bias: None }
}

fn maximum() -> Operator {
    let side = |offset| {
        let pair =
            Group { span: 1, offset, strides: vec![Stride { axis: 0, stride: 2 }], divisor: 1, exact: false };
        View { tensor: TensorId(3), groups: vec![pair, Group::axis(1)] }
    };
    Operator::Maximum { axes: vec![2, 2], left: side(0), right: side(1) }
}

fn dense() -> Operator {
    let flat =
        Group { span: 2, offset: 0, strides: vec![Stride { axis: 1, stride: 1 }], divisor: 1, exact: false };
    Operator::Contract {
        axes: vec![2],
        summed: vec![4],
        left: View { tensor: TensorId(4), groups: vec![flat] },
        right: Right::Weights { axes: vec![1, 0] },
        bias: None,
    }
}

/// Two channels of four: a padded convolution, a table, a residual, a pooling and a dense layer.
fn graph() -> Graph {
    Graph {
        features: vec![feature(); 8],
        input_axes: vec![4, 2],
        input_bits: 8,
        nodes: vec![
            conv(),
            Operator::Requantise { input: TensorId(1), shift: 4, table: 0 },
            residual(),
            maximum(),
            dense(),
        ],
        tables: vec![Table { bits: 8, values: (-128..=127).collect() }],
        decoder: Decoder::ArgMax { labels: vec!["a".into(), "b".into()], fraction_bits: 0 },
    }
}

fn weights() -> Weights {
    let conv = LayerWeights { matrix: vec![1, -2, 1, 1, -1, 2, 0, 1, 2, -1, 1, 0], bias: vec![0, 10] };
    let dense = LayerWeights { matrix: vec![1, 2, 3, 4, 5, 6, 7, 8], bias: vec![] };
    Weights { layers: vec![conv, dense] }
}

/// The refusal of the graph after `change`.
fn refused(change: impl FnOnce(&mut Graph)) -> GraphError {
    let mut graph = graph();
    change(&mut graph);
    graph.validate().unwrap_err()
}

/// The refusal after a change of the convolution's or any other operator's view.
fn refused_view(node: usize, change: impl FnOnce(&mut View)) -> GraphError {
    refused(|graph| match &mut graph.nodes[node] {
        Operator::Contract { left, .. } | Operator::Maximum { left, .. } => change(left),
        Operator::Combine { terms, .. } => change(&mut terms[0].view),
        Operator::Requantise { .. } => {}
    })
}

fn refused_term(change: impl FnOnce(&mut Term)) -> GraphError {
    refused(|graph| {
        if let Operator::Combine { terms, .. } = &mut graph.nodes[2] {
            change(&mut terms[0]);
        }
    })
}

/// The refusal of the graph with its first operator replaced, everything else left out.
fn refused_alone(node: Operator) -> GraphError {
    refused(|graph| {
        graph.nodes = vec![node];
        graph.tables.clear();
    })
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
    let shapes = model.shapes();
    assert_eq!(shapes.parameters(), 12 + 2 + 8);
    assert_eq!((shapes.macs(), shapes.cells()), (4 * 2 * 6 + 2 * 4, 8 + 8 + 8 + 8 + 4 + 2));
    assert_eq!((shapes.inputs(), shapes.outputs()), (8, 2));
    assert_eq!(
        [0, 1, 2, 3, 4, 5].map(|node| shapes.layer_of(node)),
        [Some(0), None, None, None, Some(1), None]
    );
    let elements: Vec<ElementType> = shapes.tensors().iter().map(|shape| shape.element).collect();
    let (narrow, wide) = (ElementType::I8, ElementType::I32);
    assert_eq!(elements, [narrow, wide, narrow, wide, wide, wide]);
}

/// Elements follow from what is read: a copy keeps them, a maximum takes the wider, tables and inputs by their range.
#[test]
fn element_types() {
    let of = |graph: &Graph, tensor: usize| graph.validate().unwrap().tensors()[tensor].element;
    let mut wide = graph();
    wide.tables[0].values[3] = 128;
    assert_eq!(of(&wide, 2), ElementType::I16);
    wide.input_bits = 9;
    assert_eq!(of(&wide, 0), ElementType::I16);
    let mut copy = graph();
    if let Operator::Combine { terms, constant, .. } = &mut copy.nodes[2] {
        terms.truncate(1);
        *constant = 0;
    }
    assert_eq!((of(&copy, 3), of(&copy, 4)), (ElementType::I8, ElementType::I8));
    if let Operator::Combine { constant, .. } = &mut copy.nodes[2] {
        *constant = 1;
    }
    assert_eq!(of(&copy, 3), ElementType::I32);
}

#[test]
fn features() {
    assert_eq!(refused(|g| g.features.clear()), GraphError::FeatureCount { got: 0 });
    let many = MAX_FEATURES + 1;
    assert_eq!(refused(|g| g.features = vec![feature(); many]), GraphError::FeatureCount { got: many });
    assert_eq!(refused(|g| drop(g.features.pop())), GraphError::InputAxes { expected: 8, got: 7 });
    assert_eq!(refused(|g| g.features[1].shift = 97), GraphError::EncodeShift { feature: 1, got: 97 });
    for got in [0, 1, 17] {
        assert_eq!(refused(|g| g.input_bits = got), GraphError::InputBits { got });
    }
}

#[test]
fn steps_of_features() {
    let with = |steps: Vec<i64>| {
        refused(|g| {
            g.input_bits = 3;
            g.features[1] = Feature { name: String::new(), offset: 0, multiplier: 0, shift: 0, steps };
        })
    };
    assert_eq!(with(vec![1, 2, 3, 4]), GraphError::StepCount { feature: 1, limit: 3, got: 4 });
    assert_eq!(with(vec![1, 3, 3]), GraphError::StepOrder { feature: 1, step: 2 });
    assert_eq!(with(vec![2, 1]), GraphError::StepOrder { feature: 1, step: 1 });
    let scaled = GraphError::StepsScaled { feature: 1 };
    assert_eq!(refused(|g| g.features[1].steps = vec![1]), scaled);
    let plain = Feature { name: String::new(), offset: 0, multiplier: 0, shift: 0, steps: vec![1] };
    assert_eq!(refused(|g| g.features[1] = Feature { offset: 1, ..plain.clone() }), scaled);
    assert_eq!(refused(|g| g.features[1] = Feature { multiplier: 1, ..plain.clone() }), scaled);
    assert_eq!(refused(|g| g.features[1] = Feature { shift: 1, ..plain.clone() }), scaled);
}

#[test]
fn axes() {
    let place = Place::Input;
    assert_eq!(refused(|g| g.input_axes.clear()), GraphError::AxisCount { place, got: 0 });
    assert_eq!(refused(|g| g.input_axes = vec![1; 9]), GraphError::AxisCount { place, got: 9 });
    assert_eq!(refused(|g| g.input_axes = vec![4, 0, 2]), GraphError::AxisSize { place, got: 0 });
    let got = (1 << 20) + 1;
    assert_eq!(refused(|g| g.input_axes = vec![got]), GraphError::AxisSize { place, got });
    let cells = |sizes: &[u32]| refused(|g| g.input_axes = sizes.to_vec());
    // Padded to powers of two: 1025 counts as 2048.
    assert_eq!(cells(&[1025, 2049]), GraphError::Cells { place, got: 1 << 23 });
    let sized = |axes: Vec<u32>, summed: Vec<u32>| {
        let view = View { tensor: TensorId(0), groups: vec![Group::axis(0), Group::axis(1)] };
        refused_alone(Operator::Contract {
            axes,
            summed,
            left: view.clone(),
            right: Right::View(view),
            bias: None,
        })
    };
    let place = Place::Output(0);
    assert_eq!(sized(vec![], vec![2]), GraphError::AxisCount { place, got: 0 });
    assert_eq!(sized(vec![0], vec![2]), GraphError::AxisSize { place, got: 0 });
    let place = Place::Summed(0);
    assert_eq!(sized(vec![1], vec![1; 9]), GraphError::AxisCount { place, got: 9 });
    assert_eq!(sized(vec![1], vec![1 << 12, 1 << 11]), GraphError::Cells { place, got: 1 << 23 });
    let (wide, deep) = (vec![1 << 11, 1 << 11], vec![1 << 8, 1 << 7]);
    assert_eq!(sized(wide, deep), GraphError::Work { node: 0, got: 1 << 37 });
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
fn node_count() {
    let with = |nodes: Vec<Operator>| {
        refused(|g| {
            g.nodes = nodes;
            g.tables.clear();
        })
    };
    assert_eq!(with(vec![]), GraphError::NodeCount { got: 0 });
    let got = MAX_NODES + 1;
    assert_eq!(with(vec![conv(); got]), GraphError::NodeCount { got });
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
    let missing = Operator::Requantise { input: TensorId(1), shift: 4, table: 1 };
    assert_eq!(refused(|g| g.nodes[1] = missing), GraphError::TableMissing { node: 1, table: 1 });
    let shifted = Operator::Requantise { input: TensorId(1), shift: 25, table: 0 };
    assert_eq!(refused(|g| g.nodes[1] = shifted), GraphError::RequantiseShift { node: 1, got: 25 });
}

#[test]
fn order() {
    let ahead = |view: &mut View| view.tensor = TensorId(1);
    assert_eq!(refused_view(0, ahead), GraphError::Order { node: 0, tensor: 1 });
    assert_eq!(refused_view(3, |view| view.tensor = TensorId(9)), GraphError::Order { node: 3, tensor: 9 });
    let itself = Operator::Requantise { input: TensorId(2), shift: 4, table: 0 };
    assert_eq!(refused(|g| g.nodes[1] = itself), GraphError::Order { node: 1, tensor: 2 });
    let max = TensorId(u32::MAX);
    assert_eq!(refused_term(|term| term.view.tensor = max), GraphError::Order { node: 2, tensor: u32::MAX });
}

#[test]
fn tensors_that_nothing_reads() {
    assert_eq!(refused_term(|term| term.view.tensor = TensorId(1)), GraphError::Unread { tensor: 2 });
    let input = Operator::Requantise { input: TensorId(0), shift: 4, table: 0 };
    assert_eq!(refused(|g| g.nodes[1] = input), GraphError::Unread { tensor: 1 });
}

#[test]
fn spans() {
    assert_eq!(
        refused_view(0, |view| drop(view.groups.pop())),
        GraphError::Span { node: 0, expected: 2, got: 1 }
    );
    assert_eq!(
        refused_view(4, |view| view.groups[0].span = 3),
        GraphError::Span { node: 4, expected: 2, got: 3 }
    );
    let empty = |view: &mut View| {
        view.groups[0].span = 0;
        view.groups[1].span = 2;
    };
    assert_eq!(refused_view(0, empty), GraphError::SpanEmpty { node: 0 });
}

#[test]
fn axes_of_views() {
    let stride = |axis| Stride { axis, stride: 1 };
    let missing = |view: &mut View| view.groups[1].strides = vec![stride(4)];
    assert_eq!(refused_view(0, missing), GraphError::AxisMissing { node: 0, axis: 4 });
    let far = |view: &mut View| view.groups[1].strides = vec![stride(255)];
    assert_eq!(refused_view(0, far), GraphError::AxisMissing { node: 0, axis: 255 });
    let within = |view: &mut View| view.groups[1].strides.push(stride(3));
    assert_eq!(refused_view(0, within), GraphError::AxisTwice { node: 0, axis: 3 });
    let across = |view: &mut View| view.groups[1].strides.push(stride(2));
    assert_eq!(refused_view(0, across), GraphError::AxisTwice { node: 0, axis: 2 });
}

#[test]
fn axes_that_must_be_used() {
    // The right side has the last output axis; without it nothing has.
    let change = |axes: &[u8]| {
        refused(|g| {
            if let Operator::Contract { right, .. } = &mut g.nodes[0] {
                *right = Right::Weights { axes: axes.to_vec() };
            }
        })
    };
    assert_eq!(change(&[2, 3]), GraphError::AxisUnused { node: 0, axis: 1 });
    // Summed by the left side alone.
    assert_eq!(change(&[1, 3]), GraphError::AxisUnused { node: 0, axis: 2 });
    assert_eq!(change(&[]), GraphError::NoWeightAxes { node: 0 });
    assert_eq!(change(&[1, 2, 3, 1]), GraphError::AxisTwice { node: 0, axis: 1 });
    assert_eq!(change(&[1, 2, 3, 4]), GraphError::AxisMissing { node: 0, axis: 4 });
    let left = |view: &mut View| view.groups[1].strides.clear();
    assert_eq!(refused_view(0, left), GraphError::AxisUnused { node: 0, axis: 3 });
    assert_eq!(refused_term(|term| term.summed = vec![3]), GraphError::AxisUnused { node: 2, axis: 2 });
}

#[test]
fn steps() {
    let most = MAX_STEP as i64;
    let over = most as i32 + 1;
    let offset = |view: &mut View| view.groups[0].offset = i32::MIN;
    assert_eq!(refused_view(0, offset), GraphError::Step { node: 0, got: i64::from(i32::MIN) });
    for got in [0, over, -over] {
        let stride = |view: &mut View| view.groups[0].strides[0].stride = got;
        assert_eq!(refused_view(3, stride), GraphError::Step { node: 3, got: i64::from(got) });
    }
    for got in [0, u32::MAX] {
        let divisor = |view: &mut View| view.groups[0].divisor = got;
        assert_eq!(refused_view(3, divisor), GraphError::Step { node: 3, got: i64::from(got) });
    }
}

/// What the verifier of a proof works through for one group.
#[test]
fn group_sizes() {
    let sum = |axes: Vec<u32>, groups: Vec<Group>| Operator::Combine {
        axes,
        terms: vec![Term { coefficient: 1, summed: vec![], view: View { tensor: TensorId(0), groups } }],
        constant: 0,
        bias: None,
    };
    let strides = vec![Stride { axis: 0, stride: 1 }, Stride { axis: 1, stride: 1 }];
    let both = Group { span: 1, offset: 0, strides, divisor: 1, exact: false };
    let fixed = Group { span: 1, offset: 0, strides: vec![], divisor: 1, exact: false };
    let node = sum(vec![1 << 10, (1 << 10) + 1], vec![both, fixed]);
    assert_eq!(refused_alone(node), GraphError::GroupSize { node: 0, got: 1 << 21 });
    let made = |g: &mut Graph| {
        let plain = || Group { span: 1, offset: 0, strides: vec![], divisor: 1, exact: false };
        let first = sum(vec![1 << 11, 1 << 10], vec![plain(), plain()]);
        let flat = Group { span: 2, ..plain() };
        let mut second = sum(vec![2], vec![flat]);
        if let Operator::Combine { terms, .. } = &mut second {
            terms[0].view.tensor = TensorId(1);
        }
        g.nodes = vec![first, second];
        g.tables.clear();
    };
    assert_eq!(refused(made), GraphError::GroupSize { node: 1, got: 1 << 21 });
}

#[test]
fn terms() {
    let with = |count: usize| {
        refused(|g| {
            if let Operator::Combine { terms, .. } = &mut g.nodes[2] {
                *terms = vec![terms[0].clone(); count];
            }
        })
    };
    assert_eq!(with(0), GraphError::TermCount { node: 2, got: 0 });
    assert_eq!(with(MAX_TERMS + 1), GraphError::TermCount { node: 2, got: MAX_TERMS + 1 });
    for got in [0, MAX_BIAS + 1, i32::MIN] {
        assert_eq!(refused_term(|term| term.coefficient = got), GraphError::Coefficient { node: 2, got });
    }
    let constant = |g: &mut Graph| {
        if let Operator::Combine { constant, .. } = &mut g.nodes[2] {
            *constant = -MAX_BIAS - 1;
        }
    };
    assert_eq!(refused(constant), GraphError::Coefficient { node: 2, got: -MAX_BIAS - 1 });
}

#[test]
fn bias_axes() {
    let with = |chosen: Vec<u8>| {
        refused(|g| {
            if let Operator::Combine { bias, .. } = &mut g.nodes[2] {
                *bias = Some(chosen);
            }
        })
    };
    assert_eq!(with(vec![2]), GraphError::AxisMissing { node: 2, axis: 2 });
    assert_eq!(with(vec![1, 1]), GraphError::AxisTwice { node: 2, axis: 1 });
}

#[test]
fn parameters() {
    let large = |g: &mut Graph| {
        g.features = vec![feature(); 1 << 15];
        g.input_axes = vec![1 << 15];
        g.nodes =
            vec![Operator::dense(TensorId(0), 1 << 15, 1 << 13), Operator::dense(TensorId(1), 1 << 13, 2)];
        g.tables.clear();
    };
    let got = (1 << 28) + (1 << 13) + (1 << 14) + 2;
    assert!(got > MAX_PARAMETERS);
    assert_eq!(refused(large), GraphError::TooManyParameters { got });
    // Eleven axes of five: 5^11 weights, but 8^11 padded.
    let view = View {
        tensor: TensorId(0),
        groups: (6..11).map(|axis| Group { span: 1, ..Group::axis(axis) }).collect(),
    };
    let node = Operator::Contract {
        axes: vec![5; 6],
        summed: vec![5; 5],
        left: view,
        right: Right::Weights { axes: (0..11).collect() },
        bias: None,
    };
    let padded = |g: &mut Graph| {
        g.features = vec![feature(); 5usize.pow(5)];
        g.input_axes = vec![5; 5];
        g.nodes = vec![node, dense()];
        g.tables.clear();
        if let Operator::Contract { axes, summed, left, .. } = &mut g.nodes[1] {
            (*axes, *summed) = (vec![2], vec![4]);
            left.tensor = TensorId(1);
            left.groups[0].span = 6;
        }
    };
    assert_eq!(refused(padded), GraphError::TooManyParameters { got: (1 << 33) + 8 });
}

#[test]
fn outputs() {
    let truncated = |g: &mut Graph| g.nodes.truncate(4);
    assert_eq!(refused(truncated), GraphError::OutputAxes { got: 2 });
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
    let expected = GraphError::MatrixLength { layer: 1, expected: 8, got: 9 };
    assert_eq!(unfit(|w| w.layers[1].matrix.push(0)), expected);
    let expected = GraphError::BiasLength { layer: 0, expected: 2, got: 3 };
    assert_eq!(unfit(|w| w.layers[0].bias.push(0)), expected);
}

#[test]
fn biases_out_of_range() {
    for got in [MAX_BIAS + 1, i32::MIN] {
        assert_eq!(unfit(|w| w.layers[0].bias[1] = got), GraphError::BiasRange { layer: 0, index: 1, got });
    }
}

/// The bound is tight: output 1 sums weights of 4 above zero and 3 below, so it reaches `127 * 4 + 128 * 3 = 892` over
/// its bias. `floor((acc + 8) / 16)` passes 127 at 2040.
#[test]
fn tables_that_can_be_left() {
    let mut most = weights();
    most.layers[0].bias[1] = 2039 - 892;
    Model::new(graph(), most.clone()).unwrap();
    most.layers[0].bias[1] += 1;
    let got = Model::new(graph(), most.clone()).unwrap_err();
    assert!(matches!(got, GraphError::TableTooNarrow { node: 1, high: 128, bits: 8, .. }), "{got:?}");
    // An importer is told what it would take.
    assert_eq!(reach(&graph(), &most).unwrap()[1].1, 2040);
    most.layers[0].bias[1] = -1300;
    let got = Model::new(graph(), most).unwrap_err();
    assert!(matches!(got, GraphError::TableTooNarrow { node: 1, low: -137, .. }), "{got:?}");
}

/// Sums of magnitudes count, not only where a sum ends.
#[test]
fn sums_that_could_overflow() {
    let mut wide = graph();
    wide.input_bits = 16;
    wide.features = vec![feature(); 300];
    wide.input_axes = vec![300];
    wide.nodes = vec![Operator::dense(TensorId(0), 300, 2)];
    wide.tables.clear();
    let layer = |w: i8| LayerWeights { matrix: vec![w; 600], bias: vec![0; 2] };
    Model::new(wide.clone(), Weights { layers: vec![layer(100)] }).unwrap();
    let expected = GraphError::Overflow { node: 0, magnitude: (300 * 110) << 15 };
    assert_eq!(Model::new(wide.clone(), Weights { layers: vec![layer(110)] }).unwrap_err(), expected);
    // The same tensor taken away from itself: zero at the end, too much on the way.
    let term = |coefficient| Term { coefficient, summed: vec![], view: View::identity(TensorId(0), 1) };
    wide.nodes = vec![Operator::Combine {
        axes: vec![300],
        terms: vec![term(1 << 14), term(-(1 << 14))],
        constant: 0,
        bias: None,
    }];
    wide.decoder = Decoder::Values { fraction_bits: 0 };
    let expected = GraphError::Overflow { node: 0, magnitude: 1 << 30 };
    assert_eq!(Model::new(wide, Weights { layers: vec![] }).unwrap_err(), expected);
}

/// Parts laid side by side do not add up.
#[test]
fn concatenations_keep_their_interval() {
    let mut graph = graph();
    let part = |offset: i32| {
        let strides = vec![Stride { axis: 0, stride: 1 }];
        let group = Group { span: 2, offset, strides, divisor: 1, exact: false };
        Term { coefficient: 1, summed: vec![], view: View { tensor: TensorId(0), groups: vec![group] } }
    };
    let terms = vec![part(0), part(-8), part(-16)];
    graph.nodes = vec![Operator::Combine { axes: vec![24], terms, constant: 0, bias: None }];
    graph.tables.clear();
    graph.decoder = Decoder::Values { fraction_bits: 0 };
    let mut model = Model::new(graph.clone(), Weights { layers: vec![] }).unwrap();
    assert_eq!(model.reach(), [(-128, 127), (-128, 127)]);
    // One place shared by two parts is enough for both to count.
    if let Operator::Combine { terms, .. } = &mut graph.nodes[0] {
        terms[2] = part(-15);
    }
    model = Model::new(graph, Weights { layers: vec![] }).unwrap();
    assert_eq!(model.reach()[1], (-256, 254));
}

#[test]
fn runs() {
    let model = Model::new(graph(), weights()).unwrap();
    assert_eq!(execute(&model, &[], 0).unwrap_err(), ExecuteError::NoRows);
    let expected = ExecuteError::InputLength { expected: 16, got: 3 };
    assert_eq!(execute(&model, &[1, 2, 3], 2).unwrap_err(), expected);
    let limit = tacit_graph::MAX_TRACE_CELLS / 38;
    let got = usize::MAX;
    assert_eq!(execute(&model, &[], got).unwrap_err(), ExecuteError::TooManyRows { limit, got });
    let mut inputs = [0; 8];
    for got in [128, -129] {
        inputs[5] = got;
        let expected = ExecuteError::InputRange { index: 5, bits: 8, got };
        assert_eq!(execute(&model, &inputs, 1).unwrap_err(), expected);
    }
}

#[test]
fn rows_of_other_lengths() {
    let graph = graph();
    assert_eq!(graph.encode_input(&[1]).unwrap_err(), AnswerError::InputLength { expected: 8, got: 1 });
    assert_eq!(graph.decode_output(&[1]).unwrap_err(), AnswerError::OutputLength { expected: 2, got: 1 });
}

/// What a log would show of a model or a run: shapes, never numbers.
#[test]
fn debug_shows_no_values() {
    let model = Model::new(graph(), weights()).unwrap();
    let trace = execute(&model, &[77, -77, 77, 77, 77, 77, 77, 77], 1).unwrap();
    let shown = format!("{:?} {trace:?} {:?}", weights(), model);
    assert!(shown.contains("I8[8]") && !shown.contains("77"), "{shown}");
}
