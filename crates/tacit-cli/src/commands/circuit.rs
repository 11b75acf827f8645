//! `tacit bench encrypt` for models with look-ups: keys, a question, and how often answers are the model's.

use std::path::Path;

use serde_json::{Value, json};
use tacit_encrypt::{
    Seed,
    circuit::{CircuitModel, ClientKeys, EvaluationKeys, Plan, Variant, encrypt},
};
use tacit_graph::{Model, RawValue, execute};

use crate::{
    args::BenchEncrypt,
    commands::{bench::rows, model::read_held_out},
    failure::{Context, Failure},
    measure::{self, Cost, round},
};

/// Made-up rows that answers are compared on.
const ROWS: usize = 8;
/// Seconds that one figure may take.
const SECONDS_MOST: f64 = 6.0;

pub(crate) fn measure(name: &str, model: &Model, arguments: &BenchEncrypt) -> Result<Vec<Value>, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new("bench", error, "");
    let variant = if arguments.reproducible { Variant::Reproducible } else { Variant::Fast };
    let (rows, labels) = encoded(model, arguments.held_out.as_deref())?;
    let first = rows.first().ok_or_else(|| Failure::new("bench", "there are no rows to ask about", ""))?;
    let runs = arguments.runs;
    let prepared = || {
        CircuitModel::new(model, variant).failed(
            "does_not_fit",
            "the model cannot be asked under encryption",
            "",
        )
    };
    let (prepare, server) = measure::cost(runs.min(3), prepared)?;
    let (plan, offer) = (*server.plan(), server.offer());
    // Seeds for measuring: keys and questions are thrown away.
    let (keys, (client, bytes)) =
        measure::cost_once(|| ClientKeys::generate(offer.parameters(), &Seed::new([6; 32])));
    let (expand, evaluation) = measure::cost_once(|| EvaluationKeys::decode(&bytes, variant));
    let evaluation = evaluation.map_err(|error| refused(&error))?;
    let ask = || encrypt(offer, first, &Seed::new([7; 32]), &client).map_err(|error| refused(&error));
    let (ask, (secret, query)) = measure::cost(runs, ask)?;
    let mut answers = Vec::new();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.failed("bench", "no threads to measure with", "")?;
        let answer = || server.answer(&query, &evaluation, &Seed::new([8; 32]));
        // A question of a second is not asked eleven times.
        let (once, _) = measure::cost_once(|| pool.install(answer));
        let runs = runs.min((SECONDS_MOST * 1000.0 / once.wall_ms.max(1.0)) as usize).max(1);
        let (cost, answer) = measure::cost(runs, || pool.install(answer)).map_err(|error| refused(&error))?;
        answers.push((threads, cost, answer));
    }
    let answer = answers.last().map_or(&[][..], |(_, _, answer)| answer.as_slice());
    let (read, _) = measure::cost(runs, || secret.decrypt(answer)).map_err(|error| refused(&error))?;
    let Agreement { same_answer, same_outputs, right } =
        agreement(model, &server, &client, &evaluation, &rows, &labels)?;
    let line = |bench: &str, threads: usize, cost: Cost, bytes: usize| {
        let mut line = json!({
            "bench": bench, "model": name, "batch": 1, "zk": false, "threads": threads, "user_cpu_ms": round(cost.user_cpu_ms),
            "wall_ms": round(cost.wall_ms), "peak_mib": measure::peak_mib(), "bytes": bytes,
            "security_bits": tacit_encrypt::SECURITY_BITS, "params": model.shapes().parameters(), "macs": model.shapes().macs(),
        });
        if let (Some(line), Value::Object(plan)) = (line.as_object_mut(), plan_json(&plan, variant)) {
            line.extend(plan);
            line.insert("rows".to_owned(), rows.len().into());
            line.insert("same_answer".to_owned(), same_answer.into());
            line.insert("same_outputs".to_owned(), same_outputs.into());
            if !labels.is_empty() {
                line.insert("accuracy".to_owned(), round(right as f64 / rows.len() as f64).into());
            }
        }
        line
    };
    let mut lines = vec![
        line("prepare", 1, prepare, 0),
        line("keys", rayon::current_num_threads(), keys, bytes.len()),
        line("expand", rayon::current_num_threads(), expand, 0),
        line("encrypt", 1, ask, query.len()),
    ];
    lines.extend(answers.iter().map(|(threads, cost, answer)| line("answer", *threads, *cost, answer.len())));
    lines.push(line("decrypt", 1, read, answer.len()));
    Ok(lines)
}

