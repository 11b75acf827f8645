// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Lines of attestation policies, at 0x7ac1700000000000000000000000000000000009.
///
/// A line is a policy that changes in the open, and nobody's: anyone may propose its next policy, validators decide by the stake that they vote with in
/// the epoch, and what they decided waits before it is in force. Policies are the bytes of specs/0012-attestation.md.
interface IPolicies {
    /// It began with `first`, and `policy` is in force since `since` (Unix seconds). What was accepted waits `delay` seconds; `quorum` is the share of stake that
    /// has to approve, in ten-thousandths; the line's id is a hash of `first` and these two. `version` counts policies from 1, `proposals` those that were made.
    struct Line {
        bytes32 first;
        bytes32 policy;
        uint64 delay;
        uint16 quorum;
        uint64 version;
        uint64 since;
        uint32 proposals;
    }

    /// `status`: 1 open, 2 waiting, 3 in force once, 4 lapsed, 5 taken back, 6 outdated. `version` is that of the line which it would follow. It
    /// `narrows` if it only takes away from that one's policy. `until`: when it lapses while open, when it may come into force while waiting.
    struct Proposal {
        bytes32 line;
        bytes32 policy;
        address proposer;
        uint8 status;
        bool narrows;
        uint64 until;
        uint64 version;
    }

    /// Stake of those who vote in this epoch: all of it, and that of validators who approved or want it taken back.
    struct Tally {
        uint128 approving;
        uint128 objecting;
        uint128 total;
    }

    event Opened(bytes32 indexed line, bytes32 indexed policy, uint64 delay, uint16 quorum);
    event Proposed(bytes32 indexed proposal, bytes32 indexed line, bytes32 indexed policy, address proposer, bool narrows, uint64 until);
    event Approved(bytes32 indexed proposal, bytes32 indexed key, uint128 approving, uint128 total);
    /// As much stake approved as the line asks for; in force no sooner than `until`.
    event Accepted(bytes32 indexed proposal, uint64 until);
    event Objected(bytes32 indexed proposal, bytes32 indexed key, uint128 objecting, uint128 total);
    event InForce(bytes32 indexed proposal, bytes32 indexed line, bytes32 indexed policy, uint64 version);
    /// It will not come into force. `status` as in Proposal; the bond went home, but of a lapsed one.
    event Closed(bytes32 indexed proposal, uint8 status);

    error UnknownLine(bytes32 line);
    error LineExists(bytes32 line);
    error BadDelay(uint64 least, uint64 most);
    error BadQuorum(uint16 least, uint16 most);
    error PolicyTooLong(uint32 limit);
    /// The bytes are no policy; the check of this name refuses them.
    error BadPolicy(string check);
    error UnknownPolicy(bytes32 policy);
    error SamePolicy(bytes32 policy);
    error ProposalBond(uint128 bond);
    error UnknownProposal(bytes32 proposal);
    error WrongStatus(uint8 status);
    /// Another policy came into force since it was proposed.
    error Outdated(uint64 version);
    error VoteOver(uint64 until);
    error StillWaiting(uint64 until);
    /// The caller's validator does not vote in this epoch, or it has none.
    error NoVote(address caller);
    error AlreadyVoted(bytes32 key);

    /// Opens a line with its first policy in force. Its id is keccak256(abi.encode(policy id, delay, quorum)).
    function open(bytes calldata policy, uint64 delay, uint16 quorum) external returns (bytes32 line);
    /// Proposes a line's next policy, with BOND in coin.
    function propose(bytes32 line, bytes calldata policy) external payable returns (bytes32 proposal);
    /// The caller's validator approves, within VOTE_S of the proposal.
    function approve(bytes32 proposal) external;
    /// The caller's validator wants what was accepted taken back; a third of the stake does that.
    function takeBack(bytes32 proposal) external;
    /// Puts into force what has waited, or closes what cannot come into force any more. Anyone may.
    function settle(bytes32 proposal) external;

    function lineOf(bytes32 line) external view returns (Line memory);
    /// Bytes of a policy that was in a line or proposed for one.
    function policyOf(bytes32 policy) external view returns (bytes memory);
    function proposalOf(bytes32 proposal) external view returns (Proposal memory);
    /// Proposals of a line are numbered from 0.
    function proposalId(bytes32 line, uint32 index) external view returns (bytes32);
    function tallyOf(bytes32 proposal) external view returns (Tally memory);
}
