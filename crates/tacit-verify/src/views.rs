//! Views as the proof sees them: which padded element of a tensor each index over an operator's axes reads.
//!
//! Every axis is padded to a power of two of its own. A view is zero outside its operator's axes and where a group
//! reads outside the tensor, so padding of a tensor is never read; the exception is an axis that only meets weights,
//! which are zero there themselves.
//!
//! # Multilinear form
//! For a group with operator axes `a` and flattened tensor positions `s`,
//! `M(a, s) = sum over indices i of prod eq(a, i) * [i reads s]`. A claim about a view at a point over the
//! operator's axes is the sum over the tensor's padded elements of the product of all `M`. A group that reads one axis as it is
//! needs no sum: its point is the tensor's point ([`GroupPlan::direct`]).

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "indices and sizes come from a validated graph under the limits of the plan, never from a proof"
    )
)]

use core::ops::Range;

use p3_field::PrimeCharacteristicRing;
use tacit_graph::{
    Stride,
    graph::{Group, View},
};

use crate::{
    carry::{self, Axis},
    field::Ef,
    multilinear::{eq_below, eq_range, eq_table},
    plan::{TensorPlan, log2_ceil},
};

/// A view with the sizes it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewPlan {
    /// Tensor read.
    pub tensor: usize,
    /// Its groups, over consecutive axes of the tensor.
    pub groups: Vec<GroupPlan>,
    /// Output axes of the operator that no group uses: `(axis, size)`.
    pub unused: Vec<(usize, usize)>,
}

/// One group of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// What it reads.
    pub group: Group,
    /// Sizes of the operator's axes named by the group's strides, in their order.
    pub sizes: Vec<usize>,
    /// Axes of the tensor that it takes.
    pub axes: Range<usize>,
    /// Their sizes.
    pub source: Vec<usize>,
    /// The operator's axis that the group reads as it is, if it does.
    pub direct: Option<usize>,
}

/// Where an axis of an operator is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AxisPoint {
    /// At a point. Shape `[log2 of the padded size]`.
    At(Vec<Ef>),
    /// Summed over its size.
    Sum,
}

impl AxisPoint {
    /// The weight of every index under `size`.
    #[must_use]
    pub fn weights(&self, size: usize) -> Vec<Ef> {
        match self {
            Self::At(point) => eq_range(point, 0, size),
            Self::Sum => vec![Ef::ONE; size],
        }
    }
}

impl ViewPlan {
    /// Plans `view` of `tensor` under an operator with axes of `sizes`, the first `outputs` of them output axes.
    ///
    /// `claimed` says of which axes a claim fixes a point, rather than summing over them; `free`, of which axes padding
    /// may be read because the other factor is zero there.
    #[must_use]
    pub fn new(
        view: &View,
        tensor: &TensorPlan,
        sizes: &[usize],
        outputs: usize,
        claimed: impl Fn(usize) -> bool,
        free: impl Fn(usize) -> bool,
    ) -> Self {
        let mut first = 0;
        let mut used = vec![false; sizes.len()];
        let groups = view
            .groups
            .iter()
            .map(|group| {
                let axes = first..first + usize::from(group.span);
                first = axes.end;
                let source = tensor.sizes[axes.clone()].to_vec();
                for stride in &group.strides {
                    used[usize::from(stride.axis)] = true;
                }
                let named: Vec<usize> =
                    group.strides.iter().map(|stride| sizes[usize::from(stride.axis)]).collect();
                let direct = match group.strides.as_slice() {
                    [only]
                        if only.stride == 1
                            && group.offset == 0
                            && group.divisor == 1
                            && claimed(usize::from(only.axis))
                            && source.as_slice() == named.as_slice()
                            && (named[0].is_power_of_two() || free(usize::from(only.axis))) =>
                    {
                        Some(usize::from(only.axis))
                    }
                    _ => None,
                };
                GroupPlan { group: group.clone(), sizes: named, axes, source, direct }
            })
            .collect();
        let unused = (0..outputs).filter(|axis| !used[*axis]).map(|axis| (axis, sizes[axis])).collect();
        Self { tensor: view.tensor.0 as usize, groups, unused }
    }

    /// Whether the view uses an axis of the operator.
    #[must_use]
    pub fn uses(&self, axis: usize) -> bool {
        self.groups
            .iter()
            .flat_map(|group| &group.group.strides)
            .any(|stride| usize::from(stride.axis) == axis)
    }

