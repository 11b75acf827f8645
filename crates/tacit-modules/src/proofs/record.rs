//! Registered models in storage, and parts of graphs in code.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    proofs::MAX_PARTS,
    storage::{data, element, mapping, offset},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use tacit_abi::{IProofs, proofs::ADDRESS};

/// A model as stored: its weight root, and the parts of its graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) weight_root: B256,
    pub(super) parts: Vec<B256>,
}

impl Record {
    /// Whether a model is registered: it has parts then.
    pub(super) fn exists(host: &mut dyn Host, id: B256) -> Result<bool, HostError> {
        let base = mapping(host, MODELS, id)?;
        Ok(!host.sload(offset(base, PARTS_SLOT))?.is_zero())
    }

    /// Reads a model that must be registered.
    pub(super) fn load(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let base = mapping(host, MODELS, id)?;
        let list = offset(base, PARTS_SLOT);
        let length = host.sload(list)?.saturating_to::<usize>().min(MAX_PARTS);
        if length == 0 {
            return Err(revert(IProofs::UnknownModel { modelId: id }));
        }
        let weight_root = host.sload(base)?.into();
        let first = data(host, list)?;
        let mut parts = Vec::with_capacity(length);
        for index in (0..).take(length) {
            parts.push(host.sload(element(first, index, 1))?.into());
        }
        Ok(Self { weight_root, parts })
    }

    /// Writes a model.
    pub(super) fn create(&self, host: &mut dyn Host, id: B256) -> Result<(), HostError> {
        let base = mapping(host, MODELS, id)?;
        host.sstore(base, self.weight_root.into())?;
        let list = offset(base, PARTS_SLOT);
        host.sstore(list, U256::from(self.parts.len()))?;
        let first = data(host, list)?;
        for (part, index) in self.parts.iter().zip(0..) {
            host.sstore(element(first, index, 1), (*part).into())?;
        }
        Ok(())
    }

    /// All parts, one after the other.
    pub(super) fn graph_bytes(&self, host: &mut dyn Host) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            let address = part_address(host, *part)?;
            let code = host.read_code(address)?;
            let Some((_, stored)) = code.split_first() else {
                return Err(revert(IProofs::UnknownPart { part: *part }));
            };
            bytes.extend_from_slice(stored);
        }
        Ok(bytes)
    }
}

/// Stores a part unless it is stored. Its hash, and whether it is new.
pub(super) fn store_part(host: &mut dyn Host, part: &[u8]) -> Result<(B256, bool), HostError> {
    let code = [&[STOP], part].concat();
    let id = host.keccak(&code)?;
    let address = part_address(host, id)?;
    if !host.read_code(address)?.is_empty() {
        return Ok((id, false));
    }
    host.create_code(address, Bytes::from(code))?;
    Ok((id, true))
}

/// Where the code with this hash lies: as if this module had created it from init code of the same hash.
fn part_address(host: &mut dyn Host, part: B256) -> Result<Address, HostError> {
    let preimage = [&[0xff], ADDRESS.as_slice(), B256::ZERO.as_slice(), part.as_slice()].concat();
    Ok(Address::from_word(host.keccak(&preimage)?))
}

/// Slot of the mapping.
const MODELS: U256 = U256::ZERO;
/// Slot of the list of parts, counted from a model's first.
const PARTS_SLOT: u64 = 1;
/// In front of a part, so that calling its account does nothing.
const STOP: u8 = 0;
