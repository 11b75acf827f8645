//! How far apart values can be, from the public graph alone.

use tacit_graph::{
    Graph, Operator,
    graph::{MAX_BIAS, Right, View},
};

/// Bounds of every tensor that follow from the public graph alone, saturated.
pub(super) fn ranges(graph: &Graph) -> Vec<(i64, i64)> {
    let half = 1i64 << (graph.input_bits - 1);
    let mut ranges = vec![(-half, half - 1)];
    let magnitude = |(low, high): (i64, i64)| low.saturating_abs().max(high.saturating_abs());
    let around = |bound: i64| (bound.saturating_neg(), bound);
    // Once for each table, not for each node that uses it: one large table may serve thousands.
    let extremes = |values: &[i16]| {
        let (low, high) = (values.iter().min(), values.iter().max());
        (i64::from(low.copied().unwrap_or(0)), i64::from(high.copied().unwrap_or(0)))
    };
    let bounds: Vec<(i64, i64)> = graph.tables.iter().map(|table| extremes(&table.values)).collect();
    for operator in &graph.nodes {
        // Zero is read outside a tensor and in padding.
        let range = |view: &View| {
            let (low, high) = ranges[view.tensor.0 as usize];
            (low.min(0), high.max(0))
        };
        let added = |bias: &Option<Vec<u8>>| if bias.is_some() { i64::from(MAX_BIAS) } else { 0 };
        let cells =
            |summed: &[u32]| summed.iter().fold(1i64, |cells, size| cells.saturating_mul(i64::from(*size)));
        let next = match operator {
            Operator::Contract { summed, left, right, bias, .. } => {
                let right = match right {
                    Right::Weights { .. } => 128,
                    Right::View(view) => magnitude(range(view)),
                };
                let product = magnitude(range(left)).saturating_mul(right).saturating_mul(cells(summed));
                around(product.saturating_add(added(bias)))
            }
            Operator::Combine { terms, constant, bias, .. } => {
                let start = (i64::from(*constant).min(0), i64::from(*constant).max(0));
                let sum = terms.iter().fold(start, |sum: (i64, i64), term| {
                    let factor = i64::from(term.coefficient).saturating_mul(cells(&term.summed));
                    let (low, high) = range(&term.view);
                    let (a, b) = (low.saturating_mul(factor), high.saturating_mul(factor));
                    (sum.0.saturating_add(a.min(b)), sum.1.saturating_add(a.max(b)))
                });
                (sum.0.saturating_sub(added(bias)), sum.1.saturating_add(added(bias)))
            }
            Operator::Maximum { left, right, .. } => {
                let (left, right) = (range(left), range(right));
                (left.0.max(right.0), left.1.max(right.1))
            }
            Operator::Requantise { table, .. } => bounds[usize::from(*table)],
        };
        ranges.push(next);
    }
    ranges
}

/// Bits of a signed integer that holds every difference of values in these ranges, zero among them.
pub(super) fn difference_bits(left: (i64, i64), right: (i64, i64)) -> usize {
    let low = left.0.min(0).saturating_sub(right.1.max(0));
    let high = left.1.max(0).saturating_sub(right.0.min(0));
    (1..64).find(|bits| low >= -(1i64 << (bits - 1)) && high < 1i64 << (bits - 1)).unwrap_or(64)
}
