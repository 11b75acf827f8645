//! From real layers to the integer graph.
//!
//! Every value `x` of a tensor is written `x = centre + step * q` with `q` an `int8`. For inputs, centre and step are
//! chosen per feature from the calibration rows and go into the encoders; for hidden values, per layer from the
//! values the float network takes on those rows, and go into the tables. Steps need not be powers of two: a layer's
//! weights are `w * step` on a grid `unit`, and tables map multiples of `unit * 2^shift` to whatever comes next.
//! Only the last layer's unit is a power of two, because the decoder shows it.
//!
//! After rounding a layer's weights, its biases take up the mean error on the calibration rows (bias correction,
//! Nagel et al. 2019, section 4.2), measured on the integer values that the layers before really give.

use rayon::prelude::*;

use super::{
    error::ImportError,
    layers::{Front, Layer, Layers},
    network::{Scalar, dense},
};
use crate::{
    graph::{
        Decoder, Feature, Graph, LayerWeights, MAX_BIAS, MAX_FRACTION_BITS, MAX_REQUANTISE_SHIFT, Operator,
        RAW_FRACTION_BITS, Table, TensorId, Weights,
    },
    raw::RawValue,
    reach::rounding_shift,
};

/// `x = centre + step * q`.
#[derive(Debug, Clone, Copy)]
struct Grid {
    centre: f64,
    step: f64,
}

impl Grid {
    /// 256 steps from `low` to `high`.
    fn covering(low: f64, high: f64) -> Self {
        let step = ((high - low) / 255.0).max(STEP_MIN);
        Self { centre: low + 128.0 * step, step }
    }

    fn round(self, x: f64) -> i8 {
        // A float to integer cast saturates, which is the rounding wanted at both ends.
        ((x - self.centre) / self.step).round() as i8
    }
}

/// A quantised network without its decoder's labels.
pub(super) struct Quantised {
    pub(super) features: Vec<Feature>,
    pub(super) nodes: Vec<Operator>,
    pub(super) tables: Vec<Table>,
    pub(super) weights: Weights,
    pub(super) fraction_bits: i8,
    /// Root mean square of the logits' error on the calibration rows.
    pub(super) error: f64,
    /// Calibration rows on which the largest logit, or the sign of the only one, is that of the float network.
    pub(super) same_decisions: usize,
}

impl Quantised {
    pub(super) fn into_parts(self, names: Option<&[String]>, decoder: Decoder) -> (Graph, Weights) {
        let mut features = self.features;
        for (feature, name) in features.iter_mut().zip(names.unwrap_or_default()) {
            feature.name.clone_from(name);
        }
        let input_axes = vec![u32::try_from(features.len()).unwrap_or(u32::MAX)];
        (
            Graph { features, input_axes, input_bits: 8, nodes: self.nodes, tables: self.tables, decoder },
            self.weights,
        )
    }
}

/// What the float network computes on the calibration rows: for each layer, its sums before any function.
pub(super) struct Sums(Vec<Vec<Vec<f64>>>);

impl Sums {
    pub(super) fn of(network: &Layers, rows: &[Vec<f64>]) -> Self {
        let mut values: Vec<Vec<f64>> = rows.iter().map(|row| front_values(network, row)).collect();
        let sums = |layer: &Layer| {
            let sums: Vec<Vec<f64>> =
                values.par_iter().map(|row| dense(row, &layer.matrix, &layer.add)).collect();
            values = after(&layer.functions, &sums);
            sums
        };
        Self(network.layers.iter().map(sums).collect())
    }
}

/// The layer's functions on each of its sums.
fn after(functions: &[Scalar], sums: &[Vec<f64>]) -> Vec<Vec<f64>> {
    sums.iter().map(|row| row.iter().map(|x| apply(functions, *x)).collect()).collect()
}

