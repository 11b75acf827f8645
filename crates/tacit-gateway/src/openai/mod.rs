//! The OpenAI interface: any program that speaks it asks strangers' machines, sealed, metered and paid by the token.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/models`, `GET /v1/models/{id}` | language models on the ledger that somebody serves |
//! | `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings` | the engine's, byte for byte, streamed or not |
//!
//! # A request
//! `request` reads what concerns the gateway and leaves the rest; `market` says who serves the model; [`tacit_market::routing`] orders them by what the request wants;
//! `caps` reserves what it may cost; `attempt` asks one worker after another until one begins to answer, and `follow` follows that one, over a `link` that keeps the session and the running `account`;
//! `door` is the HTTP around it. A request that is to be joined to no payment goes another way: `unlinked`. Where the owner wants it, `likeness` has some of the answers computed again by other workers.
//!
//! # What is changed
//! Of the request: the value of `model` becomes the model's name, and the members `provider` and `models`, which are for the gateway, are left out; one that may be audited asks for log-probabilities. Of
//! the answer: nothing; a stream has a comment line of ours at its end.
//!
//! # What the client risks
//! As in `specs/0010-streams.md`: the prompt's price less a chunk, and a chunk for each request that runs. No request costs more than its
//! reservation, and reservations are within the caps of request, key and day, whatever crashes.

pub(crate) mod account;
pub(crate) mod added;
pub mod api_key;
pub(crate) mod attempt;
pub(crate) mod caps;
pub(crate) mod door;
pub mod error;
pub(crate) mod follow;
pub(crate) mod health;
pub(crate) mod language;
pub mod likeness;
pub(crate) mod link;
pub(crate) mod market;
pub(crate) mod receipts;
pub(crate) mod request;
pub(crate) mod unlinked;

pub use added::{AddedTimes, Bucket, Times};
pub use api_key::{ApiKey, ApiKeyEntry, ApiKeyError, ApiKeys};
pub use error::ApiError;
pub use health::WorkerHealth;
pub use likeness::{LikenessView, ModelLikeness, PairLikeness, WorkerLikeness};

pub use crate::store::{StreamAudit, Verdict};
