//! `models`: who published which model.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `bytes32[] ids`, in order of publication |
//! | 1 | `mapping(bytes32 => Record) models` |
//! | 2 | `mapping(string => bytes32) names` |
//!
//! # Messages
//! `publish`, `transferOwnership`, and the views `count`, `modelAt`, `model`, `byName`.
//!
//! # Invariants
//! - An id and a name are published once; neither is ever reused, renamed or removed.
//! - `byName` and `model(id).name` agree; `ids` holds exactly the published ids.
//! - The id is the claim of whoever published it first; readers check it against the graph and weights they are served.
//!
//! # Gas
//! EVM prices.

mod record;

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, HostError, as_module},
};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolEvent};
use record::Record;
use tacit_abi::IModels::{self, IModelsCalls};

/// Longest name in bytes.
pub const MAX_NAME: usize = 32;

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IModels`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IModelsCalls>(host, input, |call| match call {
        IModelsCalls::publish(_) | IModelsCalls::transferOwnership(_) => Access::Write,
        IModelsCalls::count(_)
        | IModelsCalls::modelAt(_)
        | IModelsCalls::model(_)
        | IModelsCalls::byName(_) => Access::View,
    })?;
    match call {
        IModelsCalls::publish(call) => publish(host, call).map(|()| Bytes::new()),
        IModelsCalls::transferOwnership(call) => {
            transfer_ownership(host, call.modelId, call.next).map(|()| Bytes::new())
        }
        IModelsCalls::count(_) => Ok(IModels::countCall::abi_encode_returns(&record::count(host)?).into()),
        IModelsCalls::modelAt(call) => {
            let id = record::id_at(host, call.index)?
                .ok_or_else(|| revert(IModels::NoSuchIndex { index: call.index }))?;
            Ok(IModels::modelAtCall::abi_encode_returns(&Record::load(host, id)?.into_abi(id)).into())
        }
        IModelsCalls::model(call) => {
            let record = Record::load(host, call.modelId)?;
            Ok(IModels::modelCall::abi_encode_returns(&record.into_abi(call.modelId)).into())
        }
        IModelsCalls::byName(call) => {
            let id = record::id_of_name(host, &call.name)?;
            if id.is_zero() {
                return Err(revert(IModels::UnknownModel { modelId: B256::ZERO }));
            }
            Ok(IModels::byNameCall::abi_encode_returns(&id).into())
        }
    }
}

fn publish(host: &mut dyn Host, call: IModels::publishCall) -> Result<(), Failure> {
    let IModels::publishCall { modelId: id, weightRoot: weight_root, name } = call;
    let context = host.context();
    if id.is_zero() {
        return Err(revert(IModels::ZeroModel {}));
    }
    if !is_name(&name) {
        return Err(revert(IModels::BadName { name }));
    }
    if Record::owner(host, id)?.is_some() {
        return Err(revert(IModels::AlreadyPublished { modelId: id }));
    }
    if !record::id_of_name(host, &name)?.is_zero() {
        return Err(revert(IModels::NameTaken { name }));
    }
    let record = Record { owner: context.caller, block: context.block, weight_root, name };
    record.create(host, id)?;
    let Record { owner, name, .. } = record;
    let published = IModels::Published { modelId: id, owner, weightRoot: weight_root, name };
    Ok(host.emit(published.encode_log_data())?)
}

fn transfer_ownership(host: &mut dyn Host, id: B256, next: Address) -> Result<(), Failure> {
    let caller = host.context().caller;
    let unknown = || revert(IModels::UnknownModel { modelId: id });
    let previous = Record::owner(host, id)?.ok_or_else(unknown)?;
    if caller != previous {
        return Err(revert(IModels::NotOwner { caller }));
    }
    if next.is_zero() {
        return Err(revert(IModels::ZeroOwner {}));
    }
    Record::set_owner(host, id, next)?;
    Ok(host.emit(IModels::OwnerChanged { modelId: id, previous, next }.encode_log_data())?)
}

/// Whether a model with this id is published. For other modules.
pub(crate) fn is_published(host: &mut dyn Host, id: B256) -> Result<bool, HostError> {
    as_module(host, tacit_abi::models::ADDRESS, |host| Ok(Record::owner(host, id)?.is_some()))
}

/// Who owns a model, if it is published. For other modules.
pub(crate) fn owner(host: &mut dyn Host, id: B256) -> Result<Option<Address>, HostError> {
    as_module(host, tacit_abi::models::ADDRESS, |host| Record::owner(host, id))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests;