/// Quantises with tables of `bits` bits. `rows` are calibration rows, at least one, and `sums` what the float network
/// computes on them.
pub(super) fn quantise(
    network: &Layers,
    rows: &[Vec<f64>],
    sums: &Sums,
    bits: u8,
) -> Result<Quantised, ImportError> {
    let grids = input_grids(network, rows);
    let features: Vec<Feature> = grids
        .iter()
        .map(|grid| feature(*grid).ok_or(ImportError::OutOfRange { layer: 0 }))
        .collect::<Result<_, _>>()?;
    let mut integers: Vec<Vec<i8>> = rows.iter().map(|row| encode(&features, row)).collect();
    // The scaling in front is folded into the grids: the first layer sees scaled values.
    let mut grids: Vec<Grid> = grids
        .iter()
        .zip(&network.scaling)
        .map(|(grid, (multiply, add))| Grid {
            centre: grid.centre * multiply + add,
            step: grid.step * multiply,
        })
        .collect();
    let mut made = Quantised {
        features,
        nodes: Vec::new(),
        tables: Vec::new(),
        weights: Weights { layers: Vec::new() },
        fraction_bits: 0,
        error: 0.0,
        same_decisions: 0,
    };
    let mut reach = (i64::from(i8::MIN), i64::from(i8::MAX));
    for (index, (layer, real)) in network.layers.iter().zip(&sums.0).enumerate() {
        let refused = || ImportError::OutOfRange { layer: index };
        let width = layer.add.len();
        let last = index + 1 == network.layers.len();
        let folded = fold_grids(layer, &grids);
        let unit = if last { last_unit(&folded) } else { hidden_unit(&folded.matrix) }.ok_or_else(refused)?;
        let mut weights = round_weights(&folded, unit).ok_or_else(refused)?;
        let mut accumulators: Vec<Vec<i32>> =
            integers.par_iter().map(|row| accumulate(row, &weights)).collect();
        let shifts = mean_errors(real, &accumulators, unit);
        for (bias, shift) in weights.bias.iter_mut().zip(&shifts) {
            *bias = (*bias + shift).clamp(-MAX_BIAS, MAX_BIAS);
        }
        made.nodes.push(Operator::dense(
            TensorId(u32::try_from(made.nodes.len()).unwrap_or(u32::MAX)),
            u32::try_from(layer.matrix.len() / width).unwrap_or(u32::MAX),
            u32::try_from(width).unwrap_or(u32::MAX),
        ));
        for (acc, shift) in accumulators.iter_mut().flat_map(|row| row.iter_mut().zip(&shifts)) {
            *acc = acc.saturating_add(*shift);
        }
        if last {
            made.fraction_bits = (-unit.log2()) as i8;
            made.error = root_mean_square(real, &accumulators, unit);
            made.same_decisions =
                real.iter().zip(&accumulators).filter(|(real, acc)| decision(real) == decision(acc)).count();
            made.weights.layers.push(weights);
            break;
        }
        let next_last = index + 2 == network.layers.len();
        let values = after(&layer.functions, real);
        let grid = output_grid(&values, next_last && is_identity(network.layers.last()));
        let shift = shift_for(&layer_reach(&weights, reach), bits);
        let table = table(&layer.functions, unit * f64::exp2(f64::from(shift)), grid, bits);
        integers = accumulators.iter().map(|row| look_up(row, shift, &table)).collect();
        let entry = |pick: fn(&i16, &i16) -> core::cmp::Ordering| {
            table.values.iter().copied().max_by(pick).unwrap_or(0)
        };
        reach = (i64::from(entry(|a, b| b.cmp(a))), i64::from(entry(Ord::cmp)));
        made.nodes.push(Operator::Requantise {
            input: TensorId(u32::try_from(made.nodes.len()).unwrap_or(u32::MAX)),
            shift,
            table: u16::try_from(made.tables.len()).unwrap_or(u16::MAX),
        });
        made.tables.push(table);
        made.weights.layers.push(weights);
        grids = vec![grid; width];
    }
    Ok(made)
}

/// A grid for each raw feature.
fn input_grids(network: &Layers, rows: &[Vec<f64>]) -> Vec<Grid> {
    let ranges: Vec<(f64, f64)> = (0..network.scaling.len())
        .map(|feature| range(rows.iter().filter_map(|row| row.get(feature)).copied()))
        .collect();
    let mut widths: Vec<f64> =
        ranges.iter().map(|(low, high)| high - low).filter(|width| *width > 0.0).collect();
    widths.sort_by(f64::total_cmp);
    let usual = widths.get(widths.len() / 2).copied().unwrap_or(1.0);
    let grid = |((low, high), (multiply, add)): (&(f64, f64), &(f64, f64))| {
        // A feature that never varied gets room for what the others do; the rest gets a margin.
        let margin = if low < high { (high - low) * RANGE_MARGIN } else { usual };
        let (low, high) = (low - margin, high + margin);
        match network.front {
            _ if *multiply == 0.0 => Grid::covering(low, high),
            Front::Open => Grid::covering(low, high),
            Front::Cut { low: cut_low, high: cut_high } => {
                let (a, b) = ((cut_low - add) / multiply, (cut_high - add) / multiply);
                let (cut_low, cut_high) = (a.min(b), a.max(b));
                let (low, high) = (low.max(cut_low), high.min(cut_high));
                if low < high { Grid::covering(low, high) } else { Grid::covering(cut_low, cut_high) }
            }
            Front::Grid { low, step } => {
                Grid { centre: (low + 128.0 * step - add) / multiply, step: step / multiply }
            }
        }
    };
    ranges.iter().zip(&network.scaling).map(grid).collect()
}

