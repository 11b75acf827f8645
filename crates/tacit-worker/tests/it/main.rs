//! Language models over HTTP: a real ledger, a real worker, an engine that says what a test tells it to, and a client.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails by panicking, as a test does"
)]

mod accounts;
mod attest;
mod beats;
mod client;
mod crash;
mod disk;
mod engine;
mod guests;
mod owner;
mod refusals;
mod reputation;
mod streams;
mod support;
