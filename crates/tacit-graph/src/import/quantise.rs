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

use rayon::prelude::*;

use super::{
    demand::{Demands, FINER, LEVELS_USUAL, Precision},
    encoder::{Encoder, Grid},
    error::ImportError,
    expr::Expr,
    front::Fronted,
    integer::{Integers, Sum},
    program::{Factor, Node, Part, Values, cells},
    run,
    sample::{Sample, correctable, means},
    tables::{Limits, Seen, Tables},
    tensor::reads_outside,
};
use crate::graph::{
    Decoder, Feature, Graph, LayerWeights, MAX_BIAS, MAX_FRACTION_BITS, Operator, Right, Table, TensorId,
    Term, View, Weights,
};

/// How fine everything is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    /// Of tensors and weights.
    pub(super) demands: &'a Demands,
    /// Most bits of a table.
    pub(super) table_bits: u8,
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
    let encoder = Encoder::new(fronted, raw, settings.demands.input_levels)?;
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

    fn weighted(&mut self, node: &Node, sum: &WeightedSum<'_>) -> Option<Scaled> {
        let sizes = [sum.axes, sum.summed].concat();
        let mut bias = sum.bias.map(|bias| bias.data.to_vec());
        let (tensor, data, grid) = match self.made.get(sum.left.tensor.0 as usize)? {
            Made::Encoded => {
                let data = self.per_feature(sum, &sizes, &mut bias)?;
                (TensorId(0), data, None)
            }
            Made::Scaled(_) => {
                let mut scaled = self.few_bits(sum.left.tensor.0)?;
                if scaled.zero != 0 && (self.reads_zero(sum.left, &sizes) || !self.takes_zero(sum)) {
                    scaled = self.without_zero(scaled)?;
                }
                let data: Vec<f64> = sum.values.data.iter().map(|w| w * scaled.unit).collect();
                if scaled.zero != 0 {
                    let shift = -(scaled.zero as f64);
                    self.shift_bias(sum, &data, shift, &sizes, &mut bias)?;
                }
                (scaled.tensor, data, sum.grid.map(|grid| grid * scaled.unit))
            }
        };
        let (_, over) = correctable(node)?;
        let energies = self.energies(sum, &sizes, tensor);
        let mut unit = if self.wants_power(sum.index + 1) {
            power_unit(&data, &energies, bias.as_deref())?
        } else {
            grid.filter(|grid| on_grid(&data, *grid)).or_else(|| free_unit(&data, &energies))?
        };
        let bias_cells =
            over.iter().map(|axis| sizes.get(usize::from(*axis)).map_or(1, |size| *size as usize)).product();
        let zeros = vec![0.0; bias_cells];
        let bias = bias.as_deref().unwrap_or(&zeros);
        let finer = match self.settings.demands.precision(sum.index) {
            _ if grid.is_some() => None,
            Precision::Layer => None,
            Precision::Channel => self.by_channel(sum, tensor, &over, (&data, &energies), bias),
            Precision::Twice => self.two_units(sum, tensor, &over, &data, bias, unit),
        };
        if finer.is_some() {
            return finer;
        }
        for _ in 0..UNIT_TRIES {
            let layer = round_weights(&data, bias, unit);
            let operator = sum.operator(tensor, Some(over.clone()));
            if let Some(mut layer) =
                layer.filter(|layer| self.integers.fits(&operator, layer, self.tables.list()))
            {
                let mut rows = self.integers.run(&operator, Some(&layer));
                self.correct_bias(sum, &over, unit, &mut layer, &mut rows);
                if let Some(tensor) = self.integers.push_run(operator, Some(layer), self.tables.list(), rows)
                {
                    return Some(Scaled { tensor, unit, zero: 0 });
                }
            }
            unit *= 2.0;
        }
        None
    }

    /// The sum with a unit for each channel, `m * unit` with whole `m`, times those `m`.
    fn by_channel(
        &mut self,
        sum: &WeightedSum<'_>,
        tensor: TensorId,
        over: &[u8],
        (data, energies): (&[f64], &[f64]),
        bias: &[f64],
    ) -> Option<Scaled> {
        // The last of the output axes that the weights have counts channels.
        let outputs = sum.axes.len();
        let place = sum.values.axes.iter().rposition(|axis| usize::from(*axis) < outputs)?;
        let channel = *sum.values.axes.get(place)?;
        let sizes = [sum.axes, sum.summed].concat();
        let size = |axis: &u8| sizes.get(usize::from(*axis)).map_or(1, |size| *size as usize);
        let below: usize = sum.values.axes.iter().skip(place + 1).map(size).product();
        let count = size(&channel);
        if count < 2 {
            return None;
        }
        let of = |cell: usize| cell / below % count;
        let mut columns = vec![(Vec::new(), Vec::new()); count];
        for (cell, (w, energy)) in data.iter().zip(energies).enumerate() {
            let (column, weight) = columns.get_mut(of(cell))?;
            column.push(*w);
            weight.push(*energy);
        }
        let unit_of = |(column, weight): &(Vec<f64>, Vec<f64>)| free_unit(column, weight);
        let units: Vec<f64> = columns.iter().map(unit_of).collect::<Option<_>>()?;
        let live = columns.iter().zip(&units).filter(|((column, _), _)| column.iter().any(|w| *w != 0.0));
        let most = live.map(|(_, unit)| *unit);
        let most = most.fold(0.0, f64::max);
        let mut unit = if most > 0.0 { most / 127.0 } else { return None };
        if self.wants_power(sum.index + 1) {
            unit = unit.log2().ceil().exp2();
        }
        for _ in 0..CHANNEL_TRIES {
            let factors: Vec<f64> =
                units.iter().map(|each| (each / unit).round().clamp(1.0, 127.0)).collect();
            let scaled: Option<Vec<f64>> =
                data.iter().enumerate().map(|(cell, w)| Some(w / factors.get(of(cell))?)).collect();
            let layer = round_weights(&scaled?, &[], unit)?;
            let operator = sum.operator(tensor, None);
            let factors = factors.iter().map(|factor| *factor as i8).collect();
            let bias: Option<Vec<i32>> = round_weights(&[], bias, unit).map(|layer| layer.bias);
            let mut product = LayerWeights { matrix: factors, bias: bias.unwrap_or_default() };
            if product.bias.len() == bias_len(over, sum.axes)
                && self.integers.fits(&operator, &layer, self.tables.list())
                && let Some(first) = self.integers.push(operator, Some(layer), self.tables.list())
            {
                let operator = Operator::Contract {
                    axes: sum.axes.to_vec(),
                    summed: vec![],
                    left: View::identity(first, outputs),
                    right: Right::Weights { axes: vec![channel] },
                    bias: Some(over.to_vec()),
                };
                if self.integers.fits(&operator, &product, self.tables.list()) {
                    let mut rows = self.integers.run(&operator, Some(&product));
                    self.correct_bias(sum, over, unit, &mut product, &mut rows);
                    let tensor = self.integers.push_run(operator, Some(product), self.tables.list(), rows)?;
                    return Some(Scaled { tensor, unit, zero: 0 });
                }
            }
            unit *= 2.0;
        }
        None
    }

    /// The sum with weights in two parts, `unit * coarse + unit / FINER * fine`.
    fn two_units(
        &mut self,
        sum: &WeightedSum<'_>,
        tensor: TensorId,
        over: &[u8],
        data: &[f64],
        bias: &[f64],
        unit: f64,
    ) -> Option<Scaled> {
        // All weights fit the coarse unit, so that what is left fits the fine one.
        let unit = unit.max(largest(data)? / 127.0);
        let fine = unit / f64::from(FINER);
        let coarse = round_weights(data, &[], unit)?;
        let rest: Vec<f64> = data.iter().zip(&coarse.matrix).map(|(w, q)| w - unit * f64::from(*q)).collect();
        let mut layer = round_weights(&rest, bias, fine)?;
        let coarse_operator = sum.operator(tensor, None);
        let coarse_tensor = self.integers.push(coarse_operator, Some(coarse), self.tables.list())?;
        let operator = sum.operator(tensor, Some(over.to_vec()));
        if !self.integers.fits(&operator, &layer, self.tables.list()) {
            return None;
        }
        let mut rows = self.integers.run(&operator, Some(&layer));
        // The mean error is that of both parts together.
        let coarse_rows = self.integers.rows(coarse_tensor).to_vec();
        rows.par_iter_mut().zip(&coarse_rows).for_each(|(row, coarse)| {
            row.iter_mut()
                .zip(coarse)
                .for_each(|(value, coarse)| *value = value.saturating_add(coarse * FINER));
        });
        self.correct_bias(sum, over, fine, &mut layer, &mut rows);
        let fine_tensor = self.integers.push(operator, Some(layer), self.tables.list())?;
        let view = |tensor| View::identity(tensor, sum.axes.len());
        let term = |coefficient, tensor| Term { coefficient, summed: vec![], view: view(tensor) };
        let terms = vec![term(FINER, coarse_tensor), term(1, fine_tensor)];
        let operator = Operator::Combine { axes: sum.axes.to_vec(), terms, constant: 0, bias: None };
        let tensor = self.integers.push_run(operator, None, self.tables.list(), rows)?;
        Some(Scaled { tensor, unit: fine, zero: 0 })
    }

    /// Mean square of what each weight multiplies, by channel, on some calibration rows: how much its rounding matters.
    fn energies(&self, sum: &WeightedSum<'_>, sizes: &[u32], tensor: TensorId) -> Vec<f64> {
        let even = || vec![1.0; sum.values.data.len()];
        let Some(Made::Scaled(scaled)) = self.made.get(sum.left.tensor.0 as usize) else { return even() };
        let zero = if scaled.tensor == tensor { scaled.zero } else { 0 };
        // Axes of the tensor that are read element by element along an axis of the weights.
        let (mut chosen, mut steps, mut first) = (Vec::new(), Vec::new(), 0u8);
        for group in &sum.left.groups {
            if let ([stride], 1, 1) = (group.strides.as_slice(), group.span, group.divisor)
                && stride.stride == 1
                && group.offset == 0
                && let Some(step) = sum.values.steps(sizes, stride.axis)
            {
                chosen.push(first);
                steps.push(step);
            }
            first = first.saturating_add(group.span);
        }
        let shape = self.integers.shape(tensor);
        let whole = chosen.iter().zip(&steps).all(|(axis, (count, _))| {
            shape.get(usize::from(*axis)).is_some_and(|size| *size as usize == *count)
        });
        let rows = self.integers.rows(tensor);
        let step = rows.len().div_ceil(ENERGY_ROWS).max(1);
        let square = |value: &i32| {
            let value = (i64::from(*value) - zero) as f64;
            value * value
        };
        let mut energies: Vec<f64> = Vec::new();
        for row in rows.iter().step_by(step) {
            let more = means(shape, &chosen, row.iter().map(square));
            energies.resize(more.len(), 0.0);
            energies.iter_mut().zip(more).for_each(|(energy, more)| *energy += more);
        }
        let mean = energies.iter().sum::<f64>() / energies.len().max(1) as f64;
        if !whole || mean <= 0.0 {
            return even();
        }
        let energy = |place: usize| {
            let at = steps.iter().fold(0, |at, (count, step)| at * count + place / step % count);
            energies.get(at).copied().unwrap_or(mean).max(LEAST_ENERGY * mean)
        };
        (0..sum.values.data.len()).map(energy).collect()
    }

    /// Adds the mean error on the calibration rows to each bias.
    fn correct_bias(
        &self,
        sum: &WeightedSum<'_>,
        over: &[u8],
        unit: f64,
        layer: &mut LayerWeights,
        rows: &mut [Vec<i32>],
    ) {
        let Some(real) = self.sample.means.get(sum.index) else { return };
        let count = rows.len() as f64;
        let mut got = vec![0.0; real.len()];
        for row in rows.iter() {
            let means = means(sum.axes, over, row.iter().map(|value| f64::from(*value)));
            got.iter_mut().zip(means).for_each(|(got, more)| *got += more / count);
        }
        let shifts: Vec<i32> =
            real.iter().zip(&got).map(|(real, got)| (real / unit - got).round() as i32).collect();
        for (bias, shift) in layer.bias.iter_mut().zip(&shifts) {
            *bias = bias.saturating_add(*shift).clamp(-MAX_BIAS, MAX_BIAS);
        }
        rows.par_iter_mut().for_each(|row| {
            let mut more = vec![0; row.len()];
            run::start(&mut more, sum.axes, 0, Some(run::Table { axes: over, data: &shifts }));
            row.iter_mut().zip(&more).for_each(|(value, more)| *value = value.saturating_add(*more));
        });
    }

    fn reads_zero(&self, view: &View, sizes: &[u32]) -> bool {
        let mut rest = self.fronted.program.shape(view.tensor.0);
        view.groups.iter().any(|group| {
            let (taken, after) = rest.split_at_checked(usize::from(group.span)).unwrap_or((rest, &[]));
            rest = after;
            reads_outside(group, taken.iter().product(), sizes)
        })
    }

    /// Whether a zero point can go into the biases: every output reads each weight of its column once.
    fn takes_zero(&self, sum: &WeightedSum<'_>) -> bool {
        let first = u8::try_from(sum.axes.len()).unwrap_or(u8::MAX);
        (0..sum.summed.len())
            .all(|axis| sum.values.axes.contains(&(first + u8::try_from(axis).unwrap_or(u8::MAX))))
    }

    /// Adds `shift` times the sum of each output's weights to its bias.
    fn shift_bias(
        &self,
        sum: &WeightedSum<'_>,
        data: &[f64],
        shift: f64,
        sizes: &[u32],
        bias: &mut Option<Vec<f64>>,
    ) -> Option<()> {
        let shifts = vec![shift; data.len()];
        self.add_to_bias(sum, data, &shifts, sizes, bias)
    }

    /// Adds `sum_k data[k] * shifts[k]` to the bias of each output.
    fn add_to_bias(
        &self,
        sum: &WeightedSum<'_>,
        data: &[f64],
        shifts: &[f64],
        sizes: &[u32],
        bias: &mut Option<Vec<f64>>,
    ) -> Option<()> {
        let outputs = sum.axes.len();
        let over: Vec<u8> = match sum.bias {
            Some(bias) => bias.axes.clone(),
            None => {
                let mut over: Vec<u8> =
                    sum.values.axes.iter().copied().filter(|a| usize::from(*a) < outputs).collect();
                over.sort_unstable();
                over
            }
        };
        if !sum.values.axes.iter().all(|axis| usize::from(*axis) >= outputs || over.contains(axis)) {
            return None;
        }
        let count: usize =
            over.iter().map(|axis| sizes.get(usize::from(*axis)).map_or(1, |size| *size as usize)).product();
        let products: Vec<f64> = data.iter().zip(shifts).map(|(w, shift)| w * shift).collect();
        // Sum over the weights' summed axes, then spread over the bias's.
        let weight_sizes: Vec<u32> = sum
            .values
            .axes
            .iter()
            .map(|axis| sizes.get(usize::from(*axis)).copied())
            .collect::<Option<_>>()?;
        let kept: Vec<u8> = (0u8..)
            .zip(&sum.values.axes)
            .filter(|(_, axis)| usize::from(**axis) < outputs)
            .map(|(place, _)| place)
            .collect();
        let column_axes: Vec<u8> =
            sum.values.axes.iter().copied().filter(|axis| usize::from(*axis) < outputs).collect();
        let each = cells(&weight_sizes) as f64
            / kept
                .iter()
                .map(|place| weight_sizes.get(usize::from(*place)).map_or(1.0, |s| f64::from(*s)))
                .product::<f64>();
        let sums: Vec<f64> =
            means(&weight_sizes, &kept, products.iter().copied()).iter().map(|mean| mean * each).collect();
        let columns = Values { axes: column_axes, data: sums.into() }.spread(&over, sizes)?;
        let old = bias.take().unwrap_or_else(|| vec![0.0; count]);
        *bias = Some(old.iter().zip(columns.data.iter()).map(|(a, b)| a + b).collect());
        Some(())
    }

    /// Weights on inputs with a grid for each feature: steps go into the weights, centres into the biases.
    fn per_feature(
        &self,
        sum: &WeightedSum<'_>,
        sizes: &[u32],
        bias: &mut Option<Vec<f64>>,
    ) -> Option<Vec<f64>> {
        let Grid::Each(grids) = &self.encoder.grids else { return None };
        // Which feature each weight multiplies: the left view along the weights' axes.
        let axes: Vec<u32> = sum
            .values
            .axes
            .iter()
            .map(|axis| sizes.get(usize::from(*axis)).copied())
            .collect::<Option<_>>()?;
        let mut view = sum.left.clone();
        for stride in view.groups.iter_mut().flat_map(|group| &mut group.strides) {
            stride.axis = u8::try_from(sum.values.axes.iter().position(|axis| *axis == stride.axis)?).ok()?;
        }
        let shape = self.fronted.program.shape(0);
        let gather = |values: Vec<f64>| {
            let mut out = vec![0.0; cells(&axes)];
            run::add(&mut out, &axes, &[], 1.0, (&view, run::Given { shape, data: &values }));
            out
        };
        let steps = gather(grids.iter().map(|(_, step)| *step).collect());
        let centres = gather(grids.iter().map(|(centre, _)| *centre).collect());
        self.add_to_bias(sum, &sum.values.data, &centres, sizes, bias)?;
        Some(sum.values.data.iter().zip(&steps).map(|(w, step)| w * step).collect())
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

/// A contraction with weights.
struct WeightedSum<'a> {
    index: usize,
    axes: &'a [u32],
    summed: &'a [u32],
    left: &'a View,
    values: &'a Values,
    grid: Option<f64>,
    bias: Option<&'a Values>,
}

