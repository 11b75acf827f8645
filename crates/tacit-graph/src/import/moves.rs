//! Operators that move elements without computing on them.

use std::sync::Arc;

use super::{
    build::{Builder, Labelled, Numbers, broadcast_dims, lengthened, part},
    classical,
    error::NodeReason,
    lower::{Decision, Value},
    node::{Made, Node, axes, axis, constant, real},
    onnx::{Constant, Data, FLOAT, INT64},
    run,
    tensor::{Access, Real},
};
use crate::graph::Stride;

/// Evaluates a move of constants, of computed values, or of decisions.
pub(super) fn evaluate(node: &Node<'_>, builder: &mut Builder) -> Made {
    let operator = node.operator();
    match operator {
        "Shape" => return shape(node, builder),
        "Size" => return size(node, builder),
        "Concat" => return concat(node, builder),
        "Gather" => return gather(node, builder),
        "ConstantOfShape" => return constant_of_shape(node),
        "Range" => return range(node),
        _ => {}
    }
    match node.value(0)? {
        // Of one number per row, a decision keeps its meaning in any shape.
        value @ (Value::Winner(_) | Value::Label(..))
            if matches!(operator, "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze") =>
        {
            Ok(vec![value.clone()])
        }
        // Columns of probabilities, split for display.
        Value::Pair(_) if matches!(operator, "Reshape" | "Slice" | "Split") => Ok(vec![Value::Ignored]),
        Value::Softmax(softmax) if operator == "Slice" && softmax.is_whole() && softmax.real.rank() == 2 => {
            Ok(vec![Value::Ignored])
        }
        Value::Constant(given) => constants(node, given),
        _ => {
            let given = node.real(0, builder)?;
            let made = moved(node, &given, builder)?;
            Ok(made.into_iter().map(Value::Real).collect())
        }
    }
}

