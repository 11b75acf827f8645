//! Convolutions and pooling: operators that read windows of their input.
//!
//! A window is a view whose positions add an output axis times the stride and a kernel axis times the dilation; the
//! input is never copied. Channels come last in what is made, whatever order ONNX gives.

use super::{
    build::{Builder, Frame, Numbers, part},
    error::NodeReason,
    node::{Made, Node, real},
    onnx::{Constant, FLOAT},
    program::{Factor, Part, Values},
    tensor::{Access, Real},
};
use crate::{
    graph::{Stride, View},
    validate::MAX_GROUP,
};

/// How a window moves along one spatial axis.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Input positions.
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
    output: usize,
    /// Kernel places left out in front.
    skipped: usize,
}

impl Window {
    /// Where the window at output zero begins.
    fn offset(&self) -> Result<i32, NodeReason> {
        let skipped = i32::try_from(self.skipped * self.dilation).map_err(|_| NodeReason::TooLarge)?;
        Ok(skipped + negative(self.before)?)
    }

    /// Positions of the group that a view of it makes, axes padded.
    fn positions(&self) -> u64 {
        (self.output.next_power_of_two() as u64).saturating_mul(self.kernel.next_power_of_two() as u64)
    }

    /// Whether the output is the input, position by position.
    fn is_plain(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.before == 0 && self.after == 0
    }

    /// Positions of the input under the window at `output`, padding not counted.
    fn inside(&self, output: usize) -> usize {
        let at = |k: usize| (output * self.stride + k * self.dilation).checked_sub(self.before);
        (0..self.kernel).filter(|k| at(*k).is_some_and(|at| at < self.input)).count()
    }

    /// Positions of the padded input under the window at `output`.
    fn padded(&self, output: usize) -> usize {
        let end = self.input + self.before + self.after;
        (0..self.kernel).filter(|k| output * self.stride + k * self.dilation < end).count()
    }
}

/// Attributes of a window for every spatial axis.
fn windows(node: &Node<'_>, inputs: &[usize], kernels: &[usize]) -> Result<Vec<Window>, NodeReason> {
    let rank = inputs.len();
    let list = |name: &'static str, default: i64| -> Result<Vec<usize>, NodeReason> {
        let given = node.ints(name).filter(|values| !values.is_empty()).map(<[i64]>::to_vec);
        let values = given.unwrap_or_else(|| vec![default; rank]);
        let size = |value: &i64| usize::try_from(*value).ok().filter(|value| *value <= MAX_WINDOW);
        let values: Option<Vec<usize>> = values.iter().map(size).collect();
        values.filter(|values| values.len() == rank).ok_or(NodeReason::Attribute { name })
    };
    let (strides, dilations) = (list("strides", 1)?, list("dilations", 1)?);
    let pads = match node.ints("pads").filter(|pads| !pads.is_empty()) {
        None => vec![0; 2 * rank],
        Some(pads) => {
            let size = |value: &i64| usize::try_from(*value).ok().filter(|value| *value <= MAX_WINDOW);
            let pads: Option<Vec<usize>> = pads.iter().map(size).collect();
            pads.filter(|pads| pads.len() == 2 * rank).ok_or(NodeReason::Attribute { name: "pads" })?
        }
    };
    let auto = node.text("auto_pad", "NOTSET")?;
    let ceil = node.int("ceil_mode", 0) != 0;
    (0..rank)
        .map(|axis| {
            let at = |values: &[usize]| values.get(axis).copied().unwrap_or(1);
            let (input, kernel, stride, dilation) = (at(inputs), at(kernels), at(&strides), at(&dilations));
            if stride == 0 || dilation == 0 || kernel == 0 {
                return Err(NodeReason::Attribute { name: "strides" });
            }
            let reach = (kernel - 1) * dilation + 1;
            let (mut before, mut after) = (at(&pads), pads.get(rank + axis).copied().unwrap_or(0));
            match auto {
                "NOTSET" => {}
                "VALID" => (before, after) = (0, 0),
                "SAME_UPPER" | "SAME_LOWER" => {
                    let total = ((input.div_ceil(stride) - 1) * stride + reach).saturating_sub(input);
                    before = if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 };
                    after = total - before;
                }
                _ => return Err(NodeReason::Attribute { name: "auto_pad" }),
            }
            let room = (input + before + after).checked_sub(reach).ok_or(NodeReason::Shape)?;
            let mut output = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
            // A window that starts in the padding behind sees nothing.
            if ceil && (output - 1) * stride >= input + before {
                output -= 1;
            }
            Ok(Window { input, kernel, stride, dilation, before, after, output, skipped: 0 })
        })
        .collect()
}

