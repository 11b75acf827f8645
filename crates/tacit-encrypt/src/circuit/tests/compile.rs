//! Circuits compute what graphs do, and what does not fit is refused for its reason.

use tacit_graph::{
    Decoder, Feature, Graph, Group, LayerWeights, Model, Operator, Right, Table, TensorId, Term, View,
    Weights, execute, random_inputs, random_model,
};

use super::trees::Forest;
use crate::circuit::{
    compile::{Circuit, MAX_WORK, Misfit, compile},
    layout::Layout,
    simulate::Random,
    value::Atom,
};

fn wide(row: &[i16]) -> Vec<i64> {
    row.iter().map(|x| i64::from(*x)).collect()
}

fn assert_same(model: &Model, circuit: &Circuit, row: &[i16]) {
    let logits: Vec<i64> = execute(model, row, 1).unwrap().logits().iter().map(|x| i64::from(*x)).collect();
    assert_eq!(circuit.evaluate(&wide(row)), logits);
}

#[test]
fn networks_compile_to_what_they_compute() {
    for (widths, lookups, depth) in [(&[5, 4, 3][..], 4, 1), (&[7, 6, 5, 2], 11, 2), (&[3, 1, 1], 1, 1)] {
        let model = tacit_graph::synthetic_mlp(widths, 3).unwrap();
        let circuit = compile(&model).unwrap();
        assert_eq!((circuit.lookups.len(), circuit.depths().into_iter().max().unwrap()), (lookups, depth));
        let mut random = Random(4);
        for _ in 0..200 {
            let row: Vec<i16> = (0..widths[0]).map(|_| (random.word() as u8 as i8).into()).collect();
            assert_same(&model, &circuit, &row);
        }
    }
}

/// Graphs of all operators in any order: most are refused, and the others are right.
#[test]
fn any_graph_compiles_to_what_it_computes_or_not_at_all() {
    let mut compiled = 0;
    let mut refused = std::collections::BTreeSet::new();
    for seed in 0..1500 {
        let Ok(model) = random_model(seed) else { continue };
        match compile(&model) {
            Ok(circuit) => {
                compiled += 1;
                let inputs = model.shapes().inputs();
                let rows = random_inputs(&model, 4, seed);
                for row in rows.chunks(inputs) {
                    assert_same(&model, &circuit, row);
                }
            }
            Err(misfit) => {
                refused.insert(name(&misfit));
            }
        }
    }
    assert!(compiled > 200, "{compiled} {refused:?}");
    assert!(refused.len() >= 3, "{refused:?}");
}

