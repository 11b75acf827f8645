//! Workers and validators in storage, by seat.

use crate::{
    host::{Host, HostError},
    storage::{Packed, address_key, mapping, offset},
    subnets::record::{SubnetRecord, number_key},
};
use alloy_primitives::{Address, B256, U256, uint};
use tacit_abi::{ISubnets, subnets};

/// Slot of a value in a mapping by subnet and seat.
fn by_seat(host: &mut dyn Host, base: U256, id: u64, seat: u16) -> Result<U256, HostError> {
    let list = mapping(host, base, number_key(id))?;
    mapping(host, list, number_key(u64::from(seat)))
}

/// Slot of a value in a mapping by subnet and account.
pub(super) fn by_account(
    host: &mut dyn Host,
    base: U256,
    id: u64,
    account: Address,
) -> Result<U256, HostError> {
    let list = mapping(host, base, number_key(id))?;
    mapping(host, list, address_key(account))
}

/// The seats of an account: one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seats {
    pub(super) base: U256,
    pub(super) worker: Option<u16>,
    pub(super) validator: Option<u16>,
}

impl Seats {
    pub(super) fn load(host: &mut dyn Host, id: u64, account: Address) -> Result<Self, HostError> {
        let base = by_account(host, SEATS, id, account)?;
        let packed = Packed(host.sload(base)?);
        let seat = |at| packed.u16(at).checked_sub(1);
        Ok(Self { base, worker: seat(WORKER_SEAT), validator: seat(VALIDATOR_SEAT) })
    }

    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut packed = Packed::default();
        let number = |seat: Option<u16>| seat.map_or(0, |seat| seat.saturating_add(1));
        packed.set(WORKER_SEAT, 16, U256::from(number(self.worker)));
        packed.set(VALIDATOR_SEAT, 16, U256::from(number(self.validator)));
        host.sstore(self.base, packed.0)
    }
}

/// A worker's seat: three slots. Nobody's while the account is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorkerRecord {
    pub(super) base: U256,
    pub(super) seat: u16,
    pub(super) account: Address,
    pub(super) since: u64,
    pub(super) consensus: u64,
    pub(super) rank: u64,
    pub(super) trust: u64,
    pub(super) incentive: u64,
    pub(super) reward: u128,
}

impl WorkerRecord {
    pub(super) fn load(host: &mut dyn Host, id: u64, seat: u16) -> Result<Self, HostError> {
        let base = by_seat(host, WORKERS, id, seat)?;
        let head = Packed(host.sload(base)?);
        let mut record = Self::empty(base, seat);
        if head == Packed::default() {
            return Ok(record);
        }
        let scores = Packed(host.sload(offset(base, SCORES_SLOT))?);
        (record.account, record.since) = (head.address(ACCOUNT), head.u64(SINCE));
        (record.consensus, record.rank) = (scores.u64(CONSENSUS), scores.u64(RANK));
        (record.trust, record.incentive) = (scores.u64(TRUST), scores.u64(INCENTIVE));
        record.reward = Packed(host.sload(offset(base, REWARD_SLOT))?).u128(0);
        Ok(record)
    }

    /// All seats of a subnet, taken or not.
    pub(super) fn all(host: &mut dyn Host, subnet: &SubnetRecord) -> Result<Vec<Self>, HostError> {
        (0..subnet.terms.workersMax).map(|seat| Self::load(host, subnet.id, seat)).collect()
    }

    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut head = Packed::default();
        head.set_address(ACCOUNT, self.account);
        head.set(SINCE, 64, U256::from(self.since));
        host.sstore(self.base, head.0)?;
        let mut scores = Packed::default();
        scores.set(CONSENSUS, 64, U256::from(self.consensus));
        scores.set(RANK, 64, U256::from(self.rank));
        scores.set(TRUST, 64, U256::from(self.trust));
        scores.set(INCENTIVE, 64, U256::from(self.incentive));
        host.sstore(offset(self.base, SCORES_SLOT), scores.0)?;
        host.sstore(offset(self.base, REWARD_SLOT), U256::from(self.reward))
    }

    fn empty(base: U256, seat: u16) -> Self {
        let (account, since, consensus, rank) = (Address::ZERO, 0, 0, 0);
        Self { base, seat, account, since, consensus, rank, trust: 0, incentive: 0, reward: 0 }
    }

    /// The same seat, somebody else's, or nobody's.
    pub(super) fn given_to(&self, account: Address, since: u64) -> Self {
        Self { account, since, ..Self::empty(self.base, self.seat) }
    }

    pub(super) fn is_free(&self) -> bool {
        self.account.is_zero()
    }

    /// As callers see it, if it is somebody's.
    pub(super) fn into_abi(self) -> Option<ISubnets::Worker> {
        let Self { account, seat, since, consensus, rank, trust, incentive, reward, .. } = self;
        let worker = ISubnets::Worker { account, seat, since, consensus, rank, trust, incentive, reward };
        (!account.is_zero()).then_some(worker)
    }
}