pub(super) fn conv(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, weights) = (node.real(0, builder)?, node.constant(1)?);
    real(convolve(node, &given, weights, node.optional_constant(2)?, builder))
}

/// `Conv` of a value by constants `[outputs, inputs / groups, kernel..]`.
pub(super) fn convolve(
    node: &Node<'_>,
    given: &Real,
    weights: &Constant,
    bias: Option<&Constant>,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let dims = given.dims();
    let ([n, channels, spatial @ ..], [outputs, each, kernels @ ..]) =
        (dims.as_slice(), weights.dims.as_slice())
    else {
        return Err(NodeReason::Shape);
    };
    let groups = groups(node)?;
    if spatial.len() != kernels.len() || *channels != each * groups || outputs % groups != 0 {
        return Err(NodeReason::Shape);
    }
    let windows = windows(node, spatial, kernels)?;
    let split = [&[*n, groups, *each], spatial].concat();
    let given = builder.force(given)?;
    let mut given = builder.reshape(&given, &split)?;
    for (index, window) in windows.iter().enumerate() {
        if !window.is_plain() {
            given = builder.window(&given, SPATIAL + index)?;
        }
    }
    if (0..given.rank()).any(|axis| given.repeats(axis)) {
        given = builder.copy(&given)?;
    }
    let share = outputs / groups;
    let weight_dims = [&[groups, share, *each], kernels].concat();
    let grid = weights.grid;
    let mut parts = vec![(windows.clone(), weight_dims, weights.numbers()?.to_vec())];
    // A long kernel over a long output takes more positions than a group has: it is cut, and the parts added up.
    while let Some(wide) =
        parts.iter().position(|(windows, _, _)| windows.iter().any(|w| w.positions() > MAX_GROUP))
    {
        let (windows, dims, values) = parts.swap_remove(wide);
        let axis = windows.iter().position(|window| window.positions() > MAX_GROUP).unwrap_or(0);
        parts.extend(halves(&windows, &dims, &values, axis).ok_or(NodeReason::TooLarge)?);
    }
    let mut sums = Vec::new();
    for (windows, dims, values) in &parts {
        let mut labels = vec![GROUP, SHARE, INPUT];
        labels.extend((0..kernels.len()).map(|index| KERNEL + index));
        let numbers = Numbers { values, dims, labels: &labels, grid };
        sums.push((1.0, contraction(&given, windows, share, &numbers, builder)?));
    }
    let made = match sums.as_slice() {
        [(_, only)] => only.clone(),
        sums => builder.add(sums, 0.0, &sums.first().map_or(vec![], |(_, sum)| sum.dims()))?,
    };
    with_bias(made, [&[*n, *outputs], output_dims(&windows).as_slice()].concat(), bias, builder)
}

/// Windows, dimensions and weights of the two halves of a kernel along a spatial axis.
fn halves(windows: &[Window], dims: &[usize], values: &[f64], axis: usize) -> Option<[Convolution; 2]> {
    let kernel = windows.get(axis)?.kernel;
    if kernel < 2 {
        return None;
    }
    let inner: usize = dims.iter().skip(SPATIAL + axis + 1).product();
    let part = |from: usize, to: usize| {
        let mut made = (windows.to_vec(), dims.to_vec(), Vec::new());
        let window = made.0.get_mut(axis)?;
        (window.skipped, window.kernel) = (window.skipped + from, to - from);
        *made.1.get_mut(SPATIAL + axis)? = to - from;
        for run in values.chunks(kernel * inner) {
            made.2.extend_from_slice(run.get(from * inner..to * inner)?);
        }
        Some(made)
    };
    Some([part(0, kernel / 2)?, part(kernel / 2, kernel)?])
}

