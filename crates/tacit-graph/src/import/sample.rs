//! What the float network computes on the calibration rows, in short.

use rayon::prelude::*;

use super::{
    front::Fronted,
    program::{Factor, Node, Program, Values},
    run,
};

/// Values of every tensor over all rows.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Lowest and highest value of each tensor.
    pub(super) ranges: Vec<(f64, f64)>,
    /// Values of each tensor taken at even distances.
    pub(super) picked: Vec<Vec<f64>>,
    /// For each node with weights, mean of its values for each index over its bias axes.
    pub(super) means: Vec<Vec<f64>>,
    /// The last tensor, row by row.
    pub(super) outputs: Vec<Vec<f64>>,
}

impl Sample {
    pub(super) fn new(fronted: &Fronted, rows: &[Vec<f64>]) -> Self {
        let program = &fronted.program;
        let count = rows.len();
        let inputs: Vec<Vec<f64>> = rows.iter().map(|row| fronted.values(row)).collect();
        let each = (PICKED / count.max(1)).clamp(4, PICKED);
        let parts: Vec<Row> = inputs.par_iter().map(|row| Row::new(program, row, each)).collect();
        let tensors = program.shapes.len();
        let mut made = Self {
            ranges: vec![(f64::INFINITY, f64::NEG_INFINITY); tensors],
            picked: vec![Vec::new(); tensors],
            means: vec![Vec::new(); program.nodes.len()],
            outputs: Vec::new(),
        };
        for part in parts {
            for (range, more) in made.ranges.iter_mut().zip(&part.ranges) {
                *range = (range.0.min(more.0), range.1.max(more.1));
            }
            for (picked, more) in made.picked.iter_mut().zip(part.picked) {
                picked.extend(more);
            }
            for (means, more) in made.means.iter_mut().zip(part.means) {
                if means.is_empty() {
                    *means = vec![0.0; more.len()];
                }
                means.iter_mut().zip(more).for_each(|(mean, more)| *mean += more / count as f64);
            }
            made.outputs.push(part.output);
        }
        made
    }
}

/// The same of one row.
struct Row {
    ranges: Vec<(f64, f64)>,
    picked: Vec<Vec<f64>>,
    means: Vec<Vec<f64>>,
    output: Vec<f64>,
}

impl Row {
    fn new(program: &Program, row: &[f64], each: usize) -> Self {
        let mut tensors = run::trace(program, row);
        let range = |tensor: &Vec<f64>| {
            tensor
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)))
        };
        let pick = |tensor: &Vec<f64>| {
            let step = tensor.len().div_ceil(each).max(1);
            // An odd step does not stay in one channel.
            let step = if step > 1 { step | 1 } else { step };
            tensor.iter().step_by(step).copied().collect()
        };
        let means = program.nodes.iter().enumerate().map(|(index, node)| match correctable(node) {
            Some((axes, bias)) => {
                let tensor = tensors.get(index + 1).map_or(&[][..], Vec::as_slice);
                means(axes, &bias, tensor.iter().copied())
            }
            None => Vec::new(),
        });
        Self {
            means: means.collect(),
            ranges: tensors.iter().map(range).collect(),
            picked: tensors.iter().map(pick).collect(),
            output: tensors.pop().unwrap_or_default(),
        }
    }
}

/// Axes of a node with weights, and those its bias ranges over: its own, or all output axes of its weights.
pub(super) fn correctable(node: &Node) -> Option<(&[u32], Vec<u8>)> {
    let Node::Contract { axes, right: Factor::Weights { values, .. }, bias, .. } = node else { return None };
    let over = match bias {
        Some(Values { axes, .. }) => axes.clone(),
        None => {
            let mut over: Vec<u8> =
                values.axes.iter().copied().filter(|axis| usize::from(*axis) < axes.len()).collect();
            over.sort_unstable();
            over
        }
    };
    Some((axes, over))
}

/// Mean over all indices that share an index over `chosen`.
pub(super) fn means(axes: &[u32], chosen: &[u8], values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut steps = vec![0usize; axes.len()];
    let mut count = 1;
    for axis in chosen.iter().rev() {
        if let (Some(step), Some(size)) = (steps.get_mut(usize::from(*axis)), axes.get(usize::from(*axis))) {
            *step = count;
            count *= *size as usize;
        }
    }
    let mut sums = vec![0.0; count];
    let mut index = vec![0u32; axes.len()];
    let mut at = 0usize;
    let mut total = 0usize;
    for value in values {
        if let Some(sum) = sums.get_mut(at) {
            *sum += value;
        }
        total += 1;
        for (slot, (size, step)) in index.iter_mut().zip(axes.iter().zip(&steps)).rev() {
            *slot += 1;
            at += step;
            if *slot < *size {
                break;
            }
            at -= step * *size as usize;
            *slot = 0;
        }
    }
    let share = count as f64 / total.max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum *= share);
    sums
}

/// Values kept of each tensor.
const PICKED: usize = 1 << 14;
