//! Times what the `proofs` module charges for and prints nanoseconds beside gas: `proof_gas [--iterations N]`.
//!
//! Run it in release mode on an idle machine. The prices in `proofs::gas` are right when no line shows more nanoseconds per gas
//! than the module's header says.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use alloy_sol_types::SolCall;
use std::{hint::black_box, time::Instant};
use tacit_abi::IProofs;
use tacit_graph::{
    Graph, Model, SyntheticNetwork, decode_graph, encode_graph, feature_count, random_model, synthetic_mlp,
    synthetic_network,
};
use tacit_modules::{INPUT_WORD_GAS, proofs::gas};
use tacit_prove::{CommittedModel, prove};
use tacit_verify::{SecurityBits, Statement, VerifyingModel, planning_steps, verification_cost, verify};

/// Least nanoseconds of several runs: what the work takes, without what else the machine does.
fn nanoseconds<T>(iterations: usize, mut work: impl FnMut() -> T) -> u64 {
    let time = |_| {
        let start = Instant::now();
        black_box(work());
        u64::try_from(start.elapsed().as_nanos()).unwrap()
    };
    (0..iterations).map(time).min().unwrap()
}

fn report(what: &str, nanoseconds: u64, gas: u64) {
    let tenths = nanoseconds * 10 / gas;
    println!("  {what:<10} {nanoseconds:>10} ns {gas:>9} gas  {}.{} ns/gas", tenths / 10, tenths % 10);
}

/// Decoding and laying out: also for graphs that nobody would prove.
fn report_graph(name: &str, graph: &Graph, iterations: usize) {
    let bytes = encode_graph(graph);
    println!(
        "{name}: graph {} bytes, {} nodes, {} steps",
        bytes.len(),
        graph.nodes.len(),
        planning_steps(graph)
    );
    let features = feature_count(&bytes).unwrap();
    let decode = || VerifyingModel::new(decode_graph(&bytes).unwrap(), [0; 32]).unwrap();
    report("decoding", nanoseconds(iterations, decode), gas::reading(bytes.len()) + gas::decoding(features));
    report("planning", nanoseconds(iterations, || verification_cost(graph, 1, 0)), gas::planning(graph));
}

fn report_proof(name: &str, model: Model, rows: usize, iterations: usize) {
    let committed = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    let graph = committed.model().graph();
    let raw = |row: usize| {
        (0..graph.features.len())
            .map(move |i| i64::try_from((row * 31 + i * 7) % 128).unwrap() << 24)
            .collect()
    };
    let inputs: Vec<Vec<i64>> = (0..rows).map(raw).collect();
    let proved = prove(&committed, &inputs).unwrap();
    let statement = Statement { inputs, outputs: proved.outputs };
    let verifying = committed.verifying_model();
    report_graph(name, graph, iterations);

    let cost = verification_cost(graph, rows, proved.proof.len()).unwrap();
    println!("  {rows} rows: {cost:?}");
    let call = IProofs::answerCall {
        modelId: (*verifying.id().as_bytes()).into(),
        inputs: statement.inputs.concat(),
        outputs: statement.outputs.concat(),
        proof: proved.proof.clone().into(),
    };
    let calldata = call.abi_encode();
    let words = u64::try_from(calldata.len().div_ceil(32)).unwrap();
    let read = || IProofs::answerCall::abi_decode_validate(&calldata).unwrap();
    report("calldata", nanoseconds(iterations, read), words * INPUT_WORD_GAS);
    let check = || verify(verifying, &statement, &proved.proof).unwrap();
    report("checking", nanoseconds(iterations, check), gas::checking(&cost));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let found = arguments.iter().position(|argument| argument == "--iterations");
    let iterations = found.map_or(20, |index| arguments[index + 1].parse().unwrap());
    for (widths, rows) in [
        (&[1, 1][..], 1),
        (&[4, 3, 2], 1),
        (&[30, 1], 4096),
        (&[30, 16, 1], 1),
        (&[64, 32, 10], 1),
        (&[64, 32, 10], 1024),
        (&[8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 2], 1),
        (&[784, 128, 10], 1),
        (&[784, 128, 10], 64),
        (&[784, 10], 256),
        (&[30_000, 2], 1),
        (&[2, 30_000, 1], 1),
        (&[1024, 1024, 1024, 10], 1),
    ] {
        report_proof(&format!("{widths:?}"), synthetic_mlp(widths, 7).unwrap(), rows, iterations);
    }
    for network in [
        SyntheticNetwork::LeNet5,
        SyntheticNetwork::LeNet5Max,
        SyntheticNetwork::Separable,
        SyntheticNetwork::ResNet8,
    ] {
        report_proof(network.name(), synthetic_network(network, 7).unwrap(), 1, iterations);
    }
    for seed in 0..40 {
        let model = random_model(seed).unwrap();
        if verification_cost(model.graph(), 1, 0).is_ok() {
            report_proof(&format!("random {seed}"), model, 1, iterations);
        }
    }
    let mut named = synthetic_mlp(&[30_000, 2], 7).unwrap().graph().clone();
    named.features.iter_mut().for_each(|feature| feature.name = "a name of its own".into());
    report_graph("30000 named features", &named, iterations);
    report_graph("a chain of 4000 nodes", synthetic_mlp(&[1; 2000], 7).unwrap().graph(), iterations);
}
