//! Asks in storage.

use crate::{
    asks::MAX_ENDPOINT,
    host::{Host, HostError},
    storage::{Packed, address_key, data, element, mapping, offset, read_string, write_string},
};
use alloy_primitives::{Address, B256, U256, uint};
use tacit_abi::IAsks;

/// What identifies an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskKey {
    pub(crate) model: B256,
    pub(crate) worker: Address,
    pub(crate) privacy: u8,
    pub(crate) evidence: u8,
}

impl AskKey {
    /// Slot that holds the position of this ask, plus one.
    fn index_slot(self, host: &mut dyn Host) -> Result<U256, HostError> {
        let by_model = mapping(host, ASK_INDEX, self.model)?;
        let by_worker = mapping(host, by_model, address_key(self.worker))?;
        let mode = u16::from_be_bytes([self.privacy, self.evidence]);
        mapping(host, by_worker, U256::from(mode).into())
    }
}

/// An ask as stored: five slots and its endpoint's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskRecord {
    pub(super) worker: Address,
    pub(super) terms: IAsks::Terms,
}

impl AskRecord {
    /// Replaces the ask with this key, or appends it and counts it.
    pub(super) fn put(&self, host: &mut dyn Host, key: AskKey) -> Result<(), HostError> {
        let index_slot = key.index_slot(host)?;
        let list = mapping(host, ASKS, key.model)?;
        let first = data(host, list)?;
        let position = host.sload(index_slot)?;
        if let Some(index) = position.checked_sub(U256::ONE) {
            return self.store(host, element(first, index.saturating_to(), ASK_SLOTS));
        }
        let length: u64 = host.sload(list)?.saturating_to();
        self.store(host, element(first, length, ASK_SLOTS))?;
        // Each place costs stake and 100 000 gas: neither 2^64 asks nor 2^32 of one worker are ever reached.
        let next = U256::from(length.saturating_add(1));
        host.sstore(index_slot, next)?;
        host.sstore(list, next)?;
        let asks = asks_of(host, key.worker)?.saturating_add(1);
        set_asks_of(host, key.worker, asks)
    }

    fn load(host: &mut dyn Host, base: U256) -> Result<Self, HostError> {
        let head = Packed(host.sload(base)?);
        let prices = Packed(host.sload(offset(base, PRICES_SLOT))?);
        let rest = Packed(host.sload(offset(base, COMPLETION_SLOT))?);
        let terms = IAsks::Terms {
            privacy: head.u8(PRIVACY),
            evidence: head.u8(EVIDENCE),
            price: prices.u128(PRICE),
            promptPrice: prices.u128(PROMPT_PRICE),
            completionPrice: rest.u128(COMPLETION_PRICE),
            capacity: rest.u32(CAPACITY),
            validUntil: head.u64(VALID_UNTIL),
            sealingKey: host.sload(offset(base, SEALING_KEY_SLOT))?.into(),
            endpoint: read_string(host, offset(base, ENDPOINT_SLOT), MAX_ENDPOINT)?,
        };
        Ok(Self { worker: head.address(WORKER), terms })
    }

    fn store(&self, host: &mut dyn Host, base: U256) -> Result<(), HostError> {
        let terms = &self.terms;
        let mut head = Packed::default();
        head.set_address(WORKER, self.worker);
        head.set(PRIVACY, 8, U256::from(terms.privacy));
        head.set(EVIDENCE, 8, U256::from(terms.evidence));
        head.set(VALID_UNTIL, 64, U256::from(terms.validUntil));
        let mut prices = Packed::default();
        prices.set(PRICE, 128, U256::from(terms.price));
        prices.set(PROMPT_PRICE, 128, U256::from(terms.promptPrice));
        let mut rest = Packed::default();
        rest.set(COMPLETION_PRICE, 128, U256::from(terms.completionPrice));
        rest.set(CAPACITY, 32, U256::from(terms.capacity));
        host.sstore(base, head.0)?;
        host.sstore(offset(base, PRICES_SLOT), prices.0)?;
        host.sstore(offset(base, COMPLETION_SLOT), rest.0)?;
        host.sstore(offset(base, SEALING_KEY_SLOT), terms.sealingKey.into())?;
        write_string(host, offset(base, ENDPOINT_SLOT), &terms.endpoint)
    }

