//! The list of candidates, and the set of an epoch.
//!
//! A key is listed from its joining until it counts in no epoch that can still be asked for. The list is at most twice as long as
//! there may be candidates, so that walking it has a bound.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    slots::Slots,
    storage::{Packed, address_key, data, element, mapping},
    validators::{
        DELAY_EPOCHS,
        parameters::{CANDIDATES_MAX, Parameters, Rules},
        record::{Record, Status},
    },
};
use alloy_primitives::{Address, B256, U256, uint};
use tacit_abi::IValidators::{self, Seat};

/// Why the set of an epoch cannot be told from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError<E> {
    /// The state cannot be read.
    #[error("state unavailable")]
    State(#[source] E),
    /// The ledger has no rules of stake.
    #[error("ledger without rules of stake")]
    NotConfigured,
    /// At this block the set of that epoch is not fixed yet, or no longer kept.
    #[error("epoch {epoch} is not one of {first} to {last}")]
    OutOfReach {
        /// Asked for.
        epoch: u64,
        /// First that is kept.
        first: u64,
        /// Last that is fixed.
        last: u64,
    },
}

/// The set of `epoch`, most stake first, equal stakes by key, from the storage of the module in the state after block `block`.
///
/// The result is the same for every block from the last one of epoch `epoch - `[`DELAY_EPOCHS`] to the last one of `epoch`; at others
/// there is none. An empty set means that nobody has stake; what consensus does then is its own rule.
///
/// # Errors
/// The state cannot be read, or is not of those blocks.
pub fn validator_set<E>(
    block: u64,
    epoch: u64,
    mut read: impl FnMut(U256) -> Result<U256, E>,
) -> Result<Vec<Seat>, SetError<E>> {
    let mut failed = None;
    let mut host = Slots::new(|slot| {
        read(slot).map_err(|error| {
            failed = Some(error);
            HostError::State
        })
    });
    let found = fixed_set(&mut host, block, epoch);
    drop(host);
    match (found, failed) {
        (_, Some(error)) => Err(SetError::State(error)),
        (Ok(Ok(set)), None) => Ok(set),
        (Ok(Err((first, last))), None) => Err(SetError::OutOfReach { epoch, first, last }),
        // Reading is all that this host can fail at.
        (Err(_), None) => Err(SetError::NotConfigured),
    }
}

/// The set, or the epochs that have one at this block.
type Fixed = Result<Vec<Seat>, (u64, u64)>;

fn fixed_set(host: &mut dyn Host, block: u64, epoch: u64) -> Result<Fixed, Failure> {
    let rules = Rules::load(host)?;
    let first = rules.epoch_of(block);
    let last = rules.epoch_of(block.saturating_add(1)).saturating_add(DELAY_EPOCHS.saturating_sub(1));
    if !(first..=last).contains(&epoch) {
        return Ok(Err((first, last)));
    }
    Ok(Ok(set(host, &rules.parameters, epoch)?))
}

/// Validators of `epoch`, as far as decided.
pub(super) fn set(host: &mut dyn Host, parameters: &Parameters, epoch: u64) -> Result<Vec<Seat>, HostError> {
    let mut seats: Vec<Seat> = all(host)?
        .into_iter()
        .map(|record| Seat { key: record.key, owner: record.owner, stake: record.weight(epoch) })
        .filter(|seat| seat.stake > 0)
        .collect();
    seats.sort_by(|a, b| b.stake.cmp(&a.stake).then(a.key.cmp(&b.key)));
    seats.truncate(usize::from(parameters.seats));
    Ok(seats)
}

