//! Builds a program operator by operator from lazy values.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    error::NodeReason,
    expr::{Binary, Expr},
    onnx::Constant,
    program::{Factor, Node, Part, Program, Values},
    tensor::{Access, Real, size},
    trees::Read,
};
use crate::graph::{Group, MAX_AXES, MAX_AXIS, MAX_CELLS, Stride, View};

/// A program under construction.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) program: Program,
    /// Ensembles of trees by the names of their outputs; the program's input are their scores, end to end.
    pub(super) trees: BTreeMap<String, Result<Read, NodeReason>>,
    /// Functions of whole tensors made so far.
    mapped: BTreeMap<u32, Vec<(Expr, u32)>>,
}

/// Label of an atom, its place among the label's atoms, what it is sorted by, and its size.
type PlacedAtom = (usize, usize, (usize, usize, i64), u32);

/// Axes of an operator under construction: which of them go along each label.
#[derive(Debug, Default, Clone)]
pub(super) struct Frame {
    pub(super) axes: Vec<u32>,
    pub(super) summed: Vec<u32>,
    numbers: BTreeMap<usize, Vec<u8>>,
}

/// A value whose logical axes carry labels; axes of one label go together.
#[derive(Debug, Clone)]
pub(super) struct Labelled {
    pub(super) real: Real,
    pub(super) labels: Vec<usize>,
}

/// Numbers whose axes carry labels.
#[derive(Debug, Clone)]
pub(super) struct Numbers<'a> {
    pub(super) values: &'a [f64],
    pub(super) dims: &'a [usize],
    pub(super) labels: &'a [usize],
    pub(super) grid: Option<f64>,
}

type Made = Result<Real, NodeReason>;

impl Builder {
    pub(super) fn new(input_axes: Vec<u32>) -> Self {
        Self { program: Program::new(input_axes), trees: BTreeMap::new(), mapped: BTreeMap::new() }
    }

    /// Adds a node over the frame's axes; `labels` are the logical axes of the result.
    fn push(&mut self, frame: &Frame, labels: &[usize], node: impl FnOnce(Vec<u32>) -> Node) -> Made {
        let padded =
            frame.axes.iter().map(|axis| u64::from(axis.next_power_of_two())).fold(1u64, u64::saturating_mul);
        let axis = frame.axes.iter().chain(&frame.summed).copied().max().unwrap_or(1);
        if padded > MAX_CELLS || axis > MAX_AXIS || frame.axes.len().max(frame.summed.len()) > MAX_AXES {
            return Err(NodeReason::TooLarge);
        }
        let axes = if frame.axes.is_empty() { vec![1] } else { frame.axes.clone() };
        let tensor = self.program.push(node(axes));
        Ok(frame.result(tensor, labels))
    }

    /// The value with no function waiting.
    pub(super) fn force(&mut self, real: &Real) -> Made {
        if real.function.is_identity() {
            return Ok(real.clone());
        }
        let plain = Real { function: Expr::X, ..real.clone() };
        let zero_stays = real.function.apply(0.0) == 0.0 || !real.reads_zero(&self.program);
        let plain = if zero_stays && self.program.cells(real.tensor) <= real.width() {
            plain
        } else {
            self.copy(&plain)?
        };
        let made = self.mapped.entry(plain.tensor).or_default();
        let known = made.iter().find(|(function, _)| *function == real.function).map(|(_, tensor)| *tensor);
        let tensor = match known {
            Some(tensor) => tensor,
            None => {
                let node = Node::Map { input: plain.tensor, function: real.function.clone() };
                let tensor = self.program.push(node);
                made.push((real.function.clone(), tensor));
                tensor
            }
        };
        Ok(Real { tensor, ..plain })
    }

