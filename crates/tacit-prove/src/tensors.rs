//! The tensors of a run as the proof sees them: every axis padded to a power of two, rows too.

use tacit_graph::{Graph, Tensor, Trace};
use tacit_verify::{
    field::{Fp, embed},
    plan::{Plan, RightPlan, Step, TensorKind},
    protocol::padding_values,
    views::ViewPlan,
};

/// Padded integers of every tensor. Shape `[tensors][2^log_rows][axes..]`.
#[derive(Debug)]
pub(crate) struct Tensors {
    padded: Vec<Vec<i32>>,
}

impl Tensors {
    /// Pads a trace: rows by the last one, axes by zeros, images of requantisations by what the table gives there.
    pub(crate) fn new(plan: &Plan, graph: &Graph, trace: &Trace) -> Self {
        let padding = padding_values(graph, plan);
        let padded = plan
            .tensors
            .iter()
            .zip(&trace.tensors)
            .zip(padding)
            .map(|((layout, values), fill)| match values {
                Tensor::I8(values) => pad(plan, &layout.sizes, values, fill),
                Tensor::I16(values) => pad(plan, &layout.sizes, values, fill),
                Tensor::I32(values) => pad(plan, &layout.sizes, values, fill),
            })
            .collect();
        Self { padded }
    }

    /// One tensor.
    pub(crate) fn get(&self, tensor: usize) -> &[i32] {
        &self.padded[tensor]
    }

    /// A view over output axes of these sizes, padded: zero where it reads nothing.
    pub(crate) fn view(&self, plan: &Plan, view: &ViewPlan, sizes: &[usize]) -> Vec<i32> {
        let source = self.get(view.tensor);
        let row_length = 1usize << plan.tensors[view.tensor].vars();
        // Offsets that each group adds, by the index over its axes; `None` reads zero.
        let mut shift: usize = plan.tensors[view.tensor].vars();
        let mut groups = Vec::new();
        for group in &view.groups {
            shift -= group.vars();
            let mut offsets = vec![None; group.sizes.iter().product()];
            group.for_each(|index, position| {
                let flat = index.iter().zip(&group.sizes).fold(0, |flat, (index, size)| flat * size + index);
                offsets[flat] = Some(position << shift);
            });
            let axes: Vec<usize> =
                group.group.strides.iter().map(|stride| usize::from(stride.axis)).collect();
            groups.push((axes, &group.sizes, offsets));
        }
        let padded: Vec<usize> = sizes.iter().map(|size| size.next_power_of_two()).collect();
        let cells: usize = padded.iter().product();
        let mut out = vec![0; cells << plan.log_rows];
        if sizes.contains(&0) {
            return out;
        }
        for (target, source) in out.chunks_exact_mut(cells).zip(source.chunks_exact(row_length)) {
            let mut index = vec![0usize; sizes.len()];
            'cells: loop {
                let offset = groups.iter().try_fold(0, |sum, (axes, sizes, offsets)| {
                    let flat = axes
                        .iter()
                        .zip(sizes.iter())
                        .fold(0, |flat, (axis, size)| flat * size + index[*axis]);
                    Some(sum + offsets[flat]?)
                });
                if let Some(offset) = offset {
                    let at = index.iter().zip(&padded).fold(0, |at, (index, size)| at * size + index);
                    target[at] = source[offset];
                }
                let mut axis = sizes.len();
                loop {
                    if axis == 0 {
                        break 'cells;
                    }
                    axis -= 1;
                    index[axis] += 1;
                    if index[axis] < sizes[axis] {
                        break;
                    }
                    index[axis] = 0;
                }
            }
        }
        out
    }

    /// Field elements of the tensors that the argument reads outside the witness.
    pub(crate) fn into_read(self, plan: &Plan) -> Vec<Vec<Fp>> {
        let read = read_tensors(plan);
        self.padded
            .into_iter()
            .zip(read)
            .map(|(values, read)| if read { values.into_iter().map(embed).collect() } else { Vec::new() })
            .collect()
    }
}

/// Which uncommitted tensors are read by a view, or claimed more than once.
fn read_tensors(plan: &Plan) -> Vec<bool> {
    let mut viewed = vec![false; plan.tensors.len()];
    let mut claims = vec![0usize; plan.tensors.len()];
    for step in &plan.steps {
        match step {
            Step::Contract(step) => {
                viewed[step.left.tensor] = true;
                if let RightPlan::View(view) = &step.right {
                    viewed[view.tensor] = true;
                }
            }
            Step::Combine(step) => step.terms.iter().for_each(|term| viewed[term.view.tensor] = true),
            Step::Maximum(step) => {
                viewed[step.left.tensor] = true;
                viewed[step.right.tensor] = true;
            }
            Step::Requantise(step) => claims[step.input] += 1,
        }
    }
    plan.tensors
        .iter()
        .zip(viewed.into_iter().zip(claims))
        .map(|(tensor, (viewed, claims))| {
            !matches!(tensor.kind, TensorKind::Column(_)) && (viewed || claims > 1)
        })
        .collect()
}

fn pad<T: Copy + Into<i32>>(plan: &Plan, sizes: &[usize], values: &[T], fill: i32) -> Vec<i32> {
    let cells: usize = sizes.iter().product();
    let padded: Vec<usize> = sizes.iter().map(|size| size.next_power_of_two()).collect();
    let padded_cells: usize = padded.iter().product();
    let mut out = Vec::with_capacity(padded_cells << plan.log_rows);
    for row in 0..1usize << plan.log_rows {
        let start = row.min(plan.rows - 1) * cells;
        pad_axes(&values[start..start + cells], sizes, &padded, fill, &mut out);
    }
    out
}

fn pad_axes<T: Copy + Into<i32>>(
    values: &[T],
    sizes: &[usize],
    padded: &[usize],
    fill: i32,
    out: &mut Vec<i32>,
) {
    let (Some((size, sizes)), Some((_, rest))) = (sizes.split_first(), padded.split_first()) else {
        out.extend(values.iter().map(|value| (*value).into()));
        return;
    };
    let end = out.len() + padded.iter().product::<usize>();
    if rest.is_empty() {
        out.extend(values.iter().map(|value| (*value).into()));
    } else {
        let chunk = (values.len() / size.max(&1)).max(1);
        for values in values.chunks(chunk) {
            pad_axes(values, sizes, rest, fill, out);
        }
    }
    out.resize(end, fill);
}
