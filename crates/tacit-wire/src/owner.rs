//! What an owner tells a running worker, and what it says of itself.
//!
//! An order is signed with the worker's own key, as EIP-712 type `OwnerOrder` of the domain `Tacit Jobs`: whoever may give one can spend the worker's coins anyway, so there is no second secret
//! to keep; and nothing travels that anybody else could use, though a worker speaks plain HTTP and may be far from its owner.
//!
//! # Replay
//! An order names its time in milliseconds. A worker takes none that is five minutes off its clock; one that changes something has to be later than every one before it, also over a restart.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolStruct;
use serde::{Deserialize, Serialize};

use crate::{
    Amount, Wallet, job,
    language::TokenPrices,
    wallet::{self, SignatureReject},
};

alloy_sol_types::sol! {
    /// What an owner signs.
    struct OwnerOrder {
        address worker;
        string action;
        uint64 issuedAtMs;
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerAction {
    /// Nothing: say how things are.
    Status,
    /// Take nothing new, settle, anchor.
    Drain,
    /// Take new requests again.
    Resume,
}

/// Body of `POST /v1/owner`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerRequest {
    /// What is to be done.
    pub action: OwnerAction,
    /// When it was signed, milliseconds since 1970, by the owner's clock.
    pub issued_at_ms: u64,
    /// By the worker's key over [`Self::digest`].
    pub signature: Bytes,
}

/// How a worker is, for its owner. What counts begins with the process; what is owed, settled and at stake does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnerReport {
    /// The worker.
    pub worker: Address,
    /// Its clock, seconds since 1970.
    pub now_s: u64,
    /// Since when the process runs.
    pub started_s: u64,
    /// Since when it takes nothing new, if it was told so.
    pub drained_since_s: Option<u64>,
    /// What keeps it from being stopped without loss; empty when nothing does. Only told of a drained worker.
    pub waiting_for: Vec<Waiting>,
    /// Whether it may be stopped: it was drained, and waits for nothing.
    pub safe_to_stop: bool,
    /// Its language models.
    pub languages: Vec<LanguageReport>,
    /// Jobs that run or wait, and how many may.
    pub jobs: Occupied,
    /// Requests refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Coins.
    pub money: MoneyReport,
    /// Answers that may be disputed.
    pub audits: AuditReport,
    /// Stake; none when the ledger does not answer.
    pub stake: Option<StakeReport>,
}

/// What a drained worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Asks are still on the ledger.
    Asks,
    /// Requests or jobs run.
    Requests,
    /// Vouchers are not settled.
    Settlement,
    /// Receipts are not anchored.
    Anchors,
    /// Answers may still be disputed, and it has to answer.
    Disputes,
    /// The ledger does not answer.
    Ledger,
}

/// Places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Occupied {
    /// Those that are taken.
    pub taken: u64,
    /// All.
    pub most: u64,
}

/// A language model, as it did since the worker began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageReport {
    /// The model.
    pub model_id: B256,
    /// Its name.
    pub name: String,
    /// What requests cost.
    pub prices: TokenPrices,
    /// Whether its engine answers.
    pub available: bool,
    /// Requests to the engine now, and most.
    pub places: Occupied,
    /// Share of its places that was taken, over all the time: 0 to 1.
    pub utilisation: f64,
    /// Requests that were begun.
    pub requests: u64,
    /// How long half of them waited for the first byte, at most, in milliseconds; none before any had one.
    pub first_byte_p50_ms: Option<f64>,
    /// How long 99 of 100 waited, at most.
    pub first_byte_p99_ms: Option<f64>,
}

/// What is owed and what was paid, over all time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MoneyReport {
    /// Promised by vouchers.
    pub promised: Amount,
    /// Paid out by the ledger.
    pub settled: Amount,
    /// Promised and not paid out.
    pub unsettled: Amount,
    /// Given, and promised by nobody: at most a chunk for each channel.
    pub unpromised: Amount,
    /// Paid receipts that are not anchored.
    pub unanchored: u64,
    /// When the ledger was last paid out by, seconds since 1970; none since the process began.
    pub settled_at_s: Option<u64>,
}

/// Answers that may be disputed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditReport {
    /// Challenges that have not ended.
    pub open: u64,
    /// Those of them that convicted it.
    pub lost: u64,
    /// Until when answers that were given may be challenged, or disputes last, at most; none where none may.
    pub until_s: Option<u64>,
}

/// Stake on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StakeReport {
    /// At stake.
    pub bonded: Amount,
    /// What of it backs asks.
    pub backing: Amount,
    /// Asks on the ledger.
    pub asks: u64,
    /// On its way home, and still lost if the worker is convicted.
    pub unbonding: Amount,
    /// When that may be taken, seconds since 1970.
    pub release_at_s: Option<u64>,
    /// What of audited answers' pay it speaks for, in this period and the one before.
    pub covered: Amount,
    /// The most that it can speak for at once.
    pub coverable: Amount,
    /// When this period ends, seconds since 1970.
    pub period_ends_s: u64,
}

/// How far an owner's clock may be from the worker's.
pub const ORDER_SKEW_MS: u64 = 300_000;

impl OwnerAction {
    /// As it is signed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Drain => "drain",
            Self::Resume => "resume",
        }
    }
}

impl OwnerRequest {
    /// Signs an order to the wallet's own worker.
    #[must_use]
    pub fn sign(wallet: &Wallet, chain_id: u64, action: OwnerAction, issued_at_ms: u64) -> Self {
        let mut request = Self { action, issued_at_ms, signature: Bytes::new() };
        request.signature = wallet.sign_digest(request.digest(wallet.address(), chain_id));
        request
    }

    /// Digest that is signed.
    #[must_use]
    pub fn digest(&self, worker: Address, chain_id: u64) -> B256 {
        let order =
            OwnerOrder { worker, action: self.action.word().to_owned(), issuedAtMs: self.issued_at_ms };
        order.eip712_signing_hash(&job::domain(chain_id))
    }

    /// Who signed it, as an order to `worker`.
    ///
    /// # Errors
    /// [`SignatureReject`].
    pub fn signer(&self, worker: Address, chain_id: u64) -> Result<Address, SignatureReject> {
        wallet::recover(self.digest(worker, chain_id), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_its_workers_alone_and_says_one_thing() {
        let (owner, other) = (Wallet::random(), Wallet::random());
        let order = OwnerRequest::sign(&owner, 7, OwnerAction::Drain, 1_000);
        let (us, them) = (owner.address(), other.address());
        assert_eq!(order.signer(us, 7), Ok(us));
        for (changed, worker, chain_id) in [
            (OwnerRequest { action: OwnerAction::Resume, ..order.clone() }, us, 7),
            (OwnerRequest { issued_at_ms: 1_001, ..order.clone() }, us, 7),
            (order.clone(), them, 7),
            (order, us, 8),
        ] {
            assert_ne!(changed.signer(worker, chain_id), Ok(us));
        }
    }
}
