//! Resizing along single axes: repeats, slices, or a matrix of shares.

use super::{build::Builder, error::NodeReason, moves, node::Node, tensor::Real};

/// `Resize` and the older `Upsample`.
pub(super) fn resize(node: &Node<'_>, given: &Real, builder: &mut Builder) -> Result<Real, NodeReason> {
    let upsample = node.operator() == "Upsample" || node.opset < 11;
    let mode = node.text("mode", "nearest")?;
    let dims = given.dims();
    let along = match node.ints("axes") {
        Some(named) => super::node::axes(named, dims.len())?,
        None => (0..dims.len()).collect(),
    };
    let (scales_input, sizes_input) = if upsample { (1, usize::MAX) } else { (2, 3) };
    let scales = match node.optional_constant(scales_input)? {
        Some(scales) if scales.len() > 0 => Some(scales.numbers()?.to_vec()),
        _ => Some(node.floats("scales")).filter(|scales| !scales.is_empty()),
    };
    let sizes = match (scales.is_none(), sizes_input) {
        (true, 3) => Some(node.constant(3)?.whole()?),
        _ => None,
    };
    let transform =
        if upsample { "asymmetric" } else { node.text("coordinate_transformation_mode", "half_pixel")? };
    let rounding = if upsample { "floor" } else { node.text("nearest_mode", "round_prefer_floor")? };
    let mut made = given.clone();
    for (index, axis) in along.iter().enumerate() {
        let dim = made.dim(*axis);
        let (output, scale) = match (&scales, &sizes) {
            (Some(scales), _) => {
                let scale = *scales.get(index).ok_or(NodeReason::Shape)?;
                ((dim as f64 * scale).floor() as usize, scale)
            }
            (None, Some(sizes)) => {
                let output =
                    sizes.get(index).and_then(|size| usize::try_from(*size).ok()).ok_or(NodeReason::Shape)?;
                (output, output as f64 / dim as f64)
            }
            _ => return Err(NodeReason::Shape),
        };
        if output == 0 || output > super::MAX_LAYER_CELLS || scale <= 0.0 {
            return Err(NodeReason::Shape);
        }
        if output == dim && scale == 1.0 {
            continue;
        }
        let refused = NodeReason::Attribute { name: "coordinate_transformation_mode" };
        let source = |o: usize| -> Result<f64, NodeReason> {
            let (o, size) = (o as f64, dim as f64);
            match transform {
                "asymmetric" => Ok(o / scale),
                "half_pixel" => Ok((o + 0.5) / scale - 0.5),
                "pytorch_half_pixel" if output > 1 => Ok((o + 0.5) / scale - 0.5),
                "pytorch_half_pixel" => Ok(0.0),
                "align_corners" if output > 1 => Ok(o * (size - 1.0) / (output as f64 - 1.0)),
                "align_corners" => Ok(0.0),
                "half_pixel_symmetric" => {
                    let adjustment = output as f64 / (scale * size);
                    Ok(size / 2.0 * (1.0 - adjustment) + (o + 0.5) / scale - 0.5)
                }
                _ => Err(refused.clone()),
            }
        };
        let positions = (0..output).map(source).collect::<Result<Vec<f64>, _>>()?;
        made = match mode {
            "nearest" => {
                let round = |x: f64| match rounding {
                    "floor" => x.floor(),
                    "ceil" => x.ceil(),
                    "round_prefer_ceil" => (x + 0.5).floor(),
                    _ => (x - 0.5).ceil(),
                };
                let places: Vec<usize> =
                    positions.iter().map(|x| round(*x).clamp(0.0, (dim - 1) as f64) as usize).collect();
                nearest(&made, *axis, &places, builder)?
            }
            "linear" | "bilinear" => {
                let mut values = vec![0.0; dim * output];
                for (o, x) in positions.iter().enumerate() {
                    let x = x.clamp(0.0, (dim - 1) as f64);
                    let (low, share) = (x.floor() as usize, x - x.floor());
                    for (place, weight) in [(low, 1.0 - share), ((low + 1).min(dim - 1), share)] {
                        if let Some(cell) = values.get_mut(place * output + o) {
                            *cell += weight;
                        }
                    }
                }
                moves::along_axis(&made, *axis, &values, output, None, builder)?
            }
            _ => return Err(NodeReason::Attribute { name: "mode" }),
        };
    }
    Ok(made)
}

/// Each output takes one place; whole factors repeat without a copy.
fn nearest(given: &Real, axis: usize, places: &[usize], builder: &mut Builder) -> Result<Real, NodeReason> {
    let dim = given.dim(axis);
    let factor = places.len() / dim.max(1);
    let repeats = factor > 1
        && places.len() == dim * factor
        && places.iter().enumerate().all(|(o, at)| o / factor == *at);
    if !repeats {
        return moves::pick(given, axis, places, builder);
    }
    let mut order: Vec<Option<usize>> = (0..given.rank()).map(Some).collect();
    order.insert(axis + 1, None);
    let factor = u32::try_from(factor).map_err(|_| NodeReason::TooLarge)?;
    let mut made = given.reordered(&order)?.broadcast(axis + 1, &[factor]);
    let inner = made.axes.remove(axis + 1);
    if let Some(atoms) = made.axes.get_mut(axis) {
        atoms.extend(inner);
    }
    Ok(made)
}