    /// A tensor of its own for the value, in the order its elements lie in.
    pub(super) fn copy(&mut self, real: &Real) -> Made {
        let mut order: Vec<usize> = (0..real.rank()).collect();
        let place = |axis: &usize| {
            let first = real.first_atom(*axis);
            real.groups.iter().position(|group| group.strides.iter().any(|s| s.axis == first)).unwrap_or(0)
        };
        order.sort_by_key(place);
        self.copy_in(real, &order, None)
    }

    /// A tensor of its own, row-major over the logical axes.
    pub(super) fn copy_logical(&mut self, real: &Real) -> Made {
        let order: Vec<usize> = (0..real.rank()).collect();
        self.copy_in(real, &order, None)
    }

    /// A tensor whose axes are the atoms of the logical axes in `order`, and one more of one for axis `unit`.
    fn copy_in(&mut self, real: &Real, order: &[usize], unit: Option<usize>) -> Made {
        let function = real.function.clone();
        let real = Real { function: Expr::X, ..real.clone() };
        let mut frame = Frame::default();
        for axis in order {
            let atoms = real.axes.get(*axis).map_or([].as_slice(), Vec::as_slice);
            frame.output(*axis, if Some(*axis) == unit { &[1] } else { atoms });
        }
        let accesses: Vec<Access> = (0..real.rank())
            .map(|axis| if Some(axis) == unit { Access::Along(vec![]) } else { frame.along(axis) })
            .collect();
        let view = real.view(&accesses).ok_or(NodeReason::Shape)?;
        let labels: Vec<usize> = (0..real.rank()).collect();
        let made = self.push(&frame, &labels, |axes| combine(axes, vec![part(1.0, view)]))?;
        let made = if unit.is_some() {
            made
        } else {
            // Atoms of one axis lie side by side now.
            (0..made.rank()).fold(made, |made, axis| made.merged(axis, &self.program).unwrap_or(made))
        };
        if function.is_identity() { Ok(made) } else { self.force(&Real { function, ..made }) }
    }

    /// The value with `axis` of one atom that reads zero outside; an axis of one gets an atom of one. For use in a
    /// view at once.
    pub(super) fn window(&mut self, real: &Real, axis: usize) -> Made {
        let real = self.force(real)?;
        if real.dim(axis) == 1 {
            let order: Vec<usize> = (0..real.rank()).collect();
            return self.copy_in(&real, &order, Some(axis));
        }
        if let Some(merged) =
            real.merged(axis, &self.program).filter(|merged| merged.is_clean(axis, &self.program))
        {
            return Ok(merged);
        }
        let copied = self.copy(&real)?;
        copied.merged(axis, &self.program).ok_or(NodeReason::Shape)
    }

    /// The value with `axis` of one atom, or none where it is of one.
    pub(super) fn single(&mut self, real: &Real, axis: usize) -> Made {
        match real.merged(axis, &self.program) {
            Some(merged) => Ok(merged),
            None => self.copy(real)?.merged(axis, &self.program).ok_or(NodeReason::Shape),
        }
    }

