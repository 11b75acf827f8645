//! What it costs to check evidence from its bytes, and how long it is.
//!
//! `cargo bench -p tacit-attest` prints one JSON object a line: medians of processor time. `again` is with authorities of GPUs and reference
//! files that have been checked before.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]
#![expect(clippy::expect_used, reason = "what tests share stops likewise")]

#[path = "../tests/it/files.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod files;
#[path = "../../tacit-nvidia/tests/it/forge.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod forge;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod world;

use rustix::time::{ClockId, clock_gettime};
use std::{hint::black_box, io::Write as _, time::Duration};
use tacit_attest::{Evidence, IntelQuote, SnpReport, Trust, verify};
use world::World;

const ROUNDS: usize = 51;

fn main() {
    let trust = Trust::vendors().unwrap();
    for (name, quote) in [("tdx", files::tdx()), ("sgx", files::sgx())] {
        let run = || {
            drop(black_box(IntelQuote::verify(&quote.bytes, &quote.collateral, &trust, quote.now).unwrap()))
        };
        measure(name, 0, quote.bytes.len(), run);
    }
    let report = files::configured();
    let run =
        || drop(black_box(SnpReport::verify(&report.bytes, report.vcek, &trust, files::AMD_NOW).unwrap()));
    measure("snp", 0, report.bytes.len() + report.vcek.len(), run);
    for (name, again, world, gpus) in [
        ("tdx+gpu", "tdx+gpu,again", World::intel(), 1),
        ("tdx+2gpu", "tdx+2gpu,again", World::intel(), 2),
        ("snp+gpu", "snp+gpu,again", World::amd(), 1),
        ("snp+2gpu", "snp+2gpu,again", World::amd(), 2),
    ] {
        let mut world = world;
        world.nvidia.gpus.truncate(gpus);
        world.rules.gpu.as_mut().unwrap().count_min = u8::try_from(gpus).unwrap();
        let (bytes, policy, now, trust) =
            (world.evidence().encode(), world.policy(), world.now(), world.trust());
        let mut learnt = trust.clone();
        for text in &world.nvidia.references {
            learnt.learn_reference(text, now).unwrap();
        }
        learnt.learn_chain(&world.nvidia.gpus[0].chain, now).unwrap();
        // The device that was learnt is not the one that is checked, where there are two; with one, it is.
        for (name, trust) in [(name, &trust), (again, &learnt)] {
            measure(name, gpus, bytes.len(), || {
                let evidence = Evidence::decode(&bytes).unwrap();
                drop(black_box(verify(&evidence, &policy, &world.binding, trust, now).unwrap()));
            });
        }
    }
}

fn measure(case: &str, gpus: usize, bytes: usize, run: impl Fn()) {
    let time = || {
        let started = processor();
        run();
        processor() - started
    };
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| time()).collect();
    times.sort_unstable();
    let line = format!(
        "{{\"bench\":\"attest::verify/case={case}\",\"gpus\":{gpus},\"bytes\":{bytes},\"cpu_us\":{}}}\n",
        times[ROUNDS / 2].as_micros()
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
