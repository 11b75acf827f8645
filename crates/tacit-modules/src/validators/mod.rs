//! `validators`: who may keep the ledger, and what it costs to sign against oneself.
//!
//! A validator bonds coin to the ed25519 key that votes in consensus. From the sum bonded at an epoch's beginning follows who
//! votes some epochs on: [`DELAY_EPOCHS`] after the last message that counts. Whoever shows two votes of one key that contradict each other has its stake burned and the key barred.
//! Threat model, formats and parameters: `specs/0008-validators.md`.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `bytes32 namespace`: what the network's votes are bound to |
//! | 1, 2 | `Parameters parameters` |
//! | 3 | `uint16 active`: how many validators are active |
//! | 4 | `bytes32[] keys`: candidates, and those who were until lately |
//! | 5 | `mapping(bytes32 => Record) validators` by key |
//! | 6 | `mapping(address => bytes32) keyOf` by owner |
//!
//! Epochs are counted from the network's first block, whose number stands with the parameters.
//!
//! [`Staking::first_state`] makes the first three, and records of the founders.
//!
//! # Messages
//! `join` (payable), `topUp` (payable), `leave`, `withdraw` (owner), `slash` (anyone), and the views `validator`, `keyOf`, `epoch`,
//! `validatorSet`, `parameters`, `namespace`.
//!
//! # Invariants
//! - The module's balance covers the sum of all stakes; it is larger only by coin that was forced on it outside any method.
//! - A message in epoch `e` changes no set before that of `e + `[`DELAY_EPOCHS`]. So [`validator_set`] of epoch `e` is one value, from
//!   the last block of epoch `e - `[`DELAY_EPOCHS`] to its own last block.
//! - Stake is withdrawn only when its key has been in no set for `unbondingEpochs` epochs whose committee handed the group's key on, and
//!   `unbondingSeconds` after it left. So it is held for as long as the key votes, however late its successors are.
//! - A barred key never has stake again, and was barred by two votes that [`Evidence`] accepts under the network's namespace.
//! - Of a slashed stake the reporter gets a fixed fraction of the least stake, and nobody gets the rest.
//! - A key that joins has signed for its owner, on this network; an owner has one validator.
//! - While others are active, one can leave; the last one cannot.
//!
//! # Gas
//! EVM prices, and [`gas::SIGNATURE`] for each ed25519 verification, charged before it. `join` walks the list only when all places are
//! taken, `validatorSet` always: five slots a candidate.

mod evidence;
pub mod gas;
mod parameters;
mod record;
mod roster;
mod signature;
#[cfg(test)]
mod votes;

pub use evidence::{Evidence, EvidenceError, Fault, Kind};
pub use parameters::{
    BLOCKS_PER_SEAT, Beginning, CANDIDATES_MAX, FirstState, Founder, Parameters, SEATS_MAX, Staking,
    StakingError,
};
pub use roster::{SetError, validator_set};
pub use tacit_abi::{IValidators::Seat, validators::ADDRESS};