    pub(super) fn reshape(&mut self, real: &Real, dims: &[usize]) -> Made {
        if let Some(made) = real.reshaped(dims, &self.program) {
            return Ok(made);
        }
        if dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim)) != Some(real.width()) {
            return Err(NodeReason::Shape);
        }
        let copied = self.copy_logical(real)?;
        copied.reshaped(dims, &self.program).ok_or(NodeReason::Shape)
    }

    pub(super) fn slice(&mut self, real: &Real, axis: usize, start: i64, step: i64, count: usize) -> Made {
        let single = self.single(real, axis)?;
        single.sliced(axis, start, step, count).ok_or(NodeReason::Shape)
    }

    /// Splits axes until all operands have the same atoms along each label.
    ///
    /// Axes of one beside longer ones of the same label lose the label's atoms, which broadcasts them.
    pub(super) fn align(
        &mut self,
        operands: &mut [Labelled],
    ) -> Result<BTreeMap<usize, Vec<u32>>, NodeReason> {
        let mut atoms = BTreeMap::new();
        let mut labels: Vec<usize> = operands.iter().flat_map(|operand| operand.labels.clone()).collect();
        labels.sort_unstable();
        labels.dedup();
        for label in labels {
            let axis_of = |operand: &Labelled| operand.labels.iter().position(|other| *other == label);
            let size =
                operands.iter().filter_map(|o| axis_of(o).map(|axis| o.real.dim(axis))).max().unwrap_or(1);
            let mut chain: Vec<usize> = Vec::new();
            for operand in operands.iter() {
                if let Some(axis) = axis_of(operand) {
                    let dim = operand.real.dim(axis);
                    if dim != size && dim != 1 {
                        return Err(NodeReason::Shape);
                    }
                    chain.extend(operand.real.chain(axis));
                }
            }
            chain.sort_unstable();
            chain.dedup();
            let divides = |pair: &[usize]| matches!(pair, [a, b] if b.is_multiple_of(*a));
            let chain = if chain.windows(2).all(divides) { chain } else { vec![size] };
            for operand in operands.iter_mut() {
                let Some(axis) = axis_of(operand).filter(|axis| operand.real.dim(*axis) > 1) else {
                    continue;
                };
                operand.real = match operand.real.refined(axis, &chain) {
                    Some(refined) => refined,
                    None => {
                        self.single(&operand.real, axis)?.refined(axis, &chain).ok_or(NodeReason::Shape)?
                    }
                };
            }
            let mut sizes = Vec::new();
            let mut before = 1;
            for step in chain {
                sizes.push(u32::try_from(step / before).map_err(|_| NodeReason::TooLarge)?);
                before = step;
            }
            sizes.reverse();
            atoms.insert(label, sizes);
        }
        Ok(atoms)
    }

    /// `sum_t coefficient_t * term_t + add`, each term broadcast to `dims`.
    pub(super) fn add(&mut self, terms: &[(f64, Real)], constant: f64, dims: &[usize]) -> Made {
        let labels: Vec<usize> = (0..dims.len()).collect();
        let mut constant = constant;
        let mut coefficients = Vec::new();
        let mut operands = Vec::new();
        for (coefficient, real) in terms {
            // A linear function of the elements needs no node of its own.
            let linear = real.function.linear().filter(|(_, b)| *b == 0.0 || !real.reads_zero(&self.program));
            let (scale, real) = match linear {
                Some((a, b)) => {
                    constant += coefficient * b;
                    (coefficient * a, Real { function: Expr::X, ..real.clone() })
                }
                None => (*coefficient, self.force(real)?),
            };
            coefficients.push(scale);
            operands.push(Labelled { real: lengthened(&real, dims.len())?, labels: labels.clone() });
        }
        let frame = self.frame(&mut operands, &labels, &[])?;
        let parts = operands
            .iter()
            .zip(coefficients)
            .map(|(operand, coefficient)| Ok(part(coefficient, frame.view(operand)?)))
            .collect::<Result<Vec<_>, NodeReason>>()?;
        self.push(&frame, &labels, |axes| Node::Combine { axes, terms: parts, constant, bias: None })
    }

    /// Sum over logical axes, each of which becomes of one; times `coefficient`.
    pub(super) fn sum(&mut self, real: &Real, over: &[usize], coefficient: f64) -> Made {
        let mut real = self.force(real)?;
        if (0..real.rank()).any(|axis| real.repeats(axis)) {
            real = self.copy(&real)?;
        }
        let labels: Vec<usize> = (0..real.rank()).collect();
        let mut operands = [Labelled { real, labels: labels.clone() }];
        let kept: Vec<usize> = labels.iter().copied().filter(|label| !over.contains(label)).collect();
        let frame = self.frame(&mut operands, &kept, over)?;
        let [operand] = &operands;
        let view = frame.view(operand)?;
        let summed = frame.summed.clone();
        let made = self.push(&frame, &kept, |axes| Node::Combine {
            axes,
            terms: vec![Part { coefficient, summed, view }],
            constant: 0.0,
            bias: None,
        })?;
        let order: Vec<Option<usize>> =
            labels.iter().map(|label| kept.iter().position(|k| k == label)).collect();
        made.reordered(&order)
    }

    /// Larger or smaller of two values of the same dimensions after broadcasting.
    pub(super) fn maximum(&mut self, left: &Real, right: &Real, lowest: bool) -> Made {
        let dims = broadcast_dims(&[left.dims(), right.dims()])?;
        let labels: Vec<usize> = (0..dims.len()).collect();
        let mut operands = Vec::new();
        for real in [left, right] {
            let real = self.force(real)?;
            operands.push(Labelled { real: lengthened(&real, dims.len())?, labels: labels.clone() });
        }
        let frame = self.frame(&mut operands, &labels, &[])?;
        let views = operands.iter().map(|operand| frame.view(operand)).collect::<Result<Vec<_>, _>>()?;
        let [left, right] = <[View; 2]>::try_from(views).map_err(|_| NodeReason::Shape)?;
        self.push(&frame, &labels, |axes| Node::Maximum { axes, left, right, lowest })
    }

    /// The larger of the two nodes' views that `views` gives over the frame.
    pub(super) fn maximum_in(&mut self, frame: &Frame, labels: &[usize], left: View, right: View) -> Made {
        self.push(frame, labels, |axes| Node::Maximum { axes, left, right, lowest: true })
    }

    pub(super) fn combine_in(
        &mut self,
        frame: &Frame,
        labels: &[usize],
        terms: Vec<Part>,
        constant: f64,
    ) -> Made {
        self.push(frame, labels, |axes| Node::Combine { axes, terms, constant, bias: None })
    }

    pub(super) fn contract_in(
        &mut self,
        frame: &Frame,
        labels: &[usize],
        left: View,
        right: Factor,
        bias: Option<Values>,
    ) -> Made {
        let summed = frame.summed.clone();
        self.push(frame, labels, |axes| Node::Contract { axes, summed, left, right, bias })
    }

    /// Sum over all labels but `kept` of the product of two values.
    pub(super) fn product(&mut self, left: &Labelled, right: &Labelled, kept: &[usize]) -> Made {
        let left = Labelled { real: self.force(&left.real)?, labels: left.labels.clone() };
        let right = Labelled { real: self.force(&right.real)?, labels: right.labels.clone() };
        for (axis, label) in left.labels.iter().enumerate() {
            let other = right.labels.iter().position(|other| other == label);
            // What is summed over does not broadcast.
            if other
                .is_some_and(|other| !kept.contains(label) && left.real.dim(axis) != right.real.dim(other))
            {
                return Err(NodeReason::Shape);
            }
        }
        let sides = [self.solid(&left, &right)?, self.solid(&right, &left)?];
        let mut operands = Vec::new();
        for (side, other) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
            operands.push(self.without_lonely(side, &other.labels, kept)?);
        }
        let summed: Vec<usize> = operands
            .first()
            .map_or(vec![], |o| o.labels.iter().copied().filter(|l| !kept.contains(l)).collect());
        let frame = self.frame(&mut operands, kept, &summed)?;
        let views = operands.iter().map(|operand| frame.view(operand)).collect::<Result<Vec<_>, _>>()?;
        let [mut left, right] = <[View; 2]>::try_from(views).map_err(|_| NodeReason::Shape)?;
        if let (true, Some(group)) = (frame.axes.is_empty(), left.groups.first_mut()) {
            // A single output is an axis of one, along which something has to be read.
            group.strides.push(Stride { axis: 0, stride: 1 });
        }
        self.contract_in(&frame, kept, left, Factor::View(right), None)
    }

    /// The side with repeated axes written out where the other does not go along them.
    fn solid(&mut self, side: &Labelled, other: &Labelled) -> Result<Labelled, NodeReason> {
        let alone = |axis: usize| {
            let label = side.labels.get(axis);
            let mate = other.labels.iter().position(|mate| Some(mate) == label);
            mate.is_none_or(|mate| other.real.dim(mate) == 1 || other.real.repeats(mate))
        };
        let repeats = (0..side.real.rank()).any(|axis| side.real.repeats(axis) && alone(axis));
        let real = if repeats { self.copy(&side.real)? } else { side.real.clone() };
        Ok(Labelled { real, labels: side.labels.clone() })
    }

    /// Sums over labels that are neither kept nor the other side's.
    fn without_lonely(
        &mut self,
        side: &Labelled,
        other: &[usize],
        kept: &[usize],
    ) -> Result<Labelled, NodeReason> {
        let lonely = |label: &usize| !kept.contains(label) && !other.contains(label);
        let over: Vec<usize> =
            (0..side.labels.len()).filter(|axis| side.labels.get(*axis).is_some_and(lonely)).collect();
        if over.is_empty() {
            return Ok(side.clone());
        }
        let summed = self.sum(&side.real, &over, 1.0)?;
        let stay: Vec<usize> = (0..side.labels.len()).filter(|axis| !over.contains(axis)).collect();
        let order: Vec<Option<usize>> = stay.iter().map(|axis| Some(*axis)).collect();
        let labels = stay.iter().filter_map(|axis| side.labels.get(*axis).copied()).collect();
        Ok(Labelled { real: summed.reordered(&order)?, labels })
    }

    /// Sum over all labels but `kept` of the product of a value and constants. Every summed label must be one of both.
    pub(super) fn weigh(&mut self, left: &Labelled, right: &Numbers<'_>, kept: &[usize]) -> Made {
        let mut real = self.force(&left.real)?;
        let covered = |axis: usize| left.labels.get(axis).is_some_and(|label| right.labels.contains(label));
        if (0..real.rank()).any(|axis| real.repeats(axis) && !covered(axis)) {
            real = self.copy(&real)?;
        }
        let lonely: Vec<usize> = left
            .labels
            .iter()
            .copied()
            .filter(|label| !kept.contains(label) && !right.labels.contains(label))
            .collect();
        if !lonely.is_empty()
            || right.labels.iter().any(|label| !kept.contains(label) && !left.labels.contains(label))
        {
            return Err(NodeReason::Shape);
        }
        let mut operands = [Labelled { real, labels: left.labels.clone() }];
        let summed: Vec<usize> = left.labels.iter().copied().filter(|label| !kept.contains(label)).collect();
        let mut atoms = self.align(&mut operands)?;
        for (label, dim) in right.labels.iter().zip(right.dims) {
            let known = atoms.entry(*label).or_default();
            if *dim > 1 && size(known) == 1 {
                *known = vec![u32::try_from(*dim).map_err(|_| NodeReason::TooLarge)?];
            } else if *dim > 1 && size(known) != *dim {
                return Err(NodeReason::Shape);
            }
        }
        let frame = Frame::new(&atoms, &operands, kept, &summed);
        let [operand] = &operands;
        let view = frame.view(operand)?;
        let weights = frame.weights(right)?;
        if weights.axes.is_empty() {
            let number = weights.data.first().copied().unwrap_or(1.0);
            let terms = vec![Part { coefficient: number, summed: frame.summed.clone(), view }];
            return self.combine_in(&frame, kept, terms, 0.0);
        }
        let right = Factor::Weights { values: weights, grid: right.grid };
        self.contract_in(&frame, kept, view, right, None)
    }

    /// Aligns operands and lays out axes: kept labels in the order in which the first operands' elements lie.
    fn frame(
        &mut self,
        operands: &mut [Labelled],
        kept: &[usize],
        summed: &[usize],
    ) -> Result<Frame, NodeReason> {
        let atoms = self.align(operands)?;
        Ok(Frame::new(&atoms, operands, kept, summed))
    }

    /// `real * multiply + add` with constants broadcast against it; into the weights of the node that makes `real` if
    /// nothing else reads it (`alone`) and that costs nothing.
    pub(super) fn affine(
        &mut self,
        real: &Real,
        multiply: Option<&Constant>,
        add: Option<&Constant>,
        alone: bool,
    ) -> Made {
        let mut shapes = vec![real.dims()];
        for constant in [multiply, add].into_iter().flatten() {
            shapes.push(constant.dims.clone());
        }
        let dims = broadcast_dims(&shapes)?;
        let real = lengthened(real, dims.len())?;
        if alone
            && dims == real.dims()
            && let Some(folded) = super::fold::affine(self, &real, multiply, add)?
        {
            return Ok(folded);
        }
        let mut real = real;
        if let Some(constant) = multiply {
            real = match constant.numbers()? {
                [number] => real.map(&Expr::times(*number)),
                numbers => {
                    let (axes, kept_dims) = long_axes(&constant.dims, dims.len());
                    let labels: Vec<usize> = (0..dims.len()).collect();
                    let numbers =
                        Numbers { values: numbers, dims: &kept_dims, labels: &axes, grid: constant.grid };
                    self.weigh(&Labelled { real, labels: labels.clone() }, &numbers, &labels)?
                }
            };
        }
        let Some(constant) = add else { return Ok(real) };
        if let [number] = constant.numbers()? {
            return Ok(real.map(&Expr::X.with(Binary::Add, Expr::Number(*number))));
        }
        // What was just made is read by nothing else.
        if multiply.is_some_and(|constant| constant.len() > 1)
            && let Some(folded) = super::fold::affine(self, &real, None, Some(constant))?
        {
            return Ok(folded);
        }
        self.biased(&real, constant, &dims)
    }

    /// `real + constant` as a node of its own.
    fn biased(&mut self, real: &Real, constant: &Constant, dims: &[usize]) -> Made {
        let real = self.force(real)?;
        let labels: Vec<usize> = (0..dims.len()).collect();
        let (axes, kept_dims) = long_axes(&constant.dims, dims.len());
        let mut operands = [Labelled { real, labels: labels.clone() }];
        let mut atoms = self.align(&mut operands)?;
        for (label, dim) in axes.iter().zip(&kept_dims) {
            let known = atoms.entry(*label).or_default();
            if size(known) == 1 {
                *known = vec![u32::try_from(*dim).map_err(|_| NodeReason::TooLarge)?];
            }
        }
        let frame = Frame::new(&atoms, &operands, &labels, &[]);
        let [operand] = &operands;
        let view = frame.view(operand)?;
        let numbers = Numbers { values: constant.numbers()?, dims: &kept_dims, labels: &axes, grid: None };
        let bias = Some(frame.weights(&numbers)?);
        self.push(&frame, &labels, |axes| Node::Combine {
            axes,
            terms: vec![part(1.0, view)],
            constant: 0.0,
            bias,
        })
    }
}