impl WeightedSum<'_> {
    fn operator(&self, tensor: TensorId, bias: Option<Vec<u8>>) -> Operator {
        Operator::Contract {
            axes: self.axes.to_vec(),
            summed: self.summed.to_vec(),
            left: at(self.left, tensor),
            right: Right::Weights { axes: self.values.axes.clone() },
            bias,
        }
    }
}

fn at(view: &View, tensor: TensorId) -> View {
    View { tensor, groups: view.groups.clone() }
}

/// The unit of weights with the least squared error: cutting a few large weights can pay.
fn free_unit(weights: &[f64], energies: &[f64]) -> Option<f64> {
    let most = largest(weights)?;
    let near = (0..=10).map(|k| 1.0 - 0.04 * f64::from(k));
    let far = (1..=CUT_STEPS).map(|k| 0.6 * 0.8f64.powi(k));
    let units = near.chain(far).map(|share| most * share / 127.0);
    least_error(weights, energies, units)
}

/// The same among powers of two, large enough for the biases.
fn power_unit(weights: &[f64], energies: &[f64], bias: Option<&[f64]>) -> Option<f64> {
    let exact = (largest(weights)? / 127.0).log2().ceil();
    let bias = bias.unwrap_or_default().iter().fold(0.0f64, |most, add| most.max(add.abs()));
    let least = ((bias + f64::MIN_POSITIVE) / f64::from(MAX_BIAS / 2)).log2().ceil();
    let limit = f64::from(MAX_FRACTION_BITS);
    let unit = |exponent: f64| exponent.max(least).clamp(-limit, limit).exp2();
    least_error(weights, energies, (0..=CUT_BITS).map(|cut| unit(exact - f64::from(cut))))
}

