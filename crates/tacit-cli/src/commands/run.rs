//! `tacit run`: the exact graph, in the clear, here.

use crate::args;
use crate::failure::{Context, Failure};
use crate::input_file::InputFile;
use crate::output::Output;
use crate::question;
use serde_json::json;
use tacit_graph::Model;

pub(crate) fn run(arguments: &args::Run, output: Output) -> Result<(), Failure> {
    let file = question::read_model(&arguments.model)?;
    let rows = InputFile::read(&arguments.input)?.values(file.model.graph(), arguments.row)?;
    let answers = logits(&file.model, &rows)?
        .iter()
        .map(|logits| question::answer(file.model.graph(), logits))
        .collect::<Result<Vec<_>, _>>()?;
    let result = json!({"model_id": file.id().to_string(), "answers": answers});
    output.data(&result, || answers.iter().map(question::Told::line).collect::<Vec<_>>().join("\n"));
    Ok(())
}

/// Executes rows of raw values; one row of logits each.
pub(crate) fn logits(model: &Model, rows: &[Vec<i64>]) -> Result<Vec<Vec<i32>>, Failure> {
    let mut encoded = Vec::new();
    for row in rows {
        encoded.extend(model.graph().encode_input(row).failed(
            "wrong_shape",
            "the input does not fit the model",
            "",
        )?);
    }
    let trace = tacit_graph::execute(model, &encoded, rows.len()).failed(
        "cannot_execute",
        "the model cannot be executed on this input",
        "give fewer rows at once",
    )?;
    let width = trace.logits().len() / rows.len().max(1);
    Ok(trace.logits().chunks(width.max(1)).map(<[i32]>::to_vec).collect())
}
