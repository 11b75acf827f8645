//! Import of ONNX networks: parse, lower to a chain of affine maps and scalar functions, quantise, measure.
//!
//! Covers what scikit-learn (through skl2onnx) and PyTorch export for multi-layer perceptrons and linear models, and
//! the same networks once quantised (QDQ, QLinearMatMul, QGemm, MatMulInteger with static scales). Input scaling
//! becomes part of the encoders and the first layer, so raw values go in. Anything else is refused by name.
//!
//! This is the only place where floats decide something, and they decide it before the model exists: tables of
//! smooth functions come from the machine's `exp` and `tanh`, so two machines may import one file to models that
//! differ in a last bit and so in their id. From then on the model is what its bytes say.

mod error;
mod layers;
mod lower;
mod network;
mod onnx;
mod operators;
mod quantise;
mod quantised;
mod score;
mod shapes;

use std::rc::Rc;

use prost::Message;

pub use error::{ImportError, NodeReason};

use crate::{
    file::ImportReport,
    graph::{Decoder, MAX_TABLE_BITS},
    model::Model,
    raw::RawValue,
};
use layers::Layers;
use lower::{Meaning, Network};
use network::{Scalar, Step};
use quantise::{Quantised, Sums};

/// Rows with their true answers, not used for training or calibration.
#[derive(Debug, Clone, Copy)]
pub struct HeldOut<'a> {
    /// Raw values, `[rows][features]`.
    pub rows: &'a [Vec<f64>],
    /// One label for each row; for a network that gives values, decimals separated by commas.
    pub labels: &'a [String],
}

/// What the file does not say, or what the caller knows better.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Labels of the classes, in the order of the network's outputs. Makes a classifier of a network that only
    /// gives scores (PyTorch exports); a single score then decides by its sign.
    pub labels: Option<Vec<String>>,
    /// Names of the features.
    pub feature_names: Option<Vec<String>>,
    /// Most bits of a table, 4 to 16: larger tables are finer and cost more to prove. Fewer are used where the
    /// calibration rows show no difference.
    pub table_bits_max: u8,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { labels: None, feature_names: None, table_bits_max: 12 }
    }
}

/// An imported model and what was measured about it.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The integer model.
    pub model: Model,
    /// Scores of the float network and of the model.
    pub report: ImportReport,
}

/// Imports an ONNX file, calibrating on rows of real raw inputs.
///
/// A network that ends in scores without naming classes is taken for a classifier when labels are given in
/// `options`, when it ends in softmax, or when it has several outputs and every held-out label is a number of one.
///
/// # Errors
/// Says which node, tensor or row cannot be used, and why; [`ImportError::hint`] says what to do.
pub fn import(
    onnx_bytes: &[u8],
    calibration: &[Vec<f64>],
    held_out: Option<HeldOut<'_>>,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    if !(TABLE_BITS_MIN..=MAX_TABLE_BITS).contains(&options.table_bits_max) {
        return Err(ImportError::TableBits { got: options.table_bits_max });
    }
    let width = calibration.first().ok_or(ImportError::NoCalibration)?.len();
    check_rows(calibration, width)?;
    if let Some(held_out) = held_out {
        check_rows(held_out.rows, width)?;
        let (rows, labels) = (held_out.rows.len(), held_out.labels.len());
        if rows != labels {
            return Err(ImportError::HeldOutCount { rows, labels });
        }
    }
    let network = lower::lower(&parse(onnx_bytes)?, width)?;
    let meaning = settle(&network, held_out, options)?;
    let steps = decisive(&network, &meaning);
    let layers = Layers::from_steps(steps, width)?;
    let sample: Vec<Vec<f64>> = spread(calibration);
    let quantised = fewest_bits(&layers, &sample, options.table_bits_max, meaning == Meaning::Values)?;
    let decoder = decoder(&meaning, &network, quantised.fraction_bits);
    if let Some(names) = options.feature_names.as_ref().filter(|names| names.len() != width) {
        return Err(ImportError::FeatureNameCount { expected: width, got: names.len() });
    }
    let (graph, weights) = quantised.into_parts(options.feature_names.as_deref(), decoder);
    let model = Model::new(graph, weights)?;
    let report = score::report(&model, &network.steps, steps, calibration, held_out)?;
    Ok(Imported { model, report })
}

