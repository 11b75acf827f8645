use tacit_graph::{
    Decoder, Feature, Operator, Table, TensorId,
    graph::{Group, Right, View},
};

use super::{lookups::split, *};

fn graph(widths: &[u32], shift: u8, bits: u8) -> Graph {
    let feature = Feature { name: String::new(), offset: 0, multiplier: 1, shift: 0, steps: Vec::new() };
    let mut nodes = Vec::new();
    for pair in widths.windows(2) {
        if !nodes.is_empty() {
            nodes.push(Operator::Requantise { input: TensorId(nodes.len() as u32), shift, table: 0 });
        }
        nodes.push(Operator::dense(TensorId(nodes.len() as u32), pair[0], pair[1]));
    }
    let tables = if nodes.len() < 2 { vec![] } else { vec![Table { bits, values: vec![0; 1 << bits] }] };
    Graph {
        features: vec![feature; widths[0] as usize],
        input_axes: vec![widths[0]],
        input_bits: 8,
        nodes,
        tables,
        decoder: Decoder::Values { fraction_bits: 0 },
    }
}

/// Whether blocks `(offset, vars)` lie end to end, each aligned to its length, within `2^vars`.
fn end_to_end(mut blocks: Vec<(usize, usize)>, vars: usize) {
    blocks.sort_by_key(|(offset, _)| *offset);
    let mut end = 0;
    for (offset, vars) in blocks {
        assert_eq!((offset, offset % (1 << vars)), (end, 0));
        end += 1 << vars;
    }
    assert!(end <= 1 << vars);
}

#[test]
fn blocks_are_aligned_and_do_not_overlap() {
    for (count, shift, bits) in [(1, 0, 4), (1, 9, 12), (3, 24, 6), (64, 13, 10), (1000, 17, 3)] {
        for lay_out in [Plan::new, Plan::committed] {
            let plan = lay_out(&graph(&[7, 33, 1, 130, 4], shift, bits), count).unwrap();
            end_to_end(plan.columns.iter().map(|c| (c.offset, c.vars)).collect(), plan.witness_vars.unwrap());
            end_to_end(plan.leaves.iter().map(|b| (b.offset, b.vars)).collect(), plan.leaf_vars.unwrap());
            for node in plan.requantisations() {
                assert_eq!(node.limbs.iter().map(|limb| limb.bits).sum::<usize>(), node.shift);
                assert!(node.limbs.iter().all(|limb| limb.bits <= MAX_RANGE_BITS));
                assert_eq!(plan.virtuals[node.quotient] + 1, node.output);
            }
            let mut rows = Vec::new();
            for tensor in &plan.weights.tensors {
                let row = |row: usize| (tensor.offset() + (row << tensor.log_row()), tensor.log_row());
                rows.extend((0..tensor.rows()).map(row));
            }
            end_to_end(rows, plan.weights.vars);
        }
    }
}

#[test]
fn a_large_layer_does_not_pad_its_rows() {
    assert_eq!(WeightPlan::new(&graph(&[784, 128, 10], 8, 8)).unwrap().vars, 17);
}

#[test]
fn what_cannot_be_proved_is_refused() {
    let refused = |graph: &Graph, rows| Plan::new(graph, rows).unwrap_err();
    let small = graph(&[4, 3, 2], 8, 8);
    assert_eq!(refused(&small, 0), PlanError::Rows { got: 0 });
    assert_eq!(refused(&small, MAX_ROWS + 1), PlanError::Rows { got: MAX_ROWS + 1 });
    assert_eq!(refused(&graph(&[4, 3, 2], 20, 11), 1), PlanError::TableTooWide { node: 1, got: 31 });
    let wide = graph(&[1, 1 << 15, 1], 8, 8);
    assert!(matches!(refused(&wide, MAX_ROWS), PlanError::WitnessTooLarge { got: 29 }));
    let heavy = graph(&[1 << 13, 1 << 13, 2], 8, 8);
    assert!(matches!(refused(&heavy, 1), PlanError::WeightsTooLarge { got: 27 }));
    // Images and remainders fill a commitment; tables are one value too many.
    let columns = graph(&[1, 1 << 10, 1 << 10, 1], 8, 8);
    assert_eq!(refused(&columns, MAX_ROWS), PlanError::WitnessTooLarge { got: 25 });
    let mut broken = small;
    broken.nodes.clear();
    assert!(matches!(refused(&broken, 1), PlanError::Graph(_)));
    assert!(matches!(WeightPlan::new(&broken).unwrap_err(), PlanError::Graph(_)));
}

/// Each row costs the verifier an element, however short it is: one weight a row once took gigabytes.
#[test]
fn too_many_short_rows_of_weights_are_refused() {
    let mut many = graph(&[4, 1], 8, 8);
    many.input_axes = vec![2, 2];
    many.nodes[0] = Operator::Contract {
        axes: vec![1],
        summed: vec![1 << 11, 1 << 11],
        left: View { tensor: TensorId(0), groups: vec![Group::axis(1), Group::axis(2)] },
        right: Right::Weights { axes: vec![1, 2, 0] },
        bias: Some(vec![0]),
    };
    let got = (1 << MAX_WEIGHT_ROW_VARS) + 1;
    assert_eq!(WeightPlan::new(&many).unwrap_err(), PlanError::WeightRows { got });
}

#[test]
fn maxima_of_values_too_far_apart_are_refused() {
    // Differences of two inputs of `b` bits need `b + 1`.
    for (input_bits, wide) in [(15, None), (16, Some(17))] {
        let side = || View::identity(TensorId(0), 1);
        let maximum = Operator::Maximum { axes: vec![3], left: side(), right: side() };
        let graph = Graph { input_bits, nodes: vec![maximum], ..graph(&[3, 3], 8, 8) };
        let refused = Plan::new(&graph, 1).err();
        assert_eq!(refused, wide.map(|got| PlanError::MaximumTooWide { node: 0, got }));
    }
}

#[test]
fn every_table_has_a_tag_of_its_own() {
    let plan = Plan::new(&graph(&[7, 33, 1, 130, 4], 17, 9), 5).unwrap();
    let mut tags: Vec<u32> = plan.tables.iter().map(|table| table.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), plan.tables.len());
    assert!(tags.len() > 1);
}

#[test]
fn remainders_are_split_evenly() {
    assert_eq!(split(0, 8).count(), 0);
    assert_eq!(split(13, 6).collect::<Vec<_>>(), [5, 4, 4]);
    assert_eq!(split(8, 8).collect::<Vec<_>>(), [8]);
}
