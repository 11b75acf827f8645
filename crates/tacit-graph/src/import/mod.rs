//! Import of ONNX networks: parse, lower to four float operators, quantise, measure.
//!
//! Lowering gives a `program` in the operators of the integer graph, with real weights and any functions. Whatever
//! ONNX has for moving elements about becomes views; batch normalisation, scalings and biases fold into weights; chains
//! of functions become one. Then one operator at a time is quantised for the calibration rows. The operators covered
//! are in [`supported_operators`]; anything else is refused by name. Ensembles of decision trees go a way of their own, on
//! which nothing is rounded but the numbers at the leaves (`trees`).
//!
//! This is the only place where floats decide something, and they decide it before the model exists: tables of
//! smooth functions come from the machine's `exp` and `tanh`, so two machines may import one file to models that
//! differ in a last bit and so in their id. From then on the model is what its bytes say.

mod build;
mod classical;
mod demand;
mod encoder;
mod equalise;
mod error;
mod expr;
mod fold;
mod front;
mod integer;
mod linear;
mod lower;
mod moments;
mod moves;
mod node;
mod onnx;
mod operators;
mod pick;
mod program;
mod quantise;
mod quantised;
mod recurrent;
mod reduce;
mod resize;
mod run;
mod sample;
mod score;
mod search;
mod tables;
mod tensor;
mod trees;
mod wide;
mod windows;

use prost::Message;

pub use error::{ImportError, NodeReason};
pub use operators::supported_operators;

use crate::{
    file::ImportReport,
    graph::{Decoder, Feature, Graph, MAX_INPUT_BITS, MAX_TABLE_BITS, MIN_INPUT_BITS},
    model::Model,
    raw::RawValue,
};
use expr::{Expr, Unary};
use lower::{Meaning, Network};
use search::MostBits;

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
    /// Names of the values wanted, end to end; of several outputs the first is taken otherwise.
    pub outputs: Option<Vec<String>>,
    /// Most bits of a table, 4 to 16: larger tables are finer and cost more to prove. Fewer are used where the
    /// calibration rows show no difference.
    pub table_bits_max: u8,
    /// Most bits of an encoded input, 8 to 16: under encryption fewer leave more room. A network that comes with steps of its own keeps them.
    pub input_bits_max: u8,
    /// Whether trees may wait for look-ups where that makes fewer of them in all: better for proofs of deep trees, worse
    /// under encryption.
    pub gates: bool,
    /// Most bits of what a leaf of a tree adds to a score, 4 to 16: under encryption, sums of fewer bits come out exactly.
    pub leaf_bits_max: u8,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            labels: None,
            feature_names: None,
            outputs: None,
            table_bits_max: MAX_TABLE_BITS,
            input_bits_max: MAX_INPUT_BITS,
            gates: false,
            leaf_bits_max: MAX_TABLE_BITS,
        }
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
/// Ensembles of trees need no calibration: rows, if there are any, only serve to measure the agreement. Without any, the file
/// has to say how many features there are.
///
/// A row is the network's input for a batch of one, flattened in ONNX's order. A network that ends in scores without
/// naming classes is taken for a classifier when labels are given in `options`, when it ends in softmax, or when it
/// has several outputs and every held-out label is a number of one.
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
    if !(INPUT_BITS_LEAST..=MAX_INPUT_BITS).contains(&options.input_bits_max) {
        return Err(ImportError::InputBits { got: options.input_bits_max });
    }
    let parsed = parse(onnx_bytes)?;
    let width = match calibration.first().or(held_out.and_then(|held_out| held_out.rows.first())) {
        Some(row) if has_trees(&parsed) || !calibration.is_empty() => row.len(),
        None if has_trees(&parsed) => lower::declared_width(&parsed)?,
        _ => return Err(ImportError::NoCalibration),
    };
    check_rows(calibration, width)?;
    if let Some(held_out) = held_out {
        check_rows(held_out.rows, width)?;
        let (rows, labels) = (held_out.rows.len(), held_out.labels.len());
        if rows != labels {
            return Err(ImportError::HeldOutCount { rows, labels });
        }
    }
    let mut network = lower::lower(&parsed, width, options.outputs.as_deref())?;
    let meaning = settle(&network, held_out, options)?;
    if let Some(names) = options.feature_names.as_ref().filter(|names| names.len() != width) {
        return Err(ImportError::FeatureNameCount { expected: width, got: names.len() });
    }
    let (network_meaning, outputs) = (network.meaning.clone(), network.output.width());
    let whole = network.program(false)?;
    let decisive = match (&network_meaning, &meaning, &network.output.function) {
        // A probability decides at one half, which is where the argument of its sigmoid is zero.
        (Meaning::Values, Meaning::Sign(_), Expr::Unary(Unary::Sigmoid, inner)) => {
            network.output.function = inner.as_ref().clone();
            network.program(false)?
        }
        (_, Meaning::Values, _) => whole.clone(),
        _ => {
            network.meaning = meaning.clone();
            network.program(true)?
        }
    };
    let ensembles = trees::ensembles(&network.builder);
    if !ensembles.is_empty() {
        let scores = |row: &Vec<f64>| ensembles.iter().flat_map(|ensemble| ensemble.scores(row)).collect();
        let graph = Graph {
            features: unscaled_features(width, options.feature_names.as_deref()),
            input_axes: vec![u32::try_from(width).unwrap_or(u32::MAX)],
            input_bits: MIN_INPUT_BITS,
            nodes: Vec::new(),
            tables: Vec::new(),
            decoder: Decoder::Values { fraction_bits: 0 },
        };
        let refused = |reason| ImportError::Node {
            node: String::new(),
            operator: "ai.onnx.ml.TreeEnsemble".to_owned(),
            reason,
        };
        let made = ensembles.iter().try_for_each(|ensemble| ensemble.check_features(width));
        let tail = trees::Tail::new(&decisive).ok_or(NodeReason::AfterTrees);
        let made = made.and(tail).and_then(|tail| trees::quantise(&ensembles, &tail, graph, options));
        let trees::Quantised { mut graph, weights, fraction_bits } = made.map_err(refused)?;
        graph.decoder = decoder(&meaning, outputs, fraction_bits);
        let model = Model::new(graph, weights)?;
        let report = score::report(&model, &scores, &whole, &decisive, calibration, held_out)?;
        return Ok(Imported { model, report });
    }
    let most = MostBits { table: options.table_bits_max, input: options.input_bits_max };
    let quantised = search::search(&decisive, calibration, most, meaning == Meaning::Values)?;
    let decoder = decoder(&meaning, outputs, quantised.fraction_bits);
    let (graph, weights) = quantised.into_parts(options.feature_names.as_deref(), decoder);
    let model = Model::new(graph, weights)?;
    let report = score::report(&model, &Vec::clone, &whole, &decisive, calibration, held_out)?;
    Ok(Imported { model, report })
}

