//! Models, names and asks in storage.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    models::{MAX_ASKS, MAX_ENDPOINT, MAX_NAME, MODES},
    storage::{
        Packed, address_key, data, element, mapping, offset, read_string, string_mapping, write_string,
    },
};
use alloy_primitives::{Address, B256, U256, uint};
use tacit_abi::IModels;

/// A model as stored: three slots and its name's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) owner: Address,
    pub(super) block: u64,
    pub(super) weight_root: B256,
    pub(super) name: String,
}

impl Record {
    /// Owner, if the model is published.
    pub(super) fn owner(host: &mut dyn Host, id: B256) -> Result<Option<Address>, HostError> {
        let base = mapping(host, MODELS, id)?;
        let owner = Packed(host.sload(base)?).address(OWNER);
        Ok((!owner.is_zero()).then_some(owner))
    }

    /// Reads a model that must be published.
    pub(super) fn load(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let base = mapping(host, MODELS, id)?;
        let head = Packed(host.sload(base)?);
        let owner = head.address(OWNER);
        if owner.is_zero() {
            return Err(revert(IModels::UnknownModel { modelId: id }));
        }
        let weight_root = host.sload(offset(base, WEIGHT_ROOT_SLOT))?.into();
        let name = read_string(host, offset(base, NAME_SLOT), MAX_NAME)?;
        Ok(Self { owner, block: head.u64(BLOCK), weight_root, name })
    }

    /// Writes a model and lists it under its name and number.
    pub(super) fn create(&self, host: &mut dyn Host, id: B256) -> Result<(), HostError> {
        let base = mapping(host, MODELS, id)?;
        let mut head = Packed::default();
        head.set_address(OWNER, self.owner);
        head.set(BLOCK, 64, U256::from(self.block));
        host.sstore(base, head.0)?;
        host.sstore(offset(base, WEIGHT_ROOT_SLOT), self.weight_root.into())?;
        write_string(host, offset(base, NAME_SLOT), &self.name)?;

        let name = string_mapping(host, NAMES, self.name.as_bytes())?;
        host.sstore(name, id.into())?;

        let index = count(host)?;
        let first = data(host, IDS)?;
        host.sstore(element(first, index, 1), id.into())?;
        // One model costs over 100 000 gas to publish: 2^64 of them are out of reach.
        host.sstore(IDS, U256::from(index.saturating_add(1)))
    }

    /// Replaces the owner.
    pub(super) fn set_owner(host: &mut dyn Host, id: B256, next: Address) -> Result<(), HostError> {
        let base = mapping(host, MODELS, id)?;
        let mut head = Packed(host.sload(base)?);
        head.set_address(OWNER, next);
        host.sstore(base, head.0)
    }

    /// As callers see it.
    pub(super) fn into_abi(self, id: B256) -> IModels::Model {
        IModels::Model {
            modelId: id,
            owner: self.owner,
            weightRoot: self.weight_root,
            block: self.block,
            name: self.name,
        }
    }
}

/// Number of models.
pub(super) fn count(host: &mut dyn Host) -> Result<u64, HostError> {
    Ok(host.sload(IDS)?.saturating_to())
}

/// Id of model number `index`.
pub(super) fn id_at(host: &mut dyn Host, index: u64) -> Result<Option<B256>, HostError> {
    if index >= count(host)? {
        return Ok(None);
    }
    let first = data(host, IDS)?;
    Ok(Some(host.sload(element(first, index, 1))?.into()))
}

/// Id published under `name`, zero when none is.
pub(super) fn id_of_name(host: &mut dyn Host, name: &str) -> Result<B256, HostError> {
    let slot = string_mapping(host, NAMES, name.as_bytes())?;
    Ok(host.sload(slot)?.into())
}

/// What identifies an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AskKey {
    pub(super) model: B256,
    pub(super) worker: Address,
    pub(super) privacy: u8,
    pub(super) evidence: u8,
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

/// An ask as stored: four slots and its endpoint's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskRecord {
    pub(super) worker: Address,
    pub(super) privacy: u8,
    pub(super) evidence: u8,
    pub(super) price: u128,
    pub(super) sealing_key: B256,
    pub(super) endpoint: String,
}

