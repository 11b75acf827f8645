//! The engine: consensus, dissemination, archives, state and application of one validator, put together once for any runtime.
//!
//! ```text
//!            votes, certificates                    blocks
//!   simplex ──┬────────────────── Deferred ── marshal ── broadcast, backfill
//!      │      │ one for each epoch    │            │
//!      │   Witness ── EvidenceSink    │            │
//!   orchestrator                   reshare ────────┤ final blocks, in order, acknowledged when durable
//!      │                              │  dealings  │
//!      └── whose turn it is ──────────┤            │
//!                                 stateful ────────┘
//!                                     │
//!                          Ledger ── QMDB ── BlockSink ── certifier ── aggregation ── signatures
//! ```
//!
//! # Parts
//! - **simplex** agrees on block hashes. It signs votes with the validator's ed25519 key, and writes each down before it is sent.
//! - **marshal** keeps final blocks and their certificates for good, fetches what is missing, and delivers in order.
//! - **stateful** keeps a batch of the state database per pending block, and applies that of the final one.
//! - **orchestrator** runs the simplex of the epoch that the last final block is in, and tracks its peers; **reshare** hands the group's
//!   key on to the next epoch's committee (`epochs`).
//! - **aggregation** makes threshold certificates of blocks that the sink has; **certifier** keeps them.
//!
//! Whoever has the blocks can follow, with any key; who is in an epoch's committee votes in it.
//!
//! All votes are single signatures: who signs two for one view is shown by the two, to the ledger's `validators` module too.

mod config;
mod start;

pub use config::{Channels, EngineConfig, StartError, StorageConfig, Timing, max_message_bytes, namespace};
pub use start::Validator;
