//! `tacit bench encrypt`: what a question under encryption costs the client and the worker.

use serde_json::{Value, json};
use tacit_encrypt::{Seed, client, server::EncryptedModel};
use tacit_graph::{Model, RawValue};

use crate::{
    args::BenchEncrypt,
    commands::{
        bench::{COLUMNS, model, rows, table},
        model::read_held_out,
    },
    failure::{Context, Failure},
    measure::{self, Cost, round},
    output::Output,
    shipped::HeldOutFile,
};

pub(crate) fn bench(arguments: &BenchEncrypt, output: Output) -> Result<(), Failure> {
    let mut lines = Vec::new();
    let held_out = arguments.held_out.as_deref().map(|path| read_held_out(path, None)).transpose()?;
    for name in &arguments.models {
        output.note(format!("measuring encrypt {name} …"));
        lines.extend(measure_any(name, arguments, held_out.as_ref())?);
    }
    let columns = if held_out.is_some() { ROWS_COLUMNS } else { COLUMNS };
    if output.is_json() {
        lines.iter().for_each(|line| output.data(line, String::new));
    } else {
        output.line(table(columns, &lines));
    }
    Ok(())
}

#[cfg(feature = "pbs")]
fn measure_any(
    name: &str,
    arguments: &BenchEncrypt,
    held_out: Option<&HeldOutFile>,
) -> Result<Vec<Value>, Failure> {
    let model = model(name)?;
    match EncryptedModel::new(&model) {
        Ok(fitting) if fitting.circuit().is_some() => super::circuit::measure(name, &model, arguments),
        _ => measure_linear(name, &model, arguments.runs, held_out),
    }
}

#[cfg(not(feature = "pbs"))]
fn measure_any(
    name: &str,
    arguments: &BenchEncrypt,
    held_out: Option<&HeldOutFile>,
) -> Result<Vec<Value>, Failure> {
    measure_linear(name, &model(name)?, arguments.runs, held_out)
}

fn measure_linear(
    name: &str,
    model: &Model,
    runs: usize,
    held_out: Option<&HeldOutFile>,
) -> Result<Vec<Value>, Failure> {
    if let Some(held_out) = held_out {
        return measure_rows(name, model, held_out);
    }
    let graph = model.graph();
    let row = rows(model, 1).pop().unwrap_or_default();
    let row = graph.encode_input(&row).failed("bench", "the row cannot be encoded", "")?;
    let (prepare, server) = measure::cost(runs.min(3), || prepared(model))?;
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

fn prepared(model: &Model) -> Result<EncryptedModel, Failure> {
    let hint = "linear models only: mlp:64,10 is one; others need a build with the feature pbs";
    EncryptedModel::new(model).failed("does_not_fit", "the model cannot be asked under encryption", hint)
}

/// Every row once, each question with randomness of its own: the mean of a row, and how many labels are right.
fn measure_rows(name: &str, model: &Model, held_out: &HeldOutFile) -> Result<Vec<Value>, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new("bench", error, "");
    let graph = model.graph();
    let server = prepared(model)?;
    let encode = |row: &Vec<f64>| {
        let raw: Result<Vec<_>, _> = row.iter().map(|x| RawValue::from_f64(*x)).collect();
        graph.encode_values(&raw.map_err(|error| refused(&error))?).map_err(|error| refused(&error))
    };
    let rows: Vec<Vec<i16>> = held_out.rows.iter().map(encode).collect::<Result<_, _>>()?;
    if rows.is_empty() || rows.len() != held_out.labels.len() {
        return Err(Failure::new(
            "bad_input",
            "there must be one label for each row, and one row at least",
            "",
        ));
    }
    // Seeds for measuring: these questions are thrown away.
    let seed = |part: u8, number: usize| {
        let mut bytes = [part; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Seed::new(bytes)
    };
    let (ask, asked) = measure::cost_once(|| {
        let ask =
            |(number, row): (usize, &Vec<i16>)| client::encrypt(server.offer(), row, &seed(1, number), None);
        rows.iter().enumerate().map(ask).collect::<Result<Vec<_>, _>>()
    });
    let asked = asked.map_err(|error| refused(&error))?;
    let (reply, answers) = measure::cost_once(|| {
        let answer = |(number, (_, query)): (usize, &(client::Secret, Vec<u8>))| {
            server.answer(query, None, &seed(2, number))
        };
        asked.iter().enumerate().map(answer).collect::<Result<Vec<_>, _>>()
    });
    let answers = answers.map_err(|error| refused(&error))?;
    let (read, outputs) = measure::cost_once(|| {
        let read = |((secret, _), answer): (&(client::Secret, Vec<u8>), &Vec<u8>)| secret.decrypt(answer);
        asked.iter().zip(&answers).map(read).collect::<Result<Vec<_>, _>>()
    });
    let outputs: Vec<Vec<i32>> = outputs.map_err(|error| refused(&error))?;
    let (mut right, mut same) = (0usize, 0usize);
    for ((row, label), logits) in rows.iter().zip(&held_out.labels).zip(outputs) {
        let expected = tacit_graph::execute(model, row, 1).failed("bench", "the model does not run", "")?;
        same += usize::from(expected.logits() == logits);
        let answer = graph.decode_output(&logits).map_err(|error| refused(&error))?;
        right += usize::from(answer.to_string() == *label);
    }
    let count = rows.len() as f64;
    let line = |bench: &str, cost: Cost, bytes: usize| {
        json!({
            "bench": bench, "model": name, "batch": 1, "zk": false, "threads": 1, "user_cpu_ms": round(cost.user_cpu_ms / count),
            "wall_ms": round(cost.wall_ms / count), "peak_mib": measure::peak_mib(), "bytes": bytes,
            "security_bits": tacit_encrypt::SECURITY_BITS, "rows": rows.len(), "accuracy": round(right as f64 / count),
            "agreement": round(same as f64 / count),
        })
    };
    Ok(vec![
        line("encrypt", ask, server.offer().query_bytes()),
        line("answer", reply, server.offer().answer_bytes()),
        line("decrypt", read, server.offer().answer_bytes()),
    ])
}

const ROWS_COLUMNS: &[&str] = &[
    "bench",
    "model",
    "rows",
    "accuracy",
    "agreement",
    "threads",
    "user_cpu_ms",
    "wall_ms",
    "bytes",
    "security_bits",
];
