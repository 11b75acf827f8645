//! The node as its users meet it: a real HTTP server on a free port, real signatures, a plain HTTP client.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail the test"
)]

mod chain;
mod crash;
mod development;
mod flat;
mod flood;
mod follow;
mod followers;
mod kill;
mod pool;
mod raw;
mod refusals;
mod restart;
mod signers;
mod simulate;
mod snapshots;
mod socket;
mod support;
mod trace;
mod transport;