    /// Whether every group reads one axis as it is, so that a claim about the view is one about its tensor.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.groups.iter().all(|group| group.direct.is_some())
    }

    /// Number of variables of the sum that a claim about the view takes. Not the same as [`Self::is_direct`] when
    /// zero: a group of one element can read nothing.
    #[must_use]
    pub fn sum_vars(&self) -> usize {
        self.groups.iter().filter(|group| group.direct.is_none()).map(GroupPlan::vars).sum()
    }

    /// Whether a claim about the view is one about its tensor as it stands, wherever it is made.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.is_direct() && self.unused.iter().all(|(_, size)| size.is_power_of_two())
    }

    /// What the axes that no group uses contribute at a point.
    pub fn unused_factor(&self, points: &[AxisPoint]) -> Ef {
        self.unused.iter().fold(Ef::ONE, |product, (axis, size)| {
            if size.is_power_of_two() {
                product
            } else {
                product * points[*axis].weights(*size).into_iter().sum::<Ef>()
            }
        })
    }
}

impl GroupPlan {
    /// Base-two logarithm of the padded elements it takes.
    #[must_use]
    pub fn vars(&self) -> usize {
        self.source.iter().map(|size| log2_ceil(*size)).sum()
    }

    /// Calls `visit` with the indices over the group's axes, in stride order, and the padded position they read.
    pub fn for_each(&self, mut visit: impl FnMut(&[usize], usize)) {
        let length: usize = self.source.iter().product();
        let mut index = vec![0usize; self.sizes.len()];
        if self.sizes.contains(&0) {
            return;
        }
        loop {
            let at = |axis: u8| {
                let stride = self.group.strides.iter().position(|stride| stride.axis == axis);
                stride.map_or(0, |stride| index[stride] as u32)
            };
            if let Some(position) = self.group.position(length as u32, at) {
                visit(&index, self.padded(position as usize));
            }
            let mut axis = self.sizes.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                if index[axis] < self.sizes[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
    }

    /// Where an element of the flattened axes sits once each of them is padded.
    fn padded(&self, mut position: usize) -> usize {
        let (mut padded, mut shift) = (0, 0);
        for size in self.source.iter().rev() {
            padded |= (position % size) << shift;
            position /= size;
            shift += log2_ceil(*size);
        }
        padded
    }

    /// `M` at points of the operator's axes, for every padded position. Shape `[2^vars]`.
    #[must_use]
    pub fn table(&self, points: &[AxisPoint]) -> Vec<Ef> {
        let weights: Vec<Vec<Ef>> = self
            .group
            .strides
            .iter()
            .zip(&self.sizes)
            .map(|(stride, size)| points[usize::from(stride.axis)].weights(*size))
            .collect();
        let mut table = vec![Ef::ZERO; 1 << self.vars()];
        self.for_each(|index, position| {
            let mut factors = index.iter().zip(&weights).map(|(index, weights)| weights[*index]);
            let first = factors.next().unwrap_or(Ef::ONE);
            table[position] += factors.fold(first, |product, factor| product * factor);
        });
        table
    }

    /// `M` at points of the operator's axes and of the tensor's.
    pub fn evaluate(&self, points: &[AxisPoint], source: &[Ef]) -> Ef {
        if let ([length], 1) = (self.source.as_slice(), self.group.divisor) {
            let axis = |(stride, size): (&Stride, &usize)| Axis {
                stride: i64::from(stride.stride),
                size: *size,
                point: match &points[usize::from(stride.axis)] {
                    AxisPoint::At(point) => Some(point),
                    AxisPoint::Sum => None,
                },
            };
            let axes: Vec<Axis<'_>> = self.group.strides.iter().zip(&self.sizes).map(axis).collect();
            let indices = self.sizes.iter().fold(1usize, |product, size| product.saturating_mul(*size));
            if carry::steps(&axes, source.len()) < indices {
                return carry::evaluate(i64::from(self.group.offset), &axes, source, *length);
            }
        }
        self.table(points).into_iter().zip(eq_table(source)).fold(Ef::ZERO, |sum, (m, eq)| sum + m * eq)
    }
}

/// `sum over index < size of eq(point, index)`: one inside an axis, zero in its padding.
pub fn inside(point: &[Ef], size: usize) -> Ef {
    eq_below(point, size)
}