impl Frame {
    fn new(
        atoms: &BTreeMap<usize, Vec<u32>>,
        operands: &[Labelled],
        kept: &[usize],
        summed: &[usize],
    ) -> Self {
        let mut frame = Self::default();
        // The widest operand lays down the order; the others follow.
        let mut operands: Vec<&Labelled> = operands.iter().collect();
        operands.sort_by_key(|operand| core::cmp::Reverse(operand.real.width()));
        for (labels, output) in [(kept, true), (summed, false)] {
            let mut order: Vec<PlacedAtom> = Vec::new();
            for label in labels {
                for (place, atom) in atoms.get(label).map_or([].as_slice(), Vec::as_slice).iter().enumerate()
                {
                    let at = operands.iter().enumerate().find_map(|(index, operand)| {
                        let axis = operand.labels.iter().position(|other| other == label)?;
                        if operand.real.dim(axis) == 1 {
                            return None;
                        }
                        let name = operand.real.first_atom(axis) + u8::try_from(place).ok()?;
                        operand.real.groups.iter().enumerate().find_map(|(group, g)| {
                            let stride = g.strides.iter().find(|s| s.axis == name)?;
                            Some((index, group, -i64::from(stride.stride).abs()))
                        })
                    });
                    order.push((*label, place, at.unwrap_or((usize::MAX, *label, 0)), *atom));
                }
            }
            order.sort_by_key(|(_, _, at, _)| *at);
            for (label, place, _, atom) in order {
                let number = frame.next(output, atom);
                let numbers = frame.numbers.entry(label).or_default();
                if numbers.len() <= place {
                    numbers.resize(place + 1, 0);
                }
                if let Some(slot) = numbers.get_mut(place) {
                    *slot = number;
                }
            }
        }
        // Summed axes count on after the outputs, which are all known only now.
        let outputs = u8::try_from(frame.axes.len()).unwrap_or(u8::MAX);
        for label in summed {
            if let Some(numbers) = frame.numbers.get_mut(label) {
                numbers.iter_mut().for_each(|number| *number = number.saturating_add(outputs.max(1)));
            }
        }
        frame
    }