    fn clear(host: &mut dyn Host, base: U256) -> Result<(), HostError> {
        for slot in 0..ENDPOINT_SLOT {
            host.sstore(offset(base, slot), U256::ZERO)?;
        }
        write_string(host, offset(base, ENDPOINT_SLOT), "")
    }
}

/// The ask with this key.
pub(super) fn find(host: &mut dyn Host, key: AskKey) -> Result<Option<AskRecord>, HostError> {
    let index_slot = key.index_slot(host)?;
    let Some(index) = host.sload(index_slot)?.checked_sub(U256::ONE) else { return Ok(None) };
    let list = mapping(host, ASKS, key.model)?;
    let first = data(host, list)?;
    AskRecord::load(host, element(first, index.saturating_to(), ASK_SLOTS)).map(Some)
}

/// Removes an ask by moving the last one into its place. Whether there was one.
pub(super) fn remove(host: &mut dyn Host, key: AskKey) -> Result<bool, HostError> {
    let index_slot = key.index_slot(host)?;
    let position = host.sload(index_slot)?;
    let Some(index) = position.checked_sub(U256::ONE) else { return Ok(false) };
    let list = mapping(host, ASKS, key.model)?;
    let first = data(host, list)?;
    let length: u64 = host.sload(list)?.saturating_to();
    let last = length.saturating_sub(1);
    let index: u64 = index.saturating_to();
    if index != last {
        let moved = AskRecord::load(host, element(first, last, ASK_SLOTS))?;
        moved.store(host, element(first, index, ASK_SLOTS))?;
        let IAsks::Terms { privacy, evidence, .. } = moved.terms;
        let moved_slot = AskKey { worker: moved.worker, privacy, evidence, ..key }.index_slot(host)?;
        host.sstore(moved_slot, position)?;
    }
    AskRecord::clear(host, element(first, last, ASK_SLOTS))?;
    host.sstore(index_slot, U256::ZERO)?;
    host.sstore(list, U256::from(last))?;
    let asks = asks_of(host, key.worker)?.saturating_sub(1);
    set_asks_of(host, key.worker, asks)?;
    Ok(true)
}

/// Number of asks on a model.
pub(super) fn count(host: &mut dyn Host, model: B256) -> Result<u64, HostError> {
    let list = mapping(host, ASKS, model)?;
    Ok(host.sload(list)?.saturating_to())
}

/// Asks on a model in storage order, `limit` at most, which the caller bounds.
pub(super) fn page(
    host: &mut dyn Host,
    model: B256,
    from: u64,
    limit: u32,
) -> Result<Vec<AskRecord>, HostError> {
    let list = mapping(host, ASKS, model)?;
    let length: u64 = host.sload(list)?.saturating_to();
    let first = data(host, list)?;
    let to = from.saturating_add(u64::from(limit)).min(length);
    let mut asks = Vec::new();
    for index in from..to {
        asks.push(AskRecord::load(host, element(first, index, ASK_SLOTS))?);
    }
    Ok(asks)
}

/// Number of a worker's asks.
pub(super) fn asks_of(host: &mut dyn Host, worker: Address) -> Result<u32, HostError> {
    let slot = mapping(host, COUNTS, address_key(worker))?;
    Ok(Packed(host.sload(slot)?).u32(0))
}

fn set_asks_of(host: &mut dyn Host, worker: Address, asks: u32) -> Result<(), HostError> {
    let slot = mapping(host, COUNTS, address_key(worker))?;
    host.sstore(slot, U256::from(asks))
}

/// Slots of the module's fields.
const ASKS: U256 = U256::ZERO;
const ASK_INDEX: U256 = uint!(1_U256);
const COUNTS: U256 = uint!(2_U256);
/// Slots of an ask, counted from its first, and bit positions in them.
const ASK_SLOTS: u64 = 5;
const PRICES_SLOT: u64 = 1;
const COMPLETION_SLOT: u64 = 2;
const SEALING_KEY_SLOT: u64 = 3;
const ENDPOINT_SLOT: u64 = 4;
const WORKER: usize = 0;
const PRIVACY: usize = 160;
const EVIDENCE: usize = 168;
const VALID_UNTIL: usize = 176;
const PRICE: usize = 0;
const PROMPT_PRICE: usize = 128;
const COMPLETION_PRICE: usize = 0;
const CAPACITY: usize = 128;
