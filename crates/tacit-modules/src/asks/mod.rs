//! `asks`: what workers ask for serving models.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `mapping(bytes32 => AskRecord[]) asks`, by model |
//! | 1 | `mapping(bytes32 => mapping(address => mapping(uint256 => uint256))) askIndex`: position plus one in `asks`, by model, worker and `privacy * 256 + evidence` |
//! | 2 | `mapping(address => uint32) counts`: asks of each worker |
//! | 3 | `mapping(address => Tokens) tokens`: what each worker sells prepaid tokens under |
//! | 4 | `mapping(address => Beats) beats`: when each worker said that it was there. One slot: the second of the last beat, the hour of the first, a bit for each of the last [`LIVENESS_HOURS`](tacit_abi::asks::LIVENESS_HOURS) hours up to the last |
//!
//! # Messages
//! `set`, `remove` (the worker), `prune` (anyone, an ask that has ended or is no longer backed), `setTokens`, `beat` (the worker), and the views
//! `count`, `page`, `ask`, `tokens`, `livenessOf`.
//!
//! # Invariants
//! - At most one ask for each (model, worker, privacy, evidence), and `askIndex` points at it.
//! - `counts` is the number of a worker's asks. When an ask is set, [`ASK_STAKE`] for each of them is bonded; a worker that unbonds
//!   more loses its asks to whoever prunes them, and readers see that they are not backed ([`IAsks::Ask::is_live`]).
//! - An ask ends by itself, [`ASK_LIFE_S`] seconds after it was set at the latest.
//! - In an hour of the ledger's clock at most one beat of a worker changes anything; `set` counts as one. A beat shows that whoever has the worker's key sent a
//!   transaction in that hour, and nothing of what answers at its endpoint. Readers see the last one with each ask, and leave those of silent workers out
//!   ([`IAsks::Ask::is_live`]); a silent worker's asks are not pruned for that, and live again with its next beat.
//! - At most two token keys of a worker are good at once, everybody reads the same two, and each is good for [`TOKENS_KEPT_S`] after it was replaced. Neither of two
//!   keys that are listed is set again, so a key that is good has one price.
//! - There is no limit on a model's list, which costs stake in proportion to its length; no reader reads more than a page of it at once.
//!
//! # Gas
//! EVM prices. `page` reads at most [`PAGE_MAX`] asks of up to nine slots each, and four slots for each of their workers. `beat` reads one slot and writes it.

mod beats;
mod record;
mod tokens;

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, as_module},
    models, stakes,
};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolEvent};
use beats::Beats;
pub(crate) use record::AskKey;
use record::AskRecord;
use tacit_abi::{
    Evidence,
    IAsks::{self, IAsksCalls},
    Privacy,
    asks::{ADDRESS, ASK_LIFE_S, ASK_STAKE, PAGE_MAX, TOKENS_KEPT_S},
};