fn moved(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Vec<Real>, NodeReason> {
    let one = |made: Result<Real, NodeReason>| made.map(|made| vec![made]);
    match node.operator() {
        "Reshape" => {
            let dims =
                reshape_target(&given.dims(), &node.constant(1)?.whole()?, node.int("allowzero", 0) != 0)?;
            one(builder.reshape(given, &dims))
        }
        "Flatten" => {
            let at = node.int("axis", 1);
            let rank = given.rank();
            let at = if at == rank as i64 {
                rank
            } else {
                axis(at, rank).ok_or(NodeReason::Attribute { name: "axis" })?
            };
            let dims = given.dims();
            let (outer, inner) = dims.split_at(at);
            one(builder.reshape(given, &[outer.iter().product(), inner.iter().product()]))
        }
        "Squeeze" => {
            let dims = given.dims();
            let gone = match node.whole(1, "axes")? {
                Some(named) => axes(&named, dims.len())?,
                None => (0..dims.len()).filter(|axis| dims.get(*axis) == Some(&1)).collect(),
            };
            if gone.iter().any(|axis| dims.get(*axis) != Some(&1)) {
                return Err(NodeReason::Shape);
            }
            let order: Vec<_> = (0..dims.len()).filter(|axis| !gone.contains(axis)).map(Some).collect();
            one(given.reordered(&order))
        }
        "Unsqueeze" => {
            let new = node.whole(1, "axes")?.ok_or(NodeReason::Attribute { name: "axes" })?;
            let rank = given.rank() + new.len();
            let new = axes(&new, rank)?;
            let mut old = 0..given.rank();
            let order: Vec<_> =
                (0..rank).map(|axis| if new.contains(&axis) { None } else { old.next() }).collect();
            one(given.reordered(&order))
        }
        "Transpose" => {
            let order = match node.ints("perm") {
                Some(perm) => axes(perm, given.rank())?,
                None => (0..given.rank()).rev().collect(),
            };
            let order: Vec<_> = order.into_iter().map(Some).collect();
            one(given.reordered(&order))
        }
        "Slice" => one(slice(node, given, builder)),
        "Split" => split(node, given, builder),
        "Expand" => {
            let dims: Vec<usize> = positive(&node.constant(1)?.whole()?)?;
            one(expand(given, &dims))
        }
        "Tile" => {
            let repeats = positive(&node.constant(1)?.whole()?)?;
            one(tile(given, &repeats))
        }
        "Pad" => one(pad(node, given, builder)),
        "DepthToSpace" => one(depth_to_space(node, given, builder)),
        "SpaceToDepth" => one(space_to_depth(node, given, builder)),
        "Resize" | "Upsample" => one(super::resize::resize(node, given, builder)),
        _ => Err(NodeReason::Operator),
    }
}

/// A move of constants, done by running it as a program of its own.
fn constants(node: &Node<'_>, given: &Arc<Constant>) -> Made {
    let positions: Vec<f64>;
    let numbers = match &given.data {
        Data::Numbers(values) => values.as_slice(),
        Data::Texts(texts) => {
            positions = (0..texts.len()).map(|at| at as f64).collect();
            &positions
        }
    };
    if numbers.is_empty() {
        return Err(NodeReason::Shape);
    }
    let shape: Vec<u32> = given
        .dims
        .iter()
        .map(|dim| u32::try_from(*dim).map_err(|_| NodeReason::TooLarge))
        .collect::<Result<_, _>>()?;
    let shape = if shape.is_empty() { vec![1] } else { shape };
    let mut builder = Builder::new(shape.clone());
    let mut whole = Real::whole(0, &given.dims, &shape);
    if given.dims.is_empty() {
        whole = Real::whole(0, &[1], &shape).reordered(&[])?;
    }
    let made = moved(node, &whole, &mut builder)?;
    made.iter()
        .map(|real| {
            let dims = real.dims();
            let copied = builder.copy_logical(real)?;
            let values = run::constant(&builder.program, copied.tensor, numbers);
            let data = match &given.data {
                Data::Numbers(_) => Data::Numbers(values),
                Data::Texts(texts) => Data::Texts(
                    values.iter().map(|at| texts.get(*at as usize).cloned().unwrap_or_default()).collect(),
                ),
            };
            let made = Constant { dims, data, data_type: given.data_type, grid: given.grid };
            Ok(Value::Constant(Arc::new(made)))
        })
        .collect()
}

/// A constant's numbers broadcast to `dims`.
pub(super) fn spread(given: &Constant, dims: &[usize]) -> Result<Vec<f64>, NodeReason> {
    let numbers = given.numbers()?;
    if given.dims == dims {
        return Ok(numbers.to_vec());
    }
    let cells = dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)).unwrap_or(usize::MAX);
    if cells > super::MAX_LAYER_CELLS {
        return Err(NodeReason::TooLarge);
    }
    let missing = dims.len().checked_sub(given.dims.len()).ok_or(NodeReason::Shape)?;
    let mut offsets = vec![0usize];
    for (index, dim) in dims.iter().enumerate() {
        let own = index.checked_sub(missing).and_then(|index| given.dims.get(index)).copied().unwrap_or(1);
        let below: usize =
            index.checked_sub(missing).map_or(0, |index| given.dims.iter().skip(index + 1).product());
        let step = if own == 1 { 0 } else { below };
        offsets = offsets.iter().flat_map(|offset| (0..*dim).map(move |k| offset + k * step)).collect();
    }
    offsets.iter().map(|offset| numbers.get(*offset).copied().ok_or(NodeReason::Shape)).collect()
}

fn positive(values: &[i64]) -> Result<Vec<usize>, NodeReason> {
    values
        .iter()
        .map(|value| usize::try_from(*value).ok().filter(|v| *v > 0).ok_or(NodeReason::Shape))
        .collect()
}

/// Dimensions that a Reshape target stands for.
pub(super) fn reshape_target(
    dims: &[usize],
    target: &[i64],
    zero_is_zero: bool,
) -> Result<Vec<usize>, NodeReason> {
    let cells =
        dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)).ok_or(NodeReason::TooLarge)?;
    let mut made = Vec::new();
    for (index, dim) in target.iter().enumerate() {
        made.push(match *dim {
            0 if !zero_is_zero => *dims.get(index).ok_or(NodeReason::Shape)?,
            -1 => 0,
            dim => usize::try_from(dim).map_err(|_| NodeReason::Shape)?,
        });
    }
    let open = target.iter().filter(|dim| **dim == -1).count();
    let known = made
        .iter()
        .zip(target)
        .filter(|(_, target)| **target != -1)
        .try_fold(1usize, |cells, (dim, _)| cells.checked_mul(*dim))
        .ok_or(NodeReason::TooLarge)?;
    match open {
        0 => {
            // Networks exported with another batch size keep it in their targets.
            if known != cells
                && known.is_multiple_of(cells.max(1))
                && let Some(first) = made.first_mut().filter(|first| **first == known / cells.max(1))
            {
                *first = 1;
            }
        }
        1 if known > 0 && cells.is_multiple_of(known) => {
            made.iter_mut()
                .zip(target)
                .filter(|(_, target)| **target == -1)
                .for_each(|(dim, _)| *dim = cells / known);
        }
        _ => return Err(NodeReason::Shape),
    }
    Ok(made)
}

