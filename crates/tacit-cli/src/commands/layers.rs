//! `tacit bench prove --per-layer`: what each layer costs to prove, over what it costs to run.
//!
//! A product's time is its own sums. What all look-ups, the witness and its opening take is shared among the layers
//! that look something up, by the number of values they commit to and look up. Weights are opened once for all layers and have a
//! line of their own.

use crate::failure::Failure;
use crate::measure::{round, user_cpu_us};
use serde_json::{Value, json};
use tacit_prove::{CommittedModel, Part, Run, prove_run_observed};
use tacit_verify::plan::{Plan, Step};

/// CPU of everything between two marks.
struct Stopwatch<K> {
    since: u64,
    current: Option<K>,
    spent: Vec<(K, u64)>,
}

impl<K: Copy> Stopwatch<K> {
    fn new() -> Self {
        Self { since: user_cpu_us(), current: None, spent: Vec::new() }
    }

    fn mark(&mut self, next: Option<K>) {
        let now = user_cpu_us();
        if let Some(current) = self.current {
            self.spent.push((current, now - self.since));
        }
        (self.since, self.current) = (now, next);
    }
}

/// One line for each layer, and one for the weights.
pub(crate) fn measure(
    name: &str,
    model: &CommittedModel,
    inputs: &[Vec<i64>],
    runs: usize,
) -> Result<Vec<Value>, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new("bench", error, "");
    let run = Run::new(model, inputs).map_err(|error| refused(&error))?;
    let nodes = run.plan.steps.len();
    let encoded = run.encoded.concat();
    let (mut ran, mut proved) = (vec![0.0; nodes], vec![0.0; nodes]);
    let (mut shared, mut weights) = (0.0, 0.0);
    for _ in 0..runs.max(1) {
        let mut watch = Stopwatch::new();
        tacit_graph::execute_observed(model.model(), &encoded, inputs.len(), &mut |node| {
            watch.mark(Some(node))
        })
        .map_err(|error| refused(&error))?;
        watch.mark(None);
        watch.spent.iter().for_each(|(node, us)| ran[*node] += *us as f64);
        let mut watch = Stopwatch::new();
        prove_run_observed(model, &run, &mut |part| watch.mark(Some(part)))
            .map_err(|error| refused(&error))?;
        for (part, us) in watch.spent {
            match part {
                Part::Node(node) => proved[node] += us as f64,
                Part::WeightBatch | Part::WeightOpening => weights += us as f64,
                _ => shared += us as f64,
            }
        }
    }
    let looked_up: Vec<f64> = (0..nodes).map(|node| values(&run.plan, node)).collect();
    let all: f64 = looked_up.iter().sum::<f64>().max(1.0);
    let ms = |us: f64| us / 1000.0 / runs.max(1) as f64;
    let graph = model.model().graph();
    let described = graph.describe();
    let line = |layer: String, kind: &str, ran: f64, proved: f64| {
        let ratio = if ran > 0.0 { Some(round(proved / ran)) } else { None };
        json!({
            "bench": "layer", "model": name, "batch": inputs.len(), "layer": layer, "kind": kind,
            "run_cpu_ms": round(ms(ran)), "prove_cpu_ms": round(ms(proved)), "ratio": ratio,
        })
    };
    let mut lines: Vec<Value> = (0..nodes)
        .map(|node| {
            let kind = match &run.plan.steps[node] {
                Step::Contract(_) => "product",
                Step::Combine(_) => "sum",
                Step::Maximum(_) | Step::Requantise(_) => "non-linear",
            };
            let layer = described.get(node).cloned().unwrap_or_default();
            line(layer, kind, ran[node], proved[node] + shared * looked_up[node] / all)
        })
        .collect();
    lines.push(line("weights, opened once".to_owned(), "opening", 0.0, weights));
    for kind in ["product", "sum", "non-linear"] {
        let of = |key: &str| -> f64 {
            lines.iter().filter(|line| line["kind"] == kind).filter_map(|line| line[key].as_f64()).sum()
        };
        let (ran, proved) = (of("run_cpu_ms"), of("prove_cpu_ms"));
        lines.push(line(
            format!("all of kind {kind}"),
            "total",
            ran * 1000.0 * runs.max(1) as f64,
            proved * 1000.0 * runs.max(1) as f64,
        ));
    }
    Ok(lines)
}

/// Values that a node commits to and looks up.
fn values(plan: &Plan, node: usize) -> f64 {
    let columns = match &plan.steps[node] {
        Step::Requantise(step) => 1 + step.limbs.len(),
        Step::Maximum(_) => 1,
        Step::Contract(_) | Step::Combine(_) => 0,
    };
    columns as f64 * (1u64 << plan.tensor_vars(node + 1)) as f64
}

/// The lines as text.
pub(crate) fn table(lines: &[Value]) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    let mut text = vec![String::new(), format!("{:>12} {:>12} {:>9}  layer", "run ms", "prove ms", "ratio")];
    text.extend(lines.iter().map(|line| {
        let number = |key: &str| line[key].as_f64().map_or("-".to_owned(), |value| format!("{value:.3}"));
        let layer = line["layer"].as_str().unwrap_or_default();
        format!("{:>12} {:>12} {:>9}  {layer}", number("run_cpu_ms"), number("prove_cpu_ms"), number("ratio"))
    }));
    text
}
