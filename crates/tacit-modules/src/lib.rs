//! Native ledger modules: contracts written in Rust that answer to Solidity interfaces.
//!
//! A module knows three things: the [`Host`] it is handed for the length of one call, its own storage, and
//! `tacit-abi`; and it may use the public functions of modules below it: `asks` those of `models` and `stakes`, `audits` those of `channels`, `proofs`, `receipts`, `beacons` and `asks` too, `policies` those of `validators`. `proofs` knows graphs and their verifier besides, `validators` what votes of consensus look like, `policies` what a policy is, `subnets` Yuma consensus. `audits` draws by the market's rules. It never knows the EVM implementation, blocks, consensus or RPC, so that a unit test can run it on a map and a
//! ledger can run it on a journal.
//!
//! # Rules that hold for every module
//! - Storage is ordinary EVM storage in Solidity layout, so that a Solidity twin (or an explorer) reads the same slots.
//! - Any error undoes the whole call; the host's journal does that, modules never undo by hand.
//! - Paying moves coin and runs no code, so there is no re-entrance.
//! - Gas is charged before the work it pays for, from the EVM's own tables, or from measurements where those have no price.
//! - No input can panic, loop without bound or allocate beyond a multiple of what its gas paid for.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn,
        reason = "tests may overflow and panic: that fails them"
    )
)]

pub mod asks;
pub mod audits;
pub mod beacons;
pub mod channels;
mod dispatch;
mod host;
pub mod models;
pub mod policies;
pub mod proofs;
pub mod receipts;
mod signature;
mod slots;
pub mod stakes;
mod storage;
pub mod subnets;
#[cfg(test)]
mod testing;
pub mod validators;

pub use dispatch::{Failure, INPUT_WORD_GAS};
pub use host::{CERTIFICATE_GAS, CODE_BYTES_MAX, CallContext, Host, HostError, keccak_gas};

use alloy_primitives::{Address, Bytes};

/// A module as the ledger mounts it.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Where calls reach it and where its storage and coin lie.
    pub address: Address,
    /// Name for traces and metrics.
    pub name: &'static str,
    /// Runs one call: selector and arguments in, return data out.
    pub run: fn(&mut dyn Host, &[u8]) -> Result<Bytes, Failure>,
}

/// Every module, in address order.
pub const MODULES: [Module; 11] = [
    Module { address: tacit_abi::models::ADDRESS, name: "models", run: models::run },
    Module { address: tacit_abi::channels::ADDRESS, name: "channels", run: channels::run },
    Module { address: tacit_abi::receipts::ADDRESS, name: "receipts", run: receipts::run },
    Module { address: tacit_abi::proofs::ADDRESS, name: "proofs", run: proofs::run },
    Module { address: tacit_abi::validators::ADDRESS, name: "validators", run: validators::run },
    Module { address: tacit_abi::stakes::ADDRESS, name: "stakes", run: stakes::run },
    Module { address: tacit_abi::asks::ADDRESS, name: "asks", run: asks::run },
    Module { address: tacit_abi::audits::ADDRESS, name: "audits", run: audits::run },
    Module { address: tacit_abi::policies::ADDRESS, name: "policies", run: policies::run },
    Module { address: tacit_abi::subnets::ADDRESS, name: "subnets", run: subnets::run },
    Module { address: tacit_abi::beacons::ADDRESS, name: "beacons", run: beacons::run },
];