fn slice(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let starts = node.whole(1, "starts")?.ok_or(NodeReason::Attribute { name: "starts" })?;
    let ends = node.whole(2, "ends")?.ok_or(NodeReason::Attribute { name: "ends" })?;
    let along = match node.whole(3, "axes")? {
        Some(named) => axes(&named, given.rank())?,
        None => (0..starts.len()).collect(),
    };
    let steps =
        node.optional_constant(4)?.map(Constant::whole).transpose()?.unwrap_or_else(|| vec![1; starts.len()]);
    let mut made = given.clone();
    for (index, at) in along.iter().enumerate() {
        let missing = NodeReason::Attribute { name: "starts" };
        let (Some(start), Some(end), Some(step)) = (starts.get(index), ends.get(index), steps.get(index))
        else {
            return Err(missing);
        };
        let dim = i64::try_from(made.dim(*at)).map_err(|_| NodeReason::TooLarge)?;
        let wrap = |value: i64| if value < 0 { value.saturating_add(dim) } else { value };
        let (start, count) = if *step > 0 {
            let (start, end) = (wrap(*start).clamp(0, dim), wrap(*end).clamp(0, dim));
            (start, (end - start).max(0).saturating_add(step - 1) / step)
        } else if *step < 0 {
            let (start, end) = (wrap(*start).clamp(0, dim - 1), wrap(*end).clamp(-1, dim - 1));
            (
                start,
                (start - end).max(0).saturating_sub(*step).saturating_sub(1) / step.saturating_neg().max(1),
            )
        } else {
            return Err(NodeReason::Shape);
        };
        if (start, count, *step) == (0, dim, 1) {
            continue;
        }
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(NodeReason::Shape)?;
        made = builder.slice(&made, *at, start, *step, count)?;
    }
    Ok(made)
}

