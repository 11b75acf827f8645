//! What gateway and worker say to each other, and to the ledger.
//!
//! A job is a [`JobHeader`] (public terms: model, channel, price) with a payload (the encoded input, in the clear, sealed to the
//! worker, or encrypted so that nobody but the client reads it), authorised by the channel's signer. An [`Answer`] carries the output, the proof, the salts
//! that open the receipt's commitments, and the receipt the worker signed. A voucher pays for it.
//!
//! Nothing here decides anything: rules about whom to pay and what to serve live in the gateway and the worker. What
//! is here is formats with limits, keys that never print, and a thin client of the ledger's JSON-RPC.
//!
//! **Boundary:** bytes that arrive from a remote party become typed values here, or a typed reject.

pub mod amount;
pub mod answer;
pub mod audit;
pub mod audit_file;
pub mod binary_http;
pub mod blind;
pub mod http;
pub mod job;
mod keyfile;
pub mod keys;
pub mod language;
pub mod ledger;
pub mod message;
pub mod meter;
pub mod oblivious;
pub mod owner;
pub mod prepaid;
pub mod revert;
mod rpc;
pub mod sealing;
pub mod session;
pub mod splice;
pub mod stream;
pub mod token;
pub mod unlinked;
mod validators;
pub mod walk;
pub mod wallet;

pub use amount::Amount;
pub use answer::{Answer, AnswerEvidence, EngineTime, Output, RowProof, Salts, TraceEvidence};
pub use audit::{AnswerSeed, AuditKey, SeedCommitment};
pub use audit_file::{AuditFile, AuditReject, AuditedJob};
pub use job::{Contents, JobHeader, JobId, Payload};
pub use keyfile::{KeyFileError, create as create_key_file, read as read_key_file};
pub use ledger::{LedgerClient, LedgerError};
pub use revert::Revert;
pub use rpc::RpcClient;
pub use sealing::{ResponseKey, SealReject, SealingKey};
pub use walk::{WalkAnswer, WalkQuestion, WalkReject, WalkRequest, WalkResponse};
pub use wallet::{SignatureReject, Wallet};
