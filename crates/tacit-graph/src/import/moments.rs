//! Squares and variances in the form that rounding hurts least.
//!
//! A square is a product, exact for the integers that come in, not a function that a table rounds. And
//! `E[x^2] - E[x]^2` is a small difference of large numbers wherever the mean is large beside the deviation;
//! `E[(x - E[x])^2]` is the same number without the cancellation.

use super::{
    expr::{Binary, Expr},
    program::{Factor, Node, Part, Program, cells},
};
use crate::graph::{TensorId, View};

/// The same network with squares as products, variances of centred values, and each function computed once.
pub(super) fn rewritten(program: &Program) -> Program {
    let program = rebuilt(program, once);
    let program = rebuilt(&program, product);
    let program = rebuilt(&program, centred);
    let made = rebuilt(&program, joined);
    let last = u32::try_from(made.nodes.len()).unwrap_or(u32::MAX);
    made.only(last)
}

/// Node by node a new program, with `other` in place of a node where it makes one.
fn rebuilt(
    program: &Program,
    other: impl Fn(&mut Program, &[u32], &Program, &Node) -> Option<u32>,
) -> Program {
    let mut made = Program::new(program.shape(0).to_vec());
    let mut names = vec![0];
    for node in &program.nodes {
        let renamed = node.renamed(|tensor| named(&names, tensor));
        let name = other(&mut made, &names, program, node).unwrap_or_else(|| made.push(renamed));
        names.push(name);
    }
    made
}

fn named(names: &[u32], tensor: u32) -> u32 {
    names.get(tensor as usize).copied().unwrap_or(0)
}

/// A function that was computed before, or a multiple of one that is computed as well.
fn once(made: &mut Program, names: &[u32], program: &Program, node: &Node) -> Option<u32> {
    let Node::Map { input, function } = node else { return None };
    let (plain, factor) = multiple(function);
    let alike = |other: &&Node| match other {
        Node::Map { input: from, function } => from == input && multiple(function).0 == plain,
        _ => false,
    };
    if program.nodes.iter().filter(alike).count() < 2 || plain.linear().is_some() {
        return None;
    }
    let input = named(names, *input);
    let same = |node: &Node| matches!(node, Node::Map { input: from, function } if *from == input && function == plain);
    let known = made.nodes.iter().position(same).and_then(|at| u32::try_from(at + 1).ok());
    let shared = known.unwrap_or_else(|| made.push(Node::Map { input, function: plain.clone() }));
    if factor == 1.0 {
        return Some(shared);
    }
    Some(made.push(Node::Map { input: shared, function: Expr::times(factor) }))
}

/// A function without the factor in front.
fn multiple(function: &Expr) -> (&Expr, f64) {
    match function {
        Expr::Binary(Binary::Mul, inner, number) => match number.as_ref() {
            Expr::Number(factor) => (inner.as_ref(), *factor),
            _ => (function, 1.0),
        },
        function => (function, 1.0),
    }
}

/// A function of a multiple, as a function of what that is a multiple of.
fn joined(made: &mut Program, names: &[u32], program: &Program, node: &Node) -> Option<u32> {
    let Node::Map { input, function } = node else { return None };
    let Node::Map { input: source, function: inner } = program.maker(*input)? else { return None };
    let (_, shift) = inner.linear()?;
    let joins = shift == 0.0 && function.linear().is_none();
    joins.then(|| made.push(Node::Map { input: named(names, *source), function: function.of(inner) }))
}