/// What the float network gives for each row: class scores or values, by its own steps in double precision. `outputs`
/// as in [`ImportOptions::outputs`].
///
/// # Errors
/// As [`import`], for the same file and rows.
pub fn run_float(
    onnx_bytes: &[u8],
    rows: &[Vec<f64>],
    outputs: Option<&[String]>,
) -> Result<Vec<Vec<f64>>, ImportError> {
    let width = rows.first().ok_or(ImportError::NoCalibration)?.len();
    check_rows(rows, width)?;
    let mut network = lower::lower(&parse(onnx_bytes)?, width, outputs)?;
    let program = network.program(false)?;
    let ensembles = trees::ensembles(&network.builder);
    let mut made = if ensembles.is_empty() {
        run::outputs(&program, rows)
    } else {
        let scores = |row: &Vec<f64>| ensembles.iter().flat_map(|ensemble| ensemble.scores(row)).collect();
        run::outputs(&program, &rows.iter().map(scores).collect::<Vec<Vec<f64>>>())
    };
    if let Some(log) = network.softmax {
        made.iter_mut().for_each(|row| *row = softmax(row, log));
    }
    Ok(made)
}

fn has_trees(model: &onnx::ModelProto) -> bool {
    model.graph.iter().flat_map(|graph| &graph.node).any(trees::is_trees)
}

/// Features that are not encoded yet.
fn unscaled_features(width: usize, names: Option<&[String]>) -> Vec<Feature> {
    let name = |index: usize| names.and_then(|names| names.get(index)).cloned().unwrap_or_default();
    let one = |index| Feature { name: name(index), offset: 0, multiplier: 0, shift: 0, steps: Vec::new() };
    (0..width).map(one).collect()
}

fn softmax(x: &[f64], log: bool) -> Vec<f64> {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = x.iter().map(|x| (x - most).exp()).sum();
    let one = |x: &f64| if log { x - most - total.ln() } else { (x - most).exp() / total };
    x.iter().map(one).collect()
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
    let outputs = network.output.width();
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

fn decoder(meaning: &Meaning, outputs: usize, fraction_bits: i8) -> Decoder {
    match meaning {
        Meaning::Largest(labels) => {
            let labels = labels.clone().unwrap_or_else(|| vec![String::new(); outputs]);
            Decoder::ArgMax { labels, fraction_bits }
        }
        Meaning::Sign(labels) => {
            Decoder::Threshold { labels: labels.clone().unwrap_or_default(), fraction_bits }
        }
        Meaning::Values => Decoder::Values { fraction_bits },
    }
}

/// Largest ONNX file.
pub const MAX_ONNX_BYTES: usize = 1 << 28;
/// Most weights of a layer that an operator other than a product makes.
const MAX_LAYER_CELLS: usize = 1 << 22;
/// Least that can be asked for.
const TABLE_BITS_MIN: u8 = 4;
/// Fewest bits that inputs can be held to.
const INPUT_BITS_LEAST: u8 = 8;

#[cfg(test)]
mod tests;
