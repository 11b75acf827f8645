//! Attacks on views, padding, sums, products, maxima and tables of a small network that has one of each.
//!
//! Most attacks are by a prover who really runs another network, or lays the argument out otherwise, and says that it
//! ran the one it is asked for: all it sends is consistent but for one step, and that step has to be named.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::{Graph, Group, Model, Operator, Right, View, Weights};
use tacit_prove::{CommittedModel, Run, prove_run};
use tacit_verify::{
    Reject, SecurityBits, Statement,
    field::{Fp, embed},
    plan::{LeafBlock, LeafKind, LookupInput, RightPlan, Step, TableKind},
    verify,
};

use crate::{
    is_lookup, message_bytes, reason, signed,
    support::{
        build::{Build, INPUT, divided, flat, group, term, view, weights},
        unit_rows,
    },
};

/// A convolution, a maximum of neighbours, a sum of four views, a product of two views of one tensor, an upscaled sum
/// that is read twice, an element-wise product, a look-up without a shift, a reshaped sum and a dense layer.
fn zoo() -> Model {
    let mut build = Build::new(&[3, 5, 2], 6, 12);
    // Tables that lose nothing on the way to the output, and do not send zero to zero.
    let relu = build.table(9, |u| (u * 23).rem_euclid(61) + 3);
    let other = build.table(9, |u| (u * 19).rem_euclid(89) - 40);
    let wide = build.table(11, |u| (u * 7).rem_euclid(97) - 30);

    let left = view(INPUT, vec![group(-1, &[(0, 1), (3, 1)]), group(-1, &[(1, 2), (4, 1)]), Group::axis(5)]);
    let conv = build.contract(&[3, 3, 3], &[3, 3, 2], left, weights(&[3, 4, 5, 2]), Some(&[2]));
    let image = build.requantise(conv, relu);
    let side = |offset| view(image, vec![Group::axis(0), group(offset, &[(1, 1)]), Group::axis(2)]);
    let largest = build.maximum(&[3, 2, 3], side(0), side(1));
    let sum = build.add(Operator::Combine {
        axes: vec![3, 2, 3],
        terms: vec![
            term(3, &[], View::identity(largest, 3)),
            term(-2, &[], side(1)),
            term(1, &[], view(image, vec![group(2, &[]), group(0, &[(1, 1)]), Group::axis(2)])),
            term(1, &[2], view(image, vec![group(0, &[(3, 1)]), group(0, &[(1, 1)]), Group::axis(2)])),
        ],
        constant: 5,
        bias: Some(vec![2]),
    });
    let sum = build.requantise(sum, relu);
    let rows = |axis| view(sum, vec![Group::axis(axis), Group::axis(2), Group::axis(3)]);
    let scores = build.contract(&[3, 3], &[2, 3], rows(0), Right::View(rows(1)), None);
    let scores = build.requantise(scores, other);
    let near = view(scores, vec![divided(0, &[(0, 1)], 2, false), Group::axis(1)]);
    let spread = view(scores, vec![divided(-1, &[(0, 1)], 2, true), Group::axis(1)]);
    let up = build.combine(&[5, 3], vec![term(1, &[], near.clone()), term(2, &[], spread)]);
    let gated = build.contract(&[5, 3], &[], View::identity(up, 2), Right::View(near), None);
    let looked_up = build.requantise(up, wide);
    let flattened = |tensor| view(tensor, vec![flat(2, 0, &[(0, 1)])]);
    let joined =
        build.combine(&[15], vec![term(1, &[], flattened(gated)), term(-7, &[], flattened(looked_up))]);
    let joined = build.requantise(joined, other);
    build.add(Operator::dense(joined, 15, 4));
    let weights = build.weights.clone();
    let mut graph = build.model().graph().clone();
    // Room for the lies.
    for node in &mut graph.nodes {
        if let Operator::Requantise { shift: shift @ 1.., .. } = node {
            *shift += 1;
        }
    }
    let model = Model::new(graph, weights).unwrap();
    assert!(matches!(model.graph().nodes[9], Operator::Requantise { shift: 0, .. }));
    model
}

const ROWS: usize = 3;

fn run_of(model: &Model, seed: u64) -> (CommittedModel, Run) {
    let inputs = unit_rows(model, ROWS, seed);
    let model = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
    let run = Run::new(&model, &inputs).unwrap();
    (model, run)
}

