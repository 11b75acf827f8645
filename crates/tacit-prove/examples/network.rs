//! Times a synthetic network: `network [--name mlp|lenet-5|lenet-5-max|resnet-8|vgg-16|separable] [--widths 784,128,10] [--batch N]
//! [--iterations N] [--openings N] [--parts]`. With `--openings` in zero knowledge, against a commitment made for so many;
//! with `--parts` the parts of a plain proof, one by one.
//!
//! Prints user and system CPU of this process per iteration, from the kernel's own accounting, and its peak memory beside
//! what was stated before.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use tacit_graph::{Model, SyntheticNetwork, synthetic_mlp, synthetic_network};
use tacit_prove::{CommittedModel, Hiding, Part, Run, Seed, prove, prove_run_observed, prove_zk};
use tacit_verify::{
    SecurityBits, Statement, security_report, verify, zero_knowledge::HidingPlan, zero_knowledge_report,
};

/// User and system CPU of all threads in milliseconds.
fn cpu_ms() -> f64 {
    let spent = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    spent.tv_sec() as f64 * 1e3 + spent.tv_nsec() as f64 / 1e6
}

/// Each part of a plain proof, all nodes together.
fn parts(model: &CommittedModel, inputs: &[Vec<i64>], iterations: usize) {
    let mut spent = std::collections::BTreeMap::new();
    for _ in 0..iterations {
        let mut since = cpu_ms();
        let mut current = "run".to_owned();
        let mut mark = |next: String| {
            let now = cpu_ms();
            *spent.entry(std::mem::replace(&mut current, next)).or_insert(0.0) += now - since;
            since = now;
        };
        let run = Run::new(model, inputs).unwrap();
        prove_run_observed(model, &run, &mut |part| {
            mark(if let Part::Node(_) = part { "nodes".to_owned() } else { format!("{part:?}") });
        })
        .unwrap();
    }
    for (part, ms) in spent {
        println!("  {part:<16} {:.2} ms CPU", ms / iterations as f64);
    }
}

fn timed<T>(name: &str, iterations: usize, mut work: impl FnMut() -> T) -> T {
    let (start, wall) = (cpu_ms(), std::time::Instant::now());
    let mut last = None;
    for _ in 0..iterations {
        last = Some(work());
    }
    let count = iterations as f64;
    println!(
        "{name}: {:.2} ms CPU, {:.2} ms wall",
        (cpu_ms() - start) / count,
        wall.elapsed().as_secs_f64() * 1000.0 / count
    );
    last.unwrap()
}

/// Largest resident memory of this process, MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

/// Prints how the commitments of a proof in zero knowledge fold, and what their rows take.
fn print_shapes(graph: &tacit_graph::Graph, batch: usize, openings: u32) {
    let plan = tacit_verify::plan::Plan::new(graph, batch).unwrap();
    let hiding = HidingPlan::new(graph, plan, openings, SecurityBits::DEFAULT).unwrap();
    for (name, shape) in [("weights", Some(&hiding.weights)), ("witness", hiding.witness.as_ref())] {
        let Some(shape) = shape else { continue };
        println!("{name}: 2^{} values, the last 2^{} sent", shape.vars, shape.final_vars);
        for (index, round) in shape.rounds.iter().enumerate() {
            let oracle = shape.oracle(index);
            println!(
                "  2^{} rows of {} elements at degree {}: folds {}, opens {}, at most {} bytes",
                oracle.log_height,
                oracle.width,
                (1 << round.message_vars) + if index == 0 { 0 } else { round.randomness },
                round.fold,
                round.queries,
                round.queries * (4 * oracle.width + 32 * oracle.log_height)
            );
        }
    }
    let inner = hiding.inner;
    println!(
        "masks: {} and {} products, {} rows of {} and {}, 2^{} columns, opens {}, sends {}",
        inner.counts.masks,
        inner.counts.products,
        inner.rows(),
        inner.slots,
        inner.randomness,
        inner.log_height,
        inner.queries,
        inner.row_len() + inner.sum_len()
    );
}

fn named(name: &str, widths: &[u32]) -> Model {
    match SyntheticNetwork::from_name(name) {
        Some(network) => synthetic_network(network, 7).unwrap(),
        None => synthetic_mlp(widths, 7).unwrap(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: &str| {
        let found = arguments.iter().position(|argument| argument == name);
        found.map_or(default.to_owned(), |index| arguments[index + 1].clone())
    };
    let widths: Vec<u32> =
        option("--widths", "784,128,10").split(',').map(|width| width.parse().unwrap()).collect();
    let batch: usize = option("--batch", "1").parse().unwrap();
    let iterations: usize = option("--iterations", "20").parse().unwrap();

    let model = named(&option("--name", "mlp"), &widths);
    let graph = model.graph().clone();
    let openings: u32 = option("--openings", "0").parse().unwrap();
    let committed = timed("commit", 1, || {
        if openings == 0 {
            return CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
        }
        let hiding = Hiding { openings_max: openings, openings_used: 0, seed: Seed::new([7; 32]) };
        CommittedModel::commit_hiding(model.clone(), SecurityBits::DEFAULT, hiding).unwrap()
    });
    let plan = tacit_verify::plan::Plan::new(&graph, batch).unwrap();
    println!(
        "2^{} weights, 2^{:?} witness, 2^{:?} leaves",
        plan.weights.vars, plan.witness_vars, plan.leaf_vars
    );
    let counted = (openings > 0).then_some(openings);
    let stated = tacit_prove::peak_bytes(&graph, plan, counted, SecurityBits::DEFAULT).unwrap() >> 20;
    println!("params {}, macs {}", model.shapes().parameters(), model.shapes().macs());
    let inputs: Vec<Vec<i64>> = (0..batch)
        .map(|row| (0..graph.features.len()).map(|i| (((row * 31 + i * 7) % 128) as i64) << 24).collect())
        .collect();
    if arguments.iter().any(|argument| argument == "--parts") {
        parts(&committed, &inputs, iterations);
        return;
    }
    let iterations = if openings == 0 { iterations } else { iterations.min(openings as usize) };
    let proved = timed("prove", iterations, || {
        if openings == 0 {
            return prove(&committed, &inputs).unwrap();
        }
        prove_zk(&committed, &inputs, &Seed::new([8; 32])).unwrap()
    });
    println!("memory: {stated} MiB stated, {} MiB measured", peak_mib());
    let statement = Statement { inputs, outputs: proved.outputs };
    let verifying = committed.verifying_model();
    let _verified = timed("verify", iterations, || verify(verifying, &statement, &proved.proof).unwrap());
    println!("proof: {} bytes", proved.proof.len());
    if openings > 0 {
        print_shapes(&graph, batch, openings);
    }
    let report = if openings == 0 {
        security_report(&graph, batch, SecurityBits::DEFAULT).unwrap()
    } else {
        zero_knowledge_report(&graph, batch, openings, SecurityBits::DEFAULT).unwrap()
    };
    for term in &report.terms {
        println!("  {:<55} {} bits", term.name, term.bits);
    }
    println!("  total {} bits", report.total);
    let reached =
        (100..=128).take_while(|bits| security_report(&graph, batch, SecurityBits::new(*bits)).is_ok());
    println!("  highest level that can be asked for: {:?}", reached.last());
}
