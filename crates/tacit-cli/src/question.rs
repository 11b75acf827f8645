//! From numbers as people write them to rows a model takes, and from logits to words.

use crate::failure::{Context, Failure};
use crate::tensor_file::{TensorFile, read_limited};
use serde_json::{Value, json};
use std::path::Path;
use tacit_graph::{Answer, Graph, ModelFile, RawValue};

/// Reads a `.tacit` file.
pub(crate) fn read_model(path: &Path) -> Result<ModelFile, Failure> {
    let bytes = read_limited(path, tacit_graph::file::MAX_FILE_BYTES as u64)?;
    ModelFile::decode(&bytes).failed(
        "bad_model",
        format!("{} is not a model this version can read", path.display()),
        "make one with `tacit model import`",
    )
}

/// Reads rows of raw values for a graph, in units of `2^-24`.
pub(crate) fn read_rows(graph: &Graph, path: &Path) -> Result<Vec<Vec<i64>>, Failure> {
    raw_rows(&TensorFile::read(path)?.rows(graph.features.len())?)
}

/// Rounds floats to raw values, refusing what is no number.
pub(crate) fn raw_rows(rows: &[Vec<f64>]) -> Result<Vec<Vec<i64>>, Failure> {
    let raw = |(row, column): (usize, usize), value: f64| {
        RawValue::from_f64(value).map(RawValue::get).failed(
            "bad_value",
            format!("row {row}, value {column}"),
            "inputs are finite numbers",
        )
    };
    rows.iter()
        .enumerate()
        .map(|(row, values)| {
            values.iter().enumerate().map(|(column, &value)| raw((row, column), value)).collect()
        })
        .collect()
}

/// What a model answers, as a word or as numbers.
pub(crate) fn answer(graph: &Graph, logits: &[i32]) -> Result<Value, Failure> {
    let answer = graph.decode_output(logits).failed("bad_output", "the logits do not fit the model", "")?;
    Ok(match answer {
        Answer::Label { label, .. } => json!({"label": label, "scores": scores(graph, logits)}),
        Answer::Values(_) => json!({"values": scores(graph, logits)}),
    })
}

/// An answer as one line for people.
pub(crate) fn answer_line(answer: &Value) -> String {
    match answer["label"].as_str() {
        Some(label) => label.to_owned(),
        None => {
            let values = answer["values"].as_array().map(Vec::as_slice).unwrap_or_default();
            values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    }
}

fn scores(graph: &Graph, logits: &[i32]) -> Vec<f64> {
    graph.scores(logits).into_iter().map(tacit_graph::Score::to_f64).collect()
}
