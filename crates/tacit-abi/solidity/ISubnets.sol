// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Open tasks on which validators score workers, at 0x7ac170000000000000000000000000000000000a.
///
/// Time goes in epochs from a subnet's start. In an epoch validators commit to weights, one for each worker's seat; in the first `revealSeconds` of the next they reveal them;
/// then anybody closes the epoch: Yuma consensus says who is paid what out of the subnet's pool. Nobody owns a subnet, and no coin is made.
interface ISubnets {
    /// What a subnet fixes once. Shares are of 65535. `rule`: 0 classic bonds, 1 Yuma 3, 2 Yuma 3 with liquid alpha. `bondsAverage` and `payout` are in
    /// millionths: what bonds keep from epoch to epoch, and what an epoch pays of the pool. `quorum`: share of all stake that must have revealed.
    struct Terms {
        bytes32 task;
        string text;
        uint16 kappa;
        uint16 bondsPenalty;
        uint32 bondsAverage;
        uint8 rule;
        uint16 alphaLow;
        uint16 alphaHigh;
        uint16 alphaSteepness;
        uint16 quorum;
        uint16 workersMax;
        uint16 validatorsMax;
        uint32 epochSeconds;
        uint32 revealSeconds;
        uint32 payout;
        uint128 fee;
        uint128 stakeMin;
    }

    /// A subnet. `epoch` is the one that is going on; `next` the earliest that was not closed, `paid` what the last that was closed paid.
    struct Subnet {
        Terms terms;
        uint128 pool;
        uint64 start;
        uint64 epoch;
        uint64 next;
        uint128 paid;
    }

    /// A worker, with what the last epoch said of it in steps of 2^-32, and paid it. `since` is the epoch in which it took its seat.
    struct Worker {
        address account;
        uint16 seat;
        uint64 since;
        uint64 consensus;
        uint64 rank;
        uint64 trust;
        uint64 incentive;
        uint128 reward;
    }

    /// A validator, likewise. `committed` and `revealed` are the last epochs, plus one, for which it did that; 0 for never.
    struct Validator {
        address account;
        uint16 seat;
        uint64 since;
        uint128 stake;
        uint64 trust;
        uint64 dividends;
        uint128 reward;
        uint64 committed;
        uint64 revealed;
    }

    /// Stake on its way home until `releaseAt` (Unix seconds).
    struct Leaving {
        uint128 amount;
        uint64 releaseAt;
    }

    event Created(uint64 indexed id, address indexed creator, bytes32 indexed task);
    event Deposited(uint64 indexed id, address indexed from, uint128 amount);
    event Registered(uint64 indexed id, address indexed worker, uint16 seat);
    event Resigned(uint64 indexed id, address indexed worker, uint16 seat);
    event Bonded(uint64 indexed id, address indexed validator, uint128 amount, uint128 stake);
    event Unbonding(uint64 indexed id, address indexed validator, uint128 amount, uint64 releaseAt);
    event Withdrawn(uint64 indexed id, address indexed validator, uint128 amount);
    event Committed(uint64 indexed id, uint64 indexed epoch, address indexed validator, bytes32 commitment);
    event Revealed(uint64 indexed id, uint64 indexed epoch, address indexed validator, uint16[] weights);
    /// `agreed` is false where nothing was paid for want of a quorum or of any agreement.
    event Closed(uint64 indexed id, uint64 indexed epoch, bool agreed, uint128 paid);
    event Claimed(address indexed account, uint128 amount);

    error UnknownSubnet(uint64 id);
    /// The field of this name cannot be so.
    error BadTerms(string field);
    error ZeroAmount();
    error AmountTooLarge();
    error WrongFee(uint128 fee);
    error AlreadyRegistered(uint16 seat);
    error NotRegistered();
    /// No seat is free, and none can be taken from its holder.
    error Full();
    error TooLittleStake(uint128 least);
    error NotValidator();
    error NothingLeaving();
    error StillBonded(uint64 releaseAt);
    error WrongEpoch(uint64 epoch);
    error NotInWindow(uint64 from, uint64 until);
    error NoCommitment();
    error BadReveal();
    error AlreadyRevealed();
    error TooManyWeights(uint16 limit);
    error NothingToClaim();

    function create(Terms calldata terms) external returns (uint64 id);
    /// Adds the coin sent to a subnet's pool, for good.
    function deposit(uint64 id) external payable;

    /// Takes a seat as a worker; the value sent must be the fee, which goes to the pool. Where no seat is free, the worker that earned least loses its own, once it had
    /// IMMUNITY_EPOCHS to show what it can.
    function register(uint64 id) external payable returns (uint16 seat);
    function resign(uint64 id) external;

    /// Adds the coin sent to the caller's stake, and gives it a seat. Where none is free, the validator with least stake loses its own to one that has more.
    function bond(uint64 id) external payable;
    /// Takes `amount` out of the caller's stake; what is left is nothing, or enough. It comes home once the next epoch has ended, all that is leaving together.
    function unbond(uint64 id, uint128 amount) external;
    function withdraw(uint64 id) external;

    /// Commits to weights for the epoch that is going on: keccak256(abi.encode(chain id, id, epoch, validator, salt, weights)). The last commitment counts, with the stake at that time.
    function commit(uint64 id, uint64 epoch, bytes32 commitment) external;
    /// Opens it, in the window after the epoch. Weights are by seat; what is left out is nothing.
    function reveal(uint64 id, uint64 epoch, bytes32 salt, uint16[] calldata weights) external;
    /// Ends an epoch whose window is over: the earliest that can still be ended.
    function close(uint64 id, uint64 epoch) external;
    /// Pays out what the caller earned in all subnets.
    function claim() external;

    function count() external view returns (uint64);
    function subnet(uint64 id) external view returns (Subnet memory);
    function workers(uint64 id) external view returns (Worker[] memory);
    function validators(uint64 id) external view returns (Validator[] memory);
    function leavingOf(uint64 id, address validator) external view returns (Leaving memory);
    function creditOf(address account) external view returns (uint128);
}