    fn next(&mut self, output: bool, atom: u32) -> u8 {
        let axes = if output { &mut self.axes } else { &mut self.summed };
        axes.push(atom);
        u8::try_from(axes.len() - 1).unwrap_or(u8::MAX)
    }

    /// Adds output axes for a label. All outputs come before [`Frame::sum_over`].
    pub(super) fn output(&mut self, label: usize, atoms: &[u32]) {
        let numbers = atoms.iter().map(|atom| self.next(true, *atom)).collect();
        self.numbers.insert(label, numbers);
    }

    /// Adds summed axes for a label.
    pub(super) fn sum_over(&mut self, label: usize, atoms: &[u32]) {
        let outputs = u8::try_from(self.axes.len().max(1)).unwrap_or(u8::MAX);
        let numbers = atoms.iter().map(|atom| self.next(false, *atom).saturating_add(outputs)).collect();
        self.numbers.insert(label, numbers);
    }

    /// Operator axes of a label.
    pub(super) fn numbers(&self, label: usize) -> &[u8] {
        self.numbers.get(&label).map_or(&[], Vec::as_slice)
    }

    pub(super) fn along(&self, label: usize) -> Access {
        Access::Along(self.numbers(label).to_vec())
    }

    fn view(&self, operand: &Labelled) -> Result<View, NodeReason> {
        let accesses: Vec<Access> = operand
            .labels
            .iter()
            .enumerate()
            .map(
                |(axis, label)| {
                    if operand.real.dim(axis) == 1 { Access::Along(vec![]) } else { self.along(*label) }
                },
            )
            .collect();
        operand.real.view(&accesses).ok_or(NodeReason::Shape)
    }

