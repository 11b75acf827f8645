//! Encrypted answers against the executor, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod refusals;
mod same;
