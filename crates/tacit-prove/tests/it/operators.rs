//! Every kind of view and operator that an importer writes, one small graph each.

use tacit_graph::{Group, Operator, Right, TensorId, Term, View};

use crate::{
    check,
    support::{
        build::{Build, INPUT, divided, flat, group, term, view, weights},
        unit_rows,
    },
};

/// Proves the graph on one to five rows, after a dense layer that makes its last tensor an output.
fn prove_all(mut build: Build, last: TensorId, sizes: &[u32]) {
    let axes: Vec<u8> = (0..=sizes.len() as u8).collect();
    let left = view(last, (1..=sizes.len() as u8).map(Group::axis).collect());
    let mut order = axes[1..].to_vec();
    order.push(0);
    build.contract(&[3], sizes, left, weights(&order), Some(&[0]));
    prove_rows(build);
}

fn prove_rows(build: Build) {
    let model = build.model();
    for rows in [1, 2, 3, 5] {
        let inputs = unit_rows(&model, rows, rows as u64);
        check(model.clone(), inputs);
    }
}

fn identity(tensor: TensorId, axes: u8) -> View {
    View::identity(tensor, usize::from(axes))
}

fn squash(u: i32) -> i32 {
    u / 2 + 3
}

/// `offset + stride * out + dilation * kernel`, for the output axis `out` and the kernel axis `kernel`.
fn window(offset: i32, out: u8, stride: i32, kernel: u8, dilation: i32) -> Group {
    group(offset, &[(out, stride), (kernel, dilation)])
}

#[test]
fn convolutions_with_stride_padding_and_dilation() {
    for (stride, pad, dilation) in [(1, 0, 1), (1, 1, 1), (2, 1, 1), (2, 0, 2), (3, 2, 1)] {
        let out = |size: i32| ((size + 2 * pad - 2 * dilation - 1) / stride + 1) as u32;
        let (oy, ox) = (out(6), out(7));
        let mut build = Build::new(&[6, 7, 3], 8, 1);
        let left = view(
            INPUT,
            vec![window(-pad, 0, stride, 3, dilation), window(-pad, 1, stride, 4, dilation), Group::axis(5)],
        );
        let sum = build.contract(&[oy, ox, 5], &[3, 3, 3], left, weights(&[3, 4, 5, 2]), Some(&[2]));
        let table = build.table(8, squash);
        let image = build.requantise(sum, table);
        prove_all(build, image, &[oy, ox, 5]);
    }
}

#[test]
fn grouped_and_depthwise_convolutions() {
    let mut build = Build::new(&[5, 4, 6], 8, 2);
    // Three groups of two channels, two filters each.
    let channel = group(0, &[(2, 2), (6, 1)]);
    let left = view(INPUT, vec![window(-1, 0, 1, 4, 1), window(-1, 1, 1, 5, 1), channel]);
    let sum = build.contract(&[5, 4, 3, 2], &[3, 3, 2], left, weights(&[2, 4, 5, 6, 3]), Some(&[2, 3]));
    let table = build.table(8, squash);
    let image = build.requantise(sum, table);
    // Depthwise on the merged channels.
    let merged = build.combine(
        &[5, 4, 6],
        vec![term(1, &[], view(image, vec![Group::axis(0), Group::axis(1), flat(2, 0, &[(2, 1)])]))],
    );
    let left = view(merged, vec![window(-1, 0, 2, 3, 1), window(0, 1, 2, 4, 1), Group::axis(2)]);
    let sum = build.contract(&[3, 2, 6], &[3, 2], left, weights(&[3, 4, 2]), Some(&[2]));
    let image = build.requantise(sum, table);
    prove_all(build, image, &[3, 2, 6]);
}

