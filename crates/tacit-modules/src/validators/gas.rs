//! What checking signatures of validators is charged.
//!
//! One ed25519 verification, key and signature decoded, over any message that evidence can hold. The price is set like those of
//! [`proofs::gas`](crate::proofs::gas): no more than 5 ns of one core a gas, measured by
//!
//! ```text
//! cargo run --release -p tacit-modules --example evidence_gas
//! ```
//!
//! On one core of an EPYC with AVX-512 (others busy), least of 2000 runs, worst of 16 keys, one verification takes 19 µs, or 2.4 ns a gas; built
//! for any x86-64, 31 µs; with no vector instructions at all (`curve25519_dalek_backend="serial"`), 38 µs, or 4.7 ns a gas.

/// Gas for one signature.
pub const SIGNATURE: u64 = 8_000;
