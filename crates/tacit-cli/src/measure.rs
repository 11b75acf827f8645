//! What the operating system counts for this process.

use std::time::Instant;

/// Cost of one run of something: medians over the runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// CPU of all threads, milliseconds (see [`user_cpu_us`]).
    pub(crate) user_cpu_ms: f64,
    /// Elapsed time, milliseconds.
    pub(crate) wall_ms: f64,
}

/// CPU of this process so far, in microseconds, by the scheduler's own clock; zero where the system does not say.
///
/// The system's split into user and system time counts whole ticks of some milliseconds, which is no measure of work
/// this short. Their sum is exact, and is what is reported as user CPU: an upper bound, by the little this code spends in the
/// system.
pub(crate) fn user_cpu_us() -> u64 {
    #[cfg(unix)]
    {
        use nix::sys::time::TimeValLike;
        use nix::time::{ClockId, clock_gettime};
        clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
            .ok()
            .and_then(|time| u64::try_from(time.num_microseconds()).ok())
            .unwrap_or(0)
    }
    #[cfg(not(unix))]
    0
}

/// Largest resident memory of this process so far, in MiB; zero where the system does not say.
pub(crate) fn peak_mib() -> u64 {
    // `getrusage` would carry over the peak of the process that started this one.
    peak_in(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn peak_in(status: &str) -> u64 {
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.unwrap_or(0) / 1024
}

/// CPU of another process so far, in microseconds; zero where the system does not say.
pub(crate) fn cpu_us_of(pid: u32) -> u64 {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::time::TimeValLike;
        let time = i32::try_from(pid).ok().and_then(|pid| {
            let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).ok()?;
            nix::time::clock_gettime(clock).ok()
        });
        time.and_then(|time| u64::try_from(time.num_microseconds()).ok()).unwrap_or(0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        0
    }
}

/// Largest resident memory of another process so far, in MiB; zero where the system does not say.
pub(crate) fn peak_mib_of(pid: u32) -> u64 {
    peak_in(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default())
}

/// Runs `work` `runs` times and takes medians; short work is repeated inside each run until the clock can resolve it.
///
/// # Errors
/// The first error of `work`.
pub(crate) fn cost<T, E>(runs: usize, work: impl FnMut() -> Result<T, E>) -> Result<(Cost, T), E> {
    cost_within(runs, usize::MAX, work)
}

/// [`cost`], doing the work no more than `most` times.
///
/// # Errors
/// The first error of `work`.
pub(crate) fn cost_within<T, E>(
    runs: usize,
    most: usize,
    mut work: impl FnMut() -> Result<T, E>,
) -> Result<(Cost, T), E> {
    let start = Instant::now();
    let mut last = work()?;
    let once = start.elapsed();
    let repeats = (RUN_MS_MIN * 1_000_000 / once.as_nanos().max(1)).clamp(1, REPEATS_MAX);
    let within = (most.saturating_sub(1) / runs.max(1)).max(1) as u128;
    let repeats = repeats.min(within);
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..runs.max(1) {
        let (before, start) = (user_cpu_us(), Instant::now());
        for _ in 0..repeats {
            last = work()?;
        }
        cpu.push((user_cpu_us() - before) as f64 / 1000.0 / repeats as f64);
        wall.push(start.elapsed().as_secs_f64() * 1000.0 / repeats as f64);
    }
    Ok((Cost { user_cpu_ms: median(cpu), wall_ms: median(wall) }, last))
}

/// Runs `work` once.
pub(crate) fn cost_once<T>(work: impl FnOnce() -> T) -> (Cost, T) {
    let (before, start) = (user_cpu_us(), Instant::now());
    let made = work();
    let cost = Cost {
        user_cpu_ms: (user_cpu_us() - before) as f64 / 1000.0,
        wall_ms: start.elapsed().as_secs_f64() * 1000.0,
    };
    (cost, made)
}

/// To a tenth of a microsecond, which is finer than the clock.
pub(crate) fn round(ms: f64) -> f64 {
    (ms * 10_000.0).round() / 10_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

const RUN_MS_MIN: u128 = 100;
const REPEATS_MAX: u128 = 100_000;