    /// Numbers over the operator's axes: summed ones first, then outputs, as executors like them.
    pub(super) fn weights(&self, numbers: &Numbers<'_>) -> Result<Values, NodeReason> {
        let sizes = [if self.axes.is_empty() { &[1] } else { self.axes.as_slice() }, &self.summed].concat();
        let outputs = self.axes.len().max(1);
        let mut from = Vec::new();
        for (label, dim) in numbers.labels.iter().zip(numbers.dims) {
            if *dim > 1 {
                from.extend_from_slice(self.numbers(*label));
            }
        }
        let mut axes = from.clone();
        axes.sort_unstable_by_key(|axis| (usize::from(*axis) < outputs, *axis));
        let values = Values { axes: from, data: numbers.values.into() };
        let mut made = values.spread(&axes, &sizes).ok_or(NodeReason::Shape)?;
        if self.axes.is_empty() && !made.axes.is_empty() {
            // A single output is an axis of one, which the weights have as well.
            made.axes.push(0);
        }
        Ok(made)
    }

    fn result(&self, tensor: u32, labels: &[usize]) -> Real {
        let mut names = BTreeMap::new();
        let mut axes = Vec::new();
        for label in labels {
            let numbers: Vec<u8> =
                self.numbers(*label).iter().copied().filter(|n| usize::from(*n) < self.axes.len()).collect();
            let mut atoms = Vec::new();
            for number in numbers {
                let size = self.axes.get(usize::from(number)).copied().unwrap_or(1);
                names.insert(number, u8::try_from(names.len()).unwrap_or(u8::MAX));
                atoms.push(size);
            }
            axes.push(atoms);
        }
        let fixed = Group { span: 1, offset: 0, strides: vec![], divisor: 1, exact: false };
        let group = |number: usize| match u8::try_from(number).ok().and_then(|number| names.get(&number)) {
            Some(atom) => Group { strides: vec![Stride { axis: *atom, stride: 1 }], ..fixed.clone() },
            None => fixed.clone(),
        };
        let groups = (0..self.axes.len().max(1)).map(group).collect();
        Real { tensor, axes, groups, function: Expr::X }
    }
}

