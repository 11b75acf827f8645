//! Operators over whole axes: reductions, softmax, normalisations, decisions.

use super::{
    build::Builder,
    error::NodeReason,
    expr::{Binary, Expr, Unary},
    linear::times,
    lower::{Decision, Softmax, Value},
    node::{Made, Node, axes, real},
    onnx::{Constant, FLOAT},
    operators::{mapped, reciprocal},
    tensor::Real,
};

/// `ReduceX` over some axes.
pub(super) fn reduce(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let named = node.whole(1, "axes")?.filter(|axes| !axes.is_empty());
    if named.is_none() && node.int("noop_with_empty_axes", 0) != 0 {
        return real(Ok(given));
    }
    let over = match named {
        Some(named) => axes(&named, given.rank())?,
        None => (0..given.rank()).collect(),
    };
    let square = Expr::X.with(Binary::Mul, Expr::X);
    let count: usize = over.iter().map(|axis| given.dim(*axis)).product();
    let made = match node.operator() {
        "ReduceSum" => builder.sum(&given, &over, 1.0)?,
        "ReduceMean" => builder.sum(&given, &over, 1.0 / count.max(1) as f64)?,
        "ReduceMax" => largest(&given, &over, builder)?,
        "ReduceMin" => largest(&given.map(&Expr::times(-1.0)), &over, builder)?.map(&Expr::times(-1.0)),
        "ReduceL1" => sum_of(&given, &Expr::X.then(Unary::Abs), &over, builder)?,
        "ReduceL2" => sum_of(&given, &square, &over, builder)?.map(&Expr::X.then(Unary::Sqrt)),
        "ReduceSumSquare" => sum_of(&given, &square, &over, builder)?,
        "ReduceLogSum" => builder.sum(&given, &over, 1.0)?.map(&Expr::X.then(Unary::Log)),
        "ReduceLogSumExp" => {
            let most = largest(&given, &over, builder)?;
            let spread = exponentials(&given, &most, builder)?;
            let log = builder.sum(&spread, &over, 1.0)?.map(&Expr::X.then(Unary::Log));
            builder.add(&[(1.0, log), (1.0, most.clone())], 0.0, &most.dims())?
        }
        _ => product_over(&given, &over, builder)?,
    };
    if node.int("keepdims", 1) != 0 {
        return real(Ok(made));
    }
    let order: Vec<_> = (0..made.rank()).filter(|axis| !over.contains(axis)).map(Some).collect();
    real(made.reordered(&order))
}

/// Sum of a function of each element.
fn sum_of(given: &Real, function: &Expr, over: &[usize], builder: &mut Builder) -> Result<Real, NodeReason> {
    let each = mapped(given, function, builder)?;
    builder.sum(&each, over, 1.0)
}

pub(super) fn global_pool(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let over: Vec<usize> = (2..given.rank()).collect();
    if node.operator() == "GlobalMaxPool" {
        return real(largest(&given, &over, builder));
    }
    let count: usize = over.iter().map(|axis| given.dim(*axis)).product();
    real(builder.sum(&given, &over, 1.0 / count.max(1) as f64))
}

/// The largest over axes, which become of one: halves against each other until one is left.
pub(super) fn largest(given: &Real, over: &[usize], builder: &mut Builder) -> Result<Real, NodeReason> {
    let mut made = builder.force(given)?;
    for axis in over {
        while made.dim(*axis) > 1 {
            let dim = made.dim(*axis);
            let half = dim.div_ceil(2);
            let front = builder.slice(&made, *axis, 0, 1, half)?;
            let back = builder.slice(&made, *axis, (dim - half) as i64, 1, half)?;
            made = builder.maximum(&front, &back, false)?;
        }
    }
    Ok(made)
}