/// What the float network gives for each row: class scores or values, by its own steps in double precision.
///
/// # Errors
/// As [`import`], for the same file and rows.
pub fn run_float(onnx_bytes: &[u8], rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, ImportError> {
    let width = rows.first().ok_or(ImportError::NoCalibration)?.len();
    check_rows(rows, width)?;
    let network = lower::lower(&parse(onnx_bytes)?, width)?;
    Ok(rows.iter().map(|row| network::run(&network.steps, row)).collect())
}

fn parse(onnx_bytes: &[u8]) -> Result<onnx::ModelProto, ImportError> {
    if onnx_bytes.len() > MAX_ONNX_BYTES {
        return Err(ImportError::FileTooLarge { got: onnx_bytes.len() });
    }
    onnx::ModelProto::decode(onnx_bytes).map_err(|_| ImportError::NotOnnx)
}

fn check_rows(rows: &[Vec<f64>], expected: usize) -> Result<(), ImportError> {
    for (row, values) in rows.iter().enumerate() {
        if values.len() != expected {
            return Err(ImportError::RowLength { row, expected, got: values.len() });
        }
        for (feature, value) in values.iter().enumerate() {
            RawValue::from_f64(*value).map_err(|source| ImportError::Value { row, feature, source })?;
        }
    }
    Ok(())
}

/// Settles what the end of the network means, labels included.
fn settle(
    network: &Network,
    held_out: Option<HeldOut<'_>>,
    options: &ImportOptions,
) -> Result<Meaning, ImportError> {
    let outputs = network.outputs;
    let numbered = |count: usize| (0..count).map(|label| label.to_string()).collect::<Vec<_>>();
    let classes = held_out.is_some_and(|held_out| {
        let is_class = |label: &String| label.parse::<usize>().is_ok_and(|label| label < outputs);
        outputs > 1 && !held_out.labels.is_empty() && held_out.labels.iter().all(is_class)
    });
    match (&network.meaning, &options.labels) {
        (Meaning::Values, None) if classes => Ok(Meaning::Largest(Some(numbered(outputs)))),
        (Meaning::Values, None) => Ok(Meaning::Values),
        (Meaning::Sign(_), Some(labels)) => two_labels(labels),
        (Meaning::Values, Some(labels)) if outputs == 1 => two_labels(labels),
        (Meaning::Values | Meaning::Largest(_), Some(labels)) if labels.len() == outputs => {
            Ok(Meaning::Largest(Some(labels.clone())))
        }
        (_, Some(labels)) => Err(ImportError::LabelCount { expected: outputs, got: labels.len() }),
        (Meaning::Largest(labels), None) => {
            Ok(Meaning::Largest(Some(labels.clone().unwrap_or_else(|| numbered(outputs)))))
        }
        (Meaning::Sign(labels), None) => {
            Ok(Meaning::Sign(Some(labels.clone().unwrap_or_else(|| ["0".to_owned(), "1".to_owned()]))))
        }
    }
}

fn two_labels(labels: &[String]) -> Result<Meaning, ImportError> {
    match labels {
        [below, above] => Ok(Meaning::Sign(Some([below.clone(), above.clone()]))),
        _ => Err(ImportError::LabelCount { expected: 2, got: labels.len() }),
    }
}

/// The steps that decide: softmax and other functions that keep the order need not be computed for a label.
fn decisive<'a>(network: &'a Network, meaning: &Meaning) -> &'a [Rc<Step>] {
    let mut steps = network.steps.as_slice();
    if let (Meaning::Values, Meaning::Sign(_), [before @ .., last]) = (&network.meaning, meaning, steps) {
        // A probability decides at one half, which is where the argument of its sigmoid is zero.
        return if **last == Step::Scalar(Scalar::Sigmoid) { before } else { steps };
    }
    while let [before @ .., last] = steps {
        let dropped = match (last.as_ref(), meaning) {
            (Step::Softmax { .. }, _) => true,
            (Step::Scalar(scalar), Meaning::Largest(_)) => scalar.keeps_order(),
            (Step::Scalar(Scalar::Grid { .. }), _) => true,
            _ => false,
        };
        if !dropped {
            break;
        }
        steps = before;
    }
    steps
}

fn decoder(meaning: &Meaning, network: &Network, fraction_bits: i8) -> Decoder {
    match meaning {
        Meaning::Largest(labels) => {
            let labels = labels.clone().unwrap_or_else(|| vec![String::new(); network.outputs]);
            Decoder::ArgMax { labels, fraction_bits }
        }
        Meaning::Sign(labels) => {
            Decoder::Threshold { labels: labels.clone().unwrap_or_default(), fraction_bits }
        }
        Meaning::Values => Decoder::Values { fraction_bits },
    }
}

/// Rows for calibration: all, or evenly spread ones of many.
fn spread(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let stride = rows.len().div_ceil(CALIBRATION_ROWS_MAX).max(1);
    rows.iter().step_by(stride).cloned().collect()
}

/// The smallest tables that do about as well as the largest allowed: as many right decisions on the calibration
/// rows, and an error not much larger.
fn fewest_bits(
    layers: &Layers,
    rows: &[Vec<f64>],
    bits_max: u8,
    values: bool,
) -> Result<Quantised, ImportError> {
    let sums = Sums::of(layers, rows);
    let best = quantise::quantise(layers, rows, &sums, bits_max)?;
    let tolerated = best.error * if values { TOLERATED_VALUES } else { TOLERATED_SCORES };
    if layers.layers.len() == 1 {
        return Ok(best);
    }
    for bits in TABLE_BITS_USUAL.min(bits_max)..bits_max {
        let tried = quantise::quantise(layers, rows, &sums, bits)?;
        if tried.error <= tolerated && (values || tried.same_decisions >= best.same_decisions) {
            return Ok(tried);
        }
    }
    Ok(best)
}

/// Largest ONNX file.
pub const MAX_ONNX_BYTES: usize = 1 << 28;
/// Most weights of a layer that an operator other than a product makes.
const MAX_LAYER_CELLS: usize = 1 << 22;
/// Most rows that scales and biases are fitted to.
const CALIBRATION_ROWS_MAX: usize = 1024;
/// Least that can be asked for.
const TABLE_BITS_MIN: u8 = 4;
/// Smallest tables tried.
const TABLE_BITS_USUAL: u8 = 8;
/// Largest growth of the error that smaller tables may cost where the error itself is in the answer.
const TOLERATED_VALUES: f64 = 1.15;
/// The same where only the order of scores is.
const TOLERATED_SCORES: f64 = 2.0;

#[cfg(test)]
mod tests;
