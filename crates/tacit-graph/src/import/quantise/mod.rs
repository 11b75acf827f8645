//! From a float program to the integer graph.
//!
//! Every value `x` of a tensor is written `x = unit * (q - zero)`. Sums keep whatever unit the weights give them; they
//! are brought back to a few bits only where something other than a sum reads them, by a requantisation that is the
//! network's activation at the same time. Its step is the sum's unit times a power of two, so that functions which
//! commute with scaling (ReLU, LeakyReLU, none) have one table for all layers, whatever their scales; sums that go
//! into other functions get a power of two as unit, so that these share tables too.
//!
//! After rounding an operator's weights, its biases take up the mean error on the calibration rows (bias correction,
//! Nagel et al. 2019, section 4.2), measured on the integer values that the operators before really give.

mod weighted;

use rayon::prelude::*;

use self::weighted::WeightedSum;
use super::{
    demand::{Demands, LEVELS_USUAL},
    encoder::{Encoder, Grid},
    error::ImportError,
    expr::Expr,
    front::Fronted,
    integer::{Integers, Sum},
    program::{Factor, Node, Part, Values, cells},
    sample::Sample,
    tables::{Limits, Seen, Tables},
};
use crate::graph::{
    Decoder, Feature, Graph, MAX_BIAS, MAX_FRACTION_BITS, Operator, Right, Table, TensorId, Term, View,
    Weights,
};

/// How fine everything is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    /// Of tensors and weights.
    pub(super) demands: &'a Demands,
    /// Most bits of a table.
    pub(super) table_bits: u8,
    /// Most bits of an encoded input.
    pub(super) input_bits: u8,
}

/// A quantised network without its decoder's labels.
#[derive(Debug)]
pub(super) struct Quantised {
    pub(super) features: Vec<Feature>,
    pub(super) input_axes: Vec<u32>,
    pub(super) input_bits: u8,
    pub(super) nodes: Vec<Operator>,
    pub(super) tables: Vec<Table>,
    pub(super) weights: Weights,
    pub(super) fraction_bits: i8,
    /// Root mean square of the outputs' error on the calibration rows.
    pub(super) error: f64,
    /// Calibration rows on which the largest output, or the sign of the only one, is that of the float network.
    pub(super) same_decisions: usize,
}

impl Quantised {
    pub(super) fn into_parts(self, names: Option<&[String]>, decoder: Decoder) -> (Graph, Weights) {
        let mut features = self.features;
        for (feature, name) in features.iter_mut().zip(names.unwrap_or_default()) {
            feature.name.clone_from(name);
        }
        let (input_axes, input_bits) = (self.input_axes, self.input_bits);
        let (nodes, tables) = (self.nodes, self.tables);
        (Graph { features, input_axes, input_bits, nodes, tables, decoder }, self.weights)
    }

    /// Entries of all tables: what they cost to prove.
    pub(super) fn table_rows(&self) -> u64 {
        self.tables.iter().map(|table| 1u64 << table.bits).sum()
    }
}

/// An integer tensor and what its numbers stand for.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    tensor: TensorId,
    unit: f64,
    zero: i64,
}

/// What has been made for a tensor of the float program.
#[derive(Debug, Clone, Copy)]
enum Made {
    /// The encoded input with a grid for each feature.
    Encoded,
    Scaled(Scaled),
}

struct Quantiser<'a> {
    fronted: &'a Fronted,
    sample: &'a Sample,
    settings: Settings<'a>,
    encoder: &'a Encoder,
    readers: Vec<Vec<usize>>,
    made: Vec<Made>,
    /// Tensors of few bits, for those of `made` that have many.
    narrow: Vec<Option<Scaled>>,
    integers: Integers,
    tables: Tables,
}