/// The product over axes, two halves at a time.
fn product_over(given: &Real, over: &[usize], builder: &mut Builder) -> Result<Real, NodeReason> {
    let mut made = builder.force(given)?;
    for axis in over {
        while made.dim(*axis) > 1 {
            let dim = made.dim(*axis);
            let half = dim / 2;
            let front = builder.slice(&made, *axis, 0, 1, half)?;
            let back = builder.slice(&made, *axis, half as i64, 1, half)?;
            let product = times(&front, &back, builder)?;
            made = if dim % 2 == 0 {
                product
            } else {
                let last = builder.slice(&made, *axis, dim as i64 - 1, 1, 1)?;
                if half == 1 {
                    times(&product, &last, builder)?
                } else {
                    let first = builder.slice(&product, *axis, 0, 1, 1)?;
                    let rest = builder.slice(&product, *axis, 1, 1, half - 1)?;
                    let first = times(&first, &last, builder)?;
                    super::moves::join(&[first, rest], *axis, builder)?
                }
            };
        }
    }
    Ok(made)
}

/// `exp(x - most)`.
fn exponentials(given: &Real, most: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let below = builder.add(&[(1.0, given.clone()), (-1.0, most.clone())], 0.0, &given.dims())?;
    mapped(&below, &Expr::X.then(Unary::Exp), builder)
}

pub(super) fn softmax(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let log = node.operator() == "LogSoftmax";
    let default = if node.opset < 13 { 1 } else { -1 };
    let axis = node.axis("axis", default, given.rank())?;
    if node.opset < 13 && axis + 1 < given.rank() && given.dims().iter().skip(axis + 1).any(|dim| *dim > 1) {
        // Older opsets take all axes from this one on as one.
        let dims = given.dims();
        let (outer, inner) = dims.split_at(axis);
        let flat = builder.reshape(&given, &[outer.iter().product(), inner.iter().product()])?;
        let made = softmax_values(&Softmax { real: flat, axis: 1, log }, builder)?;
        return real(builder.reshape(&made, &dims));
    }
    Ok(vec![Value::Softmax(Softmax { real: given, axis, log })])
}

/// Softmax written out: the largest, exponentials of the distances to it, their sum, its reciprocal.
pub(super) fn softmax_values(softmax: &Softmax, builder: &mut Builder) -> Result<Real, NodeReason> {
    let given = builder.force(&softmax.real)?;
    let over = [softmax.axis];
    let most = largest(&given, &over, builder)?;
    let spread = exponentials(&given, &most, builder)?;
    let total = builder.sum(&spread, &over, 1.0)?;
    if softmax.log {
        let log = mapped(&total, &Expr::X.then(Unary::Log), builder)?;
        return builder.add(&[(1.0, given.clone()), (-1.0, most), (-1.0, log)], 0.0, &given.dims());
    }
    let inverse = mapped(&total, &reciprocal(), builder)?;
    times(&spread, &inverse, builder)
}

/// `[1 - sigmoid(x), sigmoid(x)]`.
pub(super) fn pair_values(score: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let yes = mapped(score, &Expr::X.then(Unary::Sigmoid), builder)?;
    let no = mapped(&score.map(&Expr::times(-1.0)), &Expr::X.then(Unary::Sigmoid), builder)?;
    let (no, yes) = (builder.reshape(&no, &[1, 1])?, builder.reshape(&yes, &[1, 1])?);
    super::moves::join(&[no, yes], 1, builder)
}

pub(super) fn argmax(node: &Node<'_>, builder: &mut Builder) -> Made {
    if node.int("select_last_index", 0) != 0 {
        return Err(NodeReason::Attribute { name: "select_last_index" });
    }
    let at = node.int("axis", 0);
    let is_whole = |given: &Real| {
        super::node::axis(at, given.rank()).is_some_and(|axis| given.dim(axis) == given.width())
    };
    match node.value(0)? {
        Value::Pair(score) if at == 1 || at == -1 => Ok(vec![Value::Winner(Decision::Sign(score.clone()))]),
        Value::Softmax(softmax) if is_whole(&softmax.real) => {
            Ok(vec![Value::Winner(Decision::Largest(softmax.real.clone()))])
        }
        Value::Real(given) if is_whole(given) => Ok(vec![Value::Winner(Decision::Largest(given.clone()))]),
        Value::Quantised { real: given, .. } if is_whole(given) => {
            Ok(vec![Value::Winner(Decision::Largest(given.clone()))])
        }
        _ => {
            let given = node.real(0, builder)?;
            let axis = node.axis("axis", 0, given.rank())?;
            let made = index_of_largest(&given, axis, builder)?;
            if node.int("keepdims", 1) != 0 {
                return real(Ok(made));
            }
            let order: Vec<_> = (0..made.rank()).filter(|other| *other != axis).map(Some).collect();
            real(made.reordered(&order))
        }
    }
}