use crate::{
    dispatch::{Access, Failure, check_name, decode, revert},
    host::{Host, HostError, as_module},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use parameters::Rules;
use record::{Record, Status};
use tacit_abi::{
    IValidators::{self, IValidatorsCalls},
    validators::{BURNED, JOIN_SUFFIX},
};

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IValidators`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IValidatorsCalls>(host, input, |call| match call {
        IValidatorsCalls::join(_) | IValidatorsCalls::topUp(_) => Access::Payable,
        IValidatorsCalls::leave(_) | IValidatorsCalls::withdraw(_) | IValidatorsCalls::slash(_) => {
            Access::Write
        }
        IValidatorsCalls::validator(_)
        | IValidatorsCalls::keyOf(_)
        | IValidatorsCalls::epoch(_)
        | IValidatorsCalls::validatorSet(_)
        | IValidatorsCalls::parameters(_)
        | IValidatorsCalls::namespace(_) => Access::View,
    })?;
    let rules = Rules::load(host)?;
    let now = Now { parameters: rules.parameters, epoch: rules.epoch_of(host.context().block) };
    match call {
        IValidatorsCalls::join(call) => join(host, &now, call.key, &call.proof).map(|()| Bytes::new()),
        IValidatorsCalls::topUp(_) => top_up(host, &now).map(|()| Bytes::new()),
        IValidatorsCalls::leave(_) => leave(host, &now).map(|()| Bytes::new()),
        IValidatorsCalls::withdraw(_) => withdraw(host, &now).map(|()| Bytes::new()),
        IValidatorsCalls::slash(call) => slash(host, &now, call.key, &call.evidence).map(|()| Bytes::new()),
        IValidatorsCalls::validator(call) => {
            let record = Record::load_known(host, call.key)?;
            Ok(IValidators::validatorCall::abi_encode_returns(&record.into_abi()).into())
        }
        IValidatorsCalls::keyOf(call) => {
            let key = roster::key_of(host, call.owner)?;
            Ok(IValidators::keyOfCall::abi_encode_returns(&key).into())
        }
        IValidatorsCalls::epoch(_) => Ok(IValidators::epochCall::abi_encode_returns(&now.epoch).into()),
        IValidatorsCalls::validatorSet(call) => {
            let (first, last) = (now.epoch, now.counts_from());
            if !(first..=last).contains(&call.epoch) {
                return Err(revert(IValidators::EpochOutOfReach { first, last }));
            }
            let set = roster::set(host, &now.parameters, call.epoch)?;
            Ok(IValidators::validatorSetCall::abi_encode_returns(&set).into())
        }
        IValidatorsCalls::parameters(_) => {
            Ok(IValidators::parametersCall::abi_encode_returns(&rules.into_abi()).into())
        }
        IValidatorsCalls::namespace(_) => {
            let namespace = parameters::namespace(host)?;
            Ok(IValidators::namespaceCall::abi_encode_returns(&namespace).into())
        }
    }
}

/// Who votes in the epoch of the block being executed, with which stake; nobody on a ledger without rules of stake. For other modules.
pub(crate) fn seats(host: &mut dyn Host) -> Result<Vec<Seat>, HostError> {
    as_module(host, ADDRESS, |host| match Rules::load(host) {
        Ok(rules) => {
            let epoch = rules.epoch_of(host.context().block);
            roster::set(host, &rules.parameters, epoch)
        }
        Err(Failure::Revert(_)) => Ok(Vec::new()),
        Err(Failure::Halt(error)) => Err(error),
    })
}

/// Key of an owner's validator, zero when it has none. For other modules.
pub(crate) fn key_of(host: &mut dyn Host, owner: Address) -> Result<B256, HostError> {
    as_module(host, ADDRESS, |host| roster::key_of(host, owner))
}

/// Rules, and the epoch of the block being executed.
struct Now {
    parameters: Parameters,
    epoch: u64,
}

impl Now {
    /// First epoch that a change made now counts in.
    fn counts_from(&self) -> u64 {
        self.epoch.saturating_add(DELAY_EPOCHS)
    }
}

fn join(host: &mut dyn Host, now: &Now, key: B256, proof: &[u8]) -> Result<(), Failure> {
    let context = host.context();
    let (owner, least) = (context.caller, now.parameters.stake_min);
    let stake = sent(context.value)?;
    if stake < least {
        return Err(revert(IValidators::StakeTooSmall { stake, least }));
    }
    let owned = roster::key_of(host, owner)?;
    if !owned.is_zero() {
        return Err(revert(IValidators::OwnerTaken { owner, key: owned }));
    }
    let mut record = Record::load(host, key)?;
    match record.status {
        Status::Unknown | Status::Gone => {}
        Status::Active | Status::Leaving => return Err(revert(IValidators::KeyTaken { key })),
        Status::Barred => return Err(revert(IValidators::KeyBarred { key })),
    }
    host.charge(gas::SIGNATURE.saturating_mul(2))?;
    if !signature::is_sound(key) {
        return Err(revert(IValidators::BadKey { key }));
    }
    let namespace = parameters::namespace(host)?;
    let holds = <&[u8; 64]>::try_from(proof)
        .is_ok_and(|proof| signature::verify(key, namespace, JOIN_SUFFIX, owner.as_slice(), proof));
    if !holds {
        return Err(revert(IValidators::BadProof {}));
    }
    record.advance(now.epoch);
    record.owner = owner;
    record.status = Status::Active;
    record.stake = stake;
    (record.exit_epoch, record.exit_failures, record.release_at) = (0, 0, 0);
    let displaced = roster::enter(host, &now.parameters, now.epoch, &mut record)?;
    record.store(host)?;
    roster::set_key_of(host, owner, key)?;
    let from_epoch = now.counts_from();
    host.emit(IValidators::Joined { key, owner, stake, fromEpoch: from_epoch }.encode_log_data())?;
    match displaced {
        // One in, one out.
        Some(displaced) => exit(host, now, displaced),
        None => {
            let active = roster::active(host)?;
            Ok(roster::set_active(host, active.saturating_add(1))?)
        }
    }
}

fn top_up(host: &mut dyn Host, now: &Now) -> Result<(), Failure> {
    let amount = sent(host.context().value)?;
    if amount == 0 {
        return Err(revert(IValidators::StakeTooSmall { stake: 0, least: 1 }));
    }
    let mut record = owned(host)?;
    let key = record.key;
    if record.status != Status::Active {
        return Err(revert(IValidators::AlreadyLeaving { key }));
    }
    record.advance(now.epoch);
    record.stake = record.stake.checked_add(amount).ok_or_else(|| revert(IValidators::StakeTooLarge {}))?;
    record.store(host)?;
    let (stake, from_epoch) = (record.stake, now.counts_from());
    Ok(host.emit(IValidators::ToppedUp { key, amount, stake, fromEpoch: from_epoch }.encode_log_data())?)
}

fn leave(host: &mut dyn Host, now: &Now) -> Result<(), Failure> {
    let record = owned(host)?;
    if record.status != Status::Active {
        return Err(revert(IValidators::AlreadyLeaving { key: record.key }));
    }
    let left = roster::active(host)?.saturating_sub(1);
    if left == 0 {
        return Err(revert(IValidators::LastValidator {}));
    }
    roster::set_active(host, left)?;
    exit(host, now, record)
}

/// Makes an active validator a leaving one; the caller keeps count.
fn exit(host: &mut dyn Host, now: &Now, mut record: Record) -> Result<(), Failure> {
    record.advance(now.epoch);
    record.status = Status::Leaving;
    record.exit_epoch = now.counts_from();
    record.exit_failures = host.context().failed_dealings;
    // Saturates at a time that never comes.
    record.release_at = host.context().now.saturating_add(now.parameters.unbonding_seconds);
    record.store(host)?;
    let Record { key, owner, exit_epoch, release_at, .. } = record;
    let left = IValidators::Left { key, owner, exitEpoch: exit_epoch, releaseAt: release_at };
    Ok(host.emit(left.encode_log_data())?)
}

fn withdraw(host: &mut dyn Host, now: &Now) -> Result<(), Failure> {
    let mut record = owned(host)?;
    let Record { key, owner, release_at, .. } = record;
    if record.status != Status::Leaving {
        return Err(revert(IValidators::NotLeaving { key }));
    }
    // An epoch whose committee stayed, because it could not hand the key on, brings nobody out: it does not count.
    let stayed = host.context().failed_dealings.saturating_sub(record.exit_failures);
    let epoch = record.exit_epoch.saturating_add(u64::from(now.parameters.unbonding_epochs));
    let epoch = epoch.saturating_add(stayed);
    if now.epoch < epoch || host.context().now < release_at {
        return Err(revert(IValidators::StillUnbonding { epoch, releaseAt: release_at }));
    }
    let amount = record.stake;
    record.advance(now.epoch);
    record.status = Status::Gone;
    record.stake = 0;
    roster::remove(host, &mut record)?;
    record.store(host)?;
    roster::set_key_of(host, owner, B256::ZERO)?;
    host.pay(owner, U256::from(amount))?;
    Ok(host.emit(IValidators::Withdrawn { key, owner, amount }.encode_log_data())?)
}

fn slash(host: &mut dyn Host, now: &Now, key: B256, evidence: &[u8]) -> Result<(), Failure> {
    let mut record = Record::load_known(host, key)?;
    if record.status == Status::Barred {
        return Err(revert(IValidators::KeyBarred { key }));
    }
    let evidence = Evidence::decode(evidence).map_err(|error| refused(&error))?;
    let namespace = parameters::namespace(host)?;
    host.charge(gas::SIGNATURE.saturating_mul(2))?;
    let fault = evidence.check(namespace, key).map_err(|error| refused(&error))?;

    if record.status == Status::Active {
        let active = roster::active(host)?;
        roster::set_active(host, active.saturating_sub(1))?;
        record.exit_epoch = now.counts_from();
    }
    if record.status != Status::Gone {
        roster::set_key_of(host, record.owner, B256::ZERO)?;
    }
    record.advance(now.epoch);
    let reward = now.parameters.reward().min(record.stake);
    let burned = record.stake.checked_sub(reward).ok_or(HostError::Payment)?;
    record.status = Status::Barred;
    (record.stake, record.release_at) = (0, 0);
    record.store(host)?;
    let reporter = host.context().caller;
    for (payee, amount) in [(reporter, reward), (BURNED, burned)] {
        if amount > 0 {
            host.pay(payee, U256::from(amount))?;
        }
    }
    let slashed = IValidators::Slashed {
        key,
        reporter,
        kind: fault.kind().number(),
        voteEpoch: fault.epoch(),
        voteView: fault.view(),
        burned,
        reward,
    };
    Ok(host.emit(slashed.encode_log_data())?)
}

/// The caller's validator.
fn owned(host: &mut dyn Host) -> Result<Record, Failure> {
    let caller = host.context().caller;
    let key = roster::key_of(host, caller)?;
    if key.is_zero() {
        return Err(revert(IValidators::NotOwner { caller }));
    }
    Ok(Record::load(host, key)?)
}

fn refused(error: &EvidenceError) -> Failure {
    revert(IValidators::BadEvidence { check: check_name(error) })
}

fn sent(value: U256) -> Result<u128, Failure> {
    u128::try_from(value).map_err(|_| revert(IValidators::StakeTooLarge {}))
}

/// Epochs from a message to the first whose set it changes. Consensus asks for the set of an epoch in the last block of the
/// third epoch before it, and each validator may ask any state since the end of the fourth (`specs/0006-consensus.md`).
pub const DELAY_EPOCHS: u64 = 4;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