/// Quantises the program of `fronted` for the rows of `sample`.
pub(super) fn quantise(
    fronted: &Fronted,
    raw: &[Vec<f64>],
    sample: &Sample,
    settings: Settings<'_>,
) -> Result<Quantised, ImportError> {
    let program = &fronted.program;
    let encoder = Encoder::new(fronted, raw, settings.demands.input_levels, settings.input_bits)?;
    let graph = Graph {
        features: encoder.features.clone(),
        input_axes: program.shape(0).to_vec(),
        input_bits: encoder.bits,
        nodes: Vec::new(),
        tables: Vec::new(),
        decoder: Decoder::Values { fraction_bits: 0 },
    };
    let inputs = raw.par_iter().map(|row| encoder.encode(row)).collect();
    let first = match &encoder.grids {
        Grid::Each(_) => Made::Encoded,
        Grid::Same { unit, zero } => Made::Scaled(Scaled { tensor: TensorId(0), unit: *unit, zero: *zero }),
    };
    let mut quantiser = Quantiser {
        fronted,
        sample,
        settings,
        encoder: &encoder,
        readers: program.readers(),
        made: vec![first],
        narrow: vec![None],
        integers: Integers::new(&graph, inputs),
        tables: Tables::default(),
    };
    for (index, node) in program.nodes.iter().enumerate() {
        let made = quantiser.node(index, node).ok_or(ImportError::OutOfRange { operator: index })?;
        quantiser.made.push(Made::Scaled(made));
        quantiser.narrow.push(None);
        if quantiser.is_copied(index + 1)
            && let Ok(tensor) = u32::try_from(index + 1)
            && let Some(narrow) = quantiser.few_bits(tensor)
            && let Some(made) = quantiser.made.last_mut()
        {
            *made = Made::Scaled(narrow);
        }
        quantiser.free(index);
    }
    let refused = ImportError::OutOfRange { operator: program.nodes.len().saturating_sub(1) };
    let last = quantiser.finish().ok_or(refused)?;
    let features = encoder.features.clone();
    Ok(quantiser.into_quantised(last, features, graph))
}