#[test]
fn maximum_pooling_is_a_tree_of_maxima() {
    let mut build = Build::new(&[5, 6, 3], 8, 3);
    let side = |tensor, place: usize, offset: i32, stride: i32| {
        let mut side = identity(tensor, 3);
        side.groups[place] = group(offset, &[(place as u8, stride)]);
        side
    };
    // Windows of three overlapping rows, of two columns.
    let rows = build.maximum(&[3, 6, 3], side(INPUT, 0, 0, 1), side(INPUT, 0, 1, 1));
    let rows = build.maximum(&[3, 6, 3], identity(rows, 3), side(INPUT, 0, 2, 1));
    let pooled = build.maximum(&[3, 3, 3], side(rows, 1, 0, 2), side(rows, 1, 1, 2));
    prove_all(build, pooled, &[3, 3, 3]);
}

#[test]
fn average_and_global_pooling() {
    let mut build = Build::new(&[4, 6, 4], 8, 4);
    let windows = view(INPUT, vec![window(0, 0, 2, 3, 1), window(0, 1, 2, 4, 1), Group::axis(2)]);
    let sum = build.combine(&[2, 3, 4], vec![term(1, &[2, 2], windows)]);
    let table = build.table(9, squash);
    let image = build.requantise(sum, table);
    // Over axes that are powers of two and one that is not.
    let all = view(image, vec![Group::axis(1), Group::axis(2), Group::axis(0)]);
    let sum = build.combine(&[4], vec![term(1, &[2, 3], all)]);
    let image = build.requantise(sum, table);
    prove_all(build, image, &[4]);
}

#[test]
fn concatenation_slices_and_padding() {
    let mut build = Build::new(&[3, 5], 8, 5);
    // Rows 1 and 2, columns reversed; zeros around the input; both side by side.
    let slice = build
        .combine(&[2, 5], vec![term(1, &[], view(INPUT, vec![group(1, &[(0, 1)]), group(4, &[(1, -1)])]))]);
    let padded = build
        .combine(&[6, 8], vec![term(1, &[], view(INPUT, vec![group(-2, &[(0, 1)]), group(-1, &[(1, 1)])]))]);
    let joined = build.combine(
        &[8, 8],
        vec![
            term(1, &[], view(slice, vec![group(0, &[(0, 1)]), group(-2, &[(1, 1)])])),
            term(1, &[], view(padded, vec![group(-2, &[(0, 1)]), Group::axis(1)])),
        ],
    );
    prove_all(build, joined, &[8, 8]);
}

#[test]
fn transposition_and_reshapes() {
    let mut build = Build::new(&[3, 4, 5], 8, 6);
    let turned = build.combine(
        &[5, 3, 4],
        vec![term(1, &[], view(INPUT, vec![Group::axis(1), Group::axis(2), Group::axis(0)]))],
    );
    // Merging the last two axes, splitting them elsewhere.
    let merged = build
        .combine(&[5, 12], vec![term(1, &[], view(turned, vec![Group::axis(0), flat(2, 0, &[(1, 1)])]))]);
    let split = build.combine(
        &[6, 5, 2],
        vec![term(1, &[], view(merged, vec![Group::axis(1), group(0, &[(0, 2), (2, 1)])]))],
    );
    let flattened = build.combine(&[60], vec![term(1, &[], view(split, vec![flat(3, 0, &[(0, 1)])]))]);
    prove_all(build, flattened, &[60]);
}

#[test]
fn broadcasts_residuals_and_tensors_read_often() {
    let mut build = Build::new(&[3, 5], 8, 7);
    let table = build.table(9, squash);
    let row = build.combine(&[5], vec![term(1, &[3], view(INPUT, vec![Group::axis(1), Group::axis(0)]))]);
    let sum = build.add(Operator::Combine {
        axes: vec![3, 5],
        terms: vec![
            term(2, &[], identity(INPUT, 2)),
            term(-3, &[], view(row, vec![Group::axis(1)])),
            term(1, &[], view(INPUT, vec![group(1, &[]), Group::axis(1)])),
        ],
        constant: -17,
        bias: Some(vec![1]),
    });
    let image = build.requantise(sum, table);
    let again = build.requantise(sum, table);
    let last = build.combine(
        &[3, 5],
        vec![
            term(1, &[], identity(image, 2)),
            term(1, &[], identity(again, 2)),
            term(1, &[], identity(sum, 2)),
            term(1, &[], identity(sum, 2)),
            term(1, &[], identity(INPUT, 2)),
        ],
    );
    prove_all(build, last, &[3, 5]);
}

