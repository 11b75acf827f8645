//! Functions of energies over a wide range, in two parts.
//!
//! A sum of squares spans twice the decibels of what is squared, and a table resolves its argument evenly: a
//! logarithm or a root of an energy that is small beside the largest would read a handful of entries. With the squared
//! values cut at `c`, a sum of squares `p` and the sum `p_c` of the cut ones agree below `t = c^2`, and are both at least
//! `t` otherwise. So `f(p) = f(min(p_c, t)) + (f(max(p, t)) - f(t))`, exactly, and the first part is a function of
//! numbers that are small, for which a table of its own is fine.

use std::sync::Arc;

use super::{
    expr::{Binary, Expr, Unary},
    program::{Factor, Node, Part, Program},
    sample::Sample,
};
use crate::graph::{TensorId, View};

/// The same network with such functions in two parts; none where there are none.
pub(super) fn split(program: &Program, sample: &Sample) -> Option<Program> {
    let mut made = Program::new(program.shape(0).to_vec());
    let mut names = vec![0];
    let mut found = false;
    for (index, node) in program.nodes.iter().enumerate() {
        let renamed = node.renamed(|tensor| names.get(tensor as usize).copied().unwrap_or(0));
        let parts = match node {
            Node::Map { input, function } if is_coarse(function, sample, *input as usize, index + 1) => {
                energy(program, sample, *input).map(|energy| (energy, *input, function))
            }
            _ => None,
        };
        let name = match parts {
            Some((energy, input, function)) => {
                found = true;
                two_parts(&mut made, &names, &energy, input, function)
            }
            None => made.push(renamed),
        };
        names.push(name);
    }
    found.then_some(made)
}

/// Whether a table that covers all calibration values is too coarse for most of them.
fn is_coarse(function: &Expr, sample: &Sample, before: usize, after: usize) -> bool {
    let known = (sample.picked.get(before), sample.ranges.get(before), sample.ranges.get(after));
    let (Some(values), Some((_, most)), Some((low, high))) = known else { return false };
    if function.linear().is_some() || function.is_homogeneous() || function.jumps() {
        return false;
    }
    let step = most / ENTRIES;
    let error = |x: &f64| {
        let error = function.apply((x / step).round() * step) - function.apply(*x);
        if error.is_finite() { error * error } else { 0.0 }
    };
    let total: f64 = values.iter().map(error).sum();
    (total / values.len().max(1) as f64).sqrt() > COARSE * (high - low)
}

/// How an energy is made.
struct Energy<'a> {
    /// Nodes that square, one after the other, and the tensor of each.
    squares: Vec<(&'a Node, u32)>,
    /// What adds them up, if anything does.
    sum: Option<&'a Node>,
    /// Where squared values are cut.
    cut: f64,
    /// The energy below which nothing was cut.
    bound: f64,
}

fn energy<'a>(program: &'a Program, sample: &Sample, tensor: u32) -> Option<Energy<'a>> {
    let node = program.maker(tensor)?;
    let (squares, sum, least) = match node {
        Node::Combine { terms, constant, bias: None, .. } if *constant == 0.0 => {
            let least = terms.iter().map(|part| part.coefficient).fold(f64::INFINITY, f64::min);
            let mut read: Vec<u32> = terms.iter().map(|part| part.view.tensor.0).collect();
            read.sort_unstable();
            read.dedup();
            let squares = read.into_iter().map(|tensor| Some((program.maker(tensor)?, tensor)));
            (squares.collect::<Option<Vec<_>>>()?, Some(node), least)
        }
        node => (vec![(node, tensor)], None, 1.0),
    };
    let mut most = 0.0f64;
    for (square, _) in &squares {
        let (low, high) = sample.ranges.get(squared(square)?.tensor.0 as usize)?;
        most = most.max(low.abs()).max(high.abs());
    }
    let (_, largest) = sample.ranges.get(tensor as usize)?;
    let bound = largest / CUT;
    let cut = (bound / least).sqrt();
    (least > 0.0 && cut > 0.0 && cut < most).then_some(Energy { squares, sum, cut, bound })
}

