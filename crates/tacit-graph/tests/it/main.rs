//! One binary for all integration tests of the crate.

mod answers;
mod encoding;
mod equal;
mod fixtures;
mod refusals;
mod shipped;
mod support;
