//! The executor from outside: blocks, calls, and modules as other people's contracts meet them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod audits;
mod beacons;
mod blocks;
mod calls;
mod cover;
mod determinism;
mod foreign;
mod genesis;
mod layout;
mod modules;
mod support;
mod validators;