fn split(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Vec<Real>, NodeReason> {
    let at = node.axis("axis", 0, given.rank())?;
    let dim = given.dim(at);
    let sizes = match node.whole(1, "split")? {
        Some(sizes) => positive(&sizes)?,
        None => {
            let parts = usize::try_from(node.int("num_outputs", node.proto.output.len() as i64)).unwrap_or(0);
            let each = dim.div_ceil(parts.max(1));
            (0..parts).map(|index| each.min(dim.saturating_sub(index * each))).collect()
        }
    };
    if sizes.iter().sum::<usize>() != dim || sizes.contains(&0) {
        return Err(NodeReason::Shape);
    }
    let mut start = 0;
    let mut made = Vec::new();
    for size in sizes {
        made.push(if size == dim {
            given.clone()
        } else {
            builder.slice(given, at, start as i64, 1, size)?
        });
        start += size;
    }
    Ok(made)
}

pub(super) fn expand(given: &Real, target: &[usize]) -> Result<Real, NodeReason> {
    let dims = broadcast_dims(&[given.dims(), target.to_vec()])?;
    let mut made = lengthened(given, dims.len())?;
    for (axis, dim) in dims.iter().enumerate() {
        if made.dim(axis) == 1 && *dim > 1 {
            made = made.broadcast(axis, &[u32::try_from(*dim).map_err(|_| NodeReason::TooLarge)?]);
        }
    }
    Ok(made)
}

fn tile(given: &Real, repeats: &[usize]) -> Result<Real, NodeReason> {
    if repeats.len() != given.rank() {
        return Err(NodeReason::Shape);
    }
    // Each repeated axis is two, the outer one of which reads the same again.
    let order: Vec<Option<usize>> = (0..given.rank()).flat_map(|axis| [None, Some(axis)]).collect();
    let mut made = given.reordered(&order)?;
    for (axis, count) in repeats.iter().enumerate().filter(|(_, count)| **count > 1) {
        made = made.broadcast(2 * axis, &[u32::try_from(*count).map_err(|_| NodeReason::TooLarge)?]);
    }
    made.axes = made.axes.chunks(2).map(<[Vec<u32>]>::concat).collect();
    Ok(made)
}

/// Zeros, a constant, or mirrored or repeated edges around a value.
fn pad(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let pads = node.whole(1, "pads")?.ok_or(NodeReason::Attribute { name: "pads" })?;
    let along = match node.optional_constant(3)? {
        Some(named) => axes(&named.whole()?, given.rank())?,
        None => (0..given.rank()).collect(),
    };
    if pads.len() != 2 * along.len() {
        return Err(NodeReason::Shape);
    }
    let fill = match node.optional_constant(2)? {
        Some(constant) => constant.number()?,
        None => node.float("value", 0.0)?,
    };
    let mode = node.text("mode", "constant")?;
    let mut made = given.clone();
    for (index, at) in along.iter().enumerate() {
        let (Some(before), Some(after)) = (pads.get(index), pads.get(index + along.len())) else {
            return Err(NodeReason::Shape);
        };
        let (before, after) = (*before, *after);
        // Negative padding cuts.
        let dim = made.dim(*at) as i64;
        let (cut_before, cut_after) = ((-before).max(0), (-after).max(0));
        if cut_before + cut_after > 0 {
            let count = usize::try_from(dim - cut_before - cut_after).ok().filter(|count| *count > 0);
            made = builder.slice(&made, *at, cut_before, 1, count.ok_or(NodeReason::Shape)?)?;
        }
        let count = |value: i64| u32::try_from(value.max(0)).ok().filter(|count| *count < 1 << 20);
        let (before, after) =
            (count(before).ok_or(NodeReason::TooLarge)?, count(after).ok_or(NodeReason::TooLarge)?);
        if (before, after) == (0, 0) {
            continue;
        }
        made = match mode {
            "constant" => pad_constant(&made, *at, before, after, fill, builder)?,
            "reflect" | "edge" | "wrap" => {
                let dim = made.dim(*at) as i64;
                let place = |index: i64| match mode {
                    "edge" => index.clamp(0, dim - 1),
                    "wrap" => index.rem_euclid(dim),
                    _ if dim == 1 => 0,
                    _ => {
                        let around = index.rem_euclid(2 * (dim - 1));
                        around.min(2 * (dim - 1) - around)
                    }
                };
                let indices: Vec<usize> =
                    (-i64::from(before)..dim + i64::from(after)).map(|i| place(i) as usize).collect();
                pick(&made, *at, &indices, builder)?
            }
            _ => return Err(NodeReason::Attribute { name: "mode" }),
        };
    }
    Ok(made)
}

fn pad_constant(
    given: &Real,
    at: usize,
    before: u32,
    after: u32,
    fill: f64,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let given = if given.function.apply(0.0) == 0.0 { given.clone() } else { builder.force(given)? };
    let padded = match builder.single(&given, at)?.padded(at, before, after, &builder.program) {
        Some(padded) => padded,
        None => {
            let windowed = builder.window(&given, at)?;
            windowed.padded(at, before, after, &builder.program).ok_or(NodeReason::Shape)?
        }
    };
    if fill == 0.0 {
        return Ok(padded);
    }
    let dim = padded.dim(at);
    let values = (0..dim)
        .map(|index| if index < before as usize || index + after as usize >= dim { fill } else { 0.0 })
        .collect();
    let mut dims = vec![1; padded.rank()];
    if let Some(slot) = dims.get_mut(at) {
        *slot = dim;
    }
    builder.affine(&padded, None, Some(&Constant::array(dims, values, FLOAT)), false)
}

fn block(node: &Node<'_>) -> Result<usize, NodeReason> {
    let refused = NodeReason::Attribute { name: "blocksize" };
    usize::try_from(node.int("blocksize", 0)).ok().filter(|size| (1..1024).contains(size)).ok_or(refused)
}

fn depth_to_space(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let size = block(node)?;
    let &[n, c, h, w] = given.dims().as_slice() else { return Err(NodeReason::Shape) };
    let less = c / (size * size).max(1);
    let (dims, order) = match node.text("mode", "DCR")? {
        "DCR" => ([n, size, size, less, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, less, size, size, h, w], [0, 1, 4, 2, 5, 3]),
        _ => return Err(NodeReason::Attribute { name: "mode" }),
    };
    let split = builder.reshape(given, &dims)?.reordered(&order.map(Some))?;
    builder.reshape(&split, &[n, less, h * size, w * size])
}

fn space_to_depth(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let size = block(node)?;
    let &[n, c, h, w] = given.dims().as_slice() else { return Err(NodeReason::Shape) };
    if h % size != 0 || w % size != 0 {
        return Err(NodeReason::Shape);
    }
    let split = builder.reshape(given, &[n, c, h / size, size, w / size, size])?;
    let order = match node.text("mode", "DCR")? {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        _ => return Err(NodeReason::Attribute { name: "mode" }),
    };
    let split = split.reordered(&order.map(Some))?;
    builder.reshape(&split, &[n, c * size * size, h / size, w / size])
}

fn dims_of(node: &Node<'_>, builder: &mut Builder) -> Result<Vec<usize>, NodeReason> {
    match node.value(0)? {
        Value::Constant(given) => Ok(given.dims.clone()),
        Value::Quantised { real, .. } => Ok(real.dims()),
        _ => Ok(node.real(0, builder)?.dims()),
    }
}

fn shape(node: &Node<'_>, builder: &mut Builder) -> Made {
    let dims = dims_of(node, builder)?;
    let rank = dims.len() as i64;
    let bound = |value: i64| {
        usize::try_from(if value < 0 { value + rank } else { value }.clamp(0, rank)).unwrap_or(0)
    };
    let (start, end) = (bound(node.int("start", 0)), bound(node.int("end", rank)));
    let dims = dims.get(start..end.max(start)).unwrap_or_default();
    constant(Constant::vector(dims.iter().map(|dim| *dim as f64).collect(), INT64))
}

fn size(node: &Node<'_>, builder: &mut Builder) -> Made {
    let cells: f64 = dims_of(node, builder)?.iter().map(|dim| *dim as f64).product();
    constant(Constant::scalar(cells, INT64))
}

fn constant_of_shape(node: &Node<'_>) -> Made {
    let dims = positive(&node.constant(0)?.whole()?)?;
    let cells = dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)).unwrap_or(usize::MAX);
    if cells > super::MAX_LAYER_CELLS {
        return Err(NodeReason::TooLarge);
    }
    let fill = match node.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(tensor) => Constant::from_proto(tensor)?,
        None => Constant::scalar(0.0, FLOAT),
    };
    constant(Constant::array(dims, vec![fill.number()?; cells], fill.data_type))
}

