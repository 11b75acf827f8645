//! Serves models and is paid for it.
//!
//! A [`Worker`] answers jobs over HTTP: it checks everything about a job before it works, has its [`Engine`] compute
//! and prove, jobs that wait for one model in one proof, signs a receipt, keeps the answer, and sends it. A voucher pays; settlement and anchoring of receipts run
//! beside. How the receipt is priced is the [`Billing`] policy's word.
//!
//! A job may be encrypted: the engine then computes on what it cannot read, and nothing in this crate or below it, built alone, has a name
//! for what could ([`JobInput`]).
//!
//! A guest on hardware that vouches for it serves `enclave` with `attested` ([`attest`]).
//!
//! Language models of other people's engines are served by the token, beside ([`language`]).
//!
//! A job may be paid for with prepaid tokens, which the worker sells without seeing them, and reach it through a relay: then it does not know whose job it is ([`prepaid`]).
//!
//! # What the worker risks
//! One job per channel: the next one is refused until the last one is paid. A voucher is on disk before it is
//! acknowledged, and settled before the channel's grace period ends.
//!
//! # What survives a crash
//! An answered job is on disk, with its receipt, before the answer leaves; asking again gives the same bytes. A job
//! that was being computed leaves no trace but a spent opening: it is computed again when asked again.
//!
//! **Boundary:** requests are untrusted; the ledger's JSON-RPC is the operator's own node.

pub mod attest;
pub mod audit;
pub mod billing;
pub mod clock;
pub mod disputes;
pub mod engine;
pub mod gguf;
pub mod keys;
pub mod language;
pub mod prepaid;
pub mod quota;
pub mod reject;
pub mod served;
pub mod settle;
pub mod store;

mod beats;
mod connection;
mod counters;
mod cover;
mod http;
mod job;
mod metrics;
mod owner;
mod payment;
mod together;
mod walk;
mod worker;

pub use attest::{AttestError, Attester, GpuCommand, TSM_REPORTS, TsmAttester};
pub use audit::{Comparison, Difference, ReexecutionReject, SeedSource, reexecute};
pub use billing::{AskedPrice, Bill, Billing};
pub use clock::{Clock, SystemClock};
pub use engine::{
    Engine, EngineAnswer, EngineError, GraphEngine, JobInput, OpenedJob, Openings, Revealed, TOGETHER_MAX,
};
pub use keys::{KEY_BYTES_DEFAULT, KeyError, KeyMeter, KeyShelf};
pub use language::{EngineFault, LanguageEngine, LanguageError, LanguageModel, StreamRefusal};
pub use prepaid::{Spent, TokenSale};
pub use quota::{Day, Quota};
pub use reject::JobReject;
pub use served::ServedModel;
pub use settle::SettlementPolicy;
pub use store::{Store, StoreError, WALK_QUESTIONS_MAX};
pub use worker::{Earnings, Limits, Worker, WorkerConfig, WorkerError, WorkerFolder};
