//! Models and names in storage.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    models::MAX_NAME,
    storage::{Packed, data, element, mapping, offset, read_string, string_mapping, write_string},
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

/// Slots of the module's fields.
const IDS: U256 = U256::ZERO;
const MODELS: U256 = uint!(1_U256);
const NAMES: U256 = uint!(2_U256);
/// Slots of a model, counted from its first, and bit positions in its first slot.
const WEIGHT_ROOT_SLOT: u64 = 1;
const NAME_SLOT: u64 = 2;
const OWNER: usize = 0;
const BLOCK: usize = 160;
