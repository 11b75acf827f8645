//! Transactions travel: what clients send to one validator, whoever leads next can propose.
//!
//! A message is a list of transactions, each as `length (4, big-endian) ‖ EIP-2718 bytes`. Only what a validator's own clients
//! sent is passed on, once, to every other validator; a message that gets lost is made up for when the validator that has
//! the transactions leads. A message that no validator of ours sends ends the connection to its sender.

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use std::sync::Arc;
use tacit_ledger::Chain;
use tacit_node::{Node, admission, pool::Rejected};
use tracing::warn;

/// Passes on what this node's clients send, until the node or the network closes.
pub(crate) async fn tell(node: Node, mut network: impl Sender<PublicKey = PublicKey>) {
    let mut taken = node.taken();
    drop(node);
    while let Some(batch) = taken.next().await {
        for message in messages(&batch) {
            network.send(Recipients::All, message, false);
        }
    }
}

/// Takes what others pass on, until the network closes.
pub(crate) async fn hear(
    node: Node,
    chain: Chain,
    mut network: impl Receiver<PublicKey = PublicKey>,
    mut blocker: impl Blocker<PublicKey = PublicKey>,
) {
    while let Ok((peer, message)) = network.recv().await {
        let bytes = Bytes::copy_from_slice(message.as_ref());
        let known = node.clone();
        // A signature costs more than everything else together, and a thread of the network has better things to do.
        let decoded = tokio::task::spawn_blocking(move || decode(&bytes, &chain, |hash| known.knows(hash)));
        match decoded.await {
            Ok(Ok(transactions)) => node.hear(transactions).await,
            Ok(Err(error)) => {
                warn!(%peer, %error, "a validator sent what is no transaction, and is cut off");
                blocker.block(peer);
            }
            // The runtime is stopping.
            Err(_) => return,
        }
    }
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GossipError {
    /// It ends inside a transaction.
    #[error("the message is cut short")]
    Short,
    /// It holds something that no validator takes from a client.
    #[error(transparent)]
    Transaction(#[from] Rejected),
}

/// Transactions in messages of at most [`MESSAGE_BYTES_MAX`].
fn messages(batch: &Arc<[Recovered<TxEnvelope>]>) -> Vec<Vec<u8>> {
    let mut messages = vec![Vec::new()];
    for transaction in batch.iter() {
        let bytes = transaction.encoded_2718();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let needed = LENGTH_BYTES.saturating_add(bytes.len());
        if messages.last().is_none_or(|last| last.len().saturating_add(needed) > MESSAGE_BYTES_MAX) {
            messages.push(Vec::new());
        }
        if let Some(message) = messages.last_mut() {
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(&bytes);
        }
    }
    messages.retain(|message| !message.is_empty());
    messages
}

/// The transactions of a message, senders recovered, less those that are known.
fn decode(
    mut rest: &[u8],
    chain: &Chain,
    known: impl Fn(&alloy_primitives::B256) -> bool,
) -> Result<Vec<Recovered<TxEnvelope>>, GossipError> {
    let mut transactions = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(GossipError::Short)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (bytes, after) = after.split_at_checked(length).ok_or(GossipError::Short)?;
        rest = after;
        if !known(&alloy_primitives::keccak256(bytes)) {
            transactions.push(admission::decode(bytes, chain)?);
        }
    }
    Ok(transactions)
}

const LENGTH_BYTES: usize = 4;
/// Longest message: no transaction is longer.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(admission::TRANSACTION_BYTES_MAX + LENGTH_BYTES <= MESSAGE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{
        SignableTransaction as _, TxEip1559,
        crypto::secp256k1::{recover_signer_unchecked, sign_message},
    };
    use alloy_primitives::{B256, TxKind};

    const CHAIN: Chain = Chain { chain_id: 7, gas_limit: 60_000_000, base_fee_floor: 0, certifier: None };

    fn transaction(nonce: u64, input: usize) -> Recovered<TxEnvelope> {
        let draft = TxEip1559 {
            chain_id: CHAIN.chain_id,
            nonce,
            gas_limit: 16_000_000,
            max_fee_per_gas: 9,
            to: TxKind::Call([7; 20].into()),
            input: vec![0; input].into(),
            ..TxEip1559::default()
        };
        let key = B256::with_last_byte(1);
        let hash = draft.signature_hash();
        let signature = sign_message(key, hash).unwrap();
        let sender = recover_signer_unchecked(&signature, hash).unwrap();
        Recovered::new_unchecked(draft.into_signed(signature).into(), sender)
    }

    #[test]
    fn batches_come_back_in_messages_that_fit() {
        let batch: Arc<[_]> = (0..9).map(|nonce| transaction(nonce, 300_000)).collect();
        let messages = messages(&batch);
        assert_eq!(messages.len(), 3);
        assert!(messages.iter().all(|message| message.len() <= MESSAGE_BYTES_MAX));
        let back: Vec<_> =
            messages.iter().flat_map(|message| decode(message, &CHAIN, |_| false).unwrap()).collect();
        assert_eq!(back, batch.to_vec());
        let first = *batch[0].tx_hash();
        assert_eq!(decode(&messages[0], &CHAIN, |hash| *hash == first).unwrap(), batch[1..3].to_vec());
        assert!(super::messages(&Vec::new().into()).is_empty());
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused_or_another_transaction() {
        let batch: Arc<[_]> = [transaction(0, 3), transaction(1, 0)].into();
        let message = messages(&batch).concat();
        for length in 1..message.len() {
            let cut = decode(&message[..length], &CHAIN, |_| false);
            // A cut between two transactions leaves the first.
            assert!(cut.is_err() || cut == Ok(vec![batch[0].clone()]), "{length}");
        }
        for index in 0..message.len() {
            let mut changed = message.clone();
            changed[index] ^= 1;
            assert_ne!(decode(&changed, &CHAIN, |_| false), Ok(batch.to_vec()), "byte {index}");
        }
        let foreign = Chain { chain_id: 8, ..CHAIN };
        let refused = decode(&message, &foreign, |_| false).unwrap_err();
        assert_eq!(refused, GossipError::Transaction(Rejected::WrongChain { expected: 8, got: 7 }));
        assert_eq!(decode(&[0, 0, 0, 1], &CHAIN, |_| false), Err(GossipError::Short));
        assert_eq!(decode(&[9], &CHAIN, |_| false), Err(GossipError::Short));
    }
}
