//! Products with weights: their unit, the rounding of the weights, and what goes into the bias.

use rayon::prelude::*;

use super::{
    super::{
        demand::{FINER, Precision},
        encoder::Grid,
        program::{Node, Values, cells},
        run,
        sample::{correctable, means},
        tensor::reads_outside,
    },
    Made, Quantiser, Scaled, UNIT_TRIES, at,
};
use crate::graph::{LayerWeights, MAX_BIAS, MAX_FRACTION_BITS, Operator, Right, TensorId, Term, View};

/// A contraction with weights.
pub(super) struct WeightedSum<'a> {
    pub(super) index: usize,
    pub(super) axes: &'a [u32],
    pub(super) summed: &'a [u32],
    pub(super) left: &'a View,
    pub(super) values: &'a Values,
    pub(super) grid: Option<f64>,
    pub(super) bias: Option<&'a Values>,
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

impl Quantiser<'_> {
    pub(super) fn weighted(&mut self, node: &Node, sum: &WeightedSum<'_>) -> Option<Scaled> {
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

    pub(super) fn reads_zero(&self, view: &View, sizes: &[u32]) -> bool {
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
