//! The market's rules as pure functions: whom to ask, what a worker's history is worth, which answers are audited, how much may be at risk.
//!
//! Nothing here knows a clock, a network, a disk or a source of randomness: times, random bits and what the ledger says come in as arguments. Where money or
//! probability is concerned numbers are integers, so that everybody who has the same facts gets the same result; floats order workers, and measure answers of
//! engines that compute with floats.
//!
//! - [`routing`] orders those who serve a model by what a request wants, with what a gateway has seen of them ([`health`]).
//! - [`policy`] says how often an answer is audited and how much a worker may have unsettled, and accepts only terms under which honesty is the best policy.
//! - [`selection`] says from a beacon which answers are audited, and by whom.
//! - [`likeness`] compares an answer of a float engine with its repetition, where bytes cannot be compared.
//! - [`mod@reputation`] computes from public facts what a worker's history is worth, which is never more than it cost.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]
#![forbid(unsafe_code)]

pub mod health;
pub mod likeness;
pub mod policy;
pub mod ratio;
pub mod reputation;
pub mod routing;
pub mod selection;

pub use policy::{AdmissionReject, Policy, PolicyReject, Terms};
pub use ratio::Ratio;
pub use reputation::{Facts, Reputation, reputation};
