//! Groups as integer operators (see *Operators* in [`super`]).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    GROUP_VALUES,
    groups::{Gate, Group, Single},
    numbers::{Function, Leaves, Whole, entry, features},
    set::Pieces,
};
use crate::{
    graph::{
        Graph, Group as Axes, LayerWeights, MAX_TABLE_BITS, MIN_INPUT_BITS, Operator, Right, Stride, Table,
        TensorId, Term, View,
    },
    import::error::NodeReason,
};

/// Everything that is to be computed.
pub(super) struct Plan {
    /// Gates and groups with numbers of units, which are not torn apart; groups also with the scores they add to.
    pub(super) gates: Vec<(usize, Gate)>,
    pub(super) groups: Vec<(usize, Vec<usize>, Group)>,
    pub(super) singles: Vec<Single>,
    pub(super) leaves: Leaves,
    /// Most bits of what a group adds to a score.
    pub(super) leaf_bits_max: u8,
    pub(super) outputs: usize,
}

/// Operators, weights, tables, steps of each feature, input bits, fraction bits.
type Assembled = (Vec<Operator>, Vec<LayerWeights>, Vec<Table>, Vec<Vec<i64>>, u8, i8);

/// Writes a plan down for the input of `graph`.
pub(super) fn assemble(plan: &Plan, graph: &Graph) -> Result<Assembled, NodeReason> {
    let units = units(plan);
    let layouts: Vec<Layout<'_>> =
        parts(&units).into_iter().map(|part| Layout::cheapest(part, graph.features.len())).collect();
    let alone: usize = features(&plan.singles, &[], 0).len();
    let cells = layouts.iter().map(|layout| layout.blocks.len() * layout.groups).sum::<usize>() + alone;
    let grouped: Vec<&Group> = plan.groups.iter().map(|(_, _, group)| group).collect();
    let whole = plan.leaves.whole(&grouped, &plan.singles, cells, plan.leaf_bits_max)?;
    let functions = features(&plan.singles, &whole.leaves, plan.outputs);

    let steps = steps(plan, graph.features.len())?;
    let most = steps.iter().map(Vec::len).max().unwrap_or(0);
    let bits = (usize::BITS - most.leading_zeros() + 1).max(u32::from(MIN_INPUT_BITS));
    let bits = u8::try_from(bits).ok().filter(|bits| *bits < MAX_TABLE_BITS).ok_or(NodeReason::TooLarge)?;

    let mut writer = Writer {
        inputs: u32::try_from(graph.features.len()).map_err(|_| NodeReason::TooLarge)?,
        outputs: u32::try_from(plan.outputs).map_err(|_| NodeReason::TooLarge)?,
        half: 1 << (bits - 1),
        steps: &steps,
        whole: &whole,
        nodes: Vec::new(),
        layers: Vec::new(),
        tables: Vec::new(),
        terms: Vec::new(),
        test: None,
    };
    for layout in &layouts {
        writer.part(plan, layout)?;
    }
    writer.functions(&functions)?;
    writer.finish();
    let Writer { nodes, layers, tables, .. } = writer;
    Ok((nodes, layers, tables, steps, bits, whole.fraction_bits))
}

/// Steps of every feature: where anything that is computed changes.
fn steps(plan: &Plan, width: usize) -> Result<Vec<Vec<i64>>, NodeReason> {
    let mut steps: Vec<BTreeSet<i64>> = vec![BTreeSet::new(); width];
    let gates = plan.gates.iter().flat_map(|(_, gate)| &gate.parts);
    let groups = plan.groups.iter().flat_map(|(_, _, group)| &group.parts);
    let parts = gates.chain(groups).map(|(feature, part)| (*feature, part.changes().collect::<Vec<_>>()));
    let singles = plan.singles.iter().map(|single| (single.feature, single.leaves.changes().collect()));
    for (feature, changes) in parts.chain(singles) {
        let missing = NodeReason::TreeFeature { feature, width };
        steps.get_mut(feature).ok_or(missing)?.extend(changes);
    }
    Ok(steps.into_iter().map(|steps| steps.into_iter().collect()).collect())
}