#[test]
fn products_of_two_tensors() {
    let mut build = Build::new(&[5, 3], 6, 8);
    let table = build.table(9, squash);
    // Scores of every row against every row, then the rows mixed by them; an element-wise product.
    let scores = build.contract(
        &[5, 5],
        &[3],
        view(INPUT, vec![Group::axis(0), Group::axis(2)]),
        Right::View(view(INPUT, vec![Group::axis(1), Group::axis(2)])),
        None,
    );
    let scores = build.requantise(scores, table);
    let mixed = build.contract(
        &[5, 3],
        &[5],
        view(scores, vec![Group::axis(0), Group::axis(2)]),
        Right::View(view(INPUT, vec![Group::axis(2), Group::axis(1)])),
        Some(&[1]),
    );
    let mixed = build.requantise(mixed, table);
    let gated = build.contract(&[5, 3], &[], identity(mixed, 2), Right::View(identity(INPUT, 2)), None);
    let gated = build.requantise(gated, table);
    prove_all(build, gated, &[5, 3]);
}

#[test]
fn transposed_convolution_and_nearest_neighbours() {
    let mut build = Build::new(&[3, 4, 2], 8, 9);
    let up = |axis, kernel| divided(-1, &[(axis, 1), (kernel, 1)], 2, true);
    let left = view(INPUT, vec![up(0, 3), up(1, 4), Group::axis(5)]);
    let sum = build.contract(&[6, 7, 3], &[3, 3, 2], left, weights(&[3, 4, 5, 2]), Some(&[2]));
    let table = build.table(8, squash);
    let image = build.requantise(sum, table);
    let near =
        view(image, vec![divided(0, &[(0, 1)], 2, false), divided(0, &[(1, 1)], 3, false), Group::axis(2)]);
    let near = build.combine(&[12, 9, 3], vec![term(1, &[], near)]);
    prove_all(build, near, &[12, 9, 3]);
}

#[test]
fn images_without_a_shift_and_outputs_that_are_images() {
    // The table sends zero elsewhere, so that the padding of the output is not zero.
    for size in [4, 5] {
        let mut build = Build::new(&[size], 4, 10);
        let wide = build.table(5, |u| 3 * u + 7);
        let narrow = build.table(6, squash);
        let image = build.requantise(INPUT, wide);
        let again = build.requantise(image, narrow);
        build.requantise(again, narrow);
        prove_rows(build);
    }
}

#[test]
fn axes_of_one_element_and_biases_over_no_axis() {
    let mut build = Build::new(&[1, 3, 1], 8, 11);
    // Read at every position, only the first of which is there.
    let wide = build.combine(
        &[4, 3],
        vec![Term {
            coefficient: 1,
            summed: Vec::new(),
            view: view(INPUT, vec![group(-1, &[(0, 1)]), Group::axis(1), group(0, &[])]),
        }],
    );
    let nothing = build
        .combine(&[3], vec![term(1, &[], view(INPUT, vec![group(1, &[]), Group::axis(0), group(0, &[])]))]);
    build.add(Operator::Contract {
        axes: vec![3],
        summed: vec![4],
        left: view(wide, vec![Group::axis(1), Group::axis(0)]),
        right: weights(&[1]),
        bias: Some(Vec::new()),
    });
    let sum = TensorId(build.graph.nodes.len() as u32);
    build.add(Operator::Combine {
        axes: vec![3],
        terms: vec![term(1, &[], identity(sum, 1)), term(5, &[], identity(nothing, 1))],
        constant: 0,
        bias: Some(Vec::new()),
    });
    prove_rows(build);
}
