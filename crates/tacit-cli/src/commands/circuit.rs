//! `tacit bench encrypt` for models with look-ups: keys, a question, and how often answers are the model's.

use rand::{TryRngCore, rngs::OsRng};
use serde_json::{Value, json};
use tacit_encrypt::{
    Closeness, Seed,
    circuit::{CircuitModel, ClientKeys, EvaluationKeys, Plan, Variant, encrypt},
    server::EncryptedModel,
};
use tacit_graph::{Agreement, Model, ModelFile, RawValue, execute};

use crate::{
    args::BenchEncrypt,
    commands::{bench::rows, model::read_held_out},
    failure::{Context, Failure},
    measure::{self, Cost, round},
    output::Output,
    shipped::HeldOutFile,
};

/// Made-up rows that answers are compared on.
const ROWS: usize = 8;
/// Seconds that one figure may take.
const SECONDS_MOST: f64 = 6.0;

pub(crate) fn measure(name: &str, model: &Model, arguments: &BenchEncrypt) -> Result<Vec<Value>, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new("bench", error, "");
    let variant = if arguments.reproducible { Variant::Reproducible } else { Variant::Fast };
    let held_out = arguments.held_out.as_deref().map(|path| read_held_out(path, None)).transpose()?;
    let (rows, labels) = encoded(model, held_out.as_ref())?;
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
    let client = Client { keys: client, evaluation };
    let Found { same_answer, same_outputs, right, .. } =
        ask_all(model, &server, &client, &rows, &labels, &|_| ())?;
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
fn encoded(model: &Model, held_out: Option<&HeldOutFile>) -> Result<Rows, Failure> {
    let graph = model.graph();
    let (rows, labels) = match held_out {
        None => (rows(model, ROWS), Vec::new()),
        Some(held_out) => {
            let raw =
                |row: &Vec<f64>| row.iter().map(|x| RawValue::from_f64(*x).map(RawValue::get)).collect();
            let rows = held_out.rows.iter().map(raw).collect::<Result<_, _>>();
            (
                rows.failed("bad_input", "a held-out row has a value that is none", "")?,
                held_out.labels.clone(),
            )
        }
    };
    let encode = |row: &Vec<i64>| graph.encode_input(row).failed("bench", "a row cannot be encoded", "");
    Ok((rows.iter().map(encode).collect::<Result<_, _>>()?, labels))
}

/// What a client makes once.
struct Client {
    keys: ClientKeys,
    evaluation: EvaluationKeys,
}

/// How many answers are the model's, how many to the last bit of their outputs, how many are right, and how far the furthest is off.
#[derive(Debug, Default)]
struct Found {
    same_answer: usize,
    same_outputs: usize,
    right: usize,
    /// Root mean square over an answer's outputs.
    furthest: f64,
}

/// Asks about every row; `asked` hears how many were.
fn ask_all(
    model: &Model,
    server: &CircuitModel,
    client: &Client,
    rows: &[Vec<i16>],
    labels: &[String],
    asked: &dyn Fn(usize),
) -> Result<Found, Failure> {
    let mut found = Found::default();
    for (number, row) in rows.iter().enumerate() {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let question = encrypt(server.offer(), row, &Seed::new(seed), &client.keys);
        let (secret, query) = question.failed("bench", "a row cannot be encrypted", "")?;
        let answer = server.answer(&query, &client.evaluation, &Seed::new(seed));
        let outputs = answer.and_then(|answer| secret.decrypt(&answer)).failed("bench", "no answer", "")?;
        let expected = execute(model, row, 1).failed("bench", "the model does not run", "")?.logits();
        let answer = |outputs: &[i32]| model.graph().decode_output(outputs).ok();
        found.same_outputs += usize::from(outputs == expected);
        found.same_answer += usize::from(answer(&outputs) == answer(&expected));
        let told = answer(&outputs).map(|answer| answer.to_string());
        found.right += usize::from(told.is_some() && labels.get(number) == told.as_ref());
        let square = |(a, b): (&i32, &i32)| (f64::from(*a) - f64::from(*b)).powi(2);
        let mean = outputs.iter().zip(&expected).map(square).sum::<f64>() / expected.len().max(1) as f64;
        found.furthest = found.furthest.max(mean.sqrt());
        asked(number + 1);
    }
    Ok(found)
}

/// What `tacit model measure` found.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) agreement: Agreement,
    right: Option<usize>,
    furthest: f64,
    tolerance: u32,
}

impl Measured {
    pub(crate) fn json(&self, file: &ModelFile) -> Value {
        let Agreement { rows, agreed } = self.agreement;
        json!({
            "model_id": file.id().to_string(), "name": file.name, "rows": rows, "agreed": agreed, "right": self.right,
            "furthest": round(self.furthest), "tolerance": self.tolerance,
        })
    }

    pub(crate) fn line(&self, file: &ModelFile) -> String {
        let Agreement { rows, agreed } = self.agreement;
        let right = self.right.map_or_else(String::new, |right| format!(", {right} right"));
        format!(
            "{} under encryption: {agreed} of {rows} labels as without{right}; outputs at most {:.1} off, {} promised",
            file.name, self.furthest, self.tolerance
        )
    }
}

/// Asks all rows of a file under keys made for this.
pub(crate) fn measure_agreement(
    file: &ModelFile,
    held_out: &HeldOutFile,
    reproducible: bool,
    output: Output,
) -> Result<Measured, Failure> {
    let model = &file.model;
    let variant = if reproducible { Variant::Reproducible } else { Variant::Fast };
    let fits = EncryptedModel::with(model, variant);
    let fits = fits.failed("does_not_fit", "the model cannot be asked under encryption", "")?;
    let server = fits.circuit().filter(|server| !server.plan().exact).ok_or_else(|| {
        let exact =
            "under encryption this model's answers are its own, bit for bit: there is nothing to measure";
        Failure::new("exact", exact, "serve it as it is")
    })?;
    let Closeness::Approximate(near) = server.offer().closeness() else {
        return Err(Failure::new("exact", "answers are exact", ""));
    };
    let (rows, labels) = encoded(model, Some(held_out))?;
    let count = u32::try_from(rows.len()).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| Failure::new("bad_input", "there are no held-out rows", ""))?;
    if !labels.is_empty() && labels.len() != rows.len() {
        return Err(Failure::new("bad_input", "there must be one label for each row, or none at all", ""));
    }
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).failed("no_randomness", "this machine gives no random numbers", "")?;
    let (keys, bytes) = ClientKeys::generate(server.offer().parameters(), &Seed::new(seed));
    let evaluation = EvaluationKeys::decode(&bytes, variant).failed("bench", "keys", "")?;
    let step = rows.len().div_ceil(PROGRESS_NOTES).max(1);
    let asked = |asked: usize| {
        if asked.is_multiple_of(step) && asked < rows.len() {
            output.note(format!("{asked} of {count} rows asked under encryption …"));
        }
    };
    let found = ask_all(model, server, &Client { keys, evaluation }, &rows, &labels, &asked)?;
    let agreed = u32::try_from(found.same_answer).unwrap_or(0);
    Ok(Measured {
        agreement: Agreement { rows: count, agreed },
        right: (!labels.is_empty()).then_some(found.right),
        furthest: found.furthest,
        tolerance: near.tolerance,
    })
}

const PROGRESS_NOTES: usize = 10;
