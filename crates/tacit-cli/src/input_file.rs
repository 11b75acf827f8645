//! What `--input` names: numbers in order, or rows with the model's names.

use crate::failure::{Context, Failure};
use crate::question::raw_rows;
use crate::table_file::TableFile;
use crate::tensor_file::{FILE_BYTES_MAX, JSON_HINT, TensorFile, read_limited};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::Path;
use tacit_gateway::NamedRow;
use tacit_graph::{Columns, Graph};

/// A question or several, as written.
#[derive(Debug)]
pub(crate) enum InputFile {
    Tensor(TensorFile),
    /// JSON rows with names.
    Rows(Vec<NamedRow>),
    Table(TableFile),
}

/// One question.
#[derive(Debug)]
pub(crate) enum OneInput {
    Tensor(TensorFile),
    Row(NamedRow),
}

impl OneInput {
    /// As a gateway takes it.
    pub(crate) fn to_json(&self) -> Result<Value, Failure> {
        match self {
            Self::Tensor(tensor) => {
                // JSON cannot say NaN; name the culprit here rather than send a hole.
                raw_rows(std::slice::from_ref(&tensor.data))?;
                Ok(json!(tensor))
            }
            Self::Row(row) => Ok(json!({"row": row})),
        }
    }
}

impl InputFile {
    /// Reads `.npy`, `.csv` (or `.tsv`) and JSON.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_limited(path, FILE_BYTES_MAX)?;
        let name = path.display();
        if bytes.starts_with(b"\x93NUMPY") {
            return TensorFile::from_npy_file(&bytes, path).map(Self::Tensor);
        }
        let text = std::str::from_utf8(&bytes).failed(
            "bad_input",
            format!("{name} is neither JSON nor CSV nor .npy"),
            JSON_HINT,
        )?;
        let table = path.extension().is_some_and(|extension| {
            ["csv", "tsv"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        });
        let made = if table {
            TableFile::from_csv(text).map(Self::Table).map_err(|reason| {
                Failure::new("bad_input", format!("it is not a table: {reason}"), TABLE_HINT)
            })
        } else {
            Self::from_json(text)
        };
        made.map_err(|mut failure| {
            failure.message = format!("{name}: {}", failure.message);
            failure
        })
    }

    /// Reads JSON: a tensor, a row with names, or a list of such rows.
    pub(crate) fn from_json(text: &str) -> Result<Self, Failure> {
        /// What only a tensor has.
        #[derive(Deserialize)]
        struct Tensor {
            #[serde(rename = "data")]
            _data: Vec<IgnoredAny>,
        }
        let named = match text.trim_start().chars().next() {
            Some('{') if serde_json::from_str::<Tensor>(text).is_ok() => None,
            Some('{') => Some(serde_json::from_str(text).map(|row| vec![row])),
            Some('[') => Some(serde_json::from_str::<Vec<NamedRow>>(text)),
            _ => None,
        };
        match named {
            None => TensorFile::from_json(text).map(Self::Tensor),
            Some(rows) => {
                let rows = rows.failed("bad_input", "not a row", JSON_HINT)?;
                if rows.is_empty() {
                    return Err(Failure::new("bad_input", "it holds no row", JSON_HINT));
                }
                Ok(Self::Rows(rows))
            }
        }
    }

    /// How many rows have names; none of a tensor has.
    fn count(&self) -> Option<usize> {
        match self {
            Self::Tensor(_) => None,
            Self::Rows(rows) => Some(rows.len()),
            Self::Table(table) => Some(table.count()),
        }
    }

    fn row(&self, index: usize) -> Option<NamedRow> {
        match self {
            Self::Tensor(_) => None,
            Self::Rows(rows) => rows.get(index).cloned(),
            Self::Table(table) => table.row(index),
        }
    }

    /// The row that was chosen, counted from one.
    fn chosen(&self, chosen: NonZeroUsize) -> Result<NamedRow, Failure> {
        let count = self.count().ok_or_else(|| {
            Failure::new("bad_input", "--row chooses among rows with names, and these have none", TABLE_HINT)
        })?;
        self.row(chosen.get() - 1).ok_or_else(|| {
            Failure::new(
                "no_row",
                format!("there is no row {chosen}, the input has {}", rows(count)),
                CHOOSE_HINT,
            )
        })
    }

    /// The one question that it holds, or that is chosen.
    pub(crate) fn one(self, chosen: Option<NonZeroUsize>) -> Result<OneInput, Failure> {
        match (self, chosen) {
            (Self::Tensor(tensor), None) => Ok(OneInput::Tensor(tensor)),
            (file, Some(chosen)) => file.chosen(chosen).map(OneInput::Row),
            (file, None) => match (file.count(), file.row(0)) {
                (Some(1), Some(row)) => Ok(OneInput::Row(row)),
                (count, _) => Err(Failure::new(
                    "many_rows",
                    format!("one question is one row, and the input has {}", rows(count.unwrap_or(0))),
                    CHOOSE_HINT,
                )),
            },
        }
    }