/// What a plan says, for programs.
pub(crate) fn plan_json(plan: &Plan, variant: Variant) -> Value {
    json!({
        "parameters": plan.parameters.name, "variant": match variant {
            Variant::Fast => "fast",
            Variant::Reproducible => "reproducible",
        },
        "bootstraps": plan.bootstraps, "depth": plan.depth, "exact": plan.exact,
        "failure_log2": plan.exact.then_some(plan.failure_log2.ceil()), "sum_bits": round(plan.sum_bits),
        "output_bits": round(plan.output_bits), "flood_bits": plan.flood_bits.map(round), "key_bytes": plan.key_bytes,
        "query_bytes": plan.query_bytes, "answer_bytes": plan.answer_bytes,
    })
}

/// Rows as the model's encoder gives them, and their labels where those are known.
type Rows = (Vec<Vec<i16>>, Vec<String>);

/// Rows to ask about.
fn encoded(model: &Model, held_out: Option<&Path>) -> Result<Rows, Failure> {
    let graph = model.graph();
    let (rows, labels) = match held_out {
        None => (rows(model, ROWS), Vec::new()),
        Some(path) => {
            let held_out = read_held_out(path, None)?;
            let raw =
                |row: &Vec<f64>| row.iter().map(|x| RawValue::from_f64(*x).map(RawValue::get)).collect();
            let rows = held_out.rows.iter().map(raw).collect::<Result<_, _>>();
            (rows.failed("bad_input", "a held-out row has a value that is none", "")?, held_out.labels)
        }
    };
    let encode = |row: &Vec<i64>| graph.encode_input(row).failed("bench", "a row cannot be encoded", "");
    Ok((rows.iter().map(encode).collect::<Result<_, _>>()?, labels))
}

/// How many answers are the model's, how many to the last bit of their outputs, and how many are right.
#[derive(Debug, Default)]
struct Agreement {
    same_answer: usize,
    same_outputs: usize,
    right: usize,
}

/// Asks about every row.
fn agreement(
    model: &Model,
    server: &CircuitModel,
    keys: &ClientKeys,
    evaluation: &EvaluationKeys,
    rows: &[Vec<i16>],
    labels: &[String],
) -> Result<Agreement, Failure> {
    let mut found = Agreement::default();
    for (number, row) in (0u64..).zip(rows) {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let asked = encrypt(server.offer(), row, &Seed::new(seed), keys);
        let (secret, query) = asked.failed("bench", "a row cannot be encrypted", "")?;
        let answer = server.answer(&query, evaluation, &Seed::new(seed));
        let outputs = answer.and_then(|answer| secret.decrypt(&answer)).failed("bench", "no answer", "")?;
        let expected = execute(model, row, 1).failed("bench", "the model does not run", "")?.logits();
        let answer = |outputs: &[i32]| model.graph().decode_output(outputs).ok();
        found.same_outputs += usize::from(outputs == expected);
        found.same_answer += usize::from(answer(&outputs) == answer(&expected));
        let label = usize::try_from(number).ok().and_then(|number| labels.get(number));
        let told = answer(&outputs).map(|answer| answer.to_string());
        found.right += usize::from(label.is_some() && label == told.as_ref());
    }
    Ok(found)
}
