//! What every module answers to a call that never reaches one of its methods.

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IModule.sol");
