//! The market's rules as pure functions: whom to ask.
//!
//! Nothing here knows a clock, a network, a disk or a source of randomness: times and random bits come in as arguments. Floats order workers and nothing else.
//!
//! [`routing`] orders those who serve a model by what a request wants, with what a gateway has seen of them ([`health`]).

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]
#![forbid(unsafe_code)]

pub mod health;
pub mod routing;
