//! `beacons`: random values that nobody chooses, one for each final block that somebody gives the signature of.
//!
//! # State
//! `mapping(uint64 => bytes32) beacons` at slot 0, by block number.
//!
//! # Messages
//! `post` (anyone), and the view `beaconOf`. Other modules read beacons.
//!
//! # Invariants
//! - A beacon is set once and never changes.
//! - Where validators certify blocks, it is the hash of their threshold signature over the block, of which there is one at most for each key and block: whoever posts it chooses
//!   nothing, and it is known to nobody before more than two thirds of the validators have signed, which they do for final blocks (`specs/0007-light.md`).
//! - Where one process makes the blocks there is no such key. There, and nowhere else, the beacon is a hash of the block's hash, and whoever runs the ledger chooses it, as
//!   everything else in it.
//!
//! # Gas
//! EVM prices, one fresh slot, and [`CERTIFICATE_GAS`](crate::CERTIFICATE_GAS) before a signature is looked at. A beacon that is there already is refused before that.

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, HostError, as_module, keccak_gas},
    storage::mapping,
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use tacit_abi::{
    IBeacons::{self, IBeaconsCalls},
    beacons::{ADDRESS, of_development, of_signature},
};

/// Bytes of a threshold signature.
pub const SIGNATURE_BYTES: usize = 48;

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IBeacons`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IBeaconsCalls>(host, input, |call| match call {
        IBeaconsCalls::post(_) => Access::Write,
        IBeaconsCalls::beaconOf(_) => Access::View,
    })?;
    match call {
        IBeaconsCalls::post(call) => {
            let IBeacons::postCall { number, blockHash, signature } = call;
            let beacon = post(host, number, blockHash, &signature)?;
            Ok(IBeacons::postCall::abi_encode_returns(&beacon).into())
        }
        IBeaconsCalls::beaconOf(call) => {
            let slot = slot(host, call.number)?;
            let beacon = host.sload(slot)?.into();
            Ok(IBeacons::beaconOfCall::abi_encode_returns(&beacon).into())
        }
    }
}

/// The beacon of a block, if it is posted. For other modules.
pub(crate) fn of(host: &mut dyn Host, number: u64) -> Result<Option<B256>, HostError> {
    let value = as_module(host, ADDRESS, |host| {
        let slot = slot(host, number)?;
        host.sload(slot)
    })?;
    Ok(Some(value.into()).filter(|beacon: &B256| !beacon.is_zero()))
}

fn post(host: &mut dyn Host, number: u64, hash: B256, signature: &[u8]) -> Result<B256, Failure> {
    let slot = slot(host, number)?;
    if !host.sload(slot)?.is_zero() {
        return Err(revert(IBeacons::AlreadyPosted { number }));
    }
    let beacon = if host.context().has_certifier {
        certified(host, number, hash, signature)?
    } else {
        developed(host, number, hash, signature)?
    };
    host.sstore(slot, beacon.into())?;
    host.emit(IBeacons::Posted { number, beacon }.encode_log_data())?;
    Ok(beacon)
}

/// The beacon that the validators' signature over this block gives.
fn certified(host: &mut dyn Host, number: u64, hash: B256, signature: &[u8]) -> Result<B256, Failure> {
    let signature = <&[u8; SIGNATURE_BYTES]>::try_from(signature)
        .map_err(|_| revert(IBeacons::SignatureLength { expected: 48 }))?;
    if !host.is_certified(number, hash, signature)? {
        return Err(revert(IBeacons::NotCertified { number }));
    }
    host.charge(keccak_gas(SIGNATURE_BYTES))?;
    Ok(of_signature(signature))
}

/// The beacon of a block that no validators signed, since there are none.
fn developed(host: &mut dyn Host, number: u64, hash: B256, signature: &[u8]) -> Result<B256, Failure> {
    if !signature.is_empty() {
        return Err(revert(IBeacons::SignatureLength { expected: 0 }));
    }
    let expected = host.block_hash(number)?.ok_or_else(|| revert(IBeacons::UnknownBlock { number }))?;
    if hash != expected {
        return Err(revert(IBeacons::WrongHash { expected }));
    }
    host.charge(keccak_gas(DEVELOPMENT_BYTES))?;
    Ok(of_development(hash))
}

fn slot(host: &mut dyn Host, number: u64) -> Result<U256, HostError> {
    mapping(host, BEACONS, U256::from(number).into())
}

/// Slot of the mapping.
const BEACONS: U256 = U256::ZERO;
/// A label and a hash.
const DEVELOPMENT_BYTES: usize = 64;

#[cfg(test)]
mod tests;
