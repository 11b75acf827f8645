//! Times a synthetic network: `network [--name mlp|lenet-5|lenet-5-max|resnet-8|vgg-16|separable] [--widths 784,128,10] [--batch N]
//! [--iterations N] [--openings N]`. With `--openings` in zero knowledge, against a commitment made for so many.
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
use tacit_prove::{CommittedModel, Hiding, Seed, prove, prove_zk};
use tacit_verify::{SecurityBits, Statement, security_report, verify, zero_knowledge_report};

/// User and system CPU in milliseconds; the kernel counts hundredths of a second.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    fields[12..14].iter().map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
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
