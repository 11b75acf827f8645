//! Proofs of a network whose keys are known, honest and forged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod anchor;
mod finality;
mod foreign;
mod honest;
mod keys;
mod network;
mod seal;
mod soundness;
