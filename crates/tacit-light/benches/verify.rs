//! What it costs to check a proof from its bytes, and how long it is.
//!
//! `cargo bench -p tacit-light` prints one JSON object a line.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

#[path = "../tests/it/network.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod network;

use alloy_primitives::B256;
use network::{Block, Network};
use rustix::time::{ClockId, clock_gettime};
use std::{io::Write as _, time::Duration};
use tacit_light::{Finality, LightProof, Trust, prove_receipt, verify};

const ROUNDS: usize = 101;

fn main() {
    for (validators, transactions) in [(4, 1), (4, 100), (4, 1_000), (50, 1), (50, 1_000)] {
        let network = Network::new(1, validators);
        let block = Block::new(1_000_000, B256::repeat_byte(1), transactions);
        measure("threshold", validators, &network, &block, network.finality(&block));
        let quorum = network.validators.len() - (network.validators.len() - 1) / 3;
        let mut finality = network.voted(&block);
        finality.certificate = tacit_light::Certificate::Votes(network.votes(&block.header, 0..quorum));
        measure("votes", validators, &network, &block, finality);
    }
}

fn measure(kind: &str, validators: u64, network: &Network, block: &Block, finality: Finality) {
    let count = block.receipts.len();
    let index = count / 2;
    let proof = prove_receipt(finality, &block.receipts, index).unwrap();
    let bytes = proof.encode().len();
    let named = proof.with_transaction(&block.transactions).unwrap().encode();
    let trust = network.trust();
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| time(&trust, &named)).collect();
    times.sort_unstable();
    let line = format!(
        "{{\"bench\":\"light::verify/certificate={kind},validators={validators},transactions={count}\",\"cpu_us\":{},\"bytes\":{bytes},\"bytes_with_transaction\":{}}}\n",
        times[ROUNDS / 2].as_micros(),
        named.len(),
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Processor time of one check.
fn time(trust: &Trust, bytes: &[u8]) -> Duration {
    let started = processor();
    let _ = std::hint::black_box(verify(trust, &LightProof::decode(bytes).unwrap()).unwrap());
    processor() - started
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
