//! An oblivious relay (RFC 9458, section 6.2): takes encapsulated requests, passes them on to workers, and brings back what they answer.
//!
//! A [`Relay`] sees who asks, whom, when, and how many padded bytes; it can read nothing of what is asked, and holds no key. A worker sees the relay and no client: nothing of a
//! client's request goes on but its body. Where relay and worker are the same people, or talk to each other, this hides nobody (`specs/0013-unlinkable.md`).
//!
//! # What it is no use for
//! It passes on to endpoints of asks on the ledger alone, on one path, with one media type, and brings back answers of one media type alone: nobody reaches anything else through it.
//! Endpoints on this machine and on private networks are refused unless it is set up for a network of that kind.
//!
//! **Boundary:** clients and workers are untrusted; the ledger's JSON-RPC is the operator's own node.

mod address;
mod directory;
mod rate;
mod relay;

pub use rate::Rate;
pub use relay::{Relay, RelayConfig, RelayReject};
