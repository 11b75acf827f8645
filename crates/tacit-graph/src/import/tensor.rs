//! A value of the network as a lazy view of a program's tensor.
//!
//! ONNX moves elements about with operators of their own; here a move only changes which element of a tensor an index
//! stands for. A [`Real`] has logical axes as ONNX has them (the batch is an axis of one). Each axis is made of
//! *atoms*, factors of its size in row-major order, so that reshapes regroup atoms and need no copy; each atom moves
//! the position in one group of the tensor's axes, as in [`crate::graph::View`]. A function of each element read may
//! wait to be applied, so that chains of functions end as one table.

use super::{error::NodeReason, expr::Expr, program::Program};
use crate::graph::{Group, Stride, TensorId, View};

/// A tensor under other axes, and a function of every element read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Real {
    pub(super) tensor: u32,
    /// Logical axes: sizes of their atoms, each above one.
    pub(super) axes: Vec<Vec<u32>>,
    /// Groups of the tensor's axes; axis numbers are atoms, counted through all logical axes.
    pub(super) groups: Vec<Group>,
    pub(super) function: Expr,
}

/// How an operator goes along one logical axis.
#[derive(Debug, Clone)]
pub(super) enum Access {
    /// One operator axis for each atom.
    Along(Vec<u8>),
    /// At a position computed from operator axes.
    Window { offset: i32, strides: Vec<Stride>, divisor: u32, exact: bool },
}

impl Real {
    /// The whole of a tensor whose axes are the logical axes, those of one left out.
    pub(super) fn whole(tensor: u32, dims: &[usize], shape: &[u32]) -> Self {
        let axes: Vec<Vec<u32>> = dims
            .iter()
            .map(|dim| if *dim == 1 { vec![] } else { vec![u32::try_from(*dim).unwrap_or(u32::MAX)] })
            .collect();
        let mut next = 0u8;
        let groups = shape
            .iter()
            .map(|size| {
                let strides = if *size == 1 { vec![] } else { vec![Stride { axis: next, stride: 1 }] };
                next += u8::from(*size != 1);
                Group { span: 1, offset: 0, strides, divisor: 1, exact: false }
            })
            .collect();
        Self { tensor, axes, groups, function: Expr::X }
    }