/// Lists a validator that joins with its stake, which must be active. Where all candidates' places are taken, the last of them has to
/// leave, if it has less stake; it is returned, and the caller MUST make it leave.
pub(super) fn enter(
    host: &mut dyn Host,
    parameters: &Parameters,
    epoch: u64,
    record: &mut Record,
) -> Result<Option<Record>, Failure> {
    let limit = parameters.candidates;
    let is_crowded = active(host)? >= limit;
    let is_long = length(host)? >= limit.saturating_mul(2);
    if !is_crowded && !is_long {
        append(host, record)?;
        return Ok(None);
    }
    let listed = all(host)?;
    let last = if is_crowded {
        let active = listed.iter().filter(|other| other.status == Status::Active);
        let last = active.min_by(|a, b| a.stake.cmp(&b.stake).then(b.key.cmp(&a.key)));
        let last = last.filter(|last| last.stake < record.stake);
        Some(*last.ok_or_else(|| revert(IValidators::TooManyCandidates { limit }))?)
    } else {
        None
    };
    match listed.iter().find(|other| other.is_out(epoch)) {
        Some(free) => {
            record.place = free.place;
            write_key(host, record.place, record.key)?;
            let mut free = *free;
            free.place = 0;
            free.store_head(host)?;
        }
        None if is_long => return Err(revert(IValidators::TooManyLeaving {})),
        None => append(host, record)?,
    }
    Ok(last)
}

/// Lists a key at the end.
pub(super) fn append(host: &mut dyn Host, record: &mut Record) -> Result<(), HostError> {
    record.place = length(host)?.saturating_add(1);
    host.sstore(KEYS, U256::from(record.place))?;
    write_key(host, record.place, record.key)
}

/// Takes a key off the list, if it is listed, by moving the last one to its place. The caller stores the record.
pub(super) fn remove(host: &mut dyn Host, record: &mut Record) -> Result<(), HostError> {
    if record.place == 0 {
        return Ok(());
    }
    let last = length(host)?;
    if record.place != last {
        let key = key_at(host, last)?;
        write_key(host, record.place, key)?;
        let mut moved = Record::load(host, key)?;
        moved.place = record.place;
        moved.store_head(host)?;
    }
    write_key(host, last, B256::ZERO)?;
    host.sstore(KEYS, U256::from(last.saturating_sub(1)))?;
    record.place = 0;
    Ok(())
}

/// Every record listed.
pub(super) fn all(host: &mut dyn Host) -> Result<Vec<Record>, HostError> {
    let length = length(host)?.min(CANDIDATES_MAX.saturating_mul(2));
    let mut records = Vec::with_capacity(usize::from(length));
    for place in 1..=length {
        let key = key_at(host, place)?;
        records.push(Record::load(host, key)?);
    }
    Ok(records)
}

fn length(host: &mut dyn Host) -> Result<u16, HostError> {
    Ok(host.sload(KEYS)?.saturating_to())
}

fn key_at(host: &mut dyn Host, place: u16) -> Result<B256, HostError> {
    let slot = key_slot(host, place)?;
    Ok(host.sload(slot)?.into())
}

fn write_key(host: &mut dyn Host, place: u16, key: B256) -> Result<(), HostError> {
    let slot = key_slot(host, place)?;
    host.sstore(slot, key.into())
}

fn key_slot(host: &mut dyn Host, place: u16) -> Result<U256, HostError> {
    let first = data(host, KEYS)?;
    Ok(element(first, u64::from(place).saturating_sub(1), 1))
}

/// How many validators are active.
pub(super) fn active(host: &mut dyn Host) -> Result<u16, HostError> {
    Ok(Packed(host.sload(ACTIVE)?).u16(0))
}

/// Notes how many validators are active.
pub(super) fn set_active(host: &mut dyn Host, count: u16) -> Result<(), HostError> {
    host.sstore(ACTIVE, U256::from(count))
}

/// Key of the owner's validator, zero when it has none.
pub(super) fn key_of(host: &mut dyn Host, owner: Address) -> Result<B256, HostError> {
    let slot = mapping(host, KEY_OF, address_key(owner))?;
    Ok(host.sload(slot)?.into())
}

/// Notes whose validator a key is.
pub(super) fn set_key_of(host: &mut dyn Host, owner: Address, key: B256) -> Result<(), HostError> {
    let slot = mapping(host, KEY_OF, address_key(owner))?;
    host.sstore(slot, key.into())
}

/// Slots of the module's fields.
const ACTIVE: U256 = uint!(3_U256);
const KEYS: U256 = uint!(4_U256);
const KEY_OF: U256 = uint!(6_U256);