/// The variant alone.
fn name(misfit: &Misfit) -> String {
    format!("{misfit:?}").split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn a_forest_is_a_lookup_for_each_tree() {
    for depth in 1..5 {
        let forest = Forest { features: 9, levels: 20, trees: 12, depth, leaf: 900 };
        let model = forest.model(u64::from(depth));
        let circuit = compile(&model).unwrap();
        // Trees of one test are functions of one input, and four of them share a look-up where their inputs differ.
        let most = if depth == 1 { 6 } else { 12 };
        assert!(circuit.lookups.len() <= most, "{}", circuit.lookups.len());
        assert_eq!(circuit.depths().into_iter().max(), Some(1));
        let mut random = Random(9);
        for _ in 0..300 {
            assert_same(&model, &circuit, &forest.row(&mut random));
        }
        let layout = Layout::of(&circuit).unwrap();
        assert!(layout.shapes().all(|shape| !shape.whole));
    }
}

fn table(bits: u8, entry: impl Fn(i64) -> i64) -> Table {
    let half = 1i64 << (bits - 1);
    Table { bits, values: (-half..half).map(|u| entry(u) as i16).collect() }
}

fn unit() -> Feature {
    Feature { name: String::new(), offset: 0, multiplier: 1, shift: 24, steps: Vec::new() }
}

/// A graph of inputs of four bits, with these operators, tables and weights.
fn model(inputs: u32, nodes: Vec<Operator>, tables: Vec<Table>, layers: Vec<LayerWeights>) -> Model {
    let graph = Graph {
        features: (0..inputs).map(|_| unit()).collect(),
        input_axes: vec![inputs],
        input_bits: 4,
        nodes,
        tables,
        decoder: Decoder::Values { fraction_bits: 0 },
    };
    Model::new(graph, Weights { layers }).unwrap()
}

fn dense(tensor: u32, inputs: u32, outputs: u32) -> Operator {
    Operator::Contract {
        axes: vec![outputs],
        summed: vec![inputs],
        left: View { tensor: TensorId(tensor), groups: vec![Group::axis(1)] },
        right: Right::Weights { axes: vec![1, 0] },
        bias: Some(vec![0]),
    }
}

fn layer(matrix: &[i8], bias: &[i32]) -> LayerWeights {
    LayerWeights { matrix: matrix.to_vec(), bias: bias.to_vec() }
}

fn add(left: u32, right: u32, size: u32) -> Operator {
    let term =
        |tensor| Term { coefficient: 1, summed: Vec::new(), view: View::identity(TensorId(tensor), 1) };
    Operator::Combine { axes: vec![size], terms: vec![term(left), term(right)], constant: 0, bias: None }
}

fn requantise(input: u32) -> Operator {
    Operator::Requantise { input: TensorId(input), shift: 0, table: 0 }
}

/// Every row of inputs of four bits.
fn assert_all_same(model: &Model) -> Circuit {
    let circuit = compile(model).unwrap();
    let inputs = model.shapes().inputs();
    for number in 0..1i64 << (4 * inputs) {
        let row: Vec<i16> = (0..inputs).map(|input| ((number >> (4 * input)) & 15) as i16 - 8).collect();
        assert_same(model, &circuit, &row);
    }
    circuit
}

#[test]
fn equal_lookups_are_one_and_constants_none() {
    let nodes = vec![dense(0, 2, 4), requantise(1), dense(2, 4, 1)];
    let tables = vec![table(8, |u| (u / 4).clamp(-3, 9))];
    // Two equal sums, one of nothing, and one that never leaves a run of the table.
    let first = layer(&[1, 1, 0, 0, 2, 2, 0, 0], &[5, 5, 40, 0]);
    let circuit = assert_all_same(&model(2, nodes, tables, vec![first, layer(&[1, 2, 3, 4], &[0])]));
    assert_eq!(circuit.lookups.len(), 1);
}

#[test]
fn a_table_of_a_lookup_is_a_lookup_of_the_same_sum() {
    let nodes = vec![dense(0, 2, 1), requantise(1), requantise(2), dense(3, 1, 1)];
    let tables = vec![table(8, |u| (u / 3).pow(2) % 31 - 15)];
    let circuit = assert_all_same(&model(2, nodes, tables, vec![layer(&[3, -2], &[1]), layer(&[2], &[-7])]));
    assert_eq!((circuit.lookups.len(), circuit.depths()), (1, vec![1]));
}

#[test]
fn functions_of_single_inputs_cost_nothing_and_share_lookups_in_the_end() {
    // Tables of the inputs themselves, one of them by a square of it; a sum with a look-up of two.
    let square = Operator::Contract {
        axes: vec![2],
        summed: Vec::new(),
        left: View::identity(TensorId(1), 1),
        right: Right::View(View::identity(TensorId(1), 1)),
        bias: None,
    };
    let nodes = vec![requantise(0), square, dense(2, 2, 1), requantise(3), dense(2, 2, 1), add(4, 5, 1)];
    let tables = vec![table(8, |u| match u {
        ..-2 => -1,
        -2..3 => 0,
        _ => (u / 4).min(2),
    })];
    let layers = vec![layer(&[1, 2], &[3]), layer(&[1, -1], &[3])];
    let circuit = assert_all_same(&model(2, nodes, tables, layers));
    // The squares are 0, 1 and 4: with three and three steps or fewer they are nine values of one number.
    assert_eq!(circuit.lookups.len(), 2);
    assert!(circuit.lookups.iter().all(|lookup| lookup.steps.high() - lookup.steps.low() < 40));
}

#[test]
fn many_jumps_of_one_input_are_several_lookups() {
    let nodes = vec![requantise(0), dense(1, 1, 1), dense(0, 2, 1), requantise(3), add(2, 4, 1)];
    let tables = vec![table(8, |u| (u * u * u) % 13)];
    let mut one_input = dense(1, 1, 1);
    if let Operator::Contract { left, .. } = &mut one_input {
        left.groups[0].offset = 1;
    }
    let mut nodes = nodes;
    nodes[1] = one_input;
    let circuit = assert_all_same(&model(2, nodes, tables, vec![layer(&[1], &[0]), layer(&[1, 1], &[0])]));
    // Fifteen jumps make a number of sixteen values.
    assert_eq!(circuit.lookups.len(), 2);
}

#[test]
fn maxima_are_lookups_of_differences() {
    let maximum = |left, right| Operator::Maximum {
        axes: vec![2],
        left: View::identity(TensorId(left), 1),
        right: View::identity(TensorId(right), 1),
    };
    // Of two look-ups; and of one input and a constant, which is a function of that input.
    let nodes = vec![dense(0, 2, 2), requantise(1), dense(2, 2, 2), maximum(2, 3), dense(4, 2, 1)];
    let tables = vec![table(8, |u| u.clamp(-7, 9))];
    let layers = vec![layer(&[1, 2, -1, 1], &[0, 1]), layer(&[0, 1, 1, 0], &[0, 0]), layer(&[1, 3], &[0])];
    let circuit = assert_all_same(&model(2, nodes, tables, layers));
    assert_eq!(circuit.depths().into_iter().max(), Some(2));
    // A maximum that one side always wins is no look-up.
    let nodes = vec![dense(0, 2, 2), requantise(1), dense(2, 2, 2), maximum(2, 3), dense(4, 2, 1)];
    let tables = vec![table(8, |u| u.clamp(-7, 9))];
    let layers = vec![layer(&[1, 2, -1, 1], &[0, 1]), layer(&[0, 0, 0, 0], &[9, -7]), layer(&[1, 3], &[0])];
    let circuit = assert_all_same(&model(2, nodes, tables, layers));
    assert_eq!(circuit.depths().into_iter().max(), Some(1));
}

fn refused(model: &Model) -> Misfit {
    compile(model).unwrap_err()
}

#[test]
fn products_of_two_inputs_are_refused() {
    let mut reversed = Group { offset: 1, ..Group::axis(0) };
    reversed.strides[0].stride = -1;
    let product = Operator::Contract {
        axes: vec![2],
        summed: Vec::new(),
        left: View::identity(TensorId(0), 1),
        right: Right::View(View { tensor: TensorId(0), groups: vec![reversed] }),
        bias: None,
    };
    let model = model(2, vec![product], Vec::new(), Vec::new());
    assert_eq!(refused(&model), Misfit::Product { node: 0 });
}

#[test]
fn wide_inputs_beside_lookups_are_refused() {
    let graph = |bits| Graph {
        features: vec![unit(), unit()],
        input_axes: vec![2],
        input_bits: bits,
        nodes: vec![dense(0, 2, 2), requantise(1), add(0, 2, 2), requantise(3), dense(4, 2, 1)],
        tables: vec![table(10, |u| u / 3)],
        decoder: Decoder::Values { fraction_bits: 0 },
    };
    let weights = Weights { layers: vec![layer(&[1, 1, 1, 1], &[0, 0]), layer(&[1, 1], &[0])] };
    let wide = Model::new(graph(6), weights.clone()).unwrap();
    assert_eq!(refused(&wide), Misfit::Mixed { node: 3 });
    assert!(compile(&Model::new(graph(4), weights).unwrap()).is_ok());
}

#[test]
fn a_maximum_over_too_wide_a_difference_is_refused() {
    let maximum = Operator::Maximum {
        axes: vec![1],
        left: View { tensor: TensorId(1), groups: vec![Group { strides: Vec::new(), ..Group::axis(0) }] },
        right: View {
            tensor: TensorId(1),
            groups: vec![Group { strides: Vec::new(), offset: 1, ..Group::axis(0) }],
        },
    };
    let graph = Graph {
        features: vec![unit(), unit()],
        input_axes: vec![2],
        input_bits: 16,
        nodes: vec![dense(0, 2, 2), maximum],
        tables: Vec::new(),
        decoder: Decoder::Values { fraction_bits: 0 },
    };
    let weights = Weights { layers: vec![layer(&[1, 2, 3, 4], &[0, 0])] };
    let got = Model::new(graph, weights).unwrap();
    assert_eq!(refused(&got), Misfit::Maximum { node: 1, got: 131_071 });
}

#[test]
fn linear_models_are_refused() {
    let got = model(2, vec![dense(0, 2, 2)], Vec::new(), vec![layer(&[1, 2, 3, 4], &[0, 0])]);
    assert_eq!(refused(&got), Misfit::Linear);
}

#[test]
fn too_many_lookups_are_refused() {
    let outputs = 6000;
    let matrix: Vec<i8> =
        (0..3 * outputs).map(|at| ((at % outputs) >> (5 * (at / outputs))) as i8 & 31).collect();
    let nodes = vec![dense(0, 3, outputs), requantise(1), dense(2, outputs, 1)];
    let layers = vec![layer(&matrix, &vec![1; outputs as usize]), layer(&vec![1; outputs as usize], &[0])];
    let got = model(3, nodes, vec![table(11, |u| u.signum())], layers);
    assert_eq!(refused(&got), Misfit::Lookups);
}

#[test]
fn too_many_products_are_refused() {
    let inputs = 1 << 12;
    let model = tacit_graph::synthetic_mlp(&[inputs, inputs + 1, 2], 1).unwrap();
    assert!(model.shapes().macs() > MAX_WORK as u64);
    assert_eq!(refused(&model), Misfit::TooLarge);
}

#[test]
fn too_many_numbers_are_refused() {
    let forest = Forest { features: 400, levels: 60, trees: 300, depth: 3, leaf: 5 };
    let circuit = compile(&forest.model(1)).unwrap();
    let used = circuit.lookups.iter().flat_map(|lookup| &lookup.form).map(|(atom, _)| *atom);
    let used: std::collections::BTreeSet<Atom> = used.collect();
    assert_eq!(Layout::of(&circuit).unwrap_err(), Misfit::Slots { got: used.len() * 60 });
}