impl Quantiser<'_> {
    fn node(&mut self, index: usize, node: &Node) -> Option<Scaled> {
        match node {
            Node::Contract { axes, summed, left, right: Factor::Weights { values, grid }, bias } => {
                let sum = WeightedSum { index, axes, summed, left, values, grid: *grid, bias: bias.as_ref() };
                self.weighted(node, &sum)
            }
            Node::Contract { axes, summed, left, right: Factor::View(right), bias } => {
                let (a, b) = (self.few_bits(left.tensor.0)?, self.few_bits(right.tensor.0)?);
                let (a, b) = (self.without_zero(a)?, self.without_zero(b)?);
                if bias.is_some() {
                    return None;
                }
                let operator = Operator::Contract {
                    axes: axes.clone(),
                    summed: summed.clone(),
                    left: at(left, a.tensor),
                    right: Right::View(at(right, b.tensor)),
                    bias: None,
                };
                let tensor = self.integers.push(operator, None, self.tables.list())?;
                Some(Scaled { tensor, unit: a.unit * b.unit, zero: 0 })
            }
            Node::Combine { axes, terms, constant, bias } => {
                self.combine(index, axes, terms, *constant, bias.as_ref())
            }
            Node::Maximum { axes, left, right, lowest } => self.maximum(axes, left, right, *lowest),
            Node::Map { input, function } => self.map(index, *input, function),
        }
    }

    fn scaled(&self, tensor: u32) -> Option<Scaled> {
        match self.made.get(tensor as usize)? {
            Made::Scaled(scaled) => Some(*scaled),
            Made::Encoded => None,
        }
    }

    /// The tensor with few enough bits to multiply or to compare.
    fn few_bits(&mut self, tensor: u32) -> Option<Scaled> {
        let scaled = self.scaled(tensor)?;
        let (low, high) = self.integers.reach(scaled.tensor);
        let most = (low - scaled.zero).abs().max((high - scaled.zero).abs());
        let levels = self.settings.demands.levels(tensor as usize);
        if tensor == 0 || most <= self.settings.demands.passes(tensor as usize) {
            return Some(scaled);
        }
        if let Some(narrow) = self.narrow.get(tensor as usize).copied().flatten() {
            return Some(narrow);
        }
        let scaled = self.without_zero(scaled)?;
        let values = self.sample.picked.get(tensor as usize)?;
        let range = *self.sample.ranges.get(tensor as usize)?;
        let seen = Seen { before: (values, range), after: (values, range) };
        let narrow = self.requantise(scaled, &Expr::X, seen, levels)?;
        *self.narrow.get_mut(tensor as usize)? = Some(narrow);
        Some(narrow)
    }

    /// The same values with zero at zero.
    fn without_zero(&mut self, scaled: Scaled) -> Option<Scaled> {
        if scaled.zero == 0 {
            return Some(scaled);
        }
        let axes = self.integers.shape(scaled.tensor).to_vec();
        let view = View::identity(scaled.tensor, axes.len());
        let terms = vec![Term { coefficient: 1, summed: vec![], view }];
        let constant = i32::try_from(-scaled.zero).ok()?;
        let operator = Operator::Combine { axes, terms, constant, bias: None };
        let tensor = self.integers.push(operator, None, self.tables.list())?;
        Some(Scaled { tensor, unit: scaled.unit, zero: 0 })
    }

    /// Whether a tensor's unit should be a power of two: it is shown, or goes into a function that is no line.
    fn wants_power(&self, tensor: usize) -> bool {
        let Some(readers) = self.readers.get(tensor) else { return true };
        let last = self.fronted.program.nodes.len();
        let reader_wants = |reader: &usize| match self.fronted.program.nodes.get(*reader) {
            Some(Node::Contract { right: Factor::Weights { .. }, .. }) | None => false,
            Some(Node::Map { function, .. }) if function.grid().is_some() => false,
            Some(Node::Map { function, .. }) if !function.is_homogeneous() && function.linear().is_none() => {
                true
            }
            // Powers of two add up without large coefficients, for which a fine sum has no room.
            Some(Node::Combine { terms, .. })
                if terms.len() > 1 && self.settings.demands.levels(reader + 1) > LEVELS_USUAL =>
            {
                true
            }
            Some(_) => self.wants_power(reader + 1),
        };
        tensor == last || readers.iter().any(reader_wants)
    }

    /// Whether a tensor is read only to be copied to more places than it has: fewer bits cost less before than after.
    fn is_copied(&self, tensor: usize) -> bool {
        let program = &self.fronted.program;
        let Some(readers) = self.readers.get(tensor).filter(|readers| readers.len() > 1) else {
            return false;
        };
        let copies = |reader: &usize| match program.nodes.get(*reader) {
            Some(Node::Combine { axes, terms, bias: None, .. }) => {
                let copies = |part: &Part| part.coefficient == 1.0 && part.summed.is_empty();
                terms.iter().all(copies).then(|| cells(axes))
            }
            _ => None,
        };
        let made: Option<usize> = readers.iter().map(copies).sum();
        let own = u32::try_from(tensor).map_or(0, |tensor| program.cells(tensor));
        made.is_some_and(|made| made >= 4 * own)
    }

    /// Whether a tensor is only shown.
    fn is_shown(&self, tensor: usize) -> bool {
        let last = self.fronted.program.nodes.len();
        let copies = |reader: &usize| match self.fronted.program.nodes.get(*reader) {
            Some(Node::Combine { terms, .. }) => {
                matches!(terms.as_slice(), [part] if part.summed.is_empty()) && self.is_shown(reader + 1)
            }
            _ => false,
        };
        tensor == last || self.readers.get(tensor).is_some_and(|readers| readers.iter().all(copies))
    }

    fn combine(
        &mut self,
        index: usize,
        axes: &[u32],
        terms: &[Part],
        constant: f64,
        bias: Option<&Values>,
    ) -> Option<Scaled> {
        let mut scaled = Vec::new();
        for part in terms {
            let read = self.scaled(part.view.tensor.0)?;
            scaled.push(self.without_zero(read)?);
        }
        let power = self.wants_power(index + 1);
        // Wide sums that cannot be added as they are get fewer bits first.
        for attempt in 0..2 {
            if attempt == 1 {
                for (slot, part) in scaled.iter_mut().zip(terms) {
                    let narrow = self.few_bits(part.view.tensor.0)?;
                    *slot = self.without_zero(narrow)?;
                }
            }
            let factors: Vec<f64> =
                terms.iter().zip(&scaled).map(|(part, scaled)| part.coefficient * scaled.unit).collect();
            let (units, close) = sum_units(&factors, constant, bias.map(|bias| bias.data.as_ref()), power);
            let tried = if attempt == 0 { close } else { units.len() };
            for unit in units.into_iter().take(tried) {
                let made = Sum {
                    axes,
                    terms,
                    tensors: scaled.iter().map(|s| s.tensor).collect(),
                    factors: &factors,
                };
                let made = made.operator(unit, constant, bias);
                if let Some((operator, layer)) = made
                    && let Some(tensor) = self.integers.push(operator, layer, self.tables.list())
                {
                    return Some(Scaled { tensor, unit, zero: 0 });
                }
            }
        }
        None
    }

    fn maximum(&mut self, axes: &[u32], left: &View, right: &View, lowest: bool) -> Option<Scaled> {
        let (mut a, mut b) = (self.few_bits(left.tensor.0)?, self.few_bits(right.tensor.0)?);
        if a.unit != b.unit {
            let unit = a.unit.min(b.unit) / 16.0;
            a = self.in_unit(a, unit)?;
            b = self.in_unit(b, unit)?;
        } else if a.zero != b.zero {
            a = self.without_zero(a)?;
            b = self.without_zero(b)?;
        }
        let outside = lowest && (self.reads_zero(left, axes) || self.reads_zero(right, axes));
        let low = self.integers.reach(a.tensor).0.min(self.integers.reach(b.tensor).0);
        if outside && low < 0 {
            // Zero, which is read outside, becomes the lowest number.
            let same = a.tensor == b.tensor;
            a = self.raised(a, -low)?;
            b = if same { a } else { self.raised(b, -low)? };
        }
        let operator =
            Operator::Maximum { axes: axes.to_vec(), left: at(left, a.tensor), right: at(right, b.tensor) };
        let tensor = self.integers.push(operator, None, self.tables.list())?;
        Some(Scaled { tensor, unit: a.unit, zero: a.zero })
    }

    /// The same values with `by` added to every number.
    fn raised(&mut self, scaled: Scaled, by: i64) -> Option<Scaled> {
        let axes = self.integers.shape(scaled.tensor).to_vec();
        let view = View::identity(scaled.tensor, axes.len());
        let terms = vec![Term { coefficient: 1, summed: vec![], view }];
        let operator = Operator::Combine { axes, terms, constant: i32::try_from(by).ok()?, bias: None };
        let tensor = self.integers.push(operator, None, self.tables.list())?;
        Some(Scaled { tensor, unit: scaled.unit, zero: scaled.zero + by })
    }

    /// About the same values in another unit.
    fn in_unit(&mut self, scaled: Scaled, unit: f64) -> Option<Scaled> {
        let scaled = self.without_zero(scaled)?;
        let coefficient = (scaled.unit / unit).round();
        if !(1.0..=f64::from(MAX_BIAS)).contains(&coefficient) {
            return None;
        }
        let axes = self.integers.shape(scaled.tensor).to_vec();
        let view = View::identity(scaled.tensor, axes.len());
        let terms = vec![Term { coefficient: coefficient as i32, summed: vec![], view }];
        let operator = Operator::Combine { axes, terms, constant: 0, bias: None };
        let tensor = self.integers.push(operator, None, self.tables.list())?;
        Some(Scaled { tensor, unit, zero: 0 })
    }

    fn map(&mut self, index: usize, input: u32, function: &Expr) -> Option<Scaled> {
        let scaled = self.scaled(input)?;
        if let Some((a, b)) = function.linear() {
            if a > 0.0 && b == 0.0 {
                return Some(Scaled { unit: scaled.unit * a, ..scaled });
            }
            let shape = self.integers.shape(scaled.tensor).to_vec();
            let view = View::identity(TensorId(input), shape.len());
            let part = Part { coefficient: a, summed: vec![], view };
            return self.combine(index, &shape, &[part], b, None);
        }
        let scaled = self.without_zero(scaled)?;
        let of = |tensor: usize| -> Option<(&[f64], (f64, f64))> {
            Some((self.sample.picked.get(tensor)?.as_slice(), *self.sample.ranges.get(tensor)?))
        };
        let (before, after) = (of(input as usize)?, of(index + 1)?);
        let levels =
            if self.is_shown(index + 1) { SHOWN_LEVELS } else { self.settings.demands.levels(index + 1) };
        self.requantise(scaled, function, Seen { before, after }, levels)
    }

    /// The tensor through a function and back to few bits.
    fn requantise(&mut self, scaled: Scaled, function: &Expr, seen: Seen<'_>, levels: i64) -> Option<Scaled> {
        let reach = self.integers.reach(scaled.tensor);
        let limits = Limits { levels, bits_max: self.settings.table_bits };
        let made = self.tables.choose(scaled.unit, reach, function, seen, limits)?;
        let operator = Operator::Requantise { input: scaled.tensor, shift: made.shift, table: made.table };
        let tensor = self.integers.push(operator, None, self.tables.list())?;
        Some(Scaled { tensor, unit: made.step, zero: 0 })
    }

    /// The last tensor, at zero and in a unit that a decoder can name.
    fn finish(&mut self) -> Option<Scaled> {
        let last = self.made.len() - 1;
        let scaled = self.scaled(u32::try_from(last).ok()?)?;
        let exponent = scaled.unit.log2();
        let newest = scaled.tensor.0 as usize == self.integers.count();
        if scaled.zero == 0 && exponent == exponent.round() && newest {
            return Some(scaled);
        }
        let mut scaled = self.without_zero(scaled)?;
        let (low, high) = self.integers.reach(scaled.tensor);
        // A large sum leaves no room for a coefficient that hits a power of two.
        if low.abs().max(high.abs()) > i64::from(MAX_BIAS) / SHOWN_LEVELS
            && let (Some(values), Some(range)) = (self.sample.picked.get(last), self.sample.ranges.get(last))
        {
            let (before, after) = ((values.as_slice(), *range), (values.as_slice(), *range));
            scaled = self.requantise(scaled, &Expr::X, Seen { before, after }, SHOWN_LEVELS)?;
        }
        let axes = self.integers.shape(scaled.tensor).to_vec();
        for unit in sum_units(&[scaled.unit], 0.0, None, true).0 {
            let coefficient = (scaled.unit / unit).round() as i32;
            let view = View::identity(scaled.tensor, axes.len());
            let terms = vec![Term { coefficient, summed: vec![], view }];
            let operator = Operator::Combine { axes: axes.clone(), terms, constant: 0, bias: None };
            if let Some(tensor) = self.integers.push(operator, None, self.tables.list()) {
                return Some(Scaled { tensor, unit, zero: 0 });
            }
        }
        None
    }

    /// Drops the numbers of tensors that nothing after node `index` reads.
    fn free(&mut self, index: usize) {
        let Some(node) = self.fronted.program.nodes.get(index) else { return };
        for input in node.inputs() {
            let done = self
                .readers
                .get(input as usize)
                .and_then(|readers| readers.last())
                .is_none_or(|last| *last <= index);
            if !done {
                continue;
            }
            let wide = self.scaled(input);
            for scaled in [wide, self.narrow.get(input as usize).copied().flatten()].into_iter().flatten() {
                let shared = self.made.iter().enumerate().any(|(other, made)| {
                    let same = matches!(made, Made::Scaled(made) if made.tensor == scaled.tensor);
                    let read_later =
                        self.readers.get(other).is_some_and(|r| r.last().is_some_and(|last| *last > index));
                    same && (read_later || other + 1 == self.made.len())
                });
                if !shared {
                    self.integers.drop_rows(scaled.tensor);
                }
            }
        }
    }

    fn into_quantised(self, last: Scaled, features: Vec<Feature>, graph: Graph) -> Quantised {
        let rows = self.integers.rows(last.tensor);
        let outputs = &self.sample.outputs;
        let (mut total, mut count, mut same) = (0.0, 0u64, 0);
        for (real, row) in outputs.iter().zip(rows) {
            for (real, value) in real.iter().zip(row) {
                let error = real - last.unit * f64::from(*value);
                total += error * error;
                count += 1;
            }
            same += usize::from(decision(real) == decision(row));
        }
        let exponent = -last.unit.log2();
        let limit = f64::from(MAX_FRACTION_BITS);
        let (nodes, layers) = self.integers.into_parts();
        let (nodes, layers, tables) = super::integer::without_unread(nodes, layers, self.tables.into_list());
        Quantised {
            features,
            input_axes: graph.input_axes,
            input_bits: graph.input_bits,
            nodes,
            tables,
            weights: Weights { layers },
            fraction_bits: exponent.clamp(-limit, limit) as i8,
            error: (total / count.max(1) as f64).sqrt(),
            same_decisions: same,
        }
    }
}

