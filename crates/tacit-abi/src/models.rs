//! `models`: who published which model.

use alloy_primitives::{Address, address};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000001");

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IModels.sol");
