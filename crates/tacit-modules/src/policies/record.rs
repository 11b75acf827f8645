//! Lines and proposals in storage, and policies in code.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    storage::{Packed, mapping, offset},
};
use alloy_primitives::{Address, B256, Bytes, U256, uint};
use tacit_abi::{IPolicies, policies::ADDRESS};

/// A line as stored: three slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) first: B256,
    pub(super) policy: B256,
    pub(super) delay: u64,
    pub(super) quorum: u16,
    pub(super) version: u64,
    pub(super) since: u64,
    pub(super) proposals: u32,
}

impl Line {
    pub(super) fn exists(host: &mut dyn Host, id: B256) -> Result<bool, HostError> {
        let base = mapping(host, LINES, id)?;
        Ok(!host.sload(base)?.is_zero())
    }

    /// Reads a line that must be there: no policy has the id zero.
    pub(super) fn load(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let base = mapping(host, LINES, id)?;
        let policy = B256::from(host.sload(base)?);
        if policy.is_zero() {
            return Err(revert(IPolicies::UnknownLine { line: id }));
        }
        let rules = Packed(host.sload(offset(base, RULES_SLOT))?);
        Ok(Self {
            first: host.sload(offset(base, FIRST_SLOT))?.into(),
            policy,
            delay: rules.u64(DELAY),
            quorum: rules.u16(QUORUM),
            version: rules.u64(VERSION),
            since: rules.get(SINCE, TIME_BITS).saturating_to(),
            proposals: rules.u32(PROPOSALS),
        })
    }

    pub(super) fn store(&self, host: &mut dyn Host, id: B256) -> Result<(), HostError> {
        let base = mapping(host, LINES, id)?;
        host.sstore(base, self.policy.into())?;
        host.sstore(offset(base, FIRST_SLOT), self.first.into())?;
        let mut rules = Packed::default();
        rules.set(DELAY, 64, U256::from(self.delay));
        rules.set(QUORUM, 16, U256::from(self.quorum));
        rules.set(VERSION, 64, U256::from(self.version));
        rules.set(SINCE, TIME_BITS, U256::from(self.since));
        rules.set(PROPOSALS, 32, U256::from(self.proposals));
        host.sstore(offset(base, RULES_SLOT), rules.0)
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IPolicies::Line {
        let Self { first, policy, delay, quorum, version, since, proposals } = self;
        IPolicies::Line { first, policy, delay, quorum, version, since, proposals }
    }
}

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Validators may approve it.
    Open,
    /// Accepted, and seen by everybody before it is in force.
    Waiting,
    /// It came into force; another may since have followed.
    InForce,
    /// Too few approved in time.
    Lapsed,
    /// A third took it back.
    TakenBack,
    /// Another came into force before it, or nobody put it into force in time.
    Outdated,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Open, Self::Waiting, Self::InForce, Self::Lapsed, Self::TakenBack, Self::Outdated];

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Waiting => 2,
            Self::InForce => 3,
            Self::Lapsed => 4,
            Self::TakenBack => 5,
            Self::Outdated => 6,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }
}

/// A proposal as stored: four slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) line: B256,
    pub(super) policy: B256,
    pub(super) proposer: Address,
    pub(super) status: Status,
    pub(super) narrows: bool,
    /// When it lapses while open, when it may come into force while waiting.
    pub(super) until: u64,
    /// The version of its line that it follows.
    pub(super) version: u64,
}

impl Proposal {
    /// Reads a proposal that must be there.
    pub(super) fn load(host: &mut dyn Host, id: B256) -> Result<Self, Failure> {
        let base = mapping(host, ALL_PROPOSALS, id)?;
        let head = Packed(host.sload(base)?);
        let unknown = || revert(IPolicies::UnknownProposal { proposal: id });
        let status = Status::from_number(head.u8(STATUS)).ok_or_else(unknown)?;
        Ok(Self {
            line: host.sload(offset(base, LINE_SLOT))?.into(),
            policy: host.sload(offset(base, POLICY_SLOT))?.into(),
            proposer: head.address(PROPOSER),
            status,
            narrows: head.u8(NARROWS) != 0,
            until: head.u64(UNTIL),
            version: Packed(host.sload(offset(base, VERSION_SLOT))?).u64(0),
        })
    }

