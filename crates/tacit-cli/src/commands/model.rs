//! `tacit model`: import, show, list, publish.

use crate::args::{Import, Measure, Model as Command, OPENINGS_DEFAULT};
use crate::commands::wallet;
use crate::encryption::Encryption;
use crate::failure::{Context, Failure};
use crate::openings::OpeningsFile;
use crate::output::{Output, Style, bytes, short};
use crate::shipped::HeldOutFile;
use crate::tensor_file::{TensorFile, read_limited, write_private};
use crate::{network, question};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use std::path::Path;
use tacit_graph::columns::{Column, Content};
use tacit_graph::import::{HeldOut, ImportOptions, Imported};
use tacit_graph::{Columns, HidingKey, ImportReport, Model, ModelFile};
use tacit_prove::{CommitError, CommittedModel, Hiding, Seed};
use tacit_verify::SecurityBits;
use tacit_wire::Amount;
use tacit_wire::ledger::Listing;

pub(crate) async fn model(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Import(arguments) => import(arguments, output),
        Command::Rerandomise { file, openings } => rerandomise(file, *openings, output),
        Command::Measure(arguments) => measure(arguments, output),
        Command::Language(arguments) => crate::commands::language::describe(arguments, output),
        Command::Show { file } => show(file, output),
        Command::List { ledger } => {
            let listings = network::ledger(&ledger.url).await?.listings().await.map_err(network::failure)?;
            let result: Vec<Value> = listings.iter().map(listing_json).collect();
            output.data(&json!({"models": result}), || listing_table(&listings));
            Ok(())
        }
        Command::Publish { file, name, key, ledger } => {
            let model = question::read_model(file)?;
            let committed = commit(&model, 0, output)?;
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

/// A model ready to prove with, and where its openings are counted, if its commitment hides.
pub(crate) struct Opened {
    pub(crate) committed: CommittedModel,
    pub(crate) openings: Option<OpeningsFile>,
}

/// Commits to the weights of a file that was read from `path`, to prove with them.
pub(crate) fn open(file: &ModelFile, path: &Path, output: Output) -> Result<Opened, Failure> {
    let (openings, used) = match &file.hiding {
        Some(_) => {
            let (openings, used) = OpeningsFile::open(path, &file.weight_root)?;
            (Some(openings), used)
        }
        None => (None, 0),
    };
    Ok(Opened { committed: commit(file, used, output)?, openings })
}

/// Commits to a file's weights again, so that a file whose weight root is wrong is never published or served.
pub(crate) fn commit(file: &ModelFile, used: u32, output: Output) -> Result<CommittedModel, Failure> {
    if file.model.shapes().parameters() > PARAMETERS_QUIET {
        output.note(format!("committing to the weights of {} …", file.name));
    }
    let committed = commit_as(file.model.clone(), file.hiding, used)?;
    if committed.weight_root() == file.weight_root {
        return Ok(committed);
    }
    Err(Failure::new(
        "wrong_weight_root",
        format!("{} does not hold the weights its id stands for", file.name),
        "import the model again",
    ))
}

/// Commits to weights, hiding them if there is a key to do it with.
pub(crate) fn commit_as(model: Model, key: Option<HidingKey>, used: u32) -> Result<CommittedModel, Failure> {
    let committed = match key {
        Some(HidingKey { openings, seed }) => {
            let hiding = Hiding { openings_max: openings, openings_used: used, seed: Seed::new(seed) };
            CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding)
        }
        None => CommittedModel::commit(model, SecurityBits::DEFAULT),
    };
    let hint = match committed {
        Err(CommitError::Plan(_)) => "a smaller network may fit: specs/0001-proof.md says what a proof holds",
        _ => "fewer --openings take less room",
    };
    committed.failed("cannot_commit", "the weights cannot be committed to", hint)
}

fn fresh_key(openings: u32) -> Result<HidingKey, Failure> {
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).failed("no_randomness", "this machine gives no random numbers", "")?;
    Ok(HidingKey { openings, seed })
}