impl Values {
    /// The same numbers over more axes, or the same in another order.
    pub(super) fn spread(&self, axes: &[u8], sizes: &[u32]) -> Option<Self> {
        if self.axes == axes {
            return Some(self.clone());
        }
        let size = |axis: &u8| sizes.get(usize::from(*axis)).map(|size| *size as usize);
        let mut step = 1usize;
        let mut steps = BTreeMap::new();
        for axis in self.axes.iter().rev() {
            steps.insert(*axis, step);
            step = step.checked_mul(size(axis)?)?;
        }
        if step != self.data.len() || !self.axes.iter().all(|axis| axes.contains(axis)) {
            return None;
        }
        let mut offsets = vec![0usize];
        for axis in axes {
            let step = steps.get(axis).copied().unwrap_or(0);
            let count = size(axis)?;
            if offsets.len().checked_mul(count)? > MAX_VALUES {
                return None;
            }
            offsets = offsets.iter().flat_map(|offset| (0..count).map(move |k| offset + k * step)).collect();
        }
        let data =
            offsets.iter().map(|offset| self.data.get(*offset).copied()).collect::<Option<Arc<[f64]>>>()?;
        Some(Self { axes: axes.to_vec(), data })
    }
}

fn combine(axes: Vec<u32>, terms: Vec<Part>) -> Node {
    Node::Combine { axes, terms, constant: 0.0, bias: None }
}

