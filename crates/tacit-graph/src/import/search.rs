//! How fine a network has to be: the cheapest settings that do about as well as fine ones.

use super::{
    equalise::equalised,
    error::ImportError,
    front::Fronted,
    program::Program,
    quantise::{Precision, Quantised, Settings, quantise},
    sample::Sample,
};

/// Quantises a program for calibration rows.
pub(super) fn search(
    program: &Program,
    calibration: &[Vec<f64>],
    bits_max: u8,
    values: bool,
) -> Result<Quantised, ImportError> {
    let mut fronted = Fronted::new(program);
    let cells: usize = (0..fronted.program.shapes.len())
        .map(|tensor| fronted.program.cells(u32::try_from(tensor).unwrap_or(u32::MAX)))
        .sum();
    let rows = spread(calibration, (SAMPLE_CELLS / cells.max(1)).clamp(SAMPLE_ROWS_MIN, SAMPLE_ROWS_MAX));
    let mut sample = Sample::new(&fronted, &rows);
    let usual =
        Settings { levels: 255, input_levels: 255, table_bits: bits_max, precision: Precision::Layer };
    let mut best = quantise(&fronted, &rows, &sample, usual)?;
    let mut settings = usual;
    let spread = deviation(&sample.outputs);
    let good = |made: &Quantised| {
        let share = made.same_decisions as f64 / rows.len().max(1) as f64;
        if values { made.error <= GOOD_ERROR * spread } else { share >= GOOD_DECISIONS }
    };
    // What costs nothing to prove comes first: weights of one size in all channels.
    if !good(&best)
        && let Some(program) = equalised(&fronted.program)
    {
        let other = Fronted { program, ..fronted.clone() };
        let other_sample = Sample::new(&other, &rows);
        if let Ok(tried) = quantise(&other, &rows, &other_sample, usual)
            && tried.error < best.error
        {
            (best, fronted, sample) = (tried, other, other_sample);
        }
    }
    let attempt = |settings: Settings| quantise(&fronted, &rows, &sample, settings);
    // Where eight bits are too few, more for the inputs, for weights, then for all activations.
    let input_levels = 4095;
    for finer in [
        Settings { precision: Precision::Channel, ..usual },
        Settings { input_levels, ..usual },
        Settings { input_levels, precision: Precision::Channel, ..usual },
        Settings { input_levels, precision: Precision::Channel, levels: 1023, ..usual },
        Settings { input_levels, precision: Precision::Twice, ..usual },
        Settings { input_levels: 16383, precision: Precision::Twice, levels: 4095, ..usual },
    ] {
        if good(&best) {
            break;
        }
        if let Ok(tried) = attempt(finer)
            && tried.error < WORTH_IT * best.error
        {
            (best, settings) = (tried, finer);
        }
    }
    // Smaller tables, where they would be most of what there is to prove.
    let looked_up = lookups(&fronted.program);
    let tolerated = best.error * if values { TOLERATED_VALUES } else { TOLERATED_SCORES };
    let decisions = best.same_decisions;
    for bits in (TABLE_BITS_USUAL.min(bits_max)..bits_max).filter(|bits| 1usize << bits > looked_up / 4) {
        if best.table_rows() <= 1 << bits {
            break;
        }
        let Ok(tried) = attempt(Settings { table_bits: bits, ..settings }) else { continue };
        let as_good = tried.error <= tolerated && (values || tried.same_decisions >= decisions);
        if as_good && tried.table_rows() < best.table_rows() {
            return Ok(tried);
        }
    }
    Ok(best)
}

/// Elements that go through functions.
fn lookups(program: &Program) -> usize {
    let nodes = program.nodes.iter().enumerate();
    let mapped = nodes.filter(|(_, node)| matches!(node, super::program::Node::Map { .. }));
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
/// Share of decisions that should be those of the float network.
const GOOD_DECISIONS: f64 = 0.985;
/// More bits must take the error down to this share.
const WORTH_IT: f64 = 0.7;
/// Largest growth of the error that smaller tables may cost where the error itself is in the answer.
const TOLERATED_VALUES: f64 = 1.15;
/// The same where only the order of scores is.
const TOLERATED_SCORES: f64 = 2.0;
