//! From a graph to a circuit: look-ups of integer sums.
//!
//! One pass over the graph computes every element as a [`Value`]: a sum of parts, each of one input or of one look-up. Sums and
//! weights keep that shape. A table read at a value of one input is a function of that input, which costs nothing, as the client
//! encrypts steps of it (see [`super::layout`]). A table read at a look-up is another look-up of the same sum. Any other table is a look-up
//! of the sum it is read at; equal ones are one.

use std::collections::BTreeMap;

use tacit_graph::{Graph, LayerWeights, Model, Operator, Right, Table, TensorId, Term, View};

use super::{
    steps::{Affine, Steps, entry_of},
    value::{Atom, Levels, Part, Value},
};

/// Most look-ups of a circuit.
pub const MAX_LOOKUPS: usize = 1 << 12;
/// Most values of an input that is read through a table of its own.
pub const MAX_LEVELS: usize = 1 << 8;
/// Most products of weights and parts that compiling may take.
pub const MAX_WORK: usize = 1 << 24;
/// Most values of one sum that several inputs share when each alone would be a look-up.
const PACKED_VALUES: i64 = 16;
/// Most integers that the difference of two values under a maximum may take.
const MAXIMUM_RANGE: i64 = 1 << 16;

/// Why a model is no circuit, and what would make it one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// A product of two values that both depend on the row.
    #[error("operator {node} multiplies two values; under encryption only sums and look-ups are possible")]
    Product {
        /// Its index.
        node: usize,
    },
    /// A sum of inputs and results of look-ups that goes through a table.
    #[error(
        "operator {node} adds inputs to results of look-ups: take the sum after a table, or encode the input in at most {PACKED_VALUES} values"
    )]
    Mixed {
        /// Its index; the number of operators if it is the output.
        node: usize,
    },
    /// A maximum of values that are far apart.
    #[error("operator {node} is a maximum over a difference of {got} values, {MAXIMUM_RANGE} at most")]
    Maximum {
        /// Its index.
        node: usize,
        /// Values of the difference.
        got: i64,
    },
    /// Too many look-ups.
    #[error("more than {MAX_LOOKUPS} look-ups, one bootstrap each: take fewer activations or trees")]
    Lookups,
    /// Compiling would take too long.
    #[error("the model is too large to be compiled: take one with fewer products")]
    TooLarge,
    /// No look-up at all.
    #[error("the model has no look-ups: as a linear model it needs no keys and no bootstraps")]
    Linear,
    /// Too many numbers to encrypt.
    #[error(
        "{got} numbers to encrypt, {} at most: take fewer features or coarser steps",
        super::layout::MAX_SLOTS
    )]
    Slots {
        /// How many.
        got: usize,
    },
    /// No outputs or too many.
    #[error("{got} outputs, 1 to {} fit: ask for fewer at a time", super::layout::MAX_OUTPUTS)]
    Outputs {
        /// How many.
        got: usize,
    },
    /// Sums of look-ups that pass too many tables in a row.
    #[error("{got} look-ups follow each other, {} at most: take fewer layers", super::plan::MAX_DEPTH)]
    Depth {
        /// Length of the longest chain.
        got: usize,
    },
    /// Noise would leave nothing of a value.
    #[error(
        "noise leaves {got} bits of {what}, {} at least: import with fewer bits for weights, or take fewer inputs to a sum",
        super::plan::MIN_PRECISION_BITS
    )]
    Noise {
        /// Bits that are left.
        got: i32,
        /// Of what.
        what: &'static str,
    },
}

/// A sum without its constant, divided by what divides all its parts.
pub(crate) type Form = Vec<(Atom, Part)>;

/// A table read at a sum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lookup {
    pub(crate) form: Form,
    pub(crate) steps: Steps,
}