fn range(node: &Node<'_>) -> Made {
    let (start, end, step) = (node.constant(0)?, node.constant(1)?.number()?, node.constant(2)?.number()?);
    let data_type = start.data_type;
    let start = start.number()?;
    let count = ((end - start) / step).ceil();
    if !(0.0..=super::MAX_LAYER_CELLS as f64).contains(&count) {
        return Err(NodeReason::TooLarge);
    }
    constant(Constant::vector((0..count as usize).map(|k| start + step * k as f64).collect(), data_type))
}

fn concat(node: &Node<'_>, builder: &mut Builder) -> Made {
    if let Some(pair) = classical::pair(node)? {
        return Ok(vec![pair]);
    }
    let count = node.inputs.len();
    if (0..count).all(|input| node.constant(input).is_ok()) {
        return concat_constants(node);
    }
    let mut parts = Vec::new();
    let mut grids = Vec::new();
    for input in 0..count {
        parts.push(match node.value(input)? {
            Value::Constant(given) => Part::Constant(given),
            Value::Quantised { real, scale, zero } => {
                grids.push((*scale, *zero));
                Part::Real(real.clone())
            }
            _ => Part::Real(node.real(input, builder)?),
        });
    }
    let rank = parts.iter().map(Part::rank).max().unwrap_or(0);
    let made = joined(&parts, node.axis("axis", 1, rank)?, builder)?;
    match grids.as_slice() {
        [] => real(Ok(made)),
        [(scale, zero), rest @ ..]
            if grids.len() == count && rest.iter().all(|grid| *grid == (*scale, *zero)) =>
        {
            Ok(vec![Value::Quantised { real: made, scale: *scale, zero: *zero }])
        }
        _ => Err(NodeReason::NeedsRow { input: 0 }),
    }
}

/// One side of a concatenation.
enum Part<'a> {
    Real(Real),
    Constant(&'a Constant),
}

