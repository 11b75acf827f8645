//! One binary for all integration tests of the crate.

mod equal;
mod fixtures;
mod shipped;
mod support;
