//! Checks proofs that a committed model, run on these inputs, gives those outputs.
//!
//! The statement is (model id, input rows, output rows); nothing else is believed. [`verify`] returns a
//! [`Verified`] token or a [`Reject`]. Start reading at [`statement`], then [`protocol`], then [`plan`]. The
//! protocol is written down in `specs/0001-proof.md`.
//!
//! The verifier's algebra ([`protocol`], [`lookup`], [`batch`], [`sumcheck`]) is generic over a
//! [`context::Context`], so that zero knowledge can be added as a context. Prover code is in `tacit-prove`, which
//! shares [`plan`], [`commitment`] and [`multilinear`] with this crate.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn,
        clippy::unreachable,
        clippy::wildcard_enum_match_arm
    )
)]

pub mod batch;
pub mod bits;
pub mod commitment;
pub mod context;
pub mod cost;
pub mod field;
pub mod lookup;
pub mod multilinear;
pub mod opening;
pub mod plan;
pub mod protocol;
pub mod reader;
pub mod reject;
pub mod rows;
pub mod security;
pub mod statement;
pub mod sumcheck;
pub mod trees;
pub mod views;

pub use bits::Bits;
pub use cost::{VerificationCost, planning_steps, verification_cost};
pub use plan::PlanError;
pub use reject::Reject;
pub use rows::{Row, RowSalt};
pub use security::{BudgetError, SecurityBits, SecurityReport, Term, security_report};
pub use statement::{
    Statement, Verified, VerifiedBatch, VerifyingModel, verify, verify_at, verify_batch, verify_batch_at,
};
