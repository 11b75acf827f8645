//! How fine a network has to be: the cheapest settings that do about as well as fine ones.

use super::{
    demand::{Demands, LEVELS_USUAL, Precision},
    equalise::equalised,
    error::ImportError,
    front::Fronted,
    moments, pick,
    program::{Factor, Node, Program, cells},
    quantise::{Quantised, Settings, quantise},
    run,
    sample::Sample,
    wide,
};
use crate::graph::View;

/// Most bits that anything may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct MostBits {
    /// A table.
    pub(super) table: u8,
    /// An encoded input.
    pub(super) input: u8,
}

/// Quantises a program for calibration rows.
pub(super) fn search(
    program: &Program,
    calibration: &[Vec<f64>],
    most: MostBits,
    values: bool,
) -> Result<Quantised, ImportError> {
    let bits_max = most.table;
    let mut fronted = Fronted::new(program);
    fronted.program = pick::picked(&moments::rewritten(&fronted.program));
    if !values && let Some(first) = calibration.first() {
        fronted.program = undressed(&fronted.program, &fronted.values(first));
    }
    let cells: usize = (0..fronted.program.shapes.len())
        .map(|tensor| fronted.program.cells(u32::try_from(tensor).unwrap_or(u32::MAX)))
        .sum();
    let rows = spread(calibration, (SAMPLE_CELLS / cells.max(1)).clamp(SAMPLE_ROWS_MIN, SAMPLE_ROWS_MAX));
    let mut sample = Sample::new(&fronted, &rows);
    let even = |program: &Program| Demands::even(program, LEVELS_USUAL, LEVELS_USUAL, Precision::Layer);
    let mut demands = even(&fronted.program);
    let attempt = |fronted: &Fronted, sample: &Sample, demands: &Demands, table_bits: u8| {
        quantise(fronted, &rows, sample, Settings { demands, table_bits, input_bits: most.input })
    };
    let spread = deviation(&sample.outputs);
    let good = |made: &Quantised| {
        let share = made.same_decisions as f64 / rows.len().max(1) as f64;
        if values { made.error <= GOOD_ERROR * spread } else { share >= GOOD_DECISIONS }
    };
    let mut found = None;
    if Demands::noise(&fronted.program, &sample, LEVELS_USUAL) <= HOPELESS * spread {
        let mut best = attempt(&fronted, &sample, &demands, bits_max)?;
        // What costs nothing to prove comes first: weights of one size in all channels.
        if !good(&best)
            && let Some(program) = equalised(&fronted.program)
        {
            let other = Fronted { program, ..fronted.clone() };
            let other_sample = Sample::new(&other, &rows);
            if let Ok(tried) = attempt(&other, &other_sample, &demands, bits_max)
                && tried.error < best.error
            {
                (best, fronted, sample) = (tried, other, other_sample);
            }
        }
        found = Some(best);
    }
    // Energies of a wide range in two parts.
    if !found.as_ref().is_some_and(good)
        && let Some(program) = wide::split(&fronted.program, &sample)
    {
        fronted.program = program;
        sample = Sample::new(&fronted, &rows);
        demands = even(&fronted.program);
    }
    // Where eight bits are too few, more in the places whose rounding the outputs feel most.
    for share in ERROR_SHARES {
        if found.as_ref().is_some_and(good) {
            break;
        }
        let finer = Demands::new(&fronted.program, &sample, share * spread);
        let least = found.as_ref().map_or(f64::INFINITY, |best| WORTH_IT * best.error);
        if finer != demands
            && let Ok(tried) = attempt(&fronted, &sample, &finer, bits_max)
            && tried.error < least
        {
            (found, demands) = (Some(tried), finer);
        }
    }
    let best = match found {
        Some(best) => best,
        None => attempt(&fronted, &sample, &demands, bits_max)?,
    };
    // Smaller tables, where they would be most of what there is to prove.
    let looked_up = lookups(&fronted.program);
    let tolerated = best.error * if values { TOLERATED_VALUES } else { TOLERATED_SCORES };
    let decisions = best.same_decisions;
    for bits in (TABLE_BITS_USUAL.min(bits_max)..bits_max).filter(|bits| 1usize << bits > looked_up / 4) {
        if best.table_rows() <= 1 << bits {
            break;
        }
        let Ok(tried) = attempt(&fronted, &sample, &demands, bits) else { continue };
        let as_good = tried.error <= tolerated && (values || tried.same_decisions >= decisions);
        if as_good && tried.table_rows() < best.table_rows() {
            return Ok(tried);
        }
    }
    Ok(best)
}

