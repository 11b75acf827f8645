//! What a node is started with.

use std::path::PathBuf;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use tacit_ledger::{Chain, Genesis, GenesisAccount};
use tacit_light::{Certifier, GroupKey};

use crate::{accounts::DEV_BALANCE, accounts::dev_accounts, pool::PoolLimits};

/// Chain id of a local development network: TACIT on a telephone's keys. No public network uses it.
pub const DEV_CHAIN_ID: u64 = 82_248;

/// Base fee of a development network: a transfer costs 2.1e-8 coins, visible in every receipt and never in the way.
pub const DEV_BASE_FEE: u64 = 1_000_000;

/// Gas of one block on a development network.
pub const DEV_GAS_LIMIT: u64 = 100_000_000;

/// Timestamp of block zero on a development network, 2026-01-01. It is fixed, so that the same accounts give the same
/// chain and a data directory can be recognised.
pub const DEV_GENESIS_TIME: u64 = 1_767_225_600;

/// Name and version that `web3_clientVersion` tells.
pub const CLIENT_VERSION: &str = concat!("tacit/v", env!("CARGO_PKG_VERSION"));

/// How a chain of validators begins, in few bytes: a genesis that is not this one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstBlock {
    /// The header; `stateRoot` and `extraData` are the validators'.
    pub header: Header,
    /// [`Genesis::first_state`], by the ledger's own commitment: a node cannot compute the validators'.
    pub state: B256,
    /// The key under which validators certify blocks, which the ledger's modules check certificates by.
    pub group: GroupKey,
}

impl FirstBlock {
    /// Who certifies the chain's blocks.
    pub(crate) fn certifier(&self, chain_id: u64) -> Certifier {
        let Self { header, group, .. } = self;
        Certifier { chain_id, genesis: header.hash_slow(), first: header.number, group: *group }
    }
}

/// Everything a node needs to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Where the chain is kept; in memory when absent.
    pub data_dir: Option<PathBuf>,
    /// How the chain begins. A data directory that begins otherwise is refused.
    pub genesis: Genesis,
    /// The first block as the validators agreed on it; without one, this process makes the blocks itself.
    pub validators: Option<FirstBlock>,
    /// Who receives priority fees.
    pub beneficiary: Address,
    /// How much the pool holds.
    pub pool: PoolLimits,
    /// What one request may cost.
    pub rpc: RpcLimits,
}

impl NodeConfig {
    /// A development network in memory with [`DEV_CHAIN_ID`], whose funded accounts are `alloc` and nobody else.
    #[must_use]
    pub fn dev(alloc: impl IntoIterator<Item = (Address, U256)>) -> Self {
        let account = |balance| GenesisAccount { balance, ..GenesisAccount::default() };
        let genesis = Genesis {
            chain: Chain {
                chain_id: DEV_CHAIN_ID,
                gas_limit: DEV_GAS_LIMIT,
                base_fee_floor: DEV_BASE_FEE,
                certifier: None,
            },
            timestamp: DEV_GENESIS_TIME,
            base_fee: DEV_BASE_FEE,
            extra_data: b"tacit development".into(),
            alloc: alloc.into_iter().map(|(address, balance)| (address, account(balance))).collect(),
            first_state: None,
            origin: None,
            staking: tacit_ledger::Staking::default(),
        };
        Self {
            data_dir: None,
            genesis,
            validators: None,
            beneficiary: Address::ZERO,
            pool: PoolLimits::default(),
            rpc: RpcLimits::default(),
        }
    }

    /// The same, with [`DEV_BALANCE`] for each of [`dev_accounts`] beside `alloc`. Everyone knows their keys.
    #[must_use]
    pub fn dev_with_public_accounts(alloc: impl IntoIterator<Item = (Address, U256)>) -> Self {
        let public = dev_accounts().map(|account| (account.address, DEV_BALANCE));
        Self::dev(public.into_iter().chain(alloc))
    }

    /// A chain that validators keep, which begins with `first`: the block of `genesis` but for what consensus decides.
    #[must_use]
    pub fn network(genesis: Genesis, first: FirstBlock) -> Self {
        Self {
            data_dir: None,
            genesis: Genesis { first_state: Some(first.state), ..genesis },
            validators: Some(first),
            beneficiary: Address::ZERO,
            pool: PoolLimits::default(),
            rpc: RpcLimits::default(),
        }
    }

    /// Keeps the chain in `data_dir`.
    #[must_use]
    pub fn with_data_dir(mut self, data_dir: Option<PathBuf>) -> Self {
        self.data_dir = data_dir;
        self
    }

    /// Sets the chain id.
    #[must_use]
    pub const fn with_chain_id(mut self, chain_id: u64) -> Self {
        self.genesis.chain.chain_id = chain_id;
        self
    }
}

/// What one request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcLimits {
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Requests in a batch.
    pub batch_requests_max: usize,
    /// Bytes of the answer to a batch, beyond which its last members are refused.
    pub response_bytes_max: usize,
    /// Connections at a time. For one more, the one that is still for longest is closed.
    pub connections_max: usize,
    /// Bytes of long bodies that arrive at a time; more wait.
    pub bodies_bytes_max: usize,
    /// Answers of more than a mebibyte that clients are taking at a time; more are refused.
    pub long_answers_max: usize,
    /// Requests handled at a time; more wait.
    pub concurrent_requests_max: usize,
    /// Of those, calls, estimates, simulations and traces: what takes a processor for seconds.
    pub concurrent_executions_max: usize,
    /// Blocks that a log query without an indexed address or topic may span.
    pub log_blocks_max: u64,
    /// Logs that one query may give.
    pub log_results_max: usize,
    /// Transactions that one log query may look at.
    pub log_candidates_max: usize,
    /// Filters kept for polling clients; the longest unused goes first.
    pub filters_max: usize,
    /// WebSocket connections at a time.
    pub sockets_max: u32,
    /// Bytes of a WebSocket message.
    pub socket_bytes_max: usize,
    /// Requests in work on one connection; more wait to be read.
    pub socket_requests_max: usize,
    /// Snapshots served at a time; none are served where it is 0.
    pub snapshots_max: usize,
    /// Subscriptions of one connection.
    pub socket_subscriptions_max: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 5 << 20,
            batch_requests_max: 1000,
            response_bytes_max: 25 << 20,
            connections_max: 1024,
            bodies_bytes_max: 128 << 20,
            long_answers_max: 16,
            concurrent_requests_max: 64,
            concurrent_executions_max: std::thread::available_parallelism()
                .map_or(1, |n| n.get().div_ceil(2)),
            log_blocks_max: 10_000,
            log_results_max: 20_000,
            log_candidates_max: 50_000,
            filters_max: 1000,
            sockets_max: 256,
            socket_bytes_max: 1 << 20,
            socket_requests_max: 16,
            snapshots_max: 2,
            socket_subscriptions_max: 64,
        }
    }
}
