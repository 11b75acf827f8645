//! Weights, receipts and challenges in storage.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    storage::{Packed, address_key, mapping, offset},
};
use alloy_primitives::{Address, B256, U256, uint};
use tacit_abi::IAudits;
use tacit_graph::trace::Node;

/// Root of the tree over a model's weights; zero if none is registered.
pub(super) fn weights(host: &mut dyn Host, model: B256) -> Result<B256, HostError> {
    let slot = mapping(host, WEIGHTS, model)?;
    Ok(host.sload(slot)?.into())
}

/// Registers it.
pub(super) fn set_weights(host: &mut dyn Host, model: B256, root: B256) -> Result<(), HostError> {
    let slot = mapping(host, WEIGHTS, model)?;
    host.sstore(slot, root.into())
}

/// What is known of a receipt: one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceiptRecord {
    base: U256,
    /// Whose challenge was first and is not lost; zero for nobody's.
    pub(super) senior: Address,
    pub(super) convicted: bool,
    /// Whether it passed an audit.
    pub(super) passed: bool,
}

impl ReceiptRecord {
    pub(super) fn load(host: &mut dyn Host, receipt: B256) -> Result<Self, HostError> {
        let base = mapping(host, RECEIPTS, receipt)?;
        let packed = Packed(host.sload(base)?);
        let (convicted, passed) = (packed.u8(CONVICTED) != 0, packed.u8(PASSED) != 0);
        Ok(Self { base, senior: packed.address(SENIOR), convicted, passed })
    }

    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut packed = Packed::default();
        packed.set_address(SENIOR, self.senior);
        packed.set(CONVICTED, 8, U256::from(self.convicted));
        packed.set(PASSED, 8, U256::from(self.passed));
        host.sstore(self.base, packed.0)
    }
}

/// What audits say of a worker: one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryRecord {
    base: U256,
    /// Audits passed since the last conviction.
    pub(super) passed: u32,
    pub(super) passed_at: u64,
    pub(super) convicted_at: u64,
}

impl HistoryRecord {
    pub(super) fn load(host: &mut dyn Host, worker: Address) -> Result<Self, HostError> {
        let base = mapping(host, HISTORIES, address_key(worker))?;
        let packed = Packed(host.sload(base)?);
        Ok(Self {
            base,
            passed: packed.u32(PASSED_COUNT),
            passed_at: packed.u64(PASSED_AT),
            convicted_at: packed.u64(CONVICTED_AT),
        })
    }

    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut packed = Packed::default();
        packed.set(PASSED_COUNT, 32, U256::from(self.passed));
        packed.set(PASSED_AT, 64, U256::from(self.passed_at));
        packed.set(CONVICTED_AT, 64, U256::from(self.convicted_at));
        host.sstore(self.base, packed.0)
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IAudits::History {
        let Self { passed, passed_at, convicted_at, .. } = self;
        IAudits::History { passed, passedAt: passed_at, convictedAt: convicted_at }
    }
}

/// Whose move a challenge waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Turn {
    /// The worker reveals hashes or, at a leaf, a tile.
    Reveal = 1,
    /// The challenger chooses one of the hashes.
    Choose = 2,
    /// The challenger has the receipt convicted.
    Convict = 3,
    /// The challenger was right.
    Won = 4,
    /// The challenger was not.
    Lost = 5,
}

impl Turn {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Reveal => 1,
            Self::Choose => 2,
            Self::Convict => 3,
            Self::Won => 4,
            Self::Lost => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        let all = [Self::Reveal, Self::Choose, Self::Convict, Self::Won, Self::Lost];
        all.into_iter().find(|turn| turn.number() == number)
    }
}

/// A challenge: four slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChallengeRecord {
    pub(super) challenger: Address,
    pub(super) deadline: u64,
    pub(super) turn: Turn,
    pub(super) level: u8,
    pub(super) worker: Address,
    pub(super) index: u32,
    pub(super) leaves: u32,
    pub(super) receipt: B256,
    pub(super) node: B256,
}

impl ChallengeRecord {
    /// Whether there is a challenge with this id.
    pub(super) fn exists(host: &mut dyn Host, id: B256) -> Result<bool, HostError> {
        let base = mapping(host, CHALLENGES, id)?;
        Ok(Turn::from_number(Packed(host.sload(base)?).u8(TURN)).is_some())
    }

    pub(super) fn load(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let base = mapping(host, CHALLENGES, id)?;
        let head = Packed(host.sload(base)?);
        let unknown = || revert(IAudits::UnknownChallenge { id });
        let turn = Turn::from_number(head.u8(TURN)).ok_or_else(unknown)?;
        let body = Packed(host.sload(offset(base, BODY_SLOT))?);
        Ok(Self {
            challenger: head.address(CHALLENGER),
            deadline: head.u64(DEADLINE),
            turn,
            level: head.u8(LEVEL),
            worker: body.address(WORKER),
            index: body.u32(INDEX),
            leaves: body.u32(LEAVES),
            receipt: host.sload(offset(base, RECEIPT_SLOT))?.into(),
            node: host.sload(offset(base, NODE_SLOT))?.into(),
        })
    }

    pub(super) fn store(&self, host: &mut dyn Host, id: B256) -> Result<(), HostError> {
        let base = mapping(host, CHALLENGES, id)?;
        let mut head = Packed::default();
        head.set_address(CHALLENGER, self.challenger);
        head.set(DEADLINE, 64, U256::from(self.deadline));
        head.set(TURN, 8, U256::from(self.turn.number()));
        head.set(LEVEL, 8, U256::from(self.level));
        host.sstore(base, head.0)?;
        let mut body = Packed::default();
        body.set_address(WORKER, self.worker);
        body.set(INDEX, 32, U256::from(self.index));
        body.set(LEAVES, 32, U256::from(self.leaves));
        host.sstore(offset(base, BODY_SLOT), body.0)?;
        host.sstore(offset(base, RECEIPT_SLOT), self.receipt.into())?;
        host.sstore(offset(base, NODE_SLOT), self.node.into())
    }

    /// The disputed node.
    pub(super) fn at(&self) -> Node {
        Node { level: self.level, index: u64::from(self.index) }
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IAudits::Challenge {
        let Self { challenger, deadline, turn, level, worker, index, leaves, receipt, node } = self;
        IAudits::Challenge {
            receipt,
            challenger,
            worker,
            turn: turn.number(),
            deadline,
            leaves,
            level,
            index,
            node,
        }
    }
}

/// Slots of the mappings.
const WEIGHTS: U256 = U256::ZERO;
const RECEIPTS: U256 = uint!(1_U256);
const CHALLENGES: U256 = uint!(2_U256);
const HISTORIES: U256 = uint!(5_U256);
/// Slots of a challenge, counted from its first, and bit positions of packed fields.
const BODY_SLOT: u64 = 1;
const RECEIPT_SLOT: u64 = 2;
const NODE_SLOT: u64 = 3;
const SENIOR: usize = 0;
const CONVICTED: usize = 160;
const PASSED: usize = 168;
const PASSED_COUNT: usize = 0;
const PASSED_AT: usize = 32;
const CONVICTED_AT: usize = 96;
const CHALLENGER: usize = 0;
const DEADLINE: usize = 160;
const TURN: usize = 224;
const LEVEL: usize = 232;
const WORKER: usize = 0;
const INDEX: usize = 160;
const LEAVES: usize = 192;
