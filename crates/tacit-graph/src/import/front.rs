//! What a network does to raw inputs before anything else: into the encoders, and linear layers into one.

use super::{
    expr::{Expr, Unary},
    program::{Factor, Node, Program, Values, cells},
    run,
};
use crate::graph::{Group, Stride, TensorId, View};

/// What happens to scaled inputs before the program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Front {
    /// Nothing: any grid will do that covers the calibration rows.
    Open,
    /// Values are cut to this range.
    Cut { low: f64, high: f64 },
    /// Values are rounded to `scale * (k - zero)` with `k` from `low` to `high`.
    Grid { scale: f64, zero: f64, low: f64, high: f64 },
}

/// A program behind its encoders.
#[derive(Debug, Clone)]
pub(super) struct Fronted {
    /// Factor and summand for each raw feature.
    pub(super) scaling: Vec<(f64, f64)>,
    pub(super) front: Front,
    pub(super) program: Program,
}

impl Fronted {
    /// Peels scalings, cuts and grids off the input of a program.
    pub(super) fn new(program: &Program) -> Self {
        let inputs = program.cells(0);
        let mut fronted =
            Self { scaling: vec![(1.0, 0.0); inputs], front: Front::Open, program: collapsed(program) };
        while fronted.front == Front::Open && fronted.peel().is_some() {}
        fronted.program = collapsed(&fronted.program);
        fronted
    }

    /// Takes the only reader of the input into the front.
    fn peel(&mut self) -> Option<()> {
        let readers = self.program.readers();
        let [reader] = readers.first()?.as_slice() else { return None };
        let reader = *reader;
        // Something must be left to compute.
        if self.program.nodes.len() < 2 || self.program.shape(0) != self.program.shapes.get(reader + 1)? {
            return None;
        }
        let count = self.scaling.len();
        let (scaling, front) = match self.program.nodes.get(reader)? {
            Node::Map { function, .. } => {
                let (inner, front) = match function {
                    Expr::Unary(Unary::Clip { low, high }, inner) if low < high && high - low < 1e30 => {
                        (inner.as_ref(), Front::Cut { low: *low, high: *high })
                    }
                    Expr::Unary(Unary::Grid { scale, zero, low, high }, inner) if high - low == 255.0 => {
                        (inner.as_ref(), Front::Grid { scale: *scale, zero: *zero, low: *low, high: *high })
                    }
                    function => (function, Front::Open),
                };
                let (a, b) = inner.linear()?;
                (vec![(a, b); count], front)
            }
            Node::Contract { axes, summed, left, right: Factor::Weights { values, .. }, bias } => {
                if !summed.is_empty() || *left != View::identity(TensorId(0), axes.len()) {
                    return None;
                }
                let all: Vec<u8> = (0u8..).take(axes.len()).collect();
                let factors = values.spread(&all, axes)?;
                (pairs(&factors.data, bias.as_ref(), axes)?, Front::Open)
            }
            Node::Combine { axes, terms, constant, bias } => {
                let [part] = terms.as_slice() else { return None };
                if !part.summed.is_empty() || part.view != View::identity(TensorId(0), axes.len()) {
                    return None;
                }
                let mut made = pairs(&vec![part.coefficient; count], bias.as_ref(), axes)?;
                made.iter_mut().for_each(|(_, add)| *add += constant);
                (made, Front::Open)
            }
            Node::Contract { right: Factor::View(_), .. } | Node::Maximum { .. } => return None,
        };
        if scaling.iter().any(|(a, _)| *a == 0.0) {
            return None;
        }
        for ((m, add), (a, b)) in self.scaling.iter_mut().zip(scaling) {
            (*m, *add) = (*m * a, *add * a + b);
        }
        self.front = front;
        self.program = without(&self.program, reader);
        Some(())
    }

    /// What the program sees of a raw row in the float network.
    pub(super) fn values(&self, row: &[f64]) -> Vec<f64> {
        let cut = |x: f64| match self.front {
            Front::Open => x,
            Front::Cut { low, high } => x.max(low).min(high),
            Front::Grid { scale, zero, low, high } => Unary::Grid { scale, zero, low, high }.apply(x),
        };
        row.iter().zip(&self.scaling).map(|(x, (multiply, add))| cut(x * multiply + add)).collect()
    }
}

