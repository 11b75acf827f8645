//! One binary for all integration tests of the crate.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod answers;
mod columns;
mod encoding;
mod equal;
mod fixtures;
mod operators;
mod refusals;
mod shipped;
mod support;
mod trace;
mod trees;
mod vectors;
mod walk;