/// A model as look-ups of sums.
#[derive(Clone)]
pub(crate) struct Circuit {
    /// Values of each input.
    pub(crate) inputs: Vec<Levels>,
    /// Each reads inputs alone, or look-ups before it alone.
    pub(crate) lookups: Vec<Lookup>,
    /// Sums of look-ups.
    pub(crate) outputs: Vec<Value>,
}

/// Values of each encoded input, from the public graph.
pub(crate) fn levels(graph: &Graph) -> Vec<Levels> {
    let half = 1i64 << (graph.input_bits.clamp(1, 16) - 1);
    let of = |steps: usize| match i64::try_from(steps) {
        Ok(0) | Err(_) => Levels { low: -half, high: half - 1 },
        Ok(steps) => Levels { low: 0, high: steps },
    };
    graph.features.iter().map(|feature| of(feature.steps.len())).collect()
}

/// Compiles a model.
///
/// # Errors
/// Says what does not fit.
pub(crate) fn compile(model: &Model) -> Result<Circuit, Misfit> {
    let graph = model.graph();
    if model.shapes().macs() > MAX_WORK as u64 {
        return Err(Misfit::TooLarge);
    }
    let inputs = levels(graph);
    let mut compiler = Compiler { inputs: &inputs, lookups: Vec::new(), known: BTreeMap::new(), work: 0 };
    let first = (0u32..).take(inputs.len()).map(|input| Value::atom(Atom::Input(input))).collect();
    let mut tensors: Vec<Vec<Value>> = vec![first];
    for (node, operator) in graph.nodes.iter().enumerate() {
        let layer = model.shapes().layer_of(node).and_then(|layer| model.weights().layers.get(layer));
        let made = compiler.run(&Place { model, tensors: &tensors, node, layer }, operator)?;
        tensors.push(made);
    }
    let outputs = tensors.pop().unwrap_or_default();
    let is_product = |(atom, part): (&Atom, &Part)| matches!((atom, part), (Atom::Input(_), Part::Times(_)));
    if outputs.iter().all(|output| output.parts.iter().all(is_product)) {
        return Err(Misfit::Linear);
    }
    let outputs: Vec<Value> = outputs
        .into_iter()
        .map(|output| compiler.looked_up(output, graph.nodes.len()))
        .collect::<Result<_, _>>()?;
    Ok(pruned(Circuit { lookups: compiler.lookups, outputs, inputs }))
}

/// Where a node is.
struct Place<'a> {
    model: &'a Model,
    tensors: &'a [Vec<Value>],
    node: usize,
    layer: Option<&'a LayerWeights>,
}

impl Place<'_> {
    /// What a view reads at an index over the operator's axes; nothing is zero.
    fn read(&self, view: &View, index: &[u32]) -> Option<&Value> {
        let tensor = view.tensor.0 as usize;
        let mut axes = self.model.shapes().tensors().get(tensor)?.axes.as_slice();
        let mut at = 0usize;
        for group in &view.groups {
            let (taken, rest) = axes.split_at_checked(usize::from(group.span))?;
            axes = rest;
            let length = taken.iter().product();
            let position =
                group.position(length, |axis| index.get(usize::from(axis)).copied().unwrap_or(0))?;
            at = at * length as usize + position as usize;
        }
        self.tensors.get(tensor)?.get(at)
    }

    fn bias(&self, chosen: Option<&[u8]>, axes: &[u32], output: &[u32]) -> i64 {
        let bias =
            chosen.zip(self.layer).and_then(|(chosen, layer)| layer.bias.get(at(axes, chosen, output)));
        bias.map_or(0, |bias| i64::from(*bias))
    }

    fn weight(&self, sizes: &[u32], chosen: &[u8], index: &[u32]) -> i64 {
        let weight = self.layer.and_then(|layer| layer.matrix.get(at(sizes, chosen, index)));
        weight.map_or(0, |weight| i64::from(*weight))
    }

    fn tensor(&self, TensorId(tensor): TensorId) -> &[Value] {
        self.tensors.get(tensor as usize).map_or(&[], Vec::as_slice)
    }
}

