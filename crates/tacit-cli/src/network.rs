//! The way to the ledger, with errors a person can act on.

use crate::failure::Failure;
use tacit_wire::{LedgerClient, LedgerError};

/// Connects to a ledger's JSON-RPC.
pub(crate) async fn ledger(url: &str) -> Result<LedgerClient, Failure> {
    LedgerClient::connect(url).await.map_err(|error| {
        let mut failure = failure(error);
        failure.message = format!("no ledger at {url}: {}", failure.message);
        failure
    })
}

/// A ledger's refusal in the shape of every other one.
pub(crate) fn failure(error: LedgerError) -> Failure {
    let (code, hint) = match &error {
        LedgerError::Http(_) => {
            ("ledger_unreachable", "start one with `tacit up` or `tacit node dev`, or name one with --ledger")
        }
        LedgerError::InsufficientFunds { .. } => {
            ("no_funds", "send coins to this address: tacit wallet send")
        }
        LedgerError::Reverted(_) => ("ledger_refused", "the ledger's module said no: see the reason"),
        LedgerError::NotMined { .. } => {
            ("not_mined", "look again in a while: the transaction may still get in")
        }
        LedgerError::Displaced { .. } => {
            ("displaced", "nothing was sent by this one: look at the account, then try again")
        }
        _ => ("ledger_failed", ""),
    };
    Failure::new(code, &error, hint)
}
