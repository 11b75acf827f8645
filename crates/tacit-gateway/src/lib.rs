//! The local door: finds a model, asks a worker, believes nothing unchecked, pays for what was checked.
//!
//! A [`Gateway`] runs on the user's own machine and holds the user's key. For each [`AskRequest`] it looks the model up
//! on the ledger, recomputes the model's id from what the worker serves, picks the cheapest ask, validates the input,
//! seals or encrypts it, checks the answer ([`check`]), and only then signs a voucher. What a worker answers to encrypted questions is audited by questions
//! hidden among them ([`canary`]). Before a question is sealed to a guest, the guest's hardware is judged by a policy ([`attested`]). Language models are asked as any program asks OpenAI's, and paid by the token ([`openai`]).
//!
//! A question may also be asked so that nobody can join it to a payment: with tokens that were bought before ([`tokens`]), through a relay ([`unlinkable`]).
//!
//! # What the client risks
//! Nothing but gas for its channel: a voucher exists only for a [`CheckedAnswer`], at the price agreed before. A worker
//! whose answer is refused is not asked again, and its channel is closed. Tokens are paid for before they are used ([`unlinkable`]).
//!
//! # What survives a crash
//! The request is on disk before it is sent, the signed voucher before it is sent. After a restart the same bytes are
//! sent again, so that one job has one answer and one voucher. The file holds the user's inputs and answers (they are
//! the user's copy of each receipt's openings) and is readable by its owner only.
//!
//! **Boundary:** workers and their endpoints are untrusted; the ledger's JSON-RPC is the user's own node or one the
//! user trusts for the state of channels and asks. Proofs and receipts need no trust in it.

pub mod attested;
pub mod canary;
pub mod check;
pub mod dispute;
pub mod encrypted;
pub mod error;
pub mod fraud;
pub mod input;
pub mod keys;
pub mod openai;
pub mod receipt;
pub mod store;
pub mod stream_receipt;
pub mod tokens;
pub mod unlinkable;

mod ask;
mod channel;
mod compare;
mod cover;
mod deliver;
pub mod explorer;
mod gateway;
mod http;
mod market;
pub mod page;
mod reputations;
mod second;
mod shown;
pub mod view;

pub use ask::AskRequest;
pub use attested::{Attestation, AttestedMessages, AttestedReject, AttestedSummary};
pub use canary::{CanaryPolicy, CanaryRate};
pub use check::{AnswerReject, Asked, CheckedAnswer};
pub use compare::WalkFault;
pub use dispute::AuditPolicy;
pub use error::GatewayError;
pub use fraud::{FraudBundle, FraudReject, VerifiedFraud, verify_fraud};
pub use gateway::{DoorConfig, Gateway, GatewayConfig, KEPT_BYTES_DEFAULT, Spending};
pub use http::{Forgive, FraudEntries, SentKeys};
pub use input::{Input, InputReject, NamedRow};
pub use receipt::{
    Bundle, BundleReject, EncryptedMessages, VerifiedReceipt, verify_bundle, verify_bundle_under,
};
pub use reputations::Standing;
pub use store::{Audit, Other, Shown, Store, StoreError};
pub use stream_receipt::{StreamBundle, VerifiedStream, verify_stream, verify_stream_under};
pub use tacit_market::Ratio;
pub use tokens::{BuyTokens, TOKEN_KEY_AGE, TokensBought, TokensEntry, UnlinkablePolicy};
pub use view::{Approximate, AskAnswer, ChannelEntry, Channels, ModelEntry, ReceiptEntry, Status};
