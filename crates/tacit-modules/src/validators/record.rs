//! One validator in storage: four slots.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    storage::{Packed, mapping, offset},
};
use alloy_primitives::{Address, B256, U256, uint};
use tacit_abi::IValidators;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Nobody joined with it.
    Unknown,
    /// Its stake counts.
    Active,
    /// Its stake is held and counts no more from `exit_epoch` on.
    Leaving,
    /// Its stake was withdrawn.
    Gone,
    /// It signed against itself.
    Barred,
}

impl Status {
    fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::Active,
            2 => Self::Leaving,
            3 => Self::Gone,
            4 => Self::Barred,
            _ => Self::Unknown,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Active => 1,
            Self::Leaving => 2,
            Self::Gone => 3,
            Self::Barred => 4,
        }
    }
}

/// A validator as stored. What counts in `epoch + `[`super::DELAY_EPOCHS`] and in all later ones is [`Record::later`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    base: U256,
    pub(super) key: B256,
    pub(super) owner: Address,
    /// Epoch of the last change.
    pub(super) epoch: u64,
    /// Number in the list of candidates, from 1; 0 when not listed.
    pub(super) place: u16,
    pub(super) status: Status,
    /// Stake that counts in `epoch` (and before), in `epoch + 1`, and so on.
    pub(super) weights: [u128; WEIGHTS],
    /// Coin held.
    pub(super) stake: u128,
    /// First epoch whose set it is not in, once it leaves.
    pub(super) exit_epoch: u64,
    /// Dealings that had failed by then, from the network's beginning.
    pub(super) exit_failures: u64,
    /// When its stake may be withdrawn, once it leaves; seconds.
    pub(super) release_at: u64,
}

impl Record {
    /// A record that nothing was written to.
    pub(super) fn new(host: &mut dyn Host, key: B256) -> Result<Self, HostError> {
        let base = mapping(host, VALIDATORS, key)?;
        Ok(Self {
            base,
            key,
            owner: Address::ZERO,
            epoch: 0,
            place: 0,
            status: Status::Unknown,
            weights: [0; WEIGHTS],
            stake: 0,
            exit_epoch: 0,
            exit_failures: 0,
            release_at: 0,
        })
    }

    /// Reads the record of a key, known or not.
    pub(super) fn load(host: &mut dyn Host, key: B256) -> Result<Self, HostError> {
        let empty = Self::new(host, key)?;
        let head = Packed(host.sload(empty.base)?);
        let status = Status::from_u8(head.u8(STATUS));
        if status == Status::Unknown {
            return Ok(empty);
        }
        let mut weights = [0; WEIGHTS];
        for (pair, slot) in weights.chunks_exact_mut(2).zip(WEIGHTS_SLOT..) {
            let packed = Packed(host.sload(offset(empty.base, slot))?);
            pair.copy_from_slice(&[packed.u128(FIRST), packed.u128(SECOND)]);
        }
        let bond = Packed(host.sload(offset(empty.base, BOND_SLOT))?);
        Ok(Self {
            owner: head.address(OWNER),
            epoch: head.u64(EPOCH),
            place: head.u16(PLACE),
            status,
            weights,
            stake: bond.u128(STAKE),
            exit_epoch: bond.get(EXIT_EPOCH, COUNT_BITS).saturating_to(),
            exit_failures: bond.get(EXIT_FAILURES, COUNT_BITS).saturating_to(),
            release_at: bond.get(RELEASE_AT, TIME_BITS).saturating_to(),
            ..empty
        })
    }

    /// Reads the record of a key that must be known.
    pub(super) fn load_known(host: &mut dyn Host, key: B256) -> Result<Self, Failure> {
        let record = Self::load(host, key)?;
        if record.status == Status::Unknown {
            return Err(revert(IValidators::UnknownValidator { key }));
        }
        Ok(record)
    }

