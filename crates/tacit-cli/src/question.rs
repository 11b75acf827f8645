//! From numbers as people write them to rows a model takes, and from logits to words.

use crate::failure::{Context, Failure};
use crate::tensor_file::read_limited;
use serde::Serialize;
use std::path::Path;
use tacit_gateway::view::{ScoreEntry, score_entries};
use tacit_graph::{Answer, Graph, LabelScores, ModelFile, RawValue, Score};

/// Reads a `.tacit` file.
pub(crate) fn read_model(path: &Path) -> Result<ModelFile, Failure> {
    let bytes = read_limited(path, tacit_graph::file::MAX_FILE_BYTES as u64)?;
    ModelFile::decode(&bytes).failed(
        "bad_model",
        format!("{} is not a model this version can read", path.display()),
        "make one with `tacit model import`",
    )
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

/// What a model answers: a label with its scores, or values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scores: Vec<ScoreEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
}

impl Told {
    /// An answer from its parts.
    pub(crate) fn new(answer: &Answer, scores: Option<LabelScores>) -> Self {
        let (label, values) = match answer {
            Answer::Label { label, .. } => (Some(label.clone()), None),
            Answer::Values(values) => {
                (None, Some(values.iter().map(|value| Score::to_f64(*value)).collect()))
            }
        };
        let (scores, margin) = score_entries(scores);
        Self { label, scores, margin, values }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let word = word(self.label.as_deref(), self.values.as_deref());
        match sureness(self.label.as_deref(), &self.scores, self.margin) {
            Some(sure) => format!("{word}   ({sure})"),
            None => word,
        }
    }
}

/// What a model answers to a row with these logits.
pub(crate) fn answer(graph: &Graph, logits: &[i32]) -> Result<Told, Failure> {
    let answer = graph.decode_output(logits).failed("bad_output", "the logits do not fit the model", "")?;
    Ok(Told::new(&answer, graph.label_scores(logits)))
}

/// The label, or the values.
pub(crate) fn word(label: Option<&str>, values: Option<&[f64]>) -> String {
    let values = || values.unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    label.map_or_else(values, str::to_owned)
}

/// How sure a label is: its score and the next one's, or its distance from the threshold.
pub(crate) fn sureness(label: Option<&str>, scores: &[ScoreEntry], margin: Option<f64>) -> Option<String> {
    let (label, margin) = (label?, margin?);
    let mut ordered: Vec<&ScoreEntry> = scores.iter().collect();
    ordered.sort_by(|a, b| b.score.total_cmp(&a.score));
    match ordered.as_slice() {
        [_] => Some(format!("margin {margin:.2}")),
        [first, second, ..] => {
            // Of two equal scores the answer is the first in the model's order, and so it is here.
            let next = if first.label == label { second } else { first };
            let own = next.score + margin;
            Some(format!("score {own:.2}, next {} with {:.2}", next.label, next.score))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_with_what_it_beat() {
        let scores = |scores: &[(&str, f64)]| -> Vec<ScoreEntry> {
            scores
                .iter()
                .map(|(label, score)| ScoreEntry { label: (*label).to_owned(), score: *score })
                .collect()
        };
        let sure = |label: &str, list: &[(&str, f64)], margin: f64| {
            sureness(Some(label), &scores(list), Some(margin)).unwrap()
        };
        assert_eq!(sure("b", &[("a", -1.5), ("b", 2.0), ("c", 0.5)], 1.5), "score 2.00, next c with 0.50");
        assert_eq!(sure("a", &[("a", 2.0), ("b", 2.0)], 0.0), "score 2.00, next b with 2.00");
        assert_eq!(sure("no", &[("yes", -0.75)], 0.75), "margin 0.75");
        assert_eq!(sureness(None, &[], None), None);
    }
}