pub(super) fn part(coefficient: f64, view: View) -> Part {
    Part { coefficient, summed: vec![], view }
}

/// Axes of one in front until there are `rank`.
pub(super) fn lengthened(real: &Real, rank: usize) -> Made {
    let missing = rank.checked_sub(real.rank()).ok_or(NodeReason::Shape)?;
    let order: Vec<Option<usize>> =
        core::iter::repeat_n(None, missing).chain((0..real.rank()).map(Some)).collect();
    real.reordered(&order)
}

/// Dimensions that all broadcast to.
pub(super) fn broadcast_dims(shapes: &[Vec<usize>]) -> Result<Vec<usize>, NodeReason> {
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    let mut dims = vec![1; rank];
    for shape in shapes {
        for (dim, got) in dims.iter_mut().rev().zip(shape.iter().rev()) {
            match (*dim, *got) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => *dim = b,
                _ => return Err(NodeReason::Shape),
            }
        }
    }
    Ok(dims)
}

/// Axes above one of a constant of `dims`, counted in `rank` axes, and their sizes.
pub(super) fn long_axes(dims: &[usize], rank: usize) -> (Vec<usize>, Vec<usize>) {
    let missing = rank.saturating_sub(dims.len());
    dims.iter().enumerate().filter(|(_, dim)| **dim > 1).map(|(axis, dim)| (axis + missing, *dim)).unzip()
}

/// Most numbers that one operator holds.
const MAX_VALUES: usize = 1 << 26;
