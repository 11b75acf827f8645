//! `tacit bench`: figures with machine and size, each configuration in a process of its own so that peak memory is its own.

use crate::args::{Bench, BenchModel, OPENINGS_DEFAULT};
use crate::commands::run::logits;
use crate::commands::{crowd, door, encrypt, layers, load};
use crate::failure::{Context, Failure};
use crate::measure::{self, Cost, round};
use crate::output::Output;
use crate::{question, shipped};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use tacit_graph::{Feature, Model, SyntheticNetwork};
use tacit_prove::{CommittedModel, Hiding, Seed};
use tacit_verify::{SecurityBits, Statement, VerifyingModel};

pub(crate) async fn bench(command: &Bench, output: Output) -> Result<(), Failure> {
    let (columns, lines) = match command {
        Bench::Prove(arguments) => (COLUMNS, measure_all("prove", arguments, output)?),
        Bench::Run(arguments) => (COLUMNS, measure_all("run", arguments, output)?),
        Bench::Gateway(arguments) => (CROWD_COLUMNS, crowd::measure(arguments, output).await?),
        Bench::Door(arguments) => (DOOR_COLUMNS, door::measure(arguments, output).await?),
        Bench::Ledger(arguments) => (LOAD_COLUMNS, load::measure(arguments, output).await?),
        Bench::Encrypt(arguments) => return encrypt::bench(arguments, output),
    };
    if output.is_json() {
        for line in lines {
            output.data(&line, String::new);
        }
    } else {
        output.line(table(columns, &lines));
    }
    Ok(())
}

fn measure_all(kind: &str, arguments: &BenchModel, output: Output) -> Result<Vec<Value>, Failure> {
    match (arguments.models.as_slice(), arguments.batches.as_slice()) {
        ([model], [batch]) => measure_one(kind, model, *batch, arguments),
        (models, batches) => {
            let mut lines = Vec::new();
            for (model, batch) in
                models.iter().flat_map(|model| batches.iter().map(move |batch| (model, batch)))
            {
                output.note(format!("measuring {kind} {model} batch {batch} …"));
                lines.extend(in_child(kind, model, *batch, arguments)?);
            }
            Ok(lines)
        }
    }
}

fn in_child(kind: &str, model: &str, batch: usize, arguments: &BenchModel) -> Result<Vec<Value>, Failure> {
    let program = std::env::current_exe().failed("no_program", "cannot find this program", "")?;
    let child = Command::new(program)
        .args(["--json", "bench", kind, "--model", model])
        .args(["--batch", &batch.to_string(), "--runs", &arguments.runs.to_string()])
        .args(
            [(arguments.zk, "--zk"), (arguments.per_layer, "--per-layer")]
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, flag)| flag),
        )
        .stderr(Stdio::inherit())
        .output()
        .failed("cannot_start", "cannot start the measurement", "")?;
    let lines = String::from_utf8_lossy(&child.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).failed("bench", "the measurement cannot be read", ""))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(error) = lines.iter().find_map(|line| line.get("error")) {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        return Err(Failure::new(text("code"), text("message"), text("hint")));
    }
    Ok(lines)
}

fn measure_one(kind: &str, name: &str, batch: usize, arguments: &BenchModel) -> Result<Vec<Value>, Failure> {
    let runs = arguments.runs;
    let model = model(name)?;
    let rows = rows(&model, batch);
    let report = Report { name, batch, macs: model.shapes().macs(), params: model.shapes().parameters() };
    if kind == "run" {
        let (cost, _) = measure::cost(runs, || logits(&model, &rows))?;
        return Ok(vec![report.line("run", false, cost, 0, None)]);
    }
    let refused = |what: &'static str| {
        move |error: &dyn std::fmt::Display| Failure::new("bench", format!("{what}: {error}"), "")
    };
    let (commit, committed) = measure::cost(runs.min(3), || {
        CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).map_err(|e| refused("commit")(&e))
    })?;
    let (prove, proved) =
        measure::cost(runs, || tacit_prove::prove(&committed, &rows).map_err(|e| refused("prove")(&e)))?;
    let verifying = VerifyingModel::new(model.graph().clone(), committed.weight_root())
        .map_err(|e| refused("model")(&e))?;
    let statement = Statement { inputs: rows, outputs: proved.outputs };
    let (verify, verified) = measure::cost(runs, || {
        tacit_verify::verify(&verifying, &statement, &proved.proof).map_err(|e| refused("verify")(&e))
    })?;
    let bits = Some(verified.security_bits());
    let mut lines = vec![
        report.line("import", false, commit, 0, bits),
        report.line("prove", false, prove, proved.proof.len(), bits),
        report.line("verify", false, verify, proved.proof.len(), bits),
    ];
    let layers = if arguments.per_layer {
        layers::measure(name, &committed, &statement.inputs, runs)?
    } else {
        Vec::new()
    };
    // One commitment at a time, so that peak memory is that of one.
    drop(committed);
    if arguments.zk {
        lines.extend(zero_knowledge(&report, &model, &statement, runs)?);
    }
    lines.extend(layers);
    Ok(lines)
}