    /// Writes all slots.
    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        self.store_head(host)?;
        for (pair, slot) in self.weights.chunks_exact(2).zip(WEIGHTS_SLOT..) {
            let mut packed = Packed::default();
            for (weight, position) in pair.iter().zip([FIRST, SECOND]) {
                packed.set(position, 128, U256::from(*weight));
            }
            host.sstore(offset(self.base, slot), packed.0)?;
        }
        let mut bond = Packed::default();
        bond.set(STAKE, 128, U256::from(self.stake));
        // Numbers that do not fit are of epochs and times that never come.
        bond.set(EXIT_EPOCH, COUNT_BITS, capped(self.exit_epoch, COUNT_BITS));
        bond.set(EXIT_FAILURES, COUNT_BITS, capped(self.exit_failures, COUNT_BITS));
        bond.set(RELEASE_AT, TIME_BITS, capped(self.release_at, TIME_BITS));
        host.sstore(offset(self.base, BOND_SLOT), bond.0)
    }

    /// Writes owner, epoch, place and status.
    pub(super) fn store_head(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut head = Packed::default();
        head.set_address(OWNER, self.owner);
        head.set(EPOCH, 64, U256::from(self.epoch));
        head.set(PLACE, 16, U256::from(self.place));
        head.set(STATUS, 8, U256::from(self.status.number()));
        host.sstore(self.base, head.0)
    }

    /// Stake that counts from the epoch on in which a change made now would, if nothing more happens.
    pub(super) fn later(&self) -> u128 {
        if self.status == Status::Active { self.stake } else { 0 }
    }

    /// Stake that counts in `epoch`, which is not before the one of the last change.
    pub(super) fn weight(&self, epoch: u64) -> u128 {
        let since = usize::try_from(epoch.saturating_sub(self.epoch)).unwrap_or(usize::MAX);
        self.weights.get(since).copied().unwrap_or_else(|| self.later())
    }

    /// Fixes what counts in `epoch` and those after it that are decided. To be called before stake or status change.
    pub(super) fn advance(&mut self, epoch: u64) {
        let mut weights = [0; WEIGHTS];
        for (weight, at) in weights.iter_mut().zip(epoch..) {
            *weight = self.weight(at);
        }
        (self.epoch, self.weights) = (epoch, weights);
    }

    /// Whether it counts in no epoch from `epoch` on.
    pub(super) fn is_out(&self, epoch: u64) -> bool {
        let decided = (epoch..).take(WEIGHTS);
        self.later() == 0 && decided.map(|at| self.weight(at)).all(|weight| weight == 0)
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IValidators::Validator {
        IValidators::Validator {
            key: self.key,
            owner: self.owner,
            status: self.status.number(),
            stake: self.stake,
            exitEpoch: self.exit_epoch,
            releaseAt: self.release_at,
        }
    }
}

/// The number, or the most that so many bits hold.
fn capped(number: u64, bits: usize) -> U256 {
    U256::from(number).min(U256::MAX.wrapping_shr(256_usize.saturating_sub(bits)))
}

/// Weights that are kept: one for each epoch that a message no longer changes. Two fill a slot.
pub(super) const WEIGHTS: usize = 4;

/// Slot of the mapping.
const VALIDATORS: U256 = uint!(5_U256);
/// Slots of a record, counted from its first.
const WEIGHTS_SLOT: u64 = 1;
const BOND_SLOT: u64 = 3;
/// Bit positions of packed fields.
const OWNER: usize = 0;
const EPOCH: usize = 160;
const PLACE: usize = 224;
const STATUS: usize = 240;
const FIRST: usize = 0;
const SECOND: usize = 128;
const STAKE: usize = 0;
const EXIT_EPOCH: usize = 128;
const EXIT_FAILURES: usize = 168;
const RELEASE_AT: usize = 208;
/// Widths of these: epochs, and seconds.
const COUNT_BITS: usize = 40;
const TIME_BITS: usize = 48;