/// A classifier without what leaves the order of its scores as it is: a softmax that is spelled out.
fn undressed(program: &Program, row: &[f64]) -> Program {
    let tensors = run::trace(program, row);
    let mut last = u32::try_from(program.nodes.len()).unwrap_or(u32::MAX);
    let axes = program.shape(last).to_vec();
    if cells(&axes) < 2 {
        return program.clone();
    }
    let whole = |view: &View| {
        *view == View::identity(view.tensor, axes.len()) && program.shape(view.tensor.0) == axes
    };
    let lone = |view: &View| program.cells(view.tensor.0) == 1;
    let positive =
        |view: &View| tensors.get(view.tensor.0 as usize).is_some_and(|data| data.iter().all(|x| *x > 0.0));
    let mut shared = false;
    loop {
        let inner = match program.maker(last) {
            Some(Node::Map { input, function }) if function.keeps_order() => Some(*input),
            // A share of their sum, which is a positive number as `exp` is.
            Some(Node::Contract { summed, left, right: Factor::View(right), bias: None, .. })
                if summed.is_empty() && whole(left) && lone(right) && positive(right) && positive(left) =>
            {
                shared = true;
                Some(left.tensor.0)
            }
            Some(Node::Combine { terms, bias: None, .. }) => match terms.as_slice() {
                [only] if only.coefficient > 0.0 && whole(&only.view) => Some(only.view.tensor.0),
                [first, second] if first.coefficient > 0.0 && whole(&first.view) && lone(&second.view) => {
                    Some(first.view.tensor.0)
                }
                _ => None,
            },
            _ => None,
        };
        match inner {
            Some(inner) if inner > 0 => last = inner,
            _ if shared => return program.only(last),
            _ => return program.clone(),
        }
    }
}

/// Elements that go through functions.
fn lookups(program: &Program) -> usize {
    let nodes = program.nodes.iter().enumerate();
    let mapped = nodes.filter(|(_, node)| matches!(node, Node::Map { .. }));
    mapped.map(|(index, _)| program.cells(u32::try_from(index + 1).unwrap_or(u32::MAX))).sum()
}

/// Rows for calibration: all, or evenly spread ones of many.
fn spread(rows: &[Vec<f64>], most: usize) -> Vec<Vec<f64>> {
    let stride = rows.len().div_ceil(most).max(1);
    rows.iter().step_by(stride).cloned().collect()
}

/// Root mean square distance of all outputs from their mean.
fn deviation(outputs: &[Vec<f64>]) -> f64 {
    let count = outputs.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    let mean = outputs.iter().flatten().sum::<f64>() / count;
    (outputs.iter().flatten().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt()
}

/// Elements of all tensors on all sample rows together.
const SAMPLE_CELLS: usize = 1 << 25;
const SAMPLE_ROWS_MIN: usize = 8;
const SAMPLE_ROWS_MAX: usize = 512;
/// Smallest tables tried.
const TABLE_BITS_USUAL: u8 = 8;
/// Share of the outputs' spread that an error may be.
const GOOD_ERROR: f64 = 0.01;
/// Error with eight bits, as a share of that spread, at which they are not even tried.
const HOPELESS: f64 = 0.5;
/// Share of decisions that should be those of the float network.
const GOOD_DECISIONS: f64 = 0.985;
/// Errors aimed at, as shares of the outputs' spread, the cheaper first.
const ERROR_SHARES: [f64; 3] = [0.04, 0.01, 0.0025];
/// More bits must take the error down to this share.
const WORTH_IT: f64 = 0.7;
/// Largest growth of the error that smaller tables may cost where the error itself is in the answer.
const TOLERATED_VALUES: f64 = 1.15;
/// The same where only the order of scores is.
const TOLERATED_SCORES: f64 = 2.0;