    /// Raw values for a graph, in units of `2^-24`: all rows, or the chosen one.
    pub(crate) fn values(
        &self,
        graph: &Graph,
        chosen: Option<NonZeroUsize>,
    ) -> Result<Vec<Vec<i64>>, Failure> {
        if let (Self::Tensor(tensor), None) = (self, chosen) {
            return raw_rows(&tensor.rows(graph.features.len())?);
        }
        let columns =
            Columns::new(&graph.features).map_err(|error| Failure::new("bad_input", &error, error.hint()))?;
        let read = |row: NamedRow, place: String| {
            row.values(&columns)
                .map_err(|error| Failure::new("bad_input", format!("{place}{error}"), error.hint()))
        };
        if let Some(chosen) = chosen {
            return Ok(vec![read(self.chosen(chosen)?, String::new())?]);
        }
        let count = self.count().unwrap_or(0);
        let place = |index: usize| if count > 1 { format!("row {}: ", index + 1) } else { String::new() };
        (0..count).filter_map(|index| Some(read(self.row(index)?, place(index)))).collect()
    }
}

fn rows(count: usize) -> String {
    if count == 1 { "one row".to_owned() } else { format!("{count} rows") }
}

const CHOOSE_HINT: &str = "choose one with --row, counted from 1";
const TABLE_HINT: &str = "a table has a line of names and a line for each row, cells separated by commas";

#[cfg(test)]
mod tests {
    use super::*;
    use tacit_graph::synthetic_mlp;

    const ROW: Option<NonZeroUsize> = NonZeroUsize::new(2);

    fn graph() -> Graph {
        let mut graph = synthetic_mlp(&[3, 2], 1).unwrap().graph().clone();
        for (feature, name) in graph.features.iter_mut().zip(["age", "purpose=car", "purpose=roof"]) {
            feature.name = name.to_owned();
        }
        graph
    }

    fn read(name: &str, content: &str) -> Result<InputFile, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        InputFile::read(&path).map_err(|mut failure| {
            failure.message = failure.message.replace(&path.display().to_string(), name);
            failure
        })
    }

    fn values(name: &str, content: &str, chosen: Option<NonZeroUsize>) -> Result<Vec<Vec<i64>>, String> {
        let told = |failure: Failure| format!("{}: {} ({})", failure.code, failure.message, failure.hint);
        let rows = read(name, content).and_then(|file| file.values(&graph(), chosen)).map_err(told)?;
        Ok(rows.iter().map(|row| row.iter().map(|value| value >> 24).collect()).collect())
    }

    const PEOPLE: &str = "purpose,age\nroof,35\ncar,40\n";

    #[test]
    fn one_row_in_every_form_is_the_same_row() {
        let row = Ok(vec![vec![40, 1, 0]]);
        assert_eq!(values("a.json", r#"{"shape":[3],"data":[40,1,0]}"#, None), row);
        assert_eq!(values("a.json", r#" {"age":40,"purpose":"car"}"#, None), row);
        assert_eq!(values("a.json", r#"[{"age":40,"purpose":"car"}]"#, None), row);
        assert_eq!(values("a.csv", "age,purpose\n40,car\n", None), row);
        assert_eq!(values("A.TSV", "age\tpurpose\n40\tcar\n", None), row);
        assert_eq!(values("a.csv", PEOPLE, ROW), row);
        assert_eq!(values("a.csv", PEOPLE, None), Ok(vec![vec![35, 0, 1], vec![40, 1, 0]]));
    }

    #[test]
    fn what_cannot_be_read_is_told_in_one_sentence() {
        for (name, content, chosen, told) in [
            ("a.json", "seven", None, "bad_input: a.json: not a tensor: "),
            ("a.json", "[]", None, "bad_input: a.json: it holds no row ("),
            (
                "a.json",
                r#"{"age":[40]}"#,
                None,
                "bad_input: a.json: not a row: \"age\" is neither a number nor a word",
            ),
            ("a.csv", "age\n", None, "bad_input: a.csv: it is not a table: it has a header and no rows ("),
            (
                "a.csv",
                PEOPLE,
                NonZeroUsize::new(3),
                "no_row: there is no row 3, the input has 2 rows (choose one",
            ),
            (
                "a.json",
                r#"{"shape":[3],"data":[1,2,3]}"#,
                ROW,
                "bad_input: --row chooses among rows with names",
            ),
            (
                "a.csv",
                "age,purpose\n40,car\n41,cat\n",
                None,
                "bad_input: row 2: \"purpose\" is \"cat\", which is none of \"car\" and \"roof\" (write",
            ),
            ("a.json", r#"{"age":40}"#, None, "bad_input: the row lacks \"purpose\" (give every column"),
        ] {
            let failure = values(name, content, chosen).unwrap_err();
            assert!(failure.starts_with(told), "{failure}");
        }
    }

    #[test]
    fn a_question_is_one_row() {
        let one = |name: &str, content: &str, chosen| read(name, content).and_then(|file| file.one(chosen));
        assert!(matches!(one("a.csv", "age\n1\n", None), Ok(OneInput::Row(_))));
        assert!(
            matches!(one("a.csv", PEOPLE, ROW), Ok(OneInput::Row(NamedRow(cells))) if cells[1].1 == "40")
        );
        assert!(matches!(one("a.json", r#"{"shape":[1],"data":[1]}"#, None), Ok(OneInput::Tensor(_))));
        assert_eq!(
            one("a.csv", PEOPLE, None).unwrap_err().message,
            "one question is one row, and the input has 2 rows"
        );
    }
}