/// A square as a product of what is squared, if that is there already.
fn product(made: &mut Program, names: &[u32], program: &Program, node: &Node) -> Option<u32> {
    let Node::Map { input, function } = node else { return None };
    let root = match function {
        Expr::Binary(Binary::Mul, a, b) if a == b => a,
        Expr::Binary(Binary::Pow, a, power) if **power == Expr::Number(2.0) => a,
        _ => return None,
    };
    let (source, factor) = match root.linear() {
        Some((factor, 0.0)) => (*input, factor),
        _ => {
            let computes = |other: &Node| matches!(other, Node::Map { input: from, function } if from == input && function == root.as_ref());
            let at = program.nodes.iter().position(computes)?;
            (u32::try_from(at + 1).ok()?, 1.0)
        }
    };
    // What comes later in the program is not there yet.
    let source = names.get(source as usize).copied()?;
    let axes = made.shape(source).to_vec();
    let view = View::identity(TensorId(source), axes.len());
    let (left, right) = (view.clone(), Factor::View(view));
    let square = made.push(Node::Contract { axes, summed: vec![], left, right, bias: None });
    if factor == 1.0 {
        return Some(square);
    }
    Some(made.push(Node::Map { input: square, function: Expr::times(factor * factor) }))
}

/// `E[x^2] - E[x]^2` from centred values.
fn centred(made: &mut Program, names: &[u32], program: &Program, node: &Node) -> Option<u32> {
    let Node::Combine { axes, terms, constant, bias: None } = node else { return None };
    let [first, second] = terms.as_slice() else { return None };
    let whole =
        |part: &Part| part.summed.is_empty() && part.view == View::identity(part.view.tensor, axes.len());
    if *constant != 0.0 || !whole(first) || !whole(second) {
        return None;
    }
    let squares = sum_of_squares(program, first.view.tensor.0, first.coefficient)?;
    let (total, factor) = squared_sum(program, second.view.tensor.0, second.coefficient, axes.len())?;
    let sum = sum(program, total)?;
    let count = cells(&squares.summed) as f64;
    let (mean_square, square_mean) = (squares.factor, -factor * sum.factor * sum.factor * count);
    let same = sum.view == squares.view && sum.summed == squares.summed;
    if !same || count < 2.0 || (mean_square - square_mean).abs() > 1e-6 * mean_square.abs() {
        return None;
    }
    let part = |coefficient, view| Part { coefficient, summed: vec![], view };
    let x = View { tensor: TensorId(named(names, squares.view.tensor.0)), groups: squares.view.groups };
    let mean = View::identity(TensorId(named(names, total)), axes.len());
    let terms = vec![part(1.0, x), part(-1.0 / (sum.factor * count), mean)];
    let places = [axes.as_slice(), &squares.summed].concat();
    let rank = places.len();
    let deviation = made.push(Node::Combine { axes: places, terms, constant: 0.0, bias: None });
    let view = View::identity(TensorId(deviation), rank);
    let (left, right) = (view.clone(), Factor::View(view));
    let (axes, summed) = (axes.clone(), squares.summed);
    let total = made.push(Node::Contract { axes, summed, left, right, bias: None });
    Some(made.push(Node::Map { input: total, function: Expr::times(mean_square) }))
}

/// `factor` times the sum, over `summed`, of what is read or of its squares.
struct Sum {
    factor: f64,
    summed: Vec<u32>,
    view: View,
}

/// A tensor as a sum of one view; scalings before it count.
fn sum(program: &Program, tensor: u32) -> Option<Sum> {
    let (node, factor) = unscaled(program, tensor, 1.0)?;
    let Node::Combine { terms, constant, bias: None, .. } = node else { return None };
    let [Part { coefficient, summed, view }] = terms.as_slice() else { return None };
    let some = *constant == 0.0 && !summed.is_empty();
    some.then(|| Sum { factor: factor * coefficient, summed: summed.clone(), view: view.clone() })
}

fn sum_of_squares(program: &Program, tensor: u32, factor: f64) -> Option<Sum> {
    let (node, factor) = unscaled(program, tensor, factor)?;
    if let Node::Contract { summed, left, right: Factor::View(right), bias: None, .. } = node {
        let squares = left == right && !summed.is_empty();
        return squares.then(|| Sum { factor, summed: summed.clone(), view: left.clone() });
    }
    let mut sum = sum(program, tensor)?;
    let (node, inner) = unscaled(program, sum.view.tensor.0, factor)?;
    let Node::Contract { axes, summed, left, right: Factor::View(right), bias: None } = node else {
        return None;
    };
    if left != right || !summed.is_empty() || *left != View::identity(left.tensor, axes.len()) {
        return None;
    }
    // `factor` is in both: once through the sum's own scalings, once through those before it.
    sum.factor *= inner;
    sum.view.tensor = left.tensor;
    Some(sum)
}

