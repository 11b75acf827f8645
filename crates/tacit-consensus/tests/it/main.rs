//! The executor over an asynchronous database, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod execution;
mod people;