fn least_error(weights: &[f64], energies: &[f64], units: impl Iterator<Item = f64>) -> Option<f64> {
    let errors = units.map(|unit| (squared_error(weights, energies, unit), unit));
    errors.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, unit)| unit)
}

/// Largest magnitude; weights of zero count as one.
fn largest(weights: &[f64]) -> Option<f64> {
    let most = weights.iter().fold(0.0f64, |most, w| most.max(w.abs()));
    let most = if most == 0.0 { 1.0 } else { most };
    most.is_finite().then_some(most)
}

fn squared_error(weights: &[f64], energies: &[f64], unit: f64) -> f64 {
    let error = |w: &f64| w - unit * (w / unit).round().clamp(-127.0, 127.0);
    weights.iter().zip(energies).map(|(w, energy)| energy * error(w) * error(w)).sum()
}

/// Biases over some axes.
fn bias_len(over: &[u8], axes: &[u32]) -> usize {
    over.iter().map(|axis| axes.get(usize::from(*axis)).map_or(1, |size| *size as usize)).product()
}

/// Whether all weights are whole multiples of the unit that fit `int8`.
fn on_grid(weights: &[f64], unit: f64) -> bool {
    let near = |w: &f64| {
        let multiple = w / unit;
        (multiple - multiple.round()).abs() < 1e-3 && multiple.abs() < 127.5
    };
    weights.iter().all(near)
}

