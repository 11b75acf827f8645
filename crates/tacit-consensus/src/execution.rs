//! One block, from candidates to what changed, over an asynchronous database.

use crate::{
    bridge::{StateError, with_state},
    state::{Key, ReadState, account_key, slot_key},
};
use alloy_consensus::{Header, Sealed, Transaction, TxEnvelope, transaction::Recovered};
use std::collections::BTreeSet;
use tacit_ledger::{Attributes, Chain, ExecuteError, Executed, execute, next_context};

pub use crate::bridge::StateError as ReadFailure;

/// Executes `candidates` on top of `parent`, whose state `source` reads.
///
/// The future must stay on one thread, as in a blocking or dedicated task: elsewhere it fails with [`ReadFailure::Moved`].
///
/// # Errors
/// The attributes break a rule that needs no execution, or the state cannot be read.
pub async fn execute_block<S: ReadState>(
    chain: Chain,
    parent: &Sealed<Header>,
    attributes: &Attributes,
    source: &S,
    candidates: Vec<Recovered<TxEnvelope>>,
) -> Result<Executed, ExecuteError<StateError>> {
    let context = next_context(&chain, parent, attributes)?;
    let prefetch = touched(&candidates, attributes);
    with_state(source, (parent.number, parent.hash()), prefetch, move |state| {
        execute(&chain, context, state, candidates)
    })
    .await
    .map_err(ExecuteError::State)?
}

/// What the candidates touch for certain: fetched at once, it costs a fraction of what single reads cost.
fn touched(candidates: &[Recovered<TxEnvelope>], attributes: &Attributes) -> Vec<Key> {
    let mut keys = BTreeSet::from([account_key(attributes.beneficiary)]);
    for transaction in candidates {
        keys.insert(account_key(transaction.signer()));
        keys.extend(transaction.to().map(account_key));
        for item in transaction.access_list().iter().flat_map(|list| list.iter()) {
            keys.insert(account_key(item.address));
            keys.extend(item.storage_keys.iter().map(|slot| slot_key(item.address, (*slot).into())));
        }
    }
    keys.into_iter().collect()
}
