//! `channels`: one deposit, many vouchers, two transactions.

use alloy_primitives::{Address, B256, Bytes, address, keccak256};
use alloy_sol_types::{Eip712Domain, SolValue};

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000002");

/// Seconds between `requestClose` and the moment the client may take the remainder.
pub const GRACE_S: u64 = 900;

alloy_sol_types::sol! {
    /// The client's cumulative promise: everything owed on this channel so far.
    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Voucher {
        bytes32 channelId;
        uint128 cumulative;
    }

    /// Unidirectional payment channels in the native coin.
    #[derive(Debug, PartialEq, Eq)]
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
        event Settled(bytes32 indexed channelId, uint128 paid, uint128 cumulative);
        event CloseRequested(bytes32 indexed channelId, uint64 closeAt);
        event Closed(bytes32 indexed channelId, uint128 paid, uint128 refunded);

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
}

/// `keccak256(abi.encode(chainId, ADDRESS, client, worker, signer, salt))`, with the real signer (never zero).
#[must_use]
pub fn channel_id(chain_id: u64, client: Address, worker: Address, signer: Address, salt: B256) -> B256 {
    keccak256((alloy_primitives::U256::from(chain_id), ADDRESS, client, worker, signer, salt).abi_encode())
}

/// EIP-712 domain of [`Voucher`].
#[must_use]
pub fn domain(chain_id: u64) -> Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: "Tacit Channels",
        version: "1",
        chain_id: chain_id,
        verifying_contract: ADDRESS,
    }
}

/// A voucher with its 65-byte `r || s || v` signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedVoucher {
    /// What is promised.
    pub voucher: Voucher,
    /// By the channel's signer over the EIP-712 digest.
    pub signature: Bytes,
}