/// A validator's seat without commitments and bonds: three slots. Nobody's while the account is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValidatorRecord {
    pub(super) base: U256,
    pub(super) seat: u16,
    pub(super) account: Address,
    pub(super) since: u64,
    pub(super) stake: u128,
    pub(super) reward: u128,
    pub(super) trust: u64,
    pub(super) dividends: u64,
}

impl ValidatorRecord {
    pub(super) fn load(host: &mut dyn Host, id: u64, seat: u16) -> Result<Self, HostError> {
        let base = by_seat(host, VALIDATORS, id, seat)?;
        let head = Packed(host.sload(base)?);
        let mut record = Self::empty(base, seat);
        if head == Packed::default() {
            return Ok(record);
        }
        let amounts = Packed(host.sload(offset(base, AMOUNTS_SLOT))?);
        let scores = Packed(host.sload(offset(base, EARNED_SLOT))?);
        (record.account, record.since) = (head.address(ACCOUNT), head.u64(SINCE));
        (record.stake, record.reward) = (amounts.u128(STAKE), amounts.u128(REWARD));
        (record.trust, record.dividends) = (scores.u64(0), scores.u64(DIVIDENDS));
        Ok(record)
    }

    /// All seats of a subnet, taken or not.
    pub(super) fn all(host: &mut dyn Host, subnet: &SubnetRecord) -> Result<Vec<Self>, HostError> {
        (0..subnet.terms.validatorsMax).map(|seat| Self::load(host, subnet.id, seat)).collect()
    }

    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut head = Packed::default();
        head.set_address(ACCOUNT, self.account);
        head.set(SINCE, 64, U256::from(self.since));
        host.sstore(self.base, head.0)?;
        let mut amounts = Packed::default();
        amounts.set(STAKE, 128, U256::from(self.stake));
        amounts.set(REWARD, 128, U256::from(self.reward));
        host.sstore(offset(self.base, AMOUNTS_SLOT), amounts.0)?;
        let mut scores = Packed::default();
        scores.set(0, 64, U256::from(self.trust));
        scores.set(DIVIDENDS, 64, U256::from(self.dividends));
        host.sstore(offset(self.base, EARNED_SLOT), scores.0)
    }

    fn empty(base: U256, seat: u16) -> Self {
        let account = Address::ZERO;
        Self { base, seat, account, since: 0, stake: 0, reward: 0, trust: 0, dividends: 0 }
    }

    /// Gives the seat to somebody else, or to nobody: what was said and earned from it is gone.
    pub(super) fn hand_over(
        &self,
        host: &mut dyn Host,
        account: Address,
        since: u64,
    ) -> Result<Self, HostError> {
        for slot in COMMITTED_SLOT..VALIDATOR_SLOTS {
            // Reading costs less than writing what is there.
            let slot = offset(self.base, slot);
            if !host.sload(slot)?.is_zero() {
                host.sstore(slot, U256::ZERO)?;
            }
        }
        Ok(Self { account, since, ..Self::empty(self.base, self.seat) })
    }

    pub(super) fn is_free(&self) -> bool {
        self.account.is_zero()
    }

    /// What it committed to for an epoch, if it did.
    pub(super) fn committed(&self, host: &mut dyn Host, epoch: u64) -> Result<Option<Committed>, HostError> {
        Ok(self.slot_of(host, epoch)?.filter(|committed| committed.epoch == epoch))
    }

    /// What lies where what is committed to for an epoch lies.
    fn slot_of(&self, host: &mut dyn Host, epoch: u64) -> Result<Option<Committed>, HostError> {
        let base = self.committed_base(epoch);
        let commitment: B256 = host.sload(base)?.into();
        if commitment.is_zero() {
            return Ok(None);
        }
        let head = Packed(host.sload(offset(base, STATE_SLOT))?);
        let (stake, epoch) = (head.u128(0), head.u64(EPOCH));
        Ok(Some(Committed { base, commitment, stake, epoch, revealed: head.u8(REVEALED) != 0 }))
    }

    /// Commits, over what was committed to three epochs ago.
    pub(super) fn commit(&self, host: &mut dyn Host, epoch: u64, commitment: B256) -> Result<(), HostError> {
        let base = self.committed_base(epoch);
        Committed { base, commitment, stake: self.stake, epoch, revealed: false }.store(host)
    }

    fn committed_base(&self, epoch: u64) -> U256 {
        let which = epoch.checked_rem(COMMITTED).unwrap_or(0);
        offset(self.base, COMMITTED_SLOT.saturating_add(COMMITTED_SLOTS.saturating_mul(which)))
    }

    /// Its bonds, by seat of the worker.
    pub(super) fn bonds(&self, host: &mut dyn Host, count: usize) -> Result<Vec<u16>, HostError> {
        read_row(host, offset(self.base, BONDS_SLOT), count)
    }

    pub(super) fn set_bonds(&self, host: &mut dyn Host, bonds: &[u16]) -> Result<(), HostError> {
        write_row(host, offset(self.base, BONDS_SLOT), bonds)
    }

    /// As callers see it, if it is somebody's.
    pub(super) fn into_abi(self, host: &mut dyn Host) -> Result<Option<ISubnets::Validator>, HostError> {
        if self.is_free() {
            return Ok(None);
        }
        let (mut committed, mut revealed) = (0, 0);
        for which in 0..COMMITTED {
            if let Some(said) = self.slot_of(host, which)? {
                let number = said.epoch.saturating_add(1);
                committed = number.max(committed);
                revealed = if said.revealed { number.max(revealed) } else { revealed };
            }
        }
        let Self { account, seat, since, stake, trust, dividends, reward, .. } = self;
        Ok(Some(ISubnets::Validator {
            account,
            seat,
            since,
            stake,
            trust,
            dividends,
            reward,
            committed,
            revealed,
        }))
    }
}