/// Longest endpoint in bytes.
pub const MAX_ENDPOINT: usize = 128;

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IAsks`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IAsksCalls>(host, input, |call| match call {
        IAsksCalls::set(_)
        | IAsksCalls::remove(_)
        | IAsksCalls::prune(_)
        | IAsksCalls::setTokens(_)
        | IAsksCalls::beat(_) => Access::Write,
        IAsksCalls::count(_)
        | IAsksCalls::page(_)
        | IAsksCalls::ask(_)
        | IAsksCalls::tokens(_)
        | IAsksCalls::livenessOf(_) => Access::View,
    })?;
    match call {
        IAsksCalls::set(call) => set(host, call).map(|()| Bytes::new()),
        IAsksCalls::remove(call) => {
            let worker = host.context().caller;
            let key = AskKey { model: call.modelId, worker, privacy: call.privacy, evidence: call.evidence };
            remove(host, key).map(|()| Bytes::new())
        }
        IAsksCalls::prune(call) => {
            let IAsks::pruneCall { modelId: model, worker, privacy, evidence } = call;
            prune(host, AskKey { model, worker, privacy, evidence }).map(|()| Bytes::new())
        }
        IAsksCalls::setTokens(call) => set_tokens(host, &call).map(|()| Bytes::new()),
        IAsksCalls::beat(_) => beat(host).map(|()| Bytes::new()),
        IAsksCalls::livenessOf(call) => {
            let liveness = Beats::load(host, call.worker)?.told(host.context().now);
            Ok(IAsks::livenessOfCall::abi_encode_returns(&liveness).into())
        }
        IAsksCalls::tokens(call) => {
            let tokens = tokens::load(host, call.worker)?;
            Ok(IAsks::tokensCall::abi_encode_returns(&tokens).into())
        }
        IAsksCalls::count(call) => {
            let count = record::count(host, call.modelId)?;
            Ok(IAsks::countCall::abi_encode_returns(&count).into())
        }
        IAsksCalls::page(call) => {
            let asks = page(host, call.modelId, call.from, call.limit)?;
            Ok(IAsks::pageCall::abi_encode_returns(&asks).into())
        }
        IAsksCalls::ask(call) => {
            let IAsks::askCall { modelId: model, worker, privacy, evidence } = call;
            let ask = record::find(host, AskKey { model, worker, privacy, evidence })?
                .ok_or_else(|| revert(IAsks::NoSuchAsk {}))?;
            let ask = listed(host, ask)?;
            Ok(IAsks::askCall::abi_encode_returns(&ask).into())
        }
    }
}

fn set(host: &mut dyn Host, call: IAsks::setCall) -> Result<(), Failure> {
    let IAsks::setCall { modelId: model, terms } = call;
    let context = host.context();
    let (privacy, evidence) = (terms.privacy, terms.evidence);
    if Privacy::from_u8(privacy).is_none() || Evidence::from_u8(evidence).is_none() {
        return Err(revert(IAsks::BadMode { privacy, evidence }));
    }
    if !is_endpoint(&terms.endpoint) {
        return Err(revert(IAsks::BadEndpoint {}));
    }
    let (earliest, latest) = (context.now, context.now.saturating_add(ASK_LIFE_S));
    if !(earliest..=latest).contains(&terms.validUntil) {
        return Err(revert(IAsks::BadValidity { earliest, latest }));
    }
    if !models::is_published(host, model)? {
        return Err(revert(IAsks::UnknownModel { modelId: model }));
    }
    let worker = context.caller;
    let key = AskKey { model, worker, privacy, evidence };
    let IAsks::Terms { price, promptPrice, completionPrice, .. } = terms;
    AskRecord { worker, terms }.put(host, key)?;
    let (bonded, needed) = backing(host, worker)?;
    if bonded < needed {
        return Err(revert(IAsks::TooLittleStake { bonded, needed }));
    }
    beats::touch(host, worker, context.now)?;
    let set =
        IAsks::AskSet { modelId: model, worker, privacy, evidence, price, promptPrice, completionPrice };
    Ok(host.emit(set.encode_log_data())?)
}

fn remove(host: &mut dyn Host, key: AskKey) -> Result<(), Failure> {
    if !record::remove(host, key)? {
        return Err(revert(IAsks::NoSuchAsk {}));
    }
    let AskKey { model, worker, privacy, evidence } = key;
    Ok(host.emit(IAsks::AskRemoved { modelId: model, worker, privacy, evidence }.encode_log_data())?)
}

fn prune(host: &mut dyn Host, key: AskKey) -> Result<(), Failure> {
    let ask = record::find(host, key)?.ok_or_else(|| revert(IAsks::NoSuchAsk {}))?;
    let (bonded, needed) = backing(host, key.worker)?;
    if ask.terms.validUntil >= host.context().now && bonded >= needed {
        return Err(revert(IAsks::StillBacked {}));
    }
    remove(host, key)
}

fn set_tokens(host: &mut dyn Host, call: &IAsks::setTokensCall) -> Result<(), Failure> {
    let IAsks::setTokensCall { keyHash, price } = *call;
    let context = host.context();
    let (worker, now) = (context.caller, context.now);
    let held = tokens::load(host, worker)?;
    // A key that was good once would give old tokens a new price.
    if keyHash.is_zero() || price == 0 || keyHash == held.keyHash || keyHash == held.previousKeyHash {
        return Err(revert(IAsks::BadTokens {}));
    }
    if now <= held.previousUntil {
        return Err(revert(IAsks::TokensTooSoon { earliest: held.previousUntil.saturating_add(1) }));
    }
    let previous_until = if held.keyHash.is_zero() { 0 } else { now.saturating_add(TOKENS_KEPT_S) };
    let set = IAsks::Tokens {
        keyHash,
        price,
        since: now,
        previousKeyHash: held.keyHash,
        previousPrice: held.price,
        previousUntil: previous_until,
    };
    tokens::store(host, worker, &set)?;
    Ok(host.emit(IAsks::TokensSet { worker, keyHash, price }.encode_log_data())?)
}

fn beat(host: &mut dyn Host) -> Result<(), Failure> {
    let context = host.context();
    let held = Beats::load(host, context.caller)?;
    let beats =
        held.with(context.now).ok_or_else(|| revert(IAsks::BeatTooSoon { earliest: held.earliest() }))?;
    Ok(beats.store(host, context.caller)?)
}

fn page(host: &mut dyn Host, model: B256, from: u64, limit: u32) -> Result<Vec<IAsks::Ask>, Failure> {
    if limit > PAGE_MAX {
        return Err(revert(IAsks::PageTooLong { limit: PAGE_MAX }));
    }
    let records = record::page(host, model, from, limit)?;
    records.into_iter().map(|record| listed(host, record)).collect()
}

/// Whether there is an ask with this key that has not ended, and that stake backs. For other modules.
pub(crate) fn is_live(host: &mut dyn Host, key: AskKey) -> Result<bool, Failure> {
    as_module(host, ADDRESS, |host| {
        let Some(record) = record::find(host, key)? else { return Ok(false) };
        Ok(listed(host, record)?.is_live(host.context().now))
    })
}

/// An ask with what backs it, and when its worker was last there.
fn listed(host: &mut dyn Host, record: AskRecord) -> Result<IAsks::Ask, Failure> {
    let AskRecord { worker, terms } = record;
    let bonded = stakes::bonded(host, worker)?;
    let asks = record::asks_of(host, worker)?;
    let last_beat = Beats::load(host, worker)?.last;
    Ok(IAsks::Ask { worker, bonded, asks, lastBeat: last_beat, terms })
}

/// What is bonded for a worker, and what its asks need.
fn backing(host: &mut dyn Host, worker: Address) -> Result<(u128, u128), Failure> {
    let bonded = stakes::bonded(host, worker)?;
    let asks = record::asks_of(host, worker)?;
    Ok((bonded, ASK_STAKE.saturating_mul(u128::from(asks))))
}

/// Visible ASCII only: what a URL may hold, and what no terminal or log is tricked by.
fn is_endpoint(endpoint: &str) -> bool {
    (1..=MAX_ENDPOINT).contains(&endpoint.len()) && endpoint.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