fn at(view: &View, tensor: TensorId) -> View {
    View { tensor, groups: view.groups.clone() }
}

/// Units for a sum of terms in units of `factors`, the best first: such that every factor is close to a whole multiple.
/// Also how many of them are close enough.
fn sum_units(factors: &[f64], constant: f64, bias: Option<&[f64]>, power: bool) -> (Vec<f64>, usize) {
    let live = || factors.iter().map(|factor| factor.abs()).filter(|factor| *factor > 0.0);
    let base = live().fold(f64::INFINITY, f64::min);
    if !base.is_finite() {
        return (vec![1.0], 1);
    }
    let worst = |unit: f64| {
        let error = |factor: f64| ((factor / unit).round() * unit / factor - 1.0).abs();
        live().map(error).fold(0.0, f64::max)
    };
    // A sum needs bits for its constants as well.
    let added = bias.unwrap_or_default().iter().fold(constant.abs(), |most, add| most.max(add.abs()));
    let fine_enough = |unit: f64| added == 0.0 || unit <= added / 64.0 || unit <= base / 64.0;
    let candidates: Vec<f64> = if power {
        let start = base.log2().floor();
        (0..=FINER_BITS).map(|finer| (start - f64::from(finer)).exp2()).collect()
    } else {
        (0..=FINER_BITS)
            .flat_map(|finer| [1.0, 3.0, 5.0, 7.0].map(|odd| base / odd / f64::from(1u32 << finer)))
            .collect()
    };
    let mut fitting: Vec<f64> =
        candidates.iter().copied().filter(|unit| worst(*unit) <= TOLERATED && fine_enough(*unit)).collect();
    fitting.sort_by(|a, b| b.total_cmp(a));
    // Where none is close enough, or the sum has no room for it, the closest that does.
    let mut rest = candidates;
    rest.sort_by(|a, b| worst(*a).total_cmp(&worst(*b)));
    let close = fitting.len();
    (fitting.into_iter().chain(rest).collect(), close)
}

/// Index of the largest, the lowest of several; of a single one, whether it is above zero.
fn decision<T: PartialOrd + Default>(logits: &[T]) -> usize {
    if let [logit] = logits {
        return usize::from(*logit > T::default());
    }
    let larger = |best: usize, index: usize| if logits.get(index) > logits.get(best) { index } else { best };
    (0..logits.len()).fold(0, larger)
}

/// Doublings of a unit before an operator is refused.
const UNIT_TRIES: u32 = 16;
/// Relative error of a coefficient that is as good as none.
const TOLERATED: f64 = 1.0 / 1024.0;
/// Halvings of a sum's smallest unit.
const FINER_BITS: u32 = 10;
/// Largest magnitude of a tensor that is only shown.
const SHOWN_LEVELS: i64 = 1 << 14;