/// A decision as a number, where something computes with it.
pub(super) fn winner(decision: &Decision, builder: &mut Builder) -> Result<Real, NodeReason> {
    match decision {
        Decision::Largest(given) => {
            let axis = (0..given.rank()).find(|axis| given.dim(*axis) > 1).unwrap_or(0);
            index_of_largest(given, axis, builder)
        }
        Decision::Sign(score) => mapped(score, &Expr::X.with(Binary::Greater, Expr::Number(0.0)), builder),
    }
}

/// The index of the largest along an axis, the lowest of several: places that reach the largest bid `dim - index`, and
/// the highest bid wins.
fn index_of_largest(given: &Real, axis: usize, builder: &mut Builder) -> Result<Real, NodeReason> {
    let dim = given.dim(axis);
    if dim > MAX_PLACES {
        return Err(NodeReason::TooLarge);
    }
    let given = builder.force(given)?;
    let most = largest(&given, &[axis], builder)?;
    let below = builder.add(&[(1.0, given.clone()), (-1.0, most)], 0.0, &given.dims())?;
    let reaches = mapped(&below, &Expr::X.with(Binary::GreaterOrEqual, Expr::Number(0.0)), builder)?;
    let mut shape = vec![1; given.rank()];
    if let Some(slot) = shape.get_mut(axis) {
        *slot = dim;
    }
    let mut bids = Constant::array(shape, (0..dim).map(|index| (dim - index) as f64).collect(), FLOAT);
    bids.grid = Some(1.0);
    let bids = builder.affine(&reaches, Some(&bids), None, false)?;
    let best = largest(&bids, &[axis], builder)?;
    Ok(best.map(&Expr::times(-1.0).with(Binary::Add, Expr::Number(dim as f64))))
}

/// `(x - mean) / sqrt(variance + epsilon)` over axes.
fn standardised(
    given: &Real,
    over: &[usize],
    epsilon: f64,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let count: usize = over.iter().map(|axis| given.dim(*axis)).product();
    let share = 1.0 / count.max(1) as f64;
    let mean = builder.sum(given, over, share)?;
    let centred = builder.add(&[(1.0, given.clone()), (-1.0, mean)], 0.0, &given.dims())?;
    let squares = mapped(&centred, &Expr::X.with(Binary::Mul, Expr::X), builder)?;
    let variance = builder.sum(&squares, over, share)?;
    // Zero reached in a table is not zero reached in the network: the floor keeps the quotient finite.
    let root = Expr::X
        .with(Binary::Max, Expr::Number(0.0))
        .with(Binary::Add, Expr::Number(epsilon))
        .then(Unary::Sqrt);
    let inverse = mapped(&variance, &reciprocal().of(&root), builder)?;
    times(&centred, &inverse, builder)
}

pub(super) fn layer_normalisation(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let first = node.axis("axis", -1, given.rank())?;
    let over: Vec<usize> = (first..given.rank()).collect();
    let made = standardised(&given, &over, node.float("epsilon", 1e-5)?, builder)?;
    real(builder.affine(&made, Some(node.constant(1)?), node.optional_constant(2)?, true))
}