/// The encoder of a grid: offset and multiplier to 30 bits.
fn feature(grid: Grid) -> Option<Feature> {
    let units = f64::from(1u32 << RAW_FRACTION_BITS);
    let offset = -(grid.centre * units).round();
    let ratio = 1.0 / (grid.step * units);
    let shift = 29.0 - ratio.abs().log2().floor();
    if !(offset.abs() < f64::exp2(62.0) && (0.0..=f64::from(crate::graph::MAX_ENCODE_SHIFT)).contains(&shift))
    {
        return None;
    }
    let multiplier = (ratio * shift.exp2()).round();
    Some(Feature {
        name: String::new(),
        offset: offset as i64,
        multiplier: multiplier as i32,
        shift: shift as u8,
    })
}

fn encode(features: &[Feature], row: &[f64]) -> Vec<i8> {
    let one = |(feature, value): (&Feature, &f64)| {
        RawValue::from_f64(*value).map_or(0, |raw| feature.encode(raw.get(), 8) as i8)
    };
    features.iter().zip(row).map(one).collect()
}

/// What the first layer sees of a raw row in the float network.
fn front_values(network: &Layers, row: &[f64]) -> Vec<f64> {
    let cut = |x: f64| match network.front {
        Front::Open => x,
        Front::Cut { low, high } => x.max(low).min(high),
        Front::Grid { low, step } => low + step * ((x - low) / step).round().clamp(0.0, 255.0),
    };
    row.iter().zip(&network.scaling).map(|(x, (multiply, add))| cut(x * multiply + add)).collect()
}

/// The layer as a function of `q` instead of `x = centre + step * q`.
fn fold_grids(layer: &Layer, grids: &[Grid]) -> Layer {
    let mut folded = layer.clone();
    for (row, grid) in folded.matrix.chunks_exact_mut(layer.add.len()).zip(grids) {
        for (w, add) in row.iter_mut().zip(&mut folded.add) {
            *add += *w * grid.centre;
            *w *= grid.step;
        }
    }
    folded
}

/// The unit of weights with the least squared error: cutting a few large weights can pay.
fn hidden_unit(weights: &[f64]) -> Option<f64> {
    let most = largest(weights)?;
    let candidate = |percent: u32| most * f64::from(percent) / 12_700.0;
    let units = (0..=10).map(|k| candidate(100 - 4 * k));
    units.min_by(|a, b| squared_error(weights, *a).total_cmp(&squared_error(weights, *b)))
}

/// The same among powers of two, large enough for the biases.
fn last_unit(layer: &Layer) -> Option<f64> {
    let most = largest(&layer.matrix)?;
    let exact = (most / 127.0).log2().ceil();
    let bias = layer.add.iter().fold(0.0f64, |most, add| most.max(add.abs()));
    let least = ((bias + f64::MIN_POSITIVE) / f64::from(MAX_BIAS / 2)).log2().ceil();
    let limit = f64::from(MAX_FRACTION_BITS);
    let unit = |exponent: f64| exponent.max(least).clamp(-limit, limit).exp2();
    let units = [unit(exact), unit(exact - 1.0)];
    units
        .into_iter()
        .min_by(|a, b| squared_error(&layer.matrix, *a).total_cmp(&squared_error(&layer.matrix, *b)))
}

/// Largest magnitude; a layer of zeros counts as one.
fn largest(weights: &[f64]) -> Option<f64> {
    let most = weights.iter().fold(0.0f64, |most, w| most.max(w.abs()));
    let most = if most == 0.0 { 1.0 } else { most };
    most.is_finite().then_some(most)
}

fn squared_error(weights: &[f64], unit: f64) -> f64 {
    let error = |w: &f64| w - unit * (w / unit).round().clamp(-127.0, 127.0);
    weights.iter().map(|w| error(w) * error(w)).sum()
}

fn round_weights(layer: &Layer, unit: f64) -> Option<LayerWeights> {
    let matrix = layer.matrix.iter().map(|w| (w / unit).round().clamp(-127.0, 127.0) as i8).collect();
    let bias = |add: &f64| {
        let bias = (add / unit).round();
        (bias.abs() <= f64::from(MAX_BIAS)).then_some(bias as i32)
    };
    Some(LayerWeights { matrix, bias: layer.add.iter().map(bias).collect::<Option<_>>()? })
}

/// The accumulators of one row, before bias correction. Wrapping, so that debug builds vectorise it; nothing wraps
/// within the limits of the graph.
fn accumulate(row: &[i8], weights: &LayerWeights) -> Vec<i32> {
    let mut acc = weights.bias.clone();
    for (x, weights) in row.iter().zip(weights.matrix.chunks_exact(weights.bias.len())) {
        for (acc, w) in acc.iter_mut().zip(weights) {
            *acc = acc.wrapping_add(i32::from(i16::from(*x).wrapping_mul(i16::from(*w))));
        }
    }
    acc
}

