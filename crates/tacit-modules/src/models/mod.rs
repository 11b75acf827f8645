//! `models`: who published which model, and what workers ask for serving it.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `bytes32[] ids`, in order of publication |
//! | 1 | `mapping(bytes32 => Record) models` |
//! | 2 | `mapping(string => bytes32) names` |
//! | 3 | `mapping(bytes32 => AskRecord[]) asks` |
//! | 4 | `mapping(bytes32 => mapping(address => mapping(uint256 => uint256))) askIndex`: position plus one in `asks`, by model, worker and `privacy * 256 + evidence` |
//!
//! # Messages
//! `publish`, `transferOwnership`, `setAsk`, `removeAsk`, and the views `count`, `modelAt`, `model`, `byName`, `asks`.
//!
//! # Invariants
//! - An id and a name are published once; neither is ever reused, renamed or removed.
//! - `byName` and `model(id).name` agree; `ids` holds exactly the published ids.
//! - At most one ask for each (model, worker, privacy, evidence), and `askIndex` points at it.
//! - Each list of asks is bounded: [`MAX_ASKS`] for everyone, and [`MODES`] more places that only the model's owner can
//!   take, so that strangers cannot crowd the owner out.
//! - The id is the claim of whoever published it first; readers check it against the graph and weights they are served.
//!
//! # Gas
//! EVM prices. `asks` reads at most `MAX_ASKS + MODES` asks of up to eight slots each.

mod record;

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::Host,
};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolEvent};
use record::{AskKey, AskRecord, Record};
use tacit_abi::{
    Evidence,
    IModels::{self, IModelsCalls},
    Privacy,
};

/// Places for asks on one model that anyone may take.
pub const MAX_ASKS: u32 = 64;
/// Combinations of privacy and evidence; also the places kept for the model's owner.
pub const MODES: u32 = 5 * 4;
/// Longest name in bytes.
pub const MAX_NAME: usize = 32;
/// Longest endpoint in bytes.
pub const MAX_ENDPOINT: usize = 128;

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IModels`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IModelsCalls>(host, input, |call| match call {
        IModelsCalls::publish(_)
        | IModelsCalls::transferOwnership(_)
        | IModelsCalls::setAsk(_)
        | IModelsCalls::removeAsk(_) => Access::Write,
        IModelsCalls::count(_)
        | IModelsCalls::modelAt(_)
        | IModelsCalls::model(_)
        | IModelsCalls::byName(_)
        | IModelsCalls::asks(_) => Access::View,
    })?;
    match call {
        IModelsCalls::publish(call) => publish(host, call).map(|()| Bytes::new()),
        IModelsCalls::transferOwnership(call) => {
            transfer_ownership(host, call.modelId, call.next).map(|()| Bytes::new())
        }
        IModelsCalls::setAsk(call) => set_ask(host, call).map(|()| Bytes::new()),
        IModelsCalls::removeAsk(call) => {
            let key = ask_key(host, call.modelId, call.privacy, call.evidence);
            remove_ask(host, key).map(|()| Bytes::new())
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
        IModelsCalls::asks(call) => {
            require_published(host, call.modelId)?;
            let asks = record::all_asks(host, call.modelId)?;
            Ok(IModels::asksCall::abi_encode_returns(&asks).into())
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
    let previous = require_published(host, id)?;
    if caller != previous {
        return Err(revert(IModels::NotOwner { caller }));
    }
    if next.is_zero() {
        return Err(revert(IModels::ZeroOwner {}));
    }
    Record::set_owner(host, id, next)?;
    Ok(host.emit(IModels::OwnerChanged { modelId: id, previous, next }.encode_log_data())?)
}

fn set_ask(host: &mut dyn Host, call: IModels::setAskCall) -> Result<(), Failure> {
    let IModels::setAskCall { modelId: id, privacy, evidence, price, sealingKey: sealing_key, endpoint } =
        call;
    if Privacy::from_u8(privacy).is_none() || Evidence::from_u8(evidence).is_none() {
        return Err(revert(IModels::BadMode { privacy, evidence }));
    }
    if !is_endpoint(&endpoint) {
        return Err(revert(IModels::BadEndpoint {}));
    }
    let owner = require_published(host, id)?;
    let key = ask_key(host, id, privacy, evidence);
    let worker = key.worker;
    let ask = AskRecord { worker, privacy, evidence, price, sealing_key, endpoint };
    let limit = if worker == owner { MAX_ASKS.saturating_add(MODES) } else { MAX_ASKS };
    if !ask.put(host, key, limit)? {
        return Err(revert(IModels::TooManyAsks { limit }));
    }
    Ok(host.emit(IModels::AskSet { modelId: id, worker, privacy, evidence, price }.encode_log_data())?)
}

fn remove_ask(host: &mut dyn Host, key: AskKey) -> Result<(), Failure> {
    if !record::remove(host, key)? {
        return Err(revert(IModels::NoSuchAsk {}));
    }
    let AskKey { model, worker, privacy, evidence } = key;
    Ok(host.emit(IModels::AskRemoved { modelId: model, worker, privacy, evidence }.encode_log_data())?)
}

/// Owner of a model that must be published.
fn require_published(host: &mut dyn Host, id: B256) -> Result<Address, Failure> {
    Record::owner(host, id)?.ok_or_else(|| revert(IModels::UnknownModel { modelId: id }))
}

fn ask_key(host: &dyn Host, model: B256, privacy: u8, evidence: u8) -> AskKey {
    AskKey { model, worker: host.context().caller, privacy, evidence }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
}

/// Visible ASCII only: what a URL may hold, and what no terminal or log is tricked by.
fn is_endpoint(endpoint: &str) -> bool {
    (1..=MAX_ENDPOINT).contains(&endpoint.len()) && endpoint.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