/// Commits anew: another root, another id, and all openings left.
fn rerandomise(path: &Path, openings: Option<u32>, output: Output) -> Result<(), Failure> {
    let mut file = question::read_model(path)?;
    let before = file.id();
    let openings = openings.or(file.hiding.map(|key| key.openings)).unwrap_or(OPENINGS_DEFAULT);
    let key = fresh_key(openings)?;
    file.weight_root = commit_as(file.model.clone(), Some(key), 0)?.weight_root();
    file.hiding = Some(key);
    replace(path, &file)?;
    let result =
        json!({"model_id": file.id().to_string(), "before": before.to_string(), "openings": openings});
    output.data(&result, || {
        format!(
            "{} was {before}, is now {} and good for {openings} proofs\npublish it again",
            file.name,
            file.id()
        )
    });
    Ok(())
}

/// Writes a model beside its file first: it is never half written.
fn replace(path: &Path, file: &ModelFile) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    write_private(Path::new(&beside), &file.encode())?;
    let hint = "check the folder and its permissions";
    std::fs::rename(&beside, path).failed("cannot_write", path.display(), hint)
}

/// Asks every held-out row under encryption, and keeps in the file how often the label was the model's.
#[cfg(feature = "pbs")]
fn measure(arguments: &Measure, output: Output) -> Result<(), Failure> {
    let mut file = question::read_model(&arguments.file)?;
    let held_out = read_held_out(&arguments.held_out, arguments.labels.as_deref())?;
    let measured = super::circuit::measure_agreement(&file, &held_out, arguments.reproducible, output)?;
    file.report.encrypted = Some(measured.agreement);
    replace(&arguments.file, &file)?;
    output.data(&measured.json(&file), || measured.line(&file));
    Ok(())
}

#[cfg(not(feature = "pbs"))]
fn measure(arguments: &Measure, _output: Output) -> Result<(), Failure> {
    question::read_model(&arguments.file)?;
    Err(Failure::new(
        "not_this_build",
        "this build asks only linear models under encryption, and those exactly: there is nothing to measure",
        "build tacit with the feature pbs: cargo build --release --features pbs",
    ))
}

fn import(arguments: &Import, output: Output) -> Result<(), Failure> {
    let onnx = read_limited(&arguments.onnx, ONNX_BYTES_MAX)?;
    let calibration = match &arguments.calibration {
        Some(path) => first_axis_rows(&TensorFile::read(path)?)?,
        None => Vec::new(),
    };
    let held_out = arguments
        .held_out
        .as_deref()
        .map(|rows| read_held_out(rows, arguments.labels.as_deref()))
        .transpose()?;
    let name =
        arguments.output.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let classes = arguments.classes.as_ref().map(|names| names.split(',').map(str::to_owned).collect());
    let feature_names = arguments.features.as_deref().map(read_names).transpose()?;
    let (input_bits_max, leaf_bits_max) = (arguments.input_bits, arguments.leaf_bits);
    let options = ImportOptions {
        labels: classes,
        feature_names,
        input_bits_max,
        leaf_bits_max,
        ..ImportOptions::default()
    };
    let key = if arguments.plain { None } else { Some(fresh_key(arguments.openings)?) };
    let file = import_onnx(&name, &onnx, &calibration, held_out.as_ref(), &options, key)?;
    write_private(&arguments.output, &file.encode())?;
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
    hiding: Option<HidingKey>,
) -> Result<ModelFile, Failure> {
    let held_out = held_out.map(|file| HeldOut { rows: &file.rows, labels: &file.labels });
    let Imported { model, report } = tacit_graph::import::import(onnx, calibration, held_out, options)
        .map_err(|error| Failure::new("cannot_import", &error, error.hint()))?;
    let weight_root = commit_as(model.clone(), hiding, 0)?.weight_root();
    Ok(ModelFile { name: name.to_owned(), weight_root, hiding, model, report })
}

/// Names of features: a JSON list.
fn read_names(path: &Path) -> Result<Vec<String>, Failure> {
    serde_json::from_slice(&read_limited(path, ONNX_BYTES_MAX)?).failed(
        "bad_input",
        format!("{} does not hold names", path.display()),
        r#"give ["age","purpose=new car",…], a name for each input in order"#,
    )
}

/// Rows along the first axis; a lone axis is one row.
pub(crate) fn first_axis_rows(tensor: &TensorFile) -> Result<Vec<Vec<f64>>, Failure> {
    match tensor.shape.as_slice() {
        [rows, _, ..] => tensor.rows(tensor.data.len() / (*rows).max(1)),
        _ => tensor.rows(tensor.data.len()),
    }
}

