//! Admission: how much of a worker's stake is spoken for.
//!
//! A worker that learns that it will be convicted gains what it is paid from then until its stake is gone. So all that clients pay it for audited answers that are
//! unsettled has to stay a part of the stake ([`tacit_market::policy`]: `y`), which no client sees by itself. Here it is counted: a client pays for an audited answer no more than the
//! channel's cover in that period, and covers of two periods in a row, which is longer than an answer given in either is unsettled, add up to no more than that part.
//!
//! Only the worker covers, since a stranger could take a worker's room for the price of a transaction. A worker gains nothing by covering channels of its own.

use crate::{
    channels,
    dispatch::{Failure, revert},
    host::{Host, HostError},
    stakes,
    storage::{Packed, address_key, mapping},
};
use alloy_primitives::{Address, B256, U256, uint};
use alloy_sol_types::SolEvent;
use tacit_abi::{
    IAudits,
    audits::{PERIOD_S, exposure_max},
};

/// Speaks for `amount` more of the caller's stake on a channel to it.
pub(super) fn cover(host: &mut dyn Host, channel: B256, amount: u128) -> Result<(), Failure> {
    let caller = host.context().caller;
    if amount == 0 {
        return Err(revert(IAudits::NothingToCover {}));
    }
    let worker = channels::payee(host, channel)?
        .ok_or_else(|| revert(IAudits::NoSuchChannel { channelId: channel }))?;
    if caller != worker {
        return Err(revert(IAudits::NotChannelWorker { worker }));
    }
    let IAudits::Exposure { period, taken, limit, .. } = exposure(host, worker)?;
    // A stake that shrank since may speak for less than was covered before.
    let room = limit.saturating_sub(taken);
    if amount > room {
        return Err(revert(IAudits::TooLittleRoom { room }));
    }
    // At most the room, so below what is bonded.
    let too_much = || revert(IAudits::TooLittleRoom { room });
    let slot = slot(host, TAKEN, address_key(worker), period)?;
    let taken = read(host, slot)?.checked_add(amount).ok_or_else(too_much)?;
    host.sstore(slot, U256::from(taken))?;
    let slot = self::slot(host, COVERS, channel, period)?;
    let covered = read(host, slot)?.checked_add(amount).ok_or_else(too_much)?;
    host.sstore(slot, U256::from(covered))?;
    let event = IAudits::Covered { channelId: channel, worker, period, amount, covered };
    Ok(host.emit(event.encode_log_data())?)
}

/// What is covered on a channel in a period.
pub(super) fn of_channel(host: &mut dyn Host, channel: B256, period: u64) -> Result<u128, HostError> {
    let slot = slot(host, COVERS, channel, period)?;
    read(host, slot)
}

/// What a worker's stake speaks for now.
pub(super) fn exposure(host: &mut dyn Host, worker: Address) -> Result<IAudits::Exposure, HostError> {
    let period = host.context().now.checked_div(PERIOD_S).unwrap_or_default();
    let limit = exposure_max(stakes::bonded(host, worker)?);
    let mut taken = 0_u128;
    for period in [Some(period), period.checked_sub(1)].into_iter().flatten() {
        let slot = slot(host, TAKEN, address_key(worker), period)?;
        // Each was below all coins that there are.
        taken = taken.saturating_add(read(host, slot)?);
    }
    let ends_at = period.saturating_add(1).saturating_mul(PERIOD_S);
    Ok(IAudits::Exposure { period, endsAt: ends_at, taken, limit })
}

fn slot(host: &mut dyn Host, base: U256, key: B256, period: u64) -> Result<U256, HostError> {
    let outer = mapping(host, base, key)?;
    mapping(host, outer, U256::from(period).into())
}

fn read(host: &mut dyn Host, slot: U256) -> Result<u128, HostError> {
    Ok(Packed(host.sload(slot)?).u128(0))
}

/// Slots of the mappings.
const TAKEN: U256 = uint!(3_U256);
const COVERS: U256 = uint!(4_U256);

#[cfg(test)]
mod tests;
