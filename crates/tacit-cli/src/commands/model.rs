//! `tacit model`: import, show, list, publish.

use crate::args::{Import, Model as Command};
use crate::commands::wallet;
use crate::failure::{Context, Failure};
use crate::output::{Output, Style, bytes, short};
use crate::shipped::HeldOutFile;
use crate::tensor_file::{TensorFile, read_limited};
use crate::{network, question};
use serde_json::{Value, json};
use std::path::Path;
use tacit_graph::import::{HeldOut, ImportOptions, Imported};
use tacit_graph::{ImportReport, ModelFile};
use tacit_prove::CommittedModel;
use tacit_verify::SecurityBits;
use tacit_wire::ledger::Listing;

pub(crate) async fn model(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Import(arguments) => import(arguments, output),
        Command::Show { file } => show(file, output),
        Command::List { ledger } => {
            let listings = network::ledger(&ledger.url).await?.listings().await.map_err(network::failure)?;
            let result: Vec<Value> = listings.iter().map(listing_json).collect();
            output.data(&json!({"models": result}), || listing_table(&listings));
            Ok(())
        }
        Command::Publish { file, name, key, ledger } => {
            let model = question::read_model(file)?;
            let committed = commit(&model, output)?;
            let wallet = wallet::load(key)?;
            let ledger = network::ledger(&ledger.url).await?;
            let id = model.id().as_bytes().into();
            let mined = ledger
                .publish(&wallet, id, committed.weight_root().into(), name)
                .await
                .map_err(network::failure)?;
            let result = json!({"model_id": model.id().to_string(), "name": name, "block": mined.block});
            output.data(&result, || format!("{name} is {} since block {}", model.id(), mined.block));
            Ok(())
        }
    }
}

/// Commits to a file's weights again, so that a file whose weight root is wrong is never published or served.
pub(crate) fn commit(file: &ModelFile, output: Output) -> Result<CommittedModel, Failure> {
    if file.model.shapes().parameters() > PARAMETERS_QUIET {
        output.note(format!("committing to the weights of {} …", file.name));
    }
    let committed = CommittedModel::commit(file.model.clone(), SecurityBits::DEFAULT).failed(
        "cannot_commit",
        "the weights cannot be committed to",
        "",
    )?;
    if committed.weight_root() == file.weight_root {
        return Ok(committed);
    }
    Err(Failure::new(
        "wrong_weight_root",
        format!("{} does not hold the weights its id stands for", file.name),
        "import the model again",
    ))
}

fn import(arguments: &Import, output: Output) -> Result<(), Failure> {
    let onnx = read_limited(&arguments.onnx, ONNX_BYTES_MAX)?;
    let calibration = first_axis_rows(&TensorFile::read(&arguments.calibration)?)?;
    let held_out = arguments
        .held_out
        .as_deref()
        .map(|rows| read_held_out(rows, arguments.labels.as_deref()))
        .transpose()?;
    let name =
        arguments.output.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let classes = arguments.classes.as_ref().map(|names| names.split(',').map(str::to_owned).collect());
    let options = ImportOptions { labels: classes, ..ImportOptions::default() };
    let file = import_onnx(&name, &onnx, &calibration, held_out.as_ref(), &options)?;
    std::fs::write(&arguments.output, file.encode()).failed(
        "cannot_write",
        format!("cannot write {}", arguments.output.display()),
        "check the folder and its permissions",
    )?;
    output.data(&report_json(&file), || {
        format!("{}\nwritten to {}", describe(&file, output), arguments.output.display())
    });
    Ok(())
}

/// Imports an ONNX network, commits to its weights, and names it.
pub(crate) fn import_onnx(
    name: &str,
    onnx: &[u8],
    calibration: &[Vec<f64>],
    held_out: Option<&HeldOutFile>,
    options: &ImportOptions,
) -> Result<ModelFile, Failure> {
    let held_out = held_out.map(|file| HeldOut { rows: &file.rows, labels: &file.labels });
    let Imported { model, report } = tacit_graph::import::import(onnx, calibration, held_out, options)
        .map_err(|error| Failure::new("cannot_import", &error, error.hint()))?;
    let committed = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).failed(
        "cannot_commit",
        "the weights cannot be committed to",
        "",
    )?;
    Ok(ModelFile { name: name.to_owned(), weight_root: committed.weight_root(), model, report })
}