/// Mean of `real - unit * accumulator` for each output, in units.
fn mean_errors(real: &[Vec<f64>], accumulators: &[Vec<i32>], unit: f64) -> Vec<i32> {
    let outputs = real.first().map_or(0, Vec::len);
    let mut sums = vec![0.0; outputs];
    for (real, accumulators) in real.iter().zip(accumulators) {
        for (sum, (real, acc)) in sums.iter_mut().zip(real.iter().zip(accumulators)) {
            *sum += real / unit - f64::from(*acc);
        }
    }
    sums.iter().map(|sum| (sum / real.len().max(1) as f64).round() as i32).collect()
}

/// Index of the largest logit, the lowest of several; of a single one, whether it is above zero.
fn decision<T: PartialOrd + Default>(logits: &[T]) -> usize {
    if let [logit] = logits {
        return usize::from(*logit > T::default());
    }
    let larger = |best: usize, index: usize| if logits.get(index) > logits.get(best) { index } else { best };
    (0..logits.len()).fold(0, larger)
}

fn root_mean_square(real: &[Vec<f64>], accumulators: &[Vec<i32>], unit: f64) -> f64 {
    let pairs = real.iter().flatten().zip(accumulators.iter().flatten());
    let (sum, count) = pairs.fold((0.0, 0u64), |(sum, count), (real, acc)| {
        let error = real - unit * f64::from(*acc);
        (sum + error * error, count + 1)
    });
    (sum / count.max(1) as f64).sqrt()
}

fn apply(functions: &[Scalar], x: f64) -> f64 {
    functions.iter().fold(x, |x, function| function.apply(x))
}

/// One grid for all values of a layer; its step a power of two where the last layer only passes them on.
fn output_grid(values: &[Vec<f64>], power_of_two: bool) -> Grid {
    let (low, high) = range(values.iter().flatten().copied());
    let grid = Grid::covering(low, high);
    if !power_of_two {
        return grid;
    }
    let step = grid.step.log2().ceil().exp2();
    Grid { centre: low + 128.0 * step, step }
}

fn is_identity(layer: Option<&Layer>) -> bool {
    let one = |at: usize, width: usize| if at.is_multiple_of(width + 1) { 1.0 } else { 0.0 };
    layer.is_some_and(|layer| {
        let width = layer.add.len();
        layer.matrix.len() == width * width
            && layer.matrix.iter().enumerate().all(|(at, w)| *w == one(at, width))
            && layer.add.iter().all(|add| *add == 0.0)
    })
}

/// Lowest and highest accumulator of each output of a layer whose inputs all lie in `low..=high`.
fn layer_reach(weights: &LayerWeights, (low, high): (i64, i64)) -> Vec<(i64, i64)> {
    let mut reach: Vec<(i64, i64)> = weights.bias.iter().map(|b| (i64::from(*b), i64::from(*b))).collect();
    for row in weights.matrix.chunks_exact(weights.bias.len().max(1)) {
        for ((least, most), w) in reach.iter_mut().zip(row) {
            let (a, b) = (i64::from(*w) * low, i64::from(*w) * high);
            *least += a.min(b);
            *most += a.max(b);
        }
    }
    reach
}

/// The least shift at which no reachable accumulator leaves a table of `bits`.
fn shift_for(reach: &[(i64, i64)], bits: u8) -> u8 {
    let half = 1i64 << (bits - 1);
    let fits = |shift: &u8| {
        reach
            .iter()
            .all(|(low, high)| rounding_shift(*low, *shift) >= -half && rounding_shift(*high, *shift) < half)
    };
    (0..MAX_REQUANTISE_SHIFT).find(fits).unwrap_or(MAX_REQUANTISE_SHIFT)
}

fn table(functions: &[Scalar], unit: f64, grid: Grid, bits: u8) -> Table {
    let half = 1i32 << (bits - 1);
    Table {
        bits,
        values: (-half..half).map(|u| i16::from(grid.round(apply(functions, unit * f64::from(u))))).collect(),
    }
}

fn look_up(accumulators: &[i32], shift: u8, table: &Table) -> Vec<i8> {
    let half = 1i64 << (table.bits - 1);
    let entry = |acc: &i32| {
        let u = rounding_shift(i64::from(*acc), shift).clamp(-half, half - 1) + half;
        usize::try_from(u).ok().and_then(|u| table.values.get(u)).map_or(0, |entry| *entry as i8)
    };
    accumulators.iter().map(entry).collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

/// Share of a feature's range that is added at each end.
const RANGE_MARGIN: f64 = 0.02;
/// Least step: raw values are no finer.
const STEP_MIN: f64 = 1.0 / (1u64 << RAW_FRACTION_BITS) as f64;