impl Part<'_> {
    fn rank(&self) -> usize {
        self.dims().len()
    }

    fn dims(&self) -> Vec<usize> {
        match self {
            Self::Real(real) => real.dims(),
            Self::Constant(constant) => constant.dims.clone(),
        }
    }
}

/// Values flattened and end to end.
pub(super) fn end_to_end(parts: &[Real], builder: &mut Builder) -> Result<Real, NodeReason> {
    let rows = parts
        .iter()
        .map(|real| Ok(Part::Real(builder.reshape(real, &[real.width()])?)))
        .collect::<Result<Vec<_>, _>>()?;
    joined(&rows, 0, builder)
}

/// Values side by side along an axis.
pub(super) fn join(parts: &[Real], at: usize, builder: &mut Builder) -> Result<Real, NodeReason> {
    let parts: Vec<Part<'_>> = parts.iter().map(|real| Part::Real(real.clone())).collect();
    joined(&parts, at, builder)
}

/// One term for each part; outside its places each reads zero.
fn joined(parts: &[Part<'_>], at: usize, builder: &mut Builder) -> Result<Real, NodeReason> {
    let rank = parts.first().map_or(0, Part::rank);
    let total: usize = parts.iter().map(|part| part.dims().get(at).copied().unwrap_or(0)).sum();
    let labels: Vec<usize> = (0..rank).collect();
    // Parts side by side are aligned along every other axis.
    let mut operands = Vec::new();
    let mut starts = Vec::new();
    let mut constants = Vec::new();
    let mut start = 0;
    for part in parts {
        let dims = part.dims();
        let dim = dims.get(at).copied().ok_or(NodeReason::Shape)?;
        if dims.len() != rank {
            return Err(NodeReason::Shape);
        }
        match part {
            Part::Real(given) => {
                operands.push(Labelled { real: builder.window(given, at)?, labels: labels.clone() });
                starts.push((start, dim));
            }
            Part::Constant(given) => constants.push((start, *given)),
        }
        start += dim;
    }
    let mut trimmed: Vec<Labelled> = operands.clone();
    for operand in &mut trimmed {
        operand.labels = labels
            .iter()
            .map(|label| if *label == at { usize::MAX - operand.real.dim(at) } else { *label })
            .collect();
    }
    let atoms = builder.align(&mut trimmed)?;
    let first = trimmed.iter().max_by_key(|operand| operand.real.width()).ok_or(NodeReason::Shape)?;
    // Keep the layout of the widest part.
    let mut order: Vec<usize> = labels.clone();
    let place = |label: &usize| {
        let atom = first.real.first_atom(*label);
        first.real.groups.iter().position(|group| group.strides.iter().any(|s| s.axis == atom)).unwrap_or(0)
    };
    order.sort_by_key(place);
    let mut frame = super::build::Frame::default();
    for label in &order {
        if *label == at {
            frame.output(at, &[u32::try_from(total).map_err(|_| NodeReason::TooLarge)?]);
        } else {
            frame.output(*label, atoms.get(label).map_or(&[], Vec::as_slice));
        }
    }
    let number = *frame.numbers(at).first().ok_or(NodeReason::Shape)?;
    let mut terms = Vec::new();
    for (operand, (start, _)) in trimmed.iter().zip(&starts) {
        let accesses: Vec<Access> = labels
            .iter()
            .map(|label| {
                if *label == at {
                    let offset = -i32::try_from(*start).unwrap_or(i32::MAX);
                    Access::Window {
                        offset,
                        strides: vec![Stride { axis: number, stride: 1 }],
                        divisor: 1,
                        exact: false,
                    }
                } else if operand.real.dim(*label) == 1 {
                    Access::Along(vec![])
                } else {
                    frame.along(*label)
                }
            })
            .collect();
        terms.push(part(1.0, operand.real.view(&accesses).ok_or(NodeReason::Shape)?));
    }
    let mut dims: Vec<usize> = Vec::new();
    for label in &labels {
        let other = atoms.get(label).map_or(1, |atoms| super::tensor::size(atoms));
        dims.push(if *label == at { total } else { other });
    }
    let mut made = builder.combine_in(&frame, &labels, terms, 0.0)?;
    for (start, given) in constants {
        let mut values = vec![0.0; dims.iter().product()];
        let outer: usize = dims.iter().take(at).product();
        let inner: usize = dims.iter().skip(at + 1).product();
        let dim = given.dims.get(at).copied().unwrap_or(0);
        let mut wanted = dims.clone();
        if let Some(slot) = wanted.get_mut(at) {
            *slot = dim;
        }
        let numbers = spread(given, &wanted)?;
        for row in 0..outer {
            let (to, from) = ((row * total + start) * inner, row * dim * inner);
            let (Some(to), Some(from)) =
                (values.get_mut(to..to + dim * inner), numbers.get(from..from + dim * inner))
            else {
                return Err(NodeReason::Shape);
            };
            to.copy_from_slice(from);
        }
        made = builder.affine(&made, None, Some(&Constant::array(dims.clone(), values, FLOAT)), true)?;
    }
    Ok(made)
}

fn concat_constants(node: &Node<'_>) -> Made {
    let first = node.constant(0)?;
    let rank = first.dims.len();
    let at = node.axis("axis", 1, rank.max(1))?;
    let outer: usize = first.dims.iter().take(at).product();
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); outer];
    let mut total = 0;
    for input in 0..node.inputs.len() {
        let given = node.constant(input)?;
        let numbers = given.numbers()?;
        if given.dims.len() != rank || given.dims.iter().take(at).product::<usize>() != outer {
            return Err(NodeReason::Shape);
        }
        total += given.dims.get(at).copied().unwrap_or(numbers.len());
        let each = numbers.len() / outer.max(1);
        for (row, part) in rows.iter_mut().zip(numbers.chunks(each.max(1))) {
            row.extend_from_slice(part);
        }
        if rows.iter().map(Vec::len).sum::<usize>() > super::MAX_LAYER_CELLS {
            return Err(NodeReason::TooLarge);
        }
    }
    let values = rows.concat();
    let mut dims = first.dims.clone();
    match dims.get_mut(at) {
        Some(slot) => *slot = total,
        None => dims = vec![total],
    }
    if dims.iter().product::<usize>() != values.len() {
        return Err(NodeReason::Shape);
    }
    constant(Constant::array(dims, values, first.data_type))
}