/// A commitment, and whether it was opened: two slots, and a row of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) base: U256,
    pub(super) commitment: B256,
    /// What the validator had bonded then.
    pub(super) stake: u128,
    pub(super) epoch: u64,
    pub(super) revealed: bool,
}

impl Committed {
    fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        host.sstore(self.base, self.commitment.into())?;
        let mut state = Packed::default();
        state.set(0, 128, U256::from(self.stake));
        state.set(EPOCH, 64, U256::from(self.epoch));
        state.set(REVEALED, 8, U256::from(self.revealed));
        host.sstore(offset(self.base, STATE_SLOT), state.0)
    }

    /// Opens it, as long as the subnet has seats.
    pub(super) fn reveal(mut self, host: &mut dyn Host, weights: &[u16]) -> Result<(), HostError> {
        self.revealed = true;
        self.store(host)?;
        write_row(host, offset(self.base, WEIGHTS_SLOT), weights)
    }

    /// What was revealed, by seat of the worker.
    pub(super) fn weights(&self, host: &mut dyn Host, count: usize) -> Result<Vec<u16>, HostError> {
        read_row(host, offset(self.base, WEIGHTS_SLOT), count)
    }
}

/// Reads `uint16[64]`, the first `count` of it.
fn read_row(host: &mut dyn Host, base: U256, count: usize) -> Result<Vec<u16>, HostError> {
    let mut row = Vec::with_capacity(count);
    for (slot, start) in (0..).zip((0..count).step_by(IN_A_SLOT)) {
        let word = Packed(host.sload(offset(base, slot))?);
        let here = count.saturating_sub(start).min(IN_A_SLOT);
        row.extend((0..here).map(|place| word.u16(place.saturating_mul(16))));
    }
    Ok(row)
}

/// Writes the first of `uint16[64]`; the caller keeps rows of one length.
fn write_row(host: &mut dyn Host, base: U256, row: &[u16]) -> Result<(), HostError> {
    for (slot, chunk) in (0..).zip(row.chunks(IN_A_SLOT)) {
        let mut word = Packed::default();
        for (place, value) in chunk.iter().enumerate() {
            word.set(place.saturating_mul(16), 16, U256::from(*value));
        }
        host.sstore(offset(base, slot), word.0)?;
    }
    Ok(())
}

/// Slots of the mappings.
const WORKERS: U256 = uint!(2_U256);
const VALIDATORS: U256 = uint!(3_U256);
const SEATS: U256 = uint!(4_U256);
/// Slots of a worker and of a validator, counted from the first, and bit positions in them.
const ACCOUNT: usize = 0;
const SINCE: usize = 160;
const SCORES_SLOT: u64 = 1;
const CONSENSUS: usize = 0;
const RANK: usize = 64;
const TRUST: usize = 128;
const INCENTIVE: usize = 192;
const REWARD_SLOT: u64 = 2;
const AMOUNTS_SLOT: u64 = 1;
const STAKE: usize = 0;
const REWARD: usize = 128;
const EARNED_SLOT: u64 = 2;
const DIVIDENDS: usize = 64;
const COMMITTED_SLOT: u64 = 3;
const COMMITTED_SLOTS: u64 = 6;
/// Epochs whose commitments are kept: one that may still be closed, one that is revealed, one that goes on.
const COMMITTED: u64 = 3;
const STATE_SLOT: u64 = 1;
const EPOCH: usize = 128;
const REVEALED: usize = 192;
const WEIGHTS_SLOT: u64 = 2;
const BONDS_SLOT: u64 = 21;
const VALIDATOR_SLOTS: u64 = 25;
const IN_A_SLOT: usize = 16;
const WORKER_SEAT: usize = 0;
const VALIDATOR_SEAT: usize = 16;

// A row of weights or bonds fills four slots.
const _: () = assert!(subnets::WORKERS_MAX == 64);
