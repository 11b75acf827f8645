//! The ledger as a process: store, pool, JSON-RPC, development mode.
//!
//! [`Node::open`] opens a chain in a directory or in memory, [`Node::serve`] answers Ethereum JSON-RPC for it. In
//! development mode blocks are made at once: a transaction's sender hears back when its block is durable. The executor
//! ([`tacit_ledger`]) and the store's trait are those that a validator uses, so that one machine and many differ by
//! configuration.
//!
//! # Life of a transaction
//! 1. [`rpc`] reads the request; [`admission`] decodes the bytes and recovers the sender, on the request's own task.
//! 2. The writer thread checks it against the state and puts it into the [`pool`].
//! 3. Everything that is ready is executed on the parent state and sealed into a block.
//! 4. The [`store`] writes block, state, receipts and indices in one transaction and synchronises the disk.
//! 5. Only then is the block visible, and the sender answered.
//!
//! # What holds
//! - What was acknowledged survives `kill -9`, at any write; the state is always that of some block.
//! - One writer; readers work on consistent views and never block it.
//! - Every queue, body, batch, filter and result is bounded ([`PoolLimits`], [`RpcLimits`]).
//!
//! # Validators
//! With [`NodeConfig::validators`] the node makes no blocks: it offers transactions ([`Node::ready`], [`Node::propose`]),
//! takes final blocks ([`Node::append`]), executes each of them once more for its receipts and stops if the header is not
//! the very same, and serves them like its own.
//!
//! # Followers
//! A [`follower`] takes blocks that validators made final from other nodes, checks that they are, and appends them like a
//! validator's node. It may begin with a [`snapshot`] of the state.
//!
//! # What does not
//! - No `eth_getProof` (the state root is not a Merkle-Patricia trie).
//! - Development methods (`evm_*`) are open to whoever reaches the port; listen on the loopback address.

mod accounts;
pub mod admission;
mod config;
mod export;
mod follow;
pub mod follower;
mod genesis_file;
mod node;
pub mod pool;
pub mod rpc;
mod shared;
pub mod snapshot;
pub mod store;
mod writer;

pub use self::{
    accounts::{DEV_BALANCE, DEV_MNEMONIC, DevAccount, dev_accounts},
    config::{
        CLIENT_VERSION, DEV_BASE_FEE, DEV_CHAIN_ID, DEV_GAS_LIMIT, DEV_GENESIS_TIME, FirstBlock, NodeConfig,
        RpcLimits,
    },
    export::export,
    follow::{BLOCKS_BYTES_MAX, BLOCKS_MAX, RawBlock, Taken},
    genesis_file::{GenesisFileError, Written, read_genesis, write_genesis},
    node::{Node, NodeError},
    pool::{PoolLimits, Rejected},
    store::StoreError,
    writer::{FinalBlock, WriteError},
};