/// Columns of a value, or the label at a decision's index.
fn gather(node: &Node<'_>, builder: &mut Builder) -> Made {
    match (node.value(0)?, node.value(1)?) {
        (Value::Constant(labels), Value::Winner(decision)) => {
            Ok(vec![Value::Label(decision.clone(), labels.labels())])
        }
        (Value::Constant(given), Value::Constant(index)) => gather_constants(node, given, index),
        (Value::Constant(_), _) => Err(NodeReason::NeedsConstant { input: 1 }),
        (Value::Softmax(softmax), Value::Constant(_)) if softmax.is_whole() && softmax.real.rank() == 2 => {
            Ok(vec![Value::Ignored])
        }
        (_, Value::Constant(index)) => {
            let given = node.real(0, builder)?;
            let at = node.axis("axis", 0, given.rank())?;
            let indices = places(index, given.dim(at))?;
            let picked = pick(&given, at, &indices, builder)?;
            // The index's axes stand in the place of the axis.
            let mut dims = given.dims();
            dims.splice(at..=at, index.dims.iter().copied());
            real(builder.reshape(&picked, &dims))
        }
        _ => Err(NodeReason::NeedsConstant { input: 1 }),
    }
}

fn places(index: &Constant, dim: usize) -> Result<Vec<usize>, NodeReason> {
    let place =
        |at: i64| usize::try_from(if at < 0 { at + dim as i64 } else { at }).ok().filter(|at| *at < dim);
    index.whole()?.into_iter().map(|at| place(at).ok_or(NodeReason::Shape)).collect()
}

fn gather_constants(node: &Node<'_>, given: &Constant, index: &Constant) -> Made {
    let at = node.axis("axis", 0, given.dims.len())?;
    let dim = given.dims.get(at).copied().unwrap_or(1);
    let indices = places(index, dim)?;
    let inner: usize = given.dims.iter().skip(at + 1).product();
    let outer: usize = given.dims.iter().take(at).product();
    let numbers = given.numbers()?;
    if outer.saturating_mul(indices.len()).saturating_mul(inner) > super::MAX_LAYER_CELLS {
        return Err(NodeReason::TooLarge);
    }
    let mut values = Vec::new();
    for row in 0..outer {
        for at in &indices {
            let from = (row * dim + at) * inner;
            values.extend_from_slice(numbers.get(from..from + inner).ok_or(NodeReason::Shape)?);
        }
    }
    let mut dims = given.dims.clone();
    dims.splice(at..=at, index.dims.iter().copied());
    constant(Constant::array(dims, values, given.data_type))
}

