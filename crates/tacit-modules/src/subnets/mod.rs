//! `subnets`: open tasks on which validators score workers, and Yuma consensus says who is paid.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `uint64 count` |
//! | 1 | `mapping(uint64 => Subnet) subnets`: terms, pool, clock; six slots and a text |
//! | 2 | `mapping(uint64 => mapping(uint16 => Worker)) workers`, by subnet and seat; three slots |
//! | 3 | `mapping(uint64 => mapping(uint16 => Validator)) validators`, by subnet and seat; 25 slots: stake, three commitments with weights, bonds |
//! | 4 | `mapping(uint64 => mapping(address => Seats)) seats`: seats plus one, of each account |
//! | 5 | `mapping(uint64 => mapping(address => Leaving)) leaving`: stake on its way home |
//! | 6 | `mapping(address => uint128) credits`: what was earned and not claimed |
//!
//! # Messages
//! `create`, `deposit` (payable), `register` (payable), `resign`, `bond` (payable), `unbond`, `withdraw`, `commit`, `reveal`, `close`, `claim`, and the views `count`, `subnet`, `workers`,
//! `validators`, `leavingOf`, `creditOf`. Nobody owns a subnet: what it fixes stays as it is.
//!
//! # Invariants
//! - The module's balance covers the sum of pools, stakes, what is leaving and credits; it is larger only by coin that was forced on it outside any method.
//! - Coin leaves a pool only for those whom a closed epoch paid, at most the terms' share of it an epoch, and only if enough stake revealed and anything was agreed.
//! - Weights count if they were committed to in their epoch and revealed in the window after it. A commitment is about one validator, subnet, epoch and chain.
//! - A validator's weights count with the least of its stake when it committed and its stake at the close, so no coin counts twice, and none that came once weights were known.
//! - Nothing that was said of a worker counts for whoever took its seat later: a worker is scored from the epoch after the one in which it registered.
//! - Each epoch is closed at most once, and in order; one that nobody closed before the second next one ended pays nothing, and its part stays in the pool.
//! - No message costs more than a subnet of [`WORKERS_MAX`] workers and [`VALIDATORS_MAX`] validators makes it cost.
//!
//! # Gas
//! EVM prices for slots and hashes; for the arithmetic of an epoch [`gas::epoch`], charged before it.

pub mod gas;
mod people;
mod record;
mod rounds;
mod seats;

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, HostError},
};
use alloy_primitives::Bytes;
use alloy_sol_types::{SolCall, SolEvent};
use record::SubnetRecord;
use seats::{Seats, ValidatorRecord, WorkerRecord};
use tacit_abi::{
    ISubnets::{self, ISubnetsCalls},
    subnets::{EPOCH_S_MAX, EPOCH_S_MIN, KAPPA_MIN, TEXT_MAX, VALIDATORS_MAX, WORKERS_MAX},
};

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`ISubnets`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<ISubnetsCalls>(host, input, access)?;
    let nothing = |()| Bytes::new();
    match call {
        ISubnetsCalls::create(call) => {
            let id = create(host, call.terms)?;
            Ok(ISubnets::createCall::abi_encode_returns(&id).into())
        }
        ISubnetsCalls::deposit(call) => people::deposit(host, call.id).map(nothing),
        ISubnetsCalls::register(call) => {
            let seat = people::register(host, call.id)?;
            Ok(ISubnets::registerCall::abi_encode_returns(&seat).into())
        }
        ISubnetsCalls::resign(call) => people::resign(host, call.id).map(nothing),
        ISubnetsCalls::bond(call) => people::bond(host, call.id).map(nothing),
        ISubnetsCalls::unbond(call) => people::unbond(host, call.id, call.amount).map(nothing),
        ISubnetsCalls::withdraw(call) => people::withdraw(host, call.id).map(nothing),
        ISubnetsCalls::commit(call) => {
            rounds::commit(host, call.id, call.epoch, call.commitment).map(nothing)
        }
        ISubnetsCalls::reveal(call) => rounds::reveal(host, call).map(nothing),
        ISubnetsCalls::close(call) => rounds::close(host, call.id, call.epoch).map(nothing),
        ISubnetsCalls::claim(_) => people::claim(host).map(nothing),
        call => view(host, call),
    }
}

