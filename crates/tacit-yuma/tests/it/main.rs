//! The epoch against upstream's own numbers, against floats, and against what must hold.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod errors;
mod oracle;
mod properties;
mod traces;
mod vectors;
mod yuma3;
