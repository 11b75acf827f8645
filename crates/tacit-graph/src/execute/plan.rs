//! Views made ready to be read by the row: along a line of one axis, or over all summed axes at once.

use crate::{
    graph::{MAX_AXES, View},
    shapes::product,
    tensor::Tensor,
};

/// A number that a tensor or a matrix holds.
pub(super) trait Number: Copy + Send + Sync + Default + PartialEq {
    fn widen(self) -> i32;
    /// Exact for what interval arithmetic says fits.
    fn narrow(value: i32) -> Self;
}

impl Number for i8 {
    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }

    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value as Self
    }
}

impl Number for i16 {
    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }

    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value as Self
    }
}

impl Number for i32 {
    #[inline(always)]
    fn widen(self) -> i32 {
        self
    }

    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value
    }
}

/// A view of one tensor.
pub(super) struct Plan<'a> {
    groups: Vec<GroupPlan>,
    tensor: &'a Tensor,
    /// Elements of one row of the tensor.
    cells: usize,
}

struct GroupPlan {
    offset: i64,
    strides: Vec<(usize, i64)>,
    divisor: i64,
    exact: bool,
    length: i64,
    /// Elements of the tensor per position.
    step: usize,
}

impl GroupPlan {
    /// What the position is before the division.
    fn sum(&self, index: &[u32]) -> i64 {
        self.strides.iter().fold(self.offset, |sum, (axis, stride)| sum + stride * i64::from(index[*axis]))
    }

    /// Where in the tensor, or nowhere.
    #[inline]
    fn flat(&self, sum: i64) -> Option<usize> {
        let position = if self.divisor == 1 {
            sum
        } else {
            if self.exact && sum.rem_euclid(self.divisor) != 0 {
                return None;
            }
            sum.div_euclid(self.divisor)
        };
        (0..self.length).contains(&position).then(|| position as usize * self.step)
    }

    fn stride(&self, axis: usize) -> Option<i64> {
        self.strides.iter().find(|(used, _)| *used == axis).map(|(_, stride)| *stride)
    }
}

impl<'a> Plan<'a> {
    pub(super) fn new(view: &View, axes: &[u32], tensor: &'a Tensor) -> Self {
        let mut rest = axes;
        let groups = view.groups.iter().map(|group| {
            let (taken, after) = rest.split_at(usize::from(group.span));
            rest = after;
            GroupPlan {
                offset: i64::from(group.offset),
                strides: group.strides.iter().map(|s| (usize::from(s.axis), i64::from(s.stride))).collect(),
                divisor: i64::from(group.divisor),
                exact: group.exact,
                length: product(taken) as i64,
                step: product(after),
            }
        });
        Self { groups: groups.collect(), tensor, cells: product(axes) }
    }

    /// Reads along one axis.
    pub(super) fn line(&self, axis: usize) -> Line<'_> {
        Line { plan: self, axis, group: self.groups.iter().position(|group| group.stride(axis).is_some()) }
    }
}

/// A view along one axis of the operator.
pub(super) struct Line<'a> {
    plan: &'a Plan<'a>,
    axis: usize,
    group: Option<usize>,
}

impl Line<'_> {
    /// Fills `out` with the line through `index`, whose entry at the axis is zero.
    pub(super) fn read(&self, row: usize, index: &[u32], out: &mut [i32]) {
        let range = row * self.plan.cells..(row + 1) * self.plan.cells;
        match self.plan.tensor {
            Tensor::I8(values) => self.read_from(&values[range], index, out),
            Tensor::I16(values) => self.read_from(&values[range], index, out),
            Tensor::I32(values) => self.read_from(&values[range], index, out),
        }
    }

    fn read_from<T: Number>(&self, values: &[T], index: &[u32], out: &mut [i32]) {
        let mut flat = 0;
        for (number, group) in self.plan.groups.iter().enumerate() {
            if self.group == Some(number) {
                continue;
            }
            match group.flat(group.sum(index)) {
                Some(more) => flat += more,
                None => return out.fill(0),
            }
        }
        let Some(group) = self.group.map(|number| &self.plan.groups[number]) else {
            return out.fill(values[flat].widen());
        };
        let (first, stride) = (group.sum(index), group.stride(self.axis).unwrap_or(1));
        if group.divisor != 1 {
            let mut sum = first;
            for out in out {
                *out = group.flat(sum).map_or(0, |more| values[flat + more].widen());
                sum += stride;
            }
            return;
        }
        let (from, to) = inside(first, stride, group.length, out.len());
        out[..from].fill(0);
        out[to..].fill(0);
        let out = &mut out[from..to];
        if out.is_empty() {
            return;
        }
        let start = flat + (first + stride * from as i64) as usize * group.step;
        let step = stride * group.step as i64;
        if step == 1 {
            for (out, value) in out.iter_mut().zip(&values[start..]) {
                *out = value.widen();
            }
        } else if step > 0 {
            for (out, value) in out.iter_mut().zip(values[start..].iter().step_by(step as usize)) {
                *out = value.widen();
            }
        } else {
            for (out, value) in out.iter_mut().zip(values[..=start].iter().rev().step_by(-step as usize)) {
                *out = value.widen();
            }
        }
    }
}

