// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Stakes of the validators of this ledger, and their loss, at 0x7ac1700000000000000000000000000000000005.
///
/// Block b belongs to epoch (b - firstBlock) / epochBlocks. What is done in epoch e counts from epoch e + 4 on.
interface IValidators {
    /// `status`: 1 active, 2 leaving, 3 gone, 4 barred for good. `stake` is the coin held. `exitEpoch` (the first epoch
    /// without this validator) and `releaseAt` (seconds) are zero until it leaves.
    struct Validator {
        bytes32 key;
        address owner;
        uint8 status;
        uint128 stake;
        uint64 exitEpoch;
        uint64 releaseAt;
    }

    /// One member of the set of an epoch, with the stake that got it there.
    struct Seat {
        bytes32 key;
        address owner;
        uint128 stake;
    }

    /// Fixed at genesis.
    struct Parameters {
        uint64 epochBlocks;
        uint64 unbondingSeconds;
        uint32 unbondingEpochs;
        uint16 seats;
        uint16 candidates;
        uint64 firstBlock;
        uint128 stakeMin;
    }

    event Joined(bytes32 indexed key, address indexed owner, uint128 stake, uint64 fromEpoch);
    event ToppedUp(bytes32 indexed key, uint128 amount, uint128 stake, uint64 fromEpoch);
    event Left(bytes32 indexed key, address indexed owner, uint64 exitEpoch, uint64 releaseAt);
    event Withdrawn(bytes32 indexed key, address indexed owner, uint128 amount);
    /// `kind`: 7 two notarizations, 8 two finalizations, 9 a nullification and a finalization, of one view.
    event Slashed(bytes32 indexed key, address indexed reporter, uint8 kind, uint64 voteEpoch, uint64 voteView, uint128 burned, uint128 reward);

    error StakeTooSmall(uint128 stake, uint128 least);
    error StakeTooLarge();
    /// Not a point of the curve, or of small order.
    error BadKey(bytes32 key);
    error BadProof();
    error KeyTaken(bytes32 key);
    error KeyBarred(bytes32 key);
    error OwnerTaken(address owner, bytes32 key);
    /// As many candidates as there may be, none with less stake than this one.
    error TooManyCandidates(uint16 limit);
    /// Places of those who left become free when the next epoch begins.
    error TooManyLeaving();
    error NotOwner(address caller);
    error UnknownValidator(bytes32 key);
    error AlreadyLeaving(bytes32 key);
    error LastValidator();
    error NotLeaving(bytes32 key);
    error StillUnbonding(uint64 epoch, uint64 releaseAt);
    /// The evidence fails the check of this name.
    error BadEvidence(string check);
    error EpochOutOfReach(uint64 first, uint64 last);
    /// This ledger began without rules of stake.
    error NotConfigured();

    /// Makes the caller the owner of a validator with the sent coin as stake. `proof`: the key's ed25519 signature over
    /// the caller, see specs/0008-validators.md. One validator an owner; a key may come back after it left, not after it was barred.
    function join(bytes32 key, bytes calldata proof) external payable;
    /// Adds the sent coin to the stake of the caller's validator.
    function topUp() external payable;
    /// Ends the caller's validator: it is in no set from the fourth epoch after this one on.
    function leave() external;
    /// Returns the stake once unbonding is over: unbondingEpochs after exitEpoch, and as many more as there were epochs whose
    /// validators stayed on since, and unbondingSeconds after leaving.
    function withdraw() external;
    /// Burns the stake of a key that signed both of two votes that no honest validator signs both, and bars the key. The caller
    /// gets a twentieth of the least stake.
    function slash(bytes32 key, bytes calldata evidence) external;

    function validator(bytes32 key) external view returns (Validator memory);
    /// Zero when the owner has no validator.
    function keyOf(address owner) external view returns (bytes32);
    function epoch() external view returns (uint64);
    /// Validators of the current epoch or one of the next three, most stake first, equal stakes by key. The fourth may be
    /// asked too: it is what stands so far.
    function validatorSet(uint64 epoch) external view returns (Seat[] memory);
    function parameters() external view returns (Parameters memory);
    /// What every vote of this network is bound to.
    function namespace() external view returns (bytes32);
}
