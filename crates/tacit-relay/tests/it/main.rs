//! A relay between a client and a machine that an ask on a real ledger names.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as a test does")]

mod relay;