pub(super) fn instance_normalisation(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let over: Vec<usize> = (2..given.rank()).collect();
    let made = standardised(&given, &over, node.float("epsilon", 1e-5)?, builder)?;
    let (scale, shift) = (per_channel(node, 1, given.rank())?, per_channel(node, 2, given.rank())?);
    real(builder.affine(&made, Some(&scale), Some(&shift), true))
}

pub(super) fn group_normalisation(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let dims = given.dims();
    let refused = NodeReason::Attribute { name: "num_groups" };
    let groups =
        usize::try_from(node.int("num_groups", 0)).ok().filter(|groups| *groups > 0).ok_or(refused)?;
    let [n, channels, spatial @ ..] = dims.as_slice() else { return Err(NodeReason::Shape) };
    let split = [&[*n, groups, channels / groups], spatial].concat();
    let grouped = builder.reshape(&given, &split)?;
    let over: Vec<usize> = (2..split.len()).collect();
    let made = standardised(&grouped, &over, node.float("epsilon", 1e-5)?, builder)?;
    let made = builder.reshape(&made, &dims)?;
    let (scale, shift) = (per_channel(node, 1, dims.len())?, per_channel(node, 2, dims.len())?);
    let repeated = |given: Constant| -> Result<Constant, NodeReason> {
        // Before opset 21 there is one number for each group.
        if given.len() == *channels {
            return Ok(given);
        }
        let values = given
            .numbers()?
            .iter()
            .flat_map(|value| core::iter::repeat_n(*value, channels / groups))
            .collect();
        let mut shape = vec![1; dims.len()];
        if let Some(slot) = shape.get_mut(1) {
            *slot = *channels;
        }
        Ok(Constant::array(shape, values, FLOAT))
    };
    real(builder.affine(&made, Some(&repeated(scale)?), Some(&repeated(shift)?), true))
}

pub(super) fn lp_normalisation(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let axis = node.axis("axis", -1, given.rank())?;
    let size = match node.int("p", 2) {
        1 => sum_of(&given, &Expr::X.then(Unary::Abs), &[axis], builder)?,
        2 => {
            let square = Expr::X.with(Binary::Mul, Expr::X);
            sum_of(&given, &square, &[axis], builder)?.map(&Expr::X.then(Unary::Sqrt))
        }
        _ => return Err(NodeReason::Attribute { name: "p" }),
    };
    let inverse = mapped(&size, &reciprocal(), builder)?;
    real(times(&given, &inverse, builder))
}

/// Numbers for the second axis of a value of `rank` axes.
fn per_channel(node: &Node<'_>, input: usize, rank: usize) -> Result<Constant, NodeReason> {
    let given = node.constant(input)?;
    let mut dims = vec![given.len()];
    dims.extend(core::iter::repeat_n(1, rank.saturating_sub(2)));
    Ok(Constant::array(dims, given.numbers()?.to_vec(), FLOAT))
}

/// Running sums along an axis: a triangle of ones.
pub(super) fn cumulative(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let at = node.constant(1)?.number()? as i64;
    let at = super::node::axis(at, given.rank()).ok_or(NodeReason::Attribute { name: "axis" })?;
    let dim = given.dim(at);
    if dim.saturating_mul(dim) > super::MAX_LAYER_CELLS {
        return Err(NodeReason::TooLarge);
    }
    let (exclusive, backwards) = (node.int("exclusive", 0) != 0, node.int("reverse", 0) != 0);
    let adds = |from: usize, to: usize| {
        let (a, b) = if backwards { (to, from) } else { (from, to) };
        a < b || (a == b && !exclusive)
    };
    let values: Vec<f64> =
        (0..dim * dim).map(|cell| f64::from(u8::from(adds(cell / dim, cell % dim)))).collect();
    if dim == 1 {
        return real(if exclusive { Ok(given.map(&Expr::times(0.0))) } else { Ok(given) });
    }
    real(super::moves::along_axis(&given, at, &values, dim, Some(1.0), builder))
}

/// Most places that an index is computed over.
const MAX_PLACES: usize = 127;
