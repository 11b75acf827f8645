//! Who takes part, and what of theirs lies here: seats, stakes, pools, credits.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    storage::{Packed, address_key, mapping},
    subnets::{
        record::SubnetRecord,
        seats,
        seats::{Seats, ValidatorRecord, WorkerRecord, by_account},
    },
};
use alloy_primitives::{Address, U256, uint};
use alloy_sol_types::SolEvent;
use tacit_abi::{ISubnets, subnets::IMMUNITY_EPOCHS};

/// What was sent along.
fn sent(host: &dyn Host) -> Result<u128, Failure> {
    u128::try_from(host.context().value).map_err(|_| too_large())
}

fn too_large() -> Failure {
    revert(ISubnets::AmountTooLarge {})
}

pub(super) fn deposit(host: &mut dyn Host, id: u64) -> Result<(), Failure> {
    let mut subnet = SubnetRecord::load(host, id)?;
    let amount = sent(host)?;
    if amount == 0 {
        return Err(revert(ISubnets::ZeroAmount {}));
    }
    subnet.pool = subnet.pool.checked_add(amount).ok_or_else(too_large)?;
    subnet.store(host)?;
    let from = host.context().caller;
    Ok(host.emit(ISubnets::Deposited { id, from, amount }.encode_log_data())?)
}

pub(super) fn register(host: &mut dyn Host, id: u64) -> Result<u16, Failure> {
    let mut subnet = SubnetRecord::load(host, id)?;
    let context = host.context();
    let fee = subnet.terms.fee;
    if context.value != U256::from(fee) {
        return Err(revert(ISubnets::WrongFee { fee }));
    }
    let mut own = seats(host, id)?;
    if let Some(seat) = own.worker {
        return Err(revert(ISubnets::AlreadyRegistered { seat }));
    }
    let epoch = subnet.epoch(context.now);
    let workers = WorkerRecord::all(host, &subnet)?;
    let free = workers.iter().find(|worker| worker.is_free());
    let proven = |worker: &&WorkerRecord| worker.since.saturating_add(IMMUNITY_EPOCHS) < epoch;
    let least = || workers.iter().filter(proven).min_by_key(|worker| (worker.incentive, worker.seat));
    let worker = free.or_else(least).ok_or_else(|| revert(ISubnets::Full {}))?;
    if !worker.is_free() {
        let mut seats = Seats::load(host, id, worker.account)?;
        seats.worker = None;
        seats.store(host)?;
        let resigned = ISubnets::Resigned { id, worker: worker.account, seat: worker.seat };
        host.emit(resigned.encode_log_data())?;
    }
    worker.given_to(context.caller, epoch).store(host)?;
    own.worker = Some(worker.seat);
    own.store(host)?;
    subnet.pool = subnet.pool.checked_add(fee).ok_or_else(too_large)?;
    subnet.store(host)?;
    let registered = ISubnets::Registered { id, worker: context.caller, seat: worker.seat };
    host.emit(registered.encode_log_data())?;
    Ok(worker.seat)
}

pub(super) fn resign(host: &mut dyn Host, id: u64) -> Result<(), Failure> {
    SubnetRecord::load(host, id)?;
    let mut own = seats(host, id)?;
    let seat = own.worker.take().ok_or_else(|| revert(ISubnets::NotRegistered {}))?;
    own.store(host)?;
    WorkerRecord::load(host, id, seat)?.given_to(Address::ZERO, 0).store(host)?;
    let worker = host.context().caller;
    Ok(host.emit(ISubnets::Resigned { id, worker, seat }.encode_log_data())?)
}

pub(super) fn bond(host: &mut dyn Host, id: u64) -> Result<(), Failure> {
    let subnet = SubnetRecord::load(host, id)?;
    let (amount, validator) = (sent(host)?, host.context().caller);
    if amount == 0 {
        return Err(revert(ISubnets::ZeroAmount {}));
    }
    let mut own = seats(host, id)?;
    let mut record = match own.validator {
        Some(seat) => ValidatorRecord::load(host, id, seat)?,
        None => {
            let record = take_seat(host, &subnet, amount)?;
            own.validator = Some(record.seat);
            own.store(host)?;
            record
        }
    };
    record.stake = record.stake.checked_add(amount).ok_or_else(too_large)?;
    record.store(host)?;
    let stake = record.stake;
    Ok(host.emit(ISubnets::Bonded { id, validator, amount, stake }.encode_log_data())?)
}

/// A seat for a new validator: a free one, or that of whoever has least, if it has less.
fn take_seat(host: &mut dyn Host, subnet: &SubnetRecord, amount: u128) -> Result<ValidatorRecord, Failure> {
    let context = host.context();
    let validators = ValidatorRecord::all(host, subnet)?;
    // The newest of those that have least goes first.
    let order =
        |validator: &&ValidatorRecord| (validator.stake, core::cmp::Reverse(validator.since), validator.seat);
    let least = validators.iter().min_by_key(order).ok_or_else(|| revert(ISubnets::Full {}))?;
    let needed = if least.is_free() { 0 } else { least.stake.saturating_add(1) };
    let needed = needed.max(subnet.terms.stakeMin);
    if amount < needed {
        return Err(revert(ISubnets::TooLittleStake { least: needed }));
    }
    if !least.is_free() {
        let mut seats = Seats::load(host, subnet.id, least.account)?;
        seats.validator = None;
        seats.store(host)?;
        leave(host, subnet, least.account, least.stake)?;
    }
    Ok(least.hand_over(host, context.caller, subnet.epoch(context.now))?)
}