fn honest() -> (CommittedModel, Run) {
    run_of(&zoo(), 5)
}

fn reject(model: &CommittedModel, run: &Run) -> Reject {
    let proof = prove_run(model, run).unwrap();
    verify(model.verifying_model(), &run.statement, &proof).unwrap_err()
}

/// Proves an honest run after a change and says why it is refused.
fn altered(change: impl Fn(&mut Run)) -> Reject {
    let (model, mut run) = honest();
    change(&mut run);
    reject(&model, &run)
}

/// Runs a network of another graph, says that it was this one, and gives the reason for the refusal.
fn lie(change: impl Fn(&mut Graph)) -> Reject {
    lie_about(|graph, _| change(graph), |_| ())
}

/// The same with other weights, and with a plan that the prover changes on its side.
fn lie_about(change: impl Fn(&mut Graph, &mut Weights), plan: impl Fn(&mut Run)) -> Reject {
    let truth = zoo();
    let (mut graph, mut weights) = (truth.graph().clone(), truth.weights().clone());
    change(&mut graph, &mut weights);
    let (_, mut run) = run_of(&Model::new(graph, weights).unwrap(), 5);
    plan(&mut run);
    let (model, honest) = run_of(&truth, 5);
    assert_ne!(run.statement.outputs, honest.statement.outputs, "the lie changes nothing");
    reject(&model, &run)
}

fn left(graph: &mut Graph, node: usize) -> &mut View {
    match &mut graph.nodes[node] {
        Operator::Contract { left, .. } | Operator::Maximum { left, .. } => left,
        other => panic!("{other:?}"),
    }
}

fn right(graph: &mut Graph, node: usize) -> &mut View {
    match &mut graph.nodes[node] {
        Operator::Contract { right: Right::View(right), .. } | Operator::Maximum { right, .. } => right,
        other => panic!("{other:?}"),
    }
}

