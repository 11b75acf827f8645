//! Embeddings: a row of a matrix for each value of a whole number.
//!
//! Exporters spell a look-up by data as a product with a one-hot vector: compare with every index, then multiply. That is
//! one function of one number for each column, so here it is one small table for each column, exact to the entry, instead
//! of a comparison for each row and a sum whose bound knows nothing of the zeros. A function that follows goes into
//! the entries.

use std::sync::Arc;

use super::{
    expr::{Binary, Expr},
    program::{Factor, Node, Part, Program},
};
use crate::graph::{Group, Stride, TensorId, View};

/// The same network with products with one-hot vectors as tables.
pub(super) fn picked(program: &Program) -> Program {
    let readers = program.readers();
    let mut made = Program::new(program.shape(0).to_vec());
    let mut names = vec![0u32];
    // Functions that went into entries: their tensors are those of the product.
    let mut skipped = vec![false; program.nodes.len()];
    for (index, node) in program.nodes.iter().enumerate() {
        let name = |tensor: u32| names.get(tensor as usize).copied().unwrap_or(0);
        if skipped.get(index) == Some(&true) {
            let same = node.inputs().first().map_or(0, |input| name(*input));
            names.push(same);
            continue;
        }
        let new = match product(program, node) {
            Some(product) => {
                let only = match readers.get(index + 1).map(Vec::as_slice) {
                    Some([only]) => Some(*only),
                    _ => None,
                };
                let function = only.and_then(|only| match program.nodes.get(only) {
                    Some(Node::Map { function, .. }) => Some((only, function)),
                    _ => None,
                });
                if let Some(skip) = function.and_then(|(only, _)| skipped.get_mut(only)) {
                    *skip = true;
                }
                product.push(&mut made, name(product.index), function.map(|(_, function)| function))
            }
            None => made.push(node.renamed(name)),
        };
        names.push(new);
    }
    let last = u32::try_from(made.nodes.len()).unwrap_or(u32::MAX);
    made.only(last)
}

/// A product with a one-hot vector, over axes `[places, columns]`.
struct Product {
    axes: Vec<u32>,
    /// Tensor of the numbers that choose, of as many elements as there are places.
    index: u32,
    /// For each column, the entry for each number from `first` on.
    first: f64,
    columns: Vec<Vec<f64>>,
}

fn product(program: &Program, node: &Node) -> Option<Product> {
    let Node::Contract { axes, summed, left, right: Factor::Weights { values, .. }, bias } = node else {
        return None;
    };
    let ([places, columns], [rows]) = (axes.as_slice(), summed.as_slice()) else { return None };
    // The one-hot tensor, read as it is.
    let reads = [Group::axis(0), Group::axis(2)];
    let Node::Map { input, function } = program.maker(left.tensor.0)? else { return None };
    if left.groups != reads || !is_zero_test(function) || *columns as usize > COLUMNS_MOST {
        return None;
    }
    let Node::Combine { axes: compared, terms, constant, bias: Some(indices) } = program.maker(*input)?
    else {
        return None;
    };
    let [Part { coefficient, summed: none, view }] = terms.as_slice() else { return None };
    let shape = program.shape(view.tensor.0);
    let direct = view.groups.first() == Some(&Group::axis(0)) && shape.first() == Some(places);
    let rest_is_one = shape.iter().skip(1).all(|size| *size == 1);
    if *compared != [*places, *rows] || !direct || !rest_is_one || !none.is_empty() || indices.axes != [1] {
        return None;
    }
    // `coefficient * x + constant + indices[row]` is zero for one whole `x`, one after the other.
    let chosen = |index: &f64| -(constant + index) / coefficient;
    let first = indices.data.first().map(chosen)?;
    let in_order =
        indices.data.iter().map(chosen).zip(0u32..).all(|(x, row)| (x - first - f64::from(row)).abs() < 1e-6);
    if !in_order || (first - first.round()).abs() > 1e-6 {
        return None;
    }
    let sizes = [*places, *columns, *rows];
    let weights = values.spread(&[1, 2], &sizes)?;
    let added = match bias {
        Some(bias) => bias.spread(&[1], &sizes)?.data,
        None => vec![0.0; *columns as usize].into(),
    };
    let column = |(weights, add): (&[f64], &f64)| weights.iter().map(|w| w + add).collect();
    let columns = weights.data.chunks(*rows as usize).zip(added.iter()).map(column).collect();
    Some(Product { axes: axes.clone(), index: view.tensor.0, first, columns })
}

