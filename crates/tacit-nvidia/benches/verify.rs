//! What it costs to check a GPU's report, and a file of reference measurements, from their bytes.
//!
//! `cargo bench -p tacit-nvidia` prints one JSON object a line: medians of processor time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

#[path = "../tests/it/files.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod files;

use files::{DRIVER, NOW, h100};
use rustix::time::{ClockId, clock_gettime};
use std::{hint::black_box, io::Write as _, time::Duration};
use tacit_nvidia::{Anchors, Rim, verify};

const ROUNDS: usize = 51;

fn main() {
    let (sample, nonce) = (h100(), h100().nonce());
    let cold = Anchors::device_identity().unwrap();
    let mut learnt = cold.clone();
    learnt.learn(sample.chain, NOW).unwrap();
    for (name, anchors) in [("first", &cold), ("again", &learnt)] {
        measure("nvidia::verify", name, || {
            drop(black_box(verify(&sample.report, sample.chain, &nonce, anchors, NOW).unwrap()));
        });
    }
    let roots = Anchors::reference_values().unwrap();
    measure("nvidia::rim", "first", || drop(black_box(Rim::verify(DRIVER, &roots, NOW).unwrap())));
}

fn measure(name: &str, case: &str, run: impl Fn()) {
    let time = || {
        let started = processor();
        run();
        processor() - started
    };
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| time()).collect();
    times.sort_unstable();
    let line = format!("{{\"bench\":\"{name}/case={case}\",\"cpu_us\":{}}}\n", times[ROUNDS / 2].as_micros());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
