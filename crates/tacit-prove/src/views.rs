//! Claims about views become claims about tensors (see [`tacit_verify::views`]).

use p3_field::PrimeCharacteristicRing;
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::eq_table,
    plan::{Plan, log2_ceil},
    views::{AxisPoint, GroupPlan, ViewPlan},
};

use crate::{
    grid::{AxisMap, AxisMaps, apply, arrange},
    poly::Poly,
    sumcheck::prove_product,
    transcript::Transcript,
};

/// Where a tensor is claimed.
#[derive(Debug, Clone)]
pub(crate) struct TensorClaim {
    pub(crate) rows: Vec<Ef>,
    pub(crate) axes: Vec<Vec<Ef>>,
}

/// A tensor as `[rows][group 0][group 1]..`, every group of axes padded.
fn dims(plan: &Plan, view: &ViewPlan) -> Vec<usize> {
    core::iter::once(1 << plan.log_rows).chain(view.groups.iter().map(|group| 1 << group.vars())).collect()
}

/// What a claim at a point leaves to be proved about the tensor.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Public factor over the elements that are left.
    matrix: Vec<Ef>,
    /// The tensor there.
    values: Vec<Ef>,
}

impl Prepared {
    /// The view at its point.
    pub(crate) fn value(&self) -> Ef {
        self.matrix.iter().zip(&self.values).map(|(a, b)| *a * *b).sum()
    }
}

/// Folds `values` along the rows and every axis that the view reads as it is.
pub(crate) fn prepare(
    plan: &Plan,
    view: &ViewPlan,
    values: &[Fp],
    rows: &[Ef],
    points: &[AxisPoint],
) -> Prepared {
    let mut maps: AxisMaps = vec![Some(AxisMap::fold(eq_table(rows)))];
    let mut matrix = vec![view.unused_factor(points)];
    for group in &view.groups {
        match direct_point(group, points) {
            Some(point) => maps.push(Some(AxisMap::fold(eq_table(point)))),
            None => {
                maps.push(None);
                let table = group.table(points);
                matrix =
                    matrix.iter().flat_map(|outer| table.iter().map(move |inner| *outer * *inner)).collect();
            }
        }
    }
    let (values, _) = apply(values, &dims(plan, view), maps);
    Prepared { matrix, values }
}

fn direct_point<'a>(group: &GroupPlan, points: &'a [AxisPoint]) -> Option<&'a [Ef]> {
    match points.get(group.direct?) {
        Some(AxisPoint::At(point)) => Some(point),
        _ => None,
    }
}

/// The claim that a view which passes leaves.
pub(crate) fn pass(view: &ViewPlan, rows: &[Ef], points: &[AxisPoint]) -> TensorClaim {
    let axes =
        view.groups.iter().filter_map(|group| direct_point(group, points)).map(<[Ef]>::to_vec).collect();
    TensorClaim { rows: rows.to_vec(), axes }
}

/// Proves what is left of a claim.
pub(crate) fn prove(
    plan: &Plan,
    view: &ViewPlan,
    prepared: Prepared,
    rows: &[Ef],
    points: &[AxisPoint],
    transcript: &mut Transcript,
) -> TensorClaim {
    let Prepared { matrix, values } = prepared;
    let (point, _, read) = prove_product(Poly::new(matrix), Poly::new(values), transcript);
    transcript.send(read);
    let mut rest = point.as_slice();
    let mut axes = Vec::new();
    for group in &view.groups {
        match direct_point(group, points) {
            Some(point) => axes.push(point.to_vec()),
            None => {
                for log in &plan.tensors[view.tensor].logs[group.axes.clone()] {
                    let (axis, after) = rest.split_at(*log);
                    rest = after;
                    axes.push(axis.to_vec());
                }
            }
        }
    }
    TensorClaim { rows: rows.to_vec(), axes }
}

/// A view as a factor of a contraction: claimed output axes folded, the axes `kept` left, in that order; rows first where
/// they are kept.
pub(crate) fn factor(
    plan: &Plan,
    view: &ViewPlan,
    values: &[Fp],
    rows: Option<&[Ef]>,
    points: &[AxisPoint],
    kept: &[usize],
) -> Vec<Ef> {
    let mut maps: AxisMaps = vec![rows.map(|rows| AxisMap::fold(eq_table(rows)))];
    // The axes of the folded array: (operator's axis, padded size), rows as none.
    let mut free: Vec<(Option<usize>, usize)> =
        vec![(None, if rows.is_some() { 1 } else { 1 << plan.log_rows })];
    for group in &view.groups {
        let strides = &group.group.strides;
        let axes: Vec<usize> = strides.iter().map(|stride| usize::from(stride.axis)).collect();
        if let Some(axis) = group.direct {
            if kept.contains(&axis) {
                maps.push(None);
                free.push((Some(axis), 1 << group.vars()));
            } else {
                maps.push(direct_point(group, points).map(|point| AxisMap::fold(eq_table(point))));
            }
            continue;
        }
        let padded = |axis: usize, size: usize| if kept.contains(&axis) { 1 << log2_ceil(size) } else { 1 };
        let lengths: Vec<usize> =
            axes.iter().zip(&group.sizes).map(|(axis, size)| padded(*axis, *size)).collect();
        let weights: Vec<Option<Vec<Ef>>> = axes
            .iter()
            .zip(&group.sizes)
            .map(|(axis, size)| (!kept.contains(axis)).then(|| points[*axis].weights(*size)))
            .collect();
        let mut map = AxisMap { length: lengths.iter().product(), entries: Vec::new() };
        group.for_each(|index, position| {
            let (mut new, mut coefficient) = (0, Ef::ONE);
            for ((index, length), weights) in index.iter().zip(&lengths).zip(&weights) {
                match weights {
                    Some(weights) => coefficient *= weights[*index],
                    None => new = new * length + index,
                }
            }
            map.entries.push((new, position, coefficient));
        });
        maps.push(Some(map));
        free.extend(
            axes.iter()
                .zip(&lengths)
                .filter(|(axis, _)| kept.contains(axis))
                .map(|(axis, length)| (Some(*axis), *length)),
        );
    }
    let (values, _) = apply(values, &dims(plan, view), maps);
    let sizes: Vec<usize> = free.iter().map(|(_, size)| *size).collect();
    let place = |axis: &usize| free.iter().position(|(other, _)| *other == Some(*axis)).unwrap_or(0);
    let order: Vec<usize> = core::iter::once(0).chain(kept.iter().map(place)).collect();
    arrange(values, &sizes, &order)
}
