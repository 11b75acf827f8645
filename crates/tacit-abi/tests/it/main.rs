//! What we share with other people's software, checked against other people's software.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod eip712;
mod modes;
mod receipts;
mod solidity;
mod subnets;