/// What is not torn apart: groups, and the gates they wait for.
#[derive(Default)]
struct Unit<'a> {
    /// Gates with their numbers and how many each waits for.
    gates: Vec<(usize, usize, &'a Gate)>,
    /// Groups with the scores they add to.
    groups: Vec<(&'a Group, &'a [usize])>,
}

/// The units of a plan, those with gates last.
fn units(plan: &Plan) -> Vec<Unit<'_>> {
    let mut units: BTreeMap<usize, Unit<'_>> = BTreeMap::new();
    let mut levels: Vec<usize> = Vec::with_capacity(plan.gates.len());
    for (index, (unit, gate)) in plan.gates.iter().enumerate() {
        // Gates come after those they wait for.
        let level = gate.before.and_then(|before| levels.get(before)).map_or(0, |level| level + 1);
        levels.push(level);
        units.entry(*unit).or_default().gates.push((index, level, gate));
    }
    for (unit, scores, group) in &plan.groups {
        units.entry(*unit).or_default().groups.push((group, scores));
    }
    let mut units: Vec<Unit<'_>> = units.into_values().collect();
    units.sort_by_key(|unit| !unit.gates.is_empty());
    units
}

/// Consecutive units whose look-ups fit one table.
fn parts<'u, 'a>(units: &'u [Unit<'a>]) -> Vec<&'u [Unit<'a>]> {
    let mut parts = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (index, unit) in units.iter().enumerate() {
        let count: usize = unit.groups.iter().map(|(_, scores)| scores.len()).sum();
        // Few units have gates, and those are large: they are no measure for the others.
        let other = units.get(start).is_some_and(|first| first.gates.is_empty() != unit.gates.is_empty());
        if index > start && (other || sum + count > LOOK_UPS_MOST) {
            parts.extend(units.get(start..index));
            (start, sum) = (index, 0);
        }
        sum += count;
    }
    parts.extend(units.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// Units side by side in blocks of one shape.
struct Layout<'a> {
    blocks: Vec<Block<'a>>,
    /// Comparisons of a block.
    rows: usize,
    /// Gates of a block that wait for none, for one, and so on.
    gates: Vec<usize>,
    /// Groups of a block.
    groups: usize,
    /// Whether any group adds to several scores.
    several: bool,
}

#[derive(Default)]
struct Block<'a> {
    /// Feature and step of each comparison.
    rows: Vec<(usize, i64)>,
    /// Gates by how many they wait for, with their numbers.
    gates: Vec<Vec<(usize, &'a Gate)>>,
    /// Groups with the scores they add to.
    groups: Vec<(&'a Group, &'a [usize])>,
}

impl<'a> Layout<'a> {
    /// The layout of some units that takes the fewest weights.
    fn cheapest(units: &[Unit<'a>], features: usize) -> Self {
        let counts = core::iter::successors(Some(1usize), |count| Some(count * 2));
        let all = counts.take_while(|count| *count <= units.len()).map(|count| Self::new(units, count));
        all.min_by_key(|layout| layout.weights(features)).unwrap_or_else(|| Self::new(units, 1))
    }

    fn new(units: &[Unit<'a>], count: usize) -> Self {
        let blocks: Vec<Block<'a>> =
            units.chunks(units.len().div_ceil(count).max(1)).map(Block::new).collect();
        let most = |of: &dyn Fn(&Block<'_>) -> usize| blocks.iter().map(of).max().unwrap_or(0);
        let rows = most(&|block| block.rows.len()).max(1);
        let depth = most(&|block| block.gates.len());
        let gates = (0..depth).map(|level| most(&|block| block.gates.get(level).map_or(0, Vec::len)));
        let gates = gates.collect();
        let groups = most(&|block| block.groups.len());
        let several = blocks.iter().flat_map(|block| &block.groups).any(|(_, scores)| scores.len() > 1);
        Self { rows, gates, groups, several, blocks }
    }

    /// Weights of its matrices, axes padded to powers of two.
    fn weights(&self, features: usize) -> usize {
        let gates: usize = self.gates.iter().sum();
        let columns = (self.rows + gates).next_power_of_two();
        let made = (self.groups + gates).next_power_of_two();
        let rows = self.rows.next_power_of_two() * features.next_power_of_two();
        self.blocks
            .len()
            .next_power_of_two()
            .saturating_mul(rows.saturating_add(columns.saturating_mul(made)))
    }
}

impl<'a> Block<'a> {
    fn new(units: &[Unit<'a>]) -> Self {
        let mut block = Self::default();
        let mut rows = BTreeSet::new();
        let mut add = |parts: &[(usize, Pieces<i32>)]| {
            for (feature, part) in parts {
                rows.extend(part.changes().map(|step| (*feature, step)));
            }
        };
        for (index, level, gate) in units.iter().flat_map(|unit| &unit.gates) {
            add(&gate.parts);
            if block.gates.len() <= *level {
                block.gates.resize_with(level + 1, Vec::new);
            }
            if let Some(gates) = block.gates.get_mut(*level) {
                gates.push((*index, *gate));
            }
        }
        for (group, scores) in units.iter().flat_map(|unit| &unit.groups) {
            add(&group.parts);
            block.groups.push((*group, *scores));
        }
        block.rows = rows.into_iter().collect();
        block
    }
}

/// A matrix over blocks with a bias for each row.
struct Matrix {
    blocks: usize,
    rows: usize,
    columns: usize,
    weights: Vec<i8>,
    bias: Vec<i32>,
}

impl Matrix {
    fn new(blocks: usize, rows: usize, columns: usize) -> Result<Self, NodeReason> {
        let cells = blocks.saturating_mul(rows).saturating_mul(columns);
        if cells > WEIGHTS_MOST {
            return Err(NodeReason::TooLarge);
        }
        Ok(Self { blocks, rows, columns, weights: vec![0; cells], bias: vec![0; blocks * rows] })
    }

    fn add(&mut self, block: usize, row: usize, column: usize, weight: i32) -> Result<(), NodeReason> {
        let at = (block * self.rows + row) * self.columns + column;
        let slot = self.weights.get_mut(at).ok_or(NodeReason::TooLarge)?;
        *slot = i8::try_from(i32::from(*slot) + weight).map_err(|_| NodeReason::TooLarge)?;
        Ok(())
    }

    fn add_bias(&mut self, block: usize, row: usize, add: i32) {
        if let Some(bias) = self.bias.get_mut(block * self.rows + row) {
            *bias += add;
        }
    }

    /// Lowest and highest value of each row, if columns are zero or one.
    fn bounds(&self) -> impl Iterator<Item = (i32, i32)> {
        let rows = self.weights.chunks(self.columns.max(1)).zip(&self.bias);
        rows.map(|(row, bias)| {
            let sum = |sign: i32| row.iter().map(|w| i32::from(*w)).filter(|w| w * sign > 0).sum::<i32>();
            (bias + sum(-1), bias + sum(1))
        })
    }
}

/// Operators so far.
struct Writer<'a> {
    inputs: u32,
    outputs: u32,
    /// Half of the range of an encoded input.
    half: i32,
    steps: &'a [Vec<i64>],
    whole: &'a Whole,
    nodes: Vec<Operator>,
    layers: Vec<LayerWeights>,
    tables: Vec<Table>,
    /// What the scores are added up from.
    terms: Vec<Term>,
    /// The table that tells whether a number is at least zero, and where it is used.
    test: Option<u16>,
}

impl Writer<'_> {
    fn push(&mut self, operator: Operator) -> TensorId {
        self.nodes.push(operator);
        TensorId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }

    /// A matrix for each block times the numbers of that block; of the input, which all blocks share, when `shared`.
    fn contract(&mut self, input: TensorId, matrix: Matrix, shared: bool) -> Result<TensorId, NodeReason> {
        let size = |count: usize| u32::try_from(count).map_err(|_| NodeReason::TooLarge);
        let groups = if shared { vec![Axes::axis(2)] } else { vec![Axes::axis(0), Axes::axis(2)] };
        let operator = Operator::Contract {
            axes: vec![size(matrix.blocks)?, size(matrix.rows)?],
            summed: vec![size(matrix.columns)?],
            left: View { tensor: input, groups },
            right: Right::Weights { axes: vec![0, 1, 2] },
            bias: Some(vec![0, 1]),
        };
        self.layers.push(LayerWeights { matrix: matrix.weights, bias: matrix.bias });
        Ok(self.push(operator))
    }

    /// One where a number between `low` and `high` is at least zero, else zero.
    fn at_least_zero(&mut self, input: TensorId, low: i32, high: i32) -> Result<TensorId, NodeReason> {
        let bits = bits_for(low, high);
        let table = match self.test {
            Some(table) => table,
            None => {
                self.tables.push(Table { bits, values: Vec::new() });
                let table = u16::try_from(self.tables.len() - 1).map_err(|_| NodeReason::TooLarge)?;
                self.test = Some(table);
                table
            }
        };
        // One table serves all: as large as the largest range needs.
        if let Some(test) = self.tables.get_mut(usize::from(table)) {
            let bits = test.bits.max(bits);
            if bits > MAX_TABLE_BITS {
                return Err(NodeReason::TooLarge);
            }
            let half = 1usize << (bits - 1);
            test.bits = bits;
            test.values = [vec![0; half], vec![1; half]].concat();
        }
        Ok(self.push(Operator::Requantise { input, shift: 0, table }))
    }

    fn part(&mut self, plan: &Plan, layout: &Layout<'_>) -> Result<(), NodeReason> {
        let blocks = layout.blocks.len();
        let mut picks = Matrix::new(blocks, layout.rows, self.inputs as usize)?;
        let mut lowest = 0;
        for (index, block) in layout.blocks.iter().enumerate() {
            for (row, (feature, step)) in block.rows.iter().enumerate() {
                let steps = self.steps.get(*feature).map_or([].as_slice(), Vec::as_slice);
                let level = i32::try_from(steps.partition_point(|other| other <= step)).unwrap_or(i32::MAX);
                picks.add(index, row, *feature, 1)?;
                picks.add_bias(index, row, -level);
                lowest = lowest.min(-level);
            }
        }
        let levels = self.contract(TensorId(0), picks, true)?;
        let mut known = self.at_least_zero(levels, lowest - self.half, self.half)?;
        let mut columns = layout.rows;
        // Columns of gates so far.
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for (level, count) in layout.gates.iter().enumerate() {
            let mut matrix = Matrix::new(blocks, *count, columns)?;
            for (index, block) in layout.blocks.iter().enumerate() {
                for (row, (gate, of)) in block.gates.get(level).into_iter().flatten().enumerate() {
                    // Zero when nothing leads elsewhere, less than that otherwise.
                    add_parts(&mut matrix, (index, row), &of.parts, -1, block)?;
                    if let Some(column) = of.before.and_then(|before| places.get(&before)) {
                        matrix.add(index, row, *column, 1)?;
                        matrix.add_bias(index, row, -1);
                    }
                    places.insert(*gate, columns + row);
                }
            }
            let (low, high) = matrix.bounds().fold((0, 0), |all, row| (all.0.min(row.0), all.1.max(row.1)));
            let sums = self.contract(known, matrix, false)?;
            let gates = self.at_least_zero(sums, low, high)?;
            known = self.side_by_side([(known, columns), (gates, *count)], blocks)?;
            columns += count;
        }
        let mut sums = Matrix::new(blocks, layout.groups, columns)?;
        for (index, block) in layout.blocks.iter().enumerate() {
            for (row, (group, _)) in block.groups.iter().enumerate() {
                add_parts(&mut sums, (index, row), &group.parts, 1, block)?;
                if let Some((column, add)) =
                    group.gate.and_then(|(gate, add)| Some((places.get(&gate)?, add)))
                {
                    sums.add(index, row, *column, -add)?;
                    sums.add_bias(index, row, add);
                }
            }
        }
        self.look_ups(plan, layout, known, sums)
    }

    /// Two tensors of blocks as one.
    fn side_by_side(&mut self, parts: [(TensorId, usize); 2], blocks: usize) -> Result<TensorId, NodeReason> {
        let size = |count: usize| u32::try_from(count).map_err(|_| NodeReason::TooLarge);
        let mut offset = 0i32;
        let mut terms = Vec::new();
        for (tensor, count) in parts {
            let shifted = Axes { offset: -offset, ..Axes::axis(1) };
            let view = View { tensor, groups: vec![Axes::axis(0), shifted] };
            terms.push(Term { coefficient: 1, summed: Vec::new(), view });
            offset += i32::try_from(count).map_err(|_| NodeReason::TooLarge)?;
        }
        let axes = vec![size(blocks)?, u32::try_from(offset).map_err(|_| NodeReason::TooLarge)?];
        Ok(self.push(Operator::Combine { axes, terms, constant: 0, bias: None }))
    }

    /// Every group at its place of the table, and the sums of what is found there.
    fn look_ups(
        &mut self,
        plan: &Plan,
        layout: &Layout<'_>,
        known: TensorId,
        mut sums: Matrix,
    ) -> Result<(), NodeReason> {
        let size = |count: usize| u32::try_from(count).map_err(|_| NodeReason::TooLarge);
        let (low, high) = sums.bounds().fold((0, 0), |all, row| (all.0.min(row.0), all.1.max(row.1)));
        let mut table = Joint::new(low);
        let outputs = plan.outputs;
        let each = if layout.several { outputs } else { 1 };
        let mut places = Vec::with_capacity(layout.blocks.len() * layout.groups * each);
        for block in &layout.blocks {
            for row in 0..layout.groups {
                let group = block.groups.get(row);
                for place in 0..each {
                    let output = if layout.several {
                        Some(place)
                    } else {
                        group.and_then(|(_, scores)| scores.first()).copied()
                    };
                    let entry = |sum: usize| {
                        let leaves = group.and_then(|(group, _)| group.leaves.get(sum));
                        let (leaves, output) = leaves.zip(output)?;
                        i16::try_from(entry(leaves, &self.whole.leaves, output)).ok()
                    };
                    let values = core::array::from_fn(|sum| entry(sum).unwrap_or(0));
                    places.push(table.place(values)?);
                }
            }
        }
        let (table, half) = table.finish(high)?;
        self.tables.push(table);
        let table = u16::try_from(self.tables.len() - 1).map_err(|_| NodeReason::TooLarge)?;
        let biases = places.iter().map(|place| place - half);
        let (blocks, groups) = (size(layout.blocks.len())?, size(layout.groups)?);
        let placed = if layout.several {
            let summed = self.contract(known, sums, false)?;
            self.layers.push(LayerWeights { matrix: Vec::new(), bias: biases.collect() });
            let view = View { tensor: summed, groups: vec![Axes::axis(0), Axes::axis(1)] };
            self.push(Operator::Combine {
                axes: vec![blocks, groups, self.outputs],
                terms: vec![Term { coefficient: 1, summed: Vec::new(), view }],
                constant: 0,
                bias: Some(vec![0, 1, 2]),
            })
        } else {
            sums.bias.iter_mut().zip(biases).for_each(|(bias, place)| *bias += place);
            self.contract(known, sums, false)?
        };
        let found = self.push(Operator::Requantise { input: placed, shift: 0, table });
        let reads = vec![Axes::axis(1), Axes::axis(2)];
        if layout.several {
            let groups_of = [reads, vec![Axes::axis(0)]].concat();
            let view = View { tensor: found, groups: groups_of };
            self.terms.push(Term { coefficient: 1, summed: vec![blocks, groups], view });
        } else if outputs == 1 {
            let view = View { tensor: found, groups: reads };
            self.terms.push(Term { coefficient: 1, summed: vec![blocks, groups], view });
        } else {
            // Which score each group adds to.
            let cells = layout.blocks.len() * layout.groups;
            let mut matrix = vec![0i8; outputs * cells];
            for (index, block) in layout.blocks.iter().enumerate() {
                for (row, (_, scores)) in block.groups.iter().enumerate() {
                    let at = scores.first().map(|output| output * cells + index * layout.groups + row);
                    if let Some(slot) = at.and_then(|at| matrix.get_mut(at)) {
                        *slot = 1;
                    }
                }
            }
            self.layers.push(LayerWeights { matrix, bias: Vec::new() });
            let summed = self.push(Operator::Contract {
                axes: vec![self.outputs],
                summed: vec![blocks, groups],
                left: View { tensor: found, groups: reads },
                right: Right::Weights { axes: vec![0, 1, 2] },
                bias: None,
            });
            self.terms.push(Term { coefficient: 1, summed: Vec::new(), view: View::identity(summed, 1) });
        }
        Ok(())
    }

    /// What features alone add: a place of the table for each of their levels.
    fn functions(&mut self, functions: &[Function]) -> Result<(), NodeReason> {
        let outputs = self.outputs as usize;
        let length = |function: &Function| {
            self.steps.get(function.feature).map_or(1, |steps| steps.len() + 1) * outputs.max(1)
        };
        let room = (1usize << MAX_TABLE_BITS) - 2 * self.half.unsigned_abs() as usize;
        let mut batches: Vec<(usize, Vec<&Function>)> = Vec::new();
        for function in functions {
            let length = length(function);
            if length > room {
                return Err(NodeReason::TooLarge);
            }
            match batches.last_mut() {
                Some((sum, batch)) if *sum + length <= room => {
                    *sum += length;
                    batch.push(function);
                }
                _ => batches.push((length, vec![function])),
            }
        }
        for (_, batch) in batches {
            self.function_batch(&batch)?;
        }
        Ok(())
    }

    fn function_batch(&mut self, functions: &[&Function]) -> Result<(), NodeReason> {
        let size = |count: usize| u32::try_from(count).map_err(|_| NodeReason::TooLarge);
        let outputs = self.outputs as usize;
        // Encoded inputs that no value gives have room too: the operators know nothing of steps.
        let mut values = vec![0i16; self.half.unsigned_abs() as usize];
        let mut matrix = Matrix::new(1, functions.len() * outputs, self.inputs as usize)?;
        for (index, function) in functions.iter().enumerate() {
            for (output, pieces) in function.values.iter().enumerate() {
                let row = index * outputs + output;
                matrix.add(0, row, function.feature, 1)?;
                matrix.add_bias(0, row, i32::try_from(values.len()).map_err(|_| NodeReason::TooLarge)?);
                let steps = self.steps.get(function.feature).map_or([].as_slice(), Vec::as_slice);
                for level in core::iter::once(&i64::MIN).chain(steps) {
                    let value = pieces.at(*level).copied().unwrap_or(0);
                    values.push(i16::try_from(value).map_err(|_| NodeReason::TooLarge)?);
                }
            }
        }
        let used = values.len() + self.half.unsigned_abs() as usize;
        values.resize(used.next_power_of_two().max(2), 0);
        let bits = u8::try_from(values.len().trailing_zeros()).map_err(|_| NodeReason::TooLarge)?;
        let half = i32::try_from(values.len() / 2).map_err(|_| NodeReason::TooLarge)?;
        matrix.bias.iter_mut().for_each(|bias| *bias -= half);
        self.tables.push(Table { bits, values });
        let table = u16::try_from(self.tables.len() - 1).map_err(|_| NodeReason::TooLarge)?;
        let placed = self.contract(TensorId(0), matrix, true)?;
        let found = self.push(Operator::Requantise { input: placed, shift: 0, table });
        // Rows are features and, for each, scores.
        let stride = |axis, stride| Stride { axis, stride };
        let every = i32::try_from(self.outputs).map_err(|_| NodeReason::TooLarge)?;
        let still = Axes { strides: Vec::new(), ..Axes::axis(0) };
        let rows = Axes { strides: vec![stride(1, every), stride(0, 1)], ..Axes::axis(0) };
        let view = View { tensor: found, groups: vec![still, rows] };
        self.terms.push(Term { coefficient: 1, summed: vec![size(functions.len())?], view });
        Ok(())
    }

    /// Adds everything up.
    fn finish(&mut self) {
        let bias = self.whole.base.clone();
        let terms = core::mem::take(&mut self.terms);
        let axes = vec![self.outputs];
        if terms.is_empty() {
            // Nothing depends on the input, which is read all the same.
            let matrix = vec![0; self.inputs as usize * self.outputs as usize];
            self.layers.push(LayerWeights { matrix, bias });
            self.push(Operator::dense(TensorId(0), self.inputs, self.outputs));
        } else {
            self.layers.push(LayerWeights { matrix: Vec::new(), bias });
            self.push(Operator::Combine { axes, terms, constant: 0, bias: Some(vec![0]) });
        }
    }
}

/// Adds what features add to a row, `sign` times, as weights of comparisons.
fn add_parts(
    matrix: &mut Matrix,
    (index, row): (usize, usize),
    parts: &[(usize, Pieces<i32>)],
    sign: i32,
    block: &Block<'_>,
) -> Result<(), NodeReason> {
    for (feature, part) in parts {
        let mut before = None;
        for (start, value) in part.iter() {
            match before {
                None => matrix.add_bias(index, row, sign * value),
                Some(before) => {
                    let column =
                        block.rows.binary_search(&(*feature, *start)).map_err(|_| NodeReason::NotTrees)?;
                    matrix.add(index, row, column, sign * (value - before))?;
                }
            }
            before = Some(value);
        }
    }
    Ok(())
}

/// A table of all groups, sixteen entries for each.
struct Joint {
    /// Entries before the first, so that bounds that know nothing of what excludes what stay inside.
    before: usize,
    values: Vec<i16>,
    places: BTreeMap<[i16; GROUP_VALUES], i32>,
}

impl Joint {
    fn new(low: i32) -> Self {
        let before = (low.min(0).unsigned_abs() as usize).next_multiple_of(GROUP_VALUES);
        Self { before, values: Vec::new(), places: BTreeMap::new() }
    }

    /// Where a group's entries are; equal ones are there once.
    fn place(&mut self, values: [i16; GROUP_VALUES]) -> Result<i32, NodeReason> {
        if let Some(place) = self.places.get(&values) {
            return Ok(*place);
        }
        let place = i32::try_from(self.before + self.values.len()).map_err(|_| NodeReason::TooLarge)?;
        self.values.extend(values);
        self.places.insert(values, place);
        Ok(place)
    }

    /// The table and the half of its entries; `high` is the most that any group adds to its place.
    fn finish(self, high: i32) -> Result<(Table, i32), NodeReason> {
        let beyond = (high.max(0).unsigned_abs() as usize + 1).saturating_sub(GROUP_VALUES);
        let mut values = vec![0; self.before];
        values.extend(self.values);
        let length = (values.len() + beyond).next_power_of_two().max(2);
        values.resize(length, 0);
        let bits = u8::try_from(length.trailing_zeros()).map_err(|_| NodeReason::TooLarge)?;
        if bits > MAX_TABLE_BITS {
            return Err(NodeReason::TooLarge);
        }
        Ok((Table { bits, values }, i32::try_from(length / 2).map_err(|_| NodeReason::TooLarge)?))
    }
}

/// Bits of a two's complement number that holds both.
fn bits_for(low: i32, high: i32) -> u8 {
    let magnitude = (-(low.min(-1) + 1)).max(high).unsigned_abs();
    u8::try_from(u32::BITS - magnitude.leading_zeros() + 1).unwrap_or(u8::MAX)
}

/// Most weights of a matrix.
const WEIGHTS_MOST: usize = 1 << 26;
/// Look-ups of one table: all of it but for room at the ends.
const LOOK_UPS_MOST: usize = (1 << MAX_TABLE_BITS) / GROUP_VALUES - 16;
