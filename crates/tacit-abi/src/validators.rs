//! `validators`: stakes of those who keep the ledger, and the loss of them.

use alloy_primitives::{Address, address};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000005");

/// Where burned stake goes: nobody has a key for it.
pub const BURNED: Address = address!("000000000000000000000000000000000000dEaD");

/// Suffix of the network's namespace under which a key signs who may stake it.
pub const JOIN_SUFFIX: &[u8] = b"_JOIN";

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IValidators.sol");