/// Rows and labels from one JSON file `{"rows":[[…]],"labels":["…"]}`, or rows from a tensor file and labels from another.
pub(crate) fn read_held_out(rows: &Path, labels: Option<&Path>) -> Result<HeldOutFile, Failure> {
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
    let ImportReport { task, params, macs, operators, float_score, integer_score, agreement, rows, .. } =
        &file.report;
    json!({
        "model_id": file.id().to_string(), "name": file.name, "task": task, "params": params, "macs": macs,
        "operators": operators, "float_score": float_score, "integer_score": integer_score, "agreement": agreement,
        "rows": rows, "columns": columns_json(file), "encrypted": Encryption::of(file).json,
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
    text += &columns_line(file);
    text += &format!("\n  encrypted   {}", Encryption::of(file).line);
    text
}

/// Columns by name; none for a model whose inputs have no names of their own.
fn columns_json(file: &ModelFile) -> Option<Value> {
    let columns = Columns::new(&file.model.graph().features).ok()?;
    let column = |column: &Column<'_>| match &column.content {
        Content::Number(_) => json!({"name": column.name}),
        Content::Kinds(kinds) => {
            json!({"name": column.name, "kinds": kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>()})
        }
    };
    Some(columns.as_slice().iter().map(column).collect())
}

fn columns_line(file: &ModelFile) -> String {
    let Ok(columns) = Columns::new(&file.model.graph().features) else { return String::new() };
    let (mut numbers, mut lines) = (Vec::new(), Vec::new());
    for Column { name, content } in columns.as_slice() {
        match content {
            Content::Number(_) => numbers.push(name.escape_debug().to_string()),
            Content::Kinds(kinds) => {
                let kinds: Vec<String> =
                    kinds.iter().map(|(kind, _)| kind.escape_debug().to_string()).collect();
                lines.push(format!("{}: {}", name.escape_debug(), kinds.join(" | ")));
            }
        }
    }
    if !numbers.is_empty() {
        lines.insert(0, format!("numbers: {}", numbers.join(", ")));
    }
    format!("\n  columns     {}", lines.join("\n              "))
}

fn listing_json(listing: &Listing) -> Value {
    let asks: Vec<Value> = listing
        .asks
        .iter()
        .map(|ask| {
            let terms = &ask.terms;
            json!({
                "worker": ask.worker, "endpoint": terms.endpoint,
                "privacy": tacit_abi::Privacy::from_u8(terms.privacy), "evidence": tacit_abi::Evidence::from_u8(terms.evidence),
                "price": Amount(terms.price).to_string(), "prompt_price": Amount(terms.promptPrice).to_string(),
                "completion_price": Amount(terms.completionPrice).to_string(), "capacity": terms.capacity,
                "valid_until": terms.validUntil, "last_beat": ask.lastBeat, "stake": Amount(ask.bonded).to_string(),
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
            let terms = &ask.terms;
            let mode = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
            lines.push(format!(
                "  {} + {}  {} from {} at {}",
                mode(tacit_abi::Privacy::from_u8(terms.privacy).map(|mode| mode.to_string())),
                mode(tacit_abi::Evidence::from_u8(terms.evidence).map(|mode| mode.to_string())),
                price(terms),
                short(&ask.worker.to_string()),
                terms.endpoint,
            ));
        }
    }
    lines.join("\n")
}

const ONNX_BYTES_MAX: u64 = 512 << 20;
const PARAMETERS_QUIET: u64 = 5_000_000;

/// Prices as people compare them: of a request, and of a million tokens.
fn price(terms: &tacit_abi::IAsks::Terms) -> String {
    let million = |price: u128| Amount(price.saturating_mul(1_000_000));
    match (terms.promptPrice, terms.completionPrice) {
        (0, 0) => Amount(terms.price).to_string(),
        (prompt, completion) => {
            let request =
                if terms.price == 0 { String::new() } else { format!(", {} a request", Amount(terms.price)) };
            format!("{} in, {} out a million tokens{request}", million(prompt), million(completion))
        }
    }
}