/// Windows, dimensions and weights.
type Convolution = (Vec<Window>, Vec<usize>, Vec<f64>);

/// A value of axes `[batch, group, input, spatial..]` under windows, times weights.
fn contraction(
    given: &Real,
    windows: &[Window],
    share: usize,
    numbers: &Numbers<'_>,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let mut frame = Frame::default();
    frame.output(BATCH, atoms(given, 0));
    for (index, window) in windows.iter().enumerate() {
        let whole =
            if window.is_plain() { atoms(given, SPATIAL + index).to_vec() } else { one(window.output)? };
        frame.output(SPATIAL + index, &whole);
    }
    frame.output(GROUP, atoms(given, 1));
    frame.output(SHARE, &one(share)?);
    for (index, window) in windows.iter().enumerate() {
        frame.sum_over(KERNEL + index, &one(window.kernel)?);
    }
    frame.sum_over(INPUT, atoms(given, 2));
    let mut accesses = vec![frame.along(BATCH), frame.along(GROUP), frame.along(INPUT)];
    for (index, window) in windows.iter().enumerate() {
        accesses.push(if window.is_plain() {
            frame.along(SPATIAL + index)
        } else {
            let strides =
                steps(&frame, &[(SPATIAL + index, window.stride), (KERNEL + index, window.dilation)])?;
            Access::Window { offset: window.offset()?, strides, divisor: 1, exact: false }
        });
    }
    let view = given.view(&accesses).ok_or(NodeReason::Shape)?;
    finish(&frame, windows.len(), view, numbers, builder)
}

/// The contraction over the frame; a single weight is a factor.
fn finish(
    frame: &Frame,
    spatial: usize,
    view: View,
    numbers: &Numbers<'_>,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let mut labels = vec![BATCH, GROUP, SHARE];
    labels.extend((0..spatial).map(|index| SPATIAL + index));
    let values: Values = frame.weights(numbers)?;
    if values.axes.is_empty() {
        let coefficient = values.data.first().copied().unwrap_or(0.0);
        let terms = vec![Part { coefficient, summed: frame.summed.clone(), view }];
        return builder.combine_in(frame, &labels, terms, 0.0);
    }
    builder.contract_in(frame, &labels, view, Factor::Weights { values, grid: numbers.grid }, None)
}

/// Groups and shares as one axis of channels, and a bias for each.
fn with_bias(
    made: Real,
    dims: Vec<usize>,
    bias: Option<&Constant>,
    builder: &mut Builder,
) -> Result<Real, NodeReason> {
    let made = builder.reshape(&made, &dims)?;
    let Some(bias) = bias else { return Ok(made) };
    let mut shape = vec![1; dims.len()];
    if let (Some(slot), Some(channels)) = (shape.get_mut(1), dims.get(1)) {
        *slot = *channels;
    }
    if shape.iter().product::<usize>() != bias.len() {
        return Err(NodeReason::Shape);
    }
    let bias = Constant::array(shape, bias.numbers()?.to_vec(), FLOAT);
    builder.affine(&made, None, Some(&bias), true)
}

