//! Encoders: from raw numbers to the integers of tensor 0.

use super::{
    error::ImportError,
    expr::Expr,
    front::{Front, Fronted},
    program::{Factor, Node},
    tensor::reads_outside,
};
use crate::{
    graph::{Feature, MAX_ENCODE_SHIFT, MAX_INPUT_BITS, RAW_FRACTION_BITS},
    raw::RawValue,
};

/// Encoders of all features and what their integers stand for.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) features: Vec<Feature>,
    pub(super) bits: u8,
    pub(super) grids: Grid,
}

/// What an encoded input stands for.
#[derive(Debug)]
pub(super) enum Grid {
    /// `unit * (q - zero)` everywhere.
    Same { unit: f64, zero: i64 },
    /// `centre + step * q`, for each feature.
    Each(Vec<(f64, f64)>),
}

impl Encoder {
    /// Encoders for the raw rows, of about `levels` steps and at most `bits_max` bits, unless the network itself sets the steps.
    pub(super) fn new(
        fronted: &Fronted,
        raw: &[Vec<f64>],
        levels: i64,
        bits_max: u8,
    ) -> Result<Self, ImportError> {
        let levels = levels.min((1i64 << bits_max.min(MAX_INPUT_BITS)) - 1);
        let ranges: Vec<(f64, f64)> = (0..fronted.scaling.len())
            .map(|feature| range(raw.iter().filter_map(|row| row.get(feature)).copied()))
            .collect();
        if takes_any_grid(fronted) {
            Self::each(fronted, &ranges, levels)
        } else {
            let made = Self::same(fronted, &ranges, levels)?;
            // Zero at zero leaves one side empty where values have one sign.
            if made.bits > bits_max { Self::same(fronted, &ranges, levels / 2) } else { Ok(made) }
        }
    }

    /// A grid for each feature, around the middle of its range.
    fn each(fronted: &Fronted, ranges: &[(f64, f64)], levels: i64) -> Result<Self, ImportError> {
        let bits = bits_of(levels);
        let half = f64::from(1u32 << (bits - 1));
        let mut widths: Vec<f64> =
            ranges.iter().map(|(low, high)| high - low).filter(|width| *width > 0.0).collect();
        widths.sort_by(f64::total_cmp);
        let usual = widths.get(widths.len() / 2).copied().unwrap_or(1.0);
        let covering = |low: f64, high: f64| {
            let step = ((high - low) / (2.0 * half - 1.0)).max(STEP_MIN);
            (low + half * step, step)
        };
        let grid = |((low, high), (multiply, add)): (&(f64, f64), &(f64, f64))| {
            // A feature that never varied gets room for what the others do; the rest gets a margin.
            let margin = if low < high { (high - low) * RANGE_MARGIN } else { usual };
            let (low, high) = (low - margin, high + margin);
            match fronted.front {
                Front::Open => covering(low, high),
                Front::Cut { low: cut_low, high: cut_high } => {
                    let (a, b) = ((cut_low - add) / multiply, (cut_high - add) / multiply);
                    let (cut_low, cut_high) = (a.min(b), a.max(b));
                    let (low, high) = (low.max(cut_low), high.min(cut_high));
                    if low < high { covering(low, high) } else { covering(cut_low, cut_high) }
                }
                Front::Grid { scale, zero, low, .. } => {
                    let lowest = scale * (low - zero);
                    ((lowest + 128.0 * scale - add) / multiply, scale / multiply)
                }
            }
        };
        let bits = if matches!(fronted.front, Front::Grid { .. }) { 8 } else { bits };
        let raw_grids: Vec<(f64, f64)> = ranges.iter().zip(&fronted.scaling).map(grid).collect();
        let features = features(raw_grids.iter().copied())?;
        // The scaling in front is folded into the grids: the program sees scaled values.
        let scaled = |((centre, step), (multiply, add)): (&(f64, f64), &(f64, f64))| {
            (centre * multiply + add, step * multiply)
        };
        let grids = raw_grids.iter().zip(&fronted.scaling).map(scaled).collect();
        Ok(Self { features, bits, grids: Grid::Each(grids) })
    }

