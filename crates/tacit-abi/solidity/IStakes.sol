// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// What workers lose when they are caught, at 0x7ac1700000000000000000000000000000000006.
interface IStakes {
    /// A worker's stake. `bonded` backs its asks; `unbonding` is on its way home until `releaseAt` (Unix seconds), and can be lost until then.
    struct Stake {
        uint128 bonded;
        uint128 unbonding;
        uint64 releaseAt;
    }

    event Bonded(address indexed worker, uint128 amount, uint128 bonded);
    event Unbonding(address indexed worker, uint128 amount, uint64 releaseAt);
    event Withdrawn(address indexed worker, uint128 amount);
    /// All that a worker had was taken, bonded and unbonding.
    event Slashed(address indexed worker, address indexed reporter, uint128 burned, uint128 reward);

    error ZeroAmount();
    error StakeTooLarge();
    error StakeTooSmall(uint128 bonded);
    error StillBonded(uint64 releaseAt);
    error NothingUnbonding();

    /// Adds the coin sent to the caller's stake.
    function bond() external payable;
    /// Takes `amount` out of what backs the caller's asks. All that is unbonding comes home together, UNBONDING_S after the last call.
    function unbond(uint128 amount) external;
    /// Pays out what was unbonding, once its time has come.
    function withdraw() external;

    function stakeOf(address worker) external view returns (Stake memory);
}