pub(super) fn conv_transpose(node: &Node<'_>, builder: &mut Builder) -> Made {
    let (given, weights) = (node.real(0, builder)?, node.constant(1)?);
    let dims = given.dims();
    let ([n, channels, spatial @ ..], [inputs, share, kernels @ ..]) =
        (dims.as_slice(), weights.dims.as_slice())
    else {
        return Err(NodeReason::Shape);
    };
    let groups = groups(node)?;
    if spatial.len() != kernels.len() || channels != inputs || channels % groups != 0 {
        return Err(NodeReason::Shape);
    }
    let windows = transposed_windows(node, spatial, kernels)?;
    let each = channels / groups;
    let split = [&[*n, groups, each], spatial].concat();
    let given = builder.force(&given)?;
    let mut given = builder.reshape(&given, &split)?;
    let mut frame = Frame::default();
    for index in 0..windows.len() {
        given = builder.window(&given, SPATIAL + index)?;
    }
    frame.output(BATCH, atoms(&given, 0));
    for (index, window) in windows.iter().enumerate() {
        frame.output(SPATIAL + index, &one(window.output)?);
    }
    frame.output(GROUP, atoms(&given, 1));
    frame.output(SHARE, &one(*share)?);
    for (index, window) in windows.iter().enumerate() {
        frame.sum_over(KERNEL + index, &one(window.kernel)?);
    }
    frame.sum_over(INPUT, atoms(&given, 2));
    // Output `o` gets input `i` through kernel place `k` where `o + pad - k * dilation = i * stride`.
    let mut accesses = vec![frame.along(BATCH), frame.along(GROUP), frame.along(INPUT)];
    for (index, window) in windows.iter().enumerate() {
        let mut strides = steps(&frame, &[(SPATIAL + index, 1)])?;
        for stride in steps(&frame, &[(KERNEL + index, window.dilation)])? {
            strides.push(Stride { axis: stride.axis, stride: -stride.stride });
        }
        let offset = -negative(window.before)?;
        let divisor = u32::try_from(window.stride).map_err(|_| NodeReason::TooLarge)?;
        accesses.push(Access::Window { offset, strides, divisor, exact: divisor > 1 });
    }
    let view = match given.view(&accesses) {
        Some(view) => view,
        None => builder.copy(&given)?.view(&accesses).ok_or(NodeReason::Shape)?,
    };
    let weight_dims = [&[groups, each, *share], kernels].concat();
    let mut weight_labels = vec![GROUP, INPUT, SHARE];
    weight_labels.extend((0..kernels.len()).map(|index| KERNEL + index));
    let numbers = Numbers {
        values: weights.numbers()?,
        dims: &weight_dims,
        labels: &weight_labels,
        grid: weights.grid,
    };
    let made = finish(&frame, windows.len(), view, &numbers, builder)?;
    let dims = [&[*n, groups * share], output_dims(&windows).as_slice()].concat();
    real(with_bias(made, dims, node.optional_constant(2)?, builder))
}

/// Windows of a transposed convolution: `before` is what is cut from the front of the whole output.
fn transposed_windows(
    node: &Node<'_>,
    inputs: &[usize],
    kernels: &[usize],
) -> Result<Vec<Window>, NodeReason> {
    let auto = node.text("auto_pad", "NOTSET")?;
    let given = |name: &str, index: usize| {
        node.ints(name).and_then(|values| values.get(index)).and_then(|value| usize::try_from(*value).ok())
    };
    let rank = inputs.len();
    inputs
        .iter()
        .zip(kernels)
        .enumerate()
        .map(|(axis, (input, kernel))| {
            let stride = given("strides", axis).unwrap_or(1);
            let dilation = given("dilations", axis).unwrap_or(1);
            if !(1..=MAX_WINDOW).contains(&stride) || !(1..=MAX_WINDOW).contains(&dilation) || *kernel == 0 {
                return Err(NodeReason::Attribute { name: "strides" });
            }
            let extra = given("output_padding", axis).unwrap_or(0);
            let full = stride * (input - 1) + extra + (kernel - 1) * dilation + 1;
            let same = matches!(auto, "SAME_UPPER" | "SAME_LOWER");
            let wanted = given("output_shape", axis).or(same.then_some(input * stride));
            let (before, output) = match wanted {
                Some(output) => {
                    let total = full.saturating_sub(output);
                    let before = if auto == "SAME_LOWER" { total - total / 2 } else { total / 2 };
                    (before, output)
                }
                None => {
                    let (before, after) =
                        (given("pads", axis).unwrap_or(0), given("pads", rank + axis).unwrap_or(0));
                    (before, full.checked_sub(before.saturating_add(after)).ok_or(NodeReason::Shape)?)
                }
            };
            if output == 0 || before > MAX_WINDOW {
                return Err(NodeReason::Shape);
            }
            Ok(Window {
                input: *input,
                kernel: *kernel,
                stride,
                dilation,
                before,
                after: 0,
                output,
                skipped: 0,
            })
        })
        .collect()
}

