//! `proofs`: what a committed model answers, checked inside a transaction.

use alloy_primitives::{Address, address};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000004");

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IProofs.sol");