struct Compiler<'a> {
    inputs: &'a [Levels],
    lookups: Vec<Lookup>,
    known: BTreeMap<Lookup, u32>,
    work: usize,
}

impl Compiler<'_> {
    fn levels(&self, input: u32) -> Levels {
        self.inputs.get(input as usize).copied().unwrap_or(Levels { low: 0, high: 0 })
    }

    fn add(&mut self, sum: &mut Value, more: &Value, factor: i64) -> Result<(), Misfit> {
        let cells = |part: &Part| if let Part::Table(values) = part { values.len() } else { 1 };
        self.work += 1 + more.parts.values().map(cells).sum::<usize>();
        if self.work > MAX_WORK {
            return Err(Misfit::TooLarge);
        }
        sum.add(more, factor, &|input| self.levels(input));
        Ok(())
    }

    fn run(&mut self, place: &Place<'_>, operator: &Operator) -> Result<Vec<Value>, Misfit> {
        match operator {
            Operator::Contract { axes, summed, left, right, bias } => {
                let sizes = [axes.as_slice(), summed].concat();
                let mut made = Vec::new();
                for output in indices(axes) {
                    let mut sum = Value::constant(place.bias(bias.as_deref(), axes, &output));
                    for inner in indices(summed) {
                        let index = [output.as_slice(), &inner].concat();
                        let Some(left) = place.read(left, &index) else { continue };
                        match right {
                            Right::Weights { axes: chosen } => {
                                let weight = place.weight(&sizes, chosen, &index);
                                self.add(&mut sum, left, weight)?;
                            }
                            Right::View(view) => {
                                let Some(right) = place.read(view, &index) else { continue };
                                let product = self.product(left, right, place.node)?;
                                self.add(&mut sum, &product, 1)?;
                            }
                        }
                    }
                    made.push(self.tidied(sum));
                }
                Ok(made)
            }
            Operator::Combine { axes, terms, constant, bias } => {
                let mut made = Vec::new();
                for output in indices(axes) {
                    let start = i64::from(*constant) + place.bias(bias.as_deref(), axes, &output);
                    let mut sum = Value::constant(start);
                    for Term { coefficient, summed, view } in terms {
                        for inner in indices(summed) {
                            let index = [output.as_slice(), &inner].concat();
                            if let Some(value) = place.read(view, &index) {
                                self.add(&mut sum, value, i64::from(*coefficient))?;
                            }
                        }
                    }
                    made.push(self.tidied(sum));
                }
                Ok(made)
            }
            Operator::Maximum { axes, left, right } => {
                let zero = Value::default();
                let mut made = Vec::new();
                for index in indices(axes) {
                    let left = place.read(left, &index).unwrap_or(&zero);
                    let right = place.read(right, &index).unwrap_or(&zero);
                    made.push(self.maximum(left, right, place.node)?);
                }
                Ok(made)
            }
            Operator::Requantise { input, shift, table } => {
                let Some(table) = place.model.graph().tables.get(usize::from(*table)) else {
                    return Err(Misfit::TooLarge);
                };
                let values = place.tensor(*input).iter();
                values.map(|value| self.requantise(value, *shift, table, place.node)).collect()
            }
        }
    }

    fn tidied(&self, mut value: Value) -> Value {
        value.tidy(&|input| self.levels(input));
        value
    }

    fn product(&mut self, left: &Value, right: &Value, node: usize) -> Result<Value, Misfit> {
        let (factor, other) = match (left.parts.is_empty(), right.parts.is_empty()) {
            (true, _) => (left.constant, right),
            (_, true) => (right.constant, left),
            (false, false) => {
                let one = |left: i64, right: i64| left * right;
                return self.of_one_input(left, right, one).ok_or(Misfit::Product { node });
            }
        };
        let mut product = Value::default();
        self.add(&mut product, other, factor)?;
        Ok(self.tidied(product))
    }

    /// A function of two values that depend on one and the same input at most.
    fn of_one_input(&self, left: &Value, right: &Value, of: impl Fn(i64, i64) -> i64) -> Option<Value> {
        let (input, _) = left.only_input().or_else(|| right.only_input())?;
        let levels = self.levels(input);
        if levels.count() > MAX_LEVELS {
            return None;
        }
        let pairs = left.values(input, levels)?.into_iter().zip(right.values(input, levels)?);
        let values: Vec<i64> = pairs.map(|(left, right)| of(left, right)).collect();
        Some(Value::function(input, levels, &values))
    }

    fn maximum(&mut self, left: &Value, right: &Value, node: usize) -> Result<Value, Misfit> {
        if let Some(value) = self.of_one_input(left, right, i64::max) {
            return Ok(value);
        }
        let mut difference = left.clone();
        self.add(&mut difference, right, -1)?;
        let difference = self.tidied(difference);
        let (low, high) = self.range(&difference);
        if low >= 0 {
            return Ok(left.clone());
        }
        if high <= 0 {
            return Ok(right.clone());
        }
        if high - low >= MAXIMUM_RANGE {
            return Err(Misfit::Maximum { node, got: high - low + 1 });
        }
        // max(a, b) = b + max(a - b, 0)
        let more = self.read(&difference, node, |low, high, affine| {
            Steps::identity(low, high).map(|v| (affine.factor * v + affine.constant).max(0))
        })?;
        let mut sum = right.clone();
        self.add(&mut sum, &more, 1)?;
        Ok(self.tidied(sum))
    }

    fn requantise(&mut self, value: &Value, shift: u8, table: &Table, node: usize) -> Result<Value, Misfit> {
        let half = if shift == 0 { 0 } else { 1i64 << (shift - 1) };
        let of = |x: i64| entry_of(table, (x + half).div_euclid(1 << shift));
        if value.parts.is_empty() {
            return Ok(Value::constant(of(value.constant)));
        }
        if let Some(value) = self.of_one_input(value, value, |x, _| of(x)) {
            return Ok(value);
        }
        if let Some((lookup, times)) = value.only_lookup() {
            let Some(Lookup { form, steps }) = self.lookups.get(lookup as usize) else {
                return Err(Misfit::TooLarge);
            };
            let steps = steps.map(|v| of(times * v + value.constant));
            return self.push(Lookup { form: form.clone(), steps });
        }
        self.read(value, node, |low, high, affine| Steps::requantise(low, high, affine, shift, table))
    }

    /// A look-up at a sum, of a function of the sum's form.
    fn read(
        &mut self,
        value: &Value,
        node: usize,
        steps: impl Fn(i64, i64, Affine) -> Steps,
    ) -> Result<Value, Misfit> {
        let mixed = |of: fn(&Atom) -> bool| value.parts.keys().any(of);
        let both =
            mixed(|atom| matches!(atom, Atom::Input(_))) && mixed(|atom| matches!(atom, Atom::Lookup(_)));
        let value = if both { self.looked_up(value.clone(), node)? } else { value.clone() };
        let factor = value.parts.values().fold(0, |divisor, part| part.divisor(divisor)).max(1);
        let form: Form = value.parts.iter().map(|(atom, part)| (*atom, part.divided(factor))).collect();
        let (low, high) = self.range_of(&form);
        let steps = steps(low, high, Affine { factor, constant: value.constant });
        self.push(Lookup { form, steps })
    }

    fn push(&mut self, lookup: Lookup) -> Result<Value, Misfit> {
        if let Some(constant) = lookup.steps.constant() {
            return Ok(Value::constant(constant));
        }
        if let Some(known) = self.known.get(&lookup) {
            return Ok(Value::atom(Atom::Lookup(*known)));
        }
        if self.lookups.len() >= MAX_LOOKUPS {
            return Err(Misfit::Lookups);
        }
        let index = u32::try_from(self.lookups.len()).map_err(|_| Misfit::Lookups)?;
        self.lookups.push(lookup.clone());
        self.known.insert(lookup, index);
        Ok(Value::atom(Atom::Lookup(index)))
    }

    fn range(&self, value: &Value) -> (i64, i64) {
        let form: Form = value.parts.iter().map(|(atom, part)| (*atom, part.clone())).collect();
        let (low, high) = self.range_of(&form);
        (value.constant + low, value.constant + high)
    }

    fn range_of(&self, form: &Form) -> (i64, i64) {
        let part = |(atom, part): &(Atom, Part)| match atom {
            Atom::Input(input) => {
                let Levels { low, high } = self.levels(*input);
                part.range(low, high)
            }
            Atom::Lookup(lookup) => {
                let (low, high) =
                    self.lookups.get(*lookup as usize).map_or((0, 0), |lookup| lookup.steps.image());
                part.range(low, high)
            }
        };
        form.iter().map(part).fold((0, 0), |(low, high), (less, more)| (low + less, high + more))
    }

    /// The same value with its functions of inputs as look-ups, several of few values in one where they fit.
    fn looked_up(&mut self, value: Value, node: usize) -> Result<Value, Misfit> {
        let mut rest = Value::constant(value.constant);
        let mut pieces = Vec::new();
        for (atom, part) in value.parts {
            let Atom::Input(input) = atom else {
                rest.parts.insert(atom, part);
                continue;
            };
            let levels = self.levels(input);
            if levels.count() > MAX_LEVELS
                || (matches!(part, Part::Times(_)) && levels.count() as i64 > PACKED_VALUES)
            {
                return Err(Misfit::Mixed { node });
            }
            let mut one = Value::default();
            one.parts.insert(atom, part);
            pieces.extend(Piece::of(
                input,
                &one.values(input, levels).unwrap_or_default(),
                &mut rest.constant,
            ));
        }
        // Largest first, each where it first fits.
        pieces.sort_by_key(|piece| core::cmp::Reverse(piece.jumps.len()));
        let mut packs: Vec<Vec<Piece>> = Vec::new();
        for piece in pieces {
            let fits = |pack: &&mut Vec<Piece>| {
                pack.iter().map(Piece::radix).product::<i64>() * piece.radix() <= PACKED_VALUES
            };
            match packs.iter_mut().find(fits) {
                Some(pack) => pack.push(piece),
                None => packs.push(vec![piece]),
            }
        }
        for pack in packs {
            let lookup = self.packed(&pack)?;
            self.add(&mut rest, &lookup, 1)?;
        }
        Ok(rest)
    }

    /// One look-up for the sum of some pieces: the steps that each has passed are digits of one number.
    fn packed(&mut self, pack: &[Piece]) -> Result<Value, Misfit> {
        let mut form = Value::default();
        let mut place = 1;
        for piece in pack {
            let levels = self.levels(piece.input);
            let passed = |index: usize| piece.jumps.partition_point(|(at, _)| *at <= index) as i64;
            let counts: Vec<i64> = (0..levels.count()).map(passed).collect();
            form.add(&Value::function(piece.input, levels, &counts), place, &|input| self.levels(input));
            place *= piece.radix();
        }
        let form = self.tidied(form);
        let total = |mut v: i64| {
            let mut total = 0;
            for piece in pack {
                let passed = usize::try_from(v % piece.radix()).unwrap_or(0);
                v /= piece.radix();
                total += piece.jumps.iter().take(passed).map(|(_, jump)| jump).sum::<i64>();
            }
            total
        };
        let read = |low: i64, high: i64, affine: Affine| {
            Steps::identity(low, high).map(|v| total(affine.factor * v + affine.constant))
        };
        self.read(&form, usize::MAX, read)
    }
}