fn access(call: &ISubnetsCalls) -> Access {
    match call {
        ISubnetsCalls::deposit(_) | ISubnetsCalls::register(_) | ISubnetsCalls::bond(_) => Access::Payable,
        ISubnetsCalls::create(_)
        | ISubnetsCalls::resign(_)
        | ISubnetsCalls::unbond(_)
        | ISubnetsCalls::withdraw(_)
        | ISubnetsCalls::commit(_)
        | ISubnetsCalls::reveal(_)
        | ISubnetsCalls::close(_)
        | ISubnetsCalls::claim(_) => Access::Write,
        ISubnetsCalls::count(_)
        | ISubnetsCalls::subnet(_)
        | ISubnetsCalls::workers(_)
        | ISubnetsCalls::validators(_)
        | ISubnetsCalls::leavingOf(_)
        | ISubnetsCalls::creditOf(_) => Access::View,
    }
}

fn view(host: &mut dyn Host, call: ISubnetsCalls) -> Result<Bytes, Failure> {
    match call {
        ISubnetsCalls::subnet(call) => {
            let subnet = SubnetRecord::load(host, call.id)?;
            let epoch = subnet.epoch(host.context().now);
            let subnet = ISubnets::Subnet {
                pool: subnet.pool,
                start: subnet.start,
                epoch,
                next: subnet.oldest(epoch),
                paid: subnet.paid,
                terms: subnet.terms_with_text(host)?,
            };
            Ok(ISubnets::subnetCall::abi_encode_returns(&subnet).into())
        }
        ISubnetsCalls::workers(call) => {
            let subnet = SubnetRecord::load(host, call.id)?;
            let workers = WorkerRecord::all(host, &subnet)?;
            let workers: Vec<ISubnets::Worker> =
                workers.into_iter().filter_map(WorkerRecord::into_abi).collect();
            Ok(ISubnets::workersCall::abi_encode_returns(&workers).into())
        }
        ISubnetsCalls::validators(call) => {
            let subnet = SubnetRecord::load(host, call.id)?;
            let validators = ValidatorRecord::all(host, &subnet)?;
            let mut listed = Vec::with_capacity(validators.len());
            for validator in validators {
                listed.extend(validator.into_abi(host)?);
            }
            Ok(ISubnets::validatorsCall::abi_encode_returns(&listed).into())
        }
        ISubnetsCalls::leavingOf(call) => {
            SubnetRecord::load(host, call.id)?;
            let leaving = people::Leaving::load(host, call.id, call.validator)?;
            let leaving = ISubnets::Leaving { amount: leaving.amount, releaseAt: leaving.release_at };
            Ok(ISubnets::leavingOfCall::abi_encode_returns(&leaving).into())
        }
        ISubnetsCalls::creditOf(call) => {
            Ok(ISubnets::creditOfCall::abi_encode_returns(&people::credit_of(host, call.account)?).into())
        }
        // `run` takes all that write, and this is what is left.
        _ => Ok(ISubnets::countCall::abi_encode_returns(&record::count(host)?).into()),
    }
}

fn create(host: &mut dyn Host, terms: ISubnets::Terms) -> Result<u64, Failure> {
    check(&terms).map_err(|field| revert(ISubnets::BadTerms { field: field.to_owned() }))?;
    let context = host.context();
    let task = terms.task;
    let id = SubnetRecord::create(host, terms, context.now)?;
    host.emit(ISubnets::Created { id, creator: context.caller, task }.encode_log_data())?;
    Ok(id)
}

/// The first field that cannot be so.
fn check(terms: &ISubnets::Terms) -> Result<(), &'static str> {
    let text = terms.text.as_bytes();
    let printable = text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let yuma = record::rules(terms).ok_or("rule")?;
    let field = [
        ((1..=TEXT_MAX).contains(&text.len()) && printable, "text"),
        (terms.kappa >= KAPPA_MIN, "kappa"),
        (terms.bondsAverage < MILLION, "bondsAverage"),
        (yuma.check().is_ok(), "alphaLow"),
        ((1..=WORKERS_MAX).contains(&terms.workersMax), "workersMax"),
        ((1..=VALIDATORS_MAX).contains(&terms.validatorsMax), "validatorsMax"),
        ((EPOCH_S_MIN..=EPOCH_S_MAX).contains(&terms.epochSeconds), "epochSeconds"),
        ((EPOCH_S_MIN..=terms.epochSeconds).contains(&terms.revealSeconds), "revealSeconds"),
        ((1..=MILLION).contains(&terms.payout), "payout"),
        (terms.stakeMin > 0, "stakeMin"),
    ];
    field.into_iter().find(|(good, _)| !good).map_or(Ok(()), |(_, field)| Err(field))
}

/// The caller's seats in a subnet.
fn seats(host: &mut dyn Host, id: u64) -> Result<Seats, HostError> {
    let caller = host.context().caller;
    Seats::load(host, id, caller)
}

const MILLION: u32 = 1_000_000;

#[cfg(test)]
mod tests;
