//! What workers sell prepaid tokens under, in storage: four slots for each worker.

use crate::{
    host::{Host, HostError},
    storage::{Packed, address_key, mapping, offset},
};
use alloy_primitives::{Address, U256, uint};
use tacit_abi::IAsks;

pub(super) fn load(host: &mut dyn Host, worker: Address) -> Result<IAsks::Tokens, HostError> {
    let base = mapping(host, TOKENS, address_key(worker))?;
    let terms = Packed(host.sload(offset(base, TERMS_SLOT))?);
    let previous = Packed(host.sload(offset(base, PREVIOUS_TERMS_SLOT))?);
    Ok(IAsks::Tokens {
        keyHash: host.sload(base)?.into(),
        price: terms.u128(PRICE),
        since: terms.u64(TIME),
        previousKeyHash: host.sload(offset(base, PREVIOUS_SLOT))?.into(),
        previousPrice: previous.u128(PRICE),
        previousUntil: previous.u64(TIME),
    })
}

pub(super) fn store(host: &mut dyn Host, worker: Address, tokens: &IAsks::Tokens) -> Result<(), HostError> {
    let base = mapping(host, TOKENS, address_key(worker))?;
    let packed = |price: u128, time: u64| {
        let mut word = Packed::default();
        word.set(PRICE, 128, U256::from(price));
        word.set(TIME, 64, U256::from(time));
        word.0
    };
    host.sstore(base, tokens.keyHash.into())?;
    host.sstore(offset(base, TERMS_SLOT), packed(tokens.price, tokens.since))?;
    host.sstore(offset(base, PREVIOUS_SLOT), tokens.previousKeyHash.into())?;
    host.sstore(offset(base, PREVIOUS_TERMS_SLOT), packed(tokens.previousPrice, tokens.previousUntil))
}

/// Slot of the module's field.
const TOKENS: U256 = uint!(3_U256);
/// Slots of a worker's tokens, counted from its first, and bit positions in them.
const TERMS_SLOT: u64 = 1;
const PREVIOUS_SLOT: u64 = 2;
const PREVIOUS_TERMS_SLOT: u64 = 3;
const PRICE: usize = 0;
const TIME: usize = 128;