/// Part of a function of one input: at which of its levels it jumps, and by how much.
struct Piece {
    input: u32,
    jumps: Vec<(usize, i64)>,
}

impl Piece {
    /// A function by its values, in pieces with few jumps; its first value goes to `constant`.
    fn of(input: u32, values: &[i64], constant: &mut i64) -> Vec<Self> {
        *constant += values.first().copied().unwrap_or(0);
        let pairs = values.iter().zip(values.iter().skip(1)).enumerate();
        let jumps: Vec<(usize, i64)> =
            pairs.map(|(index, (from, to))| (index + 1, to - from)).filter(|(_, jump)| *jump != 0).collect();
        let most = usize::try_from(PACKED_VALUES - 1).unwrap_or(1);
        jumps.chunks(most).map(|jumps| Self { input, jumps: jumps.to_vec() }).collect()
    }

    /// Values that the number of jumps passed can take.
    fn radix(&self) -> i64 {
        self.jumps.len() as i64 + 1
    }
}

/// Without the look-ups that nothing reads.
fn pruned(circuit: Circuit) -> Circuit {
    let mut used = vec![false; circuit.lookups.len()];
    let mark = |used: &mut Vec<bool>, atom: &Atom| {
        if let Atom::Lookup(lookup) = atom
            && let Some(slot) = used.get_mut(*lookup as usize)
        {
            *slot = true;
        }
    };
    circuit.outputs.iter().flat_map(|output| output.parts.keys()).for_each(|atom| mark(&mut used, atom));
    for (index, lookup) in circuit.lookups.iter().enumerate().rev() {
        if used.get(index).copied().unwrap_or(false) {
            lookup.form.iter().for_each(|(atom, _)| mark(&mut used, atom));
        }
    }
    let mut places = Vec::new();
    let mut count = 0u32;
    for used in &used {
        places.push(count);
        count += u32::from(*used);
    }
    let moved = |atom: &Atom| match atom {
        Atom::Input(_) => *atom,
        Atom::Lookup(lookup) => Atom::Lookup(places.get(*lookup as usize).copied().unwrap_or(0)),
    };
    let lookups = circuit.lookups.into_iter().zip(&used).filter(|(_, used)| **used).map(|(lookup, _)| {
        let form = lookup.form.into_iter().map(|(atom, part)| (moved(&atom), part)).collect();
        Lookup { form, steps: lookup.steps }
    });
    let outputs = circuit.outputs.into_iter().map(|output| Value {
        constant: output.constant,
        parts: output.parts.into_iter().map(|(atom, part)| (moved(&atom), part)).collect(),
    });
    Circuit { lookups: lookups.collect(), outputs: outputs.collect(), inputs: circuit.inputs }
}

