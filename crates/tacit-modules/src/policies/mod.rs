//! `policies`: what evidence of hardware is accepted, changed in the open and by nobody alone.
//!
//! A line is a policy (`tacit-policy`) with rules for its own change. It is named by a hash of its first policy and its rules, so it
//! has no owner and its rules never change. Anyone proposes a line's next policy, with a bond; validators approve by the stake that they vote with; what
//! they accepted waits, is seen by everybody, may be taken back, and is then in force. Threat model and design: `specs/0012-attestation.md`.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `mapping(bytes32 => Line) lines` |
//! | 1 | `mapping(bytes32 => Proposal) proposals` |
//! | 2 | `mapping(bytes32 => mapping(bytes32 => uint8)) votes` by proposal and validator's key: 1 approves, 2 objects |
//!
//! The bytes of policies are no slots but code, as parts of graphs are ([`crate::proofs`]): those of policy `id` are the code, with a zero byte
//! (`STOP`) in front, of the account at the `CREATE2` address of (this module, salt 0, init-code hash `id`).
//!
//! # Messages
//! `open`, `propose` (payable), `approve`, `takeBack`, `settle`, and the views `lineOf`, `policyOf`, `proposalOf`, `proposalId`, `tallyOf`.
//!
//! # Invariants
//! - The module's balance covers [`BOND`] for each proposal that is open or waiting; it is larger only by coin that was forced on it outside any method.
//! - A line's policy changes only by a proposal that the line's quorum of stake approved, more than two thirds, no sooner than the line's
//!   delay afterwards, three days at least; or an hour, when it only takes away ([`Policy::narrows`]).
//! - A proposal follows one version of its line and no other: what was accepted before a hole was closed does not open it again.
//! - Stake counts that votes in the epoch of the count, once, whoever approved: what left meanwhile counts no more.
//! - A bond is burned when too few approved in time, and goes home in every other case.
//! - No account has a right that others do not have, but for the stake that its validator votes with. Where nobody has stake, as on a new
//!   development ledger, lines can be opened and followed, and none changes.
//!
//! # Gas
//! EVM prices for slots and code; for reading policies [`mod@gas`], charged before. A vote walks the list of validators, five slots each, and
//! the votes of those who are seated.

pub mod gas;
mod record;
mod votes;