/// The `j` in `0..count` for which `first + stride * j` is in `0..length`, from and to.
fn inside(first: i64, stride: i64, length: i64, count: usize) -> (usize, usize) {
    let (from, to) = if stride > 0 {
        (-first.div_euclid(stride), -(first - length).div_euclid(stride))
    } else {
        ((first - length).div_euclid(-stride) + 1, first.div_euclid(-stride) + 1)
    };
    let clamp = |bound: i64| bound.clamp(0, count as i64) as usize;
    (clamp(from), clamp(to).max(clamp(from)))
}

/// A view over all summed axes at once, in their order, for one index over the output axes at a time.
pub(super) struct Gather<'a> {
    plan: &'a Plan<'a>,
    /// For each group that is not part of a run, what each step over the summed axes adds to its position.
    shifts: Vec<Vec<i64>>,
    steps: usize,
    window: Option<Window>,
}

/// Contiguous elements: whole axes at the end, and before them part of an axis that is read in steps of one.
#[derive(Clone, Copy)]
struct Window {
    /// The group read in part; when it is the number of groups before the whole ones, there is none.
    group: usize,
    /// How many positions of it.
    size: usize,
    /// Elements per position: all of the groups after it.
    run: usize,
}

impl<'a> Plan<'a> {
    /// Reads over the summed axes, numbered from `first`.
    pub(super) fn gather(&'a self, first: usize, summed: &[u32]) -> Gather<'a> {
        let mut left = summed.len();
        let mut group = self.groups.len();
        // Whole axes at the end are one run of memory.
        let mut run = 1;
        while let (Some(axis), Some(number)) = (left.checked_sub(1), group.checked_sub(1)) {
            let at = &self.groups[number];
            let whole = at.strides == [(first + axis, 1)]
                && (at.offset, at.divisor, at.length) == (0, 1, i64::from(summed[axis]));
            if !whole {
                break;
            }
            (left, group, run) = (axis, number, run * summed[axis] as usize);
        }
        let window = match (left.checked_sub(1), group.checked_sub(1)) {
            (Some(axis), Some(number))
                if self.groups[number].divisor == 1
                    && self.groups[number].stride(first + axis) == Some(1) =>
            {
                (left, group) = (axis, number + 1);
                Some(Window { group: number, size: summed[axis] as usize, run })
            }
            (None, _) => Some(Window { group, size: 1, run }),
            _ if run > 1 => Some(Window { group, size: 1, run }),
            _ => None,
        };
        let (outer, groups) = match window {
            Some(_) => (&summed[..left], &self.groups[..group]),
            None => (summed, self.groups.as_slice()),
        };
        let steps = product(outer);
        let shift = |group: &GroupPlan| {
            let mut shifts = vec![0i64];
            for (axis, size) in outer.iter().enumerate() {
                let stride = group.stride(first + axis).unwrap_or(0);
                let steps = (0..i64::from(*size)).map(|step| step * stride);
                shifts =
                    shifts.iter().flat_map(|shift| steps.clone().map(move |step| shift + step)).collect();
            }
            shifts
        };
        Gather { plan: self, shifts: groups.iter().map(shift).collect(), steps, window }
    }
}

impl Gather<'_> {
    /// Fills `out` with all that is read at `index`; its entries at summed axes are zero.
    pub(super) fn read<B: Number>(&self, row: usize, index: &[u32], out: &mut [B]) {
        let range = row * self.plan.cells..(row + 1) * self.plan.cells;
        match self.plan.tensor {
            Tensor::I8(values) => self.read_from(&values[range], index, out),
            Tensor::I16(values) => self.read_from(&values[range], index, out),
            Tensor::I32(values) => self.read_from(&values[range], index, out),
        }
    }

    fn read_from<T: Number, B: Number>(&self, values: &[T], index: &[u32], out: &mut [B]) {
        let mut sums = [0i64; MAX_AXES];
        for (sum, group) in sums.iter_mut().zip(&self.plan.groups) {
            *sum = group.sum(index);
        }
        let position = |group: usize, step: usize| sums[group] + self.shifts[group][step];
        let flat = |groups: usize, step: usize| {
            let mut groups = self.plan.groups[..groups].iter().enumerate();
            groups.try_fold(0, |flat, (at, group)| Some(flat + group.flat(position(at, step))?))
        };
        let Some(Window { group, size, run }) = self.window else {
            for (step, out) in (0..self.steps).zip(out) {
                *out = flat(self.shifts.len(), step).map_or(B::default(), |at| B::narrow(values[at].widen()));
            }
            return;
        };
        let window = self.plan.groups.get(group).filter(|_| group < self.shifts.len());
        for (step, out) in (0..self.steps).zip(out.chunks_exact_mut(size * run)) {
            let Some(at) = flat(group, step) else {
                out.fill(B::default());
                continue;
            };
            let (from, to, at) = match window {
                Some(plan) => {
                    let first = position(group, step);
                    let (from, to) = inside(first, 1, plan.length, size);
                    (from, to, at + (first + from as i64).max(0) as usize * plan.step)
                }
                None => (0, 1, at),
            };
            if from == to {
                out.fill(B::default());
                continue;
            }
            out[..from * run].fill(B::default());
            out[to * run..].fill(B::default());
            for (out, value) in out[from * run..to * run].iter_mut().zip(&values[at..]) {
                *out = B::narrow(value.widen());
            }
        }
    }
}
