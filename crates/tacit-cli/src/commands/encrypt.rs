//! `tacit bench encrypt`: what a question under encryption costs the client and the worker.

use serde_json::{Value, json};
use tacit_encrypt::{Seed, client, server::EncryptedModel};
use tacit_graph::Model;

use crate::{
    args::BenchEncrypt,
    commands::bench::{COLUMNS, model, rows, table},
    failure::{Context, Failure},
    measure::{self, Cost, round},
    output::Output,
};

pub(crate) fn bench(arguments: &BenchEncrypt, output: Output) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for name in &arguments.models {
        output.note(format!("measuring encrypt {name} …"));
        lines.extend(measure_any(name, arguments)?);
    }
    if output.is_json() {
        lines.iter().for_each(|line| output.data(line, String::new));
    } else {
        output.line(table(COLUMNS, &lines));
    }
    Ok(())
}

#[cfg(feature = "pbs")]
fn measure_any(name: &str, arguments: &BenchEncrypt) -> Result<Vec<Value>, Failure> {
    let model = model(name)?;
    match EncryptedModel::new(&model) {
        Err(tacit_encrypt::Misfit::NotLinear { .. }) => super::circuit::measure(name, &model, arguments),
        _ => measure_linear(name, &model, arguments.runs),
    }
}

#[cfg(not(feature = "pbs"))]
fn measure_any(name: &str, arguments: &BenchEncrypt) -> Result<Vec<Value>, Failure> {
    measure_linear(name, &model(name)?, arguments.runs)
}

fn measure_linear(name: &str, model: &Model, runs: usize) -> Result<Vec<Value>, Failure> {
    let hint = "linear models only: mlp:64,10 is one; others need a build with the feature pbs";
    let graph = model.graph();
    let row = rows(model, 1).pop().unwrap_or_default();
    let row = graph.encode_input(&row).failed("bench", "the row cannot be encoded", "")?;
    let prepared = || {
        EncryptedModel::new(model).failed("does_not_fit", "the model cannot be asked under encryption", hint)
    };
    let (prepare, server) = measure::cost(runs.min(3), prepared)?;
    let refused = |error: &dyn std::fmt::Display| Failure::new("bench", error, "");
    // Seeds for measuring: these questions are thrown away.
    let ask =
        || client::encrypt(server.offer(), &row, &Seed::new([7; 32]), None).map_err(|error| refused(&error));
    let (ask, (secret, query)) = measure::cost(runs, ask)?;
    let answer = || server.answer(&query, None, &Seed::new([8; 32])).map_err(|error| refused(&error));
    let (reply, answer) = measure::cost(runs, answer)?;
    let read = || secret.decrypt(&answer).map_err(|error| refused(&error));
    let (read, outputs) = measure::cost(runs, read)?;
    let expected = tacit_graph::execute(model, &row, 1).failed("bench", "the model does not run", "")?;
    if outputs != expected.logits() {
        return Err(Failure::new("wrong_answer", "the decrypted answer is not the model's", ""));
    }
    let line = |bench: &str, cost: Cost, bytes: usize| {
        json!({
            "bench": bench, "model": name, "batch": 1, "zk": false, "threads": 1, "user_cpu_ms": round(cost.user_cpu_ms),
            "wall_ms": round(cost.wall_ms), "peak_mib": measure::peak_mib(), "bytes": bytes,
            "security_bits": tacit_encrypt::SECURITY_BITS, "params": model.shapes().parameters(), "macs": model.shapes().macs(),
            "flood_margin_bits": server.flood_margin(),
        })
    };
    Ok(vec![
        line("prepare", prepare, 0),
        line("encrypt", ask, query.len()),
        line("answer", reply, answer.len()),
        line("decrypt", read, answer.len()),
    ])
}
