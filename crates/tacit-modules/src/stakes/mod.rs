//! `stakes`: what workers lose when they are caught.
//!
//! # State
//! `mapping(address => Record)` at slot 0: `bonded` and `unbonding` in one slot, `releaseAt` in the next.
//!
//! # Messages
//! `bond` (payable), `unbond`, `withdraw`, and the view `stakeOf`. Other modules read what is bonded; `audits` takes what a convicted worker has.
//!
//! # Invariants
//! - The module's balance covers the sum of `bonded + unbonding`; it is larger only by coin that was forced on it outside any method.
//! - What is unbonded comes home no sooner than [`UNBONDING_S`] seconds after the last call of `unbond`, all of it together.
//! - Nobody touches another's stake, but a module that convicts a worker takes all of it: one part in [`REWARD_PARTS`](tacit_abi::stakes::REWARD_PARTS) goes to whoever showed why, the rest is burned.
//!
//! # Gas
//! EVM prices; at most two slots are read and written.

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, HostError, as_module},
    storage::{Packed, address_key, mapping, offset},
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use tacit_abi::{
    IStakes::{self, IStakesCalls},
    stakes::{ADDRESS, UNBONDING_S, burned},
    validators::BURNED,
};

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IStakes`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IStakesCalls>(host, input, |call| match call {
        IStakesCalls::bond(_) => Access::Payable,
        IStakesCalls::unbond(_) | IStakesCalls::withdraw(_) => Access::Write,
        IStakesCalls::stakeOf(_) => Access::View,
    })?;
    match call {
        IStakesCalls::bond(_) => bond(host).map(|()| Bytes::new()),
        IStakesCalls::unbond(call) => unbond(host, call.amount).map(|()| Bytes::new()),
        IStakesCalls::withdraw(_) => withdraw(host).map(|()| Bytes::new()),
        IStakesCalls::stakeOf(call) => {
            let Record { bonded, unbonding, release_at, .. } = Record::load(host, call.worker)?;
            let stake = IStakes::Stake { bonded, unbonding, releaseAt: release_at };
            Ok(IStakes::stakeOfCall::abi_encode_returns(&stake).into())
        }
    }
}

/// What is bonded for a worker. For other modules.
pub(crate) fn bonded(host: &mut dyn Host, worker: Address) -> Result<u128, HostError> {
    as_module(host, ADDRESS, |host| {
        let slot = slot(host, worker)?;
        Ok(Packed(host.sload(slot)?).u128(BONDED))
    })
}

/// What a worker would lose: bonded, or on its way home. For other modules.
pub(crate) fn held(host: &mut dyn Host, worker: Address) -> Result<u128, HostError> {
    as_module(host, ADDRESS, |host| Record::load(host, worker)?.total())
}

/// Takes all of it, rewards the reporter and burns the rest. What was taken. For other modules.
pub(crate) fn slash(host: &mut dyn Host, worker: Address, reporter: Address) -> Result<u128, HostError> {
    as_module(host, ADDRESS, |host| {
        let mut record = Record::load(host, worker)?;
        let taken = record.total()?;
        if taken == 0 {
            return Ok(0);
        }
        (record.bonded, record.unbonding, record.release_at) = (0, 0, 0);
        record.store(host)?;
        let burned = burned(taken);
        let reward = taken.checked_sub(burned).ok_or(HostError::Payment)?;
        for (payee, amount) in [(reporter, reward), (BURNED, burned)] {
            if amount > 0 {
                host.pay(payee, U256::from(amount))?;
            }
        }
        host.emit(IStakes::Slashed { worker, reporter, burned, reward }.encode_log_data())?;
        Ok(taken)
    })
}

fn bond(host: &mut dyn Host) -> Result<(), Failure> {
    let context = host.context();
    if context.value.is_zero() {
        return Err(revert(IStakes::ZeroAmount {}));
    }
    let too_large = || revert(IStakes::StakeTooLarge {});
    let amount = u128::try_from(context.value).map_err(|_| too_large())?;
    let mut record = Record::load(host, context.caller)?;
    record.bonded = record.bonded.checked_add(amount).ok_or_else(too_large)?;
    record.store(host)?;
    let bonded = record.bonded;
    Ok(host.emit(IStakes::Bonded { worker: context.caller, amount, bonded }.encode_log_data())?)
}

fn unbond(host: &mut dyn Host, amount: u128) -> Result<(), Failure> {
    let context = host.context();
    if amount == 0 {
        return Err(revert(IStakes::ZeroAmount {}));
    }
    let mut record = Record::load(host, context.caller)?;
    let bonded = record.bonded;
    record.bonded = bonded.checked_sub(amount).ok_or_else(|| revert(IStakes::StakeTooSmall { bonded }))?;
    // What a worker has in all was checked when it came in.
    record.unbonding =
        record.unbonding.checked_add(amount).ok_or_else(|| revert(IStakes::StakeTooLarge {}))?;
    record.release_at = context.now.saturating_add(UNBONDING_S);
    record.store(host)?;
    let unbonding = IStakes::Unbonding { worker: context.caller, amount, releaseAt: record.release_at };
    Ok(host.emit(unbonding.encode_log_data())?)
}

fn withdraw(host: &mut dyn Host) -> Result<(), Failure> {
    let context = host.context();
    let mut record = Record::load(host, context.caller)?;
    let amount = record.unbonding;
    if amount == 0 {
        return Err(revert(IStakes::NothingUnbonding {}));
    }
    if context.now < record.release_at {
        return Err(revert(IStakes::StillBonded { releaseAt: record.release_at }));
    }
    (record.unbonding, record.release_at) = (0, 0);
    record.store(host)?;
    host.pay(context.caller, U256::from(amount))?;
    Ok(host.emit(IStakes::Withdrawn { worker: context.caller, amount }.encode_log_data())?)
}

/// A stake as stored: two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    base: U256,
    bonded: u128,
    unbonding: u128,
    release_at: u64,
}

impl Record {
    fn load(host: &mut dyn Host, worker: Address) -> Result<Self, HostError> {
        let base = slot(host, worker)?;
        let amounts = Packed(host.sload(base)?);
        let release_at = Packed(host.sload(offset(base, RELEASE_SLOT))?).u64(0);
        Ok(Self { base, bonded: amounts.u128(BONDED), unbonding: amounts.u128(UNBONDING), release_at })
    }

    /// More than 128 bits of coin are not there to be bonded.
    fn total(&self) -> Result<u128, HostError> {
        self.bonded.checked_add(self.unbonding).ok_or(HostError::Payment)
    }

    fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut amounts = Packed::default();
        amounts.set(BONDED, 128, U256::from(self.bonded));
        amounts.set(UNBONDING, 128, U256::from(self.unbonding));
        host.sstore(self.base, amounts.0)?;
        host.sstore(offset(self.base, RELEASE_SLOT), U256::from(self.release_at))
    }
}

fn slot(host: &mut dyn Host, worker: Address) -> Result<U256, HostError> {
    mapping(host, STAKES, address_key(worker))
}

const STAKES: U256 = U256::ZERO;
const RELEASE_SLOT: u64 = 1;
const BONDED: usize = 0;
const UNBONDING: usize = 128;

#[cfg(test)]
mod tests;
