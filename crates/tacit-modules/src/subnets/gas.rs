//! What the arithmetic of an epoch is charged.
//!
//! One gas stands for 10 ns of one core, as elsewhere. An epoch takes so much for each pair of validator and worker: some fifteen products, quotients and look-ups, a logarithm's worth of
//! sorting, and with liquid alpha an exponential, which is most of it. Measured (two shared cores, others busy), the largest epoch takes 35 us with classic bonds, 29 us with those of Yuma 3 and
//! 117 us with liquid alpha, 114 ns a pair, so the price is about four times. `cargo run --release -p tacit-modules --example epoch_gas` prints nanoseconds beside gas for sizes up to
//! the largest and for each rule; the price is right while no line shows more than 10 ns a gas.

/// Gas for an epoch of so many validators and workers.
#[must_use]
pub fn epoch(validators: usize, workers: usize) -> u64 {
    let pairs = validators.saturating_mul(workers);
    EPOCH.saturating_add(PAIR.saturating_mul(u64::try_from(pairs).unwrap_or(u64::MAX)))
}

/// Each epoch, whatever its size.
pub const EPOCH: u64 = 1_000;
/// Each pair of validator and worker.
pub const PAIR: u64 = 40;
