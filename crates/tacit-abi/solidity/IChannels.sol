// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Unidirectional payment channels in the native coin, at 0x7ac1700000000000000000000000000000000002.
interface IChannels {
    /// `closeAt` is 0 until the client requests to close; `open` is false once closed (ids are never reused).
    struct Channel {
        address client;
        address worker;
        address signer;
        uint128 deposit;
        uint128 settled;
        uint64 closeAt;
        bool open;
    }

    event Opened(bytes32 indexed channelId, address indexed client, address indexed worker, address signer, uint128 deposit);
    event ToppedUp(bytes32 indexed channelId, uint128 amount, uint128 deposit);
    event Settled(bytes32 indexed channelId, address indexed worker, uint128 paid, uint128 cumulative);
    event CloseRequested(bytes32 indexed channelId, uint64 closeAt);
    event Closed(bytes32 indexed channelId, address indexed worker, uint128 paid, uint128 refunded);

    error ChannelExists(bytes32 channelId);
    error UnknownChannel(bytes32 channelId);
    error ChannelClosed(bytes32 channelId);
    error ZeroDeposit();
    error DepositTooLarge();
    error ZeroWorker();
    error NotClient(address caller);
    error NotWorker(address caller);
    error BadSignature();
    error StaleVoucher(uint128 settled, uint128 cumulative);
    error ExceedsDeposit(uint128 deposit, uint128 cumulative);
    error CloseAlreadyRequested(uint64 closeAt);
    error GraceRunning(uint64 closeAt);

    /// Opens a channel with the sent coin as deposit. `signer` signs vouchers (zero: the caller).
    function open(address worker, address signer, bytes32 salt) external payable returns (bytes32 channelId);
    function topUp(bytes32 channelId) external payable;
    /// Pays the worker up to `cumulative`; anyone may send it, the voucher decides.
    function settle(bytes32 channelId, uint128 cumulative, bytes calldata signature) external;
    /// Client only: starts the grace period in which the worker may still settle.
    function requestClose(bytes32 channelId) external;
    /// Client only, after grace: returns what was never vouchered and settled.
    function close(bytes32 channelId) external;
    /// Worker only, any time: settles a last voucher (or none, with `cumulative` equal to what is settled and an
    /// empty signature) and returns the rest to the client.
    function closeByWorker(bytes32 channelId, uint128 cumulative, bytes calldata signature) external;

    function channel(bytes32 channelId) external view returns (Channel memory);
    function channelId(address client, address worker, address signer, bytes32 salt) external view returns (bytes32);
}
