//! Votes on proposals, counted by stake.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    policies::record::vote_slot,
    validators,
};
use alloy_primitives::{B256, U256};
use tacit_abi::{
    IPolicies,
    policies::{QUORUM_PARTS, TAKE_BACK_PARTS},
};

/// What a validator said of a proposal last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vote {
    /// It should come into force.
    Approves,
    /// It should not, though it was accepted.
    Objects,
}

impl Vote {
    fn number(self) -> u8 {
        match self {
            Self::Approves => 1,
            Self::Objects => 2,
        }
    }
}

/// Notes the vote of the caller's validator, which must vote in this epoch; its key.
pub(super) fn cast(host: &mut dyn Host, proposal: B256, vote: Vote) -> Result<B256, Failure> {
    let caller = host.context().caller;
    let key = validators::key_of(host, caller)?;
    let seated = !key.is_zero() && validators::seats(host)?.iter().any(|seat| seat.key == key);
    if !seated {
        return Err(revert(IPolicies::NoVote { caller }));
    }
    let slot = vote_slot(host, proposal, key)?;
    let number = U256::from(vote.number());
    if host.sload(slot)? == number {
        return Err(revert(IPolicies::AlreadyVoted { key }));
    }
    host.sstore(slot, number)?;
    Ok(key)
}

/// Stake of those who vote in this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) approving: u128,
    pub(super) objecting: u128,
    pub(super) total: u128,
}

impl Tally {
    /// Counts what those say who vote now.
    pub(super) fn count(host: &mut dyn Host, proposal: B256) -> Result<Self, HostError> {
        let mut tally = Self::default();
        // All stakes together are coin that exists, of 128 bits.
        let add = |sum: u128, stake: u128| sum.checked_add(stake).ok_or(HostError::Payment);
        for seat in validators::seats(host)? {
            tally.total = add(tally.total, seat.stake)?;
            let slot = vote_slot(host, proposal, seat.key)?;
            let said = host.sload(slot)?;
            if said == U256::from(Vote::Approves.number()) {
                tally.approving = add(tally.approving, seat.stake)?;
            } else if said == U256::from(Vote::Objects.number()) {
                tally.objecting = add(tally.objecting, seat.stake)?;
            }
        }
        Ok(tally)
    }

    /// Whether as much approves as a line asks for.
    pub(super) fn accepts(&self, quorum: u16) -> bool {
        parts(self.approving, QUORUM_PARTS) >= parts(self.total, quorum) && self.total > 0
    }

    /// Whether enough objects.
    pub(super) fn takes_back(&self) -> bool {
        let objecting = U256::from(self.objecting).saturating_mul(U256::from(TAKE_BACK_PARTS));
        objecting >= U256::from(self.total) && self.objecting > 0
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IPolicies::Tally {
        let Self { approving, objecting, total } = self;
        IPolicies::Tally { approving, objecting, total }
    }
}

/// So many times a stake: 144 bits.
fn parts(stake: u128, count: u16) -> U256 {
    U256::from(stake).saturating_mul(U256::from(count))
}
