//! Ethereum JSON-RPC over HTTP and WebSocket, on one port.
//!
//! # Methods
//! `eth_*` (with `eth_simulateV1`), `net_*` and `web3_*` as wallets and client libraries use them, polling filters, subscriptions over WebSocket,
//! `txpool_*`, `debug_trace*` and `debug_getRaw*`, and for development `evm_mine`, `evm_increaseTime`, `evm_setNextBlockTimestamp`, `evm_setAutomine`, `evm_snapshot`, `evm_revert`.
//! `tacit_getReceiptProof`, `tacit_getFinality` and `tacit_getBlocks` serve light clients and followers, and so does `GET /snapshot`.
//! State may be asked at any height. `latest`, `safe` and `finalized` are the same block, since none is ever taken back;
//! `pending` is the state of the latest block seen from the next one. `eth_estimateGas` looks from the next block by
//! default, so that what depends on time is estimated for when it will run.
//!
//! # Limits
//! Body, batch, answer, log range and filters are bounded by [`crate::RpcLimits`]. Any origin may ask (CORS): no key
//! lives here that a web page could misuse.

mod call;
mod dev;
mod error;
mod fees;
mod filters;
mod frame;
mod light;
mod listen;
mod logs;
mod params;
mod pool;
mod raw;
mod read;
mod server;
mod shape;
mod simulate;
mod snapshot;
mod socket;
mod status;
mod trace;
mod transfers;

pub use self::{error::RpcError, simulate::Unsimulated};
pub(crate) use self::{server::serve, socket::admitted};