fn zero_knowledge(
    report: &Report<'_>,
    model: &Model,
    statement: &Statement,
    runs: usize,
) -> Result<Vec<Value>, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new("bench", error, "");
    // A seed for measuring: these proofs are thrown away.
    let hiding = || Hiding { openings_max: OPENINGS_DEFAULT, openings_used: 0, seed: Seed::new([7; 32]) };
    let commit = || {
        CommittedModel::commit_hiding(model.clone(), SecurityBits::DEFAULT, hiding()).map_err(|e| refused(&e))
    };
    let (commit, committed) = measure::cost(runs.min(3), commit)?;
    let seed = Seed::new([8; 32]);
    let prove = || tacit_prove::prove_zk(&committed, &statement.inputs, &seed).map_err(|e| refused(&e));
    let (prove, proved) = measure::cost_within(runs, OPENINGS_DEFAULT as usize, prove)?;
    let verify = || {
        tacit_verify::verify(committed.verifying_model(), statement, &proved.proof).map_err(|e| refused(&e))
    };
    let (verify, verified) = measure::cost(runs, verify)?;
    let (bits, bytes) = (Some(verified.security_bits()), proved.proof.len());
    Ok(vec![
        report.line("import", true, commit, 0, bits),
        report.line("prove", true, prove, bytes, bits),
        report.line("verify", true, verify, bytes, bits),
    ])
}

struct Report<'a> {
    name: &'a str,
    batch: usize,
    macs: u64,
    params: u64,
}

impl Report<'_> {
    fn line(&self, bench: &str, zk: bool, cost: Cost, bytes: usize, security_bits: Option<u8>) -> Value {
        json!({
            "bench": bench, "model": self.name, "batch": self.batch, "zk": zk, "threads": rayon::current_num_threads(),
            "user_cpu_ms": round(cost.user_cpu_ms), "wall_ms": round(cost.wall_ms), "peak_mib": measure::peak_mib(),
            "bytes": bytes, "security_bits": security_bits, "params": self.params, "macs": self.macs,
        })
    }
}

/// A model by the name the command line gives it.
pub(crate) fn model(name: &str) -> Result<Model, Failure> {
    if let Some(widths) = name.strip_prefix("mlp:") {
        let widths: Vec<u32> = widths
            .split(',')
            .map(|width| {
                width.parse().failed("bad_usage", format!("{width:?} is no width"), "such as mlp:784,128,10")
            })
            .collect::<Result<_, _>>()?;
        return tacit_graph::synthetic_mlp(&widths, 1).failed(
            "bad_usage",
            "no such network",
            "such as mlp:784,128,10",
        );
    }
    if let Some(network) = SyntheticNetwork::from_name(name) {
        return tacit_graph::synthetic_network(network, 1).failed("bench", "no such network", "");
    }
    match shipped::find(name) {
        Some(shipped) => shipped.import().map(|imported| imported.model),
        None => question::read_model(Path::new(name)).map(|file| file.model),
    }
}

/// Raw rows that spread over the whole range of every feature.
pub(crate) fn rows(model: &Model, batch: usize) -> Vec<Vec<i64>> {
    let value = |feature: &Feature, position: usize| {
        if !feature.steps.is_empty() {
            return feature.steps[position * 37 % feature.steps.len()];
        }
        let wanted = i128::try_from(position * 37 % 255).unwrap_or(0) - 127;
        let multiplier = i128::from(feature.multiplier).max(1);
        i64::try_from((wanted << feature.shift) / multiplier - i128::from(feature.offset)).unwrap_or(0)
    };
    let features = &model.graph().features;
    (0..batch)
        .map(|row| {
            features.iter().enumerate().map(|(column, feature)| value(feature, row * 101 + column)).collect()
        })
        .collect()
}

pub(crate) fn table(columns: &[&str], lines: &[Value]) -> String {
    let cell = |line: &Value, key: &str| match &line[key] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (layers, lines): (Vec<Value>, Vec<Value>) =
        lines.iter().cloned().partition(|line| line["bench"] == "layer");
    let mut rows = vec![columns.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()];
    rows.extend(lines.iter().map(|line| columns.iter().map(|key| cell(line, key)).collect()));
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    rows.iter()
        .map(|row| {
            row.iter().zip(&widths).map(|(text, &width)| format!("{text:<width$}  ")).collect::<String>()
        })
        .map(|line| line.trim_end().to_owned())
        .chain(layers::table(&layers))
        .collect::<Vec<_>>()
        .join("\n")
}

pub(crate) const COLUMNS: &[&str] = &[
    "bench",
    "model",
    "batch",
    "zk",
    "threads",
    "user_cpu_ms",
    "wall_ms",
    "peak_mib",
    "bytes",
    "security_bits",
];
const LOAD_COLUMNS: &[&str] = &[
    "load",
    "validators",
    "state",
    "transactions",
    "offered_per_s",
    "accepted_per_s",
    "mined_per_s",
    "blocks",
    "gas_per_transaction",
    "node_cpu_us",
    "final_ms_p50",
    "final_ms_p75",
    "final_ms_p99",
    "start_s",
    "peak_mib",
    "disk_mib",
];
const DOOR_COLUMNS: &[&str] = &[
    "door",
    "rate",
    "streams",
    "answered",
    "whole",
    "per_s",
    "p50_ms",
    "p99_ms",
    "added_p50_ms",
    "added_p99_ms",
    "user_cpu_ms",
    "load_cpu_ms",
    "wall_ms",
    "peak_mib",
];
const CROWD_COLUMNS: &[&str] = &[
    "model",
    "clients",
    "together_max",
    "requests",
    "proved_together",
    "prove_cpu_ms",
    "worker_cpu_ms",
    "client_cpu_ms",
    "ledger_cpu_ms",
    "user_cpu_ms",
    "wall_ms",
    "latency_ms",
    "peak_mib",
    "bytes",
];
