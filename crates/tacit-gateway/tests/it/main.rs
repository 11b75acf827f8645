//! A real ledger, real workers and a real gateway, over HTTP on this machine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests fails by panicking, as a test does"
)]

mod attested;
mod audit;
mod canaries;
mod chat_crash;
mod chat_refusals;
mod chats;
#[cfg(feature = "pbs")]
mod circuits;
mod covers;
mod crash;
mod dishonest;
mod disk;
mod disputes;
mod encrypted;
mod failures;
#[path = "../../../tacit-attest/tests/it/files.rs"]
#[expect(dead_code, reason = "the crate's own tests use more of it")]
mod files;
#[path = "../../../tacit-nvidia/tests/it/forge.rs"]
#[expect(dead_code, reason = "the crate's own tests use more of it")]
mod forge;
mod guest_streams;
mod guests;
mod likeness;
mod liveness;
mod openai;
mod page;
mod quota;
mod reference;
mod refusals;
mod sdk;
mod seconds;
mod shown;
mod story;
mod stream_receipts;
mod support;
mod together;
mod token_crash;
mod tokens;
mod unlinkable;
mod worker_rejects;
#[path = "../../../tacit-attest/tests/it/world.rs"]
#[expect(dead_code, reason = "the crate's own tests use more of it")]
mod world;