/// Places of an axis in any order: a slice where they are evenly spaced, else a product with ones.
pub(super) fn pick(
    given: &Real,
    at: usize,
    indices: &[usize],
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let dim = given.dim(at);
    if let [first, rest @ ..] = indices {
        let step = rest.first().map_or(1, |second| *second as i64 - *first as i64);
        let even = indices.windows(2).all(|pair| matches!(pair, [a, b] if *b as i64 - *a as i64 == step));
        if even && step != 0 {
            return builder.slice(given, at, *first as i64, step, indices.len());
        }
        if even && step == 0 {
            let one = builder.slice(given, at, *first as i64, 1, 1)?;
            let count = u32::try_from(indices.len()).map_err(|_| NodeReason::TooLarge)?;
            return Ok(one.broadcast(at, &[count]));
        }
    }
    // A few stretches, as in mirrored padding, are views side by side.
    let stretches = stretches(indices);
    if stretches.len() <= MAX_STRETCHES && stretches.iter().all(|(_, step, _)| *step != 0) {
        let slice = |&(first, step, count): &(i64, i64, usize)| builder.slice(given, at, first, step, count);
        let parts = stretches.iter().map(slice).collect::<Result<Vec<_>, _>>()?;
        return join(&parts, at, builder);
    }
    let cells = dim.saturating_mul(indices.len());
    if cells > super::MAX_LAYER_CELLS || indices.is_empty() {
        return Err(NodeReason::TooLarge);
    }
    let mut values = vec![0.0; cells];
    for (column, index) in indices.iter().enumerate() {
        if let Some(cell) = values.get_mut(index * indices.len() + column) {
            *cell = 1.0;
        }
    }
    along_axis(given, at, &values, indices.len(), Some(1.0), builder)
}

/// Places as stretches at even distances, each as its first place, its step (1 for a lone place) and its length.
fn stretches(indices: &[usize]) -> Vec<(i64, i64, usize)> {
    let mut made: Vec<(i64, i64, usize)> = Vec::new();
    for index in indices.iter().map(|index| *index as i64) {
        match made.last_mut() {
            Some((first, step, count)) if *count == 1 || index == *first + *step * *count as i64 => {
                *step = if *count == 1 { index - *first } else { *step };
                *count += 1;
            }
            _ => made.push((index, 1, 1)),
        }
    }
    made
}

/// A matrix `[dim][count]` applied along one axis.
pub(super) fn along_axis(
    given: &Real,
    at: usize,
    values: &[f64],
    count: usize,
    grid: Option<f64>,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let rank = given.rank();
    let labels: Vec<usize> = (0..rank).collect();
    let kept: Vec<usize> = labels.iter().map(|label| if *label == at { rank } else { *label }).collect();
    let numbers = Numbers { values, dims: &[given.dim(at), count], labels: &[at, rank], grid };
    builder.weigh(&Labelled { real: given.clone(), labels }, &numbers, &kept)
}

/// The label or the columns that an index or a table of places chooses: Gather under its classical name.
pub(super) fn look_up(node: &Node<'_>, builder: &mut Builder) -> Made {
    match (node.value(0)?, node.value(1)?) {
        (Value::Constant(labels), Value::Winner(decision)) => {
            Ok(vec![Value::Label(decision.clone(), labels.labels())])
        }
        (Value::Pair(_), Value::Constant(_)) => Ok(vec![Value::Ignored]),
        (Value::Label(..) | Value::Winner(Decision::Largest(_) | Decision::Sign(_)), _) => {
            Err(NodeReason::NeedsConstant { input: 0 })
        }
        (_, Value::Constant(index)) => {
            let given = node.real(0, builder)?;
            let at = given.rank().checked_sub(1).ok_or(NodeReason::Shape)?;
            let indices = places(index, given.dim(at))?;
            real(pick(&given, at, &indices, builder))
        }
        _ => Err(NodeReason::NeedsConstant { input: 1 }),
    }
}

/// Most stretches of places that are views; more are a matrix.
const MAX_STRETCHES: usize = 4;