/// Rows along the first axis; a lone axis is one row.
pub(crate) fn first_axis_rows(tensor: &TensorFile) -> Result<Vec<Vec<f64>>, Failure> {
    match tensor.shape.as_slice() {
        [rows, _, ..] => tensor.rows(tensor.data.len() / (*rows).max(1)),
        _ => tensor.rows(tensor.data.len()),
    }
}

/// Rows and labels from one JSON file `{"rows":[[…]],"labels":["…"]}`, or rows from a tensor file and labels from another.
fn read_held_out(rows: &Path, labels: Option<&Path>) -> Result<HeldOutFile, Failure> {
    if let Some(labels) = labels {
        let labels = TensorFile::read(labels)?.data.iter().map(ToString::to_string).collect();
        return Ok(HeldOutFile { rows: first_axis_rows(&TensorFile::read(rows)?)?, labels });
    }
    serde_json::from_slice(&read_limited(rows, ONNX_BYTES_MAX)?).failed(
        "bad_input",
        format!("{} does not hold rows and labels", rows.display()),
        r#"give {"rows":[[…]],"labels":["…"]}, or rows here and numbers with --labels"#,
    )
}

fn show(file: &Path, output: Output) -> Result<(), Failure> {
    let model = question::read_model(file)?;
    output.data(&report_json(&model), || describe(&model, output));
    Ok(())
}

fn report_json(file: &ModelFile) -> Value {
    let ImportReport { task, params, macs, operators, float_score, integer_score, agreement, rows } =
        &file.report;
    json!({
        "model_id": file.id().to_string(), "name": file.name, "task": task, "params": params, "macs": macs,
        "operators": operators, "float_score": float_score, "integer_score": integer_score, "agreement": agreement,
        "rows": rows,
    })
}

fn describe(file: &ModelFile, output: Output) -> String {
    let report = &file.report;
    let mut text = format!(
        "{}\n  id          {}\n  parameters  {}\n  macs        {}\n  operators   {}\n  file        {}",
        output.paint(Style::Strong, &file.name),
        file.id(),
        report.params,
        report.macs,
        report.operators.join(", "),
        bytes(file.encode().len()),
    );
    if let (Some(float), Some(integer), Some(agreement)) =
        (report.float_score, report.integer_score, report.agreement)
    {
        text += &format!(
            "\n  score       {integer:.4} as integers, {float:.4} as floats, agreement {agreement:.4}, on {} held-out rows",
            report.rows
        );
    }
    text
}

fn listing_json(listing: &Listing) -> Value {
    let asks: Vec<Value> = listing
        .asks
        .iter()
        .map(|ask| {
            json!({
                "worker": ask.worker, "endpoint": ask.endpoint,
                "privacy": tacit_abi::Privacy::from_u8(ask.privacy), "evidence": tacit_abi::Evidence::from_u8(ask.evidence),
                "price": tacit_wire::Amount(ask.price).to_string(),
            })
        })
        .collect();
    json!({
        "model_id": listing.model.modelId, "name": listing.model.name, "owner": listing.model.owner,
        "weight_root": listing.model.weightRoot, "block": listing.model.block, "asks": asks,
    })
}

fn listing_table(listings: &[Listing]) -> String {
    if listings.is_empty() {
        return "no models are published on this ledger".to_owned();
    }
    let mut lines = Vec::new();
    for listing in listings {
        lines.push(format!("{}  {}", listing.model.name, listing.model.modelId));
        for ask in &listing.asks {
            let mode = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
            lines.push(format!(
                "  {} + {}  {} from {} at {}",
                mode(tacit_abi::Privacy::from_u8(ask.privacy).map(|mode| mode.to_string())),
                mode(tacit_abi::Evidence::from_u8(ask.evidence).map(|mode| mode.to_string())),
                tacit_wire::Amount(ask.price),
                short(&ask.worker.to_string()),
                ask.endpoint,
            ));
        }
    }
    lines.join("\n")
}

const ONNX_BYTES_MAX: u64 = 512 << 20;
const PARAMETERS_QUIET: u64 = 5_000_000;