fn pairs(factors: &[f64], bias: Option<&Values>, axes: &[u32]) -> Option<Vec<(f64, f64)>> {
    let all: Vec<u8> = (0u8..).take(axes.len()).collect();
    Some(match bias {
        Some(bias) => factors.iter().copied().zip(bias.spread(&all, axes)?.data.iter().copied()).collect(),
        None => factors.iter().map(|factor| (*factor, 0.0)).collect(),
    })
}

/// The program without a node that reads only the input: its tensor is the input now.
fn without(program: &Program, gone: usize) -> Program {
    let mut made = Program::new(program.shape(0).to_vec());
    let rename = |tensor: u32| match tensor as usize {
        tensor if tensor == gone + 1 => 0,
        tensor if tensor > gone + 1 => u32::try_from(tensor - 1).unwrap_or(u32::MAX),
        tensor => u32::try_from(tensor).unwrap_or(u32::MAX),
    };
    for (index, node) in program.nodes.iter().enumerate() {
        if index != gone {
            made.push(node.renamed(rename));
        }
    }
    made
}

/// Several linear layers after the input, one behind the other, as one dense layer, where that has no more weights.
///
/// Features that are selected, scaled and put together again keep their own grids this way.
fn collapsed(program: &Program) -> Program {
    let mut linear = vec![true];
    for node in &program.nodes {
        let kind = match node {
            Node::Contract { right, .. } => matches!(right, Factor::Weights { .. }),
            Node::Combine { .. } => true,
            Node::Maximum { .. } => false,
            Node::Map { function, .. } => function.linear().is_some(),
        };
        linear.push(kind && node.inputs().iter().all(|input| linear.get(*input as usize) == Some(&true)));
    }
    let readers = program.readers();
    let inputs = program.cells(0);
    let mut made = program.clone();
    for index in 0..program.nodes.len() {
        let tensor = index + 1;
        let goes_on = readers.get(tensor).is_some_and(|readers| {
            !readers.is_empty() && readers.iter().all(|reader| linear.get(reader + 1) == Some(&true))
        });
        if linear.get(tensor) != Some(&true) || goes_on {
            continue;
        }
        let name = u32::try_from(tensor).unwrap_or(u32::MAX);
        let cone = program.only(name);
        let weights: usize = cone.nodes.iter().map(super::operators::weights_of).sum();
        let outputs = cells(program.shape(name));
        let work = inputs.saturating_mul(weights.max(outputs));
        if cone.nodes.len() < 2
            || inputs.saturating_mul(outputs) > weights.saturating_mul(2)
            || work > MAX_COLLAPSE
        {
            continue;
        }
        if let (Some(node), Some(slot)) = (dense(&cone), made.nodes.get_mut(index)) {
            *slot = node;
        }
    }
    let last = u32::try_from(made.nodes.len()).unwrap_or(u32::MAX);
    made.only(last)
}

/// A linear program as one layer, found by running it on each unit vector.
fn dense(program: &Program) -> Option<Node> {
    let inputs = program.cells(0);
    let last = |row: &[f64]| run::trace(program, row).pop();
    let zero = last(&vec![0.0; inputs])?;
    let mut data = Vec::with_capacity(inputs * zero.len());
    for input in 0..inputs {
        let mut row = vec![0.0; inputs];
        *row.get_mut(input)? = 1.0;
        data.extend(last(&row)?.iter().zip(&zero).map(|(y, zero)| y - zero));
    }
    let axes = program.shapes.last()?.clone();
    let summed = program.shape(0).to_vec();
    let first = u8::try_from(axes.len()).ok()?;
    let numbers = |count: usize, first: u8| (first..).take(count);
    let groups = numbers(summed.len(), first)
        .map(|axis| Group {
            span: 1,
            offset: 0,
            strides: vec![Stride { axis, stride: 1 }],
            divisor: 1,
            exact: false,
        })
        .collect();
    let weight_axes = numbers(summed.len(), first).chain(numbers(axes.len(), 0)).collect();
    let values = Values { axes: weight_axes, data: data.into() };
    let bias = Values { axes: numbers(axes.len(), 0).collect(), data: zero.into() };
    Some(Node::Contract {
        left: View { tensor: TensorId(0), groups },
        right: Factor::Weights { values, grid: None },
        bias: Some(bias),
        axes,
        summed,
    })
}

/// Most multiplications spent on finding one collapsed layer.
const MAX_COLLAPSE: usize = 1 << 28;
