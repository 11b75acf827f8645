//! Proofs for light clients.

use std::sync::Arc;

use alloy_consensus::{Receipt, ReceiptEnvelope, TxEnvelope, transaction::Recovered};
use alloy_primitives::{B256, Bytes};
use tacit_light::prove_receipt;

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::Params,
    server::Service,
};
use crate::store::Location;

/// `tacit_getReceiptProof(hash)`: bytes of a `tacit_light::LightProof` of that transaction's receipt, or null when the transaction
/// is in no block, or this node has no certificate of its block.
pub(super) const METHOD: &str = "tacit_getReceiptProof";

/// `tacit_getFinality(number)`: bytes of a `tacit_light::Finality` of that block, or null when this node has no certificate of it
/// or of one soon after.
pub(super) const FINALITY: &str = "tacit_getFinality";

pub(super) async fn finality(service: &Arc<Service>, mut params: Params) -> Result<Encoded, RpcError> {
    let number = params.quantity()?;
    params.end()?;
    let found = service.node.finality(number).await?;
    encode(&found.map(|finality| Bytes::from(finality.encode())))
}

/// `tacit_getVotes(number)`: bytes of a `tacit_light::Finality` of that block with the votes that made it final, or one of its next
/// descendants; null when this node keeps none. For validators that begin without old blocks.
pub(super) const VOTES: &str = "tacit_getVotes";

pub(super) async fn votes(service: &Arc<Service>, mut params: Params) -> Result<Encoded, RpcError> {
    let number = params.quantity()?;
    params.end()?;
    let found = service.node.votes(number).await;
    encode(&found.map(|finality| Bytes::from(finality.encode())))
}

pub(super) async fn receipt_proof(service: &Arc<Service>, mut params: Params) -> Result<Encoded, RpcError> {
    let hash: B256 = params.hash()?;
    params.end()?;
    let reading = Arc::clone(service);
    let task = tokio::task::spawn_blocking(move || found(&reading, hash));
    let found = task.await.unwrap_or(Err(RpcError::Internal("a task ended early")))?;
    let Some((location, transactions, receipts)) = found else { return encode(&()) };
    let Some(finality) = service.node.finality(location.height).await? else { return encode(&()) };
    let index = usize::try_from(location.index).map_err(|_| RpcError::Internal("an index"))?;
    let proof = prove_receipt(finality, &receipts, index)
        .and_then(|proof| proof.with_transaction(&transactions))
        .map_err(|_| RpcError::Internal("the receipt has no proof"))?;
    encode(&Bytes::from(proof.encode()))
}

/// Where the transaction is, and transactions and receipts of its block.
type Found = (Location, Vec<TxEnvelope>, Vec<ReceiptEnvelope>);

fn found(service: &Service, hash: B256) -> Result<Option<Found>, RpcError> {
    let view = service.node.shared().store.view()?;
    let Some(location) = view.location(hash)? else { return Ok(None) };
    let transactions: Vec<TxEnvelope> =
        view.transactions(location.height)?.into_iter().map(Recovered::into_inner).collect();
    let receipts = view.receipts(location.height)?;
    let receipts = transactions.iter().zip(receipts).map(|(transaction, stored)| {
        let receipt = Receipt {
            status: stored.succeeded.into(),
            cumulative_gas_used: stored.cumulative_gas_used,
            logs: stored.logs,
        };
        ReceiptEnvelope::from_typed(transaction.tx_type(), receipt.with_bloom())
    });
    let receipts = receipts.collect();
    Ok(Some((location, transactions, receipts)))
}