/// What a node squares.
fn squared(node: &Node) -> Option<&View> {
    match node {
        Node::Contract { left, right: Factor::View(right), bias: None, .. } if left == right => Some(left),
        _ => None,
    }
}

fn two_parts(made: &mut Program, names: &[u32], energy: &Energy<'_>, input: u32, function: &Expr) -> u32 {
    let name = |tensor: u32| names.get(tensor as usize).copied().unwrap_or(0);
    let cut = Expr::X.then(Unary::Clip { low: -energy.cut, high: energy.cut });
    let mut small = Vec::new();
    for (square, tensor) in &energy.squares {
        let Some(view) = squared(square) else { continue };
        let clipped = made.push(Node::Map { input: name(view.tensor.0), function: cut.clone() });
        small.push((*tensor, made.push(square.renamed(|_| clipped))));
    }
    let of_small =
        |tensor: u32| small.iter().find(|(other, _)| *other == tensor).map_or(0, |(_, name)| *name);
    let low = match energy.sum {
        Some(sum) => made.push(sum.renamed(of_small)),
        None => of_small(input),
    };
    let bound = energy.bound;
    let below = function.of(&Expr::X.then(Unary::Clip { low: f64::NEG_INFINITY, high: bound }));
    let above = function.of(&Expr::X.then(Unary::Clip { low: bound, high: f64::INFINITY }));
    let above = Expr::Binary(Binary::Sub, Arc::new(above), Arc::new(Expr::Number(function.apply(bound))));
    let below = made.push(Node::Map { input: low, function: below });
    let above = made.push(Node::Map { input: name(input), function: above });
    let axes = made.shape(below).to_vec();
    let part = |tensor| Part {
        coefficient: 1.0,
        summed: vec![],
        view: View::identity(TensorId(tensor), axes.len()),
    };
    let terms = vec![part(below), part(above)];
    made.push(Node::Combine { axes, terms, constant: 0.0, bias: None })
}

/// Entries of a large table for positive numbers.
const ENTRIES: f64 = (1u32 << 14) as f64;
/// Share of a function's range that is too much of an error.
const COARSE: f64 = 1.0 / 256.0;
/// Largest energy over the one where the parts meet.
const CUT: f64 = 1024.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{front::Fronted, run};

    /// `ln(x^2 + y^2 + 1e-9)` of pairs that span four decades.
    fn logarithm() -> (Program, Vec<Vec<f64>>) {
        let mut program = Program::new(vec![8, 2]);
        let view = View { tensor: TensorId(0), groups: (0..2).map(crate::graph::Group::axis).collect() };
        let energy = program.push(Node::Contract {
            axes: vec![8],
            summed: vec![2],
            left: view.clone(),
            right: Factor::View(view),
            bias: None,
        });
        let function = Expr::X.with(Binary::Add, Expr::Number(1e-9)).then(Unary::Log);
        program.push(Node::Map { input: energy, function });
        let rows = (0..64u32).map(|row| {
            let value = |at: u32| {
                let scale = 10f64.powi(-i32::try_from((row + at) % 5).unwrap_or(0));
                scale * (f64::from(row * 16 + at) * 0.7).sin()
            };
            (0..16).map(value).collect()
        });
        (program, rows.collect())
    }

    #[test]
    fn parts_of_a_logarithm_add_up_to_it() {
        let (program, rows) = logarithm();
        let sample = Sample::new(&Fronted::new(&program), &rows);
        let split = split(&program, &sample).unwrap();
        assert!(split.nodes.len() > program.nodes.len());
        let (whole, parts) = (run::outputs(&program, &rows), run::outputs(&split, &rows));
        for (a, b) in whole.iter().flatten().zip(parts.iter().flatten()) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    #[test]
    fn smooth_functions_stay_whole() {
        let (mut program, rows) = logarithm();
        if let Some(Node::Map { function, .. }) = program.nodes.last_mut() {
            *function = Expr::X.then(Unary::Sigmoid);
        }
        let sample = Sample::new(&Fronted::new(&program), &rows);
        assert!(split(&program, &sample).is_none());
    }
}
