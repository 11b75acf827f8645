//! A real ledger, real workers and a real gateway, over HTTP on this machine.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails by panicking, as a test does"
)]

mod audit;
mod canaries;
#[cfg(feature = "pbs")]
mod circuits;
mod crash;
mod dishonest;
mod disk;
mod disputes;
mod encrypted;
mod failures;
mod openai;
mod page;
mod quota;
mod reference;
mod refusals;
mod sdk;
mod seconds;
mod story;
mod stream_receipts;
mod support;
mod together;
mod worker_rejects;
