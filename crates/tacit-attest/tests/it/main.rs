//! Real evidence, evidence of vendors of our own, and sessions.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests stop where a test would fail")]

mod amd;
mod encoding;
mod files;
mod firmware;
mod flips;
#[path = "../../../tacit-nvidia/tests/it/forge.rs"]
mod forge;
mod intel;
mod measure;
mod real;
mod session;
mod world;