impl AskRecord {
    /// Replaces the ask with this key, or appends it unless the list has reached `limit`. Whether it was written.
    pub(super) fn put(&self, host: &mut dyn Host, key: AskKey, limit: u32) -> Result<bool, HostError> {
        let index_slot = key.index_slot(host)?;
        let list = mapping(host, ASKS, key.model)?;
        let first = data(host, list)?;
        let position = host.sload(index_slot)?;
        if let Some(index) = position.checked_sub(U256::ONE) {
            self.store(host, element(first, index.saturating_to(), ASK_SLOTS))?;
            return Ok(true);
        }
        let length: u64 = host.sload(list)?.saturating_to();
        if length >= u64::from(limit) {
            return Ok(false);
        }
        self.store(host, element(first, length, ASK_SLOTS))?;
        let next = U256::from(length.saturating_add(1));
        host.sstore(index_slot, next)?;
        host.sstore(list, next)?;
        Ok(true)
    }

    fn load(host: &mut dyn Host, base: U256) -> Result<Self, HostError> {
        let head = Packed(host.sload(base)?);
        Ok(Self {
            worker: head.address(WORKER),
            privacy: head.u8(PRIVACY),
            evidence: head.u8(EVIDENCE),
            price: Packed(host.sload(offset(base, PRICE_SLOT))?).u128(0),
            sealing_key: host.sload(offset(base, SEALING_KEY_SLOT))?.into(),
            endpoint: read_string(host, offset(base, ENDPOINT_SLOT), MAX_ENDPOINT)?,
        })
    }

    fn store(&self, host: &mut dyn Host, base: U256) -> Result<(), HostError> {
        let mut head = Packed::default();
        head.set_address(WORKER, self.worker);
        head.set(PRIVACY, 8, U256::from(self.privacy));
        head.set(EVIDENCE, 8, U256::from(self.evidence));
        host.sstore(base, head.0)?;
        host.sstore(offset(base, PRICE_SLOT), U256::from(self.price))?;
        host.sstore(offset(base, SEALING_KEY_SLOT), self.sealing_key.into())?;
        write_string(host, offset(base, ENDPOINT_SLOT), &self.endpoint)
    }

    fn clear(host: &mut dyn Host, base: U256) -> Result<(), HostError> {
        host.sstore(base, U256::ZERO)?;
        host.sstore(offset(base, PRICE_SLOT), U256::ZERO)?;
        host.sstore(offset(base, SEALING_KEY_SLOT), U256::ZERO)?;
        write_string(host, offset(base, ENDPOINT_SLOT), "")
    }

    fn into_abi(self) -> IModels::Ask {
        IModels::Ask {
            worker: self.worker,
            privacy: self.privacy,
            evidence: self.evidence,
            price: self.price,
            sealingKey: self.sealing_key,
            endpoint: self.endpoint,
        }
    }
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
        let AskRecord { worker, privacy, evidence, .. } = moved;
        let moved_slot = AskKey { worker, privacy, evidence, ..key }.index_slot(host)?;
        host.sstore(moved_slot, position)?;
    }
    AskRecord::clear(host, element(first, last, ASK_SLOTS))?;
    host.sstore(index_slot, U256::ZERO)?;
    host.sstore(list, U256::from(last))?;
    Ok(true)
}

/// All asks on a model, in storage order.
pub(super) fn all_asks(host: &mut dyn Host, model: B256) -> Result<Vec<IModels::Ask>, HostError> {
    let list = mapping(host, ASKS, model)?;
    let length = host.sload(list)?.saturating_to::<u64>().min(u64::from(MAX_ASKS.saturating_add(MODES)));
    let first = data(host, list)?;
    let mut asks = Vec::new();
    for index in 0..length {
        asks.push(AskRecord::load(host, element(first, index, ASK_SLOTS))?.into_abi());
    }
    Ok(asks)
}

/// Slots of the module's fields.
const IDS: U256 = U256::ZERO;
const MODELS: U256 = uint!(1_U256);
const NAMES: U256 = uint!(2_U256);
const ASKS: U256 = uint!(3_U256);
const ASK_INDEX: U256 = uint!(4_U256);
/// Slots of a model, counted from its first, and bit positions in its first slot.
const WEIGHT_ROOT_SLOT: u64 = 1;
const NAME_SLOT: u64 = 2;
const OWNER: usize = 0;
const BLOCK: usize = 160;
/// Slots of an ask, counted from its first, and bit positions in its first slot.
const ASK_SLOTS: u64 = 4;
const PRICE_SLOT: u64 = 1;
const SEALING_KEY_SLOT: u64 = 2;
const ENDPOINT_SLOT: u64 = 3;
const WORKER: usize = 0;
const PRIVACY: usize = 160;
const EVIDENCE: usize = 168;