    pub(super) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|atoms| size(atoms)).collect()
    }

    pub(super) fn rank(&self) -> usize {
        self.axes.len()
    }

    pub(super) fn dim(&self, axis: usize) -> usize {
        self.axes.get(axis).map_or(1, |atoms| size(atoms))
    }

    /// Elements, counted along the logical axes.
    pub(super) fn width(&self) -> usize {
        self.axes.iter().map(|atoms| size(atoms)).fold(1, usize::saturating_mul)
    }

    /// All atoms in logical order.
    pub(super) fn atoms(&self) -> Vec<u32> {
        self.axes.concat()
    }

    /// Number of the first atom of an axis.
    pub(super) fn first_atom(&self, axis: usize) -> u8 {
        u8::try_from(self.axes.iter().take(axis).map(Vec::len).sum::<usize>()).unwrap_or(u8::MAX)
    }

    /// The same elements through a function.
    pub(super) fn map(&self, function: &Expr) -> Self {
        Self { function: function.of(&self.function), ..self.clone() }
    }

    /// Reads the same places of the same tensor.
    pub(super) fn same_places(&self, other: &Self) -> bool {
        self.tensor == other.tensor && self.axes == other.axes && self.groups == other.groups
    }

    /// New axis `i` is old axis `order[i]`; `None` makes an axis of one. Old axes not named must be of one.
    pub(super) fn reordered(&self, order: &[Option<usize>]) -> Result<Self, NodeReason> {
        let mut names = vec![None; self.atoms().len()];
        let (mut axes, mut next) = (Vec::new(), 0u8);
        for old in order {
            let Some(old) = old else {
                axes.push(vec![]);
                continue;
            };
            let atoms = self.axes.get(*old).ok_or(NodeReason::Shape)?;
            for atom in usize::from(self.first_atom(*old))..usize::from(self.first_atom(*old)) + atoms.len() {
                let slot = names.get_mut(atom).ok_or(NodeReason::Shape)?;
                if slot.replace(next).is_some() {
                    return Err(NodeReason::Shape);
                }
                next += 1;
            }
            axes.push(atoms.clone());
        }
        if names.contains(&None) {
            return Err(NodeReason::Shape);
        }
        let mut made = Self { axes, ..self.clone() };
        made.rename_atoms(|atom| names.get(usize::from(atom)).copied().flatten().unwrap_or(atom));
        Ok(made)
    }

    pub(super) fn rename_atoms(&mut self, name: impl Fn(u8) -> u8) {
        for stride in self.groups.iter_mut().flat_map(|group| &mut group.strides) {
            stride.axis = name(stride.axis);
        }
    }

    /// The same elements in row-major order under other dimensions, if no copy is needed.
    pub(super) fn reshaped(&self, dims: &[usize], program: &Program) -> Option<Self> {
        if dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim))? != self.width() {
            return None;
        }
        let mut made = Self { axes: vec![self.atoms()], ..self.clone() };
        let mut axes = Vec::new();
        let mut at = 0usize;
        for dim in dims {
            let (mut rest, mut atoms) = (*dim, Vec::new());
            while rest > 1 {
                let atom = *made.axes.first()?.get(at)? as usize;
                let taken = if atom <= rest { atom } else { rest };
                if rest.is_multiple_of(taken) && atom.is_multiple_of(taken) {
                    if taken < atom {
                        made.split(at, atom / taken);
                    }
                    atoms.push(u32::try_from(taken).ok()?);
                    rest /= taken;
                    at += 1;
                } else {
                    made.merge(at, program)?;
                }
            }
            axes.push(atoms);
        }
        made.axes = axes;
        Some(made)
    }

    /// Splits atom `at` (counted through all) into an outer one and an inner one of `inner`.
    fn split(&mut self, at: usize, inner: usize) {
        let Some((axis, place)) = self.locate(at) else { return };
        let inner = u32::try_from(inner).unwrap_or(u32::MAX);
        if let Some(atoms) = self.axes.get_mut(axis) {
            if let Some(atom) = atoms.get_mut(place) {
                *atom /= inner;
            }
            atoms.insert(place + 1, inner);
        }
        let at = u8::try_from(at).unwrap_or(u8::MAX);
        for group in &mut self.groups {
            let mut strides = Vec::new();
            for stride in &group.strides {
                if stride.axis == at {
                    strides.push(Stride { axis: at, stride: stride.stride.saturating_mul(inner as i32) });
                    strides.push(Stride { axis: at + 1, stride: stride.stride });
                } else {
                    strides.push(Stride {
                        axis: stride.axis + u8::from(stride.axis > at),
                        stride: stride.stride,
                    });
                }
            }
            group.strides = strides;
        }
    }

    /// Axis of an atom and its place among the axis's atoms.
    fn locate(&self, at: usize) -> Option<(usize, usize)> {
        let mut first = 0;
        for (axis, atoms) in self.axes.iter().enumerate() {
            if at < first + atoms.len() {
                return Some((axis, at - first));
            }
            first += atoms.len();
        }
        None
    }

    /// Makes one atom of atom `at` and the next, of the same logical axis, where their positions are those of one.
    fn merge(&mut self, at: usize, program: &Program) -> Option<()> {
        let (axis, place) = self.locate(at)?;
        let inner = *self.axes.get(axis)?.get(place + 1)?;
        let (outer_name, inner_name) = (u8::try_from(at).ok()?, u8::try_from(at + 1).ok()?);
        let user =
            |name: u8| self.groups.iter().position(|group| group.strides.iter().any(|s| s.axis == name));
        match (user(outer_name), user(inner_name)) {
            (None, None) => {}
            (Some(a), Some(b)) if a == b => {
                let strides = &mut self.groups.get_mut(a)?.strides;
                let find = |name: u8| strides.iter().find(|s| s.axis == name).map(|s| s.stride);
                let (outer, inner_stride) = (find(outer_name)?, find(inner_name)?);
                if outer != inner_stride.checked_mul(i32::try_from(inner).ok()?)? {
                    return None;
                }
                strides.retain(|s| s.axis != inner_name);
                strides.iter_mut().filter(|s| s.axis == outer_name).for_each(|s| s.stride = inner_stride);
            }
            (Some(a), Some(b)) => {
                // Between the two, groups that read one fixed place of one are of no account.
                let lengths = self.lengths(program);
                if a > b
                    || !(a + 1..b).all(|between| lengths.get(between) == Some(&1) && self.is_fixed(between))
                {
                    return None;
                }
                let (outer, inner_group) = (self.groups.get(a)?, self.groups.get(b)?);
                let plain = |group: &Group| group.divisor == 1 && group.strides.len() == 1;
                let length = *lengths.get(b)?;
                let stride = outer.strides.first()?.stride;
                if !plain(outer)
                    || !plain(inner_group)
                    || inner_group.offset != 0
                    || inner_group.strides.first()?.stride != 1
                    || stride != 1
                    || length != inner
                {
                    return None;
                }
                let offset = outer.offset.checked_mul(i32::try_from(length).ok()?)?;
                let span = self.groups.get(a..=b)?.iter().map(|group| group.span).sum();
                let strides = vec![Stride { axis: outer_name, stride: 1 }];
                let merged = Group { span, offset, strides, divisor: 1, exact: false };
                self.groups.splice(a..=b, [merged]);
            }
            // The inner one only repeats: the outer position is the quotient.
            (Some(a), None) => {
                let group = self.groups.get_mut(a)?;
                let [stride] = group.strides.as_slice() else { return None };
                if stride.stride != 1 || group.exact {
                    return None;
                }
                group.offset = group.offset.checked_mul(i32::try_from(inner).ok()?)?;
                group.divisor = group.divisor.checked_mul(inner)?;
            }
            (None, Some(_)) => return None,
        }
        let atoms = self.axes.get_mut(axis)?;
        *atoms.get_mut(place)? = atoms.get(place)?.checked_mul(inner)?;
        atoms.remove(place + 1);
        self.rename_atoms(|name| if name > inner_name { name - 1 } else { name });
        Some(())
    }

    fn is_fixed(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(|group| group.strides.is_empty() && group.offset == 0)
    }

    /// Lengths of the groups' flattened axes.
    pub(super) fn lengths(&self, program: &Program) -> Vec<u32> {
        let mut rest = program.shape(self.tensor);
        self.groups
            .iter()
            .map(|group| {
                let (taken, after) = rest.split_at_checked(usize::from(group.span)).unwrap_or((rest, &[]));
                rest = after;
                taken.iter().product()
            })
            .collect()
    }

    /// One atom for the axis, or none if it is of one; `None` where that takes a copy.
    pub(super) fn merged(&self, axis: usize, program: &Program) -> Option<Self> {
        let mut made = self.clone();
        while made.axes.get(axis)?.len() > 1 {
            made.merge(usize::from(made.first_atom(axis)), program)?;
        }
        Some(made)
    }

    /// Atoms of an axis split so that their sizes, from the last, multiply up to each of `chain` on the way.
    pub(super) fn refined(&self, axis: usize, chain: &[usize]) -> Option<Self> {
        let mut made = self.clone();
        let mut target = Vec::new();
        let mut before = 1;
        for step in chain {
            if !step.is_multiple_of(before) {
                return None;
            }
            target.push(u32::try_from(step / before).ok()?);
            before = *step;
        }
        target.reverse();
        // Split from the front; every boundary of the atoms is one of the chain's.
        let first = usize::from(made.first_atom(axis));
        for (index, wanted) in target.iter().enumerate() {
            let atom = *made.axes.get(axis)?.get(index)?;
            if atom != *wanted {
                if !atom.is_multiple_of(*wanted) {
                    return None;
                }
                made.split(first + index, (atom / wanted) as usize);
            }
        }
        (made.axes.get(axis)? == &target).then_some(made)
    }

    /// Products of the last atoms of an axis: where its boundaries are.
    pub(super) fn chain(&self, axis: usize) -> Vec<usize> {
        let atoms = self.axes.get(axis).map_or([].as_slice(), Vec::as_slice);
        let mut product = 1usize;
        atoms
            .iter()
            .rev()
            .map(|atom| {
                product *= *atom as usize;
                product
            })
            .collect()
    }

    /// Repeats an axis of one with the given atoms.
    pub(super) fn broadcast(&self, axis: usize, atoms: &[u32]) -> Self {
        let first = self.first_atom(axis);
        let count = u8::try_from(atoms.len()).unwrap_or(u8::MAX);
        let mut made = self.clone();
        if let Some(slot) = made.axes.get_mut(axis) {
            *slot = atoms.to_vec();
        }
        made.rename_atoms(|name| if name >= first { name + count } else { name });
        made
    }

    /// `count` places of an axis from `start`, `step` apart; the axis must be of one atom or none.
    pub(super) fn sliced(&self, axis: usize, start: i64, step: i64, count: usize) -> Option<Self> {
        let atoms = self.axes.get(axis)?;
        if atoms.is_empty() {
            return (count == 1 && start == 0).then(|| self.clone());
        }
        if atoms.len() != 1 {
            return None;
        }
        let name = self.first_atom(axis);
        let mut made = self.clone();
        for group in &mut made.groups {
            if let Some(stride) = group.strides.iter_mut().find(|stride| stride.axis == name) {
                let moved = i64::from(stride.stride) * start;
                group.offset = i32::try_from(i64::from(group.offset).checked_add(moved)?).ok()?;
                stride.stride = i32::try_from(i64::from(stride.stride).checked_mul(step)?).ok()?;
                if count == 1 {
                    group.strides.retain(|stride| stride.axis != name);
                }
            }
        }
        *made.axes.get_mut(axis)? = if count == 1 { vec![] } else { vec![u32::try_from(count).ok()?] };
        if count == 1 {
            made.rename_atoms(|other| if other > name { other - 1 } else { other });
        }
        Some(made)
    }

    /// Zeros before and after an axis of one atom; `None` where that takes a copy first.
    pub(super) fn padded(&self, axis: usize, before: u32, after: u32, program: &Program) -> Option<Self> {
        if !self.is_clean(axis, program) {
            return None;
        }
        let name = self.first_atom(axis);
        let mut made = self.clone();
        for group in &mut made.groups {
            if let Some(stride) = group.strides.iter().find(|stride| stride.axis == name) {
                let moved = i64::from(stride.stride) * i64::from(before);
                group.offset = i32::try_from(i64::from(group.offset) - moved).ok()?;
            }
        }
        let atom = made.axes.get_mut(axis)?.first_mut()?;
        *atom = atom.checked_add(before)?.checked_add(after)?;
        Some(made)
    }

    /// Whether places outside an axis fall outside the tensor, and so read zero.
    pub(super) fn is_clean(&self, axis: usize, program: &Program) -> bool {
        let Some([atom]) = self.axes.get(axis).map(Vec::as_slice) else { return false };
        let name = self.first_atom(axis);
        let lengths = self.lengths(program);
        let mut users = self
            .groups
            .iter()
            .zip(&lengths)
            .filter(|(group, _)| group.strides.iter().any(|s| s.axis == name));
        let (Some((group, length)), None) = (users.next(), users.next()) else { return false };
        let [stride] = group.strides.as_slice() else { return false };
        let at = |index: i64| {
            (i64::from(group.offset) + i64::from(stride.stride) * index).div_euclid(i64::from(group.divisor))
        };
        let outside = |index: i64| !(0..i64::from(*length)).contains(&at(index));
        // Beyond the first place outside, the position only moves further away.
        let away = |inside: i64, outside: i64| {
            (at(outside) < 0) != (at(inside) < 0) || at(outside) >= i64::from(*length)
        };
        let last = i64::from(*atom) - 1;
        outside(-1)
            && outside(last + 1)
            && (away(0, -1) || outside(0))
            && (away(last, last + 1) || outside(last))
    }

    /// Whether some element read is a zero from outside the tensor.
    pub(super) fn reads_zero(&self, program: &Program) -> bool {
        let atoms = self.atoms();
        let lengths = self.lengths(program);
        self.groups.iter().zip(lengths).any(|(group, length)| reads_outside(group, length, &atoms))
    }

    /// The view of an operator that goes along the logical axes as `accesses` say; `None` where a copy is needed
    /// first.
    pub(super) fn view(&self, accesses: &[Access]) -> Option<View> {
        let mut names: Vec<(u8, &Access, usize)> = Vec::new();
        for (axis, access) in accesses.iter().enumerate() {
            for place in 0..self.axes.get(axis)?.len() {
                names.push((self.first_atom(axis), access, place));
            }
        }
        let mut groups = Vec::new();
        for group in &self.groups {
            let mut made = Group { strides: Vec::new(), ..group.clone() };
            for stride in &group.strides {
                let (_, access, place) = names.get(usize::from(stride.axis))?;
                match access {
                    Access::Along(axes) => {
                        made.strides.push(Stride { axis: *axes.get(*place)?, stride: stride.stride })
                    }
                    Access::Window { offset, strides, divisor: 1, .. } => {
                        made.offset = made.offset.checked_add(stride.stride.checked_mul(*offset)?)?;
                        for inner in strides {
                            let scaled = inner.stride.checked_mul(stride.stride)?;
                            made.strides.push(Stride { axis: inner.axis, stride: scaled });
                        }
                    }
                    Access::Window { offset, strides, divisor, exact } => {
                        let alone = group.strides.len() == 1 && stride.stride == 1 && group.divisor == 1;
                        if !alone {
                            return None;
                        }
                        let whole = i32::try_from(*divisor).ok()?.checked_mul(group.offset)?;
                        made = Group {
                            span: group.span,
                            offset: offset.checked_add(whole)?,
                            strides: strides.clone(),
                            divisor: *divisor,
                            exact: *exact,
                        };
                    }
                }
            }
            groups.push(made);
        }
        Some(View { tensor: TensorId(self.tensor), groups })
    }
}

/// Whether a group can fall outside its flattened axis, for axes of these sizes.
pub(super) fn reads_outside(group: &Group, length: u32, sizes: &[u32]) -> bool {
    let (mut low, mut high) = (i64::from(group.offset), i64::from(group.offset));
    for stride in &group.strides {
        let size = sizes.get(usize::from(stride.axis)).copied().unwrap_or(1);
        let most = i64::from(stride.stride).saturating_mul(i64::from(size) - 1);
        low = low.saturating_add(most.min(0));
        high = high.saturating_add(most.max(0));
    }
    let divisor = i64::from(group.divisor.max(1));
    low.div_euclid(divisor) < 0
        || high.div_euclid(divisor) >= i64::from(length)
        || (group.exact && divisor > 1)
}

pub(super) fn size(atoms: &[u32]) -> usize {
    atoms.iter().map(|atom| *atom as usize).fold(1, usize::saturating_mul)
}
