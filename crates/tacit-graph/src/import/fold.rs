//! Folds multiplications and additions of constants into the operator before.

use std::sync::Arc;

use super::{
    build::{Builder, long_axes},
    error::NodeReason,
    onnx::Constant,
    program::{Factor, Node, Values, cells},
    tensor::Real,
};

/// `real * multiply + add` as the operator that makes `real` with other weights; none where there is no such operator.
pub(super) fn affine(
    builder: &mut Builder,
    real: &Real,
    multiply: Option<&Constant>,
    add: Option<&Constant>,
) -> Result<Option<Real>, NodeReason> {
    let Some(axes) = axes_of_maker(builder, real) else { return Ok(None) };
    let over = |constant: &Constant| values(constant, real, &axes);
    let (multiply, add) = (multiply.map(over).transpose()?, add.map(over).transpose()?);
    let Some(node) = builder.program.maker(real.tensor) else { return Ok(None) };
    let Some(node) = folded(node, multiply.as_ref(), add.as_ref()) else { return Ok(None) };
    let tensor = builder.program.push(node);
    Ok(Some(Real { tensor, ..real.clone() }))
}

/// For each atom, the axis of the operator that makes the tensor, if the value is the whole tensor, reordered at most.
fn axes_of_maker(builder: &Builder, real: &Real) -> Option<Vec<u8>> {
    if !real.function.is_identity() {
        return None;
    }
    let shape = builder.program.shape(real.tensor);
    let atoms = real.atoms();
    let mut axes = vec![None; atoms.len()];
    for (number, (group, size)) in real.groups.iter().zip(shape).enumerate() {
        if group.span != 1 || group.offset != 0 || group.divisor != 1 {
            return None;
        }
        match group.strides.as_slice() {
            [] if *size == 1 => {}
            [stride] if stride.stride == 1 && atoms.get(usize::from(stride.axis)) == Some(size) => {
                *axes.get_mut(usize::from(stride.axis))? = Some(u8::try_from(number).ok()?);
            }
            _ => return None,
        }
    }
    (real.groups.len() == shape.len()).then(|| axes.into_iter().collect::<Option<_>>())?
}

/// A constant broadcast against `real`, over the axes of the operator that makes it.
fn values(constant: &Constant, real: &Real, axes: &[u8]) -> Result<Values, NodeReason> {
    let (long, dims) = long_axes(&constant.dims, real.rank());
    let mut made = Vec::new();
    for (axis, dim) in long.iter().zip(dims) {
        if real.dim(*axis) != dim {
            return Err(NodeReason::Shape);
        }
        let first = usize::from(real.first_atom(*axis));
        let count = real.axes.get(*axis).map_or(0, Vec::len);
        made.extend(axes.get(first..first + count).unwrap_or_default());
    }
    Ok(Values { axes: made, data: constant.numbers()?.into() })
}

fn folded(node: &Node, multiply: Option<&Values>, add: Option<&Values>) -> Option<Node> {
    match node {
        Node::Contract { axes, summed, left, right: Factor::Weights { values, grid }, bias } => {
            let sizes = [axes.as_slice(), summed].concat();
            let (weights, grid) = match multiply {
                None => (values.clone(), *grid),
                Some(multiply) if multiply.axes.iter().all(|axis| values.axes.contains(axis)) => {
                    let factor = multiply.spread(&values.axes, &sizes)?;
                    let grid = match (*grid, multiply.data.as_ref()) {
                        (Some(grid), [number]) => Some(grid * number.abs()),
                        _ => None,
                    };
                    (combined(values, &factor, |a, b| a * b), grid)
                }
                Some(_) => return None,
            };
            let right = Factor::Weights { values: weights, grid };
            let bias = new_bias(bias.as_ref(), multiply, add, &sizes)?;
            Some(Node::Contract {
                axes: axes.clone(),
                summed: summed.clone(),
                left: left.clone(),
                right,
                bias,
            })
        }
        Node::Combine { axes, terms, constant, bias } => {
            let factor = match multiply.map(|multiply| multiply.data.as_ref()) {
                None => 1.0,
                Some([number]) => *number,
                Some(_) => return None,
            };
            let mut terms = terms.clone();
            terms.iter_mut().for_each(|part| part.coefficient *= factor);
            let bias = new_bias(bias.as_ref(), multiply, add, axes)?;
            Some(Node::Combine { axes: axes.clone(), terms, constant: constant * factor, bias })
        }
        _ => None,
    }
}

/// `bias * multiply + add` over the axes of all three.
fn new_bias(
    bias: Option<&Values>,
    multiply: Option<&Values>,
    add: Option<&Values>,
    sizes: &[u32],
) -> Option<Option<Values>> {
    let zero = Values { axes: vec![], data: Arc::from([0.0]) };
    let one = Values { axes: vec![], data: Arc::from([1.0]) };
    let (old, multiply, add) = (bias.unwrap_or(&zero), multiply.unwrap_or(&one), add.unwrap_or(&zero));
    let multiply = if bias.is_some() { multiply } else { &one };
    let mut axes: Vec<u8> = [old.axes.as_slice(), &multiply.axes, &add.axes].concat();
    axes.sort_unstable();
    axes.dedup();
    let over: Vec<u32> =
        axes.iter().map(|axis| sizes.get(usize::from(*axis)).copied()).collect::<Option<_>>()?;
    if cells(&over) > MAX_BIAS_CELLS {
        return None;
    }
    let scaled = combined(&old.spread(&axes, sizes)?, &multiply.spread(&axes, sizes)?, |a, b| a * b);
    let made = combined(&scaled, &add.spread(&axes, sizes)?, |a, b| a + b);
    if made.data.iter().all(|value| *value == 0.0) {
        return Some(None);
    }
    if made.axes.is_empty() {
        // One number for all of an operator: along its first axis, as biases have axes.
        return Some(Some(made.spread(&[0], sizes)?));
    }
    Some(Some(made))
}

fn combined(a: &Values, b: &Values, apply: impl Fn(f64, f64) -> f64) -> Values {
    Values {
        axes: a.axes.clone(),
        data: a.data.iter().zip(b.data.iter()).map(|(a, b)| apply(*a, *b)).collect(),
    }
}

/// Most biases of one operator.
const MAX_BIAS_CELLS: usize = 1 << 20;