pub(super) fn max_pool(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let dims = given.dims();
    let [_, _, spatial @ ..] = dims.as_slice() else { return Err(NodeReason::Shape) };
    let windows = windows(node, spatial, &kernel_shape(node, spatial.len())?)?;
    let mut made = builder.force(&given)?;
    // One axis after the other: a maximum of maxima.
    for (index, window) in windows.iter().enumerate() {
        if !window.is_plain() {
            made = slide(&made, index + 2, window, builder)?;
        }
    }
    real(Ok(made))
}

/// The largest under the window along one axis.
fn slide(given: &Real, axis: usize, window: &Window, builder: &mut Builder) -> Result<Real, NodeReason> {
    let given = builder.window(given, axis)?;
    let labels: Vec<usize> = (0..given.rank()).collect();
    let mut frame = Frame::default();
    // Axes in the order in which the input lies.
    let place = |label: &usize| {
        let atom = given.first_atom(*label);
        given.groups.iter().position(|group| group.strides.iter().any(|s| s.axis == atom)).unwrap_or(0)
    };
    let mut order = labels.clone();
    order.sort_by_key(place);
    for label in order {
        if label == axis {
            frame.output(label, &one(window.output)?);
        } else {
            frame.output(label, atoms(&given, label));
        }
    }
    let tap = |k: usize| -> Result<View, NodeReason> {
        let offset =
            i32::try_from(k * window.dilation).map_err(|_| NodeReason::TooLarge)? + negative(window.before)?;
        let strides = steps(&frame, &[(axis, window.stride)])?;
        let accesses: Vec<Access> = labels
            .iter()
            .map(|label| {
                if *label == axis {
                    Access::Window { offset, strides: strides.clone(), divisor: 1, exact: false }
                } else {
                    frame.along(*label)
                }
            })
            .collect();
        given.view(&accesses).ok_or(NodeReason::Shape)
    };
    if window.kernel == 1 {
        return builder.combine_in(&frame, &labels, vec![part(1.0, tap(0)?)], 0.0);
    }
    let mut made = builder.maximum_in(&frame, &labels, tap(0)?, tap(1)?)?;
    for k in 2..window.kernel {
        let accesses: Vec<Access> = labels.iter().map(|label| frame.along(*label)).collect();
        let so_far = made.view(&accesses).ok_or(NodeReason::Shape)?;
        made = builder.maximum_in(&frame, &labels, so_far, tap(k)?)?;
    }
    Ok(made)
}