/// `(x, factor)` where a tensor times `scale` is `factor * x^2`.
fn squared_sum(program: &Program, tensor: u32, scale: f64, rank: usize) -> Option<(u32, f64)> {
    let (node, factor) = unscaled(program, tensor, scale)?;
    match node {
        Node::Contract { summed, left, right: Factor::View(right), bias: None, .. }
            if summed.is_empty() && left == right && *left == View::identity(left.tensor, rank) =>
        {
            Some((left.tensor.0, factor))
        }
        _ => None,
    }
}

/// The node behind scalings of a tensor, and `factor` times those.
fn unscaled(program: &Program, mut tensor: u32, mut factor: f64) -> Option<(&Node, f64)> {
    loop {
        match program.maker(tensor)? {
            Node::Map { input, function } => match function.linear()? {
                (a, 0.0) => (tensor, factor) = (*input, factor * a),
                _ => return None,
            },
            node => return Some((node, factor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Group,
        import::{expr::Unary, run},
    };
    use std::sync::Arc;

    /// `sqrt(E[x^2] - E[x]^2)` over the first axis of `[16, 3]`.
    fn deviation() -> Program {
        let mut program = Program::new(vec![16, 3]);
        let columns =
            |tensor| View { tensor: TensorId(tensor), groups: vec![Group::axis(1), Group::axis(0)] };
        let sum = |tensor| Node::Combine {
            axes: vec![3],
            terms: vec![Part { coefficient: 1.0, summed: vec![16], view: columns(tensor) }],
            constant: 0.0,
            bias: None,
        };
        let square = |x: Expr| Expr::Binary(Binary::Mul, Arc::new(x.clone()), Arc::new(x));
        let squares = program.push(Node::Map { input: 0, function: square(Expr::X) });
        let squares = program.push(sum(squares));
        let total = program.push(sum(0));
        let mean = program.push(Node::Map { input: total, function: square(Expr::times(1.0 / 16.0)) });
        let part = |coefficient, tensor| Part {
            coefficient,
            summed: vec![],
            view: View::identity(TensorId(tensor), 1),
        };
        let terms = vec![part(1.0 / 16.0, squares), part(-1.0, mean)];
        let variance = program.push(Node::Combine { axes: vec![3], terms, constant: 0.0, bias: None });
        program.push(Node::Map { input: variance, function: Expr::X.then(Unary::Sqrt) });
        program
    }

    #[test]
    fn variance_is_of_centred_values() {
        let program = deviation();
        let made = rewritten(&program);
        let subtracts = |node: &Node| matches!(node, Node::Combine { terms, .. } if terms.len() == 2);
        let centred = made.nodes.iter().position(subtracts).unwrap();
        assert_eq!(made.shape(u32::try_from(centred + 1).unwrap()), [3, 16]);
        let row: Vec<f64> = (0..48).map(|k| f64::from(k * 37 % 11) + 100.0).collect();
        let (before, after) = (run::trace(&program, &row), run::trace(&made, &row));
        for (a, b) in before.last().unwrap().iter().zip(after.last().unwrap()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn other_differences_stay() {
        let mut program = deviation();
        for node in &mut program.nodes {
            if let Node::Combine { terms, .. } = node
                && let [first, _] = terms.as_mut_slice()
            {
                first.coefficient = 0.5;
            }
        }
        let row: Vec<f64> = (0..48).map(|k| f64::from(k * 37 % 11)).collect();
        let made = rewritten(&program);
        assert_eq!(made.nodes.len(), program.nodes.len() + 1);
        let (before, after) = (run::trace(&program, &row), run::trace(&made, &row));
        for (a, b) in before.last().unwrap().iter().zip(after.last().unwrap()) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}