fn term_of(graph: &mut Graph, node: usize, index: usize) -> &mut tacit_graph::Term {
    match &mut graph.nodes[node] {
        Operator::Combine { terms, .. } => &mut terms[index],
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_honest_proof_is_accepted() {
    let (model, run) = honest();
    let proof = prove_run(&model, &run).unwrap();
    assert!(verify(model.verifying_model(), &run.statement, &proof).is_ok());
}

#[test]
fn an_altered_output_is_refused() {
    assert_eq!(altered(|run| run.statement.outputs[1][2] += 1), Reject::Product { node: 12 });
}

#[test]
fn another_input_is_refused() {
    let (model, honest) = honest();
    let (_, mut run) = run_of(&zoo(), 6);
    run.statement.inputs = honest.statement.inputs;
    assert_eq!(reject(&model, &run), Reject::Input);
}

#[test]
fn a_view_at_another_offset_is_refused() {
    assert_eq!(lie(|graph| left(graph, 0).groups[0].offset = 0), Reject::View { node: 0 });
    assert_eq!(lie(|graph| left(graph, 2).groups[1].offset = 1), Reject::View { node: 2 });
    assert_eq!(lie(|graph| right(graph, 2).groups[1].offset = 0), Reject::View { node: 2 });
    assert_eq!(lie(|graph| term_of(graph, 10, 1).view.groups[0].offset = 1), Reject::View { node: 10 });
}

#[test]
fn a_view_of_another_stride_is_refused() {
    assert_eq!(lie(|graph| left(graph, 0).groups[1].strides[0].stride = 1), Reject::View { node: 0 });
    assert_eq!(
        lie(|graph| term_of(graph, 10, 0).view.groups[0].strides[0].stride = 2),
        Reject::View { node: 10 }
    );
}

#[test]
fn another_dilation_is_refused() {
    assert_eq!(lie(|graph| left(graph, 0).groups[0].strides[1].stride = 2), Reject::View { node: 0 });
}

#[test]
fn another_divisor_is_refused() {
    assert_eq!(lie(|graph| term_of(graph, 7, 0).view.groups[0].divisor = 3), Reject::View { node: 7 });
}

#[test]
fn positions_that_a_divisor_does_not_divide_are_refused() {
    // Rounding down where only whole positions count.
    assert_eq!(lie(|graph| term_of(graph, 7, 1).view.groups[0].exact = false), Reject::View { node: 7 });
}

#[test]
fn a_read_past_the_end_of_an_axis_is_refused() {
    // One column further, on the next row where there is one, instead of the zero that is read outside.
    let wrapped = |graph: &mut Graph| {
        let View { groups, .. } = &mut term_of(graph, 3, 1).view;
        *groups = vec![flat(2, 2, &[(0, 3), (1, 1)]), Group::axis(2)];
    };
    let cut = |graph: &mut Graph| {
        let View { groups, .. } = &mut term_of(graph, 3, 1).view;
        groups[1].offset = 2;
    };
    let truth = zoo();
    let (mut honest, mut lying) = (truth.graph().clone(), truth.graph().clone());
    cut(&mut honest);
    wrapped(&mut lying);
    let (model, _) = run_of(&Model::new(honest, truth.weights().clone()).unwrap(), 5);
    let (_, run) = run_of(&Model::new(lying, truth.weights().clone()).unwrap(), 5);
    assert_eq!(reject(&model, &run), Reject::View { node: 3 });
}

#[test]
fn axes_in_another_order_are_refused() {
    assert_eq!(lie(|graph| term_of(graph, 3, 1).view.groups.swap(0, 2)), Reject::View { node: 3 });
}

#[test]
fn another_tensor_of_the_same_shape_is_refused() {
    // The element-wise product of the scores with themselves instead of with the upscaled sum.
    let read = |graph: &mut Graph| *left(graph, 8) = right(graph, 8).clone();
    let reject = lie(read);
    assert!(
        matches!(reject, Reject::View { node: 8 } | Reject::Product { node: 8 } | Reject::Merge { .. }),
        "{reject:?}"
    );
}

#[test]
fn another_coefficient_is_refused() {
    assert_eq!(lie(|graph| term_of(graph, 10, 1).coefficient = -6), Reject::View { node: 10 });
    assert_eq!(lie(|graph| term_of(graph, 3, 1).coefficient = 2), Reject::View { node: 3 });
}

#[test]
fn another_constant_is_refused() {
    let change = |graph: &mut Graph| match &mut graph.nodes[3] {
        Operator::Combine { constant, .. } => *constant = 64,
        other => panic!("{other:?}"),
    };
    assert_eq!(lie(change), Reject::View { node: 3 });
}

#[test]
fn a_sum_over_more_elements_is_refused() {
    assert_eq!(lie(|graph| term_of(graph, 3, 3).summed[0] = 3), Reject::View { node: 3 });
}

#[test]
fn a_constant_in_the_padding_is_refused() {
    // The prover takes every axis for as long as its padding: the constant and the bias reach into it.
    let change = |run: &mut Run| match &mut run.plan.steps[3] {
        Step::Combine(step) => step.sizes = vec![4, 2, 4],
        other => panic!("{other:?}"),
    };
    // What it sends is the same: masks are the verifier's own.
    let (model, mut run) = honest();
    change(&mut run);
    let proof = prove_run(&model, &run).unwrap();
    assert!(verify(model.verifying_model(), &run.statement, &proof).is_ok());
    // A table that sees the constant there is refused.
    let reject = altered(|run| in_padding(run, 4, 5));
    assert_eq!(reject, Reject::View { node: 3 });
}

/// Has the requantisation of this node look up another value in a cell of padding: all look-ups hold.
fn in_padding(run: &mut Run, node: usize, by: i32) {
    let graph = zoo().graph().clone();
    let Step::Requantise(step) = run.plan.steps[node].clone() else { panic!("not a requantisation") };
    let layout = &run.plan.tensors[step.output];
    let last = (1 << layout.vars()) - 1;
    let table = &graph.tables[step.table];
    let half = 1i32 << (table.bits - 1);
    let values = &mut run.virtuals[step.quotient];
    let was = signed(values[last]);
    values[last] = embed(was + by);
    run.witness.columns[step.image][last] = embed(i32::from(table.values[(was + by + half) as usize]));
    let count = run.plan.tables.iter().find(|t| t.kind == TableKind::Activation(step.table)).unwrap().count;
    run.witness.columns[count][(was + half) as usize] -= Fp::ONE;
    run.witness.columns[count][(was + by + half) as usize] += Fp::ONE;
}

#[test]
fn padding_of_a_sum_that_is_not_zero_is_refused() {
    assert_eq!(altered(|run| in_padding(run, 1, 3)), Reject::Product { node: 0 });
    assert_eq!(altered(|run| in_padding(run, 6, 3)), Reject::Product { node: 5 });
    assert_eq!(altered(|run| in_padding(run, 11, 3)), Reject::View { node: 10 });
}

#[test]
fn claims_about_one_tensor_that_differ_are_refused() {
    // What is looked up of the upscaled sum is not what the product reads of it.
    assert_eq!(altered(|run| in_padding(run, 9, 3)), Reject::Merge { tensor: 8 });
}

#[test]
fn a_product_of_other_values_is_refused() {
    assert_eq!(altered(|run| run.tensors[8][1] += Fp::ONE), Reject::Product { node: 8 });
    assert_eq!(altered(|run| run.tensors[9][1] += Fp::ONE), Reject::View { node: 10 });
}

#[test]
fn an_axis_that_a_view_does_not_use_ends_where_it_ends() {
    // The prover broadcasts into the padding of the axis as well.
    let change = |run: &mut Run| match &mut run.plan.steps[3] {
        Step::Combine(step) => step.terms[2].view.unused.clear(),
        other => panic!("{other:?}"),
    };
    assert_eq!(altered(change), Reject::View { node: 3 });
}

#[test]
fn an_axis_that_a_view_uses_ends_where_it_ends() {
    // Row 5 of an upscaled axis of 5 would read what row 4 reads.
    let change = |run: &mut Run| match &mut run.plan.steps[7] {
        Step::Combine(step) => step.terms[0].view.groups[0].sizes[0] = 6,
        other => panic!("{other:?}"),
    };
    assert_eq!(altered(change), Reject::View { node: 7 });
}

#[test]
fn factors_in_the_other_order_are_refused() {
    // Their product is the same.
    let change = |run: &mut Run| match &mut run.plan.steps[5] {
        Step::Contract(step) => match &mut step.right {
            RightPlan::View(right) => std::mem::swap(&mut step.left, right),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(altered(change), Reject::View { node: 5 });
}

#[test]
fn a_bias_of_another_layer_is_refused() {
    // The sum's bias is that of the convolution; both have three elements.
    let change = |_: &mut Graph, weights: &mut Weights| {
        weights.layers[1].bias = weights.layers[0].bias.clone();
    };
    let plan = |run: &mut Run| {
        let Step::Contract(conv) = &run.plan.steps[0] else { panic!("not a contraction") };
        let tensor = conv.bias.as_ref().unwrap().tensor;
        let Step::Combine(sum) = &mut run.plan.steps[3] else { panic!("not a sum") };
        sum.bias.as_mut().unwrap().tensor = tensor;
    };
    assert_eq!(lie_about(change, plan), Reject::WeightBatch);
}

#[test]
fn other_weights_are_refused() {
    let change = |_: &mut Graph, weights: &mut Weights| weights.layers[2].matrix[7] += 1;
    assert_eq!(lie_about(change, |_| ()), Reject::Product { node: 12 });
    let change = |_: &mut Graph, weights: &mut Weights| weights.layers[1].bias[1] += 400;
    assert_eq!(lie_about(change, |_| ()), Reject::View { node: 3 });
}

#[test]
fn an_image_that_the_table_does_not_give_is_refused() {
    let change = |graph: &mut Graph| graph.tables[1].values.iter_mut().for_each(|value| *value += 1);
    assert_eq!(lie(change), Reject::LookupSum);
}

#[test]
fn an_image_of_another_table_is_refused() {
    let change = |graph: &mut Graph| match &mut graph.nodes[6] {
        Operator::Requantise { table, .. } => *table = 0,
        other => panic!("{other:?}"),
    };
    assert!(is_lookup(&lie(change)));
}

#[test]
fn another_shift_is_refused() {
    let change = |graph: &mut Graph| match &mut graph.nodes[11] {
        Operator::Requantise { shift, .. } => *shift += 1,
        other => panic!("{other:?}"),
    };
    let _ = lie(change);
}

#[test]
fn a_remainder_out_of_range_is_refused() {
    // `2^s (u - 1) + (r + 2^s)` is the same sum.
    let change = |run: &mut Run| {
        let Step::Requantise(step) = run.plan.steps[4].clone() else { panic!("not a requantisation") };
        in_padding(run, 4, -1);
        let limb = step.limbs.last().unwrap();
        let column = &mut run.witness.columns[limb.column];
        let last = (1 << run.plan.tensors[step.output].vars()) - 1;
        column[last] += embed(1 << (step.shift - limb.offset));
    };
    assert_eq!(altered(change), Reject::LookupSum);
}

#[test]
fn a_look_up_of_a_value_that_is_not_there_is_refused() {
    assert_eq!(altered(|run| run.virtuals[1][2] += Fp::ONE), Reject::LookupSum);
}

#[test]
fn a_count_that_is_not_that_of_the_uses_is_refused() {
    for table in 0..zoo_tables() {
        let change = |run: &mut Run| {
            let count = run.plan.tables[table].count;
            run.witness.columns[count][0] += Fp::ONE;
        };
        assert_eq!(altered(change), Reject::LookupSum, "table {table}");
    }
}

fn zoo_tables() -> usize {
    let (_, run) = honest();
    let kinds: Vec<TableKind> = run.plan.tables.iter().map(|table| table.kind).collect();
    assert!(kinds.contains(&TableKind::Range) && kinds.contains(&TableKind::Positive));
    kinds.len()
}

#[test]
fn a_maximum_that_is_neither_side_is_refused() {
    let change = |run: &mut Run| {
        let Step::Maximum(step) = &run.plan.steps[2] else { panic!("not a maximum") };
        run.witness.columns[step.image][0] += Fp::ONE;
    };
    assert_eq!(altered(change), Reject::LookupSum);
}

#[test]
fn a_maximum_of_another_difference_is_refused() {
    // In padding, so that nothing else changes: the difference there is zero, looked up is one.
    let change = |run: &mut Run| {
        let Step::Maximum(step) = run.plan.steps[2].clone() else { panic!("not a maximum") };
        let place = step.difference;
        let last = run.virtuals[place].len() - 1;
        run.virtuals[place][last] = Fp::ONE;
        run.witness.columns[step.image][last] = Fp::ONE;
        let count = run.plan.tables.iter().find(|t| t.kind == TableKind::Positive).unwrap().count;
        let half = 1 << (step.bits - 1);
        run.witness.columns[count][half] -= Fp::ONE;
        run.witness.columns[count][half + 1] += Fp::ONE;
    };
    assert_eq!(altered(change), Reject::View { node: 2 });
}

#[test]
fn another_difference_of_the_same_maximum_is_refused() {
    // The table makes zero of minus one as of zero, so the maximum itself is right.
    let change = |run: &mut Run| {
        let Step::Maximum(step) = run.plan.steps[2].clone() else { panic!("not a maximum") };
        let place = step.difference;
        let last = run.virtuals[place].len() - 1;
        run.virtuals[place][last] = -Fp::ONE;
        let count = run.plan.tables.iter().find(|t| t.kind == TableKind::Positive).unwrap().count;
        let half = 1 << (step.bits - 1);
        run.witness.columns[count][half] -= Fp::ONE;
        run.witness.columns[count][half - 1] += Fp::ONE;
    };
    assert_eq!(altered(change), Reject::View { node: 2 });
}

#[test]
fn another_maximum_of_the_same_difference_is_refused() {
    // Differences and their look-ups are the honest ones; the tensor is that of two equal sides.
    let (_, honest) = honest();
    let change = |run: &mut Run| {
        run.plan.steps[2] = honest.plan.steps[2].clone();
        let Step::Maximum(step) = &honest.plan.steps[2] else { panic!("not a maximum") };
        let place = step.difference;
        run.virtuals[place].clone_from(&honest.virtuals[place]);
        let count = honest.plan.tables.iter().find(|t| t.kind == TableKind::Positive).unwrap().count;
        for column in [step.image, count] {
            run.witness.columns[column].clone_from(&honest.witness.columns[column]);
        }
    };
    assert_eq!(lie_about(|graph, _| left(graph, 2).groups[1].offset = 1, change), Reject::View { node: 2 });
}

#[test]
fn sides_of_a_maximum_in_the_other_order_are_refused() {
    // The verifier adds what the table gives to the right side; the prover to the left.
    let change = |run: &mut Run| {
        let Step::Maximum(step) = &mut run.plan.steps[2] else { panic!("not a maximum") };
        std::mem::swap(&mut step.left, &mut step.right);
    };
    assert_eq!(altered(change), Reject::View { node: 2 });
}

#[test]
fn look_ups_of_one_node_for_another_are_refused() {
    // Both go to one table and have one length: the prover swaps their inputs.
    let change = |run: &mut Run| {
        let leaves: Vec<usize> = (0..run.plan.leaves.len())
            .filter(|leaf| {
                let block = run.plan.leaves[*leaf];
                let quotients = matches!(block.kind, LeafKind::Uses { output: Some(_), .. });
                quotients && run.plan.tables[block.table].kind == TableKind::Activation(1)
            })
            .collect();
        let [one, two] = *leaves.as_slice() else { panic!("{leaves:?}") };
        let (a, b) = (run.plan.leaves[one].kind, run.plan.leaves[two].kind);
        assert_eq!(run.plan.leaves[one].vars, run.plan.leaves[two].vars);
        (run.plan.leaves[one].kind, run.plan.leaves[two].kind) = (b, a);
    };
    assert_eq!(altered(change), Reject::LookupDenominators);
}

#[test]
fn look_ups_in_the_filling_are_refused() {
    // Remainders are looked up once more behind the last leaf, and counted: all fractions add up to zero.
    let mut build = Build::new(&[16], 6, 3);
    let table = build.table(9, |u| u.rem_euclid(100));
    let hidden = build.add(Operator::dense(INPUT, 16, 16));
    let hidden = build.requantise(hidden, table);
    build.add(Operator::dense(hidden, 16, 4));
    let model = build.model();
    let inputs = unit_rows(&model, 16, 5);
    let model = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    let mut run = Run::new(&model, &inputs).unwrap();

    let Step::Requantise(step) = run.plan.steps[1].clone() else { panic!("not a requantisation") };
    let limb = step.limbs.last().unwrap().column;
    let limbs = LeafKind::Uses { input: LookupInput::Column(limb), output: None };
    let block = *run.plan.leaves.iter().find(|block| block.kind == limbs).unwrap();
    let last = run.plan.leaves.last().unwrap();
    let offset = last.offset + (1 << last.vars);
    assert!(last.vars >= 4 && offset + (1 << block.vars) <= 1 << run.plan.leaf_vars.unwrap());
    run.plan.leaves.push(LeafBlock { offset, ..block });
    let count = run.plan.tables[block.table].count;
    for value in run.witness.columns[limb].clone() {
        run.witness.columns[count][signed(value) as usize] += Fp::ONE;
    }
    assert_eq!(reject(&model, &run), Reject::LookupNumerators);
}

#[test]
fn a_quotient_of_another_sum_is_refused() {
    // Quotients are not committed: every look-up holds, and the sum that they stand for is one step too large.
    let change = |run: &mut Run| in_padding(run, 4, 1);
    assert!(matches!(altered(change), Reject::View { node: 3 }));
}

#[test]
fn every_message_is_checked_for_its_own_reason() {
    let (model, run) = honest();
    let honest = prove_run(&model, &run).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for at in (3 + 32..message_bytes(&model, &run)).step_by(20) {
        let mut proof = honest.clone();
        proof[at] ^= 1;
        seen.insert(reason(&verify(model.verifying_model(), &run.statement, &proof).unwrap_err()));
    }
    let expected = [
        "LookupDenominators",
        "LookupLayer",
        "LookupNumerators",
        "LookupPole",
        "LookupSum",
        "Merge",
        "Product",
        "View",
        "WeightBatch",
        "WitnessBatch",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn every_byte_is_bound() {
    let (model, run) = run_of(&zoo(), 9);
    let mut proof = prove_run(&model, &run).unwrap();
    let messages = message_bytes(&model, &run);
    let Statement { inputs, .. } = &run.statement;
    assert_eq!(inputs.len(), ROWS);
    for index in 0..proof.len() {
        // The openings are the same code as a dense network's, of which every byte is tried.
        if index > messages && index % 5 != 0 {
            continue;
        }
        let bit = 1 << (index % 8);
        proof[index] ^= bit;
        assert!(
            verify(model.verifying_model(), &run.statement, &proof).is_err(),
            "byte {index} of {} is not bound",
            proof.len()
        );
        proof[index] ^= bit;
    }
    assert!(verify(model.verifying_model(), &run.statement, &proof).is_ok());
}
