//! Yuma consensus in exact integers: from what validators say of workers, weighted by their stakes, to who is paid what.
//!
//! Validators score workers on something that nobody can measure for all; each has a row of weights. Consensus is the stake-weighted median of each
//! column; what is above it is clipped. Workers earn by the clipped weights (*incentive*), validators by the bonds that they have in workers that
//! earn (*dividends*), which grow slowly and by what the others agreed with. [`epoch`] is all of it: a pure function of terms, stakes, weights and bonds.
//!
//! Source: opentensor/subtensor, `pallets/subtensor/src/epoch` and `docs/consensus.md` (The Unlicense), as of June 2026: the order of steps and their
//! rounding. Nothing here is copied; the traces and scenarios of its tests are vectors (`vectors/yuma/`), which come out digit for digit.
//!
//! Deviation: validators and workers are two lists, not one; whoever is both says which worker it is. Permits, activity, and weights that are older than
//! their worker are the caller's to decide. An epoch in which nothing was agreed says so ([`Outcome::agreed`]), so that a caller need not pay for it.
//!
//! # Rounding
//! Numbers are [`Fixed`]: 32 binary places, as upstream. Products, quotients and conversions round down; what is subtracted rounds up. Sums of
//! integers do not depend on their order, so neither does any result: nodes may be listed in any order.
//!
//! # Limits
//! [`VALIDATORS_MAX`] rows and [`WORKERS_MAX`] columns. Work is `O(v w log v)`, and nothing is allocated beyond a few matrices of that size.
//!
//! # Examples
//! ```
//! use tacit_yuma::{Epoch, Terms, Validator, epoch};
//!
//! let row = |stake, weights| Validator { stake, active: true, own: None, weights, bonds: &[0, 0] };
//! let validators = [row(60, &[3, 1]), row(40, &[3, 1])];
//! let outcome = epoch(&Epoch { terms: &Terms::default(), validators: &validators, fresh: &[false, false] })?;
//! let paid = outcome.split(1000);
//! assert_eq!((paid.workers, paid.validators), (vec![375, 124], vec![300, 199]));
//! # Ok::<(), tacit_yuma::Error>(())
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::float_arithmetic,
        clippy::indexing_slicing,
        clippy::panic_in_result_fn,
        clippy::unreachable
    )
)]
#![forbid(unsafe_code)]

mod bonds;
mod consensus;
mod epoch;
mod error;
mod fixed;
mod matrix;
mod sigmoid;
mod terms;

pub use consensus::weighted_median;
pub use epoch::{Epoch, Outcome, Payments, VALIDATORS_MAX, Validator, WORKERS_MAX, epoch};
pub use error::Error;
pub use fixed::Fixed;
pub use sigmoid::sigmoid;
pub use terms::{Bonds, LiquidAlpha, Terms};
