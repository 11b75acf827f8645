//! What waits in the pool, by sender and nonce: `txpool_*`.
//!
//! `pending` is what can be in the next blocks, `queued` what waits behind a gap of nonces.

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Address;
use alloy_rpc_types_txpool::{
    TxpoolContent, TxpoolContentFrom, TxpoolInspect, TxpoolInspectSummary, TxpoolStatus,
};

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::Params,
    server::Service,
    shape,
};

/// What the members of an encoded transaction take beside its bytes, at most.
const MEMBERS_BYTES: usize = 2048;
/// Bytes of a summary, at most.
const SUMMARY_BYTES: usize = 256;

pub(super) fn status(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    let (pending, queued) = split(service, None, 0, 0)?;
    encode(&TxpoolStatus { pending: pending.len() as u64, queued: queued.len() as u64 })
}

pub(super) fn content(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    let (pending, queued) = split(service, None, MEMBERS_BYTES, 2)?;
    let mut content: TxpoolContent = TxpoolContent::default();
    for (side, transactions) in [(&mut content.pending, pending), (&mut content.queued, queued)] {
        for transaction in transactions {
            let nonces = side.entry(transaction.signer()).or_default();
            nonces.insert(transaction.nonce().to_string(), shape::waiting(transaction));
        }
    }
    encode(&content)
}

pub(super) fn content_from(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let sender = params.address()?;
    params.end()?;
    let (pending, queued) = split(service, Some(sender), MEMBERS_BYTES, 2)?;
    let by_nonce = |transactions: Vec<Recovered<TxEnvelope>>| {
        let named = transactions.into_iter().map(|waiting| (waiting.nonce().to_string(), waiting));
        named.map(|(nonce, waiting)| (nonce, shape::waiting(waiting))).collect()
    };
    let content: TxpoolContentFrom =
        TxpoolContentFrom { pending: by_nonce(pending), queued: by_nonce(queued) };
    encode(&content)
}

pub(super) fn inspect(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    let (pending, queued) = split(service, None, SUMMARY_BYTES, 0)?;
    let mut content = TxpoolInspect::default();
    for (side, transactions) in [(&mut content.pending, pending), (&mut content.queued, queued)] {
        for transaction in transactions {
            let nonces = side.entry(transaction.signer()).or_default();
            let nonce = transaction.nonce().to_string();
            nonces.insert(nonce, TxpoolInspectSummary::from_tx(transaction.into_inner()));
        }
    }
    encode(&content)
}

type Waiting = Vec<Recovered<TxEnvelope>>;

/// What waits, of one sender or of all: what is ready, and what waits behind a gap. An answer takes `each` bytes for a
/// transaction and `per_byte` for each of its own; more than an answer may have is refused before anything is copied.
fn split(
    service: &Service,
    sender: Option<Address>,
    each: usize,
    per_byte: usize,
) -> Result<(Waiting, Waiting), RpcError> {
    let limit = service.node.limits().response_bytes_max;
    let pool = service.shared().pool();
    let chosen = || pool.iter().filter(|waiting| sender.is_none_or(|sender| waiting.signer() == sender));
    let size = |waiting: &Recovered<TxEnvelope>| {
        each.saturating_add(per_byte.saturating_mul(waiting.encode_2718_len()))
    };
    let bytes = chosen().map(size).fold(0, usize::saturating_add);
    if each > 0 && bytes > limit {
        return Err(RpcError::LimitExceeded(format!(
            "the pool holds more than fits {limit} bytes; ask for one sender with txpool_contentFrom"
        )));
    }
    Ok(chosen().cloned().partition(|waiting| {
        let next = pool.next_nonce(waiting.signer()).unwrap_or_default();
        waiting.nonce() < next
    }))
}
