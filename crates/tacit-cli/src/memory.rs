//! Whether a proof fits into memory, said before it is begun instead of being killed half way.

use crate::failure::{Context, Failure};
use tacit_graph::ModelFile;
use tacit_verify::SecurityBits;
use tacit_verify::plan::Plan;

/// The memory, in MiB, that committing to a model and proving `rows` rows takes.
///
/// # Errors
/// Refuses what is more than this machine has free.
pub(crate) fn ensure(file: &ModelFile, rows: usize) -> Result<u64, Failure> {
    let openings = file.hiding.map(|key| key.openings);
    let graph = file.model.graph();
    let bytes = Plan::new(graph, rows)
        .map_err(Into::into)
        .and_then(|plan| tacit_prove::peak_bytes(graph, plan, openings, SecurityBits::DEFAULT))
        .failed("cannot_prove", "the answer cannot be proved", "give fewer rows at once")?;
    let (needed, free) = ((bytes + bytes / ALLOCATOR_SHARE + PROCESS_BYTES) >> 20, free_mib());
    match free {
        Some(free) if free < needed => Err(Failure::new(
            "too_little_memory",
            format!("a proof of {rows} rows takes about {needed} MiB, {free} MiB are free"),
            "give fewer rows at once, or close something",
        )),
        _ => Ok(needed),
    }
}

/// Of this part more than what is asked for, the allocator keeps: a quarter; 17 to 23 % measured.
const ALLOCATOR_SHARE: u64 = 4;
/// What the process takes before it proves anything.
const PROCESS_BYTES: u64 = 32 << 20;

/// Bytes that the system, or the group this process is in, has left; none where it does not say.
pub(crate) fn free_bytes() -> Option<u64> {
    free_mib().map(|mib| mib << 20)
}

/// What the system, or the group this process is in, has left; none where it does not say.
fn free_mib() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let system = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10;
    let group = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    match (group("memory.max"), group("memory.current")) {
        (Some(most), Some(used)) => Some(system.min(most.saturating_sub(used) >> 20)),
        _ => Some(system),
    }
}