pub(super) fn average_pool(node: &Node<'_>, builder: &mut Builder) -> Made {
    let given = node.real(0, builder)?;
    let dims = given.dims();
    let [n, channels, spatial @ ..] = dims.as_slice() else { return Err(NodeReason::Shape) };
    let windows = windows(node, spatial, &kernel_shape(node, spatial.len())?)?;
    let mut given = builder.force(&given)?;
    for (index, window) in windows.iter().enumerate() {
        if !window.is_plain() {
            given = builder.window(&given, index + 2)?;
        }
    }
    let mut frame = Frame::default();
    frame.output(0, atoms(&given, 0));
    for (index, window) in windows.iter().enumerate() {
        let whole = if window.is_plain() { atoms(&given, 2 + index).to_vec() } else { one(window.output)? };
        frame.output(2 + index, &whole);
    }
    frame.output(1, atoms(&given, 1));
    let mut accesses = vec![frame.along(0), frame.along(1)];
    for (index, window) in windows.iter().enumerate() {
        frame.sum_over(KERNEL + index, &one(window.kernel)?);
        accesses.push(if window.is_plain() {
            frame.along(2 + index)
        } else {
            let strides = steps(&frame, &[(2 + index, window.stride), (KERNEL + index, window.dilation)])?;
            Access::Window { offset: negative(window.before)?, strides, divisor: 1, exact: false }
        });
    }
    let view = given.view(&accesses).ok_or(NodeReason::Shape)?;
    let cells: usize = windows.iter().map(|window| window.kernel).product();
    let labels: Vec<usize> = (0..dims.len()).collect();
    let terms = vec![Part { coefficient: 1.0 / cells as f64, summed: frame.summed.clone(), view }];
    let made = builder.combine_in(&frame, &labels, terms, 0.0)?;
    let made = builder.reshape(&made, &[&[*n, *channels], output_dims(&windows).as_slice()].concat())?;
    // Windows that hang over the edge count fewer places.
    let padding_counts = node.int("count_include_pad", 0) != 0;
    let mut shares = vec![1.0];
    for window in &windows {
        let count = |o: usize| if padding_counts { window.padded(o) } else { window.inside(o) };
        let along: Vec<f64> =
            (0..window.output).map(|o| window.kernel as f64 / count(o).max(1) as f64).collect();
        shares = shares.iter().flat_map(|share| along.iter().map(move |more| share * more)).collect();
    }
    if shares.iter().all(|share| *share == 1.0) {
        return real(Ok(made));
    }
    let shape = [&[1, 1], output_dims(&windows).as_slice()].concat();
    real(builder.affine(&made, Some(&Constant::array(shape, shares, FLOAT)), None, false))
}

fn kernel_shape(node: &Node<'_>, rank: usize) -> Result<Vec<usize>, NodeReason> {
    let refused = NodeReason::Attribute { name: "kernel_shape" };
    let kernel = node.ints("kernel_shape").ok_or(refused.clone())?;
    let size = |value: &i64| usize::try_from(*value).ok().filter(|value| (1..=MAX_WINDOW).contains(value));
    let kernel: Option<Vec<usize>> = kernel.iter().map(size).collect();
    kernel.filter(|kernel| kernel.len() == rank).ok_or(refused)
}

fn groups(node: &Node<'_>) -> Result<usize, NodeReason> {
    let refused = NodeReason::Attribute { name: "group" };
    usize::try_from(node.int("group", 1)).ok().filter(|groups| *groups > 0).ok_or(refused)
}

fn output_dims(windows: &[Window]) -> Vec<usize> {
    windows.iter().map(|window| window.output).collect()
}

fn atoms(real: &Real, axis: usize) -> &[u32] {
    real.axes.get(axis).map_or(&[], Vec::as_slice)
}

fn one(size: usize) -> Result<Vec<u32>, NodeReason> {
    let size = u32::try_from(size).map_err(|_| NodeReason::TooLarge)?;
    Ok(if size == 1 { vec![] } else { vec![size] })
}

fn negative(size: usize) -> Result<i32, NodeReason> {
    i32::try_from(size).map(|size| -size).map_err(|_| NodeReason::TooLarge)
}

/// Strides along labels that have an axis.
fn steps(frame: &Frame, labels: &[(usize, usize)]) -> Result<Vec<Stride>, NodeReason> {
    let mut made = Vec::new();
    for (label, stride) in labels {
        let stride = i32::try_from(*stride).map_err(|_| NodeReason::TooLarge)?;
        made.extend(frame.numbers(*label).iter().map(|axis| Stride { axis: *axis, stride }));
    }
    Ok(made)
}

const BATCH: usize = 0;
const GROUP: usize = 1;
const INPUT: usize = 2;
const SPATIAL: usize = 3;
const KERNEL: usize = 20;
const SHARE: usize = 30;
/// Largest kernel, stride, dilation and padding.
const MAX_WINDOW: usize = 1 << 16;
