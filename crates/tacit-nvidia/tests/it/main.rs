//! Evidence of real GPUs, and the same evidence with its keys replaced by keys of ours.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests stop where a test would fail"
)]

mod files;
mod flips;
mod forge;
mod real;
mod soundness;
