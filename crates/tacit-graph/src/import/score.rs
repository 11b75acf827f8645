//! The float network and the integer model on the same rows.

use super::{HeldOut, error::ImportError, program::Program, run};
use crate::{
    answer::Answer,
    execute::execute,
    file::ImportReport,
    graph::{Decoder, Graph},
    model::Model,
    raw::RawValue,
};

/// Answers of both, in words or numbers.
enum Answers {
    Labels { float: Vec<String>, integer: Vec<String> },
    Values { float: Vec<Vec<f64>>, integer: Vec<Vec<f64>> },
}

/// Measures on the held-out rows, or only the agreement, on the calibration rows.
///
/// `whole` is the whole network, `decisive` what comes before what only dresses up a decision, `input` what both read of
/// a raw row.
pub(super) fn report(
    model: &Model,
    input: &dyn Fn(&Vec<f64>) -> Vec<f64>,
    whole: &Program,
    decisive: &Program,
    calibration: &[Vec<f64>],
    held_out: Option<HeldOut<'_>>,
) -> Result<ImportReport, ImportError> {
    let rows = held_out.map_or(calibration, |held_out| held_out.rows);
    let mut report = ImportReport::unmeasured(model);
    if rows.is_empty() {
        return Ok(report);
    }
    report.rows = rows.len() as u64;
    match answers(model, input, whole, decisive, rows)? {
        Answers::Labels { float, integer } => {
            let same = |a: &[String], b: &[String]| {
                a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
            };
            report.agreement = Some(same(&float, &integer));
            if let Some(held_out) = held_out {
                report.float_score = Some(same(&float, held_out.labels));
                report.integer_score = Some(same(&integer, held_out.labels));
            }
        }
        Answers::Values { float, integer } => {
            let pairs = || float.iter().flatten().zip(integer.iter().flatten());
            let total: f64 = pairs().map(|(a, b)| (a - b).abs()).sum();
            report.agreement = Some(total / pairs().count().max(1) as f64);
            if let Some(held_out) = held_out {
                let truth = truth(held_out.labels, model.shapes().outputs())?;
                report.float_score = determination(&float, &truth);
                report.integer_score = determination(&integer, &truth);
            }
        }
    }
    Ok(report)
}

fn answers(
    model: &Model,
    input: &dyn Fn(&Vec<f64>) -> Vec<f64>,
    whole: &Program,
    decisive: &Program,
    rows: &[Vec<f64>],
) -> Result<Answers, ImportError> {
    let graph = model.graph();
    let logits = integer_logits(model, rows)?;
    let inputs: Vec<Vec<f64>> = rows.iter().map(input).collect();
    if matches!(graph.decoder, Decoder::Values { .. }) {
        let integer =
            logits.iter().map(|row| graph.scores(row).iter().map(|score| score.to_f64()).collect()).collect();
        return Ok(Answers::Values { float: run::outputs(whole, &inputs), integer });
    }
    let integer = logits.iter().map(|row| integer_label(graph, row)).collect();
    let float = run::outputs(decisive, &inputs);
    Ok(Answers::Labels { float: float.iter().map(|row| float_label(graph, row)).collect(), integer })
}

fn integer_logits(model: &Model, rows: &[Vec<f64>]) -> Result<Vec<Vec<i32>>, ImportError> {
    let mut logits = Vec::with_capacity(rows.len());
    // A trace keeps every tensor: as many rows at a time as take about as much as the importer itself.
    let chunk_rows = (CHUNK_CELLS / model.shapes().cells().max(1)).clamp(1, CHUNK_ROWS) as usize;
    for (chunk_index, chunk) in rows.chunks(chunk_rows).enumerate() {
        let mut inputs = Vec::with_capacity(chunk.len() * model.shapes().inputs());
        for (index, row) in chunk.iter().enumerate() {
            for (feature, (encoder, value)) in model.graph().features.iter().zip(row).enumerate() {
                let row = chunk_index * chunk_rows + index;
                let raw = RawValue::from_f64(*value).map_err(|source| ImportError::Value {
                    row,
                    feature,
                    source,
                })?;
                inputs.push(encoder.encode(raw.get(), model.graph().input_bits));
            }
        }
        // Rows were checked to have one value for each feature, and chunks of any model fit a trace.
        if let Ok(trace) = execute(model, &inputs, chunk.len()) {
            logits.extend(trace.logits().chunks_exact(model.shapes().outputs()).map(<[i32]>::to_vec));
        }
    }
    Ok(logits)
}

fn integer_label(graph: &Graph, logits: &[i32]) -> String {
    match graph.decode_output(logits) {
        Ok(Answer::Label { label, .. }) => label,
        _ => String::new(),
    }
}

fn float_label(graph: &Graph, scores: &[f64]) -> String {
    match &graph.decoder {
        Decoder::ArgMax { labels, .. } => {
            let best = scores.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (index, score)| {
                if *score > best.1 { (index, *score) } else { best }
            });
            labels.get(best.0).cloned().unwrap_or_default()
        }
        Decoder::Threshold { labels: [below, above], .. } => {
            if scores.first().is_some_and(|score| *score > 0.0) { above.clone() } else { below.clone() }
        }
        Decoder::Values { .. } => String::new(),
    }
}

fn truth(labels: &[String], outputs: usize) -> Result<Vec<Vec<f64>>, ImportError> {
    let one = |(row, label): (usize, &String)| {
        let values: Option<Vec<f64>> = label.split(',').map(|text| text.trim().parse().ok()).collect();
        let refused = ImportError::HeldOutNumber { row, expected: outputs };
        values.filter(|values| values.len() == outputs).ok_or(refused)
    };
    labels.iter().enumerate().map(one).collect()
}

/// `1 - residual / total` sum of squares, over all outputs; none where the truth never varies.
fn determination(values: &[Vec<f64>], truth: &[Vec<f64>]) -> Option<f64> {
    let outputs = truth.first()?.len();
    let mean =
        |output: usize| truth.iter().filter_map(|row| row.get(output)).sum::<f64>() / truth.len() as f64;
    let means: Vec<f64> = (0..outputs).map(mean).collect();
    let (mut residual, mut total) = (0.0, 0.0);
    for (values, truth) in values.iter().zip(truth) {
        for ((value, truth), mean) in values.iter().zip(truth).zip(&means) {
            residual += (value - truth) * (value - truth);
            total += (truth - mean) * (truth - mean);
        }
    }
    (total > 0.0).then(|| 1.0 - residual / total)
}

/// Most rows run at a time.
const CHUNK_ROWS: u64 = 256;
/// Most elements of their tensors.
const CHUNK_CELLS: u64 = 1 << 26;
