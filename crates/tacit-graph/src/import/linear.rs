//! Matrix products of values with constants and with each other.

use std::collections::BTreeMap;

use super::{
    build::{Builder, Labelled, Numbers, broadcast_dims, lengthened},
    error::NodeReason,
    lower::Value,
    node::{Made, Node, real},
    onnx::{Constant, FLOAT},
    tensor::Real,
};

/// Element by element.
pub(super) fn times(a: &Real, b: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let dims = broadcast_dims(&[a.dims(), b.dims()])?;
    let labels: Vec<usize> = (0..dims.len()).collect();
    let side = |real: &Real| Ok(Labelled { real: lengthened(real, dims.len())?, labels: labels.clone() });
    let (a, b) = (side(a)?, side(b)?);
    if a.real.width() >= b.real.width() {
        builder.product(&a, &b, &labels)
    } else {
        builder.product(&b, &a, &labels)
    }
}

/// `alpha * A * B + beta * C`, both transposed if asked.
pub(super) fn gemm(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let (left, right) = (node.int("transA", 0) != 0, node.int("transB", 0) != 0);
    let labels = |transposed: bool, a: usize, b: usize| if transposed { vec![b, a] } else { vec![a, b] };
    let a = node.value(0)?;
    if matches!(a, Value::Constant(_)) && matches!(node.value(1)?, Value::Constant(_)) {
        return Err(NodeReason::NeedsRow { input: 0 });
    }
    let made = contract(node, builder, &labels(left, 0, 1), &labels(right, 1, 2), &[0, 2])?;
    let alpha = (alpha != 1.0).then(|| Constant::scalar(alpha, FLOAT));
    match node.optional(2) {
        None => real(builder.affine(&made, alpha.as_ref(), None, true)),
        Some(Value::Constant(add)) => {
            let values = add.numbers()?.iter().map(|value| value * beta).collect();
            let add = Constant::array(add.dims.clone(), values, FLOAT);
            real(builder.affine(&made, alpha.as_ref(), Some(&add), true))
        }
        Some(_) => {
            let add = node.real(2, builder)?;
            let made = builder.affine(&made, alpha.as_ref(), None, true)?;
            let dims = broadcast_dims(&[made.dims(), add.dims()])?;
            real(builder.add(&[(1.0, made), (beta, add)], 0.0, &dims))
        }
    }
}

pub(super) fn matmul(node: &Node<'_>, builder: &mut Builder) -> Made {
    let rank = |value: &Value, builder: &mut Builder| match value {
        Value::Constant(constant) => Ok(constant.dims.len()),
        value => super::operators::real_of(value, builder).map(|real| real.rank()),
    };
    let (a, b) = (rank(node.value(0)?, builder)?, rank(node.value(1)?, builder)?);
    let (left, right, kept) = matmul_labels(a, b)?;
    real(contract(node, builder, &left, &right, &kept))
}

/// Labels of the left and the right side, and of the product.
type ProductLabels = (Vec<usize>, Vec<usize>, Vec<usize>);

/// Labels of a product of stacks of matrices: stacks broadcast from the back, vectors lose their axis.
fn matmul_labels(a: usize, b: usize) -> Result<ProductLabels, NodeReason> {
    if a == 0 || b == 0 {
        return Err(NodeReason::Shape);
    }
    let (row, inner, column) = (100, 101, 102);
    let stack =
        |rank: usize| (0..rank.saturating_sub(2)).map(|axis| 200 - (rank - 2) + axis).collect::<Vec<_>>();
    let mut left = stack(a);
    let mut right = stack(b);
    let mut kept = if a >= b { left.clone() } else { right.clone() };
    if a > 1 {
        left.push(row);
        kept.push(row);
    }
    left.push(inner);
    right.push(inner);
    if b > 1 {
        right.push(column);
        kept.push(column);
    }
    Ok((left, right, kept))
}

/// Sum over labels not kept of the product of inputs 0 and 1, one of which may be constant.
fn contract(
    node: &Node<'_>,
    builder: &mut Builder,
    left: &[usize],
    right: &[usize],
    kept: &[usize],
) -> Result<Real, NodeReason> {
    let side = |input: usize, labels: &[usize], builder: &mut Builder| {
        let real = node.real(input, builder)?;
        if real.rank() != labels.len() {
            return Err(NodeReason::Shape);
        }
        Ok(Labelled { real, labels: labels.to_vec() })
    };
    match (node.value(0)?, node.value(1)?) {
        (Value::Constant(_), Value::Constant(_)) => Err(NodeReason::NeedsRow { input: 0 }),
        (Value::Constant(weights), _) => {
            let real = side(1, right, builder)?;
            weigh(&real, weights, left, kept, builder)
        }
        (_, Value::Constant(weights)) => {
            let real = side(0, left, builder)?;
            weigh(&real, weights, right, kept, builder)
        }
        _ => {
            let (a, b) = (side(0, left, builder)?, side(1, right, builder)?);
            builder.product(&a, &b, kept)
        }
    }
}