use crate::{
    dispatch::{Access, Failure, check_name, decode, revert},
    host::{Host, HostError},
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use record::{Line, Proposal, Status};
use tacit_abi::{
    IPolicies::{self, IPoliciesCalls},
    policies::{
        BOND, DELAY_MAX_S, DELAY_MIN_S, ENACT_S, NARROW_DELAY_S, POLICY_BYTES_MAX, QUORUM_MIN, QUORUM_PARTS,
        VOTE_S,
    },
    validators::BURNED,
};
use tacit_policy::Policy;
use votes::{Tally, Vote};

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IPolicies`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IPoliciesCalls>(host, input, |call| match call {
        IPoliciesCalls::propose(_) => Access::Payable,
        IPoliciesCalls::open(_)
        | IPoliciesCalls::approve(_)
        | IPoliciesCalls::takeBack(_)
        | IPoliciesCalls::settle(_) => Access::Write,
        IPoliciesCalls::lineOf(_)
        | IPoliciesCalls::policyOf(_)
        | IPoliciesCalls::proposalOf(_)
        | IPoliciesCalls::proposalId(_)
        | IPoliciesCalls::tallyOf(_) => Access::View,
    })?;
    Ok(match call {
        IPoliciesCalls::open(call) => {
            let line = open(host, &call.policy, call.delay, call.quorum)?;
            IPolicies::openCall::abi_encode_returns(&line)
        }
        IPoliciesCalls::propose(call) => {
            IPolicies::proposeCall::abi_encode_returns(&propose(host, call.line, &call.policy)?)
        }
        IPoliciesCalls::approve(call) => approve(host, call.proposal).map(|()| Vec::new())?,
        IPoliciesCalls::takeBack(call) => take_back(host, call.proposal).map(|()| Vec::new())?,
        IPoliciesCalls::settle(call) => settle(host, call.proposal).map(|()| Vec::new())?,
        IPoliciesCalls::lineOf(call) => {
            IPolicies::lineOfCall::abi_encode_returns(&Line::load(host, call.line)?.into_abi())
        }
        IPoliciesCalls::policyOf(call) => {
            IPolicies::policyOfCall::abi_encode_returns(&record::policy_bytes(host, call.policy)?.into())
        }
        IPoliciesCalls::proposalOf(call) => {
            let proposal = Proposal::load(host, call.proposal)?;
            IPolicies::proposalOfCall::abi_encode_returns(&proposal.into_abi())
        }
        IPoliciesCalls::proposalId(call) => {
            let id = record::proposal_id(host, call.line, call.index)?;
            IPolicies::proposalIdCall::abi_encode_returns(&id)
        }
        IPoliciesCalls::tallyOf(call) => {
            Proposal::load(host, call.proposal)?;
            IPolicies::tallyOfCall::abi_encode_returns(&Tally::count(host, call.proposal)?.into_abi())
        }
    }
    .into())
}

fn open(host: &mut dyn Host, bytes: &[u8], delay: u64, quorum: u16) -> Result<B256, Failure> {
    if !(DELAY_MIN_S..=DELAY_MAX_S).contains(&delay) {
        return Err(revert(IPolicies::BadDelay { least: DELAY_MIN_S, most: DELAY_MAX_S }));
    }
    if !(QUORUM_MIN..=QUORUM_PARTS).contains(&quorum) {
        return Err(revert(IPolicies::BadQuorum { least: QUORUM_MIN, most: QUORUM_PARTS }));
    }
    let policy = read(host, bytes)?.id();
    let id = record::line_id(host, policy, delay, quorum)?;
    if Line::exists(host, id)? {
        return Err(revert(IPolicies::LineExists { line: id }));
    }
    record::keep_policy(host, policy, bytes)?;
    let since = host.context().now;
    Line { first: policy, policy, delay, quorum, version: 1, since, proposals: 0 }.store(host, id)?;
    host.emit(IPolicies::Opened { line: id, policy, delay, quorum }.encode_log_data())?;
    Ok(id)
}

fn propose(host: &mut dyn Host, line_id: B256, bytes: &[u8]) -> Result<B256, Failure> {
    let context = host.context();
    if context.value != U256::from(BOND) {
        return Err(revert(IPolicies::ProposalBond { bond: BOND }));
    }
    let mut line = Line::load(host, line_id)?;
    let next = read(host, bytes)?;
    let policy = next.id();
    if policy == line.policy {
        return Err(revert(IPolicies::SamePolicy { policy }));
    }
    let base = record::policy_bytes(host, line.policy)?;
    let narrows = next.narrows(&read(host, &base)?);
    record::keep_policy(host, policy, bytes)?;
    let id = record::proposal_id(host, line_id, line.proposals)?;
    // Each costs a bond: there are never so many.
    line.proposals = line.proposals.checked_add(1).ok_or(HostError::Payment)?;
    line.store(host, line_id)?;
    let (proposer, until) = (context.caller, context.now.saturating_add(VOTE_S));
    let (status, version) = (Status::Open, line.version);
    Proposal { line: line_id, policy, proposer, status, narrows, until, version }.store(host, id)?;
    let proposed = IPolicies::Proposed { proposal: id, line: line_id, policy, proposer, narrows, until };
    host.emit(proposed.encode_log_data())?;
    Ok(id)
}

/// A proposal of this status, and its line, which is still of the version that it follows.
fn current(host: &mut dyn Host, id: B256, status: Status) -> Result<(Proposal, Line), Failure> {
    let proposal = Proposal::load(host, id)?;
    if proposal.status != status {
        return Err(revert(IPolicies::WrongStatus { status: proposal.status.number() }));
    }
    let line = Line::load(host, proposal.line)?;
    if line.version != proposal.version {
        return Err(revert(IPolicies::Outdated { version: line.version }));
    }
    Ok((proposal, line))
}

fn approve(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let (mut proposal, line) = current(host, id, Status::Open)?;
    let now = host.context().now;
    if now > proposal.until {
        return Err(revert(IPolicies::VoteOver { until: proposal.until }));
    }
    let key = votes::cast(host, id, Vote::Approves)?;
    let tally = Tally::count(host, id)?;
    let Tally { approving, total, .. } = tally;
    host.emit(IPolicies::Approved { proposal: id, key, approving, total }.encode_log_data())?;
    if !tally.accepts(line.quorum) {
        return Ok(());
    }
    let delay = if proposal.narrows { NARROW_DELAY_S } else { line.delay };
    proposal.status = Status::Waiting;
    proposal.until = now.saturating_add(delay);
    proposal.store(host, id)?;
    Ok(host.emit(IPolicies::Accepted { proposal: id, until: proposal.until }.encode_log_data())?)
}

fn take_back(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let (proposal, _) = current(host, id, Status::Waiting)?;
    let key = votes::cast(host, id, Vote::Objects)?;
    let tally = Tally::count(host, id)?;
    let Tally { objecting, total, .. } = tally;
    host.emit(IPolicies::Objected { proposal: id, key, objecting, total }.encode_log_data())?;
    if tally.takes_back() { close(host, id, proposal, Status::TakenBack) } else { Ok(()) }
}

fn settle(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let proposal = Proposal::load(host, id)?;
    let Proposal { status, until, .. } = proposal;
    if !matches!(status, Status::Open | Status::Waiting) {
        return Err(revert(IPolicies::WrongStatus { status: status.number() }));
    }
    let (now, line) = (host.context().now, Line::load(host, proposal.line)?);
    if line.version != proposal.version {
        return close(host, id, proposal, Status::Outdated);
    }
    match status {
        Status::Open if now > until => close(host, id, proposal, Status::Lapsed),
        Status::Waiting if now > until.saturating_add(ENACT_S) => close(host, id, proposal, Status::Outdated),
        Status::Waiting if now >= until => put_into_force(host, id, proposal, line),
        _ => Err(revert(IPolicies::StillWaiting { until })),
    }
}

fn put_into_force(
    host: &mut dyn Host,
    id: B256,
    mut proposal: Proposal,
    mut line: Line,
) -> Result<(), Failure> {
    proposal.status = Status::InForce;
    proposal.store(host, id)?;
    line.policy = proposal.policy;
    line.since = host.context().now;
    // One for each proposal, of which there are never so many.
    line.version = line.version.checked_add(1).ok_or(HostError::Payment)?;
    line.store(host, proposal.line)?;
    host.pay(proposal.proposer, U256::from(BOND))?;
    let in_force = IPolicies::InForce {
        proposal: id,
        line: proposal.line,
        policy: proposal.policy,
        version: line.version,
    };
    Ok(host.emit(in_force.encode_log_data())?)
}

/// Ends a proposal that does not come into force. Its bond is burned if it lapsed.
fn close(host: &mut dyn Host, id: B256, mut proposal: Proposal, status: Status) -> Result<(), Failure> {
    proposal.status = status;
    proposal.store(host, id)?;
    let payee = if status == Status::Lapsed { BURNED } else { proposal.proposer };
    host.pay(payee, U256::from(BOND))?;
    Ok(host.emit(IPolicies::Closed { proposal: id, status: status.number() }.encode_log_data())?)
}

/// Reads a policy, charging for it.
fn read(host: &mut dyn Host, bytes: &[u8]) -> Result<Policy, Failure> {
    if bytes.len() > POLICY_BYTES_MAX {
        let limit = u32::try_from(POLICY_BYTES_MAX).unwrap_or(u32::MAX);
        return Err(revert(IPolicies::PolicyTooLong { limit }));
    }
    host.charge(gas::reading(bytes.len()))?;
    Policy::decode(bytes).map_err(|error| revert(IPolicies::BadPolicy { check: check_name(&error) }))
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