    pub(super) fn store(&self, host: &mut dyn Host, id: B256) -> Result<(), HostError> {
        let base = mapping(host, ALL_PROPOSALS, id)?;
        let mut head = Packed::default();
        head.set_address(PROPOSER, self.proposer);
        head.set(UNTIL, 64, U256::from(self.until));
        head.set(STATUS, 8, U256::from(self.status.number()));
        head.set(NARROWS, 8, U256::from(self.narrows));
        host.sstore(base, head.0)?;
        host.sstore(offset(base, LINE_SLOT), self.line.into())?;
        host.sstore(offset(base, POLICY_SLOT), self.policy.into())?;
        host.sstore(offset(base, VERSION_SLOT), U256::from(self.version))
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IPolicies::Proposal {
        let Self { line, policy, proposer, status, narrows, until, version } = self;
        IPolicies::Proposal { line, policy, proposer, status: status.number(), narrows, until, version }
    }
}

/// Slot of a validator's vote on a proposal.
pub(super) fn vote_slot(host: &mut dyn Host, proposal: B256, key: B256) -> Result<U256, HostError> {
    let votes = mapping(host, VOTES, proposal)?;
    mapping(host, votes, key)
}

/// As [`tacit_abi::policies::line_id`].
pub(super) fn line_id(host: &mut dyn Host, policy: B256, delay: u64, quorum: u16) -> Result<B256, HostError> {
    let (delay, quorum) = (U256::from(delay), U256::from(quorum));
    host.keccak(&[policy.0, delay.to_be_bytes(), quorum.to_be_bytes()].concat())
}

/// As [`tacit_abi::policies::proposal_id`].
pub(super) fn proposal_id(host: &mut dyn Host, line: B256, index: u32) -> Result<B256, HostError> {
    host.keccak(&[line.0, U256::from(index).to_be_bytes()].concat())
}

/// The bytes of a policy that was kept.
pub(super) fn policy_bytes(host: &mut dyn Host, id: B256) -> Result<Vec<u8>, Failure> {
    let address = policy_address(host, id)?;
    let code = host.read_code(address)?;
    let (_, bytes) = code.split_first().ok_or_else(|| revert(IPolicies::UnknownPolicy { policy: id }))?;
    Ok(bytes.to_vec())
}

/// Keeps the bytes of a policy unless they are kept.
pub(super) fn keep_policy(host: &mut dyn Host, id: B256, bytes: &[u8]) -> Result<(), HostError> {
    let address = policy_address(host, id)?;
    if host.read_code(address)?.is_empty() {
        host.create_code(address, Bytes::from([&[STOP], bytes].concat()))?;
    }
    Ok(())
}

/// Where a policy's bytes lie: as if this module had created them from init code of the policy's hash.
fn policy_address(host: &mut dyn Host, id: B256) -> Result<Address, HostError> {
    let preimage = [&[0xff], ADDRESS.as_slice(), B256::ZERO.as_slice(), id.as_slice()].concat();
    Ok(Address::from_word(host.keccak(&preimage)?))
}

/// Slots of the mappings.
const LINES: U256 = U256::ZERO;
const ALL_PROPOSALS: U256 = uint!(1_U256);
const VOTES: U256 = uint!(2_U256);
/// Slots of a line and of a proposal, counted from their first, and bit positions of packed fields.
const RULES_SLOT: u64 = 1;
const FIRST_SLOT: u64 = 2;
const DELAY: usize = 0;
const QUORUM: usize = 64;
const VERSION: usize = 80;
const SINCE: usize = 144;
const PROPOSALS: usize = 192;
const LINE_SLOT: u64 = 1;
const POLICY_SLOT: u64 = 2;
const VERSION_SLOT: u64 = 3;
const PROPOSER: usize = 0;
const UNTIL: usize = 160;
const STATUS: usize = 224;
const NARROWS: usize = 232;
/// Width of a time, in seconds since 1970.
const TIME_BITS: usize = 48;
/// In front of a policy, so that calling its account does nothing.
const STOP: u8 = 0;