    /// One grid for all features, with zero on it.
    fn same(fronted: &Fronted, ranges: &[(f64, f64)], levels: i64) -> Result<Self, ImportError> {
        let ends = ranges
            .iter()
            .zip(&fronted.scaling)
            .flat_map(|((low, high), (multiply, add))| [low * multiply + add, high * multiply + add]);
        let (low, high) = range(ends.chain([0.0]));
        let (unit, zero, bits) = match fronted.front {
            Front::Grid { scale, zero, low, .. } => (scale, (zero - low) as i64 - 128, 8),
            // The ends of the encoder's range are the ends of the cut.
            Front::Cut { low: cut_low, high: cut_high } => {
                let (low, high) = (low.max(cut_low), high.min(cut_high));
                let (low, high) = if low < high { (low, high) } else { (cut_low, cut_high) };
                let half = 1i64 << (bits_of(levels) - 1);
                let unit = ((high - low) / (2 * half - 1) as f64).max(STEP_MIN);
                (unit, -half - (low / unit).round() as i64, bits_of(levels))
            }
            Front::Open => {
                // Numbers that choose from a list come as they are.
                let chooses = fronted.program.nodes.iter().any(is_choice) && high - low < CHOICES_MOST;
                let unit = if chooses { 1.0 } else { ((high - low) / levels as f64).max(STEP_MIN) };
                let most = (low / unit).abs().max((high / unit).abs()).round() as i64;
                (unit, 0, bits_of(2 * most))
            }
        };
        let grids = fronted
            .scaling
            .iter()
            .map(|(multiply, add)| ((-(zero as f64) * unit - add) / multiply, unit / multiply));
        Ok(Self { features: features(grids)?, bits, grids: Grid::Same { unit, zero } })
    }

    /// One encoded row.
    pub(super) fn encode(&self, row: &[f64]) -> Vec<i32> {
        let one = |(feature, value): (&Feature, &f64)| {
            RawValue::from_f64(*value).map_or(0, |raw| i32::from(feature.encode(raw.get(), self.bits)))
        };
        self.features.iter().zip(row).map(one).collect()
    }
}

/// Whether a node reads entries of a list.
fn is_choice(node: &Node) -> bool {
    matches!(node, Node::Map { function: Expr::Entry { .. }, .. })
}

/// Whether only weights that see each feature apart read the input, so that every feature may have a grid of its own.
fn takes_any_grid(fronted: &Fronted) -> bool {
    let program = &fronted.program;
    let shape = program.shape(0);
    let apart = |node: &Node| match node {
        Node::Contract { axes, summed, left, right: Factor::Weights { values, .. }, bias } => {
            let sizes = [axes.as_slice(), summed].concat();
            let mut rest = shape;
            let inside = left.groups.iter().all(|group| {
                let (taken, after) = rest.split_at_checked(usize::from(group.span)).unwrap_or((rest, &[]));
                rest = after;
                !reads_outside(group, taken.iter().product(), &sizes)
            });
            let seen =
                left.groups.iter().flat_map(|g| &g.strides).all(|stride| values.axes.contains(&stride.axis));
            let columns = values.axes.iter().filter(|axis| usize::from(**axis) < axes.len());
            let biased =
                bias.as_ref().is_none_or(|bias| columns.clone().all(|axis| bias.axes.contains(axis)));
            inside && seen && biased
        }
        _ => false,
    };
    let mut reading = program.nodes.iter().filter(|node| node.inputs().contains(&0));
    reading.all(apart)
}

/// Encoders that give `q = (v - centre) / step`: offset and multiplier to 30 bits.
fn features(grids: impl Iterator<Item = (f64, f64)>) -> Result<Vec<Feature>, ImportError> {
    grids.map(|(centre, step)| feature(centre, step).ok_or(ImportError::OutOfRange { operator: 0 })).collect()
}

fn feature(centre: f64, step: f64) -> Option<Feature> {
    let units = f64::from(1u32 << RAW_FRACTION_BITS);
    let offset = -(centre * units).round();
    let ratio = 1.0 / (step * units);
    let shift = 29.0 - ratio.abs().log2().floor();
    if !(offset.abs() < f64::exp2(62.0) && (0.0..=f64::from(MAX_ENCODE_SHIFT)).contains(&shift)) {
        return None;
    }
    let multiplier = (ratio * shift.exp2()).round();
    Some(Feature {
        name: String::new(),
        offset: offset as i64,
        multiplier: multiplier as i32,
        shift: shift as u8,
        steps: Vec::new(),
    })
}

/// Bits of a two's complement number of `levels` steps and one.
fn bits_of(levels: i64) -> u8 {
    let bits = u8::try_from(64 - levels.max(3).leading_zeros()).unwrap_or(MAX_INPUT_BITS);
    bits.min(MAX_INPUT_BITS)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

/// Share of a feature's range that is added at each end.
const RANGE_MARGIN: f64 = 0.02;
/// Longest list that inputs choose from.
const CHOICES_MOST: f64 = 4096.0;
/// Least step: raw values are no finer.
const STEP_MIN: f64 = 1.0 / (1u64 << RAW_FRACTION_BITS) as f64;
