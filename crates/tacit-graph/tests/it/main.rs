//! One binary for all integration tests of the crate.

mod equal;
mod fixtures;
mod support;
