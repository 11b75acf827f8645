//! Memory is stated before a proof is begun, and never below what the proof takes. A process of its own, since it is
//! the process that is measured.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tacit_graph::{Model, SyntheticNetwork, synthetic_mlp, synthetic_network};
use tacit_prove::{CommittedModel, Hiding, Seed, peak_bytes, prove_batch, prove_batch_zk};
use tacit_verify::{RowSalt, SecurityBits, plan::Plan};

/// Largest resident memory of this process so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

fn prove(model: Model, rows: usize, openings: Option<u32>) -> u64 {
    let graph = model.graph().clone();
    let plan = Plan::committed(&graph, rows).unwrap();
    let stated = peak_bytes(&graph, plan, openings, SecurityBits::DEFAULT).unwrap();
    let inputs: Vec<Vec<i64>> = (0..rows)
        .map(|row| (0..graph.features.len()).map(|i| (((row * 31 + i * 7) % 128) as i64) << 24).collect())
        .collect();
    let salts: Vec<RowSalt> = (0..rows).map(|row| RowSalt::new([row as u8; 32])).collect();
    match openings {
        None => {
            let model = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
            prove_batch(&model, &inputs, &salts).unwrap();
        }
        Some(openings_max) => {
            let hiding = Hiding { openings_max, openings_used: 0, seed: Seed::new([7; 32]) };
            let model = CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).unwrap();
            prove_batch_zk(&model, &inputs, &salts, &Seed::new([8; 32])).unwrap();
        }
    }
    stated
}

#[test]
fn a_proof_takes_no_more_memory_than_was_stated() {
    let network = |network| synthetic_network(network, 7).unwrap();
    let dense = |widths: &[u32]| synthetic_mlp(widths, 7).unwrap();
    // From small to large: the peak of one is no more than that of the next.
    let cases = [
        (network(SyntheticNetwork::LeNet5), 1, None),
        (network(SyntheticNetwork::ResNet8), 1, None),
        (dense(&[784, 128, 10]), 8, Some(256)),
        (network(SyntheticNetwork::ResNet8), 8, Some(256)),
        (dense(&[1024, 1024, 1024, 10]), 1, None),
    ];
    for (model, rows, openings) in cases {
        let parameters = model.shapes().parameters();
        let stated = prove(model, rows, openings);
        let measured = peak();
        assert!(
            measured <= stated && stated <= 3 * measured + (16 << 20),
            "{parameters} parameters, {rows} rows, {openings:?} openings: {stated} stated, {measured} measured"
        );
    }
}