fn round_weights(data: &[f64], bias: &[f64], unit: f64) -> Option<LayerWeights> {
    let matrix = data.iter().map(|w| (w / unit).round().clamp(-127.0, 127.0) as i8).collect();
    let round = |add: &f64| {
        let bias = (add / unit).round();
        (bias.abs() <= f64::from(MAX_BIAS)).then_some(bias as i32)
    };
    Some(LayerWeights { matrix, bias: bias.iter().map(round).collect::<Option<_>>()? })
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

/// Rows on which energies are measured.
const ENERGY_ROWS: usize = 32;
/// What a channel that is quiet on all of them counts, as a share of the mean.
const LEAST_ENERGY: f64 = 1e-6;
/// How far weights may be cut: to 0.6 * 0.8^16 of the largest, or by so many bits.
const CUT_STEPS: i32 = 16;
/// The same for units that are powers of two.
const CUT_BITS: u32 = 6;
/// Doublings of a unit before channels get one in common.
const CHANNEL_TRIES: u32 = 5;
/// Doublings of a unit before an operator is refused.
const UNIT_TRIES: u32 = 16;
/// Relative error of a coefficient that is as good as none.
const TOLERATED: f64 = 1.0 / 1024.0;
/// Halvings of a sum's smallest unit.
const FINER_BITS: u32 = 10;
/// Largest magnitude of a tensor that is only shown.
const SHOWN_LEVELS: i64 = 1 << 14;