/// Whether a function is one at zero and zero elsewhere.
fn is_zero_test(function: &Expr) -> bool {
    match function {
        Expr::Binary(Binary::Equal, x, zero) => x.is_identity() && **zero == Expr::Number(0.0),
        _ => false,
    }
}

impl Product {
    fn push(&self, made: &mut Program, index: u32, function: Option<&Expr>) -> u32 {
        let places = self.axes.first().copied().unwrap_or(1);
        let rank = made.shape(index).len();
        let still = Group { span: 1, offset: 0, strides: vec![], divisor: 1, exact: false };
        let groups = (0..rank).map(|axis| if axis == 0 { Group::axis(0) } else { still.clone() }).collect();
        let part = |view| Part { coefficient: 1.0, summed: vec![], view };
        let copied = made.push(Node::Combine {
            axes: vec![places, 1],
            terms: vec![part(View { tensor: TensorId(index), groups })],
            constant: 0.0,
            bias: None,
        });
        let entry = |value: &f64| function.map_or(*value, |function| function.apply(*value));
        let terms = (0i32..).zip(&self.columns).map(|(column, values)| {
            let entries: Arc<[f64]> = values.iter().map(entry).collect();
            let function = Expr::Entry { first: self.first, entries, of: Arc::new(Expr::X) };
            let tensor = made.push(Node::Map { input: copied, function });
            let at = Group { offset: -column, strides: vec![Stride { axis: 1, stride: 1 }], ..still.clone() };
            part(View { tensor: TensorId(tensor), groups: vec![Group::axis(0), at] })
        });
        let terms = terms.collect();
        made.push(Node::Combine { axes: self.axes.clone(), terms, constant: 0.0, bias: None })
    }
}

/// Most columns: each takes a table.
const COLUMNS_MOST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{expr::Unary, program::Values, run};

    /// `relu(W[x] + b)` for six numbers below four, spelled with a one-hot product.
    fn embedding() -> Program {
        let mut program = Program::new(vec![6]);
        let indices = Values { axes: vec![1], data: (0..4).map(|row| -f64::from(row)).collect() };
        let view = View { tensor: TensorId(0), groups: vec![Group::axis(0)] };
        let compared = program.push(Node::Combine {
            axes: vec![6, 4],
            terms: vec![Part { coefficient: 1.0, summed: vec![], view }],
            constant: 0.0,
            bias: Some(indices),
        });
        let zero = Expr::Binary(Binary::Equal, Arc::new(Expr::X), Arc::new(Expr::Number(0.0)));
        let hot = program.push(Node::Map { input: compared, function: zero });
        let weights = (0..12).map(|k| f64::from(k * 5 % 7) - 3.0).collect();
        let product = program.push(Node::Contract {
            axes: vec![6, 3],
            summed: vec![4],
            left: View { tensor: TensorId(hot), groups: vec![Group::axis(0), Group::axis(2)] },
            right: Factor::Weights { values: Values { axes: vec![2, 1], data: weights }, grid: None },
            bias: Some(Values { axes: vec![1], data: vec![0.5, -0.5, 0.25].into() }),
        });
        program.push(Node::Map { input: product, function: Expr::X.then(Unary::Relu) });
        program
    }

    #[test]
    fn one_hot_products_are_tables() {
        let program = embedding();
        let made = picked(&program);
        assert!(!made.nodes.iter().any(|node| matches!(node, Node::Contract { .. })));
        let row = [0.0, 3.0, 1.0, 2.0, 2.0, 0.0];
        assert_eq!(run::trace(&program, &row).last(), run::trace(&made, &row).last());
    }

    #[test]
    fn gaps_between_indices_stay_products() {
        let mut program = embedding();
        if let Some(Node::Combine { bias: Some(indices), .. }) = program.nodes.first_mut() {
            indices.data = vec![0.0, -1.0, -3.0, -4.0].into();
        }
        assert_eq!(picked(&program).nodes.len(), program.nodes.len());
    }
}
