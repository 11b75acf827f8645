//! Checks proofs that a committed model, run on these inputs, gives those outputs.
//!
//! The statement is (model id, input rows, output rows); nothing else is believed. [`verify`] returns a
//! [`Verified`] token or a [`Reject`]. Start reading at [`statement`], then [`protocol`], then [`plan`]. The
//! protocol is written down in `specs/0001-proof.md`.
//!
//! The verifier's algebra ([`protocol`], [`lookup`], [`batch`], [`sumcheck`]) is generic over a
//! [`context::Context`]: [`context::Plain`] checks at once, [`masked::Masked`] makes a proof that shows nothing
//! ([`zero_knowledge`], `specs/0003-zero-knowledge.md`). Prover code is in `tacit-prove`, which
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
mod carry;
pub mod commitment;
pub mod context;
pub mod cost;
pub mod field;
pub mod hiding;
pub mod hiding_shape;
pub mod inner;
pub mod inner_shape;
pub mod lookup;
pub mod masked;
pub mod multilinear;
pub mod opening;
pub mod oracle;
pub mod plan;
pub mod protocol;
pub mod proximity;
pub mod reader;
pub mod reject;
pub mod rows;
pub mod security;
pub mod statement;
pub mod sumcheck;
pub mod trees;
pub mod views;
pub mod zero_knowledge;

pub use bits::Bits;
pub use cost::{VerificationCost, planning_steps, verification_cost};
pub use plan::PlanError;
pub use reject::Reject;
pub use rows::{Row, RowSalt};
pub use security::{BudgetError, SecurityBits, SecurityReport, Term, security_report};
pub use statement::{
    Statement, Verified, VerifiedBatch, VerifyingModel, verify, verify_at, verify_batch, verify_batch_at,
};
pub use zero_knowledge::zero_knowledge_report;
