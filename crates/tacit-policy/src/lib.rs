//! What evidence of hardware is accepted, as one value with one encoding and one name.
//!
//! A [`Policy`] is names and numbers: hashes of images, models, certificates and files, versions of firmware. Whoever judges evidence by it
//! (`tacit-attest`) needs cryptography; whoever keeps policies, as the ledger does, needs none, but has to know which of two
//! accepts less: [`Policy::narrows`].
//!
//! # Invariants
//! - A policy has one encoding, and its id is a hash of that: two policies with one id are one.
//! - [`Policy::narrows`] never says of a policy that it only takes away when there is evidence that it lets in and the other does not.

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unreachable
)]

pub mod codec;
mod error;
mod hardware;
mod name;
mod narrow;
mod policy;

pub use error::{DecodeError, PolicyError};
pub use hardware::{Product, TcbStatus, VersionField, Versions};
pub use name::{Fingerprint, ImageId};
pub use policy::{ACCEPTED_MAX, AmdPolicy, GpuPolicy, IntelPolicy, POLICY_BYTES_MAX, Policy, REVOKED_MAX};