pub(super) fn unbond(host: &mut dyn Host, id: u64, amount: u128) -> Result<(), Failure> {
    let subnet = SubnetRecord::load(host, id)?;
    if amount == 0 {
        return Err(revert(ISubnets::ZeroAmount {}));
    }
    let mut own = seats(host, id)?;
    let seat = own.validator.ok_or_else(|| revert(ISubnets::NotValidator {}))?;
    let mut record = ValidatorRecord::load(host, id, seat)?;
    let least = subnet.terms.stakeMin;
    let left = record.stake.checked_sub(amount).filter(|left| *left == 0 || *left >= least);
    let left = left.ok_or_else(|| revert(ISubnets::TooLittleStake { least }))?;
    if left == 0 {
        own.validator = None;
        own.store(host)?;
        record = record.hand_over(host, Address::ZERO, 0)?;
    }
    record.stake = left;
    record.store(host)?;
    let validator = host.context().caller;
    leave(host, &subnet, validator, amount)
}

/// Sends stake home: it is there until the epoch after this one has ended, so that what it said is paid for while it can be seen.
fn leave(
    host: &mut dyn Host,
    subnet: &SubnetRecord,
    validator: Address,
    amount: u128,
) -> Result<(), Failure> {
    let id = subnet.id;
    let mut leaving = Leaving::load(host, id, validator)?;
    leaving.amount = leaving.amount.checked_add(amount).ok_or_else(too_large)?;
    let epoch = subnet.epoch(host.context().now);
    leaving.release_at = subnet.end(epoch.saturating_add(1));
    leaving.store(host)?;
    let unbonding = ISubnets::Unbonding { id, validator, amount, releaseAt: leaving.release_at };
    Ok(host.emit(unbonding.encode_log_data())?)
}

pub(super) fn withdraw(host: &mut dyn Host, id: u64) -> Result<(), Failure> {
    SubnetRecord::load(host, id)?;
    let context = host.context();
    let mut leaving = Leaving::load(host, id, context.caller)?;
    let amount = leaving.amount;
    if amount == 0 {
        return Err(revert(ISubnets::NothingLeaving {}));
    }
    if context.now < leaving.release_at {
        return Err(revert(ISubnets::StillBonded { releaseAt: leaving.release_at }));
    }
    (leaving.amount, leaving.release_at) = (0, 0);
    leaving.store(host)?;
    host.pay(context.caller, U256::from(amount))?;
    let withdrawn = ISubnets::Withdrawn { id, validator: context.caller, amount };
    Ok(host.emit(withdrawn.encode_log_data())?)
}

pub(super) fn claim(host: &mut dyn Host) -> Result<(), Failure> {
    let account = host.context().caller;
    let slot = mapping(host, CREDITS, address_key(account))?;
    let amount = Packed(host.sload(slot)?).u128(0);
    if amount == 0 {
        return Err(revert(ISubnets::NothingToClaim {}));
    }
    host.sstore(slot, U256::ZERO)?;
    host.pay(account, U256::from(amount))?;
    Ok(host.emit(ISubnets::Claimed { account, amount }.encode_log_data())?)
}

/// What an account earned and did not claim.
pub(super) fn credit_of(host: &mut dyn Host, account: Address) -> Result<u128, HostError> {
    let slot = mapping(host, CREDITS, address_key(account))?;
    Ok(Packed(host.sload(slot)?).u128(0))
}

/// Adds to it; what a pool held fits.
pub(super) fn credit(host: &mut dyn Host, account: Address, amount: u128) -> Result<(), Failure> {
    let slot = mapping(host, CREDITS, address_key(account))?;
    let sum = Packed(host.sload(slot)?).u128(0).checked_add(amount).ok_or_else(too_large)?;
    Ok(host.sstore(slot, U256::from(sum))?)
}

/// Stake on its way home: one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaving {
    base: U256,
    pub(super) amount: u128,
    pub(super) release_at: u64,
}

impl Leaving {
    pub(super) fn load(host: &mut dyn Host, id: u64, validator: Address) -> Result<Self, HostError> {
        let base = by_account(host, LEAVING, id, validator)?;
        let packed = Packed(host.sload(base)?);
        Ok(Self { base, amount: packed.u128(0), release_at: packed.u64(RELEASE_AT) })
    }

    fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut packed = Packed::default();
        packed.set(0, 128, U256::from(self.amount));
        packed.set(RELEASE_AT, 64, U256::from(self.release_at));
        host.sstore(self.base, packed.0)
    }
}

/// Slots of the mappings, and a bit position.
const LEAVING: U256 = uint!(5_U256);
const CREDITS: U256 = uint!(6_U256);
const RELEASE_AT: usize = 128;