// Forms are made of weights: they stay out of logs.
impl core::fmt::Debug for Circuit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Circuit").field("lookups", &self.lookups.len()).finish_non_exhaustive()
    }
}

impl Circuit {
    /// How many look-ups lie on the longest way to each look-up, itself included.
    pub(crate) fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.lookups.len());
        for lookup in &self.lookups {
            let before = lookup.form.iter().map(|(atom, _)| match atom {
                Atom::Input(_) => 0,
                Atom::Lookup(before) => depths.get(*before as usize).copied().unwrap_or(0),
            });
            depths.push(before.max().unwrap_or(0) + 1);
        }
        depths
    }
}

/// Every index over `axes`, row-major.
fn indices(axes: &[u32]) -> impl Iterator<Item = Vec<u32>> + use<> {
    let axes = axes.to_vec();
    let count: usize = axes.iter().map(|axis| *axis as usize).product();
    (0..count).map(move |mut flat| {
        let mut index = vec![0; axes.len()];
        for (index, size) in index.iter_mut().zip(&axes).rev() {
            *index = (flat % *size as usize) as u32;
            flat /= *size as usize;
        }
        index
    })
}

/// Where an index over all axes falls in a row-major array over the chosen ones.
fn at(sizes: &[u32], chosen: &[u8], index: &[u32]) -> usize {
    let of = |values: &[u32], axis: u8| values.get(usize::from(axis)).copied().unwrap_or(0) as usize;
    chosen.iter().fold(0, |at, axis| at * of(sizes, *axis) + of(index, *axis))
}