/// A product with constants; axes of one broadcast.
pub(super) fn weigh(
    real: &Labelled,
    weights: &Constant,
    labels: &[usize],
    kept: &[usize],
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    if weights.dims.len() != labels.len() {
        return Err(NodeReason::Shape);
    }
    let dim_of =
        |label: usize| real.labels.iter().position(|other| *other == label).map(|axis| real.real.dim(axis));
    let mut values = weights.numbers()?.to_vec();
    let (mut used, mut dims) = (Vec::new(), Vec::new());
    for (axis, (label, dim)) in labels.iter().zip(&weights.dims).enumerate() {
        let summed = !kept.contains(label);
        match dim_of(*label) {
            Some(1) if summed && *dim > 1 => return Err(NodeReason::Shape),
            // Summed on this side only: add the numbers up.
            None if summed => {
                let inner: usize = weights.dims.iter().skip(axis + 1).product();
                let outer: usize = values.len() / (dim * inner).max(1);
                values = (0..outer * inner)
                    .map(|cell| {
                        let (row, column) = (cell / inner, cell % inner);
                        (0..*dim).filter_map(|k| values.get((row * dim + k) * inner + column)).sum()
                    })
                    .collect();
            }
            _ => {
                used.push(*label);
                dims.push(*dim);
            }
        }
    }
    let numbers = Numbers { values: &values, dims: &dims, labels: &used, grid: weights.grid };
    builder.weigh(real, &numbers, kept)
}

pub(super) fn einsum(node: &Node<'_>, builder: &mut Builder) -> Made {
    let refused = NodeReason::Attribute { name: "equation" };
    let equation: String = node.text("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs.to_owned(), Some(output.to_owned())),
        None => (equation.clone(), None),
    };
    let terms: Vec<&str> = inputs.split(',').collect();
    if terms.len() != node.inputs.len() || terms.len() > 2 {
        return Err(refused);
    }
    let rank = |input: usize, builder: &mut Builder| match node.value(input)? {
        Value::Constant(constant) => Ok(constant.dims.len()),
        _ => node.real(input, builder).map(|real| real.rank()),
    };
    let mut ranks = Vec::new();
    for input in 0..terms.len() {
        ranks.push(rank(input, builder)?);
    }
    // An ellipsis stands for as many axes as are left, counted from its back.
    let letters = |term: &str, rank: usize| -> Option<Vec<usize>> {
        let (before, after) = term.split_once("...").unwrap_or((term, ""));
        let dots = if term.contains("...") { rank.checked_sub(before.len() + after.len())? } else { 0 };
        let letter = |c: char| c.is_ascii_alphabetic().then_some(c as usize);
        let before = before.chars().map(letter).collect::<Option<Vec<_>>>()?;
        let after = after.chars().map(letter).collect::<Option<Vec<_>>>()?;
        let middle: Vec<usize> = (0..dots).map(|dot| 2000 - dots + dot).collect();
        let all = [before, middle, after].concat();
        (all.len() == rank).then_some(all)
    };
    let labels: Vec<Vec<usize>> = terms
        .iter()
        .zip(&ranks)
        .map(|(term, rank)| letters(term, *rank).ok_or(refused.clone()))
        .collect::<Result<_, _>>()?;
    let dots =
        labels.iter().map(|labels| labels.iter().filter(|label| **label >= 1000).count()).max().unwrap_or(0);
    let kept = match output {
        Some(output) => {
            let count = output.chars().filter(char::is_ascii_alphabetic).count();
            letters(&output, count + if output.contains("...") { dots } else { 0 }).ok_or(refused.clone())?
        }
        None => {
            let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
            labels.iter().flatten().for_each(|label| *counts.entry(*label).or_default() += 1);
            let broadcast = (2000 - dots)..2000;
            let single = counts
                .iter()
                .filter(|(label, count)| **label < 1000 && **count == 1)
                .map(|(label, _)| *label);
            broadcast.chain(single).collect()
        }
    };
    let repeats = labels.iter().chain([&kept]).any(|labels| {
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    });
    if repeats {
        return Err(refused);
    }
    match labels.as_slice() {
        [only] => {
            let given = node.real(0, builder)?;
            let over: Vec<usize> =
                (0..only.len()).filter(|axis| !only.get(*axis).is_some_and(|l| kept.contains(l))).collect();
            let summed = if over.is_empty() { given } else { builder.sum(&given, &over, 1.0)? };
            let order: Vec<Option<usize>> =
                kept.iter().map(|label| only.iter().position(|other| other == label)).collect();
            real(summed.reordered(&order))
        }
        [left, right] => real(contract(node, builder, left, right, &kept)),
        _ => Err(refused),
    }
}

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`, per channel.
pub(super) fn batch_normalisation(node: &Node<'_>, builder: &mut Builder) -> Made {
    if node.int("training_mode", 0) != 0 {
        return Err(NodeReason::Attribute { name: "training_mode" });
    }
    let given = node.real(0, builder)?;
    let parameter = |input: usize| node.constant(input).and_then(Constant::numbers);
    let (scale, shift, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let channels = scale.len();
    if [shift, mean, variance].iter().any(|values| values.len() != channels) {
        return Err(NodeReason::Shape);
    }
    let epsilon = node.float("epsilon", 1e-5)?;
    let multiply: Vec<f64> = scale.iter().zip(variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let add: Vec<f64> =
        shift.iter().zip(mean.iter().zip(&multiply)).map(|(shift, (mean, m))| shift - mean * m).collect();
    if !multiply.iter().chain(&add).all(|value| value.is_finite()) {
        return Err(NodeReason::NotFinite);
    }
    // Channels are the second axis; a plain row has only those.
    let mut dims = vec![channels];
    dims.extend(core::iter::repeat_n(1, given.rank().saturating_sub(2)));
    let (multiply, add) = (Constant::array(dims.clone(), multiply, FLOAT), Constant::array(dims, add, FLOAT));
    real(builder.affine(&given, Some(&multiply), Some(&add), node.alone(0)))
}
